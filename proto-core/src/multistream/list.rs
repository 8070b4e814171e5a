//! The list that answers `ls` (section "Listing"): one message that holds a line for each protocol
//! and ends in a line feed of its own.

use super::line::write_line;
use super::{LIST, MULTISTREAM_HEADER, NOT_AVAILABLE, SupportedProtocols};
use crate::protocol::{ProtocolId, ProtocolIdError};
use crate::varint::{self, MAX_VARINT_BYTES, VarintError};

/// The longest list that is sent or accepted, in bytes, its length prefix not counted: what a
/// prefix of two bytes can announce, because rust-libp2p reads no longer message.
pub const MAX_LIST_BYTES: usize = 16_383;

/// The most protocols in a list that is sent or accepted; rust-libp2p reads no more either.
pub const MAX_LIST_PROTOCOLS: usize = 1_000;

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListError {
    /// The remote answered `na`: it does not support `ls`, which is optional.
    NotAvailable,
    /// It has this many bytes, more than [`MAX_LIST_BYTES`].
    TooLong(usize),
    /// It has more than [`MAX_LIST_PROTOCOLS`] entries.
    TooManyProtocols,
    /// The length prefix of an entry is malformed.
    Prefix(VarintError),
    /// The list or an entry ends early, or without its line feed.
    Truncated,
    /// An entry is not UTF-8.
    NotUtf8,
    /// An entry is no protocol id.
    Protocol(ProtocolIdError),
}

impl core::fmt::Display for ListError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ListError::NotAvailable => f.write_str("the remote does not list its protocols"),
            ListError::TooLong(bytes) => {
                write!(f, "list of {bytes} bytes, more than {MAX_LIST_BYTES}")
            }
            ListError::TooManyProtocols => {
                write!(f, "list of more than {MAX_LIST_PROTOCOLS} protocols")
            }
            ListError::Prefix(error) => write!(f, "length of a listed protocol: {error}"),
            ListError::Truncated => f.write_str("list of protocols ends early"),
            ListError::NotUtf8 => f.write_str("listed protocol that is not UTF-8"),
            ListError::Protocol(error) => write!(f, "listed {error}"),
        }
    }
}

impl core::error::Error for ListError {}

/// Appends the header and `ls`, which leave in one write (section "Implementation
/// Recommendations"), in place of a [`super::Dialer`].
///
/// The answer is the header and one message more, each a length and as many bytes:
/// [`crate::frame::FrameReader`] with [`MAX_LIST_BYTES`] reads both, and [`decode_list`] the
/// second. The stream can be reset then.
pub fn request_list(out: &mut Vec<u8>) {
    write_line(MULTISTREAM_HEADER, out);
    write_line(LIST, out);
}

/// Decodes the answer to `ls`: the message behind its length prefix.
///
/// # Errors
///
/// [`ListError::NotAvailable`] when the remote has no `ls`, as go-libp2p since 2021; others when
/// the list is malformed or over its bounds.
pub fn decode_list(message: &[u8]) -> Result<Vec<ProtocolId>, ListError> {
    if message.len() > MAX_LIST_BYTES {
        return Err(ListError::TooLong(message.len()));
    }
    if message.strip_suffix(b"\n") == Some(NOT_AVAILABLE.as_bytes()) {
        return Err(ListError::NotAvailable);
    }
    let mut protocols = Vec::new();
    let mut rest = message;
    // A lone line feed is the end; one with bytes behind it is the length of an entry.
    while rest != b"\n" {
        if protocols.len() == MAX_LIST_PROTOCOLS {
            return Err(ListError::TooManyProtocols);
        }
        let (protocol, behind) = decode_entry(rest)?;
        protocols.push(protocol);
        rest = behind;
    }
    Ok(protocols)
}

fn decode_entry(bytes: &[u8]) -> Result<(ProtocolId, &[u8]), ListError> {
    let decoded = varint::decode(bytes).map_err(ListError::Prefix)?;
    let (counted, prefix) = decoded.ok_or(ListError::Truncated)?;
    let counted = usize::try_from(counted).map_err(|_| ListError::Truncated)?;
    let (entry, rest) = bytes[prefix..].split_at_checked(counted).ok_or(ListError::Truncated)?;
    let text = entry.strip_suffix(b"\n").ok_or(ListError::Truncated)?;
    let text = core::str::from_utf8(text).map_err(|_| ListError::NotUtf8)?;
    Ok((ProtocolId::new(text).map_err(ListError::Protocol)?, rest))
}

