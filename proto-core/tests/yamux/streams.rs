//! How streams begin and end.

use sanspeer_core::mux::{MuxEvent, ReadError, StreamId, WriteError};
use sanspeer_core::yamux::MIN_SLICE_BYTES;
use sanspeer_core::yamux::header::{Flags, FrameType};

use crate::side::{Side, bare, connected, exchange, pair};

fn gone(side: &mut Side, id: StreamId) {
    assert_eq!(side.session.read(id, 1), Err(ReadError::UnknownStream));
    assert_eq!(side.session.read_into(id, &mut [0]), Err(ReadError::UnknownStream));
    assert_eq!(side.write(id, b"x"), Err(WriteError::UnknownStream));
    assert_eq!(side.session.finish(id), Err(WriteError::UnknownStream));
    assert_eq!(side.session.unread_bytes(id), 0);
    assert_eq!(side.session.reset(id, 0), Ok(()));
    assert!(side.frames().is_empty(), "nothing is sent for a stream that is gone");
}

#[test]
fn a_stream_costs_no_frame_until_it_is_used() {
    let (mut a, _) = pair();
    let id = a.open();
    assert_eq!(a.session.read(id, 1), Err(ReadError::Blocked));
    assert!(a.frames().is_empty());
}

#[test]
fn the_side_that_opened_may_end_first() {
    let (mut a, mut b, id) = connected();
    a.write_all(id, b"question");
    a.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(b.events(), [MuxEvent::Readable(id), MuxEvent::Finished(id)]);
    assert_eq!(b.read_all(id), (b"question".to_vec(), true));
    b.write_all(id, b"answer");
    exchange(&mut a, &mut b);
    assert_eq!(a.read_all(id), (b"answer".to_vec(), false));
    b.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(a.read_all(id), (Vec::new(), true));
    gone(&mut a, id);
    gone(&mut b, id);
}

#[test]
fn the_side_that_accepted_may_end_first() {
    let (mut a, mut b, id) = connected();
    b.write_all(id, b"news");
    b.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(a.events(), [MuxEvent::Readable(id), MuxEvent::Finished(id)]);
    assert_eq!(a.read_all(id), (b"news".to_vec(), true));
    a.write_all(id, b"thanks");
    a.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(b.read_all(id), (b"thanks".to_vec(), true));
    gone(&mut a, id);
    gone(&mut b, id);
}

#[test]
fn a_stream_that_both_ended_stays_until_its_end_was_read() {
    let (mut a, mut b, id) = connected();
    a.session.finish(id).unwrap();
    b.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(a.session.stream_count(), 1);
    assert_eq!(a.read_all(id), (Vec::new(), true));
    assert_eq!(a.session.stream_count(), 0);
    assert_eq!(b.read_all(id), (Vec::new(), true));
    assert_eq!(b.session.stream_count(), 0);
}

#[test]
fn the_end_is_sent_even_when_the_stream_is_over_for_its_reader() {
    let (mut a, mut b, id) = connected();
    b.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    a.session.finish(id).unwrap();
    assert_eq!(a.read_all(id), (Vec::new(), true));
    assert_eq!(a.frames(), [bare(FrameType::Data, Flags::FIN, 1, 0)]);
    gone(&mut a, id);
}

#[test]
fn no_data_is_sent_after_the_end_and_ending_twice_is_no_error() {
    let (mut a, mut b, id) = connected();
    a.session.finish(id).unwrap();
    assert_eq!(a.session.finish(id), Ok(()));
    assert_eq!(a.write(id, b"late"), Err(WriteError::Finished));
    assert_eq!(a.frames(), [bare(FrameType::Data, Flags::FIN, 1, 0)]);
    assert_eq!(a.session.finish(id), Ok(()));
    assert_eq!(a.write(id, b"late"), Err(WriteError::Finished));
    assert!(a.frames().is_empty());
    b.write_all(id, b"the other direction goes on");
}

#[test]
fn data_stays_readable_after_the_end_arrived() {
    let (mut a, mut b, id) = connected();
    let data: Vec<u8> = (0..100_000u32).map(|n| n.to_le_bytes()[0]).collect();
    a.write_all(id, &data);
    a.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(b.session.unread_bytes(id), 100_000);
    let mut first = [0; 10];
    assert_eq!(b.session.read_into(id, &mut first), Ok(10));
    assert_eq!(first, data[..10]);
    assert_eq!(b.read_all(id), (data[10..].to_vec(), true));
    assert_eq!(b.session.read_into(id, &mut first), Ok(0));
}

