//! The raw limit: a hand-laid ring of slots in a shared mapping that does the transport and nothing
//! else. No death is noticed, no message has a length, nothing is ever grown, closed or inspected.
//!
//! | offset | what |
//! |---|---|
//! | 0 | how many messages are sent, for sleeping on; 0 for ever if nobody sleeps |
//! | 128 | how many messages are received, told an eighth of the ring at a time |
//! | 256 | slots: the message's number + 1, its bytes, and air up to a multiple of 64 |
//!
//! The number stands in the line in which the message begins, and is written last: a message of up to
//! 56 bytes costs one line transfer. A longer one is written from its second line on and then its first,
//! and both lines are asked for while the number is awaited, so that they travel together.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memmap2::MmapRaw;
use rustix::io::Errno;
use rustix::thread::futex;

use crate::failure::Failure;
use crate::transport::{Incoming, Outgoing};

const SENT: usize = 0;
const RECEIVED: usize = 128;
const SLOTS: usize = 256;
const LINE: usize = 64;

/// Slots of a ring, unless its messages are large.
const MOST_SLOTS: usize = 1024;
/// Bytes of a ring whose messages are large.
const MOST_BYTES: usize = 4 << 20;

/// When the other process is given up. Only a death makes it so slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where things lie in a ring for messages of one size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    size: usize,
    stride: usize,
    slots: usize,
}

impl Shape {
    pub(crate) fn new(size: usize) -> Self {
        let stride = (size + 8).next_multiple_of(LINE);
        // A power of two below the limit, but two at least.
        let slots = (MOST_BYTES / stride).clamp(2, MOST_SLOTS);
        Self {
            size,
            stride,
            slots: 1 << slots.ilog2(),
        }
    }

    /// Bytes of a ring.
    pub(crate) fn len(&self) -> usize {
        SLOTS + self.slots * self.stride
    }
}

/// One end of a ring: whichever its user makes it.
pub(crate) struct End {
    map: Arc<MmapRaw>,
    /// Where the ring starts in the mapping.
    base: usize,
    shape: Shape,
    /// Messages that went through this end.
    count: u64,
    /// The other end's count as last seen (sending), or as last told (receiving).
    other: u64,
    sleeps: bool,
}

impl End {
    /// An end of ring number `index` in a mapping that holds several of one shape. `None` if it does
    /// not.
    pub(crate) fn new(
        map: &Arc<MmapRaw>,
        index: usize,
        shape: Shape,
        sleeps: bool,
    ) -> Option<Self> {
        let base = index.checked_mul(shape.len())?;
        (base + shape.len() <= map.len()).then(|| Self {
            map: Arc::clone(map),
            base,
            shape,
            count: 0,
            other: 0,
            sleeps,
        })
    }

    fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.shape.len());
        // SAFETY: `new` checked that the ring lies in the mapping, and offsets are those of the layout.
        unsafe { self.map.as_mut_ptr().add(self.base + offset) }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: in the mapping (`at`), which lives as long as `self`; a multiple of 64, and accessed
        // as an atomic by both processes.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }
    }

    fn slot(&self) -> (&AtomicU64, *mut u8) {
        let place = self.count as usize & (self.shape.slots - 1);
        let slot = self.at(SLOTS + place * self.shape.stride);
        // SAFETY: as for `word`; the bytes behind the number belong to the same slot.
        unsafe { (AtomicU64::from_ptr(slot.cast()), slot.add(8)) }
    }

    /// Waits until `ready`; sleeping, on the word at `offset`.
    #[inline]
    fn wait(&self, offset: usize, mut ready: impl FnMut(&Self) -> bool) -> Result<(), Failure> {
        if ready(self) {
            return Ok(());
        }
        if self.sleeps {
            self.sleep(offset, ready)
        } else {
            self.spin(ready)
        }
    }

    fn spin(&self, mut ready: impl FnMut(&Self) -> bool) -> Result<(), Failure> {
        // Without a pause at first: half of one would be added to every answer.
        const EAGER_POLLS: u32 = 1 << 10;
        const POLLS: u32 = 1 << 14;
        let mut started = None;
        loop {
            for poll in 0..POLLS {
                if ready(self) {
                    return Ok(());
                }
                if poll >= EAGER_POLLS {
                    std::hint::spin_loop();
                }
            }
            // Looked at rarely: nothing else is done while there is something to wait for.
            if started.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(given_up());
            }
            // With one processor the other process could not come to its turn.
            std::thread::yield_now();
        }
    }

    fn sleep(&self, offset: usize, mut ready: impl FnMut(&Self) -> bool) -> Result<(), Failure> {
        let timeout = PATIENCE.try_into().map_err(Failure::error)?;
        loop {
            let word = self.word(offset);
            // Acquire pairs with the release in `wake`: if this is the new value, `ready` sees why.
            let seen = word.load(Ordering::Acquire);
            if ready(self) {
                return Ok(());
            }
            match futex::wait(word, futex::Flags::empty(), seen, Some(&timeout)) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::TIMEDOUT) => return Err(given_up()),
                Err(error) => return Err(Failure::error(error)),
            }
        }
    }

    fn wake(&self, offset: usize) -> Result<(), Failure> {
        futex::wake(self.word(offset), futex::Flags::empty(), 1)
            .map(drop)
            .map_err(Failure::error)
    }
}

