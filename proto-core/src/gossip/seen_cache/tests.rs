use std::collections::BTreeMap;

use super::*;
use crate::gossip::message::MessageFields;
use crate::gossip::topic::Topic;
use proptest::prelude::*;

const ZERO: Timestamp = Timestamp::ZERO;

fn cache_of(config: SeenCacheConfig) -> SeenCache<u32> {
    SeenCache::new(config, &Seed::from_u64(1))
}

fn cache() -> SeenCache<u32> {
    cache_of(SeenCacheConfig::default())
}

fn id(number: u32) -> MessageId {
    MessageId::new(&number.to_be_bytes()).unwrap()
}

fn message(data: &'static str) -> WireMessage {
    MessageFields::new(Topic::new("t").unwrap(), data).encode()
}

#[test]
fn an_id_is_seen_once_until_its_time_is_over() {
    let mut cache = cache();
    assert_eq!(cache.see(ZERO, &id(1), 1), Sight::New);
    assert_eq!(cache.see(ZERO, &id(1), 2), Sight::Duplicate(Verdict::Pending));
    let late = Timestamp::from_millis(119_999);
    assert_eq!(cache.see(late, &id(1), 3), Sight::Duplicate(Verdict::Pending));
    assert!(cache.knows(late, id(1).as_bytes()));
    let over = Timestamp::from_secs(120);
    assert!(!cache.knows(over, id(1).as_bytes()));
    assert_eq!(cache.verdict(over, id(1).as_bytes()), None);
    assert_eq!(cache.set_verdict(over, &id(1), Verdict::Accepted), None);
    assert_eq!(cache.see(over, &id(1), 4), Sight::New);
    assert_eq!(cache.len(), 1);
    cache.expire(Timestamp::from_secs(240));
    assert!(cache.is_empty() && cache.order.is_empty());
}

#[test]
fn copies_that_arrive_before_the_first_verdict_cost_one_verification() {
    let mut cache = cache();
    let genuine = message("genuine");
    assert_eq!(cache.check(ZERO, &id(1), genuine.clone(), 1), Sight::New);
    for sender in 2..10 {
        assert_eq!(cache.check(ZERO, &id(1), genuine.clone(), sender), Sight::Shares);
    }
    assert_eq!(cache.check(ZERO, &id(1), genuine.clone(), 1), Sight::Shares);
    assert_eq!(cache.verifying(&id(1)), Some(&genuine));
    let senders = (1..10).collect::<Vec<_>>();
    assert_eq!(
        cache.verified(&id(1), true),
        Verified::Genuine { message: genuine.clone(), senders, others: vec![] }
    );
    assert_eq!(cache.verifying_bytes(), 0);
    // A replay is a duplicate, and nothing is verified again.
    assert_eq!(cache.check(ZERO, &id(1), genuine, 11), Sight::Duplicate(Verdict::Pending));
    assert_eq!(cache.verified(&id(1), true), Verified::Unknown);
}

#[test]
fn a_forged_message_does_not_shadow_the_honest_one() {
    let mut cache = cache();
    let (forged, honest) = (message("forged"), message("honest"));
    assert_eq!(cache.check(ZERO, &id(1), forged.clone(), 66), Sight::New);
    assert_eq!(cache.check(ZERO, &id(1), honest.clone(), 1), Sight::Waits);
    assert_eq!(cache.check(ZERO, &id(1), honest.clone(), 2), Sight::Shares);
    let found = Verified::Forged { message: forged.clone(), senders: vec![66], next: true };
    assert_eq!(cache.verified(&id(1), false), found);
    assert_eq!(cache.verifying(&id(1)), Some(&honest));
    // The forged one comes again, and waits now.
    assert_eq!(cache.check(ZERO, &id(1), forged.clone(), 67), Sight::Waits);
    let found =
        Verified::Genuine { message: honest.clone(), senders: vec![1, 2], others: vec![67] };
    assert_eq!(cache.verified(&id(1), true), found);
    assert_eq!(cache.check(ZERO, &id(1), forged, 68), Sight::Duplicate(Verdict::Pending));
    assert_eq!(cache.verifying_bytes(), 0);
}

