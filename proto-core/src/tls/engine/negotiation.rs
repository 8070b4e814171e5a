//! A handshake of rustls over bytes, from the first to the keys of the records.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error, ExtractedSecrets};

use super::config::{Base, Terms};
use super::key_schedule::{KeySchedule, NoKey, TrafficKey};
use super::seed_scope::SeedScope;
use super::verifier;
use crate::mux::Role;
use crate::rng::Rng;
use crate::tls::error::TlsError;

/// A connection of rustls that keeps no bytes: it works on ours.
pub(in crate::tls) enum Negotiation {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What is left of a handshake: the keys, and the secrets of those that follow.
pub(in crate::tls) struct Keys {
    pub(in crate::tls) sealing: TrafficKey,
    pub(in crate::tls) opening: TrafficKey,
    pub(in crate::tls) schedule: KeySchedule,
}

/// What a call came to.
enum Turn {
    /// Call again.
    Again,
    /// More bytes are needed.
    Blocked,
    /// Both sides are done.
    Done,
}

impl Negotiation {
    /// Starts one. Draws from `rng`.
    pub(in crate::tls) fn new(
        role: Role,
        base: &Base,
        terms: Terms,
        rng: &mut Rng,
    ) -> Result<Self, TlsError> {
        let _scope = SeedScope::enter(rng);
        Self::start(role, base, terms).map_err(|error| reason(&error))
    }

    fn start(role: Role, base: &Base, terms: Terms) -> Result<Self, Error> {
        Ok(match role {
            Role::Dialer => {
                // Never sent: there is no server name (tls, Future Extensibility).
                let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let config = Arc::new(base.client(terms)?);
                Negotiation::Client(Box::new(UnbufferedClientConnection::new(config, name)?))
            }
            Role::Listener => {
                let config = Arc::new(base.server(terms)?);
                Negotiation::Server(Box::new(UnbufferedServerConnection::new(config)?))
            }
        })
    }

    /// Takes whole records from the front of `inbox` and appends what is to be sent to `out`.
    /// Returns whether both sides are done. With an error, `out` may have an alert.
    pub(in crate::tls) fn process(
        &mut self,
        inbox: &mut Vec<u8>,
        out: &mut Vec<u8>,
        rng: &mut Rng,
    ) -> Result<bool, TlsError> {
        let _scope = SeedScope::enter(rng);
        loop {
            let (taken, turn) = self.turn(inbox, out);
            inbox.drain(..taken.min(inbox.len()));
            match turn {
                Ok(Turn::Again) => {}
                Ok(Turn::Blocked) => return Ok(false),
                Ok(Turn::Done) => return Ok(true),
                Err(error) => {
                    // The alert. Without one, rustls would go on with its records, which is not
                    // meant to be asked of it after an error: it can panic.
                    while self.wants_write() && matches!(self.turn(inbox, out), (_, Ok(_))) {}
                    return Err(error);
                }
            }
        }
    }

    /// The protocol that both sides agreed on, if any.
    pub(in crate::tls) fn alpn(&self) -> Option<&[u8]> {
        match self {
            Negotiation::Client(connection) => connection.alpn_protocol(),
            Negotiation::Server(connection) => connection.alpn_protocol(),
        }
    }

    /// The certificate of the remote, in DER, once it has been verified.
    pub(in crate::tls) fn certificate(&self) -> Option<&[u8]> {
        let chain = match self {
            Negotiation::Client(connection) => connection.peer_certificates(),
            Negotiation::Server(connection) => connection.peer_certificates(),
        };
        chain?.first().map(|certificate| &**certificate)
    }

