//! Replays the logs of [`crate::contract::scenario`] in a process that was not there.

use std::fmt::Write as _;
use std::path::Path;

use sanspeer_driver::log::{LogError, OutputDigest};

use crate::contract::scenario::{NODES, replay_one};

/// What the replay of one node's log came to, as a line of JSON.
pub fn report(folder: &Path, number: u64) -> Result<String, LogError> {
    let replay = replay_one(folder, number)?;
    let (inputs, equal) = (replay.inputs, replay.is_equal());
    let OutputDigest { count, .. } = replay.outputs;
    let digest = hex(&replay.outputs);
    Ok(format!(
        r#"{{"node":{number},"inputs":{inputs},"outputs":{count},"digest":"{digest}","equal":{equal}}}"#
    ))
}

/// Prints the reports of all nodes.
pub fn run(folder: &Path) -> Result<(), LogError> {
    for number in 0..NODES {
        println!("{}", report(folder, number)?);
    }
    Ok(())
}

/// A digest as it is printed.
pub fn hex(digest: &OutputDigest) -> String {
    digest.digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