#[test]
fn a_forged_message_alone_leaves_nothing_behind() {
    let mut cache = cache();
    assert_eq!(cache.check(ZERO, &id(1), message("forged"), 66), Sight::New);
    assert!(cache.knows(ZERO, id(1).as_bytes()));
    let found = Verified::Forged { message: message("forged"), senders: vec![66], next: false };
    assert_eq!(cache.verified(&id(1), false), found);
    assert!(cache.is_empty() && cache.order.is_empty());
    assert_eq!(cache.check(ZERO, &id(1), message("honest"), 1), Sight::New);
}

#[test]
fn a_sender_has_one_copy_waiting_and_an_id_only_so_many() {
    let mut cache = cache_of(SeenCacheConfig { max_waiting: 2, ..SeenCacheConfig::default() });
    assert_eq!(cache.check(ZERO, &id(1), message("a"), 1), Sight::New);
    assert_eq!(cache.check(ZERO, &id(1), message("b"), 1), Sight::Waits);
    assert_eq!(cache.check(ZERO, &id(1), message("c"), 1), Sight::Full);
    assert_eq!(cache.check(ZERO, &id(1), message("c"), 2), Sight::Waits);
    assert_eq!(cache.check(ZERO, &id(1), message("d"), 3), Sight::Full);
    assert_eq!(cache.check(ZERO, &id(1), message("c"), 3), Sight::Shares);
}

#[test]
fn what_is_being_verified_is_bounded_in_number_and_bytes() {
    let config = SeenCacheConfig { max_verifying: 2, ..SeenCacheConfig::default() };
    let mut cache = cache_of(config);
    assert_eq!(cache.check(ZERO, &id(1), message("a"), 1), Sight::New);
    assert_eq!(cache.check(ZERO, &id(2), message("a"), 1), Sight::New);
    assert_eq!(cache.check(ZERO, &id(3), message("a"), 1), Sight::Full);
    assert!(!cache.knows(ZERO, id(3).as_bytes()));
    assert!(cache.give_up(&id(1)) && !cache.give_up(&id(1)));
    assert_eq!(cache.check(ZERO, &id(3), message("a"), 1), Sight::New);

    let mut cache = cache_of(SeenCacheConfig { max_verifying_bytes: 20, ..config });
    let large = message("longer than all of the room");
    assert_eq!(cache.check(ZERO, &id(1), large.clone(), 1), Sight::New);
    assert_eq!(cache.check(ZERO, &id(1), message("a"), 2), Sight::Full);
    assert_eq!(cache.check(ZERO, &id(2), message("a"), 2), Sight::Full);
    assert_eq!(cache.verifying_bytes(), large.encoded.len());
    assert!(matches!(cache.verified(&id(1), false), Verified::Forged { next: false, .. }));
    assert_eq!(cache.check(ZERO, &id(2), message("a"), 2), Sight::New);
}

#[test]
fn the_verdict_stays_with_the_id() {
    let mut cache = cache();
    for (number, verdict) in
        [Verdict::Accepted, Verdict::Rejected, Verdict::Ignored].into_iter().enumerate()
    {
        let id = id(u32::try_from(number).unwrap());
        assert_eq!(cache.see(ZERO, &id, 1), Sight::New);
        assert_eq!(cache.see(ZERO, &id, 2), Sight::Duplicate(Verdict::Pending));
        // All of them are to know; a later one learns from its own copy.
        assert_eq!(cache.set_verdict(ZERO, &id, verdict), Some(vec![1, 2]));
        assert_eq!(cache.see(ZERO, &id, 3), Sight::Duplicate(verdict));
        assert_eq!(cache.check(ZERO, &id, message("any"), 4), Sight::Duplicate(verdict));
        assert_eq!(cache.verdict(ZERO, id.as_bytes()), Some(verdict));
        assert_eq!(cache.set_verdict(ZERO, &id, Verdict::Accepted), None);
    }
}

