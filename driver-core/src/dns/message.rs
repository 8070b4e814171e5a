//! A query for the TXT records of a host, and its answer.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use multiaddr::Multiaddr;

/// The largest answer that is asked for over UDP, in bytes: it fits into one packet everywhere.
pub(super) const MAX_UDP_BYTES: u16 = 1232;

/// Records of one answer, in all its sections. One with more is not looked at.
const MAX_RECORDS: u32 = 128;

/// The length of a header (RFC 1035, section 4.1.1), and where its four counts begin.
const HEADER_BYTES: usize = 12;
const COUNTS_AT: usize = 4;

/// One question: which addresses does a host have?
pub(super) struct Question {
    id: u16,
    query: Query,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The addresses.
    Addresses(Vec<Multiaddr>),
    /// There is more than fits; it is to be asked for over TCP.
    Truncated,
    /// The server could not say.
    Failed,
}

impl Question {
    /// A question about a host, numbered at random. `None` if the host has no valid name.
    pub(super) fn new(host: &str, id: u16) -> Option<Self> {
        let mut name = Name::from_ascii(format!("_dnsaddr.{host}")).ok()?;
        name.set_fqdn(true);
        Some(Question { id, query: Query::query(name, RecordType::TXT) })
    }

    /// The question on the wire.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_UDP_BYTES);
        message.set_edns(edns);
        message.to_vec().ok()
    }

    /// Reads a reply. `None` if it is none to this question.
    pub(super) fn read_reply(&self, bytes: &[u8]) -> Option<Reply> {
        let counts = bytes.get(COUNTS_AT..HEADER_BYTES)?.chunks_exact(2);
        let records: u32 = counts.map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        if records > MAX_RECORDS {
            return None;
        }
        let message = Message::from_vec(bytes).ok()?;
        if message.metadata.id != self.id
            || message.metadata.message_type != MessageType::Response
            || message.queries != [self.query.clone()]
        {
            return None;
        }
        if message.metadata.truncation {
            return Some(Reply::Truncated);
        }
        let code = message.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Some(Reply::Failed);
        }
        let addresses = message.answers.iter().filter_map(|record| {
            let RData::TXT(text) = &record.data else { return None };
            read_text(&text.txt_data.concat())
        });
        Some(Reply::Addresses(addresses.collect()))
    }
}

/// `dnsaddr=` and an address. What else is there is of no interest.
fn read_text(text: &[u8]) -> Option<Multiaddr> {
    core::str::from_utf8(text).ok()?.strip_prefix("dnsaddr=")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::TXT;

    use super::*;

    const ADDRESS: &str = "/ip4/192.0.2.1/tcp/4001";

    fn question() -> Question {
        Question::new("example.org", 7).unwrap()
    }

    fn reply(id: u16, texts: &[&str], change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::response(id, OpCode::Query);
        message.add_query(question().query);
        for text in texts {
            let name = question().query.name().clone();
            let data = RData::TXT(TXT::new(vec![(*text).to_owned()]));
            message.add_answer(Record::from_rdata(name, 60, data));
        }
        change(&mut message);
        message.to_vec().unwrap()
    }

    #[test]
    fn the_question_is_for_text_below_the_label_of_dnsaddr() {
        let message = Message::from_vec(&question().encode().unwrap()).unwrap();
        assert_eq!(message.queries[0].name().to_string(), "_dnsaddr.example.org.");
        assert_eq!(message.queries[0].query_type(), RecordType::TXT);
        assert!(message.metadata.recursion_desired);
        assert!(Question::new("not..a.name", 0).is_none());
    }

    #[test]
    fn addresses_are_read_and_other_text_is_passed_over() {
        let texts = [&format!("dnsaddr={ADDRESS}"), "v=spf1 -all", "dnsaddr=/nonsense", "dnsaddr"];
        let read = question().read_reply(&reply(7, &texts, |_| {}));
        assert_eq!(read, Some(Reply::Addresses(vec![ADDRESS.parse().unwrap()])));
    }

    #[test]
    fn what_answers_another_question_is_no_reply() {
        let texts = [&*format!("dnsaddr={ADDRESS}")];
        assert_eq!(question().read_reply(&reply(8, &texts, |_| {})), None);
        let other = Question::new("example.net", 7).unwrap();
        assert_eq!(other.read_reply(&reply(7, &texts, |_| {})), None);
        assert_eq!(question().read_reply(&question().encode().unwrap()), None);
        assert_eq!(question().read_reply(b"garbage"), None);
    }

    #[test]
    fn truncation_and_failure_are_told_apart_from_nothing() {
        let cut = reply(7, &[], |message| message.metadata.truncation = true);
        assert_eq!(question().read_reply(&cut), Some(Reply::Truncated));
        let failed = reply(7, &[], |message| {
            message.metadata.response_code = ResponseCode::ServFail;
        });
        assert_eq!(question().read_reply(&failed), Some(Reply::Failed));
        let unknown = reply(7, &[], |message| {
            message.metadata.response_code = ResponseCode::NXDomain;
        });
        assert_eq!(question().read_reply(&unknown), Some(Reply::Addresses(Vec::new())));
    }

    #[test]
    fn a_reply_that_announces_too_many_records_is_not_looked_at() {
        let mut many = reply(7, &[&*format!("dnsaddr={ADDRESS}")], |_| {});
        many[6..8].copy_from_slice(&200_u16.to_be_bytes());
        assert_eq!(question().read_reply(&many), None);
    }
}
