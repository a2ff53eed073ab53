//! What others made is refused and left alone; what others put into a queue is skipped.

use std::time::{Duration, Instant};

use ringway::mq::{list, remove};
use ringway::{ErrorKind, RecvError};

use super::place::{Place, System};

fn foreign_queue(place: &Place, system: System) {
    match system {
        System::Posix => {
            let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
            // SAFETY: mq_attr is plain integers, for which zero is a value.
            let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
            attributes.mq_maxmsg = 2;
            attributes.mq_msgsize = 128;
            let name = place.name();
            // SAFETY: a C string, the flags, and the two arguments that O_CREAT asks for.
            let queue = unsafe { libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes) };
            assert!(queue >= 0);
            // SAFETY: just opened, and nobody else's.
            unsafe { libc::close(queue) };
        }
        System::Sysv | System::SysvInTurn => {
            // SAFETY: numbers only.
            let queue = unsafe { libc::msgget(place.key(), libc::IPC_CREAT | 0o600) };
            assert!(queue >= 0);
        }
    }
}

#[test]
fn queues_that_ringway_did_not_make_are_refused_and_left_alone() {
    for system in System::ALL {
        let place = Place::new(system);
        foreign_queue(&place, system);
        let errors = [
            place.builder().open().unwrap_err(),
            place.builder().create().unwrap_err(),
            place.builder().open_or_create().unwrap_err(),
            remove(&place.address, true).unwrap_err(),
            ringway::mq::stat(&place.address).unwrap_err(),
            ringway::mq::Gc::new().collect(&place.address).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotARing, "{error}");
        }
        assert!(!list().contains(&place.address));
        assert!(place.is_taken());
        if system != System::Posix {
            assert_eq!(place.ids().1, None, "a set was made beside it");
        }
    }
}

#[test]
fn queues_of_another_user_are_used_only_when_that_is_allowed() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can give a queue away.
        return;
    }
    for system in System::ALL {
        let (queue, place) = system.queue();
        give_away(&place, system);
        for error in [
            place.builder().open().unwrap_err(),
            place.builder().open_or_create().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::ForeignOwner, "{error}");
        }
        let again = place.builder().any_owner(true).open().unwrap();
        again.sender().unwrap().send(b"x").unwrap();
        assert_eq!(
            queue.receiver().unwrap().recv().unwrap(),
            b"x",
            "{system:?}"
        );
    }
}

fn give_away(place: &Place, system: System) {
    match system {
        System::Posix => {
            // SAFETY: a C string and flags that ask for no more arguments; then numbers.
            unsafe {
                let queue = libc::mq_open(place.name().as_ptr(), libc::O_RDWR);
                assert_eq!(libc::fchown(queue, 1, 1), 0);
                libc::close(queue);
            }
        }
        System::Sysv | System::SysvInTurn => {
            let id = place.ids().0.unwrap();
            let mut status = std::mem::MaybeUninit::<libc::msqid_ds>::uninit();
            // SAFETY: the kernel fills the record, and reads it again.
            unsafe {
                assert_eq!(libc::msgctl(id, libc::IPC_STAT, status.as_mut_ptr()), 0);
                (*status.as_mut_ptr()).msg_perm.uid = 1;
                assert_eq!(libc::msgctl(id, libc::IPC_SET, status.as_mut_ptr()), 0);
            }
        }
    }
}

