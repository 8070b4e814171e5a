//! [`PeerRecord`]: the addresses of a peer, and [`SignedPeerRecord`], which the peer itself signed.
//!
//! There are two formats, which differ in what is signed and not in the record. A signature holds
//! for one of them, so the sender must choose:
//!
//! | | go-libp2p, js-libp2p | rust-libp2p |
//! |---|---|---|
//! | [`RecordFormat::PeerRecord`] | read and written | core reads it on request; identify does not, and falls back to the addresses that are not signed; rendezvous refuses it |
//! | [`RecordFormat::RoutingState`] (RFC 0003) | not read | read and written |
//!
//! Identify sends the first: go-libp2p and js-libp2p then trust the addresses, and rust-libp2p
//! uses the unsigned ones of the same message. Rendezvous with rust-libp2p takes the second. What
//! is received may be either.
//!
//! Specification: [RFC 0003, Peer Routing Records](https://github.com/libp2p/specs/blob/master/RFC/0003-routing-records.md).

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::envelope::{EnvelopeError, OpenError, SealError, SignedEnvelope};
use crate::identity::Identity;
use crate::protobuf::{Fields, Malformed, Value};

/// The most addresses of one record. Full envelopes ([`super::MAX_ENVELOPE_BYTES`]) of common
/// addresses, of 64 bytes with their framing, have as many; more only come of addresses that are
/// next to empty, which cost more memory than bytes.
pub const MAX_ADDRESSES: usize = 128;

/// The longest address of a record, in bytes. A relayed WebTransport address with a DNS name of 253
/// bytes, two certificate hashes and two peer ids takes about 430.
pub const MAX_ADDRESS_BYTES: usize = 512;

/// Where a peer can be reached, as it said once. Anybody can write one; see [`SignedPeerRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Whose addresses they are.
    pub peer: PeerId,
    /// Higher in every newer record of this peer. Nothing else follows from it: rust-libp2p counts
    /// seconds of Unix time here, go-libp2p nanoseconds.
    pub seq: u64,
    /// In the order of the record; at most [`MAX_ADDRESSES`], each of 1 to [`MAX_ADDRESS_BYTES`].
    pub addresses: Vec<Multiaddr>,
}

/// A record with the envelope that proves it: the peer whose addresses they are did sign it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPeerRecord {
    record: PeerRecord,
    format: RecordFormat,
    envelope: SignedEnvelope,
}

/// What a record is signed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordFormat {
    /// As go-libp2p and js-libp2p do, with the payload type of the multicodec table.
    PeerRecord,
    /// As RFC 0003 says and rust-libp2p does.
    RoutingState,
}

/// Why a record of a remote is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRecordError {
    /// The envelope does not decode.
    Envelope(EnvelopeError),
    /// The envelope holds something else, or is not signed for either format.
    Open(OpenError),
    /// The payload is no protobuf message of the specification.
    Malformed,
    /// It has no valid peer id.
    PeerId,
    /// It has more than [`MAX_ADDRESSES`]. How many.
    TooManyAddresses(usize),
    /// It has an address longer than [`MAX_ADDRESS_BYTES`]. Its length, in bytes.
    AddressTooLong(usize),
    /// Another key signed it than the one of the peer that it speaks of. Boxed, since a peer id
    /// takes 80 bytes.
    WrongSigner {
        /// Whose addresses it claims to have.
        claimed: Box<PeerId>,
        /// Who signed it.
        signer: Box<PeerId>,
    },
    /// It is genuine, but not of the peer that it came from.
    WrongPeer {
        /// Who is at the other end of the connection.
        connected: Box<PeerId>,
        /// Whose record it is.
        found: Box<PeerId>,
    },
    /// It is as old as, or older than, the last one of this peer.
    NotNewer {
        /// The highest sequence number seen so far.
        latest: u64,
        /// The sequence number of this record.
        found: u64,
    },
}

