//! Several processes hold a role at once, up to a number. The stream of messages ends when the last one
//! has left, as that one and those before it left.

mod two_processes;

use nix::sys::signal::Signal;
use ringway::inspect::{WaitsFor, stat};
use ringway::peer::{Peer, Role};
use ringway::{ErrorKind, RecvError, Ring, SendError, WaitStrategy};
use two_processes::messages::{number, number_in};
use two_processes::place::Backing;
use two_processes::procfs::{until_asleep, while_blocked};
use two_processes::roles::{consumer, fill, producer, receive, send};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, in_time, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        "borrow" => borrow(first),
        "sleep for a message" => sleep_for_a_message(first),
        "sleep for one message" => sleep_for_one_message(first),
        "sleep for room" => sleep_for_room(first),
        _ => panic!("{role}"),
    });
}

/// The supported rows with several in `role`.
fn rows_with_many(role: Role) -> Vec<Row> {
    Row::with_many(role, Row::supported())
}

/// A process that plays a role in which it attaches, says its thread, and sleeps.
fn sleeper(role: &str, ring: &Ring) -> Second {
    let sleeper = Second::start(role, ring);
    sleeper.expect("attached");
    until_asleep(sleeper.pid(), sleeper.hear().parse().unwrap());
    sleeper
}

/// What all sleepers learn when the last peer dies, or closes.
fn assert_told(sleepers: Vec<Second>, last: Second, dies: bool) {
    if dies {
        last.kill_unreaped();
    } else {
        close(last);
    }
    for sleeper in sleepers {
        sleeper.expect(if dies { "PeerDied" } else { "Closed" });
        sleeper.finish();
    }
}

fn close(process: Second) {
    process.say("close");
    process.finish();
}

fn leave(process: Second) {
    process.say("leave");
    process.finish();
}

#[test]
fn each_role_has_as_many_places_as_were_asked_for() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring_with(|builder| builder.participants(3));
        for role in [Role::Producer, Role::Consumer] {
            let start = || match role {
                Role::Producer => producer(&ring, 0),
                _ => consumer(&ring),
            };
            let attach = || match role {
                Role::Producer => ring.sender().map(ringway::Sender::leave),
                _ => ring.receiver().map(drop),
            };
            let mut holders: Vec<_> = (0..row.up_to(3, role)).map(|_| start()).collect();
            let error = attach().unwrap_err();
            let is_holder =
                |holder: &Second| error.kind() == ErrorKind::RoleTaken { pid: holder.pid() };
            assert!(holders.iter().any(is_holder), "{row}: {error}");
            // Death frees a place, and so does leaving.
            holders.remove(0).kill_unreaped();
            attach().unwrap_or_else(|error| panic!("{row}: {error}"));
            let next = start();
            attach().unwrap_err();
            leave(next);
            attach().unwrap_or_else(|error| panic!("{row}: {error}"));
        }
    });
}

#[test]
fn only_the_last_producer_ends_the_stream() {
    for_each(rows_with_many(Role::Producer), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let [one, other] = std::array::from_fn(|_| producer(&ring, 1));
        assert_eq!(receiver.producers_ever(), 2, "{row}");
        assert_eq!(receiver.peer(), Peer::Alive);
        close(one);
        assert_eq!(receiver.recv(), Ok(number(0).to_vec()));
        assert_eq!(receiver.recv(), Ok(number(0).to_vec()));
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        close(other);
        assert_eq!(receiver.recv(), Err(RecvError::Closed), "{row}");
        assert_eq!(receiver.peer(), Peer::Closed, "{row}");
        // Another one can go on, and its leaving is no end.
        leave(producer(&ring, 1));
        assert_eq!(receiver.recv(), Ok(number(0).to_vec()));
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        assert_eq!(receiver.peer(), Peer::Absent, "{row}");
        assert_eq!(receiver.producers_ever(), 3, "{row}");
    });
}

#[test]
fn a_dead_producer_among_others_is_told_when_all_are_gone() {
    for_each(rows_with_many(Role::Producer), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let [victim, other] = std::array::from_fn(|_| producer(&ring, 1));
        victim.kill_unreaped();
        assert_eq!(receiver.recv(), Ok(number(0).to_vec()));
        assert_eq!(receiver.recv(), Ok(number(0).to_vec()));
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        close(other);
        assert_eq!(receiver.recv(), Err(RecvError::PeerDied), "{row}");
        assert_eq!(receiver.peer(), Peer::Died, "{row}");
        // Its successor takes its place.
        close(producer(&ring, 1));
        assert_eq!(receiver.recv(), Ok(number(0).to_vec()));
        assert_eq!(receiver.recv(), Err(RecvError::Closed), "{row}");
    });
}

