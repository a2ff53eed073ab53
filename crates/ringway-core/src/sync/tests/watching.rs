//! Who sleeps on a bell learns of deaths.

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::process::Process;
use super::*;

#[test]
fn a_death_wakes_all_that_sleep() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let mut victim = Process::start("be there", &fixture);
        assert_eq!(victim.says(), "\"there\"");
        let mut sleepers = [(); 3].map(|()| {
            let mut sleeper = Process::start("sleep until somebody dies", &fixture);
            assert_eq!(sleeper.says(), "\"waits\"");
            sleeper
        });
        sleepers[2].falls_asleep();
        victim.kill();
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.says(), "\"woken\"", "{sync:?}");
        }
    }
}

/// It took its slot after the sleeper had fallen asleep, and died before it told anybody.
#[test]
fn the_death_of_one_that_was_never_announced_wakes_too() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let mut sleeper = Process::start("sleep until somebody dies", &fixture);
        assert_eq!(sleeper.says(), "\"waits\"");
        let mut victim = Process::start("die while attaching", &fixture);
        assert_eq!(victim.says(), "\"attached\"");
        sleeper.falls_asleep();
        victim.kill();
        assert_eq!(sleeper.says(), "\"woken\"", "{sync:?}");
    }
}

#[test]
fn who_comes_is_noticed() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        handle.hush();
        membership_changed(&handle.segment.map, Role::Consumer);
        assert_eq!(handle.bell().sleep(late()), Ok(Wake::Check), "{sync:?}");
        handle.hush();
        membership_changed(&handle.segment.map, Role::Producer);
        assert_eq!(handle.bell().sleep(late()), Ok(Wake::Check), "{sync:?}");
    }
}

#[test]
fn in_a_child_of_fork_nothing_is_waited_for() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        // SAFETY: the child only drops what it inherited, and exits. glibc lets it use the heap.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                drop(handle);
                // SAFETY: ends the child without running anything of the test harness.
                unsafe { libc::_exit(0) };
            }
            ForkResult::Parent { child } => {
                let ended = waitpid(child, None).unwrap();
                assert_eq!(ended, WaitStatus::Exited(child, 0), "{sync:?}");
            }
        }
        // The parent's goes on.
        handle.hush();
        membership_changed(&handle.segment.map, Role::Consumer);
        assert_eq!(handle.bell().sleep(late()), Ok(Wake::Check), "{sync:?}");
    }
}
