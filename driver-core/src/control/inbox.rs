//! [`Inbox`] and [`Reports`]: what waits for the control task.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use futures_channel::oneshot;
use multiaddr::Multiaddr;
use sanspeer_core::application::AppEvent;
use sanspeer_core::node::{
    Answer, ArrivalId, Command, CommandError, CommandId, ConnectionId, Input, ListenerId,
};
use sanspeer_core::quic::IncomingId;

use crate::connection::link::Link;
use crate::endpoint::{EndpointId, EndpointLink};
use crate::memory::MemoryStream;
use crate::notify::Notify;
use crate::observer::Observer;
use crate::runtime::Runtime;
use crate::sync::lock;

/// What handles and connections leave for the control task.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Wakes the control task.
    pub(crate) notify: Notify,
    requests: Mutex<Requests>,
    /// Connections with messages for Node, each once.
    links: Mutex<VecDeque<Arc<Link>>>,
}

#[derive(Default)]
struct Requests {
    /// Bounded by the tasks of the application that wait for an answer.
    waiting: VecDeque<Request>,
    /// Nobody takes them any more.
    closed: bool,
}

/// A command of the application's.
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) reply: Reply,
}

/// Who waits for the answer to a command.
pub(crate) enum Reply {
    /// Nobody.
    Nobody,
    /// A task of the application's.
    Task(oneshot::Sender<Answer>),
    /// An observer, which knows the command by this id.
    Observer(Arc<Observer>, CommandId),
}

impl Reply {
    pub(crate) fn send(self, answer: Answer) {
        match self {
            Reply::Nobody => {}
            // Who asked may be gone.
            Reply::Task(task) => drop(task.send(answer)),
            Reply::Observer(observer, id) => observer.push(AppEvent::Answer { id, answer }),
        }
    }

    /// The node is gone. A task sees that nobody answers.
    pub(crate) fn refuse(self) {
        match self {
            Reply::Nobody | Reply::Task(_) => {}
            Reply::Observer(..) => self.send(Answer::Failed(CommandError::ShuttingDown)),
        }
    }
}

impl Inbox {
    /// Leaves a request, which is refused when the node is gone.
    pub(crate) fn push_request(&self, request: Request) {
        let refused = {
            let mut requests = lock(&self.requests);
            if requests.closed {
                Some(request)
            } else {
                requests.waiting.push_back(request);
                None
            }
        };
        match refused {
            Some(request) => request.reply.refuse(),
            None => self.notify.notify(),
        }
    }

    pub(crate) fn pop_request(&self) -> Option<Request> {
        lock(&self.requests).waiting.pop_front()
    }

    /// Takes no more requests, and refuses those that wait.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut requests = lock(&self.requests);
            requests.closed = true;
            core::mem::take(&mut requests.waiting)
        };
        waiting.into_iter().for_each(|request| request.reply.refuse());
        lock(&self.links).clear();
    }

    /// A connection has something for Node.
    pub(crate) fn push_link(&self, link: &Arc<Link>) {
        if link.listed.swap(true, Ordering::AcqRel) {
            return;
        }
        lock(&self.links).push_back(Arc::clone(link));
        self.notify.notify();
    }

    /// Takes the connections that have something for Node.
    pub(crate) fn take_links(&self) -> VecDeque<Arc<Link>> {
        core::mem::take(&mut lock(&self.links))
    }
}

/// What the rest of the driver reports to the control task.
pub(crate) struct Reports<R: Runtime> {
    /// Bounded by the listeners' backlogs, and by what Node asked for.
    waiting: Mutex<VecDeque<Report<R>>>,
    inbox: Arc<Inbox>,
}

/// Something that has happened.
pub(crate) enum Report<R: Runtime> {
    /// Something that is Node's alone.
    Node(Input),
    /// Somebody wants to connect.
    Arrival { listener: ListenerId, remote: Multiaddr, validated: bool, guest: Guest<R> },
    /// Somebody who was let in was not there any more.
    ArrivalGone { arrival: ArrivalId, connection: ConnectionId },
    /// A connection began; its task is about to be spawned.
    Started(Arc<Link>),
    /// An endpoint has ended.
    EndpointEnded(EndpointId),
    /// The task of a connection has ended.
    Ended(ConnectionId),
}

/// Somebody who waits to be let in.
pub(crate) enum Guest<R: Runtime> {
    /// Over TCP.
    Tcp(R::TcpStream),
    /// Within the process.
    Memory(MemoryStream),
    /// Over QUIC.
    Quic { endpoint: Arc<EndpointLink>, incoming: IncomingId },
}

impl<R: Runtime> Reports<R> {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Arc<Self> {
        Arc::new(Reports { waiting: Mutex::new(VecDeque::new()), inbox })
    }

    pub(crate) fn push(&self, report: Report<R>) {
        lock(&self.waiting).push_back(report);
        self.inbox.notify.notify();
    }

    /// Takes all of them.
    pub(crate) fn take(&self) -> VecDeque<Report<R>> {
        core::mem::take(&mut lock(&self.waiting))
    }
}
