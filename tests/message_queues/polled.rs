//! Queues that are polled: each message and each death wakes who waits, and what cannot be waited for says so.

use std::thread;

use ringway::{RecvError, SendError};
use ringway_testing::tasks::block_on;

use super::deaths::{receiver_at, sender_at};
use super::place::System;
use super::two_processes::Second;
use super::two_processes::messages::{number, number_in};

#[test]
fn each_message_and_each_room_wakes_a_task() {
    const MESSAGES: u64 = 2000;
    let (mut sender, mut receiver, _place) = System::Posix.ends();
    let sending = thread::spawn(move || {
        for next in 0..MESSAGES {
            let message = number(next);
            block_on(|context| sender.poll_send(context, &message)).unwrap();
        }
    });
    for expected in 0..MESSAGES {
        let message = block_on(|context| receiver.poll_recv(context)).unwrap();
        assert_eq!(number_in(&message), expected);
        if expected % 100 == 0 {
            // The other side fills it, and sleeps.
            thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    sending.join().unwrap();
    let end = block_on(|context| receiver.poll_recv(context));
    assert_eq!(end, Err(RecvError::Closed));
}

#[test]
fn a_task_learns_that_the_sender_died() {
    for messages in [3, 0] {
        let (queue, _place) = System::Posix.queue();
        let mut receiver = queue.receiver().unwrap();
        let sender = sender_at(queue.address(), messages);
        for _ in 0..messages {
            block_on(|context| receiver.poll_recv(context)).unwrap();
        }
        let told = killed_while(&sender, || block_on(|context| receiver.poll_recv(context)));
        assert_eq!(told, Err(RecvError::PeerDied), "{messages}");
    }
}

#[test]
fn a_task_learns_that_the_receiver_died() {
    let (queue, _place) = System::Posix.queue();
    let mut sender = queue.sender().unwrap();
    let receiver = receiver_at(queue.address());
    while sender.try_send(&number(0)).is_ok() {}
    let told = killed_while(&receiver, || {
        block_on(|context| sender.poll_send(context, &number(0)))
    });
    assert_eq!(told, Err(SendError::PeerDied));
}

/// What `wait` says when the other one is killed while it waits.
fn killed_while<T>(other: &Second, wait: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(std::time::Duration::from_millis(50));
            other.kill();
        });
        wait()
    })
}

/// A task whose future is dropped has taken nothing, and a handle that goes takes its thread with it.
#[test]
fn what_is_dropped_has_taken_nothing() {
    let (mut sender, mut receiver, _place) = System::Posix.ends();
    let mut never = std::task::Context::from_waker(std::task::Waker::noop());
    for next in 0..100 {
        assert!(receiver.poll_recv(&mut never).is_pending());
        sender.send(&number(next)).unwrap();
        // Blocked, tried, or polled.
        let message = match next % 3 {
            0 => receiver.recv(),
            1 => receiver.try_recv(),
            _ => block_on(|context| receiver.poll_recv(context)),
        };
        assert_eq!(number_in(&message.unwrap()), next);
    }
    drop(receiver);
    while sender.try_send(&number(0)).is_ok() {}
    assert!(sender.poll_send(&mut never, &number(0)).is_pending());
}

#[test]
fn tasks_cannot_wait_for_queues_of_system_v() {
    for system in [System::Sysv, System::SysvInTurn] {
        let (mut sender, mut receiver, _place) = system.ends();
        let none = block_on(|context| receiver.poll_recv(context));
        let errno = nix::errno::Errno::EOPNOTSUPP as i32;
        assert_eq!(none, Err(RecvError::NoWaiter { errno }));
        assert!(none.unwrap_err().to_string().contains("use an address mq:"));
        // What need not wait is done.
        block_on(|context| sender.poll_send(context, &number(7))).unwrap();
        let message = block_on(|context| receiver.poll_recv(context)).unwrap();
        assert_eq!(number_in(&message), 7);
        while sender.try_send(&number(0)).is_ok() {}
        let full = block_on(|context| sender.poll_send(context, &number(0)));
        assert_eq!(full, Err(SendError::NoWaiter { errno }));
    }
}
