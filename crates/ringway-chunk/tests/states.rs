//! What becomes of a message at each fragment, row by row of the table at `Reassembler`.

use ringway_chunk::{Event, FrameError, Gathered, Header, Limits, Lost, Place, Reassembler, Why};

/// A message of eight bytes in fragments of two.
const MESSAGE: &[u8; 8] = b"abcdefgh";

fn limits() -> Limits {
    Limits {
        max_message: 16,
        max_in_flight: 24,
        max_messages: 3,
    }
}

fn fragment(sender: u64, message: u64, offset: u64) -> Vec<u8> {
    let payload = &MESSAGE[offset as usize..][..2];
    let header = Header {
        sender,
        message,
        offset,
        total: Some(8),
        len: 2,
        place: Place::Part { last: offset == 6 },
    };
    [&header.encode(payload), payload].concat()
}

/// A fragment of a message whose length is not known.
fn open_fragment(sender: u64, offset: u64, payload: &[u8], last: bool) -> Vec<u8> {
    let header = Header {
        sender,
        message: 1,
        offset,
        total: None,
        len: payload.len() as u32,
        place: Place::Part { last },
    };
    [&header.encode(payload), payload].concat()
}

fn abort(sender: u64, message: u64, offset: u64) -> Vec<u8> {
    let header = Header {
        sender,
        message,
        offset,
        total: Some(8),
        len: 0,
        place: Place::Abort,
    };
    header.encode(&[]).to_vec()
}

fn lost(sender: u64, message: u64, received: u64, why: Why) -> Event {
    Event::Lost(Lost {
        sender,
        message,
        received,
        why,
    })
}

fn whole(sender: u64, message: u64) -> Event {
    Event::Message(Gathered {
        sender,
        message,
        bytes: MESSAGE.to_vec(),
    })
}

