//! Slabs in reserved huge pages carry messages, in the ring's segment and in segments of their own; where too few are
//! reserved, an error says how many it takes, and nothing is left. What could not be tried is printed as skipped.

use std::path::PathBuf;

use ringway::{Address, Error, ErrorKind, Kind};
use ringway_testing::place::{Backing, Place, again};

const SLAB: usize = 1 << 20;
const SLABS: u32 = 2;

/// Makes a ring with slabs, and uses them all; or the error of making it.
fn try_slabs(mut place: Place, kind: Kind, apart: bool) -> Result<(), Error> {
    let builder = place.builder().kind(kind).huge_pages(true);
    let builder = builder.slabs(SLAB as u64, SLABS).slab_segments(apart);
    let ring = builder.create().inspect_err(|_| {
        if !matches!(place.address, Address::Memfd | Address::Sysv(_)) {
            assert!(!place.is_taken());
        }
    })?;
    place.address = ring.address().clone();
    if place.address != Address::Memfd {
        let other = place.builder().huge_pages(false).open().unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Incompatible, "{other}");
        place.builder().huge_pages(true).open().unwrap();
    }
    let peer = again(&ring);
    let (mut sender, mut receiver) = (ring.sender()?, peer.receiver()?);
    for number in 0..2 * SLABS as u8 {
        sender.send(&vec![number; SLAB]).unwrap();
        let message = receiver.recv_in_place().unwrap();
        assert!(message.to_vec().iter().all(|byte| *byte == number));
        message.release();
    }
    Ok(())
}

fn works_or_says_why(what: &str, place: Place, apart: bool) {
    for kind in [Kind::Spsc, Kind::Mpmc] {
        let place = Place::at(place.address.clone());
        match try_slabs(place, kind, apart) {
            Ok(()) => println!("{what}: works"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{what}: {error}");
                assert!(error.next_step().contains("vm.nr_hugepages="), "{error}");
                println!("skipped: {what}: {error}");
            }
        }
    }
}

#[test]
fn slabs_in_the_ring_lie_in_huge_pages() {
    works_or_says_why("memfd:", Place::new(Backing::Memfd), false);
    works_or_says_why("sysv:", Place::new(Backing::SysvPrivate), false);
}

#[test]
fn slabs_of_system_v_lie_in_huge_pages() {
    works_or_says_why("sysv: apart", Place::new(Backing::SysvPrivate), true);
    works_or_says_why("sysv: apart, by key", Place::new(Backing::SysvKey), true);
}

#[test]
fn slabs_in_files_lie_in_huge_pages() {
    let Some(directory) = hugetlbfs() else {
        return println!("skipped: no hugetlbfs is mounted");
    };
    for apart in [false, true] {
        let name = format!("ringway-test-{}-{apart}", std::process::id());
        let place = Place::at(Address::File(directory.join(name)));
        works_or_says_why("file: on hugetlbfs", place, apart);
    }
}

fn hugetlbfs() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, filesystem) = (fields.next()?, fields.next()?);
        (filesystem == "hugetlbfs").then(|| PathBuf::from(path))
    })
}
