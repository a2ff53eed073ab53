//! Slabs in segments of their own: a process maps those that it uses and no others; they come and go with the
//! ring; and whatever lies in their place is an error at the call, never a crash, and never written to.

#[path = "slab_segments/lies.rs"]
mod lies;
mod two_processes;

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use ringway::address::SysvKey;
use ringway::message::DetachedMessage;
use ringway::{Address, Builder, ErrorKind, Kind, Message, RecvError, Ring, SendError};
use two_processes::bytes;
use two_processes::place::{Backing, Place, again, shmid};
use two_processes::table::CAPACITY;

const SLAB: usize = 8192;
const SLABS: u32 = 3;
/// Behind each slab lies a page that says whose it is.
const SEGMENT: usize = SLAB + 4096;

/// A ring without rivals and one with cells.
const KINDS: [Kind; 2] = [Kind::Spsc, Kind::Mpmc];

fn builder(place: &Place, kind: Kind) -> Builder {
    let builder = place
        .builder()
        .kind(kind)
        .capacity(CAPACITY)
        .participants(4);
    builder.slabs(SLAB as u64, SLABS).slab_segments(true)
}

fn ring(backing: Backing, kind: Kind) -> (Ring, Place) {
    let mut place = Place::new(backing);
    let ring = builder(&place, kind).create().unwrap();
    place.address = ring.address().clone();
    (ring, place)
}

fn message(number: u8) -> Vec<u8> {
    (0..SLAB)
        .map(|at| (at as u8).wrapping_mul(number))
        .collect()
}

/// The segment of a slab, as the operating system has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Object {
    File(PathBuf),
    Segment(i32),
}

/// Those of a ring, in order.
fn objects(place: &Place) -> Vec<Object> {
    let Address::Sysv(_) = place.address else {
        let path = place.path();
        let (directory, name) = (path.parent().unwrap(), path.file_name().unwrap());
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_slab_of(path, name))
            .collect();
        files.sort();
        return files.into_iter().map(Object::File).collect();
    };
    let at = table(place);
    let bytes = bytes::copy(place);
    (0..SLABS as usize)
        .map(|index| u64_at(&bytes, at + 8 * index))
        .map(|id| Object::Segment(id as i32 - 1))
        .collect()
}

fn is_slab_of(path: &Path, ring: &OsStr) -> bool {
    let prefix = format!("{}.slab.", ring.display());
    path.file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .starts_with(&prefix)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Where the ids of `sysv:` slabs are: behind the page of the slabs' words.
fn table(place: &Place) -> usize {
    u64_at(&bytes::copy(place), 184) as usize + 4096
}

impl Object {
    fn exists(&self) -> bool {
        match self {
            Self::File(path) => path.symlink_metadata().is_ok(),
            Self::Segment(id) => shmid(&SysvKey::Id(*id)).is_some(),
        }
    }

    /// How often this process has it mapped.
    fn mappings(&self) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let is_it = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            match (self, &fields[..]) {
                (Self::File(path), [.., mapped]) => path.as_os_str() == *mapped,
                (Self::Segment(id), [_, _, _, _, inode, mapped, ..]) => {
                    mapped.starts_with("/SYSV") && **inode == id.to_string()
                }
                _ => false,
            }
        };
        maps.lines().filter(is_it).count()
    }
}

fn mapped(objects: &[Object]) -> Vec<usize> {
    objects.iter().map(Object::mappings).collect()
}

#[test]
fn a_process_maps_the_slabs_that_it_uses_and_no_others() {
    for backing in Backing::FOUND {
        for kind in KINDS {
            let (ring, place) = ring(backing, kind);
            let slabs = objects(&place);
            assert_eq!(slabs.len(), SLABS as usize);
            let mut sender = ring.sender().unwrap();
            let other = again(&ring);
            let mut receiver = other.receiver().unwrap();
            assert_eq!(mapped(&slabs), [0, 0, 0]);
            sender.send(&message(1)).unwrap();
            assert_eq!(mapped(&slabs), [1, 0, 0]);
            let first = receiver.recv_in_place().and_then(Message::detach).unwrap();
            assert_eq!(mapped(&slabs), [2, 0, 0]);
            drop(sender.try_claim(SLAB).unwrap());
            assert_eq!(mapped(&slabs), [2, 1, 0]);
            for number in 0..20 {
                sender.send(&message(number)).unwrap();
                assert_eq!(receiver.recv().unwrap(), message(number));
            }
            assert_eq!(mapped(&slabs), [2, 2, 0]);
            // They stay mapped as long as somebody may look at them.
            drop((receiver, other));
            assert_eq!(mapped(&slabs), [2, 2, 0]);
            assert_eq!(first.to_vec(), message(1));
            sender.leave();
            drop((first, ring));
            assert_eq!(mapped(&slabs), [0, 0, 0]);
        }
    }
}

