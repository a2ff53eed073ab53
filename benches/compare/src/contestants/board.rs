//! A value that is written over and read again, in one process: what a read and a write cost while nobody else is there.
//!
//! Each way of knowing the length has a seqlock that knows it in that way: "bare seqlock" and "ringway board typed" (and iceoryx2's
//! blackboard) have it from the type, so that the compiler sees it; "bare seqlock, any length" and "ringway board" find it beside the
//! value.

use std::ops::Range;
use std::sync::atomic::{Ordering, fence};

use ::ringway::board::{Board, Reader, Writer};
use bytemuck::Pod;
use iceoryx2::port::reader::EntryHandle;
use iceoryx2::port::writer::EntryHandleMut;
use iceoryx2::prelude::*;

use super::{Contestant, Roster, iceoryx, limit, plain};
use crate::memory::Shared;
use crate::message;
use crate::track::{LEAD, Tape, Track};

impl Roster<'_> {
    pub(super) fn board<const W: usize, const WRITES: bool>(&mut self) -> Vec<Contestant>
    where
        [u64; W]: Pod,
    {
        let typed = Typed::<W>(Entry::new(self.name()));
        let board = Bytes::<W>::new(self.name());
        let blackboard = Blackboard::<W>::new(self.name());
        vec![
            limit("bare seqlock", None, Alone::<_, W, WRITES>(Seqlock::new())),
            plain(ANY_LENGTH, Alone::<_, W, WRITES>(AnyLength::<W>::new())),
            plain("ringway board typed", Alone::<_, W, WRITES>(typed)),
            plain("ringway board", Alone::<_, W, WRITES>(board)),
            plain("iceoryx2 blackboard", Alone::<_, W, WRITES>(blackboard)),
        ]
    }
}

const ANY_LENGTH: &str = "bare seqlock, any length";

/// Where one value lies.
trait Value<const W: usize> {
    /// What it is written and read by: found once for all of a burst.
    type Handles;
    fn make(&mut self);
    fn handles(&mut self) -> &mut Self::Handles;
    fn set(handles: &mut Self::Handles, value: &[u64; W]);
    fn get(handles: &mut Self::Handles) -> [u64; W];
}

/// `WRITES`: the leading process writes the value again and again, and reads it at the end. Otherwise it reads the same
/// value again and again. The other process looks on.
struct Alone<V, const W: usize, const WRITES: bool>(V);

impl<V: Value<W>, const W: usize, const WRITES: bool> Track for Alone<V, W, WRITES> {
    fn start(&mut self, member: usize) {
        if member == LEAD {
            self.0.make();
        }
    }

    fn join(&mut self, _: usize) {}

    fn unlink(&mut self, _: usize) {}

    fn prepare(&mut self, numbers: &Range<u64>) {
        let mut value = [0; W];
        message::fill(&mut value, numbers.start);
        V::set(self.0.handles(), &value);
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, _: Tape<'_>) {
        if member != LEAD {
            return;
        }
        let handles = self.0.handles();
        let mut value = [0; W];
        for number in numbers.clone() {
            if WRITES {
                message::fill(&mut value, number);
                V::set(handles, &value);
            } else {
                message::check(&V::get(handles), numbers.start);
            }
        }
    }

    fn ends_with_leader(&self) -> bool {
        true
    }

    fn settle(&mut self, numbers: Range<u64>) {
        if WRITES {
            message::check(&V::get(self.0.handles()), numbers.end - 1);
        }
    }
}

/// A version, odd while the only writer writes, and the words of the value in the lines behind it.
struct Seqlock {
    memory: Shared,
}

/// Where the value begins.
const WORDS: u64 = 64;

impl Seqlock {
    fn new() -> Self {
        let memory = Shared::new(4096);
        memory.populate();
        Self { memory }
    }
}

impl<const W: usize> Value<W> for Seqlock {
    type Handles = Shared;

    fn make(&mut self) {}

    fn handles(&mut self) -> &mut Shared {
        &mut self.memory
    }

    #[inline(always)]
    fn set(memory: &mut Shared, value: &[u64; W]) {
        let version = memory.word(0);
        let before = version.load(Ordering::Relaxed);
        version.store(before + 1, Ordering::Relaxed);
        // Whoever reads one of the words reads the odd version, or a later one, behind it.
        fence(Ordering::Release);
        for (offset, word) in (WORDS..).step_by(8).zip(value) {
            memory.word(offset).store(*word, Ordering::Relaxed);
        }
        version.store(before + 2, Ordering::Release);
    }

    #[inline(always)]
    fn get(memory: &mut Shared) -> [u64; W] {
        let version = memory.word(0);
        loop {
            let before = version.load(Ordering::Acquire);
            let word = |index| memory.word(WORDS + index as u64 * 8);
            let value = std::array::from_fn(|index| word(index).load(Ordering::Relaxed));
            // Pairs with the writer's.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && version.load(Ordering::Relaxed) == before {
                return value;
            }
        }
    }
}

/// The same for values of any length, which lies behind the version: the C library copies them.
struct AnyLength<const W: usize>(Plain);

/// Such a seqlock, with bytes of the process's own.
struct Plain {
    memory: Shared,
    /// How many bytes are written: not known to the compiler.
    len: usize,
    bytes: Vec<u8>,
}

/// Where the length is.
const LENGTH: u64 = 8;

impl<const W: usize> AnyLength<W> {
    fn new() -> Self {
        let Seqlock { memory } = Seqlock::new();
        let (len, bytes) = (W * 8, vec![0; W * 8]);
        Self(Plain { memory, len, bytes })
    }
}

