//! Scores compared with a naive recomputation, which takes one interval of decay after the other
//! in plain numbers and adds everything up anew whenever it is asked.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
/// After so many intervals without events every counter is zero under the numbers below.
const LONG: u64 = 400;
const PEERS: u64 = 4;
const CONNECTIONS: u64 = 3;
const MAX_RETAINED: usize = 2;

/// What happens to a peer, in one of three topics.
#[derive(Clone, Debug)]
enum Event {
    Connect { peer: u64, connection: u64, ip: u8 },
    Disconnect { peer: u64, connection: u64 },
    Graft { peer: u64, topic: usize },
    Prune { peer: u64, topic: usize },
    Arrive { message: u64, peer: u64, topic: usize },
    Copy { message: u64, peer: u64 },
    Accept { message: u64 },
    Reject { message: u64 },
    Ignore { message: u64 },
    Invalid { peer: u64, topic: usize },
    Misbehave { peer: u64, times: u32 },
    Slow { peer: u64, messages: u32 },
    Application { peer: u64, score: f64 },
    Replace { topic: usize, params: usize },
    Pass,
}

fn event() -> impl Strategy<Value = Event> {
    let (peer, topic, message) = (|| 1..=PEERS, || 0..3_usize, || 1..6_u64);
    prop_oneof![
        4 => (peer(), 0..CONNECTIONS, 0..4_u8)
            .prop_map(|(peer, connection, ip)| Event::Connect { peer, connection, ip }),
        2 => (peer(), 0..CONNECTIONS)
            .prop_map(|(peer, connection)| Event::Disconnect { peer, connection }),
        4 => (peer(), topic()).prop_map(|(peer, topic)| Event::Graft { peer, topic }),
        1 => (peer(), topic()).prop_map(|(peer, topic)| Event::Prune { peer, topic }),
        4 => (message(), peer(), topic())
            .prop_map(|(message, peer, topic)| Event::Arrive { message, peer, topic }),
        4 => (message(), peer()).prop_map(|(message, peer)| Event::Copy { message, peer }),
        4 => message().prop_map(|message| Event::Accept { message }),
        1 => message().prop_map(|message| Event::Reject { message }),
        1 => message().prop_map(|message| Event::Ignore { message }),
        1 => (peer(), topic()).prop_map(|(peer, topic)| Event::Invalid { peer, topic }),
        1 => (peer(), 0..4_u32).prop_map(|(peer, times)| Event::Misbehave { peer, times }),
        1 => (peer(), 0..60_u32).prop_map(|(peer, messages)| Event::Slow { peer, messages }),
        1 => (peer(), -5.0..5.0).prop_map(|(peer, score)| Event::Application { peer, score }),
        1 => (topic(), 0..3_usize).prop_map(|(topic, params)| Event::Replace { topic, params }),
        2 => Just(Event::Pass),
    ]
}

/// How many nanoseconds pass before it: mostly few, at times very many.
fn wait() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..20_000_000_u64,
        4 => 0..8 * SECOND,
        1 => 0..4_000 * SECOND,
        1 => any::<u64>(),
    ]
}

fn topics() -> [Topic; 3] {
    ["a", "b", "c"].map(|name| Topic::new(name).unwrap())
}

/// Numbers that a topic may have. No product of a few of them is the decay-to-zero of 0.01.
fn params(i: usize) -> TopicScoreParams {
    let default = TopicScoreParams {
        first_message_deliveries_decay: 0.53,
        first_message_deliveries_cap: 4.0,
        mesh_message_deliveries_weight: -71.0,
        mesh_failure_penalty_weight: -13.0,
        mesh_failure_penalty_decay: 0.93,
        invalid_message_deliveries_decay: 0.87,
        ..TopicScoreParams::default()
    };
    let others = [
        TopicScoreParams { first_message_deliveries_cap: 2.0, ..default },
        TopicScoreParams { expected_messages_per_second: Some(1.3), ..default },
        TopicScoreParams {
            topic_weight: 0.7,
            expected_messages_per_second: Some(11.0),
            time_in_mesh_quantum: Duration::from_millis(370),
            mesh_message_deliveries_window: Duration::from_millis(25),
            ..default
        },
    ];
    others[i]
}

