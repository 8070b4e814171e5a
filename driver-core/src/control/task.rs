//! [`ControlTask`]: the turn of the task that owns Node.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use sanspeer_core::gossip::{GossipCommand, GossipReply};
use sanspeer_core::mailbox::{ToConnection, ToNode};
use sanspeer_core::node::{
    Answer, ArrivalId, Command, CommandId, ConnectionId, Input, ListenerId, Node,
};
use sanspeer_core::quic::QuicConfig;

use super::inbox::{Guest, Reply, Report, Request};
use super::outputs::Listener;
use super::wildcards::Wildcards;
use crate::alarm::Alarm;
use crate::connection::link::Link;
use crate::endpoint::{EndpointId, EndpointLink};
use crate::events::Subscribers;
use crate::gossip::Subscriptions;
use crate::log::NodeLog;
use crate::routes::Routes;
use crate::runtime::Runtime;
use crate::shared::Shared;
use crate::tcp::ListenerLink;

/// Rounds of one turn; then others have theirs.
const MAX_ROUNDS: usize = 8;

/// Requests that one round takes.
const MAX_REQUESTS: usize = 32;

/// Connections whose messages one round takes.
const MAX_LINKS: usize = 64;

/// Messages that one connection has taken before the next one's turn comes.
const MAX_MESSAGES: usize = 16;

/// The task that owns Node.
pub(crate) struct ControlTask<R: Runtime> {
    pub(super) node: Node,
    pub(super) shared: Arc<Shared<R>>,
    pub(super) routes: Arc<Routes>,
    pub(super) subscribers: Arc<Subscribers>,
    subscriptions: Arc<Subscriptions>,
    pub(super) quic: QuicConfig,
    log: Option<NodeLog>,
    /// Bounded by the connection limits, and connections that are not quite over.
    pub(super) connections: BTreeMap<ConnectionId, Known>,
    /// Bounded by the listeners' backlogs.
    pub(super) guests: BTreeMap<ArrivalId, Arrived<R>>,
    pub(super) listeners: BTreeMap<ListenerId, Listener>,
    pub(super) wildcards: Wildcards,
    pub(super) endpoints: BTreeMap<EndpointId, Arc<EndpointLink>>,
    /// Who waits for the answer to a command: as many as the application has asked.
    replies: BTreeMap<CommandId, Reply>,
    /// Connections with messages for Node that were not taken yet.
    links: VecDeque<Arc<Link>>,
    reports: VecDeque<Report<R>>,
    next_arrival: u64,
    next_command: u64,
    pub(super) next_endpoint: u64,
    pub(super) dialing: DialingEndpoints,
    begun: bool,
    alarm: Alarm<R>,
    /// All connections are over, and the other tasks are ending.
    ending: bool,
    /// Who wants to hear of the end: as many as the application has asked.
    waiting_for_end: Vec<Reply>,
    /// The command that shuts the node down.
    shutdown: Option<CommandId>,
}

/// A connection that Node knows.
pub(crate) enum Known {
    /// It is being dialled or accepted; messages of Node's wait.
    Expected {
        /// What Node has said meanwhile.
        messages: Vec<ToConnection>,
        /// Dropped to give a dial up.
        cancel: Option<oneshot::Sender<()>>,
    },
    /// Its task runs.
    Running {
        link: Arc<Link>,
        /// Node was told of its end.
        closed: bool,
    },
}

/// Endpoints that do not listen, one for each family.
#[derive(Default)]
pub(super) struct DialingEndpoints {
    pub(super) v4: Option<EndpointId>,
    pub(super) v6: Option<EndpointId>,
}

/// Somebody who waits for Node's answer.
pub(super) struct Arrived<R: Runtime> {
    pub(super) guest: Guest<R>,
    /// The listener, if it counts who waits.
    pub(super) listener: Option<Arc<ListenerLink>>,
}

