//! What peers say: parts of RPCs as bytes, put together by hand, since parts that stand one after
//! the other are one RPC.

use sanspeer_core::gossip::{
    Control, Extensions, IHave, MessageId, Outgoing, PeerInfo, Prune, SendLimits, Topic,
    publish_frame,
};
use sanspeer_core::mailbox::Frame;

use super::samples::{self, PEERS};
use super::step::Part;
use sanspeer_core::gossip::GossipConfig;

/// Back-offs that peers ask for.
const BACKOFFS: [Option<u64>; 8] = [
    None,
    Some(0),
    Some(1),
    Some(60),
    Some(3_600),
    Some(1 << 32),
    Some(u64::MAX / 1_000_000_000),
    Some(u64::MAX),
];

/// The bytes of a part. `known` are ids of messages that there were.
pub fn encode(config: &GossipConfig, known: &[MessageId], part: Part) -> Vec<u8> {
    let topic = |number: u8| -> Topic { samples::topic(number) };
    let control = |control| outgoing(Outgoing { control, ..Outgoing::default() });
    let subscription = |subscribe, number| {
        let subscriptions = vec![(subscribe, topic(number))];
        outgoing(Outgoing { subscriptions, ..Outgoing::default() })
    };
    match part {
        Part::Subscribe { topic } => subscription(true, topic),
        Part::Unsubscribe { topic } => subscription(false, topic),
        Part::Graft { topic: of } => {
            control(Control { graft: vec![topic(of)], ..Control::default() })
        }
        Part::Prune { topic: of, how } => {
            let named = (0..how / 8 % 8).map(|nth| PeerInfo {
                peer: samples::peer((usize::from(nth) + usize::from(how)) % PEERS),
                signed_record: (nth == 3).then(|| vec![nth; 100].into()),
            });
            let backoff_secs = BACKOFFS[usize::from(how) % BACKOFFS.len()];
            let prune = Prune { topic: topic(of), peers: named.collect(), backoff_secs };
            control(Control { prune: vec![prune], ..Control::default() })
        }
        Part::IHave { topic: of, ids: which } => {
            let ihave = vec![IHave { topic: topic(of), ids: ids(config, known, which) }];
            control(Control { ihave, ..Control::default() })
        }
        Part::IWant { ids: which } => {
            control(Control { iwant: ids(config, known, which), ..Control::default() })
        }
        Part::DontWant { ids: which } => {
            control(Control { idontwant: ids(config, known, which), ..Control::default() })
        }
        Part::Message { b, c } => {
            joined(&publish_frame(&samples::sample(config.signatures, b, c).message))
        }
        Part::Garbage { b, c } => vec![b, c, b ^ c],
        Part::Extensions => {
            let extensions = Some(Extensions { test: true });
            control(Control { extensions, ..Control::default() })
        }
    }
}

/// Some ids: of messages that there were, of those that may come, and of nothing.
fn ids(config: &GossipConfig, known: &[MessageId], which: u8) -> Vec<MessageId> {
    let (first, count) = (which / 8, 1 + which % 8);
    let id = |number: u8| match number % 3 {
        0 => samples::unknown_id(number),
        1 => (config.message_id)(&samples::sample(config.signatures, number, number).message),
        _ => match known.len() {
            0 => samples::unknown_id(number),
            len => known[usize::from(number) % len].clone(),
        },
    };
    (first..first + count).map(id).collect()
}

fn outgoing(said: Outgoing) -> Vec<u8> {
    said.frames(&SendLimits::default()).iter().flat_map(joined).collect()
}

/// A frame in one piece.
pub fn joined(frame: &Frame) -> Vec<u8> {
    [&frame.head[..], &frame.body[..]].concat()
}
