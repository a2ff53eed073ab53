//! No consumer starves: of several that sleep, each gets some of the messages of a slow producer.

mod two_processes;

use std::thread;

use ringway::peer::Role;
use ringway::{RecvError, WaitStrategy};
use two_processes::messages::number;
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, in_time, play};

/// What each of them must get.
const SHARE: u64 = 30;

#[test]
fn child_role() {
    play(|role, first| match role {
        "count" => count(first),
        _ => panic!("{role}"),
    });
}

/// Which of those that a message wakes takes it is up to the scheduler, so no number of messages must
/// be enough for all. They flow until everyone has its share, or hung for as long as a hang takes.
#[test]
fn each_of_several_sleeping_consumers_gets_some() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        let (ring, _place) = row.ring();
        let consumers: [_; 4] = std::array::from_fn(|_| Second::start("count", &ring));
        for consumer in &consumers {
            consumer.expect("attached");
        }
        let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
        let mut sent = 0;
        thread::scope(|scope| {
            let shares = scope.spawn(|| {
                for consumer in &consumers {
                    consumer.expect("share");
                }
            });
            while !shares.is_finished() {
                sender.send(&number(sent)).unwrap();
                in_time(|deadline| sender.wait_until_drained_deadline(deadline)).unwrap();
                sent += 1;
            }
            if shares.join().is_err() {
                panic!("{row}: a consumer starved beside {sent} messages");
            }
        });
        sender.close();
        let counts = consumers.map(|consumer| consumer.hear().parse::<u64>().unwrap());
        assert_eq!(counts.iter().sum::<u64>(), sent, "{row}: {counts:?}");
    });
}

fn count(first: &First) {
    let mut receiver = first
        .ring()
        .receiver()
        .unwrap()
        .with_wait(WaitStrategy::Park);
    first.say("attached");
    let mut count = 0;
    let end = loop {
        match receiver.recv() {
            Ok(_) => count += 1,
            Err(end) => break end,
        }
        if count == SHARE {
            first.say("share");
        }
    };
    assert_eq!(end, RecvError::Closed);
    first.say(count);
}
