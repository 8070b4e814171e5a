//! `sanspeer sub`: prints the messages of topics.

use std::future::{Future, pending};
use std::pin::pin;
use std::time::Duration;

use sanspeer_core::gossip::Topic;
use sanspeer_core::identity::Identity;
use tokio::sync::mpsc;

use super::{in_force, on_tokio};
use crate::admin::{Client, running};
use crate::cli::{Common, SubArgs};
use crate::config::{ConfigFile, Settings, topic};
use crate::error::Error;
use crate::occasion::Occasion;
use crate::output::{printer, reader_gone};
use crate::pubsub::{self, Heard, TopicMessage, WAITING_MESSAGES};
use crate::{identity, signals};

/// How long to wait for a peer, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(common: &Common, args: &SubArgs) -> Result<(), Error> {
    let topics: Result<Vec<Topic>, _> =
        args.topics.iter().map(|text| topic("topic", text)).collect();
    let topics = topics?;
    if let Some((client, _)) = running(&common.data) {
        args.meeting.must_be_empty(&common.data)?;
        return on_tokio(with_running(&client, args));
    }
    let file = ConfigFile::read(&common.data)?.unwrap_or_default();
    let settings = in_force(common, &file)?.1;
    on_tokio(with_own(common, &settings, args, &topics))
}

/// Hears what the running node hears.
async fn with_running(client: &Client, args: &SubArgs) -> Result<(), Error> {
    let (to, heard) = mpsc::channel(WAITING_MESSAGES);
    let said = client.subscribe(&args.topics)?;
    // A thread, because nothing waits for its end.
    std::thread::spawn(move || {
        for heard in said {
            if to.blocking_send(heard).is_err() {
                return;
            }
        }
    });
    print(args, heard, pending()).await
}

/// Hears with a node of its own. It has an identity of its own too: peers would take it and `pub` in
/// the same folder for one, and pass nothing from one to the other.
async fn with_own(
    common: &Common,
    settings: &Settings,
    args: &SubArgs,
    topics: &[Topic],
) -> Result<(), Error> {
    let identity = Identity::ed25519(&identity::random_seed()?);
    let occasion = Occasion::start(&common.data, settings, &args.meeting, identity).await?;
    let result = hear(&occasion, args, topics).await;
    occasion.end().await;
    result
}

async fn hear(occasion: &Occasion, args: &SubArgs, topics: &[Topic]) -> Result<(), Error> {
    let (to, heard) = mpsc::channel(WAITING_MESSAGES);
    for subscription in pubsub::subscribe(occasion.node(), topics).await? {
        tokio::spawn(pubsub::pass_on(subscription, to.clone()));
    }
    drop(to);
    occasion.meet();
    let patience = match args.wait {
        Some(seconds) => Some(Duration::from_secs(seconds.into())),
        None => args.meeting.listen.is_empty().then_some(PATIENCE),
    };
    let somebody = async {
        match patience {
            Some(patience) => occasion.somebody(topics, patience).await,
            None => pending().await,
        }
    };
    print(args, heard, somebody).await
}

/// Prints what is heard, until there were as many messages as are wanted, nobody reads them, or it is
/// told to end. Fails if nothing can be heard any more, or with `somebody`.
async fn print(
    args: &SubArgs,
    mut heard: mpsc::Receiver<Heard>,
    somebody: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let mut end = pin!(signals::end_of_run().map_err(Error::Runtime)?);
    let (mut gone, mut somebody) = (pin!(reader_gone()), pin!(somebody));
    let (lines, mut printed) = printer();
    let (mut left, mut met) = (args.count, false);
    let mut line = None;
    while left != Some(0) || line.is_some() {
        tokio::select! {
            () = &mut end => return Ok(()),
            () = &mut gone => return Ok(()),
            // The thread ends by itself only if it cannot go on.
            result = &mut printed => return result.unwrap_or(Ok(())).map_err(Error::Stdout),
            result = &mut somebody, if !met => {
                result?;
                met = true;
            }
            next = heard.recv(), if line.is_none() => match next.ok_or(Error::NodeEnded)? {
                Heard::Missed { topic, messages } => {
                    eprintln!("{messages} messages in {topic:?} came too fast and are lost");
                }
                Heard::Message(message) => {
                    line = Some(as_line(message, args.json)?);
                    left = left.map(|left| left - 1);
                }
            },
            place = lines.reserve(), if line.is_some() => {
                if let (Ok(place), Some(line)) = (place, line.take()) {
                    place.send(line);
                }
            }
        }
    }
    drop(lines);
    tokio::select! {
        () = end => Ok(()),
        result = printed => result.unwrap_or(Ok(())).map_err(Error::Stdout),
    }
}

/// A message as a line: JSON, or what it says as it is.
fn as_line(message: TopicMessage, json: bool) -> Result<Vec<u8>, Error> {
    let mut line = match json {
        true => serde_json::to_vec(&message).map_err(Error::Output)?,
        false => {
            let wrong = || Error::NodeAnswer("a message in no base64".to_owned());
            message.content.into_bytes().ok_or_else(wrong)?
        }
    };
    line.push(b'\n');
    Ok(line)
}
