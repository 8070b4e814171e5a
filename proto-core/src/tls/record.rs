//! The records that follow the handshake: a header of five bytes, a ciphertext and its tag.
//!
//! rustls makes the keys, ring seals and opens in place. rustls' own record layer would copy each
//! record into a buffer of its own, and keep several KiB for an idle connection; ours keeps two
//! keys, and a cipher's schedule only while it is in use.
//!
//! ```text
//!  0        1        3        5                 5 + n              6 + n
//!  ┌────────┬────────┬────────┬──────────────────┬──────────────────┬─────┐
//!  │ 23     │ 0x0303 │ length │ n bytes of data  │ type, then zeros │ tag │
//!  └────────┴────────┴────────┴──────────────────┴──────────────────┴─────┘
//!           authenticated     └─────────── encrypted ──────────────┘
//! ```
//!
//! Specification: [RFC 8446, sections 4.6.3, 5 and 6](https://www.rfc-editor.org/rfc/rfc8446#section-5).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ring::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use serde::{Deserialize, Serialize};

use super::engine::key_schedule::{KeySchedule, NoKey, Suite, TrafficKey};
use super::error::TlsError;
use super::post_handshake::{Message, PostHandshake};
use crate::mux::Role;

/// What is before the ciphertext of a record, in bytes.
pub const HEADER_BYTES: usize = 5;

/// What is behind the data of a record that we seal, in bytes: its type and the tag.
pub const TRAILER_BYTES: usize = 1 + TAG_BYTES;

/// The longest plaintext of one record, in bytes (RFC 8446, section 5.1).
pub const MAX_PLAINTEXT_BYTES: usize = 1 << 14;

/// The longest record, in bytes, with its header (RFC 8446, section 5.2).
pub const MAX_RECORD_BYTES: usize = HEADER_BYTES + MAX_PLAINTEXT_BYTES + 256;

const TAG_BYTES: usize = 16;

/// How many records AES-GCM seals with one key: 2^24 full ones are safe (RFC 8446, section 5.5).
const MAX_AES_GCM_RECORDS: u64 = 1 << 24;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

/// A `KeyUpdate` that asks for none in return.
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

/// Why a record was not sealed or opened. Every one is the end of the connection, except
/// [`RecordError::TooLong`] from [`Sealer::end_record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordError {
    /// The record or the plaintext is longer than allowed. Its length, in bytes.
    TooLong(usize),
    /// The record is shorter than it must be. Its length, in bytes.
    TooShort(usize),
    /// A record of a type that is not due after the handshake, or an encrypted one without a type.
    Type(u8),
    /// The record is not authentic: changed, replayed, out of order or not from this connection.
    Forged,
    /// The remote gave up with this alert (RFC 8446, section 6.2).
    Alert(u8),
    /// An alert or a handshake message of the remote is malformed, or not due.
    Malformed,
    /// The remote sends handshake messages without end, and no data.
    TooManyMessages,
    /// No record can be sealed or opened any more: the sequence numbers are exhausted, or we have
    /// said that we close.
    Ended,
}

/// What a record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opened {
    /// Data: so many bytes of the record, from [`HEADER_BYTES`] on. It may be none.
    Data(usize),
    /// Nothing for the layer above: a ticket, a change of keys, or a warning.
    Nothing,
    /// The remote sends nothing more.
    Closed,
}

/// Encrypts what we send.
pub struct Sealer {
    cipher: Cipher,
    shared: Arc<Shared>,
    closed: bool,
}

/// Decrypts what we receive.
pub struct Opener {
    cipher: Cipher,
    shared: Arc<Shared>,
    messages: PostHandshake,
    closed: bool,
}

/// What both directions need, seldom: when a key is changed.
struct Shared {
    schedule: Mutex<KeySchedule>,
    /// The remote changed its key, and asks for ours to change before we send on.
    asks_for_update: AtomicBool,
}

