//! Both nodes, the link between them and the time.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::SocketAddr;
use std::time::Duration;

use sanspeer_core::close::CloseReason;
use sanspeer_core::mux::StreamId;
use sanspeer_core::time::Timestamp;

use super::link::{Flight, Link};
use super::node::{DEATH, Node, address};
use super::operation::{Admission, Operation, Settings, Shape};
use crate::chunks::scaled;
use crate::pattern;

/// Steps of time: datagrams that arrive, and deadlines.
const MAX_STEPS: usize = 200_000;

/// All that an input may write or measure: more tells nothing new and takes long.
const MAX_CARRIED_BYTES: usize = 2 << 20;

pub(super) struct Pair {
    nodes: [Node; 2],
    link: Link,
    now: Timestamp,
    settings: Settings,
    carried_bytes: usize,
    steps: usize,
    /// Nothing happened that ends a connection.
    undisturbed: bool,
    /// What went to a third address, and what came from it.
    elsewhere_bytes: [usize; 2],
    digest: DefaultHasher,
}

fn elsewhere() -> SocketAddr {
    address(8)
}

impl Pair {
    pub(super) fn new(settings: Settings) -> Self {
        let mut nodes = [Node::new(0, &settings), Node::new(1, &settings)];
        nodes[0].connect(Timestamp::ZERO, settings.wrong_peer);
        let admitted = matches!(settings.admission, Admission::Accept | Admission::Retry);
        Pair {
            nodes,
            link: Link::default(),
            now: Timestamp::ZERO,
            settings,
            carried_bytes: 0,
            steps: 0,
            undisturbed: admitted && !settings.wrong_peer,
            elsewhere_bytes: [0; 2],
            digest: DefaultHasher::new(),
        }
    }

    /// Runs the operations, then lets everything arrive and ends. Returns a digest of every
    /// datagram that arrived.
    pub(super) fn run(mut self, operations: &[Operation]) -> u64 {
        self.settle();
        for operation in operations {
            self.apply(*operation);
            self.settle();
            self.check();
        }
        self.heal();
        self.end();
        self.digest.finish()
    }

    fn apply(&mut self, operation: Operation) {
        use Operation as O;
        let now = self.now;
        match operation {
            O::Time { millis } => self.pass_time(Duration::from_millis(millis.into())),
            O::Link { side, fate, count } => self.link.set(side.into(), fate, count),
            O::Close { side } => {
                self.undisturbed = false;
                if let Some(end) = self.nodes[usize::from(side)].main() {
                    end.connection.close(now, CloseReason::Requested);
                }
            }
            O::Forget { side } => {
                self.undisturbed = false;
                self.nodes[usize::from(side)].forget();
            }
            O::Answer { admission } => {
                let Settings { admission, .. } = Settings::decode([admission, 0, 0, 0]);
                self.nodes[1].answer(now, admission);
            }
            O::Garbage { side, shape, elsewhere, length } => {
                let bytes = self.garbage(side.into(), shape, length);
                self.inject(side, elsewhere, bytes);
            }
            O::Replay { side, elsewhere, back, bit } => {
                let history = &self.link.history[usize::from(side)];
                let back = usize::from(back) % history.len().max(1);
                let Some(bytes) = history.iter().rev().nth(back) else { return };
                let mut bytes = bytes.clone();
                if bit != 0 {
                    let at = scaled(bit) % bytes.len();
                    bytes[at] ^= 1 << (bit % 8);
                }
                self.inject(side, elsewhere, bytes);
            }
            O::Open { side, .. }
            | O::Accept { side }
            | O::Write { side, .. }
            | O::Read { side, .. }
            | O::Finish { side, .. }
            | O::Reset { side, .. }
            | O::Perf { side, .. }
            | O::Lease { side, .. } => self.apply_to_application(side, operation),
        }
    }

