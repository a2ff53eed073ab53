//! A second process: this test binary, started again at the entry below.

use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};
use nix::unistd::{Uid, setresuid};

use super::*;
use crate::presence::keeper;
use crate::store::ids::HALF_MADE;
use crate::testing::test_name;
use crate::waiting::sync::semaphore_set::Home;

const PLAY: &str = "RINGWAY_TEST_PLAY";
const AT: &str = "RINGWAY_TEST_AT";

/// How the harness names what other processes run.
pub(crate) fn entry_name() -> &'static str {
    test_name!(entry)
}

/// Runs `play` at `address` in another process.
pub(super) fn command(play: &str, address: &Address) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", entry_name(), "--ignored"])
        .args(["--nocapture", "--test-threads=1"])
        .env(PLAY, play)
        .env(AT, address.to_string())
        .stdin(Stdio::null());
    command
}

/// Runs `play` to its end, which must be a good one.
pub(super) fn run(play: &str, address: &Address) {
    let output = command(play, address).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

/// Runs `play`, which ends in the death of the process.
pub(super) fn run_to_death(play: &str, address: &Address) {
    use std::os::unix::process::ExitStatusExt;
    let output = command(play, address).output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{output:?}");
}

#[test]
#[ignore = "the second process of other tests"]
fn entry() {
    let (Ok(play), Ok(at)) = (std::env::var(PLAY), std::env::var(AT)) else {
        return;
    };
    let address: Address = at.parse().unwrap();
    let fixture = std::mem::ManuallyDrop::new(Fixture { address });
    let request = fixture.request();
    match play.as_str() {
        "die before the lock" => {
            half_made_segment(&fixture, &plan());
            die();
        }
        "die holding the lock" => {
            let attached = half_made_segment(&fixture, &plan());
            let claim = keeper::take_creation_lock(&attached.map, 0).unwrap();
            let attempt = Attempt {
                action: "create",
                address: request.address,
            };
            let header = new_header(attempt, &plan(), boot_id::NONE).unwrap();
            let plan = typed_plan();
            write_header(&attached.map, &header, &plan).unwrap();
            // What is left of the cells of another kind of ring.
            let at = header.geometry.data_offset() as usize;
            let word = attached.map.word64(at).unwrap();
            word.store(u64::MAX, Ordering::Relaxed);
            die();
            drop(claim);
        }
        "die before the magic" => {
            let plan = locked_plan();
            let attached = half_made_segment(&fixture, &plan);
            let _claim = keeper::take_creation_lock(&attached.map, 0).unwrap();
            let attempt = Attempt {
                action: "create",
                address: request.address,
            };
            let header = new_header(attempt, &plan, boot_id::NONE).unwrap();
            write_header(&attached.map, &header, &plan).unwrap();
            let access = Access::of_sysv(&attached.status);
            let home = Home::Sysv { id: attached.id };
            crate::waiting::sync::create(attempt, &attached.map, &header, access, home).unwrap();
            die();
        }
        "hold the lock" => {
            let attached = half_made_segment(&fixture, &plan());
            let _claim = keeper::take_creation_lock(&attached.map, 0).unwrap();
            println!("held");
            std::thread::sleep(Duration::from_secs(60));
        }
        "take over from stdin" => {
            // SAFETY: the parent has made descriptor 0 a socket, and nobody else here uses it.
            let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) });
            let (segment, peer) =
                Segment::take_over(&Request::new(&Address::Memfd), &socket).unwrap();
            assert_eq!(peer.pid, std::os::unix::process::parent_id() as i32);
            assert_eq!(data_word(&segment).load(Ordering::Acquire), 11);
            data_word(&segment).store(22, Ordering::Release);
        }
        "is another user's" => {
            let nobody = Uid::from_raw(65534);
            setresuid(nobody, nobody, nobody).unwrap();
            assert_fails(Segment::open(&request), ErrorKind::PermissionDenied);
            let _ = remove(&fixture.address).unwrap_err();
        }
        "may be opened by all" => {
            let nobody = Uid::from_raw(65534);
            setresuid(nobody, nobody, nobody).unwrap();
            // Root's are trusted.
            Segment::open(&request).unwrap();
            assert_fails(remove(&fixture.address), ErrorKind::ForeignOwner);
        }
        "make under a umask" => {
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
            let request = Request {
                mode: 0o640,
                ..request
            };
            Segment::create(&request, &plan()).unwrap();
        }
        "small files only" => {
            setrlimit(Resource::RLIMIT_FSIZE, 4096, 4096).unwrap();
            let error = assert_fails(Segment::create(&request, &plan()), ErrorKind::NoSpace);
            assert!(error.to_string().contains("ulimit -f"), "{error}");
        }
        "no descriptors" => {
            setrlimit(Resource::RLIMIT_NOFILE, 3, 3).unwrap();
            let result = Segment::create(&request, &plan());
            let error = assert_fails(result, ErrorKind::NoSpace);
            assert!(error.to_string().contains("ulimit -n"), "{error}");
        }
        "a small /dev/shm" => {
            if private(CloneFlags::CLONE_NEWNS).is_none() || !mount_over("/dev/shm", "size=1M") {
                return;
            }
            let error = assert_fails(
                Segment::create(&request, &plan_of(1 << 20)),
                ErrorKind::InvalidCapacity,
            );
            assert!(
                error.to_string().contains("/dev/shm has 1 MiB in all"),
                "{error}"
            );
            let half = Segment::create(&request, &plan_of(512 << 10)).unwrap();
            let other = Address::Shm("ringway-test-other".to_owned());
            let error = assert_fails(
                Segment::create(&Request::new(&other), &plan_of(512 << 10)),
                ErrorKind::NoSpace,
            );
            assert!(
                error
                    .to_string()
                    .contains("/dev/shm has 508 KiB left, the ring needs 516 KiB"),
                "{error}"
            );
            drop(half);
            let names = std::fs::read_dir("/dev/shm").unwrap().count();
            assert_eq!(names, 1);
        }
        "no /proc" => {
            if private(CloneFlags::CLONE_NEWNS).is_none() || !mount_over("/proc", "size=1M") {
                return;
            }
            let made = Segment::create(&request, &plan()).unwrap();
            assert_eq!(Segment::open(&request).unwrap().header, made.header);
            remove(&fixture.address).unwrap();
            let file = Address::File(std::env::temp_dir().join("ringway-test-no-proc"));
            let error = Segment::create(&Request::new(&file), &plan());
            let error = assert_fails(error, ErrorKind::Unsupported);
            assert!(error.to_string().contains("mount /proc"), "{error}");
        }
        "few System V segments" => {
            if private(CloneFlags::CLONE_NEWIPC).is_none() {
                return;
            }
            let set = |name: &str, value: &str| {
                std::fs::write(format!("/proc/sys/kernel/{name}"), value).unwrap();
            };
            set("shmmax", "8192");
            let result = Segment::create(&request, &plan());
            let error = assert_fails(result, ErrorKind::InvalidCapacity);
            assert!(
                error
                    .to_string()
                    .contains("a segment may have 8 KiB (shmmax)"),
                "{error}"
            );
            set("shmmax", "1000000000");
            set("shmall", "4");
            let result = Segment::create(&request, &plan());
            let error = assert_fails(result, ErrorKind::NoSpace);
            assert!(
                error.to_string().contains("16 KiB in all (shmall)"),
                "{error}"
            );
            set("shmall", "100000");
            set("shmmni", "0");
            let result = Segment::create(&request, &plan());
            let error = assert_fails(result, ErrorKind::NoSpace);
            assert!(error.to_string().contains("0 segments (shmmni)"), "{error}");
        }
        "segments that go when they are left" => {
            if private(CloneFlags::CLONE_NEWIPC).is_none() {
                return;
            }
            let set = |value: &str| std::fs::write("/proc/sys/kernel/shm_rmid_forced", value);
            let made = Segment::create(&request, &plan()).unwrap();
            set("1").unwrap();
            let error = assert_fails(Segment::open(&request), ErrorKind::Unsupported);
            assert!(error.to_string().contains("shm_rmid_forced"), "{error}");
            let other = Address::Sysv(SysvKey::Key(fixture.key() as u32 ^ 0x4000_0000));
            let other = Request::new(&other);
            let error = assert_fails(Segment::create(&other, &plan()), ErrorKind::Unsupported);
            assert!(error.to_string().contains("shm_rmid_forced=0"), "{error}");
            assert_fails(
                Segment::open_or_create(&other, &plan()),
                ErrorKind::Unsupported,
            );
            // The creator lives, and nobody has it attached: who looks must not be the last to leave it.
            set("0").unwrap();
            drop(made);
            let id = fixture.id();
            // (Setting it removes those whose creator is gone.)
            set("1").unwrap();
            list();
            assert!(View::open(&fixture.address).is_err());
            set("0").unwrap();
            assert_eq!(fixture.id(), id);
            Segment::open(&request).unwrap();
        }
        _ => panic!("{play}"),
    }
}

pub(super) fn half_made_segment(
    fixture: &Fixture,
    plan: &Plan,
) -> crate::store::attached::Attached {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | (0o600 | HALF_MADE) as libc::c_int;
    let id = shmget::get(fixture.key(), plan.geometry.total_len() as usize, flags).unwrap();
    let attempt = Attempt {
        action: "create",
        address: &fixture.address,
    };
    crate::store::attached::Attached::new(attempt, id, shmget::status(id).unwrap()).unwrap()
}

/// Moves this process into namespaces of its own, so that what it changes is its own; `None` where it
/// may not.
fn private(flags: CloneFlags) -> Option<()> {
    match unshare(flags) {
        Ok(()) => Some(()),
        Err(errno) => {
            eprintln!("skipped: no namespace of its own ({errno})");
            None
        }
    }
}

fn mount_over(directory: &str, options: &str) -> bool {
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).status();
        status.is_ok_and(|status| status.success())
    };
    let done = mount(&["--make-rprivate", "/"])
        && mount(&["-t", "tmpfs", "-o", options, "none", directory]);
    if !done {
        eprintln!("skipped: nothing can be mounted");
    }
    done
}

fn die() {
    raise(Signal::SIGKILL).unwrap();
}