/// All that is told after these frames.
#[track_caller]
fn told(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Event> {
    told_by(&mut Reassembler::new(limits()), frames)
}

#[track_caller]
fn told_by(reassembler: &mut Reassembler, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Event> {
    let mut events = Vec::new();
    for frame in frames {
        reassembler.push(&frame).unwrap();
        events.extend(std::iter::from_fn(|| reassembler.poll()));
    }
    events
}

#[test]
fn interleaved_messages_arrive_whole() {
    let offsets = [0, 2, 4, 6];
    let frames = offsets
        .iter()
        .flat_map(|at| [fragment(1, 5, *at), fragment(2, 9, *at)]);
    assert_eq!(told(frames), [whole(1, 5), whole(2, 9)]);
}

#[test]
fn what_comes_again_is_counted_and_dropped() {
    let mut reassembler = Reassembler::new(limits());
    let frames = [0, 0, 2, 0, 2, 4, 6, 6, 0].map(|at| fragment(1, 1, at));
    assert_eq!(told_by(&mut reassembler, frames), [whole(1, 1)]);
    // Also when the next one is in flight.
    let frames = [fragment(1, 2, 0), fragment(1, 1, 6), fragment(1, 2, 2)];
    assert_eq!(told_by(&mut reassembler, frames), []);
    assert_eq!(reassembler.counts().stale, 6);
}

#[test]
fn a_gap_costs_that_message_and_no_other() {
    let frames = [
        fragment(1, 1, 0),
        fragment(2, 1, 0),
        fragment(1, 1, 4),
        fragment(1, 1, 6),
        fragment(2, 1, 2),
        fragment(2, 1, 4),
        fragment(2, 1, 6),
        fragment(1, 2, 0),
    ];
    assert_eq!(told(frames), [lost(1, 1, 2, Why::Gap), whole(2, 1)]);
}

#[test]
fn an_orphan_is_reported_once() {
    let frames = [fragment(1, 1, 4), fragment(1, 1, 6), fragment(1, 2, 0)];
    assert_eq!(told(frames), [lost(1, 1, 0, Why::Orphan)]);
    assert_eq!(told([abort(1, 1, 4)]), [lost(1, 1, 0, Why::Orphan)]);
}

#[test]
fn an_aborted_message_is_lost() {
    let frames = [fragment(1, 1, 0), abort(1, 1, 2), abort(1, 1, 2)];
    assert_eq!(told(frames), [lost(1, 1, 2, Why::Aborted)]);
}

#[test]
fn the_next_message_ends_the_one_before() {
    let frames = [fragment(1, 1, 0), fragment(1, 2, 0), fragment(1, 1, 2)];
    assert_eq!(told(frames), [lost(1, 1, 2, Why::Superseded)]);
}

#[test]
fn a_contradiction_costs_the_message() {
    let other_len = [fragment(1, 1, 0), open_fragment(1, 2, b"cd", false)];
    assert_eq!(told(other_len), [lost(1, 1, 2, Why::Contradiction)]);
    let overlapping = [
        open_fragment(1, 0, b"abcd", false),
        open_fragment(1, 2, b"cdef", false),
    ];
    assert_eq!(told(overlapping), [lost(1, 1, 4, Why::Contradiction)]);
    let ended_before = [
        open_fragment(1, 0, b"ab", false),
        open_fragment(1, 2, b"cd", false),
        open_fragment(1, 2, b"c", true),
    ];
    assert_eq!(told(ended_before), [lost(1, 1, 4, Why::Contradiction)]);
}

#[test]
fn a_message_of_unknown_length_ends_where_it_says() {
    let frames = [
        open_fragment(1, 0, b"abcd", false),
        open_fragment(1, 4, b"efgh", false),
        open_fragment(1, 8, b"", true),
    ];
    assert_eq!(told(frames), [whole(1, 1)]);
    let too_long = (0..5).map(|at| open_fragment(1, at * 4, b"abcd", false));
    assert_eq!(told(too_long), [lost(1, 1, 16, Why::TooLong { len: 20 })]);
}

#[test]
fn a_damaged_fragment_costs_the_message_that_it_would_have_continued() {
    let damaged = |mut frame: Vec<u8>| {
        *frame.last_mut().unwrap() ^= 1;
        frame
    };
    let frames = [
        fragment(1, 1, 0),
        damaged(fragment(1, 1, 2)),
        fragment(1, 1, 4),
    ];
    assert_eq!(told(frames), [lost(1, 1, 2, Why::Corrupt)]);
    // A damaged header says nothing about the message that it names.
    let frames = [
        fragment(1, 1, 0),
        damaged(fragment(1, 1, 4)),
        damaged(abort(1, 1, 2)),
        damaged(fragment(1, 9, 0)),
        fragment(1, 1, 2),
        fragment(1, 1, 4),
        fragment(1, 1, 6),
    ];
    let corrupt = |message| lost(1, message, 0, Why::Corrupt);
    assert_eq!(
        told(frames),
        [corrupt(1), corrupt(1), corrupt(9), whole(1, 1)],
    );
}

#[test]
fn what_is_beyond_the_limits_is_refused_at_its_first_fragment() {
    let too_long = Header {
        sender: 1,
        message: 1,
        offset: 0,
        total: Some(17),
        len: 2,
        place: Place::Part { last: false },
    };
    let too_long = [&too_long.encode(b"ab")[..], b"ab"].concat();
    let why = Why::TooLong { len: 17 };
    assert_eq!(told([too_long]), [lost(1, 1, 0, why)]);
    // Three messages of eight bytes, and no fourth.
    let mut reassembler = Reassembler::new(limits());
    let frames = (1..5).map(|sender| fragment(sender, 1, 0));
    assert_eq!(
        told_by(&mut reassembler, frames),
        [lost(4, 1, 0, Why::NoRoom)]
    );
    assert_eq!(
        (reassembler.accounted(), reassembler.in_flight().count()),
        (24, 3)
    );
    assert_eq!(told_by(&mut reassembler, [fragment(4, 1, 2)]), []);
    // What is whole at once passes.
    let short = open_fragment(5, 0, MESSAGE, true);
    assert_eq!(told_by(&mut reassembler, [short]), [whole(5, 1)]);
    // The sender's own next message takes the room of the one before.
    let next = told_by(&mut reassembler, [fragment(3, 2, 0)]);
    assert_eq!(next, [lost(3, 1, 2, Why::Superseded)]);
}

/// The first fragment of a message, of which it says how long it is.
fn announcement(sender: u64, total: u64) -> Vec<u8> {
    let header = Header {
        sender,
        message: 1,
        offset: 0,
        total: Some(total),
        len: 1,
        place: Place::Part { last: false },
    };
    [&header.encode(b"x")[..], b"x"].concat()
}

#[test]
fn who_announces_the_longest_message_takes_nobody_elses_room() {
    let limits = Limits::default();
    let mut reassembler = Reassembler::new(limits);
    let longest = (1..4).map(|sender| announcement(sender, limits.max_message));
    assert_eq!(told_by(&mut reassembler, longest), []);
    let frames = [0, 2, 4, 6].map(|at| fragment(9, 1, at));
    assert_eq!(told_by(&mut reassembler, frames), [whole(9, 1)]);
}

#[test]
fn messages_that_wait_to_be_fetched_count_as_those_in_flight_do() {
    let mut reassembler = Reassembler::new(Limits {
        max_in_flight: 1000,
        ..limits()
    });
    for sender in 1..4 {
        reassembler
            .push(&open_fragment(sender, 0, MESSAGE, true))
            .unwrap();
    }
    // Three wait, as many as there may be.
    reassembler.push(&fragment(4, 1, 0)).unwrap();
    let told: Vec<_> = std::iter::from_fn(|| reassembler.poll()).collect();
    assert_eq!(told.len(), 4);
    assert_eq!(told[3], lost(4, 1, 0, Why::NoRoom));
}

#[test]
fn a_message_of_unknown_length_is_lost_when_it_outgrows_the_room() {
    let mut reassembler = Reassembler::new(Limits {
        max_message: 1000,
        ..limits()
    });
    let frames = (0..3).map(|at| open_fragment(1, at * 8, MESSAGE, false));
    assert_eq!(told_by(&mut reassembler, frames), []);
    assert_eq!(reassembler.accounted(), 24);
    let more = told_by(&mut reassembler, [open_fragment(1, 24, MESSAGE, false)]);
    assert_eq!(more, [lost(1, 1, 24, Why::NoRoom)]);
}

#[test]
fn the_senders_that_were_heard_last_are_those_that_are_remembered() {
    let mut reassembler = Reassembler::new(limits());
    let message = |sender| open_fragment(sender, 0, b"x", true);
    // As many as are remembered, and one more.
    for sender in 0..=1024 {
        assert_eq!(told_by(&mut reassembler, [message(sender)]).len(), 1);
    }
    // A message that comes again is told from a new one, of the last as of those shortly before.
    for sender in [1024, 1023, 900] {
        assert_eq!(told_by(&mut reassembler, [message(sender)]), [], "{sender}");
    }
    assert_eq!(reassembler.counts().stale, 3);
    assert_eq!(told_by(&mut reassembler, [message(0)]).len(), 1);
}

#[test]
fn all_memory_comes_back() {
    let mut reassembler = Reassembler::new(limits());
    told_by(
        &mut reassembler,
        (1..4).map(|sender| fragment(sender, 1, 0)),
    );
    for sender in 1..4 {
        reassembler.lose(sender, Why::SenderGone);
    }
    assert_eq!(reassembler.accounted(), 0);
    assert!(reassembler.is_idle());
    while reassembler.poll().is_some() {}
    assert_eq!(reassembler.allocated(), 0);
}

#[test]
fn memory_grows_with_what_has_arrived() {
    let mut reassembler = Reassembler::new(Limits {
        max_message: 1 << 40,
        max_in_flight: 1 << 40,
        max_messages: 1,
    });
    let header = Header {
        sender: 1,
        message: 1,
        offset: 0,
        total: Some(1 << 40),
        len: 100,
        place: Place::Part { last: false },
    };
    let frame = [&header.encode(&[7; 100])[..], &[7; 100]].concat();
    reassembler.push(&frame).unwrap();
    assert!(reassembler.allocated() <= 200);
}

#[test]
fn a_message_in_pieces_may_have_any_length() {
    let mut reassembler = Reassembler::new(limits());
    reassembler.stream();
    let mut bytes = Vec::new();
    let mut all = Vec::new();
    for at in 0..100 {
        let frame = open_fragment(1, at * 8, MESSAGE, at == 99);
        reassembler.push(&frame).unwrap();
        let piece = reassembler.piece(&mut bytes).unwrap().unwrap();
        assert_eq!(piece.last, at == 99);
        all.extend_from_slice(&bytes);
        assert!(reassembler.accounted() <= 16);
        // Others are gathered meanwhile.
        if at < 4 {
            reassembler.push(&fragment(2, 1, at * 2)).unwrap();
        }
    }
    assert_eq!(all, MESSAGE.repeat(100));
    assert_eq!(reassembler.poll(), Some(whole(2, 1)));
    assert_eq!(reassembler.accounted(), 0);
}

#[test]
fn a_message_in_pieces_that_is_lost_is_reported_there() {
    let mut reassembler = Reassembler::new(limits());
    reassembler.push(&fragment(1, 1, 0)).unwrap();
    reassembler.stream();
    let mut bytes = Vec::new();
    assert!(reassembler.piece(&mut bytes).unwrap().is_ok());
    assert_eq!(bytes, b"ab");
    reassembler.push(&fragment(1, 1, 4)).unwrap();
    let lost = reassembler.piece(&mut bytes).unwrap().unwrap_err();
    assert_eq!((lost.received, lost.why), (2, Why::Gap));
    assert_eq!(reassembler.poll(), None);
    // Given up, the rest of it is nothing to report.
    reassembler.stream();
    reassembler.push(&fragment(2, 1, 0)).unwrap();
    reassembler.end_stream();
    assert_eq!(told_by(&mut reassembler, [fragment(2, 1, 2)]), []);
}

#[test]
fn what_is_no_frame_changes_nothing() {
    let mut reassembler = Reassembler::new(limits());
    reassembler.push(&fragment(1, 1, 0)).unwrap();
    let garbage = reassembler.push(b"hello");
    assert_eq!(garbage, Err(FrameError::TooShort { len: 5 }));
    assert_eq!(reassembler.push(&[7; 100]), Err(FrameError::NotAFrame));
    let frames = [2, 4, 6].map(|at| fragment(1, 1, at));
    assert_eq!(told_by(&mut reassembler, frames), [whole(1, 1)]);
}

#[test]
fn any_number_of_senders_is_remembered_in_bounded_memory() {
    let mut reassembler = Reassembler::new(limits());
    reassembler.push(&fragment(0, 1, 0)).unwrap();
    for sender in 1..10_000 {
        let frames = [open_fragment(sender, 0, b"x", true)];
        assert_eq!(told_by(&mut reassembler, frames).len(), 1);
    }
    let frames = [2, 4, 6].map(|at| fragment(0, 1, at));
    assert_eq!(told_by(&mut reassembler, frames), [whole(0, 1)]);
}