fn model_config() -> ScoreConfig {
    let topics = topics().into_iter().enumerate().map(|(i, topic)| (topic, params(i))).collect();
    ScoreConfig {
        topics,
        topic_score_cap: 9.0,
        ip_colocation_threshold: 1,
        behaviour_penalty_threshold: 0.5,
        behaviour_penalty_decay: 0.77,
        slow_peer_decay: 0.63,
        max_retained_peers: MAX_RETAINED,
        retain_score: Duration::from_secs(600),
        ..ScoreConfig::default()
    }
}

/// The address of a number; the first is not counted.
fn address(ip: u8) -> IpAddr {
    let address: [u8; 4] = if ip == 0 { [127, 0, 0, 1] } else { [1, 2, 3, ip] };
    address.into()
}

// The naive recomputation.

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

#[derive(Clone, Default)]
struct NaivePeer {
    connections: BTreeMap<u64, u8>,
    /// Until when it is retained, and at which address.
    retained: Option<(u64, Option<u8>)>,
    topics: [NaiveTopic; 3],
    behaviour: f64,
    slow: f64,
    application: f64,
}

#[derive(Clone, Default)]
struct NaiveTopic {
    grafted_at: Option<u64>,
    mesh_time: u64,
    first: f64,
    mesh: f64,
    failures: f64,
    invalid: f64,
}

struct NaiveMessage {
    topic: usize,
    peers: Vec<u64>,
    is_accepted: bool,
    since: u64,
    ttl: Duration,
}

struct Naive {
    config: ScoreConfig,
    params: [TopicScoreParams; 3],
    last_tick: u64,
    peers: BTreeMap<u64, NaivePeer>,
    messages: BTreeMap<u64, NaiveMessage>,
    /// Whether it depends on the last bits of two scores who was forgotten.
    is_ambiguous: bool,
}

/// What P3 asks for, by the words of the documentation.
struct Asked {
    activation: u64,
    threshold: f64,
    cap: f64,
    decay: f64,
}

fn asked(params: &TopicScoreParams) -> Option<Asked> {
    let rate = params.expected_messages_per_second?;
    let seconds = f64::max(5.0, 30.0 / rate);
    let threshold = rate * seconds / 20.0;
    let activation = nanos(Duration::from_secs_f64(seconds));
    Some(Asked { activation, threshold, cap: 4.0 * threshold, decay: seconds / (seconds + 1.0) })
}

impl NaiveTopic {
    fn deficit(&self, params: &TopicScoreParams) -> f64 {
        match (self.grafted_at, asked(params)) {
            (Some(_), Some(asked)) if self.mesh_time > asked.activation => {
                ((asked.threshold - self.mesh).max(0.0) / asked.threshold).powi(2)
            }
            _ => 0.0,
        }
    }

    fn cap(&mut self, params: &TopicScoreParams) {
        self.first = self.first.min(params.first_message_deliveries_cap);
        self.mesh = self.mesh.min(asked(params).map_or(0.0, |asked| asked.cap));
    }

    fn tick(&mut self, at: u64, params: &TopicScoreParams) {
        let fall = |counter: &mut f64, factor: f64| {
            *counter *= factor;
            if *counter < 0.01 {
                *counter = 0.0;
            }
        };
        fall(&mut self.first, params.first_message_deliveries_decay);
        fall(&mut self.mesh, asked(params).map_or(0.0, |asked| asked.decay));
        fall(&mut self.failures, params.mesh_failure_penalty_decay);
        fall(&mut self.invalid, params.invalid_message_deliveries_decay);
        if let Some(grafted_at) = self.grafted_at {
            self.mesh_time = at - grafted_at;
        }
    }

