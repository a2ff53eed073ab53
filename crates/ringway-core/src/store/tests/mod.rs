//! Segments over the real thing: files, tmpfs, memfds and System V segments of this machine.

mod bad_input;
mod boot;
mod handover;
mod lifecycle;
mod limits;
mod named;
pub(crate) mod process;
mod races;
mod sysv;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::header::{magic, new_header, write_header};
use super::*;
use crate::memory::layout::header::{CREATION_LOCK_OFFSET, FenceMode};
use crate::memory::layout::message_type::{self, MessageType, NO_TYPE};
use crate::memory::layout::participant::slot_offset;
use crate::memory::layout::{Geometry, Kind, Shape, SyncKind};
use crate::sys::shmget;

/// A number that no other test uses, nor another process of the same test run.
pub(super) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An address of its own, whose segment goes with it.
pub(super) struct Fixture {
    address: Address,
}

impl Fixture {
    pub(super) fn shm() -> Self {
        let name = format!("ringway-test-{}-{}", std::process::id(), unique());
        Self::at(Address::Shm(name))
    }

    pub(super) fn file() -> Self {
        let name = format!("ringway-test-{}-{}", std::process::id(), unique());
        Self::at(Address::File(std::env::temp_dir().join(name)))
    }

    pub(super) fn sysv() -> Self {
        // Pids have 22 bits.
        let key = std::process::id() << 10 | unique() & 0x3ff;
        Self::at(Address::Sysv(SysvKey::Key(key)))
    }

    pub(super) fn at(address: Address) -> Self {
        let fixture = Self { address };
        fixture.clean();
        fixture
    }

    pub(super) fn request(&self) -> Request<'_> {
        Request::new(&self.address)
    }

    /// The path in the file system.
    pub(super) fn path(&self) -> PathBuf {
        match &self.address {
            Address::Shm(name) => PathBuf::from("/dev/shm").join(name),
            Address::File(path) => path.clone(),
            _ => panic!("{} has no path", self.address),
        }
    }

    pub(super) fn key(&self) -> libc::key_t {
        match &self.address {
            Address::Sysv(SysvKey::Key(key)) => *key as libc::key_t,
            _ => panic!("{} has no key", self.address),
        }
    }

    pub(super) fn id(&self) -> i32 {
        shmget::get(self.key(), 0, 0).unwrap()
    }

    pub(super) fn exists(&self) -> bool {
        match &self.address {
            Address::Sysv(_) => shmget::get(self.key(), 0, 0).is_ok(),
            _ => self.path().symlink_metadata().is_ok(),
        }
    }

    pub(super) fn clean(&self) {
        match &self.address {
            Address::Sysv(SysvKey::Key(key)) => {
                if let Ok(id) = shmget::get(*key as libc::key_t, 0, 0) {
                    let _ = shmget::remove(id);
                }
            }
            Address::Sysv(SysvKey::Id(id)) => drop(shmget::remove(*id)),
            Address::Shm(_) | Address::File(_) => {
                let _ = std::fs::remove_file(self.path());
                let _ = std::fs::remove_dir(self.path());
            }
            _ => {}
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.clean();
    }
}

pub(super) fn plan_of(capacity: u64) -> Plan {
    Plan {
        kind: Kind::Spsc,
        sync: SyncKind::Futex,
        overwrite: false,
        persistent: false,
        policies: 0,
        geometry: Geometry::stream(capacity).unwrap(),
        fence: FenceMode::Asymmetric,
        message_type: NO_TYPE,
    }
}

/// One whose creator says what its messages are.
pub(super) fn typed_plan() -> Plan {
    let message_type = MessageType::of::<u64>("number").encode().unwrap();
    Plan {
        message_type,
        ..plan()
    }
}

pub(super) fn plan() -> Plan {
    plan_of(64 << 10)
}

/// A ring with a semaphore set beside it.
pub(super) fn locked_plan() -> Plan {
    Plan {
        kind: Kind::Mpmc,
        sync: SyncKind::SysvSem,
        geometry: Geometry::new(Kind::Mpmc, Shape::Cells(64), 4, 4096).unwrap(),
        ..plan()
    }
}

/// One of each kind that is found by its address.
pub(super) fn named() -> [Fixture; 3] {
    [Fixture::shm(), Fixture::file(), Fixture::sysv()]
}

/// A word in the data region.
pub(super) fn data_word(segment: &Segment) -> &std::sync::atomic::AtomicU64 {
    let at = segment.header.geometry.data_offset() as usize;
    segment.map.word64(at).unwrap()
}

pub(super) fn liveness_word(segment: &Segment, slot: u32) -> &std::sync::atomic::AtomicU32 {
    segment.map.word32(slot_offset(slot)).unwrap()
}

#[track_caller]
pub(super) fn assert_fails<T>(result: Result<T, Error>, kind: ErrorKind) -> Error {
    let error = result.err().expect("an error");
    assert_eq!(error.kind(), kind, "{error}");
    // Of what the kernel refused the cause is not always known.
    assert!(
        !error.next_step().is_empty() || error.errno().is_some(),
        "{error}"
    );
    error
}
