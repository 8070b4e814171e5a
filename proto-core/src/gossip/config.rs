//! [`GossipConfig`]: every number of [`super::Gossip`], and what it does by default.

use core::time::Duration;

use super::message_cache::MessageCacheConfig;
use super::message_id::MessageIdFn;
use super::rpc::{MIN_SPLIT_BYTES, RpcLimits, SendLimits};
use super::score::ScoreConfig;
use super::seen_cache::SeenCacheConfig;
use super::signature::SignaturePolicy;
use super::version::GossipProtocolId;

/// The longest back-off that a remote can impose; a longer one is taken for it. As in rust-libp2p.
pub const MAX_BACKOFF: Duration = Duration::from_secs(3600);

/// The shortest heartbeat.
pub const MIN_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(10);

/// How many peers a mesh has (gossipsub v1.0 and v1.1, Parameters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeshParams {
    /// D: what is aimed at.
    pub degree: usize,
    /// D_lo: with fewer than this, peers are grafted.
    pub degree_low: usize,
    /// D_hi: with more than this, peers are pruned.
    pub degree_high: usize,
    /// D_out: so many of them should be peers that we dialled.
    pub degree_outbound: usize,
    /// D_lazy: at least so many peers outside the mesh hear what went through it.
    pub degree_lazy: usize,
    /// D_score: so many of the best stay when peers are pruned.
    pub degree_score: usize,
}

/// Whether the application decides on messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// A message whose signature holds is accepted.
    Accept,
    /// A message waits for the application's verdict, for this long at most; then it is ignored.
    Wait(Duration),
}

/// Where signatures are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyWhere {
    /// In the machine, at once.
    Inline,
    /// On the connection that the message came by, which may run on another core. At most this
    /// many at once; beyond it, in the machine.
    Connection {
        /// Signatures that are being checked.
        max_in_flight: usize,
    },
}

/// How much may wait for a peer in one of its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes of frames; one frame may always wait, however long it is.
    pub max_bytes: usize,
    /// What has waited so long is not sent any more.
    pub max_age: Duration,
}

/// Numbers of a [`super::Gossip`]. Those of the specification have its values, or those of
/// go-libp2p and rust-libp2p where it has none.
#[derive(Clone, Debug)]
pub struct GossipConfig {
    /// What is spoken, in order of preference.
    pub protocols: Vec<GossipProtocolId>,
    /// How many peers a mesh has, where a topic's settings do not say it.
    pub mesh: MeshParams,
    /// The time between two heartbeats; at least [`MIN_HEARTBEAT_INTERVAL`].
    pub heartbeat_interval: Duration,
    /// The time before the first.
    pub heartbeat_initial_delay: Duration,
    /// Which messages can be asked for.
    pub cache: MessageCacheConfig,
    /// The share of the peers outside the mesh that hear what went through it, if that is more than
    /// `degree_lazy`.
    pub gossip_factor: f64,
    /// How long we remember whom we sent to in a topic that we did not join.
    pub fanout_ttl: Duration,
    /// Which messages are known as seen, and which can be in the course of verification.
    pub seen: SeenCacheConfig,
    /// Whether our own messages go to all peers of the topic and not only to the mesh.
    pub flood_publish: bool,
    /// How long a pruned peer must not graft us, and we not it.
    pub prune_backoff: Duration,
    /// The same, when we leave a topic.
    pub unsubscribe_backoff: Duration,
    /// A GRAFT so soon after a PRUNE is penalised twice.
    pub graft_flood_threshold: Duration,
    /// Every so many heartbeats a mesh of poor scores is mended; never if zero.
    pub opportunistic_graft_ticks: u64,
    /// With so many peers.
    pub opportunistic_graft_peers: usize,
    /// Every so many heartbeats direct peers that are not connected are dialled.
    pub direct_connect_ticks: u64,
    /// Whether a PRUNE names other peers. For bootstrappers; it gives away who is connected.
    pub exchange_peers: bool,
    /// How many it names, and how many of those that a remote names are looked at.
    pub exchanged_peers: usize,
    /// How many peers that were named so may be dialled at once.
    pub max_exchange_dials: usize,
    /// Ids that are gossiped to a peer in one IHAVE, and asked of a peer between two heartbeats.
    pub max_ihave_ids: usize,
    /// IHAVEs of a peer that are looked at between two heartbeats.
    pub max_ihave_messages: usize,
    /// Ids that a peer may ask for between two heartbeats.
    pub max_iwant_ids: usize,
    /// How long a peer has to send what it said that it had.
    pub iwant_followup: Duration,
    /// A message of this many bytes or more that waits for a verdict is announced by IDONTWANT.
    pub dont_want_min_bytes: usize,
    /// One of this many bytes or more is announced even if it goes on at once: it takes longer to
    /// arrive than its announcement. Of a shorter one the message itself says as much.
    pub dont_want_at_once_bytes: usize,
    /// For so many heartbeats an IDONTWANT holds.
    pub dont_want_ticks: u64,
    /// Ids of IDONTWANT that are kept of a peer; beyond it the oldest is forgotten.
    pub max_dont_want_ids: usize,
    /// What one frame of a remote may hold.
    pub received: RpcLimits,
    /// What is put into one frame: the limits of a remote are not known. A message that is longer
    /// goes in a frame of its own.
    pub sent: SendLimits,
    /// The longest message that we publish, in bytes of data.
    pub max_message_bytes: usize,
    /// Topics that we are in at once. rust-libp2p knows no more than 100 of a peer.
    pub max_topics: usize,
    /// Topics that are known of a peer.
    pub max_peer_topics: usize,
    /// What signatures messages have.
    pub signatures: SignaturePolicy,
    /// Where they are checked.
    pub verify: VerifyWhere,
    /// The id of a message, where a topic's settings do not say it.
    pub message_id: MessageIdFn,
    /// Whether the application decides on messages, where a topic's settings do not say it.
    pub validation: Validation,
    /// Messages that wait for the application's verdict, at most so many; beyond it, new messages
    /// are dropped unseen.
    pub max_pending_messages: usize,
    /// The same, in bytes.
    pub max_pending_bytes: usize,
    /// Control that waits for a peer. What is behind the age is gossip alone; subscriptions, GRAFT
    /// and PRUNE wait as long as they must, the latest of a topic.
    pub control_queue: QueueLimits,
    /// Messages of our own that wait for a peer.
    pub publish_queue: QueueLimits,
    /// Messages of others that wait for a peer.
    pub forward_queue: QueueLimits,
    /// How peers are scored.
    pub score: ScoreConfig,
}

