//! [`Terminal`]: lines from standard input and to standard output.

use std::io::{BufRead as _, Read as _};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use sanspeer_core::identity::PeerId;

use super::conversation::{Local, MAX_LINE_BYTES, Next};

/// Lines that were typed and not taken; with more, standard input waits.
const MAX_TYPED_LINES: usize = 16;

/// Whoever sits in front of standard input.
pub(super) struct Terminal {
    typed: Receiver<Vec<u8>>,
}

impl Terminal {
    /// Begins to read standard input. Reading it blocks, so it has a thread of its own.
    pub(super) fn new() -> Self {
        let (sender, typed) = sync_channel(MAX_TYPED_LINES);
        std::thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            loop {
                let mut line = Vec::new();
                // Two bytes more than allowed: the line feed, and one that shows that it is more.
                let mut bounded = input.by_ref().take(MAX_LINE_BYTES as u64 + 2);
                match bounded.read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                if line.ends_with(b"\n") {
                    line.pop();
                }
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Terminal { typed }
    }
}

impl Local for Terminal {
    fn connected(&mut self, peer: PeerId) {
        println!("connected to {peer}");
    }

    fn next(&mut self) -> Next {
        match self.typed.try_recv() {
            Ok(line) => Next::Line(line),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    fn received(&mut self, line: &[u8]) {
        println!("< {}", printable(line));
    }

    fn remote_finished(&mut self) {
        println!("the other side has finished");
    }
}

/// The line without control characters, which could change what a terminal shows.
pub(super) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
