//! [`NodeLog`]: what Node was told, and what it said.

use serde::{Deserialize, Serialize};

use crate::node::{Input, Output};
use crate::time::Timestamp;

/// What Node was told since the log began, and what it said. The inputs, given to a fresh Node of
/// the same configuration, identity, seed and protocols, lead to the same outputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeLog {
    /// Each input, with the time that came with it.
    pub inputs: Vec<(Timestamp, Input)>,
    /// All outputs, in order.
    pub outputs: Vec<Output>,
}
