//! Eight nodes under each runtime, whose logs another process replays into fresh Nodes.

mod runtimes;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use runtimes::{on_async_std, on_one_thread_of_smol, on_one_thread_of_tokio, on_smol, on_tokio};
use sanspeer_conformance::contract::scenario::{NODES, eight_nodes, log_path};
use sanspeer_conformance::replay::hex;
use sanspeer_driver::log::{LogRecord, OutputDigest, read_record};
use serde_json::Value;

/// What a node itself made of its outputs, which it wrote when it ended.
fn recorded(folder: &Path, number: u64) -> OutputDigest {
    let mut log = BufReader::new(File::open(log_path(folder, number)).expect("a log"));
    let mut digest = None;
    while let Some(record) = read_record(&mut log).expect("a record") {
        if let LogRecord::Outputs(outputs) = record {
            digest = Some(outputs);
        }
    }
    digest.expect("a whole log")
}

/// Runs the nodes, and lets another process replay their logs.
fn live_and_replay(live: impl FnOnce(PathBuf)) {
    let folder = tempfile::tempdir().expect("a folder");
    live(folder.path().to_owned());
    let output = Command::new(env!("CARGO_BIN_EXE_sanspeer-conformance"))
        .arg("replay")
        .arg(folder.path())
        .output()
        .expect("the program starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let reports = String::from_utf8(output.stdout).expect("text");
    let reports: Vec<Value> =
        reports.lines().map(|line| serde_json::from_str(line).expect("a report")).collect();
    assert_eq!(reports.len() as u64, NODES);
    for (number, report) in (0..).zip(&reports) {
        let recorded = recorded(folder.path(), number);
        assert_eq!(report["digest"], hex(&recorded), "{report}");
        assert_eq!(report["outputs"], recorded.count, "{report}");
        assert_eq!(report["equal"], true, "{report}");
        assert!(recorded.count > 30, "{report}");
    }
}

#[test]
fn the_logs_of_eight_nodes_on_tokio_replay_to_equal_digests() {
    live_and_replay(|folder| on_tokio(|on| eight_nodes(on, folder)));
}

#[test]
fn the_logs_of_eight_nodes_on_one_thread_of_tokio_replay_to_equal_digests() {
    live_and_replay(|folder| on_one_thread_of_tokio(|on| eight_nodes(on, folder)));
}

#[test]
fn the_logs_of_eight_nodes_on_smol_replay_to_equal_digests() {
    live_and_replay(|folder| on_smol(|on| eight_nodes(on, folder)));
}

#[test]
fn the_logs_of_eight_nodes_on_one_thread_of_smol_replay_to_equal_digests() {
    live_and_replay(|folder| on_one_thread_of_smol(|on| eight_nodes(on, folder)));
}

#[test]
fn the_logs_of_eight_nodes_on_async_std_replay_to_equal_digests() {
    live_and_replay(|folder| on_async_std(|on| eight_nodes(on, folder)));
}
