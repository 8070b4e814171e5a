//! Inputs to begin with: for each target a few that go deep, by name.
//!
//! `cargo run --example make_seeds` writes them to `seeds/`; a test checks that what is committed is
//! what is made here, and runs it.

mod secured;

use crate::connection_pair::operation::Operation as Pair;
use crate::noise_payload::{CERTHASHES, KEY, MUXERS, RAW, SIGNATURE, Step, UNKNOWN};
use crate::script::{Operation, Script};
use crate::yamux::hostile::Operation as Hostile;
use crate::yamux::pair::Operation as Yamux;

/// The targets.
pub const TARGETS: [&str; 12] = [
    "multistream",
    "noise_payload",
    "certificate",
    "tls",
    "envelope",
    "yamux",
    "identify",
    "frame_reader",
    "connection_pair",
    "quic_pair",
    "gossip_rpc",
    "gossip",
];

/// One input.
#[derive(Debug)]
pub struct Seed {
    /// Its target.
    pub target: &'static str,
    /// Its file.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// All of them.
pub fn all() -> Vec<Seed> {
    let mut seeds = decoders_and_machines();
    seeds.extend(secured::all());
    seeds
}

fn decoders_and_machines() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name, bytes| seeds.push(Seed { target, name, bytes });

    // Proposals, supported ids, chunks, raw bytes.
    add("multistream", "agree_on_the_second", vec![2, 0, 2, 2, 2, 3, 2, 1, 7]);
    add("multistream", "refuse_all_in_single_bytes", vec![3, 0, 1, 2, 1, 9, 1, 1]);
    let header = b"\x13/multistream/1.0.0\n";
    let raw = [&[1, 0, 1, 2, 1, 3][..], header, b"\x03ls\n\x09/a/1.0.0\n"].concat();
    add("multistream", "list_then_agree", raw);
    let answer = [&[1, 0, 1, 0, 0][..], header, b"\x03/a\n"].concat();
    add("multistream", "answer_to_a_dialer", answer);

    // Mode, role, offers, chunks, steps.
    let payload = |role: u8, steps: &[Step]| {
        let steps = steps.iter().flat_map(Step::encode);
        [0, role, 3, 1, 1, 100].into_iter().chain(steps).collect::<Vec<u8>>()
    };
    let (key, signature) = (Step::new(KEY, 0, 0, 0), Step::new(SIGNATURE, 0, 0, 0));
    let yamux = Step::new(MUXERS, 1, 0, 0);
    let unknown = Step::new(UNKNOWN, 7, 0, 0);
    add("noise_payload", "a_good_payload_to_a_dialer", payload(0, &[key, signature, yamux]));
    add("noise_payload", "a_good_payload_to_a_listener", payload(1, &[key, signature, unknown]));
    add("noise_payload", "too_many_hashes", payload(0, &[key, Step::new(CERTHASHES, 17, 0, 0)]));
    add("noise_payload", "a_broken_end", payload(1, &[key, Step::new(RAW, 0x22, 0xff, 1)]));
    let changed = Step::new(1, 3, 0, 50).encode();
    add("noise_payload", "a_changed_message", [&[1, 0, 1, 1, 0][..], &changed].concat());
    add("noise_payload", "bytes", vec![2, 0, 1, 1, 1, 3, 0, 32, 1, 2]);

