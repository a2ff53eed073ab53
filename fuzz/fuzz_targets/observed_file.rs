//! A file with anything in it and of any length, with holes, looked at from outside and collected, while its owner cuts
//! it off and mends it: an answer or a typed error, soon, and no memory or disk for what was not there.

#![no_main]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::gc::Gc;
use ringway_core::inspect::{list_in, stat};
use ringway_core::verify::{Header, HeapRing};
use ringway_core::{Address, remove};

/// No look takes longer, also with the slow code that fuzzers make.
const SOON: Duration = Duration::from_secs(30);
/// What a file system may need to say where a file's parts are.
const OWN_BLOCKS: u64 = 128;

#[derive(Arbitrary, Debug)]
struct Input {
    capacity_log2: u8,
    has_cells: bool,
    slabs: Option<(u8, u16)>,
    /// Bytes that the file lacks at its end, or has too many.
    len_change: i16,
    /// Whether its owner cuts it off and mends it while it is looked at.
    restless: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Header(u8, u8),
    Control(u8, u64),
    Slot(u8, u8, u64),
    /// In cells from the start of the data.
    Data(u32, u64),
    Cut(u32),
    Mend,
    Stat,
    List,
    Collect(bool, bool),
    Remove,
}

/// The file of one input. It goes with it, also when the input fails in a way that unwinds.
struct Segment {
    directory: PathBuf,
    path: PathBuf,
    header: Header,
    len: u64,
}

impl Segment {
    fn new(input: &Input) -> Option<Self> {
        let capacity = 1_u64.checked_shl(6 + u32::from(input.capacity_log2 % 36))?;
        let header = match input.has_cells {
            true => Header::with_cells(capacity)?,
            false => Header::new(capacity)?,
        };
        let header = match input.slabs {
            Some((bits, count)) => header.with_slabs(&[(12 + bits % 8, count.into())])?,
            None => header,
        };
        let name = format!("ringway-fuzz-observed-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).expect("a temporary directory");
        let path = directory.join("ring");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.mode(0o600).open(&path).expect("a temporary file");
        let len = header.extents().1;
        let len = len.saturating_add_signed(input.len_change.into());
        let segment = Self {
            directory,
            path,
            header,
            len,
        };
        segment.mend();
        Some(segment)
    }

    /// Only for a moment: a collector has to find that nobody else has it open. `None` if one has removed it.
    fn open(&self) -> Option<File> {
        OpenOptions::new().write(true).open(&self.path).ok()
    }

    fn set_len(&self, len: u64) {
        if let Some(file) = self.open() {
            let _ = file.set_len(len);
        }
    }

    fn mend(&self) {
        self.set_len(self.len);
        self.write(0, &self.header.encode());
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        if let Some(file) = self.open().filter(|_| at + bytes.len() as u64 <= self.len) {
            file.write_all_at(bytes, at).expect("room in the file");
        }
    }

    fn take(&self, step: &Step) {
        let address = || Address::File(self.path.clone());
        match *step {
            Step::Header(at, byte) => self.write(at.into(), &[byte]),
            Step::Control(at, word) => {
                let words = HeapRing::CONTROL.len() / 8;
                let at = HeapRing::CONTROL.start + usize::from(at) % words * 8;
                self.write(at as u64, &word.to_le_bytes());
            }
            Step::Slot(slot, field, word) => {
                let at = 1024 + 128 * u64::from(slot % 4) + u64::from(field % 16) * 8;
                self.write(at, &word.to_le_bytes());
            }
            Step::Data(cell, word) => {
                let at = self.header.extents().0.start + 64 * u64::from(cell);
                self.write(at, &word.to_le_bytes());
            }
            Step::Cut(len) => self.set_len(u64::from(len).min(self.len)),
            Step::Mend => self.mend(),
            Step::Stat => drop(stat(&address())),
            Step::List => drop(list_in(&self.directory)),
            Step::Collect(dry, undelivered) => {
                let gc = Gc::new().address(address());
                drop(gc.dry_run(dry).undelivered(undelivered).run());
            }
            Step::Remove => drop(remove(&address(), false)),
        }
    }

    /// Looks in this way and checks what it took.
    fn look(&self, step: &Step, restless: bool) {
        let blocks = || std::fs::metadata(&self.path).map_or(0, |file| file.blocks());
        let (before, started) = (blocks(), Instant::now());
        self.take(step);
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
        // Its owner makes some itself.
        assert!(
            restless || blocks() <= before + OWN_BLOCKS,
            "from {before} blocks to {}",
            blocks()
        );
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fuzz_target!(|input: Input| {
    let Some(segment) = Segment::new(&input) else {
        return;
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if input.restless {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    segment.set_len(0);
                    segment.mend();
                }
            });
        }
        for step in &input.steps {
            segment.look(step, input.restless);
        }
        for step in [
            Step::Stat,
            Step::Collect(true, true),
            Step::Collect(false, true),
        ] {
            segment.look(&step, input.restless);
        }
        over.store(true, Ordering::Relaxed);
    });
});
