//! The System V semaphore set beside a ring: what its semaphores are, whose it is, and who uses it.
//!
//! | semaphores | what |
//! |---|---|
//! | 0 | the lock: 1 when it is free |
//! | 1 to n | the bells of the n slots: 1 when rung |
//! | the next 9 | the nonce of what lies beside the ring, 15 bits each |
//! | 1 | where its segment is found: 1 `shm:`, 2 `file:`, 3 `sysv:` |
//! | 9 | that place, 15 bits each: of `shm:` the directory's inode, and above 64 bits its device; of `sysv:` the segment's id |
//! | 2 | a checksum of nonce and place (FNV-1a), 15 bits each |
//! | 1 | users: processes that made the ring or are attached, counted with `SEM_UNDO` |
//! | 1 | gate: 1 while a collector makes sure that there are none, with `SEM_UNDO` |
//! | the last | [`TAG`] |
//!
//! Whoever uses or removes the set of a ring checks the nonce first, so an id in a header that is not true
//! any more never touches what belongs to others.
//!
//! # A set without a ring
//!
//! Its creator died before the ring had a name, or somebody removed the segment by other means. A
//! collector may remove it if nobody living can use it:
//!
//! - The kernel counts the users: a process that dies, at whatever instruction, is taken back by
//!   `SEM_UNDO`. A collector raises the gate by an operation that the kernel makes only when there are no
//!   users; users enter by one that waits until the gate is down.
//! - A creator enters by the very operation that writes all that stands in a set, and stays until it ends. So
//!   once the gate is raised, a ring that will ever have this set has its name, and a look from then on
//!   finds it.
//! - A set in the making, which no ring names yet, carries an otherwise meaningless permission bit (0o010) from
//!   its first moment, as `sysv:` segments do; it is taken off behind that operation.
//! - Else the look is complete for `sysv:` (the id, in the set's own namespace) and for `shm:` in a directory that
//!   the collector sees too. A `file:` may be anywhere, so its set is never removed without it.
//! - A creator whose set is removed before it has entered makes another.

use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::stat::stat;

use crate::address::Address;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::MAX_PARTICIPANTS;
use crate::memory::layout::header::{Header, SEMAPHORES_OFFSET};
use crate::memory::map::Map;
use crate::sys::owner::Access;
use crate::sys::semget::{self, AtExit, Operation};
use crate::sys::shm_overview::SHM_DIRECTORY;

/// What the last semaphore of every set of ringway's holds: "RW".
const TAG: u16 = 0x5257;
const NONCE_LEN: u16 = 9;
const HOME_LEN: u16 = 9;
const CHECK_LEN: u16 = 2;
const BITS: u32 = 15;
/// Semaphores behind the bells.
const TAIL_LEN: u16 = NONCE_LEN + 1 + HOME_LEN + CHECK_LEN + 3;

const _: () = assert!(MAX_PARTICIPANTS < 1 << 15);
const _: () = assert!(NONCE_LEN as u32 * BITS >= u128::BITS);
const _: () = assert!(HOME_LEN as u32 * BITS >= u128::BITS);

/// The execute bit of the group alone marks a set in the making; the kernel gives it no meaning.
const IN_THE_MAKING: u32 = 0o010;
const EXECUTE_BITS: u32 = 0o111;

/// How often a set may be removed before its creator has entered it.
const ATTEMPTS: usize = 100;

/// Where a segment is found by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In a directory for POSIX shared memory.
    Shm { device: u64, inode: u64 },
    /// Somewhere in a file system.
    File,
    /// Among the System V segments of this namespace.
    Sysv { id: i32 },
}

impl Home {
    /// The home of the files at `address`. The directory for POSIX shared memory is known by its device
    /// and inode, so that another one, of another mount namespace, is not taken for it.
    pub(crate) fn of_file(address: &Address) -> Self {
        match address {
            Address::Shm(_) => Self::here().unwrap_or(Self::File),
            _ => Self::File,
        }
    }

