//! The invariants of gossip: one machine under arbitrary sequences of inputs, compared with a plain
//! ledger of what went in and came out after every step.

mod model;

use model::{Step, meeting};
use proptest::prelude::*;
use sanspeer_core::gossip::{GossipEvent, Rpc, RpcLimits};
use sanspeer_core::node::ProtocolOutput;
use sanspeer_core::rng::Seed;

/// Steps, behind those that bring some peers into the first topics, so that much of what comes then
/// means something.
fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let beginning = (0..=8u8, any::<u8>(), any::<u8>());
    let rest = proptest::collection::vec(any::<[u8; 4]>(), 0..max);
    (beginning, rest).prop_map(|((peers, roles, version), rest)| {
        let mut steps = meeting(peers, roles, version);
        steps.extend(rest.into_iter().map(Step::decode));
        steps
    })
}

proptest! {
    #[test]
    fn every_invariant_holds_at_every_step(settings in any::<[u8; 4]>(), steps in steps(250)) {
        model::run(settings, &steps);
    }

    #[test]
    fn two_runs_with_one_seed_give_equal_outputs(
        settings in any::<[u8; 4]>(),
        steps in steps(100),
    ) {
        model::run_twice(settings, &steps);
    }
}

/// What there was in some runs.
#[derive(Debug, Default)]
struct Seen {
    frames: [usize; 7],
    messages: usize,
    grafted: usize,
    pruned: usize,
    slow: usize,
    verifications: usize,
    dials: usize,
    penalties: usize,
}

impl Seen {
    fn add(&mut self, log: &model::Log) {
        for event in &log.events {
            match event {
                GossipEvent::Message { .. } => self.messages += 1,
                GossipEvent::Grafted { .. } => self.grafted += 1,
                GossipEvent::Pruned { .. } => self.pruned += 1,
                GossipEvent::SlowPeer { .. } => self.slow += 1,
                GossipEvent::Subscribed { .. }
                | GossipEvent::Unsubscribed { .. }
                | GossipEvent::PeerSpeaks { .. }
                | GossipEvent::NotSupported { .. } => {}
            }
        }
        for (_, output) in &log.outputs {
            match output {
                ProtocolOutput::Send { frame, .. } if frame.head.is_empty() => {
                    let rpc = Rpc::decode(&frame.body, &RpcLimits::default()).expect("ours");
                    let control = &rpc.control;
                    let parts = [
                        rpc.subscriptions.len(),
                        control.graft.len(),
                        control.prune.len(),
                        control.ihave.len(),
                        control.iwant.len(),
                        control.idontwant.len(),
                    ];
                    parts.iter().zip(&mut self.frames).for_each(|(part, all)| *all += part);
                }
                ProtocolOutput::Send { .. } => self.frames[6] += 1,
                ProtocolOutput::Verify { .. } => self.verifications += 1,
                ProtocolOutput::Dial { .. } => self.dials += 1,
                ProtocolOutput::Penalty { .. } => self.penalties += 1,
                ProtocolOutput::Open { .. }
                | ProtocolOutput::Finish(_)
                | ProtocolOutput::Reset { .. }
                | ProtocolOutput::Close { .. }
                | ProtocolOutput::Protect { .. }
                | ProtocolOutput::Reply { .. }
                | ProtocolOutput::Event(_) => {}
            }
        }
    }
}

#[test]
fn the_steps_reach_all_that_is_checked() {
    let mut seen = Seen::default();
    let mut rng = Seed::from_u64(1).rng();
    for _ in 0..300 {
        let settings = rng.next_u64().to_le_bytes();
        let [kind, clock, mesh, caps, peers, roles, version, _] = settings;
        let mut steps = meeting(peers % 9, roles, version);
        for _ in 0..125 {
            let [a, b, c, d, e, f, g, h] = rng.next_u64().to_le_bytes();
            steps.extend([[a, b, c, d], [e, f, g, h]].map(Step::decode));
        }
        seen.add(&model::run([kind, clock, mesh, caps], &steps));
    }
    let Seen { frames, messages, grafted, pruned, slow, verifications, dials, penalties } = seen;
    let counts = [messages, grafted, pruned, slow, verifications, dials, penalties];
    assert!(frames.iter().chain(&counts).all(|count| *count > 0), "{frames:?} {counts:?}");
}

#[test]
fn steps_decode_to_what_was_encoded() {
    for kind in 0..=255 {
        let encoded = Step::decode([kind, 0x53, 0xa1, 7]).encode();
        assert_eq!(Step::decode(encoded).encode(), encoded);
    }
}
