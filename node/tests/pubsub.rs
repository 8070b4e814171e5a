//! `sanspeer pub` and `sanspeer sub`, through the node that runs in a folder and with nodes of their
//! own, and topics in the settings and in the status.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Running, await_status, fails, sanspeer, status, succeeds};
use serde_json::{Value, json};

/// A condition that is not met by then will not be met.
const PATIENCE: Duration = Duration::from_secs(60);

/// `sanspeer sub`, whose output is read as it comes. It runs until it is dropped, or for too long.
struct Sub {
    process: Arc<Mutex<Child>>,
    out: Option<BufReader<ChildStdout>>,
    /// Dropped when it is not watched any more.
    _watched: mpsc::Sender<()>,
}

impl Sub {
    fn start(command: &mut Command) -> Sub {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("a process");
        let out = process.stdout.take().map(BufReader::new);
        let process = Arc::new(Mutex::new(process));
        let (watched, over) = mpsc::channel::<()>();
        let late = Arc::clone(&process);
        std::thread::spawn(move || {
            // Whoever still waits for a line reads the end, and fails.
            if over.recv_timeout(2 * PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = late.lock().expect("no panic").kill();
            }
        });
        Sub { process, out, _watched: watched }
    }

    fn out(&mut self) -> &mut BufReader<ChildStdout> {
        self.out.as_mut().expect("it is read")
    }

    /// The next line, without its end.
    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.out().read_until(b'\n', &mut line).expect("a line");
        assert_eq!(line.pop(), Some(b'\n'), "{line:?}");
        line
    }

    fn lines(&mut self, count: usize) -> Vec<String> {
        let line = |_| String::from_utf8(self.line()).expect("text");
        (0..count).map(line).collect()
    }

    /// What it says until it ends.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.out().read_to_end(&mut rest).expect("the end");
        rest
    }

    /// Says how it ended, once it has.
    fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.lock().expect("no panic").try_wait().expect("it") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it did not end");
            std::thread::yield_now();
        }
    }

    /// Stops reading, and says how it ended.
    fn stop_reading(mut self) -> ExitStatus {
        self.out = None;
        self.wait()
    }

    /// Asks it to end, as Ctrl-C does, and returns what it still said.
    #[cfg(unix)]
    fn end(mut self) -> Vec<u8> {
        let id = self.process.lock().expect("no panic").id().to_string();
        let killed = Command::new("kill").args(["-INT", &id]).status().expect("a signal");
        assert!(killed.success());
        let rest = self.rest();
        assert!(self.wait().success());
        rest
    }
}