    /// The directory for POSIX shared memory that this process sees.
    pub(crate) fn here() -> Option<Self> {
        let directory = stat(SHM_DIRECTORY).ok()?;
        Some(Self::Shm {
            device: directory.st_dev,
            inode: directory.st_ino,
        })
    }

    fn encode(self) -> (u16, u128) {
        match self {
            Self::Shm { device, inode } => (1, u128::from(device) << 64 | u128::from(inode)),
            Self::File => (2, 0),
            Self::Sysv { id } => (3, id as u32 as u128),
        }
    }

    fn decode(code: u16, place: u128) -> Option<Self> {
        let home = match code {
            1 => Self::Shm {
                device: (place >> 64) as u64,
                inode: place as u64,
            },
            2 => Self::File,
            3 => Self::Sysv { id: place as i32 },
            _ => return None,
        };
        (home.encode() == (code, place)).then_some(home)
    }
}

/// The set of one ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    pub(super) id: i32,
    participants: u16,
}

impl Set {
    /// The set that `header` and the word beside it speak of, if it is that ring's.
    fn find(header: &Header, semaphores: u32) -> Result<Self, Errno> {
        let participants = header.geometry.participants();
        let id = semaphores.checked_sub(1).ok_or(Errno::EINVAL)?;
        let set = Self {
            id: i32::try_from(id).map_err(|_| Errno::EINVAL)?,
            participants: u16::try_from(participants).map_err(|_| Errno::EINVAL)?,
        };
        let nonce = pieces(u128::from_le_bytes(header.companions), NONCE_LEN);
        let at = set.tail()..;
        for (index, expected) in at.zip(nonce).chain([(set.tag(), TAG)]) {
            if semget::value(set.id, index)? != expected {
                return Err(Errno::EINVAL);
            }
        }
        Ok(set)
    }

    /// The set of the ring in `map`. EINVAL or EIDRM if it is gone or another one's.
    pub(super) fn look(map: &Map, header: &Header) -> Result<Self, Errno> {
        let semaphores = map
            .word32(SEMAPHORES_OFFSET)
            .map_or(0, |id| id.load(Ordering::Relaxed));
        Self::find(header, semaphores)
    }

    pub(super) fn open(attempt: Attempt<'_>, map: &Map, header: &Header) -> Result<Self, Error> {
        Self::look(map, header).map_err(|errno| not_usable(attempt, errno))
    }

    /// Gives the set owner, group and mode of the ring's segment, if this process may and they are others.
    pub(super) fn follow(self, access: Access) {
        let Ok(status) = semget::status(self.id) else {
            return;
        };
        let is_as_it_was = (status.owner_uid, status.owner_gid, status.mode)
            == (access.uid, access.gid, access.mode);
        // A set in the making is its creator's.
        if !is_as_it_was && status.mode & EXECUTE_BITS == 0 {
            let _ = semget::set_access(self.id, access.uid, access.gid, access.mode);
        }
    }

    /// The first semaphore behind the bells.
    fn tail(self) -> u16 {
        self.participants + 1
    }

    fn tag(self) -> u16 {
        self.tail() + TAIL_LEN - 1
    }

    fn gate(self) -> u16 {
        self.tag() - 1
    }

    fn users(self) -> u16 {
        self.tag() - 2
    }

    fn len(self) -> u16 {
        self.tag() + 1
    }

    /// The bell of `slot`.
    pub(super) fn bell(self, slot: u32) -> Option<u16> {
        let slot = u16::try_from(slot).ok()?;
        (slot < self.participants).then_some(slot + 1)
    }

    /// Counts this process among the users once more, until it leaves or ends.
    fn enter(self) -> Result<(), Errno> {
        wait_for(self.id, &self.entry())
    }

    fn entry(self) -> [Operation; 2] {
        [
            Operation::is_zero(self.gate()),
            Operation::raise(self.users(), 1, AtExit::Undo),
        ]
    }
}

