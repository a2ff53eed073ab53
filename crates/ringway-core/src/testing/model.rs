//! A region for loom: every word is one of loom's atomics, and the futex is a lock, a list of sleepers and
//! their condition variables, which is what the kernel's is to its callers.

mod deaths;
mod exploring;
mod region;
mod sleeping;

use std::collections::BTreeMap;
use std::panic;
use std::sync::atomic::AtomicU64 as Plain;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use loom::sync::{Arc, Mutex, MutexGuard};

use crate::memory::layout::broadcast::{
    BOUND, CURSOR, LIMIT, MOST_NAME, NAME_HOLDER, NAME_KEY, NAME_NUMBER, NAME_POSITION, NAME_SHOWN,
    NAME_TEXT, NAMES, NAMES_LOCK, NUMBER, STATE, WAYPOINTS, name_offset, waypoint_offset,
};
use crate::memory::layout::control::{
    CLAIM_HINT, CONSUMERS_CHANGED, DATA_EVENT, HEAD, LOCK_HOLDER, MOST_DELIVERIES, MOVEMENTS,
    PRODUCER_CLOSED, PRODUCERS_CHANGED, RECEIVED, SENT, SHOWN, SPACE_EVENT, TAIL, TAKE_HINT,
};
use crate::memory::layout::participant::{
    ASLEEP, CLOSED, EPOCH, FENCES, LIVENESS, MESSAGES, OVERWRITTEN, REPAIRED, SIGHT_LEN, SLOT_LEN,
    liveness_words, slot_offset, table_end,
};
use crate::memory::layout::pool::MIN_SLAB_LEN;
use crate::memory::region::pane::Place;
use crate::memory::region::{At, Change, Load, Of, Region};
use crate::rings::board::{ANY_CHANGE, Slate};
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::sys::futex::{MonotonicTime, OWNER_DIED, WAITERS, Wake};
use crate::waiting::eventcount;

use deaths::Death;
pub(crate) use deaths::{at_every_change, lives};
pub(crate) use exploring::explorer;
use sleeping::{Sleeper, sleep};

/// What a live holder's liveness word is.
const HELD: u32 = WAITERS | 1;

struct Words {
    control32: BTreeMap<usize, AtomicU32>,
    control64: BTreeMap<usize, AtomicU64>,
    /// Counters that nobody but their writer reads: no business of loom's.
    counters: BTreeMap<usize, Plain>,
    data: Vec<AtomicU64>,
    /// One for each word of data: loom panics if payload is written while it may still be read, or
    /// read before it is sure to be written. None in a board, whose readers throw such copies away.
    races: Vec<UnsafeCell<()>>,
    /// The word of each slab, and its one word of payload, with the same.
    slabs: Vec<(AtomicU64, AtomicU64, UnsafeCell<()>)>,
    participants: u32,
    /// Whether sights are words of their own. In models of rings they are the liveness words, as if all changed at
    /// once: that the one is as good as the other, the model of [`crate::presence`] shows.
    has_sights: bool,
    /// Whether the kernel cannot change a word and wake in one step.
    is_old: bool,
    /// Of a ring whose fences are asymmetric: held while something is published without a fence, and gone through by
    /// `membarrier`.
    unfenced: Option<Mutex<()>>,
}

// SAFETY: the cells hold nothing; they are there for loom to find unordered accesses.
unsafe impl Sync for Words {}
// SAFETY: as for Sync.
unsafe impl Send for Words {}
impl Words {
    fn new(
        participants: u32,
        control32: &[usize],
        control64: &[usize],
        counters: &[usize],
        data: &[u64],
    ) -> Self {
        Self {
            control32: control32
                .iter()
                .map(|&at| (at, Default::default()))
                .collect(),
            control64: control64
                .iter()
                .map(|&at| (at, Default::default()))
                .collect(),
            counters: counters
                .iter()
                .map(|&at| (at, Default::default()))
                .collect(),
            data: data.iter().map(|&word| AtomicU64::new(word)).collect(),
            races: data.iter().map(|_| UnsafeCell::new(())).collect(),
            slabs: Vec::new(),
            participants,
            has_sights: false,
            is_old: false,
            unfenced: None,
        }
    }

