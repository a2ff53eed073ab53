//! A ring that overwrites never makes its producers wait: the oldest messages go, in order, and are
//! counted; what a consumer looks at stays.

mod two_processes;

use ringway::inspect::{Stat, stat};
use ringway::peer::Role;
use ringway::{Builder, RecvError, SendError, WaitStrategy};
use two_processes::messages::{number, number_in, signature, signed};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn the_newest_messages_are_received_in_order() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut next = 0;
        let mut received = 0;
        for _ in 0..20 {
            for _ in 0..100 {
                sender.try_send(&number(next)).unwrap();
                next += 1;
            }
            let mut found = Vec::new();
            while let Ok(message) = receiver.try_recv() {
                found.push(number_in(&message));
            }
            received += found.len() as u64;
            // The last ones, without a gap: nobody overwrites while we receive.
            let first = next - found.len() as u64;
            assert!(found.iter().copied().eq(first..next), "{row}: {found:?}");
            assert!(found.len() > 10, "{row}: {found:?}");
        }
        assert_eq!(sender.overwritten() + received, next, "{row}");
        assert_eq!(receiver.received(), received, "{row}");
        assert_eq!(sender.sent(), next, "{row}");
    });
}

/// The first of them is overwritten, and the hint of where taking went on lies behind the others.
#[test]
fn what_is_given_back_comes_before_what_is_sent_later() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let cells = ring.capacity() / u64::from(ring.cell_len().unwrap());
        // So that the three that are given back begin at a lap's first cell.
        for _ in 0..cells {
            sender.try_send(&number(0)).unwrap();
            receiver.try_recv().unwrap();
        }
        (1..=3).for_each(|index| sender.try_send(&number(index)).unwrap());
        let mut backlog = receiver.backlog();
        for index in 1..=3 {
            let message = backlog.next_message().unwrap().unwrap();
            assert_eq!(number_in(&message.to_vec()), index, "{row}");
        }
        drop(backlog);
        // The last one takes the place of the first.
        for index in 4..=cells + 1 {
            sender.try_send(&number(index)).unwrap();
        }
        for index in 2..=cells + 1 {
            let next = receiver.try_recv();
            assert_eq!(next.as_deref().map(number_in), Ok(index), "{row}");
        }
    });
}

#[test]
fn long_messages_overwrite_as_many_short_ones_as_they_need() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let max = ring.max_message_len() as usize;
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        for index in 0..2000 {
            sender.try_send(&signed(1, index, max)).unwrap();
        }
        sender.try_send(&signed(1, 2000, max)).unwrap();
        let long = vec![7; max];
        sender.try_send(&long).unwrap();
        let mut found = Vec::new();
        let last = loop {
            let message = receiver.try_recv().unwrap();
            if message == long {
                break receiver.try_recv();
            }
            found.push(signature(&message, max).1);
        };
        assert_eq!(last, Err(RecvError::Empty));
        assert!(found.is_sorted(), "{row}: {found:?}");
        assert_eq!(found.last(), Some(&2000), "{row}");
        let lost = 2001 - found.len() as u64;
        assert_eq!(sender.overwritten(), lost, "{row}");
    });
}

#[test]
fn what_is_borrowed_is_not_overwritten() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        sender.try_send(&number(0)).unwrap();
        let borrowed = receiver.try_recv_in_place().unwrap();
        assert_eq!(number_in(&borrowed.to_vec()), 0);
        for index in 1..1000 {
            sender.try_send(&number(index)).unwrap();
            assert_eq!(number_in(&borrowed.to_vec()), 0, "{row}");
        }
        borrowed.release();
        sender.try_send(&number(1000)).unwrap();
        let sent = 1001;
        let mut received = 1;
        let mut last = 0;
        while let Ok(message) = receiver.try_recv() {
            let found = number_in(&message);
            assert!(found > last, "{row}");
            last = found;
            received += 1;
        }
        assert_eq!(last, 1000, "{row}");
        assert_eq!(sender.overwritten() + received, sent, "{row}");
    });
}

