//! An endpoint with its connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use sanspeer_core::connection::{Connection, ConnectionConfig};
use sanspeer_core::identity::Identity;
use sanspeer_core::mux::MuxLimits;
use sanspeer_core::quic::{
    DatagramMeta, EndpointEvent, IncomingId, QuicConfig, QuicConnectionId, QuicEndpoint, QuicMux,
};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;
use sanspeer_core::tls::TlsIdentity;

use super::MAX_TURNS;
use super::end::End;
use super::link::{Flight, Link};
use super::operation::{Admission, Settings};
use crate::certificate::NOW;

const MAX_SEGMENTS: usize = 10;
const MAX_PENDING: usize = 8;

/// An identity that nobody here has is number 2.
pub(super) fn identity(number: u8) -> &'static TlsIdentity {
    static IDENTITIES: LazyLock<[TlsIdentity; 3]> = LazyLock::new(|| {
        [0, 1, 2].map(|number| {
            let seed = Seed::from_u64(number);
            TlsIdentity::new(&Identity::ed25519(&seed), &seed).expect("Ed25519 signs")
        })
    });
    &IDENTITIES[usize::from(number)]
}

pub(super) fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + number], 4001))
}

pub(super) struct Node {
    number: u8,
    pub(super) endpoint: QuicEndpoint,
    pub(super) connections: BTreeMap<QuicConnectionId, End>,
    /// The one that was secured, and is not driven any more.
    gone: Option<End>,
    config: Arc<ConnectionConfig>,
    pub(super) admission: Admission,
    waiting: VecDeque<(IncomingId, bool)>,
    /// How many connections there have been.
    count: usize,
}

impl Node {
    pub(super) fn new(number: u8, settings: &Settings) -> Self {
        let mut config = QuicConfig {
            mtu_discovery: !settings.small_packets,
            max_pending_incoming: MAX_PENDING,
            ..QuicConfig::default()
        };
        let mut connection = ConnectionConfig::default();
        if settings.small_windows {
            config.initial_streams = 1;
            config.stream_window_bytes = 20_000;
            config.min_send_window_bytes = 10_000;
            config.max_send_window_bytes = 40_000;
            config.limits = MuxLimits { receive_budget_bytes: 50_000, ..config.limits };
            connection.receive_budget_bytes = 50_000;
        }
        // Nothing depends on which Instant it is.
        let endpoint = QuicEndpoint::new(identity(number), &seed(number), config, Instant::now());
        Node {
            number,
            endpoint,
            connections: BTreeMap::new(),
            gone: None,
            config: Arc::new(connection),
            admission: if number == 0 { Admission::Refuse } else { settings.admission },
            waiting: VecDeque::new(),
            count: 0,
        }
    }

    /// The connection that is secured, or was; or else the first.
    pub(super) fn main(&mut self) -> Option<&mut End> {
        let secured = |end: &&mut End| end.secured;
        if self.gone.is_some() {
            return self.gone.as_mut();
        }
        let id = self.connections.iter_mut().find(|(_, end)| secured(end)).map(|(id, _)| *id);
        let id = id.or_else(|| self.connections.keys().next().copied())?;
        self.connections.get_mut(&id)
    }

    pub(super) fn connect(&mut self, now: Timestamp, wrong_peer: bool) {
        let expected = identity(if wrong_peer { 2 } else { 1 }).peer_id();
        let (id, mux) = self
            .endpoint
            .connect(now, address(1), Some(expected), NOW)
            .expect("an address that can be dialled");
        self.register(now, id, mux);
    }

    fn register(&mut self, now: Timestamp, id: QuicConnectionId, mux: QuicMux) {
        let seed = seed(self.number).derive("connection", id.0);
        let connection = Connection::quic(mux, &seed, Arc::clone(&self.config), now);
        let other = identity(1 - self.number).peer_id();
        let budget = self.config.receive_budget_bytes;
        let end = End::new(connection, self.number, other, budget);
        assert!(self.connections.insert(id, end).is_none(), "{id:?} was used before");
        self.count += 1;
    }

    pub(super) fn receive(&mut self, now: Timestamp, flight: &Flight) {
        let meta =
            DatagramMeta { remote: flight.from, local_ip: Some(flight.to.ip()), ecn: flight.ecn };
        self.endpoint.handle_datagram(now, meta, BytesMut::from(&flight.bytes[..]));
    }

    fn admit(&mut self, now: Timestamp) {
        for _ in 0..MAX_TURNS {
            let Some(EndpointEvent::Incoming { id, validated, .. }) = self.endpoint.poll_event()
            else {
                return;
            };
            self.waiting.push_back((id, validated));
            if self.admission != Admission::Wait {
                self.answer(now, self.admission);
            }
        }
        panic!("events of the endpoint do not end");
    }

