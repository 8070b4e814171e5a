//! The records of a secured connection, whichever protocol secured it.
//!
//! ```text
//!  Noise   length (2)                         plaintext              tag (16)
//!  TLS     type (1), version (2), length (2)  plaintext    type (1)  tag (16)
//! ```

use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::close::CloseReason;
use crate::noise::{self, TAG_BYTES};
use crate::tls::{self, TlsError};

/// The longest record of any protocol, in bytes, with what is before its ciphertext: Noise's.
pub const MAX_RECORD_BYTES: usize = LENGTH_PREFIX_BYTES + noise::MAX_RECORD_BYTES;

const _: () = assert!(tls::MAX_RECORD_BYTES <= MAX_RECORD_BYTES);

const LENGTH_PREFIX_BYTES: usize = 2;

/// Why a record was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordError {
    /// A record of Noise.
    Noise(noise::RecordError),
    /// A record of TLS.
    Tls(tls::RecordError),
}

/// Encrypts what we send.
#[derive(Debug)]
pub(crate) enum Sealer {
    Noise(noise::Sealer),
    Tls(Box<tls::Sealer>),
}

/// Decrypts what we receive.
#[derive(Debug)]
pub(crate) enum Opener {
    Noise(noise::Opener),
    Tls(Box<tls::Opener>),
}

/// What a record was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// This part of the record is plaintext. It may be empty.
    Plaintext(Range<usize>),
    /// The remote neither sends nor takes anything more.
    Ended(CloseReason),
}

impl Sealer {
    /// The longest plaintext of one record, in bytes.
    pub(crate) fn max_plaintext_bytes(&self) -> usize {
        match self {
            Sealer::Noise(_) => noise::MAX_PLAINTEXT_BYTES,
            Sealer::Tls(_) => tls::MAX_PLAINTEXT_BYTES,
        }
    }

    /// How many bytes of a record are before its plaintext.
    pub(crate) fn header_bytes(&self) -> usize {
        match self {
            Sealer::Noise(_) => LENGTH_PREFIX_BYTES,
            Sealer::Tls(_) => tls::HEADER_BYTES,
        }
    }

    /// Appends room for the header of a record, to be followed by its plaintext, and returns where
    /// the record begins. What TLS owes the remote goes before it.
    pub(crate) fn begin_record(&mut self, out: &mut Vec<u8>) -> usize {
        match self {
            Sealer::Noise(_) => {
                let start = out.len();
                out.extend_from_slice(&[0; LENGTH_PREFIX_BYTES]);
                start
            }
            Sealer::Tls(sealer) => sealer.begin_record(out),
        }
    }

    /// Seals the record that begins at `start` and ends with `out`, in place. With an error it is
    /// taken off `out`: plaintext must not stay where it could be sent.
    pub(crate) fn end_record(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), RecordError> {
        match self {
            Sealer::Noise(sealer) => seal_noise(sealer, out, start)
                .inspect_err(|_| out.truncate(start))
                .map_err(RecordError::Noise),
            Sealer::Tls(sealer) => sealer.end_record(out, start).map_err(RecordError::Tls),
        }
    }

    /// Appends what says that we send nothing more, where the protocol has something: because of
    /// `error`, or in the normal way. Nothing can be sealed afterwards.
    pub(crate) fn close(
        &mut self,
        error: Option<tls::RecordError>,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        match (self, error) {
            (Sealer::Noise(_), _) => Ok(()),
            (Sealer::Tls(sealer), None) => sealer.close(out).map_err(RecordError::Tls),
            (Sealer::Tls(sealer), Some(error)) => {
                sealer.give_up(error, out).map_err(RecordError::Tls)
            }
        }
    }

    /// Forgets what can be made from the key again.
    pub(crate) fn release(&mut self) {
        match self {
            // Nothing is kept but the key.
            Sealer::Noise(_) => {}
            Sealer::Tls(sealer) => sealer.release(),
        }
    }
}

impl Opener {
    /// How long the record is that `received` begins with, in bytes, all in all. `None` until its
    /// header is whole; an error if it is not worth receiving.
    pub(crate) fn record_bytes(&self, received: &[u8]) -> Result<Option<usize>, RecordError> {
        match (self, received) {
            (Opener::Noise(_), [high, low, ..]) => {
                Ok(Some(LENGTH_PREFIX_BYTES + usize::from(u16::from_be_bytes([*high, *low]))))
            }
            (Opener::Noise(_), _) => Ok(None),
            (Opener::Tls(_), _) => received
                .first_chunk()
                .map(|header| tls::record_bytes(*header).map_err(RecordError::Tls))
                .transpose(),
        }
    }

    /// Decrypts a record, which is as long as [`Opener::record_bytes`] says, in place. An error is
    /// final.
    pub(crate) fn open(&mut self, record: &mut [u8]) -> Result<Opened, RecordError> {
        match self {
            Opener::Noise(opener) => {
                let ciphertext = record.get_mut(LENGTH_PREFIX_BYTES..).unwrap_or_default();
                let bytes = opener.open(ciphertext).map_err(RecordError::Noise)?;
                Ok(Opened::Plaintext(LENGTH_PREFIX_BYTES..LENGTH_PREFIX_BYTES + bytes))
            }
            Opener::Tls(opener) => match opener.open(record) {
                Ok(tls::Opened::Data(bytes)) => {
                    Ok(Opened::Plaintext(tls::HEADER_BYTES..tls::HEADER_BYTES + bytes))
                }
                Ok(tls::Opened::Nothing) => {
                    Ok(Opened::Plaintext(tls::HEADER_BYTES..tls::HEADER_BYTES))
                }
                Ok(tls::Opened::Closed) => Ok(Opened::Ended(CloseReason::TransportEnded)),
                // To a dialer, this may be the listener's refusal of its certificate.
                Err(tls::RecordError::Alert(code)) => {
                    Ok(Opened::Ended(CloseReason::Tls(TlsError::Alert(code))))
                }
                Err(error) => Err(RecordError::Tls(error)),
            },
        }
    }

    /// Forgets what can be made from the key again.
    pub(crate) fn release(&mut self) {
        match self {
            // Nothing is kept but the key.
            Opener::Noise(_) => {}
            Opener::Tls(opener) => opener.release(),
        }
    }
}

fn seal_noise(
    sealer: &mut noise::Sealer,
    out: &mut Vec<u8>,
    start: usize,
) -> Result<(), noise::RecordError> {
    let plaintext = out.get_mut(start + LENGTH_PREFIX_BYTES..).unwrap_or_default();
    let length = plaintext.len() + TAG_BYTES;
    let prefix = u16::try_from(length).map_err(|_| noise::RecordError::TooLong(length))?;
    let tag = sealer.seal(plaintext)?;
    out[start..start + LENGTH_PREFIX_BYTES].copy_from_slice(&prefix.to_be_bytes());
    out.extend_from_slice(&tag);
    Ok(())
}

impl From<RecordError> for CloseReason {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Noise(error) => CloseReason::Record(error),
            RecordError::Tls(error) => CloseReason::TlsRecord(error),
        }
    }
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RecordError::Noise(error) => write!(f, "{error}"),
            RecordError::Tls(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for RecordError {}
