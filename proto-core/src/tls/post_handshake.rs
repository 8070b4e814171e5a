//! The handshake messages that may follow a handshake: changes of keys, and tickets, which are
//! skipped.

use super::record::RecordError;
use crate::mux::Role;

/// How many records without data may come one after another. What implementations send is a few
/// tickets after the handshake, and a change of keys after many records of data.
const MAX_IDLE_RECORDS: u32 = 32;

const MESSAGE_HEADER_BYTES: usize = 4;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// Reads messages in records that may hold several of them, or a piece of one. Keeps at most the
/// header of one.
pub(super) struct PostHandshake {
    role: Role,
    /// The beginning of a message, as far as its header has come.
    header: [u8; MESSAGE_HEADER_BYTES],
    header_bytes: usize,
    /// How much of a ticket is still to come.
    ticket_bytes: usize,
    idle_records: u32,
}

/// What a record of handshake messages amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Nothing to be done.
    None,
    /// The records behind this one have the next key.
    KeyUpdate {
        /// Whether ours is to change too.
        asks_for_update: bool,
    },
}

impl PostHandshake {
    /// For the side that has this role.
    pub(super) fn new(role: Role) -> Self {
        PostHandshake {
            role,
            header: [0; MESSAGE_HEADER_BYTES],
            header_bytes: 0,
            ticket_bytes: 0,
            idle_records: 0,
        }
    }

    /// Counts a record of so many bytes of data. Not due inside of a message (RFC 8446, section
    /// 5.1).
    pub(super) fn data(&mut self, bytes: usize) -> Result<(), RecordError> {
        self.interrupted()?;
        if bytes > 0 {
            self.idle_records = 0;
            Ok(())
        } else {
            self.warning()
        }
    }

    /// An error inside of a message, where no other record is due.
    pub(super) fn interrupted(&self) -> Result<(), RecordError> {
        if self.is_between_messages() { Ok(()) } else { Err(RecordError::Malformed) }
    }

    /// Counts a record that has no data.
    pub(super) fn warning(&mut self) -> Result<(), RecordError> {
        self.idle_records += 1;
        if self.idle_records > MAX_IDLE_RECORDS {
            Err(RecordError::TooManyMessages)
        } else {
            Ok(())
        }
    }

    /// Reads the content of one record.
    pub(super) fn take(&mut self, content: &[u8]) -> Result<Message, RecordError> {
        self.warning()?;
        if content.is_empty() {
            return Err(RecordError::Malformed);
        }
        let mut rest = content;
        while !rest.is_empty() {
            let skipped = self.ticket_bytes.min(rest.len());
            self.ticket_bytes -= skipped;
            rest = &rest[skipped..];
            let (piece, after) =
                rest.split_at((MESSAGE_HEADER_BYTES - self.header_bytes).min(rest.len()));
            self.header[self.header_bytes..self.header_bytes + piece.len()].copy_from_slice(piece);
            self.header_bytes += piece.len();
            rest = after;
            if self.header_bytes < MESSAGE_HEADER_BYTES {
                break;
            }
            match (self.header, self.role) {
                ([NEW_SESSION_TICKET, high, middle, low], Role::Dialer) => {
                    self.ticket_bytes =
                        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    self.header_bytes = 0;
                }
                ([KEY_UPDATE, 0, 0, 1], Role::Dialer | Role::Listener) => {
                    // It ends its record, since the next has another key (section 5.1). Its one
                    // byte may come in a record of its own.
                    match rest {
                        [] => return Ok(Message::None),
                        [asked @ (0 | 1)] => {
                            self.header_bytes = 0;
                            return Ok(Message::KeyUpdate { asks_for_update: *asked == 1 });
                        }
                        _ => return Err(RecordError::Malformed),
                    }
                }
                _ => return Err(RecordError::Malformed),
            }
        }
        Ok(Message::None)
    }

    fn is_between_messages(&self) -> bool {
        self.header_bytes == 0 && self.ticket_bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICKET: [u8; 7] = [NEW_SESSION_TICKET, 0, 0, 3, 1, 2, 3];
    const ASKING: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 1];

    #[test]
    fn tickets_are_skipped_in_pieces_of_any_size() {
        let stream = [&TICKET[..], &TICKET, &[NEW_SESSION_TICKET, 0, 0, 0], &ASKING].concat();
        for size in 1..=stream.len() {
            let mut messages = PostHandshake::new(Role::Dialer);
            let mut last = Message::None;
            for piece in stream.chunks(size) {
                assert_eq!(last, Message::None);
                last = messages.take(piece).unwrap();
            }
            assert_eq!(last, Message::KeyUpdate { asks_for_update: true }, "pieces of {size}");
            assert_eq!(messages.data(1), Ok(()));
        }
    }

    #[test]
    fn what_is_not_due_is_refused() {
        let refused = Err(RecordError::Malformed);
        let listener = || PostHandshake::new(Role::Listener);
        assert_eq!(listener().take(&TICKET), refused);
        assert_eq!(listener().take(&[]), refused);
        assert_eq!(listener().take(&[KEY_UPDATE, 0, 0, 1, 2]), refused);
        assert_eq!(listener().take(&[KEY_UPDATE, 0, 0, 2, 0, 0]), refused);
        assert_eq!(listener().take(&[&ASKING[..], &ASKING].concat()), refused);
        assert_eq!(PostHandshake::new(Role::Dialer).take(&[13, 0, 0, 0]), refused);
    }

    #[test]
    fn nothing_comes_between_the_pieces_of_a_message() {
        for cut in 1..TICKET.len() {
            let mut messages = PostHandshake::new(Role::Dialer);
            assert_eq!(messages.take(&TICKET[..cut]), Ok(Message::None));
            assert_eq!(messages.data(1), Err(RecordError::Malformed));
        }
    }

    #[test]
    fn messages_without_data_between_them_come_to_an_end() {
        let mut messages = PostHandshake::new(Role::Dialer);
        for _ in 0..3 {
            for _ in 0..MAX_IDLE_RECORDS {
                assert!(messages.take(&ASKING).is_ok());
            }
            assert_eq!(messages.data(1), Ok(()));
        }
        for _ in 0..MAX_IDLE_RECORDS {
            assert_eq!(messages.data(0), Ok(()));
        }
        assert_eq!(messages.take(&ASKING), Err(RecordError::TooManyMessages));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..9),
        ) {
            let mut messages = PostHandshake::new(Role::Dialer);
            for record in records {
                if messages.take(&record).is_err() {
                    break;
                }
            }
        }
    }
}
