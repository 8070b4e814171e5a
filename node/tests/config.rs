//! `sanspeer config` and `sanspeer key`.

mod common;

use std::fs;
use std::path::Path;

use common::{fails, sanspeer, succeeds};
use serde_json::{Value, json};

const TCP: &str = "/ip4/127.0.0.1/tcp/1234";
const PEER: &str = "/ip4/10.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

#[allow(clippy::unwrap_used, reason = "a helper of tests")]
fn file(data: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(data.join("p2p_config.json")).unwrap()).unwrap()
}

#[allow(clippy::unwrap_used, reason = "a helper of tests")]
fn shown(data: &Path) -> Value {
    serde_json::from_str(&succeeds(sanspeer(data).args(["config", "--show"]))).unwrap()
}

#[test]
fn an_absent_file_is_written_with_the_defaults() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("new");
    let shown = shown(&data);
    assert_eq!(shown, file(&data));
    let listen = json!(["/ip4/0.0.0.0/tcp/9000", "/ip4/0.0.0.0/udp/9000/quic-v1"]);
    assert_eq!(shown["ListenAddresses"], listen);
    assert_eq!(shown["BootstrapPeers"], json!([]));
    assert_eq!(shown["PrivateKeyFile"], "");
}

#[test]
fn a_list_that_is_given_replaces_that_list_and_leaves_the_other() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    succeeds(sanspeer(data).args(["config", "-l", TCP]));
    succeeds(sanspeer(data).args(["p2p", "config", "--bootstrap", PEER]));
    assert_eq!(file(data)["ListenAddresses"], json!([TCP]));
    assert_eq!(file(data)["BootstrapPeers"], json!([PEER]));
    let other = "/ip4/127.0.0.1/udp/5/quic-v1";
    succeeds(sanspeer(data).args(["config", "--add-listen", other]));
    assert_eq!(file(data)["ListenAddresses"], json!([TCP, other]));
    succeeds(sanspeer(data).args(["config", "--remove-listen", TCP, "--remove-bootstrap", PEER]));
    assert_eq!(file(data)["ListenAddresses"], json!([other]));
    assert_eq!(file(data)["BootstrapPeers"], json!([]));
}

#[test]
fn a_sample_of_the_three_keys_alone_loads() {
    let data = tempfile::tempdir().unwrap();
    let sample =
        json!({ "ListenAddresses": [TCP], "BootstrapPeers": [PEER], "PrivateKeyFile": "" });
    fs::write(data.path().join("p2p_config.json"), sample.to_string()).unwrap();
    let shown = shown(data.path());
    assert_eq!(shown["BootstrapPeers"], json!([PEER]));
    assert_eq!(shown["HighConnections"], 192);
    assert_eq!(file(data.path()), sample, "showing changes nothing");
}

#[test]
fn flag_goes_over_environment_and_environment_over_file() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    succeeds(sanspeer(data).args(["config", "--listen", TCP]));
    let mut command = sanspeer(data);
    command.env("SANSPEER_LISTEN_ADDRESSES", "/memory/1,/memory/2").args(["config", "--show"]);
    let shown: Value = serde_json::from_str(&succeeds(&mut command)).unwrap();
    assert_eq!(shown["ListenAddresses"], json!(["/memory/1", "/memory/2"]));
    command.args(["--set", "ListenAddresses=/memory/3"]);
    let shown: Value = serde_json::from_str(&succeeds(&mut command)).unwrap();
    assert_eq!(shown["ListenAddresses"], json!(["/memory/3"]));
    assert_eq!(file(data)["ListenAddresses"], json!([TCP]));
}

#[test]
fn bad_settings_are_named() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("p2p_config.json");
    let cases = [
        (json!({ "Listen": [] }).to_string(), "Listen"),
        (json!({ "ListenAddresses": ["/ip4/1.2"] }).to_string(), "/ip4/1.2"),
        (json!({ "BootstrapPeers": [TCP] }).to_string(), "BootstrapPeers"),
        (json!({ "ServePerf": 1 }).to_string(), "p2p_config.json"),
        ("{".to_owned(), "p2p_config.json"),
    ];
    for (text, named) in cases {
        fs::write(&path, &text).unwrap();
        let complaint = fails(sanspeer(data.path()).args(["config", "--show"]));
        assert!(complaint.contains(named), "{complaint}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left as it is");
    }
    fs::remove_file(&path).unwrap();
    let complaint = fails(sanspeer(data.path()).args(["config", "--remove-listen", TCP]));
    assert!(complaint.contains(TCP), "{complaint}");
    let complaint = fails(sanspeer(data.path()).args(["config", "--show", "--set", "Nothing=1"]));
    assert!(complaint.contains("Nothing"), "{complaint}");
}

#[test]
fn a_key_is_made_once_and_never_replaced() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let complaint = fails(sanspeer(data).args(["key", "show"]));
    assert!(complaint.contains("p2p_key"), "{complaint}");
    let peer = succeeds(sanspeer(data).args(["key", "generate"]));
    assert_eq!(succeeds(sanspeer(data).args(["key", "show"])), peer);
    let path = data.join("p2p_key");
    let key = fs::read(&path).unwrap();
    let complaint = fails(sanspeer(data).args(["key", "generate"]));
    assert!(complaint.contains("p2p_key"), "{complaint}");
    assert_eq!(fs::read(&path).unwrap(), key);
    fs::write(&path, &key[..key.len() - 1]).unwrap();
    for command in ["show", "generate"] {
        let complaint = fails(sanspeer(data).args(["key", command]));
        assert!(complaint.contains("p2p_key"), "{complaint}");
        assert_eq!(fs::read(&path).unwrap(), key[..key.len() - 1]);
    }
}

#[cfg(unix)]
#[test]
fn key_and_configuration_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = tempfile::tempdir().unwrap();
    succeeds(sanspeer(data.path()).args(["key", "generate"]));
    succeeds(sanspeer(data.path()).args(["config", "--listen", TCP]));
    for name in ["p2p_key", "p2p_config.json"] {
        let mode = fs::metadata(data.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
