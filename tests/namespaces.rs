//! Who meets whom across namespaces: one table of what must happen when a second process sees the ring from another
//! pid, IPC, user or mount namespace, or is shown another boot id. Either the two meet, wake each other and learn of each
//! other's death; or the second is refused with the reason. Nobody waits for ever, and nobody takes a living one's place.

mod two_processes;

use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use ringway::peer::Role;
use ringway::{ErrorKind, Kind, RecvError, SyncKind, WaitStrategy};
use two_processes::messages::number_in;
use two_processes::place::Backing;
use two_processes::procfs::while_blocked;
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, in_time, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "meet" => meet(first),
        _ => panic!("{role}"),
    });
}

/// What the second process has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apart {
    Pid,
    Ipc,
    User,
    Mount,
    BootId,
}

impl Apart {
    const ALL: [Self; 5] = [Self::Pid, Self::Ipc, Self::User, Self::Mount, Self::BootId];

    /// What starts a program so.
    fn prefix(self) -> Vec<&'static str> {
        const HIDE: &str = "mount -t tmpfs none /dev/shm && exec \"$@\"";
        const FAKE: &str = "mount -t tmpfs none /mnt && echo 01234567-89ab-cdef-0123-456789abcdef > /mnt/id && \
                            mount --bind /mnt/id /proc/sys/kernel/random/boot_id && exec \"$@\"";
        match self {
            Self::Pid => vec!["unshare", "--fork", "--kill-child", "--pid"],
            Self::Ipc => vec!["unshare", "--ipc"],
            Self::User => vec!["unshare", "--user", "--map-root-user"],
            Self::Mount => vec!["unshare", "--mount", "sh", "-c", HIDE, "sh"],
            Self::BootId => vec!["unshare", "--mount", "sh", "-c", FAKE, "sh"],
        }
    }

    fn can_be_had(self) -> bool {
        let prefix = self.prefix();
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).arg("true").stderr(Stdio::null());
        let can = command.status().is_ok_and(|status| status.success());
        if !can {
            eprintln!("skipped: {self:?} (not permitted here)");
        }
        can
    }

    /// What becomes of a second process at such a ring.
    fn expected(self, row: Row) -> Expected {
        match (self, row.sync, row.backing) {
            (Self::Pid, SyncKind::Pthread, _) => Expected::Refused("pid namespace"),
            (Self::Ipc, _, Backing::SysvKey) => Expected::NotThere,
            (Self::Ipc, SyncKind::SysvSem | SyncKind::Mqueue, _) => {
                Expected::Refused("IPC namespace")
            }
            (Self::Mount, _, Backing::Shm) => Expected::NotThere,
            _ => Expected::Meets,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Meets,
    Refused(&'static str),
    NotThere,
}

/// Tries to remove the ring, attaches to it as a producer, and sends when it is told; says what came of each.
fn meet(first: &First) {
    match ringway::remove(first.address(), false) {
        Ok(()) => first.say("removed"),
        Err(error) => first.say(format!("{error:?}").lines().next().unwrap_or_default()),
    }
    let sender = ringway::Builder::at(first.address().clone())
        .open()
        .and_then(|ring| ring.sender());
    let mut sender = match sender {
        Ok(sender) => sender.with_wait(WaitStrategy::Park),
        Err(error) => return first.say(format!("{error:?}").lines().next().unwrap_or_default()),
    };
    first.say("attached");
    for number in 0_u64.. {
        first.hear();
        sender.send(&number.to_le_bytes()).unwrap();
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Row::supported();
    let backings = [Backing::Shm, Backing::File, Backing::SysvKey];
    rows.retain(|row| backings.contains(&row.backing));
    rows.retain(|row| matches!(row.kind, Kind::Spsc | Kind::Mpmc));
    rows
}

fn check(apart: Apart, row: Row) {
    let (ring, place) = row.ring();
    let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
    let second = Second::start_in(&apart.prefix(), "meet", &place.address);
    let (removal, outcome) = (second.hear(), second.hear());
    let expected = apart.expected(row);
    match expected {
        Expected::NotThere => {
            assert!(
                removal.starts_with("NotFound"),
                "{apart:?} {row}: {removal}"
            );
            assert!(
                outcome.starts_with("NotFound"),
                "{apart:?} {row}: {outcome}"
            );
            return;
        }
        Expected::Refused(why) => {
            assert!(removal.starts_with("InUse"), "{apart:?} {row}: {removal}");
            assert!(
                outcome.starts_with("Unsupported"),
                "{apart:?} {row}: {outcome}"
            );
            assert!(outcome.contains(why), "{apart:?} {row}: {outcome}");
            // Nothing came of it for those who were there.
            let mut sender = ring.sender().unwrap();
            let deed = || sender.send(&7_u64.to_le_bytes()).unwrap();
            let message = while_blocked(WaitStrategy::Park, deed, || {
                in_time(|at| receiver.recv_deadline(at))
            });
            assert_eq!(message.map(|message| number_in(&message)), Ok(7));
            return;
        }
        Expected::Meets => {}
    }
    assert!(removal.starts_with("InUse"), "{apart:?} {row}: {removal}");
    assert_eq!(outcome, "attached", "{apart:?} {row}");
    // It has its place.
    if !row.has_many(Role::Producer) {
        let taken = ring.sender().unwrap_err();
        assert!(
            matches!(taken.kind(), ErrorKind::RoleTaken { .. }),
            "{apart:?} {row}: {taken}"
        );
    }
    for number in 0..3 {
        let message = while_blocked(
            WaitStrategy::Park,
            || second.say("send"),
            || in_time(|at| receiver.recv_deadline(at)),
        );
        assert_eq!(
            message.map(|message| number_in(&message)),
            Ok(number),
            "{apart:?} {row}"
        );
    }
    let end = while_blocked(
        WaitStrategy::Park,
        || second.kill(),
        || in_time(|at| receiver.recv_deadline(at)),
    );
    assert_eq!(end, Err(RecvError::PeerDied), "{apart:?} {row}");
}

/// The kernel marks words by the thread id that the dead one's pid namespace has for it, so one that is killed as it leaves
/// can mark its successor's liveness word, if that has the same id in another namespace. Nobody takes the place of one
/// that others see alive.
#[test]
fn nobody_takes_the_place_of_one_whose_word_was_marked_for_another() {
    for_each(Row::on_shm(), |row| {
        let (ring, place) = row.ring();
        let sender = ring.sender().unwrap();
        // As the kernel does. The first slot is a sender's.
        let file = std::fs::File::options()
            .write(true)
            .open(place.path())
            .unwrap();
        let dead = (libc::FUTEX_OWNER_DIED | libc::FUTEX_WAITERS).to_ne_bytes();
        file.write_all_at(&dead, FIRST_LIVENESS_WORD).unwrap();
        if row.has_many(Role::Producer) {
            let mut others = Vec::new();
            let full = loop {
                match ring.sender() {
                    Ok(sender) => others.push(sender),
                    Err(error) => break error,
                }
            };
            assert!(matches!(full.kind(), ErrorKind::RoleTaken { .. }), "{row}");
            drop(others);
        } else {
            let taken = ring.sender().unwrap_err();
            assert!(
                matches!(taken.kind(), ErrorKind::RoleTaken { .. }),
                "{row}: {taken}"
            );
        }
        drop(sender);
        // Its word is a free one now.
        drop(ring.sender().unwrap());
    });
}

/// `LAYOUT.md`: behind the control lines, the first word of the first slot.
const FIRST_LIVENESS_WORD: u64 = 1024;

#[test]
fn who_meets_whom() {
    for apart in Apart::ALL {
        if apart.can_be_had() {
            for_each(rows(), |row| check(apart, row));
        }
    }
}
