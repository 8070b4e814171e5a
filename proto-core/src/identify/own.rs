//! [`OwnInfo`]: what we say of ourselves, as it goes out.

use std::collections::BTreeSet;

use bytes::Bytes;
use multiaddr::{Multiaddr, Protocol};

use super::config::{IdentifyConfig, MAX_OWN_TEXT_BYTES};
use super::message::{MAX_PROTOCOLS, MAX_SENT_BYTES, Message};
use crate::identity::Identity;
use crate::mailbox::Frame;
use crate::protocol::ProtocolId;
use crate::record::{MAX_ADDRESS_BYTES, MAX_ADDRESSES, RecordFormat, SignedPeerRecord};
use crate::time::Timestamp;

/// What is kept free in every message for the address of the remote, in bytes. A longer one is
/// sent if there is room.
const OBSERVED_ADDRESS_BYTES: usize = 128;

/// What we say of ourselves. What differs from reader to reader is the head of a frame; the body
/// is encoded and signed once for all of them.
pub(super) struct OwnInfo {
    identity: Identity,
    protocol_version: String,
    agent: String,
    addresses: Vec<Multiaddr>,
    protocols: Vec<ProtocolId>,
    unix_time: Option<UnixTime>,
    /// The last record that was signed. Its sequence number is the highest so far.
    record: Option<SignedPeerRecord>,
    body: Option<Bytes>,
    version: u64,
}

/// What time it was at a moment of the driver's clock.
struct UnixTime {
    at: Timestamp,
    seconds: u64,
}

impl OwnInfo {
    pub(super) fn new(config: &IdentifyConfig, identity: Identity) -> Self {
        OwnInfo {
            identity,
            protocol_version: cut(&config.protocol_version),
            agent: cut(&config.agent),
            addresses: Vec::new(),
            protocols: Vec::new(),
            unix_time: None,
            record: None,
            body: None,
            version: 0,
        }
    }

    /// Counts the changes of what we say.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Takes other addresses: of those that a record may have the first [`MAX_ADDRESSES`], each
    /// once. Whether anything changed.
    pub(super) fn set_addresses(&mut self, addresses: Vec<Multiaddr>) -> bool {
        let usable = |address: &Multiaddr| (1..=MAX_ADDRESS_BYTES).contains(&address.len());
        let addresses = first_of_each(addresses.into_iter().filter(usable), MAX_ADDRESSES);
        let changed = addresses != self.addresses;
        self.addresses = addresses;
        self.changed_if(changed)
    }

    /// Takes other protocols: the first [`MAX_PROTOCOLS`], each once. Whether anything changed.
    pub(super) fn set_protocols(&mut self, protocols: Vec<ProtocolId>) -> bool {
        let protocols = first_of_each(protocols.into_iter(), MAX_PROTOCOLS);
        let changed = protocols != self.protocols;
        self.protocols = protocols;
        self.changed_if(changed)
    }

    /// Learns what time it is. Whether what we say changed: it is signed from the first time on.
    pub(super) fn set_unix_time(&mut self, now: Timestamp, seconds: u64) -> bool {
        let first = self.unix_time.is_none();
        self.unix_time = Some(UnixTime { at: now, seconds });
        self.changed_if(first)
    }

    fn changed_if(&mut self, changed: bool) -> bool {
        if changed {
            self.body = None;
            self.version = self.version.saturating_add(1);
        }
        changed
    }

    /// The frame for a reader whose address is `remote`: at most [`MAX_SENT_BYTES`].
    pub(super) fn frame(&mut self, now: Timestamp, remote: &Multiaddr) -> Frame {
        let body = match self.body.take() {
            Some(body) => body,
            None => Bytes::from(self.build(now).encode()),
        };
        self.body = Some(body.clone());
        let observed = Message { observed_address: Some(remote.clone()), ..Message::default() };
        let mut head = observed.encode();
        if head.len().saturating_add(body.len()) > MAX_SENT_BYTES {
            head.clear();
        }
        Frame { head: head.into(), body }
    }

