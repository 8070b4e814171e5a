//! Nodes that run: two of them meet, are asked for their state, and end.

mod common;

use common::{Running, await_status, sanspeer, status, succeeds};
use serde_json::Value;

#[cfg(unix)]
#[test]
fn a_second_node_finds_the_first_and_shows_it_in_its_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first_data, second_data) = (folder.path().join("first"), folder.path().join("second"));
    let first = Running::start(&first_data, &[]);
    assert_eq!(first.addresses.len(), 2);
    for (index, address) in first.addresses.iter().enumerate() {
        let second = Running::start(&second_data, &["--bootstrap", address]);
        // It was pinged, and said what it runs.
        let known = |status: &Value| {
            status["peers"][0]["agent"].is_string() && status["peers"][0]["rttMs"].is_number()
        };
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

/// Everything that the default spells out, as `sanspeer p2p …` and with short flags.
#[cfg(unix)]
#[test]
fn p2p_in_front_of_a_command_changes_nothing() {
    let data = tempfile::tempdir().expect("a folder");
    let mut command = sanspeer(data.path());
    command.args(["p2p", "start", "-l", "/ip4/127.0.0.1/tcp/0"]);
    let node = Running::spawn(&mut command, 1);
    await_status(data.path(), |status| status["running"] == true);
    let text = succeeds(sanspeer(data.path()).args(["p2p", "status"]));
    assert!(text.contains("running") && text.contains(&node.addresses[0]), "{text}");
    let log = node.end();
    for line in log.lines() {
        assert!(line.contains("P2P: "), "{line}");
    }
}

#[cfg(unix)]
#[test]
fn the_admin_file_is_for_its_owner_alone_and_goes_with_the_node() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = tempfile::tempdir().expect("a folder");
    let node = Running::start(data.path(), &[]);
    await_status(data.path(), |status| status["running"] == true);
    let path = data.path().join("admin.json");
    let mode = std::fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    node.end();
    assert!(!path.exists());
}

#[cfg(unix)]
#[test]
fn a_restart_keeps_the_peer_id_and_a_supplied_key_goes_over_the_file() {
    let data = tempfile::tempdir().expect("a folder");
    let first = Running::start(data.path(), &[]);
    let kept = first.peer_id();
    first.end();
    let again = Running::start(data.path(), &[]);
    assert_eq!(again.peer_id(), kept);
    again.end();
    // RFC 8032, section 7.1, test 1.
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let set = format!("PrivateKey={secret}");
    let supplied = Running::start(data.path(), &["--set", &set, "--set", "LogLevel=trace"]);
    let other = supplied.peer_id();
    assert_ne!(other, kept);
    await_status(data.path(), |status| status["running"] == true);
    let shown = succeeds(sanspeer(data.path()).args(["status", "--json"]));
    assert!(shown.contains(&other) && !shown.contains(secret), "{shown}");
    let log = supplied.end();
    assert!(!log.contains(secret), "{log}");
    let shown = succeeds(sanspeer(data.path()).args(["config", "--show", "--set", &set]));
    assert!(shown.contains("(hidden)") && !shown.contains(secret), "{shown}");
    let shown = succeeds(sanspeer(data.path()).args(["key", "show", "--set", &set]));
    assert_eq!(shown.trim(), other);
}

#[test]
fn a_bootstrap_peer_that_comes_late_is_joined_in_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let (late_data, early_data) = (folder.path().join("late"), folder.path().join("early"));
    let peer = succeeds(sanspeer(&late_data).args(["key", "generate"]));
    // A port that was free a moment ago.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    drop(socket);
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let bootstrap = format!("{address}/p2p/{}", peer.trim());
    let _early = Running::start(&early_data, &["-b", &bootstrap]);
    await_status(&early_data, |status| status["running"] == true);
    let mut command = sanspeer(&late_data);
    let _late = Running::spawn(command.args(["start", "--listen", &address]), 1);
    let found = await_status(&early_data, |status| status["peers"][0]["peerId"].is_string());
    assert_eq!(found["peers"][0]["peerId"], peer.trim());
}

/// What the remote of a refused connection hears.
const REFUSED: &str = "it has as many connections as it may";

#[test]
fn one_peer_more_than_there_is_room_for_hears_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let full = Running::start(&data("full"), &["--set", "HighConnections=1"]);
    let first = Running::start(&data("first"), &["--bootstrap", &full.addresses[0]]);
    await_status(&data("full"), |status| status["peers"].as_array().is_some_and(|p| p.len() == 1));
    let second = Running::start(&data("second"), &["--bootstrap", &full.addresses[1]]);
    let refused = second.peer_id();
    full.await_log(|line| {
        line.contains("P2P: ") && line.contains(&refused) && line.contains("1 connections are open")
    });
    second.await_log(|line| line.contains("P2P: ") && line.contains(REFUSED));
    let peers = status(&data("full"))["peers"].clone();
    assert_eq!(peers[0]["peerId"], first.peer_id());
    assert_eq!(peers.as_array().map(Vec::len), Some(1));
}
