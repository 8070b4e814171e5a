//! [`UdpPort`]: one UDP socket, with the host's endpoint behind it.

use std::io;
use std::net::SocketAddr;

use mio::net::UdpSocket;
use sanspeer_core::host::{EndpointId, Host};
use sanspeer_core::time::Timestamp;

/// Datagrams that are sent before it is another socket's turn.
const MAX_BATCH: usize = 64;

/// One UDP socket.
pub struct UdpPort {
    socket: UdpSocket,
    pub bound: SocketAddr,
    pub endpoint: EndpointId,
    /// It was bound to dial from.
    pub dials: bool,
    readable: bool,
    writable: bool,
    buffer: Vec<u8>,
    /// Where what is in the buffer goes, if the socket did not take it.
    unsent: Option<SocketAddr>,
}

impl UdpPort {
    pub fn new(socket: UdpSocket, bound: SocketAddr, endpoint: EndpointId, dials: bool) -> Self {
        UdpPort {
            socket,
            bound,
            endpoint,
            dials,
            readable: true,
            writable: true,
            buffer: Vec::new(),
            unsent: None,
        }
    }

    pub fn note(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// The next datagram: its length, and where it comes from.
    pub fn receive(&mut self, space: &mut [u8]) -> Option<(usize, SocketAddr)> {
        while self.readable {
            match self.socket.recv_from(space) {
                Ok(received) => return Some(received),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                // Of a datagram that was sent earlier.
                Err(_) => {}
            }
        }
        None
    }

    /// Sends what the endpoint and its connections have, at most a batch. Whether that was
    /// anything.
    pub fn transmit(&mut self, now: Timestamp, host: &mut Host) -> bool {
        let mut moved = false;
        for _ in 0..MAX_BATCH {
            if !self.writable {
                break;
            }
            let destination = match self.unsent.take() {
                Some(destination) => destination,
                None => {
                    let next = host.poll_datagrams(now, self.endpoint, 1, &mut self.buffer);
                    let Some(transmit) = next else { break };
                    self.buffer.truncate(transmit.size);
                    transmit.destination
                }
            };
            match self.socket.send_to(&self.buffer, destination) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    self.unsent = Some(destination);
                }
                // What cannot be sent is lost, as on the way.
                Ok(_) | Err(_) => moved = true,
            }
        }
        moved
    }
}
