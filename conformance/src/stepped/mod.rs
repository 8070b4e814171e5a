//! Virtual time under a real runtime, and scripts that play in it.
//!
//! A script says what each actor does and which events it expects; only then does the clock move on,
//! all at once. So every timer is as late as the step is long, and what each actor tells of each
//! peer is the same under every runtime.
//!
//! - [`clock`]: the clock, which moves only when it is told; [`runtime`]: [`Stepped`], a runtime
//!   with that clock;
//! - [`threads`]: a [`sanspeer_core::host::Host`] on a plain thread with that clock, for whom no
//!   runtime is needed;
//! - [`scene`]: actors, what they do, and what they tell; [`script`]: the script that all of them
//!   play.
#![allow(clippy::wildcard_enum_match_arm, reason = "a script looks at some events")]

pub mod clock;
pub mod runtime;
pub mod scene;
pub mod script;
pub mod threads;

pub use clock::StepClock;
pub use runtime::Stepped;
pub use scene::{Actor, Scene, Story};
pub use threads::ThreadedHost;
