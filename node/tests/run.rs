//! Nodes that run: two of them meet, are asked for their state, and end.

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{fails, sanspeer, succeeds};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A node that runs until it is dropped.
struct Running {
    process: Child,
    /// Where it said that it listens.
    addresses: Vec<String>,
}

impl Running {
    /// Starts a node over TCP and QUIC on any ports of the loopback interface.
    fn start(data: &Path, arguments: &[&str]) -> Running {
        let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
        let mut process = sanspeer(data)
            .args(["start", "--listen", listen[0], "--listen", listen[1]])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = process.stdout.take().expect("a pipe");
        let lines = BufReader::new(output).lines();
        let addresses = lines.take(listen.len()).map(|line| line.expect("a line")).collect();
        Running { process, addresses }
    }

    /// Asks it to end, as Ctrl-C does, and returns what it logged.
    #[cfg(unix)]
    fn end(mut self) -> String {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
        let mut log = String::new();
        let stderr = self.process.stderr.as_mut().expect("a pipe");
        stderr.read_to_string(&mut log).expect("a log");
        assert!(self.process.wait().expect("an end").success(), "{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn status(data: &Path) -> Value {
    let report = succeeds(sanspeer(data).args(["status", "--json"]));
    serde_json::from_str(&report).expect("a report")
}

/// The status, once `condition` holds.
fn await_status(data: &Path, condition: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let status = status(data);
        if condition(&status) {
            return status;
        }
        assert!(began.elapsed() < PATIENCE, "{status:#}");
        std::thread::yield_now();
    }
}

#[cfg(unix)]
#[test]
fn a_second_node_finds_the_first_and_shows_it_in_its_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first_data, second_data) = (folder.path().join("first"), folder.path().join("second"));
    let first = Running::start(&first_data, &[]);
    assert_eq!(first.addresses.len(), 2);
    for (index, address) in first.addresses.iter().enumerate() {
        let second = Running::start(&second_data, &["--bootstrap", address]);
        let known = |status: &Value| status["peers"][0]["agent"].is_string();
        let report = await_status(&second_data, known);
        let peer = &report["peers"][0];
        let transport = ["/tcp/", "/udp/"][index];
        assert!(peer["address"].as_str().expect("an address").contains(transport), "{report:#}");
        assert!(address.ends_with(peer["peerId"].as_str().expect("an id")), "{report:#}");
        assert!(peer["agent"].as_str().expect("an agent").starts_with("sanspeer/"));
        let protocols = peer["protocols"].as_array().expect("a list");
        assert!(protocols.contains(&"/ipfs/ping/1.0.0".into()), "{report:#}");
        let there = await_status(&first_data, known);
        assert_eq!(there["peers"][0]["peerId"], report["peerId"]);
        let text = succeeds(sanspeer(&second_data).arg("status"));
        assert!(text.contains("Peers: 1") && text.contains("running"), "{text}");
        let log = second.end();
        assert!(log.contains("P2P: ") && log.contains("connected at"), "{log}");
        await_status(&first_data, |status| status["peers"] == Value::Array(Vec::new()));
    }
    first.end();
    let report = status(&first_data);
    assert_eq!(report["running"], false);
    assert!(report["peerId"].is_string(), "the key stays");
}

#[test]
fn a_node_answers_ping_and_perf() {
    let data = tempfile::tempdir().expect("a folder");
    let node = Running::start(data.path(), &["--set", "ServePerf=true"]);
    for address in &node.addresses {
        let out = succeeds(sanspeer(data.path()).args(["ping", address, "--count", "3"]));
        assert_eq!(out.lines().filter(|line| line.ends_with(" ms")).count(), 3, "{out}");
        let megabytes = ["--upload", "3000000", "--download", "2000000"];
        let out = succeeds(sanspeer(data.path()).args(["perf", address]).args(megabytes));
        assert!(out.contains("sent 2.9 MiB") && out.contains("received 1.9 MiB"), "{out}");
    }
}

#[test]
fn what_a_person_gets_wrong_is_one_line() {
    let data = tempfile::tempdir().expect("a folder");
    let node = Running::start(data.path(), &[]);
    let taken = node.addresses[0].split("/p2p/").next().expect("an address");
    let other = tempfile::tempdir().expect("a folder");
    let complaint =
        fails(sanspeer(other.path()).args(["start", "--set", "LogLevel=error", "--listen", taken]));
    assert!(complaint.contains(taken), "{complaint}");
    let stranger = "/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let wrong = format!("{taken}{stranger}");
    let complaint = fails(sanspeer(other.path()).args(["ping", &wrong]));
    assert!(complaint.contains(&stranger[5..]), "{complaint}");
    let complaint = fails(sanspeer(other.path()).args(["ping", "/ip4/127.0.0.1/tcp/1"]));
    assert!(complaint.contains("/ip4/127.0.0.1/tcp/1"), "{complaint}");
    let unknown = sanspeer(other.path()).args(["start", "--loud"]).output().expect("a run");
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("--loud"));
}

#[test]
fn an_admin_file_that_a_node_left_behind_is_ignored() {
    let data = tempfile::tempdir().expect("a folder");
    let file = r#"{"address":"127.0.0.1:1","token":"00"}"#;
    std::fs::write(data.path().join("admin.json"), file).expect("a file");
    assert_eq!(status(data.path())["running"], false);
    let node = Running::start(data.path(), &[]);
    assert_eq!(await_status(data.path(), |status| status["running"] == true)["running"], true);
    drop(node);
    assert_eq!(status(data.path())["running"], false, "it was killed");
}
