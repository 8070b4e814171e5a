//! The program `lines`, as its users run it: two processes and what they print.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::PATIENCE;

const HEADER: &str = "/key/swarm/psk/1.0.0/\n";

/// A key file of these contents.
fn key_file(name: &str, contents: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, contents).expect("a place for files");
    path.into_os_string().into_string().expect("a path in UTF-8")
}

fn psk_file(name: &str, digit: char) -> String {
    let digits = String::from(digit).repeat(64);
    key_file(name, &format!("{HEADER}/base16/\n{digits}\n"))
}

/// The program, which `cargo test` builds beside the tests.
fn lines(arguments: &[&str]) -> Command {
    let test = std::env::current_exe().expect("a path");
    let profile = test.ancestors().nth(2).expect("tests are in target/<profile>/deps");
    let program = profile.join("examples").join(format!("lines{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "missing; run: cargo build -p sanspeer-core --example lines");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A running program, which ends when this is dropped.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    printed: Receiver<String>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = lines(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let input = child.stdin.take();
        let printed = each_line(child.stdout.take().expect("a pipe"));
        Program { child, input, printed }
    }

    /// A listener, and what a dialer is told of it.
    fn listen(flags: &[&str]) -> (Self, String) {
        let program = Program::start(&[&["listen", "127.0.0.1:0"], flags].concat());
        let line = program.next_line();
        let address = line.strip_prefix("listening on ").expect("an address comes first");
        let address = address.to_owned();
        (program, address)
    }

    fn dial(address: &str, flags: &[&str]) -> Self {
        Program::start(&[&["dial", address], flags].concat())
    }

    fn next_line(&self) -> String {
        self.printed.recv_timeout(PATIENCE).expect("another line")
    }

    fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        writeln!(input, "{line}").expect("the program reads");
    }

    fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for the end; whether it was a success, and what was said on standard error.
    fn end(mut self) -> (bool, String) {
        // The program closes its output when it ends, so this reads to the end in time.
        while let Ok(line) = self.printed.recv_timeout(PATIENCE) {
            assert_eq!(line, "the other side has finished");
        }
        let mut errors = String::new();
        let pipe = self.child.stderr.as_mut().expect("a pipe");
        pipe.read_to_string(&mut errors).expect("UTF-8");
        (self.child.wait().expect("a status").success(), errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a program that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pipe's lines, read on a thread because reading has no deadline.
fn each_line(pipe: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// One line goes each way, then both end well.
fn talk(listener: (Program, String), dialer_flags: &[&str]) {
    let (mut listener, address) = listener;
    let mut dialer = Program::dial(&address, dialer_flags);
    let (_, id) = address.rsplit_once('/').expect("a peer id comes last");
    assert_eq!(dialer.next_line(), format!("connected to {id}"));
    assert!(listener.next_line().starts_with("connected to 12D3KooW"));
    dialer.say("from the dialer");
    assert_eq!(listener.next_line(), "< from the dialer");
    listener.say("from the listener");
    assert_eq!(dialer.next_line(), "< from the listener");
    dialer.end_input();
    assert_eq!(dialer.end(), (true, String::new()));
    assert!(listener.end().0, "a listener whose dialer has left ends too");
}

#[test]
fn two_processes_talk_over_noise() {
    talk(Program::listen(&[]), &[]);
}

#[test]
fn two_processes_talk_over_tls() {
    talk(Program::listen(&["--tls"]), &["--tls"]);
}

#[test]
fn two_processes_talk_over_quic() {
    talk(Program::listen(&["--quic"]), &["--quic"]);
}

#[test]
fn two_processes_talk_in_a_private_network() {
    let (ours, theirs) = (psk_file("talk-1.key", '7'), psk_file("talk-2.key", '7'));
    talk(Program::listen(&["--psk", &ours]), &["--psk", &theirs]);
    talk(Program::listen(&["--psk", &ours, "--tls"]), &["--tls", "--psk", &theirs]);
}

/// A dialer with other flags fails with one line; the listener says so and waits for the next.
fn is_refused(listener_flags: &[&str], dialer_flags: &[&str]) {
    let (listener, address) = Program::listen(listener_flags);
    let (success, errors) = Program::dial(&address, dialer_flags).end();
    assert!(!success);
    assert_one_line(&errors, &address);
    talk((listener, address), listener_flags);
}

fn assert_one_line(errors: &str, named: &str) {
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("lines: ") && errors.contains(named), "{errors}");
}

#[test]
fn a_dialer_with_another_security_protocol_is_refused() {
    is_refused(&["--tls"], &[]);
    is_refused(&[], &["--tls"]);
}

#[test]
fn a_dialer_with_another_pre_shared_key_is_refused() {
    let (ours, theirs) = (psk_file("refused-1.key", '7'), psk_file("refused-2.key", '8'));
    is_refused(&["--psk", &ours], &["--psk", &theirs]);
}

/// Runs the program to its end, which must be a failure with one line that names `named`.
fn fails(arguments: &[&str], named: &str) {
    let Output { status, stdout, stderr } =
        lines(arguments).stdin(Stdio::null()).output().expect("the program starts");
    assert_eq!(status.code(), Some(1), "{arguments:?}");
    assert!(stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&stdout));
    assert_one_line(&String::from_utf8(stderr).expect("UTF-8"), named);
}

#[test]
fn a_bad_pre_shared_key_file_is_named_with_what_is_wrong() {
    let digits = "0".repeat(64);
    let cases = [
        ("psk-empty.key", String::new(), "line 1"),
        ("psk-header.key", format!("/key/swarm/psk/2.0.0/\n/base16/\n{digits}\n"), "line 1"),
        ("psk-encoding.key", format!("{HEADER}/base32/\n{digits}\n"), "line 2"),
        ("psk-short.key", format!("{HEADER}/base16/\n{}\n", &digits[1..]), "line 3"),
        ("psk-digit.key", format!("{HEADER}/base16/\n{}g\n", &digits[1..]), "character 64"),
        ("psk-more.key", format!("{HEADER}/base16/\n{digits}\nmore\n"), "line 4"),
        ("psk-large.key", "x".repeat(5000), "more than 4096 bytes"),
    ];
    for (name, contents, what) in cases {
        let file = key_file(name, &contents);
        fails(&["listen", "127.0.0.1:0", "--psk", &file], name);
        fails(&["dial", "/ip4/127.0.0.1/tcp/9", "--psk", &file], what);
        fails(&["--psk", &file], name);
    }
    fails(&["listen", "127.0.0.1:0", "--psk", "/no/such/file"], "/no/such/file");
    fails(&["listen", "127.0.0.1:0", "--psk", env!("CARGO_TARGET_TMPDIR")], "pre-shared key file");
    fails(&["listen", "127.0.0.1:0", "--psk"], "--psk needs a file");
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let psk = psk_file("contradiction.key", '7');
    let listen = ["listen", "127.0.0.1:0"];
    fails(&[&listen[..], &["--quic", "--psk", &psk]].concat(), "no private networks over QUIC");
    fails(&[&listen[..], &["--psk", &psk, "--quic"]].concat(), "no private networks over QUIC");
    fails(&[&listen[..], &["--quic", "--tls"]].concat(), "--tls");
    let (tcp, quic) = ("/ip4/127.0.0.1/tcp/9", "/ip4/127.0.0.1/udp/9/quic-v1");
    fails(&["dial", tcp, "--quic"], tcp);
    fails(&["dial", quic], "--quic");
    fails(&["dial", quic, "--psk", &psk], "--quic");
    fails(&["dial", quic, "--quic", "--psk", &psk], "no private networks over QUIC");
    fails(&["--qiuc"], "--qiuc");
}
