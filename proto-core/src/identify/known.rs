//! [`Known`]: what a connected peer said of itself, put together from its messages.

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use super::info::PeerInfo;
use super::interner::Interner;
use super::message::Message;
use crate::record::{OpenError, PeerRecordError, SignedPeerRecord};

/// What a connected peer said of itself. As large as [`Message`] may make it.
#[derive(Default)]
pub(super) struct Known {
    info: Option<PeerInfo>,
    /// The sequence number of the newest record.
    latest_seq: Option<u64>,
}

/// How much a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that there is to say: an answer.
    Whole,
    /// What is in it replaces what was; the rest stays: a push.
    Part,
}

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Learned {
    /// Whether anything but the observed address is new.
    pub(super) changed: bool,
    /// What was wrong with the record. The rest of the message holds all the same.
    pub(super) record_fault: Option<PeerRecordError>,
}

/// The key in a message is not the one of the peer at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WrongKey;

impl Known {
    pub(super) fn info(&self) -> Option<&PeerInfo> {
        self.info.as_ref()
    }

    pub(super) fn record_seq(&self) -> Option<u64> {
        self.latest_seq
    }

    /// Takes a message that came from `peer`. One with another key says nothing at all.
    ///
    /// Addresses of a record win. Once there was one, only a newer one replaces them: otherwise
    /// the next message without a record would take their signature from them.
    pub(super) fn learn(
        &mut self,
        peer: PeerId,
        message: Message,
        scope: Scope,
        interner: &mut Interner,
    ) -> Result<Learned, WrongKey> {
        if message.public_key.is_some_and(|key| key.to_peer_id() != peer) {
            return Err(WrongKey);
        }
        let mut info = self.info.clone().unwrap_or_default();
        let whole = scope == Scope::Whole;
        if whole || message.protocol_version.is_some() {
            info.protocol_version = message.protocol_version.unwrap_or_default();
        }
        if whole || message.agent.is_some() {
            info.agent = message.agent.unwrap_or_default();
        }
        if whole || !message.protocols.is_empty() {
            let ids = message.protocols.into_iter();
            info.protocols = ids.map(|id| interner.intern(id)).collect();
            info.protocols.shrink_to_fit();
        }
        if whole || message.observed_address.is_some() {
            info.observed_address = message.observed_address;
        }
        let mut record_fault = None;
        match message.signed_record.map(|envelope| self.accept_record(peer, &envelope)) {
            Some(Ok(record)) => {
                info.addresses = listen_addresses(peer, record.record().addresses.clone());
                info.signed = true;
            }
            Some(Err(fault)) => record_fault = Some(fault),
            None => {}
        }
        if !info.signed && (whole || !message.addresses.is_empty()) {
            info.addresses = listen_addresses(peer, message.addresses);
        }
        let changed = self.info.as_ref().is_none_or(|before| differ(before, &info));
        self.info = Some(info);
        Ok(Learned { changed, record_fault })
    }

    fn accept_record(
        &mut self,
        peer: PeerId,
        envelope: &[u8],
    ) -> Result<SignedPeerRecord, PeerRecordError> {
        let record = SignedPeerRecord::decode(envelope)?;
        record.verify_for(peer)?;
        if let Some(latest) = self.latest_seq {
            record.verify_newer_than(latest)?;
        }
        self.latest_seq = Some(record.record().seq);
        Ok(record)
    }
}

/// Whether whoever sent a record with this fault is to blame. A record of an unknown kind may be
/// genuine, one that came before is what an unchanged peer sends, and one that is larger than ours
/// may be is no lie.
pub(super) fn is_misbehaviour(fault: &PeerRecordError) -> bool {
    match fault {
        PeerRecordError::Envelope(_)
        | PeerRecordError::Open(OpenError::Signature)
        | PeerRecordError::Malformed
        | PeerRecordError::PeerId
        | PeerRecordError::WrongSigner { .. }
        | PeerRecordError::WrongPeer { .. } => true,
        PeerRecordError::Open(OpenError::PayloadType)
        | PeerRecordError::TooManyAddresses(_)
        | PeerRecordError::AddressTooLong(_)
        | PeerRecordError::NotNewer { .. } => false,
    }
}