#[test]
fn they_have_the_mode_of_the_ring_and_go_with_it() {
    for backing in Backing::FOUND {
        let mut place = Place::new(backing);
        let builder = builder(&place, Kind::Spsc).mode(0o640).lock_memory(true);
        let ring = builder.create().unwrap();
        place.address = ring.address().clone();
        let slabs = objects(&place);
        for slab in &slabs {
            assert!(slab.exists());
            if let Object::File(path) = slab {
                let metadata = path.metadata().unwrap();
                assert_eq!(metadata.mode() & 0o777, 0o640);
                assert_eq!(metadata.len(), SEGMENT as u64);
                assert!(metadata.blocks() * 512 >= SEGMENT as u64);
            }
        }
        let stat = ringway::inspect::stat(ring.address()).unwrap();
        assert!(stat.slab_segments);
        assert_eq!(stat.slabs[0].free, SLABS);
        ring.sender().unwrap().send(&message(1)).unwrap();
        drop(ring);
        ringway::remove(&place.address, false).unwrap();
        assert!(!slabs.iter().any(Object::exists), "{slabs:?}");
    }
}

#[test]
fn the_next_ring_of_a_name_has_slabs_of_its_own() {
    for backing in Backing::NAMED {
        let (old, place) = ring(backing, Kind::Spsc);
        let mut sender = old.sender().unwrap();
        sender.send(&message(1)).unwrap();
        ringway::remove(&place.address, true).unwrap();
        let new = builder(&place, Kind::Spsc).create().unwrap();
        new.sender().unwrap().send(&message(2)).unwrap();
        // Who has the old one open goes on with what it has mapped, and does not find the others.
        let mut receiver = old.receiver().unwrap();
        assert_eq!(receiver.recv().unwrap(), message(1));
        let mut kept: Vec<DetachedMessage> = Vec::new();
        let refused = loop {
            match sender.try_send(&message(3)) {
                Ok(()) => kept.push(receiver.recv_in_place().and_then(Message::detach).unwrap()),
                Err(refused) => break refused,
            }
        };
        assert_eq!(kept.len(), 1);
        let SendError::Unmapped { errno } = refused else {
            panic!("{refused:?}");
        };
        assert!(
            [libc::ENOENT, libc::EINVAL, libc::EIDRM].contains(&errno),
            "{errno}"
        );
        assert!(refused.to_string().contains("removed"), "{refused}");
        assert_eq!(new.receiver().unwrap().recv().unwrap(), message(2));
    }
}

#[test]
fn a_memfd_has_none() {
    let place = Place::new(Backing::Memfd);
    for made in [
        builder(&place, Kind::Spsc).create(),
        builder(&place, Kind::Mpmc).open_or_create(),
    ] {
        let error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(
            error.next_step().contains("leave them in the ring"),
            "{error}"
        );
    }
    // Without slabs there is nothing to refuse.
    place.builder().slab_segments(true).create().unwrap();
}

#[test]
fn what_there_is_no_room_for_leaves_nothing() {
    for backing in Backing::NAMED {
        let place = Place::new(backing);
        let builder = place.builder().slabs(4096, 8).slabs(1 << 40, 60);
        let error = builder.slab_segments(true).create().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCapacity, "{error}");
        assert!(!place.is_taken());
        if backing != Backing::SysvKey {
            assert_eq!(objects(&place), []);
        }
    }
    let long = "n".repeat(201);
    let builder = Builder::at(Address::Shm(long)).slabs(4096, 1);
    let error = builder.slab_segments(true).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{error}");
}

