//! What lies beside the segment goes with it, and what is not the ring's is left alone.

use super::process::Process;
use super::*;
use crate::sys::{mq_overview as mq, semget};

fn set_of(fixture: &Fixture) -> i32 {
    let segment = fixture.open();
    let word = segment.map.word32(SEMAPHORES_OFFSET).unwrap();
    word.load(Ordering::Relaxed) as i32 - 1
}

fn exists(set: i32) -> bool {
    semget::value(set, 0).is_ok()
}

#[test]
fn a_semaphore_set_goes_with_its_ring() {
    for make in [Fixture::shm, Fixture::file, Fixture::sysv] {
        let fixture = make(SyncKind::SysvSem);
        let set = set_of(&fixture);
        assert!(exists(set));
        drop(fixture);
        assert!(!exists(set));
    }
}

#[test]
fn a_set_has_the_mode_of_its_ring() {
    let fixture = Fixture {
        address: Address::Shm(unique_name()),
    };
    create(&fixture.address, SyncKind::SysvSem, 0o640).unwrap();
    let id = set_of(&fixture).to_string();
    let table = std::fs::read_to_string("/proc/sysvipc/sem").unwrap();
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields[1] == id)
        .unwrap();
    assert_eq!(row[2], "640");
}

#[test]
fn a_foreign_set_is_refused_and_not_removed() {
    let [ring, other] = [(); 2].map(|()| Fixture::shm(SyncKind::SysvSem));
    let (own, foreign) = (set_of(&ring), set_of(&other));
    let segment = ring.open();
    let word = segment.map.word32(SEMAPHORES_OFFSET).unwrap();
    for wrong in [foreign as u32 + 1, 0, u32::MAX, 1 << 31] {
        word.store(wrong, Ordering::Relaxed);
        let error = Handle::new(&ring.address).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::CompanionLost, "{error}");
        assert!(error.next_step().contains("makes another set"), "{error}");
    }
    word.store(foreign as u32 + 1, Ordering::Relaxed);
    crate::store::remove(&ring.address).unwrap();
    assert!(exists(foreign));
    assert!(exists(own));
    semget::remove(own).unwrap();
    Handle::attach(&other.address);
}

#[test]
fn a_set_that_is_removed_in_use_is_broken_and_no_hang() {
    let fixture = Fixture::shm(SyncKind::SysvSem);
    let handle = Handle::attach(&fixture.address);
    assert_eq!(handle.lock().acquire(None), Ok(Acquired::Clean));
    let mut contender = Process::waiting("acquire and release", &fixture);
    let mut sleeper = Process::asleep("sleep for ever", &fixture);
    crate::store::remove(&fixture.address).unwrap();
    assert_eq!(contender.says(), "Err(Beside(EIDRM))");
    assert_eq!(sleeper.says(), "\"broken\"");
    handle.lock().release();
    let gone = [Errno::EIDRM, Errno::EINVAL].map(Broken::Beside);
    assert!(gone.contains(&handle.lock().acquire(late()).unwrap_err()));
    assert!(gone.contains(&handle.bell().sleep(late()).unwrap_err()));
}

#[test]
fn queues_go_with_their_ring() {
    for make in [Fixture::shm, Fixture::file, Fixture::sysv] {
        let fixture = make(SyncKind::Mqueue);
        let handles = [(); 2].map(|()| Handle::attach(&fixture.address));
        let names = handles.each_ref().map(|handle| {
            mqueue::name(handle.segment.header.nonce, handle.participant.slot).unwrap()
        });
        // They stay for the next holders of the slots.
        drop(handles);
        for name in &names {
            assert!(mq::open_to_send(name).is_ok());
        }
        drop(fixture);
        for name in &names {
            assert_eq!(mq::open_to_send(name).err(), Some(Errno::ENOENT));
        }
    }
}

#[test]
fn who_cannot_be_rung_by_its_queue_is_woken_all_the_same() {
    let fixture = Fixture::shm(SyncKind::Mqueue);
    let handle = Handle::attach(&fixture.address);
    let mut sleeper = Process::start("sleep until told", &fixture);
    let slot: u32 = sleeper.says().parse().unwrap();
    sleeper.falls_asleep();
    mq::unlink(&mqueue::name(handle.segment.header.nonce, slot).unwrap()).unwrap();
    handle.word().store(1, Ordering::SeqCst);
    handle.bell().ring(slot);
    assert_eq!(sleeper.says(), "\"woken\"");
}

#[test]
fn memory_without_a_name_has_nothing_beside_it() {
    for sync in SyncKind::ALL {
        let made = create(&Address::Memfd, sync, 0o600);
        match sync {
            SyncKind::SysvSem | SyncKind::Mqueue => {
                assert_eq!(made.unwrap_err().kind(), ErrorKind::Unsupported);
            }
            _ => drop(made.unwrap()),
        }
    }
}

#[test]
fn limits_are_explained() {
    let queues = Fixture {
        address: Address::Shm(unique_name()),
    };
    create(&queues.address, SyncKind::Mqueue, 0o666).unwrap();
    for play in [
        "no memory for queues",
        "no more queues",
        "no more semaphores",
    ] {
        Process::start(play, &queues).succeeds();
    }
}
