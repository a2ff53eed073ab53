//! The limits: what the machine gives to hand-laid memory, without checks, recovery or an API.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::memory::{Shared, spin_until};
use crate::message;
use crate::track::Lane;

/// Two lines: adjacent ones are fetched together.
const LINE: u64 = 128;

/// A ring of slots. A slot is the message alone: its first word is the message's number, written
/// last, on which the receiver polls. (An 8-byte message has its number in front.) The receiver shows
/// every eighth of a lap how far it is; the sender looks only when the ring seems full. Slots are whole lines, or, if
/// they are `DENSE`, as long as their message.
pub struct Slots<const W: usize, const DENSE: bool = false> {
    memory: Shared,
    slots: u64,
    /// The number that the receiver is known to have read.
    read: u64,
}

/// As many as the ring of a contestant that has no ring size.
const SLOTS: u64 = 1024;

impl<const W: usize, const DENSE: bool> Slots<W, DENSE> {
    const BYTES: u64 = if W == 1 { 2 } else { W as u64 } * 8;
    const STRIDE: u64 = if DENSE {
        Self::BYTES
    } else {
        Self::BYTES.next_multiple_of(64)
    };
    /// Where the message's own words begin to differ from the number.
    const FIRST: usize = if W == 1 { 0 } else { 1 };

    pub fn new() -> Self {
        Self::within(SLOTS * Self::STRIDE)
    }

    /// As many as there is room for.
    pub fn within(ring: u64) -> Self {
        let slots = (ring / Self::STRIDE).max(8);
        // Numbers find their slots by a mask.
        let slots = 1 << slots.ilog2();
        Self {
            memory: Shared::new((LINE + slots * Self::STRIDE) as usize),
            slots,
            read: 0,
        }
    }

    /// In the mapping of a file, which has no name any more when this returns.
    pub fn in_file(path: &std::path::Path) -> Self {
        let mut slots = Self::new();
        slots.memory = Shared::in_file(path, slots.memory.len());
        slots
    }

    #[inline(always)]
    fn slot(&self, number: u64) -> u64 {
        LINE + (number & (self.slots - 1)) * Self::STRIDE
    }

    #[inline(always)]
    fn payload(&self, slot: u64) -> *mut u64 {
        self.memory
            .at(slot)
            .cast::<u64>()
            .wrapping_add(if W == 1 { 1 } else { 0 })
    }
}

impl<const W: usize, const DENSE: bool> Lane for Slots<W, DENSE> {
    fn start_sending(&mut self) {
        self.memory.populate();
    }

    fn start_receiving(&mut self) {
        self.memory.populate();
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        for number in numbers {
            if number - self.read > self.slots {
                spin_until(|| {
                    self.read = self.memory.word(0).load(Ordering::Acquire);
                    number - self.read <= self.slots
                });
            }
            let slot = self.slot(number);
            let payload = self.payload(slot);
            for index in Self::FIRST..W {
                // SAFETY: in the slot, which the receiver has read, so it is the sender's alone.
                unsafe {
                    payload
                        .wrapping_add(index)
                        .write(message::word(number, index))
                };
            }
            self.memory.word(slot).store(number, Ordering::Release);
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        for number in numbers {
            let slot = self.slot(number);
            let sequence = self.memory.word(slot);
            spin_until(|| sequence.load(Ordering::Acquire) == number);
            let payload = self.payload(slot);
            let mut difference = 0;
            for index in Self::FIRST..W {
                // SAFETY: in the slot, which was published, so nobody writes it.
                let found = unsafe { payload.wrapping_add(index).read() };
                difference |= found ^ message::word(number, index);
            }
            if difference != 0 {
                message::wrong(number);
            }
            if number & (self.slots / 8 - 1) == 0 {
                self.memory.word(0).store(number, Ordering::Release);
            }
        }
    }
}

/// Packed records in a ring of bytes: a length word and the payload, believed without a check. One
/// published index, shown every `EVERY` messages and whenever the sender has to wait.
pub struct Packed<const W: usize, const EVERY: u64> {
    memory: Shared,
    capacity: u64,
    position: u64,
    /// The other side's index as last seen, and this side's as last shown.
    other: u64,
    shown: u64,
}

const TAIL: u64 = 0;
const HEAD: u64 = LINE;
const DATA: u64 = 2 * LINE;
/// In place of a length: the next record is at the start of the ring.
const SKIP: u64 = u64::MAX;

impl<const W: usize, const EVERY: u64> Packed<W, EVERY> {
    const FOOTPRINT: u64 = 8 + W as u64 * 8;

    pub fn new(capacity: u64) -> Self {
        assert!(capacity.is_power_of_two());
        let memory = Shared::new((DATA + capacity) as usize);
        Self {
            memory,
            capacity,
            position: 0,
            other: 0,
            shown: 0,
        }
    }

