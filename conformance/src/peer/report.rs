//! The lines that are printed: one JSON object each.

use std::io::{self, Write as _};

use serde::Serialize;

use super::args::CheckName;
use super::checks::Got;
use super::gossip::GossipLine;

/// What a listener tells, as `{"event":"connected",…}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventLine {
    /// A peer's first connection is there.
    Connected {
        /// The peer's id.
        peer: String,
        /// Its address.
        address: String,
    },
    /// A peer said who it is.
    Identified {
        /// The peer's id.
        peer: String,
        /// What it runs.
        agent: String,
        /// What it speaks.
        protocols: Vec<String>,
    },
    /// A peer's last connection is over.
    Disconnected {
        /// The peer's id.
        peer: String,
        /// Why.
        reason: String,
    },
    /// Somebody was not let in, or his handshake failed.
    Failed {
        /// Where he came from.
        address: String,
        /// Why.
        reason: String,
    },
    /// An echo is over.
    Echo {
        /// The peer's id.
        peer: String,
        /// Bytes that came and were sent back.
        bytes: u64,
        /// Whether both sides finished.
        ok: bool,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A message of the topic came.
    Gossip(GossipLine),
    /// The score of a peer is below zero.
    BelowZero {
        /// The peer's id.
        peer: String,
        /// Its score.
        score: f64,
    },
    /// Events that were lost because nobody read this program's output.
    Missed {
        /// How many.
        count: u64,
    },
}

/// What a dialer found, as `{"check":"echo","ok":true,"got":…}`.
#[derive(Clone, Debug, Serialize)]
pub struct CheckLine {
    /// The check's name.
    pub check: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// What was found, if it passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<Got>,
    /// What was wrong, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl CheckLine {
    /// What came of a check.
    pub fn new(check: CheckName, result: Result<Got, String>) -> Self {
        let ok = result.is_ok();
        let (got, error) = match result {
            Ok(got) => (Some(got), None),
            Err(error) => (None, Some(error)),
        };
        CheckLine { check: check.as_str(), ok, got, error }
    }
}

/// Prints one line, at once.
pub fn print(line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_documented() {
        let line = CheckLine::new(CheckName::Ping, Ok(Got::Ping { rtt_us: 7 }));
        let text = serde_json::to_string(&line).expect("JSON");
        assert_eq!(text, r#"{"check":"ping","ok":true,"got":{"rtt_us":7}}"#);
        let line = CheckLine::new(CheckName::Echo, Err("no".to_owned()));
        let text = serde_json::to_string(&line).expect("JSON");
        assert_eq!(text, r#"{"check":"echo","ok":false,"error":"no"}"#);
        let gossip =
            GossipLine { topic: "T".into(), from: "P".into(), data: "0 from P".into(), bytes: 8 };
        let line = EventLine::Gossip(gossip.clone());
        let text = serde_json::to_string(&line).expect("JSON");
        assert_eq!(
            text,
            r#"{"event":"gossip","topic":"T","from":"P","data":"0 from P","bytes":8}"#
        );
        let line = CheckLine::new(CheckName::Gossip, Ok(Got::Gossip(gossip)));
        let text = serde_json::to_string(&line).expect("JSON");
        let got = r#"{"topic":"T","from":"P","data":"0 from P","bytes":8}"#;
        assert_eq!(text, format!(r#"{{"check":"gossip","ok":true,"got":{got}}}"#));
        let line = EventLine::Disconnected { peer: "P".to_owned(), reason: "R".to_owned() };
        let text = serde_json::to_string(&line).expect("JSON");
        assert_eq!(text, r#"{"event":"disconnected","peer":"P","reason":"R"}"#);
    }
}
