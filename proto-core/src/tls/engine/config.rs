//! Configurations of rustls for one connection.

use std::sync::Arc;

use libp2p_identity::PeerId;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, SignatureScheme};

use super::provider::provider;
use super::signer::CertificateSigner;
use super::verifier::Verifier;

/// What the configurations of one node share: the primitives, and its certificate.
#[derive(Debug)]
pub(in crate::tls) struct Base {
    provider: Arc<rustls::crypto::CryptoProvider>,
    certified: Arc<CertifiedKey>,
}

/// What is special to one connection.
pub(in crate::tls) struct Terms {
    /// Who the remote must be; `None` accepts anybody.
    pub(in crate::tls) expected_peer: Option<PeerId>,
    /// The protocols to negotiate, the preferred first.
    pub(in crate::tls) alpn: Vec<Vec<u8>>,
    /// What time it is, in seconds since 1970-01-01 UTC.
    pub(in crate::tls) unix_seconds: u64,
}

impl Base {
    /// The base of a node with this certificate, in DER, and its key.
    pub(in crate::tls) fn new(certificate: Vec<u8>, key: CertificateSigner) -> Self {
        let chain = vec![CertificateDer::from(certificate)];
        let certified = Arc::new(CertifiedKey::new(chain, Arc::new(key)));
        Base { provider: provider(), certified }
    }

    /// The certificate in DER.
    pub(in crate::tls) fn certificate(&self) -> &[u8] {
        // There is one, by `new`.
        self.certified.cert.first().map_or(&[], |certificate| certificate)
    }

    /// A dialer's configuration: TLS 1.3, no server name, no resumption.
    pub(in crate::tls) fn client(&self, terms: Terms) -> Result<ClientConfig, rustls::Error> {
        let verifier = self.verifier(&terms);
        let mut config = ClientConfig::builder_with_details(
            Arc::clone(&self.provider),
            Arc::new(Now(terms.unix_seconds)),
        )
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(OurCertificate(Arc::clone(&self.certified))));
        config.alpn_protocols = terms.alpn;
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        config.enable_secret_extraction = true;
        Ok(config)
    }

    /// A listener's configuration: TLS 1.3, a certificate demanded of the client, no tickets and
    /// nothing stored of a session.
    pub(in crate::tls) fn server(&self, terms: Terms) -> Result<ServerConfig, rustls::Error> {
        let verifier = self.verifier(&terms);
        let mut config = ServerConfig::builder_with_details(
            Arc::clone(&self.provider),
            Arc::new(Now(terms.unix_seconds)),
        )
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(OurCertificate(Arc::clone(&self.certified))));
        config.alpn_protocols = terms.alpn;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.enable_secret_extraction = true;
        Ok(config)
    }

    fn verifier(&self, terms: &Terms) -> Arc<Verifier> {
        Arc::new(Verifier {
            provider: Arc::clone(&self.provider),
            expected_peer: terms.expected_peer,
        })
    }
}

/// The time that came as an input.
#[derive(Debug)]
struct Now(u64);

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(core::time::Duration::from_secs(self.0)))
    }
}

/// Always the one certificate that we have.
#[derive(Debug)]
struct OurCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for OurCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for OurCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}
