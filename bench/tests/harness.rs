//! Every implementation that is built in, as server and client of its own: the operations end, and
//! their results are those that the harness checks.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

const BENCH: &str = env!("CARGO_BIN_EXE_sanspeer-bench");

/// A server, killed when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    /// `None` if the implementation leaves the transport out.
    fn start(implementation: &str, transport: &str) -> Option<Server> {
        let mut process = Command::new(BENCH)
            .args(["serve", "--impl", implementation, "--transport", transport])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the harness starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        match line.trim_end().strip_prefix("LISTEN ") {
            Some(address) => Some(Server { process, address: address.to_owned() }),
            None => {
                assert!(line.starts_with("SKIP test=serve"), "{implementation}: {line}");
                assert!(process.wait().expect("it ends").success());
                None
            }
        }
    }

    fn run(&self, implementation: &str, test: &str, arguments: &[&str]) -> Output {
        Command::new(BENCH)
            .args([test, "--impl", implementation, "--addr", &self.address])
            .args(arguments)
            .output()
            .expect("the harness runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn implementations() -> Vec<String> {
    let output = Command::new(BENCH).arg("list").output().expect("the harness runs");
    let list = String::from_utf8(output.stdout).expect("text");
    list.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn every_implementation_passes_every_operation_or_says_what_it_leaves_out() {
    const OPERATIONS: [(&str, &[&str]); 5] = [
        ("upload", &["--bytes", "1000003"]),
        ("download", &["--bytes", "1000003"]),
        ("handshakes", &["--count", "4", "--concurrency", "2"]),
        ("rr", &["--count", "20", "--concurrency", "4"]),
        ("slow", &["--peers", "3", "--rounds", "3", "--interval", "0.01"]),
    ];
    let mut results = 0;
    for implementation in implementations() {
        for transport in ["tcp", "quic"] {
            if implementation == "raw" && transport == "quic" {
                continue;
            }
            let Some(server) = Server::start(&implementation, transport) else { continue };
            for (test, arguments) in OPERATIONS {
                let output = server.run(&implementation, test, arguments);
                let (said, failed) = (
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr),
                );
                let what = format!("{implementation} {transport} {test}: {said}{failed}");
                assert!(output.status.success(), "{what}");
                let result = format!("RESULT test={test} impl={implementation} ");
                assert!(said.starts_with(&result) || said.starts_with("SKIP test="), "{what}");
                results += usize::from(said.starts_with("RESULT"));
            }
        }
    }
    assert!(results >= 2, "raw alone uploads and downloads");
}

#[test]
fn every_implementation_gossips_with_a_rate_and_without_or_says_that_it_does_not() {
    const PACES: [&[&str]; 3] =
        [&["50"], &["0", "--in-flight", "4"], &["0", "--in-flight", "0", "--seconds", "1"]];
    let gossip = |implementation: &str, pace: &[&str]| {
        let network = "--nodes 5 --publishers 2 --messages 20 --warmup 2 --drain 2";
        Command::new(BENCH)
            .args(["gossip", "--impl", implementation])
            .args(network.split(' '))
            .arg("--rate")
            .args(pace)
            .output()
            .expect("the harness runs")
    };
    let mut gossiped = 0;
    for implementation in implementations() {
        for pace in PACES {
            let output = gossip(&implementation, pace);
            let said = String::from_utf8_lossy(&output.stdout);
            let what = format!("{implementation} {}", String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{what}");
            if said.starts_with("SKIP test=gossip") {
                continue;
            }
            assert!(said.contains(" published=20 deliveries=80 corrupt=0 "), "{what}{said}");
            assert!(said.contains(" lost=0 "), "{what}{said}");
            gossiped += 1;
        }
    }
    let built_in = ["ours", "libp2p", "minip2p"];
    assert!(
        gossiped > 0 || !implementations().iter().any(|name| built_in.contains(&name.as_str()))
    );
}
