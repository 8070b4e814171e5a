//! [`Step`]: what can happen, four bytes each. Any four bytes are a step.

/// What happens next. Numbers pick one of what there is.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A connection opens; we dialled if `role` is odd.
    Connect {
        peer: u8,
        role: u8,
        address: u8,
    },
    Disconnect {
        which: u8,
    },
    /// A stream that was asked for is there, or not.
    Answer {
        which: u8,
        how: u8,
    },
    /// A peer opens a stream.
    Inbound {
        peer: u8,
        version: u8,
    },
    /// A stream ends.
    Close {
        which: u8,
        how: u8,
    },
    /// A peer says nothing more on a stream.
    Finished {
        which: u8,
    },
    /// A peer says something; with `more` it waits for what the peer says next.
    Say {
        peer: u8,
        more: bool,
        what: Part,
    },
    /// Credit comes back: a part, or all.
    Credit {
        which: u8,
        part: u8,
    },
    /// A connection has checked a signature.
    Verified {
        which: u8,
    },
    /// The application decides.
    Report {
        which: u8,
        acceptance: u8,
    },
    Publish {
        topic: u8,
        bytes: u8,
    },
    Join {
        topic: u8,
    },
    Leave {
        topic: u8,
    },
    /// Time passes, with timeouts when they are due.
    Wait {
        unit: u8,
        count: u8,
    },
    /// Time passes, and nobody wakes the machine.
    Sleep {
        unit: u8,
        count: u8,
    },
    /// The driver wakes the machine, whether something is due or not.
    Wake,
    Direct {
        peer: u8,
        add: bool,
    },
    Application {
        peer: u8,
        score: u8,
    },
    /// The mesh of a topic gets other numbers, or its scores do.
    Retune {
        topic: u8,
        to: u8,
    },
    DialFailed {
        peer: u8,
    },
    /// A command in bytes.
    Command {
        kind: u8,
        topic: u8,
    },
    /// An input about something that never was, or is gone.
    Stray {
        kind: u8,
        number: u8,
    },
}

/// A part of an RPC.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Subscribe {
        topic: u8,
    },
    Unsubscribe {
        topic: u8,
    },
    Graft {
        topic: u8,
    },
    /// With `how` for the back-off and the peers that it names.
    Prune {
        topic: u8,
        how: u8,
    },
    IHave {
        topic: u8,
        ids: u8,
    },
    IWant {
        ids: u8,
    },
    DontWant {
        ids: u8,
    },
    Message {
        b: u8,
        c: u8,
    },
    Garbage {
        b: u8,
        c: u8,
    },
    Extensions,
}

impl Step {
    /// What these bytes stand for.
    pub fn decode([kind, a, b, c]: [u8; 4]) -> Step {
        match kind % 48 {
            0..=3 => Step::Connect { peer: a, role: b, address: c },
            4 => Step::Disconnect { which: a },
            5..=9 => Step::Answer { which: a, how: b },
            10 => Step::Inbound { peer: a, version: b },
            11 => Step::Close { which: a, how: b },
            12 => Step::Finished { which: a },
            13..=28 => Step::Say {
                peer: a & 0x7f,
                more: a & 0x80 != 0,
                what: Part::decode(kind % 48 - 13, b, c),
            },
            29 | 30 => Step::Credit { which: a, part: b },
            31 => Step::Verified { which: a },
            32 | 33 => Step::Report { which: a, acceptance: b },
            34 | 35 => Step::Publish { topic: a, bytes: b },
            36 | 37 => Step::Join { topic: a },
            38 => Step::Leave { topic: a },
            39 | 40 => Step::Wait { unit: a, count: b },
            41 => Step::Sleep { unit: a, count: b },
            42 => Step::Wake,
            43 => Step::Direct { peer: a, add: b & 1 == 1 },
            44 => Step::Application { peer: a, score: b },
            45 => Step::Retune { topic: a, to: b },
            46 if a & 1 == 0 => Step::DialFailed { peer: b },
            46 => Step::Command { kind: b, topic: c },
            _ => Step::Stray { kind: a, number: b },
        }
    }

    /// Bytes that stand for this.
    pub fn encode(&self) -> [u8; 4] {
        match *self {
            Step::Connect { peer, role, address } => [0, peer, role, address],
            Step::Disconnect { which } => [4, which, 0, 0],
            Step::Answer { which, how } => [5, which, how, 0],
            Step::Inbound { peer, version } => [10, peer, version, 0],
            Step::Close { which, how } => [11, which, how, 0],
            Step::Finished { which } => [12, which, 0, 0],
            Step::Say { peer, more, what } => {
                let (kind, b, c) = what.encode();
                [13 + kind, peer & 0x7f | u8::from(more) << 7, b, c]
            }
            Step::Credit { which, part } => [29, which, part, 0],
            Step::Verified { which } => [31, which, 0, 0],
            Step::Report { which, acceptance } => [32, which, acceptance, 0],
            Step::Publish { topic, bytes } => [34, topic, bytes, 0],
            Step::Join { topic } => [36, topic, 0, 0],
            Step::Leave { topic } => [38, topic, 0, 0],
            Step::Wait { unit, count } => [39, unit, count, 0],
            Step::Sleep { unit, count } => [41, unit, count, 0],
            Step::Wake => [42, 0, 0, 0],
            Step::Direct { peer, add } => [43, peer, u8::from(add), 0],
            Step::Application { peer, score } => [44, peer, score, 0],
            Step::Retune { topic, to } => [45, topic, to, 0],
            Step::DialFailed { peer } => [46, 0, peer, 0],
            Step::Command { kind, topic } => [46, 1, kind, topic],
            Step::Stray { kind, number } => [47, kind, number, 0],
        }
    }
}

impl Part {
    fn decode(kind: u8, b: u8, c: u8) -> Part {
        match kind {
            0 | 1 => Part::Subscribe { topic: b },
            2 => Part::Unsubscribe { topic: b },
            3 | 4 => Part::Graft { topic: b },
            5 | 6 => Part::Prune { topic: b, how: c },
            7 | 8 => Part::IHave { topic: b, ids: c },
            9 => Part::IWant { ids: b },
            10 => Part::DontWant { ids: b },
            11..=13 => Part::Message { b, c },
            14 => Part::Garbage { b, c },
            _ => Part::Extensions,
        }
    }

    fn encode(self) -> (u8, u8, u8) {
        match self {
            Part::Subscribe { topic } => (0, topic, 0),
            Part::Unsubscribe { topic } => (2, topic, 0),
            Part::Graft { topic } => (3, topic, 0),
            Part::Prune { topic, how } => (5, topic, how),
            Part::IHave { topic, ids } => (7, topic, ids),
            Part::IWant { ids } => (9, ids, 0),
            Part::DontWant { ids } => (10, ids, 0),
            Part::Message { b, c } => (11, b, c),
            Part::Garbage { b, c } => (14, b, c),
            Part::Extensions => (15, 0, 0),
        }
    }
}