    #[inline(always)]
    fn offset(&self, position: u64) -> u64 {
        position & (self.capacity - 1)
    }

    #[inline(always)]
    fn word(&self, offset: u64) -> *mut u64 {
        self.memory.at(DATA + offset).cast()
    }

    #[inline(always)]
    fn show(&mut self, index: u64) {
        self.memory
            .word(index)
            .store(self.position, Ordering::Release);
        self.shown = self.position;
    }

    #[cold]
    fn wait_for_room(&mut self, end: u64) {
        self.show(TAIL);
        spin_until(|| {
            self.other = self.memory.word(HEAD).load(Ordering::Acquire);
            end - self.other <= self.capacity
        });
    }
}

impl<const W: usize, const EVERY: u64> Lane for Packed<W, EVERY> {
    fn start_sending(&mut self) {
        self.memory.populate();
    }

    fn start_receiving(&mut self) {
        self.memory.populate();
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        for number in numbers {
            let to_end = self.capacity - self.offset(self.position);
            let skip = if Self::FOOTPRINT > to_end { to_end } else { 0 };
            let end = self.position + skip + Self::FOOTPRINT;
            if end - self.other > self.capacity {
                self.wait_for_room(end);
            }
            if skip > 0 {
                // SAFETY: at least one word before the ring's end, in free space.
                unsafe { self.word(self.offset(self.position)).write(SKIP) };
            }
            let record = self.word(self.offset(self.position + skip));
            // SAFETY: the record lies in free space, which is the sender's alone.
            unsafe {
                record.write(W as u64 * 8);
                for index in 0..W {
                    record
                        .wrapping_add(1 + index)
                        .write(message::word(number, index));
                }
            }
            self.position = end;
            if EVERY == 1 || number.is_multiple_of(EVERY) {
                self.show(TAIL);
            }
        }
        if EVERY != 1 {
            self.show(TAIL);
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        for number in numbers {
            if self.position == self.other {
                spin_until(|| {
                    self.other = self.memory.word(TAIL).load(Ordering::Acquire);
                    self.position != self.other
                });
            }
            // SAFETY: before the tail, so it was written and is not written now.
            let mut len = unsafe { self.word(self.offset(self.position)).read() };
            if len == SKIP {
                self.position += self.capacity - self.offset(self.position);
                // SAFETY: as above.
                len = unsafe { self.word(self.offset(self.position)).read() };
            }
            let record = self.word(self.offset(self.position));
            let mut difference = 0;
            for index in 0..W {
                // SAFETY: as above.
                let found = unsafe { record.wrapping_add(1 + index).read() };
                difference |= found ^ message::word(number, index);
            }
            if difference != 0 {
                message::wrong(number);
            }
            self.position += 8 + len;
            if self.position - self.shown >= self.capacity / 8 {
                self.show(HEAD);
            }
        }
    }
}

/// How a large message gets from a buffer into the mapping.
pub const MEMCPY: u8 = 0;
pub const STREAM: u8 = 1;
pub const MOVSB: u8 = 2;

/// Slots with a sequence word in a line of its own and a payload that is copied in and copied out;
/// as many as fill the ring, 2 to 1024.
pub struct Copies<const W: usize, const HOW: u8> {
    memory: Shared,
    slots: u64,
    read: u64,
    buffer: message::Buffer<W>,
}

impl<const W: usize, const HOW: u8> Copies<W, HOW> {
    const STRIDE: u64 = LINE + W as u64 * 8;

    pub fn new(ring: u64) -> Self {
        let slots = (ring / (W as u64 * 8)).clamp(2, SLOTS);
        Self {
            memory: Shared::new((LINE + slots * Self::STRIDE) as usize),
            slots,
            read: 0,
            buffer: message::Buffer::default(),
        }
    }

    /// Of so many.
    fn slot(slots: u64, number: u64) -> u64 {
        LINE + (number % slots) * Self::STRIDE
    }
}

impl<const W: usize, const HOW: u8> Lane for Copies<W, HOW> {
    fn start_sending(&mut self) {
        self.memory.populate();
    }

    fn start_receiving(&mut self) {
        self.memory.populate();
    }