impl<R: Runtime> ControlTask<R> {
    pub(crate) fn new(
        node: Node,
        shared: Arc<Shared<R>>,
        routes: Arc<Routes>,
        subscribers: Arc<Subscribers>,
        subscriptions: Arc<Subscriptions>,
        quic: QuicConfig,
        log: Option<NodeLog>,
    ) -> Self {
        ControlTask {
            node,
            shared,
            routes,
            subscribers,
            subscriptions,
            quic,
            log,
            connections: BTreeMap::new(),
            guests: BTreeMap::new(),
            listeners: BTreeMap::new(),
            wildcards: Wildcards::default(),
            endpoints: BTreeMap::new(),
            replies: BTreeMap::new(),
            links: VecDeque::new(),
            reports: VecDeque::new(),
            next_arrival: 0,
            next_command: 0,
            next_endpoint: 0,
            dialing: DialingEndpoints::default(),
            begun: false,
            alarm: Alarm::default(),
            ending: false,
            waiting_for_end: Vec::new(),
            shutdown: None,
        }
    }

    /// Tells Node what time it is, before everything else.
    fn begin(&mut self) {
        if !core::mem::replace(&mut self.begun, true) {
            let seconds = self.shared.runtime.unix_seconds();
            self.feed(Input::UnixTime { seconds });
        }
    }

    /// Gives Node an input and does what it wants done.
    pub(super) fn feed(&mut self, input: Input) {
        let now = self.shared.runtime.now();
        if let Some(log) = &mut self.log {
            log.input(now, &input);
        }
        self.node.handle(now, input);
        while let Some(output) = self.node.poll() {
            if let Some(log) = &mut self.log {
                log.output(&output);
            }
            self.apply(output);
        }
    }

