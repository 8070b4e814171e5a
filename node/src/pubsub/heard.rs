//! [`Heard`]: what a subscriber hears.

use data_encoding::BASE64;
use sanspeer_core::gossip::Message;
use sanspeer_tokio::{Delivery, ReceivedMessage};
use serde::{Deserialize, Serialize};

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Heard {
    /// A message.
    Message(TopicMessage),
    /// So many messages were dropped before the next one, because they were not taken in time.
    Missed { topic: String, messages: u64 },
}

/// A message, as it is in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopicMessage {
    pub(crate) topic: String,
    /// Who wrote it, if that is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Its author's number of it, in decimal: it has 64 bits, and a number in JSON often has 53.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<String>,
    /// In hexadecimal.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) content: Content,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else, in base64.
    Base64(String),
}

impl Heard {
    /// What a subscription to `topic` gives.
    pub(crate) fn new(topic: &str, delivery: Delivery) -> Self {
        match delivery {
            Delivery::Message(ReceivedMessage { message, .. }) => Heard::Message(message.into()),
            Delivery::Missed(messages) => Heard::Missed { topic: topic.to_owned(), messages },
        }
    }
}

impl From<Message> for TopicMessage {
    fn from(message: Message) -> Self {
        TopicMessage {
            topic: message.topic.as_str().to_owned(),
            source: message.source.map(|source| source.to_string()),
            sequence_number: message.sequence_number.map(|number| number.to_string()),
            id: message.id.to_string(),
            content: Content::new(&message.data),
        }
    }
}

impl Content {
    fn new(data: &[u8]) -> Self {
        match core::str::from_utf8(data) {
            Ok(text) => Content::Text(text.to_owned()),
            Err(_) => Content::in_base64(data),
        }
    }

    /// In base64, whatever it is.
    pub(crate) fn in_base64(data: &[u8]) -> Self {
        Content::Base64(BASE64.encode(data))
    }

    /// The bytes; `None` if it is no base64.
    pub(crate) fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Content::Text(text) => Some(text.into_bytes()),
            Content::Base64(text) => BASE64.decode(text.as_bytes()).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sanspeer_core::gossip::{MessageId, Topic};
    use serde_json::json;

    use super::*;

    fn message(data: &'static [u8]) -> TopicMessage {
        let message = Message {
            id: MessageId::new(&[0xab, 1]).unwrap(),
            source: None,
            sequence_number: Some(u64::MAX),
            topic: Topic::new("t").unwrap(),
            data: bytes::Bytes::from_static(data),
        };
        message.into()
    }

    #[test]
    fn text_is_text_and_anything_else_is_base64() {
        let whole = json!({
            "topic": "t", "sequenceNumber": "18446744073709551615", "id": "ab01", "text": "héllo\n",
        });
        let text = message("héllo\n".as_bytes());
        assert_eq!(serde_json::to_value(&text).unwrap(), whole);
        let bytes = message(b"\xff\x00");
        assert_eq!(serde_json::to_value(&bytes).unwrap()["base64"], "/wA=");
        for (message, data) in [(text, "héllo\n".as_bytes()), (bytes, b"\xff\x00")] {
            let heard = Heard::Message(message.clone());
            let json = serde_json::to_string(&heard).unwrap();
            assert_eq!(serde_json::from_str::<Heard>(&json).unwrap(), heard);
            assert_eq!(message.content.into_bytes().unwrap(), data);
        }
        assert_eq!(Content::Base64("?".to_owned()).into_bytes(), None);
    }
}
