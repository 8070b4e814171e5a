//! From the first byte to a secured, multiplexed session.

use super::security::{Handshake, Offer};
use crate::close::CloseReason;
use crate::multistream::{Dialer, Listener, Proposals};
use crate::mux::Role;
use crate::protocol::ProtocolId;
use crate::send_buffer::SendBuffer;
use crate::yamux::Yamux;

/// The one muxer so far.
pub(super) const YAMUX: &str = "/yamux/1.0.0";

/// How far the connection is. What a phase needs goes with it, so that an established connection
/// keeps nothing of its handshake.
pub(super) enum Phase {
    /// Agreeing on the security protocol.
    Security(Box<SecurityPhase>),
    /// Shaking hands.
    Handshake(Handshake),
    /// The listener waits for the muxer's proposal.
    Muxer(Listener),
    /// The connection ended before it had streams.
    Ended,
    /// Streams. A dialer that proposed the muxer without waiting for the answer still waits for it.
    Open { session: Box<Yamux>, unanswered: Option<Box<Dialer>> },
}

/// The negotiation of the security protocol.
pub(super) struct SecurityPhase {
    negotiation: Negotiation,
    offer: Offer,
    /// What an optimistic dialer has begun behind its proposal.
    begun: Option<Handshake>,
}

/// One side of multistream-select.
enum Negotiation {
    Dialer(Dialer),
    Listener(Listener),
}

impl SecurityPhase {
    /// A listener waits for proposals. A dialer proposes; a lone proposal and the first handshake
    /// message leave together.
    pub(super) fn start(offer: Offer, out: &mut SendBuffer) -> Result<Self, CloseReason> {
        let protocols = offer.protocols();
        let preferred = protocols.first().ok_or(CloseReason::NoSecurity)?;
        let mut begun = None;
        let negotiation = match offer.role {
            Role::Listener => Negotiation::Listener(Listener::new()),
            Role::Dialer => {
                let proposals =
                    Proposals::try_from(&protocols[..]).map_err(|_| CloseReason::NoSecurity)?;
                let mut dialer = Dialer::new(proposals);
                out.append_with(|bytes| dialer.start(bytes));
                if dialer.is_optimistic() {
                    begun = offer.begin(preferred);
                }
                Negotiation::Dialer(dialer)
            }
        };
        if let Some(handshake) = &mut begun {
            out.append_with(|bytes| handshake.transmit(bytes));
        }
        Ok(SecurityPhase { negotiation, offer, begun })
    }

    /// Takes bytes, and returns how many, and the handshake once it is agreed which one.
    pub(super) fn handle(
        &mut self,
        input: &[u8],
        out: &mut SendBuffer,
    ) -> Result<(usize, Option<Handshake>), CloseReason> {
        let step = out
            .append_with(|bytes| match &mut self.negotiation {
                Negotiation::Dialer(dialer) => dialer.handle(input, bytes),
                Negotiation::Listener(listener) => {
                    listener.handle(input, &self.offer.protocols()[..], bytes)
                }
            })
            .map_err(CloseReason::Multistream)?;
        let Some(protocol) = step.agreed else { return Ok((step.consumed, None)) };
        let begun = self.begun.take().or_else(|| self.offer.begin(&protocol));
        let mut handshake = begun.ok_or(CloseReason::NoSecurity)?;
        out.append_with(|bytes| handshake.transmit(bytes));
        Ok((step.consumed, Some(handshake)))
    }
}

/// Takes bytes for the negotiation of the muxer, and returns how many, and whether it is agreed on.
pub(super) fn negotiate_muxer(
    listener: &mut Listener,
    input: &[u8],
    out: &mut SendBuffer,
) -> Result<(usize, bool), CloseReason> {
    let supported = [ProtocolId::well_known(YAMUX)];
    let step = out
        .append_with(|bytes| listener.handle(input, &supported[..], bytes))
        .map_err(CloseReason::Multistream)?;
    Ok((step.consumed, step.agreed.is_some()))
}
