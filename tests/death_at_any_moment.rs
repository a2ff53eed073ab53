//! Processes are killed at random moments of their work, again and again, and their successors go on.
//! (That it holds at *every* instruction is for a test under a tracer to show.)

mod two_processes;

use std::time::Duration;

use ringway::{RecvError, SendError};
use two_processes::messages::{Random, number, number_in};
use two_processes::place::Backing;
use two_processes::{First, Second, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send for ever" => send_for_ever(first),
        "receive for ever" => receive_for_ever(first),
        _ => panic!("{role}"),
    });
}

/// Each producer asks the ring how far the dead one came and goes on with the next number.
#[test]
fn producers_killed_at_any_moment_leave_no_gap_and_no_copy() {
    for backing in Backing::FOUND {
        let (ring, _place) = backing.ring(4096);
        let mut random = Random(1);
        let mut receiver = ring.receiver().unwrap();
        let mut expected = 0;
        for round in 0..50 {
            let producer = Second::start("send for ever", &ring);
            producer.expect("attached");
            // However the processors are shared out, some come to send something.
            if round % 2 == 0 {
                let message = receiver.recv_deadline(watchdog()).unwrap();
                assert_eq!(number_in(&message), expected, "{backing:?}");
                expected += 1;
            }
            std::thread::scope(|scope| {
                scope.spawn(|| kill_soon(&producer, &mut random));
                let end = loop {
                    match receiver.recv_deadline(watchdog()) {
                        Ok(message) => assert_eq!(number_in(&message), expected, "{backing:?}"),
                        Err(end) => break end,
                    }
                    expected += 1;
                };
                assert_eq!(end, RecvError::PeerDied, "{backing:?}");
            });
        }
        let stat = ringway::inspect::stat(ring.address()).unwrap();
        assert_eq!(stat.received, expected, "{backing:?}");
    }
}

/// Each consumer says a number before it releases the message. Between the two it may die: then the
/// message comes again, and only that one.
#[test]
fn consumers_killed_at_any_moment_lose_nothing() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let mut random = Random(2);
        let mut sender = ring.sender().unwrap();
        let mut next = 0;
        let mut last_said = None;
        for round in 0..40 {
            let consumer = Second::start("receive for ever", &ring);
            sender.wait_for_peer_deadline(watchdog()).unwrap();
            let mut words = Vec::new();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // However the processors are shared out, some come to receive something.
                    if round % 2 == 0 {
                        words.push(consumer.hear());
                    }
                    kill_soon(&consumer, &mut random);
                });
                let end = loop {
                    match sender.send_deadline(&number(next), watchdog()) {
                        Ok(()) => next += 1,
                        Err(end) => break end,
                    }
                };
                assert_eq!(end, SendError::PeerDied, "{backing:?}");
            });
            words.extend(consumer.last_words());
            for said in words {
                let said: u64 = said.parse().unwrap();
                let follows = match last_said {
                    None => said == 0,
                    Some((last, true)) => said == last || said == last + 1,
                    Some((last, false)) => said == last + 1,
                };
                assert!(follows, "{backing:?}: {said} after {last_said:?}");
                last_said = Some((said, false));
            }
            last_said = last_said.map(|(last, _)| (last, true));
        }
        let mut receiver = ring.receiver().unwrap();
        let rest = std::iter::from_fn(|| receiver.try_recv().ok());
        let rest: Vec<_> = rest.map(|message| number_in(&message)).collect();
        let (last, _) = last_said.unwrap();
        assert!(rest[0] == last || rest[0] == last + 1, "{backing:?}");
        assert!(rest.iter().copied().eq(rest[0]..next), "{backing:?}");
    }
}

fn kill_soon(victim: &Second, random: &mut Random) {
    std::thread::sleep(Duration::from_micros(random.below(2000)));
    victim.kill_unreaped();
}

fn send_for_ever(first: &First) {
    let ring = first.ring();
    let mut sender = ring.sender().unwrap();
    // Attaching has counted what the dead one did not come to count.
    let mut next = ringway::inspect::stat(ring.address()).unwrap().sent;
    first.say("attached");
    loop {
        sender.send(&number(next)).unwrap();
        next += 1;
    }
}

fn receive_for_ever(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    loop {
        let message = receiver.recv_in_place().unwrap();
        first.say(number_in(&message.to_vec()));
        message.release();
    }
}
