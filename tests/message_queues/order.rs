//! Queues without priorities: who opens one knows, also when its maker has died; the order is that of sending, whatever
//! notices are in between; and these lose no wake-up.

use std::time::Duration;

use ringway::mq::{QueueBuilder, stat};
use ringway::peer::Peer;
use ringway::{Channel, ErrorKind, RecvError, SendError};

use super::deaths::sender_at;
use super::hostile::put_notice;
use super::place::{Place, System, drain, fill, queue, receive_during, send_during};
use super::two_processes::messages::{Random, number};
use super::two_processes::{First, Second, in_time};

#[test]
fn whoever_opens_a_queue_learns_whether_it_has_priorities() {
    for system in [System::Posix, System::Sysv] {
        for priorities in [true, false] {
            let place = Place::new(system);
            let queue = place.builder().priorities(priorities).create().unwrap();
            assert_eq!(queue.has_priorities(), priorities, "{system:?}");
            assert_eq!(stat(&place.address).unwrap().priorities, priorities);
            let second = Second::start_at("look", &place.address);
            second.expect(&priorities.to_string());
            let mut receiver = queue.receiver().unwrap();
            let received = in_time(|deadline| receiver.recv_deadline(deadline));
            let first = if priorities { "urgent" } else { "first" };
            assert_eq!(received.unwrap(), first.as_bytes(), "{system:?}");
            // The mark of a receiver changes nothing.
            drop(receiver);
            let again = QueueBuilder::at(place.address.clone()).open().unwrap();
            assert_eq!(again.has_priorities(), priorities, "{system:?}");
        }
    }
}

pub fn look(first: &First) {
    let queue = queue(first);
    let mut sender = queue.sender().unwrap();
    sender.send(b"first").unwrap();
    let urgent = sender.try_send_with_priority(b"urgent", 1);
    match queue.has_priorities() {
        true => assert_eq!(urgent, Ok(())),
        false => {
            let error = urgent.unwrap_err();
            assert_eq!(error, SendError::NoPriorities);
            assert!(error.to_string().contains("create it with them"), "{error}");
            let waiting = sender.send_with_priority(b"urgent", 31);
            assert_eq!(waiting, Err(SendError::NoPriorities));
            sender.try_send_with_priority(b"second", 0).unwrap();
        }
    }
    first.say(queue.has_priorities());
}

#[test]
fn channels_make_queues_without_priorities() {
    for system in [System::Posix, System::Sysv] {
        let place = Place::new(system);
        let channel = ringway::at(&place.address.to_string()).and_then(Channel::create);
        channel.unwrap();
        assert!(!stat(&place.address).unwrap().priorities, "{system:?}");
    }
}

pub fn make(first: &First) {
    first.say("ready");
    let builder = QueueBuilder::at(first.address().clone());
    let queue = builder.priorities(false).create().unwrap();
    queue.sender().unwrap().send(b"x").unwrap();
    first.say("made");
    first.hear();
}

#[test]
fn a_maker_killed_at_any_moment_leaves_no_queue_or_one_that_says_what_it_is() {
    let mut random = Random(5);
    for system in [System::Posix, System::Sysv] {
        for round in 0..60 {
            let place = Place::new(system);
            let maker = Second::start_at("make without priorities", &place.address);
            maker.expect("ready");
            std::thread::sleep(Duration::from_micros(random.below(300)));
            maker.kill();
            let queue = match QueueBuilder::at(place.address.clone()).open() {
                Ok(queue) => queue,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{system:?} {round}");
                    continue;
                }
            };
            assert!(!queue.has_priorities(), "{system:?} {round}");
            let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
            drain(&mut receiver);
            put_notice(&place, system);
            sender.send(b"ours").unwrap();
            assert_eq!(receiver.recv().unwrap(), b"ours", "{system:?} {round}");
        }
    }
}

/// A queue whose maker died between its queue and its semaphore set.
#[test]
fn a_queue_without_a_set_says_what_it_is() {
    for (mark, priorities) in [(0o111, true), (0o110, false)] {
        let place = Place::new(System::Sysv);
        let mode = libc::IPC_CREAT | libc::IPC_EXCL | 0o600 | mark;
        // SAFETY: numbers only.
        assert!(unsafe { libc::msgget(place.key(), mode) } >= 0);
        let other = place.builder().priorities(!priorities).open().unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Incompatible, "{other}");
        let queue = QueueBuilder::at(place.address.clone()).open().unwrap();
        assert_eq!(queue.has_priorities(), priorities);
        let mut sender = queue.sender().unwrap();
        let urgent = sender.try_send_with_priority(b"x", 1);
        assert_eq!(urgent.is_ok(), priorities);
    }
}

