//! What lies in the place of a slab, and is none.

use super::*;

const FILE_LIES: [(&str, FileLie); 9] = [
    ("cut off", |slab, _| cut(slab, 0)),
    ("without its last page", |slab, _| cut(slab, SLAB)),
    ("longer", |slab, _| cut(slab, SEGMENT + 4096)),
    ("another slab", |slab, other| {
        fs::copy(other, slab).unwrap();
    }),
    ("another ring's", |slab, _| {
        overwrite(slab, SLAB + 16, &[0x5a; 16])
    }),
    ("another magic", |slab, _| {
        overwrite(slab, SLAB, b"RINGWAY\n")
    }),
    ("a link", |slab, other| {
        fs::remove_file(slab).unwrap();
        symlink(other, slab).unwrap();
    }),
    ("a FIFO", |slab, _| {
        fs::remove_file(slab).unwrap();
        mkfifo(slab, Mode::S_IRWXU).unwrap();
    }),
    ("a directory", |slab, _| {
        fs::remove_file(slab).unwrap();
        fs::create_dir(slab).unwrap();
    }),
];

fn cut(path: &Path, len: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len as u64).unwrap();
}

fn overwrite(path: &Path, at: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at as u64).unwrap();
}

#[test]
fn a_file_that_is_not_the_slab_is_refused() {
    for backing in [Backing::Shm, Backing::File] {
        for kind in KINDS {
            for (what, lie) in FILE_LIES {
                let (ring, place) = ring(backing, kind);
                let slabs = objects(&place);
                let [Object::File(slab), Object::File(other), _] = &slabs[..] else {
                    panic!("{slabs:?}");
                };
                // Mapped by the sender, and not by those that open the ring again.
                let mut sender = ring.sender().unwrap();
                sender.send(&message(1)).unwrap();
                lie(slab, other);
                let mut receiver = again(&ring).receiver().unwrap();
                assert_eq!(receiver.recv(), Err(RecvError::Corrupt), "{what}");
                assert_eq!(receiver.try_recv(), Err(RecvError::Corrupt), "{what}");
                drop(receiver);
                // The sender has slab 0, so that another one finds it free only when that is gone.
                sender.leave();
                let mut sender = again(&ring).sender().unwrap();
                sender.try_send(&message(2)).unwrap();
                remove_whatever(slab);
            }
        }
    }
}

/// Directories are not what a ring's removal expects.
fn remove_whatever(path: &Path) {
    let _ = fs::remove_dir(path);
    let _ = fs::remove_file(path);
}

#[test]
fn a_sender_is_not_lent_what_is_not_the_slab() {
    for kind in KINDS {
        for (what, lie) in FILE_LIES {
            let (ring, place) = ring(Backing::Shm, kind);
            let slabs = objects(&place);
            let [Object::File(slab), Object::File(other), _] = &slabs[..] else {
                panic!("{slabs:?}");
            };
            lie(slab, other);
            let mut sender = ring.sender().unwrap();
            assert_eq!(
                sender.try_send(&message(1)),
                Err(SendError::Corrupt),
                "{what}"
            );
            assert_eq!(sender.send(&message(1)), Err(SendError::Corrupt), "{what}");
            sender.leave();
            let stat = ringway::inspect::stat(ring.address()).unwrap();
            assert_eq!(stat.slabs[0].free, SLABS, "{what}");
            remove_whatever(slab);
        }
    }
}

/// A System V segment that is not ringway's. Removed when dropped.
struct Foreign(i32);

impl Foreign {
    fn new(len: usize) -> Self {
        // SAFETY: a call with three numbers.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, len, 0o600) };
        assert!(id >= 0);
        Self(id)
    }

    fn address(&self) -> Address {
        Address::Sysv(SysvKey::Id(self.0))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: takes no memory of ours.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

#[test]
fn a_table_that_lies_is_refused_and_nothing_foreign_is_written_or_removed() {
    for kind in KINDS {
        let foreign = [SEGMENT, SLAB, SEGMENT + 4096].map(Foreign::new);
        let gone = Foreign::new(SEGMENT).0;
        let (ring, place) = ring(Backing::SysvKey, kind);
        let slabs = objects(&place);
        let id_of = |nth: usize| match &slabs[nth] {
            Object::Segment(id) => *id,
            file => panic!("{file:?}"),
        };
        let Address::Sysv(key) = ring.address() else {
            panic!("{}", ring.address())
        };
        let own = shmid(key).unwrap();
        let entry = |id: i32| id as u64 + 1;
        let at = table(&place) as u64;
        let mut lies = vec![(0, true), (u64::MAX, true), (1 << 32, true)];
        lies.extend([id_of(1), own].map(|id| (entry(id), true)));
        lies.extend(foreign.iter().map(|foreign| (entry(foreign.0), true)));
        lies.push((entry(gone), false));
        for (lie, is_corrupt) in lies {
            bytes::forge(&place, at, &lie.to_le_bytes());
            let mut sender = again(&ring).sender().unwrap();
            match sender.try_send(&message(1)) {
                Err(SendError::Corrupt) if is_corrupt => {}
                Err(SendError::Unmapped { .. }) if !is_corrupt => {}
                sent => panic!("{lie:#x}: {sent:?}"),
            }
            sender.leave();
        }
        // Nor when the ring goes.
        bytes::forge(&place, at, &entry(foreign[0].0).to_le_bytes());
        drop(ring);
        ringway::remove(&place.address, true).unwrap();
        assert!(!slabs[1].exists() && !slabs[2].exists());
        for foreign in &foreign {
            let place = Place::at(foreign.address());
            assert!(bytes::copy(&place).iter().all(|byte| *byte == 0));
        }
        // Slab 0, which nobody lists any more, is garbage now.
        assert!(slabs[0].exists());
        drop(Foreign(id_of(0)));
    }
}
