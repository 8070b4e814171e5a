//! The script that all runtimes play: four peers who meet, talk, are turned away, fall silent and
//! part.

use std::sync::Arc;
use std::time::Duration;

use sanspeer_core::close::CloseReason;
use sanspeer_core::identity::{Identity, PeerId};
use sanspeer_core::node::{
    Answer, Command, CommandError, DialError, DialFailure, NodeConfig, NodeEvent,
};
use sanspeer_core::protocol::ProtocolId;
use sanspeer_core::rng::Seed;
use sanspeer_driver::runtime::Runtime;
use sanspeer_driver::{Config, Multiaddr, PolledHandle};

use super::clock::StepClock;
use super::runtime::Stepped;
use super::scene::{Actor, Scene, Story};
use super::threads::ThreadedHost;

/// What the peers of the script speak.
const TALK: &str = "/script/talk/1.0.0";

/// Where the first one listens; the others follow.
const FIRST_NUMBER: u64 = 880_000;

const IDLE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const DAVE: usize = 3;

/// Plays the script on a runtime, and gives what each peer told. The runtime's threads are others
/// than this one.
pub fn play_on<R: Runtime>(runtime: &R) -> Vec<Story> {
    play(|node, seed, clock| {
        let mut config = Config::new(Identity::ed25519(seed));
        config.seed = Some(seed.clone());
        config.node = node;
        let stepped = Stepped::new(runtime.clone(), clock);
        Box::new(PolledHandle::new(sanspeer_driver::start(stepped, config).expect("a node")))
    })
}

/// Plays the script with hosts on plain threads.
pub fn play_on_threads() -> Vec<Story> {
    play(|node, seed, clock| Box::new(ThreadedHost::start(node, seed, clock)))
}

/// Plays the script with peers that `start` starts. Only one play may go on in a process: the
/// addresses are always the same.
pub fn play(start: impl Fn(NodeConfig, &Seed, Arc<StepClock>) -> Box<dyn Actor>) -> Vec<Story> {
    let clock = StepClock::new();
    let actors = (ALICE..=DAVE).map(|who| {
        let seed = Seed::from_u64(FIRST_NUMBER).derive("actor", who as u64);
        start(config(who), &seed, Arc::clone(&clock))
    });
    let mut scene = Scene::new(Arc::clone(&clock), actors.collect());
    open_up(&mut scene);
    meet_and_talk(&mut scene);
    turn_away(&mut scene);
    fall_silent(&mut scene);
    find_nobody(&mut scene);
    be_late(&mut scene);
    part(&mut scene);
    scene.stories()
}

/// Bob has room for two; only Dave closes what nobody uses.
fn config(who: usize) -> NodeConfig {
    let mut config = NodeConfig { idle_timeout: None, ..NodeConfig::default() };
    if who == BOB {
        config.limits.max_connections = 2;
    }
    if who == DAVE {
        config.idle_timeout = Some(IDLE);
    }
    config
}

fn talk() -> ProtocolId {
    ProtocolId::new(TALK).expect("a valid protocol id")
}

fn address(who: usize) -> Multiaddr {
    format!("/memory/{}", FIRST_NUMBER + who as u64).parse().expect("an address")
}

fn dial(scene: &mut Scene, who: usize, to: usize) -> Answer {
    let command = Command::Connect { peer: Some(scene.peer(to)), addresses: vec![address(to)] };
    scene.ask(who, command)
}

fn identified(of: PeerId) -> impl Fn(&NodeEvent) -> Option<()> {
    move |event| matches!(event, NodeEvent::Identified { peer, .. } if *peer == of).then_some(())
}

fn gone(of: PeerId) -> impl Fn(&NodeEvent) -> Option<CloseReason> {
    move |event| match event {
        NodeEvent::PeerDisconnected { peer, reason } if *peer == of => Some(reason.clone()),
        _ => None,
    }
}

/// Two connect, and know each other.
fn meet(scene: &mut Scene, who: usize, to: usize) {
    let answer = dial(scene, who, to);
    assert!(matches!(answer, Answer::Connected { .. }), "{answer:?}");
    let (one, other) = (scene.peer(who), scene.peer(to));
    scene.expect_node(who, identified(other));
    scene.expect_node(to, identified(one));
}

