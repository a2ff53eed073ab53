//! Who chose the lock does not choose whom it is turned against: a lock of the C library's is used only in memory
//! that nobody but oneself and root can write, or by who says that all others are trusted.

mod two_processes;

use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use nix::unistd::geteuid;
use ringway::inspect::stat;
use ringway::{Address, Builder, Error, ErrorKind, Ring, SyncKind};
use two_processes::place::{Backing, Place, again, shmid};
use two_processes::roles::become_nobody;
use two_processes::{First, Second, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "make as nobody" => make_as_nobody(first),
        _ => panic!("{role}"),
    });
}

/// Asserts that it is refused, and that the text says why and what to do.
#[track_caller]
fn assert_untrusted<T: Debug>(result: Result<T, Error>, sync: SyncKind) {
    let error = result.expect_err("others can write the lock");
    assert_eq!(error.kind(), ErrorKind::Untrusted, "{error}");
    let text = error.to_string();
    assert!(text.contains(sync.name()), "{text}");
    assert!(text.contains("trust_peers"), "{text}");
}

/// The kinds of synchronisation in question, and the others.
fn syncs() -> (Vec<SyncKind>, Vec<SyncKind>) {
    SyncKind::ALL
        .into_iter()
        .partition(|sync| sync.needs_trust())
}

fn builder(place: &Place, sync: SyncKind) -> Builder {
    place.builder().sync(sync).capacity(4096)
}

/// Lets others at what lies there, as `chmod` and `ipcset` do.
fn set_mode(place: &Place, mode: u32) {
    match &place.address {
        Address::Sysv(key) => {
            let id = shmid(key).unwrap();
            let mut status = std::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
            // SAFETY: asks for the kernel's record, into a local that is large enough, and gives it back.
            unsafe {
                assert_eq!(libc::shmctl(id, libc::IPC_STAT, status.as_mut_ptr()), 0);
                (*status.as_mut_ptr()).shm_perm.mode = mode as _;
                assert_eq!(libc::shmctl(id, libc::IPC_SET, status.as_mut_ptr()), 0);
            }
        }
        _ => {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(place.path(), permissions).unwrap();
        }
    }
}

#[test]
fn a_ring_that_others_can_write_takes_an_opt_in() {
    let (trusting, others) = syncs();
    for backing in Backing::NAMED {
        for sync in others.iter().copied() {
            let place = Place::new(backing);
            builder(&place, sync).mode(0o666).create().unwrap();
            again(&builder(&place, sync).open().unwrap());
        }
        for sync in trusting.iter().copied() {
            for mode in [0o620, 0o602, 0o666] {
                let place = Place::new(backing);
                assert_untrusted(builder(&place, sync).mode(mode).create(), sync);
                assert_untrusted(builder(&place, sync).mode(mode).open_or_create(), sync);
                let absent = stat(&place.address).unwrap_err();
                assert_eq!(absent.kind(), ErrorKind::NotFound, "nothing is left");

                // Others may read.
                builder(&place, sync).mode(0o644).create().unwrap();
                let ring = builder(&place, sync).open().unwrap();
                ring.sender().unwrap().send(b"mine").unwrap();
                // Its owner thinks otherwise, later.
                set_mode(&place, mode);
                assert_untrusted(builder(&place, sync).open(), sync);
                assert_untrusted(builder(&place, sync).open_or_create(), sync);
                // Without a look at its lock.
                assert_eq!(stat(&place.address).unwrap().sync, sync);
                let ring = builder(&place, sync).trust_peers(true).open().unwrap();
                assert_eq!(ring.receiver().unwrap().recv().unwrap(), b"mine");
            }
        }
    }
}

#[test]
fn a_ring_of_another_user_takes_two_opt_ins() {
    if !geteuid().is_root() {
        return println!("skipped: only root can become somebody else");
    }
    for backing in Backing::NAMED {
        let place = Place::new(backing);
        place.open_to_others(0o777);
        let nobody = Second::start_at("make as nobody", &place.address);
        for sync in syncs().0 {
            nobody.say(sync.name());
            nobody.expect("made");
            let refused = place.builder().trust_peers(true).open().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ForeignOwner);
            // Of nobody alone, by its mode; and that one is the stranger.
            assert_untrusted(place.builder().any_owner(true).open(), sync);
            let ring = place.builder().any_owner(true).trust_peers(true).open();
            ring.unwrap().sender().unwrap().send(b"trusted").unwrap();
            nobody.expect("trusted");
            ringway::remove(&place.address, true).unwrap();
        }
    }
}

fn make_as_nobody(first: &First) {
    become_nobody();
    for sync in syncs().0 {
        assert_eq!(first.hear(), sync.name());
        let builder = Builder::at(first.address().clone()).capacity(4096);
        let ring = builder.sync(sync).create().unwrap();
        first.say("made");
        let message = ring.receiver().unwrap().recv().unwrap();
        first.say(String::from_utf8(message).unwrap());
    }
}

/// Nobody can tell who else has a memfd. Its maker uses it freely while it has handed it to nobody.
#[test]
fn a_memfd_goes_from_hand_to_hand_with_an_opt_in_of_both() {
    for sync in syncs().0 {
        let builder = Builder::new("memfd:").unwrap().sync(sync).capacity(4096);
        let own = builder.clone().create().unwrap();
        let (mut sender, mut receiver) = (own.sender().unwrap(), own.receiver().unwrap());
        sender.send(b"to myself").unwrap();
        assert_eq!(receiver.recv().unwrap(), b"to myself");

        let (here, there) = UnixStream::pair().unwrap();
        assert_untrusted(own.hand_over(&here), sync);
        let shared = builder.clone().trust_peers(true).create().unwrap();
        shared.hand_over(&here).unwrap();
        assert_untrusted(Ring::take_over(&there), sync);
        shared.hand_over(&here).unwrap();
        assert_untrusted(builder.clone().take_over(&there), sync);
        shared.hand_over(&here).unwrap();
        let (ring, _) = builder.trust_peers(true).take_over(&there).unwrap();
        ring.sender().unwrap().send(b"from afar").unwrap();
        assert_eq!(shared.receiver().unwrap().recv().unwrap(), b"from afar");
    }
}

/// The one who says it first cannot say it for others.
#[test]
fn what_was_taken_over_is_handed_on_with_an_opt_in() {
    let builder = Builder::new("memfd:").unwrap().sync(SyncKind::Futex);
    let ring = builder.capacity(4096).create().unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    ring.hand_over(&here).unwrap();
    let (second, _) = Ring::take_over(&there).unwrap();
    second.hand_over(&there).unwrap();
    let (third, _) = Ring::take_over(&here).unwrap();
    third.sender().unwrap().send(b"no trust needed").unwrap();
    assert_eq!(ring.receiver().unwrap().recv().unwrap(), b"no trust needed");
}
