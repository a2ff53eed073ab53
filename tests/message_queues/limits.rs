//! The kernel's limits and a queue's mode, changed by others while it is in use.

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, geteuid, setresuid};
use ringway::mq::{QueueBuilder, list, remove};
use ringway::{ErrorKind, RecvError, SendError};

use super::place::{Place, System};
use super::two_processes::{First, Second};

/// Runs a test in a thread that has System V limits of its own, if this process may make such a thread.
fn with_own_limits(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match unshare(CloneFlags::CLONE_NEWIPC) {
            Ok(()) => test(),
            Err(errno) => eprintln!("not tried: no IPC namespace of one's own ({errno})"),
        });
        thread.join().unwrap();
    });
}

fn set_limit(name: &str, value: u64) {
    std::fs::write(format!("/proc/sys/kernel/{name}"), value.to_string()).unwrap();
}

#[test]
fn a_message_that_is_longer_than_a_limit_by_now_is_too_large_and_the_queue_goes_on() {
    for system in [System::Sysv, System::SysvInTurn] {
        with_own_limits(|| {
            let (queue, _place) = system.queue();
            let mut sender = queue.sender().unwrap();
            let mut receiver = queue.receiver().unwrap();
            set_limit("msgmax", 64);
            let refused = Err(SendError::TooLarge { len: 49, max: 48 });
            assert_eq!(sender.try_send(&[7; 49]), refused, "{system:?}");
            assert_eq!(sender.send(&[7; 49]), refused, "{system:?}");
            sender.send(&[7; 48]).unwrap();
            assert_eq!(receiver.recv().unwrap(), [7; 48]);
            set_limit("msgmax", 8192);
            sender.send(&[7; 49]).unwrap();
            assert_eq!(receiver.recv().unwrap(), [7; 49], "{system:?}");
        });
    }
}

#[test]
fn a_message_longer_than_the_receiver_knew_that_there_could_be_arrives() {
    with_own_limits(|| {
        let (queue, _place) = System::Sysv.queue();
        set_limit("msgmax", 64);
        let mut receiver = queue.receiver().unwrap();
        set_limit("msgmax", 8192);
        let long = [7; 100];
        queue.sender().unwrap().send(&long).unwrap();
        assert_eq!(receiver.recv().unwrap(), long);
        assert_eq!(receiver.recv(), Err(RecvError::Closed));
    });
}

#[test]
fn a_queue_whose_mode_was_set_as_a_number_is_ringways_while_somebody_is_attached() {
    let (queue, place) = System::Posix.queue();
    let chmod = |mode| {
        // SAFETY: a C string and flags that ask for no more arguments; then numbers.
        unsafe {
            let queue = libc::mq_open(place.name().as_ptr(), libc::O_RDWR);
            assert!(queue >= 0 && libc::fchmod(queue, mode) == 0);
            libc::close(queue);
        }
    };
    let mut sender = queue.sender().unwrap();
    chmod(0o660);
    assert!(list().contains(&place.address));
    let again = place.builder().open().unwrap();
    let mut receiver = again.receiver().unwrap();
    sender.send(b"x").unwrap();
    assert_eq!(receiver.recv().unwrap(), b"x");
    drop((sender, receiver));
    // Who attached has given it its mark back.
    place.builder().open().unwrap();
    chmod(0o660);
    for error in [
        place.builder().open().unwrap_err(),
        remove(&place.address, true).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotARing, "{error}");
        assert!(error.to_string().contains("chmod +t"), "{error}");
    }
    chmod(0o1660);
    remove(&place.address, false).unwrap();
}

#[test]
fn a_system_v_queue_is_known_by_its_set_when_its_mode_was_changed() {
    for (system, priorities) in [(System::Sysv, true), (System::SysvInTurn, false)] {
        let (queue, place) = system.queue();
        let id = place.ids().0.unwrap();
        let mut status = std::mem::MaybeUninit::<libc::msqid_ds>::uninit();
        // SAFETY: the kernel fills the record, and reads it again.
        unsafe {
            assert_eq!(libc::msgctl(id, libc::IPC_STAT, status.as_mut_ptr()), 0);
            (*status.as_mut_ptr()).msg_perm.mode = 0o660;
            assert_eq!(libc::msgctl(id, libc::IPC_SET, status.as_mut_ptr()), 0);
        }
        let again = place.builder().open().unwrap();
        assert_eq!(again.has_priorities(), priorities);
        again.sender().unwrap().send(b"x").unwrap();
        assert_eq!(queue.receiver().unwrap().recv().unwrap(), b"x");
        remove(&place.address, false).unwrap();
    }
}

/// Attaches where this process has no descriptor left, then where its user has no inotify instance left, and says what
/// it is told: the kernel says EMFILE of both.
pub fn run_out(first: &First) {
    let queue = QueueBuilder::at(first.address().clone()).open().unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // One descriptor, by which the queue is opened once more, and none to watch it by.
    let next = File::open("/").unwrap().as_raw_fd() as u64;
    setrlimit(Resource::RLIMIT_NOFILE, next + 1, hard).unwrap();
    let refused = queue.sender().unwrap_err();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    first.say(refused);
    // A user of its own, so that it takes nobody's instances.
    let alone = Uid::from_raw(1_000_000 + std::process::id());
    if !geteuid().is_root() || setresuid(alone, alone, alone).is_err() {
        return first.say("not tried");
    }
    // SAFETY: a call with a number; the descriptors go with this process.
    while unsafe { libc::inotify_init1(libc::IN_CLOEXEC) } >= 0 {}
    match File::open("/") {
        Ok(_) => first.say(queue.sender().unwrap_err()),
        Err(_) => first.say("not tried"),
    }
}

#[test]
fn of_two_limits_with_one_errno_the_error_names_the_one_that_was_met() {
    let place = Place::new(System::Posix);
    let _queue = place.builder().mode(0o666).create().unwrap();
    let second = Second::start_at("run out", &place.address);
    let says = |text: &str, words: &[&str], others: &str| {
        for word in words {
            assert!(text.contains(word), "{text}");
        }
        assert!(!text.contains(others), "{text}");
    };
    let descriptors = ["inotify_init1", "EMFILE", "ulimit -n"];
    says(&second.hear(), &descriptors, "instances");
    let heard = second.hear();
    if heard == "not tried" {
        return println!(
            "skipped: this user cannot be another one, or has more instances than descriptors"
        );
    }
    let instances = ["inotify_init1", "EMFILE", "fs.inotify.max_user_instances"];
    says(&heard, &instances, "ulimit");
    second.finish();
}
