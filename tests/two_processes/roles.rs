//! Roles of second processes that several tests need.

use nix::unistd::{Uid, setresuid};
use ringway::{Ring, SendError, Sender};

use super::messages::{number, number_in};
use super::{First, Second};

/// A process that plays "send": it is attached as a producer, and has sent so many messages.
pub fn producer(ring: &Ring, messages: u64) -> Second {
    let producer = Second::start("send", ring);
    producer.say(messages);
    producer.expect(&messages.to_string());
    producer
}

/// A process that plays "receive": it is attached as a consumer.
pub fn consumer(ring: &Ring) -> Second {
    let consumer = Second::start("receive", ring);
    consumer.expect("attached");
    consumer
}

/// Sends so many messages as the test says, numbered from 0 on, says so, and waits to be told again:
/// how many more, to close, or to leave.
pub fn send(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    loop {
        let count = match first.hear().as_str() {
            "close" => return sender.close(),
            "leave" => return sender.leave(),
            count => count.parse().unwrap(),
        };
        for index in 0..count {
            sender.send(&number(index)).unwrap();
        }
        first.say(count);
    }
}

/// Receives a message whenever it is told "next", and says its number, until it is told to close or to
/// leave.
pub fn receive(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    first.say("attached");
    loop {
        match first.hear().as_str() {
            "next" => first.say(number_in(&receiver.recv().unwrap())),
            "close" => return receiver.close(),
            _ => return,
        }
    }
}

/// Goes on as another user, which only root can.
pub fn become_nobody() {
    let nobody = Uid::from_raw(65534);
    setresuid(nobody, nobody, nobody).unwrap();
}

/// Sends until the ring is full.
pub fn fill(sender: &mut Sender) {
    loop {
        match sender.try_send(&number(0)) {
            Ok(()) => {}
            Err(SendError::Full) => return,
            Err(error) => panic!("{error}"),
        }
    }
}
