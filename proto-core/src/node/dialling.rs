//! Connections that we begin.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::command::{Answer, CommandError, DialError};
use super::commands::Pending;
use super::dial::{DialConfig, DialContext, DialOutput, DialRequest, Dialer};
use super::ids::{CommandId, ConnectionId, DialId, LookupId};
use super::input::DialFailure;
use super::machine::Node;
use super::output::Output;
use super::protocol::ProtocolInput;
use super::protocols::Owner;
use crate::address::peer_of;
use crate::close::RefuseReason;
use crate::mux::Role;
use crate::peer_store::Source;
use crate::time::{Deadline, Timestamp};

/// Dials under way, and who wants them.
pub(super) struct Dialling {
    dialer: Dialer,
    /// Bounded by [`DialConfig::max_dials`].
    wanted: BTreeMap<DialId, Wanted>,
}

/// Who wants a peer to be connected.
enum Wanted {
    Command(CommandId),
    Protocol(Owner, PeerId),
    Node,
}

impl Dialling {
    pub(super) fn new(config: DialConfig) -> Self {
        Dialling { dialer: Dialer::new(config), wanted: BTreeMap::new() }
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.dialer.poll_timeout()
    }
}

impl Node {
    /// Lets the dialer do something, and does what it wants.
    fn with_dialer<T>(&mut self, act: impl FnOnce(&mut Dialer, &mut DialContext<'_>) -> T) -> T {
        let now = self.clock.now();
        let mut cx = DialContext { now, ids: &mut self.ids, peers: &mut self.peers };
        let result = act(&mut self.dialling.dialer, &mut cx);
        while let Some(output) = self.dialling.dialer.poll() {
            self.apply_dial(output);
        }
        result
    }

    fn apply_dial(&mut self, output: DialOutput) {
        match output {
            DialOutput::Dial { connection, address, peer } => {
                self.connections.dial(connection, address.clone(), peer);
                self.output(Output::Dial { connection, address, peer });
            }
            DialOutput::Cancel(connection) => {
                self.forget(connection);
                self.output(Output::CancelDial(connection));
            }
            DialOutput::LookUp { lookup, address } => {
                self.output(Output::LookUp { lookup, address });
            }
            DialOutput::Done { dial, result } => self.dial_done(dial, result),
        }
    }

    fn dial_done(
        &mut self,
        dial: DialId,
        result: Result<ConnectionId, Vec<(Multiaddr, DialError)>>,
    ) {
        match self.dialling.wanted.remove(&dial) {
            Some(Wanted::Command(command)) => {
                let answer = match result {
                    Ok(connection) => self.connected_answer(connection),
                    Err(failures) => Answer::Failed(CommandError::Dial(failures)),
                };
                self.answer(command, answer);
            }
            Some(Wanted::Protocol(owner, peer)) if result.is_err() => {
                self.protocols.tell(owner, ProtocolInput::DialFailed(peer));
            }
            Some(Wanted::Protocol(..) | Wanted::Node) | None => {}
        }
    }

    fn connected_answer(&self, connection: ConnectionId) -> Answer {
        match self.connections.open(connection) {
            Some(open) => Answer::Connected { peer: open.peer, connection },
            None => Answer::Failed(CommandError::Unknown),
        }
    }

    /// Makes sure that a peer is connected.
    pub(super) fn connect(
        &mut self,
        id: CommandId,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
    ) {
        let wanted = peer.or_else(|| addresses.iter().find_map(peer_of));
        if let Some(peer) = wanted
            && let Some(connection) = self.connections.usable(&peer)
            && addresses.iter().filter_map(peer_of).all(|named| named == peer)
        {
            return self.answer(id, Answer::Connected { peer, connection });
        }
        self.commands.insert(id, Pending::Connect);
        let request = DialRequest { peer, addresses, source: Source::Command };
        if let Err(error) = self.start_dial(request, Wanted::Command(id)) {
            self.answer(id, Answer::Failed(error));
        }
    }

    /// Dials a peer for a protocol, unless it is connected.
    pub(super) fn connect_for(&mut self, owner: Owner, peer: PeerId, addresses: Vec<Multiaddr>) {
        if self.connections.usable(&peer).is_some() {
            return;
        }
        let request = DialRequest { peer: Some(peer), addresses, source: Source::Protocol };
        let started =
            !self.shutting_down && self.start_dial(request, Wanted::Protocol(owner, peer)).is_ok();
        if !started {
            self.protocols.tell(owner, ProtocolInput::DialFailed(peer));
        }
    }

    /// Dials a peer at what is known of it, for nobody in particular.
    pub(super) fn dial_known(&mut self, peer: PeerId) -> Result<(), CommandError> {
        let request =
            DialRequest { peer: Some(peer), addresses: Vec::new(), source: Source::Protocol };
        self.start_dial(request, Wanted::Node)
    }

    fn start_dial(&mut self, request: DialRequest, wanted: Wanted) -> Result<(), CommandError> {
        self.limits.check_dial().map_err(dial_refused)?;
        let now = self.clock.now();
        let mut cx = DialContext { now, ids: &mut self.ids, peers: &mut self.peers };
        let dial = self.dialling.dialer.connect(&mut cx, request)?;
        // It may be over already.
        self.dialling.wanted.insert(dial, wanted);
        self.with_dialer(|_, _| ());
        Ok(())
    }

    /// A dial did not reach the point where a connection exists.
    pub(super) fn handle_dial_failed(&mut self, connection: ConnectionId, failure: DialFailure) {
        if self.connections.is_dialled(connection) {
            self.forget(connection);
            self.dial_failed(connection, DialError::Failed(failure));
        }
    }

    /// What was dialled failed, or was not admitted.
    pub(super) fn dial_failed(&mut self, connection: ConnectionId, error: DialError) {
        self.with_dialer(|dialer, cx| dialer.handle_failed(cx, connection, error));
    }

    /// A connection was admitted, whoever began it.
    pub(super) fn dial_over(&mut self, connection: ConnectionId, role: Role, peer: PeerId) {
        self.with_dialer(|dialer, cx| match role {
            Role::Dialer => dialer.handle_established(cx, connection, peer),
            Role::Listener => dialer.handle_connected(cx, connection, peer),
        });
    }

    pub(super) fn handle_looked_up(&mut self, lookup: LookupId, addresses: &[Multiaddr]) {
        self.with_dialer(|dialer, cx| dialer.handle_looked_up(cx, lookup, addresses));
    }

    pub(super) fn time_out_dials(&mut self, now: Timestamp) {
        if self.dialling.deadline().is_some_and(|deadline| deadline.at <= now) {
            self.with_dialer(|dialer, cx| dialer.handle_timeout(cx));
        }
    }

    /// Gives all dials up. Nobody is told of their ends.
    pub(super) fn end_dials(&mut self) {
        self.dialling.wanted = BTreeMap::new();
        self.with_dialer(|dialer, _| dialer.cancel_all());
    }

    /// Remembers addresses of a peer. What is none is left out.
    pub(super) fn add_addresses(&mut self, peer: PeerId, addresses: &[Multiaddr], source: Source) {
        for address in addresses {
            // What cannot be dialled, or finds no room, is not known; a dial says so.
            let _ = self.peers.add(peer, address, source, self.clock.now());
        }
    }
}

/// Why no dial begins, in the words of commands.
fn dial_refused(reason: RefuseReason) -> CommandError {
    match reason {
        RefuseReason::TooManyConnections(max)
        | RefuseReason::TooManyConnectionsOfPeer(max)
        | RefuseReason::TooManyInbound(max)
        | RefuseReason::TooManyOutbound(max)
        | RefuseReason::TooManyPending(max)
        | RefuseReason::TooManyFromHost(max)
        | RefuseReason::TooManyFromSite(max)
        | RefuseReason::TooOften(max) => CommandError::Limit(max),
        RefuseReason::Ourselves => CommandError::Ourselves,
        RefuseReason::Policy => CommandError::ShuttingDown,
    }
}
