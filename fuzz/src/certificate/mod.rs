//! Certificates: arbitrary bytes, changes of good ones, and changes that were signed afterwards.
//!
//! No other encoding of a good certificate may verify. (One exists that a remote can make and that
//! no change here finds: of an ECDSA signature `(r, s)`, `(r, -s)` is one too.)
//!
//! - `der`: certificates as trees.

mod der;

use std::sync::LazyLock;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::{CertificateError, MAX_CERTIFICATE_BYTES, TlsIdentity, verify};

pub use self::der::Edit;
use self::der::Element;
use crate::change::Change;
use crate::script::{Operation as _, Raw, Script, raw_bytes};
use crate::vectors;

/// The settings: mode; which certificate, or how many of the raw bytes are too many; how often they
/// are repeated; what time it is.
pub type Input = Script<Raw>;

/// The first byte of steps from here on says that a [`Change`] of the encoding follows, and no
/// [`Edit`] of the tree.
pub const CHANGES: u8 = 128;

/// 2027-01-15, in Unix seconds.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A certificate that verifies, and for whom.
struct Good {
    peer: PeerId,
    der: Vec<u8>,
    tree: Element,
}

/// Of each type of identity key, and those of the specification.
static GOOD: LazyLock<Vec<Good>> = LazyLock::new(|| {
    let mut good: Vec<(PeerId, Vec<u8>)> = Vec::new();
    for identity in vectors::identities() {
        let identity = TlsIdentity::new(&identity, &Seed::from_u64(1)).expect("it signs");
        good.push((identity.peer_id(), identity.certificate().to_vec()));
    }
    for vector in vectors::read(vectors::TLS) {
        if let Some(peer) = vector["peer_id"].as_str() {
            let peer = peer.parse().expect("a peer id");
            good.push((peer, vectors::hex(&vector["certificate"])));
        }
    }
    let with_tree = |(peer, der): (PeerId, Vec<u8>)| {
        let tree = Element::parse(&der).expect("DER");
        assert_eq!(tree.encode(), der);
        Good { peer, der, tree }
    };
    good.into_iter().map(with_tree).collect()
});

/// Runs one input.
pub fn run(input: &Input) {
    match input.settings[0] % 3 {
        0 => bytes_arrive(input),
        1 => good_ones_are_changed(input),
        _ => changed_ones_are_signed(input),
    }
}

fn time(input: &Input) -> u64 {
    [NOW, 0, u64::MAX][usize::from(input.settings[3] % 3)]
}

fn bytes_arrive(input: &Input) {
    let [_, without, times, _] = input.settings;
    let bytes = raw_bytes(&input.operations, without, 1 + usize::from(times % 16));
    let found = verify(&bytes, time(input));
    if bytes.len() > MAX_CERTIFICATE_BYTES {
        assert_eq!(found, Err(CertificateError::TooLong(bytes.len())));
    } else if let Ok(key) = found {
        let peer = key.to_peer_id();
        assert!(GOOD.iter().any(|good| good.der == bytes && good.peer == peer), "a forgery");
    }
}

fn good_ones_are_changed(input: &Input) {
    let good = &GOOD[usize::from(input.settings[1]) % GOOD.len()];
    let bytes = changed(&good.tree, input);
    match verify(&bytes, time(input)) {
        Ok(key) => {
            assert!(bytes == good.der, "another encoding of a good certificate verifies");
            assert_eq!((key.to_peer_id(), time(input)), (good.peer, NOW));
        }
        Err(CertificateError::TooLong(length)) => {
            assert!(length == bytes.len() && length > MAX_CERTIFICATE_BYTES);
        }
        Err(_) => {
            assert!(bytes.len() <= MAX_CERTIFICATE_BYTES);
            assert!(bytes != good.der || time(input) != NOW, "a good certificate is refused");
        }
    }
}

/// Edits the tree and changes its encoding.
fn changed(tree: &Element, input: &Input) -> Vec<u8> {
    let mut tree = tree.clone();
    edit(&mut tree, &input.operations);
    let mut bytes = tree.encode();
    for Raw([kind, high, low, value]) in &input.operations {
        if *kind >= CHANGES {
            Change::decode([kind - CHANGES, *high, *low, *value]).apply(&mut bytes);
        }
    }
    bytes
}

fn edit(tree: &mut Element, steps: &[Raw]) {
    for Raw(bytes) in steps {
        if bytes[0] < CHANGES {
            Edit::decode(*bytes).apply(tree);
        }
    }
}

/// A certificate with a key of ours, so that what was changed can be signed again.
struct Draft {
    key: SigningKey,
    peer: PeerId,
    spki: Vec<u8>,
    /// The signed part.
    tree: Element,
    /// Behind it.
    algorithm: Element,
}

static DRAFT: LazyLock<Draft> = LazyLock::new(|| {
    let identity = Identity::ed25519(&Seed::from_u64(9));
    let template = TlsIdentity::new(&identity, &Seed::from_u64(9)).expect("Ed25519 signs");
    let mut template = Element::parse(template.certificate()).expect("DER");
    let [mut tree, algorithm, _signature] =
        <[Element; 3]>::try_from(std::mem::take(template.inside())).expect("a certificate");

    let key = SigningKey::from_slice(&[7; 32]).expect("a scalar");
    let point = key.verifying_key().to_sec1_point(false);
    let [.., spki, extensions] = &mut tree.inside()[..] else { panic!("no extensions") };
    spki.inside()[1] = Element::bit_string(point.as_bytes());
    let spki = spki.encode();
    let signed = [&b"libp2p-tls-handshake:"[..], &spki].concat();
    let signature = identity.keypair().sign(&signed).expect("Ed25519 signs");
    let extension = extensions.inside()[0].inside().last_mut().expect("libp2p's");
    let value = extension.inside().last_mut().expect("a value");
    value.inside()[0].inside()[1] = Element::octet_string(&signature);
    Draft { key, peer: identity.peer_id(), spki, tree, algorithm }
});

fn changed_ones_are_signed(input: &Input) {
    let draft = &*DRAFT;
    let mut tree = draft.tree.clone();
    edit(&mut tree, &input.operations);
    let signed = tree.encode();
    let signature: DerSignature = draft.key.sign(&signed);
    // Both algorithms must be the same, so the second follows the first unless told otherwise.
    let algorithm = match &tree.inside()[..] {
        [_, _, first, ..] if input.settings[1] & 1 == 0 => first.clone(),
        _ => draft.algorithm.clone(),
    };
    let signature = Element::bit_string(signature.as_bytes());
    let whole = Element::sequence(vec![tree, algorithm, signature]).encode();
    match verify(&whole, time(input)) {
        Ok(key) => {
            assert_eq!(key.to_peer_id(), draft.peer, "nobody else signed anything");
            let spki = &draft.spki;
            assert!(signed.windows(spki.len()).any(|window| window == spki));
        }
        Err(error) => {
            let good = input.operations.is_empty() && time(input) == NOW;
            assert!(!good, "a good certificate is refused: {error}");
        }
    }
}
