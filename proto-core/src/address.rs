//! What Node and drivers must know of a [`Multiaddr`]: what can be done with it ([`Endpoint`]), whom
//! it names, and how far it reaches ([`Scope`]).
//!
//! Specification: [addressing](https://github.com/libp2p/specs/blob/master/addressing/README.md).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

/// The longest host name, in bytes (RFC 1035, section 2.3.4, without the length of the first label
/// and the root).
pub const MAX_HOST_BYTES: usize = 253;

/// An address of a kind that is known here, without the peer that it may name at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/ip4/…/tcp/…` or `/ip6/…/tcp/…`. An IPv4-mapped IPv6 address is an IPv4 one.
    Tcp(SocketAddr),
    /// `/ip4/…/udp/…/quic-v1` or `/ip6/…/udp/…/quic-v1`, mapped likewise.
    Quic(SocketAddr),
    /// `/memory/…`: inside this process.
    Memory(u64),
    /// `/dns/…`, `/dns4/…` or `/dns6/…` and a transport: to be looked up.
    Name {
        /// Which of the host's addresses are meant.
        family: NameFamily,
        /// The host.
        host: String,
        /// The transport at each of its addresses.
        transport: Transport,
        /// Its port.
        port: u16,
    },
    /// `/dnsaddr/…`: to be looked up, for whole addresses.
    Dnsaddr {
        /// Their host.
        host: String,
    },
    /// `…/p2p/…/p2p-circuit`: through a relay.
    Circuit {
        /// The relay's address, with its peer id; of a relay whose address is known otherwise, the
        /// id alone.
        relay: Multiaddr,
    },
}

/// Which addresses of a host are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFamily {
    /// `/dns`: IPv4 and IPv6.
    Any,
    /// `/dns4`: IPv4.
    V4,
    /// `/dns6`: IPv6.
    V6,
}

/// What runs at an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// QUIC v1.
    Quic,
}

/// How far an IP address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This machine.
    Loopback,
    /// A local network: private (RFC 1918), shared (RFC 6598), unique local (RFC 4193) or
    /// link-local.
    Private,
    /// Everywhere.
    Public,
    /// No particular host: `0.0.0.0/8` and `::`. Only good for listening.
    Unspecified,
    /// More than one host, or nobody yet: multicast, broadcast and `240.0.0.0/4`.
    Multicast,
}

impl Endpoint {
    /// What `address` is, whether or not it names a peer at its end. `None` if it is of a kind that
    /// nothing can be done with.
    pub fn parse(address: &Multiaddr) -> Option<Endpoint> {
        let mut parts: Vec<Protocol<'_>> = address.iter().collect();
        if let Some(Protocol::P2p(_)) = parts.last() {
            parts.pop();
        }
        if let Some(relay) = parts.strip_suffix(&[Protocol::P2pCircuit]) {
            return circuit(relay);
        }
        direct(&parts)
    }

    /// The address, without a peer.
    pub fn to_multiaddr(&self) -> Multiaddr {
        match self {
            Endpoint::Tcp(socket) => {
                Multiaddr::from(socket.ip().to_canonical()).with(Protocol::Tcp(socket.port()))
            }
            Endpoint::Quic(socket) => Multiaddr::from(socket.ip().to_canonical())
                .with(Protocol::Udp(socket.port()))
                .with(Protocol::QuicV1),
            Endpoint::Memory(port) => Protocol::Memory(*port).into(),
            Endpoint::Name { family, host, transport, port } => {
                let name: Multiaddr = match family {
                    NameFamily::Any => Protocol::Dns(host.into()).into(),
                    NameFamily::V4 => Protocol::Dns4(host.into()).into(),
                    NameFamily::V6 => Protocol::Dns6(host.into()).into(),
                };
                match transport {
                    Transport::Tcp => name.with(Protocol::Tcp(*port)),
                    Transport::Quic => name.with(Protocol::Udp(*port)).with(Protocol::QuicV1),
                }
            }
            Endpoint::Dnsaddr { host } => Protocol::Dnsaddr(host.into()).into(),
            Endpoint::Circuit { relay } => relay.clone().with(Protocol::P2pCircuit),
        }
    }