    fn apply_to_application(&mut self, side: u8, operation: Operation) {
        use Operation as O;
        let now = self.now;
        let room = MAX_CARRIED_BYTES.saturating_sub(self.carried_bytes);
        let Some(end) = self.nodes[usize::from(side)].main() else { return };
        match operation {
            O::Open { proposals, count, .. } => end.open(now, proposals, count),
            O::Accept { .. } => {
                end.accept();
            }
            O::Write { index, length, times, .. } => {
                let length = scaled(length) * (1 + usize::from(times % 8));
                let stream = end.pick(index);
                self.carried_bytes += end.write(stream, length.min(room));
            }
            O::Read { index, length, times, .. } => {
                end.read(end.pick(index), scaled(length) * (1 + usize::from(times)));
            }
            O::Finish { index, .. } => end.finish(end.pick(index)),
            O::Reset { index, code, .. } => end.reset(end.pick(index), code.into()),
            O::Perf { upload, download, .. } => {
                let (upload, download) = (scaled(upload) * 8, scaled(download) * 8);
                if upload + download <= room {
                    self.carried_bytes += upload + download;
                    end.open_perf(now, upload as u64, download as u64);
                }
            }
            O::Lease { choice, .. } => end.set_lease(now, choice),
            _ => unreachable!("the caller handles the others"),
        }
    }

    // The link.

