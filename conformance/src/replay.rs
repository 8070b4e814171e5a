//! Replays the logs of [`crate::contract::scenario`] in a process that was not there.

use std::fmt::Write as _;
use std::path::Path;

use sanspeer_driver::log::{LogError, OutputDigest};

use crate::contract::scenario::{NODES, replay_one};

/// What the replay of one node's log came to, as a line of JSON, and whether the digests are equal.
fn report(folder: &Path, number: u64) -> Result<(String, bool), LogError> {
    let replay = replay_one(folder, number)?;
    let (inputs, equal) = (replay.inputs, replay.is_equal());
    let OutputDigest { count, .. } = replay.outputs;
    let digest = hex(&replay.outputs);
    let line = format!(
        r#"{{"node":{number},"inputs":{inputs},"outputs":{count},"digest":"{digest}","equal":{equal}}}"#
    );
    Ok((line, equal))
}

/// Prints the reports of all nodes. Whether all digests are equal.
pub fn run(folder: &Path) -> Result<bool, LogError> {
    let mut all_equal = true;
    for number in 0..NODES {
        let (line, equal) = report(folder, number)?;
        println!("{line}");
        all_equal &= equal;
    }
    Ok(all_equal)
}

/// A digest as it is printed.
pub fn hex(digest: &OutputDigest) -> String {
    digest.digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