    fn word32(&self, offset: usize) -> &AtomicU32 {
        let sight = offset.checked_sub(slot_offset(self.participants));
        let at = match sight {
            // Behind them are a board's entries.
            Some(sight) if !self.has_sights && offset < table_end(self.participants) => {
                let row = sight / (self.participants as usize * SIGHT_LEN);
                slot_offset(row as u32) + LIVENESS
            }
            _ => offset,
        };
        &self.control32[&at]
    }
}

/// A handle to the model's memory, as each process has one.
pub(crate) struct Model {
    words: Arc<Words>,
    /// Who sleeps, on whatever ring.
    kernel: Arc<Mutex<Vec<Sleeper>>>,
    /// How many changes its process lives to make; [`FOR_EVER`] if it does not die.
    changes: std::sync::Arc<Plain>,
    /// Whether it makes the fence between publishing and looking for sleepers, where fences are asymmetric.
    fences: bool,
}

const FOR_EVER: u64 = u64::MAX;

impl Clone for Model {
    /// Another process's handle.
    fn clone(&self) -> Self {
        Self {
            words: Arc::clone(&self.words),
            kernel: Arc::clone(&self.kernel),
            changes: immortal(),
            fences: false,
        }
    }
}

fn immortal() -> std::sync::Arc<Plain> {
    std::sync::Arc::new(Plain::new(FOR_EVER))
}

impl Model {
    /// A stream ring of `capacity` bytes whose sides are both attached.
    pub(crate) fn attached(capacity: usize) -> Self {
        let model = Self::empty(capacity);
        model.attach(PRODUCER.slot);
        model.attach(CONSUMER.slot);
        model
    }

    /// A stream ring of `capacity` bytes to which nobody is attached.
    pub(crate) fn empty(capacity: usize) -> Self {
        let control32 = [(PRODUCER, 0), (CONSUMER, 1)]
            .map(|(side, slot)| [side.event, side.closed, slot_offset(slot) + LIVENESS])
            .concat();
        let control64 = [TAIL, SENT, HEAD, RECEIVED];
        let data = vec![0; capacity / 8];
        let shown = (0..MOST_DELIVERIES).map(|nth| SHOWN + 8 * nth);
        let repaired = [0, 1].map(|slot| slot_offset(slot) + REPAIRED);
        let counters: Vec<_> = repaired.into_iter().chain(shown).collect();
        Self::over(Words::new(2, &control32, &control64, &counters, &data))
    }

    /// A broadcast ring of `capacity` bytes with so many slots to which nobody is attached.
    pub(crate) fn broadcast(capacity: usize, slots: u32) -> Self {
        let in_slots = |field: usize| (0..slots).map(move |slot| slot_offset(slot) + field);
        let mut control32: Vec<_> = in_slots(LIVENESS).collect();
        control32.extend([DATA_EVENT, SPACE_EVENT, PRODUCER_CLOSED]);
        let waypoints = (0..WAYPOINTS).map(|index| waypoint_offset(slots, index));
        let mut control64: Vec<_> = waypoints.flat_map(|at| [at, at + 8]).collect();
        control64.extend([EPOCH, STATE, CURSOR, BOUND].into_iter().flat_map(in_slots));
        control64.extend([TAIL, SENT, LIMIT]);
        let counters = [NUMBER, MESSAGES, OVERWRITTEN, REPAIRED].map(in_slots);
        let counters: Vec<_> = counters.into_iter().flatten().collect();
        let data = vec![0; capacity / 8];
        Self::over(Words::new(slots, &control32, &control64, &counters, &data))
    }

    /// The same ring, that nobody has used yet, with entries for names.
    pub(crate) fn with_names(mut self) -> Self {
        let words = Arc::get_mut(&mut self.words).expect("nobody else has a handle");
        words.control64.entry(NAMES_LOCK).or_default();
        for index in 0..NAMES {
            let at = name_offset(words.participants, index);
            for field in [
                NAME_KEY,
                NAME_HOLDER,
                NAME_NUMBER,
                NAME_SHOWN,
                NAME_POSITION,
            ] {
                words.control64.entry(at + field).or_default();
            }
            for text in (NAME_TEXT..NAME_TEXT + MOST_NAME).step_by(8) {
                words.counters.entry(at + text).or_default();
            }
        }
        self
    }