/// What holds for one topic.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicSettings {
    /// The id of its messages.
    pub message_id: Option<MessageIdFn>,
    /// Whether the application decides on its messages.
    pub validation: Option<Validation>,
    /// How many peers its mesh has.
    pub mesh: Option<MeshParams>,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum GossipConfigError {
    /// No protocol id is spoken.
    NoProtocols,
    /// The degrees of a mesh contradict each other: `degree_low` ≤ `degree` ≤ `degree_high`,
    /// `degree_score` ≤ `degree`, and `degree_outbound` is below `degree_low` and at most half of
    /// `degree`.
    Mesh(MeshParams),
    /// More heartbeats are gossiped about than remembered.
    History {
        /// `gossip_length`.
        gossip: usize,
        /// `history_length`.
        length: usize,
    },
    /// `gossip_factor` is not between 0 and 1.
    GossipFactor(f64),
    /// The heartbeat is shorter than [`MIN_HEARTBEAT_INTERVAL`].
    Heartbeat(Duration),
    /// Frames of this many bytes at most have no room for a topic and a signed record, or are
    /// longer than 4 GiB.
    FrameBytes(usize),
    /// The scores are not sound.
    Score(super::score::ScoreConfigError),
}

impl Default for MeshParams {
    fn default() -> Self {
        MeshParams {
            degree: 6,
            degree_low: 5,
            degree_high: 12,
            degree_outbound: 2,
            degree_lazy: 6,
            degree_score: 4,
        }
    }
}

impl Default for GossipConfig {
    fn default() -> Self {
        GossipConfig {
            protocols: GossipProtocolId::specified(),
            mesh: MeshParams::default(),
            heartbeat_interval: Duration::from_secs(1),
            heartbeat_initial_delay: Duration::from_millis(100),
            cache: MessageCacheConfig::default(),
            gossip_factor: 0.25,
            fanout_ttl: Duration::from_secs(60),
            seen: SeenCacheConfig::default(),
            flood_publish: true,
            prune_backoff: Duration::from_secs(60),
            unsubscribe_backoff: Duration::from_secs(10),
            graft_flood_threshold: Duration::from_secs(10),
            opportunistic_graft_ticks: 60,
            opportunistic_graft_peers: 2,
            direct_connect_ticks: 300,
            exchange_peers: false,
            exchanged_peers: 16,
            max_exchange_dials: 32,
            max_ihave_ids: 5000,
            max_ihave_messages: 10,
            max_iwant_ids: 5000,
            iwant_followup: Duration::from_secs(3),
            dont_want_min_bytes: 1024,
            dont_want_at_once_bytes: 32 * 1024,
            dont_want_ticks: 3,
            max_dont_want_ids: 2048,
            received: RpcLimits::default(),
            sent: SendLimits::default(),
            max_message_bytes: 1000 * 1024,
            max_topics: 100,
            max_peer_topics: 1024,
            signatures: SignaturePolicy::StrictSign,
            verify: VerifyWhere::Inline,
            message_id: super::message_id::source_and_sequence,
            validation: Validation::Accept,
            max_pending_messages: 4096,
            max_pending_bytes: 64 * 1024 * 1024,
            control_queue: QueueLimits { max_bytes: 256 * 1024, max_age: Duration::from_secs(3) },
            publish_queue: QueueLimits {
                max_bytes: 4 * 1024 * 1024,
                max_age: Duration::from_secs(5),
            },
            forward_queue: QueueLimits {
                max_bytes: 4 * 1024 * 1024,
                max_age: Duration::from_secs(1),
            },
            score: ScoreConfig::default(),
        }
    }
}

