//! What an application holds besides: the trait that is neither async nor blocking, and the log.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use sanspeer_core::application::{AppEvent, InboundStream, Network};
use sanspeer_core::identity::Identity;
use sanspeer_core::mux::{ReadError, WriteError};
use sanspeer_core::node::{Answer, Command, CommandId, NodeConfig, StreamRef};
use sanspeer_core::rng::Seed;
use sanspeer_core::time::Timestamp;
use sanspeer_driver::config::make_node;
use sanspeer_driver::log::replay;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Config, Multiaddr, PolledHandle};

use super::world::{ECHO, echo, exchange, in_time, listen, node, pattern, protocol};

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

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub async fn eight_nodes_replay_to_the_same_digests<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let seeds: Vec<Seed> = (0..8).map(|number| Seed::from_u64(1000 + number)).collect();
        let logs: Vec<Buffer> = seeds.iter().map(|_| Buffer::default()).collect();
        let mut nodes = Vec::new();
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for (seed, log) in seeds.iter().zip(&logs) {
            let mut config = Config::new(Identity::ed25519(seed));
            config.seed = Some(seed.clone());
            config.log = Some(Box::new(log.clone()));
            let node = sanspeer_driver::start(runtime.clone(), config).expect("a node");
            echo(&runtime, &node).await;
            let transport =
                ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"][nodes.len() % 2];
            addresses.push(listen(&node, transport).await.1);
            nodes.push(node);
        }
        join_all(nodes.iter().flat_map(|node| {
            addresses.iter().filter_map(move |address| {
                let peer = sanspeer_core::address::peer_of(address)?;
                // Each pair once, from the side that is smaller.
                (node.peer_id() < peer).then_some(async move {
                    node.dial(address.clone()).await.expect("a connection");
                    let stream = node.open_stream(peer, &[protocol(ECHO)]).await.expect("a stream");
                    assert_eq!(exchange(stream, b"hello").await, b"hello");
                })
            })
        }))
        .await;
        join_all(nodes.iter().map(|node| node.shutdown())).await;
        for (seed, log) in seeds.iter().zip(&logs) {
            let log = log.0.lock().expect("no panic").clone();
            let identity = Identity::ed25519(seed);
            let make = |now| {
                make_node(NodeConfig::default(), identity, seed, Vec::new(), now).expect("a Node")
            };
            let replayed = replay(&mut &log[..], make).expect("a whole log");
            assert!(replayed.is_equal(), "{replayed:?}");
            assert!(replayed.outputs.count > 30, "{replayed:?}");
        }
    })
    .await;
}
