//! One thread waits for several rings at once, of all kinds together, as many as there are.

mod two_processes;

use std::thread;
use std::time::{Duration, Instant};

use ringway::wait::{Key, WaitError, WaitSet};
use ringway::{Receiver, RecvError, Ring, SyncKind, WaitStrategy};
use two_processes::messages::{number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::procfs::while_blocked;
use two_processes::roles::{producer, send};
use two_processes::table::Row;
use two_processes::{in_time, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        _ => panic!("{role}"),
    });
}

type All = (Vec<Row>, Vec<(Ring, Place)>, WaitSet, Vec<Key>);

/// One ring of each row on shared memory, and a set of their receivers. Keys are in the rows' order.
fn all(how: WaitStrategy) -> All {
    let rows = Row::on_shm();
    let few = |row: &Row| row.ring_with(|builder| builder.participants(2));
    let rings: Vec<(Ring, Place)> = rows.iter().map(few).collect();
    let mut set = WaitSet::new().with_wait(how);
    let add = |(ring, _): &(Ring, Place)| set.add(ring.receiver().unwrap());
    let keys = rings.iter().map(add).collect();
    (rows, rings, set, keys)
}

fn wait(set: &mut WaitSet) -> Key {
    in_time(|deadline| set.wait_deadline(deadline)).unwrap()
}

#[test]
fn the_one_that_has_something_is_told() {
    let (rows, rings, mut set, keys) = all(WaitStrategy::Park);
    let attach = |(ring, _): &(Ring, Place)| ring.sender().unwrap();
    let mut senders: Vec<_> = rings.iter().map(attach).collect();
    for (index, sender) in senders.iter_mut().enumerate() {
        assert_eq!(set.wait_deadline(Instant::now()), Err(WaitError::TimedOut));
        sender.send(&number(7)).unwrap();
        assert_eq!(wait(&mut set), keys[index], "{}", rows[index]);
        let message = set[keys[index]].try_recv().unwrap();
        assert_eq!(number_in(&message), 7);
    }
    // Those that have ended are told of in turn.
    drop(senders);
    let mut told: Vec<_> = keys.iter().map(|_| wait(&mut set)).collect();
    told.sort();
    assert_eq!(told, keys);
}

#[test]
fn a_message_in_any_of_them_and_the_death_of_any_producer_ends_the_wait() {
    for how in [WaitStrategy::Park, WaitStrategy::default()] {
        let (rows, rings, mut set, keys) = all(how);
        let producers: Vec<_> = rings.iter().map(|(ring, _)| producer(ring, 0)).collect();
        for (index, row) in rows.iter().enumerate() {
            let key = keys[index];
            let ready = while_blocked(how, || producers[index].say(1), || wait(&mut set));
            assert_eq!(ready, key, "{row}");
            assert_eq!(number_in(&set[key].try_recv().unwrap()), 0);
            let kill = || producers[index].kill_unreaped();
            let ready = while_blocked(how, kill, || wait(&mut set));
            assert_eq!(ready, key, "{row}");
            assert_eq!(set[key].try_recv(), Err(RecvError::PeerDied));
            set.remove(key).unwrap();
        }
    }
}

#[test]
fn all_of_several_streams_are_received_to_their_ends() {
    const MESSAGES: u64 = 2000;
    for how in [WaitStrategy::Park, WaitStrategy::default()] {
        let (rows, rings, mut set, keys) = all(how);
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
        while !set.is_empty() {
            let key = wait(&mut set);
            let index = keys.iter().position(|other| *other == key).unwrap();
            let next = &mut next[index];
            let drained = set[key].drain(5, |message| {
                assert_eq!(number_in(&message.to_vec()), *next);
                *next += 1;
            });
            match drained {
                Ok(_) => {}
                Err(RecvError::Closed) => drop(set.remove(key)),
                Err(error) => panic!("{}: {error}", rows[index]),
            }
        }
        assert!(next.iter().all(|&next| next == MESSAGES), "{next:?}");
        for producer in producers {
            producer.expect(&MESSAGES.to_string());
            producer.finish();
        }
    }
}

