//! [`Topic`]: the name of what messages are about.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest topic, in bytes, that is sent or accepted.
pub const MAX_TOPIC_BYTES: usize = 1_024;

/// A topic: 1 to [`MAX_TOPIC_BYTES`] bytes of UTF-8. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// Why bytes are no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicError {
    /// There are none.
    Empty,
    /// There are this many, more than [`MAX_TOPIC_BYTES`].
    TooLong(usize),
    /// They are not UTF-8.
    NotUtf8,
}

impl Topic {
    /// A topic of this text.
    ///
    /// # Errors
    ///
    /// When the text is empty or too long.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        Topic::check(text.as_bytes()).map(|text| Topic(text.into()))
    }

    /// A topic as it came from a remote.
    ///
    /// # Errors
    ///
    /// When the bytes are no topic.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TopicError> {
        Topic::check(bytes).map(|text| Topic(text.into()))
    }

    /// The text of a topic, if `bytes` are one. Allocates nothing.
    ///
    /// # Errors
    ///
    /// When the bytes are no topic.
    pub fn check(bytes: &[u8]) -> Result<&str, TopicError> {
        match bytes.len() {
            0 => Err(TopicError::Empty),
            1..=MAX_TOPIC_BYTES => core::str::from_utf8(bytes).map_err(|_| TopicError::NotUtf8),
            length => Err(TopicError::TooLong(length)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Topic {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        Topic::new(text)
    }
}

/// Lets a map keyed by `Topic` be asked for a `&str`.
impl core::borrow::Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Display for Topic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::fmt::Debug for Topic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Topic::new(&text).map_err(serde::de::Error::custom)
    }
}

impl core::fmt::Display for TopicError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TopicError::Empty => f.write_str("topic is empty"),
            TopicError::TooLong(length) => {
                write!(f, "topic of {length} bytes, more than {MAX_TOPIC_BYTES}")
            }
            TopicError::NotUtf8 => f.write_str("topic is not UTF-8"),
        }
    }
}

impl core::error::Error for TopicError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_at_both_ends() {
        assert_eq!(Topic::new(""), Err(TopicError::Empty));
        assert_eq!(Topic::new("t").unwrap().as_str(), "t");
        assert!(Topic::new(&"x".repeat(MAX_TOPIC_BYTES)).is_ok());
        assert_eq!(Topic::new(&"x".repeat(1_025)), Err(TopicError::TooLong(1_025)));
        assert_eq!(Topic::from_bytes(&[0xff]), Err(TopicError::NotUtf8));
        assert_eq!(Topic::from_bytes("é".as_bytes()), Topic::new("é"));
    }

    #[test]
    fn serialized_topics_are_checked_when_read() {
        let topic = Topic::new("news").unwrap();
        let json = serde_json::to_string(&topic).unwrap();
        assert_eq!(json, "\"news\"");
        assert_eq!(serde_json::from_str::<Topic>(&json).unwrap(), topic);
        assert!(serde_json::from_str::<Topic>("\"\"").is_err());
    }
}