    /// The keys, after [`Negotiation::process`] said that both sides are done.
    pub(in crate::tls) fn into_keys(self) -> Result<Keys, TlsError> {
        let (secrets, schedule) = match self {
            Negotiation::Client(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, KeySchedule::Client(kernel))),
            Negotiation::Server(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, KeySchedule::Server(kernel))),
        }
        .map_err(|error| reason(&error))?;
        let ExtractedSecrets { tx, rx } = secrets;
        let key = |(sequence, secrets): (u64, ConnectionTrafficSecrets)| {
            // Nothing was sent or received with it: no tickets, and no record after the last
            // handshake message is given to rustls.
            if sequence != 0 {
                return Err(TlsError::Internal);
            }
            TrafficKey::of(&secrets).map_err(|NoKey| TlsError::Internal)
        };
        Ok(Keys { sealing: key(tx)?, opening: key(rx)?, schedule })
    }

    /// Whether the next turn encodes something, and does nothing else.
    fn wants_write(&self) -> bool {
        match self {
            Negotiation::Client(connection) => connection.wants_write(),
            Negotiation::Server(connection) => connection.wants_write(),
        }
    }

    fn turn(&mut self, inbox: &mut [u8], out: &mut Vec<u8>) -> (usize, Result<Turn, TlsError>) {
        match self {
            Negotiation::Client(connection) => handle(connection.process_tls_records(inbox), out),
            Negotiation::Server(connection) => handle(connection.process_tls_records(inbox), out),
        }
    }
}

fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    out: &mut Vec<u8>,
) -> (usize, Result<Turn, TlsError>) {
    let UnbufferedStatus { discard, state } = status;
    let turn = match state {
        Ok(ConnectionState::EncodeTlsData(data)) => append(data, out).map(|()| Turn::Again),
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Turn::Again)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Turn::Blocked),
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Turn::Done),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Err(TlsError::Closed),
        // Early data is off, and no record after the last handshake message is given to rustls.
        Ok(_) => Err(TlsError::Misbehaved),
        Err(error) => Err(reason(&error)),
    };
    (discard, turn)
}

fn append<Data>(mut data: EncodeTlsData<'_, Data>, out: &mut Vec<u8>) -> Result<(), TlsError> {
    // The length is known from being told that there is too little space.
    let bytes = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(error)) => error.required_size,
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return Ok(()),
    };
    let start = out.len();
    out.resize(start + bytes, 0);
    data.encode(&mut out[start..]).map(|_| ()).map_err(|_| TlsError::Internal)
}

/// Our error for one of rustls'.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds to its errors")]
pub(super) fn reason(error: &Error) -> TlsError {
    if let Some(ours) = verifier::reason(error) {
        return ours;
    }
    match error {
        Error::NoCertificatesPresented => TlsError::NoCertificate,
        Error::AlertReceived(AlertDescription::CloseNotify) => TlsError::Closed,
        Error::AlertReceived(alert) => TlsError::Alert(u8::from(*alert)),
        Error::NoApplicationProtocol => TlsError::NoCommonProtocol,
        Error::PeerIncompatible(_) => TlsError::Incompatible,
        Error::DecryptError | Error::InvalidCertificate(_) => TlsError::Forged,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord => TlsError::Misbehaved,
        _ => TlsError::Internal,
    }
}

/// What RFC 8446, section 6 calls the alert with this code.
pub(in crate::tls) fn alert_name(code: u8) -> impl core::fmt::Debug {
    AlertDescription::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::rng::Seed;
    use crate::tls::TlsIdentity;

    #[test]
    fn a_handshake_outside_of_a_scope_fails_rather_than_draws() {
        let seed = Seed::from_u64(1);
        let identity = TlsIdentity::new(&Identity::ed25519(&seed), &seed).unwrap();
        let terms = || Terms { expected_peer: None, alpn: Vec::new(), unix_seconds: 0 };
        let start = |role| Negotiation::start(role, identity.base(), terms());
        assert_eq!(start(Role::Dialer).err(), Some(Error::FailedToGetRandomBytes));

        // A listener draws first when it answers.
        let mut rng = seed.rng();
        let mut hello = Vec::new();
        Negotiation::new(Role::Dialer, identity.base(), terms(), &mut rng)
            .and_then(|mut dialer| dialer.process(&mut Vec::new(), &mut hello, &mut rng))
            .unwrap();
        assert!(!hello.is_empty());
        let mut listener = start(Role::Listener).unwrap();
        let (_, turn) = listener.turn(&mut hello, &mut Vec::new());
        assert_eq!(turn.err(), Some(TlsError::Internal));
    }
}