/// Whether there is something new, the observed address aside: that differs from connection to
/// connection.
fn differ(before: &PeerInfo, after: &PeerInfo) -> bool {
    let PeerInfo { protocol_version, agent, protocols, addresses, signed, observed_address: _ } =
        before;
    *protocol_version != after.protocol_version
        || *agent != after.agent
        || *protocols != after.protocols
        || *addresses != after.addresses
        || *signed != after.signed
}

/// The addresses without the peer id behind them, each once, and without those of other peers.
fn listen_addresses(peer: PeerId, addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let mut own: Vec<Multiaddr> = Vec::new();
    for mut address in addresses {
        if let Some(Protocol::P2p(id)) = address.iter().last() {
            if id != peer {
                continue;
            }
            address.pop();
        }
        if !address.is_empty() && !own.contains(&address) {
            own.push(address);
        }
    }
    own.shrink_to_fit();
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::protocol::ProtocolId;
    use crate::record::RecordFormat;
    use crate::rng::Seed;

    fn identity(number: u64) -> Identity {
        Identity::ed25519(&Seed::from_u64(number))
    }

    fn tcp(port: u16) -> Multiaddr {
        Multiaddr::from(Protocol::Tcp(port))
    }

    /// A message with a record of `signer` with one address, and the unsigned address 1.
    fn signed(signer: u64, format: RecordFormat, seq: u64, port: u16) -> Message {
        let record =
            SignedPeerRecord::sign(&identity(signer), format, seq, vec![tcp(port)]).unwrap();
        Message {
            addresses: vec![tcp(1)],
            signed_record: Some(record.encode().into()),
            ..Message::default()
        }
    }

    fn learn(known: &mut Known, message: Message, scope: Scope) -> Learned {
        known.learn(identity(1).peer_id(), message, scope, &mut Interner::default()).unwrap()
    }

    fn addresses(known: &Known) -> (&[Multiaddr], bool) {
        let info = known.info().unwrap();
        (&info.addresses, info.signed)
    }

    const FORMAT: RecordFormat = RecordFormat::PeerRecord;

    #[test]
    fn the_addresses_of_a_record_win_in_both_formats() {
        for format in [FORMAT, RecordFormat::RoutingState] {
            let mut known = Known::default();
            let learned = learn(&mut known, signed(1, format, 5, 2), Scope::Whole);
            assert_eq!(learned, Learned { changed: true, record_fault: None });
            assert_eq!(addresses(&known), (&[tcp(2)][..], true));
        }
    }

    #[test]
    fn an_older_or_equal_record_changes_nothing_and_is_no_misbehaviour() {
        let mut known = Known::default();
        learn(&mut known, signed(1, FORMAT, 5, 2), Scope::Whole);
        for seq in [5, 4] {
            let learned = learn(&mut known, signed(1, FORMAT, seq, 3), Scope::Whole);
            assert!(!learned.changed);
            assert!(!is_misbehaviour(&learned.record_fault.unwrap()));
            assert_eq!(addresses(&known), (&[tcp(2)][..], true));
        }
        let unsigned = Message { addresses: vec![tcp(4)], ..Message::default() };
        learn(&mut known, unsigned, Scope::Whole);
        assert_eq!(addresses(&known), (&[tcp(2)][..], true));
        learn(&mut known, signed(1, FORMAT, 6, 3), Scope::Part);
        assert_eq!(addresses(&known), (&[tcp(3)][..], true));
    }

    #[test]
    fn cve_2023_40583_a_record_of_another_peer_is_misbehaviour_and_its_addresses_are_not_kept() {
        let mut known = Known::default();
        let learned = learn(&mut known, signed(2, FORMAT, 5, 2), Scope::Whole);
        let fault = learned.record_fault.unwrap();
        assert!(matches!(fault, PeerRecordError::WrongPeer { .. }) && is_misbehaviour(&fault));
        assert_eq!(addresses(&known), (&[tcp(1)][..], false));
    }

    #[test]
    fn rustsec_2022_0009_a_record_that_its_peer_did_not_sign_is_misbehaviour() {
        let mut message = signed(1, FORMAT, 5, 2);
        let mut envelope = message.signed_record.unwrap().to_vec();
        *envelope.last_mut().unwrap() ^= 1;
        message.signed_record = Some(envelope.into());
        let mut known = Known::default();
        let fault = learn(&mut known, message, Scope::Whole).record_fault.unwrap();
        assert_eq!(fault, PeerRecordError::Open(OpenError::Signature));
        assert!(is_misbehaviour(&fault));
        assert_eq!(addresses(&known), (&[tcp(1)][..], false));
        // It did not use up its sequence number.
        learn(&mut known, signed(1, FORMAT, 5, 2), Scope::Whole);
        assert_eq!(addresses(&known), (&[tcp(2)][..], true));
    }

    #[test]
    fn a_message_with_the_key_of_somebody_else_says_nothing() {
        let mut known = Known::default();
        let message = Message {
            public_key: Some(identity(2).public_key().clone()),
            agent: Some("somebody".into()),
            ..Message::default()
        };
        let peer = identity(1).peer_id();
        let learned = known.learn(peer, message, Scope::Whole, &mut Interner::default());
        assert_eq!(learned, Err(WrongKey));
        assert_eq!(known.info(), None);
    }

    #[test]
    fn a_push_replaces_what_is_in_it_and_an_answer_everything() {
        let id = |text| ProtocolId::new(text).unwrap();
        let whole = Message {
            protocol_version: Some("v".into()),
            agent: Some("a/1".into()),
            protocols: vec![id("/a"), id("/b")],
            addresses: vec![tcp(1)],
            observed_address: Some(tcp(9)),
            ..Message::default()
        };
        let mut known = Known::default();
        learn(&mut known, whole.clone(), Scope::Whole);
        let part =
            Message { agent: Some("a/2".into()), protocols: vec![id("/c")], ..Message::default() };
        assert!(learn(&mut known, part.clone(), Scope::Part).changed);
        let info = known.info().unwrap();
        assert_eq!((info.protocol_version.as_str(), info.agent.as_str()), ("v", "a/2"));
        assert_eq!((&info.protocols, &info.addresses), (&part.protocols, &whole.addresses));
        assert_eq!(info.observed_address, Some(tcp(9)));

        learn(&mut known, part, Scope::Whole);
        let info = known.info().unwrap();
        assert_eq!((info.protocol_version.as_str(), info.addresses.len()), ("", 0));
    }

    #[test]
    fn the_observed_address_alone_is_nothing_new() {
        let mut known = Known::default();
        let message = |port| Message { observed_address: Some(tcp(port)), ..Message::default() };
        assert!(learn(&mut known, message(1), Scope::Whole).changed);
        assert!(!learn(&mut known, message(2), Scope::Whole).changed);
        assert_eq!(known.info().unwrap().observed_address, Some(tcp(2)));
    }

    #[test]
    fn addresses_lose_their_own_peer_id_and_those_of_others_are_left_out() {
        let (own, other) = (identity(1).peer_id(), identity(2).peer_id());
        let relayed = tcp(2).with(Protocol::P2p(other)).with(Protocol::P2pCircuit);
        let given = vec![
            tcp(1).with(Protocol::P2p(own)),
            tcp(1),
            tcp(3).with(Protocol::P2p(other)),
            relayed.clone().with(Protocol::P2p(own)),
            Multiaddr::from(Protocol::P2p(own)),
        ];
        assert_eq!(listen_addresses(own, given), [tcp(1), relayed]);
    }
}
