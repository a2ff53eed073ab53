//! Taking part: a slot in the participants table, held while a handle lives.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_utils::Backoff;

use super::keeper::{Keeper, Refusal};
use super::liveness::Liveness;
use super::outlook::{Outlook, Words, is_being_given_up, is_seen_alive};
use super::retire::{self, Retired};
use super::watcher::Alarm;

use crate::address::Address;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind, UNSETTLED};
use crate::memory::layout::MAX_PARTICIPANTS;
use crate::memory::layout::participant::{
    ASLEEP, ATTACHED_NS, AWAKE, CLOSED, EPOCH, FILLED_FOR, LIVENESS, NO_ENTRY, PID, PID_NAMESPACE,
    QUEUE, ROLE, Role, slot_offset,
};
use crate::memory::map::Map;
use crate::sys::futex::{self, MonotonicTime};
use crate::sys::membarrier::settle;
use crate::sys::now_ns;
use crate::sys::pid_namespaces::seen_from_here;

/// How often a slot that changes under our eyes is looked at again. Each time somebody else has taken
/// or left it, so even one repetition is rare.
const ATTEMPTS: usize = 64;

/// Where to attach.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) role: Role,
    /// The slots of the role.
    pub(crate) slots: Range<u32>,
    /// All slots of the ring.
    pub(crate) participants: u32,
    /// Whether participants rely on [`settle`].
    pub(crate) settles: bool,
}

/// A held slot. Dropping it leaves in order.
#[derive(Debug)]
pub(crate) struct Participant {
    /// Goes before the slot is left.
    guard: Option<Box<dyn Debug + Send + Sync>>,
    keeper: Keeper,
    /// How it sees the others.
    pub(crate) outlook: Outlook,
    /// Its index in the participants table.
    pub(crate) slot: u32,
    /// How often the slot has been taken.
    pub(crate) epoch: u64,
    /// The process id of who died there before, as its own pid namespace counts.
    #[cfg(feature = "tracing")]
    pub(crate) succeeds: Option<u32>,
}

impl Participant {
    /// Takes one of the slots, from nobody or from the dead.
    pub(crate) fn attach(map: &Arc<Map>, place: Place, address: &Address) -> Result<Self, Error> {
        let attempt = Attempt::to("attach to", address);
        let Place {
            role,
            slots,
            participants,
            settles,
        } = place;
        let keeper = Keeper::of_participant(map, participants);
        let keeper = keeper.map_err(|errno| Refusal::Os(errno).explain(attempt))?;
        let mut looks = MOST_LOOKS;
        for _ in 0..ATTEMPTS {
            let Some((slot, found)) = free_slot(map, participants, slots.clone()) else {
                if wait_for_one_that_ends(map, participants, slots.clone(), &mut looks) {
                    continue;
                }
                break;
            };
            let outlook = Outlook::new(participants, slot);
            match keeper.take_slot(outlook, found) {
                Ok(()) => {}
                Err(Refusal::Changed(_)) => continue,
                Err(refusal) => return Err(refusal.explain(attempt)),
            }
            // Before anything else is written. After an error the keeper gives the slot back.
            admit(map, Liveness::of(found), settles, attempt)?;
            #[cfg(feature = "tracing")]
            let succeeds = (Liveness::of(found) == Liveness::Dead)
                .then(|| map.look32(slot_offset(slot) + PID));
            let epoch = fill(map, slot_offset(slot), role);
            keeper.show();
            open(map, slot_offset(slot));
            return Ok(Self {
                guard: None,
                keeper,
                outlook,
                slot,
                epoch,
                #[cfg(feature = "tracing")]
                succeeds,
            });
        }
        Err(taken(map, slots, role, address))
    }

    /// Leaves; as the dead do, if it is for a panic.
    pub(crate) fn leave(self, died: bool) {
        drop(self.guard);
        self.keeper.leave(died);
    }

    /// Keeps `guard` until shortly before the slot is left, and before what it was given earlier goes.
    pub(crate) fn guard_by(&mut self, guard: Box<dyn Debug + Send + Sync>) {
        self.guard = Some(match self.guard.take() {
            None => guard,
            Some(earlier) => Box::new((guard, earlier)),
        });
    }

    /// A number that no other attachment to the ring ever has.
    pub(crate) fn id(&self) -> u64 {
        id(self.slot, self.epoch)
    }

    /// Has the others watched: `alarm` is told of their ends. Once.
    pub(crate) fn watch(&self, alarm: Alarm) {
        self.keeper.watch(alarm);
    }
}

/// Whether somebody has `slot`, whose liveness word was found to be `held`. One whose holder others see alive has it,
/// though the word says otherwise: that was marked for another one ([`super`]).
fn state_of(map: &Map, participants: u32, slot: u32, held: u32) -> Liveness {
    match Liveness::of(held) {
        Liveness::Absent | Liveness::Dead if is_seen_alive(map, participants, slot) => {
            Liveness::Alive
        }
        state => state,
    }
}