/// What each of several receivers holds stays whole, whatever their number and lengths, and goes once.
#[test]
fn what_several_hold_is_passed() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        let (ring, place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let max = ring.max_message_len() as usize;
        let mut sender = ring.sender().unwrap();
        let mut receivers: Vec<_> = (0..4).map(|_| ring.receiver().unwrap()).collect();
        let mut next = 0;
        let mut send = |messages: u64| {
            for index in next..next + messages {
                let message = signed(1, index, max / 8);
                sender.try_send(&message).unwrap();
            }
            next += messages;
        };
        for round in 0..50 {
            send(7);
            let borrowed: Vec<_> = receivers
                .iter_mut()
                .map(|receiver| receiver.try_recv_in_place().unwrap())
                .collect();
            let held: Vec<_> = borrowed.iter().map(|message| message.to_vec()).collect();
            send(50);
            for (message, held) in borrowed.into_iter().zip(held) {
                assert_eq!(message.to_vec(), held, "{row}");
                assert_eq!(signature(&held, max / 8).0, 1);
                match round % 2 {
                    0 => message.release(),
                    _ => message.give_back(),
                }
            }
        }
        let mut last = None;
        while let Ok(message) = receivers[0].try_recv() {
            let number = signature(&message, max / 8).1;
            assert!(last < Some(number), "{row}: {number} behind {last:?}");
            last = Some(number);
        }
        let stat = stat(&place.address).unwrap();
        assert_eq!(last, Some(next - 1), "{row}");
        assert_eq!(stat.sent, next, "{row}");
        assert_eq!(stat.received + stat.overwritten, next, "{row}");
        assert_eq!(stat.used_bytes, 0, "{row}");
    });
}

