//! Messages that nobody copies: written once and read once where they lie (`map`), or handed over
//! untouched (`hand`).

use std::io::BufRead;
use std::ops::Range;
use std::sync::atomic::Ordering;

use ringway::message::MessageReader;
use ringway::{Builder, Receiver, Ring, Sender, WaitStrategy};

use crate::memory::{Shared, spin_until};
use crate::message;
use crate::track::Lane;

/// Messages that are on their way, or being written or read, at most.
pub const SLOTS: u64 = 8;

/// Writes every word of a message where it will be read.
///
/// # Safety
/// `words` words from `message` on are the caller's alone.
#[inline(always)]
pub unsafe fn write(message: *mut u64, words: usize, number: u64) {
    for index in 0..words {
        // SAFETY: one of the words.
        unsafe {
            message
                .wrapping_add(index)
                .write(message::word(number, index))
        };
    }
}

/// Reads every word of a message where it was written.
#[inline(always)]
pub fn check(message: &[u64], number: u64) {
    if differs(message, number, 0) {
        message::wrong(number);
    }
}

/// Whether these are not the words of a message from the word `from` on.
#[inline(always)]
fn differs(words: &[u64], number: u64, from: usize) -> bool {
    let mut difference = 0;
    for (index, found) in words.iter().enumerate() {
        difference |= found ^ message::word(number, from + index);
    }
    difference != 0
}

/// The same by blocks, which are whole words.
#[inline(always)]
fn check_blocks(mut reader: MessageReader<'_>, number: u64) {
    let mut seen = 0;
    loop {
        let block = reader
            .fill_buf()
            .expect("a reader of a message never fails");
        if block.is_empty() {
            break;
        }
        if differs(bytemuck::cast_slice(block), number, seen / 8) {
            message::wrong(number);
        }
        let len = block.len();
        seen += len;
        reader.consume(len);
    }
}

/// The limit: slots in shared memory, each with a line for the number of the message in it.
pub struct InPlace<const W: usize> {
    memory: Shared,
    slots: u64,
    /// The number that the receiver is known to have read.
    read: u64,
}

const LINE: u64 = 128;

impl<const W: usize> InPlace<W> {
    const STRIDE: u64 = LINE + 8 * W as u64;

    pub fn new(slots: u64) -> Self {
        Self {
            memory: Shared::new((LINE + slots * Self::STRIDE) as usize),
            slots,
            read: 0,
        }
    }

    fn slot(&self, number: u64) -> u64 {
        LINE + number % self.slots * Self::STRIDE
    }
}

impl<const W: usize> Lane for InPlace<W> {
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
                    // Word 0 says what was read last.
                    self.read = self.memory.word(0).load(Ordering::Acquire);
                    number - self.read <= self.slots
                });
            }
            let slot = self.slot(number);
            let message = self.memory.at(slot + LINE).cast();
            // SAFETY: the slot's, which the receiver has read.
            unsafe { write(message, W, number) };
            self.memory.word(slot).store(number, Ordering::Release);
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        for number in numbers {
            let slot = self.slot(number);
            spin_until(|| self.memory.word(slot).load(Ordering::Acquire) == number);
            let message = self.memory.at(slot + LINE).cast();
            // SAFETY: the slot's, which the sender leaves alone until it is read.
            check(unsafe { std::slice::from_raw_parts(message, W) }, number);
            self.memory.word(0).store(number, Ordering::Release);
        }
    }
}

/// A ringway ring with slabs.
struct Slabs {
    address: String,
    len: u64,
    /// Bytes of the ring.
    capacity: u64,
    /// Longer messages go into slabs.
    copy_limit: usize,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

impl Slabs {
    fn new(name: String, len: u64) -> Self {
        Self {
            address: format!("shm:{name}"),
            len,
            capacity: 64 << 10,
            copy_limit: 0,
            sender: None,
            receiver: None,
        }
    }

