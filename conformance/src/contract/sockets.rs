//! The runtime's own sockets and timers.

use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::time::Duration;

use sanspeer_driver::runtime::{ByteStream, Runtime, TcpListener, Timer};

use super::world::in_time;

pub async fn a_timer_is_due_and_can_be_set_again<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let at = runtime.now().saturating_add(Duration::from_millis(20));
        let mut timer = runtime.sleep_until(at);
        poll_fn(|cx| timer.poll_due(cx)).await;
        assert!(runtime.now() >= at, "early");
        // One that is far away is moved close while a task waits for it.
        timer.set(runtime.now().saturating_add(Duration::from_secs(3600)));
        let mut moved = false;
        let mut close = runtime.now();
        poll_fn(|cx| {
            if !moved {
                moved = true;
                assert!(timer.poll_due(cx).is_pending());
                close = runtime.now().saturating_add(Duration::from_millis(20));
                timer.set(close);
            }
            timer.poll_due(cx)
        })
        .await;
        assert!(runtime.now() >= close, "early");
        // One of the past is due at once.
        timer.set(at);
        poll_fn(|cx| timer.poll_due(cx)).await;
    })
    .await;
}

pub async fn a_stream_moves_what_there_is_room_for<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let socket = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_nonblocking(true).expect("a socket");
        let address = socket.local_addr().expect("an address");
        let mut listener = runtime.tcp_listener(socket).expect("a listener");
        let accept = poll_fn(|cx| listener.poll_accept(cx));
        let (ours, theirs) = futures::join!(runtime.tcp_connect(address), accept);
        let (mut ours, (mut theirs, _)) = (ours.expect("a stream"), theirs.expect("a stream"));

        let error = theirs.try_read(&mut [0; 8]).expect_err("nothing was sent");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);

        // Until the operating system has no more room, in pieces of unequal length.
        let piece: Vec<u8> = (0..=255).cycle().take(60_000).collect();
        let mut sent = 0_usize;
        let blocked = loop {
            let (one, other) = piece.split_at(20_000);
            match ours.try_write_vectored(&[IoSlice::new(one), IoSlice::new(other)]) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(blocked.kind(), ErrorKind::WouldBlock);

        let mut received = 0;
        let mut buffer = vec![0; 100_000];
        while received < sent {
            poll_fn(|cx| theirs.poll_readable(cx)).await.expect("an open stream");
            match theirs.try_read(&mut buffer) {
                Ok(0) => panic!("ended after {received} of {sent}"),
                Ok(n) => received += n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert_eq!(received, sent);
        poll_fn(|cx| ours.poll_writable(cx)).await.expect("room again");

        // Our end is closed; theirs still goes.
        ours.shutdown().expect("an open stream");
        let end = loop {
            poll_fn(|cx| theirs.poll_readable(cx)).await.expect("an open stream");
            match theirs.try_read(&mut buffer) {
                Ok(n) => break n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        assert_eq!(end, 0);
        theirs.try_write_vectored(&[IoSlice::new(b"bye")]).expect("half a stream");
        let heard = loop {
            poll_fn(|cx| ours.poll_readable(cx)).await.expect("half a stream");
            match ours.try_read(&mut buffer) {
                Ok(n) => break n,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        };
        assert_eq!(&buffer[..heard], b"bye");
    })
    .await;
}

pub async fn a_host_is_looked_up<R: Runtime>(runtime: R) {
    in_time(&runtime, async {
        let found = runtime.lookup("localhost").await.expect("this machine");
        assert!(!found.is_empty());
        assert!(found.iter().all(|ip| ip.is_loopback()), "{found:?}");
    })
    .await;
}