/// The two directions of one connection.
pub(super) fn split(
    role: Role,
    sealing: TrafficKey,
    opening: TrafficKey,
    schedule: KeySchedule,
) -> (Sealer, Opener) {
    let schedule = Mutex::new(schedule);
    let shared = Arc::new(Shared { schedule, asks_for_update: AtomicBool::new(false) });
    let sealer =
        Sealer { cipher: Cipher::new(sealing), shared: Arc::clone(&shared), closed: false };
    let messages = PostHandshake::new(role);
    (sealer, Opener { cipher: Cipher::new(opening), shared, messages, closed: false })
}

/// How long the record is that begins with `header`, in bytes, with the header. Nothing needs to
/// be buffered of one that is refused.
pub fn record_bytes(header: [u8; HEADER_BYTES]) -> Result<usize, RecordError> {
    let [content_type, _, _, high, low] = header;
    let bytes = HEADER_BYTES + usize::from(u16::from_be_bytes([high, low]));
    // Every record is encrypted by now, alerts too. The version says nothing (section 5.1).
    if content_type != APPLICATION_DATA {
        Err(RecordError::Type(content_type))
    } else if bytes < HEADER_BYTES + TRAILER_BYTES {
        Err(RecordError::TooShort(bytes))
    } else if bytes > MAX_RECORD_BYTES {
        Err(RecordError::TooLong(bytes))
    } else {
        Ok(bytes)
    }
}

impl Sealer {
    /// Appends the header of a record to `out` and returns where the record begins. Its plaintext
    /// is to be appended behind it, at most [`MAX_PLAINTEXT_BYTES`], and then
    /// [`Sealer::end_record`] called.
    ///
    /// When the key is due to be changed, a record that says so is put before it. Without a key to
    /// change to, the error comes from [`Sealer::end_record`].
    pub fn begin_record(&mut self, out: &mut Vec<u8>) -> usize {
        let asked = self.shared.asks_for_update.swap(false, Ordering::Relaxed);
        if (asked || self.cipher.is_used_up()) && !self.closed && self.update_key(out).is_err() {
            self.closed = true;
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        start
    }

    /// Encrypts the plaintext of the record that begins at `start` and ends with `out`, in place,
    /// and completes it. Nothing at all behind the header is a record without data.
    ///
    /// With an error, the record is taken off `out`: no plaintext stays there.
    pub fn end_record(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), RecordError> {
        let sealed = if self.closed {
            Err(RecordError::Ended)
        } else {
            self.cipher.seal(APPLICATION_DATA, out, start)
        };
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// Appends `plaintext` to `out`, in as many records as it takes: one copy.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        for piece in plaintext.chunks(MAX_PLAINTEXT_BYTES) {
            let start = self.begin_record(out);
            out.extend_from_slice(piece);
            self.end_record(out, start)?;
        }
        Ok(())
    }

    /// Appends what says that we send nothing more. Afterwards nothing can be sealed; a second call
    /// does nothing.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.last_words([WARNING, CLOSE_NOTIFY], out)
    }

    /// Appends an alert: we give up because of `error`. Like [`Sealer::close`] otherwise.
    pub fn give_up(&mut self, error: RecordError, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.last_words([FATAL, error.alert()], out)
    }

    /// Forgets what can be made from the key again. To be called when idle.
    pub fn release(&mut self) {
        self.cipher.schedule = None;
    }

    fn last_words(&mut self, alert: [u8; 2], out: &mut Vec<u8>) -> Result<(), RecordError> {
        if core::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        self.append(ALERT, &alert, out)
    }

    fn update_key(&mut self, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let next = self.shared.next(KeySchedule::next_sealing)?;
        // The last record of the old key.
        self.append(HANDSHAKE, &KEY_UPDATE, out)?;
        self.cipher = Cipher::new(next);
        Ok(())
    }

    fn append(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        out.extend_from_slice(content);
        self.cipher.seal(kind, out, start).inspect_err(|_| out.truncate(start))
    }
}

