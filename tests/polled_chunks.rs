//! Messages of any length, and channels, that are polled: each fragment wakes who waits, and so does the death of who was in the middle
//! of a message while others live.

mod two_processes;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use ringway::chunk::{ChunkReceiver, ChunkRecvError, ChunkSender};
use ringway::{Channel, Kind, RecvError};
use ringway_testing::tasks::block_on;
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "half a message" => half_a_message(first),
        _ => panic!("{role}"),
    });
}

/// Sends fragments until there is no room, which is in the middle of the message.
fn half_a_message(first: &First) {
    let mut sender = ChunkSender::new(first.ring().sender().unwrap());
    let message = vec![1; 1 << 20];
    let mut sending = pin!(sender.sending(&message));
    let mut context = Context::from_waker(Waker::noop());
    assert!(sending.as_mut().poll(&mut context).is_pending());
    first.say("half");
    first.hear();
}

fn bytes(number: usize) -> Vec<u8> {
    let len = [0, 1, 1000, 100_000, 1 << 20][number % 5];
    (0..len).map(|at| (at * 31 + number) as u8).collect()
}

#[test]
fn messages_of_any_length_go_through_a_small_ring_or_queue() {
    let place = Place::new(Backing::Shm);
    let ring = place.builder().capacity(1 << 14).create().unwrap();
    let queue = format!("mq:/ringway-test-polled-{}", std::process::id());
    let queue = Channel::create(ringway::at(&queue).unwrap()).unwrap();
    let ring = Channel::open(ringway::Builder::at(ring.address().clone())).unwrap();
    for channel in [ring, queue] {
        let mut sender = ChunkSender::new(channel.sender().unwrap());
        let mut receiver = ChunkReceiver::new(channel.receiver().unwrap());
        let sending = thread::spawn(move || {
            for number in 0..20 {
                let message = bytes(number);
                let mut sending = pin!(sender.sending(&message));
                block_on(|context| sending.as_mut().poll(context)).unwrap();
            }
        });
        for number in 0..20 {
            let message = block_on(|context| receiver.poll_recv(context)).unwrap();
            assert!(message == bytes(number), "{number}");
        }
        sending.join().unwrap();
        let end = block_on(|context| receiver.poll_recv(context));
        assert!(matches!(
            end,
            Err(ChunkRecvError::Transport(RecvError::Closed))
        ));
        drop(receiver);
        Channel::remove(channel.address(), true).unwrap();
    }
}

#[test]
fn channels_are_polled() {
    let queue = format!("mq:/ringway-test-channel-{}", std::process::id());
    let queue = Channel::create(ringway::at(&queue).unwrap()).unwrap();
    let ring = Channel::create(ringway::at("memfd:").unwrap()).unwrap();
    for channel in [ring, queue] {
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let sending = thread::spawn(move || {
            for number in 0..1000_u32 {
                let message = number.to_le_bytes();
                block_on(|context| sender.poll_send(context, &message)).unwrap();
            }
        });
        for number in 0..1000_u32 {
            let message = block_on(|context| receiver.poll_recv(context)).unwrap();
            assert_eq!(message, number.to_le_bytes());
        }
        sending.join().unwrap();
        drop(receiver);
        let _ = Channel::remove(channel.address(), true);
    }
}

#[test]
fn the_death_of_one_in_the_middle_of_a_message_is_told_although_others_live() {
    let place = Place::new(Backing::Shm);
    let builder = place.builder().kind(Kind::Mpsc).capacity(1 << 14);
    let ring = builder.create().unwrap();
    let mut other = ChunkSender::new(ring.sender().unwrap());
    let second = Second::start("half a message", &ring);
    second.expect("half");
    let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
    let mut context = Context::from_waker(Waker::noop());
    // What is there is taken, and more would come.
    while receiver.poll_recv(&mut context).is_ready() {}
    let lost = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(std::time::Duration::from_millis(50));
            second.kill();
        });
        block_on(|context| receiver.poll_recv(context))
    });
    assert!(matches!(lost, Err(ChunkRecvError::Lost(_))), "{lost:?}");
    other.send(b"goes on").unwrap();
    let message = block_on(|context| receiver.poll_recv(context));
    assert_eq!(message.unwrap(), b"goes on");
}

#[test]
fn a_message_whose_future_is_dropped_is_given_up_and_the_next_one_comes() {
    let ring = ringway::at("memfd:")
        .unwrap()
        .capacity(1 << 14)
        .create()
        .unwrap();
    let mut sender = ChunkSender::new(ring.sender().unwrap());
    let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
    let long = vec![1; 1 << 20];
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut sending = pin!(sender.sending(&long));
        assert!(sending.as_mut().poll(&mut context).is_pending());
        // Of the receiver's, too, a future that is dropped has lost nothing.
        assert!(receiver.poll_recv(&mut context).is_pending());
    }
    let lost = block_on(|context| receiver.poll_recv(context));
    assert!(matches!(lost, Err(ChunkRecvError::Lost(_))), "{lost:?}");
    let mut sending = pin!(sender.sending(b"next"));
    assert!(matches!(
        sending.as_mut().poll(&mut context),
        Poll::Ready(Ok(()))
    ));
    let message = block_on(|context| receiver.poll_recv(context));
    assert_eq!(message.unwrap(), b"next");
}
