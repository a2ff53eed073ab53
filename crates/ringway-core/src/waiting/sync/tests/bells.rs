//! A bell remembers, reaches its owner in another process, and keeps nobody beyond the deadline.

use super::process::Process;
use super::*;
use crate::waiting::sync::listener::Listener;

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

/// A listener hears each ringing that comes after it was last asked, and who sleeps on its count hears it too; when it is gone, the
/// bell is as it was.
#[test]
fn a_listener_hears_for_who_watches_words() {
    for sync in BELLS {
        let fixture = Fixture::shm(sync);
        let handle = Handle::unwatched(&fixture.address);
        handle.hush();
        let slot = handle.participant.slot;
        let own: Arc<dyn Bell> = Arc::clone(handle.primitives.bell.as_ref().unwrap());
        let listener = Listener::start(&own, slot).unwrap();
        for _ in 0..3 {
            let heard = listener.prepare();
            assert_eq!(listener.sleep(soon()), Ok(Wake::TimedOut), "{sync:?}");
            listener.ring(slot);
            let count = listener.heard().count();
            futex::wait([(count, heard)].into_iter(), late());
            assert_ne!(count.load(Ordering::Acquire), heard, "{sync:?}");
            assert_eq!(listener.sleep(late()), Ok(Wake::Check), "{sync:?}");
        }
        drop(listener);
        handle.hush();
        own.ring(slot);
        assert_eq!(own.sleep(late()), Ok(Wake::Check), "{sync:?}");
    }
}