    let script = |settings, operations: Vec<Yamux>| Script { settings, operations }.encode();
    add(
        "yamux",
        "one_stream_both_ways",
        script(
            [0, 100, 0, 0],
            vec![
                Yamux::Open { side: 0, count: 0 },
                Yamux::Write { side: 0, index: 0, length: 200, times: 3 },
                Yamux::Transmit { side: 0, length: 130, times: 0 },
                Yamux::Deliver { side: 1, length: 77, times: 0 },
                Yamux::Exchange,
                Yamux::Accept { side: 1 },
                Yamux::Read { side: 1, index: 0, max: 150, into: false },
                Yamux::Write { side: 1, index: 0, length: 40, times: 0 },
                Yamux::Finish { side: 1, index: 0 },
                Yamux::Exchange,
                Yamux::Read { side: 0, index: 0, max: 40, into: true },
            ],
        ),
    );
    let mut fill = vec![Yamux::Open { side: 0, count: 3 }, Yamux::Open { side: 1, count: 1 }];
    for index in 0..4 {
        fill.push(Yamux::Write { side: 0, index, length: 255, times: 15 });
        fill.push(Yamux::Exchange);
    }
    fill.extend([
        Yamux::Accept { side: 1 },
        Yamux::Time { steps: 100 },
        Yamux::Read { side: 1, index: 0, max: 255, into: false },
        Yamux::Exchange,
        Yamux::Limits { side: 1, inbound: 2, lease: 40 },
        Yamux::Read { side: 1, index: 0, max: 255, into: false },
        Yamux::Reset { side: 0, index: 1 },
        Yamux::Exchange,
        Yamux::Time { steps: 1_100 },
    ]);
    add("yamux", "windows_fill_grow_and_shrink", script([0, 100, 0, 0], fill));
    let frame = |type_and_flags, stream, length| Hostile::Frame { type_and_flags, stream, length };
    let attack = |operations: Vec<Hostile>| Script { settings: [1, 0, 0, 0], operations }.encode();
    let (data_syn, update_syn, update, data_fin) = (1 << 2, 1 | 1 << 2, 1, 4 << 2);
    add(
        "yamux",
        "a_stream_and_its_end",
        attack(vec![
            frame(data_syn, 1, 4),
            Hostile::Accept,
            Hostile::Read { index: 0, max: 100 },
            Hostile::Write { index: 0, length: 10 },
            frame(data_fin, 1, 3),
            Hostile::Flush,
            Hostile::Finish { index: 0 },
        ]),
    );
    add(
        "yamux",
        "a_window_overflows",
        attack(vec![frame(update_syn, 3, 12), frame(update, 3, 0), frame(update, 3, 1)]),
    );
    let early = vec![frame(0, 1, 255), Hostile::Open, frame(0, 8, 8)];
    let early = Script { settings: [1, 1, 0, 0], operations: early }.encode();
    add("yamux", "data_before_its_stream", early);
    add("yamux", "pings_without_reading", attack(vec![frame(2 | 1 << 2, 0, 3); 33]));

    for (name, bytes) in crate::identify::seeds() {
        add("identify", name, bytes);
    }
    for (name, bytes) in crate::gossip_rpc::seeds() {
        add("gossip_rpc", name, bytes);
    }
    for (name, bytes) in crate::gossip_machine::seeds() {
        add("gossip", name, bytes);
    }

    // The bound, flags, chunks, lengths, raw bytes.
    add("frame_reader", "frames_in_pieces", vec![200, 3, 2, 1, 140, 3, 5, 0, 0, 0, 200, 0]);
    add("frame_reader", "a_frame_too_long", vec![10, 1, 0, 11, 1, 2, 3]);
    add("frame_reader", "a_length_that_goes_on", [[255, 1, 1, 2].as_slice(), &[0x80; 9]].concat());
    add("frame_reader", "a_truncated_frame", vec![100, 1, 1, 2, 5, 1, 2]);

    let script = |settings, operations: Vec<Pair>| Script { settings, operations }.encode();
    let all_at_once = Pair::Exchange { length: 255, times: 255 };
    let in_pieces = Pair::Exchange { length: 97, times: 0 };
    let (read, write) = (
        |side, index| Pair::Read { side, index, length: 255, times: 7 },
        |side, index, length| Pair::Write { side, index, length, times: 2 },
    );
    add(
        "connection_pair",
        "an_echo",
        script(
            [0; 4],
            vec![
                in_pieces,
                Pair::Open { side: 0, proposals: 0, count: 1 },
                write(0, 0, 50),
                in_pieces,
                Pair::Accept { side: 1 },
                read(1, 0),
                write(1, 0, 50),
                Pair::Finish { side: 1, index: 0 },
                in_pieces,
                read(0, 0),
                read(0, 0),
                Pair::Finish { side: 0, index: 0 },
                in_pieces,
            ],
        ),
    );
    add(
        "connection_pair",
        "frames_of_node",
        script(
            [0x40, 0, 0, 0],
            vec![
                all_at_once,
                Pair::NodePoll { side: 1, count: 5, state: true },
                all_at_once,
                Pair::NodeOpen { side: 0, proposals: 0, count: 2 },
                all_at_once,
                Pair::NodeSend { side: 0, index: 0, length: 200, times: 0 },
                Pair::NodeSend { side: 0, index: 0, length: 255, times: 0 },
                all_at_once,
                Pair::NodePoll { side: 1, count: 3, state: false },
                Pair::Verify { side: 1, genuine: true },
                Pair::NodeFinish { side: 0, index: 0 },
                all_at_once,
            ],
        ),
    );
    add(
        "connection_pair",
        "several_proposals_and_a_refusal",
        script(
            [4, 0, 0, 0],
            vec![
                all_at_once,
                Pair::Open { side: 0, proposals: 2, count: 3 },
                Pair::Open { side: 1, proposals: 2, count: 1 },
                write(1, 0, 20),
                all_at_once,
                read(1, 0),
                write(0, 0, 20),
                Pair::Perf { side: 0, upload: 250, download: 240 },
                all_at_once,
            ],
        ),
    );
    add(
        "connection_pair",
        "a_flipped_bit",
        script(
            [0; 4],
            vec![
                all_at_once,
                Pair::Open { side: 0, proposals: 0, count: 1 },
                write(0, 0, 120),
                Pair::Transmit { side: 0, length: 255, times: 0 },
                Pair::FlipBit { side: 1, at: 20 },
                in_pieces,
            ],
        ),
    );
    add(
        "connection_pair",
        "nobody_is_admitted",
        script(
            [3, 0, 0, 0],
            vec![
                all_at_once,
                Pair::Stall { side: 0 },
                Pair::Time { steps: 10_500 },
                Pair::Time { steps: 6_000 },
            ],
        ),
    );
    add(
        "connection_pair",
        "pings_leases_and_time",
        script(
            [0; 4],
            vec![
                all_at_once,
                Pair::Lease { side: 0, lease: 0xe0 },
                Pair::Protocols { side: 1, table: 8 },
                Pair::Time { steps: 2_000 },
                all_at_once,
                Pair::Time { steps: 35_000 },
                all_at_once,
                Pair::Truncate { side: 1, length: 3 },
            ],
        ),
    );
    seeds
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arbitrary::{Arbitrary, Unstructured};

