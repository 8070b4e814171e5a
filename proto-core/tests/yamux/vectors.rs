//! Published vectors of headers, and ours of streams.

use sanspeer_core::mux::Role;
use sanspeer_core::yamux::header::{Flags, FrameType, HEADER_BYTES, Header};
use serde_json::Value;

use crate::side::Side;

const HEADERS: &str = include_str!("../../../conformance/vectors/yamux_headers.json");
const STREAMS: &str = include_str!("../../../conformance/vectors/yamux_streams.json");

fn vectors(json: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(json).expect("valid JSON");
    file["vectors"].as_array().expect("a list of vectors").clone()
}

fn number(value: &Value) -> u32 {
    value.as_u64().and_then(|value| u32::try_from(value).ok()).expect("a number of 32 bits")
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a hexadecimal string");
    assert!(text.len().is_multiple_of(2), "{text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

fn kind(number: u32) -> FrameType {
    [FrameType::Data, FrameType::WindowUpdate, FrameType::Ping, FrameType::GoAway][number as usize]
}

#[test]
fn headers_of_other_implementations_encode_and_decode() {
    let vectors = vectors(HEADERS);
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let flags = u16::try_from(number(&vector["flags"])).unwrap();
        let header = Header::new(
            kind(number(&vector["type"])),
            Flags(flags),
            number(&vector["stream_id"]),
            number(&vector["length"]),
        );
        let bytes: [u8; HEADER_BYTES] = unhex(&vector["hex"]).try_into().unwrap();
        assert_eq!(header.encode(), bytes, "vector {}", vector["number"]);
        assert_eq!(Header::decode(&bytes), Ok(header), "vector {}", vector["number"]);
    }
}

/// Does what one step of a vector says.
fn replay(side: &mut Side, step: &Value) {
    let what = step["do"].as_str().expect("a step says what to do");
    let id = sanspeer_core::mux::StreamId(step["stream_id"].as_u64().unwrap_or_default());
    match what {
        "receive" => side.receive(&unhex(&step["hex"])).expect("a frame that is in order"),
        "send" => {
            let sent = side.transmit_all();
            assert_eq!(sent, unhex(&step["hex"]), "{step} sends {sent:02x?}");
        }
        "open" => assert_eq!(side.open(), id, "{step}"),
        "accept" => assert_eq!(side.accept(), id, "{step}"),
        "write" => side.write_all(id, &unhex(&step["hex"])),
        "finish" => side.session.finish(id).expect("a stream that is open"),
        "reset" => side.session.reset(id, 0).expect("room for a reset"),
        "go_away" => side.session.go_away(number(&step["code"])),
        "read" => {
            let (bytes, end) = side.read_all(id);
            assert_eq!(bytes, unhex(&step["hex"]), "{step}");
            assert_eq!(Some(end), step["end"].as_bool(), "{step}");
        }
        "fill" => {
            // A frame of so many zero bytes arrives.
            let payload = vec![0; number(&step["bytes"]) as usize];
            side.data(Flags::NONE, number(&step["stream_id"]), &payload).expect("window for it");
        }
        "drain" => {
            let (bytes, _) = side.read_all(id);
            assert_eq!(bytes.len(), number(&step["bytes"]) as usize, "{step}");
        }
        "remote_went_away" => {
            assert_eq!(side.session.remote_went_away(), Some(number(&step["code"])));
        }
        other => panic!("{other} is no step"),
    }
}

#[test]
fn streams_open_carry_end_and_reset_with_these_bytes() {
    let vectors = vectors(STREAMS);
    assert!(!vectors.is_empty());
    for (index, vector) in vectors.iter().enumerate() {
        assert_eq!(vector["number"], index + 1);
        let role = match vector["role"].as_str() {
            Some("dialer") => Role::Dialer,
            Some("listener") => Role::Listener,
            other => panic!("{other:?} is no role"),
        };
        let mut side = Side::new(role);
        for step in vector["steps"].as_array().unwrap() {
            replay(&mut side, step);
        }
        assert!(side.transmit_all().is_empty(), "vector {}: nothing else is sent", index + 1);
        assert_eq!(
            side.session.stream_count() as u64,
            vector["streams_at_end"].as_u64().unwrap(),
            "vector {}",
            index + 1
        );
    }
}