impl Opener {
    /// Decrypts `record`, which is as long as [`record_bytes`] says, in place.
    ///
    /// After an error the connection must end, and the content of `record` is unspecified.
    /// After [`Opened::Closed`] nothing is opened either: what may follow is ignored.
    pub fn open(&mut self, record: &mut [u8]) -> Result<Opened, RecordError> {
        if self.closed {
            return Ok(Opened::Closed);
        }
        let header = record.first_chunk().ok_or(RecordError::TooShort(record.len()))?;
        let bytes = record_bytes(*header)?;
        if bytes != record.len() {
            return Err(RecordError::TooShort(record.len()));
        }
        let (kind, length) = self.cipher.open(record)?;
        let content = &record[HEADER_BYTES..HEADER_BYTES + length];
        match kind {
            APPLICATION_DATA => {
                self.messages.data(length)?;
                Ok(Opened::Data(length))
            }
            HANDSHAKE => self.handshake_messages(length, record),
            ALERT => {
                self.messages.interrupted()?;
                self.alert(content)
            }
            other => Err(RecordError::Type(other)),
        }
    }

    /// Forgets what can be made from the key again. To be called when idle.
    pub fn release(&mut self) {
        self.cipher.schedule = None;
    }

    fn handshake_messages(&mut self, length: usize, record: &[u8]) -> Result<Opened, RecordError> {
        let content = &record[HEADER_BYTES..HEADER_BYTES + length];
        match self.messages.take(content)? {
            Message::None => {}
            Message::KeyUpdate { asks_for_update } => {
                self.cipher = Cipher::new(self.shared.next(KeySchedule::next_opening)?);
                if asks_for_update {
                    // However often it asks before we send, we change once.
                    self.shared.asks_for_update.store(true, Ordering::Relaxed);
                }
            }
        }
        Ok(Opened::Nothing)
    }

    fn alert(&mut self, content: &[u8]) -> Result<Opened, RecordError> {
        // The level says nothing in TLS 1.3: all but two are the end (section 6).
        match *content {
            [_, CLOSE_NOTIFY] => {
                self.closed = true;
                Ok(Opened::Closed)
            }
            [_, USER_CANCELED] => self.messages.warning().map(|()| Opened::Nothing),
            [_, code] => Err(RecordError::Alert(code)),
            _ => Err(RecordError::Malformed),
        }
    }
}

impl Shared {
    fn next(
        &self,
        next: impl FnOnce(&mut KeySchedule) -> Result<TrafficKey, NoKey>,
    ) -> Result<TrafficKey, RecordError> {
        let mut schedule = self.schedule.lock().map_err(|_| RecordError::Ended)?;
        next(&mut schedule).map_err(|NoKey| RecordError::Ended)
    }
}

/// A key, the number of the next record, and the cipher's schedule while it is in use.
struct Cipher {
    key: TrafficKey,
    schedule: Option<Box<LessSafeKey>>,
    sequence: u64,
}

impl Cipher {
    fn new(key: TrafficKey) -> Self {
        Cipher { key, schedule: None, sequence: 0 }
    }

    /// Whether the next record but one needs a new key: one is left for the message that says so.
    fn is_used_up(&self) -> bool {
        let max = match self.key.suite {
            Suite::Aes128Gcm | Suite::Aes256Gcm => MAX_AES_GCM_RECORDS,
            Suite::ChaCha20Poly1305 => u64::MAX,
        };
        self.sequence >= max - 1
    }

