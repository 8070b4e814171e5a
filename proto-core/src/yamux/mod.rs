//! Yamux (`/yamux/1.0.0`) as a machine: many streams over one ordered, reliable byte stream.
//!
//! Specification: <https://github.com/libp2p/specs/blob/master/yamux/README.md>.
//!
//! In the order of data flow:
//! - [`header`]: the 12 bytes in front of every frame;
//! - [`machine`]: [`machine::Yamux`], one side of a session: what each frame does;
//! - `remote_ids`: which stream ids the remote has used;
//! - `stream`: the state of one stream; `recv_queue` and `pinned`: what it has received, and the
//!   memory that this holds;
//! - `window`: when the remote is allowed to send more, and how much;
//! - `send`: writing, finishing, resetting, and who writes next when there is room;
//! - `control`: frames that are owed; `keep_alive`: pings and the round-trip time;
//! - [`error`]: what a remote can do wrong.

mod control;
pub mod error;
pub mod header;
mod keep_alive;
pub mod machine;
mod pinned;
mod recv_queue;
mod remote_ids;
mod send;
mod stream;
mod window;

pub use error::YamuxError;
pub use machine::{Yamux, YamuxConfig};
pub use recv_queue::MIN_SLICE_BYTES;
pub use stream::INITIAL_WINDOW_BYTES;
