//! Locks and bells between real processes, some of which are killed.

mod bells;
mod beside;
mod boot;
mod locks;
mod process;
mod watching;

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::*;
use crate::address::SysvKey;
use crate::memory::layout::cell::CELL_HEADER;
use crate::memory::layout::header::FenceMode;
use crate::memory::layout::message_type::NO_TYPE;
use crate::memory::layout::participant::Role;
use crate::memory::layout::{Geometry, Kind};
use crate::presence::participant::{Participant, Place};
use crate::store::{Plan, Request, Segment};
use crate::sys::futex::{MonotonicTime, Wake};

pub(super) const LOCKS: [SyncKind; 3] = [SyncKind::Pthread, SyncKind::PosixSem, SyncKind::SysvSem];
pub(super) const BELLS: [SyncKind; 3] = [SyncKind::PosixSem, SyncKind::SysvSem, SyncKind::Mqueue];

/// A ring, removed with what lies beside it.
pub(super) struct Fixture {
    pub(super) address: Address,
}

impl Fixture {
    pub(super) fn shm(sync: SyncKind) -> Self {
        Self::at(Address::Shm(unique_name()), sync)
    }

    pub(super) fn file(sync: SyncKind) -> Self {
        let path = std::env::temp_dir().join(unique_name());
        Self::at(Address::File(path), sync)
    }

    pub(super) fn sysv(sync: SyncKind) -> Self {
        let made = create(&Address::Sysv(SysvKey::Private), sync, 0o600).unwrap();
        Self {
            address: made.address,
        }
    }

    pub(super) fn at(address: Address, sync: SyncKind) -> Self {
        let fixture = Self { address };
        create(&fixture.address, sync, 0o600).unwrap();
        fixture
    }

    pub(super) fn open(&self) -> Segment {
        Segment::open(&Request::new(&self.address)).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = crate::store::remove(&self.address);
    }
}

pub(super) fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("ringway-test-sync-{}-{next}", std::process::id())
}

pub(super) fn create(address: &Address, sync: SyncKind, mode: u32) -> Result<Segment, Error> {
    let plan = Plan {
        kind: Kind::Mpmc,
        sync,
        overwrite: false,
        persistent: false,
        policies: 0,
        geometry: Geometry::new(Kind::Mpmc, Shape::Cells(64), 16, 4096).unwrap(),
        fence: FenceMode::Asymmetric,
        message_type: NO_TYPE,
    };
    let request = Request {
        mode,
        ..Request::new(address)
    };
    Segment::create(&request, &plan)
}

pub(super) fn place(segment: &Segment) -> Place {
    Place {
        role: Role::Producer,
        slots: segment.header.geometry.slots(Role::Producer),
        participants: segment.header.geometry.participants(),
        settles: true,
    }
}

/// A participant, as a sender or receiver has it.
pub(super) struct Handle {
    pub(super) primitives: Primitives,
    pub(super) participant: Participant,
    pub(super) segment: Segment,
}

impl Handle {
    pub(super) fn new(address: &Address) -> Result<Self, Error> {
        let (handle, alarm) = Self::open(address)?;
        handle.participant.watch(alarm);
        Ok(handle)
    }

    /// One without a watcher, who rings when it comes to that: nobody rings its bell but who means to.
    pub(super) fn unwatched(address: &Address) -> Self {
        Self::open(address).unwrap().0
    }

    fn open(address: &Address) -> Result<(Self, Alarm), Error> {
        let segment = Segment::open(&Request::new(address))?;
        let participant = Participant::attach(&segment.map, place(&segment), address)?;
        let (slot, epoch) = (participant.slot, participant.epoch);
        let name = segment.anchor.clone().map(|anchor| anchor as _);
        let (primitives, alarm) = open(
            &segment.map,
            &segment.header,
            slot,
            epoch,
            address,
            || segment.access,
            name,
        )?;
        let handle = Self {
            primitives,
            participant,
            segment,
        };
        Ok((handle, alarm))
    }

    pub(super) fn attach(address: &Address) -> Self {
        Self::new(address).unwrap()
    }

    pub(super) fn lock(&self) -> &dyn Lock {
        self.primitives.lock.as_deref().unwrap()
    }

    pub(super) fn bell(&self) -> &dyn Bell {
        self.primitives.bell.as_deref().unwrap()
    }

    /// A word in the payload of the first cell.
    pub(super) fn word(&self) -> &AtomicU64 {
        let at = self.segment.header.geometry.data_offset() + CELL_HEADER;
        self.segment.map.word64(at as usize).unwrap()
    }

    pub(super) fn liveness(&self, slot: u32) -> crate::presence::Liveness {
        let outlook = self.participant.outlook;
        outlook.liveness(&*self.segment.map, slot)
    }

    /// Sleeps until nobody has rung. A watcher may be late.
    pub(super) fn hush(&self) {
        while self.bell().sleep(soon()).unwrap() != Wake::TimedOut {}
    }
}

/// A deadline that passes.
pub(super) fn soon() -> Option<MonotonicTime> {
    MonotonicTime::after(Duration::from_millis(30))
}

/// A deadline that only a failure reaches.
pub(super) fn late() -> Option<MonotonicTime> {
    MonotonicTime::after(Duration::from_secs(60))
}