    /// Whether anything was done.
    fn round(&mut self) -> bool {
        let now = self.shared.runtime.now();
        let mut moved = false;
        if self.node.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.feed(Input::Timeout);
            moved = true;
        }
        for change in self.wildcards.look(now) {
            self.feed(change);
        }
        // Before the reports, since each connection is reported before it has something to say.
        self.links.append(&mut self.shared.inbox.take_links());
        self.reports.append(&mut self.shared.reports.take());
        while let Some(report) = self.reports.pop_front() {
            self.take_report(report);
            moved = true;
        }
        for _ in 0..MAX_REQUESTS {
            let Some(request) = self.shared.inbox.pop_request() else { break };
            self.take_request(request);
            moved = true;
        }
        let mut messages = Vec::new();
        for _ in 0..MAX_LINKS {
            let Some(link) = self.links.pop_front() else { break };
            self.take_messages(link, &mut messages);
            moved = true;
        }
        moved
    }

    /// Takes what a connection has for Node, as much as is its turn.
    fn take_messages(&mut self, link: Arc<Link>, messages: &mut Vec<ToNode>) {
        link.listed.store(false, core::sync::atomic::Ordering::Release);
        if link.take_for_node(MAX_MESSAGES, messages) {
            self.shared.inbox.push_link(&link);
        }
        for message in messages.drain(..) {
            if let ToNode::Closed { .. } = message
                && let Some(Known::Running { closed, .. }) = self.connections.get_mut(&link.id)
            {
                *closed = true;
            }
            self.feed(Input::Connection { connection: link.id, message });
        }
    }

    fn take_request(&mut self, request: Request) {
        let id = CommandId(self.next_command);
        self.next_command += 1;
        let is_shutdown = request.command == Command::Shutdown;
        if is_shutdown && self.shutdown.is_some() {
            // It is under way; who asks once more waits for the same end.
            self.waiting_for_end.push(request.reply);
            return;
        }
        if is_shutdown {
            self.shutdown = Some(id);
        }
        if let Command::Gossip(GossipCommand::Unsubscribe(topic)) = &request.command
            && self.subscriptions.has(topic)
        {
            // Somebody has subscribed since the last subscription was dropped.
            return request.reply.send(Answer::Gossip(GossipReply::Done(false)));
        }
        self.replies.insert(id, request.reply);
        self.feed(Input::Command { id, command: request.command });
    }

    pub(super) fn answer(&mut self, id: CommandId, answer: Answer) {
        let Some(reply) = self.replies.remove(&id) else { return };
        if self.shutdown == Some(id) {
            self.waiting_for_end.push(reply);
            self.begin_ending();
        } else {
            reply.send(answer);
        }
    }

    /// All connections are over: ends every task.
    fn begin_ending(&mut self) {
        self.ending = true;
        for known in self.connections.values_mut() {
            match known {
                Known::Expected { cancel, .. } => *cancel = None,
                Known::Running { link, .. } => link.stop(),
            }
        }
        for listener in self.listeners.values() {
            listener.stop();
        }
        self.endpoints.values().for_each(|endpoint| endpoint.stop());
        self.guests.clear();
        self.routes.clear();
        self.shared.acceptors.close();
    }

    fn take_report(&mut self, report: Report<R>) {
        match report {
            Report::Node(input) => {
                if let Input::DialFailed { connection, .. } = &input {
                    self.connections.remove(connection);
                }
                if let Input::ListenFailed { listener, .. } = &input {
                    self.wildcards.remove(*listener);
                    if let Some(failed) = self.listeners.remove(listener) {
                        failed.stop();
                    }
                }
                self.feed(input);
            }
            Report::ArrivalGone { arrival, connection } => {
                self.connections.remove(&connection);
                self.feed(Input::ArrivalGone(arrival));
            }
            Report::Arrival { listener, remote, validated, guest } => {
                let arrival = ArrivalId(self.next_arrival);
                self.next_arrival += 1;
                let counting = self.listeners.get(&listener).and_then(Listener::counting);
                self.guests.insert(arrival, Arrived { guest, listener: counting });
                self.feed(Input::Arrival { arrival, listener, remote, validated });
            }
            Report::Started(link) => self.start(link),
            Report::Ended(id) => self.end(id),
            Report::EndpointEnded(id) => {
                self.endpoints.remove(&id);
            }
        }
    }

    fn start(&mut self, link: Arc<Link>) {
        if self.ending {
            link.stop();
        }
        let running = Known::Running { link: Arc::clone(&link), closed: false };
        if let Some(Known::Expected { messages, .. }) = self.connections.insert(link.id, running) {
            messages.into_iter().for_each(|message| link.tell(message));
        }
    }

    /// The task of a connection has ended, or a dial was given up.
    fn end(&mut self, id: ConnectionId) {
        let Some(Known::Running { link, closed }) = self.connections.remove(&id) else { return };
        let mut messages = Vec::new();
        // What it said last comes first.
        while link.take_for_node(MAX_MESSAGES, &mut messages) {}
        let mut closed = closed;
        for message in messages {
            closed |= matches!(message, ToNode::Closed { .. });
            self.feed(Input::Connection { connection: id, message });
        }
        if !closed {
            let message = link.cut_off();
            self.feed(Input::Connection { connection: id, message });
        }
    }

    /// Whether a deadline has come.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        let node = self.node.poll_timeout().map(|deadline| deadline.at);
        let deadline = node.into_iter().chain(self.wildcards.next_look()).min();
        self.alarm.poll_due(cx, &self.shared.runtime, deadline)
    }

    /// The last turn: nobody is left but those who wait for the end.
    fn finish(&mut self) {
        self.shared.inbox.close();
        self.subscribers.close();
        for reply in core::mem::take(&mut self.replies).into_values() {
            reply.refuse();
        }
        if let Some(mut log) = self.log.take() {
            log.finish();
        }
        for reply in core::mem::take(&mut self.waiting_for_end) {
            reply.send(Answer::Done);
        }
    }
}

impl<R: Runtime> Future for ControlTask<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.shared.inbox.notify.begin_turn(cx);
        this.begin();
        for _ in 0..MAX_ROUNDS {
            if this.round() {
                continue;
            }
            if this.ending && this.shared.tasks.poll_none(cx).is_ready() {
                this.finish();
                return Poll::Ready(());
            }
            if !this.poll_deadline(cx) {
                return Poll::Pending;
            }
        }
        this.shared.runtime.yield_turn(cx);
        Poll::Pending
    }
}

/// However it ends, with its runtime for instance, nobody waits for it any longer.
impl<R: Runtime> Drop for ControlTask<R> {
    fn drop(&mut self) {
        self.shared.acceptors.close();
        self.routes.clear();
        self.finish();
    }
}
