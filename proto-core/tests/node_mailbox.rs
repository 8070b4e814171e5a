//! Node's side: bounded mailboxes both ways, frames, credit, and what a slow Node may delay.

mod common;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use common::*;
use proptest::prelude::*;
use sanspeer_core::close::CloseReason;
use sanspeer_core::connection::{NodeRoom, OpenError, SEND_CREDIT_BYTES};
use sanspeer_core::mailbox::{
    Frame, Lease, Mailbox, Message, RequestId, Slot, StreamEnd, ToConnection, ToNode,
};
use sanspeer_core::mux::{Mux, StreamId};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;

/// A mailbox that counts what its queue holds.
struct Counted<M> {
    mailbox: Mailbox<M>,
    capacity: usize,
    queued: usize,
}

impl<M: Message + core::fmt::Debug> Counted<M> {
    fn new(capacity: usize) -> Self {
        Counted { mailbox: Mailbox::new(capacity), capacity, queued: 0 }
    }

    fn push(&mut self, message: M) {
        self.queued += usize::from(message.slot() == Slot::Queue);
        self.mailbox.push(message).expect("room was asked for");
        assert!(self.queued <= self.capacity);
        assert_eq!(self.mailbox.has_room(), self.queued < self.capacity);
    }

    fn pop(&mut self) -> Option<M> {
        let message = self.mailbox.pop()?;
        self.queued -= usize::from(message.slot() == Slot::Queue);
        Some(message)
    }
}

/// What Node keeps of one stream.
#[derive(Default)]
struct Stream {
    to_send: VecDeque<usize>,
    sent: usize,
    received: Vec<Bytes>,
    /// Bytes that were sent and not reported.
    under_way: usize,
    finish_sent: bool,
    remote_finished: bool,
    closed: Option<StreamEnd>,
}

/// One connection's Node, and the mailboxes between the two.
struct Node {
    inbox: Counted<ToNode>,
    outbox: Counted<ToConnection>,
    plans: VecDeque<Vec<usize>>,
    next_request: u64,
    opening: BTreeMap<RequestId, Vec<usize>>,
    streams: BTreeMap<StreamId, Stream>,
    messages: Vec<ToNode>,
    /// State that was sent, and that the connection took.
    leases: (Vec<Lease>, Vec<Lease>),
    tables: (usize, usize),
}

/// The frame that a stream's sender sends as its number `index`.
fn content(stream: StreamId, dialer: bool, index: usize, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    let seed = Seed::from_u64(stream.0 * 2 + u64::from(dialer));
    seed.derive("frame", index as u64).rng().fill(&mut content);
    content
}

impl Node {
    fn new(capacities: (usize, usize), plans: Vec<Vec<usize>>) -> Self {
        Node {
            inbox: Counted::new(capacities.0),
            outbox: Counted::new(capacities.1),
            plans: plans.into(),
            next_request: 0,
            opening: BTreeMap::new(),
            streams: BTreeMap::new(),
            messages: Vec::new(),
            leases: (Vec::new(), Vec::new()),
            tables: (0, 0),
        }
    }

    /// Takes so many messages from the connection.
    fn drain(&mut self, quota: usize) -> bool {
        for taken in 0..quota {
            let Some(message) = self.inbox.pop() else { return taken > 0 };
            match &message {
                ToNode::Established { .. } => self
                    .outbox
                    .push(ToConnection::Admit { lease: Lease::default(), protocols: table() }),
                ToNode::StreamOpened { request, stream, .. } => {
                    let plan = self.opening.remove(request).expect("what was asked for");
                    let stream = self.streams.entry(*stream).or_default();
                    stream.to_send = plan.into();
                }
                ToNode::InboundStream { stream, .. } => {
                    // Answered with frames of its own.
                    let stream_id = *stream;
                    let stream = self.streams.entry(stream_id).or_default();
                    stream.to_send = VecDeque::from([10, 0, 5_000, 30_000]);
                }
                ToNode::Frame { stream, frame } => {
                    let stream = self.streams.get_mut(stream).expect("an announced stream");
                    assert!(!stream.remote_finished && stream.closed.is_none());
                    stream.received.push(frame.clone());
                }
                ToNode::Sent { stream, bytes } => {
                    let stream = self.streams.get_mut(stream).expect("an announced stream");
                    let bytes = usize::try_from(*bytes).expect("what was sent");
                    stream.under_way =
                        stream.under_way.checked_sub(bytes).expect("no more than was sent");
                }
                ToNode::StreamFinished(stream) => {
                    let stream = self.streams.get_mut(stream).expect("an announced stream");
                    assert!(!stream.remote_finished);
                    stream.remote_finished = true;
                }
                ToNode::StreamClosed { stream, end } => {
                    let stream = self.streams.get_mut(stream).expect("an announced stream");
                    assert_eq!(stream.closed.replace(*end), None);
                }
                ToNode::LeaseRequest { .. }
                | ToNode::LeaseReturn { .. }
                | ToNode::Rtt(_)
                | ToNode::PingFailed(_)
                | ToNode::Usage(_)
                | ToNode::OpenFailed { .. }
                | ToNode::Verified { .. }
                | ToNode::Closed { .. } => {}
            }
            self.messages.push(message);
        }
        quota > 0
    }

