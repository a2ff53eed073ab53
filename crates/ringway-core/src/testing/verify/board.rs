//! A board over heap memory, into which a peer writes between any two accesses.
//!
//! ```
//! use ringway_core::verify::HeapBoard;
//!
//! let board = HeapBoard::new().ok_or("there is memory")?;
//! assert!(board.set(b"key", b"value", &[]));
//! assert_eq!(board.get(b"key", &[]), Ok(Some((1, b"value".to_vec()))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::GetError;
use crate::memory::layout::board::entries_end;
use crate::memory::layout::control::CONTROL_OFFSET;
use crate::memory::layout::{Geometry, Kind, Shape};
use crate::memory::region::Region;
use crate::memory::region::memory::Heap;
use crate::presence::Outlook;
use crate::rings::board::reader::Reader;
use crate::rings::board::watcher::Watcher;
use crate::rings::board::writer::Writer;
use crate::rings::board::{Slate, directory};
use crate::testing::meddled::{Meddled, Meddler};
use crate::waiting::{WaitOptions, WaitStrategy};

const SLOTS: u32 = 2;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A word of the control part, which wraps; what it becomes; and before which access of the operation.
pub type Meddling = (u16, u64, u16);

/// A board of three entries, for values of up to [`MAX_LEN`](Self::MAX_LEN) bytes.
#[derive(Debug)]
pub struct HeapBoard {
    heap: Arc<Heap>,
    slate: Slate,
    meddler: Rc<Meddler>,
    epoch: Cell<u64>,
}

impl HeapBoard {
    /// How many entries it has.
    pub const ENTRIES: u32 = 3;
    /// Bytes of the longest value.
    pub const MAX_LEN: usize = 512;

    /// An empty board, if there is memory.
    pub fn new() -> Option<Self> {
        let geometry = Geometry::new(Kind::Board, Shape::Board(Self::ENTRIES), SLOTS, 4096)?;
        Some(Self {
            heap: Heap::new(geometry)?,
            slate: Slate::of(&geometry)?,
            meddler: Rc::default(),
            epoch: Cell::new(0),
        })
    }

    fn begin(&self, meddling: &[Meddling]) -> Meddled {
        const WORDS: usize = (entries_end(SLOTS, HeapBoard::ENTRIES) - CONTROL_OFFSET) / 8;
        self.meddler.begin();
        for &(nth, word, after) in meddling {
            let at = CONTROL_OFFSET + usize::from(nth) % WORDS * 8;
            let deed = move |memory: &_| Region::store64(memory, at, word, Ordering::Relaxed);
            self.meddler.plan(after.into(), Box::new(deed));
        }
        Meddled::new(self.heap.region(), &self.meddler, true)
    }

    /// Takes the role of an entry, which is added if need be, sets its value, and leaves. Whether that was done.
    pub fn set(&self, key: &[u8], value: &[u8], meddling: &[Meddling]) -> bool {
        let region = self.begin(meddling);
        let epoch = self.epoch.get() + 1;
        self.epoch.set(epoch);
        let Some(entry) = directory::find_or_add(&region, &self.slate, key) else {
            return false;
        };
        let Ok(mut writer) = Writer::take(region, entry, epoch << 8, Outlook::new(SLOTS, 0)) else {
            return false;
        };
        let is_set = writer.set(value).is_ok();
        writer.leave();
        is_set
    }

    /// Reads an entry: the number and the value.
    ///
    /// # Errors
    /// As [`Reader::get`](crate::board::Reader::get).
    pub fn get(
        &self,
        key: &[u8],
        meddling: &[Meddling],
    ) -> Result<Option<(u64, Vec<u8>)>, GetError> {
        let mut reader = Reader::new(self.begin(meddling), self.slate, key);
        let mut bytes = Vec::new();
        let read = reader.get(&mut bytes)?;
        let _ = reader.writer();
        Ok(read.map(|(number, ())| (number, bytes)))
    }

    /// Waits for a value of an entry, not for long.
    ///
    /// # Errors
    /// As [`Reader::wait_newer`](crate::board::Reader::wait_newer).
    pub fn wait(&self, key: &[u8], meddling: &[Meddling]) -> Result<(u64, Vec<u8>), GetError> {
        let mut reader = Reader::new(self.begin(meddling), self.slate, key);
        let wait = WaitOptions::new(WaitStrategy::Park).within(Duration::ZERO);
        let mut bytes = Vec::new();
        let (number, ()) = reader.wait_newer(&wait, &mut bytes)?;
        Ok((number, bytes))
    }

    /// All values, as one who watches finds them: at most one of each entry, with its key.
    ///
    /// # Errors
    /// As [`Watcher::next`](crate::board::Watcher::next).
    pub fn watch(&self, meddling: &[Meddling]) -> Result<Vec<Entry>, GetError> {
        let mut watcher = Watcher::new(self.begin(meddling), self.slate);
        let mut found = Vec::new();
        for _ in 0..Self::ENTRIES {
            let mut bytes = Vec::new();
            let Some((key, _)) = watcher.newer(&mut bytes)? else {
                break;
            };
            found.push((key, bytes));
        }
        Ok(found)
    }
}
