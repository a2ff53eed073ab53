//! One direction of a transport, and the two kinds of work of two processes that are made of it.

use std::ops::Range;

use crate::clock::ticks;

/// The member of a team that sends first, measures round trips, and makes what has to be made once.
pub const LEAD: usize = 0;

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

/// A contestant's work, called once a burst in every process, each of which is one `member` of the
/// team.
pub trait Track {
    fn start(&mut self, member: usize);
    /// When all have started.
    fn join(&mut self, member: usize);
    /// When all have joined.
    fn unlink(&mut self, member: usize);
    /// The member's part; `laps`, as long as there are numbers, are filled by the leader if the work
    /// is measured message by message.
    fn run(&mut self, member: usize, numbers: Range<u64>, laps: &mut [u32]);
    /// In the leading process, when everybody's part is done; not timed.
    fn settle(&mut self, _: Range<u64>) {}
}

/// From the leading process to the other, flat out.
pub struct OneWay<L>(pub L);

impl<L: Lane> Track for OneWay<L> {
    fn start(&mut self, member: usize) {
        if member == LEAD {
            self.0.start_sending();
        }
    }

    fn join(&mut self, member: usize) {
        if member != LEAD {
            self.0.start_receiving();
        }
    }

    fn unlink(&mut self, member: usize) {
        if member == LEAD {
            self.0.unlink();
        }
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, _: &mut [u32]) {
        if member == LEAD {
            self.0.send(numbers);
        } else {
            self.0.receive(numbers);
        }
    }
}

/// There and back, one message at a time.
pub struct RoundTrip<L> {
    pub there: L,
    pub back: L,
}

impl<L: Lane> RoundTrip<L> {
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

    fn answer(&mut self, numbers: Range<u64>) {
        for number in numbers {
            self.there.receive(number..number + 1);
            self.back.send(number..number + 1);
        }
    }
}

impl<L: Lane> Track for RoundTrip<L> {
    fn start(&mut self, member: usize) {
        if member == LEAD {
            self.there.start_sending();
        } else {
            self.back.start_sending();
        }
    }

    fn join(&mut self, member: usize) {
        if member == LEAD {
            self.back.start_receiving();
        } else {
            self.there.start_receiving();
        }
    }

    fn unlink(&mut self, member: usize) {
        if member == LEAD {
            self.there.unlink();
        } else {
            self.back.unlink();
        }
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, laps: &mut [u32]) {
        if member == LEAD {
            self.lead(numbers, laps);
        } else {
            self.answer(numbers);
        }
    }
}
