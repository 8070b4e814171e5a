//! Certificates that vouch for a libp2p identity: made once by a node, verified at each handshake.
//!
//! A certificate is self-signed with a key of its own. Its extension
//! `1.3.6.1.4.1.53594.1.1` holds the identity key and its signature over the certificate's key.
//!
//! Ours is signed with ECDSA over P-256, its nonce derived from key and message (RFC 6979), since
//! that needs no randomness and is what go-libp2p, rust-libp2p and js-libp2p all make themselves,
//! so that each verifies it. Ed25519 would need none either, but nobody sends it, and whether it is
//! verified depends on the TLS and WebCrypto libraries below each implementation.
//!
//! Specification: [tls, Peer Authentication](https://github.com/libp2p/specs/blob/master/tls/tls.md#peer-authentication).

use std::borrow::Cow;

use libp2p_identity::{Keypair, PublicKey, SigningError};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SerialNumber, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::{Any, FromDer, Sequence, ToDer};
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry::{
    OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519, Oid,
};
use zeroize::Zeroizing;

use crate::identity::{KeyError, decode_public_key};
use crate::rng::Rng;

/// The longest certificate that is looked at, in bytes. One with RSA keys of 8,192 bits as identity
/// and as its own key takes about 4,500.
pub const MAX_CERTIFICATE_BYTES: usize = 8_192;

/// The libp2p Public Key Extension.
const EXTENSION: [u64; 9] = [1, 3, 6, 1, 4, 1, 53594, 1, 1];

/// What the identity signs, before the `SubjectPublicKeyInfo` of the certificate's key.
const SIGNATURE_PREFIX: &[u8; 21] = b"libp2p-tls-handshake:";

/// Ours are valid from 1975 to 4096, as those of rust-libp2p and of the specification's vectors:
/// they depend on no clock.
const VALID_FROM_YEAR: i32 = 1975;
const VALID_UNTIL_YEAR: i32 = 4096;

const SERIAL_NUMBER_BYTES: usize = 16;

/// Why a certificate is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateError {
    /// It is longer than [`MAX_CERTIFICATE_BYTES`]. Its length, in bytes.
    TooLong(usize),
    /// The remote sent so many certificates, not one.
    Chain(usize),
    /// It is no X.509 certificate of version 3 in DER, or something follows it.
    Malformed,
    /// It has a unique id of its subject or its issuer, which it must not.
    UniqueId,
    /// It is not valid yet. Seconds since 1970-01-01 UTC.
    NotYetValid {
        /// From when on it is.
        from: i64,
        /// What time it is.
        now: i64,
    },
    /// It is not valid any more. Seconds since 1970-01-01 UTC.
    Expired {
        /// Until when it was.
        until: i64,
        /// What time it is.
        now: i64,
    },
    /// It is signed with an algorithm that is unknown here or too weak: known are ECDSA over P-256
    /// and P-384, Ed25519, and RSA, all with SHA-256 or longer.
    Algorithm,
    /// It is not signed with its own key.
    SelfSignature,
    /// It has a critical extension that is not libp2p's.
    CriticalExtension,
    /// It does not have libp2p's extension.
    NoExtension,
    /// It has libp2p's extension more than once.
    RepeatedExtension,
    /// The extension is no pair of a key and a signature.
    MalformedExtension,
    /// The identity key in the extension is not acceptable.
    IdentityKey(KeyError),
    /// The identity did not sign the certificate's key.
    Signature,
}

/// The key of a certificate. Wiped when dropped.
pub(super) struct CertificateKey {
    signing: SigningKey,
    /// The uncompressed point (SEC 1, section 2.3.3).
    point: Vec<u8>,
}

impl CertificateKey {
    /// The first 32 bytes of `rng` that are a secret key: all but one in 2^32 are.
    pub(super) fn new(rng: &mut Rng) -> Self {
        loop {
            let secret = Zeroizing::new(rng.bytes::<32>());
            if let Ok(signing) = SigningKey::from_slice(secret.as_slice()) {
                let point = signing.verifying_key().to_sec1_point(false).as_bytes().to_vec();
                return CertificateKey { signing, point };
            }
        }
    }

    /// The key itself.
    pub(super) fn into_signing(self) -> SigningKey {
        self.signing
    }
}

impl PublicKeyData for CertificateKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for CertificateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature =
            self.signing.try_sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.as_bytes().to_vec())
    }
}