/// However much there is in one, the others have their turn; also when some are added and removed meanwhile.
#[test]
fn each_comes_in_turn() {
    const RINGS: usize = 5;
    let rings: Vec<_> = (0..RINGS + 1).map(|_| Backing::Memfd.ring(65536)).collect();
    let mut set = WaitSet::new();
    let mut senders = Vec::new();
    let mut keys = Vec::new();
    for (ring, _) in &rings {
        let mut sender = ring.sender().unwrap();
        (0..100).for_each(|_| sender.send(b"much").unwrap());
        senders.push(sender);
        keys.push(set.add(ring.receiver().unwrap()));
    }
    // One that comes late is the last.
    let late = set.remove(keys.pop().unwrap()).unwrap();
    let mut counts = [0; RINGS];
    for _ in 0..RINGS * 20 {
        let key = wait(&mut set);
        set[key].recv().unwrap();
        counts[keys.iter().position(|other| *other == key).unwrap()] += 1;
    }
    assert_eq!(counts, [20; RINGS]);
    let new = set.add(late);
    assert!(!keys.contains(&new));
    let mut told = Vec::new();
    for round in 0..RINGS * 2 {
        let key = wait(&mut set);
        set[key].recv().unwrap();
        told.push(key);
        if round == 2 {
            assert!(set.remove(keys[1]).is_some());
            assert!(set.remove(keys[1]).is_none());
        }
    }
    assert!(told.contains(&new));
    for pair in told[3..].chunks_exact(RINGS) {
        let mut sorted = pair.to_vec();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), RINGS, "{told:?}");
    }
}

/// The kernel waits for 128 at once.
#[test]
fn hundreds_can_be_waited_for() {
    const RINGS: usize = 300;
    let rings: Vec<_> = (0..RINGS).map(|_| Backing::Memfd.ring(4096)).collect();
    let mut receivers: Vec<Receiver> = Vec::new();
    let mut senders = Vec::new();
    for (ring, _) in &rings {
        receivers.push(ring.receiver().unwrap());
        senders.push(ring.sender().unwrap());
    }
    // Borrowed, this time.
    let mut set = WaitSet::new().with_wait(WaitStrategy::Park);
    let keys: Vec<Key> = receivers
        .iter_mut()
        .map(|receiver| set.add(receiver))
        .collect();
    for round in 0..100 {
        let index = (round * 67 + 250) % RINGS;
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_micros(round as u64 % 3 * 300));
                senders[index].send(&number(index as u64)).unwrap();
            });
            let key = in_time(|deadline| set.wait_deadline(deadline)).unwrap();
            assert_eq!(key, keys[index]);
            let message = set.get_mut(key).unwrap().try_recv().unwrap();
            assert_eq!(number_in(&message), index as u64);
        });
    }
}

#[test]
fn a_wait_is_interrupted() {
    for how in two_processes::WAITS {
        let (_, rings, mut set, _) = all(how);
        let _senders: Vec<_> = rings
            .iter()
            .map(|(ring, _)| ring.sender().unwrap())
            .collect();
        let interrupter = set.interrupter();
        for round in 0..100 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(Duration::from_micros(round % 4 * 100));
                    interrupter.interrupt();
                });
                let ended = in_time(|deadline| set.wait_deadline(deadline));
                assert_eq!(ended, Err(WaitError::Interrupted), "{how:?}");
            });
        }
        assert_eq!(set.wait_deadline(Instant::now()), Err(WaitError::TimedOut));
        drop(set);
        interrupter.interrupt();
    }
}

#[test]
fn nothing_is_waited_for_in_vain() {
    assert_eq!(WaitSet::<Receiver>::new().wait(), Err(WaitError::Nothing));
    // A receiver that has been in a set goes on by itself.
    for sync in SyncKind::ALL {
        let row = Row::on_shm()
            .into_iter()
            .find(|row| row.sync == sync)
            .unwrap();
        let (ring, _place) = row.ring();
        let mut set = WaitSet::new();
        let key = set.add(ring.receiver().unwrap());
        let moment = Duration::from_millis(1);
        assert_eq!(set.wait_timeout(moment), Err(WaitError::TimedOut));
        let mut receiver = set.remove(key).unwrap();
        let mut sender = ring.sender().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                sender.send(b"message").unwrap();
            });
            let message = in_time(|deadline| receiver.recv_deadline(deadline));
            assert_eq!(message.unwrap(), b"message", "{row}");
        });
    }
}
