//! Roles of second processes that several tests need.

use ringway::{SendError, Sender};

use super::First;
use super::messages::{number, number_in};

/// Sends so many messages as the test says, numbered from 0 on, says so, and waits to be told again:
/// how many more, to close, or to detach.
pub fn send(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    loop {
        let count = match first.hear().as_str() {
            "close" => return sender.close(),
            "detach" => return sender.detach(),
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
