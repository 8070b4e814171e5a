//! What carries a connection in a test.

use std::net::SocketAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Everything below the streams. Both sides of a test are given the same.
#[allow(dead_code, reason = "each test crate that includes this uses a part of it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP, Noise, Yamux.
    TcpNoise,
    /// TCP, TLS, Yamux.
    TcpTls,
    /// TCP, Noise, Yamux, in the private network of this key.
    PnetNoise([u8; 32]),
    /// QUIC v1.
    Quic,
}

#[allow(dead_code, reason = "each test crate that includes this uses a part of it")]
impl Transport {
    /// Whether rust-libp2p resets a stream that it drops. Over QUIC it ends it, and asks the other
    /// side to stop.
    pub(crate) fn rust_libp2p_resets(self) -> bool {
        match self {
            Transport::TcpNoise | Transport::TcpTls | Transport::PnetNoise(_) => true,
            Transport::Quic => false,
        }
    }

    /// How an address of this transport is written.
    pub(crate) fn multiaddr(self, addr: SocketAddr) -> Multiaddr {
        let ip = Multiaddr::from(addr.ip());
        match self {
            Transport::TcpNoise | Transport::TcpTls | Transport::PnetNoise(_) => {
                ip.with(Protocol::Tcp(addr.port()))
            }
            Transport::Quic => ip.with(Protocol::Udp(addr.port())).with(Protocol::QuicV1),
        }
    }
}

/// A module for each transport, in which each function that is named becomes a test.
#[allow(unused_macros, reason = "not every test crate that includes this has a suite")]
macro_rules! over_transports {
    ($($module:ident: $transport:expr),+; $($test:ident),+ $(,)?) => {
        over_transports! { @ [$($test)+] $($module: $transport),+ }
    };
    (@ $tests:tt $($module:ident: $transport:expr),+) => {
        $(over_transports! { @@ $tests $module: $transport })+
    };
    (@@ [$($test:ident)+] $module:ident: $transport:expr) => {
        mod $module {
            use super::*;

            $(#[test]
            fn $test() {
                super::$test($transport);
            })+
        }
    };
}
pub(crate) use over_transports;

/// The IP address and port that a multiaddr starts with.
pub(crate) fn socket_addr(addr: &Multiaddr) -> Option<SocketAddr> {
    let parts: Vec<_> = addr.iter().take(2).collect();
    let [ref ip, Protocol::Tcp(port) | Protocol::Udp(port)] = parts[..] else { return None };
    if let Protocol::Ip4(ip) = *ip {
        Some(SocketAddr::new(ip.into(), port))
    } else if let Protocol::Ip6(ip) = *ip {
        Some(SocketAddr::new(ip.into(), port))
    } else {
        None
    }
}