/// Of what a receiver holds too long and does not acknowledge, nothing comes again behind newer messages.
#[test]
fn what_is_held_too_long_and_left_is_overwritten() {
    for_each(Row::on_shm(), |row| {
        let (ring, place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        sender.try_send(&number(0)).unwrap();
        let message = receiver.try_recv_in_place().unwrap();
        for index in 1..100 {
            sender.try_send(&number(index)).unwrap();
        }
        drop(message);
        let received = u64::from(number_in(&receiver.try_recv().unwrap()) == 0);
        assert_eq!(received, 0, "{row}");
        while receiver.try_recv().is_ok() {}
        let stat = stat(&place.address).unwrap();
        assert_eq!(stat.received + stat.overwritten, 100, "{row}");
        assert_eq!(sender.overwritten() + 1, stat.overwritten, "{row}");
    });
}

/// A claim that is not committed while others come round: its message comes behind theirs.
#[test]
fn an_open_claim_makes_nobody_wait() {
    for_each(Row::with_many(Role::Producer, Row::on_shm()), |row| {
        let (ring, place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let (mut slow, mut sender) = (ring.sender().unwrap(), ring.sender().unwrap());
        let mut receiver = ring.receiver().unwrap();
        for len in [8, 400] {
            let mut claim = slow.try_claim(len).unwrap();
            for index in 0..100 {
                sender.try_send(&number(index)).unwrap();
                sender.send(&number(index).repeat(20)).unwrap();
            }
            // What the claim kept from the receiver lies before it now.
            let first = number_in(&receiver.try_recv().unwrap()[..8]);
            claim.write_at(0, &number(1000).repeat(len / 8));
            claim.commit();
            let mut last = first;
            let mut found = 0;
            while let Ok(message) = receiver.try_recv() {
                match number_in(&message[..8]) {
                    1000 => {
                        assert_eq!(message, number(1000).repeat(len / 8), "{row}");
                        found += 1;
                    }
                    number => {
                        assert!(number >= last, "{row}");
                        last = number;
                    }
                }
            }
            assert_eq!((last, found), (99, 1), "{row}");
        }
        let stat = stat(&place.address).unwrap();
        assert_eq!(stat.received + stat.overwritten, stat.sent, "{row}");
    });
}

/// Four cells: nobody waits, and no more goes than is needed. Where all is held there is no place, and nothing goes.
#[test]
fn a_small_ring_loses_what_it_has_to() {
    for_each(Row::on_shm(), |row| {
        let four = |builder: Builder| builder.overwrite_oldest(true).cell_len(1024);
        let (ring, place) = row.ring_with(four);
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        for index in 0..50 {
            sender.try_send(&number(index)).unwrap();
            assert_eq!(sender.overwritten(), index.saturating_sub(3), "{row}");
        }
        // Two cells: two messages go.
        sender.try_send(&[1; 1500]).unwrap();
        assert_eq!(sender.overwritten(), 48, "{row}");
        assert_eq!(receiver.try_recv().unwrap(), number(48), "{row}");
        assert_eq!(receiver.try_recv().unwrap(), number(49), "{row}");
        assert_eq!(receiver.try_recv().unwrap(), [1; 1500], "{row}");
        drop(receiver);
        if !row.has_many(Role::Consumer) {
            return;
        }
        let mut receivers: Vec<_> = (0..4).map(|_| ring.receiver().unwrap()).collect();
        for index in 0..4 {
            sender.try_send(&number(index)).unwrap();
        }
        let before = sender.overwritten();
        let mut held: Vec<_> = receivers
            .iter_mut()
            .map(|receiver| receiver.try_recv_in_place().unwrap())
            .collect();
        assert_eq!(sender.try_send(&number(4)), Err(SendError::Full), "{row}");
        held.remove(2).release();
        sender.try_send(&number(4)).unwrap();
        assert_eq!(sender.try_send(&[1; 1500]), Err(SendError::Full), "{row}");
        sender.try_send(&number(5)).unwrap();
        assert_eq!(sender.overwritten(), before + 1, "{row}");
        held.into_iter().for_each(|message| message.release());
        drop(receivers);
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(receiver.try_recv().unwrap(), number(5), "{row}");
        let stat = stat(&place.address).unwrap();
        assert_eq!(stat.received + stat.overwritten, stat.sent, "{row}");
    });
}

/// A sender that waits because all is held goes on when any of it is released, not only the oldest.
#[test]
fn a_sender_waits_for_any_place() {
    let rows = Row::with_many(Role::Consumer, Row::on_shm());
    for_each(rows, |row| {
        let four = |builder: Builder| builder.overwrite_oldest(true).cell_len(1024);
        let (ring, _place) = row.ring_with(four);
        for wait in [
            WaitStrategy::Park,
            WaitStrategy::Spin,
            WaitStrategy::default(),
        ] {
            let mut sender = ring.sender().unwrap().with_wait(wait);
            let mut receivers: Vec<_> = (0..4).map(|_| ring.receiver().unwrap()).collect();
            for index in 0..4 {
                sender.try_send(&number(index)).unwrap();
            }
            let mut held: Vec<_> = receivers
                .iter_mut()
                .map(|receiver| receiver.try_recv_in_place().unwrap())
                .collect();
            let last = held.pop().unwrap();
            std::thread::scope(|scope| {
                let sending = scope.spawn(move || {
                    sender.send(&number(4)).unwrap();
                    sender.leave();
                });
                last.release();
                sending.join().unwrap();
            });
            held.into_iter().for_each(|message| message.release());
            drop(receivers);
            assert_eq!(ring.receiver().unwrap().try_recv().unwrap(), number(4));
        }
    });
}

#[test]
fn producers_that_overwrite_never_wait_and_the_count_is_exact() {
    const EACH: u64 = 5000;
    for_each(Row::on_shm(), |row| {
        let (ring, place) = row.ring_with(|builder| builder.overwrite_oldest(true));
        let producers: Vec<_> = (0..row.up_to(2, Role::Producer))
            .map(|_| Second::start("send", &ring))
            .collect();
        let consumers: Vec<_> = (0..row.up_to(2, Role::Consumer))
            .map(|_| Second::start("receive", &ring))
            .collect();
        for (name, producer) in producers.iter().enumerate() {
            producer.say(name);
            producer.say(EACH);
        }
        for member in producers.iter().chain(&consumers) {
            member.expect("attached");
        }
        for member in producers.iter().chain(&consumers) {
            member.say("go");
        }
        let received: u64 = consumers
            .iter()
            .map(|consumer| consumer.hear().parse::<u64>().unwrap())
            .sum();
        let sent = EACH * producers.len() as u64;
        let Stat {
            sent: counted,
            received: released,
            overwritten,
            ..
        } = stat(&place.address).unwrap();
        assert_eq!((counted, released), (sent, received), "{row}");
        assert_eq!(received + overwritten, sent, "{row}");
    });
}

fn send(first: &First) {
    let ring = first.ring();
    let name = first.hear().parse().unwrap();
    let count = first.hear().parse().unwrap();
    let mut sender = ring.sender().unwrap();
    first.say("attached");
    assert_eq!(first.hear(), "go");
    let max = ring.max_message_len() as usize;
    for index in 0..count {
        // Consumers here copy and release at once, but may be stopped at it by the scheduler.
        sender.send(&signed(name, index, max)).unwrap();
    }
}

fn receive(first: &First) {
    let ring = first.ring();
    let mut receiver = ring.receiver().unwrap();
    first.say("attached");
    assert_eq!(first.hear(), "go");
    let max = ring.max_message_len() as usize;
    let mut next = [0; 2];
    let mut count = 0;
    let end = loop {
        match receiver.recv() {
            Ok(message) => {
                let (name, number) = signature(&message, max);
                let next = &mut next[name as usize];
                assert!(number >= *next, "{number} of {name} came behind {next}");
                *next = number + 1;
                count += 1;
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, RecvError::Closed);
    first.say(count);
}