#[test]
fn a_semaphore_set_that_ringway_did_not_make_is_refused_and_left_alone() {
    for (count, mode) in [
        (1, 0o600),
        (13, 0o711),
        (80, 0o600),
        (80, 0o711),
        (90, 0o711),
    ] {
        let place = Place::new(System::Sysv);
        // SAFETY: numbers only.
        let set = unsafe { libc::semget(place.key(), count, libc::IPC_CREAT | mode) };
        // SAFETY: SETVAL takes a number.
        assert!(set >= 0 && unsafe { libc::semctl(set, 0, libc::SETVAL, 7) } == 0);
        let ours = (count, mode) == (80, 0o711);
        match place.builder().create() {
            // It looks like one of ours whose creator has died; but nobody is counted without being alive.
            Ok(_) => assert!(ours),
            Err(error) => {
                assert!(!ours);
                assert_eq!(error.kind(), ErrorKind::NotARing, "{error}");
                assert_eq!(place.ids(), (None, Some(set)));
            }
        }
        // SAFETY: GETVAL takes no argument.
        assert_eq!(unsafe { libc::semctl(set, 0, libc::GETVAL) }, 7);
    }
}

#[test]
fn a_set_that_a_dying_remover_left_is_not_the_next_queues() {
    let place = Place::new(System::Sysv);
    let queue = place.builder().create().unwrap();
    let mut sender = queue.sender().unwrap();
    sender.send(b"x").unwrap();
    let (id, set) = place.ids();
    // SAFETY: IPC_RMID takes no memory of ours.
    unsafe { libc::msgctl(id.unwrap(), libc::IPC_RMID, std::ptr::null_mut()) };
    let queue = place.builder().create().unwrap();
    assert_ne!(place.ids().1, set);
    let mut receiver = queue.receiver().unwrap();
    assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    assert_eq!(ringway::mq::stat(&place.address).unwrap().senders, 0);
}

#[test]
fn what_others_put_into_a_queue_is_skipped_and_counted() {
    for system in System::ALL {
        let (mut sender, mut receiver, place) = system.ends();
        for text in [
            &b""[..],
            b"RWQ",
            b"RWQ\x01\x09\0\0\0\x01\0\0\0\0\0\0\0 and more",
        ] {
            put(&place, system, text);
            sender.send(b"ours").unwrap();
            assert_eq!(receiver.recv().unwrap(), b"ours", "{system:?}");
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        }
        assert_eq!(receiver.foreign(), 3, "{system:?}");
    }
}

#[test]
fn a_notice_for_which_nobody_waits_is_no_message() {
    for system in System::ALL {
        let (mut sender, mut receiver, place) = system.ends();
        put_notice(&place, system);
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{system:?}");
        put_notice(&place, system);
        let soon = Instant::now() + Duration::from_millis(20);
        let received = receiver.recv_deadline(soon);
        assert_eq!(received, Err(RecvError::TimedOut), "{system:?}");
        put_notice(&place, system);
        sender.send(b"ours").unwrap();
        assert_eq!(receiver.recv().unwrap(), b"ours", "{system:?}");
        assert_eq!(receiver.foreign(), 0, "{system:?}");
    }
}

pub fn put_notice(place: &Place, system: System) {
    let kind = match system {
        System::Posix => 33,
        System::Sysv | System::SysvInTurn => 1,
    };
    put_as(place, system, kind, b"");
}

fn put(place: &Place, system: System, text: &[u8]) {
    let kind = match system {
        System::Posix => 9,
        System::Sysv | System::SysvInTurn => 77,
    };
    put_as(place, system, kind, text);
}

/// With that priority, or of that type.
fn put_as(place: &Place, system: System, kind: u8, text: &[u8]) {
    match system {
        System::Posix => {
            // SAFETY: a C string and flags; then bytes that outlive the call.
            unsafe {
                let queue = libc::mq_open(place.name().as_ptr(), libc::O_WRONLY);
                let sent = libc::mq_send(queue, text.as_ptr().cast(), text.len(), kind.into());
                libc::close(queue);
                assert_eq!(sent, 0);
            }
        }
        System::Sysv | System::SysvInTurn => {
            let message = [&i64::from(kind).to_ne_bytes()[..], text].concat();
            let id = place.ids().0.unwrap();
            // SAFETY: a type and the text, which outlive the call.
            let sent = unsafe { libc::msgsnd(id, message.as_ptr().cast(), text.len(), 0) };
            assert_eq!(sent, 0);
        }
    }
}