    /// What fits: all protocols before any address, and of the addresses as many from the front
    /// as go in twice, unsigned for those who do not read our record and in the record. Only a
    /// node whose protocols alone do not fit says less of them.
    fn build(&mut self, now: Timestamp) -> Message {
        let bare = Message {
            protocol_version: Some(self.protocol_version.clone()),
            agent: Some(self.agent.clone()),
            public_key: Some(self.identity.public_key().clone()),
            ..Message::default()
        };
        let with_protocols = most(self.protocols.len(), |count| {
            let protocols = self.protocols[..count].to_vec();
            fitting(Message { protocols, ..bare.clone() })
        })
        .unwrap_or(bare);
        let whole = most(self.addresses.len(), |count| {
            let addresses = self.addresses[..count].to_vec();
            let record = self.record_of(now, &addresses);
            let signed_record = record.as_ref().map(|record| Bytes::from(record.encode()));
            let message = Message { addresses, signed_record, ..with_protocols.clone() };
            Some((fitting(message)?, record))
        });
        let Some((message, record)) = whole else { return with_protocols };
        self.record = record.or_else(|| self.record.take());
        message
    }

    /// A record of `addresses`: the last one, if it has the same, or a newer one. None before the
    /// time is known, if the key cannot sign, if there are addresses but none of them fits (an empty
    /// record would say that there are none), and if there never were any: nobody has a record that
    /// an empty one would replace, and signing and verifying it costs both sides.
    fn record_of(&self, now: Timestamp, addresses: &[Multiaddr]) -> Option<SignedPeerRecord> {
        if addresses.is_empty() && (!self.addresses.is_empty() || self.record.is_none()) {
            return None;
        }
        if let Some(last) = &self.record
            && last.record().addresses == addresses
        {
            return Some(last.clone());
        }
        let seq = self.next_seq(now)?;
        // go-libp2p and js-libp2p read this format; rust-libp2p takes the unsigned addresses.
        let format = RecordFormat::PeerRecord;
        SignedPeerRecord::sign(&self.identity, format, seq, addresses.to_vec()).ok()
    }

    /// Unix time in nanoseconds, as go-libp2p counts, or one more than the last if that is higher.
    fn next_seq(&self, now: Timestamp) -> Option<u64> {
        let UnixTime { at, seconds } = self.unix_time.as_ref()?;
        let elapsed = now.saturating_since(*at);
        let start = Timestamp::from_secs(*seconds);
        let last = self.record.as_ref().map_or(0, |record| record.record().seq);
        Some(start.saturating_add(elapsed).0.max(last.checked_add(1)?))
    }
}

/// The address of a remote without the peer id behind it, which it knows itself.
pub(super) fn observed(mut address: Multiaddr) -> Multiaddr {
    if let Some(Protocol::P2p(_)) = address.iter().last() {
        address.pop();
    }
    address
}

/// `text`, cut between two characters.
fn cut(text: &str) -> String {
    let mut length = text.len().min(MAX_OWN_TEXT_BYTES);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    text[..length].to_owned()
}

fn first_of_each<T: Clone + Ord>(values: impl Iterator<Item = T>, max: usize) -> Vec<T> {
    let mut seen = BTreeSet::new();
    values.filter(|value| seen.insert(value.clone())).take(max).collect()
}

fn fitting(message: Message) -> Option<Message> {
    (message.encoded_len() <= MAX_SENT_BYTES - OBSERVED_ADDRESS_BYTES).then_some(message)
}

