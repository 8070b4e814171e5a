use super::*;
use crate::identity::Identity;
use crate::rng::Seed;
use crate::tls::TlsIdentity;

const NOW: u64 = 1_800_000_000;

/// A certificate in the making, as [`make`] begins it.
struct Draft {
    key: CertificateKey,
    params: CertificateParams,
}

impl Draft {
    fn new() -> Self {
        Draft::with(&identity(1), &[])
    }

    /// One whose identity signs `signed` instead, if there is any.
    fn with(identity: &Keypair, signed: &[u8]) -> Self {
        let key = CertificateKey::new(&mut Seed::from_u64(7).rng());
        let message = match signed {
            [] => signed_bytes(&key.subject_public_key_info()),
            other => other.to_vec(),
        };
        let signature = identity.sign(&message).unwrap();
        let content = signed_key(&identity.public().encode_protobuf(), &signature);
        let mut params = CertificateParams::default();
        params.serial_number = Some(1.into());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&EXTENSION, content)];
        Draft { key, params }
    }

    fn der(&self) -> Vec<u8> {
        self.params.self_signed(&self.key).unwrap().der().to_vec()
    }

    fn verify(&self) -> Result<PublicKey, CertificateError> {
        verify(&self.der(), NOW)
    }
}

impl TlsIdentity {
    /// One whose identity vouches for another key than the certificate's.
    pub(crate) fn vouching_for_another_key(identity: &Identity) -> Self {
        let other = CertificateKey::new(&mut Seed::from_u64(8).rng());
        let message = signed_bytes(&other.subject_public_key_info());
        let draft = Draft::with(identity.keypair(), &message);
        TlsIdentity::with_certificate(identity.peer_id(), draft.der(), draft.key)
    }

    /// One with the certificate of `other`, and not its key.
    pub(crate) fn with_stolen_certificate(other: &TlsIdentity) -> Self {
        let key = CertificateKey::new(&mut Seed::from_u64(8).rng());
        TlsIdentity::with_certificate(other.peer_id(), other.certificate().to_vec(), key)
    }

    /// One whose certificate was valid until 1975.
    pub(crate) fn expired(identity: &Identity) -> Self {
        let mut draft = Draft::with(identity.keypair(), &[]);
        draft.params.not_before = date_time_ymd(1970, 1, 1);
        draft.params.not_after = date_time_ymd(1975, 1, 1);
        TlsIdentity::with_certificate(identity.peer_id(), draft.der(), draft.key)
    }
}

fn identity(number: u64) -> Keypair {
    Identity::ed25519(&Seed::from_u64(number)).keypair().clone()
}

fn unknown_extension(is_critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![1, 2, 3]);
    extension.set_criticality(is_critical);
    extension
}

#[test]
fn ours_depends_on_identity_and_seed_only_and_verifies() {
    let made = |seed: u64| {
        let mut rng = Seed::from_u64(seed).rng();
        let key = CertificateKey::new(&mut rng);
        make(&identity(1), &key, &mut rng).unwrap()
    };
    assert_eq!(made(1), made(1));
    assert_ne!(made(1), made(2));
    assert_eq!(verify(&made(1), NOW), Ok(identity(1).public()));
    assert_eq!(identity_key(&made(1)), Ok(identity(1).public()));
    assert!(made(1).len() < 512);
}

