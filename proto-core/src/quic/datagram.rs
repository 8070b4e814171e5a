//! What goes to a UDP socket and what comes from it.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use quinn_proto::EcnCodepoint;

/// The congestion mark of an IP packet (RFC 3168, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecn {
    /// ECT(0): the transport understands marks.
    Ect0,
    /// ECT(1).
    Ect1,
    /// Congestion was experienced.
    Ce,
}

/// Where a datagram came from, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramMeta {
    /// The sender's address.
    pub remote: SocketAddr,
    /// The address of ours that it was sent to, if the socket tells.
    pub local_ip: Option<IpAddr>,
    /// Its congestion mark, if the socket tells.
    pub ecn: Option<Ecn>,
}

/// One or more datagrams of a connection, as [`super::QuicMux::poll_transmit`] gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuicTransmit {
    /// Where to.
    pub destination: SocketAddr,
    /// The congestion mark to send with.
    pub ecn: Option<Ecn>,
    /// Bytes in the buffer.
    pub size: usize,
    /// With several datagrams, the length of each but the last, which may be shorter.
    pub segment_size: Option<usize>,
    /// The address of ours to send from, if it matters.
    pub src_ip: Option<IpAddr>,
}

/// A datagram that an endpoint answers by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicDatagram {
    /// Where to.
    pub destination: SocketAddr,
    /// The congestion mark to send with.
    pub ecn: Option<Ecn>,
    /// The address of ours to send from, if it matters.
    pub src_ip: Option<IpAddr>,
    /// What to send.
    pub bytes: Bytes,
}

impl From<quinn_proto::Transmit> for QuicTransmit {
    fn from(transmit: quinn_proto::Transmit) -> Self {
        QuicTransmit {
            destination: transmit.destination,
            ecn: transmit.ecn.map(Ecn::from),
            size: transmit.size,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        }
    }
}

impl From<EcnCodepoint> for Ecn {
    fn from(mark: EcnCodepoint) -> Self {
        match mark {
            EcnCodepoint::Ect0 => Ecn::Ect0,
            EcnCodepoint::Ect1 => Ecn::Ect1,
            EcnCodepoint::Ce => Ecn::Ce,
        }
    }
}

impl From<Ecn> for EcnCodepoint {
    fn from(mark: Ecn) -> Self {
        match mark {
            Ecn::Ect0 => EcnCodepoint::Ect0,
            Ecn::Ect1 => EcnCodepoint::Ect1,
            Ecn::Ce => EcnCodepoint::Ce,
        }
    }
}