/// Why our own record could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordSignError {
    /// It has more than [`MAX_ADDRESSES`]. How many.
    TooManyAddresses(usize),
    /// It has an address longer than [`MAX_ADDRESS_BYTES`]. Its length, in bytes.
    AddressTooLong(usize),
    /// The envelope could not be made.
    Seal(SealError),
}

/// `PeerRecord` of the specification.
#[derive(Clone, PartialEq, prost::Message)]
struct RecordMessage {
    #[prost(bytes = "vec", tag = "1")]
    peer_id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(message, repeated, tag = "3")]
    addresses: Vec<AddressInfo>,
}

/// `PeerRecord.AddressInfo` of the specification.
#[derive(Clone, PartialEq, prost::Message)]
struct AddressInfo {
    #[prost(bytes = "vec", tag = "1")]
    multiaddr: Vec<u8>,
}

impl RecordFormat {
    /// What the signature is for (Signed Envelope Domain).
    pub const fn domain(self) -> &'static str {
        match self {
            RecordFormat::PeerRecord => "libp2p-peer-record",
            RecordFormat::RoutingState => "libp2p-routing-state",
        }
    }

    /// What the envelope calls its payload (Signed Envelope Payload Type). Of a peer record it is
    /// the two bytes that the multicodec table has, 0x0301, which is not their varint.
    pub const fn payload_type(self) -> &'static [u8] {
        match self {
            RecordFormat::PeerRecord => &[0x03, 0x01],
            RecordFormat::RoutingState => b"/libp2p/routing-state-record",
        }
    }

    /// The format whose payloads are of this type.
    fn of(payload_type: &[u8]) -> Option<RecordFormat> {
        [RecordFormat::PeerRecord, RecordFormat::RoutingState]
            .into_iter()
            .find(|format| format.payload_type() == payload_type)
    }
}

impl PeerRecord {
    /// Whether this record comes after the one with sequence number `latest`.
    pub fn is_newer_than(&self, latest: u64) -> bool {
        self.seq > latest
    }

    /// Decodes the payload of an envelope, in either format: they have the same payload. Nothing
    /// is built before the addresses are counted and measured.
    ///
    /// An address that is empty or does not parse is skipped, as in go-libp2p: a newer peer may
    /// have addresses of a kind that is not known here beside the ones that are. It counts towards
    /// [`MAX_ADDRESSES`] all the same. (rust-libp2p drops the whole record.)
    fn decode(payload: &[u8]) -> Result<PeerRecord, PeerRecordError> {
        check_bounds(payload)?;
        let message = RecordMessage::decode(payload).map_err(|_| PeerRecordError::Malformed)?;
        let peer = PeerId::from_bytes(&message.peer_id).map_err(|_| PeerRecordError::PeerId)?;
        let addresses = message
            .addresses
            .into_iter()
            .filter_map(|info| Multiaddr::try_from(info.multiaddr).ok())
            .filter(|address| !address.is_empty())
            .collect();
        Ok(PeerRecord { peer, seq: message.seq, addresses })
    }

    /// Empty addresses are left out, as in go-libp2p: others trip over them.
    fn encode(&self) -> Vec<u8> {
        RecordMessage {
            peer_id: self.peer.to_bytes(),
            seq: self.seq,
            addresses: self
                .addresses
                .iter()
                .filter(|address| !address.is_empty())
                .map(|address| AddressInfo { multiaddr: address.to_vec() })
                .collect(),
        }
        .encode_to_vec()
    }
}

