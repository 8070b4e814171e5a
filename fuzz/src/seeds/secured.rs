//! Inputs of the targets of TLS, QUIC and signed records.

use sanspeer_core::identity::Identity;
use sanspeer_core::mux::Role;
use sanspeer_core::record::{RecordFormat, SignedPeerRecord};
use sanspeer_core::rng::Seed as RandomSeed;
use sanspeer_core::tls::{Handshake, HandshakeConfig, TlsIdentity};

use super::Seed;
use crate::certificate::{CHANGES, Edit};
use crate::change::Change;
use crate::envelope::{ADDRESS, PEER, RAW, SEQ, UNKNOWN};
use crate::quic_pair::operation::{Fate, Operation as Quic, Shape};
use crate::script::{Operation, Raw, Script};
use crate::tls::operation::Operation as Tls;
use crate::vectors;

pub(super) fn all() -> Vec<Seed> {
    let mut seeds = certificates();
    seeds.extend(sessions());
    seeds.extend(envelopes());
    seeds.extend(connections());
    seeds
}

fn script<O: Operation>(settings: [u8; 4], operations: Vec<O>) -> Vec<u8> {
    Script { settings, operations }.encode()
}

/// An input of these bytes; how many are too many stands in the second setting.
fn raw(mode: u8, bytes: &[u8]) -> Vec<u8> {
    let operations = Raw::all(bytes);
    let without = (4 * operations.len() - bytes.len()) as u8;
    script([mode, without, 0, 0], operations)
}

fn identity() -> TlsIdentity {
    let seed = RandomSeed::from_u64(1);
    TlsIdentity::new(&Identity::ed25519(&seed), &seed).expect("Ed25519 signs")
}

fn certificates() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |name, bytes| seeds.push(Seed { target: "certificate", name, bytes });
    let numbered =
        |number: usize| vectors::hex(&vectors::read(vectors::TLS)[number]["certificate"]);
    let edit = |edits: &[Edit]| edits.iter().map(|edit| Raw(edit.encode())).collect::<Vec<_>>();
    // Good ones are no raw seeds: they would have to be forged.
    add("bytes_of_the_fourth_vector", raw(0, &numbered(3)));
    add("bytes_too_many", script([0, 0, 15, 0], Raw::all(&[0x30; 1_024])));
    add("unchanged", script::<Raw>([1, 0, 0, 0], Vec::new()));
    add("unchanged_and_expired", script::<Raw>([1, 4, 0, 2], Vec::new()));
    let [kind, rest @ ..] = Change::flip(400, 3).encode();
    let [high, low, value] = rest;
    add("a_flipped_bit", script([1, 1, 0, 0], vec![Raw([CHANGES | kind, high, low, value])]));
    // The outermost of what no signature covers is the algorithm.
    let behind = |kind, value| (28..48).map(|at| Edit::new(kind, at, 0, value)).collect::<Vec<_>>();
    add("longer_lengths", script([1, 2, 0, 0], edit(&behind(Edit::LENGTH, 3)[..1])));
    add("indefinite_lengths", script([1, 3, 0, 0], edit(&behind(Edit::LENGTH, 0))));
    add("signed", script::<Raw>([2, 0, 0, 0], Vec::new()));
    add("signed_with_extensions_twice", script([2, 0, 0, 0], edit(&behind(Edit::REPEAT, 0)[..4])));
    let content = Edit::new(Edit::CONTENT, 3, 2, 1);
    add("signed_with_another_algorithm", script([2, 0, 0, 0], edit(&[content])));
    seeds
}

