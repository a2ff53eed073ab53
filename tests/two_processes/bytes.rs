//! The bytes of a segment, as somebody who is no ringway peer reads and forges them. The offsets are
//! those of the layout's documentation.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use ringway::Address;

use super::place::{Place, shmid};

/// Offset of the header's magic, 8 bytes.
pub const MAGIC: u64 = 0;
/// Offset of the boot id, 16 bytes.
pub const BOOT_ID: u64 = 112;
/// Offset of the consumer's head, 8 bytes.
pub const HEAD: u64 = 384;
/// Offset of the producer's liveness word, 4 bytes.
pub const PRODUCER: u64 = 1024;
/// Offset of the consumer's liveness word, 4 bytes.
pub const CONSUMER: u64 = 1152;
/// Offset of the data.
pub const DATA: u64 = 4096;

/// Overwrites bytes of the segment that lies there.
pub fn forge(place: &Place, at: u64, bytes: &[u8]) {
    if let Address::Sysv(_) = place.address {
        let at = at as usize;
        attached(place, |base, len| {
            assert!(at + bytes.len() <= len);
            // SAFETY: in bounds of the attached segment. Only this test process has it mapped, or the
            // peers take what they find as it comes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(at), bytes.len()) };
        });
    } else {
        let file = OpenOptions::new().write(true).open(place.path()).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }
}

/// A copy of all bytes of the segment that lies there.
pub fn copy(place: &Place) -> Vec<u8> {
    if let Address::Sysv(_) = place.address {
        let mut bytes = Vec::new();
        attached(place, |base, len| {
            // SAFETY: the bytes of the attached segment, which nobody writes at the moment.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(base, len) });
        });
        bytes
    } else {
        std::fs::read(place.path()).unwrap()
    }
}

fn attached(place: &Place, work: impl FnOnce(*mut u8, usize)) {
    let Address::Sysv(key) = &place.address else {
        panic!("{}", place.address);
    };
    let id = shmid(key).unwrap();
    let mut status = std::mem::MaybeUninit::<libc::shmid_ds>::uninit();
    // SAFETY: the kernel fills in the local; attaching takes an address that it chooses itself.
    let (len, base) = unsafe {
        assert_eq!(libc::shmctl(id, libc::IPC_STAT, status.as_mut_ptr()), 0);
        let len = status.assume_init().shm_segsz;
        (len, libc::shmat(id, std::ptr::null(), 0))
    };
    assert_ne!(base as isize, -1);
    work(base.cast(), len);
    // SAFETY: `work` is done with it.
    unsafe { libc::shmdt(base) };
}