/// Puts something else in the place of slab 0, whose file this is; slab 1's is the other one.
type FileLie = fn(&Path, &Path);

/// Another name for it.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".aside");
    name.into()
}

#[test]
fn a_message_whose_slab_cannot_be_mapped_stays_the_next_one() {
    for kind in KINDS {
        let (ring, place) = ring(Backing::Shm, kind);
        let slabs = objects(&place);
        let Object::File(third) = &slabs[2] else {
            panic!("{slabs:?}")
        };
        let mut sender = ring.sender().unwrap();
        for number in 0..3 {
            sender.send(&message(number)).unwrap();
        }
        fs::rename(third, aside(third)).unwrap();
        let unmapped = RecvError::Unmapped {
            errno: libc::ENOENT,
        };
        let mut receiver = again(&ring).receiver().unwrap();
        // Those in front of it, together with it or alone.
        let mut backlog = receiver.backlog();
        for number in 0..2 {
            assert_eq!(
                backlog.next_message().unwrap().unwrap().to_vec(),
                message(number)
            );
        }
        assert_eq!(backlog.next_message().unwrap_err(), unmapped);
        assert_eq!(backlog.next_message().unwrap_err(), unmapped);
        // Not acknowledged: they come again.
        drop(backlog);
        let mut seen = Vec::new();
        let drained = receiver.drain(3, |view| seen.push(view.to_vec()));
        assert_eq!(drained, Ok(2));
        assert_eq!(seen, [message(0), message(1)]);
        for _ in 0..3 {
            assert_eq!(receiver.recv(), Err(unmapped));
            assert_eq!(receiver.try_recv_into(&mut [0; SLAB]), Err(unmapped));
            assert_eq!(receiver.try_recv_in_place().err(), Some(unmapped));
            assert_eq!(receiver.drain(2, |_| {}), Err(unmapped));
        }
        fs::rename(aside(third), third).unwrap();
        let third = receiver.recv_in_place().unwrap();
        let mut seen = Vec::new();
        third.reader().read_to_end(&mut seen).unwrap();
        assert_eq!(seen, message(2));
        third.release();
        // The same for a sender, and it has lost no slab.
        drop(receiver);
        sender.leave();
        for slab in &slabs {
            let Object::File(path) = slab else { continue };
            fs::rename(path, aside(path)).unwrap();
        }
        let mut sender = again(&ring).sender().unwrap();
        let unmapped = SendError::Unmapped {
            errno: libc::ENOENT,
        };
        for _ in 0..2 * SLABS {
            assert_eq!(sender.try_send(&message(1)), Err(unmapped));
            assert_eq!(sender.send(&message(1)), Err(unmapped));
        }
        for slab in &slabs {
            let Object::File(path) = slab else { continue };
            fs::rename(aside(path), path).unwrap();
        }
        for number in 0..SLABS as u8 {
            sender.try_send(&message(number)).unwrap();
        }
        sender.leave();
    }
}

