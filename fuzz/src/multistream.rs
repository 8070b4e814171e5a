//! multistream-select: both sides against each other, and each against arbitrary bytes.
//!
//! The reference is one line: the first proposal that is supported, or a refusal.

use std::collections::BTreeSet;

use arbitrary::{Arbitrary, Result, Unstructured};
use sanspeer_core::multistream::{
    Dialer, Listener, MAX_ATTEMPTS, MAX_LINE_BYTES, MAX_LISTENER_OUTPUT_BYTES, MAX_PROPOSALS,
    NegotiationError, Proposals, Step, SupportedProtocols,
};
use sanspeer_core::protocol::ProtocolId;

use crate::chunks::Chunks;

/// What follows a negotiation and must not be taken for a part of it.
const BEHIND: &[u8] = b"\x03na\n\x13/multistream/1.0.0\nbehind";

/// Ids that multistream-select uses itself; a dialer that proposes them gets what it deserves.
const RESERVED: [&str; 2] = ["na", "ls"];

/// Names that are easily confused.
const NAMES: [&str; 12] = [
    "/a",
    "/a/",
    "/a/1.0.0",
    "/a/1.0.1",
    "/multistream/1.0.0",
    "/multistream/1.0.1",
    "na",
    "ls",
    "/noise",
    "/yamux/1.0.0",
    "\u{0}",
    "/ipfs/ping/1.0.0",
];

/// What both sides say, how it is cut, and bytes that neither said.
#[derive(Clone, Debug)]
pub struct Input {
    proposals: Vec<ProtocolId>,
    supported: Supported,
    chunks: Chunks,
    raw: Vec<u8>,
}

/// A set in a fixed order.
#[derive(Clone, Debug)]
struct Supported(BTreeSet<ProtocolId>);

impl SupportedProtocols for Supported {
    fn find(&self, name: &str) -> Option<ProtocolId> {
        self.0.get(name).cloned()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&ProtocolId)) {
        self.0.iter().for_each(visit);
    }
}

impl<'a> Arbitrary<'a> for Input {
    /// Proposals and supported ids (a count, then an id each), chunks, and the rest as raw bytes.
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let proposals = ids(u)?;
        let supported = Supported(ids(u)?.into_iter().collect());
        let chunks = Chunks::arbitrary(u)?;
        let raw = u.bytes(u.len())?.to_vec();
        Ok(Input { proposals, supported, chunks, raw })
    }
}

fn ids(u: &mut Unstructured<'_>) -> Result<Vec<ProtocolId>> {
    let count = usize::from(u.arbitrary::<u8>()?) % (MAX_PROPOSALS + 3);
    (0..count).map(|_| id(u)).collect()
}

/// One byte: a name of [`NAMES`], or a long one, or one that follows as text.
fn id(u: &mut Unstructured<'_>) -> Result<ProtocolId> {
    let choice = u.arbitrary::<u8>()?;
    let text = match choice {
        0..=191 => NAMES[usize::from(choice) % NAMES.len()].to_owned(),
        192..=223 => format!("/{}", "x".repeat(32 * usize::from(choice - 192) + 30)),
        224..=255 => {
            let length = usize::from(choice - 223).min(u.len());
            String::from_utf8_lossy(u.bytes(length)?).into_owned()
        }
    };
    ProtocolId::new(&text).map_err(|_| arbitrary::Error::IncorrectFormat)
}

/// Runs one input.
pub fn run(input: &Input) {
    both_sides(input);
    raw_to_listener(input);
    raw_to_dialer(input);
}

