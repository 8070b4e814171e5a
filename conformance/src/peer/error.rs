//! [`Error`]: why a command failed. Each is one line that names what it is about.

use std::io;

use sanspeer_core::gossip::TopicError;
use sanspeer_driver::gossip::JoinError;
use sanspeer_driver::{Multiaddr, RequestError, StartError};

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// It names something that is not there yet.
    NotBuilt(&'static str),
    /// QUIC is secured by its own TLS and nothing else.
    QuicHasTls,
    /// The text is no topic.
    Topic(String, TopicError),
    /// No threads.
    Runtime(io::Error),
    /// The node did not start.
    Start(StartError),
    /// An address cannot be listened on.
    Listen(Multiaddr, RequestError),
    /// The echo protocol cannot be answered.
    Accept(RequestError),
    /// A topic cannot be joined.
    Join(JoinError),
    /// The peer could not be connected.
    Dial(Multiaddr, RequestError),
    /// The peer could not be connected in time.
    DialTimedOut(Multiaddr),
    /// A line could not be printed.
    Output(io::Error),
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Error::NotBuilt(what) => write!(f, "{what} is not built yet"),
            Error::QuicHasTls => {
                f.write_str("--security noise is for TCP: QUIC has TLS of its own")
            }
            Error::Topic(topic, source) => write!(f, "--topic {topic:?}: {source}"),
            Error::Runtime(source) => write!(f, "cannot start the runtime: {source}"),
            Error::Start(source) => write!(f, "cannot start: {source}"),
            Error::Listen(address, source) => write!(f, "cannot listen on {address}: {source}"),
            Error::Accept(source) => write!(f, "cannot accept streams: {source}"),
            Error::Join(source) => write!(f, "cannot join the topic: {source}"),
            Error::Dial(address, source) => write!(f, "cannot connect to {address}: {source}"),
            Error::DialTimedOut(address) => write!(f, "cannot connect to {address} in time"),
            Error::Output(source) => write!(f, "cannot print a report: {source}"),
        }
    }
}

impl core::error::Error for Error {}