    /// What it adds, and what it takes away.
    fn score(&self, params: &TopicScoreParams) -> (f64, f64) {
        let quanta = match self.grafted_at {
            Some(_) => self.mesh_time / nanos(params.time_in_mesh_quantum),
            None => 0,
        };
        let time = (quanta as f64).min(params.time_in_mesh_cap) * params.time_in_mesh_weight;
        let first = self.first * params.first_message_deliveries_weight;
        let mut bad = self.invalid.powi(2) * params.invalid_message_deliveries_weight;
        if params.expected_messages_per_second.is_some() {
            bad += self.deficit(params) * params.mesh_message_deliveries_weight;
            bad += self.failures * params.mesh_failure_penalty_weight;
        }
        (params.topic_weight * (time + first), params.topic_weight * bad)
    }
}

impl NaivePeer {
    fn is_connected(&self) -> bool {
        self.retained.is_none()
    }

    fn addresses(&self) -> BTreeSet<u8> {
        let retained = self.retained.and_then(|(_, ip)| ip);
        self.connections.values().copied().chain(retained).filter(|ip| *ip != 0).collect()
    }

    /// All but P6.
    fn score(&self, config: &ScoreConfig, params: &[TopicScoreParams; 3]) -> f64 {
        let topics = self.topics.iter().zip(params).map(|(topic, params)| topic.score(params));
        let (good, bad) = topics.fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        let misbehaviour = (self.behaviour - config.behaviour_penalty_threshold).max(0.0);
        good.min(config.topic_score_cap)
            + bad
            + self.application * config.application_weight
            + misbehaviour.powi(2) * config.behaviour_penalty_weight
            + self.slow * config.slow_peer_weight
    }
}

impl Naive {
    fn new(start: u64) -> Naive {
        Naive {
            config: model_config(),
            params: [0, 1, 2].map(params),
            last_tick: start,
            peers: BTreeMap::new(),
            messages: BTreeMap::new(),
            is_ambiguous: false,
        }
    }

    fn advance(&mut self, now: u64) {
        let ticks = (now - self.last_tick) / SECOND;
        // What is long ago is as good as forgotten; only the clock moves on.
        let skipped = ticks.saturating_sub(LONG);
        self.last_tick += skipped * SECOND;
        for _ in 0..ticks - skipped {
            self.last_tick += SECOND;
            self.tick();
        }
        self.messages.retain(|_, it| now - it.since <= nanos(it.ttl));
    }

    fn tick(&mut self) {
        let at = self.last_tick;
        self.peers.retain(|_, peer| peer.retained.is_none_or(|(until, _)| until > at));
        for peer in self.peers.values_mut().filter(|peer| peer.is_connected()) {
            for (topic, params) in peer.topics.iter_mut().zip(&self.params) {
                topic.tick(at, params);
            }
            for (counter, factor) in [
                (&mut peer.behaviour, self.config.behaviour_penalty_decay),
                (&mut peer.slow, self.config.slow_peer_decay),
            ] {
                *counter *= factor;
                if *counter < 0.01 {
                    *counter = 0.0;
                }
            }
        }
    }