    fn seal(&mut self, kind: u8, out: &mut Vec<u8>, start: usize) -> Result<(), RecordError> {
        let content = out.len().saturating_sub(start.saturating_add(HEADER_BYTES));
        let length = content + TRAILER_BYTES;
        let length_field = u16::try_from(length)
            .ok()
            .filter(|_| content <= MAX_PLAINTEXT_BYTES)
            .ok_or(RecordError::TooLong(content))?;
        let next = self.next_sequence()?;
        let [high, low] = length_field.to_be_bytes();
        let header = [APPLICATION_DATA, 3, 3, high, low];
        let nonce = self.nonce();
        out.push(kind);
        let tag = self
            .schedule()?
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut out[start + HEADER_BYTES..])
            // ring refuses plaintexts from 64 GiB only.
            .map_err(|ring::error::Unspecified| RecordError::TooLong(content))?;
        out[start..start + HEADER_BYTES].copy_from_slice(&header);
        out.extend_from_slice(tag.as_ref());
        self.sequence = next;
        Ok(())
    }

    /// The type of a record and the length of its content.
    fn open(&mut self, record: &mut [u8]) -> Result<(u8, usize), RecordError> {
        let next = self.next_sequence()?;
        let length = record.len();
        let (header, ciphertext) =
            record.split_first_chunk_mut::<HEADER_BYTES>().ok_or(RecordError::TooShort(length))?;
        let nonce = self.nonce();
        let plaintext = self
            .schedule()?
            .open_in_place(nonce, Aad::from(*header), ciphertext)
            .map_err(|ring::error::Unspecified| RecordError::Forged)?;
        self.sequence = next;
        // Zeros behind the type are padding (section 5.4).
        let (&kind, content) = plaintext
            .iter()
            .rposition(|&byte| byte != 0)
            .and_then(|last| plaintext[..=last].split_last())
            .ok_or(RecordError::Type(0))?;
        if content.len() > MAX_PLAINTEXT_BYTES {
            return Err(RecordError::TooLong(content.len()));
        }
        Ok((kind, content.len()))
    }

    fn next_sequence(&self) -> Result<u64, RecordError> {
        self.sequence.checked_add(1).ok_or(RecordError::Ended)
    }

    /// The number of the record, exclusive-or the vector of the key (section 5.3).
    fn nonce(&self) -> Nonce {
        let mut bytes = *self.key.iv;
        for (byte, number) in bytes[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(bytes)
    }

    fn schedule(&mut self) -> Result<&LessSafeKey, RecordError> {
        if self.schedule.is_none() {
            let (algorithm, bytes) = match self.key.suite {
                Suite::Aes128Gcm => (&AES_128_GCM, 16),
                Suite::Aes256Gcm => (&AES_256_GCM, 32),
                Suite::ChaCha20Poly1305 => (&CHACHA20_POLY1305, 32),
            };
            let key = UnboundKey::new(algorithm, &self.key.key[..bytes])
                // ring refuses keys of another length only.
                .map_err(|ring::error::Unspecified| RecordError::Ended)?;
            self.schedule = Some(Box::new(LessSafeKey::new(key)));
        }
        self.schedule.as_deref().ok_or(RecordError::Ended)
    }
}

impl RecordError {
    /// The alert that tells the remote (RFC 8446, section 6.2).
    fn alert(self) -> u8 {
        match self {
            RecordError::TooLong(_) => 22,
            RecordError::TooShort(_) | RecordError::Malformed => 50,
            RecordError::Type(_) | RecordError::TooManyMessages => 10,
            RecordError::Forged => 20,
            RecordError::Alert(_) | RecordError::Ended => 80,
        }
    }
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealer").field("sequence", &self.cipher.sequence).finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Opener").field("sequence", &self.cipher.sequence).finish_non_exhaustive()
    }
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RecordError::TooLong(length) => write!(f, "{length} bytes do not fit a tls record"),
            RecordError::TooShort(length) => write!(f, "tls record cut at {length} bytes"),
            RecordError::Type(kind) => write!(f, "tls record of type {kind}, which is not due"),
            RecordError::Forged => f.write_str("tls record is not authentic"),
            RecordError::Alert(code) => write!(f, "{}", TlsError::Alert(*code)),
            RecordError::Malformed => f.write_str("malformed tls message"),
            RecordError::TooManyMessages => f.write_str("tls handshake messages without end"),
            RecordError::Ended => f.write_str("the tls session is at its end"),
        }
    }
}

impl core::error::Error for RecordError {}

#[cfg(test)]
mod tests;
