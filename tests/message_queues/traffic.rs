//! Messages arrive whole, once, in the order of their priorities and then of sending; waits end when they should.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use ringway::mq::MAX_PRIORITY;
use ringway::transport::{MessageSink, MessageSource, ReceivedMessage};
use ringway::{RecvError, SendError, WaitStrategy};

use super::place::{Place, System, drain, fill, queue, send_during};
use super::two_processes::messages::{message, number, signature, signed};
use super::two_processes::procfs::while_blocked;
use super::two_processes::{First, Second, in_time, watchdog};

#[test]
fn messages_of_all_lengths_come_whole_and_in_order() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let sender = Second::start_at("send", queue.address());
        sender.say(2000);
        for expected in 0..2000 {
            let received = receiver.recv_deadline(watchdog()).unwrap();
            assert_eq!(received, message(expected, 112), "{system:?}");
        }
        sender.expect("sent");
        sender.say("close");
        let end = in_time(|deadline| receiver.recv_deadline(deadline));
        assert_eq!(end, Err(RecvError::Closed), "{system:?}");
        assert_eq!(receiver.received(), 2000);
        assert_eq!(receiver.foreign(), 0);
    }
}

pub fn send(first: &First) {
    let mut sender = queue(first).sender().unwrap();
    for index in 0..first.hear().parse().unwrap() {
        sender.send(&message(index, 112)).unwrap();
    }
    first.say("sent");
    assert_eq!(first.hear(), "close");
    sender.close();
}

#[test]
fn each_message_of_many_senders_comes_once_and_each_senders_in_order() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let senders: Vec<_> = (0..4)
            .map(|who| {
                let sender = Second::start_at("send signed", queue.address());
                sender.say(who);
                sender
            })
            .collect();
        senders.iter().for_each(|sender| sender.expect("attached"));
        senders.iter().for_each(|sender| sender.say("go"));
        let mut buffer = [0; 112];
        let received = in_order(system, || {
            let len = receiver.recv_into_deadline(&mut buffer, watchdog())?;
            Ok(buffer[..len].to_vec())
        });
        assert_eq!(received, [500; 4], "{system:?}");
        senders.into_iter().for_each(Second::finish);
    }
}

/// Receives what so many senders signed until they have closed, each one's in order. Returns how many messages came
/// from each.
fn in_order<const SENDERS: usize>(
    system: System,
    mut receive: impl FnMut() -> Result<Vec<u8>, RecvError>,
) -> [u64; SENDERS] {
    let mut next = [0; SENDERS];
    loop {
        match receive() {
            Ok(message) => {
                let (who, number) = signature(&message, 112);
                assert_eq!(number, next[who as usize], "{system:?}: sender {who}");
                next[who as usize] += 1;
            }
            Err(end) => {
                assert_eq!(end, RecvError::Closed, "{system:?}");
                return next;
            }
        }
    }
}

pub fn send_signed(first: &First) {
    let who = first.hear().parse().unwrap();
    let mut sender = queue(first).sender().unwrap();
    first.say("attached");
    first.hear();
    for number in 0..500 {
        sender.send(&signed(who, number, 112)).unwrap();
    }
}

/// Everybody sleeps at every message, now and then only until a deadline.
#[test]
fn in_a_queue_that_is_always_full_or_empty_no_wake_up_is_lost() {
    const EACH: u64 = 2000;
    for system in System::ALL {
        let place = Place::new(system);
        let queue = place.builder().messages(1).create().unwrap();
        let mut receiver = queue.receiver().unwrap();
        let senders = [0, 1, 2].map(|_| queue.sender().unwrap());
        std::thread::scope(|scope| {
            for (mut sender, who) in senders.into_iter().zip(0..) {
                scope.spawn(move || {
                    for number in 0..EACH {
                        let message = signed(who, number, 112);
                        if number % 16 == 0 {
                            let soon = Instant::now() + Duration::from_micros(50);
                            match sender.send_deadline(&message, soon) {
                                Ok(()) => continue,
                                Err(error) => assert_eq!(error, SendError::TimedOut),
                            }
                        }
                        in_time(|deadline| sender.send_deadline(&message, deadline)).unwrap();
                    }
                });
            }
            let received = in_order(system, || {
                let soon = Instant::now() + Duration::from_micros(50);
                match receiver.recv_deadline(soon) {
                    Err(RecvError::TimedOut) => {
                        in_time(|deadline| receiver.recv_deadline(deadline))
                    }
                    received => received,
                }
            });
            assert_eq!(received, [EACH; 3], "{system:?}");
        });
    }
}

#[test]
fn the_higher_priority_comes_first_and_the_older_of_the_same() {
    for system in [System::Posix, System::Sysv] {
        let (mut sender, mut receiver, _place) = system.ends();
        for (text, priority) in [("a", 0), ("b", MAX_PRIORITY), ("c", 7), ("d", 7)] {
            let sent = sender.send_with_priority_deadline(text.as_bytes(), priority, watchdog());
            sent.unwrap();
        }
        for (text, priority) in [("b", MAX_PRIORITY), ("c", 7), ("d", 7), ("a", 0)] {
            let message = receiver.try_recv_in_place().unwrap();
            assert_eq!(message.bytes(), text.as_bytes(), "{system:?}");
            assert_eq!(message.priority(), priority, "{system:?}");
            message.release();
        }
        sender.try_send_with_priority(b"x", u32::MAX).unwrap();
        let message = receiver.try_recv_in_place().unwrap();
        assert_eq!(message.priority(), MAX_PRIORITY);
    }
}

