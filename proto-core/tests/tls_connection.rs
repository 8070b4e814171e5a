//! Connections that TLS secures, and the choice between it and Noise.

mod common;

use std::time::Duration;

use common::*;
use sanspeer_core::close::CloseReason;

/// Moves 100,000 bytes there and half as many back.
fn converse(pair: &mut Pair) {
    let (ours, theirs) = pair.open_echo();
    let (there, back): (Vec<u8>, Vec<u8>) =
        ((0..=255).cycle().take(100_000).collect(), (0..=250).cycle().take(50_000).collect());
    assert_eq!(pair.dialer.write(ours, &there), there.len());
    assert_eq!(pair.listener.write(theirs, &back), back.len());
    pair.run();
    assert!(pair.listener.read(theirs) == (there, false));
    assert!(pair.dialer.read(ours) == (back, false));
}

#[test]
fn streams_run_over_tls_and_the_end_is_a_goodbye() {
    let mut pair = Pair::established_over(1, Secured::Tls);
    assert_eq!(pair.dialer.connection.peer(), Some(pair.listener.identity.peer_id()));
    assert_eq!(pair.listener.connection.peer(), Some(pair.dialer.identity.peer_id()));
    converse(&mut pair);
    pair.advance(Duration::from_secs(25));
    converse(&mut pair);
    pair.dialer.connection.close(pair.now, CloseReason::Requested);
    pair.run();
    assert_eq!(pair.dialer.closed(), Some(&CloseReason::Requested));
    assert_eq!(pair.listener.closed(), Some(&CloseReason::RemoteGoodbye { code: 0 }));
}
