//! [`PreSharedKey`]: the key of a private network, its file, and its fingerprint.
//!
//! Specification: [pnet, Interface](https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md#interface).

use data_encoding::{BASE64, DecodePartial, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE};
use salsa20::Salsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use serde::{Deserialize, Serialize};
use shake::Shake128;
use shake::digest::{ExtendableOutput, Update, XofReader};
use zeroize::Zeroizing;

/// The length of a key, in bytes.
pub const PSK_BYTES: usize = 32;

const HEADER: &str = "/key/swarm/psk/1.0.0/";
const BASE16: &str = "/base16/";
const BASE64_PATH: &str = "/base64/";
const BIN: &str = "/bin/";

/// How many characters a key takes in `/base16/`.
const BASE16_DIGITS: usize = 2 * PSK_BYTES;

/// How many characters a key takes in `/base64/`, with one of padding.
const BASE64_DIGITS: usize = PSK_BYTES.div_ceil(3) * 4;

/// What go-libp2p derives the fingerprint with instead of a nonce.
const FINGERPRINT_NONCE: [u8; 8] = *b"finprint";

/// The key that all nodes of a private network share, and what [`super::PskLayer`] needs. Cleared
/// from memory when it is dropped; its `Debug` output shows the fingerprint only.
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey(Zeroizing<[u8; PSK_BYTES]>);

/// What identifies a key without telling it: two nodes with the same fingerprint have the same
/// key.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint([u8; 16]);

/// What is wrong with a key file. Shows nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyFileError {
    /// Line 1 is not `/key/swarm/psk/1.0.0/`.
    Header,
    /// Line 2 is not `/base16/`, `/base64/` or `/bin/`.
    Encoding,
    /// The key on line 3 has another length than a key has in this encoding.
    Length {
        /// How long it is, in characters (of `/bin/`: in bytes).
        found: usize,
        /// How long it must be.
        expected: usize,
    },
    /// The key on line 3 has a character that this encoding does not.
    Character {
        /// Which one, counted from 1.
        column: usize,
    },
    /// There is something behind the key, from this line on.
    Trailing {
        /// Which line, counted from 1.
        line: usize,
    },
}

impl PreSharedKey {
    /// The key of these bytes.
    pub fn new(bytes: [u8; PSK_BYTES]) -> PreSharedKey {
        PreSharedKey(Zeroizing::new(bytes))
    }

    /// Reads a key file, called `swarm.key` in an IPFS repository: three lines, which are the
    /// type, the encoding, and the key in it. Lines may end as Unix or Windows has them, with
    /// white space before; hexadecimal digits may be of either case.
    ///
    /// go-libp2p reads all three encodings, rust-libp2p `/base16/` alone. Both ignore whatever
    /// follows the key; here only white space may, since it is more likely a mistake.
    pub fn parse(file: &[u8]) -> Result<PreSharedKey, KeyFileError> {
        let (header, rest) = first_line(file);
        if header != HEADER.as_bytes() {
            return Err(KeyFileError::Header);
        }
        let (encoding, rest) = first_line(rest);
        if encoding == BIN.as_bytes() {
            let (key, behind) = rest
                .split_first_chunk::<PSK_BYTES>()
                .ok_or(KeyFileError::Length { found: rest.len(), expected: PSK_BYTES })?;
            // The key may hold line ends itself; for whoever looks at the file it is one line.
            check_end(behind, 3)?;
            return Ok(PreSharedKey::new(*key));
        }
        let (digits, behind) = first_line(rest);
        let key = if encoding == BASE16.as_bytes() {
            decode(&HEXLOWER_PERMISSIVE, digits, BASE16_DIGITS)?
        } else if encoding == BASE64_PATH.as_bytes() {
            decode(&BASE64, digits, BASE64_DIGITS)?
        } else {
            return Err(KeyFileError::Encoding);
        };
        check_end(behind, 4)?;
        Ok(key)
    }

