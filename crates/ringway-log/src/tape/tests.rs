//! What a writer does between two looks of a reader that does not know of it yet.

use std::mem;
use std::sync::{Arc, Mutex};

use super::*;
use crate::appender::{Appender, Plan};
use crate::files::sim::{Disk, SimFile, counted};
use crate::options::Retention;
use crate::syncing::Nobody;

const PLAN: Plan = Plan {
    segment_len: 8192,
    block: 1024,
    durable: false,
    repair: false,
};

/// What happens when the files are listed next.
#[derive(Clone, Copy, Default)]
enum Meanwhile {
    #[default]
    Nothing,
    Before(fn(&Disk)),
    After(fn(&Disk)),
}

/// A directory in which something happens.
#[derive(Clone)]
struct Busy {
    disk: Disk,
    meanwhile: Arc<Mutex<Meanwhile>>,
}

impl Busy {
    fn new() -> Self {
        let disk = Disk::new(1);
        Appender::create(&disk, &PLAN, 0, counted).unwrap();
        Self {
            disk,
            meanwhile: Arc::default(),
        }
    }

    fn then(&self, meanwhile: Meanwhile) {
        *self.meanwhile.lock().unwrap() = meanwhile;
    }
}

impl Files for Busy {
    type File = SimFile;

    fn list(&self) -> Result<Vec<String>, Errno> {
        match mem::take(&mut *self.meanwhile.lock().unwrap()) {
            Meanwhile::Nothing => self.disk.list(),
            Meanwhile::Before(happens) => {
                happens(&self.disk);
                self.disk.list()
            }
            Meanwhile::After(happens) => {
                let listed = self.disk.list();
                happens(&self.disk);
                listed
            }
        }
    }

    fn open(&self, name: &str, write: bool) -> Result<SimFile, Errno> {
        self.disk.open(name, write)
    }

    fn create(&self, name: &str) -> Result<SimFile, Errno> {
        self.disk.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> Result<(), Errno> {
        self.disk.sync_names()
    }
}

/// Some segments.
fn write(disk: &Disk) -> Appender<Disk> {
    let (mut appender, _) =
        Appender::open(disk.clone(), PLAN, None, Box::new(Nobody), counted).unwrap();
    for fill in 0..60 {
        appender.push(1, &[fill; 300]).unwrap();
        appender.flush().unwrap();
    }
    appender
}

fn numbers(tape: &mut Tape<Busy>) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        match tape.next(None).unwrap() {
            Next::Message(record) => numbers.push(record.number),
            Next::End => return numbers,
            other => panic!("{other:?}, behind {numbers:?}"),
        }
    }
}

/// It was at the end, and before it looks whether there is a later segment, the one that it is in was filled.
#[test]
fn a_segment_that_is_filled_and_followed_meanwhile_is_not_damaged() {
    let busy = Busy::new();
    let mut tape = Tape::open(busy.clone(), From::Oldest, None).unwrap();
    assert_eq!(numbers(&mut tape), []);
    busy.then(Meanwhile::Before(|disk| drop(write(disk))));
    assert_eq!(numbers(&mut tape), Vec::from_iter(0..60));
}

/// What it has listed is all removed before it asks from where on messages are kept.
#[test]
fn a_log_of_which_all_segments_are_others_meanwhile_is_not_damaged() {
    let busy = Busy::new();
    let mut tape = Tape::open(busy.clone(), From::Number(59), None).unwrap();
    busy.then(Meanwhile::After(|disk| {
        let mut appender = write(disk);
        let removed = appender.retain(&Retention::all().bytes(9000), 1, None);
        assert!(removed.unwrap() > 0);
    }));
    assert_eq!(numbers(&mut tape), [59]);
}