    use super::*;
    use crate::certificate::Edit;
    use crate::change::Change;
    use crate::gossip_machine::Operation as Gossip;
    use crate::quic_pair::operation::Operation as Quic;
    use crate::tls::operation::Operation as Tls;

    fn run<'a, I: Arbitrary<'a>>(bytes: &'a [u8], run: impl Fn(&I)) {
        run(&I::arbitrary_take_rest(Unstructured::new(bytes)).expect("a well-formed seed"));
    }

    #[test]
    fn every_seed_is_committed_and_passes() {
        for Seed { target, name, bytes } in all() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target).join(name);
            let committed = std::fs::read(&path).unwrap_or_default();
            assert_eq!(committed, bytes, "{target}/{name}: run `cargo run --example make_seeds`");
            match target {
                "multistream" => run(&bytes, crate::multistream::run),
                "noise_payload" => run(&bytes, crate::noise_payload::run),
                "certificate" => run(&bytes, crate::certificate::run),
                "tls" => run(&bytes, crate::tls::run),
                "envelope" => run(&bytes, crate::envelope::run),
                "yamux" => run(&bytes, crate::yamux::run),
                "identify" => run(&bytes, crate::identify::run),
                "frame_reader" => run(&bytes, crate::frame_reader::run),
                "connection_pair" => run(&bytes, crate::connection_pair::run),
                "quic_pair" => run(&bytes, crate::quic_pair::run),
                "gossip_rpc" => run(&bytes, crate::gossip_rpc::run),
                "gossip" => run(&bytes, crate::gossip_machine::run),
                other => panic!("no target {other}"),
            }
        }
    }

    #[test]
    fn scripts_decode_to_what_was_encoded() {
        for kind in 0..=255 {
            let bytes = [kind, 0x53, 0x21, 1];
            let again = |encoded: [u8; 4], found: [u8; 4]| assert_eq!(encoded, found, "{bytes:?}");
            let pair = Pair::decode(bytes).encode();
            again(Pair::decode(pair).encode(), pair);
            let yamux = Yamux::decode(bytes).encode();
            again(Yamux::decode(yamux).encode(), yamux);
            let hostile = Hostile::decode(bytes).encode();
            again(Hostile::decode(hostile).encode(), hostile);
            let tls = Tls::decode(bytes).encode();
            again(Tls::decode(tls).encode(), tls);
            let gossip = Gossip::decode(bytes).encode();
            again(Gossip::decode(gossip).encode(), gossip);
            let quic = Quic::decode(bytes).encode();
            again(Quic::decode(quic).encode(), quic);
            let change = Change::decode(bytes).encode();
            again(Change::decode(change).encode(), change);
            let edit = Edit::decode(bytes).encode();
            again(Edit::decode(edit).encode(), edit);
        }
    }
}
