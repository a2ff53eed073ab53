//! Objects that were made, or are changed meanwhile, to harm who looks at them.

use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use nix::unistd::{Uid, setresuid};

use super::PATIENCE;
use super::process::{kill, private, say_there, spawn};
use crate::address::Address;
use crate::admin::gc::{Fate, Gc, Leftover};
use crate::memory::layout::control::{HEAD, TAIL};
use crate::memory::layout::header::{FenceMode, FileId, HEADER_LEN, Header, MAGIC, MAGIC_OFFSET};
use crate::memory::layout::participant::{LIVENESS, ROLE, slot_offset};
use crate::memory::layout::pool::{Class, Slabs};
use crate::memory::layout::{Geometry, Kind, Shape, SyncKind};
use crate::store::present;
use crate::sys::{futex, shmget};

/// How long to look at what somebody cuts off.
const ENOUGH: Duration = Duration::from_secs(4);

/// What nobody who looks may take.
const LONG: Duration = Duration::from_secs(20);

fn header(shape: Shape, capacity: u64, nonce: [u8; 16]) -> Header {
    let kind = match shape {
        Shape::Stream => Kind::Spsc,
        Shape::Cells(_) => Kind::Mpmc,
        Shape::Board(_) => Kind::Board,
        Shape::Broadcast => Kind::Broadcast,
    };
    let participants = if shape == Shape::Stream { 2 } else { 120 };
    Header {
        kind,
        sync: SyncKind::Futex,
        overwrite: false,
        persistent: false,
        policies: u8::from(shape == Shape::Broadcast),
        fence: FenceMode::Asymmetric,
        nonce,
        created_ns: 1,
        geometry: Geometry::new(kind, shape, participants, capacity).unwrap(),
        boot_id: [0; 16],
        file: FileId::default(),
        companions: nonce,
        ipc_namespace: 0,
    }
}

fn with_slabs(mut header: Header) -> Header {
    let (len, count) = (4096, 65536);
    let slabs = Slabs::new(&[Class { len, count }]).unwrap();
    header.geometry = header.geometry.with_slabs(slabs);
    header
}

/// The start of a ring that a producer died in.
fn abandoned(header: &Header, head: u64) -> Vec<u8> {
    let mut bytes = vec![0; header.geometry.data_offset() as usize];
    bytes[..HEADER_LEN].copy_from_slice(&header.encode());
    let mut put = |at: usize, word: &[u8]| bytes[at..at + word.len()].copy_from_slice(word);
    put(MAGIC_OFFSET, &MAGIC.to_le_bytes());
    put(HEAD, &head.to_le_bytes());
    put(TAIL, &head.to_le_bytes());
    put(slot_offset(0) + LIVENESS, &futex::OWNER_DIED.to_le_bytes());
    put(slot_offset(0) + ROLE, &1_u32.to_le_bytes());
    bytes
}

/// Rings of a terabyte, of which some pages are there. With a nonce of zeroes the word of a cell is stored as it is, so
/// holes are free cells, or, from some heads on, cells that are done with for a lap.
fn giants(capacity: u64) -> Vec<(Header, u64)> {
    let cells = capacity / 64;
    let mut giants = Vec::new();
    for nonce in [[0; 16], *b"0123456789abcdef"] {
        for head in [0, 8, ((1 << 20) - 1) * cells, u64::MAX] {
            for shape in [Shape::Stream, Shape::Cells(64)] {
                giants.push((with_slabs(header(shape, capacity, nonce)), head));
            }
            for shape in [Shape::Board(64), Shape::Broadcast] {
                giants.push((header(shape, capacity, nonce), head));
            }
        }
    }
    giants
}

#[test]
fn who_looks_at_giants_without_memory_makes_none_of_it_and_comes_back() {
    private("giants");
}

