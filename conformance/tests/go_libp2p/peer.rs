//! Runs the go-libp2p peer of conformance/interop/go and speaks its command line.

#![allow(dead_code, reason = "each test crate that includes this uses a part of it")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use data_encoding::HEXLOWER;

use crate::protocols::Transport;

/// How long the program may take to say where it listens. Generous: it only bounds a failure.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// The program, or a line that says why the test does nothing.
pub(crate) fn program() -> Option<OsString> {
    let program = std::env::var_os("GO_PEER").filter(|path| !path.is_empty());
    if program.is_none() {
        println!("skipped: GO_PEER is not set; run conformance/interop/go.sh");
    }
    program
}

/// What makes the program speak a transport.
pub(crate) fn options(transport: Transport) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    match transport {
        Transport::TcpNoise => words(&["--security", "noise"]),
        Transport::TcpTls => words(&["--security", "tls"]),
        Transport::PnetNoise(key) => words(&["--psk", &HEXLOWER.encode(&key)]),
        Transport::Quic => words(&["--transport", "quic"]),
    }
}

/// [`options`] with an identity of another kind: ed25519, secp256k1, ecdsa or rsa.
pub(crate) fn options_with_key(transport: Transport, kind: &str) -> Vec<String> {
    let mut options = options(transport);
    options.extend(["--key".to_owned(), kind.to_owned()]);
    options
}

/// A listening go-libp2p peer, which ends when this is dropped.
pub(crate) struct GoPeer {
    child: Child,
    multiaddr: String,
}

impl GoPeer {
    /// Starts `go-peer listen` on a free port of 127.0.0.1 with more `options`.
    ///
    /// # Panics
    /// When the program does not start or does not say where it listens.
    pub(crate) fn listen(program: &OsString, options: &[String]) -> GoPeer {
        let mut child = Command::new(program)
            .arg("listen")
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("GO_PEER starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let (found, lines) = mpsc::channel();
        // A thread of its own, because a read of a pipe has no deadline.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if found.send(line).is_err() {
                    return;
                }
            }
        });
        let line = lines.recv_timeout(START_DEADLINE);
        let multiaddr = match line.as_ref().map(|line| line.strip_prefix("LISTEN ")) {
            Ok(Some(multiaddr)) => multiaddr.to_owned(),
            Ok(None) | Err(_) => {
                end(&mut child);
                panic!("go-peer says {line:?} and not where it listens");
            }
        };
        GoPeer { child, multiaddr }
    }

    /// Where it listens, with its peer id.
    pub(crate) fn multiaddr(&self) -> &str {
        &self.multiaddr
    }
}

impl Drop for GoPeer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Closing its input is how the program is asked to end; a test must not leave it behind, though.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    // Both fail only for a child that has ended already.
    drop(child.kill());
    drop(child.wait());
}

/// Runs `go-peer dial` with one task against `multiaddr`; answers what its result says.
pub(crate) fn dial(
    program: &OsString,
    options: &[String],
    multiaddr: &str,
    task: &[String],
) -> Result<String, String> {
    let output = Command::new(program)
        .arg("dial")
        .args(options)
        .arg(multiaddr)
        .args(task)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    match stdout.trim_end().strip_prefix("RESULT ok ") {
        Some(detail) if output.status.success() => Ok(detail.to_owned()),
        _ => Err(format!("{}: {stdout}{}", output.status, String::from_utf8_lossy(&output.stderr))),
    }
}