    /// What a ring of so many slots has for who lives, and nothing else.
    pub(crate) fn of_sights(participants: u32) -> Self {
        let control32: Vec<_> = liveness_words(participants).chain([MOVEMENTS]).collect();
        let control64: Vec<_> = (0..participants)
            .map(|slot| slot_offset(slot) + EPOCH)
            .collect();
        let mut words = Words::new(participants, &control32, &control64, &[], &[0]);
        words.has_sights = true;
        Self::over(words)
    }

    /// A cell ring with so many slots to which nobody is attached. Each cell's word is `free`.
    pub(crate) fn cells(cells: usize, cell_len: u32, slots: u32, free: u64) -> Self {
        let in_slots = |fields: &[usize]| -> Vec<usize> {
            let slots = (0..slots).map(slot_offset);
            slots
                .flat_map(|slot| fields.iter().map(move |field| slot + field))
                .collect()
        };
        let mut control32 = in_slots(&[LIVENESS, ASLEEP, CLOSED]);
        control32.extend([
            DATA_EVENT,
            SPACE_EVENT,
            CONSUMERS_CHANGED,
            PRODUCERS_CHANGED,
        ]);
        let mut control64 = in_slots(&[EPOCH]);
        control64.extend([HEAD, CLAIM_HINT, TAKE_HINT, LOCK_HOLDER]);
        let counters = in_slots(&[MESSAGES, OVERWRITTEN, REPAIRED]);
        let mut cell = vec![0; cell_len as usize / 8];
        cell[0] = free;
        let data = cell.repeat(cells);
        Self::over(Words::new(slots, &control32, &control64, &counters, &data))
    }

    /// A board to which nobody is attached, with so many slots and entries. Keys have eight bytes at most.
    pub(crate) fn board(slots: u32, entries: u32, capacity: usize) -> Self {
        let entries: Vec<_> = Slate::new(slots, entries, capacity as u64).all().collect();
        let mut control32: Vec<_> = (0..slots)
            .map(|slot| slot_offset(slot) + LIVENESS)
            .collect();
        control32.push(ANY_CHANGE);
        let mut control64: Vec<_> = (0..slots).map(|slot| slot_offset(slot) + EPOCH).collect();
        for (_, entry) in entries {
            control32.extend([entry.event(), entry.key_len()]);
            control64.extend([
                entry.number(),
                entry.begun(),
                entry.length(0),
                entry.length(1),
            ]);
            control64.extend([entry.owner(), entry.fingerprint(), entry.key()]);
            control64.extend([entry.short_begun(), entry.mark()]);
            // The last of one half and the first of the other.
            control64.extend((0..5).map(|index| entry.short(index)));
        }
        let data = vec![0; capacity / 8];
        let mut words = Words::new(slots, &control32, &control64, &[], &data);
        words.races.clear();
        Self::over(words)
    }

    /// The same ring, that nobody has used yet, with so many slabs. The words of their payloads but the first
    /// do not exist.
    pub(crate) fn with_slabs(mut self, slabs: u32) -> Self {
        let words = Arc::get_mut(&mut self.words).expect("nobody else has a handle");
        words.slabs = (0..slabs)
            .map(|_| (AtomicU64::new(0), AtomicU64::new(0), UnsafeCell::new(())))
            .collect();
        // Holders are known by the epochs of their slots.
        for slot in [0, 1] {
            let epoch = slot_offset(slot) + EPOCH;
            words.control64.entry(epoch).or_default();
        }
        self
    }

    /// The same ring, that nobody has used yet, under a kernel that cannot change a word and wake in one step.
    pub(crate) fn under_an_old_kernel(mut self) -> Self {
        let words = Arc::get_mut(&mut self.words).expect("nobody else has a handle");
        words.is_old = true;
        self
    }

    /// The same ring, that nobody has used yet, with asymmetric fences.
    pub(crate) fn asymmetric(mut self) -> Self {
        let words = Arc::get_mut(&mut self.words).expect("nobody else has a handle");
        for slot in [0, 1] {
            for field in [EPOCH, FENCES] {
                let word = words.control64.entry(slot_offset(slot) + field);
                word.or_default();
            }
        }
        words.unfenced = Some(Mutex::new(()));
        self
    }

