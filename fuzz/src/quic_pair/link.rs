//! What is on its way, and what happens to it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use sanspeer_core::quic::Ecn;
use sanspeer_core::time::Timestamp;

use super::operation::Fate;
use crate::chunks::scaled;

const DELAY: Duration = Duration::from_millis(10);

/// So many datagrams to each side can come again.
const MAX_HISTORY: usize = 64;

/// More than both congestion windows hold at the rates of this link, and all of them twice.
const MAX_FLIGHTS: usize = 20_000;

pub(super) struct Flight {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) ecn: Option<Ecn>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Link {
    flights: BTreeMap<(Timestamp, u64), Flight>,
    next: u64,
    /// What becomes of the next datagrams of each side, for how many.
    fates: [VecDeque<(Fate, u8)>; 2],
    /// What went to each side, the last behind.
    pub(super) history: [VecDeque<Vec<u8>>; 2],
    /// A datagram was lost or changed.
    pub(super) lost_any: bool,
}

impl Link {
    pub(super) fn set(&mut self, side: usize, fate: Fate, count: u8) {
        self.fates[side].push_back((fate, count));
    }

    /// From now on every datagram arrives.
    pub(super) fn heal(&mut self) {
        self.fates = Default::default();
    }

    /// Takes a genuine datagram of `side`.
    pub(super) fn send(&mut self, now: Timestamp, side: usize, mut flight: Flight) {
        let history = &mut self.history[1 - side];
        history.push_back(flight.bytes.clone());
        if history.len() > MAX_HISTORY {
            history.pop_front();
        }
        let mut delay = DELAY;
        match self.next_fate(side) {
            None => {}
            Some(Fate::Lost) => {
                self.lost_any = true;
                return;
            }
            Some(Fate::Late(millis)) => delay += Duration::from_millis(millis.into()),
            Some(Fate::Twice(millis)) => {
                let Flight { from, to, ecn, ref bytes } = flight;
                let copy = Flight { from, to, ecn, bytes: bytes.clone() };
                self.fly(now, delay + Duration::from_millis(millis.into()), copy);
            }
            Some(Fate::Changed(at)) => {
                self.lost_any = true;
                let at = scaled(at) % flight.bytes.len();
                flight.bytes[at] ^= 1 << (at % 8);
            }
            Some(Fate::Cut(length)) => {
                self.lost_any |= scaled(length) < flight.bytes.len();
                flight.bytes.truncate(scaled(length));
            }
        }
        self.fly(now, delay, flight);
    }

    fn next_fate(&mut self, side: usize) -> Option<Fate> {
        let (fate, count) = self.fates[side].front_mut()?;
        let fate = *fate;
        match count.checked_sub(1) {
            Some(left) if left > 0 => *count = left,
            _ => drop(self.fates[side].pop_front()),
        }
        Some(fate)
    }

    pub(super) fn fly(&mut self, now: Timestamp, delay: Duration, flight: Flight) {
        self.next += 1;
        self.flights.insert((now.saturating_add(delay), self.next), flight);
        assert!(self.flights.len() < MAX_FLIGHTS, "sent without end");
    }

    pub(super) fn next_arrival(&self) -> Option<Timestamp> {
        self.flights.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn arrive(&mut self, now: Timestamp) -> Option<Flight> {
        let entry = self.flights.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
