//! A disk behind a page cache, in memory, whose process can be killed between any two calls and within one, that can lose power with
//! any subset of what is not synced, fail to sync, and be full.
//!
//! *Killed*: the call at which the fuse burns down is done in part (of a write, some first bytes), every later one fails and does
//! nothing. What was done is in the page cache. A write within one sector is done as a whole or not at all: the kernel copies what lies in
//! one page at once, and looks for signals between pages.
//!
//! *Power*: each sector of 512 bytes becomes, by itself, any of the versions that it had since the last sync of its file; the length of a file
//! any that it had; of the changes of names since their last sync, any subset happened.
//!
//! *A failed sync*: some sectors reached the disk and some did not, and all are taken for clean, as Linux does. A process that is killed
//! within a sync had not begun it, or had it done, or had it fail: then nobody is left who knows. Names that could not be synced are
//! tried again by the next sync: a file system's journal does not take them for written.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::{FileLike, Files};

/// Bytes that reach the disk together.
const SECTOR: usize = 512;

/// What calls of a dead process give.
pub const DEAD: Errno = Errno::ESHUTDOWN;

/// A directory on the disk.
#[derive(Clone, Debug)]
pub struct Disk {
    world: Arc<Mutex<World>>,
}

/// A file on it.
#[derive(Debug)]
pub struct SimFile {
    world: Arc<Mutex<World>>,
    inode: usize,
}

#[derive(Debug)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync.
    changes: Vec<Change>,
    /// Calls that are still made; `None` is no end.
    fuse: Option<u64>,
    /// Which sync fails, counted from now; `None` is none.
    bad_sync: Option<u64>,
    /// Bytes of all files together; `None` is no limit.
    capacity: Option<u64>,
    random: Random,
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Of each sector that was written since the last sync, the versions.
    versions: HashMap<usize, Vec<Vec<u8>>>,
    /// The lengths since the last sync.
    lengths: Vec<usize>,
}

/// xorshift64*: enough to choose by.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.any() >> 11) % end
    }
}

/// For nonces and seeds: different each time, the same in each run.
pub fn counted() -> u64 {
    use std::cell::Cell;
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(1) };
    }
    LAST.with(|last| {
        last.set(last.get() + 1);
        Random::new(last.get()).any()
    })
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if end > self.cached.len() {
            self.resize(end);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        if bytes.is_empty() {
            return;
        }
        for sector in offset / SECTOR..=(end - 1) / SECTOR {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.cached.len());
            let mut version = self.cached[from..to].to_vec();
            version.resize(SECTOR, 0);
            self.versions.entry(sector).or_default().push(version);
        }
    }

    fn resize(&mut self, len: usize) {
        if len < self.cached.len() {
            // What is cut does not come back by growing.
            let first = len / SECTOR;
            self.cached.truncate(len);
            let last = self.cached.len().div_ceil(SECTOR);
            for sector in first..last.max(first + 1) {
                let from = (sector * SECTOR).min(len);
                let mut version = self.cached[from..len.min(from + SECTOR)].to_vec();
                version.resize(SECTOR, 0);
                self.versions.entry(sector).or_default().push(version);
            }
        } else {
            self.cached.resize(len, 0);
        }
        self.lengths.push(len);
    }

    /// What the disk has after a sync that did not fail. Sectors that an earlier one, which failed, has taken for clean are not written.
    fn written_back(&self) -> Vec<u8> {
        let mut disk = self.durable.clone();
        disk.resize(self.cached.len(), 0);
        for sector in self.versions.keys() {
            let from = (sector * SECTOR).min(disk.len());
            let to = (from + SECTOR).min(disk.len());
            disk[from..to].copy_from_slice(&self.cached[from..to]);
        }
        disk
    }

    /// What the disk has if each sector goes its own way.
    fn settle(&self, random: &mut Random) -> Vec<u8> {
        let mut disk = self.durable.clone();
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        disk.resize(longest.max(disk.len()).next_multiple_of(SECTOR), 0);
        let mut sectors: Vec<_> = self.versions.iter().collect();
        sectors.sort_unstable_by_key(|(sector, _)| **sector);
        // Some losses take nearly all, some nearly nothing, most some.
        let bias = random.below(5);
        for (sector, versions) in sectors {
            let choice = match (bias, random.below(16)) {
                (0, 1..) => 0,
                (1, 1..) => versions.len() as u64,
                _ => random.below(versions.len() as u64 + 1),
            };
            if let Some(version) = (choice as usize).checked_sub(1) {
                let from = sector * SECTOR;
                if from + SECTOR <= disk.len() {
                    disk[from..from + SECTOR].copy_from_slice(&versions[version]);
                }
            }
        }
        let lengths = self.lengths.len() as u64;
        let len = match random.below(lengths + 1) as usize {
            0 => self.durable.len(),
            chosen => self.lengths[chosen - 1],
        };
        disk.resize(len, 0);
        disk
    }
}