fn sessions() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |name, bytes| seeds.push(Seed { target: "tls", name, bytes });
    let all_at_once = Tls::Exchange { length: 255, times: 255 };
    let in_pieces = Tls::Exchange { length: 97, times: 0 };
    let send = |side| Tls::Send { side, length: 200, times: 1 };
    add(
        "both_ways_and_closed",
        script(
            [0b1100, 3, 6, 0],
            vec![
                in_pieces,
                send(0),
                send(1),
                in_pieces,
                Tls::Release { side: 0 },
                send(0),
                Tls::Close { side: 0 },
                send(1),
                all_at_once,
            ],
        ),
    );
    let much = Tls::Send { side: 1, length: 255, times: 7 };
    add(
        "a_full_wire_and_an_answer",
        script(
            [0, 1, 1, 0],
            vec![
                all_at_once,
                much,
                much,
                send(0),
                Tls::Deliver { side: 1, length: 255, times: 2 },
                send(0),
            ],
        ),
    );
    add("somebody_else_answers", script([0b01_0000, 1, 1, 0], vec![all_at_once]));
    add("somebody_else_dialled", script([0b10_0000, 1, 0, 0], vec![all_at_once, send(0)]));
    add("before_any_certificate", script([0b100_0000, 0, 0, 0], vec![in_pieces]));
    add(
        "a_hello_is_changed",
        script(
            [0, 1, 1, 0],
            vec![
                Tls::Transmit { side: 0 },
                Tls::Change { side: 1, kind: 0, at: 60, value: 2 },
                all_at_once,
            ],
        ),
    );
    add(
        "records_come_again_and_in_another_order",
        script(
            [0, 1, 1, 0],
            vec![
                all_at_once,
                send(0),
                Tls::Swap { side: 1, first: 0, second: 2 },
                Tls::Replay { side: 1, back: 1, behind: false },
                Tls::Deliver { side: 1, length: 255, times: 2 },
                Tls::GiveUp { side: 0 },
            ],
        ),
    );
    add(
        "alerts_and_records_without_data",
        script(
            [0, 0, 0, 0],
            vec![
                all_at_once,
                Tls::SendNothing { side: 0, count: 33 },
                all_at_once,
                Tls::GiveUp { side: 1 },
                Tls::Inject { side: 0, content_type: 21, length: 2 },
                all_at_once,
            ],
        ),
    );
    let config = HandshakeConfig { unix_seconds: crate::certificate::NOW, ..Default::default() };
    let seed = RandomSeed::from_u64(5);
    let mut hello = Vec::new();
    Handshake::new(Role::Dialer, &identity(), &seed, config.clone()).transmit(&mut hello);
    add("bytes_of_a_hello", raw(2, &hello));
    let mut answer = Vec::new();
    let mut listener = Handshake::new(Role::Listener, &identity(), &seed, config);
    listener.handle(&hello).expect("a good hello");
    listener.transmit(&mut answer);
    add("bytes_of_another_answer", raw(2, &answer));
    add("bytes_of_a_record", raw(3, &[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3]));
    seeds
}

/// The same envelope with a shorter encoding of its ECDSA key (SEC 1, section 2.3.3).
fn with_a_compressed_key(identity: &Identity, envelope: &[u8]) -> Vec<u8> {
    let key = identity.public_key().encode_protobuf();
    let rest = &envelope[2 + key.len()..];
    let (head, point) = key.split_at(key.len() - 65);
    let mut head = head.to_vec();
    for length in [3, 5, head.len() - 2] {
        head[length] -= 32;
    }
    let sign = 2 | point[64] & 1;
    let key = [&head[..], &[sign], &point[1..33]].concat();
    [&[0x0a, key.len() as u8], &key[..], rest].concat()
}

fn envelopes() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |name, bytes| seeds.push(Seed { target: "envelope", name, bytes });
    let peer = Identity::ed25519(&RandomSeed::from_u64(1));
    for (name, format) in [
        ("bytes_of_a_peer_record", RecordFormat::PeerRecord),
        ("bytes_of_a_routing_state", RecordFormat::RoutingState),
    ] {
        let record = SignedPeerRecord::sign(&peer, format, 1, Vec::new()).expect("short");
        add(name, raw(0, &record.encode()));
    }
    let ecdsa = &vectors::identities()[2];
    let record = SignedPeerRecord::sign(ecdsa, RecordFormat::PeerRecord, 1, Vec::new());
    let record = with_a_compressed_key(ecdsa, &record.expect("short").encode());
    add("bytes_of_a_record_with_a_compressed_key", raw(0, &record));
    let payload = |settings, parts: &[[u8; 4]]| {
        script(settings, parts.iter().map(|part| Raw(*part)).collect())
    };
    let (peer, seq) = ([PEER, 0, 0, 0], [SEQ, 1, 2, 3]);
    let good = [peer, seq, [ADDRESS, 2, 0, 0], [ADDRESS, 1, 3, 1], [UNKNOWN, 1, 0, 0]];
    add("a_good_record", payload([1, 0, 0, 0], &good));
    add("a_good_record_of_an_ecdsa_key", payload([1, 2, 1, 0], &good));
    add("a_record_in_the_domain_of_the_other", payload([1, 1, 2, 0], &good));
    add("a_record_of_somebody_else", payload([1, 0, 1, 0], &[[PEER, 1, 2, 0], seq]));
    let many = [peer, [ADDRESS, 63, 1, 0], [ADDRESS, 63, 2, 0], [ADDRESS, 3, 0, 0]];
    add("too_many_addresses", payload([1, 0, 0, 0], &many));
    add("an_address_too_long", payload([1, 1, 0, 0], &[peer, [ADDRESS, 1, 9, 131]]));
    add("a_broken_end", payload([1, 0, 0, 0], &[peer, [RAW, 0x1a, 9, 1]]));
    let change = |changes: &[Change]| changes.iter().map(|change| Raw(change.encode())).collect();
    add("a_flipped_bit", script([2, 5, 0, 0], change(&[Change::flip(70, 1)])));
    add("a_field_twice", script([2, 0, 0, 0], change(&[Change::new(6, 0, 37)])));
    seeds
}

