//! Processes are killed: who waits for them learns so, nothing that was sent is lost, and successors go on.

use std::time::Duration;

use ringway::peer::Peer;
use ringway::{Address, RecvError, SendError, WaitStrategy};

use super::place::{System, drain, fill, queue, send_during};
use super::two_processes::messages::{Random, number, number_in};
use super::two_processes::procfs::while_blocked;
use super::two_processes::{First, Second, in_time, watchdog};

/// A process that is the queue's receiver.
pub fn receiver_at(address: &Address) -> Second {
    let receiver = Second::start_at("attach to receive", address);
    receiver.expect("attached");
    receiver
}

/// A process that is a sender of the queue, and has sent so many messages.
pub fn sender_at(address: &Address, messages: u64) -> Second {
    let sender = Second::start_at("attach to send", address);
    sender.say(messages);
    sender.expect("attached");
    sender
}

pub fn attach_to_send(first: &First) {
    let mut sender = queue(first).sender().unwrap();
    for _ in 0..first.hear().parse().unwrap() {
        sender.send(&number(0)).unwrap();
    }
    first.say("attached");
    first.hear();
}

pub fn attach_to_receive(first: &First) {
    let _receiver = queue(first).receiver().unwrap();
    first.say("attached");
    first.hear();
}

pub fn send_for_ever(first: &First) {
    let mut sender = queue(first).sender().unwrap();
    let mut next = first.hear().parse().unwrap();
    loop {
        sender.send(&number(next)).unwrap();
        next += 1;
    }
}

pub fn receive_for_ever(first: &First) {
    let mut receiver = queue(first).receiver().unwrap();
    first.say("attached");
    loop {
        first.say(number_in(&receiver.recv().unwrap()));
    }
}

#[test]
fn a_sleeping_receiver_learns_that_the_sender_died_also_of_one_that_sent_nothing() {
    for system in System::ALL {
        for messages in [3, 0] {
            for kill in [Second::kill, Second::kill_unreaped] {
                let (queue, _place) = system.queue();
                let mut receiver = queue.receiver().unwrap();
                let sender = sender_at(queue.address(), messages);
                let end = while_blocked(
                    WaitStrategy::Park,
                    || kill(&sender),
                    || {
                        for _ in 0..messages {
                            receiver.recv_deadline(watchdog()).unwrap();
                        }
                        in_time(|deadline| receiver.recv_deadline(deadline))
                    },
                );
                assert_eq!(end, Err(RecvError::PeerDied), "{system:?} {messages}");
                assert_eq!(receiver.peer(), Peer::Died);
                assert_eq!(receiver.try_recv(), Err(RecvError::PeerDied));
                // Another one takes its place.
                let mut next = queue.sender().unwrap();
                assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
                next.send(b"x").unwrap();
                drop(next);
                assert_eq!(receiver.recv().unwrap(), b"x");
                assert_eq!(receiver.recv(), Err(RecvError::Closed), "{system:?}");
            }
        }
    }
}

#[test]
fn the_death_of_one_of_many_senders_is_told_when_all_have_gone() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let mut other = queue.sender().unwrap();
        sender_at(queue.address(), 1).kill();
        other.send(b"x").unwrap();
        assert_eq!(receiver.recv().unwrap(), number(0));
        assert_eq!(receiver.recv().unwrap(), b"x");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        drop(other);
        assert_eq!(receiver.recv(), Err(RecvError::PeerDied), "{system:?}");
    }
}

#[test]
fn senders_that_sleep_before_a_full_queue_learn_that_the_receiver_died() {
    for system in System::ALL {
        for kill in [Second::kill, Second::kill_unreaped] {
            let (queue, _place) = system.queue();
            let mut sender = queue.sender().unwrap();
            fill(&mut sender);
            let receiver = receiver_at(queue.address());
            let mut others = [queue.sender().unwrap(), queue.sender().unwrap()];
            std::thread::scope(|scope| {
                let ends = others.each_mut().map(|other| {
                    scope.spawn(|| in_time(|deadline| other.send_deadline(&[0; 8], deadline)))
                });
                let end = send_during(&mut sender, || kill(&receiver));
                assert_eq!(end, Err(SendError::PeerDied), "{system:?}");
                for end in ends {
                    assert_eq!(end.join().unwrap(), Err(SendError::PeerDied), "{system:?}");
                }
            });
            assert_eq!(sender.peer(), Peer::Died);
            // Another one takes its place at once.
            let mut receiver = queue.receiver().unwrap();
            assert_eq!(sender.peer(), Peer::Alive);
            drain(&mut receiver);
            sender.send(b"x").unwrap();
            drain(&mut receiver);
        }
    }
}