    /// Puts what Node wants to send in the outbox, as far as credit and room allow.
    fn fill(&mut self, quota: usize, dialer: bool) -> bool {
        for filled in 0..quota {
            if !self.outbox.mailbox.has_room() {
                return filled > 0;
            }
            let Some(message) = self.next_message(dialer) else { return filled > 0 };
            self.outbox.push(message);
        }
        quota > 0
    }

    fn next_message(&mut self, dialer: bool) -> Option<ToConnection> {
        if self.messages.is_empty() {
            return None;
        }
        if let Some(plan) = self.plans.pop_front() {
            let request = RequestId(self.next_request);
            self.next_request += 1;
            self.opening.insert(request, plan);
            return Some(ToConnection::Open {
                request,
                protocols: vec![id(FRAMES)],
                max_frame_bytes: MAX_FRAME,
            });
        }
        for (id, stream) in &mut self.streams {
            let stream_id = *id;
            if stream.under_way < SEND_CREDIT_BYTES
                && let Some(bytes) = stream.to_send.pop_front()
            {
                let frame = content(stream_id, dialer, stream.sent, bytes);
                stream.sent += 1;
                stream.under_way += bytes;
                let (head, body) = frame.split_at(bytes / 3);
                let (head, body) = (head.to_vec().into(), body.to_vec().into());
                let frame = Frame { head, body };
                return Some(ToConnection::Send { stream: stream_id, frame });
            }
            if stream.to_send.is_empty() && !stream.finish_sent && stream.closed.is_none() {
                stream.finish_sent = true;
                return Some(ToConnection::Finish(stream_id));
            }
        }
        None
    }

    /// Gives so many messages to the connection.
    fn deliver(&mut self, end: &mut End, now: Timestamp, quota: usize) -> bool {
        for taken in 0..quota {
            let Some(message) = self.outbox.pop() else { return taken > 0 };
            if let ToConnection::Lease(lease) = &message {
                self.leases.1.push(*lease);
            }
            self.tables.1 += usize::from(matches!(message, ToConnection::Protocols(_)));
            end.connection.handle_node(now, message);
            while end.connection.poll_event().is_some() {}
        }
        quota > 0
    }

    /// Takes messages from the connection as long as the inbox has room.
    fn collect(&mut self, end: &mut End) -> bool {
        let mut any = false;
        loop {
            let room =
                if self.inbox.mailbox.has_room() { NodeRoom::Queue } else { NodeRoom::State };
            let Some(message) = end.connection.poll_node(room) else { return any };
            self.inbox.push(message);
            any = true;
        }
    }

    fn is_done(&self) -> bool {
        self.plans.is_empty()
            && self.opening.is_empty()
            && self.streams.values().all(|stream| stream.closed.is_some())
    }
}

#[derive(Clone, Debug)]
enum Op {
    Drain(usize),
    Fill(usize),
    Deliver(usize),
    Collect,
    Lease(u32),
    Table,
    Wire(usize),
}

