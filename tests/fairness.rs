//! No consumer starves: of several that sleep, each gets some of the messages of a slow producer.

mod two_processes;

use ringway::{RecvError, Role, Wait};
use two_processes::messages::number;
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, in_time, play};

const MESSAGES: u64 = 3000;

#[test]
fn child_role() {
    play(|role, first| match role {
        "count" => count(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn each_of_several_sleeping_consumers_gets_some() {
    let mut rows = Row::on_shm();
    rows.retain(|row| row.has_many(Role::Consumer));
    for_each(rows, |row| {
        let (ring, _place) = row.ring();
        let consumers: [_; 4] = std::array::from_fn(|_| Second::start("count", &ring));
        for consumer in &consumers {
            consumer.expect("attached");
        }
        let mut sender = ring.sender().unwrap().with_wait(Wait::Park);
        for index in 0..MESSAGES {
            sender.send(&number(index)).unwrap();
            in_time(|deadline| sender.wait_until_drained(Some(deadline))).unwrap();
        }
        sender.close();
        let counts = consumers.map(|consumer| consumer.hear().parse::<u64>().unwrap());
        assert_eq!(counts.iter().sum::<u64>(), MESSAGES, "{row}");
        let least = *counts.iter().min().unwrap();
        assert!(least >= MESSAGES / 100, "{row}: {counts:?}");
    });
}

fn count(first: &First) {
    let mut receiver = first.ring().receiver().unwrap().with_wait(Wait::Park);
    first.say("attached");
    let mut count = 0;
    let end = loop {
        match receiver.recv() {
            Ok(_) => count += 1,
            Err(end) => break end,
        }
    };
    assert_eq!(end, RecvError::Closed);
    first.say(count);
}
