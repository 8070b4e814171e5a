//! From the first byte to a secured, multiplexed session.

use crate::multistream::{Dialer, Listener, NegotiationError, SupportedProtocols};
use crate::mux::Role;
use crate::noise::Handshake;
use crate::protocol::ProtocolId;
use crate::send_buffer::SendBuffer;
use crate::yamux::Yamux;

/// The one security protocol so far.
pub(super) const NOISE: &str = "/noise";
/// The one muxer so far.
pub(super) const YAMUX: &str = "/yamux/1.0.0";

/// How far the connection is. What a phase needs goes with it, so that an established connection
/// keeps nothing of its handshake.
pub(super) enum Phase {
    /// Agreeing on the security protocol.
    Security(Box<SecurityPhase>),
    /// Shaking hands.
    Noise(Box<Handshake>),
    /// The listener waits for the muxer's proposal.
    Muxer(Negotiation),
    /// The connection ended before it had streams.
    Ended,
    /// Streams. A dialer that proposed the muxer without waiting for the answer still waits for it.
    Open { session: Box<Yamux>, unanswered: Option<Box<Dialer>> },
}

/// A negotiation, with the handshake that an optimistic dialer has already begun behind it.
pub(super) struct SecurityPhase {
    pub(super) negotiation: Negotiation,
    pub(super) handshake: Box<Handshake>,
}

/// One side of multistream-select.
pub(super) enum Negotiation {
    Dialer(Dialer),
    Listener(Listener),
}

impl Negotiation {
    /// Proposes, or waits for the proposal of, one protocol.
    pub(super) fn of(role: Role, protocol: &'static str) -> Self {
        match role {
            Role::Dialer => Negotiation::Dialer(Dialer::new(ProtocolId::well_known(protocol))),
            Role::Listener => Negotiation::Listener(Listener::new()),
        }
    }

    /// Takes bytes, and returns how many, and whether `protocol` is agreed on.
    pub(super) fn handle(
        &mut self,
        input: &[u8],
        protocol: &'static str,
        out: &mut SendBuffer,
    ) -> Result<(usize, bool), NegotiationError> {
        let step = out.append_with(|bytes| match self {
            Negotiation::Dialer(dialer) => dialer.handle(input, bytes),
            Negotiation::Listener(listener) => listener.handle(input, &Only(protocol), bytes),
        })?;
        Ok((step.consumed, step.agreed.is_some()))
    }

    /// Lets a dialer propose; a listener waits for that.
    pub(super) fn start(&mut self, out: &mut SendBuffer) {
        match self {
            Negotiation::Dialer(dialer) => out.append_with(|bytes| dialer.start(bytes)),
            Negotiation::Listener(_) => {}
        }
    }
}

/// A choice of one.
struct Only(&'static str);

impl SupportedProtocols for Only {
    fn find(&self, name: &str) -> Option<ProtocolId> {
        (name == self.0).then(|| ProtocolId::well_known(self.0))
    }

    fn for_each(&self, visit: &mut dyn FnMut(&ProtocolId)) {
        visit(&ProtocolId::well_known(self.0));
    }
}
