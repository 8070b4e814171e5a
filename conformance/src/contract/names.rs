//! Names in addresses.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use sanspeer_core::address::{Endpoint, Transport, peer_of};
use sanspeer_core::node::{CommandError, DialError};
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Multiaddr, RequestError};

use super::world::{ECHO, echo, exchange, in_time, listen, node, node_with, protocol};

/// The length of DNS's header (RFC 1035, section 4.1.1).
const HEADER_BYTES: usize = 12;

/// A server of one text record. It answers whatever it is asked, over UDP with nothing but a hint
/// at TCP if `truncates`.
fn serve_text(text: String, truncates: bool) -> SocketAddr {
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let address = tcp.local_addr().expect("an address");
    let udp = UdpSocket::bind(address).expect("the same port");
    let short = if truncates { None } else { Some(text.clone()) };
    // Both threads wait for a question for as long as the process runs.
    std::thread::spawn(move || {
        let mut question = [0; 1500];
        while let Ok((n, from)) = udp.recv_from(&mut question) {
            let _ = udp.send_to(&reply(&question[..n], short.as_deref()), from);
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            if stream.read_exact(&mut question).is_err() {
                continue;
            }
            let reply = reply(&question, Some(&text));
            let length = u16::try_from(reply.len()).expect("a short reply");
            let _ = stream.write_all(&length.to_be_bytes());
            let _ = stream.write_all(&reply);
        }
    });
    address
}

/// The reply to a question: its text, or that it is too long.
fn reply(question: &[u8], text: Option<&str>) -> Vec<u8> {
    let asked = &question[HEADER_BYTES..];
    let name = asked.iter().position(|byte| *byte == 0).expect("the end of the name");
    let mut reply = question[..2].to_vec();
    // A reply, with recursion desired and available; truncated or not (section 4.1.1).
    reply.extend(if text.is_some() { [0x81, 0x80] } else { [0x83, 0x80] });
    reply.extend([0, 1, 0, text.is_some().into(), 0, 0, 0, 0]);
    reply.extend(&asked[..name + 5]);
    if let Some(text) = text {
        let length = u8::try_from(text.len()).expect("a short text");
        // The name is the question's; TXT, IN, 60 s (section 4.1.3).
        reply.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, length + 1, length]);
        reply.extend(text.as_bytes());
    }
    reply
}

async fn dial_dnsaddr<R: Runtime>(runtime: &R, truncates: bool) {
    let listener = node(runtime);
    echo(runtime, &listener).await;
    let (_, address) = listen(&listener, "/ip4/127.0.0.1/tcp/0").await;
    let server = serve_text(format!("dnsaddr={address}"), truncates);
    let dialer = node_with(runtime, |config| config.dns_servers = vec![server]);
    let name = format!("/dnsaddr/peer.example.org/p2p/{}", listener.peer_id());
    let peer = dialer.dial(name.parse().expect("an address")).await.expect("a connection");
    let stream = dialer.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
    assert_eq!(exchange(stream, b"hello").await, b"hello");
}

pub async fn dnsaddr_is_followed_to_its_addresses<R: Runtime>(runtime: R) {
    in_time(&runtime, dial_dnsaddr(&runtime, false)).await;
}

pub async fn a_long_answer_about_dnsaddr_comes_over_tcp<R: Runtime>(runtime: R) {
    in_time(&runtime, dial_dnsaddr(&runtime, true)).await;
}

pub async fn a_name_of_nothing_is_said<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let server = serve_text("nothing of interest".to_owned(), false);
        let dialer = node_with(&runtime, |config| config.dns_servers = vec![server]);
        let name: Multiaddr = "/dnsaddr/nobody.example.org".parse().expect("an address");
        match dialer.dial(name).await {
            Err(RequestError::Failed(CommandError::Dial(failures))) => {
                assert!(matches!(&failures[..], [(_, DialError::NameNotFound)]), "{failures:?}");
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

pub async fn a_host_name_is_dialled_over_both_transports<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        for transport in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
            let listener = node(&runtime);
            echo(&runtime, &listener).await;
            let (_, address) = listen(&listener, transport).await;
            let (port, transport) = match Endpoint::parse(&address) {
                Some(Endpoint::Tcp(socket)) => (socket.port(), Transport::Tcp),
                Some(Endpoint::Quic(socket)) => (socket.port(), Transport::Quic),
                other => panic!("{other:?}"),
            };
            let host = "localhost".to_owned();
            let family = sanspeer_core::address::NameFamily::V4;
            let name = Endpoint::Name { family, host, transport, port }.to_multiaddr();
            let name = name.with_p2p(listener.peer_id()).expect("no other peer in it");
            assert_eq!(peer_of(&name), Some(listener.peer_id()));
            let dialer = node(&runtime);
            assert_eq!(dialer.dial(name).await, Ok(listener.peer_id()));
        }
    })
    .await;
}
