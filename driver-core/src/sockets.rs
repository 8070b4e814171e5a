//! Sockets that listen, with the options that they need.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the operating system completes and keeps until they are taken.
const BACKLOG: i32 = 1024;

/// What a UDP socket should hold for us in each direction at least, in bytes: some milliseconds of a
/// fast network. With much more, a fast sender fills all of it, and what is received has left the
/// processor's cache before it is read.
const UDP_BUFFER_BYTES: usize = 256 * 1024;

/// A TCP socket that listens at `address` and does not block.
pub(crate) fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // Elsewhere the option lets two sockets share the address.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A UDP socket at `address` that does not block.
pub(crate) fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    // The operating system may give less; where it gives more by itself, that stays.
    if socket.recv_buffer_size().is_ok_and(|bytes| bytes < UDP_BUFFER_BYTES) {
        let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
    }
    if socket.send_buffer_size().is_ok_and(|bytes| bytes < UDP_BUFFER_BYTES) {
        let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // IPv4 has listeners of its own, at the same port.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The addresses at which a socket that is bound to `bound` is reached: those of every interface
/// for the unspecified address.
pub(crate) fn reachable_at(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let mut addresses: Vec<SocketAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .iter()
        .map(|interface| interface.ip())
        .filter(|ip| ip.is_ipv4() == bound.is_ipv4() && !is_link_local(*ip))
        .map(|ip| SocketAddr::new(ip, bound.port()))
        .collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// A link-local IPv6 address means nothing without the interface, which a multiaddress does not
/// name here.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn the_unspecified_address_is_reached_at_those_of_the_interfaces() {
        let bound = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4001));
        let addresses = reachable_at(bound);
        assert!(addresses.contains(&SocketAddr::from((Ipv4Addr::LOCALHOST, 4001))));
        assert!(addresses.iter().all(|address| address.is_ipv4() && address.port() == 4001));
        let one = SocketAddr::from((Ipv6Addr::LOCALHOST, 4001));
        assert_eq!(reachable_at(one), [one]);
    }

    #[test]
    fn a_port_that_is_taken_is_refused() {
        let first = listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let error = listen_tcp(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