impl SignedPeerRecord {
    /// Signs the addresses of `identity`: at most [`MAX_ADDRESSES`], each at most
    /// [`MAX_ADDRESS_BYTES`], and together what fits into an envelope.
    ///
    /// `seq` must be higher than in every record of this identity so far, over restarts too. Unix
    /// time in nanoseconds does, and is what go-libp2p takes; zero may be ignored by others.
    pub fn sign(
        identity: &Identity,
        format: RecordFormat,
        seq: u64,
        addresses: Vec<Multiaddr>,
    ) -> Result<SignedPeerRecord, RecordSignError> {
        if addresses.len() > MAX_ADDRESSES {
            return Err(RecordSignError::TooManyAddresses(addresses.len()));
        }
        if let Some(long) = addresses.iter().find(|address| address.len() > MAX_ADDRESS_BYTES) {
            return Err(RecordSignError::AddressTooLong(long.len()));
        }
        let mut record = PeerRecord { peer: identity.peer_id(), seq, addresses };
        record.addresses.retain(|address| !address.is_empty());
        let envelope = SignedEnvelope::sign(
            identity,
            format.domain(),
            format.payload_type(),
            &record.encode(),
        )
        .map_err(RecordSignError::Seal)?;
        Ok(SignedPeerRecord { record, format, envelope })
    }

    /// Decodes an envelope and takes the record out of it; see
    /// [`SignedPeerRecord::from_envelope`].
    pub fn decode(bytes: &[u8]) -> Result<SignedPeerRecord, PeerRecordError> {
        let envelope = SignedEnvelope::decode(bytes).map_err(PeerRecordError::Envelope)?;
        SignedPeerRecord::from_envelope(envelope)
    }

    /// Takes the record out of an envelope in either format: verifies the signature first, then
    /// decodes, then checks that the signer is the peer of the record (Certification /
    /// Verification).
    ///
    /// The record is genuine then, whoever sent it. Of a record that a peer sends of itself, as in
    /// identify, ask [`SignedPeerRecord::verify_for`] too.
    pub fn from_envelope(envelope: SignedEnvelope) -> Result<SignedPeerRecord, PeerRecordError> {
        let format = RecordFormat::of(envelope.payload_type())
            .ok_or(PeerRecordError::Open(OpenError::PayloadType))?;
        let (key, payload) =
            envelope.open(format.domain(), format.payload_type()).map_err(PeerRecordError::Open)?;
        let record = PeerRecord::decode(payload)?;
        let signer = key.to_peer_id();
        if record.peer != signer {
            return Err(PeerRecordError::WrongSigner {
                claimed: Box::new(record.peer),
                signer: Box::new(signer),
            });
        }
        Ok(SignedPeerRecord { record, format, envelope })
    }

    /// Whether the record is of the peer at the other end of the connection that it came by.
    /// Without this check anybody can fill our memory with records of peers that do not exist
    /// (CVE-2023-40583).
    pub fn verify_for(&self, connected: PeerId) -> Result<(), PeerRecordError> {
        if self.record.peer == connected {
            return Ok(());
        }
        Err(PeerRecordError::WrongPeer {
            connected: Box::new(connected),
            found: Box::new(self.record.peer),
        })
    }

    /// Whether the record comes after the last one of this peer, whose sequence number was
    /// `latest`; the same number again is refused like a lower one (Peer Store APIs).
    pub fn verify_newer_than(&self, latest: u64) -> Result<(), PeerRecordError> {
        if self.record.is_newer_than(latest) {
            return Ok(());
        }
        Err(PeerRecordError::NotNewer { latest, found: self.record.seq })
    }

    /// The record itself.
    pub fn record(&self) -> &PeerRecord {
        &self.record
    }

    /// What it is signed as.
    pub fn format(&self) -> RecordFormat {
        self.format
    }

    /// The envelope, for handing it on.
    pub fn envelope(&self) -> &SignedEnvelope {
        &self.envelope
    }

    /// The encoded envelope: at most [`super::MAX_ENVELOPE_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        self.envelope.encode()
    }
}

/// Counts and measures the addresses without building anything.
fn check_bounds(payload: &[u8]) -> Result<(), PeerRecordError> {
    const ADDRESSES: u32 = 3;
    const MULTIADDR: u32 = 1;
    let malformed = |Malformed| PeerRecordError::Malformed;
    let mut addresses = 0;
    for field in Fields::new(payload) {
        let (ADDRESSES, Value::Bytes(info)) = field.map_err(malformed)? else { continue };
        addresses += 1;
        for field in Fields::new(info) {
            match field.map_err(malformed)? {
                (MULTIADDR, Value::Bytes(address)) if address.len() > MAX_ADDRESS_BYTES => {
                    return Err(PeerRecordError::AddressTooLong(address.len()));
                }
                (_, Value::Varint(_) | Value::Bytes(_) | Value::Fixed) => {}
            }
        }
    }
    if addresses > MAX_ADDRESSES {
        return Err(PeerRecordError::TooManyAddresses(addresses));
    }
    Ok(())
}

