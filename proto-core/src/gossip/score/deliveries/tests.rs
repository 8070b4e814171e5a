use super::*;
use crate::gossip::score::topic::Topics;
use crate::gossip::score::topic_params::TopicScoreParams;
use crate::gossip::topic::Topic;

const WINDOW: Duration = Duration::from_millis(10);

fn peer(number: u64) -> PeerId {
    PeerId::from_bytes(&[&[0, 8][..], &number.to_be_bytes()].concat()).unwrap()
}

fn id(number: u64) -> MessageId {
    MessageId::new(&number.to_be_bytes()).unwrap()
}

fn key() -> TopicKey {
    let topic = Topic::new("t").unwrap();
    Topics::default().set(&topic, TopicScoreParams::default(), Duration::from_secs(1))
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn deliveries(max: usize) -> Deliveries {
    Deliveries::new(max, Duration::from_secs(120))
}

fn accept(deliveries: &mut Deliveries, now: Timestamp, number: u64) -> Option<Delivery> {
    deliveries.accept(now, &id(number), |_| Some(WINDOW))
}

#[test]
fn a_copy_counts_once_for_a_peer_until_the_window_is_over() {
    let mut deliveries = deliveries(8);
    deliveries.begin(at(0), &id(1), key(), peer(1));
    assert_eq!(deliveries.copy(at(1), &id(1), peer(2)), None, "it is not decided on");
    let delivery = accept(&mut deliveries, at(100), 1).unwrap();
    assert_eq!((delivery.first, delivery.copies), (peer(1), vec![peer(2)]));
    assert_eq!(deliveries.copy(at(105), &id(1), peer(1)), None);
    assert_eq!(deliveries.copy(at(105), &id(1), peer(2)), None);
    assert_eq!(deliveries.copy(at(110), &id(1), peer(3)), Some(key()));
    assert_eq!(deliveries.copy(at(110), &id(1), peer(3)), None);
    assert_eq!(deliveries.copy(at(111), &id(1), peer(4)), None);
    assert!(deliveries.records.is_empty());
}

#[test]
fn a_message_is_decided_on_once() {
    let mut deliveries = deliveries(8);
    deliveries.begin(at(0), &id(1), key(), peer(1));
    assert!(accept(&mut deliveries, at(1), 1).is_some());
    assert!(accept(&mut deliveries, at(1), 1).is_none());
    assert!(deliveries.take(at(1), &id(1)).is_none());
    assert_eq!(deliveries.copy(at(2), &id(1), peer(2)), Some(key()), "it is still accepted");
    deliveries.begin(at(2), &id(2), key(), peer(1));
    assert!(deliveries.take(at(2), &id(2)).is_some());
    assert!(accept(&mut deliveries, at(2), 2).is_none());
}

#[test]
fn a_second_beginning_does_not_take_the_first_delivery_away() {
    let mut deliveries = deliveries(8);
    deliveries.begin(at(0), &id(1), key(), peer(1));
    deliveries.begin(at(1), &id(1), key(), peer(2));
    assert_eq!(accept(&mut deliveries, at(2), 1).unwrap().first, peer(1));
}

#[test]
fn where_copies_do_not_count_nothing_is_kept() {
    let mut deliveries = deliveries(8);
    deliveries.begin(at(0), &id(1), key(), peer(1));
    assert!(deliveries.accept(at(1), &id(1), |_| None).is_some());
    assert!(deliveries.records.is_empty() && deliveries.ends.is_empty());
}

#[test]
fn without_a_decision_a_message_is_forgotten() {
    let mut deliveries = deliveries(8);
    deliveries.begin(at(0), &id(1), key(), peer(1));
    deliveries.forget_ended(at(120_000));
    assert_eq!(deliveries.records.len(), 1);
    deliveries.forget_ended(at(120_001));
    assert!(deliveries.records.is_empty() && deliveries.ends.is_empty());
}

#[test]
fn records_and_copies_are_bounded() {
    let mut deliveries = deliveries(4);
    for number in 0..100 {
        deliveries.begin(at(number), &id(number), key(), peer(1));
        assert!(deliveries.records.len() <= 4);
        assert_eq!(deliveries.records.len(), deliveries.ends.len());
    }
    assert!(deliveries.records.keys().eq((96..100).map(id).collect::<Vec<_>>().iter()));
    for number in 2..100 {
        deliveries.copy(at(100), &id(99), peer(number));
    }
    assert_eq!(deliveries.take(at(100), &id(99)).unwrap().copies.len(), MAX_COPIES);
    let mut none = self::deliveries(0);
    none.begin(at(0), &id(1), key(), peer(1));
    assert!(none.records.is_empty());
}

#[test]
fn those_that_were_accepted_make_room_first() {
    let mut deliveries = deliveries(2);
    deliveries.begin(at(0), &id(1), key(), peer(1));
    deliveries.begin(at(1), &id(2), key(), peer(1));
    accept(&mut deliveries, at(2), 2);
    deliveries.begin(at(3), &id(3), key(), peer(1));
    assert!(deliveries.take(at(3), &id(1)).is_some());
}

#[test]
fn the_end_of_time_is_no_end_of_the_bound() {
    let mut deliveries = deliveries(4);
    for number in 0..10 {
        deliveries.begin(Timestamp::MAX, &id(number), key(), peer(1));
        accept(&mut deliveries, Timestamp::MAX, number);
    }
    assert_eq!((deliveries.records.len(), deliveries.ends.len()), (4, 4));
}
