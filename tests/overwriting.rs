//! A ring that overwrites never makes its producers wait: the oldest messages go, in order, and are
//! counted; what a consumer looks at stays.

mod two_processes;

use ringway::{RecvError, Role, SendError, Stat, stat};
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
        let mut sent = 1;
        for index in 1..1000 {
            match sender.try_send(&number(index)) {
                Ok(()) => sent += 1,
                Err(SendError::Full) => {}
                Err(error) => panic!("{row}: {error}"),
            }
            assert_eq!(number_in(&borrowed.to_vec()), 0, "{row}");
        }
        borrowed.release();
        sender.try_send(&number(1000)).unwrap();
        sent += 1;
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