/// Appends the answer to `ls`: the first of the supported protocols, as many as the bounds admit.
pub(super) fn write_list(supported: &(impl SupportedProtocols + ?Sized), out: &mut Vec<u8>) {
    let (mut fitting, mut bytes, mut full) = (0, 1, false);
    supported.for_each(&mut |protocol| {
        let entry = entry_bytes(protocol);
        full |= fitting == MAX_LIST_PROTOCOLS || bytes + entry > MAX_LIST_BYTES;
        if !full {
            fitting += 1;
            bytes += entry;
        }
    });
    out.reserve(MAX_VARINT_BYTES + bytes);
    out.extend_from_slice(varint::encode(bytes as u64, &mut [0; MAX_VARINT_BYTES]));
    supported.for_each(&mut |protocol| {
        if fitting > 0 {
            fitting -= 1;
            write_line(protocol.as_str(), out);
        }
    });
    out.push(b'\n');
}

fn entry_bytes(protocol: &ProtocolId) -> usize {
    let counted = protocol.as_str().len() + 1;
    varint::encoded_len(counted as u64) + counted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> ProtocolId {
        ProtocolId::new(text).unwrap()
    }

    /// The list of these protocols without its length prefix, which is checked.
    fn list(protocols: &[ProtocolId]) -> Vec<u8> {
        let mut out = Vec::new();
        write_list(protocols, &mut out);
        let (counted, prefix) = varint::decode(&out).unwrap().unwrap();
        let message = out.split_off(prefix);
        assert_eq!(message.len() as u64, counted);
        message
    }

    #[test]
    fn every_entry_is_a_line_and_a_line_feed_ends_the_list() {
        assert_eq!(list(&[id("/a"), id("/bc")]), b"\x03/a\n\x04/bc\n\n");
        assert_eq!(list(&[]), b"\n");
        assert_eq!(decode_list(b"\n"), Ok(vec![]));
    }

    #[test]
    fn an_entry_of_ten_bytes_is_not_taken_for_the_end() {
        // Its length prefix is a line feed.
        let protocols = vec![id("/12345678")];
        assert_eq!(list(&protocols), b"\x0a/12345678\n\n");
        assert_eq!(decode_list(b"\x0a/12345678\n\n"), Ok(protocols));
    }

    #[test]
    fn a_list_over_the_bound_holds_as_many_as_fit() {
        let long: Vec<_> = (0..20).map(|n| id(&format!("{n:01023}"))).collect();
        let message = list(&long);
        assert!(message.len() <= MAX_LIST_BYTES);
        assert_eq!(decode_list(&message).unwrap(), long[..15]);
        let short: Vec<_> = (0..1_500).map(|n| id(&format!("{n}"))).collect();
        assert_eq!(decode_list(&list(&short)).unwrap(), short[..MAX_LIST_PROTOCOLS]);
    }

    #[test]
    fn malformed_lists_are_refused() {
        assert_eq!(decode_list(b"na\n"), Err(ListError::NotAvailable));
        assert_eq!(decode_list(b""), Err(ListError::Truncated));
        assert_eq!(decode_list(b"\x03/a\n"), Err(ListError::Truncated));
        assert_eq!(decode_list(b"\x03/ab\n"), Err(ListError::Truncated));
        assert_eq!(decode_list(b"\x7f/a\n\n"), Err(ListError::Truncated));
        assert_eq!(decode_list(b"\x01\n\n"), Err(ListError::Protocol(ProtocolIdError::Empty)));
        assert_eq!(decode_list(b"\x02\xff\n\n"), Err(ListError::NotUtf8));
        assert_eq!(decode_list(b"\x80\x00\n"), Err(ListError::Prefix(VarintError::NotMinimal)));
        let line_feed = Err(ListError::Protocol(ProtocolIdError::LineFeed));
        assert_eq!(decode_list(b"\x04/\na\n\n"), line_feed);
        let too_long = vec![b'\n'; MAX_LIST_BYTES + 1];
        assert_eq!(decode_list(&too_long), Err(ListError::TooLong(MAX_LIST_BYTES + 1)));
        let mut too_many = b"\x02a\n".repeat(MAX_LIST_PROTOCOLS + 1);
        too_many.push(b'\n');
        assert_eq!(decode_list(&too_many), Err(ListError::TooManyProtocols));
    }

    #[test]
    fn a_request_is_the_header_and_ls() {
        let mut out = Vec::new();
        request_list(&mut out);
        assert_eq!(out, b"\x13/multistream/1.0.0\n\x03ls\n");
    }

    proptest! {
        #[test]
        fn what_is_listed_decodes(names in prop::collection::vec("[ -~]{1,200}", 0..40)) {
            let protocols: Vec<_> = names.iter().map(|name| id(name)).collect();
            prop_assert_eq!(decode_list(&list(&protocols)), Ok(protocols));
        }

        #[test]
        fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(protocols) = decode_list(&bytes) {
                prop_assert_eq!(list(&protocols), bytes);
            }
        }
    }
}