fn wait_for(id: i32, operations: &[Operation]) -> Result<(), Errno> {
    loop {
        match semget::operate(id, operations, None) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// A user of a set, until dropped.
#[derive(Debug)]
pub(super) struct User {
    set: Set,
    /// The process: a child of `fork` is no user.
    pid: u32,
}

impl User {
    pub(super) fn of(attempt: Attempt<'_>, set: Set) -> Result<Self, Error> {
        set.enter().map_err(|errno| not_usable(attempt, errno))?;
        let pid = std::process::id();
        Ok(Self { set, pid })
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            // Fails if the set was removed.
            let _ = semget::lower_at_once(self.set.id, self.set.users(), AtExit::Undo);
        }
    }
}

fn not_usable(attempt: Attempt<'_>, errno: Errno) -> Error {
    match errno {
        Errno::EINVAL | Errno::EIDRM | Errno::ERANGE => attempt
            .error(
                ErrorKind::CompanionLost,
                "its semaphore set was removed, or is another ring's",
            )
            .remedy(
                "end the processes that have the ring open: the next to open it makes another set, and its \
                 messages are still there",
            )
            .because(errno),
        Errno::EACCES => attempt
            .error(
                ErrorKind::PermissionDenied,
                "this process may not use its semaphore set",
            )
            .remedy(
                "run as a user who may; or, if the ring's owner, group or mode was changed, have its owner open it \
                 once: its set follows then",
            )
            .because(errno),
        errno => attempt.os("semop cannot use its semaphore set", errno),
    }
}

/// The least significant bits first.
fn pieces(number: u128, count: u16) -> impl Iterator<Item = u16> {
    (0..count).map(move |index| (number >> (u32::from(index) * BITS)) as u16 & 0x7fff)
}

fn number(pieces: &[u16]) -> Option<u128> {
    let whole = pieces.iter().rev().try_fold(0_u128, |sum, &piece| {
        (piece < 1 << BITS).then_some(sum << BITS | u128::from(piece))
    })?;
    // Of 135 bits, those that a number does not have are lost by the shift.
    let again = self::pieces(whole, pieces.len() as u16);
    again.eq(pieces.iter().copied()).then_some(whole)
}

fn checksum(nonce: u128, home: (u16, u128)) -> u128 {
    let bytes = nonce.to_le_bytes().into_iter();
    let bytes = bytes
        .chain(home.0.to_le_bytes())
        .chain(home.1.to_le_bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    u128::from(hash & 0x3fff_ffff)
}

/// What the semaphores behind the bells hold at first.
fn tail(nonce: [u8; 16], home: Home) -> impl Iterator<Item = u16> {
    let (nonce, home) = (u128::from_le_bytes(nonce), home.encode());
    pieces(nonce, NONCE_LEN)
        .chain([home.0])
        .chain(pieces(home.1, HOME_LEN))
        .chain(pieces(checksum(nonce, home), CHECK_LEN))
        .chain([0, 0, TAG])
}

/// Makes the set of a new ring, and counts this process among its users for as long as it lives.
pub(super) fn create(
    attempt: Attempt<'_>,
    map: &Map,
    header: &Header,
    access: Access,
    home: Home,
) -> Result<(), Error> {
    let failed = |errno| attempt.os("semctl cannot set its semaphore set up", errno);
    let access = access.beside();
    let word = map.word32(SEMAPHORES_OFFSET);
    let word = word.ok_or_else(|| failed(Errno::EFAULT))?;
    let participants = u16::try_from(header.geometry.participants());
    let participants = participants.map_err(|_| failed(Errno::EINVAL))?;
    for _ in 0..ATTEMPTS {
        let set = Set {
            id: 0,
            participants,
        };
        let id = semget::create(set.len(), access.mode | 0o600 | IN_THE_MAKING)
            .map_err(|errno| explain(attempt, set.len(), errno))?;
        let set = Set { id, ..set };
        let values = (set.tail()..)
            .zip(tail(header.companions, home))
            .chain([(0, 1)]);
        let values = values.filter(|(_, value)| *value > 0);
        let operations: Vec<Operation> = set
            .entry()
            .into_iter()
            .chain(values.map(|(index, value)| Operation::raise(index, value, AtExit::Keep)))
            .collect();
        let result = wait_for(set.id, &operations)
            // Which takes the mark off.
            .and_then(|()| semget::set_access(set.id, access.uid, access.gid, access.mode));
        match result {
            Ok(()) => {
                // Not before it can be told by its nonce. Relaxed: published with the magic.
                word.store(set.id as u32 + 1, Ordering::Relaxed);
                return Ok(());
            }
            // A collector took it for one that a dead creator left.
            Err(Errno::EINVAL | Errno::EIDRM) => {}
            Err(errno) => {
                let _ = semget::remove(set.id);
                return Err(match errno {
                    Errno::E2BIG => explain(attempt, set.len(), errno),
                    errno => failed(errno),
                });
            }
        }
    }
    Err(failed(Errno::EIDRM))
}

fn explain(attempt: Attempt<'_>, needed: u16, errno: Errno) -> Error {
    let limits = std::fs::read_to_string("/proc/sys/kernel/sem").unwrap_or_default();
    let mut limits = limits.split_whitespace().map(|limit| limit.parse().ok());
    // SEMMSL, SEMMNS, SEMOPM, SEMMNI.
    let [per_set, in_all, _, sets] = [(); 4].map(|()| limits.next().flatten().unwrap_or(0_u64));
    match errno {
        Errno::EINVAL if u64::from(needed) > per_set && per_set > 0 => attempt
            .error(
                ErrorKind::NoSpace,
                format!("it needs {needed} semaphores, and a set may have {per_set} (SEMMSL)"),
            )
            .remedy("raise the first number of kernel.sem (sysctl), or choose fewer participants")
            .because(errno),
        Errno::ENOSPC => attempt
            .error(
                ErrorKind::NoSpace,
                format!(
                    "the machine has its {sets} semaphore sets (SEMMNI), or they have {in_all} \
                     semaphores in all (SEMMNS)"
                ),
            )
            .remedy(
                "remove sets (ringway gc, ipcs -s, ipcrm -s) or raise the fourth or second number of \
                 kernel.sem (sysctl)",
            )
            .because(errno),
        Errno::E2BIG => attempt
            .error(
                ErrorKind::NoSpace,
                "it needs 25 operations on semaphores at once, and there may be less (SEMOPM)",
            )
            .remedy("raise the third number of kernel.sem (sysctl)")
            .because(errno),
        Errno::ENOSYS => attempt
            .error(ErrorKind::Unsupported, "the kernel has no System V semaphores")
            .remedy("choose another kind of sync")
            .because(errno),
        errno => attempt.os("semget made no semaphore set", errno),
    }
}

/// Removes the set of a ring, if there is one and it is that ring's.
pub(super) fn remove(header: &Header, semaphores: u32) {
    if let Ok(set) = Set::find(header, semaphores) {
        let _ = semget::remove(set.id);
    }
}

/// The ring of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) nonce: [u8; 16],
    /// Where the ring is.
    pub(crate) home: Home,
}

/// A set of some ring, found without the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    set: Set,
    /// `None`: it is in the making, and no ring has it yet.
    pub(crate) origin: Option<Origin>,
    /// Effective user ids of creator and owner.
    pub(crate) owners: [u32; 2],
}

