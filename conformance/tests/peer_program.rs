//! The program `sanspeer-conformance peer`, run as a script would run it.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use sanspeer_conformance::peer::args::Transport;
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
            let mut listener = Listener::start(
                &[&["--transport", transport, "--runtime", listener_on], &security[..]].concat(),
            );
            let checks = ["--do", "ping,identify,echo", "--size", "300001"];
            let streams = ["--streams", "20", "--concurrency", "8", "--runtime", dialer_on];
            let output = dial(&[&[&*listener.address], &checks[..], &streams, &security].concat());
            assert!(output.status.success(), "{output:?}");
            let found = lines(&output);
            assert_eq!(found.len(), 3, "{found:?}");
            for (line, check) in found.iter().zip(["ping", "identify", "echo"]) {
                assert_eq!((&line["check"], &line["ok"]), (&check.into(), &true.into()), "{line}");
            }
            assert!(found[0]["got"]["rtt_us"].is_u64(), "{found:?}");
            assert!(found[1]["got"]["agent"].as_str().expect("an agent").starts_with("sanspeer/"));
            assert_eq!(found[2]["got"]["bytes"], 20 * 300_001);
            assert_eq!(found[2]["got"]["at_once"], 8);
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
        (&["dial", nobody, "--do", "ping,gossip"], "gossip is not built yet"),
        (&["dial", nobody, "--do", "kad"], "kad is not built yet"),
        (&["dial", "nowhere", "--do", "ping"], "nowhere"),
        (&["listen", "--topic", "blocks"], "not built yet"),
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