    fn builder(&self) -> Builder {
        Builder::new(&self.address).expect("the address is well formed")
    }

    fn start_sending(&mut self, count: u32, prefault: bool) {
        let builder = self.builder().capacity(self.capacity).prefault(prefault);
        let ring: Ring = builder.slabs(self.len, count).create().expect("a new ring");
        let sender = ring.sender().expect("no other producer");
        let sender = sender.with_copy_limit(self.copy_limit);
        self.sender = Some(sender.with_wait(WaitStrategy::Spin));
    }

    fn start_receiving(&mut self, prefault: bool) {
        let ring = self.builder().prefault(prefault).open();
        let ring = ring.expect("the other process has made it");
        let receiver = ring.receiver().expect("no other consumer");
        self.receiver = Some(receiver.with_wait(WaitStrategy::Spin));
    }

    fn unlink(&mut self) {
        let address = self.address.parse().expect("the address is well formed");
        ringway::remove(&address, true).expect("it is there");
    }
}

/// Written and read in slabs, or in the ring: as a slice, or by blocks that the message's reader copies.
pub struct Mapped<const W: usize, const BY_BLOCKS: bool>(Slabs);

impl<const W: usize, const BY_BLOCKS: bool> Mapped<W, BY_BLOCKS> {
    /// In slabs; only tickets travel through the ring.
    pub fn in_slabs(name: String) -> Self {
        Self(Slabs::new(name, 8 * W as u64))
    }

    /// In the ring, which has room for as many.
    pub fn in_ring(name: String) -> Self {
        let mut ring = Slabs::new(name, 8 * W as u64);
        ring.capacity = (2 * SLOTS * ring.len).next_power_of_two();
        ring.copy_limit = usize::MAX;
        Self(ring)
    }
}

impl<const W: usize, const BY_BLOCKS: bool> Lane for Mapped<W, BY_BLOCKS> {
    fn start_sending(&mut self) {
        self.0.start_sending(SLOTS as u32, true);
    }

    fn start_receiving(&mut self) {
        self.0.start_receiving(true);
    }

    fn unlink(&mut self) {
        self.0.unlink();
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.0.sender.as_mut().expect("started");
        for number in numbers {
            let mut claim = sender.claim(8 * W).expect("a live consumer");
            // SAFETY: all of the claim, whose payload is aligned; the peer does not touch what is not committed.
            unsafe { write(claim.as_mut_ptr().cast(), W, number) };
            claim.commit();
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.0.receiver.as_mut().expect("started");
        for number in numbers {
            let message = receiver.recv_in_place().expect("a live producer");
            if BY_BLOCKS {
                check_blocks(message.reader(), number);
            } else {
                // SAFETY: the peer does not touch what is not released.
                let bytes = unsafe { message.as_slice() };
                check(bytemuck::cast_slice(bytes), number);
            }
            message.release();
        }
    }
}

/// Handed over as they are, but for the number in the first word.
pub struct HandOver(Slabs);

impl HandOver {
    pub fn new(name: String, len: u64) -> Self {
        Self(Slabs::new(name, len))
    }
}

impl Lane for HandOver {
    fn start_sending(&mut self) {
        self.0.start_sending(2, false);
    }

    fn start_receiving(&mut self) {
        self.0.start_receiving(false);
    }

    fn unlink(&mut self) {
        self.0.unlink();
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let len = self.0.len as usize;
        let sender = self.0.sender.as_mut().expect("started");
        for number in numbers {
            let mut claim = sender.claim(len).expect("a live consumer");
            claim.write_at(0, &number.to_ne_bytes());
            claim.commit();
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let len = self.0.len as usize;
        let receiver = self.0.receiver.as_mut().expect("started");
        for number in numbers {
            let message = receiver.recv_in_place().expect("a live producer");
            let mut first = [0; 8];
            message.read_at(0, &mut first);
            if message.len() != len || u64::from_ne_bytes(first) != number {
                message::wrong(number);
            }
            message.release();
        }
    }
}
