//! TLS with rust-libp2p, in memory: its certificates, verifiers and configurations (`libp2p-tls`)
//! on rustls with another library of primitives.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::sync::Arc;

use libp2p_identity::{Keypair, PeerId};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use sanspeer_core::identity::{Identity, decode_private_key, encode_private_key};
use sanspeer_core::mux::Role;
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::{
    CertificateError, HEADER_BYTES, Handshake, HandshakeConfig, Opened, Secured, TlsError,
    TlsIdentity, record_bytes,
};

const YAMUX: &str = "/yamux/1.0.0";

/// 2027-01-15. Only ours uses it: rust-libp2p's clock is the machine's.
const NOW: u64 = 1_800_000_000;

fn ours(seed: u64) -> TlsIdentity {
    let seed = Seed::from_u64(seed);
    TlsIdentity::new(&Identity::ed25519(&seed), &seed).unwrap()
}

fn config(expected_peer: Option<PeerId>) -> HandshakeConfig {
    let muxers = vec![ProtocolId::new(YAMUX).unwrap()];
    HandshakeConfig { expected_peer, muxers, unix_seconds: NOW }
}

fn listener() -> Handshake {
    Handshake::new(Role::Listener, &ours(1), &Seed::from_u64(2), config(None))
}

fn dialer(expected_peer: Option<PeerId>) -> Handshake {
    Handshake::new(Role::Dialer, &ours(1), &Seed::from_u64(2), config(expected_peer))
}

fn client(config: ClientConfig) -> Connection {
    let name = ServerName::try_from("0.0.0.0").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap().into()
}

fn server(config: ServerConfig) -> Connection {
    ServerConnection::new(Arc::new(config)).unwrap().into()
}

/// What rust-libp2p offers when it negotiates its muxers early.
fn alpn() -> Vec<Vec<u8>> {
    vec![YAMUX.as_bytes().to_vec(), b"libp2p".to_vec()]
}

fn transmitted(connection: &mut Connection) -> Vec<u8> {
    let mut wire = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut wire).unwrap();
    }
    wire
}

fn receive(connection: &mut Connection, mut wire: &[u8]) -> Result<(), rustls::Error> {
    while !wire.is_empty() {
        connection.read_tls(&mut wire).unwrap();
        connection.process_new_packets()?;
    }
    Ok(())
}

/// Both until neither sends. What rustls sent behind the handshake is returned.
fn run(us: &mut Handshake, them: &mut Connection) -> (Vec<u8>, Option<TlsError>, bool) {
    let mut left = Vec::new();
    let (mut our_error, mut their_error) = (None, false);
    loop {
        let mut to_them = Vec::new();
        us.transmit(&mut to_them);
        their_error |= receive(them, &to_them).is_err();
        let to_us = transmitted(them);
        if to_them.is_empty() && to_us.is_empty() {
            return (left, our_error, their_error);
        }
        match us.handle(&to_us) {
            Ok(taken) => left.extend_from_slice(&to_us[taken..]),
            Err(error) => our_error = Some(error),
        }
    }
}

fn opened(us: &mut Secured, wire: &mut [u8]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut rest = wire;
    while let Some(header) = rest.first_chunk() {
        let (record, after) = rest.split_at_mut(record_bytes(*header).unwrap());
        if let Opened::Data(length) = us.opener.open(record).unwrap() {
            data.extend_from_slice(&record[HEADER_BYTES..HEADER_BYTES + length]);
        }
        rest = after;
    }
    data
}

