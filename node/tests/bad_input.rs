//! What a person gets wrong is one line and an exit code; what a remote does wrong is a message, and
//! the node lives on.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use common::{Running, await_status, fails, sanspeer, status, succeeds};

const STRANGER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

/// An address without the peer's id.
fn without_peer(address: &str) -> &str {
    address.split("/p2p/").next().expect("an address")
}

/// Where an address's socket is, for the operating system.
fn socket(address: &str) -> String {
    let mut parts = address.split('/').skip(2);
    let ip = parts.next().expect("an ip");
    let port = parts.nth(1).expect("a port");
    format!("{ip}:{port}")
}

#[test]
fn a_node_with_a_bad_configuration_does_not_start() {
    let data = tempfile::tempdir().expect("a folder");
    let path = data.path().join("p2p_config.json");
    let cases = [
        (r#"{"ListenAddresses":["/ip4/1.2.3/tcp/1"]}"#, ["ListenAddresses", "/ip4/1.2.3/tcp/1"]),
        (r#"{"BootstrapPeers":["/ip4/1.2.3.4/tcp/x"]}"#, ["BootstrapPeers", "/ip4/1.2.3.4/tcp/x"]),
        (r#"{"ListenAdresses":[]}"#, ["p2p_config.json", "ListenAdresses"]),
        (r#"{"HighConnections":"many"}"#, ["p2p_config.json", "many"]),
        (r#"{"ListenAddresses":["#, ["p2p_config.json", "EOF"]),
    ];
    for (text, named) in cases {
        fs::write(&path, text).expect("a file");
        for command in ["start", "status"] {
            let complaint = fails(sanspeer(data.path()).arg(command));
            for name in named {
                assert!(complaint.contains(name), "{command}: {complaint}");
            }
        }
        assert_eq!(fs::read_to_string(&path).expect("a file"), text, "it is left as it is");
    }
}

#[test]
fn a_node_with_a_truncated_key_file_does_not_start_and_leaves_it() {
    let data = tempfile::tempdir().expect("a folder");
    succeeds(sanspeer(data.path()).args(["key", "generate"]));
    let path = data.path().join("p2p_key");
    let whole = fs::read(&path).expect("a key");
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).expect("a file");
        for command in ["start", "status"] {
            let complaint = fails(sanspeer(data.path()).arg(command));
            assert!(complaint.contains("p2p_key"), "{complaint}");
        }
        assert_eq!(fs::read(&path).expect("a file"), whole[..length]);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Running::start(&folder.path().join("first"), &[]);
    for address in &node.addresses {
        let taken = without_peer(address);
        let other = folder.path().join("other");
        let start = ["start", "--set", "LogLevel=error", "--listen", taken];
        let complaint = fails(sanspeer(&other).args(start));
        assert!(complaint.contains(taken) && complaint.contains("in use"), "{complaint}");
        assert!(!other.join("admin.json").exists());
    }
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    let admin = socket.local_addr().expect("an address").to_string();
    let set = format!("AdminAddress={admin}");
    let start = ["start", "--listen", "/ip4/127.0.0.1/tcp/0", "--set", "LogLevel=error"];
    let mut command = sanspeer(&folder.path().join("third"));
    let complaint = fails(command.args(start).args(["--set", &set]));
    assert!(complaint.contains(&admin), "{complaint}");
}

#[test]
fn an_unknown_flag_or_command_is_named() {
    let data = tempfile::tempdir().expect("a folder");
    for (arguments, named) in [
        (&["start", "--loud"][..], "--loud"),
        (&["p2p", "start", "--loud"], "--loud"),
        (&["stat"], "stat"),
        (&["ping"], "ADDRESS"),
        (&["ping", "nowhere"], "nowhere"),
        (&["config", "--listen", "/ip4/1"], "/ip4/1"),
    ] {
        let output = sanspeer(data.path()).args(arguments).output().expect("a run");
        assert!(!output.status.success(), "{arguments:?}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains(named), "{complaint}");
        assert!(!data.path().join("p2p_config.json").exists(), "nothing was begun");
    }
}

#[cfg(unix)]
#[test]
fn garbage_on_its_sockets_is_logged_and_the_node_lives_on() {
    let data = tempfile::tempdir().expect("a folder");
    let node = Running::start(data.path(), &[]);
    for garbage in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], &[0xff; 5000], &[0; 100]] {
        let mut stream = TcpStream::connect(socket(&node.addresses[0])).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        // It may be closed before all of it is written.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for length in [1, 20, 1200] {
        sender.send_to(&vec![0xc3; length], socket(&node.addresses[1])).expect("room");
    }
    for address in &node.addresses {
        succeeds(sanspeer(data.path()).args(["ping", address, "--count", "1"]));
    }
    assert_eq!(status(data.path())["running"], true);
    let log = node.end();
    let failed = log.lines().filter(|line| line.contains("P2P: handshake of")).count();
    assert_eq!(failed, 3, "{log}");
}

#[test]
fn a_wrong_peer_id_is_named_and_the_node_lives_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let node = Running::start(&data("first"), &[]);
    let real = node.peer_id();
    for address in &node.addresses {
        let wrong = format!("{}/p2p/{STRANGER}", without_peer(address));
        let complaint = fails(sanspeer(&data("other")).args(["ping", &wrong, "--count", "1"]));
        assert!(complaint.contains(STRANGER) && complaint.contains(&real), "{complaint}");
    }
    let wrong = format!("{}/p2p/{STRANGER}", without_peer(&node.addresses[0]));
    let arguments = ["--bootstrap", &wrong, "--bootstrap", &node.addresses[1]];
    let second = Running::start(&data("second"), &arguments);
    let found = await_status(&data("second"), |status| status["peers"][0]["peerId"].is_string());
    assert_eq!(found["peers"][0]["peerId"], real.as_str());
    second.await_log(|line| {
        line.contains("P2P: ") && line.contains(STRANGER) && line.contains(&real)
    });
    succeeds(sanspeer(&data("other")).args(["ping", &node.addresses[0], "--count", "1"]));
}

#[test]
fn nobody_at_an_address_is_said() {
    let data = tempfile::tempdir().expect("a folder");
    for command in ["ping", "perf"] {
        let complaint = fails(sanspeer(data.path()).args([command, "/ip4/127.0.0.1/tcp/1"]));
        assert!(complaint.contains("/ip4/127.0.0.1/tcp/1"), "{complaint}");
    }
}