/// A slot that nobody alive has, and its liveness word. One whose holder died comes first: who takes that is its successor.
fn free_slot(map: &Map, participants: u32, slots: Range<u32>) -> Option<(u32, u32)> {
    let mut absent = None;
    for slot in slots {
        let Some(word) = map.word32(slot_offset(slot) + LIVENESS) else {
            continue;
        };
        // Acquire pairs with the release of a leaving holder.
        let found = word.load(Ordering::Acquire);
        match state_of(map, participants, slot, found) {
            Liveness::Alive => {}
            Liveness::Dead => return Some((slot, found)),
            Liveness::Absent => absent = absent.or(Some((slot, found))),
        }
    }
    absent
}

/// Whether one who has just taken a slot may keep it, whose last holder was `before`.
fn admit(map: &Map, before: Liveness, settles: bool, attempt: Attempt<'_>) -> Result<(), Error> {
    // A ring that is retired is nobody's.
    retire::admit(map).map_err(|Retired| attempt.retired())?;
    if before == Liveness::Dead && !settle() && settles {
        // What the dead one writes there, it could write over what this one does.
        return Err(unsettled(attempt));
    }
    Ok(())
}

/// How often to look whether somebody who is ending has ended, and for how long each time. (One that is stopped on
/// its way out keeps its place meanwhile.)
const MOST_LOOKS: u32 = 200;
const LOOK: Duration = Duration::from_millis(5);

/// If all slots are held, but somebody is about to leave one, who may have been seen to end before: waits until that
/// has changed. Whether it is worth looking again.
fn wait_for_one_that_ends(
    map: &Map,
    participants: u32,
    slots: Range<u32>,
    looks: &mut u32,
) -> bool {
    while *looks > 0 {
        let words = slots
            .clone()
            .filter_map(|slot| Some((slot, map.word32(slot_offset(slot) + LIVENESS)?)));
        let mut ending = None;
        for (slot, word) in words {
            let held = word.load(Ordering::Acquire);
            if state_of(map, participants, slot, held) != Liveness::Alive {
                return true;
            }
            if is_being_given_up(map, participants, slot, held) {
                ending = ending.or(Some((word, held)));
            }
        }
        let Some(ending) = ending else { return false };
        *looks -= 1;
        // Whoever clears or marks the word wakes one who sleeps on it; others look again by themselves.
        futex::wait([ending].into_iter(), MonotonicTime::after(LOOK));
    }
    false
}

const _: () = assert!(MAX_PARTICIPANTS <= 1 << SLOT_BITS);
/// Bits of an attachment's id that say the slot; the others are the epoch's.
const SLOT_BITS: u32 = 8;

fn id(slot: u32, epoch: u64) -> u64 {
    epoch << SLOT_BITS | u64::from(slot)
}

/// The slot of an attachment's id.
pub(crate) fn slot_of(id: u64) -> u32 {
    (id & ((1 << SLOT_BITS) - 1)) as u32
}

/// The epoch of an attachment's id; 0 of what is none.
pub(crate) fn epoch_of(id: u64) -> u64 {
    id >> SLOT_BITS
}

/// Whether the attachment `id` has come to its end, as `me` sees it; what can be nobody's id has. What it held may be taken
/// after [`settle`].
pub(crate) fn has_ended(words: &impl Words, me: Outlook, id_asked: u64) -> bool {
    let slot = slot_of(id_asked);
    slot >= me.participants || me.is_gone(words, slot, |epoch| id(slot, epoch) == id_asked)
}

/// Whether the attachment `id`, in one of the slots, still lives, as `me` sees it. If not, nothing of it can come any
/// more. Where that needs [`settle`], which is denied, nobody can say so.
pub(crate) fn is_attached(
    map: &Map,
    me: Outlook,
    slots: Range<u32>,
    id_asked: u64,
    settles: bool,
) -> bool {
    let slot = slot_of(id_asked);
    if map.is_forked() || !slots.contains(&slot) {
        return false;
    }
    let is_gone = me.is_gone(map, slot, |epoch| id(slot, epoch) == id_asked);
    !is_gone || !settle() && settles
}

/// Somebody died, and this process may not make sure that it is done.
pub(crate) fn unsettled(attempt: Attempt<'_>) -> Error {
    attempt
        .error(ErrorKind::Unsupported, UNSETTLED)
        .remedy("allow the system call membarrier, or let a process do it that may call it")
}

fn taken(map: &Map, slots: Range<u32>, role: Role, address: &Address) -> Error {
    let (pid, process) = who_holds(map, slots.start);
    let name = role.name();
    let (problem, remedy) = if slots.len() == 1 {
        (
            format!("{process} is its {name} already, and there can be one"),
            format!("wait for {process} to end, or use another address"),
        )
    } else {
        (
            format!("it has {} {name}s already, as many as it can", slots.len()),
            format!("wait for one to end, or create the ring for more {name}s"),
        )
    };
    Error::new(ErrorKind::RoleTaken { pid }, "attach to", address, problem).remedy(remedy)
}

