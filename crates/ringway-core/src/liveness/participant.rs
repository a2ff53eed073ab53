//! Taking part: a slot in the participants table, held while a handle lives.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use super::keeper::{self, Claim, Refusal};
use super::{Liveness, settle};
use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::layout::participant::{
    ATTACHED_NS, EPOCH, FILLED_FOR, LIVENESS, PID, PID_NAMESPACE, ROLE, Role, slot_offset,
};
use crate::segment::attempt::Attempt;
use crate::segment::map::Map;
use crate::sys::now_ns;

/// How often a slot that changes under our eyes is looked at again. Each time somebody else has taken
/// or left it, so even one repetition is rare.
const ATTEMPTS: usize = 64;

/// A held slot. Dropping it leaves in order; a drop by a panic leaves as the dead do.
#[derive(Debug)]
pub(crate) struct Participant {
    _claim: Claim,
}

impl Participant {
    /// Takes the slot of `role` in a stream ring, from nobody or from the dead.
    pub(crate) fn attach(map: &Arc<Map>, role: Role, address: &Address) -> Result<Self, Error> {
        let slot = slot_offset(role.stream_slot());
        let word = map.word32(slot + LIVENESS).ok_or_else(|| {
            let problem = "the segment has no participants table";
            Error::new(ErrorKind::Corrupt, "attach to", address, problem)
        })?;
        for _ in 0..ATTEMPTS {
            // Acquire pairs with the release of a leaving holder.
            let found = word.load(Ordering::Acquire);
            if Liveness::of(found) == Liveness::Alive {
                return Err(taken(map, slot, role, address));
            }
            match keeper::take(map, slot + LIVENESS, found) {
                Ok(claim) => {
                    if Liveness::of(found) == Liveness::Dead {
                        settle();
                    }
                    fill(map, slot, role, claim.pid());
                    return Ok(Self { _claim: claim });
                }
                Err(Refusal::Changed(_)) => continue,
                Err(refusal) => {
                    let action = "attach to";
                    return Err(Attempt { action, address }.keeper(refusal));
                }
            }
        }
        Err(taken(map, slot, role, address))
    }
}

fn taken(map: &Map, slot: usize, role: Role, address: &Address) -> Error {
    let pid = holder_pid(|offset| {
        map.word32(slot + offset)
            .map(|word| word.load(Ordering::Acquire))
    });
    let problem = format!(
        "process {pid} is its {} already, and there can be one",
        role.name()
    );
    Error::new(ErrorKind::RoleTaken { pid }, "attach to", address, problem).remedy(format!(
        "wait for process {pid} to end, or use another address"
    ))
}

/// The process id in a slot, 0 if its holder has not written it down yet. `load32` reads a word of the
/// slot, with acquire.
pub(crate) fn holder_pid(load32: impl Fn(usize) -> Option<u32>) -> u32 {
    // The holder writes its pid a moment after it took the slot.
    const LOOKS: usize = 1000;
    for _ in 0..LOOKS {
        let word = load32(LIVENESS);
        if word.is_some() && word == load32(FILLED_FOR) {
            return load32(PID).unwrap_or(0);
        }
        std::thread::yield_now();
    }
    0
}

fn fill(map: &Map, slot: usize, role: Role, pid: u32) {
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
    store32(ROLE, role.code(), Ordering::Relaxed);
    store32(PID, pid, Ordering::Relaxed);
    store64(PID_NAMESPACE, pid_namespace());
    store64(ATTACHED_NS, now_ns());
    if let Some(epoch) = map.word64(slot + EPOCH) {
        epoch.fetch_add(1, Ordering::Relaxed);
    }
    let held = map
        .word32(slot + LIVENESS)
        .map_or(0, |word| word.load(Ordering::Relaxed));
    // Release pairs with the acquire in `holder_pid`: the fields belong to this word.
    store32(FILLED_FOR, held, Ordering::Release);
}

/// The inode of this process's pid namespace, 0 where /proc does not tell.
fn pid_namespace() -> u64 {
    static NAMESPACE: OnceLock<u64> = OnceLock::new();
    *NAMESPACE
        .get_or_init(|| nix::sys::stat::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino))
}
