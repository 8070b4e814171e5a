//! The program `sanspeer-conformance peer`, run as a script would run it.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use sanspeer_conformance::peer::args::Transport;
use sanspeer_core::gossip::{GossipConfig, Topic};
use sanspeer_driver::Delivery;
use sanspeer_smol::Config;
use serde_json::Value;

const RUNTIMES: [&str; 3] = ["tokio", "smol", "async-std"];

/// What carries a connection, and what secures it, as flags of a listener.
const TRANSPORTS: [(&str, &str); 3] = [("tcp", "noise"), ("tcp", "tls"), ("quic", "tls")];

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sanspeer-conformance"));
    command.arg("peer").args(arguments);
    command
}

/// A listener that runs until it is dropped.
struct Listener {
    process: Child,
    address: String,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    fn start(arguments: &[&str]) -> Self {
        let mut command = program(&["listen"]);
        let mut process = command.args(arguments).stdout(Stdio::piped()).spawn().expect("a run");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let first = lines.next().expect("a line").expect("a line");
        let address = first.strip_prefix("LISTEN ").expect("where it listens").to_owned();
        Listener { process, address, lines }
    }

    fn peer_id(&self) -> &str {
        self.address.rsplit('/').next().expect("an address ends with a peer id")
    }

    /// The next event of that name; others are passed over.
    fn wait_for(&mut self, event: &str) -> Value {
        loop {
            let line = self.lines.next().expect("one more line").expect("a line");
            let line: Value = serde_json::from_str(&line).expect("JSON");
            if line["event"] == event {
                return line;
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn dial(arguments: &[&str]) -> Output {
    program(&["dial"]).args(arguments).output().expect("a run")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What it complained of, in one line; it must have failed.
fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
    complaint
}

#[test]
fn two_of_them_pass_every_check_on_every_runtime() {
    for (index, listener_on) in RUNTIMES.into_iter().enumerate() {
        let dialer_on = RUNTIMES[(index + 1) % RUNTIMES.len()];
        for (transport, security) in TRANSPORTS {
            let security = ["--security", security];
            let flags = ["--transport", transport, "--runtime", listener_on, "--topic", "interop"];
            let mut listener = Listener::start(&[&flags[..], &security].concat());
            let checks = ["--do", "ping,identify,echo,gossip", "--size", "300001"];
            let streams = ["--streams", "20", "--concurrency", "8", "--runtime", dialer_on];
            let output = dial(&[&[&*listener.address], &checks[..], &streams, &security].concat());
            assert!(output.status.success(), "{output:?}");
            let found = lines(&output);
            assert_eq!(found.len(), 4, "{found:?}");
            for (line, check) in found.iter().zip(["ping", "identify", "echo", "gossip"]) {
                assert_eq!((&line["check"], &line["ok"]), (&check.into(), &true.into()), "{line}");
            }
            assert!(found[0]["got"]["rtt_us"].is_u64(), "{found:?}");
            assert!(found[1]["got"]["agent"].as_str().expect("an agent").starts_with("sanspeer/"));
            assert_eq!(found[2]["got"]["bytes"], 20 * 300_001);
            assert_eq!(found[2]["got"]["at_once"], 8);
            let (got, author) = (&found[3]["got"], listener.peer_id());
            assert_eq!((&got["topic"], &got["from"]), (&"interop".into(), &author.into()), "{got}");
            let data = got["data"].as_str().expect("a text");
            assert!(data.ends_with(&format!(" from {author}")), "{got}");
            let connected = listener.wait_for("connected");
            let echoed = listener.wait_for("echo");
            assert_eq!((&echoed["ok"], &echoed["bytes"]), (&true.into(), &300_001.into()));
            let gone = listener.wait_for("disconnected");
            assert_eq!(gone["peer"], connected["peer"]);
            assert!(gone["reason"].as_str().expect("a reason").contains("remote"), "{gone}");
        }
    }
}

#[test]
fn a_listener_tells_who_came_and_lives_on_when_somebody_is_refused() {
    let mut listener = Listener::start(&["--security", "tls"]);
    let refused = dial(&[&listener.address, "--do", "ping", "--security", "noise"]);
    assert!(complaint(&refused).contains(&listener.address));
    assert!(lines(&refused).is_empty());
    listener.wait_for("failed");
    let output = dial(&[&listener.address, "--do", "identify", "--security", "tls"]);
    assert!(output.status.success(), "{output:?}");
    let identified = listener.wait_for("identified");
    assert!(identified["agent"].as_str().expect("an agent").starts_with("sanspeer/"));
    let protocols = identified["protocols"].as_array().expect("a list");
    assert!(protocols.contains(&"/ipfs/ping/1.0.0".into()), "{identified}");
}

#[test]
fn a_listener_prints_what_others_publish_and_who_they_are() {
    for runtime in RUNTIMES {
        let mut listener = Listener::start(&["--topic", "blocks", "--runtime", runtime]);
        let address = listener.address.clone();
        smol::block_on(async {
            let mut config = Config::ephemeral().expect("a key");
            config.gossip = Some(GossipConfig::default());
            let node = sanspeer_smol::start(config).expect("a node");
            let topic = Topic::new("blocks").expect("a topic");
            let mut subscription = node.subscribe(&topic).await.expect("a topic");
            node.dial(address.parse().expect("an address")).await.expect("a connection");
            // Before it listens to us, there is nobody to publish for. It says something once a second.
            let found = || node.publish(&topic, "found \u{26cf}".into());
            while found().await.is_err() {
                let Some(Delivery::Message(theirs)) = subscription.next().await else {
                    panic!("the node is there, and the subscription is read");
                };
                let author = theirs.message.source.expect("an author").to_string();
                assert_eq!(author, listener.peer_id());
            }
            let line = smol::unblock(move || listener.wait_for("gossip")).await;
            assert_eq!(line["topic"], "blocks");
            assert_eq!(line["from"], node.peer_id().to_string());
            assert_eq!(line["data"], "found \u{26cf}");
            node.shutdown().await;
        });
    }
}

#[test]
fn a_listener_connects_to_those_that_it_is_told_and_passes_on_what_they_say() {
    let topic = ["--topic", "blocks"];
    let (mut one, mut other) = (Listener::start(&topic), Listener::start(&topic));
    let to = ["--connect", &*one.address, "--connect", &*other.address];
    let _between = Listener::start(&[&topic[..], &to].concat());
    while one.wait_for("gossip")["from"] != other.peer_id() {}
    while other.wait_for("gossip")["from"] != one.peer_id() {}
}

#[test]
fn a_check_of_gossip_fails_when_nothing_comes_of_the_other_side() {
    // It gossips, but not about this.
    let listener = Listener::start(&["--topic", "blocks"]);
    let output = dial(&[&listener.address, "--do", "gossip,ping", "--timeout", "10"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let found = lines(&output);
    assert_eq!((&found[0]["check"], &found[0]["ok"]), (&"gossip".into(), &false.into()));
    assert_eq!((&found[1]["check"], &found[1]["ok"]), (&"ping".into(), &true.into()));
}

#[test]
fn a_check_that_fails_is_a_line_and_an_exit_code_and_the_others_go_on() {
    smol::block_on(async {
        // It answers ping and no echo.
        let node = sanspeer_smol::start(Config::ephemeral().expect("a key")).expect("a node");
        let any = Transport::Tcp.any_port();
        let (_, address) = node.listen(any).await.expect("a listener");
        let address = address.to_string();
        let output = smol::unblock(move || dial(&[&address, "--do", "echo,ping"])).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let found = lines(&output);
        assert_eq!((&found[0]["check"], &found[0]["ok"]), (&"echo".into(), &false.into()));
        assert!(found[0]["error"].as_str().expect("a reason").contains("stream 0"), "{found:?}");
        assert_eq!((&found[1]["check"], &found[1]["ok"]), (&"ping".into(), &true.into()));
    });
}

#[test]
fn what_a_person_gets_wrong_is_one_line() {
    let nobody = "/ip4/127.0.0.1/tcp/1";
    for (arguments, named) in [
        (&["dial", nobody, "--do", "dance"][..], "dance"),
        (&["dial", nobody, "--do", "ping", "--loud"], "--loud"),
        (&["dial", nobody, "--do", "ping"], nobody),
        (&["dial", nobody, "--do", "kad"], "kad is not built yet"),
        (&["dial", "nowhere", "--do", "ping"], "nowhere"),
        (&["dial", nobody, "--do", "ping", "--topic", ""], "--topic"),
        (&["listen", "--topic", ""], "--topic"),
        (&["listen", "--transport", "quic", "--security", "noise"], "QUIC"),
        (&["listen", "--runtime", "node"], "node"),
        (&["sing"], "sing"),
    ] {
        let output = program(arguments).output().expect("a run");
        let complaint = complaint(&output);
        assert!(complaint.starts_with("error: ") && complaint.contains(named), "{complaint}");
        assert!(output.stdout.is_empty());
    }
}
