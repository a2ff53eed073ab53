//! A value that is written over and read again, in one process: what a read and a write cost while nobody else is there.

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
        let board = Entry::<W>::new(self.name());
        let blackboard = Blackboard::<W>::new(self.name());
        vec![
            limit("bare seqlock", None, Alone::<_, W, WRITES>(Seqlock::new())),
            plain("ringway board", Alone::<_, W, WRITES>(board)),
            plain("iceoryx2 blackboard", Alone::<_, W, WRITES>(blackboard)),
        ]
    }
}

/// Where one value lies.
trait Value<const W: usize> {
    fn make(&mut self);
    fn set(&mut self, value: &[u64; W]);
    fn get(&mut self) -> [u64; W];
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
        self.0.set(&value);
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, _: Tape<'_>) {
        if member != LEAD {
            return;
        }
        let mut value = [0; W];
        for number in numbers.clone() {
            if WRITES {
                message::fill(&mut value, number);
                self.0.set(&value);
            } else {
                message::check(&self.0.get(), numbers.start);
            }
        }
    }

    fn ends_with_leader(&self) -> bool {
        true
    }

    fn settle(&mut self, numbers: Range<u64>) {
        if WRITES {
            message::check(&self.0.get(), numbers.end - 1);
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
    fn make(&mut self) {}

    #[inline(always)]
    fn set(&mut self, value: &[u64; W]) {
        let version = self.memory.word(0);
        let before = version.load(Ordering::Relaxed);
        version.store(before + 1, Ordering::Relaxed);
        // Whoever reads one of the words reads the odd version, or a later one, behind it.
        fence(Ordering::Release);
        for (offset, word) in (WORDS..).step_by(8).zip(value) {
            self.memory.word(offset).store(*word, Ordering::Relaxed);
        }
        version.store(before + 2, Ordering::Release);
    }

    #[inline(always)]
    fn get(&mut self) -> [u64; W] {
        let version = self.memory.word(0);
        loop {
            let before = version.load(Ordering::Acquire);
            let word = |index| self.memory.word(WORDS + index as u64 * 8);
            let value = std::array::from_fn(|index| word(index).load(Ordering::Relaxed));
            // Pairs with the writer's.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && version.load(Ordering::Relaxed) == before {
                return value;
            }
        }
    }
}

/// ringway's.
struct Entry<const W: usize> {
    address: String,
    handles: Option<(Board, Writer, Reader)>,
}

impl<const W: usize> Entry<W> {
    fn new(name: String) -> Self {
        let address = format!("shm:{name}");
        let handles = None;
        Self { address, handles }
    }
}

impl<const W: usize> Value<W> for Entry<W>
where
    [u64; W]: Pod,
{
    fn make(&mut self) {
        let board = Board::at(&self.address).expect("the address is well formed");
        let board = board.create().expect("a new board");
        let writer = board.writer("value").expect("no other writer");
        let reader = board.reader("value").expect("the entry is there");
        self.handles = Some((board, writer, reader));
    }

    #[inline(always)]
    fn set(&mut self, value: &[u64; W]) {
        let (_, writer, _) = self.handles.as_mut().expect("made");
        writer.set_pod(value).expect("an intact board");
    }

    #[inline(always)]
    fn get(&mut self) -> [u64; W] {
        let (_, _, reader) = self.handles.as_mut().expect("made");
        let value = reader.get_pod().expect("an intact board");
        value.expect("it has been set")
    }
}

type Handles<const W: usize> = (
    EntryHandle<ipc::Service, u64, [u64; W]>,
    EntryHandleMut<ipc::Service, u64, [u64; W]>,
);

/// iceoryx2's.
struct Blackboard<const W: usize> {
    name: String,
    handles: Option<Handles<W>>,
}

const KEY: u64 = 1;

impl<const W: usize> Blackboard<W> {
    fn new(name: String) -> Self {
        let handles = None;
        Self { name, handles }
    }
}

impl<const W: usize> Value<W> for Blackboard<W> {
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
        self.handles = Some((reading, writing));
    }

    #[inline(always)]
    fn set(&mut self, value: &[u64; W]) {
        let (_, writing) = self.handles.as_mut().expect("made");
        writing.update_with_copy(*value);
    }

    #[inline(always)]
    fn get(&mut self) -> [u64; W] {
        let (reading, _) = self.handles.as_ref().expect("made");
        *reading.get()
    }
}