fn op() -> impl Strategy<Value = (bool, Op)> {
    let op = prop_oneof![
        (0usize..6).prop_map(Op::Drain),
        (0usize..6).prop_map(Op::Fill),
        (0usize..6).prop_map(Op::Deliver),
        Just(Op::Collect),
        (10u32..500).prop_map(Op::Lease),
        Just(Op::Table),
        (1usize..100_000).prop_map(Op::Wire),
    ];
    (any::<bool>(), op)
}

fn plans() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let frame = prop_oneof![0usize..200, 0usize..20_000, 60_000usize..150_000];
    proptest::collection::vec(proptest::collection::vec(frame, 0..12), 0..5)
}

/// Both ends with their Nodes.
struct Model {
    pair: Pair,
    nodes: [Node; 2],
}

impl Model {
    /// One step of one side. Whether anything moved.
    fn step(&mut self, dialer: bool, op: &Op) -> bool {
        let now = self.pair.now;
        let Pair { dialer: one, listener: two, .. } = &mut self.pair;
        let (end, other) = if dialer { (one, two) } else { (two, one) };
        let node = &mut self.nodes[usize::from(!dialer)];
        match op {
            Op::Drain(quota) => node.drain(*quota),
            Op::Fill(quota) => node.fill(*quota, dialer),
            Op::Deliver(quota) => node.deliver(end, now, *quota),
            Op::Collect => node.collect(end),
            Op::Lease(streams) => {
                if !node.messages.is_empty() {
                    let lease = Lease { outbound_streams: *streams, ..Lease::default() };
                    node.leases.0.push(lease);
                    node.outbox.push(ToConnection::Lease(lease));
                }
                false
            }
            Op::Table => {
                if !node.messages.is_empty() {
                    node.tables.0 += 1;
                    node.outbox.push(ToConnection::Protocols(table()));
                }
                false
            }
            Op::Wire(bytes) => {
                let mut any = end.transmit(now);
                end.chunks = Chunks::Fixed(*bytes);
                any |= end.receive(now, &mut other.wire);
                let unread = end.connection.window_use().unread_bytes;
                let streams = node.streams.len() as u64 + 10;
                assert!(unread <= (1 << 20) + streams * (256 << 10), "{unread} bytes unread");
                any
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn full_mailboxes_both_ways_lose_neither_state_nor_frames(
        capacities in proptest::collection::vec(1usize..6, 4),
        plans in (plans(), plans()),
        ops in proptest::collection::vec(op(), 0..300),
    ) {
        let mut pair = Pair::new(1);
        for end in [&mut pair.dialer, &mut pair.listener] {
            end.admit = None;
            end.room = None;
        }
        let sent_streams = plans.0.len() + plans.1.len();
        let nodes = [
            Node::new((capacities[0], capacities[1]), plans.0.clone()),
            Node::new((capacities[2], capacities[3]), plans.1.clone()),
        ];
        let mut model = Model { pair, nodes };
        for (dialer, op) in &ops {
            model.step(*dialer, op);
        }
        // From here on everybody does a little in turn, until nobody has anything to do.
        let turn = [Op::Wire(50_000), Op::Collect, Op::Drain(1), Op::Fill(1), Op::Deliver(1)];
        let mut rounds = 0;
        loop {
            let mut any = false;
            for dialer in [true, false] {
                for op in &turn {
                    any |= model.step(dialer, op);
                }
            }
            if !any {
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 20_000, "no end");
        }
        let [one, two] = &mut model.nodes;
        prop_assert!(one.is_done() && two.is_done());
        prop_assert_eq!(one.streams.len(), sent_streams);
        prop_assert_eq!(two.streams.len(), sent_streams);
        for (from, to, dialer) in [(&*one, &*two, true), (&*two, &*one, false)] {
            for (id, sender) in &from.streams {
                let receiver = &to.streams[id];
                prop_assert_eq!(receiver.received.len(), sender.sent, "frames lost");
                for (index, frame) in receiver.received.iter().enumerate() {
                    prop_assert!(
                        content(*id, dialer, index, frame.len()) == frame[..],
                        "frame {} of {} is another", index, id
                    );
                }
                prop_assert_eq!(sender.under_way, 0, "credit lost");
                prop_assert_eq!(sender.closed, Some(StreamEnd::Finished));
                prop_assert!(sender.remote_finished);
            }
        }
        let ends = [&mut model.pair.dialer, &mut model.pair.listener];
        for (node, end) in model.nodes.iter_mut().zip(ends) {
            // The latest state arrived, and nothing that was not sent.
            prop_assert_eq!(node.leases.0.last(), node.leases.1.last());
            prop_assert!(node.leases.1.iter().all(|lease| node.leases.0.contains(lease)));
            prop_assert_eq!(node.tables.0 > 0, node.tables.1 > 0);
            prop_assert!(node.tables.1 <= node.tables.0);
            if let Some(Lease { outbound_streams, .. }) = node.leases.0.last()
                && *outbound_streams < 256
            {
                for _ in 0..*outbound_streams {
                    prop_assert!(end.connection.open(model.pair.now, &[id(ECHO)]).is_ok());
                }
                let refused = end.connection.open(model.pair.now, &[id(ECHO)]);
                prop_assert_eq!(refused, Err(OpenError::Limit(*outbound_streams)));
            }
            // A close overtakes what is queued.
            while node.outbox.mailbox.has_room() {
                node.outbox.push(ToConnection::Finish(StreamId(1)));
            }
            node.outbox.push(ToConnection::Close(CloseReason::Banned));
            prop_assert_eq!(node.outbox.pop(), Some(ToConnection::Close(CloseReason::Banned)));
        }
    }
}

/// A pair with one stream of Node's, opened by the dialer; its id on both sides.
fn with_stream(seed: u64) -> (Pair, StreamId) {
    let mut pair = Pair::established(seed);
    let stream = open(&mut pair, 0);
    (pair, stream)
}

fn open(pair: &mut Pair, request: u64) -> StreamId {
    let open = ToConnection::Open {
        request: RequestId(request),
        protocols: vec![id(FRAMES)],
        max_frame_bytes: MAX_FRAME,
    };
    pair.dialer.connection.handle_node(pair.now, open);
    pair.run();
    let Some(ToNode::StreamOpened { stream, .. }) = pair.dialer.node.last() else {
        panic!("no stream: {:?}", pair.dialer.node);
    };
    *stream
}

fn send(end: &mut End, now: Timestamp, stream: StreamId, frame: Frame) {
    end.connection.handle_node(now, ToConnection::Send { stream, frame });
}

fn frames(end: &End, of: StreamId) -> Vec<Bytes> {
    let frame = |message: &ToNode| match message {
        ToNode::Frame { stream, frame } if *stream == of => Some(frame.clone()),
        ToNode::Frame { .. }
        | ToNode::Established { .. }
        | ToNode::Rtt(_)
        | ToNode::PingFailed(_)
        | ToNode::LeaseRequest { .. }
        | ToNode::LeaseReturn { .. }
        | ToNode::Usage(_)
        | ToNode::StreamOpened { .. }
        | ToNode::OpenFailed { .. }
        | ToNode::InboundStream { .. }
        | ToNode::Sent { .. }
        | ToNode::StreamFinished(_)
        | ToNode::StreamClosed { .. }
        | ToNode::Verified { .. }
        | ToNode::Closed { .. } => None,
    };
    end.node.iter().filter_map(frame).collect()
}

#[test]
fn a_node_that_takes_nothing_closes_its_windows_and_delays_no_application_stream() {
    let mut pair = Pair::established(2);
    let streams: Vec<_> = (0..8).map(|request| open(&mut pair, request)).collect();
    pair.listener.room = Some(NodeRoom::State);
    let mut sent = vec![0; streams.len()];
    // As much as credit comes back for.
    for _ in 0..100 {
        for (stream, sent) in streams.iter().zip(&mut sent) {
            let told: u64 = pair.dialer.node.iter().map(|m| sent_bytes(m, *stream)).sum();
            if *sent * 10_000 - told < SEND_CREDIT_BYTES as u64 {
                let frame = content(*stream, true, usize::try_from(*sent).expect("few"), 10_000);
                send(&mut pair.dialer, pair.now, *stream, Frame::new(frame));
                *sent += 1;
            }
        }
        pair.run();
    }
    // Window and credit, and a frame.
    let most = (256 * 1024 + SEND_CREDIT_BYTES + 20_000) as u64;
    assert!(sent.iter().all(|sent| *sent * 10_000 < most), "{sent:?}");
    let unread = pair.listener.connection.window_use().unread_bytes;
    assert!(unread > 1 << 20, "{unread}");
    assert!(unread <= (1 << 20) + 8 * (256 << 10), "{unread}");

    let (ours, theirs) = pair.open_echo();
    let mut received = 0;
    for _ in 0..100 {
        let n = pair.dialer.write(ours, &[1; 100_000]);
        pair.run();
        let (bytes, _) = pair.listener.read(theirs);
        received += bytes.len();
        assert!(n > 0, "the application's stream stands still at {received}");
        pair.run();
    }
    assert!(received >= 5_000_000, "{received}");

    pair.listener.room = Some(NodeRoom::Queue);
    pair.run();
    for (stream, sent) in streams.iter().zip(sent) {
        let frames = frames(&pair.listener, *stream);
        assert_eq!(frames.len() as u64, sent);
        for (index, frame) in frames.iter().enumerate() {
            assert!(*frame == content(*stream, true, index, 10_000));
        }
    }
    assert_eq!(pair.listener.connection.window_use().unread_bytes, 0);
}

fn sent_bytes(message: &ToNode, of: StreamId) -> u64 {
    if let ToNode::Sent { stream, bytes } = message
        && *stream == of
    {
        *bytes
    } else {
        0
    }
}

#[test]
fn a_body_is_shared_among_frames_and_let_go_when_they_are_out() {
    let (mut pair, stream) = with_stream(3);
    let body = Bytes::from(vec![5; 20_000]);
    for head in ["one", "", "three"] {
        let frame = Frame { head: Bytes::from_static(head.as_bytes()), body: body.clone() };
        send(&mut pair.dialer, pair.now, stream, frame);
    }
    pair.run();
    let expected: Vec<Bytes> =
        ["one", "", "three"].iter().map(|head| [head.as_bytes(), &body].concat().into()).collect();
    assert_eq!(frames(&pair.listener, stream), expected);
    assert!(body.is_unique());
    assert_eq!(pair.dialer.connection.usage().sent_frames, 3);
    assert_eq!(pair.listener.connection.usage().received_frames, 3);
    assert_eq!(pair.dialer.connection.usage().written_bytes, 60_008);
    assert_eq!(pair.listener.connection.usage().read_bytes, 60_008);
}

#[test]
fn what_was_written_is_counted_once_however_late_node_hears_of_it() {
    let (mut pair, stream) = with_stream(4);
    pair.dialer.room = None;
    for _ in 0..5 {
        send(&mut pair.dialer, pair.now, stream, Frame::new(vec![1; 4000]));
        pair.run();
    }
    assert_eq!(pair.dialer.connection.usage().written_bytes, 20_000);
    pair.dialer.room = Some(NodeRoom::Queue);
    pair.run();
    let told: u64 = pair.dialer.node.iter().map(|message| sent_bytes(message, stream)).sum();
    assert_eq!(told, 20_000);
}

#[test]
fn credit_comes_back_in_steps_and_the_rest_with_the_end_of_the_stream() {
    let (mut pair, stream) = with_stream(6);
    let told = |pair: &Pair| -> Vec<u64> {
        let sent = pair.dialer.node.iter().map(|message| sent_bytes(message, stream));
        sent.filter(|bytes| *bytes > 0).collect()
    };
    for _ in 0..6 {
        send(&mut pair.dialer, pair.now, stream, Frame::new(vec![1; 3000]));
        pair.run();
    }
    assert_eq!(told(&pair), [18_000], "a quarter of 64 KiB, and what came on top");
    send(&mut pair.dialer, pair.now, stream, Frame::new(vec![1; 3000]));
    pair.run();
    assert_eq!(told(&pair), [18_000]);
    let reset = ToConnection::Reset { stream, code: 0 };
    pair.dialer.connection.handle_node(pair.now, reset);
    pair.run();
    assert_eq!(told(&pair), [18_000, 3000]);
}

#[test]
fn an_oversize_frame_resets_its_stream_before_any_of_it_is_buffered() {
    let (mut remote, mut end) = Remote::dialing(5);
    let stream = remote.mux.open().unwrap();
    let mut bytes = proposal(FRAMES);
    // A whole frame, then the length of one that is a byte too long, and a part of that.
    bytes.extend_from_slice(&[3, 1, 2, 3]);
    bytes.extend_from_slice(&[0x81, 0x80, 0x40]);
    remote.mux.write(stream, &bytes).unwrap();
    remote.exchange(&mut end, Timestamp::ZERO);
    let [.., frame, closed] = &end.node[..] else { panic!("{:?}", end.node) };
    assert_eq!(*frame, ToNode::Frame { stream, frame: vec![1, 2, 3].into() });
    let length = u64::from(MAX_FRAME) + 1;
    let reason = StreamEnd::FrameTooLong { length, max: MAX_FRAME };
    assert_eq!(*closed, ToNode::StreamClosed { stream, end: reason });
    assert!(remote.mux.write(stream, &[0; 1000]).is_err());
    assert_eq!(end.connection.window_use().unread_bytes, 0);
    assert!(!end.connection.is_closed());
}

#[test]
fn a_stream_that_ends_within_a_frame_or_a_length_is_told_apart() {
    for (bytes, reason) in [
        (&[5, 1, 2][..], StreamEnd::TruncatedFrame),
        (&[0x80][..], StreamEnd::TruncatedFrame),
        (&[0x80, 0][..], StreamEnd::MalformedLength),
        (&[0xff; 10][..], StreamEnd::MalformedLength),
    ] {
        let (mut remote, mut end) = Remote::dialing(6);
        let stream = remote.mux.open().unwrap();
        remote.mux.write(stream, &[proposal(FRAMES), bytes.to_vec()].concat()).unwrap();
        remote.mux.finish(stream).unwrap();
        remote.exchange(&mut end, Timestamp::ZERO);
        let closed = ToNode::StreamClosed { stream, end: reason };
        assert_eq!(end.node.last(), Some(&closed));
    }
}

#[test]
fn signatures_are_checked_on_the_connections_core() {
    let mut pair = Pair::established(7);
    let identity = pair.listener.identity.clone();
    let signature: Bytes = identity.keypair().sign(b"message").unwrap().into();
    let key: Bytes = identity.public_key().encode_protobuf().into();
    let mut forged = signature.to_vec();
    forged[10] ^= 1;
    let checks = [
        (key.clone(), "message", signature.clone(), true),
        (key.clone(), "another", signature.clone(), false),
        (key, "message", forged.into(), false),
        (Bytes::from_static(b"no key"), "message", signature, false),
    ];
    for (request, (public_key, message, signature, _)) in (0..).zip(checks.clone()) {
        let request = RequestId(request);
        let message = Bytes::from(message);
        let verify = ToConnection::Verify { request, public_key, message, signature };
        pair.dialer.connection.handle_node(pair.now, verify);
    }
    pair.run();
    let [.., a, b, c, d] = &pair.dialer.node[..] else { panic!("{:?}", pair.dialer.node) };
    for (request, (answer, (.., valid))) in (0..).zip([a, b, c, d].into_iter().zip(checks)) {
        assert_eq!(*answer, ToNode::Verified { request: RequestId(request), valid });
    }
}

#[test]
fn a_node_that_sends_beyond_its_credit_loses_the_stream() {
    let (mut pair, stream) = with_stream(8);
    // A frame may begin while there is credit, however large it is.
    send(&mut pair.dialer, pair.now, stream, Frame::new(vec![1; SEND_CREDIT_BYTES - 1]));
    send(&mut pair.dialer, pair.now, stream, Frame::new(vec![1; 500_000]));
    assert!(!is_closed(&mut pair, stream));
    send(&mut pair.dialer, pair.now, stream, Frame::new("more"));
    assert!(is_closed(&mut pair, stream));
    let closed = ToNode::StreamClosed { stream, end: StreamEnd::CreditExceeded };
    assert!(pair.dialer.node.contains(&closed));
}

fn is_closed(pair: &mut Pair, of: StreamId) -> bool {
    pair.dialer.poll(pair.now);
    pair.dialer
        .node
        .iter()
        .any(|message| matches!(message, ToNode::StreamClosed { stream, .. } if *stream == of))
}
