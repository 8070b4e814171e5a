//! TLS between two of ours, over a wire that cuts, changes, repeats and reorders records; and bytes
//! that come to one of them.
//!
//! - [`operation`]: what can happen;
//! - `end`: one side, with its assertions;
//! - `pair`: both, and the wire.

mod end;
pub mod operation;
mod pair;

use std::sync::LazyLock;

use sanspeer_core::identity::Identity;
use sanspeer_core::mux::Role;
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::{
    HEADER_BYTES, Handshake, HandshakeConfig, MAX_HANDSHAKE_BYTES, MAX_RECORD_BYTES, Opened,
    Opener, TlsError, TlsIdentity, record_bytes,
};

use self::operation::{Mode, Operation, Settings};
use self::pair::Pair;
use crate::certificate::NOW;
use crate::chunks::Chunks;
use crate::script::{Operation as _, Raw, Script, raw_bytes};

/// A script of [`Operation`]s; [`Settings`] says what its settings mean. Where bytes are all that
/// comes, they are those of the operations.
pub type Input = Script<Raw>;

/// Runs one input.
pub fn run(input: &Input) {
    let settings = Settings::decode(input.settings);
    match settings.mode {
        Mode::Pair => {
            let operations = input.operations.iter().map(|raw| Operation::decode(raw.0));
            Pair::new(settings).run(&operations.collect::<Vec<_>>());
        }
        Mode::Handshake => bytes_come_to_a_handshake(input),
        Mode::Records => bytes_come_after_a_handshake(input),
    }
}

fn identity(number: u8) -> &'static TlsIdentity {
    static IDENTITIES: LazyLock<[TlsIdentity; 3]> = LazyLock::new(|| {
        [0, 1, 2].map(|number| {
            let seed = Seed::from_u64(number);
            TlsIdentity::new(&Identity::ed25519(&seed), &seed).expect("Ed25519 signs")
        })
    });
    &IDENTITIES[usize::from(number)]
}

const MUXERS: [&str; 4] = ["/yamux/1.0.0", "/mplex/6.7.0", "/m", "/quic"];

fn offer(mask: u8) -> Vec<ProtocolId> {
    let chosen = MUXERS.iter().enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
    chosen.map(|(_, name)| ProtocolId::new(name).expect("a valid id")).collect()
}

fn handshake(role: Role, number: u8) -> Handshake {
    let config = HandshakeConfig { unix_seconds: NOW, ..Default::default() };
    Handshake::new(role, identity(number), &Seed::from_u64(number.into()), config)
}

fn bytes_of(input: &Input) -> Vec<u8> {
    let [_, without, ..] = input.settings;
    // Repeated, they are more than is taken.
    raw_bytes(&input.operations, without, 1 + usize::from(without / 4 % 32))
}

fn bytes_come_to_a_handshake(input: &Input) {
    let bytes = bytes_of(input);
    let [_, _, first, second] = input.settings;
    let sizes = [2, first, second];
    let chunks = Chunks::arbitrary(&mut arbitrary::Unstructured::new(&sizes)).expect("enough");
    for role in [Role::Dialer, Role::Listener] {
        let (mut whole, mut cut) = (handshake(role, 0), handshake(role, 0));
        assert_eq!(sent(&mut whole), sent(&mut cut));
        let at_once = whole.handle(&bytes);
        let in_pieces = in_pieces(&mut cut, &bytes, chunks.clone());
        assert_eq!(at_once, in_pieces, "the outcome depends on how bytes are cut");
        assert!(bytes.len() <= MAX_HANDSHAKE_BYTES || at_once.is_err());
        assert_eq!(sent(&mut whole), sent(&mut cut));
        assert!(!whole.is_finished() && !cut.is_finished(), "nobody signed anything");
        let expected = at_once.err().unwrap_or(TlsError::Unfinished);
        assert_ne!(expected, TlsError::Internal);
        assert_eq!(whole.finish().map(|_| ()), Err(expected));
    }
}

fn in_pieces(to: &mut Handshake, bytes: &[u8], mut chunks: Chunks) -> Result<usize, TlsError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = chunks.take(&mut rest);
        assert_eq!(to.handle(piece)?, piece.len(), "only the end of a handshake leaves any");
    }
    Ok(bytes.len())
}

fn sent(from: &mut Handshake) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.transmit(&mut bytes);
    bytes
}

fn bytes_come_after_a_handshake(input: &Input) {
    let bytes = bytes_of(input);
    let (mut dialer, mut listener) = (handshake(Role::Dialer, 0), handshake(Role::Listener, 1));
    while !(dialer.is_finished() && listener.is_finished()) {
        let to_listener = sent(&mut dialer);
        assert_eq!(listener.handle(&to_listener), Ok(to_listener.len()));
        let to_dialer = sent(&mut listener);
        assert_eq!(dialer.handle(&to_dialer), Ok(to_dialer.len()));
    }
    for secured in [dialer.finish(), listener.finish()] {
        let mut opener = secured.expect("it is finished").opener;
        nothing_opens(&mut opener, &bytes);
        if let Some(header) = bytes.first_chunk::<HEADER_BYTES>()
            && let Ok(length) = record_bytes(*header)
        {
            assert!(length <= MAX_RECORD_BYTES);
            nothing_opens(&mut opener, &bytes[..length.min(bytes.len())]);
        }
    }
}

fn nothing_opens(opener: &mut Opener, bytes: &[u8]) {
    let opened: Result<Opened, _> = opener.open(&mut bytes.to_vec());
    assert!(opened.is_err(), "{opened:?}, and nobody sealed anything");
}