/// A mebibyte each way, with keys changed by rustls on the way, then both close.
fn converse(mut us: Secured, them: &mut Connection, mut left: Vec<u8>) {
    // Tickets, which are skipped.
    assert_eq!(opened(&mut us, &mut left), b"");
    let text: Vec<u8> =
        (0..1 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for turn in 0..4 {
        let mut wire = Vec::new();
        us.sealer.seal(&text, &mut wire).unwrap();
        let (mut received, mut rest) = (Vec::new(), &wire[..]);
        while !rest.is_empty() {
            them.read_tls(&mut rest).unwrap();
            let state = them.process_new_packets().unwrap();
            let start = received.len();
            received.resize(start + state.plaintext_bytes_to_read(), 0);
            them.reader().read_exact(&mut received[start..]).unwrap();
        }
        assert!(received == text);

        if turn % 2 == 0 {
            them.refresh_traffic_keys().unwrap();
        }
        let mut received = Vec::new();
        for piece in text.chunks(30_000) {
            them.writer().write_all(piece).unwrap();
            received.extend_from_slice(&opened(&mut us, &mut transmitted(them)));
        }
        assert!(received == text);
        us.opener.release();
        us.sealer.release();
    }
    let mut wire = Vec::new();
    us.sealer.close(&mut wire).unwrap();
    receive(them, &wire).unwrap();
    assert_eq!(them.reader().read(&mut [0; 1]).unwrap(), 0);
    them.send_close_notify();
    assert_eq!(us.opener.open(&mut transmitted(them)), Ok(Opened::Closed));
}

fn peer_of(connection: &Connection) -> PeerId {
    libp2p_tls::certificate::parse(&connection.peer_certificates().unwrap()[0]).unwrap().peer_id()
}

/// Identities of the kinds that both sides can make.
fn their_identities() -> [Keypair; 3] {
    [
        Keypair::ed25519_from_bytes([9; 32]).unwrap(),
        libp2p_identity::secp256k1::Keypair::from(
            libp2p_identity::secp256k1::SecretKey::try_from_bytes([9; 32]).unwrap(),
        )
        .into(),
        libp2p_identity::ecdsa::Keypair::from(
            libp2p_identity::ecdsa::SecretKey::try_from_bytes([9; 32]).unwrap(),
        )
        .into(),
    ]
}

#[test]
fn rust_libp2p_dials_us() {
    for theirs in their_identities() {
        for (offer, muxer) in [(alpn(), Some(YAMUX)), (vec![b"libp2p".to_vec()], None)] {
            let expected = ours(1).peer_id();
            let mut config = libp2p_tls::make_client_config(&theirs, Some(expected)).unwrap();
            config.alpn_protocols = offer;
            let (mut us, mut them) = (listener(), client(config));
            let (left, error, refused) = run(&mut us, &mut them);
            assert_eq!((error, refused), (None, false));
            let us = us.finish().unwrap();
            assert_eq!(us.peer, theirs.public().to_peer_id());
            assert_eq!(peer_of(&them), expected);
            assert_eq!(us.muxer.as_ref().map(ProtocolId::as_str), muxer);
            assert_eq!(them.alpn_protocol(), Some(muxer.unwrap_or("libp2p").as_bytes()));
            converse(us, &mut them, left);
        }
    }
}

#[test]
fn we_dial_rust_libp2p() {
    for theirs in their_identities() {
        for (offer, muxer) in [(alpn(), Some(YAMUX)), (vec![b"libp2p".to_vec()], None)] {
            let expected = theirs.public().to_peer_id();
            let mut config = libp2p_tls::make_server_config(&theirs).unwrap();
            config.alpn_protocols = offer;
            let (mut us, mut them) = (dialer(Some(expected)), server(config));
            let (left, error, refused) = run(&mut us, &mut them);
            assert_eq!((error, refused), (None, false));
            // rust-libp2p leaves tickets on.
            assert!(!left.is_empty());
            let us = us.finish().unwrap();
            assert_eq!(us.peer, expected);
            assert_eq!(peer_of(&them), ours(1).peer_id());
            assert_eq!(us.muxer.as_ref().map(ProtocolId::as_str), muxer);
            converse(us, &mut them, left);
        }
    }
}

#[test]
fn rust_libp2p_accepts_our_certificates_of_every_identity() {
    for key in their_identities() {
        let key = decode_private_key(&encode_private_key(&key).unwrap()).unwrap();
        let identity = Identity::new(key, &Seed::from_u64(1)).unwrap();
        let tls = TlsIdentity::new(&identity, &Seed::from_u64(1)).unwrap();
        let der = rustls::pki_types::CertificateDer::from(tls.certificate());
        let parsed = libp2p_tls::certificate::parse(&der).unwrap();
        assert_eq!(parsed.peer_id(), identity.peer_id());
    }
}

#[test]
fn the_wrong_peer_is_refused_by_either() {
    let theirs = &their_identities()[0];
    let (stranger, found) = (ours(5).peer_id(), theirs.public().to_peer_id());
    let mut us = dialer(Some(stranger));
    let mut them = server(libp2p_tls::make_server_config(theirs).unwrap());
    let (_, error, refused) = run(&mut us, &mut them);
    let expected = Box::new(stranger);
    assert_eq!(error, Some(TlsError::WrongPeer { expected, found: Box::new(found) }));
    // Our alert reaches it.
    assert!(refused);

    let mut us = listener();
    let mut them = client(libp2p_tls::make_client_config(theirs, Some(stranger)).unwrap());
    let (_, error, refused) = run(&mut us, &mut them);
    assert!(matches!(error, Some(TlsError::Alert(_))), "{error:?}");
    assert!(refused);
}

#[test]
fn protocols_that_are_not_libp2ps_are_refused() {
    let theirs = &their_identities()[0];
    let mut config = libp2p_tls::make_client_config(theirs, None).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (_, error, refused) = run(&mut listener(), &mut client(config));
    assert_eq!((error, refused), (Some(TlsError::NoCommonProtocol), true));
}

/// A client's certificates that are not what libp2p sends.
#[derive(Debug)]
struct Shows(Vec<rustls::pki_types::CertificateDer<'static>>, Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        let key = Arc::clone(&self.1.key);
        (!self.0.is_empty()).then(|| Arc::new(rustls::sign::CertifiedKey::new(self.0.clone(), key)))
    }

    fn has_certs(&self) -> bool {
        !self.0.is_empty()
    }
}

#[test]
fn a_client_shows_exactly_one_certificate_that_is_its_own() {
    let theirs = &their_identities()[0];
    let (certificate, key) = libp2p_tls::certificate::generate(theirs).unwrap();
    let (stolen, _) = libp2p_tls::certificate::generate(theirs).unwrap();
    let key = rustls::crypto::ring::sign::any_ecdsa_type(&key).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![certificate.clone()], key));
    let refused_with = |chain: Vec<_>| {
        let mut config = libp2p_tls::make_client_config(theirs, None).unwrap();
        config.client_auth_cert_resolver = Arc::new(Shows(chain, Arc::clone(&certified)));
        run(&mut listener(), &mut client(config)).1
    };
    assert_eq!(refused_with(vec![certificate.clone()]), None);
    assert_eq!(refused_with(Vec::new()), Some(TlsError::NoCertificate));
    let chain = vec![certificate.clone(), certificate];
    assert_eq!(refused_with(chain), Some(CertificateError::Chain(2).into()));
    // Valid, but the client does not have its key.
    assert_eq!(refused_with(vec![stolen]), Some(TlsError::Forged));
}
