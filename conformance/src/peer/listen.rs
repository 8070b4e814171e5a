//! [`Listening`]: `peer listen`.

use std::io::{self, Write as _};
use std::time::Duration;

use sanspeer_core::gossip::{GossipConfig, Topic};
use sanspeer_core::node::NodeEvent;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Event, Events, Handle, Multiaddr, SecurityProtocol};

use super::args::{ListenArgs, Security, Transport};
use super::deadline::pause;
use super::error::Error;
use super::gossip::Member;
use super::report::{self, EventLine};
use super::runtime::OnRuntime;
use super::{echo, gossip, node};

/// How often the scores of peers are looked at.
const SCORE_INTERVAL: Duration = Duration::from_secs(1);

/// A peer that answers until it is killed, or until nobody reads what it prints.
#[derive(Debug)]
pub struct Listening {
    transport: Transport,
    security: SecurityProtocol,
    topic: Option<Topic>,
    /// How long its messages are.
    message_bytes: Vec<u32>,
    /// Whom it connects to.
    connect: Vec<Multiaddr>,
}

impl Listening {
    /// What the arguments ask for.
    pub fn new(args: ListenArgs) -> Result<Self, Error> {
        let security = security(args.transport, args.security)?;
        let topic = args.topic.as_deref().map(gossip::topic).transpose()?;
        let ListenArgs { transport, message_bytes, connect, .. } = args;
        Ok(Listening { transport, security, topic, message_bytes, connect })
    }
}

/// What secures a connection over this transport.
pub(super) fn security(
    transport: Transport,
    asked: Option<Security>,
) -> Result<SecurityProtocol, Error> {
    match (transport, asked) {
        (Transport::Quic, Some(Security::Noise)) => Err(Error::QuicHasTls),
        (Transport::Tcp | Transport::Quic, asked) => Ok(asked.unwrap_or(Security::Noise).into()),
    }
}

impl OnRuntime for Listening {
    type Output = Result<(), Error>;

    async fn run<R: Runtime>(self, runtime: R) -> Result<(), Error> {
        let gossip = self.topic.as_ref().map(|_| GossipConfig::default());
        let node = node::start_gossiping(&runtime, self.security, gossip).map_err(Error::Start)?;
        let events = node.events();
        let acceptor = node.accept(echo::protocol()).await.map_err(Error::Accept)?;
        // The events end the program if nothing can be printed; a stream, or a topic, only itself.
        let ended = |line| drop(report::print(&line));
        runtime.spawn(echo::serve(runtime.clone(), acceptor, ended));
        if let Some(topic) = &self.topic {
            let member = Member::join(&runtime, &node, topic, self.message_bytes).await?;
            runtime.spawn(print_messages(member));
            runtime.spawn(print_scores(runtime.clone(), node.clone(), topic.clone()));
        }
        let any = self.transport.any_port();
        let listening = node.listen(any.clone()).await;
        let (_, address) = listening.map_err(|error| Error::Listen(any, error))?;
        let address = address.with_p2p(node.peer_id()).expect("no other peer in it");
        announce(&address.to_string()).map_err(Error::Output)?;
        for address in self.connect {
            let peer = node.dial(address.clone()).await;
            peer.map_err(|error| Error::Dial(address, error))?;
        }
        print_all(events).await.map_err(Error::Output)
    }
}

fn announce(address: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "LISTEN {address}")?;
    out.flush()
}

async fn print_messages(mut member: Member) {
    while let Some((_, line)) = member.next().await {
        if report::print(&EventLine::Gossip(line)).is_err() {
            return;
        }
    }
}

/// Says once a second of whom gossip thinks ill.
async fn print_scores<R: Runtime>(runtime: R, node: Handle, topic: Topic) {
    loop {
        pause(&runtime, SCORE_INTERVAL).await;
        for (peer, score) in gossip::below_zero(&node, &topic).await {
            if report::print(&EventLine::BelowZero { peer: peer.to_string(), score }).is_err() {
                return;
            }
        }
    }
}

async fn print_all(mut events: Events) -> io::Result<()> {
    while let Some(event) = events.next().await {
        let line = match event {
            Event::Node(event) => line_of(event),
            Event::Missed(count) => Some(EventLine::Missed { count }),
        };
        if let Some(line) = line {
            report::print(&line)?;
        }
    }
    Ok(())
}

fn line_of(event: NodeEvent) -> Option<EventLine> {
    Some(match event {
        NodeEvent::PeerConnected { peer, connected } => {
            EventLine::Connected { peer: peer.to_string(), address: connected.address.to_string() }
        }
        NodeEvent::Identified { peer, info } => EventLine::Identified {
            peer: peer.to_string(),
            agent: info.agent,
            protocols: info.protocols.iter().map(ToString::to_string).collect(),
        },
        NodeEvent::PeerDisconnected { peer, reason } => {
            EventLine::Disconnected { peer: peer.to_string(), reason: reason.to_string() }
        }
        NodeEvent::Refused { address, reason, .. } => {
            EventLine::Failed { address: address.to_string(), reason: reason.to_string() }
        }
        NodeEvent::InboundFailed { address, reason } => {
            EventLine::Failed { address: address.to_string(), reason: reason.to_string() }
        }
        NodeEvent::ConnectionOpened { .. }
        | NodeEvent::ConnectionClosed { .. }
        | NodeEvent::PreferredConnection { .. }
        | NodeEvent::Listening { .. }
        | NodeEvent::AddressGone { .. }
        | NodeEvent::ListenerFailed { .. }
        | NodeEvent::Penalty { .. }
        | NodeEvent::Gossip(_)
        | NodeEvent::Protocol { .. } => return None,
    })
}
