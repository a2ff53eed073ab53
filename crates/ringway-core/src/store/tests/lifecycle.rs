//! Create, open, wait, list, remove: on each backing.

use std::os::unix::fs::PermissionsExt;

use super::process::run;
use super::*;
use crate::memory::layout::header::{FILE_OFFSET, IPC_NAMESPACE_OFFSET};

#[test]
fn what_one_creates_another_opens() {
    for fixture in named() {
        let made = Segment::create(&fixture.request(), &plan()).unwrap();
        data_word(&made).store(5, Ordering::Release);
        let opened = Segment::open(&fixture.request()).unwrap();
        assert_eq!(opened.header, made.header);
        assert_eq!(opened.header.geometry, plan().geometry);
        assert_eq!(opened.address, fixture.address);
        assert_ne!(opened.map.base(), made.map.base());
        assert_eq!(data_word(&opened).load(Ordering::Acquire), 5);
        assert_eq!(
            opened.map.len() as u64,
            plan().geometry.total_len(),
            "{}",
            fixture.address
        );
    }
}

#[test]
fn a_new_segment_is_zero_but_for_its_header() {
    for fixture in named() {
        let made = Segment::create(&fixture.request(), &plan()).unwrap();
        let start = CREATION_LOCK_OFFSET;
        let zero = |at| made.map.word64(at).unwrap().load(Ordering::Relaxed) == 0;
        let rest = (start..made.map.len()).step_by(8);
        assert!(
            rest.filter(|at| !(FILE_OFFSET..IPC_NAMESPACE_OFFSET + 8).contains(at))
                .all(zero)
        );
    }
}

#[test]
fn a_second_create_is_refused_and_changes_nothing() {
    for fixture in named() {
        let made = Segment::create(&fixture.request(), &plan()).unwrap();
        let error = Segment::create(&fixture.request(), &plan_of(128 << 10));
        let error = assert_fails(error, ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("ringway rm"), "{error}");
        let opened = Segment::open(&fixture.request()).unwrap();
        assert_eq!(opened.header, made.header);
    }
}

#[test]
fn open_or_create_creates_once() {
    for fixture in named() {
        let (made, created) = Segment::open_or_create(&fixture.request(), &plan()).unwrap();
        assert!(created);
        let (opened, created) = Segment::open_or_create(&fixture.request(), &plan()).unwrap();
        assert!(!created);
        assert_eq!(opened.header, made.header);
    }
}

#[test]
fn what_is_absent_is_not_found() {
    for fixture in named() {
        assert_fails(Segment::open(&fixture.request()), ErrorKind::NotFound);
        assert_fails(View::open(&fixture.address), ErrorKind::NotFound);
        assert_fails(remove(&fixture.address), ErrorKind::NotFound);
    }
    let nowhere = Address::File("/nowhere/at/all".into());
    assert_fails(Segment::open(&Request::new(&nowhere)), ErrorKind::NotFound);
    let error = Segment::create(&Request::new(&nowhere), &plan());
    let error = assert_fails(error, ErrorKind::NotFound);
    assert!(error.to_string().contains("/nowhere/at"), "{error}");
}

#[test]
fn a_relative_path_works() {
    let name = format!("ringway-test-relative-{}", std::process::id());
    let fixture = Fixture::at(Address::File(name.into()));
    Segment::create(&fixture.request(), &plan()).unwrap();
    Segment::open(&fixture.request()).unwrap();
}

#[test]
fn sysv_private_gets_an_address() {
    let private = Address::Sysv(SysvKey::Private);
    let (made, created) = Segment::open_or_create(&Request::new(&private), &plan()).unwrap();
    let fixture = Fixture {
        address: made.address.clone(),
    };
    assert!(created);
    assert!(matches!(fixture.address, Address::Sysv(SysvKey::Id(_))));
    let opened = Segment::open(&fixture.request()).unwrap();
    assert_eq!(opened.header, made.header);
    let error = Segment::create(&fixture.request(), &plan());
    assert_fails(error, ErrorKind::Unsupported);
    let error = Segment::open(&Request::new(&private));
    assert_fails(error, ErrorKind::Unsupported);
}

#[test]
fn sysv_by_ftok() {
    let file = Fixture::file();
    let address = Address::Sysv(SysvKey::Ftok {
        path: file.path(),
        id: 7,
    });
    let error = Segment::open(&Request::new(&address));
    let error = assert_fails(error, ErrorKind::InvalidAddress);
    assert!(
        error
            .to_string()
            .contains(&file.path().display().to_string()),
        "{error}"
    );
    std::fs::write(file.path(), "").unwrap();
    let made = Segment::create(&Request::new(&address), &plan()).unwrap();
    let key = crate::sys::ftok::key(&file.path(), 7).unwrap();
    let by_key = Fixture {
        address: Address::Sysv(SysvKey::Key(key)),
    };
    let opened = Segment::open(&by_key.request()).unwrap();
    assert_eq!(opened.header, made.header);
}