    /// Answers all that wait.
    pub(super) fn answer(&mut self, now: Timestamp, admission: Admission) {
        for (id, validated) in std::mem::take(&mut self.waiting) {
            match (admission, validated) {
                (Admission::Accept | Admission::Wait, _) | (Admission::Retry, true) => {
                    if let Ok((id, mux)) = self.endpoint.accept(now, id, NOW) {
                        self.register(now, id, mux);
                    }
                }
                (Admission::Refuse, _) | (Admission::RetryThenRefuse, true) => {
                    self.endpoint.refuse(id);
                }
                (Admission::Retry | Admission::RetryThenRefuse, false) => self.endpoint.retry(id),
            }
        }
    }

    /// Everything but time, until nothing is left to do.
    pub(super) fn turn(&mut self, now: Timestamp, link: &mut Link) {
        for _ in 0..MAX_TURNS {
            self.admit(now);
            let mut any = self.deliver_events(now);
            let (side, from) = (usize::from(self.number), address(self.number));
            let mut send = |to, ecn, bytes: &[u8]| {
                assert!(!bytes.is_empty(), "an empty datagram");
                let flight = Flight { from, to, ecn, bytes: bytes.to_vec() };
                link.send(now, side, flight);
            };
            let mut buffer = Vec::new();
            let mut last = Vec::new();
            for (id, end) in &mut self.connections {
                end.settle(now);
                for turn in 0.. {
                    assert!(turn < MAX_TURNS, "datagrams do not end");
                    let polled = end.connection.poll_datagrams(now, MAX_SEGMENTS, &mut buffer);
                    let Some(transmit) = polled else { break };
                    any = true;
                    let segment = transmit.segment_size.unwrap_or(transmit.size);
                    for bytes in buffer[..transmit.size].chunks(segment) {
                        send(transmit.destination, transmit.ecn, bytes);
                    }
                }
                end.settle(now);
                for turn in 0.. {
                    assert!(turn < MAX_TURNS, "events for the endpoint do not end");
                    let Some(event) = end.connection.poll_endpoint_event() else { break };
                    any = true;
                    if event.is_last() {
                        last.push(*id);
                    }
                    self.endpoint.handle_connection_event(*id, event);
                }
            }
            for id in last {
                let end = self.connections.remove(&id).expect("it is there");
                assert!(end.closed.is_some(), "{id:?} is over and was not closed");
                self.retire(end);
            }
            for turn in 0.. {
                assert!(turn < MAX_TURNS, "answers of the endpoint do not end");
                let Some(datagram) = self.endpoint.poll_transmit() else { break };
                any = true;
                send(datagram.destination, datagram.ecn, &datagram.bytes);
            }
            if !any {
                return self.check();
            }
        }
        panic!("the node does not come to rest");
    }

    fn deliver_events(&mut self, now: Timestamp) -> bool {
        for turn in 0..MAX_TURNS {
            let Some((id, event)) = self.endpoint.poll_connection_event() else { return turn > 0 };
            if let Some(end) = self.connections.get_mut(&id) {
                end.connection.handle_endpoint_event(now, event);
            }
        }
        panic!("events for connections do not end");
    }

    fn retire(&mut self, end: End) {
        if end.secured {
            assert!(self.gone.is_none(), "two connections were secured, and one was dialled");
            self.gone = Some(end);
        }
    }

    /// Drops the connection without a word.
    pub(super) fn forget(&mut self) {
        let ids: Vec<QuicConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            self.connections.remove(&id);
            self.endpoint.forget(id);
        }
    }

    fn check(&self) {
        assert!(self.endpoint.pending_count() <= MAX_PENDING);
        assert_eq!(self.endpoint.connection_count(), self.connections.len());
        let secured = self.connections.values().filter(|end| end.secured).count();
        assert!(secured + usize::from(self.gone.is_some()) <= 1, "secured more than once");
        assert!(self.number == 1 || self.count <= 1);
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let connections = self.connections.values().filter_map(|end| end.connection.poll_timeout());
        connections.chain(self.endpoint.poll_timeout()).map(|deadline| deadline.at).min()
    }

    pub(super) fn time_out(&mut self, now: Timestamp) {
        if self.next_deadline().is_none_or(|at| at > now) {
            return;
        }
        self.endpoint.handle_timeout(now);
        for end in self.connections.values_mut() {
            end.connection.handle_timeout(now);
        }
        let next = self.next_deadline();
        assert!(next.is_none_or(|at| at > now), "{next:?} is not after {now:?}");
    }
}

fn seed(number: u8) -> Seed {
    Seed::from_u64(100 + u64::from(number))
}

/// Longer than a connection lives over which nothing comes.
pub(super) const DEATH: Duration = Duration::from_secs(100);
