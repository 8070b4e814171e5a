//! Receiving and sending through quinn's seam.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::task::{Context, Poll};

use bytes::BytesMut;
use sanspeer_core::quic::{DatagramMeta, Ecn, QuicTransmit};

use crate::runtime::{AsyncUdpSocket, udp};

/// Messages that one call takes from the socket; each may hold several datagrams of one sender.
const BATCH: usize = udp::BATCH_SIZE;

/// The largest message, in bytes: what the operating system joins is not larger than a datagram
/// can be.
const MAX_MESSAGE_BYTES: usize = 65_535;

thread_local! {
    /// Where messages are received, for every endpoint of the thread: one that is idle holds none.
    static SPACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Where datagrams are written before they are sent, likewise.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Receives a batch and hands on each datagram.
pub(crate) fn poll_receive(
    socket: &dyn AsyncUdpSocket,
    cx: &mut Context<'_>,
    mut each: impl FnMut(DatagramMeta, BytesMut),
) -> Poll<io::Result<()>> {
    SPACE.with_borrow_mut(|space| {
        space.resize(BATCH * MAX_MESSAGE_BYTES, 0);
        let mut metas = [udp::RecvMeta::default(); BATCH];
        let received = {
            let mut chunks = space.chunks_mut(MAX_MESSAGE_BYTES);
            let mut buffers: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            match socket.poll_recv(cx, &mut buffers, &mut metas) {
                Poll::Ready(Ok(received)) => received,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        };
        for (meta, message) in metas.iter().zip(space.chunks(MAX_MESSAGE_BYTES)).take(received) {
            let datagram = DatagramMeta {
                remote: meta.addr,
                local_ip: meta.dst_ip,
                ecn: meta.ecn.map(from_udp),
            };
            let mut joined = BytesMut::from(&message[..meta.len.min(message.len())]);
            while !joined.is_empty() {
                let length = meta.stride.clamp(1, joined.len());
                each(datagram, joined.split_to(length));
            }
        }
        Poll::Ready(Ok(()))
    })
}

/// Lets `write` fill a buffer that nobody else uses meanwhile.
pub(crate) fn with_scratch<T>(write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    SCRATCH.with_borrow_mut(write)
}

/// Sends at once. `WouldBlock` if there is no room.
pub(crate) fn try_send(
    socket: &dyn AsyncUdpSocket,
    transmit: &QuicTransmit,
    bytes: &[u8],
) -> io::Result<()> {
    socket.try_send(&udp::Transmit {
        destination: transmit.destination,
        ecn: transmit.ecn.map(to_udp),
        contents: &bytes[..transmit.size.min(bytes.len())],
        segment_size: transmit.segment_size,
        src_ip: transmit.src_ip,
    })
}

fn from_udp(mark: udp::EcnCodepoint) -> Ecn {
    match mark {
        udp::EcnCodepoint::Ect0 => Ecn::Ect0,
        udp::EcnCodepoint::Ect1 => Ecn::Ect1,
        udp::EcnCodepoint::Ce => Ecn::Ce,
    }
}

fn to_udp(mark: Ecn) -> udp::EcnCodepoint {
    match mark {
        Ecn::Ect0 => udp::EcnCodepoint::Ect0,
        Ecn::Ect1 => udp::EcnCodepoint::Ect1,
        Ecn::Ce => udp::EcnCodepoint::Ce,
    }
}