#[test]
fn memfd_is_anonymous_and_sealed() {
    let request = Request::new(&Address::Memfd);
    let (first, created) = Segment::open_or_create(&request, &plan()).unwrap();
    let second = Segment::create(&request, &plan()).unwrap();
    assert!(created);
    assert_ne!(first.header.nonce, second.header.nonce);
    let file = std::fs::File::from(first.file.unwrap());
    assert_eq!(
        file.set_len(0).unwrap_err().raw_os_error(),
        Some(libc::EPERM)
    );
    assert_eq!(
        file.set_len(1 << 30).unwrap_err().raw_os_error(),
        Some(libc::EPERM)
    );
    assert_fails(Segment::open(&request), ErrorKind::Unsupported);
    assert_fails(View::open(&Address::Memfd), ErrorKind::Unsupported);
    assert_fails(remove(&Address::Memfd), ErrorKind::Unsupported);
}

#[test]
fn the_mode_is_exact_under_a_umask() {
    for fixture in named() {
        run("make under a umask", &fixture.address);
        let mode = match fixture.address {
            Address::Sysv(_) => shmget::status(fixture.id()).unwrap().mode,
            _ => fixture.path().metadata().unwrap().permissions().mode() & 0o7777,
        };
        assert_eq!(mode, 0o640, "{}", fixture.address);
    }
}

#[test]
fn prefaulted_and_locked_segments_work() {
    for fixture in named() {
        let request = Request {
            prefault: true,
            lock_memory: true,
            ..fixture.request()
        };
        Segment::create(&request, &plan()).unwrap();
        Segment::open(&request).unwrap();
    }
}

#[test]
fn an_open_that_waits_gets_what_appears() {
    for fixture in named() {
        let request = Request {
            wait: Some(Duration::from_secs(60)),
            ..fixture.request()
        };
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Segment::open(&request).unwrap());
            std::thread::sleep(Duration::from_millis(20));
            let made = Segment::create(&fixture.request(), &plan()).unwrap();
            assert_eq!(waiting.join().unwrap().header, made.header);
        });
    }
}

#[test]
fn an_open_that_waits_outlasts_a_directory_that_is_not_there_yet_or_not_any_more() {
    /// Removed at the end, whatever is in it.
    struct Top(PathBuf);
    impl Drop for Top {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
    let name = format!("ringway-test-{}-{}", std::process::id(), unique());
    let top = Top(std::env::temp_dir().join(name));
    let directory = top.0.join("not/there/yet");
    let address = Address::File(directory.join("ring"));
    let request = Request {
        wait: Some(Duration::from_secs(60)),
        ..Request::new(&address)
    };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Segment::open(&request).unwrap());
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(20));
            std::fs::create_dir_all(&directory).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            std::fs::remove_dir_all(&top.0).unwrap();
        }
        std::fs::create_dir_all(&directory).unwrap();
        let made = Segment::create(&Request::new(&address), &plan()).unwrap();
        assert_eq!(waiting.join().unwrap().header, made.header);
    });
    let nowhere = Address::File(top.0.join("no/directory/ring"));
    let request = Request {
        wait: Some(Duration::from_millis(20)),
        ..Request::new(&nowhere)
    };
    let error = assert_fails(Segment::open(&request), ErrorKind::TimedOut);
    assert!(error.to_string().contains("directory"), "{error}");
}

#[test]
fn an_open_that_waits_in_vain_times_out() {
    for fixture in named() {
        let request = Request {
            wait: Some(Duration::from_millis(20)),
            ..fixture.request()
        };
        assert_fails(Segment::open(&request), ErrorKind::TimedOut);
    }
}

#[test]
fn a_view_reads_and_does_not_write() {
    for fixture in named() {
        let made = Segment::create(&fixture.request(), &plan()).unwrap();
        data_word(&made).store(9, Ordering::Release);
        let view = View::open(&fixture.address).unwrap();
        assert_eq!(view.header(), &made.header);
        assert_eq!(view.address(), &fixture.address);
        let at = plan().geometry.data_offset() as usize;
        assert_eq!(view.load64(at), Some(9));
        assert_eq!(view.load32(at), Some(9));
        let end = made.map.len();
        assert_eq!(view.load64(end - 8), Some(0));
        for (offset, aligned) in [
            (end, true),
            (end - 4, false),
            (usize::MAX - 7, true),
            (3, false),
        ] {
            assert_eq!(view.load64(offset), None, "{offset} {aligned}");
        }
        assert_eq!(view.load32(end), None);
    }
}

#[test]
fn what_is_finished_is_listed_until_it_is_removed() {
    let [shm, file, sysv] = named();
    for fixture in [&shm, &file, &sysv] {
        Segment::create(&fixture.request(), &plan()).unwrap();
    }
    let foreign = Fixture::shm();
    std::fs::write(foreign.path(), [1; 8192]).unwrap();
    let listed = list();
    assert!(listed.contains(&shm.address));
    assert!(listed.contains(&sysv.address));
    assert!(!listed.contains(&foreign.address));
    for fixture in [&shm, &file, &sysv] {
        let attached = Segment::open(&fixture.request()).unwrap();
        remove(&fixture.address).unwrap();
        assert!(!fixture.exists());
        // Who has it goes on.
        data_word(&attached).store(1, Ordering::Relaxed);
    }
    let listed = list();
    assert!(!listed.contains(&shm.address));
    assert!(!listed.contains(&sysv.address));
}
