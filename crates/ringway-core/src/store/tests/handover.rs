//! memfds that travel.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::process::command;
use super::*;
use crate::memory::layout::header::MAGIC;
use crate::memory::layout::pool::{Class, Slabs};
use crate::sys::unix;

#[test]
fn another_process_takes_a_memfd_over() {
    let made = Segment::create(&Request::new(&Address::Memfd), &plan()).unwrap();
    data_word(&made).store(11, Ordering::Release);
    let (here, there) = UnixStream::pair().unwrap();
    let mut child = command("take over from stdin", &Address::Memfd)
        .stdin(Stdio::from(OwnedFd::from(there)))
        .spawn()
        .unwrap();
    let peer = hand_over(&made.address, made.file.as_ref(), &here).unwrap();
    assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
    assert!(child.wait().unwrap().success());
    assert_eq!(data_word(&made).load(Ordering::Acquire), 22);
}

#[test]
fn what_was_taken_over_can_be_handed_on() {
    let made = Segment::create(&Request::new(&Address::Memfd), &plan()).unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    hand_over(&made.address, made.file.as_ref(), &here).unwrap();
    let (second, _) = Segment::take_over(&Request::new(&Address::Memfd), &there).unwrap();
    hand_over(&second.address, second.file.as_ref(), &there).unwrap();
    let (third, _) = Segment::take_over(&Request::new(&Address::Memfd), &here).unwrap();
    assert_eq!(third.header, made.header);
}

#[test]
fn only_memfds_are_handed_over() {
    let (here, _there) = UnixStream::pair().unwrap();
    let shm = Fixture::shm();
    let made = Segment::create(&shm.request(), &plan()).unwrap();
    let error = hand_over(&made.address, made.file.as_ref(), &here);
    let error = assert_fails(error, ErrorKind::Unsupported);
    assert!(error.to_string().contains("by its address"), "{error}");
}

fn sent(bytes: &[u8], file: Option<OwnedFd>) -> Result<(Segment, PeerCredentials), Error> {
    let (here, there) = UnixStream::pair().unwrap();
    match file {
        Some(file) => drop(unix::send(&here, bytes, file.as_fd()).unwrap()),
        None => std::io::Write::write_all(&mut &here, bytes).unwrap(),
    }
    drop(here);
    Segment::take_over(&Request::new(&Address::Memfd), &there)
}

const ALL_SEALS: SealFlag = SealFlag::F_SEAL_SHRINK
    .union(SealFlag::F_SEAL_GROW)
    .union(SealFlag::F_SEAL_SEAL);

/// The file of a real ring, copied into a memfd with other seals.
fn fake(seals: SealFlag, cut: usize) -> OwnedFd {
    fake_of(&plan(), seals, cut)
}

fn fake_of(plan: &Plan, seals: SealFlag, cut: usize) -> OwnedFd {
    use std::io::Write;
    let shm = Fixture::shm();
    Segment::create(&shm.request(), plan).unwrap();
    let bytes = std::fs::read(shm.path()).unwrap();
    // With its slabs.
    remove(&shm.address).unwrap();
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut file = std::fs::File::from(memfd_create("fake", flags).unwrap());
    file.write_all(&bytes[..bytes.len() - cut]).unwrap();
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals)).unwrap();
    OwnedFd::from(file)
}

#[test]
fn what_is_not_sealed_is_refused() {
    let tag = MAGIC.to_le_bytes();
    let shrink = SealFlag::F_SEAL_SHRINK;
    let grow = SealFlag::F_SEAL_GROW;
    let seal = SealFlag::F_SEAL_SEAL;
    for seals in [
        SealFlag::empty(),
        shrink,
        shrink | grow,
        grow | seal,
        shrink | seal,
    ] {
        assert_fails(sent(&tag, Some(fake(seals, 0))), ErrorKind::NotARing);
    }
    sent(&tag, Some(fake(ALL_SEALS, 0))).unwrap();
    let result = sent(&tag, Some(fake(ALL_SEALS, 1)));
    assert_fails(result, ErrorKind::Truncated);
    let result = sent(&tag, Some(fake(ALL_SEALS | SealFlag::F_SEAL_WRITE, 0)));
    assert_fails(result, ErrorKind::PermissionDenied);
    // Files of the same look.
    let shm = Fixture::shm();
    Segment::create(&shm.request(), &plan()).unwrap();
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(shm.path())
        .unwrap();
    assert_fails(sent(&tag, Some(file.into())), ErrorKind::NotARing);
}

