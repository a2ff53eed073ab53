//! One direction of a transport, and the two kinds of work that are made of it.

use std::ops::Range;

use crate::clock::ticks;

/// Which of the two processes this is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Sends, and measures round trips.
    Lead,
    /// Receives, or answers.
    Follow,
}

/// One direction of a transport: one process sends numbered messages, the other receives and checks
/// them. Calls cover whole ranges, so that batches are the implementation's affair, and are inlined
/// into the bursts below, so that nothing goes through a table per message.
pub trait Lane {
    /// In the sending process, first of all.
    fn start_sending(&mut self);
    /// In the receiving process, when the sender has started.
    fn start_receiving(&mut self);
    /// In the sending process, when both have started: takes away the name, if there is one.
    fn unlink(&mut self) {}
    fn send(&mut self, numbers: Range<u64>);
    fn receive(&mut self, numbers: Range<u64>);
}

/// A contestant's work, called once a burst.
pub trait Track {
    fn start(&mut self, side: Side);
    fn join(&mut self, side: Side);
    fn unlink(&mut self, side: Side);
    /// The leading process's part; `laps`, as long as there are numbers, are filled if the work is
    /// measured message by message.
    fn lead(&mut self, numbers: Range<u64>, laps: &mut [u32]);
    fn follow(&mut self, numbers: Range<u64>);
}

/// From the leading process to the other, flat out.
pub struct OneWay<L>(pub L);

impl<L: Lane> Track for OneWay<L> {
    fn start(&mut self, side: Side) {
        if side == Side::Lead {
            self.0.start_sending();
        }
    }

    fn join(&mut self, side: Side) {
        if side == Side::Follow {
            self.0.start_receiving();
        }
    }

    fn unlink(&mut self, side: Side) {
        if side == Side::Lead {
            self.0.unlink();
        }
    }

    fn lead(&mut self, numbers: Range<u64>, _: &mut [u32]) {
        self.0.send(numbers);
    }

    fn follow(&mut self, numbers: Range<u64>) {
        self.0.receive(numbers);
    }
}

/// There and back, one message at a time.
pub struct RoundTrip<L> {
    pub there: L,
    pub back: L,
}

impl<L: Lane> Track for RoundTrip<L> {
    fn start(&mut self, side: Side) {
        match side {
            Side::Lead => self.there.start_sending(),
            Side::Follow => self.back.start_sending(),
        }
    }

    fn join(&mut self, side: Side) {
        match side {
            Side::Lead => self.back.start_receiving(),
            Side::Follow => self.there.start_receiving(),
        }
    }

    fn unlink(&mut self, side: Side) {
        match side {
            Side::Lead => self.there.unlink(),
            Side::Follow => self.back.unlink(),
        }
    }

    fn lead(&mut self, numbers: Range<u64>, laps: &mut [u32]) {
        let mut before = ticks();
        for (number, lap) in numbers.zip(laps) {
            self.there.send(number..number + 1);
            self.back.receive(number..number + 1);
            let now = ticks();
            *lap = u32::try_from(now - before).unwrap_or(u32::MAX);
            before = now;
        }
    }

    fn follow(&mut self, numbers: Range<u64>) {
        for number in numbers {
            self.there.receive(number..number + 1);
            self.back.send(number..number + 1);
        }
    }
}
