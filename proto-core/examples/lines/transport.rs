//! [`Transport`]: what lies below the streams, and how each is dialled and listened for.
#![allow(dead_code, unreachable_pub, reason = "whoever includes this file uses a part of it")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a driver has what the core may not use: sockets"
)]

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use sanspeer_core::byte_mux::{Security, StreamLayer};
use sanspeer_core::connection::{ConnectionConfig, ConnectionSetup};
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::mailbox::ProtocolTable;
use sanspeer_core::mux::Role;
use sanspeer_core::pnet::{PreSharedKey, PskLayer};
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::TlsIdentity;

use super::blocking::BlockingDriver;
use super::driver::Driver;
use super::udp::{UdpDriver, unix_seconds};

/// How long TCP may take to connect.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What lies below the streams. Both sides must have chosen the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP; then, in a private network, its key; a security protocol; Yamux.
    Tcp {
        /// Noise or TLS.
        secured_by: SecuredBy,
        /// The key of the private network.
        psk: Option<PreSharedKey>,
    },
    /// QUIC v1, which is TLS and streams in one. It has no private networks.
    Quic,
}

/// The security protocol over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecuredBy {
    /// `/noise`.
    Noise,
    /// `/tls/1.0.0`.
    Tls,
}

/// Who this side is in a connection, and what it speaks there.
pub struct OurSide<'a> {
    /// The identity that is proved to the remote.
    pub identity: &'a Identity,
    /// Fresh for each connection.
    pub seed: Seed,
    /// The protocols of streams.
    pub protocols: ProtocolTable,
}

impl Transport {
    /// Dials `address`. With `expected_peer`, anybody else there is refused.
    pub fn dial(
        &self,
        address: SocketAddr,
        expected_peer: Option<PeerId>,
        our_side: OurSide<'_>,
    ) -> io::Result<Box<dyn Driver>> {
        match self {
            Transport::Tcp { secured_by, psk } => {
                let socket = TcpStream::connect_timeout(&address, DIAL_TIMEOUT)?;
                let psk = psk.as_ref();
                over_tcp(socket, Role::Dialer, *secured_by, psk, expected_peer, our_side)
            }
            Transport::Quic => {
                let OurSide { identity, seed, protocols } = our_side;
                let driver =
                    UdpDriver::connect(address, identity, &seed, expected_peer, protocols)?;
                Ok(Box::new(driver))
            }
        }
    }

    /// Listens on `address`.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        Ok(match self {
            Transport::Tcp { secured_by, psk } => Listener::Tcp {
                socket: TcpListener::bind(address)?,
                secured_by: *secured_by,
                psk: psk.clone(),
            },
            Transport::Quic => Listener::Quic(UdpSocket::bind(address)?),
        })
    }
}

/// Where connections are waited for.
pub enum Listener {
    /// [`Transport::Tcp`].
    Tcp {
        /// The socket.
        socket: TcpListener,
        /// Noise or TLS.
        secured_by: SecuredBy,
        /// The key of the private network.
        psk: Option<PreSharedKey>,
    },
    /// [`Transport::Quic`].
    Quic(UdpSocket),
}

impl Listener {
    /// The address that this listens on, with the port that the system has chosen.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Listener::Tcp { socket, .. } => socket.local_addr(),
            Listener::Quic(socket) => socket.local_addr(),
        }
    }

    /// Waits for the next connection. The remote has not proved who it is yet.
    ///
    /// Over QUIC, one connection at a time: while it lasts, others are refused.
    pub fn accept(&self, our_side: OurSide<'_>) -> io::Result<(Box<dyn Driver>, SocketAddr)> {
        match self {
            Listener::Tcp { socket, secured_by, psk } => {
                let (socket, from) = socket.accept()?;
                let psk = psk.as_ref();
                let driver = over_tcp(socket, Role::Listener, *secured_by, psk, None, our_side)?;
                Ok((driver, from))
            }
            Listener::Quic(socket) => {
                let OurSide { identity, seed, protocols } = our_side;
                let driver = UdpDriver::accept(socket.try_clone()?, identity, &seed, protocols)?;
                let from = driver.remote();
                Ok((Box::new(driver), from))
            }
        }
    }
}

/// A connection over TCP, from its first byte on.
fn over_tcp(
    socket: TcpStream,
    role: Role,
    secured_by: SecuredBy,
    psk: Option<&PreSharedKey>,
    expected_peer: Option<PeerId>,
    our_side: OurSide<'_>,
) -> io::Result<Box<dyn Driver>> {
    let OurSide { identity, seed, protocols } = our_side;
    let layer = psk.map(|key| Box::new(PskLayer::new(key, &seed)) as Box<dyn StreamLayer>);
    let certificate;
    let security = match secured_by {
        SecuredBy::Noise => Security::Noise(identity),
        SecuredBy::Tls => {
            // A program with many connections makes it once.
            certificate = TlsIdentity::new(identity, &seed).map_err(io::Error::other)?;
            Security::Tls { identity: &certificate, unix_seconds: unix_seconds() }
        }
    };
    let setup = ConnectionSetup { role, security: &[security], seed, expected_peer, layer };
    let config = ConnectionConfig::default();
    Ok(Box::new(BlockingDriver::new(socket, setup, config, protocols)?))
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Tcp { secured_by, psk } => {
                let psk = if psk.is_some() { ", a pre-shared key" } else { "" };
                let secured_by = match secured_by {
                    SecuredBy::Noise => "Noise",
                    SecuredBy::Tls => "TLS",
                };
                write!(f, "TCP{psk}, {secured_by} and Yamux")
            }
            Transport::Quic => write!(f, "QUIC"),
        }
    }
}
