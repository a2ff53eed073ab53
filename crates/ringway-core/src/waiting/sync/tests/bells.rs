//! A bell remembers, reaches its owner in another process, and keeps nobody beyond the deadline.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::process::Process;
use super::*;

#[test]
fn rung_before_the_sleep_is_not_lost() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::unwatched(&fixture.address);
        handle.hush();
        for _ in 0..3 {
            handle.bell().ring(handle.participant.slot);
            handle.bell().ring(handle.participant.slot);
            assert_eq!(handle.bell().sleep(late()), Ok(Wake::Check), "{sync:?}");
            // Once is enough, however often it was rung.
            assert_eq!(handle.bell().sleep(soon()), Ok(Wake::TimedOut), "{sync:?}");
        }
    }
}

#[test]
fn nobody_sleeps_beyond_the_deadline() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::unwatched(&fixture.address);
        handle.hush();
        let passed = MonotonicTime::after(Duration::ZERO);
        assert_eq!(handle.bell().sleep(passed), Ok(Wake::TimedOut), "{sync:?}");
    }
}

#[test]
fn a_bell_is_heard_in_another_process() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        let mut sleeper = Process::start("sleep until told", &fixture);
        let slot: u32 = sleeper.says().parse().unwrap();
        sleeper.falls_asleep();
        handle.word().store(1, Ordering::SeqCst);
        handle.bell().ring(slot);
        assert_eq!(sleeper.says(), "\"woken\"", "{sync:?}");
        sleeper.succeeds();
    }
}

#[test]
fn a_slot_that_nobody_has_can_be_rung() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        for slot in [7, 15, 16, 127, u32::MAX] {
            handle.bell().ring(slot);
        }
    }
}

#[test]
fn the_next_holder_of_a_slot_is_reached_too() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        for _ in 0..3 {
            handle.word().store(0, Ordering::SeqCst);
            let mut sleeper = Process::start("sleep until told", &fixture);
            assert_eq!(sleeper.says(), "1");
            sleeper.falls_asleep();
            handle.word().store(1, Ordering::SeqCst);
            handle.bell().ring(1);
            assert_eq!(sleeper.says(), "\"woken\"", "{sync:?}");
            sleeper.succeeds();
        }
    }
}

#[test]
fn a_queue_can_be_polled() {
    let fixture = Fixture::shm(SyncKind::Mqueue);
    let handle = Handle::unwatched(&fixture.address);
    handle.hush();
    let is_readable = || {
        let fd = handle.bell().descriptor().unwrap();
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    };
    assert!(!is_readable());
    handle.bell().ring(handle.participant.slot);
    assert!(is_readable());
    handle.bell().sleep(late()).unwrap();
    assert!(!is_readable());
    for sync in [SyncKind::PosixSem, SyncKind::SysvSem] {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        assert!(handle.bell().descriptor().is_none());
    }
}
