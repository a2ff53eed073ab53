//! Who sleeps on a bell learns of deaths.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, mpsc};

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::process::Process;
use super::*;
use crate::memory::layout::participant::{EPOCH, LIVENESS};
use crate::presence::keeper::Keeper;
use crate::presence::{Outlook, watcher};

#[test]
fn a_death_wakes_all_that_sleep() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let mut victim = Process::start("be there", &fixture);
        assert_eq!(victim.says(), "\"there\"");
        let mut sleepers =
            [(); 3].map(|()| Process::waiting("sleep until somebody dies", &fixture));
        sleepers[2].falls_asleep();
        victim.kill();
        for sleeper in &mut sleepers {
            assert_eq!(sleeper.says(), "\"woken\"", "{sync:?}");
        }
    }
}

/// The kernel gives the news of a death to one sleeper, which may be dying as well.
#[test]
fn of_many_deaths_at_once_each_is_told() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let mut sleeper = Process::waiting("sleep until three have died", &fixture);
        let mut victims = [(); 3].map(|()| Process::start("be there", &fixture));
        for victim in &mut victims {
            assert_eq!(victim.says(), "\"there\"");
        }
        for victim in &victims {
            victim.signal(Signal::SIGKILL);
        }
        assert_eq!(sleeper.says(), "\"woken\"", "{sync:?}");
    }
}

/// It took its slot after the sleeper had fallen asleep, and died before it told anybody.
#[test]
fn the_death_of_one_that_was_never_announced_wakes_too() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let mut sleeper = Process::waiting("sleep until somebody dies", &fixture);
        let mut victim = Process::start("die while attaching", &fixture);
        assert_eq!(victim.says(), "\"attached\"");
        sleeper.falls_asleep();
        victim.kill();
        assert_eq!(sleeper.says(), "\"woken\"", "{sync:?}");
    }
}

/// A participant whose watcher says what it is told, and waits after that until it may go on.
struct Slow {
    /// First, so that the watcher waits for nobody when the participant leaves.
    go_on: mpsc::Sender<()>,
    participant: Participant,
    segment: Segment,
    told: mpsc::Receiver<u32>,
}

impl Slow {
    fn attach(fixture: &Fixture) -> Self {
        let segment = Segment::open(&Request::new(&fixture.address)).unwrap();
        let participant = Participant::attach(&segment.map, place(&segment), &fixture.address);
        let participant = participant.unwrap();
        let (tell, told) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        let alarm = std::sync::Arc::new(move |deaths| {
            let _ = tell.send(deaths);
            let _ = may_go_on.lock().unwrap().recv();
        });
        participant.watch(alarm);
        Self {
            participant,
            segment,
            told,
            go_on,
        }
    }

    /// How many deaths the watcher tells of next.
    fn hears(&self) -> u32 {
        self.told.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    /// Takes the next slot and leaves it again, `orderly` or as the dead do, and announces nothing.
    fn another_comes_and_goes(&self, orderly: bool) {
        let (map, slot) = (&self.segment.map, self.participant.slot + 1);
        let participants = self.segment.header.geometry.participants();
        let found = map.word32(slot_offset(slot) + LIVENESS).unwrap();
        let found = found.load(Ordering::Acquire);
        let keeper = Keeper::of_participant(map, participants).unwrap();
        let other = Outlook::new(participants, slot);
        keeper.take_slot(other, found).unwrap();
        let epoch = map.word64(slot_offset(slot) + EPOCH).unwrap();
        epoch.fetch_add(1, Ordering::Release);
        keeper.show();
        if orderly {
            return drop(keeper);
        }
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _keeper = keeper;
            // As a panic, but nothing is printed.
            resume_unwind(Box::new("a panic"));
        }));
        assert!(panicked.is_err());
    }
}

/// The watcher has seen one dead, and the next one in that place lives and dies before it looks again: the
/// handle may have seen that one alive.
#[test]
fn a_watcher_that_is_late_does_not_take_one_death_for_another() {
    let fixture = Fixture::shm(SyncKind::Futex);
    let slow = Slow::attach(&fixture);
    slow.another_comes_and_goes(false);
    for _ in 0..3 {
        assert_eq!(slow.hears(), 1);
        // It has what it saw, and is not asleep yet.
        slow.another_comes_and_goes(false);
        slow.go_on.send(()).unwrap();
    }
    assert_eq!(slow.hears(), 1);
    // Two deaths for one look.
    slow.another_comes_and_goes(false);
    slow.another_comes_and_goes(false);
    slow.go_on.send(()).unwrap();
    assert!(slow.hears() >= 1);
}

#[test]
fn one_that_leaves_before_it_was_announced_is_noticed() {
    let fixture = Fixture::shm(SyncKind::Futex);
    let slow = Slow::attach(&fixture);
    for _ in 0..3 {
        slow.another_comes_and_goes(true);
        // It may as well have died, and yet another one have come and left.
        assert!(slow.hears() <= 1);
        // It is not asleep yet.
        slow.another_comes_and_goes(true);
        slow.go_on.send(()).unwrap();
        assert!(slow.hears() <= 1);
        slow.go_on.send(()).unwrap();
    }
}

#[test]
fn who_is_roused_rings() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::attach(&fixture.address);
        handle.hush();
        watcher::rouse(&handle.segment.map);
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
        watcher::rouse(&handle.segment.map);
        assert_eq!(handle.bell().sleep(late()), Ok(Wake::Check), "{sync:?}");
    }
}