fn both_sides(input: &Input) {
    let mut chunks = input.chunks.clone();
    let proposals = input.proposals.clone();
    let count = proposals.len();
    let Ok(offered) = Proposals::try_from(&proposals[..]) else {
        assert!(count == 0 || count > MAX_PROPOSALS);
        return;
    };
    let mut dialer = Dialer::new(offered.clone());
    let mut listener = Listener::new();
    let mut to_listener = Vec::new();
    let mut to_dialer = Vec::new();
    let mut chosen = None;
    let mut ended = None;
    dialer.start(&mut to_listener);
    if dialer.is_optimistic() {
        to_listener.extend_from_slice(BEHIND);
    }
    // Each round trip settles a proposal.
    for _ in 0..=2 * usize::from(MAX_ATTEMPTS) {
        if chosen.is_none() {
            match feed(&mut to_listener, &mut chunks, |piece| {
                listener.handle(piece, &input.supported, &mut to_dialer)
            }) {
                Ok(agreed) => chosen = agreed,
                // What a lone refused proposal is followed by is no multistream-select.
                Err(error) => assert!(
                    dialer.is_optimistic() || reserved(&proposals),
                    "listener: {error}, {proposals:?}"
                ),
            }
            if let Some(chosen) = &chosen {
                assert!(
                    to_listener == BEHIND || to_listener.is_empty() || !proposals.contains(chosen),
                    "taken too far: {to_listener:?}"
                );
                to_dialer.extend_from_slice(BEHIND);
            }
        }
        match feed(&mut to_dialer, &mut chunks, |piece| dialer.handle(piece, &mut to_listener)) {
            Ok(None) => {}
            Ok(Some(agreed)) => {
                ended = Some(Ok(agreed));
                break;
            }
            Err(error) => {
                ended = Some(Err(error));
                break;
            }
        }
    }
    let ended = ended.expect("a negotiation ends");
    if reserved(&proposals) {
        if let Ok(agreed) = ended {
            assert!(proposals.contains(&agreed));
        }
        return;
    }
    match proposals.iter().find(|id| input.supported.0.contains(*id)) {
        Some(expected) => {
            assert_eq!(ended.as_ref(), Ok(expected));
            assert_eq!(chosen.as_ref(), Some(expected));
            assert_eq!(to_dialer, BEHIND, "the dialer took too much");
        }
        None => {
            assert_eq!(ended, Err(NegotiationError::Refused(offered)));
            // What follows a lone proposal may propose something by itself; nobody reads the answer.
            assert!(chosen.is_none() || count == 1);
        }
    }
}

fn reserved(proposals: &[ProtocolId]) -> bool {
    proposals.iter().any(|id| RESERVED.contains(&id.as_str()))
}

/// Feeds everything in `bytes`, cut by `chunks`, until there is an agreement or an error; leaves
/// what was not taken.
fn feed(
    bytes: &mut Vec<u8>,
    chunks: &mut Chunks,
    mut handle: impl FnMut(&[u8]) -> core::result::Result<Step, NegotiationError>,
) -> core::result::Result<Option<ProtocolId>, NegotiationError> {
    let all = core::mem::take(bytes);
    let mut rest = &all[..];
    while !rest.is_empty() {
        let before = rest;
        let piece = chunks.take(&mut rest);
        let step = handle(piece)?;
        assert!(step.consumed <= piece.len());
        if step.agreed.is_some() {
            bytes.extend_from_slice(&before[step.consumed..]);
            return Ok(step.agreed);
        }
        assert_eq!(step.consumed, piece.len(), "bytes were left without an agreement");
    }
    Ok(None)
}

fn raw_to_listener(input: &Input) {
    let mut outcomes = Vec::new();
    for mut chunks in [input.chunks.clone(), whole()] {
        let mut listener = Listener::new();
        let mut answer = Vec::new();
        let mut bytes = input.raw.clone();
        let result = feed(&mut bytes, &mut chunks, |piece| {
            listener.handle(piece, &input.supported, &mut answer)
        });
        assert!(answer.len() <= MAX_LISTENER_OUTPUT_BYTES, "an answer of {} bytes", answer.len());
        if let Ok(Some(agreed)) = &result {
            assert!(input.supported.0.contains(agreed));
        }
        outcomes.push((result, bytes, answer));
    }
    assert_eq!(outcomes[0], outcomes[1], "the outcome depends on how bytes are cut");
}

fn raw_to_dialer(input: &Input) {
    let mut outcomes = Vec::new();
    for mut chunks in [input.chunks.clone(), whole()] {
        let Ok(proposals) = Proposals::try_from(&input.proposals[..]) else { return };
        let mut dialer = Dialer::new(proposals);
        let mut asked = Vec::new();
        dialer.start(&mut asked);
        let mut bytes = input.raw.clone();
        let result = feed(&mut bytes, &mut chunks, |piece| dialer.handle(piece, &mut asked));
        assert!(asked.len() <= (MAX_PROPOSALS + 1) * (MAX_LINE_BYTES + 2));
        if let Ok(Some(agreed)) = &result {
            assert!(input.proposals.contains(agreed));
        }
        outcomes.push((result, bytes, asked));
    }
    assert_eq!(outcomes[0], outcomes[1], "the outcome depends on how bytes are cut");
}

fn whole() -> Chunks {
    Chunks::arbitrary(&mut Unstructured::new(&[])).expect("no bytes are needed for no cuts")
}