impl MeshParams {
    /// Whether the degrees fit together.
    pub fn check(&self) -> Result<(), GossipConfigError> {
        let ordered = self.degree_low <= self.degree && self.degree <= self.degree_high;
        let outbound = self.degree_outbound == 0
            || (self.degree_outbound < self.degree_low && self.degree_outbound <= self.degree / 2);
        if ordered && outbound && self.degree_score <= self.degree {
            return Ok(());
        }
        Err(GossipConfigError::Mesh(*self))
    }
}

impl GossipConfig {
    /// Whether the numbers fit together.
    pub fn check(&self) -> Result<(), GossipConfigError> {
        if self.protocols.is_empty() {
            return Err(GossipConfigError::NoProtocols);
        }
        self.mesh.check()?;
        let (gossip, length) = (self.cache.gossip_length, self.cache.history_length);
        if gossip > length {
            return Err(GossipConfigError::History { gossip, length });
        }
        if !(0.0..=1.0).contains(&self.gossip_factor) {
            return Err(GossipConfigError::GossipFactor(self.gossip_factor));
        }
        if self.heartbeat_interval < MIN_HEARTBEAT_INTERVAL {
            return Err(GossipConfigError::Heartbeat(self.heartbeat_interval));
        }
        let bytes = self.received.max_frame_bytes;
        if bytes < MIN_SPLIT_BYTES || u32::try_from(bytes).is_err() {
            return Err(GossipConfigError::FrameBytes(bytes));
        }
        self.score.check().map_err(GossipConfigError::Score)
    }
}

impl core::fmt::Display for GossipConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            GossipConfigError::NoProtocols => f.write_str("no protocol id to speak"),
            GossipConfigError::Mesh(mesh) => {
                write!(f, "the degrees contradict each other: {mesh:?}")
            }
            GossipConfigError::History { gossip, length } => {
                write!(f, "{gossip} heartbeats of gossip, more than the {length} remembered")
            }
            GossipConfigError::GossipFactor(factor) => {
                write!(f, "a gossip factor of {factor}, not between 0 and 1")
            }
            GossipConfigError::Heartbeat(interval) => {
                write!(f, "a heartbeat of {interval:?}, shorter than {MIN_HEARTBEAT_INTERVAL:?}")
            }
            GossipConfigError::FrameBytes(bytes) => {
                write!(f, "frames of {bytes} bytes, not between {MIN_SPLIT_BYTES} and 4 GiB")
            }
            GossipConfigError::Score(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for GossipConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(GossipConfig::default().check(), Ok(()));
    }

    #[test]
    fn contradictions_are_refused_with_the_value() {
        let mesh = MeshParams { degree: 20, ..MeshParams::default() };
        let config = GossipConfig { mesh, ..GossipConfig::default() };
        assert_eq!(config.check(), Err(GossipConfigError::Mesh(mesh)));
        let mesh = MeshParams { degree_outbound: 4, ..MeshParams::default() };
        assert_eq!(mesh.check(), Err(GossipConfigError::Mesh(mesh)));
        let cache = MessageCacheConfig { gossip_length: 6, ..MessageCacheConfig::default() };
        let config = GossipConfig { cache, ..GossipConfig::default() };
        assert_eq!(config.check(), Err(GossipConfigError::History { gossip: 6, length: 5 }));
        let config = GossipConfig { gossip_factor: 1.5, ..GossipConfig::default() };
        assert_eq!(config.check(), Err(GossipConfigError::GossipFactor(1.5)));
        let config = GossipConfig { protocols: Vec::new(), ..GossipConfig::default() };
        assert_eq!(config.check(), Err(GossipConfigError::NoProtocols));
        let heartbeat_interval = Duration::ZERO;
        let config = GossipConfig { heartbeat_interval, ..GossipConfig::default() };
        assert_eq!(config.check(), Err(GossipConfigError::Heartbeat(heartbeat_interval)));
        let received = RpcLimits { max_frame_bytes: 100, ..RpcLimits::default() };
        let config = GossipConfig { received, ..GossipConfig::default() };
        assert_eq!(config.check(), Err(GossipConfigError::FrameBytes(100)));
    }
}
