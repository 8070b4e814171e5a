//! [`ProtocolId`]: the name by which two peers agree on what a stream carries.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest protocol id, in bytes, that is sent or accepted. With its line feed and a length
/// prefix of two bytes it is a multistream-select message of at most 1,026 bytes.
pub const MAX_PROTOCOL_ID_BYTES: usize = 1023;

/// A protocol id, such as `/ipfs/ping/1.0.0`: 1 to [`MAX_PROTOCOL_ID_BYTES`] bytes of UTF-8
/// without a line feed. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolId(Arc<str>);

/// Why a string is no protocol id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolIdError {
    /// It is empty.
    Empty,
    /// It has this many bytes, more than [`MAX_PROTOCOL_ID_BYTES`].
    TooLong(usize),
    /// It contains a line feed, which ends a message in multistream-select.
    LineFeed,
}

impl ProtocolId {
    /// A protocol id of this text.
    pub fn new(text: &str) -> Result<Self, ProtocolIdError> {
        if text.is_empty() {
            return Err(ProtocolIdError::Empty);
        }
        if text.len() > MAX_PROTOCOL_ID_BYTES {
            return Err(ProtocolIdError::TooLong(text.len()));
        }
        if text.contains('\n') {
            return Err(ProtocolIdError::LineFeed);
        }
        Ok(ProtocolId(text.into()))
    }

    /// A protocol id that the specifications name. The text must be valid, which a debug build
    /// checks.
    pub(crate) fn well_known(text: &'static str) -> Self {
        debug_assert!(ProtocolId::new(text).is_ok(), "{text:?}");
        ProtocolId(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ProtocolId {
    type Error = ProtocolIdError;

    fn try_from(text: &str) -> Result<Self, ProtocolIdError> {
        ProtocolId::new(text)
    }
}

/// Lets a map keyed by `ProtocolId` be asked for a `&str`.
impl core::borrow::Borrow<str> for ProtocolId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Display for ProtocolId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::fmt::Debug for ProtocolId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for ProtocolId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ProtocolId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ProtocolId::new(&text).map_err(serde::de::Error::custom)
    }
}

impl core::fmt::Display for ProtocolIdError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ProtocolIdError::Empty => f.write_str("protocol id is empty"),
            ProtocolIdError::TooLong(length) => {
                write!(f, "protocol id of {length} bytes, more than {MAX_PROTOCOL_ID_BYTES}")
            }
            ProtocolIdError::LineFeed => f.write_str("protocol id contains a line feed"),
        }
    }
}

impl core::error::Error for ProtocolIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_at_both_ends() {
        assert_eq!(ProtocolId::new(""), Err(ProtocolIdError::Empty));
        assert_eq!(ProtocolId::new("/a\n"), Err(ProtocolIdError::LineFeed));
        assert!(ProtocolId::new(&"x".repeat(MAX_PROTOCOL_ID_BYTES)).is_ok());
        assert_eq!(ProtocolId::new(&"x".repeat(1024)), Err(ProtocolIdError::TooLong(1024)));
    }

    #[test]
    fn serialized_ids_are_checked_when_read() {
        let id = ProtocolId::new("/ipfs/ping/1.0.0").unwrap();
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"/ipfs/ping/1.0.0\"");
        assert_eq!(serde_json::from_str::<ProtocolId>(&json).unwrap(), id);
        assert!(serde_json::from_str::<ProtocolId>("\"\"").is_err());
    }
}