#[test]
fn ghsa_5hq8_qhww_jm7q_expired_certificate_is_an_error() {
    let mut draft = Draft::new();
    draft.params.not_before = date_time_ymd(1970, 1, 1);
    draft.params.not_after = date_time_ymd(1975, 1, 1);
    let until = 157_766_400;
    let now = NOW.cast_signed();
    assert_eq!(draft.verify(), Err(CertificateError::Expired { until, now }));
    let der = draft.der();
    assert!(verify(&der, 157_766_400).is_ok());
    assert!(verify(&der, 157_766_401).is_err());
    let late = Err(CertificateError::Expired { until, now: i64::MAX });
    assert_eq!(verify(&der, u64::MAX), late);
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_refused() {
    let mut draft = Draft::new();
    draft.params.not_before = date_time_ymd(2100, 1, 1);
    let (from, now) = (4_102_444_800, NOW.cast_signed());
    assert_eq!(draft.verify(), Err(CertificateError::NotYetValid { from, now }));
    assert!(verify(&draft.der(), 4_102_444_800).is_ok());
}

#[test]
fn the_extension_may_be_critical_and_others_may_not() {
    let mut draft = Draft::new();
    draft.params.custom_extensions[0].set_criticality(true);
    assert!(draft.verify().is_ok());
    draft.params.custom_extensions.push(unknown_extension(false));
    assert!(draft.verify().is_ok());
    draft.params.custom_extensions.push(unknown_extension(true));
    assert_eq!(draft.verify(), Err(CertificateError::CriticalExtension));
}

#[test]
fn the_extension_is_there_once() {
    let mut draft = Draft::new();
    let extension = draft.params.custom_extensions[0].clone();
    draft.params.custom_extensions.push(extension);
    // The parser or we: certificates do not repeat extensions (RFC 5280, section 4.2).
    assert!(draft.verify().is_err());
    draft.params.custom_extensions = vec![unknown_extension(false)];
    assert_eq!(draft.verify(), Err(CertificateError::NoExtension));
    draft.params.custom_extensions = Vec::new();
    assert_eq!(draft.verify(), Err(CertificateError::NoExtension));
}

#[test]
fn the_extension_holds_a_key_and_a_signature_and_nothing_else() {
    let key = identity(1).public().encode_protobuf();
    let good = signed_key(&key, &[1; 64]);
    let mut long = good.clone();
    long.push(0);
    let malformed = Err(CertificateError::MalformedExtension);
    let cases = [
        (Vec::new(), malformed.clone()),
        (good[..good.len() - 1].to_vec(), malformed.clone()),
        (long, malformed.clone()),
        (vec![0x30, 0], malformed.clone()),
        (vec![0x30, 2, 4, 0], malformed.clone()),
        (vec![0x30, 6, 4, 0, 4, 0, 4, 0], malformed),
        (signed_key(&[], &[1; 64]), Err(CertificateError::IdentityKey(KeyError::Malformed))),
        (good, Err(CertificateError::Signature)),
    ];
    for (content, expected) in cases {
        let mut draft = Draft::new();
        draft.params.custom_extensions =
            vec![CustomExtension::from_oid_content(&EXTENSION, content)];
        assert_eq!(draft.verify(), expected);
    }
}

#[test]
fn a_certificate_that_names_another_key_is_refused() {
    // The identity vouches for the key of another certificate.
    let other = CertificateKey::new(&mut Seed::from_u64(8).rng());
    let signed = signed_bytes(&other.subject_public_key_info());
    let draft = Draft::with(&identity(1), &signed);
    assert_eq!(draft.verify(), Err(CertificateError::Signature));
    // Somebody else vouches for this one, in the name of the identity.
    let mut draft = Draft::new();
    let forged = identity(2).sign(&signed_bytes(&draft.key.subject_public_key_info())).unwrap();
    let content = signed_key(&identity(1).public().encode_protobuf(), &forged);
    draft.params.custom_extensions = vec![CustomExtension::from_oid_content(&EXTENSION, content)];
    assert_eq!(draft.verify(), Err(CertificateError::Signature));
}

#[test]
fn the_certificate_is_signed_with_its_own_key() {
    struct Mixed(CertificateKey, CertificateKey);
    impl PublicKeyData for Mixed {
        fn der_bytes(&self) -> &[u8] {
            self.0.der_bytes()
        }
        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            self.0.algorithm()
        }
    }
    impl rcgen::SigningKey for Mixed {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
            rcgen::SigningKey::sign(&self.1, message)
        }
    }
    let draft = Draft::new();
    let other = CertificateKey::new(&mut Seed::from_u64(8).rng());
    let certificate = draft.params.self_signed(&Mixed(draft.key, other)).unwrap();
    assert_eq!(verify(certificate.der(), NOW), Err(CertificateError::SelfSignature));
}

#[test]
fn what_is_no_certificate_is_refused() {
    let der = Draft::new().der();
    let trailing = [&der[..], &[0]].concat();
    assert_eq!(verify(&trailing, NOW), Err(CertificateError::Malformed));
    assert_eq!(verify(&[], NOW), Err(CertificateError::Malformed));
    for cut in 0..der.len() {
        assert_eq!(verify(&der[..cut], NOW), Err(CertificateError::Malformed));
    }
    let long = vec![0x30; MAX_CERTIFICATE_BYTES + 1];
    assert_eq!(verify(&long, NOW), Err(CertificateError::TooLong(long.len())));
}