#[test]
fn a_reset_ends_both_directions_at_the_side_that_resets() {
    let (mut a, mut b, id) = connected();
    b.write_all(id, b"unread");
    exchange(&mut a, &mut b);
    a.events();
    a.session.reset(id, 0).unwrap();
    assert_eq!(a.session.window_use().unread_bytes, 0);
    assert_eq!(a.frames(), [bare(FrameType::WindowUpdate, Flags::RST, 1, 0)]);
    gone(&mut a, id);
    assert!(a.events().is_empty());
}

#[test]
fn a_reset_by_the_remote_is_an_event_and_ends_both_directions() {
    for opener_resets in [true, false] {
        let (mut a, mut b, id) = connected();
        a.write_all(id, b"forgotten");
        exchange(&mut a, &mut b);
        let (resetting, other) = if opener_resets { (&mut a, &mut b) } else { (&mut b, &mut a) };
        other.events();
        resetting.session.reset(id, 0).unwrap();
        exchange(resetting, other);
        assert_eq!(other.events(), [MuxEvent::Reset { stream: id, code: 0 }]);
        gone(other, id);
        assert_eq!(other.session.window_use().unread_bytes, 0);
    }
}

#[test]
fn what_was_written_before_a_reset_is_sent_before_it() {
    let (mut a, _, id) = connected();
    a.write_all(id, b"last words");
    a.session.reset(id, 0).unwrap();
    let frames = a.frames();
    assert_eq!(frames[0].payload, b"last words");
    assert_eq!(frames[1..], [bare(FrameType::WindowUpdate, Flags::RST, 1, 0)]);
}

#[test]
fn an_end_that_was_not_sent_is_not_sent_after_a_reset() {
    let (mut a, _, id) = connected();
    a.session.finish(id).unwrap();
    a.session.reset(id, 0).unwrap();
    assert_eq!(a.frames(), [bare(FrameType::WindowUpdate, Flags::RST, 1, 0)]);
}

#[test]
fn a_reset_of_a_stream_that_was_never_announced_sends_nothing() {
    let (mut a, _) = pair();
    let id = a.open();
    a.session.reset(id, 0).unwrap();
    gone(&mut a, id);
    let id = a.open();
    a.session.finish(id).unwrap();
    a.session.reset(id, 0).unwrap();
    gone(&mut a, id);
    assert_eq!(a.session.stream_count(), 0);
}

#[test]
fn resets_that_cross_leave_nothing() {
    let (mut a, mut b, id) = connected();
    a.session.reset(id, 0).unwrap();
    b.session.reset(id, 0).unwrap();
    exchange(&mut a, &mut b);
    assert!(a.events().is_empty());
    assert!(b.events().is_empty());
    assert_eq!((a.session.stream_count(), b.session.stream_count()), (0, 0));
}

#[test]
fn data_on_its_way_when_we_reset_is_skipped() {
    let (mut a, mut b, id) = connected();
    let other = b.open();
    b.write_all(id, &[1; 50_000]);
    b.write_all(other, b"after it");
    let wire = b.transmit_all();
    // In the middle of the payload.
    a.receive(&wire[..20_000]).unwrap();
    a.session.reset(id, 0).unwrap();
    a.receive(&wire[20_000..]).unwrap();
    assert_eq!(a.accept(), other);
    assert_eq!(a.read_all(other), (b"after it".to_vec(), false));
    assert_eq!(a.session.stream_count(), 1);
}

#[test]
fn data_that_arrives_before_a_stream_is_taken_waits_in_it() {
    let (mut a, mut b) = pair();
    let id = a.open();
    a.write_all(id, b"early ");
    exchange(&mut a, &mut b);
    a.write_all(id, b"birds");
    exchange(&mut a, &mut b);
    assert_eq!(b.events(), [MuxEvent::Inbound], "nothing is said of a stream that nobody holds");
    assert_eq!(b.session.unread_bytes(id), 11);
    assert_eq!(b.accept(), id);
    assert_eq!(b.read_all(id), (b"early birds".to_vec(), false));
    a.write_all(id, b"!");
    exchange(&mut a, &mut b);
    assert_eq!(b.events(), [MuxEvent::Readable(id)]);
}

