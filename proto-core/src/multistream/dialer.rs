//! [`Dialer`]: the side that proposes.

use super::line::{LineReader, write_line};
use super::{MULTISTREAM_HEADER, NOT_AVAILABLE, NegotiationError, Proposals, Step};
use crate::protocol::ProtocolId;

/// The dialer's side of a negotiation.
///
/// [`Dialer::start`] once, then [`Dialer::handle`] with whatever arrives. The two may come in any
/// order: a listener is free to send its header before it has heard anything (section "Protocol",
/// note 3), and a lone proposal may wait for the first bytes of its protocol.
#[derive(Clone, Debug)]
pub struct Dialer {
    proposals: Proposals,
    lines: LineReader,
    /// Proposals that were sent; the last of them is outstanding.
    proposed: usize,
    awaits: Awaits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    Header,
    Answer,
    /// It agreed or failed.
    Nothing,
}

impl Dialer {
    /// A negotiation that offers these protocols, in this order.
    pub fn new(proposals: impl Into<Proposals>) -> Self {
        Dialer {
            proposals: proposals.into(),
            lines: LineReader::default(),
            proposed: 0,
            awaits: Awaits::Header,
        }
    }

    /// Appends the header and the first proposal, which leave in one write (section
    /// "Implementation Recommendations"). Does nothing when called again.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        if self.proposed == 0 {
            write_line(MULTISTREAM_HEADER, out);
            self.propose_next(out);
        }
    }

    /// Whether [`Dialer::start`] was called.
    pub fn has_started(&self) -> bool {
        self.proposed > 0
    }

    /// Whether the protocol's own bytes may follow right behind [`Dialer::start`]'s, before the
    /// answer is there, which saves a round trip. So it is when there is one proposal: a listener
    /// that refuses it ends the negotiation anyway. Its answer must still be awaited before
    /// anything that it sends is read.
    pub fn is_optimistic(&self) -> bool {
        self.proposals.is_single()
    }

    /// What is offered.
    pub fn proposals(&self) -> &Proposals {
        &self.proposals
    }

    /// Takes bytes of the listener, up to the end of the line that agrees, and appends the next
    /// proposal to `out` after a refusal: at most one line a refusal. Does nothing once it has
    /// agreed or failed.
    ///
    /// # Errors
    ///
    /// [`NegotiationError::Refused`] after the last refusal; others when the listener breaks the
    /// protocol. The stream is of no more use then.
    pub fn handle(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, NegotiationError> {
        let mut consumed = 0;
        while self.awaits != Awaits::Nothing {
            let read = self.lines.read(&input[consumed..]);
            let (taken, line) = read.inspect_err(|_| self.awaits = Awaits::Nothing)?;
            consumed += taken;
            let Some(line) = line else { break };
            let agreed =
                self.handle_line(&line, out).inspect_err(|_| self.awaits = Awaits::Nothing)?;
            if agreed.is_some() {
                self.awaits = Awaits::Nothing;
                return Ok(Step { consumed, agreed });
            }
        }
        Ok(Step { consumed, agreed: None })
    }

    fn handle_line(
        &mut self,
        line: &str,
        out: &mut Vec<u8>,
    ) -> Result<Option<ProtocolId>, NegotiationError> {
        match self.awaits {
            Awaits::Header if line == MULTISTREAM_HEADER => {
                self.awaits = Awaits::Answer;
                Ok(None)
            }
            Awaits::Header => Err(NegotiationError::WrongHeader(line.to_owned())),
            Awaits::Answer => self.handle_answer(line, out),
            Awaits::Nothing => Ok(None),
        }
    }

    fn handle_answer(
        &mut self,
        answer: &str,
        out: &mut Vec<u8>,
    ) -> Result<Option<ProtocolId>, NegotiationError> {
        let outstanding = self.outstanding();
        if outstanding.is_some() && answer == NOT_AVAILABLE {
            return if self.propose_next(out) {
                Ok(None)
            } else {
                Err(NegotiationError::Refused(self.proposals.clone()))
            };
        }
        // A protocol that was refused before, or that is still to be proposed, is not an answer.
        match outstanding {
            Some(proposed) if proposed.as_str() == answer => Ok(Some(proposed.clone())),
            proposed => Err(NegotiationError::UnexpectedAnswer {
                proposed: proposed.cloned(),
                answer: answer.to_owned(),
            }),
        }
    }

    fn outstanding(&self) -> Option<&ProtocolId> {
        self.proposals.as_slice().get(self.proposed.checked_sub(1)?)
    }

    /// Appends the next proposal; `false` when there is none left.
    fn propose_next(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(protocol) = self.proposals.as_slice().get(self.proposed) else {
            return false;
        };
        write_line(protocol.as_str(), out);
        self.proposed += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multistream::LineError;

    fn ids(names: &[&str]) -> Proposals {
        let ids: Vec<_> = names.iter().map(|name| ProtocolId::new(name).unwrap()).collect();
        Proposals::try_from(ids).unwrap()
    }

    fn wire(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        lines.iter().for_each(|line| write_line(line, &mut out));
        out
    }

    fn started(names: &[&str]) -> Dialer {
        let mut dialer = Dialer::new(ids(names));
        dialer.start(&mut Vec::new());
        dialer
    }

    /// The error with which a dialer that proposes `/a`, then `/b` takes these lines.
    fn error_after(lines: &[&str]) -> NegotiationError {
        started(&["/a", "/b"]).handle(&wire(lines), &mut Vec::new()).unwrap_err()
    }

    #[test]
    fn header_and_first_proposal_leave_in_one_write() {
        let mut dialer = Dialer::new(ids(&["/a", "/b"]));
        let mut out = Vec::new();
        assert!(!dialer.has_started());
        dialer.start(&mut out);
        assert!(dialer.has_started());
        assert_eq!(out, b"\x13/multistream/1.0.0\n\x03/a\n");
        dialer.start(&mut out);
        assert_eq!(out.len(), 24);
    }

    #[test]
    fn only_a_lone_proposal_is_optimistic() {
        assert!(started(&["/a"]).is_optimistic());
        assert!(!started(&["/a", "/b"]).is_optimistic());
    }

    #[test]
    fn bytes_behind_the_agreed_line_are_left() {
        let mut dialer = started(&["/a"]);
        let mut input = wire(&[MULTISTREAM_HEADER, "/a"]);
        let negotiation = input.len();
        input.extend_from_slice(b"\x03na\ndata");
        let step = dialer.handle(&input, &mut Vec::new()).unwrap();
        assert_eq!(step.consumed, negotiation);
        assert_eq!(step.agreed.unwrap().as_str(), "/a");
        assert_eq!(dialer.handle(b"data", &mut Vec::new()), Ok(Step::default()));
    }

    #[test]
    fn each_refusal_is_followed_by_one_proposal() {
        let mut dialer = started(&["/a", "/b", "/c"]);
        let mut out = Vec::new();
        assert_eq!(dialer.handle(&wire(&[MULTISTREAM_HEADER]), &mut out).unwrap().agreed, None);
        assert!(out.is_empty());
        assert_eq!(dialer.handle(b"\x03na\n", &mut out).unwrap().consumed, 4);
        assert_eq!(out, b"\x03/b\n");
        // A listener that refuses more than was proposed only gets what is left.
        let error = dialer.handle(b"\x03na\n\x03na\n\x03na\n", &mut out).unwrap_err();
        assert_eq!(error, NegotiationError::Refused(ids(&["/a", "/b", "/c"])));
        assert_eq!(out, b"\x03/b\n\x03/c\n");
        assert_eq!(dialer.handle(b"\x03/c\n", &mut out), Ok(Step::default()));
    }

    #[test]
    fn only_the_outstanding_proposal_is_selected() {
        let unexpected = |proposed: &str, answer: &str| NegotiationError::UnexpectedAnswer {
            proposed: Some(ProtocolId::new(proposed).unwrap()),
            answer: answer.to_owned(),
        };
        let never_offered = error_after(&[MULTISTREAM_HEADER, "/x"]);
        assert_eq!(never_offered, unexpected("/a", "/x"));
        let not_yet_offered = error_after(&[MULTISTREAM_HEADER, "/b"]);
        assert_eq!(not_yet_offered, unexpected("/a", "/b"));
        let refused_before = error_after(&[MULTISTREAM_HEADER, "na", "/a"]);
        assert_eq!(refused_before, unexpected("/b", "/a"));
        let second_header = error_after(&[MULTISTREAM_HEADER, MULTISTREAM_HEADER]);
        assert_eq!(second_header, unexpected("/a", MULTISTREAM_HEADER));
    }

    #[test]
    fn the_header_comes_first() {
        assert_eq!(error_after(&["/a"]), NegotiationError::WrongHeader("/a".to_owned()));
        assert_eq!(error_after(&["na"]), NegotiationError::WrongHeader("na".to_owned()));
        let other = "/multistream/2.0.0";
        assert_eq!(error_after(&[other]), NegotiationError::WrongHeader(other.to_owned()));
    }

    #[test]
    fn a_listener_may_send_its_header_before_it_was_spoken_to_but_no_answer() {
        let mut dialer = Dialer::new(ids(&["/a"]));
        let mut out = Vec::new();
        let header = wire(&[MULTISTREAM_HEADER]);
        assert_eq!(dialer.handle(&header, &mut out).unwrap().consumed, header.len());
        let mut early = dialer.clone();
        dialer.start(&mut out);
        assert!(dialer.handle(b"\x03/a\n", &mut out).unwrap().agreed.is_some());
        for answer in ["/a", "na"] {
            let mut early = early.clone();
            let error = early.handle(&wire(&[answer]), &mut out).unwrap_err();
            let answer = answer.to_owned();
            assert_eq!(error, NegotiationError::UnexpectedAnswer { proposed: None, answer });
        }
        early.start(&mut out);
        assert!(early.handle(b"\x03/a\n", &mut out).unwrap().agreed.is_some());
    }

    #[test]
    fn a_line_over_the_bound_is_refused_at_its_prefix() {
        let mut dialer = started(&["/a"]);
        let error = dialer.handle(&[0x81, 0x08], &mut Vec::new()).unwrap_err();
        assert_eq!(error, NegotiationError::Line(LineError::TooLong(1025)));
    }

    #[test]
    fn a_dialer_is_small() {
        assert!(size_of::<Dialer>() <= 64, "{}", size_of::<Dialer>());
    }
}