#[test]
fn sleeping_consumers_all_learn_that_the_last_producer_has_closed_or_died() {
    for_each(Row::on_shm(), |row| {
        for dies in [false, true] {
            let (ring, _place) = row.ring();
            let last = producer(&ring, 0);
            let sleepers: Vec<_> = (0..row.up_to(3, Role::Consumer))
                .map(|_| sleeper("sleep for a message", &ring))
                .collect();
            assert_told(sleepers, last, dies);
        }
    });
}

/// One wake-up for both messages. Who gets the first keeps the news of the second to itself.
#[test]
fn a_batch_wakes_all_that_sleep() {
    for_each(rows_with_many(Role::Consumer), |row| {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap();
        let sleepers: [_; 2] = std::array::from_fn(|_| sleeper("sleep for one message", &ring));
        let mut batch = sender.batch();
        batch.push(&number(1)).unwrap();
        batch.push(&number(2)).unwrap();
        batch.commit();
        let mut received = sleepers.each_ref().map(Second::hear);
        received.sort();
        assert_eq!(received, ["1", "2"], "{row}");
    });
}

#[test]
fn sleeping_producers_all_learn_that_the_last_consumer_has_closed_or_died() {
    for_each(Row::on_shm(), |row| {
        for dies in [false, true] {
            let (ring, _place) = row.ring();
            let mut sender = ring.sender().unwrap();
            fill(&mut sender);
            sender.leave();
            let last = consumer(&ring);
            let sleepers: Vec<_> = (0..row.up_to(3, Role::Producer))
                .map(|_| sleeper("sleep for room", &ring))
                .collect();
            assert_told(sleepers, last, dies);
        }
    });
}

#[test]
fn only_the_last_consumer_ends_the_sending() {
    for_each(rows_with_many(Role::Consumer), |row| {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap();
        let [one, other] = std::array::from_fn(|_| consumer(&ring));
        close(one);
        sender.send(&number(0)).unwrap();
        assert_eq!(sender.peer(), Peer::Alive, "{row}");
        close(other);
        assert_eq!(sender.try_send(&number(1)), Err(SendError::Closed), "{row}");
        assert_eq!(sender.peer(), Peer::Closed, "{row}");
        // Another one can go on.
        let next = consumer(&ring);
        sender.send(&number(1)).unwrap();
        next.say("next");
        next.expect("0");
    });
}

/// Whoever closed before: the last to leave a role decides, by closing or only by leaving.
#[test]
fn the_last_to_leave_decides_whether_that_was_all() {
    for_each(rows_with_many(Role::Producer), |row| {
        for closes in [[true, false], [false, true], [false, false], [true, true]] {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap();
            let senders = [ring.sender().unwrap(), ring.sender().unwrap()];
            for (mut sender, closes) in senders.into_iter().zip(closes) {
                sender.send(&number(0)).unwrap();
                match closes {
                    true => sender.close(),
                    false => sender.leave(),
                }
            }
            let (end, peer) = match closes[1] {
                true => (RecvError::Closed, Peer::Closed),
                false => (RecvError::Empty, Peer::Absent),
            };
            assert_eq!(receiver.peer(), peer, "{row} {closes:?}");
            assert_eq!(receiver.try_recv(), Ok(number(0).to_vec()));
            assert_eq!(receiver.try_recv(), Ok(number(0).to_vec()));
            assert_eq!(receiver.try_recv(), Err(end), "{row} {closes:?}");
            if !closes[1] {
                let past = std::time::Instant::now();
                let waited = receiver.recv_deadline(past);
                assert_eq!(waited, Err(RecvError::TimedOut), "{row} {closes:?}");
            }
        }
    });
    for_each(rows_with_many(Role::Consumer), |row| {
        for closes in [[true, false], [false, true], [false, false], [true, true]] {
            let (ring, _place) = row.ring();
            let mut sender = ring.sender().unwrap();
            let receivers = [ring.receiver().unwrap(), ring.receiver().unwrap()];
            for (receiver, closes) in receivers.into_iter().zip(closes) {
                match closes {
                    true => receiver.close(),
                    false => drop(receiver),
                }
            }
            let (sent, peer) = match closes[1] {
                true => (Err(SendError::Closed), Peer::Closed),
                false => (Ok(()), Peer::Absent),
            };
            assert_eq!(sender.peer(), peer, "{row} {closes:?}");
            assert_eq!(sender.try_send(b"x"), sent, "{row} {closes:?}");
        }
    });
}

/// The last one leaves, and does not close, while consumers sleep for a message: they sleep on, until one comes.
#[test]
fn sleeping_consumers_sleep_on_when_the_last_producer_detaches() {
    for_each(rows_with_many(Role::Producer), |row| {
        let (ring, _place) = row.ring();
        let [first, last] = [ring.sender().unwrap(), ring.sender().unwrap()];
        let sleeper = sleeper("sleep for one message", &ring);
        first.close();
        last.leave();
        let mut next = ring.sender().unwrap();
        next.send(&number(7)).unwrap();
        sleeper.expect("7");
    });
}

