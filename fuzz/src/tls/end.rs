//! One side of a session, from its first byte to its last record.

use sanspeer_core::mux::Role;
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::{
    HEADER_BYTES, Handshake, HandshakeConfig, MAX_HANDSHAKE_BYTES, MAX_PLAINTEXT_BYTES, Opened,
    RecordError, Secured, TlsError, record_bytes,
};

use super::operation::{Expects, Settings};
use super::{identity, offer};
use crate::certificate::NOW;
use crate::pattern;

/// More than an alert in its record takes, encrypted or not.
const MAX_ALERT_BYTES: usize = 40;

enum Phase {
    Handshake(Box<Handshake>),
    Open(Box<Secured>),
    /// The handshake failed, or a record did not open.
    Failed,
}

/// Why a side ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    Handshake(TlsError),
    Record(RecordError),
}

pub(super) struct End {
    number: u8,
    phase: Phase,
    pub(super) failure: Option<Failure>,
    /// The handshake was over once.
    pub(super) was_secured: bool,
    /// What came before anybody could open it, or a part of a record.
    inbox: Vec<u8>,
    handshake_bytes: usize,
    pub(super) sent: u64,
    pub(super) received: u64,
    /// We said that we close.
    pub(super) closed: bool,
    /// We gave up.
    pub(super) gave_up: bool,
    pub(super) remote_closed: bool,
    muxer: Option<ProtocolId>,
}

