//! Which check is meant to find which planted bug.

use std::fmt;

use Check::{Cell, Freeze, Liveness, Matrix, Processes, Retirement, Stream, Sync, Wait};

/// A test that passes, and fails when a bug is planted that it is meant to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Interleavings of a stream ring, over loom's model of memory.
    Stream(&'static str),
    /// The same of a cell ring.
    Cell(&'static str),
    /// The same of those who come, leave and die.
    Liveness(&'static str),
    /// The same of the eventcount alone.
    Wait(&'static str),
    /// The same of attachers and collectors.
    Retirement(&'static str),
    /// The core's tests of locks and bells, with real processes.
    Sync(&'static str),
    /// A file in `tests/`, and a test in it, with real processes.
    Processes(&'static str, &'static str),
    /// Kills in a case of the kill matrix.
    Matrix(&'static str),
    /// Freezes in a case of the kill matrix.
    Freeze(&'static str),
}

/// What a check is built as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Build {
    /// Tests over loom's model.
    Loom,
    /// Tests with processes.
    Tests,
    /// The program of the kill matrix.
    Program,
}

impl Check {
    pub(super) fn build(self) -> Build {
        match self {
            Stream(_) | Cell(_) | Liveness(_) | Retirement(_) | Wait(_) => Build::Loom,
            Sync(_) | Processes(..) => Build::Tests,
            Matrix(_) | Freeze(_) => Build::Program,
        }
    }

    /// The binary, as cargo names it.
    pub(super) fn binary(self) -> &'static str {
        match self {
            Processes(file, _) => file,
            Matrix(_) | Freeze(_) => "crashtest",
            Stream(_) | Cell(_) | Liveness(_) | Retirement(_) | Wait(_) | Sync(_) => "ringway_core",
        }
    }

    /// The test or the case, as its binary names it.
    pub(super) fn test(self) -> String {
        match self {
            Stream(test) => format!("rings::stream::tests::interleavings::{test}"),
            Cell(test) => format!("rings::cell::tests::interleavings::{test}"),
            Liveness(test) => format!("presence::interleavings::{test}"),
            Wait(test) => format!("waiting::interleavings::{test}"),
            Retirement(test) => format!("presence::retire::interleavings::{test}"),
            Sync(test) => format!("waiting::sync::tests::{test}"),
            Processes(_, test) | Matrix(test) | Freeze(test) => test.to_owned(),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream(test) => write!(f, "loom, stream: {test}"),
            Cell(test) => write!(f, "loom, cell: {test}"),
            Liveness(test) => write!(f, "loom, liveness: {test}"),
            Wait(test) => write!(f, "loom, eventcount: {test}"),
            Retirement(test) => write!(f, "loom, retirement: {test}"),
            Sync(test) => write!(f, "waiting::sync::tests::{test}"),
            Processes(file, test) => write!(f, "tests/{file}.rs: {test}"),
            Matrix(case) => write!(f, "kill matrix: {case}"),
            Freeze(case) => write!(f, "kill matrix, frozen: {case}"),
        }
    }
}

/// The bugs in `crates/ringway-core/src/planted.rs`. Above most of them stands which operation, in which
/// state of the ring, has to be killed or frozen at the right instruction for them to show. At the end come
/// those that the kill matrix finds at once, for this shows that it can find something.
pub(super) const BUGS: &[(&str, Check)] = &[
    ("StreamCommitWithoutRelease", Stream("messages_then_close")),
    ("StreamGlanceWithoutAcquire", Stream("messages_then_close")),
    ("StreamRoomOfTheUnread", Stream("both_only_try")),
    // kill, freeze: send, empty
    ("StreamCommitBeforePayload", Stream("messages_then_close")),
    // kill: send, wrapped
    (
        "StreamStopWordAfterCommit",
        Stream("nothing_is_behind_a_message"),
    ),
    // kill: batch, wrapped
    ("StreamBatchFirstWordFirst", Stream("a_batch_is_one")),
    // kill: send, any
    (
        "StreamTailNotSought",
        Stream("a_producer_dies_and_another_follows"),
    ),
    (
        "StreamHeadWithoutRelease",
        Stream("room_is_read_before_it_is_written"),
    ),
    // freeze: recv, full
    (
        "StreamHeadBeforeRead",
        Stream("room_is_read_before_it_is_written"),
    ),
    // kill: recv, one
    (
        "StreamCountAfterHead",
        Stream("a_consumer_dies_and_another_follows"),
    ),
    // kill: send, asleep
    ("StreamNoLookAfterDeath", Stream("the_producer_dies")),
    // kill: send, asleep
    ("NoPublishFence", Cell("sleep::a_consumer_sleeps")),
    ("NoSleepFence", Cell("sleep::a_consumer_sleeps")),
    // freeze: recv, asleep
    ("SleeperNotCounted", Wait("two_sleep_and_two_come")),
    ("ClearedBeforeWake", Wait("a_waker_stops")),
    ("ClearedBeforeWake", Wait("a_ringer_stops")),
    // freeze: recv, empty
    ("NoLastLook", Cell("sleep::a_consumer_sleeps")),
    // kill, freeze: recv, asleep
    (
        "OneSleeperIsWoken",
        Processes("roles_of_many", "a_batch_wakes_all_that_sleep"),
    ),
    // kill, freeze: recv, asleep
    (
        "OneBellIsRung",
        Cell("locked::two_consumers_sleep_on_bells"),
    ),
    // freeze: send, asleep
    ("NotifyBeforeCommit", Cell("sleep::a_consumer_sleeps")),
    ("EndNotTold", Cell("ends::the_last_message_is_released")),
    (
        "ShortLaps",
        Processes("counters", "a_sender_that_was_idle_sends_where_others_do"),
    ),
    ("CellCommitWithoutRelease", Cell("sleep::a_consumer_sleeps")),
    (
        "CellsFreedWithoutRelease",
        Cell("deaths::a_consumer_dies_while_it_frees"),
    ),
    // kill, freeze: send, one
    (
        "CellCommitBeforePayload",
        Cell("delivery::each_producer_keeps_its_order"),
    ),
    // freeze: recv, full
    (
        "CellFreedBeforeRead",
        Cell("delivery::two_claim_the_last_free_cell"),
    ),
    (
        "NoClaimFence",
        Cell("delivery::a_stale_walker_believes_nothing"),
    ),
    ("TakeHintWithoutRelease", Cell("delivery::a_batch_is_one")),
    // freeze: recv, large
    (
        "StaleWordBelieved",
        Cell("delivery::a_stale_walker_believes_nothing"),
    ),
    // freeze: borrow, full, overwriting
    (
        "OverwrittenWhileRead",
        Cell("overwriting::a_consumer_releases_what_is_carried_over"),
    ),
    // freeze: borrow, full, overwriting
    (
        "OwnerStoresWhereOthersMove",
        Cell("overwriting::a_consumer_releases_what_is_carried_over"),
    ),
    // kill, freeze: release, large
    (
        "FirstCellFreedFirst",
        Cell("deaths::a_repairer_dies_while_it_frees"),
    ),
    // freeze: recovery
    (
        "FirstRecordReturnedFirst",
        Cell("deaths::two_repair_at_once"),
    ),
    // kill: send, asleep
    (
        "CellNoLookAfterEnd",
        Cell("ends::a_producer_comes_and_dies"),
    ),
    // kill: send, claim, commit
    ("ClaimedNotRepaired", Cell("deaths::a_producer_dies")),
    // kill: recv, borrow
    ("TakenNotRepaired", Cell("deaths::a_consumer_dies")),
    // kill: release, large; recoverer
    (
        "FreeingNotRepaired",
        Cell("deaths::a_repairer_dies_while_it_frees"),
    ),
    // kill: lend, detach
    (
        "SlabsNotReclaimed",
        Stream("loans::a_lender_dies_and_another_reclaims"),
    ),
    // kill: lend; then attach
    (
        "SlabReferencesNotSought",
        Stream("loans::a_lender_dies_and_another_reclaims"),
    ),
    (
        "RoomInRingLentByPointer",
        Processes(
            "kernel_copies",
            "room_in_a_ring_is_had_at_once_while_the_memory_of_a_dead_one_lives_and_stays_as_it_is",
        ),
    ),
    (
        "MemoryOfTheDeadNotAwaited",
        Processes(
            "kernel_copies",
            "a_slab_is_withheld_as_long_as_the_memory_of_a_dead_one_lives_and_then_wakes_who_needs_it",
        ),
    ),
    (
        "LentPagesKept",
        Processes(
            "kernel_copies",
            "a_slab_that_a_killed_one_had_read_into_is_nobody_elses_before_the_kernel_is_done",
        ),
    ),
    // kill: take-loan
    (
        "SlabSeizedAfterRelease",
        Stream("loans::a_reader_dies_and_the_producer_reclaims"),
    ),
    // kill: claim, recv; then attach
    (
        "EpochNotChecked",
        Cell("deaths::a_successor_in_the_same_slot"),
    ),
    // kill: any, unreaped
    (
        "LivenessByPid",
        Processes(
            "death",
            "a_blocked_consumer_gets_all_that_was_committed_and_then_learns_of_the_death",
        ),
    ),
    // kill: any, asleep
    ("PeersNotWatched", Liveness("a_death_is_seen")),
    // kill: any; then attach
    (
        "LivenessMarkedFirst",
        Liveness("a_successor_does_not_hide_a_death"),
    ),
    // kill: attach, twice
    (
        "DeathNotNoted",
        Liveness("who_comes_and_goes_between_two_looks_is_noticed"),
    ),
    (
        "NoAdmissionFence",
        Retirement("of_an_attacher_and_a_collector_one_is_first"),
    ),
    // kill: leave, asleep
    (
        "MovementNotCounted",
        Liveness("who_comes_and_goes_between_two_looks_is_noticed"),
    ),
    // freeze: send, claim
    (
        "UnlockBeforeClaim",
        Cell("locked::two_producers_and_a_consumer"),
    ),
    // kill: send, pthread; then any
    ("NotMarkedConsistent", Cell("locked::a_producer_dies")),
    // kill: send, pthread
    (
        "MutexNotRobust",
        Sync("locks::a_death_is_told_until_somebody_has_repaired_it"),
    ),
    (
        "UnsettledRepaired",
        Processes("denied_calls", "what_cannot_be_settled_is_left_to_others"),
    ),
    // kill: send, posix-sem; then attach
    (
        "PosixSemHolderBySlot",
        Sync("locks::a_death_is_told_until_somebody_has_repaired_it"),
    ),
    (
        "PosixSemDeathNotTold",
        Sync("locks::a_death_is_told_until_somebody_has_repaired_it"),
    ),
    (
        "PosixSemSleepersForgotten",
        Sync("locks::those_asleep_follow_one_another"),
    ),
    // kill: send, sysv-sem
    (
        "SysvSemNotUndone",
        Sync("locks::a_death_is_told_until_somebody_has_repaired_it"),
    ),
    // freeze: send, sysv-sem
    (
        "SysvSemRaisedBeforeErased",
        Sync("locks::four_processes_exclude_each_other"),
    ),
    (
        "QueueKnownByName",
        Processes(
            "copies_and_names",
            "who_comes_after_the_names_of_the_queues_are_gone_is_woken_like_others",
        ),
    ),
    (
        "RenewedInUse",
        Processes(
            "copies_and_names",
            "a_stopped_process_keeps_its_ring_from_being_renewed",
        ),
    ),
    (
        "EntryNotAskedFor",
        Processes("removed_rings", "who_has_the_ring_open_may_still_come"),
    ),
    (
        "CopyNotTold",
        Processes(
            "copies_and_names",
            "a_copy_of_a_ring_in_use_is_a_ring_of_its_own",
        ),
    ),
    (
        "StreamCommitBeforePayload",
        Matrix("spsc/futex/Shm/send/empty"),
    ),
    (
        "StreamStopWordAfterCommit",
        Matrix("spsc/futex/Shm/send/wrapped"),
    ),
    (
        "StreamBatchFirstWordFirst",
        Matrix("spsc/futex/Shm/batch/empty"),
    ),
    ("StreamTailNotSought", Matrix("spsc/futex/Shm/send/one")),
    (
        "StreamHeadBeforeRead",
        Matrix("spsc/futex/Shm/receive/full"),
    ),
    ("StreamCountAfterHead", Matrix("spsc/futex/Shm/receive/one")),
    ("CellFreedBeforeRead", Matrix("mpmc/futex/Shm/receive/full")),
    (
        "FirstCellFreedFirst",
        Matrix("mpmc/futex/Shm/receive/wrapped"),
    ),
    ("TakenNotRepaired", Matrix("mpmc/futex/Shm/receive/one")),
    ("EpochNotChecked", Matrix("mpsc/futex/Shm/receive/one")),
    ("NotMarkedConsistent", Matrix("mpmc/pthread/Shm/send/empty")),
    (
        "CellCommitBeforePayload",
        Matrix("mpmc/futex/Shm/send/empty"),
    ),
    ("FreeingNotRepaired", Matrix("mpmc/futex/Shm/receive/long")),
    (
        "NodeLinkedLate",
        Matrix("spsc/futex/Shm/attach-sender/empty"),
    ),
    ("ClearedBeforeWake", Freeze("mpmc/futex/Shm/send/asleep")),
    ("ClearedBeforeWake", Freeze("mpmc/futex/Shm/receive/asleep")),
    ("ClearedBeforeWake", Freeze("mpmc/mqueue/Shm/send/asleep")),
];