impl core::fmt::Display for PeerRecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            PeerRecordError::Envelope(error) => write!(f, "peer record: {error}"),
            PeerRecordError::Open(error) => write!(f, "peer record: {error}"),
            PeerRecordError::Malformed => f.write_str("malformed peer record"),
            PeerRecordError::PeerId => f.write_str("peer record without a valid peer id"),
            PeerRecordError::TooManyAddresses(count) => {
                write!(f, "peer record of {count} addresses, more than {MAX_ADDRESSES}")
            }
            PeerRecordError::AddressTooLong(length) => {
                write!(
                    f,
                    "address of {length} bytes in a peer record, more than {MAX_ADDRESS_BYTES}"
                )
            }
            PeerRecordError::WrongSigner { claimed, signer } => {
                write!(f, "peer record of {claimed}, signed by {signer}")
            }
            PeerRecordError::WrongPeer { connected, found } => {
                write!(f, "peer record of {found}, received from {connected} as its own")
            }
            PeerRecordError::NotNewer { latest, found } => {
                write!(f, "peer record {found}, not newer than {latest}")
            }
        }
    }
}

impl core::error::Error for PeerRecordError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            PeerRecordError::Envelope(error) => Some(error),
            PeerRecordError::Open(error) => Some(error),
            PeerRecordError::Malformed
            | PeerRecordError::PeerId
            | PeerRecordError::TooManyAddresses(_)
            | PeerRecordError::AddressTooLong(_)
            | PeerRecordError::WrongSigner { .. }
            | PeerRecordError::WrongPeer { .. }
            | PeerRecordError::NotNewer { .. } => None,
        }
    }
}

impl core::fmt::Display for RecordSignError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RecordSignError::TooManyAddresses(count) => {
                write!(f, "{count} addresses, more than {MAX_ADDRESSES}")
            }
            RecordSignError::AddressTooLong(length) => {
                write!(f, "address of {length} bytes, more than {MAX_ADDRESS_BYTES}")
            }
            RecordSignError::Seal(error) => write!(f, "peer record: {error}"),
        }
    }
}

