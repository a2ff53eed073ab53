//! The table of all rings there are: kind x sync x backing. Tests that must hold for every ring run over
//! it, so that a new kind, sync or backing is covered when it is in its `ALL`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use ringway::peer::Role;
use ringway::{Builder, ErrorKind, Kind, Ring, SyncKind};

use crate::place::{Backing, Place};

/// Which rows to run, as parts of their names with commas between: `mpmc/futex,spsc`. All if unset.
const ROWS: &str = "RINGWAY_TEST_ROWS";

/// One sort of ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// How many producers and consumers.
    pub kind: Kind,
    /// How they exclude each other and sleep.
    pub sync: SyncKind,
    /// What the segment is made of.
    pub backing: Backing,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            sync,
            backing,
        } = self;
        write!(f, "{}/{}/{backing:?}", kind.name(), sync.name())
    }
}

impl Row {
    /// The kinds of which each message is for one consumer. (Those of a broadcast ring all get it: `tests/broadcast.rs`.)
    pub const KINDS: [Kind; 4] = [Kind::Spsc, Kind::Mpsc, Kind::Spmc, Kind::Mpmc];

    /// The whole table.
    pub fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for kind in Self::KINDS {
            for sync in SyncKind::ALL {
                for backing in Backing::ALL {
                    rows.push(Self {
                        kind,
                        sync,
                        backing,
                    });
                }
            }
        }
        let chosen = std::env::var(ROWS).unwrap_or_default();
        rows.retain(|row| chosen.split(',').any(|part| row.to_string().contains(part)));
        rows
    }

    /// The rows that exist.
    pub fn supported() -> Vec<Self> {
        let mut rows = Self::all();
        rows.retain(|row| row.refusal().is_none());
        rows
    }

    /// The row of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|row| row.to_string() == name)
    }

    /// The supported rows on shared memory: one for each kind and sync.
    pub fn on_shm() -> Vec<Self> {
        let mut rows = Self::supported();
        rows.retain(|row| row.backing == Backing::Shm);
        rows
    }

    /// Those of `rows` that have room for several in `role`.
    pub fn with_many(role: Role, mut rows: Vec<Self>) -> Vec<Self> {
        rows.retain(|row| row.has_many(role));
        rows
    }

    /// Why such a ring is refused, if it is: these kinds of synchronisation keep an object beside the
    /// segment, which is found by the ring's address, and a memfd has none.
    pub fn refusal(self) -> Option<ErrorKind> {
        let beside = matches!(self.sync, SyncKind::SysvSem | SyncKind::Mqueue);
        (beside && self.backing == Backing::Memfd).then_some(ErrorKind::Unsupported)
    }

    /// Whether the ring has room for several in `role`.
    pub fn has_many(self, role: Role) -> bool {
        self.kind.allows_many(role)
    }

    /// `many`, if the ring has room for several in `role`; otherwise one.
    pub fn up_to(self, many: usize, role: Role) -> usize {
        if self.has_many(role) { many } else { 1 }
    }

    /// Whether messages lie in cells.
    pub fn has_cells(self) -> bool {
        (self.kind, self.sync) != (Kind::Spsc, SyncKind::Futex)
    }

    /// A builder of such a ring, as small as rings are, and the place for it.
    pub fn builder(self) -> (Builder, Place) {
        let place = Place::new(self.backing);
        (self.shape(place.builder()), place)
    }

    /// Has a builder make such a ring, as small as rings are.
    pub fn shape(self, builder: Builder) -> Builder {
        builder
            .kind(self.kind)
            .sync(self.sync)
            .capacity(CAPACITY)
            .cell_len(CELL_LEN)
            .participants(8)
            // Memfds are handed over among the processes of a test.
            .trust_peers(true)
    }

    /// A new ring, as small as rings are, so that it is full, empty and wraps often.
    pub fn ring(self) -> (Ring, Place) {
        self.ring_with(|builder| builder)
    }

    /// A new ring with other options.
    pub fn ring_with(self, options: impl FnOnce(Builder) -> Builder) -> (Ring, Place) {
        let (builder, mut place) = self.builder();
        let ring = options(builder)
            .create()
            .unwrap_or_else(|error| panic!("{self}: {error}"));
        place.address = ring.address().clone();
        (ring, place)
    }
}

/// Bytes of the small rings.
pub const CAPACITY: u64 = 4096;

/// Bytes of a cell in the small rings.
pub const CELL_LEN: u32 = 128;

/// Runs `test` for each of `rows`, several at a time, and fails for all rows that failed.
pub fn for_each(rows: Vec<Row>, test: impl Fn(Row) + Sync) {
    let rows = Mutex::new(rows.into_iter());
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let next = rows.lock().unwrap().next();
            let Some(row) = next else { return };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(row))) {
                eprintln!("failed: {row}");
                failed.lock().unwrap().push((row, panic));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    let names: Vec<_> = failed.iter().map(|(row, _)| row.to_string()).collect();
    if let Some((_, panic)) = failed.into_iter().next() {
        eprintln!("failed rows: {}", names.join(", "));
        resume_unwind(panic);
    }
}
