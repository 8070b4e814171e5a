//! Our drivers with rust-libp2p in both roles: the same cases over every transport, on every
//! runtime. What the peer of the tests does on its own is in `rust_libp2p.rs`, over a blocking
//! driver.

#![allow(clippy::unwrap_used, reason = "the helpers here are part of the tests")]

mod protocols;
#[path = "rust_libp2p/peer.rs"]
mod rust;

use std::future::Future;
use std::time::Duration;

use protocols::{ECHO, Transport};
use rust::{RustPeer, RustPeerConfig, Task};
use sanspeer_conformance::peer::checks::{Echo, Got, identify, ping};
use sanspeer_conformance::peer::deadline::within;
use sanspeer_conformance::peer::report::EventLine;
use sanspeer_conformance::peer::{echo, node};
use sanspeer_core::identity::PeerId;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Handle, Multiaddr, SecurityProtocol};
use sanspeer_smol::{AsyncStd, Smol};
use sanspeer_tokio::Tokio;

const MIB: u64 = 1 << 20;

/// How long a case may wait. Generous: it only bounds a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// Each is a test over each transport on each runtime.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        cases! { @on_tokio, on_smol, on_async_std; [$($case)+] }
    };
    (@$($run:ident),+; $cases:tt) => {
        $(mod $run {
            use super::*;

            cases! { @@ $run; tcp_noise: TcpNoise, tcp_tls: TcpTls, quic: Quic; $cases }
        })+
    };
    (@@ $run:ident; $($module:ident: $transport:ident),+; $cases:tt) => {
        $(mod $module {
            use super::*;

            cases! { @@@ $run; $transport; $cases }
        })+
    };
    (@@@ $run:ident; $transport:ident; [$($case:ident)+]) => {
        $(#[test]
        fn $case() {
            super::super::$run(|runtime| super::super::$case(runtime, Transport::$transport));
        })+
    };
}

cases! {
    both_ping_and_identify_each_other,
    we_dial_and_256_mebibytes_go_each_way_with_a_checksum,
    they_dial_and_256_mebibytes_go_each_way_with_a_checksum,
    we_dial_and_a_thousand_streams_go_128_at_once,
    they_dial_and_a_thousand_streams_go_128_at_once,
}

fn on_tokio<F: Future<Output = ()>>(case: impl FnOnce(Tokio) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async { case(Tokio::current()).await });
}

fn on_smol<F: Future<Output = ()>>(case: impl FnOnce(Smol) -> F) {
    smol::block_on(case(Smol::global()));
}

fn on_async_std<F: Future<Output = ()>>(case: impl FnOnce(AsyncStd) -> F) {
    async_std::task::block_on(case(AsyncStd::new()));
}

fn security(transport: Transport) -> SecurityProtocol {
    match transport {
        Transport::TcpNoise | Transport::PnetNoise(_) => SecurityProtocol::Noise,
        // Over QUIC it is not asked.
        Transport::TcpTls | Transport::Quic => SecurityProtocol::Tls,
    }
}

fn any_port(transport: Transport) -> Multiaddr {
    transport.multiaddr("127.0.0.1:0".parse().unwrap())
}

/// rust-libp2p, with ping and identify.
fn spawn(transport: Transport) -> RustPeer {
    RustPeer::spawn(RustPeerConfig { transport, introduces: true, ..RustPeerConfig::default() })
}

/// Our node, which answers echoes. One that fails is a panic in the runtime's task, and a stream
/// that the remote misses.
async fn start<R: Runtime>(runtime: &R, transport: Transport) -> Handle {
    let ours = node::start(runtime, security(transport)).unwrap();
    let acceptor = ours.accept(echo::protocol()).await.unwrap();
    let ended = |line| assert!(matches!(line, EventLine::Echo { ok: true, .. }), "{line:?}");
    runtime.spawn(echo::serve(runtime.clone(), acceptor, ended));
    ours
}

/// A connection that we dialled.
async fn we_dial<R: Runtime>(runtime: &R, transport: Transport) -> (Handle, RustPeer, PeerId) {
    let (ours, rust) = (start(runtime, transport).await, spawn(transport));
    let peer = ours.dial(rust.listen_multiaddr()).await.unwrap();
    assert_eq!(peer, rust.peer_id());
    (ours, rust, peer)
}

