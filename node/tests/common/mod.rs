//! The program, run as a person would run it.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

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