#[test]
fn a_memfd_of_holes_is_refused() {
    let file = std::fs::File::from(
        memfd_create("holes", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap(),
    );
    file.set_len(1 << 40).unwrap();
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(ALL_SEALS)).unwrap();
    let error = sent(&MAGIC.to_le_bytes(), Some(file.into()));
    let error = assert_fails(error, ErrorKind::NotARing);
    assert!(error.to_string().contains("allocated"), "{error}");
}

#[test]
fn one_that_claims_slabs_beside_it_is_refused() {
    let slabs = Slabs::new(&[Class {
        len: 4096,
        count: 2,
    }])
    .unwrap();
    let inside = plan().geometry.with_slabs(slabs);
    let made = |geometry| fake_of(&Plan { geometry, ..plan() }, ALL_SEALS, 0);
    sent(&MAGIC.to_le_bytes(), Some(made(inside))).unwrap();
    let claimed = made(inside.with_slab_segments(true));
    let result = sent(&MAGIC.to_le_bytes(), Some(claimed));
    assert_fails(result, ErrorKind::Corrupt);
}

#[test]
fn other_messages_are_refused() {
    let tag = MAGIC.to_le_bytes();
    assert_fails(sent(b"hello", None), ErrorKind::NotARing);
    assert_fails(sent(&tag, None), ErrorKind::NotARing);
    assert_fails(
        sent(b"x", Some(fake(SealFlag::empty(), 0))),
        ErrorKind::NotARing,
    );
    assert_fails(sent(b"", None), ErrorKind::NotFound);
    let (here, there) = UnixStream::pair().unwrap();
    drop(there);
    let made = Segment::create(&Request::new(&Address::Memfd), &plan()).unwrap();
    let result = hand_over(&made.address, made.file.as_ref(), &here);
    assert_fails(result, ErrorKind::NotFound);
}

#[test]
fn a_peer_that_sends_nothing_is_waited_for_as_long_as_the_socket_says() {
    let (_here, there) = UnixStream::pair().unwrap();
    there
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    assert_fails(
        Segment::take_over(&Request::new(&Address::Memfd), &there),
        ErrorKind::TimedOut,
    );
}

/// Whether all of a memfd with these seals can be given back, and whether it can be mapped for writing.
fn punch_and_map(seals: SealFlag) -> (bool, bool) {
    use nix::fcntl::{FallocateFlags, fallocate};
    let file = memfd_create("ringway-test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    fallocate(&file, FallocateFlags::empty(), 0, 1 << 20).unwrap();
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals)).unwrap();
    let punches = punch(file.as_fd(), 1 << 20).is_ok();
    let maps = crate::sys::mmap::map_shared(4096, file.as_fd()).is_ok();
    (punches, maps)
}

fn punch(file: std::os::fd::BorrowedFd<'_>, len: i64) -> nix::Result<()> {
    use nix::fcntl::{FallocateFlags, fallocate};
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(file, punch, 0, len)
}

#[test]
fn no_seal_keeps_from_punching_holes_but_those_that_keep_from_writing() {
    let length = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    assert_eq!(punch_and_map(length), (true, true));
    assert_eq!(punch_and_map(SealFlag::F_SEAL_WRITE), (false, false));
    assert_eq!(punch_and_map(SealFlag::F_SEAL_FUTURE_WRITE), (false, false));
}

#[test]
fn who_has_taken_over_what_is_given_back_then_has_errors_and_pays_for_no_more_than_there_was() {
    use crate::api::builder::Builder;
    for kind in [Kind::Spsc, Kind::Mpmc] {
        let made = Builder::at(Address::Memfd).kind(kind).capacity(1 << 20);
        let made = made.create().unwrap();
        let (here, there) = UnixStream::pair().unwrap();
        made.hand_over(&here).unwrap();
        let (taken, _) = crate::Ring::take_over(&there).unwrap();
        let (mut sender, mut receiver) = (taken.sender().unwrap(), taken.receiver().unwrap());
        // Another one has it too.
        made.hand_over(&here).unwrap();
        let file = unix::receive(&there, &mut [0; 8]).unwrap().files;
        let file = file.into_iter().next().unwrap();
        let stat = || nix::sys::stat::fstat(&file).unwrap();
        let before = descriptor::allocated(&stat());
        for _ in 0..3 {
            let _ = sender.try_send(&[1; 1000]);
            punch(file.as_fd(), stat().st_size).unwrap();
            // A watcher that looks meanwhile brings a page back.
            assert!(descriptor::allocated(&stat()) < before);
            for _ in 0..2000 {
                let _ = sender.try_send(&[1; 1000]);
                let _ = receiver.try_recv();
            }
            assert!(descriptor::allocated(&stat()) <= before);
        }
        // Who comes after that takes no such ring over.
        made.hand_over(&here).unwrap();
        let error = crate::Ring::take_over(&there).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotARing, "{error}");
    }
}
