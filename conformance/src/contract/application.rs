//! The trait that is neither async nor blocking.

use std::collections::VecDeque;

use sanspeer_core::application::{AppEvent, InboundStream, Network};
use sanspeer_core::mux::{ReadError, WriteError};
use sanspeer_core::node::{Answer, Command, CommandId, StreamRef};
use sanspeer_core::time::Timestamp;
use sanspeer_driver::PolledHandle;
use sanspeer_driver::runtime::Runtime;

use super::world::{ECHO, in_time, node, pattern, protocol};

/// An application that is written against the trait alone: the next event that `wanted` wants.
async fn next<T>(
    network: &mut PolledHandle,
    passed: &mut VecDeque<AppEvent>,
    wanted: impl Fn(&AppEvent) -> Option<T>,
) -> T {
    if let Some(place) = passed.iter().position(|event| wanted(event).is_some())
        && let Some(event) = passed.remove(place)
        && let Some(found) = wanted(&event)
    {
        return found;
    }
    loop {
        while let Some(event) = network.poll_event() {
            if let Some(found) = wanted(&event) {
                return found;
            }
            passed.push_back(event);
        }
        network.ready().await;
    }
}

fn answer_to(asked: CommandId) -> impl Fn(&AppEvent) -> Option<Answer> {
    move |event| {
        let AppEvent::Answer { id, answer } = event else { return None };
        (*id == asked).then(|| answer.clone())
    }
}

fn moved(event: &AppEvent) -> Option<StreamRef> {
    let (AppEvent::Readable(stream) | AppEvent::Writable(stream) | AppEvent::Finished(stream)) =
        event
    else {
        return None;
    };
    Some(*stream)
}

/// Answers one stream with what it says.
async fn echo_one(network: &mut PolledHandle) {
    let mut passed = VecDeque::new();
    next(network, &mut passed, |event| matches!(event, AppEvent::Inbound).then_some(())).await;
    let InboundStream { stream, protocol, .. } = network.accept().expect("the stream");
    assert_eq!(protocol.as_str(), ECHO);
    let mut unsent = Vec::new();
    loop {
        if unsent.is_empty() {
            match network.read(Timestamp::ZERO, stream, 10_000) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => unsent = bytes.to_vec(),
                Err(ReadError::Blocked) => {
                    assert_eq!(next(network, &mut passed, moved).await, stream)
                }
                Err(error) => panic!("{error}"),
            }
        } else {
            match network.write(Timestamp::ZERO, stream, &unsent) {
                Ok(n) => drop(unsent.drain(..n)),
                Err(WriteError::Blocked) => {
                    assert_eq!(next(network, &mut passed, moved).await, stream)
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    network.finish(Timestamp::ZERO, stream).expect("an open stream");
}

/// Writes, finishes, and reads to the end.
async fn ask(network: &mut PolledHandle, stream: StreamRef, sent: &[u8]) -> Vec<u8> {
    let (mut passed, mut written, mut received) = (VecDeque::new(), 0, Vec::new());
    loop {
        if written < sent.len() {
            match network.write(Timestamp::ZERO, stream, &sent[written..]) {
                Ok(n) => written += n,
                Err(WriteError::Blocked) => {}
                Err(error) => panic!("{error}"),
            }
            if written == sent.len() {
                network.finish(Timestamp::ZERO, stream).expect("an open stream");
            }
        }
        match network.read(Timestamp::ZERO, stream, usize::MAX) {
            Ok(bytes) if bytes.is_empty() => return received,
            Ok(bytes) => received.extend_from_slice(&bytes),
            Err(ReadError::Blocked) => {
                next(network, &mut passed, moved).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub async fn a_handle_is_a_network_that_never_waits<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let (mut dialer, mut listener) =
            (PolledHandle::new(node(&runtime)), PolledHandle::new(node(&runtime)));
        let (mut passed, mut theirs) = (VecDeque::new(), VecDeque::new());
        let now = Timestamp::ZERO;
        let id = listener.request(now, Command::AddProtocol(protocol(ECHO)));
        assert_eq!(next(&mut listener, &mut theirs, answer_to(id)).await, Answer::Done);
        let id = listener.request(now, Command::Listen("/memory/0".parse().expect("an address")));
        let Answer::Listening { address, .. } =
            next(&mut listener, &mut theirs, answer_to(id)).await
        else {
            panic!("it does not listen");
        };
        let connect = Command::Connect { peer: None, addresses: vec![address] };
        let id = dialer.request(now, connect);
        let Answer::Connected { peer, .. } = next(&mut dialer, &mut passed, answer_to(id)).await
        else {
            panic!("it is not connected");
        };
        assert_eq!(peer, listener.peer_id());
        // The connection is admitted in its own time.
        let stream = loop {
            match dialer.open(now, &peer, &[protocol(ECHO)]) {
                Ok(stream) => break stream,
                Err(error) => {
                    assert_eq!(error, sanspeer_core::application::StreamOpenError::NotConnected);
                    super::world::a_moment(&runtime).await;
                }
            }
        };
        let sent = pattern(1_000_000, 1);
        let (received, ()) =
            futures::join!(ask(&mut dialer, stream, &sent), echo_one(&mut listener));
        assert!(received == sent, "what came back is something else");
        let gone = dialer.read(now, stream, 1);
        assert_eq!(gone, Err(ReadError::UnknownStream));
    })
    .await;
}
