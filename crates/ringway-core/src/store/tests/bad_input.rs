//! Whatever lies at an address: a typed error, never a hang, never a crash.

use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, chown, symlink};

use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};

use super::process::run;
use super::*;
use crate::memory::layout::header::MAGIC;

/// A `shm:` and a `file:` address.
fn files() -> [Fixture; 2] {
    [Fixture::shm(), Fixture::file()]
}

/// What `open` says is what `open_or_create` says, and nothing is touched.
#[track_caller]
fn assert_refused(fixture: &Fixture, kind: ErrorKind) -> Error {
    let error = assert_fails(Segment::open(&fixture.request()), kind);
    assert_fails(Segment::open_or_create(&fixture.request(), &plan()), kind);
    assert_fails(View::open(&fixture.address), kind);
    assert!(fixture.exists());
    error
}

/// A ring whose bytes at an offset are others.
fn altered(fixture: &Fixture, at: u64, bytes: &[u8]) {
    Segment::create(&fixture.request(), &plan()).unwrap();
    let file = OpenOptions::new().write(true).open(fixture.path()).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

#[test]
fn foreign_files_are_left_alone() {
    for contents in [&[][..], &[7; 3], &[0; 255], &[0; 256], &[0xff; 100_000]] {
        for fixture in files() {
            std::fs::write(fixture.path(), contents).unwrap();
            assert_refused(&fixture, ErrorKind::NotARing);
            assert_fails(remove(&fixture.address), ErrorKind::NotARing);
            assert_eq!(std::fs::read(fixture.path()).unwrap(), contents);
        }
    }
}

#[test]
fn a_huge_file_of_nothing_is_refused_at_once() {
    for fixture in files() {
        let file = std::fs::File::create(fixture.path()).unwrap();
        file.set_len(8 << 40).unwrap();
        let request = Request {
            prefault: true,
            lock_memory: true,
            ..fixture.request()
        };
        assert_fails(Segment::open(&request), ErrorKind::NotARing);
    }
}

/// A header that tells the truth about a file without memory behind it.
#[test]
fn a_ring_of_holes_larger_than_the_machine_is_refused() {
    for fixture in files() {
        let plan = plan_of(1 << 42);
        let attempt = Attempt {
            action: "create",
            address: &fixture.address,
        };
        let header = new_header(attempt, &plan, boot_id::NONE).unwrap();
        let mut bytes = header.encode();
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        std::fs::write(fixture.path(), bytes).unwrap();
        let file = OpenOptions::new().write(true).open(fixture.path()).unwrap();
        file.set_len(plan.geometry.total_len()).unwrap();
        let result = Segment::open(&fixture.request());
        assert_fails(result, ErrorKind::InvalidCapacity);
    }
}

#[test]
fn holes_are_filled_when_a_ring_is_opened() {
    use std::os::unix::fs::MetadataExt;
    for fixture in files() {
        Segment::create(&fixture.request(), &plan()).unwrap();
        let start = std::fs::read(fixture.path()).unwrap()[..4096].to_vec();
        let file = std::fs::File::create(fixture.path()).unwrap();
        file.set_len(plan().geometry.total_len()).unwrap();
        file.write_all_at(&start, 0).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 < plan().geometry.total_len());
        Segment::open(&fixture.request()).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 >= plan().geometry.total_len());
    }
}

#[test]
fn another_version_is_incompatible() {
    use crate::memory::layout::header::LAYOUT_VERSION;
    // Every earlier one, and one to come.
    for version in (1..LAYOUT_VERSION).chain([99]) {
        for fixture in files() {
            altered(&fixture, 8, &version.to_le_bytes());
            let text = assert_refused(&fixture, ErrorKind::Incompatible).to_string();
            for said in [version, LAYOUT_VERSION] {
                assert!(text.contains(&format!("version {said}")), "{text}");
            }
            // It is ours, and may go.
            assert!(
                matches!(fixture.address, Address::File(_)) || list().contains(&fixture.address)
            );
            remove(&fixture.address).unwrap();
        }
    }
}