    fn send(&mut self, numbers: Range<u64>) {
        let mut local = [0; W];
        let buffer = self.buffer.of(&mut local);
        for number in numbers {
            message::fill(buffer, number);
            spin_until(|| {
                let fits = number - self.read <= self.slots;
                if !fits {
                    self.read = self.memory.word(0).load(Ordering::Acquire);
                }
                fits
            });
            let slot = Self::slot(self.slots, number);
            let target = self.memory.at(slot + LINE).cast::<u64>();
            // SAFETY: the slot's payload has room for the message, is aligned to 128 bytes, and was
            // read by the receiver.
            unsafe {
                match HOW {
                    STREAM => stream(buffer, target),
                    MOVSB => movsb(buffer, target),
                    _ => target.copy_from_nonoverlapping(buffer.as_ptr(), W),
                }
            }
            self.memory.word(slot).store(number, Ordering::Release);
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut local = [0; W];
        let buffer = self.buffer.of(&mut local);
        let step = (self.slots / 8).max(1);
        for number in numbers {
            let slot = Self::slot(self.slots, number);
            let sequence = self.memory.word(slot);
            spin_until(|| sequence.load(Ordering::Acquire) == number);
            let source = self.memory.at(slot + LINE).cast::<u64>();
            // SAFETY: the slot's payload was published, so nobody writes it.
            unsafe { buffer.as_mut_ptr().copy_from_nonoverlapping(source, W) };
            message::check(buffer, number);
            if number.is_multiple_of(step) {
                self.memory.word(0).store(number, Ordering::Release);
            }
        }
    }
}

/// Past the caches, a line at a time.
///
/// # Safety
/// `target` has room for the message and is aligned to 16 bytes.
#[cfg(target_arch = "x86_64")]
unsafe fn stream<const W: usize>(from: &[u64; W], target: *mut u64) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    for index in (0..W).step_by(2) {
        // SAFETY: both lie in the message (`W` is even); the target is aligned by the contract.
        unsafe {
            let two = _mm_loadu_si128(from.as_ptr().add(index).cast::<__m128i>());
            _mm_stream_si128(target.add(index).cast(), two);
        }
    }
    // SAFETY: every x86-64 has it. Streaming stores are not ordered by a release store.
    unsafe { _mm_sfence() };
}

/// The processor's own copy loop.
///
/// # Safety
/// `target` has room for the message.
#[cfg(target_arch = "x86_64")]
unsafe fn movsb<const W: usize>(from: &[u64; W], target: *mut u64) {
    // SAFETY: reads the message and writes as many bytes to the target.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") W * 8 => _,
            inout("rsi") from.as_ptr() => _,
            inout("rdi") target => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// `target` has room for the message.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn stream<const W: usize>(from: &[u64; W], target: *mut u64) {
    // SAFETY: passed on.
    unsafe { target.copy_from_nonoverlapping(from.as_ptr(), W) };
}

/// # Safety
/// `target` has room for the message.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn movsb<const W: usize>(from: &[u64; W], target: *mut u64) {
    // SAFETY: passed on.
    unsafe { target.copy_from_nonoverlapping(from.as_ptr(), W) };
}

/// One slot and a bare futex: the receiver always sleeps, the sender always wakes.
pub struct Sleeping<const W: usize> {
    memory: Shared,
}

impl<const W: usize> Sleeping<W> {
    pub fn new() -> Self {
        Self {
            memory: Shared::new((LINE + W as u64 * 8) as usize),
        }
    }

    /// The low half of the sequence word, which changes with every message.
    fn futex(&self) -> *mut u32 {
        self.memory.at(0).cast()
    }
}

impl<const W: usize> Lane for Sleeping<W> {
    fn start_sending(&mut self) {
        self.memory.populate();
    }

    fn start_receiving(&mut self) {
        self.memory.populate();
    }

    fn send(&mut self, numbers: Range<u64>) {
        for number in numbers {
            let payload = self.memory.at(8).cast::<u64>();
            for index in 1..W {
                // SAFETY: in the mapping; the receiver has answered, so it does not read.
                unsafe {
                    payload
                        .wrapping_add(index)
                        .write(message::word(number, index))
                };
            }
            // SAFETY: an aligned word of the mapping.
            let word = unsafe { AtomicU32::from_ptr(self.futex()) };
            word.store(number as u32, Ordering::Release);
            // SAFETY: FUTEX_WAKE uses the word's address only.
            unsafe { libc::syscall(libc::SYS_futex, self.futex(), libc::FUTEX_WAKE, 1) };
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        for number in numbers {
            // SAFETY: an aligned word of the mapping.
            let word = unsafe { AtomicU32::from_ptr(self.futex()) };
            loop {
                let found = word.load(Ordering::Acquire);
                if found == number as u32 {
                    break;
                }
                let forever = std::ptr::null::<libc::timespec>();
                // SAFETY: the word is mapped; the kernel only reads it.
                unsafe {
                    libc::syscall(
                        libc::SYS_futex,
                        self.futex(),
                        libc::FUTEX_WAIT,
                        found,
                        forever,
                    )
                };
            }
            let payload = self.memory.at(8).cast::<u64>();
            let mut difference = 0;
            for index in 1..W {
                // SAFETY: in the mapping, and published.
                let found = unsafe { payload.wrapping_add(index).read() };
                difference |= found ^ message::word(number, index);
            }
            if difference != 0 {
                message::wrong(number);
            }
        }
    }
}
