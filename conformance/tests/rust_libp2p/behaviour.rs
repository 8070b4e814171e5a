//! A `NetworkBehaviour` that only opens and accepts raw streams.
//!
//! libp2p-stream is no use here: it resets inbound streams that find its channel full. Here each
//! inbound stream gets a task the moment its protocol is agreed, so there is nothing to fill.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamUpgradeError, SubstreamProtocol, THandler,
    THandlerInEvent, ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::oneshot;

use super::protocols::{self, SharedCounters};
use super::serve::serve;

/// Long, because two hundred streams negotiate at once on a machine that others load too.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(60);

/// A stream that a task wants; dropped without an answer when there is no connection.
#[derive(Debug)]
pub(super) struct OpenRequest {
    pub(super) protocol: StreamProtocol,
    pub(super) reply: oneshot::Sender<Result<Stream, String>>,
}

/// Hands open requests to the connections of their peers.
pub(super) struct Behaviour {
    counters: Arc<SharedCounters>,
    requests: VecDeque<(PeerId, OpenRequest)>,
}

impl Behaviour {
    pub(super) fn new(counters: Arc<SharedCounters>) -> Self {
        Behaviour { counters, requests: VecDeque::new() }
    }

    /// Queues a request. The caller polls the swarm next, which takes it from there.
    pub(super) fn open(&mut self, peer: PeerId, request: OpenRequest) {
        self.requests.push_back((peer, request));
    }

    fn handler(&self) -> Handler {
        Handler { counters: Arc::clone(&self.counters), requests: VecDeque::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.requests.pop_front() {
            Some((peer_id, event)) => {
                Poll::Ready(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::Any, event })
            }
            None => Poll::Pending,
        }
    }
}

/// One connection: negotiates as many streams at once as are asked for, in either direction.
pub(super) struct Handler {
    counters: Arc<SharedCounters>,
    requests: VecDeque<OpenRequest>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = OpenRequest;
    type ToBehaviour = Infallible;
    type InboundProtocol = RawStream;
    type OutboundProtocol = RawStream;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Result<Stream, String>>;

    fn listen_protocol(&self) -> SubstreamProtocol<RawStream> {
        SubstreamProtocol::new(RawStream { offered: protocols::ALL.to_vec() }, ())
            .with_timeout(NEGOTIATION_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        // A test decides when its connection ends, by dropping the peer.
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<RawStream, Self::OutboundOpenInfo, Infallible>> {
        // Filled by on_behaviour_event alone, after which the swarm polls the connection.
        match self.requests.pop_front() {
            Some(OpenRequest { protocol, reply }) => {
                let protocol = SubstreamProtocol::new(RawStream { offered: vec![protocol] }, reply)
                    .with_timeout(NEGOTIATION_TIMEOUT);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, request: OpenRequest) {
        self.requests.push_back(request);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, RawStream, RawStream, (), Self::OutboundOpenInfo>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                info: (),
            }) => {
                // Counted here and not in the task, so that the order of counts is the order of
                // arrival.
                self.counters.accepted();
                tokio::spawn(serve(stream, protocol, Arc::clone(&self.counters)));
            }
            // Whoever asked may have given up; the stream is then dropped, which resets it.
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info: reply,
            }) => drop(reply.send(Ok(stream))),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: reply, error }) => {
                let reason = match error {
                    StreamUpgradeError::Timeout => "negotiation timed out".to_owned(),
                    StreamUpgradeError::NegotiationFailed => "unsupported protocol".to_owned(),
                    StreamUpgradeError::Io(error) => format!("negotiation: {error}"),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                drop(reply.send(Err(reason)));
            }
            ConnectionEvent::ListenUpgradeError(error) => match error.error {},
            ConnectionEvent::AddressChange(_)
            | ConnectionEvent::LocalProtocolsChange(_)
            | ConnectionEvent::RemoteProtocolsChange(_) => {}
            _ => {}
        }
    }
}

/// Agrees on a protocol and yields the stream as it is.
pub(super) struct RawStream {
    offered: Vec<StreamProtocol>,
}

impl UpgradeInfo for RawStream {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.offered.clone()
    }
}

impl InboundUpgrade<Stream> for RawStream {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, agreed: StreamProtocol) -> Self::Future {
        ready(Ok((stream, agreed)))
    }
}

impl OutboundUpgrade<Stream> for RawStream {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, agreed: StreamProtocol) -> Self::Future {
        ready(Ok((stream, agreed)))
    }
}
