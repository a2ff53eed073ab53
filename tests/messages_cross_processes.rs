//! Every message arrives once, whole and in order in another process, however it is sent, received
//! and waited for, and the end of the stream is the end.

mod two_processes;

use std::io::IoSlice;
use std::time::Duration;

use ringway::{Receiver, RecvError, Sender, WaitStrategy};
use two_processes::messages::message;
use two_processes::place::Backing;
use two_processes::{First, Second, play, watchdog};

const DEFAULT_CAPACITY: u64 = 4 << 20;

const WAITS: [(&str, WaitStrategy); 3] = [
    ("spin", WaitStrategy::Spin),
    (
        "adaptive",
        WaitStrategy::Adaptive(Duration::from_micros(50)),
    ),
    ("park", WaitStrategy::Park),
];

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn through_a_small_ring_however_both_sides_wait() {
    for wait in WAITS {
        // Each lap of a small ring costs two that spin on one busy processor a time slice each.
        let count = if wait.1 == WaitStrategy::Spin {
            20_000
        } else {
            100_000
        };
        carry(Backing::Shm, 4096, wait, count);
    }
}

#[test]
fn through_a_ring_of_the_default_size_however_both_sides_wait() {
    for wait in WAITS {
        carry(Backing::Shm, DEFAULT_CAPACITY, wait, 100_000);
    }
}

#[test]
fn through_every_backing() {
    for backing in Backing::ALL {
        carry(backing, 4096, WAITS[1], 20_000);
        carry(backing, DEFAULT_CAPACITY, WAITS[1], 20_000);
    }
}

fn carry(backing: Backing, capacity: u64, (name, wait): (&str, WaitStrategy), count: u64) {
    let (ring, _place) = backing.ring(capacity);
    let second = Second::start("send", &ring);
    second.say(name);
    second.say(count);
    let mut receiver = ring.receiver().unwrap().with_wait(wait);
    let mut buffer = vec![0; ring.max_message_len() as usize];
    let mut number = 0;
    while number < count {
        number += receive_some(&mut receiver, number, &mut buffer);
    }
    assert_eq!(number, count);
    let end = receiver.recv_deadline(watchdog());
    assert_eq!(end, Err(RecvError::Closed), "{backing:?} {name}");
    second.expect("all is received");
    second.finish();
}

/// Receives some messages from `number` on, each time in another way. Returns how many.
fn receive_some(receiver: &mut Receiver, number: u64, buffer: &mut [u8]) -> u64 {
    let max = buffer.len();
    let message = |number| message(number, max);
    match number % 5 {
        0 => {
            let len = receiver.recv_into_deadline(buffer, watchdog()).unwrap();
            check(number, &buffer[..len], &message(number));
        }
        1 => {
            let found = receiver.recv_deadline(watchdog()).unwrap();
            check(number, &found, &message(number));
        }
        2 => {
            drop(receiver.recv_in_place_deadline(watchdog()).unwrap());
            let found = receiver.recv_in_place_deadline(watchdog()).unwrap();
            let half = found.len() / 2;
            let front = found.read_at(0, &mut buffer[..half]);
            assert_eq!(front, half);
            let rest = found.read_at(half, &mut buffer[half..]);
            assert_eq!(front + rest, found.len());
            check(number, &buffer[..found.len()], &message(number));
            found.release();
        }
        3 => {
            receiver.wait_deadline(watchdog()).unwrap();
            let mut next = number;
            let count = receiver
                .drain(7, |found| {
                    check(next, &found.to_vec(), &message(next));
                    next += 1;
                })
                .unwrap();
            assert_eq!(next, number + count as u64);
            return count as u64;
        }
        _ => {
            receiver.wait_deadline(watchdog()).unwrap();
            check(number, &receiver.try_recv().unwrap(), &message(number));
        }
    }
    1
}

#[track_caller]
fn check(number: u64, found: &[u8], expected: &[u8]) {
    assert!(
        found == expected,
        "message {number} has {} bytes and should have {}, or others",
        found.len(),
        expected.len()
    );
}

fn send(first: &First) {
    let ring = first.ring();
    let name = first.hear();
    let (_, wait) = WAITS.into_iter().find(|wait| wait.0 == name).unwrap();
    let count = first.hear().parse().unwrap();
    let mut sender = ring.sender().unwrap().with_wait(wait);
    let mut number = 0;
    while number < count {
        number += send_some(&mut sender, number, count);
    }
    sender.wait_until_drained_deadline(watchdog()).unwrap();
    first.say("all is received");
    sender.close();
}

/// Sends some messages from `number` on, each time in another way. Returns how many.
fn send_some(sender: &mut Sender, number: u64, count: u64) -> u64 {
    let max = sender.max_message_len() as usize;
    let message = |number| message(number, max);
    let bytes = message(number);
    let (front, rest) = bytes.split_at(bytes.len() / 3);
    match number / 3 % 5 {
        0 => sender.send_deadline(&bytes, watchdog()).unwrap(),
        1 => {
            let mut claim = sender.claim_deadline(bytes.len(), watchdog()).unwrap();
            assert_eq!(claim.write_at(front.len(), rest), rest.len());
            assert_eq!(claim.write_at(0, front), front.len());
            claim.commit();
        }
        2 => {
            let mut claim = sender.claim_deadline(max / 2, watchdog()).unwrap();
            claim.write_at(0, b"nobody sees this");
            claim.abort();
            let len = (bytes.len() + 3).min(max);
            let mut claim = sender.claim_deadline(len, watchdog()).unwrap();
            claim.write_at(0, &bytes);
            claim.commit_len(bytes.len());
        }
        3 => {
            let parts = [IoSlice::new(front), IoSlice::new(&[]), IoSlice::new(rest)];
            sender.send_vectored_deadline(&parts, watchdog()).unwrap();
        }
        _ => {
            let mut batch = sender.batch();
            let fitting = (number..count.min(number + 5))
                .take_while(|&number| batch.push(&message(number)).is_ok())
                .count();
            assert_eq!(batch.commit(), fitting as u64);
            if fitting > 0 {
                return fitting as u64;
            }
            sender.send_deadline(&bytes, watchdog()).unwrap();
        }
    }
    1
}
