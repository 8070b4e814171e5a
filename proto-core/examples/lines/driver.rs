//! [`Driver`]: whatever runs a connection over a socket.
#![allow(dead_code, unreachable_pub, reason = "whoever includes this file uses a part of it")]

use std::io;
use std::time::Duration;

use sanspeer_core::connection::{Connection, ConnectionEvent};
use sanspeer_core::time::Timestamp;

use super::blocking::BlockingDriver;
use super::udp::UdpDriver;

/// One connection on one thread, over bytes in order or over datagrams.
pub trait Driver: Send {
    /// The connection: open, accept, read and write streams here, then take a turn.
    fn connection(&mut self) -> &mut Connection;
    /// The time, as the connection counts it.
    fn now(&self) -> Timestamp;
    /// The next event of the connection. Take all before each turn.
    fn poll_event(&mut self) -> Option<ConnectionEvent>;
    /// Sends, receives and handles timeouts; waits for at most `wait` when nothing moves. True
    /// while the connection goes on.
    fn turn(&mut self, wait: Duration) -> io::Result<bool>;
}

impl Driver for BlockingDriver {
    fn connection(&mut self) -> &mut Connection {
        self.connection()
    }

    fn now(&self) -> Timestamp {
        self.now()
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent> {
        self.poll_event()
    }

    fn turn(&mut self, wait: Duration) -> io::Result<bool> {
        self.turn(wait)
    }
}

impl Driver for UdpDriver {
    fn connection(&mut self) -> &mut Connection {
        self.connection()
    }

    fn now(&self) -> Timestamp {
        self.now()
    }

    fn poll_event(&mut self) -> Option<ConnectionEvent> {
        self.poll_event()
    }

    fn turn(&mut self, wait: Duration) -> io::Result<bool> {
        self.turn(wait)
    }
}