#[test]
fn tries_and_deadlines_end_without_a_peer_and_without_a_message() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        let soon = || Instant::now() + Duration::from_millis(20);
        assert_eq!(receiver.recv_deadline(soon()), Err(RecvError::TimedOut));
        assert_eq!(
            receiver.wait_for_peer_deadline(soon()),
            Err(RecvError::TimedOut)
        );
        let mut sender = queue.sender().unwrap();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        // One after the other, the later before the earlier.
        for millis in [200, 20, 20, 50, 1] {
            let deadline = Instant::now() + Duration::from_millis(millis);
            assert_eq!(receiver.recv_deadline(deadline), Err(RecvError::TimedOut));
            assert!(Instant::now() >= deadline, "{system:?}: too early");
        }
        fill(&mut sender);
        for millis in [100, 5, 20] {
            let deadline = Instant::now() + Duration::from_millis(millis);
            let sent = sender.send_deadline(&[0; 8], deadline);
            assert_eq!(sent, Err(SendError::TimedOut), "{system:?}");
            assert!(Instant::now() >= deadline, "{system:?}: too early");
        }
        assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Full));
        drop(receiver);
        let mut sender = queue.sender().unwrap();
        assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Full));
        queue.receiver().unwrap().close();
        assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Closed));
    }
}

/// Deadlines that pass just before the sleep, just after its beginning, and in its midst.
#[test]
fn each_of_a_thousand_short_waits_ends() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let _sender = queue.sender().unwrap();
        let mut receiver = queue.receiver().unwrap();
        for micros in 0..1000 {
            let deadline = Instant::now() + Duration::from_micros(micros % 120);
            assert_eq!(receiver.recv_deadline(deadline), Err(RecvError::TimedOut));
            // The same once more.
            assert_eq!(receiver.recv_deadline(deadline), Err(RecvError::TimedOut));
        }
    }
}

#[test]
fn a_full_queue_takes_as_many_as_were_taken_out() {
    for system in System::ALL {
        let (mut sender, mut receiver, _place) = system.ends();
        let many = fill(&mut sender);
        assert!(many >= 4, "{system:?}");
        for _ in 0..3 {
            assert_eq!(receiver.try_recv().unwrap().len(), 8);
            sender.try_send(&[0; 8]).unwrap();
            assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Full));
        }
        assert_eq!(drain(&mut receiver), many, "{system:?}");
        assert_eq!(fill(&mut sender), many, "{system:?}");
        drain(&mut receiver);
    }
}

#[test]
fn a_blocked_sender_goes_on_with_the_first_message_that_is_taken() {
    for system in System::ALL {
        let (mut sender, mut receiver, _place) = system.ends();
        fill(&mut sender);
        for _ in 0..5 {
            let sent = send_during(&mut sender, || drop(receiver.try_recv().unwrap()));
            assert_eq!(sent, Ok(()), "{system:?}");
        }
        drain(&mut receiver);
    }
}

#[test]
fn a_blocked_receiver_goes_on_with_a_message() {
    for system in System::ALL {
        let (mut sender, mut receiver, _place) = system.ends();
        for index in 0..5 {
            let received = while_blocked(
                WaitStrategy::Park,
                || sender.try_send(&number(index)).unwrap(),
                || match index % 2 {
                    0 => in_time(|deadline| receiver.recv_deadline(deadline)),
                    _ => receiver.recv(),
                },
            );
            assert_eq!(received.unwrap(), number(index), "{system:?}");
        }
    }
}

#[test]
fn what_is_too_large_is_refused_with_the_limit_and_what_does_not_fit_a_buffer_stays() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut sender = queue.sender().unwrap();
        let mut receiver = queue.receiver().unwrap();
        let max = queue.max_message_len();
        let refused = sender.try_send(&vec![0; max + 1]);
        assert_eq!(refused, Err(SendError::TooLarge { len: max + 1, max }));
        sender.try_send(&vec![7; max]).unwrap();
        let mut buffer = vec![0; max];
        let short = receiver.recv_into(&mut buffer[..max - 1]);
        assert_eq!(short, Err(RecvError::BufferTooSmall { len: max }));
        assert_eq!(receiver.recv_into(&mut buffer), Ok(max), "{system:?}");
        assert!(buffer.iter().all(|byte| *byte == 7));
    }
}

#[test]
fn queues_are_transports() {
    fn exchange<S: MessageSink, R: MessageSource>(sink: &mut S, source: &mut R) {
        let parts = [
            IoSlice::new(b"in "),
            IoSlice::new(b""),
            IoSlice::new(b"parts"),
        ];
        sink.send_parts_deadline(&parts, Some(watchdog())).unwrap();
        sink.try_send_parts(&[]).unwrap();
        let message = source.receive_deadline(Some(watchdog())).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(message.len(), 8);
        assert_eq!(message.read_at(3, &mut buffer), 5);
        assert_eq!(&buffer[..5], b"parts");
        assert_eq!(message.read_at(9, &mut buffer), 0);
        message.release();
        assert!(source.try_receive().unwrap().is_empty());
    }
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        assert_eq!(
            MessageSink::max_message_len(&sender),
            queue.max_message_len()
        );
        exchange(&mut sender, &mut receiver);
    }
}

#[test]
fn the_descriptor_of_a_posix_queue_tells_of_messages() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let (queue, _place) = System::Posix.queue();
    let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let ready = |receiver: &ringway::mq::QueueReceiver| {
        let descriptor = receiver.descriptor().unwrap();
        let mut polled = [PollFd::new(descriptor, PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).unwrap() == 1
    };
    assert!(!ready(&receiver));
    sender.send(b"x").unwrap();
    assert!(ready(&receiver));
    receiver.recv().unwrap();
    assert!(!ready(&receiver));
    let (queue, _place) = System::Sysv.queue();
    assert!(queue.receiver().unwrap().descriptor().is_none());
}
