//! QUIC: ours beside a bare `quinn_proto` pair, both over the same [`link`].

pub mod bare;
pub mod link;
pub mod ours;