#[test]
fn a_stream_that_ended_before_it_was_taken_is_taken_with_its_data_and_its_end() {
    let (mut a, mut b) = pair();
    let id = a.open();
    a.write_all(id, b"all");
    a.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    b.events();
    assert_eq!(b.accept(), id);
    assert_eq!(b.events(), [MuxEvent::Finished(id)]);
    assert_eq!(b.read_all(id), (b"all".to_vec(), true));
    b.session.finish(id).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(a.read_all(id), (Vec::new(), true));
    assert_eq!((a.session.stream_count(), b.session.stream_count()), (0, 0));
}

#[test]
fn a_stream_that_was_reset_before_it_was_taken_is_never_seen() {
    let (mut a, mut b) = pair();
    let (first, second) = (a.open(), a.open());
    a.write_all(first, b"1");
    a.write_all(second, b"2");
    exchange(&mut a, &mut b);
    a.session.reset(first, 0).unwrap();
    exchange(&mut a, &mut b);
    assert!(b.events().iter().all(|event| *event == MuxEvent::Inbound));
    assert_eq!(b.accept(), second);
    assert_eq!(b.session.accept(), None);
    assert_eq!(b.session.stream_count(), 1);
}

#[test]
fn streams_are_taken_in_the_order_in_which_they_came_even_if_their_ids_are_not() {
    let (_, mut b) = pair();
    for id in [5, 1, 3, 7] {
        b.data(Flags::SYN, id, &[u8::try_from(id).unwrap()]).unwrap();
    }
    for id in [5, 1, 3, 7] {
        assert_eq!(b.accept(), StreamId(id));
        assert_eq!(b.read_all(StreamId(id)), (vec![u8::try_from(id).unwrap()], false));
    }
}

#[test]
fn the_acknowledgement_goes_out_once() {
    let (mut a, mut b) = pair();
    let id = a.open();
    a.write_all(id, b"x");
    exchange(&mut a, &mut b);
    assert!(b.frames().is_empty(), "a stream that waits is not acknowledged");
    b.accept();
    b.write_all(id, b"answer");
    let frames = b.frames();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].header.flags, Flags::ACK);
    b.write_all(id, b"more");
    assert_eq!(b.frames()[0].header.flags, Flags::NONE);
}

#[test]
fn large_pieces_are_read_where_they_were_received_and_small_ones_pin_nothing() {
    let (mut a, mut b, id) = connected();
    a.write_all(id, &[1; MIN_SLICE_BYTES + 1000]);
    exchange(&mut a, &mut b);
    let whole = b.session.window_use().unread_bytes;
    assert!(whole >= (MIN_SLICE_BYTES + 1000) as u64, "{whole} bytes count");
    let large = b.session.read(id, MIN_SLICE_BYTES).unwrap();
    assert_eq!(large.len(), MIN_SLICE_BYTES);
    assert!(!large.is_unique(), "what is left unread is in the same memory");
    let small = b.session.read(id, usize::MAX).unwrap();
    assert_eq!(small.len(), 1000);
    assert!(small.is_unique());
    assert_eq!(b.session.window_use().unread_bytes, 0);
}

#[test]
fn reading_nothing_is_no_end() {
    let (mut a, mut b, id) = connected();
    a.write_all(id, b"data");
    exchange(&mut a, &mut b);
    assert_eq!(b.session.read(id, 0).map(|bytes| bytes.len()), Ok(0));
    assert_eq!(b.session.read_into(id, &mut []), Ok(0));
    assert_eq!(b.read_all(id), (b"data".to_vec(), false));
    assert_eq!(b.session.read(id, 0), Err(ReadError::Blocked));
}

#[test]
fn an_arrival_is_an_event_only_for_a_reader_that_waits() {
    let (mut a, mut b, id) = connected();
    for _ in 0..3 {
        a.write_all(id, b"x");
        exchange(&mut a, &mut b);
    }
    assert_eq!(b.events(), [MuxEvent::Readable(id)]);
    assert_eq!(b.read_all(id), (b"xxx".to_vec(), false));
    a.write_all(id, b"y");
    exchange(&mut a, &mut b);
    assert_eq!(b.events(), [MuxEvent::Readable(id)]);
}