/// Every set of ringway's in this namespace that this process may read.
pub(crate) fn all() -> Vec<Found> {
    let table = std::fs::read_to_string("/proc/sysvipc/sem").unwrap_or_default();
    let ids = table.lines().skip(1).filter_map(|line| {
        // key, semid, ...
        let mut fields = line.split_whitespace();
        let is_private = fields.next()?.parse() == Ok(libc::IPC_PRIVATE);
        let id = fields.next()?.parse().ok()?;
        is_private.then_some(id)
    });
    ids.filter_map(Found::look).collect()
}

impl Origin {
    /// What the semaphores behind the bells tell.
    fn decode(values: &[u16]) -> Option<Self> {
        let (nonce, rest) = values.split_at(NONCE_LEN.into());
        let (code, rest) = rest.split_first()?;
        let (place, rest) = rest.split_at(HOME_LEN.into());
        let (check, rest) = rest.split_at(CHECK_LEN.into());
        let (nonce, place) = (number(nonce)?, number(place)?);
        let home = Home::decode(*code, place)?;
        let is_ours = rest.last() == Some(&TAG)
            && number(check)? == checksum(nonce, (*code, place))
            && nonce != 0;
        let nonce = nonce.to_le_bytes();
        is_ours.then_some(Self { nonce, home })
    }
}