impl Drop for Sub {
    fn drop(&mut self) {
        if let Ok(mut process) = self.process.lock() {
            // It may have ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Runs a command with this on stdin.
fn fed(command: &mut Command, text: &[u8]) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = pipes.spawn().expect("a process");
    let mut stdin = process.stdin.take().expect("a pipe");
    // It may end before it has read everything.
    let _ = stdin.write_all(text);
    drop(stdin);
    process.wait_with_output().expect("a run")
}

/// What it printed to stdout and to stderr; it must have succeeded.
fn publishes(command: &mut Command, text: &[u8]) -> (String, String) {
    let output = fed(command, text);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{stderr}");
    (String::from_utf8(output.stdout).expect("text"), stderr)
}

/// How many are in the mesh of a node that is in one topic.
fn mesh_of(status: &Value) -> usize {
    status["topics"][0]["meshPeers"].as_array().map_or(0, Vec::len)
}

/// Until a message of `from` would reach whoever is in the mesh of the node of `data`.
fn await_mesh(data: &Path, peers: usize) {
    await_status(data, |status| mesh_of(status) == peers);
}

#[cfg(unix)]
#[test]
fn what_is_published_at_one_end_of_a_line_arrives_once_at_the_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let middle = Running::start(&data("middle"), &["--topic", "news"]);
    let large = "x".repeat(800_000);
    fs::write(folder.path().join("large"), &large).expect("a file");
    for address in &middle.addresses {
        let mut sub =
            Sub::start(sanspeer(&data("reader")).args(["sub", "news", "--peer", address]));
        await_mesh(&data("middle"), 1);
        let publish = || {
            let mut command = sanspeer(&data("writer"));
            command.args(["pub", "news", "--peer", address]);
            command
        };
        let (out, told) = publishes(&mut publish(), b"1\n2\n\n3");
        assert_eq!(out, "");
        let said: Vec<_> = told.lines().collect();
        assert_eq!(said.len(), 4, "{told}");
        assert_eq!(said[2], "message 3: 0 bytes, queued for 1 peer");
        publishes(publish().arg("--file").arg(folder.path().join("large")), b"");
        publishes(publish().args(["--message", "last"]), b"not read");
        assert_eq!(sub.lines(6), ["1", "2", "", "3", &large, "last"]);
        assert_eq!(sub.end(), b"");
    }
    for name in ["reader", "writer"] {
        assert!(!data(name).exists(), "who has no key and no settings needs none");
    }
    middle.await_log(|line| line.contains("P2P: \"news\": 4 bytes of "));
    middle.end();
}

#[cfg(unix)]
#[test]
fn running_nodes_publish_and_hear_for_their_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = |name: &str| folder.path().join(name);
    let middle = Running::start(&data("middle"), &["--topic", "news"]);
    let bootstrap = ["--bootstrap", &middle.addresses[0]];
    let writer = Running::start(&data("writer"), &bootstrap);
    let reader = Running::start(&data("reader"), &bootstrap);
    for name in ["writer", "reader"] {
        await_status(&data(name), |status| status["running"] == true);
    }
    let mut raw = Sub::start(sanspeer(&data("reader")).args(["sub", "news"]));
    let mut objects = Sub::start(sanspeer(&data("reader")).args(["sub", "news", "more", "--json"]));
    await_mesh(&data("middle"), 1);
    await_status(&data("reader"), |status| status["topics"].as_array().map(Vec::len) == Some(2));
    let mut publish = sanspeer(&data("writer"));
    let (out, told) = publishes(publish.args(["pub", "news", "--json"]), b"one\n\xff\0\n");
    assert_eq!(told, "");
    let reports: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(reports.len(), 2, "{out}");
    assert_eq!((&reports[0]["topic"], &reports[0]["bytes"]), (&json!("news"), &json!(3)));
    assert_eq!(reports[0]["queuedFor"], 1);
    assert_eq!((raw.line(), raw.line()), (b"one".to_vec(), b"\xff\0".to_vec()));
    let mut heard = Vec::new();
    for line in objects.lines(2) {
        heard.push(serde_json::from_str::<Value>(&line).expect("an object"));
    }
    for (object, report) in heard.iter().zip(&reports) {
        assert_eq!(object["topic"], "news");
        assert_eq!(object["source"], writer.peer_id());
        assert_eq!(object["id"], report["id"]);
    }
    assert_eq!((&heard[0]["text"], &heard[0]["base64"]), (&json!("one"), &Value::Null));
    assert_eq!((&heard[1]["text"], &heard[1]["base64"]), (&Value::Null, &json!("/wA=")));
    let number = |object: &Value| -> u64 {
        object["sequenceNumber"].as_str().expect("a number").parse().expect("a number")
    };
    assert_eq!(number(&heard[1]), number(&heard[0]) + 1);
    let text = succeeds(sanspeer(&data("middle")).arg("status"));
    assert!(text.contains("\"news\"  peers: 1  in the mesh: 1"), "{text}");
    assert_eq!(raw.end(), b"", "each came once");
    // A node that ends says so to those who listen there.
    reader.end();
    assert!(!objects.wait().success());
    // Nobody is left to publish to.
    await_status(&data("middle"), |status| status["topics"][0]["peers"] == json!([]));
    drop(middle);
    let mut lonely = sanspeer(&data("writer"));
    let complaint = fails(lonely.args(["pub", "news", "--message", "m", "--wait", "0"]));
    assert!(complaint.contains("\"news\""), "{complaint}");
    writer.end();
}

/// Where `sub` says that it listens.
fn listening(command: &mut Command) -> (Sub, String) {
    let sub = Sub::start(command.stderr(Stdio::piped()));
    let stderr = sub.process.lock().expect("no panic").stderr.take().expect("a pipe");
    let address = BufReader::new(stderr).lines().next().expect("a line").expect("text");
    (sub, address)
}

