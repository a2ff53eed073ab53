//! What a process has opened it can use whatever it gives up: after `chroot`, after a change of the ring's group and mode;
//! and after `setuid` the error says what happened.

mod two_processes;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use nix::unistd::{Gid, chroot, geteuid, setgroups, setresgid};
use ringway::{ErrorKind, Kind, Ring, SendError, SyncKind};
use tempfile::TempDir;
use two_processes::messages::{number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::roles::become_nobody;
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, play};

const NOBODY: u32 = 65534;
const SLAB: usize = 8192;

#[test]
fn child_role() {
    play(|role, first| match role {
        "give up the user" => give_up_the_user(first),
        "give up the root" => give_up_the_root(first),
        "of the group" => of_the_group(first),
        _ => panic!("{role}"),
    });
}

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("skipped: only root can become another user");
    }
    is_root
}

/// Rings with slabs in segments of their own, which whoever uses them opens when it comes to that.
fn with_slab_segments(test: impl Fn(&Ring)) {
    for backing in [Backing::Shm, Backing::File] {
        let place = Place::new(backing);
        let builder = place.builder().capacity(4096).slabs(SLAB as u64, 2);
        test(&builder.slab_segments(true).create().unwrap());
    }
}

/// Sends a short message, becomes nobody, and sends a short and a long one.
fn give_up_the_user(first: &First) {
    let mut sender = first.ring().sender().unwrap().with_copy_limit(1024);
    sender.send(&number(0)).unwrap();
    become_nobody();
    let short = sender.try_send(&number(1));
    first.say(format!("{short:?}"));
    if let Err(error) = short {
        first.say(error);
    }
    let long = sender.try_send(&[7; SLAB]);
    first.say(format!("{long:?}"));
    if let Err(error) = long {
        first.say(error);
    }
}

#[test]
fn who_gives_up_its_user_is_told_what_it_cannot_do_any_more() {
    if !is_root() {
        return;
    }
    // The kernel looks at each operation on a semaphore.
    let mut rows = Row::supported();
    rows.retain(|row| row.backing == Backing::Shm && row.sync == SyncKind::SysvSem);
    for_each(rows, |row| {
        let (ring, _place) = row.ring();
        let second = Second::start("give up the user", &ring);
        let eacces = SendError::Companion {
            errno: libc::EACCES,
        };
        assert_eq!(second.hear(), format!("Err({eacces:?})"));
        let text = second.hear();
        assert!(
            text.contains("may not use the ring's semaphore set"),
            "{text}"
        );
    });
    // A slab that was not mapped yet, and whose file is not this user's any more.
    with_slab_segments(|ring| {
        let second = Second::start("give up the user", ring);
        second.expect("Ok(())");
        let eacces = SendError::Unmapped {
            errno: libc::EACCES,
        };
        assert_eq!(second.hear(), format!("Err({eacces:?})"));
        let text = second.hear();
        assert!(text.contains("may not open it"), "{text}");
        assert!(!text.contains("removed"), "{text}");
    });
}

/// Opens the ring, goes where it has no name, attaches there and sends.
fn give_up_the_root(first: &First) {
    let ring = first.ring();
    let empty = TempDir::with_prefix("ringway-test-").unwrap();
    chroot(empty.path()).unwrap();
    std::env::set_current_dir("/").unwrap();
    let sender = ring.sender().unwrap_or_else(|error| panic!("{error}"));
    let mut sender = sender.with_copy_limit(1024);
    sender
        .send(&number(1))
        .unwrap_or_else(|error| panic!("{error}"));
    let long = vec![7; ring.max_message_len().min(SLAB as u64) as usize];
    sender
        .try_send(&long)
        .unwrap_or_else(|error| panic!("{error}"));
    sender.leave();
    // It has another name now. The test removes it.
    std::mem::forget(empty);
    first.say("sent");
}

#[test]
fn who_gives_up_its_root_goes_on() {
    if !is_root() {
        return;
    }
    let goes_on = |ring: &Ring| {
        let second = Second::start("give up the root", ring);
        second.expect("sent");
        second.finish();
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(number_in(&receiver.recv().unwrap()), 1);
        assert_eq!(receiver.recv().unwrap(), vec![7; SLAB]);
    };
    let mut rows = Row::supported();
    rows.retain(|row| matches!(row.backing, Backing::Shm | Backing::File | Backing::SysvKey));
    rows.retain(|row| matches!(row.kind, Kind::Spsc | Kind::Mpmc));
    for_each(rows, |row| {
        let (ring, _place) = row.ring_with(|builder| builder.capacity(64 << 10));
        goes_on(&ring);
    });
    // Its slabs, too.
    with_slab_segments(goes_on);
}

/// A member of the group that the ring was given to.
fn of_the_group(first: &First) {
    let group = Gid::from_raw(NOBODY);
    setgroups(&[]).unwrap();
    setresgid(group, group, group).unwrap();
    become_nobody();
    match first.ring().sender() {
        Ok(mut sender) => {
            sender
                .send(&number(3))
                .unwrap_or_else(|error| panic!("{error}"));
            sender.leave();
            first.say("sent");
        }
        Err(error) => first.say(format!("{:?}", error.kind())),
    }
}

#[test]
fn a_change_of_group_and_mode_reaches_the_semaphore_set() {
    if !is_root() {
        return;
    }
    let mut rows = Row::supported();
    rows.retain(|row| {
        matches!(row.backing, Backing::Shm | Backing::File) && row.sync == SyncKind::SysvSem
    });
    for_each(rows, |row| {
        let (ring, place) = row.ring();
        place.open_to_others(0o755);
        chown(place.path(), None, Some(NOBODY)).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o660)).unwrap();
        assert_eq!(fs::metadata(place.path()).unwrap().gid(), NOBODY);
        // Before its owner has come by, the error says what to do.
        let second = Second::start("of the group", &ring);
        second.expect(&format!("{:?}", ErrorKind::PermissionDenied));
        second.finish();
        // It does by attaching, or by opening the ring.
        match row.kind {
            Kind::Spsc | Kind::Mpsc => drop(ring.receiver().unwrap()),
            _ => drop(place.builder().open().unwrap()),
        }
        let second = Second::start("of the group", &ring);
        second.expect("sent");
        second.finish();
        assert_eq!(number_in(&ring.receiver().unwrap().recv().unwrap()), 3);
    });
}
