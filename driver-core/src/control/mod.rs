//! The task that owns Node.
//!
//! - [`inbox`]: what connections, handles and the rest of the driver leave for it;
//! - [`task`]: its turn: inputs in, outputs out;
//! - [`outputs`]: what is done for each output;
//! - [`wildcards`]: listeners on every interface.

pub(crate) mod inbox;
pub(crate) mod outputs;
pub(crate) mod task;
mod wildcards;