    /// The socket that it is at, if that is known without a lookup or a relay.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Endpoint::Tcp(socket) | Endpoint::Quic(socket) => Some(*socket),
            Endpoint::Memory(_)
            | Endpoint::Name { .. }
            | Endpoint::Dnsaddr { .. }
            | Endpoint::Circuit { .. } => None,
        }
    }

    /// How far it reaches. `None` for what has no IP address of its own.
    pub fn scope(&self) -> Option<Scope> {
        self.socket().map(|socket| scope(socket.ip()))
    }

    /// Whether it has to be looked up before it can be dialled.
    pub fn is_name(&self) -> bool {
        matches!(self, Endpoint::Name { .. } | Endpoint::Dnsaddr { .. })
    }

    /// Whether somebody can be there. Not at port 0, and not at an address that is no single
    /// host's.
    pub fn is_dialable(&self) -> bool {
        match self {
            Endpoint::Tcp(socket) | Endpoint::Quic(socket) => {
                socket.port() != 0
                    && match scope(socket.ip()) {
                        Scope::Loopback | Scope::Private | Scope::Public => true,
                        Scope::Unspecified | Scope::Multicast => false,
                    }
            }
            Endpoint::Name { port, .. } => *port != 0,
            Endpoint::Memory(port) => *port != 0,
            Endpoint::Dnsaddr { .. } | Endpoint::Circuit { .. } => true,
        }
    }
}

/// Whom an address names at its end, `/p2p/…`. Both spellings of a peer id are read, `12D3Koo…` and
/// the older `Qm…`.
pub fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    let Some(Protocol::P2p(peer)) = address.iter().last() else { return None };
    Some(peer)
}

/// `address` without the peer that it names at its end.
pub fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if peer_of(&address).is_some() {
        address.pop();
    }
    address
}

/// `address` naming `peer` at its end, in place of whom it named there.
pub fn with_peer(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    without_peer(address).with(Protocol::P2p(peer))
}

/// The IP address that `address` is at. `None` for names, and for a circuit, whose IP address is
/// its relay's.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    Some(Endpoint::parse(address)?.socket()?.ip())
}

/// How far an IP address reaches. An IPv4-mapped IPv6 address reaches as far as the IPv4 one.
pub fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    let [first, second, ..] = ip.octets();
    let is_shared = first == 100 && second & 0xc0 == 64;
    if ip.is_loopback() {
        Scope::Loopback
    } else if first == 0 {
        Scope::Unspecified
    } else if first >= 224 {
        Scope::Multicast
    } else if ip.is_private() || ip.is_link_local() || is_shared {
        Scope::Private
    } else {
        Scope::Public
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    if ip.is_loopback() {
        Scope::Loopback
    } else if ip.is_unspecified() {
        Scope::Unspecified
    } else if ip.is_multicast() {
        Scope::Multicast
    } else if ip.is_unique_local() || ip.is_unicast_link_local() {
        Scope::Private
    } else {
        Scope::Public
    }
}