#[test]
fn another_machine_is_incompatible() {
    for fixture in files() {
        altered(&fixture, 16, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let error = assert_refused(&fixture, ErrorKind::Incompatible);
        assert!(error.to_string().contains("0x0807060504030201"), "{error}");
    }
}

#[test]
fn geometry_that_lies_is_corrupt() {
    let total = plan().geometry.total_len();
    for (at, value) in [
        (56, total + 1),
        (64, 0),
        (80, 0),
        (88, u64::MAX),
        (96, 3),
        (96, u64::MAX),
        (96, 1 << 63),
    ] {
        for fixture in files() {
            altered(&fixture, at, &value.to_le_bytes());
            assert_refused(&fixture, ErrorKind::Corrupt);
        }
    }
    for at in [12, 24, 28, 72, 76] {
        for fixture in files() {
            altered(&fixture, at, &u32::MAX.to_le_bytes());
            assert_refused(&fixture, ErrorKind::Corrupt);
        }
    }
}

#[test]
fn a_ring_that_was_cut_off_is_truncated() {
    let total = plan().geometry.total_len();
    for len in [total - 1, 4096, 256, 255, 8] {
        for fixture in files() {
            Segment::create(&fixture.request(), &plan()).unwrap();
            let file = OpenOptions::new().write(true).open(fixture.path()).unwrap();
            file.set_len(len).unwrap();
            assert_refused(&fixture, ErrorKind::Truncated);
            remove(&fixture.address).unwrap();
        }
    }
}

#[test]
fn a_ring_that_was_extended_is_used_as_far_as_it_goes() {
    for fixture in files() {
        Segment::create(&fixture.request(), &plan()).unwrap();
        let file = OpenOptions::new().write(true).open(fixture.path()).unwrap();
        file.set_len(1 << 40).unwrap();
        let request = Request {
            prefault: true,
            ..fixture.request()
        };
        let opened = Segment::open(&request).unwrap();
        assert_eq!(opened.map.len() as u64, plan().geometry.total_len());
    }
}

#[test]
fn links_directories_and_fifos_are_not_rings() {
    for fixture in files() {
        let target = Fixture::file();
        Segment::create(&target.request(), &plan()).unwrap();
        symlink(target.path(), fixture.path()).unwrap();
        assert_refused(&fixture, ErrorKind::NotARing);
        let result = Segment::create(&fixture.request(), &plan());
        assert_fails(result, ErrorKind::AlreadyExists);
        assert_fails(remove(&fixture.address), ErrorKind::NotARing);
        fixture.clean();

        symlink("/nowhere/at/all", fixture.path()).unwrap();
        assert_refused(&fixture, ErrorKind::NotARing);
        let result = Segment::create(&fixture.request(), &plan());
        assert_fails(result, ErrorKind::AlreadyExists);
        fixture.clean();

        std::fs::create_dir(fixture.path()).unwrap();
        assert_refused(&fixture, ErrorKind::NotARing);
        assert_fails(remove(&fixture.address), ErrorKind::NotARing);
        fixture.clean();

        mkfifo(&fixture.path(), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        assert_refused(&fixture, ErrorKind::NotARing);
        assert_fails(remove(&fixture.address), ErrorKind::NotARing);
        fixture.clean();

        let socket = std::os::unix::net::UnixListener::bind(fixture.path()).unwrap();
        assert_refused(&fixture, ErrorKind::NotARing);
        drop(socket);
    }
    let device = Address::File("/dev/null".into());
    assert_fails(Segment::open(&Request::new(&device)), ErrorKind::NotARing);
    let directory = Address::File("/tmp/".into());
    assert_fails(
        Segment::open(&Request::new(&directory)),
        ErrorKind::NotARing,
    );
    let root = Address::File("/".into());
    assert_fails(
        Segment::open(&Request::new(&root)),
        ErrorKind::InvalidAddress,
    );
    let under_a_file = Address::File("/dev/null/x".into());
    assert_fails(
        Segment::open(&Request::new(&under_a_file)),
        ErrorKind::NotFound,
    );
    assert_fails(
        Segment::create(&Request::new(&under_a_file), &plan()),
        ErrorKind::NotFound,
    );
}

#[test]
fn what_belongs_to_others_is_refused() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: only root can make files of others");
        return;
    }
    for fixture in named() {
        Segment::create(&fixture.request(), &plan()).unwrap();
        run("is another user's", &fixture.address);
        assert!(fixture.exists());
        remove(&fixture.address).unwrap();

        let request = Request {
            mode: 0o666,
            ..fixture.request()
        };
        Segment::create(&request, &plan()).unwrap();
        run("may be opened by all", &fixture.address);
        assert!(fixture.exists());
    }
    for fixture in files() {
        Segment::create(&fixture.request(), &plan()).unwrap();
        chown(fixture.path(), Some(65534), None).unwrap();
        let error = Segment::open(&fixture.request());
        let error = assert_fails(error, ErrorKind::ForeignOwner);
        assert!(error.to_string().contains("user 65534"), "{error}");
        let request = Request {
            any_owner: true,
            ..fixture.request()
        };
        Segment::open(&request).unwrap();
        // Looking is free.
        View::open(&fixture.address).unwrap();
    }
}