#[test]
fn what_was_being_verified_has_its_time_from_its_first_sight() {
    let mut cache = cache();
    assert_eq!(cache.check(ZERO, &id(1), message("slow"), 1), Sight::New);
    assert_eq!(cache.see(Timestamp::from_secs(60), &id(2), 1), Sight::New);
    assert!(matches!(cache.verified(&id(1), true), Verified::Genuine { .. }));
    let over = Timestamp::from_secs(120);
    assert_eq!(cache.see(over, &id(1), 2), Sight::New);
    // The older entry of the order forgets no younger one.
    cache.expire(Timestamp::from_secs(180));
    assert!(cache.knows(Timestamp::from_secs(180), id(1).as_bytes()));
    assert!(!cache.knows(Timestamp::from_secs(180), id(2).as_bytes()));
}

#[test]
fn beyond_the_bound_the_oldest_are_forgotten() {
    let mut cache = cache_of(SeenCacheConfig { max_entries: 3, ..SeenCacheConfig::default() });
    for number in 0..5 {
        assert_eq!(cache.see(ZERO, &id(number), 1), Sight::New);
    }
    assert_eq!((cache.len(), cache.order.len(), cache.forgotten()), (3, 3, 2));
    assert!(!cache.knows(ZERO, id(1).as_bytes()) && cache.knows(ZERO, id(2).as_bytes()));
}

#[test]
fn our_own_message_is_accepted_and_new_once() {
    let mut cache = cache();
    assert!(cache.publish(ZERO, &id(1)));
    assert!(!cache.publish(ZERO, &id(1)));
    assert_eq!(cache.see(ZERO, &id(1), 1), Sight::Duplicate(Verdict::Accepted));
    // Somebody forged what we are about to say.
    assert_eq!(cache.check(ZERO, &id(2), message("forged"), 66), Sight::New);
    assert!(cache.publish(ZERO, &id(2)));
    assert_eq!(cache.verified(&id(2), false), Verified::Unknown);
    assert_eq!(cache.verifying_bytes(), 0);
}

#[test]
fn the_end_of_time_is_survived() {
    let mut cache = cache_of(SeenCacheConfig { ttl: Duration::MAX, ..SeenCacheConfig::default() });
    assert_eq!(cache.see(Timestamp::MAX, &id(1), 1), Sight::New);
    assert_eq!(cache.see(Timestamp::MAX, &id(1), 1), Sight::Duplicate(Verdict::Pending));
    let mut cache = self::cache();
    assert_eq!(cache.see(Timestamp::MAX, &id(1), 1), Sight::New);
    assert_eq!(cache.see(Timestamp::MAX, &id(1), 1), Sight::Duplicate(Verdict::Pending));
}

/// What a plain reference knows of an id.
#[derive(Clone, Debug)]
enum Known {
    Verifying(Timestamp, Vec<(usize, Vec<u32>)>),
    Seen(Timestamp, Verdict),
}

const CONTENTS: [&str; 3] = ["forged", "honest", "other"];

#[derive(Clone, Debug)]
enum Step {
    See(u32, u32),
    Check(u32, usize, u32),
    Verified(u32),
    Verdict(u32, bool),
    Publish(u32),
    GiveUp(u32),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0u32..4, 0u32..5).prop_map(|(id, sender)| Step::See(id, sender)),
        6 => (0u32..4, 0usize..3, 0u32..5).prop_map(|(id, data, from)| Step::Check(id, data, from)),
        3 => (0u32..4).prop_map(Step::Verified),
        2 => (0u32..4, any::<bool>()).prop_map(|(id, good)| Step::Verdict(id, good)),
        1 => (0u32..4).prop_map(Step::Publish),
        1 => (0u32..4).prop_map(Step::GiveUp),
        2 => (0u64..50).prop_map(Step::Time),
    ]
}

/// What the reference says to a copy.
fn sight(known: Option<&mut Known>, content: usize, sender: u32) -> Option<Sight> {
    match known? {
        Known::Seen(_, verdict) => Some(Sight::Duplicate(*verdict)),
        Known::Verifying(_, copies) => {
            if let Some((_, senders)) = copies.iter_mut().find(|(other, _)| *other == content) {
                if !senders.contains(&sender) {
                    senders.push(sender);
                }
                return Some(Sight::Shares);
            }
            if copies.iter().skip(1).any(|(_, senders)| senders[0] == sender) {
                return Some(Sight::Full);
            }
            copies.push((content, vec![sender]));
            Some(Sight::Waits)
        }
    }
}

