//! rustls as a bare pair uses it: the same kind of certificate as ours, verified by the same
//! function, demanded of both sides, under the same suite and group.
//!
//! Different are the [`Primitives`]. Ours draws everything from a seed, which ring does not allow
//! for X25519 and for signatures with P-256.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use curve25519_dalek_5::montgomery::MontgomeryPoint;
use libp2p_identity::Keypair;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::crypto::ring::{default_provider, kx_group};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, SharedSecret, SupportedKxGroup,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, NamedGroup,
    PeerIncompatible, PeerMisbehaved, ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The time at which certificates must be valid: 2026-01-01.
pub const UNIX_SECONDS: u64 = 1_767_225_600;

/// libp2p's extension of a certificate.
const EXTENSION: [u64; 9] = [1, 3, 6, 1, 4, 1, 53594, 1, 1];

/// What an identity signs, before the certificate's key.
const SIGNATURE_PREFIX: &[u8] = b"libp2p-tls-handshake:";

/// What computes X25519 and signs the handshake.
pub trait Primitives {
    /// What to append to the name of a contender.
    const SUFFIX: &'static str;

    fn group() -> &'static dyn SupportedKxGroup;

    fn signing_key(pkcs8: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>>;
}

/// The fastest: ring's.
pub struct Ring;

impl Primitives for Ring {
    const SUFFIX: &'static str = "";

    fn group() -> &'static dyn SupportedKxGroup {
        kx_group::X25519
    }

    fn signing_key(pkcs8: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>> {
        Ok(any_ecdsa_type(&PrivatePkcs8KeyDer::from(pkcs8).into())?)
    }
}

/// Those of ours: curve25519-dalek and p256.
pub struct Seedable;

impl Primitives for Seedable {
    const SUFFIX: &'static str = ", X25519 and P-256 as ours";

    fn group() -> &'static dyn SupportedKxGroup {
        &DalekX25519
    }

    fn signing_key(pkcs8: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>> {
        let key = SigningKey::from_pkcs8_der(pkcs8).map_err(|error| anyhow!("{error}"))?;
        Ok(Arc::new(P256Key(key)))
    }
}

/// What a node makes once: its certificate, and the primitives.
pub struct TlsNode {
    provider: Arc<CryptoProvider>,
    certified: CertifiedKey,
}

impl TlsNode {
    pub fn new<P: Primitives>() -> Result<Self> {
        let identity = Keypair::generate_ed25519();
        let key = KeyPair::generate()?;
        let signed = [SIGNATURE_PREFIX, &key.subject_public_key_info()].concat();
        let extension = signed_key(&identity.public().encode_protobuf(), &identity.sign(&signed)?);
        let mut params = CertificateParams::default();
        params.custom_extensions = vec![CustomExtension::from_oid_content(&EXTENSION, extension)];
        let certificate = params.self_signed(&key)?.der().clone();
        let key = P::signing_key(&key.serialize_der())?;
        let provider = CryptoProvider {
            cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![P::group()],
            ..default_provider()
        };
        let certified = CertifiedKey::new(vec![certificate], key);
        Ok(Self { provider: Arc::new(provider), certified })
    }

    pub fn client(&self, alpn: &[u8]) -> Result<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier())
            .with_client_cert_resolver(self.resolver());
        config.alpn_protocols = vec![alpn.to_vec()];
        config.enable_sni = false;
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    pub fn server(&self, alpn: &[u8]) -> Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.verifier())
            .with_cert_resolver(self.resolver());
        config.alpn_protocols = vec![alpn.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(self.certified.clone().into())
    }

    fn verifier(&self) -> Arc<Verifier> {
        Arc::new(Verifier(Arc::clone(&self.provider)))
    }
}

/// The content of the extension: a sequence of two octet strings, each shorter than 128 bytes and
/// together shorter than 256, as those of an Ed25519 key are.
fn signed_key(key: &[u8], signature: &[u8]) -> Vec<u8> {
    let octets = |bytes: &[u8]| [&[4, bytes.len() as u8], bytes].concat();
    let content = [octets(key), octets(signature)].concat();
    match content.len() {
        len @ ..128 => [&[0x30, len as u8], &content[..]].concat(),
        len => [&[0x30, 0x81, len as u8], &content[..]].concat(),
    }
}

#[derive(Debug)]
struct DalekX25519;

impl SupportedKxGroup for DalekX25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        default_provider().secure_random.fill(&mut secret)?;
        let public = MontgomeryPoint::mul_base_clamped(secret).to_bytes();
        Ok(Box::new(KeyShare { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct KeyShare {
    secret: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for KeyShare {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer =
            peer.try_into().map_err(|_| Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare))?;
        let shared = MontgomeryPoint(peer).mul_clamped(self.secret).to_bytes();
        Ok(SharedSecret::from(&shared[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[derive(Debug)]
struct P256Key(SigningKey);

impl rustls::sign::SigningKey for P256Key {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        Some(Box::new(Self(self.0.clone())))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl rustls::sign::Signer for P256Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: DerSignature =
            self.0.try_sign(message).map_err(|error| Error::General(error.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// Checks as ours does.
#[derive(Debug)]
struct Verifier(Arc<CryptoProvider>);

impl Verifier {
    fn verify(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match sanspeer_core::tls::verify(certificate, UNIX_SECONDS) {
            Ok(_) => Ok(()),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.tbs_certificate.subject_pki.raw);
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
