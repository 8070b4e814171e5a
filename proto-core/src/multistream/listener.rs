//! [`Listener`]: the side that answers.

use super::line::{LineReader, write_line};
use super::list::write_list;
use super::{
    LIST, MAX_LINE_BYTES, MAX_LIST_BYTES, MAX_PROPOSALS, MULTISTREAM_HEADER, NOT_AVAILABLE,
    NegotiationError, Step,
};
use crate::protocol::ProtocolId;

/// The most lines that a dialer may send behind its header: proposals and `ls` together.
pub const MAX_ATTEMPTS: u8 = 64;

/// How many of them may be `ls`, whose answer is up to 4,000 times its size.
pub const MAX_LIST_REQUESTS: u8 = 4;

/// The most bytes that a whole negotiation appends to the output of a [`Listener`]: its header,
/// its lists, its refusals and the line that agrees.
pub const MAX_LISTENER_OUTPUT_BYTES: usize = MULTISTREAM_HEADER.len()
    + 2
    + MAX_LIST_REQUESTS as usize * (MAX_LIST_BYTES + 2)
    + MAX_ATTEMPTS as usize * (NOT_AVAILABLE.len() + 2)
    + MAX_LINE_BYTES;

// A dialer of ours never proposes more than a listener of ours hears out.
const _: () = assert!(MAX_PROPOSALS <= MAX_ATTEMPTS as usize);

/// The protocols that a listener speaks.
pub trait SupportedProtocols {
    /// The protocol of exactly this name, if it is spoken. It is asked for names that the remote
    /// made up, at most [`MAX_ATTEMPTS`] a negotiation.
    fn find(&self, name: &str) -> Option<ProtocolId>;

    /// Visits every protocol that the remote may know of, in an order that is always the same.
    fn for_each(&self, visit: &mut dyn FnMut(&ProtocolId));
}

impl SupportedProtocols for [ProtocolId] {
    fn find(&self, name: &str) -> Option<ProtocolId> {
        self.iter().find(|protocol| protocol.as_str() == name).cloned()
    }

    fn for_each(&self, visit: &mut dyn FnMut(&ProtocolId)) {
        self.iter().for_each(visit);
    }
}

/// The listener's side of a negotiation.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    lines: LineReader,
    /// Lines behind the header, at most [`MAX_ATTEMPTS`].
    attempts: u8,
    /// Those that were `ls`, at most [`MAX_LIST_REQUESTS`].
    list_requests: u8,
    awaits: Awaits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Awaits {
    #[default]
    Header,
    Proposal,
    /// It agreed or failed.
    Nothing,
}

impl Listener {
    /// A negotiation that awaits the dialer's header.
    pub fn new() -> Self {
        Listener::default()
    }

