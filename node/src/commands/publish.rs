//! `sanspeer pub`: publishes messages in a topic.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, StdinLock, Write as _};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sanspeer_core::identity::Identity;

use super::{in_force, runtime};
use crate::admin::running;
use crate::cli::{Common, PubArgs};
use crate::config::{ConfigFile, Settings, topic};
use crate::error::Error;
use crate::identity;
use crate::occasion::Occasion;
use crate::output::is_reader_gone;
use crate::pubsub::{PublishReport, max_message_bytes};

pub(super) fn run(common: &Common, args: &PubArgs) -> Result<(), Error> {
    let topic = topic("topic", &args.topic)?;
    let messages = Messages::new(args)?;
    if let Some((client, _)) = running(&common.data) {
        args.meeting.must_be_empty(&common.data)?;
        let publish = |data: Bytes| client.publish(&args.topic, &data, args.wait);
        return publish_all(messages, args.json, publish);
    }
    let file = ConfigFile::read(&common.data)?.unwrap_or_default();
    let settings = in_force(common, &file)?.1;
    let identity = author(&settings)?;
    let runtime = runtime()?;
    let patience = Duration::from_secs(args.wait.into());
    let occasion =
        runtime.block_on(Occasion::start(&common.data, &settings, &args.meeting, identity))?;
    runtime.block_on(async { occasion.meet() });
    let result = publish_all(messages, args.json, |data| {
        runtime.block_on(occasion.publish(&topic, data, patience))
    });
    runtime.block_on(async {
        // Those that were queued before an error too.
        occasion.finish().await;
        occasion.end().await;
    });
    result
}

/// Who the messages are by: the node of the data folder, or nobody in particular while it has no
/// key.
fn author(settings: &Settings) -> Result<Identity, Error> {
    let seed = identity::random_seed()?;
    match identity::key_in_force(settings)? {
        Some(keypair) => Identity::new(keypair, &seed).map_err(Error::Identity),
        None => Ok(Identity::ed25519(&seed)),
    }
}

/// Publishes one message after the other, and says so, until one fails.
fn publish_all(
    messages: Messages,
    json: bool,
    mut publish: impl FnMut(Bytes) -> Result<PublishReport, Error>,
) -> Result<(), Error> {
    for (number, message) in (1u64..).zip(messages) {
        let report = publish(message?)?;
        if json {
            let line = serde_json::to_string(&report).map_err(Error::Output)?;
            match writeln!(io::stdout(), "{line}") {
                // Whoever read it may go: what is published matters to others.
                Err(error) if !is_reader_gone(&error) => return Err(Error::Stdout(error)),
                Ok(()) | Err(_) => {}
            }
        } else {
            let PublishReport { bytes, queued_for, .. } = report;
            let peers = if queued_for == 1 { "peer" } else { "peers" };
            let line = format!("message {number}: {bytes} bytes, queued for {queued_for} {peers}");
            // Likewise.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
    Ok(())
}

/// What is to be published, each of at most [`max_message_bytes`].
enum Messages {
    One(Option<Bytes>),
    /// The lines of stdin, and the number of the last.
    Lines {
        stdin: StdinLock<'static>,
        number: u64,
    },
}

impl Messages {
    fn new(args: &PubArgs) -> Result<Messages, Error> {
        let one = match (&args.message, &args.file) {
            (Some(text), _) => checked("the message", text.clone().into_bytes())?,
            (None, Some(path)) => read_file(path)?,
            (None, None) => return Ok(Messages::Lines { stdin: io::stdin().lock(), number: 0 }),
        };
        Ok(Messages::One(Some(one)))
    }
}

impl Iterator for Messages {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Messages::One(one) => one.take().map(Ok),
            Messages::Lines { stdin, number } => {
                *number += 1;
                let line = read_line(stdin).map_err(Error::Stdin).transpose()?;
                Some(line.and_then(|line| checked(&format!("line {number}"), line)))
            }
        }
    }
}

/// The next line without its end; `None` if there is none. Of one that is too long not much more than
/// may be is read.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if from.take(most_read()).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

fn read_file(path: &Path) -> Result<Bytes, Error> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(Error::file("read", path))?;
    BufReader::new(file)
        .take(most_read())
        .read_to_end(&mut content)
        .map_err(Error::file("read", path))?;
    checked(&path.display().to_string(), content)
}

/// Enough to know that something is too long, with the end of its line.
fn most_read() -> u64 {
    max_message_bytes() as u64 + 2
}

fn checked(what: &str, message: Vec<u8>) -> Result<Bytes, Error> {
    let max = max_message_bytes();
    if message.len() > max {
        return Err(Error::MessageTooLong { what: what.to_owned(), max });
    }
    Ok(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_without_their_end() {
        let mut text = &b"one\n\ntwo\xff\r\nlast"[..];
        let lines: Vec<_> = core::iter::from_fn(|| read_line(&mut text).unwrap()).collect();
        assert_eq!(lines, [&b"one"[..], b"", b"two\xff\r", b"last"]);
    }

    #[test]
    fn a_line_may_be_as_long_as_a_message_and_no_longer() {
        let max = max_message_bytes();
        for (length, fits) in [(max, true), (max + 1, false), (3 * max, false)] {
            let mut text = vec![b'x'; length];
            text.push(b'\n');
            let line = read_line(&mut &text[..]).unwrap().unwrap();
            assert_eq!(checked("line 1", line).is_ok(), fits, "{length}");
        }
    }
}