impl World {
    /// Whether a call is made; `Err` if its process is dead. `Ok(true)` says that it dies within it.
    fn call(&mut self) -> Result<bool, Errno> {
        match &mut self.fuse {
            Some(0) => Err(DEAD),
            Some(fuse) => {
                *fuse -= 1;
                Ok(*fuse == 0)
            }
            None => Ok(false),
        }
    }

    fn used(&self) -> u64 {
        let named = self.names.values();
        named
            .map(|inode| self.inodes[*inode].cached.len() as u64)
            .sum()
    }

    fn find(&self, name: &str) -> Result<usize, Errno> {
        self.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn is_bad(&mut self) -> bool {
        match &mut self.bad_sync {
            Some(0) => {
                self.bad_sync = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl Disk {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        Self {
            world: Arc::new(Mutex::new(World {
                inodes: Vec::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                changes: Vec::new(),
                fuse: None,
                bad_sync: None,
                capacity: None,
                random: Random::new(seed),
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the process within the call after so many; `None` has it live.
    pub fn set_fuse(&self, calls: Option<u64>) {
        self.lock().fuse = calls.map(|calls| calls + 1);
    }

    /// Whether it is dead.
    pub fn is_dead(&self) -> bool {
        self.lock().fuse == Some(0)
    }

    /// A store into memory that outlives the process, as any call one in which it can be killed: whether it is made.
    pub fn stores(&self) -> bool {
        let mut world = self.lock();
        match world.call() {
            Err(_) => false,
            Ok(dies) => !dies || world.random.below(2) == 0,
        }
    }

    /// Has a later sync fail.
    pub fn fail_sync(&self, after: Option<u64>) {
        self.lock().bad_sync = after;
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.lock().capacity = capacity;
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Takes the power away, and gives it back: what is there then is on the disk.
    pub fn lose_power(&self) {
        let world = &mut *self.lock();
        let mut names = world.durable_names.clone();
        for change in &world.changes {
            if world.random.below(2) == 0 {
                apply(&mut names, change);
            }
        }
        for inode in &mut world.inodes {
            let disk = inode.settle(&mut world.random);
            inode.durable.clone_from(&disk);
            inode.cached = disk;
            inode.versions.clear();
            inode.lengths.clear();
        }
        world.durable_names.clone_from(&names);
        world.names = names;
        world.changes.clear();
        world.fuse = None;
        world.bad_sync = None;
    }

    /// A disk with the same contents, all of it written back.
    pub fn copy(&self) -> Self {
        let world = self.lock();
        let copy = Self::new(world.random.0);
        let mut theirs = copy.lock();
        for (name, inode) in &world.names {
            let bytes = world.inodes[*inode].cached.clone();
            theirs.inodes.push(Inode {
                durable: bytes.clone(),
                cached: bytes,
                ..Inode::default()
            });
            let inode = theirs.inodes.len() - 1;
            theirs.names.insert(name.clone(), inode);
        }
        theirs.durable_names = theirs.names.clone();
        drop(theirs);
        copy
    }

    /// Changes the bytes of a file behind everybody's back.
    ///
    /// # Panics
    /// If it is not there.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let world = &mut *self.lock();
        let inode = world.names[name];
        let inode = &mut world.inodes[inode];
        change(&mut inode.cached);
        inode.durable.clone_from(&inode.cached);
        inode.versions.clear();
        inode.lengths.clear();
    }
}

impl Files for Disk {
    type File = SimFile;

    fn list(&self) -> Result<Vec<String>, Errno> {
        let mut world = self.lock();
        world.call()?;
        Ok(world.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, _write: bool) -> Result<SimFile, Errno> {
        let mut world = self.lock();
        world.call()?;
        Ok(SimFile {
            world: Arc::clone(&self.world),
            inode: world.find(name)?,
        })
    }

    fn create(&self, name: &str) -> Result<SimFile, Errno> {
        let mut world = self.lock();
        world.call()?;
        if world.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        world.inodes.push(Inode::default());
        let inode = world.inodes.len() - 1;
        world.change(Change::Link(name.to_owned(), inode));
        Ok(SimFile {
            world: Arc::clone(&self.world),
            inode,
        })
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let mut world = self.lock();
        world.call()?;
        world.find(from)?;
        world.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Errno> {
        let mut world = self.lock();
        world.call()?;
        world.find(name)?;
        world.change(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> Result<(), Errno> {
        let mut world = self.lock();
        if world.call()? {
            return Err(DEAD);
        }
        if world.is_bad() {
            return Err(Errno::EIO);
        }
        world.durable_names = world.names.clone();
        world.changes.clear();
        Ok(())
    }
}

impl SimFile {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileLike for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut world = self.lock();
        world.call()?;
        let file = &world.inodes[self.inode].cached;
        let from = (offset as usize).min(file.len());
        let len = buffer.len().min(file.len() - from);
        buffer[..len].copy_from_slice(&file[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), (usize, Errno)> {
        let world = &mut *self.lock();
        let dies = world.call().map_err(|errno| (0, errno))?;
        if dies {
            let mut part = world.random.below(bytes.len() as u64 + 1) as usize;
            let last = (offset as usize + bytes.len()).saturating_sub(1);
            if offset as usize / SECTOR == last / SECTOR && part < bytes.len() {
                part = 0;
            }
            world.inodes[self.inode].write(&bytes[..part], offset as usize);
            return Err((part, DEAD));
        }
        let end = offset as usize + bytes.len();
        let grows = end.saturating_sub(world.inodes[self.inode].cached.len()) as u64;
        if (world.capacity).is_some_and(|capacity| world.used() + grows > capacity) {
            return Err((0, Errno::ENOSPC));
        }
        world.inodes[self.inode].write(bytes, offset as usize);
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<(), Errno> {
        let world = &mut *self.lock();
        world.call()?;
        let grows = len.saturating_sub(world.inodes[self.inode].cached.len() as u64);
        if (world.capacity).is_some_and(|capacity| world.used() + grows > capacity) {
            return Err(Errno::ENOSPC);
        }
        if grows > 0 {
            world.inodes[self.inode].resize(len as usize);
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<(), Errno> {
        let mut world = self.lock();
        world.call()?;
        world.inodes[self.inode].resize(len as usize);
        Ok(())
    }

    fn len(&self) -> Result<u64, Errno> {
        let mut world = self.lock();
        world.call()?;
        Ok(world.inodes[self.inode].cached.len() as u64)
    }

    fn data_end(&self, from: u64) -> Result<u64, Errno> {
        let mut world = self.lock();
        world.call()?;
        let file = &world.inodes[self.inode].cached;
        let rest = file.get(from as usize..).unwrap_or_default();
        let found = rest.iter().rposition(|byte| *byte != 0);
        // The kernel knows whole pages.
        Ok(found.map_or(from, |at| (from + at as u64 + 1).next_multiple_of(4096)))
    }

    fn sync(&self) -> Result<(), Errno> {
        let world = &mut *self.lock();
        let dies = world.call()?;
        let is_bad = match dies {
            false => world.is_bad(),
            true => match world.random.below(3) {
                0 => return Err(DEAD),
                chosen => chosen == 1,
            },
        };
        let inode = &mut world.inodes[self.inode];
        inode.durable = match is_bad {
            false => inode.written_back(),
            true => inode.settle(&mut world.random),
        };
        inode.versions.clear();
        inode.lengths.clear();
        match (dies, is_bad) {
            (true, _) => Err(DEAD),
            (false, true) => Err(Errno::EIO),
            (false, false) => Ok(()),
        }
    }

    fn is_removed(&self) -> Result<bool, Errno> {
        let mut world = self.lock();
        world.call()?;
        Ok(!world.names.values().any(|inode| *inode == self.inode))
    }
}
