//! [`Proposals`]: what a dialer offers.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::protocol::ProtocolId;

/// The most protocols that one negotiation proposes.
pub const MAX_PROPOSALS: usize = 64;

/// One to [`MAX_PROPOSALS`] protocols in order of preference. Cloning shares them; one alone costs
/// no allocation.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposals(Repr);

#[derive(Clone, PartialEq, Eq)]
enum Repr {
    One(ProtocolId),
    /// Two or more, at most [`MAX_PROPOSALS`].
    Many(Arc<[ProtocolId]>),
}

/// Why a list of protocols cannot be proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalsError {
    /// It is empty.
    Empty,
    /// It has this many entries, more than [`MAX_PROPOSALS`].
    TooMany(usize),
}

impl Proposals {
    /// The protocols, the preferred one first. Never empty.
    pub fn as_slice(&self) -> &[ProtocolId] {
        match &self.0 {
            Repr::One(protocol) => core::slice::from_ref(protocol),
            Repr::Many(protocols) => protocols,
        }
    }

    /// Whether there is only one.
    pub fn is_single(&self) -> bool {
        match &self.0 {
            Repr::One(_) => true,
            Repr::Many(_) => false,
        }
    }
}

impl From<ProtocolId> for Proposals {
    fn from(protocol: ProtocolId) -> Self {
        Proposals(Repr::One(protocol))
    }
}

impl TryFrom<&[ProtocolId]> for Proposals {
    type Error = ProposalsError;

    fn try_from(protocols: &[ProtocolId]) -> Result<Self, ProposalsError> {
        match protocols {
            [] => Err(ProposalsError::Empty),
            [protocol] => Ok(Proposals(Repr::One(protocol.clone()))),
            several if several.len() <= MAX_PROPOSALS => Ok(Proposals(Repr::Many(several.into()))),
            too_many => Err(ProposalsError::TooMany(too_many.len())),
        }
    }
}

impl TryFrom<Vec<ProtocolId>> for Proposals {
    type Error = ProposalsError;

    fn try_from(protocols: Vec<ProtocolId>) -> Result<Self, ProposalsError> {
        Proposals::try_from(protocols.as_slice())
    }
}

impl core::fmt::Debug for Proposals {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl core::fmt::Display for Proposals {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, protocol) in self.as_slice().iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{protocol}")?;
        }
        Ok(())
    }
}

impl core::fmt::Display for ProposalsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ProposalsError::Empty => f.write_str("no protocol to propose"),
            ProposalsError::TooMany(count) => {
                write!(f, "{count} protocols to propose, more than {MAX_PROPOSALS}")
            }
        }
    }
}

impl core::error::Error for ProposalsError {}

impl Serialize for Proposals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Proposals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let protocols = Vec::<ProtocolId>::deserialize(deserializer)?;
        Proposals::try_from(&protocols[..]).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_at_both_ends() {
        let protocol = ProtocolId::new("/a").unwrap();
        let of = |count| Proposals::try_from(vec![protocol.clone(); count]);
        assert_eq!(of(0), Err(ProposalsError::Empty));
        assert_eq!(of(1), Ok(Proposals::from(protocol.clone())));
        assert!(of(1).unwrap().is_single());
        assert_eq!(of(MAX_PROPOSALS).unwrap().as_slice().len(), MAX_PROPOSALS);
        assert_eq!(of(65), Err(ProposalsError::TooMany(65)));
        assert_eq!(of(2).unwrap().to_string(), "/a, /a");
    }
}