    /// A datagram that reaches as far as its shape can: behind the ids of one that came before.
    fn garbage(&self, side: usize, shape: Shape, length: u8) -> Vec<u8> {
        let length = scaled(length).min(1_500);
        let mut bytes = pattern::bytes(length as u64, 3, 0, length.max(30));
        let genuine = self.link.history[side].back();
        match shape {
            Shape::Short => {
                let ids = genuine.filter(|bytes| bytes.len() > 9 && bytes[0] & 0x80 == 0);
                if let Some(genuine) = ids {
                    bytes[..9].copy_from_slice(&genuine[..9]);
                }
                bytes[0] = bytes[0] & 0x3f | 0x40;
            }
            Shape::Initial => {
                bytes[..6].copy_from_slice(&[0xc0 | (length as u8 & 3), 0, 0, 0, 1, 8]);
                bytes.resize(1_200, length as u8);
            }
            Shape::Version => {
                bytes[..6].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, length as u8, 8]);
                bytes.resize(1_200, length as u8);
            }
            Shape::Negotiation => {
                if let Some(genuine) = genuine {
                    bytes[..30].copy_from_slice(&genuine[..30.min(genuine.len())].repeat(30)[..30]);
                }
                bytes[..5].copy_from_slice(&[0x80, 0, 0, 0, 0]);
            }
        }
        bytes
    }

    /// Lets a datagram arrive at `side` that nobody sent, or not now.
    fn inject(&mut self, side: u8, from_elsewhere: bool, bytes: Vec<u8>) {
        // Before both have keys, anybody who sees the packets can end a connection.
        let secured = self.nodes.each_mut().map(|node| node.main().is_some_and(|end| end.secured));
        self.undisturbed &= secured == [true; 2];
        let from = if from_elsewhere { elsewhere() } else { address(1 - side) };
        let flight = Flight { from, to: address(side), ecn: None, bytes };
        self.link.fly(self.now, Duration::ZERO, flight);
    }

    fn arrive(&mut self) {
        while let Some(flight) = self.link.arrive(self.now) {
            self.digest.write_u64(self.now.0);
            self.digest.write(&flight.bytes);
            if flight.from == elsewhere() {
                self.elsewhere_bytes[0] += flight.bytes.len();
            }
            if flight.to == elsewhere() {
                self.elsewhere_bytes[1] += flight.bytes.len();
            }
            if let Some(side) = (0..2).find(|side| address(*side) == flight.to) {
                self.nodes[usize::from(side)].receive(self.now, &flight);
            }
        }
        // One whole datagram may begin within the limit (RFC 9000, section 8.1).
        let [there, back] = self.elsewhere_bytes;
        assert!(back <= 3 * there + 1_500, "{back} bytes for {there} to who did not prove to be");
    }

    // Time.

    fn settle(&mut self) {
        for node in &mut self.nodes {
            node.turn(self.now, &mut self.link);
        }
    }

    fn pass_time(&mut self, duration: Duration) {
        let until = self.now.saturating_add(duration);
        self.settle();
        loop {
            self.steps += 1;
            assert!(self.steps < MAX_STEPS, "time does not pass");
            let deadlines = self.nodes.iter().filter_map(Node::next_deadline);
            let next = deadlines.chain(self.link.next_arrival()).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            self.arrive();
            for node in &mut self.nodes {
                node.time_out(self.now);
            }
            self.settle();
        }
    }

    // What holds.

    fn check(&mut self) {
        let small = self.settings.small_windows;
        let send_window = if small { 40_000 } else { 16 << 20 };
        for side in [0, 1] {
            let [one, two] = &mut self.nodes;
            let (from, to) = if side == 0 { (one, two) } else { (two, one) };
            let (Some(from), Some(to)) = (from.main(), to.main()) else { continue };
            let mut underway = 0;
            for (id, sent) in &from.streams {
                let Some(received) = to.streams.get(id) else { continue };
                assert!(received.read <= sent.written, "more of {id} was read than written");
                assert!(!received.end_read || sent.finished, "an end of {id} that was not sent");
                if !sent.over && !received.over {
                    underway += sent.written - received.read;
                }
            }
            let most = send_window + to.receive_bytes_most();
            assert!(underway <= most, "{underway} bytes written and not read, more than {most}");
        }
    }

    /// The link becomes good, everything is read, and time passes until all has arrived, if both
    /// ends live.
    fn heal(&mut self) {
        self.undisturbed &= !self.link.lost_any;
        self.link.heal();
        self.nodes[1].admission = Admission::Accept;
        self.nodes[1].answer(self.now, Admission::Accept);
        let until = self.now.saturating_add(2 * DEATH);
        let live = |pair: &mut Pair| {
            pair.nodes
                .each_mut()
                .map(|node| node.main().is_some_and(|end| end.established && end.closed.is_none()))
        };
        while self.now < until {
            self.pass_time(Duration::from_millis(500));
            self.read_all();
            self.settle();
            self.check();
            match live(self) {
                [true, true] if self.missing().is_none() => break,
                _ if self.nodes.iter().all(|node| node.connections.is_empty()) => break,
                _ => {}
            }
        }
        let both = live(self);
        if self.undisturbed {
            let reasons = self.nodes.each_mut().map(|node| node.main().map(|end| &end.closed));
            assert!(both == [true; 2], "ended by itself: {reasons:?}");
        }
        if both == [true; 2] {
            assert_eq!(self.missing(), None);
        }
        // One end alone is told of the other's end, or learns of it from its silence.
        assert_eq!(both[0], both[1], "one end lives alone");
    }

    fn read_all(&mut self) {
        for node in &mut self.nodes {
            let Some(end) = node.main() else { continue };
            while end.accept() {}
            let ids: Vec<StreamId> = end.streams.keys().copied().collect();
            for id in ids {
                while end.read(id, 100_000).is_some() {}
            }
        }
    }

    /// What has not arrived yet.
    fn missing(&mut self) -> Option<String> {
        for side in [0, 1] {
            let [one, two] = &mut self.nodes;
            let (from, to) = if side == 0 { (one, two) } else { (two, one) };
            let (Some(from), Some(to)) = (from.main(), to.main()) else {
                return Some("a connection".to_owned());
            };
            if !from.established || !to.established {
                return Some(format!("admission on side {side}"));
            }
            for (id, sent) in &from.streams {
                if sent.over || sent.stopped || sent.written == 0 && !sent.finished {
                    continue;
                }
                let Some(received) = to.streams.get(id) else {
                    return Some(format!("{id}: {sent:?}"));
                };
                let all = received.read == sent.written && received.end_read == sent.finished;
                if !received.over && !all {
                    return Some(format!("{id}: {sent:?}, {received:?}"));
                }
            }
            if !from.perf.is_empty() {
                return Some(format!("measurements of side {side}"));
            }
        }
        None
    }

    /// The dialer closes, and both are gone.
    fn end(&mut self) {
        if let Some(end) = self.nodes[0].main() {
            end.connection.close(self.now, CloseReason::Requested);
        }
        self.pass_time(2 * DEATH);
        for node in &mut self.nodes {
            assert_eq!(node.endpoint.connection_count(), 0, "still there");
            assert_eq!(node.endpoint.pending_count(), 0, "still waiting");
            assert_eq!(node.next_deadline(), None);
            if let Some(end) = node.main() {
                assert!(end.closed.is_some() && end.perf.is_empty());
            }
        }
    }
}