/// What the holder of a slot is called here, and in a text.
pub(crate) fn who_holds(map: &Map, slot: u32) -> (u32, String) {
    let load32 = |offset| {
        let word = map.word32(slot_offset(slot) + offset)?;
        Some(word.load(Ordering::Acquire))
    };
    let namespace = map.word64(slot_offset(slot) + PID_NAMESPACE);
    let namespace = namespace.map_or(0, |word| word.load(Ordering::Relaxed));
    name_holder(holder_pid(load32, &mut PATIENCE.clone()), namespace)
}

/// What a holder is called here, and in a text: 0 if this process cannot name it.
pub(crate) fn name_holder(pid: u32, namespace: u64) -> (u32, String) {
    match seen_from_here(pid, namespace) {
        Some(here) => (here, format!("process {here}")),
        None if pid == 0 => (0, "a process that has just come".to_owned()),
        None if namespace == 0 => (0, format!("process {pid}, as its own pid namespace counts")),
        None => (
            0,
            format!("process {pid} of another pid namespace (pid:[{namespace}])"),
        ),
    }
}

/// How often to look for the process id of who has just come.
pub(crate) const PATIENCE: u32 = 1000;

/// The process id in a slot, 0 if its holder has not written it down yet. `load32` reads a word of the
/// slot, with acquire; `patience` is how often it may look once more.
pub(crate) fn holder_pid(load32: impl Fn(usize) -> Option<u32>, patience: &mut u32) -> u32 {
    let backoff = Backoff::new();
    loop {
        let word = load32(LIVENESS);
        if word.is_some() && word == load32(FILLED_FOR) {
            return load32(PID).unwrap_or(0);
        }
        // The holder writes its pid a moment after it took the slot.
        let Some(rest) = patience.checked_sub(1) else {
            return 0;
        };
        *patience = rest;
        backoff.snooze();
    }
}

/// Writes down who holds the slot at `slot`, before anybody sees that it is held, and returns the epoch.
fn fill(map: &Map, slot: usize, role: Role) -> u64 {
    let store32 = |offset, value, order| {
        if let Some(word) = map.word32(slot + offset) {
            word.store(value, order);
        }
    };
    let store64 = |offset, value| {
        if let Some(word) = map.word64(slot + offset) {
            word.store(value, Ordering::Relaxed);
        }
    };
    // Whoever sees the new epoch does not take what the last holder left for this one's word.
    store32(FILLED_FOR, 0, Ordering::Relaxed);
    store32(ROLE, role.code(), Ordering::Relaxed);
    store32(PID, std::process::id(), Ordering::Relaxed);
    store64(PID_NAMESPACE, pid_namespace());
    store64(ATTACHED_NS, now_ns());
    store32(ASLEEP, AWAKE, Ordering::Relaxed);
    store64(QUEUE, 0);
    store64(NO_ENTRY, 0);
    // Release: who sees the new epoch sees a slot that is awake. What the last holder owned is the dead's from here on.
    let epoch = map
        .word64(slot + EPOCH)
        .map_or(0, |epoch| epoch.fetch_add(1, Ordering::Release));
    epoch.wrapping_add(1)
}

/// Says that the slot is filled, and forgets that its last holder closed. Only now, when all see that it is held: had
/// this one died before, that would be the last thing that happened there; and who is [counted](ever) can be seen.
fn open(map: &Map, slot: usize) {
    let word = |offset| map.word32(slot + offset);
    if let Some(closed) = word(CLOSED) {
        // Relaxed: looked at by nobody while the slot is held.
        closed.store(0, Ordering::Relaxed);
    }
    if let (Some(held), Some(filled)) = (word(LIVENESS), word(FILLED_FOR)) {
        // Release pairs with the acquire in `holder_pid` and `ever`: the fields belong to this word, and all see the
        // holder.
        filled.store(held.load(Ordering::Relaxed), Ordering::Release);
    }
}

/// How many have ever come to the slot. Whoever is counted is seen by all, as long as it lives: one that is about to come
/// is not counted yet, so that nobody who has seen this number takes its absence for its end.
pub(crate) fn ever(map: &Map, slot: u32) -> u64 {
    let slot = slot_offset(slot);
    let load32 = |offset| {
        let word = map.word32(slot + offset);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    };
    // First the epoch: who comes after that is not in it. Its acquire pairs with the release in `fill`: of one that is in it,
    // the word is seen held, or ended.
    let epoch = map.word64(slot + EPOCH);
    let epoch = epoch.map_or(0, |epoch| epoch.load(Ordering::Acquire));
    let held = load32(LIVENESS);
    let is_coming = Liveness::of(held) == Liveness::Alive && load32(FILLED_FOR) != held;
    epoch.saturating_sub(u64::from(is_coming))
}

/// The inode of this process's pid namespace, 0 where /proc does not tell. Not remembered: a child of `fork` may have
/// another one.
fn pid_namespace() -> u64 {
    nix::sys::stat::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino)
}
