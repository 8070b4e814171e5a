//! Messages that peers send, good and bad ones, made once.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use sanspeer_core::gossip::{
    Author, MessageFields, MessageId, SignatureCheck, SignaturePolicy, Topic, WireMessage,
};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::rng::Seed;

/// Peers around the machine.
pub const PEERS: usize = 8;

/// Topics; the machine may be in three of the first four.
pub const TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "a topic of a longer name"];

/// Authors of messages: the first peers, and last the machine itself.
const AUTHORS: u8 = 4;

/// One message.
#[derive(Clone, Debug)]
pub struct Sample {
    pub message: WireMessage,
    /// Whether its policy has nothing against it, its signature included.
    pub valid: bool,
}

static PEOPLE: LazyLock<Vec<Identity>> = LazyLock::new(|| {
    (0..=PEERS).map(|number| Identity::ed25519(&Seed::from_u64(number as u64))).collect()
});

static NAMES: LazyLock<Vec<Topic>> =
    LazyLock::new(|| TOPICS.iter().map(|name| Topic::new(name).expect("a topic")).collect());

type Made = BTreeMap<(SignaturePolicy, [u8; 4]), Sample>;

static MADE: LazyLock<Mutex<Made>> = LazyLock::new(Default::default);

/// The machine's own identity.
pub fn own_identity() -> Identity {
    PEOPLE[PEERS].clone()
}

pub fn peer(number: usize) -> PeerId {
    PEOPLE[number].peer_id()
}

pub fn number_of(peer: &PeerId) -> Option<usize> {
    PEOPLE.iter().position(|identity| identity.peer_id() == *peer).filter(|at| *at < PEERS)
}

pub fn topic(number: u8) -> Topic {
    NAMES[usize::from(number) % NAMES.len()].clone()
}

/// An id that no message has.
pub fn unknown_id(number: u8) -> MessageId {
    MessageId::new(&[b'?', number]).expect("two bytes")
}

/// The message for these bytes: author and number, topic and kind.
pub fn sample(policy: SignaturePolicy, b: u8, c: u8) -> Sample {
    let (author, number) = (b % (AUTHORS + 1), b / (AUTHORS + 1) % 8);
    let (of, kind) = (c % 4, c / 4 % 8);
    let key = (policy, [author, number, of, kind]);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry(key).or_insert_with(|| make(policy, key.1)).clone()
}

/// Whether a message that came is one that may go on.
pub fn is_valid(policy: SignaturePolicy, message: &WireMessage) -> bool {
    let signed = || SignatureCheck::of(message).is_ok_and(|check| check.verify().is_ok());
    policy.check_fields(message).is_ok() && (!policy.signs() || signed())
}

fn make(policy: SignaturePolicy, [author, number, of, kind]: [u8; 4]) -> Sample {
    let identity = match author {
        AUTHORS => own_identity(),
        author => PEOPLE[usize::from(author)].clone(),
    };
    let mut data = vec![number, of];
    match kind {
        2 => data.resize(2_000, number),
        3 => data.push(1),
        _ => {}
    }
    let write = |policy| {
        Author::new(identity.clone(), u64::from(number))
            .message(policy, topic(of), data.clone())
            .expect("ed25519 signs")
    };
    let message = match kind {
        4 => forged(&write(policy)),
        // What the policy does not want.
        5 if policy.signs() => write(SignaturePolicy::StrictNoSign),
        5 => write(SignaturePolicy::StrictSign),
        6 => {
            let mut fields = MessageFields::new(topic(of), data.clone());
            fields.from = Some(identity.peer_id().to_bytes().into());
            fields.seqno = Some(Bytes::from(vec![number; 9]));
            fields.encode()
        }
        7 => with_an_unknown_field(&write(policy)),
        _ => write(policy),
    };
    Sample { valid: is_valid(policy, &message), message }
}

/// The same, but for one bit of what it says.
fn forged(message: &WireMessage) -> WireMessage {
    let mut bytes = message.encoded.to_vec();
    let at = bytes.windows(message.data.len()).rposition(|part| part == message.data);
    bytes[at.expect("the data is in it")] ^= 128;
    WireMessage::decode(&bytes.into()).expect("a well-formed message")
}

/// Signed without it, so that it is forged where signatures count and valid elsewhere.
fn with_an_unknown_field(message: &WireMessage) -> WireMessage {
    let bytes = [&message.encoded[..], &[0x7a, 1, 7]].concat();
    WireMessage::decode(&bytes.into()).expect("a well-formed message")
}
