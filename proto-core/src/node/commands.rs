//! What the application asks. Every command is answered once.

use libp2p_identity::PeerId;

use super::command::{Answer, Command, CommandError};
use super::ids::{CommandId, ConnectionId};
use super::machine::Node;
use super::protect::Protector;
use super::protocols::Owner;
use crate::close::CloseReason;
use crate::mailbox::ToConnection;
use crate::peer_store::Source;
use crate::time::Timestamp;

/// What a command waits for.
pub(super) enum Pending {
    /// A listener to be ready.
    Listen,
    /// A dial to end.
    Connect,
    /// The last connection of a peer to be over.
    Disconnect(PeerId),
    /// A protocol's reply.
    Protocol(Owner),
    /// Everything to be over.
    Shutdown,
}

impl Node {
    /// Takes a command. Nothing happens if one with its id waits for its answer.
    pub(super) fn handle_command(&mut self, now: Timestamp, id: CommandId, command: Command) {
        if self.commands.contains_key(&id) {
            return;
        }
        if self.shutting_down {
            return self.answer(id, Answer::Failed(CommandError::ShuttingDown));
        }
        match command {
            Command::Listen(address) => self.listen(id, address),
            Command::Unlisten(listener) => self.unlisten(id, listener),
            Command::Connect { peer, addresses } => self.connect(id, peer, addresses),
            Command::Disconnect(peer) => self.disconnect(id, peer),
            Command::AddProtocol(protocol) => {
                let taken = !self.protocols.add_application(protocol);
                self.answer_unless(id, taken, CommandError::Taken);
                if !taken {
                    self.protocols_changed();
                }
            }
            Command::RemoveProtocol(protocol) => {
                let unknown = !self.protocols.remove_application(&protocol);
                self.answer_unless(id, unknown, CommandError::Unknown);
                if !unknown {
                    self.protocols_changed();
                }
            }
            Command::AddAddresses { peer, addresses } => {
                self.add_addresses(peer, &addresses, Source::Command);
                self.answer(id, Answer::Done);
            }
            Command::Configure { peer, addresses } => {
                self.add_addresses(peer, &addresses, Source::Configured);
                self.answer(id, Answer::Done);
            }
            Command::AddExternalAddress(address) => {
                self.add_external_address(address);
                self.answer(id, Answer::Done);
            }
            Command::RemoveExternalAddress(address) => {
                let unknown = !self.remove_external_address(&address);
                self.answer_unless(id, unknown, CommandError::Unknown);
            }
            Command::Protect { peer, protect } => {
                self.protect(peer, Protector::Application, protect);
                self.answer(id, Answer::Done);
            }
            Command::Peers => {
                let peers = self.peer_summaries();
                self.answer(id, Answer::Peers(peers));
            }
            Command::Addresses => {
                let (listening, external) = (self.listeners.listening(), self.listeners.external());
                self.answer(id, Answer::Addresses { listening, external });
            }
            Command::Protocol { name, command } => match self.protocols.owner_named(&name) {
                Some(owner) => {
                    self.commands.insert(id, Pending::Protocol(owner));
                    self.protocols.command(owner, id, command);
                }
                None => self.answer(id, Answer::Failed(CommandError::Unknown)),
            },
            Command::Gossip(command) => {
                let answer = match &mut self.protocols.gossip {
                    Some(gossip) => Answer::Gossip(gossip.run(now, command)),
                    None => Answer::Failed(CommandError::Unknown),
                };
                self.answer(id, answer);
            }
            Command::Shutdown => self.shut_down(id),
        }
    }

    fn answer_unless(&mut self, id: CommandId, failed: bool, error: CommandError) {
        self.answer(id, if failed { Answer::Failed(error) } else { Answer::Done });
    }

    fn disconnect(&mut self, id: CommandId, peer: PeerId) {
        if self.connections.peer(&peer).is_none() {
            return self.answer(id, Answer::Failed(CommandError::Unknown));
        }
        self.commands.insert(id, Pending::Disconnect(peer));
        self.close_peer(&peer, &CloseReason::Requested);
    }

    /// The last connection of a peer is over.
    pub(super) fn peer_gone(&mut self, peer: &PeerId) {
        self.protection.peer_gone(peer);
        self.peers.set_connected(*peer, false, self.clock.now());
        for id in self.waiting(|pending| match pending {
            Pending::Disconnect(waited) => waited == peer,
            Pending::Listen | Pending::Connect | Pending::Protocol(_) | Pending::Shutdown => false,
        }) {
            self.answer(id, Answer::Done);
        }
    }

    /// Takes a protocol's reply, if that is what the command waits for.
    pub(super) fn reply(&mut self, owner: Owner, id: CommandId, reply: bytes::Bytes) {
        if let Some(Pending::Protocol(asked)) = self.commands.get(&id)
            && *asked == owner
        {
            self.answer(id, Answer::Protocol(reply));
        }
    }

    /// Tells every connection what is spoken now.
    fn protocols_changed(&mut self) {
        self.announce_protocols();
        let open: Vec<ConnectionId> = self
            .connections
            .all_open()
            .filter(|(_, open)| !open.closing)
            .map(|(id, _)| id)
            .collect();
        for id in open {
            let protocols = self.protocols.table();
            self.tell_connection(id, ToConnection::Protocols(protocols));
        }
    }

    /// Begins to end everything. Connections flush what was written before they are over.
    fn shut_down(&mut self, id: CommandId) {
        self.shutting_down = true;
        self.unlisten_all();
        self.end_dials();
        for command in self.waiting(|pending| match pending {
            Pending::Listen | Pending::Connect | Pending::Protocol(_) => true,
            Pending::Disconnect(_) | Pending::Shutdown => false,
        }) {
            self.answer(command, Answer::Failed(CommandError::ShuttingDown));
        }
        self.commands.insert(id, Pending::Shutdown);
        for connection in self.connections.ids() {
            match self.connections.open(connection) {
                Some(_) => self.close_connection(connection, CloseReason::Requested),
                None => {
                    self.tell_connection(connection, ToConnection::Close(CloseReason::Requested))
                }
            }
        }
    }

    /// Answers the shutdown once all is over.
    pub(super) fn finish_shutdown(&mut self) {
        if !self.shutting_down || !self.connections.is_empty() {
            return;
        }
        for id in self.waiting(|pending| match pending {
            Pending::Shutdown => true,
            Pending::Listen | Pending::Connect | Pending::Disconnect(_) | Pending::Protocol(_) => {
                false
            }
        }) {
            self.answer(id, Answer::Done);
        }
    }

    fn waiting(&self, which: impl Fn(&Pending) -> bool) -> Vec<CommandId> {
        self.commands.iter().filter(|(_, pending)| which(pending)).map(|(id, _)| *id).collect()
    }
}
