//! Replays the vectors of multistream-select, in each role and cut in several ways.

// Helpers outside of a test function are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]
use sanspeer_core::multistream::{
    Dialer, LineError, Listener, NegotiationError, Proposals, Step, decode_list,
};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::varint;
use serde_json::Value;

/// Sizes of the segments in which each vector is replayed.
const SEGMENT_BYTES: [usize; 4] = [1, 2, 7, usize::MAX];

struct Vector(Value);

impl Vector {
    fn all() -> Vec<Vector> {
        let text = include_str!("../../conformance/vectors/multistream.json");
        let file: Value = serde_json::from_str(text).unwrap();
        file["vectors"].as_array().unwrap().iter().cloned().map(Vector).collect()
    }

    fn name(&self) -> String {
        format!("{} ({})", self.0["number"], self.0["name"])
    }

    fn has(&self, side: &str) -> bool {
        self.0["machines"].as_array().unwrap().iter().any(|machine| machine == side)
    }

    fn protocols(&self, key: &str) -> Vec<ProtocolId> {
        protocols(&self.0[key])
    }

    /// Bytes of the agreed protocol behind the last step of `side`.
    fn data(&self, side: &str) -> Vec<u8> {
        self.0[format!("{side}_data_hex")].as_str().map(unhex).unwrap_or_default()
    }

    fn steps(&self) -> Vec<(String, Vec<u8>)> {
        let steps = self.0["steps"].as_array().unwrap().iter();
        steps.map(|step| (text(&step["from"]), unhex(step["hex"].as_str().unwrap()))).collect()
    }

    /// Gives `side` what the other side writes, and checks every byte that it writes and how it
    /// ends.
    fn replay(&self, side: &str, segment_bytes: usize, mut handle: impl FnMut(&[u8]) -> Handled) {
        let name = self.name();
        let steps = self.steps();
        let last_of_remote = steps.iter().rposition(|(from, _)| from != side);
        let remote = if side == "dialer" { "listener" } else { "dialer" };
        let (mut written, mut outcome) = (Vec::new(), Ok(None));
        for (index, (from, bytes)) in steps.iter().enumerate() {
            if from == side {
                if index == 0 || written.is_empty() {
                    // Only a dialer writes unasked.
                    written.extend(handle(&[]).0);
                }
                assert!(written.starts_with(bytes), "{name}: {side} writes {written:02x?}");
                written.drain(..bytes.len());
                continue;
            }
            let mut input = bytes.clone();
            let data = if Some(index) == last_of_remote { self.data(remote) } else { vec![] };
            input.extend_from_slice(&data);
            let mut consumed = 0;
            for segment in input.chunks(segment_bytes) {
                let (out, step) = handle(segment);
                written.extend(out);
                match step {
                    Ok(step) => {
                        consumed += step.consumed;
                        outcome = Ok(step.agreed);
                    }
                    Err(error) => outcome = Err(error),
                }
                if outcome != Ok(None) {
                    break;
                }
            }
            if outcome.is_ok() {
                assert_eq!(consumed, bytes.len(), "{name}: bytes that {side} consumed");
            }
        }
        assert!(written.is_empty(), "{name}: {side} writes {written:02x?} beyond the steps");
        let expected = &self.0["outcome"][side];
        match outcome {
            Ok(agreed) => {
                let agreed = agreed.as_ref().map(ProtocolId::as_str);
                assert_eq!(agreed, expected["agreed"].as_str(), "{name}: {side}");
                assert!(expected.get("agreed").is_some(), "{name}: {side}");
            }
            Err(error) => {
                assert_eq!(expected["error"].as_str(), Some(code(&error)), "{name}: {side}");
            }
        }
    }
}

/// What a machine wrote, and how far it came.
type Handled = (Vec<u8>, Result<Step, NegotiationError>);

fn code(error: &NegotiationError) -> &'static str {
    match error {
        NegotiationError::Line(LineError::TooLong(_)) => "line_too_long",
        NegotiationError::Line(LineError::Prefix(_)) => "prefix",
        NegotiationError::Line(LineError::NoLineFeed) => "no_line_feed",
        NegotiationError::Line(LineError::NotUtf8) => "not_utf8",
        NegotiationError::WrongHeader(_) => "wrong_header",
        NegotiationError::Refused(_) => "refused",
        NegotiationError::UnexpectedAnswer { .. } => "unexpected_answer",
        NegotiationError::TooManyAttempts => "too_many_attempts",
        NegotiationError::TooManyListRequests => "too_many_list_requests",
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn protocols(value: &Value) -> Vec<ProtocolId> {
    let names = value.as_array().unwrap().iter();
    names.map(|name| ProtocolId::new(name.as_str().unwrap()).unwrap()).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn vectors_are_numbered_and_linked() {
    for (index, vector) in Vector::all().iter().enumerate() {
        assert_eq!(vector.0["number"], index + 1);
        assert!(vector.0["link"].as_str().unwrap().contains('#'), "{}", vector.name());
    }
}

#[test]
fn the_dialer_writes_and_ends_as_the_vectors_say() {
    for vector in Vector::all().iter().filter(|vector| vector.has("dialer")) {
        for segment_bytes in SEGMENT_BYTES {
            let proposals = Proposals::try_from(vector.protocols("proposals")).unwrap();
            let mut dialer = Dialer::new(proposals);
            // A vector sends bytes of the protocol at once only behind a lone proposal.
            let sends_at_once = !vector.data("dialer").is_empty();
            assert!(!sends_at_once || dialer.is_optimistic(), "{}", vector.name());
            vector.replay("dialer", segment_bytes, |input| {
                let mut out = Vec::new();
                if input.is_empty() {
                    dialer.start(&mut out);
                }
                let step = dialer.handle(input, &mut out);
                (out, step)
            });
        }
    }
}

#[test]
fn the_listener_writes_and_ends_as_the_vectors_say() {
    for vector in Vector::all().iter().filter(|vector| vector.has("listener")) {
        for segment_bytes in SEGMENT_BYTES {
            let supported = vector.protocols("supported");
            let mut listener = Listener::new();
            vector.replay("listener", segment_bytes, |input| {
                let mut out = Vec::new();
                let step = listener.handle(input, supported.as_slice(), &mut out);
                (out, step)
            });
        }
    }
}

#[test]
fn lists_decode_as_the_vectors_say() {
    let mut lists = 0;
    for vector in Vector::all().iter().filter(|vector| vector.0.get("list").is_some()) {
        let list = &vector.0["list"];
        let bytes = unhex(list["hex"].as_str().unwrap());
        let (length, prefix) = varint::decode(&bytes).unwrap().unwrap();
        assert_eq!(length, (bytes.len() - prefix) as u64, "{}", vector.name());
        let decoded = decode_list(&bytes[prefix..]).unwrap();
        assert_eq!(decoded, protocols(&list["protocols"]), "{}", vector.name());
        lists += 1;
    }
    assert!(lists > 0);
}
