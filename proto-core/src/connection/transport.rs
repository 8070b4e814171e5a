//! Which multiplexer a connection runs over.

use crate::byte_mux::ByteMux;
use crate::mux::Mux;
use crate::quic::QuicMux;

/// Our multiplexers by name, so that their byte sides can be reached; those of others as a trait.
pub(super) enum Transport {
    /// Bytes in order.
    Bytes(Box<ByteMux>),
    /// Datagrams.
    Quic(Box<QuicMux>),
    /// A multiplexer of someone else's.
    Other(Box<dyn Mux>),
}

impl Transport {
    pub(super) fn mux(&mut self) -> &mut dyn Mux {
        match self {
            Transport::Bytes(mux) => &mut **mux,
            Transport::Quic(mux) => &mut **mux,
            Transport::Other(mux) => &mut **mux,
        }
    }

    pub(super) fn mux_ref(&self) -> &dyn Mux {
        match self {
            Transport::Bytes(mux) => &**mux,
            Transport::Quic(mux) => &**mux,
            Transport::Other(mux) => &**mux,
        }
    }

    pub(super) fn bytes(&mut self) -> Option<&mut ByteMux> {
        match self {
            Transport::Bytes(mux) => Some(mux),
            Transport::Quic(_) | Transport::Other(_) => None,
        }
    }

    pub(super) fn quic(&mut self) -> Option<&mut QuicMux> {
        match self {
            Transport::Quic(mux) => Some(mux),
            Transport::Bytes(_) | Transport::Other(_) => None,
        }
    }
}
