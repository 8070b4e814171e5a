//! The program, run as a person would run it.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A condition that is not met by then will not be met.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with `--data DIR`, and nothing of ours in its environment.
pub fn sanspeer(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sanspeer"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SANSPEER_") {
            command.env_remove(name);
        }
    }
    command.arg("--data").arg(data);
    command
}

/// What it printed; it must have succeeded.
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What it complained of, in one line; it must have failed.
pub fn fails(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let complaint = stderr(&output);
    assert_eq!(complaint.trim_end().lines().count(), 1, "{complaint}");
    complaint
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A node that runs until it is dropped.
pub struct Running {
    process: Child,
    log: Arc<Mutex<String>>,
    logging: Option<JoinHandle<()>>,
    /// Where it said that it listens.
    pub addresses: Vec<String>,
}

impl Running {
    /// Starts a node over TCP and QUIC on any ports of the loopback interface.
    pub fn start(data: &Path, arguments: &[&str]) -> Running {
        let listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
        let mut command = sanspeer(data);
        command.args(["start", "--listen", listen[0], "--listen", listen[1]]).args(arguments);
        Running::spawn(&mut command, listen.len())
    }

    /// Starts a node that listens on so many addresses.
    pub fn spawn(command: &mut Command, listeners: usize) -> Running {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let (lines, to) = (BufReader::new(process.stderr.take().unwrap()).lines(), log.clone());
        let logging = std::thread::spawn(move || {
            for line in lines {
                let mut log = to.lock().unwrap();
                log.push_str(&line.unwrap());
                log.push('\n');
            }
        });
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let addresses = lines.take(listeners).map(Result::unwrap).collect();
        Running { process, log, logging: Some(logging), addresses }
    }

    /// Its peer id, which ends its addresses.
    pub fn peer_id(&self) -> String {
        self.addresses[0].rsplit('/').next().unwrap().to_owned()
    }

    /// Waits for a line of its log.
    pub fn await_log(&self, wanted: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !self.log.lock().unwrap().lines().any(&wanted) {
            assert!(began.elapsed() < PATIENCE, "{}", self.log.lock().unwrap());
            std::thread::yield_now();
        }
    }

    /// Asks it to end, as Ctrl-C does, and returns what it logged.
    #[cfg(unix)]
    pub fn end(mut self) -> String {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let status = self.process.wait().unwrap();
        self.logging.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        assert!(status.success(), "{log}");
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

/// What `status --json` says.
pub fn status(data: &Path) -> Value {
    serde_json::from_str(&succeeds(sanspeer(data).args(["status", "--json"]))).unwrap()
}

/// The status, once `condition` holds.
pub fn await_status(data: &Path, condition: impl Fn(&Value) -> bool) -> Value {
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
