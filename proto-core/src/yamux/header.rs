//! The 12-byte header of every Yamux frame (specification: "Framing").

/// Bytes of a header.
pub const HEADER_BYTES: usize = 12;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// Stream data; `length` bytes follow the header.
    Data,
    /// Grants `length` more bytes of window.
    WindowUpdate,
    /// Asks for, or is, an echo of `length`.
    Ping,
    /// Ends the session; `length` is the code.
    GoAway,
}

/// The flags of a frame. Bits that the specification does not name are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// Opens a stream, or asks for a ping.
    pub const SYN: Flags = Flags(1);
    /// Acknowledges a stream, or answers a ping.
    pub const ACK: Flags = Flags(2);
    /// The sender will send no more on this stream.
    pub const FIN: Flags = Flags(4);
    /// The stream is gone in both directions.
    pub const RST: Flags = Flags(8);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// A decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: FrameType,
    /// Its flags.
    pub flags: Flags,
    /// The stream, or 0 for the session.
    pub stream: u32,
    /// Bytes that follow, window, ping value or code, as `kind` says.
    pub length: u32,
}

/// Why 12 bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The version byte; only 0 exists.
    Version(u8),
    /// The type byte; only 0 to 3 exist.
    Type(u8),
}

impl Header {
    /// A header.
    pub fn new(kind: FrameType, flags: Flags, stream: u32, length: u32) -> Self {
        Header { kind, flags, stream, length }
    }

    /// The wire form.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let kind = match self.kind {
            FrameType::Data => 0,
            FrameType::WindowUpdate => 1,
            FrameType::Ping => 2,
            FrameType::GoAway => 3,
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[1] = kind;
        bytes[2..4].copy_from_slice(&self.flags.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Reads the wire form.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, HeaderError> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != 0 {
            return Err(HeaderError::Version(version));
        }
        let kind = match kind {
            0 => FrameType::Data,
            1 => FrameType::WindowUpdate,
            2 => FrameType::Ping,
            3 => FrameType::GoAway,
            other => return Err(HeaderError::Type(other)),
        };
        Ok(Header {
            kind,
            flags: Flags(u16::from_be_bytes([f0, f1])),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_and_type_are_checked() {
        let mut bytes = Header::new(FrameType::GoAway, Flags::NONE, 0, 2).encode();
        bytes[0] = 1;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Version(1)));
        bytes[0] = 0;
        bytes[1] = 4;
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Type(4)));
    }

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(kind in 0u8..4, rest in any::<[u8; 10]>()) {
            let mut bytes = [0; HEADER_BYTES];
            bytes[1] = kind;
            bytes[2..].copy_from_slice(&rest);
            prop_assert_eq!(Header::decode(&bytes).unwrap().encode(), bytes);
        }
    }
}
