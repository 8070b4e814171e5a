//! Whom to ask.

use std::net::{IpAddr, SocketAddr};

/// The port of DNS (RFC 1035, section 4.2).
const PORT: u16 = 53;

/// Servers that are asked at most, as the system's own resolver does (resolv.conf(5)).
const MAX_SERVERS: usize = 3;

/// The servers that the system is set up with; none where there is no `/etc/resolv.conf`.
pub(super) fn of_the_system() -> Vec<SocketAddr> {
    parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn parse(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, PORT))
        .take(MAX_SERVERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_in_their_order_and_the_rest_is_passed_over() {
        let text = "# mine\nsearch example.org\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n\
                    nameserver\n  nameserver 2001:db8::1 \nnameserver 192.0.2.2\nnameserver ::1";
        let servers = parse(text);
        let expected = ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.2:53"];
        assert_eq!(servers, expected.map(|server| server.parse::<SocketAddr>().unwrap()));
    }
}
