//! Yamux sessions as a whole: what goes over the wire, and what the streams make of it.
//!
//! Specification: <https://github.com/libp2p/specs/blob/master/yamux/README.md>.

mod advisories;
mod audit;
mod fairness;
mod frames;
mod keep_alive;
mod model;
mod sessions;
mod side;
mod streams;
mod vectors;
mod windows;