impl Outgoing for End {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        assert_eq!(message.len(), self.shape.size);
        let slots = self.shape.slots as u64;
        if self.count - self.other == slots {
            let mut received = self.other;
            self.wait(RECEIVED, |end| {
                // The word counts modulo 2^32, which is far more than there are slots.
                // Acquire pairs with the release in `recv`: the slots have been read.
                let word = end.word(RECEIVED).load(Ordering::Acquire);
                received = end.other + u64::from(word.wrapping_sub(end.other as u32));
                end.count - received < slots
            })?;
            self.other = received;
        }
        let (number, bytes) = self.slot();
        let first = message.len().min(LINE - 8);
        for part in [first..message.len(), 0..first] {
            // SAFETY: a slot holds `size` bytes behind its number, `message` has as many, and the other
            // process does not touch them: it has received what was here and waits for the number.
            unsafe {
                let target = bytes.add(part.start);
                ptr::copy_nonoverlapping(message[part.clone()].as_ptr(), target, part.len());
            }
        }
        // Release pairs with the acquire in `recv`: who sees the number sees the bytes.
        number.store(self.count + 1, Ordering::Release);
        self.count += 1;
        if self.sleeps {
            self.word(SENT).store(self.count as u32, Ordering::Release);
            self.wake(SENT)?;
        }
        Ok(())
    }
}

impl Incoming for End {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) -> Result<(), Failure> {
        assert_eq!(message.len(), self.shape.size);
        // Acquire pairs with the release in `send`.
        self.wait(SENT, |end| {
            let (number, bytes) = end.slot();
            let there = number.load(Ordering::Acquire) == end.count + 1;
            prefetch(bytes.wrapping_add(LINE - 8));
            there
        })?;
        let (_, bytes) = self.slot();
        // SAFETY: as in `send`; the other process waits for the count before it writes here again.
        unsafe { ptr::copy_nonoverlapping(bytes, message.as_mut_ptr(), message.len()) };
        self.count += 1;
        let share = (self.shape.slots as u64 / 8).max(1);
        if self.count - self.other >= share {
            self.other = self.count;
            // Release: the reads above are done.
            self.word(RECEIVED)
                .store(self.count as u32, Ordering::Release);
            if self.sleeps {
                self.wake(RECEIVED)?;
            }
        }
        Ok(())
    }
}

/// A hint that the line of `place` will be read soon.
#[inline]
fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch changes nothing and cannot fault; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cold]
fn given_up() -> Failure {
    Failure::error("the other process does not answer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{answer, call, receive_all, send_all};

    /// Both directions between two threads, in each of which a lap of the ring goes by many times.
    fn exchange(size: usize, sleeps: bool) {
        let shape = Shape::new(size);
        let map = memmap2::MmapOptions::new()
            .len(2 * shape.len())
            .map_anon()
            .unwrap();
        let map = Arc::new(MmapRaw::from(map));
        let ends = |map: &Arc<MmapRaw>| [0, 1].map(|at| End::new(map, at, shape, sleeps).unwrap());
        assert!(End::new(&map, 2, shape, sleeps).is_none());
        let [mut there, mut back] = ends(&map);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let [mut there, mut back] = ends(&map);
                let mut message = vec![0; size];
                send_all(&mut back, 5000, &mut message).unwrap();
                answer(&mut back, &mut there, 500, &mut message).unwrap();
            });
            let mut message = vec![0; size];
            receive_all(&mut back, 5000, &mut message).unwrap();
            call(&mut there, &mut back, 500, &mut message, |_| ()).unwrap();
        });
    }

    #[test]
    fn every_message_comes_through() {
        for size in [1, 8, 56, 57, 300, 40_000] {
            for sleeps in [false, true] {
                exchange(size, sleeps);
            }
        }
    }
}
