//! What is listened on, and the addresses that we announce.

use std::collections::{BTreeMap, BTreeSet};

use multiaddr::Multiaddr;

use super::command::{Answer, CommandError};
use super::event::NodeEvent;
use super::ids::{CommandId, ListenerId};
use super::input::ListenFailure;
use super::machine::Node;
use super::output::Output;

/// One listener.
struct Listener {
    /// Who is to be told when it is ready.
    waiting: Option<CommandId>,
    /// What it is bound to: for a wildcard, one for each interface. Named by the driver.
    addresses: BTreeSet<Multiaddr>,
}

/// All listeners, and the addresses that the application adds to theirs.
#[derive(Default)]
pub(super) struct Listeners {
    /// Bounded by [`super::NodeConfig::max_listeners`].
    listeners: BTreeMap<ListenerId, Listener>,
    /// What the application announces.
    external: BTreeSet<Multiaddr>,
}

impl Listeners {
    /// What is listened on, each address once.
    pub(super) fn listening(&self) -> Vec<Multiaddr> {
        let all: BTreeSet<&Multiaddr> =
            self.listeners.values().flat_map(|listener| &listener.addresses).collect();
        all.into_iter().cloned().collect()
    }

    /// What is announced beside it.
    pub(super) fn external(&self) -> Vec<Multiaddr> {
        self.external.iter().cloned().collect()
    }
}

impl Node {
    pub(super) fn listen(&mut self, command: CommandId, address: Multiaddr) {
        let most = self.config.max_listeners;
        if self.listeners.listeners.len() as u64 >= u64::from(most) {
            return self.answer(command, Answer::Failed(CommandError::Limit(most)));
        }
        let listener = self.ids.listener();
        self.commands.insert(command, super::commands::Pending::Listen);
        let entry = Listener { waiting: Some(command), addresses: BTreeSet::new() };
        self.listeners.listeners.insert(listener, entry);
        self.output(Output::Listen { listener, address });
    }

    pub(super) fn unlisten(&mut self, command: CommandId, listener: ListenerId) {
        if !self.listeners.listeners.contains_key(&listener) {
            return self.answer(command, Answer::Failed(CommandError::Unknown));
        }
        self.output(Output::Unlisten(listener));
        self.end_listener(listener, CommandError::Unknown);
        self.answer(command, Answer::Done);
    }

    /// Stops all listening.
    pub(super) fn unlisten_all(&mut self) {
        let ids: Vec<ListenerId> = self.listeners.listeners.keys().copied().collect();
        for listener in ids {
            self.output(Output::Unlisten(listener));
            self.end_listener(listener, CommandError::ShuttingDown);
        }
    }

    /// Forgets a listener: its addresses are gone, and who waited for it hears why.
    fn end_listener(&mut self, listener: ListenerId, error: CommandError) {
        let Some(entry) = self.listeners.listeners.remove(&listener) else { return };
        if let Some(command) = entry.waiting {
            self.answer(command, Answer::Failed(error));
        }
        let changed = !entry.addresses.is_empty();
        for address in entry.addresses {
            self.event(NodeEvent::AddressGone { listener, address });
        }
        if changed {
            self.addresses_changed();
        }
    }

    pub(super) fn handle_listening(&mut self, listener: ListenerId, address: Multiaddr) {
        let Some(entry) = self.listeners.listeners.get_mut(&listener) else { return };
        if !entry.addresses.insert(address.clone()) {
            return;
        }
        let waiting = entry.waiting.take();
        self.event(NodeEvent::Listening { listener, address: address.clone() });
        if let Some(command) = waiting {
            self.answer(command, Answer::Listening { listener, address });
        }
        self.addresses_changed();
    }

    pub(super) fn handle_address_gone(&mut self, listener: ListenerId, address: Multiaddr) {
        let Some(entry) = self.listeners.listeners.get_mut(&listener) else { return };
        if entry.addresses.remove(&address) {
            self.event(NodeEvent::AddressGone { listener, address });
            self.addresses_changed();
        }
    }

    pub(super) fn handle_listen_failed(&mut self, listener: ListenerId, failure: ListenFailure) {
        let Some(entry) = self.listeners.listeners.get(&listener) else { return };
        let was_ready = entry.waiting.is_none();
        self.end_listener(listener, CommandError::Listen(failure));
        if was_ready {
            self.event(NodeEvent::ListenerFailed { listener, failure });
        }
    }

    /// What we announce is another set of addresses.
    fn addresses_changed(&mut self) {}

    pub(super) fn add_external_address(&mut self, address: Multiaddr) {
        if self.listeners.external.insert(address) {
            self.addresses_changed();
        }
    }

    /// Whether it was announced.
    pub(super) fn remove_external_address(&mut self, address: &Multiaddr) -> bool {
        let known = self.listeners.external.remove(address);
        if known {
            self.addresses_changed();
        }
        known
    }
}