    /// The key file, in the one encoding that everybody reads: 64 hexadecimal digits, each of
    /// three lines with a line feed. This is the secret itself.
    pub fn to_file(&self) -> Zeroizing<String> {
        // With its final size from the start, so that no copy of the key stays behind.
        let bytes = HEADER.len() + BASE16.len() + BASE16_DIGITS + 3;
        let mut file = Zeroizing::new(String::with_capacity(bytes));
        for line in [HEADER, BASE16] {
            file.push_str(line);
            file.push('\n');
        }
        HEXLOWER.encode_append(&*self.0, &mut file);
        file.push('\n');
        file
    }

    /// The fingerprint, as go-libp2p and rust-libp2p have it (the specification has none):
    /// SHAKE-128 over the first 64 bytes of a Salsa20 key stream.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut stream = Zeroizing::new([0; 64]);
        Salsa20::new(self.expose().into(), &FINGERPRINT_NONCE.into()).apply_keystream(&mut *stream);
        let mut hash = Shake128::default();
        hash.update(&*stream);
        let mut fingerprint = [0; 16];
        hash.finalize_xof().read(&mut fingerprint);
        Fingerprint(fingerprint)
    }

    pub(super) fn expose(&self) -> &[u8; PSK_BYTES] {
        &self.0
    }
}

/// The first line without white space at its end, and what follows it.
fn first_line(file: &[u8]) -> (&[u8], &[u8]) {
    let end = file.iter().position(|&byte| byte == b'\n').unwrap_or(file.len());
    let (line, rest) = file.split_at(end);
    (line.trim_ascii_end(), rest.get(1..).unwrap_or_default())
}

fn decode(
    encoding: &Encoding,
    digits: &[u8],
    expected: usize,
) -> Result<PreSharedKey, KeyFileError> {
    /// Base64 decodes in groups of three bytes, of which the last may be shorter.
    const MOST_BYTES: usize = PSK_BYTES.next_multiple_of(3);
    let length = KeyFileError::Length { found: digits.len(), expected };
    if digits.len() != expected {
        return Err(length);
    }
    let mut bytes = Zeroizing::new([0; MOST_BYTES]);
    let most = encoding.decode_len(expected).map_err(|_| length)?;
    let space = bytes.get_mut(..most).ok_or(length)?;
    let decoded =
        encoding.decode_mut(digits, space).map_err(|DecodePartial { error, .. }| {
            KeyFileError::Character { column: error.position + 1 }
        })?;
    match bytes[..decoded].try_into() {
        Ok(key) => Ok(PreSharedKey::new(key)),
        // As many digits, but more or less padding than 32 bytes have.
        Err(_) => Err(KeyFileError::Character { column: expected }),
    }
}

/// Checks that nothing but white space follows the key; `line` is the one that `rest` begins on.
fn check_end(rest: &[u8], line: usize) -> Result<(), KeyFileError> {
    match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
        None => Ok(()),
        Some(at) => {
            let before = rest.iter().take(at).filter(|&&byte| byte == b'\n').count();
            Err(KeyFileError::Trailing { line: line + before })
        }
    }
}

impl core::fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PreSharedKey({})", self.fingerprint())
    }
}

/// 32 hexadecimal digits.
impl core::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl core::fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            KeyFileError::Header => write!(f, "line 1: not {HEADER}"),
            KeyFileError::Encoding => {
                write!(f, "line 2: not {BASE16}, {BASE64_PATH} or {BIN}")
            }
            KeyFileError::Length { found, expected } => {
                write!(f, "line 3: a key of {found} characters, not {expected}")
            }
            KeyFileError::Character { column } => {
                write!(f, "line 3: character {column} does not belong to the encoding")
            }
            KeyFileError::Trailing { line } => write!(f, "line {line}: more than the key"),
        }
    }
}