/// A message that cannot be read is no end of the ring: what lies before it is acknowledged when it is shown, and it can
/// be passed over, alone.
#[test]
fn a_message_whose_slab_cannot_be_mapped_can_be_passed_over() {
    let unmapped = RecvError::Unmapped {
        errno: libc::ENOENT,
    };
    for kind in KINDS {
        for bad in 0..SLABS as usize {
            let (ring, place) = ring(Backing::Shm, kind);
            let slabs = objects(&place);
            let Object::File(path) = &slabs[bad] else {
                panic!("{slabs:?}")
            };
            let mut sender = ring.sender().unwrap();
            let mut send = |from: u8| {
                for number in from..from + SLABS as u8 {
                    sender.try_send(&message(number)).unwrap();
                }
            };
            send(0);
            fs::rename(path, aside(path)).unwrap();
            let mut receiver = again(&ring).receiver().unwrap();
            let mut seen = Vec::new();
            let mut drain = |receiver: &mut ringway::Receiver| {
                let drained = receiver.drain(64, |view| seen.push(view.to_vec()));
                drained.map(|count| (count, std::mem::take(&mut seen)))
            };
            let expected = |numbers: std::ops::Range<usize>| -> Vec<_> {
                numbers.map(|n| message(n as u8)).collect()
            };
            if bad > 0 {
                // The one behind it is nobody's while it is not read.
                let mut backlog = receiver.backlog();
                for number in 0..bad {
                    let view = backlog.next_message().unwrap().unwrap();
                    assert_eq!(view.to_vec(), message(number as u8));
                }
                assert_eq!(backlog.next_message().unwrap_err(), unmapped, "{kind:?}");
                assert_eq!(backlog.release(), bad as u64, "{kind:?} {bad}");
            }
            assert_eq!(drain(&mut receiver), Err(unmapped), "{kind:?} {bad}");
            assert!(!receiver.is_drained());
            assert_eq!(receiver.skip_unreadable(), Ok(true), "{kind:?} {bad}");
            let rest = bad + 1..SLABS as usize;
            if !rest.is_empty() {
                assert_eq!(receiver.skip_unreadable(), Ok(false), "{kind:?} {bad}");
                let got = drain(&mut receiver);
                assert_eq!(
                    got,
                    Ok((rest.len(), expected(rest.clone()))),
                    "{kind:?} {bad}"
                );
            }
            assert_eq!(
                receiver.skip_unreadable(),
                Err(RecvError::Empty),
                "{kind:?} {bad}"
            );
            assert!(receiver.is_drained());
            let all = &ringway::inspect::stat(ring.address()).unwrap().slabs[0];
            assert_eq!(all.free, all.count, "{kind:?} {bad}");
            fs::rename(aside(path), path).unwrap();
            send(SLABS as u8);
            let whole = SLABS as usize..2 * SLABS as usize;
            assert_eq!(drain(&mut receiver), Ok((whole.len(), expected(whole))));
        }
    }
}

#[test]
fn what_is_sent_in_a_slab_is_not_taken_for_a_ring() {
    for backing in [Backing::Shm, Backing::File, Backing::SysvPrivate] {
        let (plain, inner) = Backing::Shm.ring(4096);
        let image = bytes::copy(&inner);
        assert_eq!(image.len(), SLAB);
        let (ring, place) = ring(backing, Kind::Spsc);
        let mut sender = ring.sender().unwrap();
        for _ in 0..SLABS {
            sender.try_send(&image).unwrap();
        }
        let mut found = ringway::inspect::list();
        if let Address::File(path) = ring.address() {
            found.extend(ringway::inspect::list_in(path.parent().unwrap()).unwrap());
        }
        assert!(found.contains(ring.address()) && found.contains(plain.address()));
        for slab in objects(&place) {
            let address = match slab {
                Object::File(path) if backing == Backing::File => Address::File(path),
                Object::File(path) => {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    Address::Shm(name.to_owned())
                }
                Object::Segment(id) => Address::Sysv(SysvKey::Id(id)),
            };
            assert!(!found.contains(&address), "{address}");
        }
        sender.leave();
    }
}

#[test]
fn slabs_of_several_lengths_hold_what_fits() {
    for backing in Backing::FOUND {
        let mut place = Place::new(backing);
        let builder = place
            .builder()
            .slabs(4096, 2)
            .slabs(1 << 20, 2)
            .slabs(65536, 1);
        let builder = builder.slab_segments(true).capacity(CAPACITY);
        let ring = builder.create().unwrap();
        place.address = ring.address().clone();
        let mut sender = ring.sender().unwrap().with_copy_limit(0);
        let mut receiver = again(&ring).receiver().unwrap();
        for len in [1 << 20, 65536, 4096, 4097, (1 << 20) - 1, 1, 1 << 20] {
            let message: Vec<u8> = (0..len).map(|at: usize| (at % 251) as u8).collect();
            sender.send(&message).unwrap();
            let found = receiver.recv_in_place().unwrap();
            let mut end = [0; 1];
            assert_eq!(found.read_at(len - 1, &mut end), 1);
            assert_eq!(end[0], ((len - 1) % 251) as u8);
            assert_eq!(found.read_at(len, &mut end), 0);
            assert!(found.to_vec() == message, "{len}");
            found.release();
        }
        sender.leave();
    }
}