/// The kernel tells one sleeper of a death, and that one may be dying itself.
#[test]
fn who_sleeps_learns_of_one_death_among_several_at_the_same_moment() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        for _ in 0..10 {
            let (ring, _place) = row.ring();
            let last = producer(&ring, 0);
            let start = || sleeper("sleep for a message", &ring);
            let victims: [_; 3] = std::array::from_fn(|_| start());
            let survivor = start();
            for victim in victims.iter().chain([&last]) {
                victim.signal(Signal::SIGKILL);
            }
            survivor.expect("PeerDied");
            survivor.finish();
        }
    });
}

/// What the dead one had not released comes to those who sleep for something else.
#[test]
fn what_a_dead_consumer_held_wakes_a_sleeping_one() {
    for_each(rows_with_many(Role::Consumer), |row| {
        for wait in [WaitStrategy::Park, WaitStrategy::default()] {
            let (ring, _place) = row.ring();
            let mut sender = ring.sender().unwrap();
            let victim = Second::start("borrow", &ring);
            sender.send(&number(7)).unwrap();
            victim.expect("7");
            let mut receiver = ring.receiver().unwrap().with_wait(wait);
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
            let message = while_blocked(
                wait,
                || victim.kill_unreaped(),
                || in_time(|deadline| receiver.recv_deadline(deadline)),
            );
            assert_eq!(number_in(&message.unwrap()), 7, "{row} {wait:?}");
        }
    });
}

#[test]
fn an_observer_sees_each_of_many() {
    let mut rows = Row::supported();
    rows.retain(|row| row.has_cells() && row.backing != Backing::Memfd);
    for_each(rows, |row| {
        let (ring, place) = row.ring();
        let producers: Vec<_> = (0..row.up_to(2, Role::Producer))
            .map(|_| producer(&ring, 3))
            .collect();
        let idle = consumer(&ring);
        let sent = 3 * producers.len() as u64;
        for _ in 0..sent {
            idle.say("next");
            idle.hear();
        }
        let seen = stat(&place.address).unwrap();
        assert_eq!((seen.kind, seen.sync), (row.kind, row.sync));
        assert_eq!((seen.sent, seen.received), (sent, sent), "{row}");
        assert_eq!(seen.producers_ever, producers.len() as u64, "{row}");
        assert_eq!(seen.participants.len(), producers.len() + 1, "{row}");
        for who in &seen.participants {
            let (role, messages) = if who.pid == idle.pid() {
                (Role::Consumer, sent)
            } else {
                assert!(producers.iter().any(|producer| producer.pid() == who.pid));
                (Role::Producer, 3)
            };
            assert_eq!((who.role, who.messages), (role, messages), "{row}");
            assert!(who.alive && who.waits_for.is_none(), "{row}: {who:?}");
        }
        leave(idle);
        let waits_for = |pid: u32| {
            let seen = stat(&place.address).unwrap();
            let who = seen.participants.into_iter().find(|who| who.pid == pid);
            who.unwrap().waits_for
        };
        let sleeper = sleeper("sleep for a message", &ring);
        assert_eq!(waits_for(sleeper.pid()), Some(WaitsFor::Message), "{row}");
        for producer in producers {
            leave(producer);
        }
    });
}

/// Borrows a message, says its number, and keeps it.
fn borrow(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    let message = receiver.recv_in_place().unwrap();
    first.say(number_in(&message.to_vec()));
    first.hear();
}

/// Says its thread, and sleeps until a message comes or the end.
fn sleep_for_a_message(first: &First) {
    let mut receiver = first
        .ring()
        .receiver()
        .unwrap()
        .with_wait(WaitStrategy::Park);
    first.say("attached");
    first.say(nix::unistd::gettid());
    let end = receiver.recv().unwrap_err();
    first.say(name_of(end));
}

/// Says its thread, sleeps until a message comes, says its number, and does nothing more.
fn sleep_for_one_message(first: &First) {
    let mut receiver = first
        .ring()
        .receiver()
        .unwrap()
        .with_wait(WaitStrategy::Park);
    first.say("attached");
    first.say(nix::unistd::gettid());
    first.say(number_in(&receiver.recv().unwrap()));
    first.hear();
}

/// Says its thread, and sleeps until there is room or the end.
fn sleep_for_room(first: &First) {
    let mut sender = first.ring().sender().unwrap().with_wait(WaitStrategy::Park);
    first.say("attached");
    first.say(nix::unistd::gettid());
    let end = sender.send(&number(0)).unwrap_err();
    first.say(name_of(end));
}

/// Without the sentence that follows it.
fn name_of(error: impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split(':').next().unwrap_or_default().to_owned()
}