impl Found {
    fn look(id: i32) -> Option<Self> {
        let status = semget::status(id).ok()?;
        let participants = status.count.checked_sub(TAIL_LEN + 1)?;
        let set = Set { id, participants };
        if !(2..=MAX_PARTICIPANTS).contains(&participants.into()) {
            return None;
        }
        let found = |origin| Self {
            set,
            origin,
            owners: [status.creator_uid, status.owner_uid],
        };
        let values: Vec<u16> = (set.tail()..set.len())
            .map(|index| semget::value(id, index).ok())
            .collect::<Option<_>>()?;
        // Before the values, for the mark goes behind them.
        let is_marked = status.mode & EXECUTE_BITS == IN_THE_MAKING;
        match Origin::decode(&values) {
            Some(_) if is_marked => Some(found(None)),
            Some(origin) => Some(found(Some(origin))),
            None => {
                // But for the gate, which a collector may have raised.
                let vacant = (set.tail()..)
                    .zip(&values)
                    .all(|(index, &value)| value == 0 || index == set.gate());
                (is_marked && vacant).then(|| found(None))
            }
        }
    }

    /// The id that `ipcs -s` shows.
    pub(crate) fn id(&self) -> i32 {
        self.set.id
    }

    /// The same set as it is now, if it is there.
    pub(crate) fn again(&self) -> Option<Self> {
        Self::look(self.set.id)
    }

    /// Whether a live process uses it.
    pub(crate) fn is_used(&self) -> bool {
        // What cannot be read is not known to be unused.
        semget::value(self.set.id, self.set.users()) != Ok(0)
    }

    /// Removes it if no live process uses it and `is_orphan`, which is asked while nobody can begin to.
    pub(crate) fn remove_if(&self, is_orphan: impl FnOnce() -> bool) -> Result<bool, Errno> {
        let (id, gate) = (self.set.id, self.set.gate());
        let raise_gate = [
            Operation::is_zero(self.set.users()).at_once(),
            Operation::is_zero(gate).at_once(),
            Operation::raise(gate, 1, AtExit::Undo).at_once(),
        ];
        match semget::operate(id, &raise_gate, None) {
            Ok(()) => {}
            // Used, or another collector is at it; or that one has removed it.
            Err(Errno::EAGAIN | Errno::EIDRM | Errno::EINVAL) => return Ok(false),
            Err(errno) => return Err(errno),
        }
        if is_orphan() {
            return semget::remove(id).map(|()| true);
        }
        let _ = semget::lower_at_once(id, gate, AtExit::Undo);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_read_as_it_was_written() {
        for home in [
            Home::Shm {
                device: u64::MAX,
                inode: u64::MAX - 1,
            },
            Home::File,
            Home::Sysv { id: i32::MAX },
        ] {
            let nonce = [0xa5; 16];
            let tail: Vec<u16> = tail(nonce, home).collect();
            assert_eq!(tail.len(), usize::from(TAIL_LEN));
            assert_eq!(number(&tail[..9]), Some(u128::from_le_bytes(nonce)));
            let place = number(&tail[10..19]).unwrap();
            assert_eq!(Home::decode(tail[9], place), Some(home));
        }
        assert_eq!(Home::decode(0, 0), None);
        assert_eq!(Home::decode(2, 1), None);
        assert_eq!(Home::decode(3, 1 << 32), None);
    }
}