/// One says something, and hears it back. Whatever was on its way before has arrived then.
fn exchange(scene: &mut Scene, who: usize, to: usize, text: &[u8]) {
    for _ in 0..2 {
        let stream = scene.open(who, to, &[talk()]);
        scene.say(who, stream, text);
        let taken = scene.accept(to);
        let heard = scene.hear(to, taken);
        scene.say(to, taken, &heard);
        assert_eq!(scene.hear(who, stream), text);
    }
}

fn open_up(scene: &mut Scene) {
    for who in ALICE..=DAVE {
        assert_eq!(scene.ask(who, Command::AddProtocol(talk())), Answer::Done);
        let answer = scene.ask(who, Command::Listen(address(who)));
        assert!(matches!(answer, Answer::Listening { .. }), "{answer:?}");
    }
    scene.advance(SECOND);
}

fn meet_and_talk(scene: &mut Scene) {
    meet(scene, ALICE, BOB);
    scene.advance(SECOND);
    exchange(scene, ALICE, BOB, b"hello");
    scene.advance(SECOND);
    exchange(scene, BOB, ALICE, &[7; 60_000]);
    meet(scene, CAROL, BOB);
    meet(scene, DAVE, CAROL);
    scene.advance(SECOND);
}

fn turn_away(scene: &mut Scene) {
    dial(scene, DAVE, BOB);
    let (bob, dave) = (scene.peer(BOB), scene.peer(DAVE));
    scene.expect_node(BOB, |event| {
        matches!(event, NodeEvent::Refused { peer, .. } if *peer == Some(dave)).then_some(())
    });
    scene.expect_node(DAVE, gone(bob));
    exchange(scene, ALICE, BOB, b"we are still here");
    exchange(scene, CAROL, BOB, b"we are still here");
    scene.advance(SECOND);
}

fn fall_silent(scene: &mut Scene) {
    let (carol, dave) = (scene.peer(CAROL), scene.peer(DAVE));
    scene.advance(IDLE);
    assert_eq!(scene.expect_node(DAVE, gone(carol)), CloseReason::Idle);
    scene.expect_node(CAROL, gone(dave));
    exchange(scene, ALICE, BOB, b"nobody closes ours");
}

fn find_nobody(scene: &mut Scene) {
    let nobody: Multiaddr = format!("/memory/{}", FIRST_NUMBER - 1).parse().expect("an address");
    let peer = Identity::ed25519(&Seed::from_u64(FIRST_NUMBER)).peer_id();
    let dial = |scene: &mut Scene| {
        let addresses = vec![nobody.clone()];
        match scene.ask(DAVE, Command::Connect { peer: Some(peer), addresses }) {
            Answer::Failed(CommandError::Dial(mut failures)) => failures.pop().expect("one").1,
            answer => panic!("{answer:?}"),
        }
    };
    assert_eq!(dial(scene), DialError::Failed(DialFailure::Refused));
    assert_eq!(dial(scene), DialError::BackedOff);
    scene.ask(CAROL, Command::Disconnect(scene.peer(BOB)));
    scene.expect_node(BOB, gone(scene.peer(CAROL)));
    exchange(scene, ALICE, BOB, b"only we are left");
    scene.advance(HOUR);
    assert_eq!(dial(scene), DialError::Failed(DialFailure::Refused));
}

/// Every timer of an hour is due at once.
fn be_late(scene: &mut Scene) {
    exchange(scene, BOB, ALICE, b"an hour later");
    meet(scene, DAVE, ALICE);
    scene.advance(SECOND);
}

fn part(scene: &mut Scene) {
    let (alice, bob, dave) = (scene.peer(ALICE), scene.peer(BOB), scene.peer(DAVE));
    scene.ask(ALICE, Command::Shutdown);
    scene.expect_node(ALICE, gone(bob));
    scene.expect_node(ALICE, gone(dave));
    scene.expect_node(BOB, gone(alice));
    scene.expect_node(DAVE, gone(alice));
    for who in BOB..=DAVE {
        scene.ask(who, Command::Shutdown);
    }
}
