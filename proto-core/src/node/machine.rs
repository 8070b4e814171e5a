//! [`Node`]: its inputs, its outputs, and its time.

use std::collections::{BTreeMap, VecDeque};

use libp2p_identity::PeerId;

use super::command::Answer;
use super::commands::Pending;
use super::config::NodeConfig;
use super::connections::Connections;
use super::dialling::Dialling;
use super::event::NodeEvent;
use super::ids::{CommandId, ConnectionId, Ids};
use super::input::Input;
use super::limits::Limits;
use super::listeners::Listeners;
use super::output::Output;
use super::protect::Protection;
use super::protocol::Protocol;
use super::protocols::{AddProtocolError, Protocols};
use crate::gossip::Gossip;
use crate::identify::Identify;
use crate::identity::Identity;
use crate::mailbox::ToConnection;
use crate::peer_store::PeerStore;
use crate::queue;
use crate::rng::Seed;
use crate::time::{Clock, Deadline, DeadlineReason, Timestamp};

/// The control plane of one peer. See the [module](super) for what it is made of.
///
/// After every input take outputs until there are none, then ask for the timeout. Every input is
/// taken at any time and in any state; what makes no sense changes nothing.
pub struct Node {
    pub(super) config: NodeConfig,
    pub(super) identity: Identity,
    pub(super) clock: Clock,
    pub(super) ids: Ids,
    pub(super) limits: Limits,
    pub(super) connections: Connections,
    pub(super) listeners: Listeners,
    pub(super) dialling: Dialling,
    pub(super) peers: PeerStore,
    pub(super) protocols: Protocols,
    pub(super) protection: Protection,
    /// Commands that were not answered yet: as many as the application has asked.
    pub(super) commands: BTreeMap<CommandId, Pending>,
    /// Window that connections lease beyond their first lease, in bytes.
    pub(super) leased_bytes: u64,
    /// The application wants it to end: nothing is begun any more.
    pub(super) shutting_down: bool,
    /// When it is looked next whether enough peers are connected.
    pub(super) replenish_at: Timestamp,
    started: bool,
    /// What the last inputs caused: for each a few, and a few for each connection, stream or
    /// command that it ends.
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node that does nothing yet. What it draws at random follows from the seed; so far that is
    /// nothing.
    pub fn new(config: NodeConfig, identity: Identity, _seed: Seed, now: Timestamp) -> Self {
        let identify = Identify::new(config.identify.clone(), identity.clone());
        let mut node = Node {
            protocols: Protocols::new(identify, config.perf),
            limits: Limits::new(config.limits.clone()),
            clock: Clock::new(now),
            ids: Ids::default(),
            connections: Connections::default(),
            listeners: Listeners::default(),
            dialling: Dialling::new(config.dial.clone()),
            peers: PeerStore::new(identity.peer_id(), config.peer_store.clone()),
            protection: Protection::default(),
            commands: BTreeMap::new(),
            leased_bytes: 0,
            shutting_down: false,
            replenish_at: now.saturating_add(config.replenish_interval),
            started: false,
            outputs: VecDeque::new(),
            config,
            identity,
        };
        node.announce_protocols();
        node
    }

    /// Adds a protocol of the application's, before the first input. A log of the inputs replays
    /// into a node with the same protocols.
    pub fn add_protocol(&mut self, protocol: Box<dyn Protocol>) -> Result<(), AddProtocolError> {
        if self.started {
            return Err(AddProtocolError::Started);
        }
        self.protocols.add(protocol)?;
        self.announce_protocols();
        Ok(())
    }

    /// Lets it gossip, before the first input. [`super::Command::Gossip`] is refused by a node that
    /// does not.
    pub fn add_gossip(&mut self, gossip: Gossip) -> Result<(), AddProtocolError> {
        if self.started {
            return Err(AddProtocolError::Started);
        }
        self.protocols.add_gossip(gossip)?;
        self.announce_protocols();
        Ok(())
    }

    /// Who we are.
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        let now = self.clock.advance(now);
        self.started = true;
        match input {
            Input::Listening { listener, address } => self.handle_listening(listener, address),
            Input::AddressGone { listener, address } => self.handle_address_gone(listener, address),
            Input::ListenFailed { listener, failure } => {
                self.handle_listen_failed(listener, failure)
            }
            Input::Arrival { arrival, listener: _, remote, validated } => {
                self.handle_arrival(now, arrival, remote, validated);
            }
            Input::ArrivalGone(arrival) => self.handle_arrival_gone(arrival),
            Input::DialFailed { connection, failure } => {
                self.handle_dial_failed(connection, failure)
            }
            Input::LookedUp { lookup, addresses } => {
                self.handle_looked_up(lookup, &addresses);
            }
            Input::Connection { connection, message } => {
                self.handle_connection(now, connection, message);
            }
            Input::Command { id, command } => self.handle_command(now, id, command),
            Input::UnixTime { seconds } => {
                self.protocols.identify.set_unix_time(now, seconds);
                if let Some(gossip) = &mut self.protocols.gossip {
                    gossip.set_unix_time(now, seconds);
                }
            }
            Input::Timeout => self.handle_timeout(now),
        }
        self.run_protocols(now);
        self.finish_shutdown();
    }

    /// The next thing to be done or told.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        queue::rest(&mut self.outputs);
        output
    }

    /// When [`Input::Timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let unused = self
            .connections
            .first_deadline()
            .map(|(at, _)| Deadline::new(at, DeadlineReason::Idle));
        let protocols = self.protocols.deadline(self.clock.now());
        [unused, self.dialling.deadline(), protocols, self.replenish_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        self.close_unused(now);
        self.time_out_dials(now);
        self.replenish(now);
        self.protocols.time_out(now);
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn event(&mut self, event: NodeEvent) {
        self.output(Output::Event(event));
    }

    pub(super) fn answer(&mut self, id: CommandId, answer: Answer) {
        self.commands.remove(&id);
        self.output(Output::Answer { id, answer });
    }

    pub(super) fn tell_connection(&mut self, connection: ConnectionId, message: ToConnection) {
        self.output(Output::Connection { connection, message });
    }
}
