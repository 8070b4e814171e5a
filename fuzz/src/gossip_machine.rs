//! The machine of gossip under any inputs: the steps, the ledger and the invariants of its property
//! test (`proto-core/tests/gossip_invariants`), with inputs that are looked for and not drawn.

#[path = "../../proto-core/tests/gossip_invariants/model/mod.rs"]
mod model;

use arbitrary::{Arbitrary, Result, Unstructured};

use crate::script::{self, Script};
use model::{Part, Step, meeting};

/// The settings are the machine's numbers and its clock.
#[derive(Clone, Debug)]
pub struct Input(Script<Operation>);

/// One step.
#[derive(Clone, Copy, Debug)]
pub struct Operation(Step);

impl script::Operation for Operation {
    fn decode(bytes: [u8; 4]) -> Self {
        Operation(Step::decode(bytes))
    }

    fn encode(&self) -> [u8; 4] {
        self.0.encode()
    }
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Script::arbitrary(u).map(Input)
    }
}

/// Runs one input; one in four twice, with equal outputs.
pub fn run(input: &Input) {
    let Input(Script { settings, operations }) = input;
    let steps: Vec<Step> = operations.iter().map(|Operation(step)| *step).collect();
    match steps.len() % 4 {
        0 => model::run_twice(*settings, &steps),
        _ => drop(model::run(*settings, &steps)),
    }
}

/// Inputs to begin with, each with its name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let encode = |settings, steps: Vec<Step>| {
        Script { settings, operations: steps.into_iter().map(Operation).collect() }.encode()
    };
    let say = |peer, what| Step::Say { peer, more: false, what };
    let and = |peer, what| Step::Say { peer, more: true, what };
    let second = Step::Wait { unit: 2, count: 1 };
    let with = |mut first: Vec<Step>, then: Vec<Step>| {
        first.extend(then);
        first
    };
    let messages = vec![
        second,
        say(0, Part::Message { b: 0, c: 0 }),
        say(1, Part::Message { b: 0, c: 0 }),
        say(1, Part::Message { b: 1, c: 16 }),
        say(2, Part::Message { b: 6, c: 8 }),
        Step::Report { which: 0, acceptance: 0 },
        Step::Report { which: 0, acceptance: 2 },
        Step::Verified { which: 0 },
        Step::Publish { topic: 0, bytes: 20 },
        Step::Publish { topic: 1, bytes: 180 },
        Step::Credit { which: 0, part: 0 },
        second,
        say(3, Part::IWant { ids: 0x17 }),
        say(3, Part::IHave { topic: 0, ids: 0x0f }),
        say(3, Part::DontWant { ids: 0x07 }),
        Step::Wait { unit: 2, count: 8 },
    ];
    let meshes = vec![
        say(0, Part::Graft { topic: 0 }),
        and(1, Part::Prune { topic: 0, how: 7 }),
        say(1, Part::Graft { topic: 0 }),
        say(2, Part::Prune { topic: 1, how: 0x2b }),
        second,
        Step::Leave { topic: 0 },
        Step::Wait { unit: 4, count: 2 },
        Step::Join { topic: 0 },
        Step::Wait { unit: 5, count: 1 },
        Step::Direct { peer: 3, add: true },
        Step::Application { peer: 0, score: 0 },
        second,
        Step::Disconnect { which: 1 },
        Step::Wait { unit: 6, count: 1 },
    ];
    let broken = vec![
        say(0, Part::Garbage { b: 0x0a, c: 0x7f }),
        Step::Close { which: 1, how: 3 },
        Step::Answer { which: 0, how: 6 },
        Step::Stray { kind: 3, number: 1 },
        Step::Stray { kind: 8, number: 0 },
        Step::Finished { which: 2 },
        Step::Sleep { unit: 7, count: 9 },
        Step::Wake,
        say(1, Part::Extensions),
        say(1, Part::Extensions),
        Step::Command { kind: 1, topic: 0 },
        Step::Retune { topic: 0, to: 2 },
        second,
    ];
    vec![
        ("messages", encode([0, 0, 0, 0], with(meeting(4, 0xaa, 4), messages.clone()))),
        ("messages_that_wait", encode([3, 1, 3, 5], with(meeting(5, 0xaa, 5), messages.clone()))),
        ("messages_without_authors", encode([0x14, 5, 0, 2], with(meeting(4, 0xaa, 4), messages))),
        ("meshes", encode([0x20, 0, 0, 0x80], with(meeting(6, 0xaa, 6), meshes.clone()))),
        ("meshes_at_the_end_of_time", encode([0x80, 2, 3, 8], with(meeting(8, 0xaa, 8), meshes))),
        ("broken_streams", encode([0x40, 3, 1, 0x11], with(meeting(3, 0xaa, 3), broken))),
    ]
}
