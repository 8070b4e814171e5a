//! Pings, in virtual time.

use std::time::Duration;

use sanspeer_core::mux::Role;
use sanspeer_core::time::{Deadline, DeadlineReason, Timestamp};
use sanspeer_core::yamux::header::{Flags, FrameType};
use sanspeer_core::yamux::{YamuxConfig, YamuxError};

use crate::side::{Side, bare};

const CONFIG: YamuxConfig = YamuxConfig {
    keep_alive_interval: Duration::from_secs(30),
    keep_alive_timeout: Duration::from_secs(20),
    lease_idle: Duration::from_secs(10),
};

fn side() -> Side {
    assert_eq!(YamuxConfig::default(), CONFIG);
    Side::new(Role::Dialer)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn due(side: &Side) -> Deadline {
    side.session.poll_timeout().expect("a session always has a deadline")
}

#[test]
fn a_silent_remote_is_asked_after_the_interval_and_given_up_after_the_timeout() {
    let mut side = side();
    assert_eq!(due(&side), Deadline::new(Timestamp::from_secs(30), DeadlineReason::KeepAlive));
    side.advance(secs(29)).unwrap();
    assert!(side.frames().is_empty());
    side.advance(secs(1)).unwrap();
    assert_eq!(side.frames(), [bare(FrameType::Ping, Flags::SYN, 0, 1)]);
    let timeout = Deadline::new(Timestamp::from_secs(50), DeadlineReason::KeepAliveTimeout);
    assert_eq!(due(&side), timeout);
    side.advance(secs(19)).unwrap();
    assert!(side.frames().is_empty(), "it is asked once");
    assert_eq!(side.advance(secs(1)), Err(YamuxError::KeepAliveTimeout));
}

#[test]
fn traffic_puts_the_question_off() {
    let mut side = side();
    side.advance(secs(20)).unwrap();
    side.frame(FrameType::Ping, Flags::SYN, 0, 9).unwrap();
    side.frames();
    side.advance(secs(29)).unwrap();
    assert!(side.frames().is_empty());
    assert_eq!(due(&side), Deadline::new(Timestamp::from_secs(50), DeadlineReason::KeepAlive));
    side.advance(secs(1)).unwrap();
    assert_eq!(side.frames(), [bare(FrameType::Ping, Flags::SYN, 0, 1)]);
}

#[test]
fn a_remote_that_sends_something_else_than_the_answer_is_alive() {
    let mut side = side();
    side.advance(secs(30)).unwrap();
    side.frames();
    side.advance(secs(15)).unwrap();
    side.frame(FrameType::WindowUpdate, Flags::NONE, 1, 0).unwrap();
    side.advance(secs(19)).unwrap();
    assert_eq!(side.advance(secs(1)), Err(YamuxError::KeepAliveTimeout));
}

#[test]
fn the_answer_measures_the_round_trip_and_starts_the_interval_anew() {
    let mut side = side();
    assert_eq!(side.session.rtt(), None);
    side.advance(secs(30)).unwrap();
    side.frames();
    side.advance(Duration::from_millis(250)).unwrap();
    side.frame(FrameType::Ping, Flags::ACK, 0, 1).unwrap();
    assert_eq!(side.session.rtt(), Some(Duration::from_millis(250)));
    side.advance(secs(29)).unwrap();
    assert!(side.frames().is_empty());
    side.advance(secs(1)).unwrap();
    assert_eq!(side.frames(), [bare(FrameType::Ping, Flags::SYN, 0, 2)], "each has its own value");
}

#[test]
fn an_answer_to_another_question_measures_nothing() {
    let mut side = side();
    side.advance(secs(30)).unwrap();
    side.frames();
    for value in [0, 2, u32::MAX] {
        side.frame(FrameType::Ping, Flags::ACK, 0, value).unwrap();
    }
    assert_eq!(side.session.rtt(), None);
    side.frame(FrameType::Ping, Flags::ACK, 0, 1).unwrap();
    assert_eq!(side.session.rtt(), Some(Duration::ZERO));
}

#[test]
fn pings_are_answered_in_order_with_their_values() {
    let mut side = side();
    for value in [7, 0, u32::MAX] {
        side.frame(FrameType::Ping, Flags::SYN, 0, value).unwrap();
    }
    let answers = [7, 0, u32::MAX].map(|value| bare(FrameType::Ping, Flags::ACK, 0, value));
    assert_eq!(side.frames(), answers);
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut side = side();
    side.advance(secs(29)).unwrap();
    side.session.handle_timeout(Timestamp::from_secs(3)).unwrap();
    assert_eq!(due(&side), Deadline::new(Timestamp::from_secs(30), DeadlineReason::KeepAlive));
    side.session.handle_timeout(Timestamp::MAX).unwrap();
    side.frames();
    assert_eq!(due(&side).at, Timestamp::MAX);
}
