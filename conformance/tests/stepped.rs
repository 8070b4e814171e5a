//! One script, on the memory transport and in virtual time, under every runtime.

use sanspeer_conformance::stepped::Story;
use sanspeer_conformance::stepped::script::{play_on, play_on_threads};
use sanspeer_smol::{AsyncStd, Smol};
use sanspeer_tokio::Tokio;

/// Plays on a runtime of tokio's, which another thread runs.
fn on_tokio(mut builder: tokio::runtime::Builder) -> Vec<Story> {
    let runtime = builder.enable_all().build().expect("a runtime");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let on = Tokio::new(runtime.handle().clone());
    std::thread::scope(|scope| {
        // Ends when the sender is dropped, also by a panic.
        scope.spawn(|| runtime.block_on(stopped));
        let _stop = stop;
        play_on(&on)
    })
}

/// The kinds of the events.
fn names(story: &[String]) -> Vec<&str> {
    story.iter().filter_map(|text| text.split([' ', '(']).next()).collect()
}

#[test]
fn one_script_tells_the_same_story_under_every_runtime() {
    let threads = play_on_threads();
    let dave = names(&threads[3]["peer 2"]);
    let expected =
        ["PeerConnected", "ConnectionOpened", "Identified", "ConnectionClosed", "PeerDisconnected"];
    assert_eq!(dave, expected, "what Dave told of Carol");
    let multi_thread = on_tokio(tokio::runtime::Builder::new_multi_thread());
    assert_eq!(multi_thread, threads, "tokio, on many threads");
    let current_thread = on_tokio(tokio::runtime::Builder::new_current_thread());
    assert_eq!(current_thread, threads, "tokio, on one thread");
    assert_eq!(play_on(&Smol::global()), threads, "smol");
    assert_eq!(play_on(&AsyncStd::new()), threads, "async-std");
}