#[cfg(unix)]
#[test]
fn one_that_listens_hears_one_that_dials_and_ends_when_nobody_reads_it() {
    let data = tempfile::tempdir().expect("a folder");
    succeeds(sanspeer(data.path()).args(["key", "generate"]));
    let listen = ["sub", "news", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let (mut sub, address) = listening(sanspeer(data.path()).args(listen));
    let mut publish = sanspeer(data.path());
    publishes(publish.args(["pub", "news", "--peer", &address]), b"1\n2\n");
    // As `head -n 2` does: nothing comes after it, and yet it is noticed.
    assert_eq!(sub.lines(2), ["1", "2"]);
    assert!(sub.stop_reading().success());
}

#[cfg(unix)]
#[test]
fn a_sub_through_a_running_node_ends_when_nobody_reads_it() {
    let data = tempfile::tempdir().expect("a folder");
    let node = Running::start(data.path(), &[]);
    await_status(data.path(), |status| status["running"] == true);
    let sub = Sub::start(sanspeer(data.path()).args(["sub", "news"]));
    await_status(data.path(), |status| status["topics"][0]["topic"] == "news");
    assert!(sub.stop_reading().success());
    // With the last who listens, the node leaves the topic.
    await_status(data.path(), |status| status["topics"] == json!([]));
    node.end();
}

#[cfg(unix)]
#[test]
fn a_count_ends_it_after_so_many_of_a_long_pipe() {
    let data = tempfile::tempdir().expect("a folder");
    let listen = ["sub", "news", "--count", "400", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"];
    let (mut sub, address) = listening(sanspeer(data.path()).args(listen));
    let numbers: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    let mut publish = sanspeer(data.path());
    let lines = numbers.join("\n");
    publishes(publish.args(["pub", "news", "--peer", &address]), lines.as_bytes());
    assert_eq!(sub.lines(400), numbers);
    assert_eq!(sub.rest(), b"");
    assert!(sub.wait().success());
}

#[test]
fn a_topic_that_is_none_is_named() {
    let data = tempfile::tempdir().expect("a folder");
    let long = "x".repeat(1025);
    for (topic, problem) in [("", "topic is empty"), (long.as_str(), "1025 bytes")] {
        for arguments in [
            &["pub", topic][..],
            &["sub", "news", topic],
            &["config", "--topic", topic],
            &["config", "--add-topic", topic],
            &["start", "--listen", "/ip4/127.0.0.1/tcp/0", "--topic", topic],
        ] {
            let complaint = fails(sanspeer(data.path()).args(arguments));
            assert!(complaint.contains(problem), "{arguments:?}: {complaint}");
        }
    }
}

#[test]
fn nobody_to_publish_to_or_to_hear_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    for command in ["pub", "sub"] {
        let mut lonely = sanspeer(&data);
        let complaint = fails(lonely.args([command, "news"]).stdin(Stdio::null()));
        assert!(complaint.contains("--peer") && complaint.contains("BootstrapPeers"));
    }
    let other = Running::start(&folder.path().join("other"), &["--topic", "else"]);
    for peer in ["/ip4/127.0.0.1/tcp/1", &other.addresses[0]] {
        let meet = ["--peer", peer, "--wait", "2"];
        let complaint = fails(sanspeer(&data).args(["sub", "news"]).args(meet));
        assert!(complaint.contains("nobody is in \"news\" after 2 s"), "{complaint}");
        let mut publish = sanspeer(&data);
        let complaint = fails(publish.args(["pub", "news", "--message", "m"]).args(meet));
        assert!(complaint.contains("nobody is in \"news\" after 2 s"), "{complaint}");
    }
}

#[test]
fn what_cannot_be_published_is_said_before_anybody_is_dialled() {
    let data = tempfile::tempdir().expect("a folder");
    let large = data.path().join("large");
    fs::write(&large, vec![0; 1_024_001]).expect("a file");
    let publish = || {
        let mut command = sanspeer(data.path());
        command.args(["pub", "news", "--peer", "/ip4/127.0.0.1/tcp/1"]);
        command
    };
    let complaint = fails(publish().arg("--file").arg(&large));
    assert!(complaint.contains("large is longer than 1024000 bytes"), "{complaint}");
    let complaint = fails(publish().arg("--file").arg(data.path().join("absent")));
    assert!(complaint.contains("absent"), "{complaint}");
    let output = fed(&mut publish(), &vec![b'x'; 1_024_001]);
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("line 1 is longer than 1024000 bytes"), "{complaint}");
}

