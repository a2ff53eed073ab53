//! Bugs on purpose, which prove that the checks find such.
//!
//! Under `--cfg planted` the environment variable `RINGWAY_PLANTED` names one of them, and then that one is
//! there. `cargo xtask mutants` plants one after the other, and demands that the check which is meant to
//! find it fails. Without the cfg, and so in everything that is released, [`is`] is false when the compiler
//! asks, and nothing of this is left.
//!
//! In the code a planted bug stands where somebody could make it.

use std::sync::atomic::Ordering;

use crate::presence::Liveness;

macro_rules! bugs {
    ($($(#[$what:meta])* $bug:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($(#[$what])* $bug,)*
        }

        #[cfg(planted)]
        impl Bug {
            const ALL: &[Self] = &[$(Self::$bug),*];
            const NAMES: &[&str] = &[$(stringify!($bug)),*];
        }
    };
}

bugs! {
    /// Stream ring: the payload is not ordered before the record's word.
    StreamCommitWithoutRelease,
    /// Stream ring: on the short way, the record's word is not ordered before the payload.
    StreamGlanceWithoutAcquire,
    /// Stream ring: on the short way, what has not been read yet is taken for room.
    StreamRoomOfTheUnread,
    /// Stream ring: the record's word is written before the payload.
    StreamCommitBeforePayload,
    /// Stream ring: the new stop word is written after the record's word.
    StreamStopWordAfterCommit,
    /// Stream ring: the first record of a batch is shown before the others are laid.
    StreamBatchFirstWordFirst,
    /// Stream ring: a producer that takes over believes the dead one's counters.
    StreamTailNotSought,
    /// Stream ring: the reading of the payload is not ordered before the head.
    StreamHeadWithoutRelease,
    /// Stream ring: the head goes on before the payload is read.
    StreamHeadBeforeRead,
    /// Stream ring: messages are counted after the head has gone on.
    StreamCountAfterHead,
    /// Stream ring: a death is believed without a last look for what was committed before it.
    StreamNoLookAfterDeath,

    /// A ring whose name is gone is forsaken, whoever may still attach.
    EntryNotAskedFor,

    /// Eventcount: no fence between publishing and looking for sleepers.
    NoPublishFence,
    /// Eventcount: no fence between saying that one sleeps and the last look.
    NoSleepFence,
    /// Eventcount: who goes to sleep sets the bit, and does not count itself.
    SleeperNotCounted,
    /// Eventcount: it is said that nobody sleeps any more before those who do are woken.
    ClearedBeforeWake,
    /// Who goes to sleep does not look once more.
    NoLastLook,
    /// A wake-up is for one sleeper.
    OneSleeperIsWoken,
    /// Cell ring: of those who sleep on bells, one is rung.
    OneBellIsRung,
    /// Cell ring: sleepers are woken before there is something to wake them for.
    NotifyBeforeCommit,
    /// Cell ring: who waits for others' last messages is not told of their release.
    EndNotTold,

    /// Cell ring: the words of cells have so few bits of lap that they come again.
    ShortLaps,
    /// Cell ring: what an owner did is not ordered before its change of the word.
    CellCommitWithoutRelease,
    /// Cell ring: the reading of the payload is not ordered before freeing several cells.
    CellsFreedWithoutRelease,
    /// Cell ring: the word is changed before the payload is written.
    CellCommitBeforePayload,
    /// Cell ring: the cell is freed before the payload is read.
    CellFreedBeforeRead,
    /// Cell ring: no fence between claiming several cells and writing over their words.
    NoClaimFence,
    /// Cell ring: a batch's first word is not ordered before the hint that jumps over it.
    TakeHintWithoutRelease,
    /// Cell ring: what is found at a cell is believed, though `HEAD` may have passed it.
    StaleWordBelieved,
    /// Cell ring: the oldest message is overwritten while it is being read.
    OverwrittenWhileRead,
    /// Cell ring: an owner stores, though producers that overwrite move its record.
    OwnerStoresWhereOthersMove,
    /// Cell ring: of several cells the first one is freed first.
    FirstCellFreedFirst,
    /// Cell ring: of several records the first one is given back first.
    FirstRecordReturnedFirst,
    /// Cell ring: what was sent before the end is not looked for after it.
    CellNoLookAfterEnd,

    /// Repair: claims of the dead stay.
    ClaimedNotRepaired,
    /// Repair: what the dead had taken is not given back.
    TakenNotRepaired,
    /// Repair: what the dead were freeing is not freed.
    FreeingNotRepaired,

    /// Slabs: those of the dead stay theirs.
    SlabsNotReclaimed,
    /// Slabs: those of the dead are freed, whatever refers to them.
    SlabReferencesNotSought,
    /// Claims: pointers to room in the ring are lent, to which the kernel may write when others go on there.
    RoomInRingLentByPointer,
    /// Slabs: what was lent by pointer is freed though the kernel may still write to it.
    MemoryOfTheDeadNotAwaited,
    /// Slabs: what was lent by pointer keeps its pages, to which a device may still write.
    LentPagesKept,
    /// Slabs: a message is released before its slab is seized.
    SlabSeizedAfterRelease,

    /// Liveness: who holds a slot is taken for whoever held it before.
    EpochNotChecked,
    /// Liveness: a process lives as long as its id does.
    LivenessByPid,
    /// Liveness: the kernel is told of a word after it was taken.
    NodeLinkedLate,
    /// Liveness: the kernel marks the word by which a slot is taken before all who watch it are told.
    LivenessMarkedFirst,
    /// Liveness: watchers do not sleep on what tells them of deaths.
    PeersNotWatched,
    /// Liveness: a watcher that saw a death takes the next one in that slot for the same.
    DeathNotNoted,
    /// Liveness: who comes or leaves does not say so to those who are about to sleep.
    MovementNotCounted,

    /// Retiring: no fence between taking a slot and looking whether somebody doubts that anybody has one.
    NoAdmissionFence,

    /// Locks: the lock is released before what it was taken for is done.
    UnlockBeforeClaim,
    /// Locks: what was repaired is not marked consistent.
    NotMarkedConsistent,
    /// pthread: the mutex is not robust.
    MutexNotRobust,
    /// What the dead hold is repaired by who may not make sure that they are done.
    UnsettledRepaired,
    /// posix-sem: the holder is known by its slot alone.
    PosixSemHolderBySlot,
    /// posix-sem: the lock of a dead holder is got as from a live one.
    PosixSemDeathNotTold,
    /// posix-sem: who gets the lock after having slept does not know of others who sleep.
    PosixSemSleepersForgotten,
    /// sysv-sem: the kernel does not give the lock back.
    SysvSemNotUndone,
    /// sysv-sem: the lock is released before its holder's name is erased.
    SysvSemRaisedBeforeErased,
    /// mqueue: whatever has the name of a slot's queue is taken for its holder's.
    QueueKnownByName,

    /// Opening: a ring is renewed that others have open.
    RenewedInUse,
    /// Opening: a copy is taken for the original.
    CopyNotTold,
}

/// Whether this bug is here.
#[cfg(not(planted))]
#[inline(always)]
pub(crate) const fn is(_: Bug) -> bool {
    false
}

/// Whether this bug is here. Says so when that matters for the first time.
#[cfg(planted)]
pub(crate) fn is(bug: Bug) -> bool {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicBool;
    static PLANTED: OnceLock<Option<Bug>> = OnceLock::new();
    static WAS_REACHED: AtomicBool = AtomicBool::new(false);

    let planted = PLANTED.get_or_init(|| {
        let name = std::env::var("RINGWAY_PLANTED").ok()?;
        let index = Bug::NAMES.iter().position(|known| *known == name)?;
        Some(Bug::ALL[index])
    });
    let is_here = *planted == Some(bug);
    if is_here && !WAS_REACHED.swap(true, Ordering::Relaxed) {
        eprintln!("planted: {bug:?}");
    }
    is_here
}

/// `order`, or none at all.
#[inline(always)]
pub(crate) fn order(bug: Bug, order: Ordering) -> Ordering {
    if is(bug) { Ordering::Relaxed } else { order }
}

/// What a process id tells of its process: for [`Bug::LivenessByPid`].
#[inline]
pub(crate) fn liveness_by_pid(pid: u32) -> Liveness {
    use nix::sys::signal::kill;
    use nix::unistd::Pid;
    match i32::try_from(pid) {
        Ok(0) | Err(_) => Liveness::Absent,
        Ok(pid) if kill(Pid::from_raw(pid), None).is_ok() => Liveness::Alive,
        Ok(_) => Liveness::Dead,
    }
}