impl core::error::Error for RecordSignError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            RecordSignError::Seal(error) => Some(error),
            RecordSignError::TooManyAddresses(_) | RecordSignError::AddressTooLong(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::MAX_ENVELOPE_BYTES;
    use crate::rng::Seed;
    use proptest::prelude::*;

    const FORMATS: [RecordFormat; 2] = [RecordFormat::PeerRecord, RecordFormat::RoutingState];

    fn identity(number: u64) -> Identity {
        Identity::ed25519(&Seed::from_u64(number))
    }

    fn addresses() -> Vec<Multiaddr> {
        ["/ip4/192.0.2.0/tcp/42", "/ip6/2001:db8::1/udp/4001/quic-v1"]
            .map(|text| text.parse().unwrap())
            .to_vec()
    }

    /// What `signer` seals as a record in the format of go-libp2p.
    fn sealed(signer: &Identity, payload: &[u8]) -> SignedEnvelope {
        let format = RecordFormat::PeerRecord;
        SignedEnvelope::sign(signer, format.domain(), format.payload_type(), payload).unwrap()
    }

    fn message(peer: &Identity, addresses: Vec<Vec<u8>>) -> Vec<u8> {
        let addresses = addresses.into_iter().map(|multiaddr| AddressInfo { multiaddr }).collect();
        let peer_id = peer.peer_id().to_bytes();
        RecordMessage { peer_id, seq: 1, addresses }.encode_to_vec()
    }

    #[test]
    fn a_record_round_trips_in_both_formats() {
        for format in FORMATS {
            let signed = SignedPeerRecord::sign(&identity(1), format, 7, addresses()).unwrap();
            let decoded = SignedPeerRecord::decode(&signed.encode()).unwrap();
            assert_eq!(decoded, signed);
            assert_eq!(decoded.format(), format);
            let peer = identity(1).peer_id();
            assert_eq!(*decoded.record(), PeerRecord { peer, seq: 7, addresses: addresses() });
        }
    }

    #[test]
    fn rustsec_2022_0009_a_record_of_another_peer_than_the_signer_is_refused() {
        for format in FORMATS {
            let payload = message(&identity(1), vec![]);
            let envelope = SignedEnvelope::sign(
                &identity(2),
                format.domain(),
                format.payload_type(),
                &payload,
            )
            .unwrap();
            assert_eq!(
                SignedPeerRecord::decode(&envelope.encode()),
                Err(PeerRecordError::WrongSigner {
                    claimed: Box::new(identity(1).peer_id()),
                    signer: Box::new(identity(2).peer_id()),
                })
            );
        }
    }

    #[test]
    fn cve_2023_40583_a_genuine_record_is_refused_from_another_peer() {
        let format = RecordFormat::PeerRecord;
        let signed = SignedPeerRecord::sign(&identity(1), format, 7, addresses()).unwrap();
        assert_eq!(signed.verify_for(identity(1).peer_id()), Ok(()));
        assert_eq!(
            signed.verify_for(identity(2).peer_id()),
            Err(PeerRecordError::WrongPeer {
                connected: Box::new(identity(2).peer_id()),
                found: Box::new(identity(1).peer_id()),
            })
        );
    }

    #[test]
    fn cve_2023_40583_empty_addresses_are_counted_before_they_are_built() {
        let most = message(&identity(1), vec![vec![]; MAX_ADDRESSES]);
        let record = SignedPeerRecord::from_envelope(sealed(&identity(1), &most)).unwrap();
        assert!(record.record().addresses.is_empty());
        let more = message(&identity(1), vec![vec![]; MAX_ADDRESSES + 1]);
        assert_eq!(
            SignedPeerRecord::from_envelope(sealed(&identity(1), &more)),
            Err(PeerRecordError::TooManyAddresses(MAX_ADDRESSES + 1))
        );
        let long = message(&identity(1), vec![vec![0; MAX_ADDRESS_BYTES + 1]]);
        assert_eq!(
            SignedPeerRecord::from_envelope(sealed(&identity(1), &long)),
            Err(PeerRecordError::AddressTooLong(MAX_ADDRESS_BYTES + 1))
        );
    }

    #[test]
    fn an_older_or_equal_sequence_number_is_refused() {
        let format = RecordFormat::PeerRecord;
        let signed = SignedPeerRecord::sign(&identity(1), format, 7, vec![]).unwrap();
        assert!(signed.record().is_newer_than(6));
        assert_eq!(signed.verify_newer_than(6), Ok(()));
        for latest in [7, 8, u64::MAX] {
            assert!(!signed.record().is_newer_than(latest));
            assert_eq!(
                signed.verify_newer_than(latest),
                Err(PeerRecordError::NotNewer { latest, found: 7 })
            );
        }
    }

    #[test]
    fn a_domain_of_one_format_does_not_go_with_the_payload_type_of_the_other() {
        let payload = message(&identity(1), vec![]);
        for (domain, payload_type) in [(FORMATS[0], FORMATS[1]), (FORMATS[1], FORMATS[0])] {
            let envelope = SignedEnvelope::sign(
                &identity(1),
                domain.domain(),
                payload_type.payload_type(),
                &payload,
            )
            .unwrap();
            assert_eq!(
                SignedPeerRecord::from_envelope(envelope),
                Err(PeerRecordError::Open(OpenError::Signature))
            );
        }
        let other = SignedEnvelope::sign(&identity(1), "d", b"/other", &payload).unwrap();
        assert_eq!(
            SignedPeerRecord::from_envelope(other),
            Err(PeerRecordError::Open(OpenError::PayloadType))
        );
    }

    #[test]
    fn addresses_that_do_not_parse_are_skipped() {
        // A protocol that nobody has, an IPv4 address cut short, none, and a good one.
        let good = addresses().remove(0);
        let payload = message(
            &identity(1),
            vec![vec![0xff, 0xff, 0x7f], vec![4, 192, 0], vec![], good.to_vec()],
        );
        let signed = SignedPeerRecord::from_envelope(sealed(&identity(1), &payload)).unwrap();
        assert_eq!(signed.record().addresses, [good]);
    }

    #[test]
    fn a_payload_without_a_peer_id_or_cut_short_is_refused() {
        let refused = |payload: &[u8]| {
            SignedPeerRecord::from_envelope(sealed(&identity(1), payload)).unwrap_err()
        };
        assert_eq!(refused(&[]), PeerRecordError::PeerId);
        assert_eq!(refused(&[0x0a, 2, 1, 2]), PeerRecordError::PeerId);
        assert_eq!(refused(&[0x0a, 2, 1]), PeerRecordError::Malformed);
        assert_eq!(refused(&[0x08, 1]), PeerRecordError::Malformed);
        assert_eq!(refused(&[0x1a, 2, 0x0a, 5]), PeerRecordError::Malformed);
    }

    #[test]
    fn what_we_sign_keeps_within_the_bounds() {
        let sign = |addresses| {
            SignedPeerRecord::sign(&identity(1), RecordFormat::PeerRecord, 1, addresses)
        };
        let short: Multiaddr = "/ip4/192.0.2.0/tcp/42".parse().unwrap();
        let full = sign(vec![short.clone(); MAX_ADDRESSES]).unwrap();
        assert!(SignedPeerRecord::decode(&full.encode()).is_ok());
        assert_eq!(
            sign(vec![short.clone(); MAX_ADDRESSES + 1]),
            Err(RecordSignError::TooManyAddresses(MAX_ADDRESSES + 1))
        );
        let name =
            |length: usize| Multiaddr::from(multiaddr::Protocol::Dns("x".repeat(length).into()));
        assert!(matches!(sign(vec![name(600)]), Err(RecordSignError::AddressTooLong(603))));
        assert!(matches!(
            sign(vec![name(500); 17]),
            Err(RecordSignError::Seal(SealError::TooLong(length))) if length > MAX_ENVELOPE_BYTES
        ));
        let record = sign(vec![Multiaddr::empty(), short.clone()]).unwrap();
        assert_eq!(record.record().addresses, [short]);
        assert_eq!(SignedPeerRecord::decode(&record.encode()), Ok(record));
    }

    proptest! {
        #[test]
        fn what_is_signed_decodes(
            seq: u64,
            ports in prop::collection::vec(any::<(u32, u16)>(), 0..20),
        ) {
            let addresses: Vec<Multiaddr> = ports
                .into_iter()
                .map(|(ip, port)| {
                    Multiaddr::from(core::net::Ipv4Addr::from(ip))
                        .with(multiaddr::Protocol::Tcp(port))
                })
                .collect();
            for format in FORMATS {
                let signed =
                    SignedPeerRecord::sign(&identity(1), format, seq, addresses.clone()).unwrap();
                prop_assert_eq!(SignedPeerRecord::decode(&signed.encode()), Ok(signed));
            }
        }

        #[test]
        fn any_flipped_bit_fails(at: prop::sample::Index, bit in 0u8..8, second: bool) {
            let format = FORMATS[usize::from(second)];
            let mut bytes =
                SignedPeerRecord::sign(&identity(1), format, 7, addresses()).unwrap().encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(SignedPeerRecord::decode(&bytes).is_err(), "bit {bit} of byte {at}");
        }

        #[test]
        fn no_signed_payload_panics(payload in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = SignedPeerRecord::from_envelope(sealed(&identity(1), &payload));
        }
    }
}