    fn apply(&mut self, now: u64, event: &Event) {
        match *event {
            Event::Pass => {}
            Event::Connect { peer, connection, ip } => self.connect(now, peer, connection, ip),
            Event::Disconnect { peer, connection } => self.disconnect(now, peer, connection),
            Event::Graft { peer, topic } => {
                if let Some(counters) = self.connected(peer, topic)
                    && counters.grafted_at.is_none()
                {
                    (counters.grafted_at, counters.mesh_time) = (Some(now), 0);
                }
            }
            Event::Prune { peer, topic } => {
                let params = self.params[topic];
                if let Some(counters) = self.connected(peer, topic) {
                    counters.failures += counters.deficit(&params);
                    counters.grafted_at = None;
                }
            }
            Event::Arrive { message, peer, topic } => {
                let (peers, ttl) = (vec![peer], self.config.delivery_ttl);
                let arrived = NaiveMessage { topic, peers, is_accepted: false, since: now, ttl };
                self.messages.entry(message).or_insert(arrived);
            }
            Event::Copy { message, peer } => {
                let Some(known) = self.messages.get_mut(&message) else { return };
                if !known.peers.contains(&peer) {
                    known.peers.push(peer);
                    let topic = known.topic;
                    if known.is_accepted {
                        self.delivered(peer, topic, false);
                    }
                }
            }
            Event::Accept { message } => {
                let Some(known) = self.messages.get_mut(&message) else { return };
                if known.is_accepted {
                    return;
                }
                (known.is_accepted, known.since) = (true, now);
                known.ttl = self.params[known.topic].mesh_message_deliveries_window;
                let (topic, peers) = (known.topic, known.peers.clone());
                for (i, peer) in peers.into_iter().enumerate() {
                    self.delivered(peer, topic, i == 0);
                }
                if asked(&self.params[topic]).is_none() {
                    self.messages.remove(&message);
                }
            }
            Event::Reject { message } => {
                if self.messages.get(&message).is_some_and(|known| !known.is_accepted) {
                    let known = self.messages.remove(&message).unwrap();
                    known.peers.iter().for_each(|peer| self.invalid(now, *peer, known.topic));
                }
            }
            Event::Ignore { message } => {
                if self.messages.get(&message).is_some_and(|known| !known.is_accepted) {
                    self.messages.remove(&message);
                }
            }
            Event::Invalid { peer, topic } => self.invalid(now, peer, topic),
            Event::Misbehave { peer, times } => {
                let known = self.peers.get_mut(&peer);
                known.into_iter().for_each(|peer| peer.behaviour += f64::from(times));
            }
            Event::Slow { peer, messages } => {
                let (known, cap) = (self.peers.get_mut(&peer), self.config.slow_peer_cap);
                known
                    .into_iter()
                    .for_each(|peer| peer.slow = (peer.slow + f64::from(messages)).min(cap));
            }
            Event::Application { peer, score } => {
                self.peers.get_mut(&peer).into_iter().for_each(|peer| peer.application = score);
            }
            Event::Replace { topic, params: i } => {
                self.params[topic] = params(i);
                self.peers.values_mut().for_each(|peer| peer.topics[topic].cap(&params(i)));
            }
        }
    }

    fn connect(&mut self, now: u64, peer: u64, connection: u64, ip: u8) {
        if self
            .peers
            .get(&peer)
            .is_some_and(|known| known.retained.is_some_and(|(until, _)| until <= now))
        {
            self.peers.remove(&peer);
        }
        let known = self.peers.entry(peer).or_default();
        known.retained = None;
        known.connections.entry(connection).or_insert(ip);
    }

