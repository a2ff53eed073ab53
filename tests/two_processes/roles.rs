//! Roles of second processes that several tests need.

use ringway::{SendError, Sender};

use super::First;
use super::messages::{number, number_in};

/// Sends so many messages as the test says, numbered from 0 on, says so, and waits to be told again.
/// Closes when it is told 0.
pub fn send(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    loop {
        let count = first.hear().parse().unwrap();
        if count == 0 {
            return;
        }
        for index in 0..count {
            sender.send(&number(index)).unwrap();
        }
        first.say(count);
    }
}

/// Receives a message whenever it is told to, and says its number. Closes when it is told to.
pub fn receive(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    first.say("attached");
    while first.hear() == "next" {
        first.say(number_in(&receiver.recv().unwrap()));
    }
    receiver.close();
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