/// What `attempt` makes of the highest count up to `max` that it makes anything of. Whoever fits
/// with a count must fit with every lower one; so the first attempt is nearly always the last, and
/// there are few others.
fn most<T>(max: usize, attempt: impl Fn(usize) -> Option<T>) -> Option<T> {
    let mut best = attempt(max);
    if best.is_some() {
        return best;
    }
    let (mut low, mut high) = (0, max);
    while low < high {
        let middle = low + (high - low) / 2;
        match attempt(middle) {
            Some(made) => {
                best = Some(made);
                low = middle + 1;
            }
            None => high = middle,
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(10);

    fn own() -> OwnInfo {
        OwnInfo::new(&IdentifyConfig::default(), Identity::ed25519(&Seed::from_u64(1)))
    }

    fn tcp(port: u16) -> Multiaddr {
        Multiaddr::from(Protocol::Tcp(port))
    }

    fn said(own: &mut OwnInfo, now: Timestamp) -> Message {
        let frame = own.frame(now, &tcp(9));
        assert!(frame.len() <= MAX_SENT_BYTES);
        Message::decode(&[[frame.head, frame.body].concat().into()]).unwrap()
    }

    fn record(message: &Message) -> SignedPeerRecord {
        SignedPeerRecord::decode(message.signed_record.as_ref().unwrap()).unwrap()
    }

    #[test]
    fn the_message_says_who_we_are_and_where_the_reader_is() {
        let mut own = own();
        assert!(own.set_addresses(vec![tcp(1), tcp(2), tcp(1), Multiaddr::empty()]));
        assert!(own.set_protocols(vec![ProtocolId::new("/a").unwrap()]));
        let message = said(&mut own, NOW);
        assert_eq!(message.observed_address, Some(tcp(9)));
        assert_eq!(message.public_key.as_ref(), Some(own.identity.public_key()));
        assert_eq!(message.addresses, [tcp(1), tcp(2)]);
        assert_eq!(message.protocols, [ProtocolId::new("/a").unwrap()]);
        assert_eq!(message.signed_record, None);
    }

    #[test]
    fn a_record_is_signed_once_the_time_is_known_and_again_when_addresses_change() {
        let mut own = own();
        own.set_addresses(vec![tcp(1)]);
        assert!(own.set_unix_time(NOW, 1_000));
        let first = record(&said(&mut own, Timestamp::from_secs(12)));
        assert_eq!(first.format(), RecordFormat::PeerRecord);
        assert_eq!(first.record().seq, 1_002_000_000_000);
        assert_eq!(first.record().addresses, [tcp(1)]);

        own.set_protocols(vec![ProtocolId::new("/a").unwrap()]);
        assert_eq!(record(&said(&mut own, Timestamp::from_secs(13))), first);

        // The clock was set back.
        assert!(!own.set_unix_time(Timestamp::from_secs(14), 5));
        own.set_addresses(vec![]);
        let second = record(&said(&mut own, Timestamp::from_secs(14)));
        assert_eq!(second.record().seq, first.record().seq + 1);
        assert_eq!(second.record().addresses, []);
    }

    #[test]
    fn a_node_that_never_had_an_address_signs_no_record() {
        let mut own = own();
        own.set_unix_time(NOW, 1_000);
        assert_eq!(said(&mut own, NOW).signed_record, None);
        own.set_addresses(vec![tcp(1)]);
        assert_eq!(record(&said(&mut own, NOW)).record().addresses, [tcp(1)]);
    }

    #[test]
    fn at_the_end_of_time_no_further_record_is_signed() {
        let mut own = own();
        own.set_unix_time(NOW, u64::MAX);
        own.set_addresses(vec![tcp(2)]);
        assert_eq!(record(&said(&mut own, NOW)).record().seq, u64::MAX);
        own.set_addresses(vec![tcp(1)]);
        let message = said(&mut own, NOW);
        assert_eq!((message.signed_record, message.addresses), (None, vec![tcp(1)]));
    }

    #[test]
    fn what_is_the_same_is_no_change() {
        let mut own = own();
        assert!(own.set_addresses(vec![tcp(1)]));
        let version = own.version();
        assert!(!own.set_addresses(vec![tcp(1), tcp(1)]));
        assert!(!own.set_protocols(vec![]));
        assert_eq!(own.version(), version);
    }

    #[test]
    fn the_tail_of_the_addresses_makes_room_for_the_protocols() {
        let mut own = own();
        own.set_unix_time(NOW, 1_000);
        let protocols: Vec<ProtocolId> =
            (0..60).map(|n| ProtocolId::new(&format!("/protocol/{n}/1.0.0")).unwrap()).collect();
        own.set_protocols(protocols.clone());
        let long = |n| Multiaddr::from(Protocol::Dns(format!("{n}.{}", "x".repeat(60)).into()));
        let addresses: Vec<Multiaddr> = (0..MAX_ADDRESSES).map(long).collect();
        own.set_addresses(addresses.clone());
        let message = said(&mut own, NOW);
        assert_eq!(message.protocols, protocols);
        assert!((10..40).contains(&message.addresses.len()), "{}", message.addresses.len());
        assert!(addresses.starts_with(&message.addresses));
        assert_eq!(record(&message).record().addresses, message.addresses);
        assert_eq!(message.observed_address, Some(tcp(9)));
    }

    #[test]
    fn protocols_that_do_not_fit_alone_lose_their_tail_and_no_empty_record_is_sent() {
        let mut own = own();
        own.set_unix_time(NOW, 1_000);
        own.set_addresses(vec![tcp(1)]);
        let id = |n| ProtocolId::new(&format!("/{n}/{}", "x".repeat(990))).unwrap();
        own.set_protocols((0..9).map(id).collect());
        let message = said(&mut own, NOW);
        assert_eq!(message.protocols, (0..3).map(id).collect::<Vec<_>>());
        let filler = ProtocolId::new(&"y".repeat(800)).unwrap();
        own.set_protocols((0..3).map(id).chain([filler]).collect());
        let message = said(&mut own, NOW);
        assert_eq!((message.protocols.len(), message.addresses.len()), (4, 0));
        assert_eq!(message.signed_record, None);
    }

    #[test]
    fn own_texts_are_cut_between_characters() {
        let config = IdentifyConfig {
            agent: format!("{}é", "x".repeat(MAX_OWN_TEXT_BYTES - 1)),
            ..IdentifyConfig::default()
        };
        let own = OwnInfo::new(&config, Identity::ed25519(&Seed::from_u64(1)));
        assert_eq!(own.agent, "x".repeat(MAX_OWN_TEXT_BYTES - 1));
    }

    #[test]
    fn a_remote_is_not_told_its_own_peer_id() {
        let peer = Identity::ed25519(&Seed::from_u64(2)).peer_id();
        assert_eq!(observed(tcp(9).with(Protocol::P2p(peer))), tcp(9));
        assert_eq!(observed(tcp(9)), tcp(9));
    }

    #[test]
    fn an_observed_address_that_does_not_fit_is_left_out() {
        let mut own = own();
        own.set_protocols(vec![ProtocolId::new(&"x".repeat(900)).unwrap(); 1]);
        let more = (0..3).map(|n| ProtocolId::new(&format!("{n}{}", "x".repeat(900))).unwrap());
        own.set_protocols(more.chain([ProtocolId::new(&"y".repeat(1_000)).unwrap()]).collect());
        let long = Multiaddr::from(Protocol::Dns("x".repeat(500).into()));
        let frame = own.frame(NOW, &long);
        assert!(frame.head.is_empty());
        assert!(!own.frame(NOW, &tcp(9)).head.is_empty());
    }

    proptest! {
        #[test]
        fn every_message_fits_and_has_heads_of_both_lists(
            ids in prop::collection::btree_set("[a-z]{1,200}", 0..60),
            names in prop::collection::btree_set("[a-z]{1,200}", 0..60),
            seconds in prop::option::of(any::<u64>()),
        ) {
            let mut own = own();
            let ids: Vec<ProtocolId> =
                ids.iter().map(|id| ProtocolId::new(id).unwrap()).collect();
            let names: Vec<Multiaddr> = names
                .into_iter()
                .map(|name| Multiaddr::from(Protocol::Dns(name.into())))
                .collect();
            own.set_protocols(ids.clone());
            own.set_addresses(names.clone());
            if let Some(seconds) = seconds {
                own.set_unix_time(NOW, seconds);
            }
            let message = said(&mut own, NOW);
            prop_assert!(ids.starts_with(&message.protocols));
            prop_assert!(names.starts_with(&message.addresses));
            if ids.iter().map(|id| id.as_str().len() + 3).sum::<usize>() < 3_500 {
                prop_assert_eq!(&message.protocols, &ids);
            }
            if message.signed_record.is_some() {
                let record = record(&message);
                prop_assert_eq!(&record.record().addresses, &message.addresses);
            }
        }
    }
}
