//! Connections that we begin.

use std::collections::BTreeMap;

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

use super::command::{Answer, CommandError, DialError};
use super::commands::Pending;
use super::ids::{CommandId, ConnectionId};
use super::input::DialFailure;
use super::machine::Node;
use super::output::Output;
use crate::mux::Role;

/// Dials under way.
#[derive(Default)]
pub(super) struct Dialling {
    /// The address of each, and who asked.
    dials: BTreeMap<ConnectionId, (Multiaddr, CommandId)>,
}

impl Node {
    /// Makes sure that a peer is connected.
    pub(super) fn connect(
        &mut self,
        id: CommandId,
        peer: Option<PeerId>,
        addresses: Vec<Multiaddr>,
    ) {
        let Some(mut address) = addresses.into_iter().next() else {
            return self.answer(id, Answer::Failed(CommandError::NoAddresses));
        };
        let mut expected = peer;
        if let Some(Protocol::P2p(named)) = address.iter().last() {
            address.pop();
            if expected.is_some_and(|peer| peer != named) {
                return self.answer(id, Answer::Failed(CommandError::PeersDiffer));
            }
            expected = Some(named);
        }
        if expected == Some(self.peer_id()) {
            return self.answer(id, Answer::Failed(CommandError::Ourselves));
        }
        if let Some(peer) = expected
            && let Some(connection) = self.connections.usable(&peer)
        {
            return self.answer(id, Answer::Connected { peer, connection });
        }
        let connection = self.ids.connection();
        self.connections.add(connection, Role::Dialer, address.clone(), None);
        self.commands.insert(id, Pending::Connect);
        self.dialling.dials.insert(connection, (address.clone(), id));
        self.output(Output::Dial { connection, address, peer: expected });
    }

    /// A dial did not reach the point where a connection exists.
    pub(super) fn handle_dial_failed(&mut self, connection: ConnectionId, failure: DialFailure) {
        if self.dialling.dials.contains_key(&connection) {
            self.forget(connection);
            self.dial_ended(connection, Err(DialError::Failed(failure)));
        }
    }

    /// A dial has led to an admitted connection, or has failed.
    pub(super) fn dial_ended(&mut self, connection: ConnectionId, end: Result<PeerId, DialError>) {
        let Some((address, command)) = self.dialling.dials.remove(&connection) else { return };
        match end {
            Ok(peer) => self.answer(command, Answer::Connected { peer, connection }),
            Err(error) => {
                let failed = CommandError::Dial(vec![(address, error)]);
                self.answer(command, Answer::Failed(failed));
            }
        }
    }

    /// Gives all dials up.
    pub(super) fn end_dials(&mut self) {
        for (connection, _) in core::mem::take(&mut self.dialling.dials) {
            self.forget(connection);
            self.output(Output::CancelDial(connection));
        }
    }

    pub(super) fn add_addresses(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        let _ = (peer, addresses);
    }
}