impl End {
    pub(super) fn new(number: u8, settings: &Settings) -> Self {
        let side = usize::from(number);
        let role = if number == 0 { Role::Dialer } else { Role::Listener };
        let config = HandshakeConfig {
            expected_peer: match settings.expects[side] {
                Expects::Anybody => None,
                Expects::TheOther => Some(identity(1 - number).peer_id()),
                Expects::SomebodyElse => Some(identity(2).peer_id()),
            },
            muxers: offer(settings.offers[side]),
            unix_seconds: if settings.too_early[side] { 0 } else { NOW },
        };
        let seed = Seed::from_u64(11 + u64::from(number));
        let handshake = Handshake::new(role, identity(number), &seed, config);
        let [ours, theirs] = [offer(settings.offers[0]), offer(settings.offers[1])];
        End {
            number,
            phase: Phase::Handshake(Box::new(handshake)),
            failure: None,
            was_secured: false,
            inbox: Vec::new(),
            handshake_bytes: 0,
            sent: 0,
            received: 0,
            closed: false,
            gave_up: false,
            remote_closed: false,
            // The first of the listener's that the dialer offered too.
            muxer: theirs.into_iter().find(|muxer| ours.contains(muxer)),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Appends what the handshake has to say.
    pub(super) fn transmit(&mut self, wire: &mut Vec<u8>) -> bool {
        let Phase::Handshake(handshake) = &mut self.phase else { return false };
        let before = wire.len();
        handshake.transmit(wire);
        let sent = wire.len() - before;
        assert!(sent <= MAX_HANDSHAKE_BYTES, "{sent} bytes at once");
        if handshake.is_finished() {
            self.finish(wire);
        }
        sent > 0
    }

    fn finish(&mut self, wire: &mut Vec<u8>) {
        let Phase::Handshake(handshake) = std::mem::replace(&mut self.phase, Phase::Failed) else {
            unreachable!("the caller looked");
        };
        let secured = handshake.finish().expect("it is finished");
        assert_eq!(secured.peer, identity(1 - self.number).peer_id());
        assert_eq!(secured.public_key.to_peer_id(), secured.peer);
        assert_eq!(secured.muxer, self.muxer);
        self.was_secured = true;
        self.phase = Phase::Open(Box::new(secured));
        self.open_records(wire);
    }

    /// Takes a piece from the transport; what is to be said at once goes to `wire`.
    pub(super) fn receive(&mut self, piece: &[u8], wire: &mut Vec<u8>) {
        match &mut self.phase {
            Phase::Handshake(handshake) => {
                let was_finished = handshake.is_finished();
                match handshake.handle(piece) {
                    Ok(taken) => {
                        self.handshake_bytes += taken;
                        assert!(self.handshake_bytes <= MAX_HANDSHAKE_BYTES);
                        assert!(!was_finished || taken == 0, "took what is for the opener");
                        self.inbox.extend_from_slice(&piece[taken..]);
                        self.transmit(wire);
                    }
                    Err(error) => {
                        assert_eq!(handshake.handle(piece), Err(error.clone()));
                        assert!(!handshake.is_finished());
                        let before = wire.len();
                        handshake.transmit(wire);
                        assert!(wire.len() - before <= MAX_HANDSHAKE_BYTES);
                        assert!(error != TlsError::Internal && error != TlsError::Unfinished);
                        let Phase::Handshake(handshake) =
                            std::mem::replace(&mut self.phase, Phase::Failed)
                        else {
                            unreachable!("it was one just now");
                        };
                        assert_eq!(handshake.finish().map(|_| ()), Err(error.clone()));
                        self.failure = Some(Failure::Handshake(error));
                    }
                }
            }
            Phase::Open(_) => {
                self.inbox.extend_from_slice(piece);
                self.open_records(wire);
            }
            Phase::Failed => {}
        }
    }

    fn open_records(&mut self, wire: &mut Vec<u8>) {
        while let Phase::Open(secured) = &mut self.phase
            && let Some(header) = self.inbox.first_chunk::<HEADER_BYTES>()
        {
            let opened = record_bytes(*header).map(|bytes| {
                let record = self.inbox.get_mut(..bytes)?;
                Some((bytes, secured.opener.open(record)))
            });
            let (bytes, opened) = match opened {
                Ok(None) => return,
                Ok(Some((bytes, opened))) => (bytes, opened),
                Err(error) => (0, Err(error)),
            };
            match opened {
                Ok(Opened::Data(length)) => {
                    assert!(length <= MAX_PLAINTEXT_BYTES && !self.remote_closed);
                    let data = &self.inbox[HEADER_BYTES..HEADER_BYTES + length];
                    pattern::check(0, 1 - self.number, self.received, data);
                    self.received += length as u64;
                }
                Ok(Opened::Nothing) => panic!("nobody sends anything but data and alerts"),
                Ok(Opened::Closed) => self.remote_closed = true,
                Err(error) => {
                    let before = wire.len();
                    let said = secured.sealer.give_up(error, wire);
                    assert!(said.is_ok() && wire.len() - before <= MAX_ALERT_BYTES);
                    assert_eq!(self.closed, wire.len() == before, "one last word");
                    self.failure = Some(Failure::Record(error));
                    self.phase = Phase::Failed;
                    return;
                }
            }
            self.inbox.drain(..bytes);
        }
    }

    pub(super) fn send(&mut self, length: usize, wire: &mut Vec<u8>) {
        let Phase::Open(secured) = &mut self.phase else { return };
        let data = pattern::bytes(0, self.number, self.sent, length);
        let before = wire.len();
        match secured.sealer.seal(&data, wire) {
            Ok(()) => self.sent += data.len() as u64,
            Err(error) => {
                assert_eq!((self.closed, error), (true, RecordError::Ended));
                assert_eq!(wire.len(), before, "a record that was not sealed stays");
            }
        }
        assert!(!self.closed || wire.len() == before);
    }

    /// Records without data, which are not allowed without end.
    pub(super) fn send_nothing(&mut self, count: u8, wire: &mut Vec<u8>) {
        let Phase::Open(secured) = &mut self.phase else { return };
        for _ in 0..count {
            let start = secured.sealer.begin_record(wire);
            let sealed = secured.sealer.end_record(wire, start);
            assert_eq!(sealed.is_err(), self.closed);
        }
    }

    pub(super) fn close(&mut self, wire: &mut Vec<u8>) {
        let Phase::Open(secured) = &mut self.phase else { return };
        let before = wire.len();
        secured.sealer.close(wire).expect("a key that is not used up");
        assert_eq!(self.closed, wire.len() == before);
        self.closed = true;
    }

    pub(super) fn give_up(&mut self, wire: &mut Vec<u8>) {
        let Phase::Open(secured) = &mut self.phase else { return };
        secured.sealer.give_up(RecordError::Forged, wire).expect("a key that is not used up");
        self.gave_up |= !self.closed;
        self.closed = true;
    }

    pub(super) fn release(&mut self) {
        let Phase::Open(secured) = &mut self.phase else { return };
        secured.sealer.release();
        secured.opener.release();
    }
}