#[test]
fn no_umask_takes_what_a_queue_is() {
    for system in [System::Posix, System::Sysv] {
        let place = Place::new(system);
        let maker = Second::start_at("make under a umask", &place.address);
        maker.expect("ready");
        maker.expect("made");
        let queue = QueueBuilder::at(place.address.clone()).open().unwrap();
        assert!(!queue.has_priorities(), "{system:?}");
        assert_eq!(stat(&place.address).unwrap().mode, 0o600);
    }
}

pub fn make_under_a_umask(first: &First) {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o777));
    make(first);
}

#[test]
fn the_order_is_that_of_sending_whatever_notices_are_in_between() {
    for system in System::ALL {
        let place = Place::new(system);
        let builder = place.builder().messages(8).priorities(false);
        let queue = builder.create().unwrap();
        let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        for round in 0..20 {
            for index in 0..4 {
                if (round >> index) & 1 == 1 {
                    put_notice(&place, system);
                }
                sender.send(&number(index)).unwrap();
            }
            for index in 0..4 {
                let received = in_time(|deadline| receiver.recv_deadline(deadline));
                assert_eq!(received.unwrap(), number(index), "{system:?} {round}");
            }
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        }
        assert_eq!(receiver.foreign(), 0, "{system:?}");
    }
}

#[test]
fn a_receiver_that_sleeps_behind_notices_is_woken_twenty_times_in_a_row() {
    for system in System::ALL {
        let (queue, place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        for round in 0..20 {
            let mut sender = queue.sender().unwrap();
            sender.send(b"x").unwrap();
            put_notice(&place, system);
            assert_eq!(receiver.recv().unwrap(), b"x", "{system:?} {round}");
            let victim = (round % 4 == 2).then(|| sender_at(queue.address(), 0));
            // Of a sender that it never saw, nothing may tell that it died.
            assert_eq!(receiver.peer(), Peer::Alive, "{system:?} {round}");
            let received = receive_during(&mut receiver, || match (round % 4, victim) {
                // By its death.
                (_, Some(victim)) => {
                    drop(sender);
                    victim.kill();
                }
                // By its end.
                (0 | 1, _) => drop(sender),
                // By a message.
                _ => sender.send(b"y").unwrap(),
            });
            let expected = match round % 4 {
                0 | 1 => Err(RecvError::Closed),
                2 => Err(RecvError::PeerDied),
                _ => Ok(b"y".to_vec()),
            };
            assert_eq!(received, expected, "{system:?} {round}");
        }
    }
}

#[test]
fn a_sender_before_a_queue_full_of_messages_and_notices_goes_on_with_the_first_message_taken() {
    for system in System::ALL {
        let (mut sender, mut receiver, place) = system.ends();
        fill(&mut sender);
        for round in 0..20 {
            if system != System::Posix {
                // Of those there is always room.
                put_notice(&place, system);
            }
            let sent = send_during(&mut sender, || drop(receiver.try_recv().unwrap()));
            assert_eq!(sent, Ok(()), "{system:?} {round}");
        }
        drain(&mut receiver);
    }
}

/// It heard no bell of the sender's.
#[test]
fn a_sender_that_sleeps_goes_on_with_the_first_message_a_newcomer_takes() {
    for system in [System::Sysv, System::SysvInTurn] {
        let (queue, _place) = system.queue();
        let mut sender = queue.sender().unwrap();
        fill(&mut sender);
        for round in 0..20 {
            let mut newcomer = None;
            let sent = send_during(&mut sender, || {
                let mut receiver = queue.receiver().unwrap();
                receiver.try_recv().unwrap();
                newcomer = Some(receiver);
            });
            assert_eq!(sent, Ok(()), "{system:?} {round}");
            newcomer.unwrap().leave();
        }
        let mut receiver = queue.receiver().unwrap();
        drain(&mut receiver);
    }
}