/// A certificate, in DER, of `key` for `identity`; its serial number is drawn from `rng`.
pub(super) fn make(
    identity: &Keypair,
    key: &CertificateKey,
    rng: &mut Rng,
) -> Result<Vec<u8>, SigningError> {
    let signature = identity.sign(&signed_bytes(&key.subject_public_key_info()))?;
    let extension = signed_key(&identity.public().encode_protobuf(), &signature);
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(VALID_FROM_YEAR, 1, 1);
    params.not_after = date_time_ymd(VALID_UNTIL_YEAR, 1, 1);
    // Positive, of constant length, and the first byte not zero (RFC 5280, section 4.1.2.2).
    let mut serial_number = rng.bytes::<SERIAL_NUMBER_BYTES>();
    serial_number[0] = serial_number[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial_number));
    // An issuer must not be empty (RFC 5280, section 4.1.2.4). The name is that of the vectors.
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "libp2p.io");
    params.custom_extensions = vec![CustomExtension::from_oid_content(&EXTENSION, extension)];
    let certificate = params
        .self_signed(key)
        .expect("a serial number is given, P-256 signs, and nothing else can fail");
    Ok(certificate.der().to_vec())
}

/// Whose certificate `der` is, after every check of the specification: one certificate, signed with
/// its own key, valid at `unix_seconds`, its key signed by the identity in the extension, and
/// nothing critical in it that is unknown.
///
/// `unix_seconds` is the time now, in seconds since 1970-01-01 UTC.
pub fn verify(der: &[u8], unix_seconds: u64) -> Result<PublicKey, CertificateError> {
    let certificate = parse(der)?;
    let now = i64::try_from(unix_seconds).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if now < from {
        return Err(CertificateError::NotYetValid { from, now });
    }
    if now > until {
        return Err(CertificateError::Expired { until, now });
    }
    let (public_key, signature) = identity(&certificate)?;
    let algorithm = &certificate.signature_algorithm;
    if *algorithm != certificate.tbs_certificate.signature || !is_accepted(&algorithm.algorithm) {
        return Err(CertificateError::Algorithm);
    }
    certificate.verify_signature(None).map_err(|_| CertificateError::SelfSignature)?;
    if !public_key.verify(&signed_bytes(certificate.public_key().raw), signature) {
        return Err(CertificateError::Signature);
    }
    Ok(public_key)
}

/// The identity key in a certificate that has been verified: nothing is verified again.
pub(super) fn identity_key(verified_der: &[u8]) -> Result<PublicKey, CertificateError> {
    identity(&parse(verified_der)?).map(|(public_key, _)| public_key)
}

/// The certificate's own key, as `SubjectPublicKeyInfo` in DER.
pub(super) fn subject_public_key_info(der: &[u8]) -> Result<&[u8], CertificateError> {
    Ok(parse(der)?.tbs_certificate.subject_pki.raw)
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::TooLong(der.len()));
    }
    // Extensions are not looked into: what does not concern us may be malformed.
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let (rest, certificate) = parser.parse(der).map_err(|_| CertificateError::Malformed)?;
    if !rest.is_empty() || certificate.version() != x509_parser::x509::X509Version::V3 {
        return Err(CertificateError::Malformed);
    }
    if !is_der(der, &certificate) {
        return Err(CertificateError::Malformed);
    }
    if certificate.issuer_uid.is_some() || certificate.subject_uid.is_some() {
        return Err(CertificateError::UniqueId);
    }
    Ok(certificate)
}

/// Whether the signed part, the algorithm that it names, and the signature give the bytes of the
/// certificate again. The parser is less strict about what no signature covers, and would take
/// several encodings of one certificate.
fn is_der(der: &[u8], certificate: &X509Certificate<'_>) -> bool {
    let signed = certificate.tbs_certificate.as_ref();
    let signature = &certificate.signature_value;
    let encoded = || {
        let content = Any::from_der(signed).ok()?.1.data;
        let (after_version, _) = Any::from_der(content).ok()?;
        let (algorithm_first, _serial_number) = Any::from_der(after_version).ok()?;
        let (after_algorithm, _) = Any::from_der(algorithm_first).ok()?;
        let algorithm = &algorithm_first[..algorithm_first.len() - after_algorithm.len()];
        let content = [signed, algorithm, &signature.to_der_vec().ok()?].concat();
        Sequence::new(content.into()).to_der_vec().ok()
    };
    signature.unused_bits == 0 && encoded().is_some_and(|encoded| encoded == der)
}

