//! A lock excludes, survives its holder's death, and never keeps anybody beyond the deadline.

use nix::sys::signal::Signal;

use super::process::{Process, ROUNDS};
use super::*;

#[test]
fn four_processes_exclude_each_other() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        let processes = [(); 4].map(|()| Process::start("count", &fixture));
        processes.into_iter().for_each(Process::succeeds);
        let handle = Handle::attach(&fixture.address);
        let counted = handle.word().load(Ordering::Relaxed);
        assert_eq!(counted, 4 * ROUNDS, "{sync:?}");
    }
}

#[test]
fn threads_of_one_process_exclude_each_other() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let handle = Handle::attach(&fixture.address);
                    for _ in 0..ROUNDS {
                        assert_eq!(handle.lock().acquire(late()), Ok(Acquired::Clean));
                        let before = handle.word().load(Ordering::Relaxed);
                        handle.word().store(before + 1, Ordering::Relaxed);
                        handle.lock().release();
                    }
                });
            }
        });
        let handle = Handle::attach(&fixture.address);
        assert_eq!(
            handle.word().load(Ordering::Relaxed),
            4 * ROUNDS,
            "{sync:?}"
        );
    }
}

/// Has the lock after a death, and gives it back consistent.
#[track_caller]
fn repair(handle: &Handle, sync: SyncKind) {
    let acquired = handle.lock().acquire(late());
    assert_eq!(acquired, Ok(Acquired::AfterDeath), "{sync:?}");
    handle.lock().mark_consistent();
    handle.lock().release();
}

#[test]
fn a_death_is_told_until_somebody_has_repaired_it() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        // The first dies in the midst of its work, the others in that of repairing it.
        for said in ["Ok(Clean)", "Ok(AfterDeath)", "Ok(AfterDeath)"] {
            let mut holder = Process::waiting("acquire", &fixture);
            assert_eq!(holder.says(), said, "{sync:?}");
            holder.kill();
        }
        let handle = Handle::attach(&fixture.address);
        repair(&handle, sync);
        assert_eq!(
            handle.lock().acquire(late()),
            Ok(Acquired::Clean),
            "{sync:?}"
        );
        handle.lock().release();
    }
}

#[test]
fn those_asleep_are_woken_when_the_holder_is_killed() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        let mut holder = Process::waiting("acquire", &fixture);
        assert_eq!(holder.says(), "Ok(Clean)", "{sync:?}");
        let mut others = [(); 3].map(|()| Process::asleep("acquire and release", &fixture));
        holder.kill();
        let mut said = others.each_mut().map(Process::says);
        said.sort();
        let expected = ["Ok(AfterDeath)", "Ok(Clean)", "Ok(Clean)"];
        assert_eq!(said, expected, "{sync:?}");
        others.into_iter().for_each(Process::succeeds);
    }
}

/// Each wakes the next, and none by leaving.
#[test]
fn those_asleep_follow_one_another() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        assert_eq!(handle.lock().acquire(None), Ok(Acquired::Clean));
        let mut others = [(); 3].map(|()| Process::asleep("acquire, release and stay", &fixture));
        handle.lock().release();
        for other in &mut others {
            assert_eq!(other.says(), "Ok(Clean)", "{sync:?}");
        }
    }
}

#[test]
fn a_death_among_those_asleep_keeps_nobody_from_the_lock() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        assert_eq!(handle.lock().acquire(None), Ok(Acquired::Clean));
        let [first, mut second] =
            [(); 2].map(|()| Process::asleep("acquire and release", &fixture));
        first.kill();
        handle.lock().release();
        assert_eq!(second.says(), "Ok(Clean)", "{sync:?}");
        second.succeeds();
    }
}

#[test]
fn a_stopped_holder_is_alive_and_the_deadline_counts() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        let mut holder = Process::waiting("acquire", &fixture);
        assert_eq!(holder.says(), "Ok(Clean)", "{sync:?}");
        holder.signal(Signal::SIGSTOP);
        let handle = Handle::attach(&fixture.address);
        for _ in 0..3 {
            assert_eq!(
                handle.lock().acquire(soon()),
                Ok(Acquired::TimedOut),
                "{sync:?}"
            );
        }
        holder.kill();
        repair(&handle, sync);
    }
}

#[test]
fn what_could_not_be_repaired_is_never_clean() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        let mut holder = Process::waiting("acquire", &fixture);
        assert_eq!(holder.says(), "Ok(Clean)");
        holder.kill();
        let handle = Handle::attach(&fixture.address);
        assert_eq!(
            handle.lock().acquire(late()),
            Ok(Acquired::AfterDeath),
            "{sync:?}"
        );
        handle.lock().release();
        let expected = match sync {
            SyncKind::Pthread => Err(Broken::Written),
            _ => Ok(Acquired::AfterDeath),
        };
        assert_eq!(handle.lock().acquire(late()), expected, "{sync:?}");
        if expected.is_ok() {
            handle.lock().release();
        }
    }
}

/// Killed at any time, also between a semaphore and the word beside it.
#[test]
fn the_lock_outlives_many_random_deaths() {
    for sync in LOCKS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        for round in 0..12 {
            let victims = [(); 2].map(|()| Process::start("count", &fixture));
            // Not a wait for anything: where the victims are is left to chance.
            std::thread::sleep(Duration::from_millis(8 + round));
            victims.into_iter().for_each(Process::kill);
            match handle.lock().acquire(late()) {
                Ok(Acquired::AfterDeath) => handle.lock().mark_consistent(),
                acquired => assert_eq!(acquired, Ok(Acquired::Clean), "{sync:?}"),
            }
            handle.lock().release();
        }
    }
}

#[test]
fn a_name_that_nobody_has_is_broken_and_no_endless_wait() {
    let fixture = Fixture::shm(SyncKind::PosixSem);
    let handle = Handle::attach(&fixture.address);
    let holder = handle.segment.map.word64(LOCK_HOLDER).unwrap();
    for garbage in [200 << 8, 5 << 16] {
        holder.store(garbage, Ordering::Relaxed);
        assert_eq!(handle.lock().acquire(late()), Err(Broken::Written));
    }
}

#[test]
fn the_robust_mutex_refuses_a_peer_of_another_pid_namespace() {
    use crate::memory::layout::participant::PID_NAMESPACE;
    let fixture = Fixture::shm(SyncKind::Pthread);
    let first = Handle::attach(&fixture.address);
    let namespace = slot_offset(first.participant.slot) + PID_NAMESPACE;
    let namespace = first.segment.map.word64(namespace).unwrap();
    namespace.fetch_add(1, Ordering::Relaxed);
    let error = Handle::new(&fixture.address).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    namespace.fetch_sub(1, Ordering::Relaxed);
    Handle::attach(&fixture.address);
}