    fn disconnect(&mut self, now: u64, peer: u64, connection: u64) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        let Some(ip) = known.connections.remove(&connection) else { return };
        if !known.connections.is_empty() {
            return;
        }
        for (topic, params) in known.topics.iter_mut().zip(&self.params) {
            topic.first = 0.0;
            topic.failures += topic.deficit(params);
            topic.grafted_at = None;
        }
        let until = now.saturating_add(nanos(self.config.retain_score));
        known.retained = Some((until, (ip != 0).then_some(ip)));
        self.retain(peer);
    }

    fn retain(&mut self, peer: u64) {
        let score = |peer: &NaivePeer| peer.score(&self.config, &self.params);
        if score(&self.peers[&peer]) >= 0.0 {
            self.peers.remove(&peer);
            return;
        }
        let kept = self.peers.iter().filter(|(_, peer)| !peer.is_connected());
        let mut kept: Vec<(f64, u64)> = kept.map(|(id, peer)| (score(peer), *id)).collect();
        if kept.len() > MAX_RETAINED {
            // Of those that are equal, the greatest id.
            kept.sort_by(|a, b| b.partial_cmp(a).unwrap());
            let gap = kept[0].0 - kept[1].0;
            self.is_ambiguous |= gap != 0.0 && gap < 1e-9;
            self.peers.remove(&kept[0].1);
        }
    }

    fn invalid(&mut self, now: u64, peer: u64, topic: usize) {
        let until = now.saturating_add(nanos(self.config.retain_score));
        let gone = NaivePeer { retained: Some((until, None)), ..NaivePeer::default() };
        let known = self.peers.entry(peer).or_insert(gone);
        known.topics[topic].invalid += 1.0;
        if !known.is_connected() {
            self.retain(peer);
        }
    }

    fn delivered(&mut self, peer: u64, topic: usize, is_first: bool) {
        let params = self.params[topic];
        if let Some(counters) = self.connected(peer, topic) {
            counters.first += f64::from(u8::from(is_first));
            counters.mesh += f64::from(u8::from(counters.grafted_at.is_some()));
            counters.cap(&params);
        }
    }

    fn connected(&mut self, peer: u64, topic: usize) -> Option<&mut NaiveTopic> {
        let known = self.peers.get_mut(&peer).filter(|peer| peer.is_connected())?;
        Some(&mut known.topics[topic])
    }

    fn score(&self, peer: u64) -> f64 {
        let Some(known) = self.peers.get(&peer) else { return 0.0 };
        let crowd = |ip: &u8| {
            let there = self.peers.values().filter(|other| other.addresses().contains(ip)).count();
            (there as f64 - 1.0).max(0.0).powi(2)
        };
        let crowds: f64 = known.addresses().iter().map(crowd).sum();
        known.score(&self.config, &self.params) + crowds * self.config.ip_colocation_weight
    }
}

// Ours.

fn apply(scores: &mut Scores, now: Timestamp, event: &Event) {
    let topic = |i: usize| topics()[i].clone();
    let connection = |peer: u64, connection: u64| ConnectionId(peer * CONNECTIONS + connection);
    match *event {
        Event::Pass => {
            scores.refresh(now);
        }
        Event::Connect { peer: of, connection: nth, ip } => {
            scores.add_connection(now, peer(of), connection(of, nth), Some(address(ip)));
        }
        Event::Disconnect { peer: of, connection: nth } => {
            scores.remove_connection(now, &peer(of), connection(of, nth));
        }
        Event::Graft { peer: of, topic: i } => scores.graft(now, &peer(of), &topic(i)),
        Event::Prune { peer: of, topic: i } => scores.prune(now, &peer(of), &topic(i)),
        Event::Arrive { message, peer: of, topic: i } => {
            scores.message_arrived(now, &id(message), &topic(i), peer(of));
        }
        Event::Copy { message, peer: of } => scores.copy_arrived(now, &id(message), &peer(of)),
        Event::Accept { message } => scores.message_accepted(now, &id(message)),
        Event::Reject { message } => scores.message_rejected(now, &id(message)),
        Event::Ignore { message } => scores.message_ignored(now, &id(message)),
        Event::Invalid { peer: of, topic: i } => scores.invalid_message(now, peer(of), &topic(i)),
        Event::Misbehave { peer: of, times } => scores.behaviour_penalty(now, &peer(of), times),
        Event::Slow { peer: of, messages } => scores.slow_peer(now, &peer(of), messages),
        Event::Application { peer: of, score } => {
            // Of a peer that is not known it is refused, here as there.
            let _ = scores.set_application_score(now, &peer(of), score);
        }
        Event::Replace { topic: i, params: to } => {
            scores.set_topic_params(now, &topic(i), params(to)).unwrap();
        }
    }
}

fn start() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), any::<u64>(), u64::MAX - 60 * SECOND..=u64::MAX]
}

