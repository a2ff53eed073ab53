//! The handles over rings: lengths around the borders of fragments, what fails half way, and what is refused.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use ringway_chunk::{
    ChunkReceiver, ChunkRecvError, ChunkSendError, ChunkSender, Event, FrameError, Gathered,
    Limits, Reassembler, Splitter, Why,
};
use ringway_core::transport::{MessageSink, MessageSource, ReceivedMessage};
use ringway_core::{Builder, Kind, Receiver, RecvError, Ring, SendError, Sender, WaitStrategy};

fn ring_of(kind: Kind) -> Ring {
    let builder = Builder::new("memfd:").unwrap();
    builder.kind(kind).capacity(64 << 10).create().unwrap()
}

fn pair() -> (ChunkSender<Sender>, ChunkReceiver<Receiver>) {
    let ring = ring_of(Kind::Spsc);
    let sender = ChunkSender::new(ring.sender().unwrap());
    (sender, ChunkReceiver::new(ring.receiver().unwrap()))
}

/// At once or not at all.
fn now() -> Option<Instant> {
    Some(Instant::now())
}

/// What no test comes near to; only a hang does.
fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60))
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 7) >> 3) as u8).collect()
}

#[track_caller]
fn why_lost(received: Result<Vec<u8>, ChunkRecvError>) -> Why {
    match received {
        Err(ChunkRecvError::Lost(lost)) => lost.why,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_no_message(received: Result<Vec<u8>, ChunkRecvError>) {
    match received {
        Err(ChunkRecvError::Transport(RecvError::Empty)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_length_arrives() {
    let (mut sender, mut receiver) = pair();
    let fragment = sender.fragment_len();
    for len in [0, 1, 7, 8, 9, 2, 3].into_iter().chain(
        [1, 2, 3]
            .into_iter()
            .flat_map(|n| [n * fragment - 1, n * fragment, n * fragment + 1]),
    ) {
        let message = pattern(len);
        sender.send_deadline(&message, now()).unwrap();
        assert_eq!(receiver.try_recv().unwrap(), message);
        for said in [Some(len as u64), None] {
            let mut told = Vec::new();
            let sent =
                sender.send_from_deadline(&message[..], said, now(), |at| told.push(at.done));
            assert_eq!(sent.unwrap(), len as u64);
            assert_eq!(told.last(), Some(&(len as u64)));
            let mut file = Vec::new();
            let received = receiver.recv_to_deadline(&mut file, now(), |_| {}).unwrap();
            assert_eq!((received.len, file), (len as u64, message.clone()));
        }
    }
    assert_eq!(receiver.reassembler().accounted(), 0);
}

#[test]
fn several_fragments_fit_into_the_ring() {
    for capacity in [4 << 10, 64 << 10, 1 << 20, 16 << 20] {
        for kind in [Kind::Spsc, Kind::Mpsc] {
            let builder = Builder::new("memfd:").unwrap().kind(kind);
            let ring = builder.capacity(capacity).create().unwrap();
            let mut sender = ChunkSender::new(ring.sender().unwrap());
            let part = vec![1; sender.fragment_len()];
            let least = if capacity <= 16 << 10 { 1 } else { 7 };
            for _ in 0..least {
                sender.send_deadline(&part, now()).unwrap();
            }
        }
    }
}

#[test]
fn a_message_that_is_given_up_is_aborted() {
    let (mut sender, mut receiver) = pair();
    let fragment = sender.fragment_len() as u64;
    // Too little, with room for the abort.
    let found = 2 * fragment + 5;
    let sent = sender.send_from_deadline(io::repeat(7).take(found), Some(found + 1), now(), |_| {});
    match sent {
        Err(ChunkSendError::TooShort { said, found: had }) => {
            assert_eq!((said, had), (found + 1, found));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(why_lost(receiver.try_recv()), Why::Aborted);
    // A panic of the reader.
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let told = |_| panic!("on purpose");
        sender.send_from_deadline(io::repeat(7), None, now(), told)
    }));
    assert!(panics.is_err());
    assert_eq!(why_lost(receiver.try_recv()), Why::Aborted);
    // No room, not for the abort either: the next message says it.
    let sent = sender.send_deadline(&pattern(1 << 20), now());
    match sent {
        Err(ChunkSendError::Transport { error, sent }) => {
            assert_eq!(error, SendError::TimedOut);
            assert!(sent > 0 && sent < 1 << 20);
        }
        other => panic!("{other:?}"),
    }
    // Unless there was: fragments do not fill a ring to the last byte.
    match receiver.try_recv() {
        Err(ChunkRecvError::Transport(RecvError::Empty)) => {
            sender.send_deadline(b"next", now()).unwrap();
            assert_eq!(why_lost(receiver.try_recv()), Why::Superseded);
        }
        lost => {
            assert_eq!(why_lost(lost), Why::Aborted);
            sender.send_deadline(b"next", now()).unwrap();
        }
    }
    assert_eq!(receiver.try_recv().unwrap(), b"next");
}

#[test]
fn where_receivers_share_messages_only_whole_ones_are_sent() {
    for kind in [Kind::Spmc, Kind::Mpmc] {
        let ring = ring_of(kind);
        let mut sender = ChunkSender::new(ring.sender().unwrap());
        let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
        let fragment = sender.fragment_len();
        sender.send_deadline(&pattern(fragment), now()).unwrap();
        let long = pattern(fragment + 1);
        let refused = [
            sender.send_deadline(&long, now()).unwrap_err(),
            sender
                .send_from_deadline(&long[..], None, now(), |_| {})
                .unwrap_err(),
            sender
                .send_from_deadline(&long[..], Some(long.len() as u64), now(), |_| {})
                .unwrap_err(),
        ];
        for error in refused {
            assert!(matches!(error, ChunkSendError::SharedOut { max } if max == fragment));
        }
        assert_eq!(receiver.try_recv().unwrap(), pattern(fragment));
        assert_no_message(receiver.try_recv());
    }
}

#[test]
fn the_deadline_holds_also_while_others_messages_come() {
    let ring = ring_of(Kind::Mpsc);
    let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
    let mut read = ring.sender().unwrap();
    let header = Splitter::new(read.id(), 1, Some(10)).next(b"half ", false);
    read.send(&[&header.encode(b"half ")[..], b"half "].concat())
        .unwrap();
    let mut other = ChunkSender::new(ring.sender().unwrap());
    let mut stream = receiver.stream_deadline(now()).unwrap();
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).unwrap();
    for _ in 0..3 {
        other.send_deadline(b"gathered", now()).unwrap();
        other.get_mut().send(b"no frame").unwrap();
    }
    let error = stream.read(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(stream);
    assert_eq!(receiver.recv_deadline(soon()).unwrap(), b"gathered");
}

#[test]
fn what_is_no_fragment_is_reported_and_others_follow() {
    let (mut sender, mut receiver) = pair();
    sender.get_mut().send(b"hello").unwrap();
    sender.send_deadline(b"in a frame", now()).unwrap();
    match receiver.try_recv() {
        Err(ChunkRecvError::Frame(FrameError::TooShort { len: 5 })) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(receiver.try_recv().unwrap(), b"in a frame");
}

#[test]
fn what_is_no_fragment_does_not_end_a_message_that_is_read() {
    let (mut sender, mut receiver) = pair();
    let message = pattern(3 * sender.fragment_len());
    let header = Splitter::new(sender.get_ref().id(), 0, Some(10)).next(b"half ", false);
    let half = [&header.encode(b"half ")[..], b"half "].concat();
    sender.get_mut().send(&half).unwrap();
    sender.get_mut().send(b"hello").unwrap();
    let mut splitter = Splitter::new(sender.get_ref().id(), 0, Some(10));
    splitter.advance(&header);
    let rest = splitter.next(b"whole", false).encode(b"whole");
    sender
        .get_mut()
        .send(&[&rest[..], b"whole"].concat())
        .unwrap();
    sender.send_deadline(&message, now()).unwrap();
    let mut text = String::new();
    receiver
        .stream_deadline(soon())
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "half whole");
    let told = receiver.recv_deadline(soon());
    assert!(matches!(
        told,
        Err(ChunkRecvError::Frame(FrameError::TooShort { len: 5 }))
    ));
    assert_eq!(receiver.recv_deadline(soon()).unwrap(), message);
}

#[test]
fn a_message_that_is_not_read_to_its_end_is_dropped_quietly() {
    let (mut sender, mut receiver) = pair();
    let len = 3 * sender.fragment_len();
    sender.send_deadline(&pattern(len), now()).unwrap();
    sender.send_deadline(b"next", now()).unwrap();
    let mut start = [0; 10];
    receiver
        .stream_deadline(now())
        .unwrap()
        .read_exact(&mut start)
        .unwrap();
    assert_eq!(start, pattern(len)[..10]);
    assert_eq!(receiver.try_recv().unwrap(), b"next");
    assert_eq!(receiver.reassembler().accounted(), 0);
}

#[test]
fn a_message_that_cannot_be_written_is_dropped_and_others_follow() {
    let (mut sender, mut receiver) = pair();
    let len = 3 * sender.fragment_len();
    sender.send_deadline(&pattern(len), now()).unwrap();
    sender.send_deadline(b"next", now()).unwrap();
    let mut full = [0; 10];
    match receiver.recv_to_deadline(&mut full[..], now(), |_| {}) {
        Err(ChunkRecvError::Write(_)) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(receiver.try_recv().unwrap(), b"next");
}

#[test]
fn while_one_message_is_read_those_of_others_are_gathered() {
    let ring = ring_of(Kind::Mpsc);
    let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
    let mut first = ChunkSender::new(ring.sender().unwrap()).with_fragment_len(100);
    let mut second = ChunkSender::new(ring.sender().unwrap()).with_fragment_len(100);
    let message = pattern(1000);
    let mut parts = message.chunks(100);
    first
        .send_from(&message[..], Some(1000), |_| {
            // The second one's message lies among the first one's fragments.
            if parts.len() == 8 {
                second.send(&pattern(250)).unwrap();
            }
            parts.next();
        })
        .unwrap();
    let mut file = Vec::new();
    receiver
        .recv_to_deadline(&mut file, soon(), |_| {})
        .unwrap();
    assert_eq!(file, message);
    assert_eq!(receiver.recv_deadline(soon()).unwrap(), pattern(250));
}

#[test]
fn a_receiver_that_takes_over_reports_what_it_has_no_beginning_of() {
    let ring = ring_of(Kind::Mpsc);
    let mut sender = ChunkSender::new(ring.sender().unwrap());
    let len = 3 * sender.fragment_len();
    sender.send_deadline(&pattern(len), now()).unwrap();
    let mut receiver = ring.receiver().unwrap();
    receiver.recv().unwrap();
    drop(receiver);
    let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
    assert_eq!(why_lost(receiver.try_recv()), Why::Orphan);
    assert_no_message(receiver.try_recv());
}

#[test]
fn a_new_handle_on_the_same_attachment_goes_on() {
    let (mut sender, mut receiver) = pair();
    for _ in 0..10 {
        sender.send_deadline(b"one", now()).unwrap();
        assert_eq!(receiver.try_recv().unwrap(), b"one");
        sender = ChunkSender::new(sender.into_inner());
    }
}

#[test]
fn under_load_the_message_of_one_that_left_makes_room_again() {
    let ring = ring_of(Kind::Mpsc);
    let limits = Limits {
        max_messages: 1,
        ..Limits::default()
    };
    let mut receiver = ChunkReceiver::with_limits(ring.receiver().unwrap(), limits);
    let mut leaves = ChunkSender::new(ring.sender().unwrap());
    let mut stays = ChunkSender::new(ring.sender().unwrap());
    let fragment = stays.fragment_len();
    // One fragment of a message that never ends; then the ring is full, also for an abort.
    let part = leaves.fragment_len() as u64;
    let given_up =
        leaves.send_from_deadline(io::repeat(7).take(part), Some(1 << 20), now(), |_| {
            while stays.send_deadline(&pattern(fragment), now()).is_ok() {}
            while stays.send_deadline(b"", now()).is_ok() {}
        });
    assert!(given_up.is_err());
    drop(leaves);
    // From here on it is never empty.
    let mut gone = 0;
    for _ in 0..100 {
        match receiver.recv_deadline(soon()) {
            Ok(_) => {}
            Err(ChunkRecvError::Lost(lost)) => {
                assert_eq!((lost.why, lost.received), (Why::SenderGone, part));
                gone += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
        let _ = stays.send_deadline(&pattern(fragment), now());
        let _ = stays.send_deadline(b"", now());
    }
    assert_eq!(gone, 1);
    assert!(receiver.reassembler().is_idle());
}

#[test]
fn a_receiver_that_waits_learns_that_a_sender_left_in_the_midst_of_a_message() {
    for kind in [Kind::Spsc, Kind::Mpsc] {
        let ring = ring_of(kind);
        let mut sender = ring.sender().unwrap();
        let other = (kind == Kind::Mpsc).then(|| ring.sender().unwrap());
        let header = Splitter::new(sender.id(), 1, Some(10)).next(b"half ", false);
        let frame = [&header.encode(b"half ")[..], b"half "].concat();
        let receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        let mut receiver = ChunkReceiver::new(receiver);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sender.send(&frame).unwrap();
                sender.leave();
            });
            assert_eq!(why_lost(receiver.recv_deadline(soon())), Why::SenderGone);
        });
        drop(other);
    }
}

/// A transport that cannot know who lives.
struct Frames(VecDeque<Vec<u8>>);

struct OneFrame(Vec<u8>);

impl ReceivedMessage for OneFrame {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let rest = &self.0[offset.min(self.0.len())..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        len
    }
    fn deliveries(&self) -> u32 {
        1
    }
    fn release(self) {}
    fn give_back(self) {}
}

impl MessageSource for Frames {
    type Message<'a> = OneFrame;
    fn try_receive(&mut self) -> Result<OneFrame, RecvError> {
        self.0.pop_front().map(OneFrame).ok_or(RecvError::Empty)
    }
    fn receive_deadline(&mut self, _: Option<Instant>) -> Result<OneFrame, RecvError> {
        self.try_receive()
    }
    fn is_attached(&self, _: u64) -> Option<bool> {
        None
    }
    fn wait_while_attached_deadline(&mut self, _: &[u64], _: Option<Instant>) -> bool {
        false
    }
    fn is_drained(&mut self) -> bool {
        true
    }
    fn capacity(&self) -> Option<u64> {
        None
    }
}

#[test]
fn where_nobody_knows_who_lives_only_long_silence_makes_room_for_others() {
    const STALLED: usize = 4096;
    let frame = |sender, message, total| {
        let header = Splitter::new(sender, message, total).next(b"x", total == Some(1));
        [&header.encode(b"x")[..], b"x"].concat()
    };
    // The first falls silent, the second is refused, the third goes on.
    let mut frames = VecDeque::from([frame(1, 1, Some(10))]);
    for message in 1..=2 * STALLED as u64 {
        frames.push_back(frame(2, message, Some(10)));
        frames.push_back(frame(3, message, Some(1)));
    }
    let limits = Limits {
        max_in_flight: 10,
        ..Limits::default()
    };
    let mut receiver = ChunkReceiver::with_limits(Frames(frames), limits);
    let mut others = 0;
    loop {
        match receiver.try_recv() {
            Ok(_) => others += 1,
            Err(ChunkRecvError::Lost(lost)) if lost.sender == 2 => {
                assert_eq!(lost.why, Why::NoRoom);
            }
            Err(ChunkRecvError::Lost(lost)) => {
                assert_eq!((lost.sender, lost.why), (1, Why::Stalled));
                break;
            }
            Err(error) => panic!("{error} after {others}"),
        }
    }
    // Half of the frames that came since are theirs.
    assert!(others >= STALLED / 2, "{others}");
}

/// A transport of which a message is written elsewhere, and then copied.
#[test]
fn a_transport_without_memory_of_its_own_carries_fragments() {
    struct Plain(Vec<Vec<u8>>);
    impl MessageSink for Plain {
        fn max_message_len(&self) -> usize {
            1000
        }
        fn is_shared_out(&self) -> bool {
            false
        }
        fn sender_id(&self) -> u64 {
            1
        }
        fn try_send_parts(&mut self, parts: &[io::IoSlice<'_>]) -> Result<(), SendError> {
            let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
            self.0.push(parts.concat());
            Ok(())
        }
        fn send_parts_deadline(
            &mut self,
            parts: &[io::IoSlice<'_>],
            _: Option<Instant>,
        ) -> Result<(), SendError> {
            self.try_send_parts(parts)
        }
    }
    let message: Vec<u8> = (0..10_000).map(|at| (at % 251) as u8).collect();
    let mut sender = ChunkSender::new(Plain(Vec::new()));
    sender.send(&message).unwrap();
    let mut reassembler = Reassembler::new(Limits::default());
    for frame in sender.get_ref().0.iter() {
        assert!(frame.len() <= 1000);
        reassembler.push(frame).unwrap();
    }
    assert!(matches!(
        reassembler.poll(),
        Some(Event::Message(Gathered { bytes, .. })) if bytes == message
    ));
    let too_long = sender.get_mut().send_with(1001, &mut |_| panic!());
    let max = 1000;
    assert_eq!(too_long, Err(SendError::TooLarge { len: 1001, max }));
}

#[test]
fn a_transport_that_is_too_small_says_so() {
    struct Tiny;
    impl MessageSink for Tiny {
        fn max_message_len(&self) -> usize {
            48
        }
        fn is_shared_out(&self) -> bool {
            false
        }
        fn sender_id(&self) -> u64 {
            1
        }
        fn try_send_parts(&mut self, _: &[io::IoSlice<'_>]) -> Result<(), SendError> {
            Ok(())
        }
        fn send_parts_deadline(
            &mut self,
            _: &[io::IoSlice<'_>],
            _: Option<Instant>,
        ) -> Result<(), SendError> {
            Ok(())
        }
    }
    let sent = ChunkSender::new(Tiny).send(b"");
    assert!(matches!(
        sent,
        Err(ChunkSendError::TransportTooSmall { max: 48 })
    ));
}
