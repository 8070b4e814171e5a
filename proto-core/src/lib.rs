//! libp2p as pure state machines: bytes and time go in; bytes, deadlines and events come out.
//!
//! There is no socket, clock, thread, async or operating-system randomness here. Whoever has those
//! drives a [`connection::Connection`]: a plain thread, any async runtime, a simulator. This is the
//! whole of a driver, with two peers that talk over TCP:
//!
//! ```
//! use std::io::{ErrorKind, Read, Write};
//! use std::net::{TcpListener, TcpStream};
//! use std::time::{Duration, Instant};
//!
//! use sanspeer_core::byte_mux::Security;
//! use sanspeer_core::close::CloseReason;
//! use sanspeer_core::connection::{Connection, ConnectionConfig, ConnectionSetup, NodeRoom};
//! use sanspeer_core::identity::Identity;
//! use sanspeer_core::mailbox::{Lease, ProtocolTable, ToConnection, ToNode};
//! use sanspeer_core::mux::Role;
//! use sanspeer_core::protocol::ProtocolId;
//! use sanspeer_core::rng::Seed;
//! use sanspeer_core::time::Timestamp;
//!
//! /// Runs one connection until it is over. `application` has a turn whenever something changed.
//! fn run(
//!     mut socket: TcpStream,
//!     setup: ConnectionSetup<'_>,
//!     protocols: &ProtocolTable,
//!     mut application: impl FnMut(&mut Connection, Timestamp),
//! ) -> std::io::Result<()> {
//!     socket.set_nodelay(true)?;
//!     let epoch = Instant::now();
//!     let now = || Timestamp::ZERO.saturating_add(epoch.elapsed());
//!     let mut connection = Connection::new(setup, ConnectionConfig::default(), now());
//!     loop {
//!         // 1. Events, until there are none: received bytes are taken apart here. This application
//!         //    looks for itself what it can do, so it needs none of them.
//!         while let Some(event) = connection.poll_event() {
//!             println!("{event:?}");
//!         }
//!         // 2. Messages for Node. Without a Node, the driver admits everybody.
//!         if let Some(message) = connection.poll_node(NodeRoom::Queue) {
//!             if let ToNode::Established { .. } = message {
//!                 let (lease, protocols) = (Lease::default(), protocols.clone());
//!                 connection.handle_node(now(), ToConnection::Admit { lease, protocols });
//!             }
//!             continue;
//!         }
//!         application(&mut connection, now());
//!         // 3. Bytes to send. What is counted as sent makes room, so events come next.
//!         if let Some(bytes) = connection.poll_transmit(now()) {
//!             let n = socket.write(bytes)?;
//!             connection.handle_transmitted(n);
//!             continue;
//!         }
//!         if connection.is_closed() {
//!             return Ok(());
//!         }
//!         // 4. Received bytes or the next deadline, whichever comes first.
//!         if let Some(deadline) = connection.poll_timeout() {
//!             let wait = deadline.at.saturating_since(now()).max(Duration::from_millis(1));
//!             socket.set_read_timeout(Some(wait))?;
//!         }
//!         // `None` only while too much is unread or the connection is ending.
//!         let Some(space) = connection.recv_buf() else { continue };
//!         match socket.read(space) {
//!             Ok(0) => connection.handle_eof(now()),
//!             Ok(n) => connection.handle_recv(now(), n),
//!             Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
//!             Err(e) => return Err(e),
//!         }
//!         connection.handle_timeout(now());
//!     }
//! }
//!
//! let shout = ProtocolId::new("/example/shout/1.0.0").expect("a valid protocol id");
//! let protocols = ProtocolTable::new().with_application(shout.clone());
//! // In earnest, seeds come from the operating system, a fresh one for each connection.
//! let alice = Identity::ed25519(&Seed::from_u64(1));
//! let bob = Identity::ed25519(&Seed::from_u64(2));
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//!
//! // Bob takes a stream, hears it to its end, and shouts back what he heard.
//! let (bob_id, table) = (bob.peer_id(), protocols.clone());
//! let bob = std::thread::spawn(move || {
//!     let (role, seed) = (Role::Listener, Seed::from_u64(3));
//!     let security = &[Security::Noise(&bob)];
//!     let setup = ConnectionSetup { role, security, seed, expected_peer: None, layer: None };
//!     let (mut stream, mut heard) = (None, Vec::new());
//!     let (socket, _) = listener.accept()?;
//!     run(socket, setup, &table, |connection, _| {
//!         stream = stream.or_else(|| Some(connection.accept()?.0));
//!         let Some(id) = stream else { return };
//!         let mut stream = connection.stream(id);
//!         while let Ok(bytes) = stream.read(usize::MAX) {
//!             heard.extend_from_slice(&bytes);
//!             if bytes.is_empty() {
//!                 let written = stream.write(&heard.to_ascii_uppercase());
//!                 assert_eq!(written, Ok(heard.len()), "so little fits at once");
//!                 stream.finish().expect("an open stream");
//!             }
//!         }
//!     })
//! });
//!
//! // Alice opens a stream, speaks, and hears the answer to its end.
//! let (role, seed, expected_peer) = (Role::Dialer, Seed::from_u64(4), Some(bob_id));
//! let security = &[Security::Noise(&alice)];
//! let setup = ConnectionSetup { role, security, seed, expected_peer, layer: None };
//! let (mut stream, mut heard) = (None, Vec::new());
//! run(TcpStream::connect(address)?, setup, &protocols, |connection, now| {
//!     if stream.is_none() && let Ok(id) = connection.open(now, &[shout.clone()]) {
//!         stream = Some(id);
//!         // Leaves together with the proposal of the protocol.
//!         let written = connection.stream(id).write(b"hello");
//!         assert_eq!(written, Ok(5), "so little fits at once");
//!         connection.stream(id).finish().expect("an open stream");
//!     }
//!     let Some(id) = stream else { return };
//!     while let Ok(bytes) = connection.stream(id).read(usize::MAX) {
//!         heard.extend_from_slice(&bytes);
//!         if bytes.is_empty() {
//!             connection.close(now, CloseReason::Requested);
//!         }
//!     }
//! })?;
//! assert_eq!(heard, b"HELLO");
//! bob.join().expect("no panic")?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The example `lines` (`examples/lines/blocking.rs`) is this loop with what a real one adds: it
//! cannot get stuck when both sides write at once, and it holds no buffer while idle.
//!
//! # What is here, in the order of data flow
//!
//! Inputs and what they are made of:
//! - [`time`]: [`time::Timestamp`] comes in, [`time::Deadline`] goes out and says why;
//! - [`rng`]: one seed, and children derived from it by label;
//! - [`identity`]: who a node is; keys of others, bounded before they are built;
//! - [`address`]: what a multiaddress is, whom it names, and how far it reaches;
//! - [`record`]: what a node signed, such as its addresses, whoever hands it on;
//! - [`protocol`], [`varint`], [`frame`]: names of protocols, and frames behind their lengths.
//!
//! From the bytes of a transport to streams:
//! - [`recv_buffer`]: blocks that are received into, decrypted in and sliced without copying;
//! - [`pnet`]: in a private network, what the shared key does to every byte;
//! - [`multistream`]: which protocol the connection, and later each stream, speaks;
//! - [`noise`]: the handshake that proves who is there, and the records behind it;
//! - [`yamux`]: many streams over one connection, each with a window;
//! - [`send_buffer`]: frames are written where they are sealed and sent from;
//! - [`byte_mux`]: [`byte_mux::ByteMux`] joins all of these over any transport that carries bytes
//!   in order.
//!
//! From streams to their owners:
//! - [`mux`]: [`mux::Mux`], the stream side of whatever carries the bytes;
//! - [`connection`]: [`connection::Connection`] negotiates streams and gives them to the
//!   application, to Node, or to the ping and perf that are inside it;
//! - [`mailbox`]: what a connection and Node say to each other, and the limits that Node grants;
//! - [`close`]: why connections end.
//!
//! From connections to a peer:
//! - [`node`]: [`node::Node`] decides who is dialled and let in, and runs the protocols that peers
//!   speak about themselves;
//! - [`peer_store`]: peers, their addresses, and what came of dialling them;
//! - [`identify`]: each side says who it is;
//! - [`gossip`]: messages about topics, passed on by whoever subscribes to them;
//! - [`host`]: [`host::Host`], a whole peer on one thread;
//! - [`application`]: [`application::Network`], what an application sees of a peer, whatever runs
//!   it; [`scripted`]: its double for tests.
#![forbid(unsafe_code)]

pub mod address;
pub mod application;
pub mod byte_mux;
pub mod close;
pub mod connection;
pub mod frame;
pub mod gossip;
pub mod host;
pub mod identify;
pub mod identity;
pub mod mailbox;
pub mod multistream;
pub mod mux;
pub mod node;
pub mod noise;
pub mod peer_store;
pub mod pnet;
mod protobuf;
pub mod protocol;
mod queue;
pub mod quic;
pub mod record;
pub mod recv_buffer;
pub mod rng;
pub mod scripted;
pub mod send_buffer;
pub mod time;
pub mod tls;
pub mod varint;
pub mod yamux;

/// The book's examples run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../docs/src/transports.md")]
struct Transports;