#[test]
fn a_node_that_runs_has_its_own_peers() {
    let data = tempfile::tempdir().expect("a folder");
    let node = Running::start(data.path(), &[]);
    await_status(data.path(), |status| status["running"] == true);
    let peer = ["--peer", &node.addresses[0]];
    for arguments in [&["sub", "news"][..], &["pub", "news", "--message", "m"]] {
        let complaint = fails(sanspeer(data.path()).args(arguments).args(peer));
        assert!(complaint.contains("a node runs in"), "{complaint}");
    }
}

#[test]
fn topics_are_a_list_of_the_settings() {
    let data = tempfile::tempdir().expect("a folder");
    let data = data.path();
    let file = || -> Value {
        let text = fs::read_to_string(data.join("p2p_config.json")).expect("a file");
        serde_json::from_str(&text).expect("JSON")
    };
    succeeds(sanspeer(data).args(["config", "--show"]));
    assert_eq!(file()["Topics"], json!([]));
    let listen = file()["ListenAddresses"].clone();
    succeeds(sanspeer(data).args(["config", "--topic", "a", "--topic", "b,c"]));
    assert_eq!(file()["Topics"], json!(["a", "b,c"]));
    succeeds(sanspeer(data).args(["config", "--add-topic", "d", "--add-topic", "a"]));
    assert_eq!(file()["Topics"], json!(["a", "b,c", "d"]));
    succeeds(sanspeer(data).args(["config", "--remove-topic", "a"]));
    assert_eq!(file()["Topics"], json!(["b,c", "d"]));
    let complaint = fails(sanspeer(data).args(["config", "--remove-topic", "a"]));
    assert!(complaint.contains("Topics has no a"), "{complaint}");
    succeeds(sanspeer(data).args(["config", "-t", "e"]));
    assert_eq!(file()["Topics"], json!(["e"]));
    assert_eq!(file()["ListenAddresses"], listen, "the other lists stay");
    let mut command = sanspeer(data);
    command.env("SANSPEER_TOPICS", "f, g").args(["config", "--show"]);
    let shown: Value = serde_json::from_str(&succeeds(&mut command)).expect("JSON");
    assert_eq!(shown["Topics"], json!(["f", "g"]));
    command.args(["--set", "Topics="]);
    let shown: Value = serde_json::from_str(&succeeds(&mut command)).expect("JSON");
    assert_eq!(shown["Topics"], json!([]));
}

#[cfg(unix)]
#[test]
fn the_status_shows_topics_of_a_node_that_runs_and_of_one_that_does_not() {
    let data = tempfile::tempdir().expect("a folder");
    let text = |needle: &str| {
        let text = succeeds(sanspeer(data.path()).arg("status"));
        assert!(text.contains(needle), "{text}");
    };
    text("Topics:\n  none\n");
    succeeds(sanspeer(data.path()).args(["config", "--topic", "news", "--topic", "x"]));
    text("Topics:\n  \"news\"\n  \"x\"\n");
    assert_eq!(status(data.path())["topics"], json!([]));
    let node = Running::start(data.path(), &[]);
    let report = await_status(data.path(), |status| status["running"] == true);
    let alone = |topic: &str| json!({ "topic": topic, "peers": [], "meshPeers": [] });
    assert_eq!(report["topics"], json!([alone("news"), alone("x")]));
    text("\"x\"  peers: 0  in the mesh: 0");
    node.end();
    let node = Running::start(data.path(), &["--topic", "a,b"]);
    let report = await_status(data.path(), |status| status["running"] == true);
    assert_eq!(report["topics"], json!([alone("a,b")]), "a given list replaces the settings'");
    node.end();
}