fn connections() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |name, bytes| seeds.push(Seed { target: "quic_pair", name, bytes });
    let time = |millis| Quic::Time { millis };
    let open = |side| Quic::Open { side, proposals: 0, count: 1 };
    let write = |side, length| Quic::Write { side, index: 0, length, times: 3 };
    let read = |side| Quic::Read { side, index: 0, length: 255, times: 7 };
    let link = |side, fate, count| Quic::Link { side, fate, count };
    let finish = |side| Quic::Finish { side, index: 0 };
    let accept = |side| Quic::Accept { side };
    let echo = vec![
        time(100),
        open(0),
        write(0, 50),
        finish(0),
        time(100),
        accept(1),
        read(1),
        write(1, 200),
        finish(1),
        time(200),
        read(0),
    ];
    add("an_echo", script([0b100_0000, 0, 0, 0], echo.clone()));
    add("an_echo_after_a_retry", script([3, 0, 0, 0], echo.clone()));
    add("an_echo_in_small_windows", script([0b11_0000, 0, 0, 0], echo.clone()));
    let foul = [
        link(0, Fate::Lost, 1),
        link(0, Fate::Twice(9), 2),
        link(1, Fate::Late(200), 2),
        link(1, Fate::Changed(100), 1),
        link(1, Fate::Cut(130), 1),
        link(0, Fate::Late(7), 9),
    ];
    add("a_bad_link", script([0; 4], [&foul[..], &echo, &foul, &echo].concat()));
    let long = vec![time(100), link(0, Fate::Lost, 200), open(0), write(0, 255), time(60_000)];
    add("a_dead_link", script([0; 4], long));
    add("refused", script([5, 0, 0, 0], vec![time(100)]));
    add("refused_after_a_retry", script([6, 0, 0, 0], vec![time(100)]));
    add("somebody_else_answers", script([0b1000, 0, 0, 0], vec![time(100)]));
    add(
        "several_wait",
        script(
            [7, 0, 0, 0],
            vec![
                time(20),
                Quic::Replay { side: 1, elsewhere: true, back: 0, bit: 0 },
                Quic::Garbage { side: 1, shape: Shape::Initial, elsewhere: true, length: 8 },
                time(9_000),
                Quic::Answer { admission: 3 },
                time(100),
            ],
        ),
    );
    add(
        "garbage_and_copies",
        script(
            [0; 4],
            vec![
                time(100),
                open(0),
                write(0, 90),
                Quic::Garbage { side: 0, shape: Shape::Short, elsewhere: false, length: 100 },
                Quic::Garbage { side: 1, shape: Shape::Version, elsewhere: true, length: 9 },
                Quic::Garbage { side: 0, shape: Shape::Negotiation, elsewhere: false, length: 40 },
                Quic::Replay { side: 1, elsewhere: false, back: 0, bit: 90 },
                Quic::Replay { side: 1, elsewhere: true, back: 1, bit: 0 },
                time(1_000),
            ],
        ),
    );
    add(
        "resets_leases_and_measurements",
        script(
            [0b10_0000, 0, 0, 0],
            vec![
                time(100),
                Quic::Lease { side: 1, choice: 0xe5 },
                Quic::Open { side: 0, proposals: 1, count: 3 },
                write(0, 140),
                open(1),
                write(1, 20),
                time(100),
                accept(0),
                Quic::Reset { side: 0, index: 1, code: 7 },
                Quic::Perf { side: 1, upload: 140, download: 150 },
                time(3_000),
                Quic::Reset { side: 1, index: 0, code: 0 },
            ],
        ),
    );
    let mut end = echo[..5].to_vec();
    add("a_close", script([0; 4], [&end[..], &[Quic::Close { side: 1 }, time(5)]].concat()));
    end.extend([Quic::Forget { side: 1 }, write(0, 9), time(500)]);
    add("a_connection_is_forgotten", script([0; 4], end));
    seeds
}
