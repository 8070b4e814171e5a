//! How another process of ours asks a running node.

use core::time::Duration;
use std::path::Path;

use super::file::AdminFile;
use super::report::StatusReport;

/// A node on this machine answers well within it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The state of the node that runs in this data folder; `None` if none does. A file that a node
/// left behind is ignored: nobody answers there, or somebody who does not know its token.
pub(crate) fn running(data: &Path) -> Option<StatusReport> {
    let file = AdminFile::read(data)?;
    if !file.address.ip().is_loopback() {
        return None;
    }
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).proxy(None).build().into();
    agent
        .get(format!("http://{}/status", file.address))
        .header("Authorization", format!("Bearer {}", file.token))
        .call()
        .ok()?
        .body_mut()
        .read_json()
        .ok()
}