    /// What a publication without a fence, and the look behind it, is made in.
    pub(crate) fn without_a_fence(&self) -> MutexGuard<'_, ()> {
        let lock = self.words.unfenced.as_ref();
        lock.expect("fences are asymmetric").lock().unwrap()
    }

    /// The same ring, under the kernel of another one.
    pub(crate) fn beside(self, other: &Self) -> Self {
        Self {
            kernel: Arc::clone(&other.kernel),
            ..self
        }
    }

    fn over(words: Words) -> Self {
        Self {
            words: Arc::new(words),
            kernel: Arc::default(),
            changes: immortal(),
            fences: false,
        }
    }

    /// What happens when a process attaches. Returns the slot's epoch, for who has one.
    pub(crate) fn attach(&self, slot: u32) -> u64 {
        let epoch = self.words.control64.get(&(slot_offset(slot) + EPOCH));
        let epoch = epoch.map_or(0, |epoch| epoch.fetch_add(1, Ordering::Release) + 1);
        self.liveness(slot).store(HELD, Ordering::Release);
        epoch
    }

    /// What the keeper does when a participant leaves.
    pub(crate) fn leave(&self, slot: u32) {
        self.liveness(slot).store(0, Ordering::Release);
    }

    /// What the kernel does when a process dies: it marks the word. And what the watchers do then: they wake all.
    pub(crate) fn kill(&self, slot: u32) {
        self.liveness(slot)
            .swap(OWNER_DIED | WAITERS, Ordering::AcqRel);
        for event in [DATA_EVENT, SPACE_EVENT] {
            self.change_and_wake_all(event, eventcount::AWAKE);
        }
    }

    /// What the kernel does with one entry of a robust list: marks the word if it carries the thread's id, and wakes
    /// *one* who sleeps on it.
    pub(crate) fn mark(&self, offset: usize, tid: u32) {
        let word = self.words.word32(offset);
        let (held, dead) = (WAITERS | tid, WAITERS | OWNER_DIED);
        let marked = word.compare_exchange(held, dead, Ordering::AcqRel, Ordering::Acquire);
        if marked.is_ok() {
            let mut sleepers = self.kernel.lock().unwrap();
            let name = (self.id(), offset);
            if let Some(first) = sleepers.iter().position(|one| one.words.contains(&name)) {
                sleepers.remove(first).bed.notify_one();
            }
        }
    }

    fn liveness(&self, slot: u32) -> &AtomicU32 {
        &self.words.control32[&(slot_offset(slot) + LIVENESS)]
    }

    /// Lets the process that has this handle die when it has made so many changes to the region. See
    /// [`lives`].
    pub(crate) fn dies_after(&self, changes: u32) {
        self.changes.store(changes.into(), Ordering::Relaxed);
    }

    /// Another handle of the same process.
    pub(crate) fn of_the_same_process(&self) -> Self {
        Self {
            changes: std::sync::Arc::clone(&self.changes),
            ..self.clone()
        }
    }

    /// Called before each change.
    pub(crate) fn live(&self) {
        let left = self.changes.load(Ordering::Relaxed);
        if left == 0 {
            panic::resume_unwind(Box::new(Death));
        }
        if left != FOR_EVER {
            self.changes.store(left - 1, Ordering::Relaxed);
        }
    }

    fn wake_all(&self, offset: usize) {
        self.wake_by(&mut self.kernel.lock().unwrap(), offset);
    }

    /// One step, as seen by those who look into the kernel's queues.
    fn change_and_wake_all(&self, offset: usize, change: Change) {
        let mut sleepers = self.kernel.lock().unwrap();
        let word = self.words.word32(offset);
        match change {
            Change::Clear(bits) => word.fetch_and(!bits, Ordering::AcqRel),
            Change::Zero => word.swap(0, Ordering::AcqRel),
        };
        self.wake_by(&mut sleepers, offset);
    }

    fn wake_by(&self, sleepers: &mut Vec<Sleeper>, offset: usize) {
        let word = (self.id(), offset);
        sleepers.retain(|one| {
            let stays = !one.words.contains(&word);
            if !stays {
                one.bed.notify_one();
            }
            stays
        });
    }

    fn id(&self) -> *const Words {
        &raw const *self.words
    }

    fn data(&self, position: u64) -> &AtomicU64 {
        &self.words.data[self.index(position)]
    }

    fn race(&self, position: u64) -> Option<&UnsafeCell<()>> {
        self.words.races.get(self.index(position))
    }

    fn index(&self, position: u64) -> usize {
        position as usize / 8 % self.words.data.len()
    }
}