/// The identity key and its signature, of the one extension that has them.
fn identity<'a>(
    certificate: &X509Certificate<'a>,
) -> Result<(PublicKey, &'a [u8]), CertificateError> {
    let oid = Oid::from(&EXTENSION).map_err(|_| CertificateError::NoExtension)?;
    let mut found = None;
    for extension in certificate.extensions() {
        if extension.oid == oid {
            if found.replace(extension.value).is_some() {
                return Err(CertificateError::RepeatedExtension);
            }
        } else if extension.critical {
            return Err(CertificateError::CriticalExtension);
        }
    }
    let value = found.ok_or(CertificateError::NoExtension)?;
    let (key, signature) = split_signed_key(value).ok_or(CertificateError::MalformedExtension)?;
    let public_key = decode_public_key(key).map_err(CertificateError::IdentityKey)?;
    Ok((public_key, signature))
}

fn is_accepted(algorithm: &Oid<'_>) -> bool {
    [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ED25519,
        OID_PKCS1_RSASSAPSS,
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA,
    ]
    .contains(algorithm)
}

fn signed_bytes(subject_public_key_info: &[u8]) -> Vec<u8> {
    [SIGNATURE_PREFIX, subject_public_key_info].concat()
}

/// `SignedKey`, in DER.
fn signed_key(public_key: &[u8], signature: &[u8]) -> Vec<u8> {
    Sequence::from_iter_to_der([public_key, signature].into_iter())
        .and_then(|sequence| sequence.to_der_vec())
        .expect("writing to memory does not fail")
}

/// Key and signature of a `SignedKey`, if nothing else is there.
fn split_signed_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, sequence) = Sequence::from_der(der).ok()?;
    let Cow::Borrowed(content) = sequence.content else { return None };
    let (after_key, key) = <&[u8]>::from_der(content).ok()?;
    let (after_signature, signature) = <&[u8]>::from_der(after_key).ok()?;
    (rest.is_empty() && after_signature.is_empty()).then_some((key, signature))
}

impl core::fmt::Display for CertificateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CertificateError::TooLong(length) => {
                write!(f, "certificate of {length} bytes, more than {MAX_CERTIFICATE_BYTES}")
            }
            CertificateError::Chain(number) => write!(f, "{number} certificates, not one"),
            CertificateError::Malformed => f.write_str("no X.509 certificate"),
            CertificateError::UniqueId => f.write_str("certificate with a unique id"),
            CertificateError::NotYetValid { from, now } => {
                write!(f, "certificate valid from Unix second {from}, now is {now}")
            }
            CertificateError::Expired { until, now } => {
                write!(f, "certificate valid until Unix second {until}, now is {now}")
            }
            CertificateError::Algorithm => {
                f.write_str("certificate signed with an unknown or weak algorithm")
            }
            CertificateError::SelfSignature => {
                f.write_str("certificate not signed with its own key")
            }
            CertificateError::CriticalExtension => {
                f.write_str("certificate with an unknown critical extension")
            }
            CertificateError::NoExtension => f.write_str("certificate without libp2p's extension"),
            CertificateError::RepeatedExtension => {
                f.write_str("certificate with libp2p's extension more than once")
            }
            CertificateError::MalformedExtension => {
                f.write_str("libp2p's extension is no key with a signature")
            }
            CertificateError::IdentityKey(error) => {
                write!(f, "certificate's identity key: {error}")
            }
            CertificateError::Signature => {
                f.write_str("the identity key did not sign the certificate's key")
            }
        }
    }
}

impl core::error::Error for CertificateError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            CertificateError::IdentityKey(error) => Some(error),
            CertificateError::TooLong(_)
            | CertificateError::Chain(_)
            | CertificateError::Malformed
            | CertificateError::UniqueId
            | CertificateError::NotYetValid { .. }
            | CertificateError::Expired { .. }
            | CertificateError::Algorithm
            | CertificateError::SelfSignature
            | CertificateError::CriticalExtension
            | CertificateError::NoExtension
            | CertificateError::RepeatedExtension
            | CertificateError::MalformedExtension
            | CertificateError::Signature => None,
        }
    }
}

#[cfg(test)]
mod tests;