/// A connection that rust-libp2p dialled.
async fn they_dial<R: Runtime>(runtime: &R, transport: Transport) -> (Handle, RustPeer, PeerId) {
    let (ours, rust) = (start(runtime, transport).await, spawn(transport));
    let (_, address) = ours.listen(any_port(transport)).await.unwrap();
    let address = protocols::socket_addr(&address).unwrap();
    assert_eq!(rust.dial(address, Some(ours.peer_id())).unwrap(), ours.peer_id());
    let peer = rust.peer_id();
    (ours, rust, peer)
}

/// Nothing failed on their side, and we can say goodbye.
async fn end_well<R: Runtime>(runtime: &R, ours: Handle, rust: RustPeer) {
    let counters = rust.wait_idle().unwrap();
    assert_eq!(counters.failures, 0, "{:?}", rust.last_failure());
    within(runtime, PATIENCE, ours.shutdown()).await.unwrap();
}

async fn both_ping_and_identify_each_other<R: Runtime>(runtime: R, transport: Transport) {
    for role in [true, false] {
        let (ours, rust, peer) = match role {
            true => we_dial(&runtime, transport).await,
            false => they_dial(&runtime, transport).await,
        };
        // Theirs first: who dials may be connected before the other side is.
        let (seen, _) = rust.wait_introduced(ours.peer_id()).unwrap();
        assert!(seen.agent.starts_with("sanspeer/"), "{seen:?}");
        for protocol in ["/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", echo::ECHO] {
            assert!(seen.protocols.iter().any(|seen| seen == protocol), "{seen:?}");
        }
        let pinged = within(&runtime, PATIENCE, ping::check(&runtime, &ours, peer)).await;
        assert!(matches!(pinged, Some(Ok(Got::Ping { .. }))), "{pinged:?}");
        let identified = within(&runtime, PATIENCE, identify::check(&runtime, &ours, peer)).await;
        let Some(Ok(Got::Identify { agent, protocols })) = identified else {
            panic!("{identified:?}");
        };
        assert_eq!(agent, rust::AGENT);
        for protocol in ["/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", ECHO.as_ref()] {
            assert!(protocols.iter().any(|seen| seen == protocol), "{protocols:?}");
        }
        end_well(&runtime, ours, rust).await;
    }
}

async fn we_dial_and_256_mebibytes_go_each_way_with_a_checksum<R: Runtime>(
    runtime: R,
    transport: Transport,
) {
    let (ours, rust, peer) = we_dial(&runtime, transport).await;
    let echo = Echo::one(256 * MIB).check(&runtime, &ours, peer);
    within(&runtime, PATIENCE, echo).await.unwrap().unwrap();
    assert!(rust.counters().bytes_received >= 256 * MIB);
    end_well(&runtime, ours, rust).await;
}

async fn they_dial_and_256_mebibytes_go_each_way_with_a_checksum<R: Runtime>(
    runtime: R,
    transport: Transport,
) {
    let (ours, rust, _) = they_dial(&runtime, transport).await;
    let report = rust.run(Task::Echo { count: 1, bytes: 256 * MIB }).unwrap();
    assert_eq!(report.bytes_received, 256 * MIB);
    end_well(&runtime, ours, rust).await;
}

async fn we_dial_and_a_thousand_streams_go_128_at_once<R: Runtime>(
    runtime: R,
    transport: Transport,
) {
    let (ours, rust, peer) = we_dial(&runtime, transport).await;
    let echo = Echo { bytes: 10_000, streams: 1000, concurrency: 128 };
    within(&runtime, PATIENCE, echo.check(&runtime, &ours, peer)).await.unwrap().unwrap();
    let seen = rust.wait_idle().unwrap();
    assert_eq!(seen.half_closes_seen, 1000, "{seen:?}");
    assert!(seen.max_concurrent >= 128, "{seen:?}");
    end_well(&runtime, ours, rust).await;
}

async fn they_dial_and_a_thousand_streams_go_128_at_once<R: Runtime>(
    runtime: R,
    transport: Transport,
) {
    let (ours, rust, _) = they_dial(&runtime, transport).await;
    // Of each wave all are open before the first one goes on.
    let waves = [128; 7].into_iter().chain([104]);
    let mut streams = 0;
    for count in waves {
        streams += rust.run(Task::Echo { count, bytes: 10_000 }).unwrap().streams;
    }
    assert_eq!(streams, 1000);
    end_well(&runtime, ours, rust).await;
}
