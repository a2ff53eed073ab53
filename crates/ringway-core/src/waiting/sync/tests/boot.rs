//! Rings in files, after a reboot.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::process::Process;
use super::*;
use crate::memory::layout::header::BOOT_ID_OFFSET;
use crate::sys::semget;

#[test]
fn under_another_boot_locks_are_free_and_bells_ring() {
    for sync in SyncKind::ALL {
        let fixture = Fixture::file(sync);
        if LOCKS.contains(&sync) {
            let mut holder = Process::waiting("acquire", &fixture);
            assert_eq!(holder.says(), "Ok(Clean)");
            holder.kill();
        }
        let Address::File(path) = &fixture.address else {
            panic!("no file")
        };
        let set = {
            let segment = fixture.open();
            let word = segment.map.word32(SEMAPHORES_OFFSET).unwrap();
            word.load(Ordering::Relaxed) as i32 - 1
        };
        if sync == SyncKind::SysvSem {
            semget::remove(set).unwrap();
        }
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[3; 16], BOOT_ID_OFFSET as u64).unwrap();

        let handle = Handle::attach(&fixture.address);
        if LOCKS.contains(&sync) {
            assert_eq!(
                handle.lock().acquire(late()),
                Ok(Acquired::Clean),
                "{sync:?}"
            );
            handle.lock().release();
        }
        if BELLS.contains(&sync) {
            handle.hush();
            handle.bell().ring(handle.participant.slot);
            assert_eq!(handle.bell().sleep(late()), Ok(Wake::Check), "{sync:?}");
        }
    }
}
