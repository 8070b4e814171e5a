//! The RPC: what peers say to each other, in frames.
//!
//! - [`Rpc`]: a frame that came, looked over once ([`RpcLimits`]) and read item by item ([`List`]);
//! - [`Outgoing`]: what is to be said, split into frames that the remote accepts ([`SendLimits`]);
//!   [`publish_frame`]: a message on its way, its bytes shared.
//!
//! Inside: the pass that counts (`check`), the messages of the specification (`wire`), and the
//! splitting (`split`).
//!
//! Specifications: [pubsub](https://github.com/libp2p/specs/blob/master/pubsub/README.md#the-rpc),
//! [gossipsub 1.0](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.0.md#protobuf),
//! [1.1](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.1.md#protobuf),
//! [1.2](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.2.md),
//! [1.3](https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.3.md).

mod check;
mod decode;
mod encode;
mod error;
mod limits;
mod list;
mod split;
pub(super) mod wire;

pub use decode::{ReceivedControl, ReceivedIHave, ReceivedPrune, Rpc};
pub use encode::{
    Control, Extensions, IHave, Outgoing, PeerInfo, Prune, publish_frame, publish_frame_bytes,
};
pub use error::{Excess, RpcError};
pub use limits::{MIN_SPLIT_BYTES, RpcLimits, SendLimits};
pub use list::{Iter, List};

#[cfg(test)]
mod tests;