pub(super) fn giants_without_memory() {
    let mut segments = Vec::new();
    for (nth, (header, head)) in giants(1 << 40).into_iter().enumerate() {
        let path = format!("/dev/shm/giant-{nth}");
        let file = std::fs::File::create(&path).unwrap();
        file.write_all_at(&abandoned(&header, head), 0).unwrap();
        file.set_len(header.geometry.total_len()).unwrap();
    }
    for (nth, (header, head)) in giants(1 << 36).into_iter().enumerate() {
        let len = header.geometry.total_len() as usize;
        let flags = libc::IPC_CREAT | libc::SHM_NORESERVE | 0o644;
        let id = shmget::get(100 + nth as i32, len, flags).unwrap();
        let bytes = abandoned(&header, head);
        let at = shmget::attach(id).unwrap();
        // SAFETY: the segment is longer, and nobody else has it attached.
        unsafe {
            at.cast::<u8>()
                .copy_from_nonoverlapping(std::ptr::NonNull::from(&bytes[..]).cast(), bytes.len());
            shmget::detach(at);
        }
        segments.push(id);
    }
    // Somebody else's, with nothing in it.
    let flags = libc::IPC_CREAT | 0o644;
    segments.push(shmget::get(99, 1 << 20, flags).unwrap());
    let memory = || -> Vec<_> {
        let shm = statvfs("/dev/shm").unwrap().blocks_free();
        let segments = segments.iter().map(|id| present(*id).unwrap());
        std::iter::once(shm).chain(segments).collect()
    };
    let before = memory();
    let started = Instant::now();
    let all = crate::inspect::list();
    assert_eq!(all.len(), 2 * giants(1 << 36).len());
    for address in &all {
        let stat = crate::admin::stat::stat(address).unwrap();
        // Nothing is in them.
        assert_eq!(stat.used_bytes, 0, "{address}");
    }
    let report = Gc::new().dry_run(true).run();
    assert_eq!(report.failures, []);
    assert!(report.found.iter().all(|found| found.bytes < 1 << 20));
    assert!(!report.found.is_empty());
    assert_eq!(memory(), before);
    for address in &all {
        let report = Gc::new().address(address.clone()).run();
        assert_eq!(report.failures, [], "{address}");
    }
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
    for (id, before) in segments.iter().zip(&before[1..]) {
        // Those that are gone were garbage.
        if shmget::status(*id).is_ok() {
            assert_eq!(present(*id), Some(*before), "{id}");
        }
    }
    for id in segments {
        let _ = shmget::remove(id);
    }
}

#[test]
fn who_looks_survives_an_owner_who_truncates_meanwhile() {
    private("truncation");
}

const TEASED: [&str; 2] = ["shut", "open"];

pub(super) fn truncation() {
    for how in TEASED {
        let owner = spawn(&format!("tease {how}"));
        let address: Address = format!("shm:teased-{how}").parse().unwrap();
        let mut removed = 0;
        let started = Instant::now();
        // Until it could be removed once, between two cuts, and for a while.
        while started.elapsed() < ENOUGH || how == "shut" && removed == 0 {
            assert!(started.elapsed() < PATIENCE, "not once could it be had");
            let _ = crate::inspect::list();
            let _ = crate::inspect::stat(&address);
            let _ = Gc::new().dry_run(true).run();
            for found in Gc::new().run().found {
                let is_it = found.what == Leftover::Ring(address.clone());
                removed += u32::from(is_it && found.fate == Fate::Removed);
            }
        }
        kill(owner);
        let _ = std::fs::remove_file(format!("/dev/shm/teased-{how}"));
    }
}

/// The owner, who is not root: cuts its ring off and mends it for ever, with the file open all the time or only then.
pub(super) fn tease(how: &str) {
    let nobody = Uid::from_raw(65534);
    setresuid(nobody, nobody, nobody).unwrap();
    let header = header(Shape::Cells(64), 1 << 20, *b"0123456789abcdef");
    let bytes = abandoned(&header, 0);
    let path = format!("/dev/shm/teased-{how}");
    let open = || {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        options.open(&path)
    };
    let len = header.geometry.total_len();
    let start = bytes.len() as u64;
    let word =
        crate::memory::layout::cell::new_word(crate::memory::layout::cell::key(header.nonce));
    let cell = [&word.to_le_bytes()[..], &[0; 56]].concat();
    let cells = cell.repeat(((len - start) / 64) as usize);
    let mut kept = None;
    for round in 0_u32.. {
        // A collector may have removed it, or have a lease on it.
        let Ok(file) = open() else { continue };
        for cut in [0, 100, 4096, len / 2] {
            let _ = file.set_len(cut);
            let _ = file.set_len(len);
            let _ = file.write_all_at(&cells, start);
            let _ = file.write_all_at(&bytes, 0);
        }
        if round == 0 {
            say_there();
        }
        if how == "open" {
            kept = Some(file);
        } else {
            let _ = file.as_fd();
            drop(file);
            std::thread::sleep(Duration::from_micros(u64::from(round % 7) * 300));
        }
    }
    drop(kept);
}