impl core::error::Error for KeyFileError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGITS: &str = "6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683";

    fn file(encoding: &str, key: &[u8]) -> Vec<u8> {
        [b"/key/swarm/psk/1.0.0/\n", encoding.as_bytes(), b"\n", key].concat()
    }

    fn key() -> PreSharedKey {
        PreSharedKey::parse(&file(BASE16, DIGITS.as_bytes())).unwrap()
    }

    #[test]
    fn a_key_file_has_three_lines() {
        let expected = format!("/key/swarm/psk/1.0.0/\n/base16/\n{DIGITS}\n");
        assert_eq!(*key().to_file(), expected);
        assert_eq!(key().to_file().capacity(), expected.len());
        assert_eq!(PreSharedKey::parse(expected.as_bytes()), Ok(key()));
        let windows = expected.replace('\n', "\r\n");
        assert_eq!(PreSharedKey::parse(windows.as_bytes()), Ok(key()));
        let upper = DIGITS.to_uppercase() + "  \n \n";
        assert_eq!(PreSharedKey::parse(&file(BASE16, upper.as_bytes())), Ok(key()));
    }

    #[test]
    fn the_three_encodings_of_go_libp2p_are_read() {
        let base64 = BASE64.encode(key().expose());
        assert_eq!(PreSharedKey::parse(&file(BASE64_PATH, base64.as_bytes())), Ok(key()));
        assert_eq!(PreSharedKey::parse(&file(BIN, key().expose())), Ok(key()));
        let lines = [b'\n'; 32];
        let parsed = PreSharedKey::parse(&file(BIN, &[&lines[..], b"\n"].concat()));
        assert_eq!(parsed, Ok(PreSharedKey::new(lines)));
    }

    #[test]
    fn errors_name_the_line() {
        let error = |file: &[u8]| PreSharedKey::parse(file).unwrap_err();
        assert_eq!(error(b""), KeyFileError::Header);
        assert_eq!(error(b"/key/swarm/psk/2.0.0/\n"), KeyFileError::Header);
        assert_eq!(error(b"/key/swarm/psk/1.0.0/"), KeyFileError::Encoding);
        assert_eq!(error(&file("/base32/", b"")), KeyFileError::Encoding);
        assert_eq!(error(&file(BASE16, b"")), KeyFileError::Length { found: 0, expected: 64 });
        let digits = DIGITS.as_bytes();
        assert_eq!(
            error(&file(BASE16, &digits[1..])),
            KeyFileError::Length { found: 63, expected: 64 }
        );
        let mut odd = digits.to_vec();
        odd[9] = b'g';
        assert_eq!(error(&file(BASE16, &odd)), KeyFileError::Character { column: 10 });
        for padding in ["AA==", "AAAA"] {
            let key = "A".repeat(40) + padding;
            assert_eq!(
                error(&file(BASE64_PATH, key.as_bytes())),
                KeyFileError::Character { column: 44 }
            );
        }
        assert_eq!(error(&file(BIN, &[1; 31])), KeyFileError::Length { found: 31, expected: 32 });
        assert_eq!(error(&file(BIN, &[1; 33])), KeyFileError::Trailing { line: 3 });
        let two = [digits, b"\n\n", digits].concat();
        assert_eq!(error(&file(BASE16, &two)), KeyFileError::Trailing { line: 5 });
        assert_eq!(
            error(&file(BASE16, &odd)).to_string(),
            "line 3: character 10 does not belong to the encoding"
        );
    }

    #[test]
    fn the_fingerprint_is_that_of_go_ipfs() {
        // Checked against go-ipfs by rust-libp2p, transports/pnet/src/lib.rs.
        assert_eq!(key().fingerprint().to_string(), "45fc986bbc9388a11d939df26f730f0c");
    }

    #[test]
    fn debug_output_shows_the_fingerprint_and_no_secret() {
        assert_eq!(format!("{:?}", key()), "PreSharedKey(45fc986bbc9388a11d939df26f730f0c)");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: [u8; 32]) {
            let key = PreSharedKey::new(bytes);
            prop_assert_eq!(PreSharedKey::parse(key.to_file().as_bytes()), Ok(key));
        }

        #[test]
        fn no_file_panics(encoding in 0..3usize, behind in prop::collection::vec(any::<u8>(), 0..80)) {
            let encoding = [BASE16, BASE64_PATH, BIN][encoding];
            let _ = PreSharedKey::parse(&file(encoding, &behind));
            let _ = PreSharedKey::parse(&behind);
        }
    }
}
