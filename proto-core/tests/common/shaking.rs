//! Handshakes of either security protocol, driven by hand.

use sanspeer_core::identity::Identity;
use sanspeer_core::mux::Role;
use sanspeer_core::noise::{self, NoiseError};
use sanspeer_core::rng::Seed;
use sanspeer_core::tls::{self, TlsError};

use super::{NOW, Secured, tls_identity};

/// One side of a handshake.
pub trait Shaking {
    type Error;

    fn handle(&mut self, input: &[u8]) -> Result<usize, Self::Error>;
    fn transmit(&mut self, out: &mut Vec<u8>);
}

impl Shaking for noise::Handshake {
    type Error = NoiseError;

    fn handle(&mut self, input: &[u8]) -> Result<usize, NoiseError> {
        noise::Handshake::handle(self, input)
    }

    fn transmit(&mut self, out: &mut Vec<u8>) {
        noise::Handshake::transmit(self, out);
    }
}

impl Shaking for tls::Handshake {
    type Error = TlsError;

    fn handle(&mut self, input: &[u8]) -> Result<usize, TlsError> {
        tls::Handshake::handle(self, input)
    }

    fn transmit(&mut self, out: &mut Vec<u8>) {
        tls::Handshake::transmit(self, out);
    }
}

/// What this side has to send.
pub fn sent(from: &mut impl Shaking) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.transmit(&mut bytes);
    bytes
}

/// Runs both sides until neither sends, or one fails. Returns what went over the wire, in turns.
pub fn shake<H: Shaking>(dialer: &mut H, listener: &mut H) -> Result<Vec<Vec<u8>>, H::Error> {
    let mut flights = Vec::new();
    loop {
        let to_listener = sent(dialer);
        if to_listener.is_empty() {
            return Ok(flights);
        }
        assert_eq!(listener.handle(&to_listener)?, to_listener.len());
        flights.push(to_listener);
        let to_dialer = sent(listener);
        if !to_dialer.is_empty() {
            assert_eq!(dialer.handle(&to_dialer)?, to_dialer.len());
            flights.push(to_dialer);
        }
    }
}

/// A side that shakes hands with an end, and offers no muxer early.
pub enum Hand {
    Noise(Box<noise::Handshake>),
    Tls(Box<tls::Handshake>),
}

/// What it seals and opens afterwards.
pub enum Records {
    Noise(Box<noise::Secured>),
    Tls(Box<tls::Secured>),
}

impl Hand {
    pub fn new(secured: Secured, role: Role, number: u64) -> Self {
        let seed = Seed::from_u64(number);
        match secured {
            Secured::Noise => {
                let config = noise::HandshakeConfig::default();
                let identity = Identity::ed25519(&seed);
                Hand::Noise(Box::new(noise::Handshake::new(role, &identity, &seed, config)))
            }
            Secured::Tls => {
                let config = tls::HandshakeConfig { unix_seconds: NOW, ..Default::default() };
                let identity = tls_identity(number);
                Hand::Tls(Box::new(tls::Handshake::new(role, &identity, &seed, config)))
            }
        }
    }

    pub fn sent(&mut self) -> Vec<u8> {
        match self {
            Hand::Noise(handshake) => sent(&mut **handshake),
            Hand::Tls(handshake) => sent(&mut **handshake),
        }
    }

    /// Takes bytes of a handshake without faults, and returns how many.
    pub fn handle(&mut self, bytes: &[u8]) -> usize {
        match self {
            Hand::Noise(handshake) => handshake.handle(bytes).expect("a good handshake"),
            Hand::Tls(handshake) => handshake.handle(bytes).expect("a good handshake"),
        }
    }

    pub fn is_finished(&self) -> bool {
        match self {
            Hand::Noise(handshake) => handshake.is_finished(),
            Hand::Tls(handshake) => handshake.is_finished(),
        }
    }

    pub fn finish(self) -> Records {
        match self {
            Hand::Noise(handshake) => Records::Noise(Box::new(handshake.finish().expect("keys"))),
            Hand::Tls(handshake) => Records::Tls(Box::new(handshake.finish().expect("keys"))),
        }
    }
}

impl Records {
    /// These bytes as one record.
    pub fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Records::Noise(secured) => {
                let mut record = bytes.to_vec();
                let tag = secured.sealer.seal(&mut record).expect("a fresh key");
                record.extend_from_slice(&tag);
                let length = u16::try_from(record.len()).expect("a short record");
                [&length.to_be_bytes()[..], &record].concat()
            }
            Records::Tls(secured) => {
                let mut record = Vec::new();
                secured.sealer.seal(bytes, &mut record).expect("a fresh key");
                record
            }
        }
    }

    /// The plaintext of one record.
    pub fn open(&mut self, record: &mut [u8]) -> Vec<u8> {
        match self {
            Records::Noise(secured) => {
                let length = secured.opener.open(&mut record[2..]).expect("an authentic record");
                record[2..2 + length].to_vec()
            }
            Records::Tls(secured) => match secured.opener.open(record) {
                Ok(tls::Opened::Data(length)) => {
                    record[tls::HEADER_BYTES..tls::HEADER_BYTES + length].to_vec()
                }
                other => panic!("no data: {other:?}"),
            },
        }
    }
}
