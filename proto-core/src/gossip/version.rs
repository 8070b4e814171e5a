//! [`GossipVersion`]: what the two ends of a stream can do, by the protocol id that they agreed on.

use serde::{Deserialize, Serialize};

use crate::protocol::{ProtocolId, ProtocolIdError};

/// The prefix of the protocol ids of the specification.
pub const MESHSUB_PREFIX: &str = "/meshsub";

/// The protocol id of floodsub.
pub const FLOODSUB: &str = "/floodsub/1.0.0";

/// A version of the protocol. A later one can do all that an earlier one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GossipVersion {
    /// Every message goes to everybody; there is no mesh.
    Floodsub,
    /// A mesh, and gossip about what went through it.
    V10,
    /// Back-off, peer exchange and scores.
    V11,
    /// IDONTWANT.
    V12,
    /// The extensions control message.
    V13,
}

impl GossipVersion {
    /// All that have a mesh, the latest first.
    pub const MESHSUB: [GossipVersion; 4] =
        [GossipVersion::V13, GossipVersion::V12, GossipVersion::V11, GossipVersion::V10];

    /// Whether it has a mesh.
    pub fn has_mesh(self) -> bool {
        self > GossipVersion::Floodsub
    }

    /// Whether a PRUNE may carry a back-off and peers.
    pub fn has_backoff(self) -> bool {
        self >= GossipVersion::V11
    }

    /// Whether it knows IDONTWANT.
    pub fn has_dont_want(self) -> bool {
        self >= GossipVersion::V12
    }

    /// Whether it knows the extensions control message.
    pub fn has_extensions(self) -> bool {
        self >= GossipVersion::V13
    }

    fn number(self) -> &'static str {
        match self {
            GossipVersion::Floodsub | GossipVersion::V10 => "1.0.0",
            GossipVersion::V11 => "1.1.0",
            GossipVersion::V12 => "1.2.0",
            GossipVersion::V13 => "1.3.0",
        }
    }
}

/// A protocol id and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GossipProtocolId {
    /// The id.
    pub protocol: ProtocolId,
    /// What it stands for.
    pub version: GossipVersion,
}

impl GossipProtocolId {
    /// The ids of all versions that have a mesh, under a prefix such as [`MESHSUB_PREFIX`], the
    /// latest first.
    pub fn with_prefix(prefix: &str) -> Result<Vec<GossipProtocolId>, ProtocolIdError> {
        GossipVersion::MESHSUB
            .into_iter()
            .map(|version| {
                let protocol = ProtocolId::new(&format!("{prefix}/{}", version.number()))?;
                Ok(GossipProtocolId { protocol, version })
            })
            .collect()
    }

    /// The id of floodsub.
    pub fn floodsub() -> GossipProtocolId {
        let protocol = ProtocolId::well_known(FLOODSUB);
        GossipProtocolId { protocol, version: GossipVersion::Floodsub }
    }

    /// Those of the specification: `/meshsub/1.3.0` to `/meshsub/1.0.0`, and floodsub.
    pub fn specified() -> Vec<GossipProtocolId> {
        let id = |protocol, version| GossipProtocolId {
            protocol: ProtocolId::well_known(protocol),
            version,
        };
        vec![
            id("/meshsub/1.3.0", GossipVersion::V13),
            id("/meshsub/1.2.0", GossipVersion::V12),
            id("/meshsub/1.1.0", GossipVersion::V11),
            id("/meshsub/1.0.0", GossipVersion::V10),
            GossipProtocolId::floodsub(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_the_specification_gives_its_ids() {
        let mut ids = GossipProtocolId::with_prefix(MESHSUB_PREFIX).unwrap();
        ids.push(GossipProtocolId::floodsub());
        assert_eq!(ids, GossipProtocolId::specified());
        assert!(GossipProtocolId::with_prefix("/a\n").is_err());
    }

    #[test]
    fn a_later_version_can_do_what_an_earlier_one_can() {
        let can = |version: GossipVersion| {
            [
                version.has_mesh(),
                version.has_backoff(),
                version.has_dont_want(),
                version.has_extensions(),
            ]
        };
        assert_eq!(can(GossipVersion::Floodsub), [false; 4]);
        assert_eq!(can(GossipVersion::V10), [true, false, false, false]);
        assert_eq!(can(GossipVersion::V11), [true, true, false, false]);
        assert_eq!(can(GossipVersion::V12), [true, true, true, false]);
        assert_eq!(can(GossipVersion::V13), [true; 4]);
    }
}