proptest! {
    #[test]
    fn it_says_what_a_plain_reference_says(steps in prop::collection::vec(step(), 0..120)) {
        let mut cache = cache();
        let mut known: BTreeMap<u32, Known> = BTreeMap::new();
        let mut now = ZERO;
        for step in steps {
            known.retain(|_, known| match known {
                Known::Seen(at, _) => now.saturating_since(*at) < Duration::from_secs(120),
                Known::Verifying(..) => true,
            });
            match step {
                Step::See(number, sender) => {
                    let expected = match known.get(&number) {
                        Some(Known::Seen(_, verdict)) => Sight::Duplicate(*verdict),
                        Some(Known::Verifying(..)) => Sight::Full,
                        None => {
                            known.insert(number, Known::Seen(now, Verdict::Pending));
                            Sight::New
                        }
                    };
                    prop_assert_eq!(cache.see(now, &id(number), sender), expected);
                }
                Step::Check(number, content, sender) => {
                    let expected = sight(known.get_mut(&number), content, sender);
                    let copy = message(CONTENTS[content]);
                    let found = cache.check(now, &id(number), copy, sender);
                    prop_assert_eq!(found, expected.unwrap_or(Sight::New));
                    known.entry(number)
                        .or_insert_with(|| Known::Verifying(now, vec![(content, vec![sender])]));
                }
                Step::Verified(number) => {
                    let Some(Known::Verifying(at, copies)) = known.get_mut(&number) else {
                        prop_assert_eq!(cache.verified(&id(number), true), Verified::Unknown);
                        continue;
                    };
                    let (content, senders) = copies.remove(0);
                    let copy = message(CONTENTS[content]);
                    prop_assert_eq!(cache.verifying(&id(number)), Some(&copy));
                    let genuine = CONTENTS[content] == "honest";
                    let expected = if genuine {
                        let others = copies.drain(..).flat_map(|(_, senders)| senders).collect();
                        Verified::Genuine { message: copy, senders, others }
                    } else {
                        Verified::Forged { message: copy, senders, next: !copies.is_empty() }
                    };
                    let (at, left) = (*at, copies.len());
                    if genuine {
                        known.insert(number, Known::Seen(at, Verdict::Pending));
                    } else if left == 0 {
                        known.remove(&number);
                    }
                    prop_assert_eq!(cache.verified(&id(number), genuine), expected);
                }
                Step::Verdict(number, good) => {
                    let verdict = if good { Verdict::Accepted } else { Verdict::Rejected };
                    let pending = match known.get_mut(&number) {
                        Some(Known::Seen(_, old)) if *old == Verdict::Pending => {
                            *old = verdict;
                            true
                        }
                        Some(Known::Seen(..) | Known::Verifying(..)) | None => false,
                    };
                    let senders = cache.set_verdict(now, &id(number), verdict);
                    prop_assert_eq!(senders.is_some(), pending);
                }
                Step::Publish(number) => {
                    let new = !matches!(known.get(&number), Some(Known::Seen(..)));
                    if new {
                        known.insert(number, Known::Seen(now, Verdict::Accepted));
                    }
                    prop_assert_eq!(cache.publish(now, &id(number)), new);
                }
                Step::GiveUp(number) => {
                    let verifying = matches!(known.get(&number), Some(Known::Verifying(..)));
                    if verifying {
                        known.remove(&number);
                    }
                    prop_assert_eq!(cache.give_up(&id(number)), verifying);
                }
                Step::Time(secs) => now = now.saturating_add(Duration::from_secs(secs)),
            }
            let held = known.values().map(|known| match known {
                Known::Verifying(_, copies) => copies
                    .iter()
                    .map(|(content, _)| message(CONTENTS[*content]).encoded.len())
                    .sum(),
                Known::Seen(..) => 0,
            });
            prop_assert_eq!(cache.verifying_bytes(), held.sum::<usize>());
        }
    }
}