    /// Takes bytes of the dialer, up to the end of the proposal that is agreed, and appends the
    /// answers to `out`: over all calls at most [`MAX_LISTENER_OUTPUT_BYTES`]. Several proposals in
    /// one segment are answered in their order; the first that is supported is agreed, and what is
    /// behind it is left. Does nothing once it has agreed or failed.
    ///
    /// # Errors
    ///
    /// When the dialer breaks the protocol or its bounds. The stream is of no more use then; what
    /// was appended before may still be sent.
    pub fn handle(
        &mut self,
        input: &[u8],
        supported: &(impl SupportedProtocols + ?Sized),
        out: &mut Vec<u8>,
    ) -> Result<Step, NegotiationError> {
        let mut consumed = 0;
        while self.awaits != Awaits::Nothing {
            let read = self.lines.read(&input[consumed..]);
            let (taken, line) = read.inspect_err(|_| self.awaits = Awaits::Nothing)?;
            consumed += taken;
            let Some(line) = line else { break };
            let agreed = self
                .handle_line(&line, supported, out)
                .inspect_err(|_| self.awaits = Awaits::Nothing)?;
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
        supported: &(impl SupportedProtocols + ?Sized),
        out: &mut Vec<u8>,
    ) -> Result<Option<ProtocolId>, NegotiationError> {
        match self.awaits {
            Awaits::Header if line == MULTISTREAM_HEADER => {
                self.awaits = Awaits::Proposal;
                write_line(MULTISTREAM_HEADER, out);
                Ok(None)
            }
            Awaits::Header => Err(NegotiationError::WrongHeader(line.to_owned())),
            Awaits::Proposal => self.handle_proposal(line, supported, out),
            Awaits::Nothing => Ok(None),
        }
    }

    fn handle_proposal(
        &mut self,
        name: &str,
        supported: &(impl SupportedProtocols + ?Sized),
        out: &mut Vec<u8>,
    ) -> Result<Option<ProtocolId>, NegotiationError> {
        if self.attempts == MAX_ATTEMPTS {
            return Err(NegotiationError::TooManyAttempts);
        }
        self.attempts += 1;
        if name == LIST {
            if self.list_requests == MAX_LIST_REQUESTS {
                return Err(NegotiationError::TooManyListRequests);
            }
            self.list_requests += 1;
            write_list(supported, out);
            return Ok(None);
        }
        let agreed = supported.find(name);
        match &agreed {
            Some(protocol) => write_line(protocol.as_str(), out),
            None => write_line(NOT_AVAILABLE, out),
        }
        Ok(agreed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multistream::{Dialer, LineError, Proposals, decode_list};
    use crate::varint;
    use proptest::prelude::*;

    fn ids(names: &[&str]) -> Vec<ProtocolId> {
        names.iter().map(|name| ProtocolId::new(name).unwrap()).collect()
    }

    fn wire(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        lines.iter().for_each(|line| write_line(line, &mut out));
        out
    }

    /// What a listener that speaks `/a` and `/b` makes of these bytes, given in pieces of `chunk`
    /// bytes: its outcome, the bytes that it consumed, and what it sent.
    fn listen(
        input: &[u8],
        chunk: usize,
    ) -> (Result<Option<ProtocolId>, NegotiationError>, usize, Vec<u8>) {
        let supported = ids(&["/a", "/b"]);
        let (mut listener, mut consumed, mut out) = (Listener::new(), 0, Vec::new());
        for piece in input.chunks(chunk) {
            match listener.handle(piece, supported.as_slice(), &mut out) {
                Ok(step) => {
                    consumed += step.consumed;
                    if step.agreed.is_some() {
                        return (Ok(step.agreed), consumed, out);
                    }
                }
                Err(error) => return (Err(error), consumed, out),
            }
        }
        (Ok(None), consumed, out)
    }

    fn error_after(lines: &[&str]) -> NegotiationError {
        listen(&wire(lines), usize::MAX).0.unwrap_err()
    }

    #[test]
    fn header_and_answer_leave_in_one_write() {
        let input = wire(&[MULTISTREAM_HEADER, "/b"]);
        let (outcome, consumed, out) = listen(&input, usize::MAX);
        assert_eq!(outcome.unwrap().unwrap().as_str(), "/b");
        assert_eq!(consumed, input.len());
        assert_eq!(out, input);
    }

    #[test]
    fn a_lone_header_is_answered_at_once() {
        let (outcome, _, out) = listen(&wire(&[MULTISTREAM_HEADER]), usize::MAX);
        assert_eq!(outcome, Ok(None));
        assert_eq!(out, wire(&[MULTISTREAM_HEADER]));
    }

    #[test]
    fn proposals_in_one_segment_are_answered_in_order_and_what_is_behind_is_left() {
        let mut input = wire(&[MULTISTREAM_HEADER, "/x", "", "/b"]);
        let negotiation = input.len();
        input.extend(wire(&["/a"]));
        input.extend_from_slice(b"data");
        for chunk in [usize::MAX, 1] {
            let (outcome, consumed, out) = listen(&input, chunk);
            assert_eq!(outcome.unwrap().unwrap().as_str(), "/b");
            assert_eq!(consumed, negotiation);
            assert_eq!(out, wire(&[MULTISTREAM_HEADER, "na", "na", "/b"]));
        }
    }

    #[test]
    fn a_list_does_not_end_the_negotiation() {
        let (outcome, _, out) = listen(&wire(&[MULTISTREAM_HEADER, "ls", "/a"]), usize::MAX);
        assert_eq!(outcome.unwrap().unwrap().as_str(), "/a");
        let header = wire(&[MULTISTREAM_HEADER]);
        assert_eq!(out, [&header[..], b"\x09\x03/a\n\x03/b\n\n", b"\x03/a\n"].concat());
        assert_eq!(decode_list(&out[header.len() + 1..out.len() - 4]).unwrap(), ids(&["/a", "/b"]));
    }

    #[test]
    fn attempts_are_bounded_and_ls_is_one() {
        let mut lines = vec![MULTISTREAM_HEADER];
        lines.resize(usize::from(MAX_ATTEMPTS), "/x");
        lines.extend(["ls", "/a"]);
        let (outcome, _, out) = listen(&wire(&lines), usize::MAX);
        assert_eq!(outcome, Err(NegotiationError::TooManyAttempts));
        assert!(out.len() <= MAX_LISTENER_OUTPUT_BYTES);
        lines.remove(1);
        assert_eq!(listen(&wire(&lines), 7).0.unwrap().unwrap().as_str(), "/a");
    }

    #[test]
    fn the_largest_output_stays_within_its_bound() {
        let supported: Vec<_> =
            (0..20).map(|n| ProtocolId::new(&format!("{n:01023}")).unwrap()).collect();
        let mut lines = vec![MULTISTREAM_HEADER];
        lines.resize(5, "ls");
        lines.resize(usize::from(MAX_ATTEMPTS), "/x");
        lines.push(supported[0].as_str());
        let mut out = Vec::new();
        let mut listener = Listener::new();
        let step = listener.handle(&wire(&lines), supported.as_slice(), &mut out).unwrap();
        assert!(step.agreed.is_some());
        assert!(out.len() <= MAX_LISTENER_OUTPUT_BYTES);
        assert!(out.len() > 4 * 15 * 1_024);
    }

    #[test]
    fn list_requests_are_bounded() {
        let error = error_after(&[MULTISTREAM_HEADER, "ls", "ls", "ls", "ls", "ls"]);
        assert_eq!(error, NegotiationError::TooManyListRequests);
    }

    #[test]
    fn the_header_comes_first() {
        assert_eq!(error_after(&["/a"]), NegotiationError::WrongHeader("/a".to_owned()));
        assert_eq!(error_after(&["ls"]), NegotiationError::WrongHeader("ls".to_owned()));
        assert!(listen(&wire(&["/a"]), usize::MAX).2.is_empty());
    }

    #[test]
    fn malformed_lines_end_the_negotiation() {
        let after_header = |bytes: &[u8]| {
            let input = [&wire(&[MULTISTREAM_HEADER])[..], bytes].concat();
            let whole = listen(&input, usize::MAX);
            let cut = listen(&input, 1);
            assert_eq!((&whole.0, &whole.2), (&cut.0, &cut.2));
            whole.0.unwrap_err()
        };
        assert_eq!(after_header(b"\x02/a"), NegotiationError::Line(LineError::NoLineFeed));
        assert_eq!(after_header(b"\x02\xff\n"), NegotiationError::Line(LineError::NotUtf8));
        let too_long = NegotiationError::Line(LineError::TooLong(1025));
        assert_eq!(after_header(&[0x81, 0x08]), too_long);
    }

    #[test]
    fn nothing_is_handled_after_the_end() {
        let supported = ids(&["/a"]);
        let (mut listener, mut out) = (Listener::new(), Vec::new());
        assert!(listener.handle(b"\x02x\n", supported.as_slice(), &mut out).is_err());
        let header = wire(&[MULTISTREAM_HEADER, "/a"]);
        let step = listener.handle(&header, supported.as_slice(), &mut out);
        assert_eq!(step, Ok(Step::default()));
        assert!(out.is_empty());
    }

    #[test]
    fn a_byte_at_a_time_holds_at_most_a_line() {
        let supported = ids(&["/a"]);
        let (mut listener, mut out) = (Listener::new(), Vec::new());
        let longest = "x".repeat(1023);
        for byte in wire(&[MULTISTREAM_HEADER, &longest, "/a"]) {
            let _ = listener.handle(&[byte], supported.as_slice(), &mut out).unwrap();
        }
        assert_eq!(out, wire(&[MULTISTREAM_HEADER, "na", "/a"]));
        assert!(size_of::<Listener>() <= 32);
    }

    /// Cuts a stream of bytes as a list of lengths says, over and over.
    struct Cutter<'a> {
        cuts: &'a [usize],
        next: usize,
    }

    impl Cutter<'_> {
        fn cut(&mut self, available: usize) -> usize {
            let cut = self.cuts[self.next % self.cuts.len()];
            self.next += 1;
            cut.min(available)
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Exchange {
        dialer: Result<Option<ProtocolId>, NegotiationError>,
        listener: Result<Option<ProtocolId>, NegotiationError>,
        to_listener: Vec<u8>,
        to_dialer: Vec<u8>,
        /// Bytes behind the negotiation that the listener was left with.
        behind: Vec<u8>,
    }

    /// A whole exchange, with `data` right behind the dialer's first write, and every segment cut.
    fn exchange(
        proposals: &Proposals,
        supported: &[ProtocolId],
        data: &[u8],
        cuts: &[usize],
    ) -> Exchange {
        let mut cutter = Cutter { cuts, next: 0 };
        let (mut dialer, mut listener) = (Dialer::new(proposals.clone()), Listener::new());
        let mut it = Exchange {
            dialer: Ok(None),
            listener: Ok(None),
            to_listener: Vec::new(),
            to_dialer: Vec::new(),
            behind: Vec::new(),
        };
        dialer.start(&mut it.to_listener);
        if dialer.is_optimistic() {
            it.to_listener.extend_from_slice(data);
        }
        let (mut listened, mut dialled) = (0, 0);
        loop {
            let before = (listened, dialled, it.to_listener.len(), it.to_dialer.len());
            if it.listener == Ok(None) {
                let end = listened + cutter.cut(it.to_listener.len() - listened);
                let segment = &it.to_listener[listened..end];
                match listener.handle(segment, supported, &mut it.to_dialer) {
                    Ok(step) => {
                        listened += step.consumed;
                        it.listener = Ok(step.agreed);
                    }
                    Err(error) => it.listener = Err(error),
                }
            }
            if it.dialer == Ok(None) {
                let end = dialled + cutter.cut(it.to_dialer.len() - dialled);
                match dialer.handle(&it.to_dialer[dialled..end], &mut it.to_listener) {
                    Ok(step) => {
                        dialled += step.consumed;
                        it.dialer = Ok(step.agreed);
                    }
                    Err(error) => it.dialer = Err(error),
                }
            }
            if before == (listened, dialled, it.to_listener.len(), it.to_dialer.len()) {
                break;
            }
        }
        if matches!(it.listener, Ok(Some(_))) {
            it.behind = it.to_listener[listened..].to_vec();
        }
        it
    }

    fn names() -> impl Strategy<Value = Vec<ProtocolId>> {
        let name = prop_oneof![
            (0..12u8).prop_map(|n| format!("/p/{n}")),
            "[a-z/.0-9]{1,300}".prop_map(|name| format!("/{name}")),
        ];
        prop::collection::vec(name.prop_map(|name| ProtocolId::new(&name).unwrap()), 0..12)
    }

    proptest! {
        #[test]
        fn an_exchange_does_not_depend_on_fragmentation(
            supported in names(),
            mut proposals in names(),
            last in 0..12u8,
            data in prop::collection::vec(any::<u8>(), 0..20),
            cuts in prop::collection::vec(1usize..80, 1..20),
        ) {
            proposals.push(ProtocolId::new(&format!("/p/{last}")).unwrap());
            let expected = proposals.iter().find(|id| supported.contains(id)).cloned();
            let proposals = Proposals::try_from(proposals).unwrap();
            let whole = exchange(&proposals, &supported, &data, &[usize::MAX]);
            match expected {
                Some(_) => {
                    prop_assert_eq!(&whole.dialer, &Ok(expected.clone()));
                    prop_assert_eq!(&whole.listener, &Ok(expected));
                    let data = if proposals.is_single() { &data[..] } else { &[] };
                    prop_assert_eq!(&whole.behind, data);
                }
                None => {
                    let refused = Err(NegotiationError::Refused(proposals.clone()));
                    prop_assert_eq!(&whole.dialer, &refused);
                }
            }
            prop_assert_eq!(&exchange(&proposals, &supported, &data, &cuts), &whole);
            prop_assert_eq!(&exchange(&proposals, &supported, &data, &[1]), &whole);
        }

        #[test]
        fn what_a_listener_makes_of_any_bytes_does_not_depend_on_fragmentation(
            lines in prop::collection::vec(
                prop_oneof![Just("/a"), Just("/x"), Just("ls"), Just("na"), Just("")], 0..8),
            mut tail in prop::collection::vec(any::<u8>(), 0..30),
            chunk in 1usize..40,
        ) {
            let mut input = wire(&[MULTISTREAM_HEADER]);
            input.extend(wire(&lines));
            input.append(&mut tail);
            let whole = listen(&input, usize::MAX);
            let cut = listen(&input, chunk);
            prop_assert_eq!((&whole.0, &whole.2), (&cut.0, &cut.2));
            if whole.0.is_ok() {
                prop_assert_eq!(whole.1, cut.1);
            }
        }
    }

    #[test]
    fn a_list_prefix_takes_two_bytes_at_most() {
        assert_eq!(varint::encoded_len(MAX_LIST_BYTES as u64), 2);
    }
}
