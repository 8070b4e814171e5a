//! Signed envelopes and peer records, exchanged with rust-libp2p.

use libp2p::Multiaddr;
use libp2p::core::{PeerRecord as TheirRecord, SignedEnvelope as TheirEnvelope};
use sanspeer_core::identity::{Identity, Keypair, decode_private_key};
use sanspeer_core::record::{RecordFormat, SignedEnvelope, SignedPeerRecord};
use sanspeer_core::rng::Seed;

const FORMATS: [RecordFormat; 2] = [RecordFormat::PeerRecord, RecordFormat::RoutingState];

fn identity() -> Identity {
    Identity::ed25519(&Seed::from_u64(1))
}

/// The four key pairs of the peer-id specification, one of each type.
fn keys() -> Vec<Keypair> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../proto-core/tests/vectors/peer_ids.json"))
            .expect("JSON");
    let vectors = file["vectors"].as_array().expect("vectors");
    assert_eq!(vectors.len(), 4);
    let private = |vector: &serde_json::Value| {
        let digits = vector["private"].as_str().expect("a private key");
        let bytes = data_encoding::HEXLOWER.decode(digits.as_bytes()).expect("hexadecimal");
        decode_private_key(&bytes).expect("a key of the specification")
    };
    vectors.iter().map(private).collect()
}

fn addresses() -> Vec<Multiaddr> {
    ["/ip4/192.0.2.0/tcp/42", "/ip6/2001:db8::1/udp/4001/quic-v1", "/dns4/example.org/tcp/443/wss"]
        .map(|text| text.parse().expect("a multiaddr"))
        .to_vec()
}

#[test]
fn rust_libp2p_reads_our_records() {
    for format in FORMATS {
        let ours = SignedPeerRecord::sign(&identity(), format, u64::MAX, addresses()).unwrap();
        let envelope = TheirEnvelope::from_protobuf_encoding(&ours.encode()).unwrap();
        let theirs = match format {
            RecordFormat::PeerRecord => TheirRecord::from_signed_envelope_interop(envelope),
            RecordFormat::RoutingState => TheirRecord::from_signed_envelope(envelope),
        }
        .unwrap();
        assert_eq!(theirs.peer_id(), identity().peer_id());
        assert_eq!(theirs.seq(), u64::MAX);
        assert_eq!(theirs.addresses(), addresses());
        assert_eq!(theirs.into_signed_envelope().into_protobuf_encoding(), ours.encode());
    }
}

#[test]
fn rust_libp2p_reads_a_format_as_that_format_only() {
    let [standard, routing] = FORMATS.map(|format| {
        let ours = SignedPeerRecord::sign(&identity(), format, 1, addresses()).unwrap();
        TheirEnvelope::from_protobuf_encoding(&ours.encode()).unwrap()
    });
    assert!(TheirRecord::from_signed_envelope(standard).is_err());
    assert!(TheirRecord::from_signed_envelope_interop(routing).is_err());
}

#[test]
fn we_read_the_records_of_rust_libp2p() {
    let key = identity().keypair().clone();
    for format in FORMATS {
        let theirs = match format {
            RecordFormat::PeerRecord => TheirRecord::new_interop(&key, addresses()),
            RecordFormat::RoutingState => TheirRecord::new(&key, addresses()),
        }
        .unwrap();
        let bytes = theirs.to_signed_envelope().into_protobuf_encoding();
        let ours = SignedPeerRecord::decode(&bytes).unwrap();
        assert_eq!(ours.format(), format);
        assert_eq!(ours.verify_for(key.public().to_peer_id()), Ok(()));
        assert_eq!(ours.record().seq, theirs.seq());
        assert_eq!(ours.record().addresses, addresses());
        assert_eq!(ours.encode(), bytes);
    }
}

#[test]
fn envelopes_of_every_type_of_key_go_both_ways() {
    for key in keys() {
        let identity = Identity::new(key.clone(), &Seed::from_u64(1)).unwrap();
        let ours = SignedEnvelope::sign(&identity, "domain", b"/type", b"payload").unwrap();
        let read = TheirEnvelope::from_protobuf_encoding(&ours.encode()).unwrap();
        assert_eq!(
            read.payload_and_signing_key("domain".into(), b"/type").unwrap(),
            (&b"payload"[..], &key.public())
        );
        let theirs =
            TheirEnvelope::new(&key, "domain".into(), b"/type".to_vec(), b"payload".to_vec())
                .unwrap();
        let read = SignedEnvelope::decode(&theirs.into_protobuf_encoding()).unwrap();
        assert_eq!(read.open("domain", b"/type"), Ok((&key.public(), &b"payload"[..])));
    }
}