impl<const W: usize> Value<W> for AnyLength<W>
where
    [u64; W]: Pod,
{
    type Handles = Plain;

    fn make(&mut self) {}

    fn handles(&mut self) -> &mut Plain {
        &mut self.0
    }

    #[inline(always)]
    fn set(plain: &mut Plain, value: &[u64; W]) {
        let Plain { memory, len, .. } = plain;
        let bytes = &bytemuck::bytes_of(value)[..*len];
        let version = memory.word(0);
        let before = version.load(Ordering::Relaxed);
        version.store(before + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        memory
            .word(LENGTH)
            .store(bytes.len() as u64, Ordering::Relaxed);
        // SAFETY: the memory has room for as many bytes; nobody else is there.
        unsafe { libc::memcpy(memory.at(WORDS).cast(), bytes.as_ptr().cast(), bytes.len()) };
        version.store(before + 2, Ordering::Release);
    }

    #[inline(always)]
    fn get(plain: &mut Plain) -> [u64; W] {
        let Plain { memory, bytes, .. } = plain;
        let version = memory.word(0);
        loop {
            let before = version.load(Ordering::Acquire);
            let len = memory.word(LENGTH).load(Ordering::Relaxed) as usize;
            let len = len.min(bytes.len());
            // SAFETY: so many bytes are there on both sides; nobody else is there.
            unsafe { libc::memcpy(bytes.as_mut_ptr().cast(), memory.at(WORDS).cast(), len) };
            // Pairs with the writer's.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && version.load(Ordering::Relaxed) == before {
                return bytemuck::pod_read_unaligned(&bytes[..len]);
            }
        }
    }
}

/// ringway's.
struct Entry {
    address: String,
    handles: Option<Handles>,
}

struct Handles {
    writer: Writer,
    reader: Reader,
    /// As of [`Plain`].
    len: usize,
    bytes: Vec<u8>,
    _board: Board,
}

impl Entry {
    fn new(name: String) -> Self {
        let address = format!("shm:{name}");
        let handles = None;
        Self { address, handles }
    }

    fn make(&mut self, len: usize) {
        let board = Board::at(&self.address).expect("the address is well formed");
        let board = board.create().expect("a new board");
        self.handles = Some(Handles {
            writer: board.writer("value").expect("no other writer"),
            reader: board.reader("value").expect("the entry is there"),
            len,
            bytes: Vec::new(),
            _board: board,
        });
    }
}

/// By a type, whose length the compiler knows.
struct Typed<const W: usize>(Entry);

impl<const W: usize> Value<W> for Typed<W>
where
    [u64; W]: Pod,
{
    type Handles = Handles;

    fn make(&mut self) {
        self.0.make(W * 8);
    }

    fn handles(&mut self) -> &mut Handles {
        self.0.handles.as_mut().expect("made")
    }

    #[inline(always)]
    fn set(handles: &mut Handles, value: &[u64; W]) {
        handles.writer.set_pod(value).expect("an intact board");
    }

    #[inline(always)]
    fn get(handles: &mut Handles) -> [u64; W] {
        let value = handles.reader.get_pod().expect("an intact board");
        value.expect("it has been set")
    }
}

/// As bytes, of any length.
struct Bytes<const W: usize>(Entry);

impl<const W: usize> Bytes<W> {
    fn new(name: String) -> Self {
        Self(Entry::new(name))
    }
}

impl<const W: usize> Value<W> for Bytes<W>
where
    [u64; W]: Pod,
{
    type Handles = Handles;

    fn make(&mut self) {
        self.0.make(W * 8);
    }

    fn handles(&mut self) -> &mut Handles {
        self.0.handles.as_mut().expect("made")
    }

    #[inline(always)]
    fn set(handles: &mut Handles, value: &[u64; W]) {
        let bytes = &bytemuck::bytes_of(value)[..handles.len];
        handles.writer.set(bytes).expect("an intact board");
    }

    #[inline(always)]
    fn get(handles: &mut Handles) -> [u64; W] {
        let Handles { reader, bytes, .. } = handles;
        let number = reader.get_into(bytes).expect("an intact board");
        number.expect("it has been set");
        bytemuck::pod_read_unaligned(bytes)
    }
}

type Ports<const W: usize> = (
    EntryHandle<ipc::Service, u64, [u64; W]>,
    EntryHandleMut<ipc::Service, u64, [u64; W]>,
);

/// iceoryx2's.
struct Blackboard<const W: usize> {
    name: String,
    ports: Option<Ports<W>>,
}

const KEY: u64 = 1;

impl<const W: usize> Blackboard<W> {
    fn new(name: String) -> Self {
        let ports = None;
        Self { name, ports }
    }
}

impl<const W: usize> Value<W> for Blackboard<W> {
    type Handles = Ports<W>;

    fn make(&mut self) {
        let node = iceoryx::node(&self.name);
        let service = node
            .service_builder(&"compare".try_into().expect("a name"))
            .blackboard_creator::<u64>()
            .add::<[u64; W]>(KEY, [0; W])
            .create()
            .expect("a new blackboard");
        let reader = service.reader_builder().create().expect("a reader");
        let writer = service.writer_builder().create().expect("a writer");
        let reading = reader.entry(&KEY).expect("the entry is there");
        let writing = writer.entry(&KEY).expect("no other writer");
        self.ports = Some((reading, writing));
    }

    fn handles(&mut self) -> &mut Ports<W> {
        self.ports.as_mut().expect("made")
    }

    #[inline(always)]
    fn set((_, writing): &mut Ports<W>, value: &[u64; W]) {
        writing.update_with_copy(*value);
    }

    #[inline(always)]
    fn get((reading, _): &mut Ports<W>) -> [u64; W] {
        *reading.get()
    }
}
