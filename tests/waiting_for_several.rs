//! One thread waits for several rings at once, of any kinds that can be waited for together.

mod two_processes;

use std::time::Instant;

use ringway::wait::{WaitError, wait_any, wait_any_deadline};
use ringway::{Kind, Receiver, RecvError, Ring, SyncKind, WaitStrategy};
use two_processes::messages::{number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::procfs::while_blocked;
use two_processes::roles::{producer, send};
use two_processes::table::Row;
use two_processes::{in_time, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        _ => panic!("{role}"),
    });
}

/// The rows on shared memory that one thread can wait for together: those that sleep on words, and those
/// that are polled.
fn together() -> [Vec<Row>; 2] {
    let polled = |row: &Row| row.sync == SyncKind::Mqueue;
    let semaphore =
        |row: &Row| matches!(row.sync, SyncKind::PosixSem | SyncKind::SysvSem) && row.has_cells();
    let rows = Row::on_shm().into_iter().filter(|row| !semaphore(row));
    let (polled, on_words): (Vec<_>, _) = rows.partition(polled);
    [on_words, polled]
}

fn rings(rows: &[Row]) -> Vec<(Ring, Place)> {
    rows.iter()
        .map(|row| row.ring_with(|builder| builder.participants(2)))
        .collect()
}

fn receivers(rings: &[(Ring, Place)], wait: WaitStrategy) -> Vec<Receiver> {
    rings
        .iter()
        .map(|(ring, _)| ring.receiver().unwrap().with_wait(wait))
        .collect()
}

fn wait(receivers: &mut [Receiver]) -> Vec<usize> {
    let mut all: Vec<_> = receivers.iter_mut().collect();
    in_time(|deadline| wait_any_deadline(&mut all, deadline)).unwrap()
}

#[test]
fn those_that_have_something_are_told() {
    for rows in together() {
        let rings = rings(&rows);
        let mut receivers = receivers(&rings, WaitStrategy::Park);
        let mut senders: Vec<_> = rings
            .iter()
            .map(|(ring, _)| ring.sender().unwrap())
            .collect();
        for (index, sender) in senders.iter_mut().enumerate() {
            let mut all: Vec<_> = receivers.iter_mut().collect();
            let nothing = wait_any_deadline(&mut all, Instant::now());
            assert_eq!(nothing, Err(WaitError::TimedOut));
            sender.send(&number(7)).unwrap();
            assert_eq!(wait(&mut receivers), [index], "{}", rows[index]);
            assert_eq!(number_in(&receivers[index].try_recv().unwrap()), 7);
        }
        for (index, sender) in senders.into_iter().enumerate() {
            sender.close();
            let ended: Vec<_> = (0..=index).collect();
            assert_eq!(wait(&mut receivers), ended, "{}", rows[index]);
        }
    }
}

#[test]
fn a_message_in_any_of_them_and_the_death_of_any_producer_ends_the_wait() {
    for rows in together() {
        for wait_how in [WaitStrategy::Park, WaitStrategy::default()] {
            for (index, row) in rows.iter().enumerate() {
                let rings = rings(&rows);
                let mut receivers = receivers(&rings, wait_how);
                let producers: Vec<_> = rings.iter().map(|(ring, _)| producer(ring, 0)).collect();
                let ready = while_blocked(
                    wait_how,
                    || producers[index].say(1),
                    || wait(&mut receivers),
                );
                assert_eq!(ready, [index], "{row}");
                assert_eq!(number_in(&receivers[index].try_recv().unwrap()), 0);
                let ready = while_blocked(
                    wait_how,
                    || producers[index].kill_unreaped(),
                    || wait(&mut receivers),
                );
                assert_eq!(ready, [index], "{row}");
                assert_eq!(receivers[index].try_recv(), Err(RecvError::PeerDied));
            }
        }
    }
}

#[test]
fn all_of_several_streams_are_received_to_their_ends() {
    const MESSAGES: u64 = 2000;
    for rows in together() {
        for how in [WaitStrategy::Park, WaitStrategy::default()] {
            let rings = rings(&rows);
            let mut receivers = receivers(&rings, how);
            let producers: Vec<_> = rings
                .iter()
                .map(|(ring, _)| {
                    let producer = producer(ring, 0);
                    producer.say(MESSAGES);
                    producer.say("close");
                    producer
                })
                .collect();
            let mut next = vec![0; rows.len()];
            let mut open: Vec<usize> = (0..rows.len()).collect();
            while !open.is_empty() {
                let mut waiting: Vec<_> = receivers
                    .iter_mut()
                    .enumerate()
                    .filter(|(index, _)| open.contains(index))
                    .map(|(_, receiver)| receiver)
                    .collect();
                let ready = in_time(|deadline| wait_any_deadline(&mut waiting, deadline)).unwrap();
                assert!(!ready.is_empty());
                let ready: Vec<_> = ready.into_iter().map(|position| open[position]).collect();
                for index in ready {
                    let next = &mut next[index];
                    let drained = receivers[index].drain(5, |message| {
                        assert_eq!(number_in(&message.to_vec()), *next);
                        *next += 1;
                    });
                    match drained {
                        Ok(_) => {}
                        Err(RecvError::Closed) => open.retain(|&other| other != index),
                        Err(error) => panic!("{}: {error}", rows[index]),
                    }
                }
            }
            assert!(next.iter().all(|&next| next == MESSAGES), "{next:?}");
            for producer in producers {
                producer.expect(&MESSAGES.to_string());
                producer.finish();
            }
        }
    }
}

/// When it would have to sleep.
#[test]
fn what_cannot_be_waited_for_together_is_refused() {
    assert_eq!(wait_any(&mut []), Err(WaitError::Nothing));
    let ring = |kind, sync| {
        let row = Row {
            kind,
            sync,
            backing: Backing::Shm,
        };
        row.ring()
    };
    let receiver = |ring: &(Ring, Place)| ring.0.receiver().unwrap();
    let words = ring(Kind::Mpmc, SyncKind::Futex);
    let polled = ring(Kind::Spsc, SyncKind::Mqueue);
    let (mut words, mut polled) = (receiver(&words), receiver(&polled));
    let mixed = wait_any_deadline(&mut [&mut words, &mut polled], watchdog());
    assert_eq!(mixed, Err(WaitError::Mixed));
    for sync in [SyncKind::PosixSem, SyncKind::SysvSem] {
        let semaphore = ring(Kind::Mpmc, sync);
        let mut semaphore = receiver(&semaphore);
        let refused = wait_any_deadline(&mut [&mut words, &mut semaphore], watchdog());
        assert_eq!(refused, Err(WaitError::Semaphore), "{sync:?}");
    }
    let many: Vec<_> = (0..130)
        .map(|_| ring(Kind::Spsc, SyncKind::Futex))
        .collect();
    let mut many: Vec<_> = many.iter().map(receiver).collect();
    let mut many: Vec<_> = many.iter_mut().collect();
    let refused = wait_any_deadline(&mut many, watchdog());
    assert!(matches!(refused, Err(WaitError::TooMany { words }) if words >= 130));
}