#[test]
fn a_sender_that_dies_in_its_wait_takes_no_wake_up_along() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut sender = queue.sender().unwrap();
        let mut receiver = queue.receiver().unwrap();
        let mut random = Random(3);
        fill(&mut sender);
        for _ in 0..20 {
            let victim = Second::start_at("send for ever", queue.address());
            victim.say(0);
            let sent = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_micros(random.below(3000)));
                    victim.kill_unreaped();
                    receiver.try_recv().unwrap();
                });
                in_time(|deadline| sender.send_deadline(&[0; 8], deadline))
            });
            // The victim may have been faster.
            assert_eq!(sent, Ok(()), "{system:?}");
            fill(&mut sender);
        }
        drain(&mut receiver);
    }
}

/// Each sender goes on with the number after the last that arrived: nothing that was sent is lost, and what was not
/// sent does not come.
#[test]
fn senders_killed_at_any_moment_leave_no_gap() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut receiver = queue.receiver().unwrap();
        let mut random = Random(1);
        let mut expected = 0;
        for round in 0..100 {
            let sender = Second::start_at("send for ever", queue.address());
            receiver.wait_for_peer_deadline(watchdog()).unwrap();
            sender.say(expected);
            // However the processors are shared out, some come to send something.
            if round % 2 == 0 {
                let message = in_time(|deadline| receiver.recv_deadline(deadline)).unwrap();
                assert_eq!(number_in(&message), expected, "{system:?} {round}");
                expected += 1;
            }
            std::thread::scope(|scope| {
                scope.spawn(|| kill_soon(&sender, &mut random));
                let end = loop {
                    match in_time(|deadline| receiver.recv_deadline(deadline)) {
                        Ok(message) => {
                            assert_eq!(number_in(&message), expected, "{system:?} {round}");
                        }
                        Err(end) => break end,
                    }
                    expected += 1;
                };
                assert_eq!(end, RecvError::PeerDied, "{system:?} {round}");
            });
        }
    }
}

/// A receiver says each number it has received. What it had taken when it died is lost: at most one message.
#[test]
fn receivers_killed_at_any_moment_lose_at_most_the_message_in_their_hands() {
    for system in System::ALL {
        let (queue, _place) = system.queue();
        let mut sender = queue.sender().unwrap();
        let mut random = Random(2);
        let (mut next, mut expected, mut lost) = (0, 0, 0);
        for round in 0..100 {
            let receiver = Second::start_at("receive for ever", queue.address());
            receiver.expect("attached");
            std::thread::scope(|scope| {
                scope.spawn(|| kill_soon(&receiver, &mut random));
                let end = loop {
                    match in_time(|deadline| sender.send_deadline(&number(next), deadline)) {
                        Ok(()) => next += 1,
                        Err(end) => break end,
                    }
                };
                assert_eq!(end, SendError::PeerDied, "{system:?} {round}");
            });
            for said in receiver.last_words() {
                let said: u64 = said.parse().unwrap();
                let possible = expected..=expected + lost;
                assert!(
                    possible.contains(&said),
                    "{system:?}: {said}, not {possible:?}"
                );
                (expected, lost) = (said + 1, 0);
            }
            // It may have taken one more.
            lost += 1;
        }
        let mut receiver = queue.receiver().unwrap();
        let rest = std::iter::from_fn(|| receiver.try_recv().ok());
        let rest: Vec<_> = rest.map(|message| number_in(&message)).collect();
        assert!(
            (expected..=expected + lost).contains(&rest[0]),
            "{system:?}"
        );
        assert!(rest.iter().copied().eq(rest[0]..next), "{system:?}");
    }
}

fn kill_soon(victim: &Second, random: &mut Random) {
    std::thread::sleep(Duration::from_micros(random.below(2000)));
    victim.kill_unreaped();
}