/// An address through a relay, of what stands before `/p2p-circuit`. No relay over relay.
fn circuit(relay: &[Protocol<'_>]) -> Option<Endpoint> {
    let (last, before) = relay.split_last()?;
    let Protocol::P2p(_) = last else { return None };
    if !before.is_empty() {
        direct(before)?;
    }
    Some(Endpoint::Circuit { relay: relay.iter().cloned().collect() })
}

fn direct(parts: &[Protocol<'_>]) -> Option<Endpoint> {
    match parts {
        [Protocol::Memory(port)] => Some(Endpoint::Memory(*port)),
        [Protocol::Dnsaddr(name)] => Some(Endpoint::Dnsaddr { host: host(name)? }),
        [at, rest @ ..] => {
            let (transport, port) = transport(rest)?;
            if let Some(ip) = ip(at) {
                let socket = SocketAddr::new(ip.to_canonical(), port);
                return Some(match transport {
                    Transport::Tcp => Endpoint::Tcp(socket),
                    Transport::Quic => Endpoint::Quic(socket),
                });
            }
            let (family, name) = name(at)?;
            Some(Endpoint::Name { family, host: host(name)?, transport, port })
        }
        [] => None,
    }
}

fn transport(parts: &[Protocol<'_>]) -> Option<(Transport, u16)> {
    match parts {
        [Protocol::Tcp(port)] => Some((Transport::Tcp, *port)),
        [Protocol::Udp(port), Protocol::QuicV1] => Some((Transport::Quic, *port)),
        _ => None,
    }
}

fn ip(part: &Protocol<'_>) -> Option<IpAddr> {
    if let Protocol::Ip4(ip) = part {
        return Some(IpAddr::V4(*ip));
    }
    let Protocol::Ip6(ip) = part else { return None };
    Some(IpAddr::V6(*ip))
}

fn name<'a>(part: &'a Protocol<'_>) -> Option<(NameFamily, &'a str)> {
    if let Protocol::Dns(name) = part {
        return Some((NameFamily::Any, name));
    }
    if let Protocol::Dns4(name) = part {
        return Some((NameFamily::V4, name));
    }
    let Protocol::Dns6(name) = part else { return None };
    Some((NameFamily::V6, name))
}

/// A host name, of letters, digits, hyphens, underscores and dots: it ends up in logs and in
/// resolvers, which trip over others.
fn host(name: &str) -> Option<String> {
    let is_valid = (1..=MAX_HOST_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    is_valid.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ED25519: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    const SHA256: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

    fn address(text: &str) -> Multiaddr {
        text.parse().expect(text)
    }

    fn parse(text: &str) -> Option<Endpoint> {
        Endpoint::parse(&address(text))
    }

    fn peer() -> PeerId {
        ED25519.parse().expect("a peer id")
    }

    /// Parts of addresses, so chosen that they often make a whole one.
    fn part() -> impl Strategy<Value = String> {
        proptest::sample::select(vec![
            "/ip4/1.2.3.4".to_owned(),
            "/ip6/::ffff:1.2.3.4".to_owned(),
            "/dns4/example.org".to_owned(),
            "/dnsaddr/example.org".to_owned(),
            "/tcp/1".to_owned(),
            "/udp/1".to_owned(),
            "/quic-v1".to_owned(),
            "/memory/1".to_owned(),
            "/p2p-circuit".to_owned(),
            format!("/p2p/{SHA256}"),
        ])
    }

    fn socket(text: &str) -> SocketAddr {
        text.parse().expect(text)
    }

    #[test]
    fn each_kind_is_known_with_and_without_a_peer() {
        let name = |family, transport| Endpoint::Name {
            family,
            host: "example.org".to_owned(),
            transport,
            port: 1,
        };
        let relay = format!("/ip4/1.2.3.4/tcp/1/p2p/{SHA256}");
        let cases = [
            ("/ip4/1.2.3.4/tcp/5", Endpoint::Tcp(socket("1.2.3.4:5"))),
            ("/ip6/::1/tcp/5", Endpoint::Tcp(socket("[::1]:5"))),
            ("/ip4/1.2.3.4/udp/5/quic-v1", Endpoint::Quic(socket("1.2.3.4:5"))),
            ("/ip6/2001:db8::1/udp/5/quic-v1", Endpoint::Quic(socket("[2001:db8::1]:5"))),
            ("/memory/7", Endpoint::Memory(7)),
            ("/dns/example.org/tcp/1", name(NameFamily::Any, Transport::Tcp)),
            ("/dns4/example.org/tcp/1", name(NameFamily::V4, Transport::Tcp)),
            ("/dns6/example.org/udp/1/quic-v1", name(NameFamily::V6, Transport::Quic)),
            ("/dnsaddr/example.org", Endpoint::Dnsaddr { host: "example.org".to_owned() }),
            (&format!("{relay}/p2p-circuit"), Endpoint::Circuit { relay: address(&relay) }),
            (
                &format!("/p2p/{SHA256}/p2p-circuit"),
                Endpoint::Circuit { relay: address(&format!("/p2p/{SHA256}")) },
            ),
        ];
        for (text, endpoint) in cases {
            assert_eq!(parse(text).as_ref(), Some(&endpoint), "{text}");
            assert_eq!(parse(&format!("{text}/p2p/{ED25519}")).as_ref(), Some(&endpoint), "{text}");
            assert_eq!(endpoint.to_multiaddr(), address(text));
        }
    }

    #[test]
    fn every_other_kind_is_refused() {
        let circuit = format!("/ip4/1.2.3.4/tcp/1/p2p/{SHA256}/p2p-circuit");
        let long = format!("/dns4/{}/tcp/1", "a".repeat(MAX_HOST_BYTES + 1));
        for text in [
            "/ip4/1.2.3.4",
            "/tcp/5",
            "/ip4/1.2.3.4/udp/5",
            "/ip4/1.2.3.4/udp/5/quic",
            "/ip4/1.2.3.4/tcp/5/quic-v1",
            "/ip4/1.2.3.4/udp/5/quic-v1/webtransport",
            "/ip4/1.2.3.4/tcp/5/ws",
            "/ip6zone/eth0/ip6/fe80::1/tcp/5",
            "/memory/7/tcp/1",
            "/dns4/example.org",
            "/dns4/exa mple/tcp/1",
            "/dnsaddr/example.org/tcp/1",
            "/unix/tmp",
            "/p2p-circuit",
            "/ip4/1.2.3.4/tcp/1/p2p-circuit",
            &long,
            &format!("/p2p/{ED25519}"),
            &format!("/ip4/1.2.3.4/tcp/5/p2p/{ED25519}/p2p/{SHA256}"),
            &format!("{circuit}/p2p/{SHA256}/p2p-circuit"),
            &format!("{circuit}/ip4/1.2.3.4/tcp/5"),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(Endpoint::parse(&Multiaddr::empty()), None);
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_one() {
        let mapped = parse("/ip6/::ffff:10.0.0.1/tcp/5").expect("a TCP address");
        assert_eq!(mapped, Endpoint::Tcp(socket("10.0.0.1:5")));
        assert_eq!(mapped.scope(), Some(Scope::Private));
        assert_eq!(mapped.to_multiaddr(), address("/ip4/10.0.0.1/tcp/5"));
        let accepted = Endpoint::Tcp(socket("[::ffff:10.0.0.1]:5"));
        assert_eq!(accepted.to_multiaddr(), address("/ip4/10.0.0.1/tcp/5"));
    }

    #[test]
    fn the_peer_at_the_end_is_read_taken_off_and_put_on() {
        for text in [ED25519, SHA256] {
            let peer: PeerId = text.parse().expect(text);
            let with = address(&format!("/ip4/1.2.3.4/tcp/5/p2p/{text}"));
            let without = address("/ip4/1.2.3.4/tcp/5");
            assert_eq!(peer_of(&with), Some(peer));
            assert_eq!(peer_of(&without), None);
            assert_eq!(without_peer(&with), without);
            assert_eq!(without_peer(&without), without);
            assert_eq!(with_peer(&without, peer), with);
            assert_eq!(with_peer(&with, peer), with);
            assert_eq!(with_peer(&address(&format!("{without}/p2p/{SHA256}")), peer), with);
        }
    }

    #[test]
    fn of_a_circuit_the_destination_counts_and_not_the_relay() {
        let circuit = address(&format!("/ip4/1.2.3.4/tcp/1/p2p/{SHA256}/p2p-circuit"));
        assert_eq!(peer_of(&circuit), None);
        assert_eq!(ip_of(&circuit), None);
        assert_eq!(peer_of(&with_peer(&circuit, peer())), Some(peer()));
        assert_eq!(without_peer(&with_peer(&circuit, peer())), circuit);
    }

    #[test]
    fn each_range_has_its_scope() {
        let cases = [
            ("127.0.0.1", Scope::Loopback),
            ("127.255.0.1", Scope::Loopback),
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("172.32.0.1", Scope::Public),
            ("192.168.0.1", Scope::Private),
            ("169.254.1.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("100.127.255.255", Scope::Private),
            ("100.128.0.1", Scope::Public),
            ("8.8.8.8", Scope::Public),
            ("0.0.0.0", Scope::Unspecified),
            ("0.1.2.3", Scope::Unspecified),
            ("224.0.0.251", Scope::Multicast),
            ("255.255.255.255", Scope::Multicast),
            ("::1", Scope::Loopback),
            ("::", Scope::Unspecified),
            ("fe80::1", Scope::Private),
            ("fd00::1", Scope::Private),
            ("ff02::1", Scope::Multicast),
            ("2606:4700::1", Scope::Public),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("::ffff:192.168.0.1", Scope::Private),
            ("::ffff:8.8.8.8", Scope::Public),
            ("::ffff:0.0.0.0", Scope::Unspecified),
        ];
        for (ip, expected) in cases {
            assert_eq!(scope(ip.parse().expect(ip)), expected, "{ip}");
        }
    }

    #[test]
    fn nobody_is_at_port_0_or_at_an_address_of_no_host() {
        for text in [
            "/ip4/1.2.3.4/tcp/0",
            "/ip4/0.0.0.0/tcp/5",
            "/ip6/::/udp/5/quic-v1",
            "/ip6/ff02::1/udp/5/quic-v1",
            "/dns4/example.org/tcp/0",
            "/memory/0",
        ] {
            assert!(!parse(text).expect(text).is_dialable(), "{text}");
        }
        for text in ["/ip4/127.0.0.1/tcp/5", "/dnsaddr/example.org", "/memory/1"] {
            assert!(parse(text).expect(text).is_dialable(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_comes_back_from_its_multiaddr(parts in proptest::collection::vec(part(), 0..6)) {
            let address: Multiaddr = parts.concat().parse().expect("parts are valid");
            if let Some(endpoint) = Endpoint::parse(&address) {
                prop_assert_eq!(Endpoint::parse(&endpoint.to_multiaddr()), Some(endpoint));
            }
            prop_assert_eq!(peer_of(&with_peer(&address, peer())), Some(peer()));
            prop_assert_eq!(without_peer(&with_peer(&address, peer())), without_peer(&address));
        }

        #[test]
        fn a_socket_comes_back_from_its_multiaddr(ip: IpAddr, port: u16) {
            let socket = SocketAddr::new(ip.to_canonical(), port);
            for endpoint in [Endpoint::Tcp(socket), Endpoint::Quic(socket)] {
                let address = endpoint.to_multiaddr();
                prop_assert_eq!(Endpoint::parse(&address), Some(endpoint));
                prop_assert_eq!(ip_of(&address), Some(ip.to_canonical()));
            }
        }
    }
}
