//! [`Settings`]: the machine's numbers and its clock, from four bytes.

use core::time::Duration;

use sanspeer_core::gossip::{
    GossipConfig, MeshParams, MessageCacheConfig, QueueLimits, SeenCacheConfig, SignaturePolicy,
    TopicScoreParams, Validation, VerifyWhere, data_digest, source_and_sequence,
};
use sanspeer_core::time::Timestamp;

/// What a run begins with.
pub struct Settings {
    pub config: GossipConfig,
    pub start: Timestamp,
}

/// Meshes that a few peers fill; the third has none, like that of a bootstrapper.
pub const MESHES: [MeshParams; 4] = [
    MeshParams {
        degree: 2,
        degree_low: 2,
        degree_high: 3,
        degree_outbound: 1,
        degree_lazy: 1,
        degree_score: 1,
    },
    MeshParams {
        degree: 6,
        degree_low: 5,
        degree_high: 12,
        degree_outbound: 2,
        degree_lazy: 6,
        degree_score: 4,
    },
    MeshParams {
        degree: 0,
        degree_low: 0,
        degree_high: 0,
        degree_outbound: 0,
        degree_lazy: 2,
        degree_score: 0,
    },
    MeshParams {
        degree: 4,
        degree_low: 3,
        degree_high: 4,
        degree_outbound: 2,
        degree_lazy: 2,
        degree_score: 2,
    },
];

impl Settings {
    pub fn decode([kind, clock, mesh, caps]: [u8; 4]) -> Settings {
        let mut config = GossipConfig {
            mesh: MESHES[usize::from(mesh) % MESHES.len()],
            flood_publish: kind & 4 == 0,
            exchange_peers: kind & 32 != 0,
            max_topics: 3,
            max_message_bytes: 5_000,
            ..GossipConfig::default()
        };
        if kind & 1 != 0 {
            // Longer than an id is remembered, every other time.
            let wait = if kind & 2 == 0 { 2 } else { 300 };
            config.validation = Validation::Wait(Duration::from_secs(wait));
        }
        if kind & 2 != 0 {
            config.verify = VerifyWhere::Connection { max_in_flight: 2 };
        }
        config.signatures = match kind >> 3 & 3 {
            0 | 1 => SignaturePolicy::StrictSign,
            2 => SignaturePolicy::StrictNoSign,
            _ => SignaturePolicy::Anonymous,
        };
        let signs = config.signatures.signs();
        config.message_id = if signs { source_and_sequence } else { data_digest };
        if kind & 64 != 0 {
            config.seen = SeenCacheConfig {
                max_entries: 4,
                max_verifying: 2,
                max_verifying_bytes: 4_000,
                max_waiting: 1,
                ..config.seen
            };
        }
        if kind & 128 != 0 {
            config.score.default_topic = TopicScoreParams::with_expected_rate(10.0);
        }
        limit(&mut config, caps);
        let seconds = u64::from(clock / 4).saturating_mul(1_000_000_000);
        let start = match clock % 4 {
            0 => Timestamp::ZERO,
            1 => Timestamp(seconds),
            2 => Timestamp(u64::MAX - 100_000_000_000 - seconds),
            _ => Timestamp(u64::MAX - seconds / 8),
        };
        Settings { config, start }
    }
}

/// Each bit makes some bounds small enough to be met.
fn limit(config: &mut GossipConfig, caps: u8) {
    let bit = |number: u8| caps >> number & 1 == 1;
    if bit(0) {
        config.max_ihave_ids = 5;
        config.max_ihave_messages = 2;
        config.max_iwant_ids = 5;
        config.max_dont_want_ids = 3;
    }
    if bit(1) {
        let small =
            |bytes, secs| QueueLimits { max_bytes: bytes, max_age: Duration::from_secs(secs) };
        config.control_queue = small(200, 3);
        config.publish_queue = small(3_000, 5);
        config.forward_queue = small(3_000, 1);
    }
    if bit(2) {
        config.max_pending_messages = 3;
        config.max_pending_bytes = 10_000;
    }
    if bit(3) {
        config.opportunistic_graft_ticks = 2;
        config.direct_connect_ticks = 3;
    }
    if bit(4) {
        config.max_peer_topics = 3;
    }
    if bit(5) {
        config.score.ip_colocation_threshold = 1;
    }
    if bit(6) {
        config.cache = MessageCacheConfig { max_entries: 3, ..config.cache };
    }
    if bit(7) {
        config.score.thresholds.accept_px = 0.0;
        config.max_exchange_dials = 3;
    }
}