proptest! {
    #[test]
    fn scores_equal_a_naive_recomputation(
        start in start(),
        steps in proptest::collection::vec((wait(), event()), 0..100),
    ) {
        let mut scores = Scores::new(Timestamp(start), model_config()).unwrap();
        let (mut now, mut naive) = (start, Naive::new(start));
        for (wait, event) in steps {
            now = u64::saturating_add(now, wait);
            apply(&mut scores, Timestamp(now), &event);
            naive.advance(now);
            naive.apply(now, &event);
            if naive.is_ambiguous {
                break;
            }
            for number in 1..=PEERS {
                let (score, expected) = (scores.score(&peer(number)), naive.score(number));
                prop_assert!(score.is_finite());
                let total = scores.breakdown(&peer(number)).map_or(0.0, |it| it.total);
                prop_assert_eq!(score, total);
                // What is added up may be larger than the sum.
                let tolerance = 1e-9 * expected.abs().max(1.0);
                prop_assert!(
                    (score - expected).abs() <= tolerance,
                    "peer {}: {} instead of {} after {:?}", number, score, expected, event
                );
            }
            prop_assert!(scores.retained_peers() <= MAX_RETAINED);
            let retained = naive.peers.values().filter(|peer| !peer.is_connected()).count();
            prop_assert_eq!(scores.retained_peers(), retained);
            let next = scores.next_refresh();
            prop_assert!(next.is_none_or(|next| next > Timestamp(now)));
        }
    }

    #[test]
    fn decay_is_monotone_and_ends_at_zero(
        start in start(),
        steps in proptest::collection::vec((wait(), event()), 0..60),
        pauses in proptest::collection::vec(0..20 * SECOND, 1..30),
    ) {
        let mut scores = Scores::new(Timestamp(start), model_config()).unwrap();
        let mut now = start;
        for (wait, event) in steps {
            now = u64::saturating_add(now, wait);
            apply(&mut scores, Timestamp(now), &event);
        }
        for number in 1..=PEERS {
            topics().iter().for_each(|topic| scores.prune(Timestamp(now), &peer(number), topic));
            let _ = scores.set_application_score(Timestamp(now), &peer(number), 0.0);
        }
        let parts = |scores: &Scores| -> Vec<[f64; 4]> {
            let parts = (1..=PEERS).map(|number| {
                let it = scores.breakdown(&peer(number)).unwrap_or_default();
                [it.rewards, -it.penalties, it.behaviour_penalty.value, it.slow_peer.value]
            });
            parts.collect()
        };
        let mut before = parts(&scores);
        for pause in pauses {
            now = u64::saturating_add(now, pause);
            scores.refresh(Timestamp(now));
            let after = parts(&scores);
            for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
                prop_assert!(after <= before && *after >= 0.0, "{} after {}", after, before);
            }
            before = after;
        }
        let end = now.saturating_add(1_000 * SECOND);
        if end < u64::MAX {
            scores.refresh(Timestamp(end));
            // Retained scores do not decay; by now they are forgotten.
            prop_assert!(parts(&scores).into_iter().all(|parts| parts == [0.0; 4]));
            prop_assert_eq!(scores.retained_peers(), 0);
        }
    }

    #[test]
    fn who_never_forwards_ends_below_zero_whatever_it_does_before(
        steps in proptest::collection::vec((wait(), event()), 0..60),
        rate in 0.01..500.0,
    ) {
        let mut scores = Scores::new(Timestamp::ZERO, model_config()).unwrap();
        let mut now = Timestamp::ZERO;
        for (wait, event) in steps {
            // Far from the end of time, so that there is some left to be silent in.
            now = now.saturating_add(Duration::from_nanos(wait % (100 * SECOND)));
            apply(&mut scores, now, &event);
        }
        let silent = peer(1);
        let params = TopicScoreParams { expected_messages_per_second: Some(rate), ..params(1) };
        let topic = &topics()[1];
        let _ = scores.set_application_score(now, &silent, 0.0);
        scores.set_topic_params(now, topic, params).unwrap();
        scores.add_connection(now, silent, ConnectionId(0), None);
        scores.graft(now, &silent, topic);
        let activation = params.expected_deliveries(Duration::from_secs(1)).unwrap().activation;
        now = now.saturating_add(activation * 20);
        scores.refresh(now);
        prop_assert!(scores.score(&silent) < 0.0, "{:?}", scores.breakdown(&silent));
    }
}
