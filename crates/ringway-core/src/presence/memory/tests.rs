//! Within one process: what others see of it, they see by an open file of their own.

use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{dup2_raw, ftruncate};

use super::*;
use crate::memory::map::Source;

struct Ring {
    file: OwnedFd,
    map: Arc<Map>,
}

impl Ring {
    fn new() -> Self {
        let file = memfd_create("ring", MFdFlags::MFD_CLOEXEC).unwrap();
        let page = page_size();
        ftruncate(&file, page as i64).unwrap();
        let map = Map::new(Source::Fd(file.as_fd()), page, page).unwrap();
        Self {
            file,
            map: Arc::new(map),
        }
    }

    /// As a process that opens the ring itself.
    fn memories(&self) -> Arc<Memories> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = File::options().read(true).write(true).open(path);
        Memories::of(file.unwrap().into()).unwrap()
    }
}

/// One that counts how often it is woken.
fn sleeper() -> (Arc<AtomicU32>, Arc<Wake>) {
    let woken = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&woken);
    let wake = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    (woken, Arc::new(wake))
}

/// Another test's child of `fork` may have the open file for a moment.
fn await_end(memories: &Memories, holder: Holder) {
    while !memories.is_gone(holder) {
        std::thread::yield_now();
    }
}

#[test]
fn memory_is_gone_with_the_proof_and_no_other_holders_is() {
    let ring = Ring::new();
    let (ours, theirs) = (ring.memories(), ring.memories());
    let holders = [
        Holder::new(0, 1),
        Holder::new(0, 2),
        Holder::new(1, 1),
        Holder::new(119, u64::MAX),
    ];
    for holder in holders {
        assert!(theirs.is_gone(holder), "{holder:?} was never there");
        let proof = ours.prove(&ring.map, holder).unwrap();
        for seen in holders {
            assert_eq!(theirs.is_gone(seen), seen != holder);
            assert_eq!(ours.is_gone(seen), seen != holder);
        }
        assert!(theirs.prove(&ring.map, holder).is_none(), "it is another's");
        drop(proof);
        await_end(&theirs, holder);
    }
}

#[test]
fn whoever_waits_for_memory_is_woken_once_when_it_is_gone() {
    let ring = Ring::new();
    let (ours, theirs) = (ring.memories(), ring.memories());
    let (first, second) = (Holder::new(0, 1), Holder::new(1, 1));
    let proofs = [first, second].map(|holder| ours.prove(&ring.map, holder).unwrap());
    let sleepers = [sleeper(), sleeper()];
    for (_, wake) in &sleepers {
        // Again and again, as one that looks often does.
        for holder in [first, second, first, second] {
            assert!(theirs.watch(holder, wake));
        }
    }
    // One that is not there any more is not missed.
    assert!(theirs.watch(first, &sleeper().1));
    assert_eq!(theirs.awaited().len(), 5);
    for (expected, proof) in (1..).zip(proofs) {
        drop(proof);
        for (woken, _) in &sleepers {
            while woken.load(Ordering::Relaxed) < expected {
                std::thread::yield_now();
            }
        }
    }
    while !theirs.awaited().is_empty() {
        std::thread::yield_now();
    }
    for (woken, _) in &sleepers {
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }
    // Whoever waited has left no lock.
    await_end(&ours, first);
    assert!(ours.prove(&ring.map, first).is_some());
}

#[test]
fn a_descriptor_that_the_program_has_reused_says_nothing() {
    let ring = Ring::new();
    let theirs = ring.memories();
    let holder = Holder::new(0, 1);
    assert!(theirs.is_gone(holder));
    let other = memfd_create("other", MFdFlags::MFD_CLOEXEC).unwrap();
    // SAFETY: the number is this test's, and stays a descriptor of it.
    std::mem::forget(unsafe { dup2_raw(&other, theirs.file.as_raw_fd()) }.unwrap());
    assert!(!theirs.is_gone(holder));
    assert!(theirs.prove(&ring.map, holder).is_none());
}

#[test]
fn a_child_of_fork_has_no_part_in_the_proof() {
    let ring = Ring::new();
    let (ours, theirs) = (ring.memories(), ring.memories());
    let holder = Holder::new(0, 1);
    let proof = ours.prove(&ring.map, holder).unwrap();
    let page = proof.page.as_ref().unwrap();
    let (at, len) = (page.as_mut_ptr().cast(), page.len());
    // SAFETY: the child calls nothing but the kernel.
    let child = match unsafe { nix::unistd::fork() }.unwrap() {
        // SAFETY: a mapping of nothing, where there is none.
        nix::unistd::ForkResult::Child => unsafe {
            // Only what is not mapped can be mapped so.
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let mapped = libc::mmap(at, len, libc::PROT_NONE, flags, -1, 0);
            libc::_exit(i32::from(mapped != at))
        },
        nix::unistd::ForkResult::Parent { child } => child,
    };
    drop(proof);
    await_end(&theirs, holder);
    let status = nix::sys::wait::waitpid(child, None).unwrap();
    assert_eq!(status, nix::sys::wait::WaitStatus::Exited(child, 0));
}
