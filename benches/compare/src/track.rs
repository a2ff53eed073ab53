//! One direction of a transport, and the two kinds of work of two processes that are made of it.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::clock::ticks;
use crate::memory::Shared;

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
    /// In every receiving process, meanwhile.
    fn greet(&mut self) {}
    fn send(&mut self, numbers: Range<u64>);
    fn receive(&mut self, numbers: Range<u64>);
}

/// Where members note times within a burst.
pub struct Tape<'a> {
    /// As long as there are numbers: each round trip of the leader's, if the work is measured message by message.
    pub laps: &'a mut [u32],
    pub stamps: &'a Stamps,
}

/// When every so many messages were sent and received, flat out: how long a message is on its way under load.
/// One reading of the clock for each such chunk on each side.
pub struct Stamps {
    memory: Shared,
    /// Messages between two stamps; batches divide it.
    chunk: u64,
}

/// Stamps of each side; later ones of a burst are not kept.
const STAMPS: u64 = 1 << 14;

impl Stamps {
    pub fn new(message_size: u64) -> Self {
        let memory = Shared::new(2 * STAMPS as usize * 8);
        memory.populate();
        let chunk = match message_size {
            ..=256 => 256,
            257..=2048 => 64,
            _ => 1,
        };
        Self { memory, chunk }
    }

    #[inline(always)]
    fn note(&self, side: u64, chunk: u64) {
        if chunk < STAMPS {
            let word = self.memory.word((side * STAMPS + chunk) * 8);
            word.store(ticks(), Ordering::Relaxed);
        }
    }

    /// Ticks from after the sending of the last message of each chunk to its receipt, in a burst of so many.
    pub fn delays(&self, messages: u64) -> Vec<u64> {
        let at = |index: u64| self.memory.word(index * 8).load(Ordering::Relaxed);
        (0..messages.div_ceil(self.chunk).min(STAMPS))
            .map(|chunk| at(STAMPS + chunk).saturating_sub(at(chunk)))
            .collect()
    }
}

/// A contestant's work, called once a burst in every process, each of which is one `member` of the
/// team.
pub trait Track {
    fn start(&mut self, member: usize);
    /// When all have started.
    fn join(&mut self, member: usize);
    /// When all have joined.
    fn unlink(&mut self, member: usize);
    /// In the leading process, before a burst begins; not timed.
    fn prepare(&mut self, _: &Range<u64>) {}
    /// The member's part.
    fn run(&mut self, member: usize, numbers: Range<u64>, tape: Tape<'_>);
    /// Whether the leader's return from `run` is the end of the burst, and not the last receipt in another process.
    fn ends_with_leader(&self) -> bool {
        false
    }
    /// Whether the delays between its stamps mean something.
    fn is_stamped(&self) -> bool {
        false
    }
    /// In the leading process, when everybody's part is done; not timed.
    fn settle(&mut self, _: Range<u64>) {}
}

/// From the leading process to the other, or to each of the others, flat out.
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
        match member {
            LEAD => self.0.unlink(),
            _ => self.0.greet(),
        }
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, tape: Tape<'_>) {
        let stamps = tape.stamps;
        let mut next = numbers.start;
        for chunk in 0.. {
            let end = numbers.end.min(next + stamps.chunk);
            if member == LEAD {
                self.0.send(next..end);
                stamps.note(0, chunk);
            } else {
                self.0.receive(next..end);
                stamps.note(1, chunk);
            }
            next = end;
            if next == numbers.end {
                return;
            }
        }
    }

    fn is_stamped(&self) -> bool {
        true
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

    fn run(&mut self, member: usize, numbers: Range<u64>, tape: Tape<'_>) {
        if member == LEAD {
            self.lead(numbers, tape.laps);
        } else {
            self.answer(numbers);
        }
    }
}

/// The same, where each is asleep when the other wakes it: the leader sets out when it sees the other sleep, and has itself
/// long fallen asleep when the other is awake. That it was so is counted afterwards, for all contestants alike ([`Burst`]).
///
/// [`Burst`]: crate::team::Burst
pub struct Asleep<L> {
    trip: RoundTrip<L>,
    /// The first word is the other's number.
    page: Shared,
    /// What the kernel says of it.
    status: Option<File>,
}

/// How long the other has been asleep when it is woken: its processor has found nothing else to do.
const DOZE: Duration = Duration::from_micros(10);

impl<L> Asleep<L> {
    pub fn new(trip: RoundTrip<L>) -> Self {
        let page = Shared::new(8);
        Self {
            trip,
            page,
            status: None,
        }
    }

    /// Until the other sleeps.
    fn wait_for_sleep(&mut self) {
        let open = || {
            let other = self.page.word(0).load(Ordering::Acquire);
            File::open(format!("/proc/{other}/stat")).expect("a live member")
        };
        let status = self.status.get_or_insert_with(open);
        let mut line = [0; 512];
        loop {
            let len = status.read_at(&mut line, 0).expect("a live member");
            // The state stands behind the name, which is in parentheses.
            let name_end = line[..len].iter().rposition(|byte| *byte == b')');
            if name_end.is_some_and(|end| line[..len].get(end + 2) == Some(&b'S')) {
                break;
            }
            std::hint::spin_loop();
        }
        let since = Instant::now();
        while since.elapsed() < DOZE {
            std::hint::spin_loop();
        }
    }
}

impl<L: Lane> Track for Asleep<L> {
    fn start(&mut self, member: usize) {
        if member != LEAD {
            let own = u64::from(std::process::id());
            self.page.word(0).store(own, Ordering::Release);
        }
        self.trip.start(member);
    }

    fn join(&mut self, member: usize) {
        self.trip.join(member);
    }

    fn unlink(&mut self, member: usize) {
        self.trip.unlink(member);
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, tape: Tape<'_>) {
        if member != LEAD {
            return self.trip.answer(numbers);
        }
        for (number, lap) in numbers.zip(tape.laps) {
            self.wait_for_sleep();
            let before = ticks();
            self.trip.there.send(number..number + 1);
            self.trip.back.receive(number..number + 1);
            *lap = u32::try_from(ticks() - before).unwrap_or(u32::MAX);
        }
    }
}

/// A round trip between the first two members of a team; the others look on. So it tells how far apart the two processors
/// are at this moment.
pub struct Key<L>(pub RoundTrip<L>);

impl<L: Lane> Track for Key<L> {
    fn start(&mut self, member: usize) {
        if member < 2 {
            self.0.start(member);
        }
    }

    fn join(&mut self, member: usize) {
        if member < 2 {
            self.0.join(member);
        }
    }

    fn unlink(&mut self, member: usize) {
        if member < 2 {
            self.0.unlink(member);
        }
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, tape: Tape<'_>) {
        if member < 2 {
            self.0.run(member, numbers, tape);
        }
    }
}
