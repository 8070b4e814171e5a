use super::*;
use crate::gossip::rpc::IHave;
use crate::gossip::{MessageId, Outgoing, source_and_sequence};

fn ids(numbers: core::ops::Range<u32>) -> Vec<MessageId> {
    numbers.map(|number| MessageId::new(&number.to_be_bytes()).unwrap()).collect()
}

fn say(fixture: &mut Fixture, number: u64, control: Control) {
    let stream = fixture.inbound(number);
    let said = Outgoing { control, ..Outgoing::default() };
    for frame in said.frames(&Default::default()) {
        fixture.tell(ProtocolInput::Frame { stream, frame: frame.body });
    }
}

#[test]
fn ids_of_topics_that_we_are_not_in_and_ids_that_we_have_are_not_asked_for() {
    let mut fixture = Fixture::new(GossipConfig::default());
    fixture.peer_outside(1, Role::Dialer);
    let message = signed(9, 1, &fixture.t, b"m");
    let known = source_and_sequence(&message);
    let stream = fixture.inbound(1);
    fixture.tell(ProtocolInput::Frame { stream, frame: frame_of(&[message]) });
    fixture.said_to(1);
    let t = fixture.t.clone();
    let elsewhere = IHave { topic: topic("elsewhere"), ids: ids(0..5) };
    // The same ones twice are asked for once.
    let here = IHave { topic: t, ids: [ids(7..9), vec![known], ids(7..9)].concat() };
    say(&mut fixture, 1, Control { ihave: vec![elsewhere, here], ..Control::default() });
    let mut wanted = fixture.said_to(1).iwant;
    wanted.sort();
    assert_eq!(wanted, ids(7..9));
}

#[test]
fn a_peer_below_the_threshold_for_gossip_is_not_asked_and_not_answered() {
    let mut fixture = Fixture::new(GossipConfig::default());
    fixture.peer_outside(1, Role::Dialer);
    let message = signed(9, 1, &fixture.t, b"m");
    let id = source_and_sequence(&message);
    let now = fixture.now;
    fixture.gossip.cache.put(&id, message);
    fixture.said_to(1);
    fixture.set_score(1, -11.0);
    let t = fixture.t.clone();
    let ihave = vec![IHave { topic: t.clone(), ids: ids(0..5) }];
    say(&mut fixture, 1, Control { ihave, iwant: vec![id], ..Control::default() });
    assert!(fixture.outputs().is_empty());
    fixture.gossip.gossip_about(now, &t);
    assert!(fixture.said_to(1).ihave.is_empty());
    fixture.set_score(1, 0.0);
    fixture.gossip.gossip_about(now, &t);
    assert_eq!(fixture.said_to(1).ihave.len(), 1);
}

#[test]
fn a_share_of_many_peers_hears_of_messages_and_none_of_the_mesh() {
    let mut fixture = Fixture::new(GossipConfig::default());
    for number in 1..=60 {
        fixture.peer_outside(number, Role::Listener);
    }
    for number in 61..=66 {
        fixture.peer_inside(number, Role::Dialer);
    }
    let message = signed(99, 1, &fixture.t, b"m");
    let id = source_and_sequence(&message);
    fixture.gossip.cache.put(&id, message);
    fixture.gossip.flush();
    fixture.outputs();
    let (now, t) = (fixture.now, fixture.t.clone());
    fixture.gossip.gossip_about(now, &t);
    fixture.gossip.flush();
    let sent = fixture.outputs();
    let mut heard: Vec<StreamRef> = sent
        .iter()
        .filter_map(|output| {
            let ProtocolOutput::Send { stream, .. } = output else { return None };
            Some(*stream)
        })
        .collect();
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 15, "a quarter of sixty");
    for number in 61..=66 {
        let Outbound::Open(stream, _) = fixture.outbound(number) else { panic!("no stream") };
        assert!(!heard.contains(&stream));
    }
}
