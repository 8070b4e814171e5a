//! What a remote can do wrong.

use serde::{Deserialize, Serialize};

/// A violation of Yamux by the remote. The session ends with a go-away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum YamuxError {
    /// The version byte of a header; only 0 exists.
    Version(u8),
    /// The type byte of a header; only 0 to 3 exist.
    Type(u8),
    /// A stream was opened with an id of our parity, or with 0.
    Parity {
        /// The id.
        stream: u32,
    },
    /// A stream was opened with an id that was used before.
    Reused {
        /// The id.
        stream: u32,
    },
    /// A data frame is larger than the window that was granted.
    WindowExceeded {
        /// The stream.
        stream: u32,
        /// What was granted, in bytes.
        granted: u32,
        /// What the frame says, in bytes.
        length: u32,
    },
    /// A window update takes our send window beyond 2^32 - 1 bytes.
    WindowOverflow {
        /// The stream.
        stream: u32,
        /// What we might send already, in bytes.
        window: u32,
        /// What the update adds, in bytes.
        update: u32,
    },
    /// Data after the end of the remote's direction.
    DataAfterFin {
        /// The stream.
        stream: u32,
    },
    /// Data for the session itself.
    SessionData,
    /// More resets or ping answers are owed than are kept, because the remote does not read what
    /// it asks for.
    ControlQueueFull,
    /// A ping was not answered in time.
    KeepAliveTimeout,
}

impl core::fmt::Display for YamuxError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            YamuxError::Version(version) => write!(f, "yamux version {version}, not 0"),
            YamuxError::Type(kind) => write!(f, "yamux frame type {kind}"),
            YamuxError::Parity { stream } => {
                write!(f, "yamux stream {stream} opened with our parity")
            }
            YamuxError::Reused { stream } => write!(f, "yamux stream {stream} opened twice"),
            YamuxError::WindowExceeded { stream, granted, length } => {
                write!(f, "yamux stream {stream}: frame of {length} bytes in a window of {granted}")
            }
            YamuxError::WindowOverflow { stream, window, update } => {
                write!(
                    f,
                    "yamux stream {stream}: update of {update} bytes overflows the window of {window}"
                )
            }
            YamuxError::DataAfterFin { stream } => {
                write!(f, "yamux stream {stream}: data after its end")
            }
            YamuxError::SessionData => f.write_str("yamux data frame for stream 0"),
            YamuxError::ControlQueueFull => {
                f.write_str("yamux control queue full: the remote does not read")
            }
            YamuxError::KeepAliveTimeout => f.write_str("yamux ping not answered in time"),
        }
    }
}

impl core::error::Error for YamuxError {}
