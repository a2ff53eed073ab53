//! The semaphore set beside a queue, under the same key: who lives, and where senders wait.
//!
//! | semaphore | what |
//! |---|---|
//! | [`PRODUCERS`] | senders that live (`SEM_UNDO`) |
//! | [`CONSUMER`] | 1 while a receiver lives (`SEM_UNDO`) |
//! | [`UNCLEAN`] | senders that did not leave in order: those that live, and those that died and in whose place nobody has come |
//! | [`CLOSED`] | 1 when the last sender to leave in order has closed, 0 when it has not |
//! | [`RECEIVER`] | what the last receiver did: 0 nothing, or it left, 1 attached, 2 closed |
//! | [`WAITING`] | senders that wait for room (`SEM_UNDO`) |
//! | [`ROOM`] | changes when there is room for a sender that waits, and when the receiver leaves or dies: an eventcount |
//! | [`NEWS`] | senders that left, died or began to wait since the receiver's watcher took note |
//! | [`NEVER`] | 0; 1 while somebody removes the queue, which nobody holds (`SEM_UNDO`) |
//! | 9, 10, 11 | the queue's id: bits 0 to 14, 15 to 29, 30 |
//! | 12 | 0x5252 |
//! | 13 | 1 if the queue has no priorities, 2 if it has |
//! | 14, 15 | 1 + the bytes of the longest message that the queue was made for: bits 0 to 14, 15 to 29; 0 if nothing was said |
//! | 16 to 79 | the places of senders: 0, or a mark from the number of the sender that lives there (`SEM_UNDO`) |
//!
//! All of it zero is the state of a new set, and a set is made by whoever misses it, so creators cannot race. The
//! queue carries the permission bits 0o110 and the set 0o111, which mean nothing, from their first moment: what has them and
//! is of this shape is ringway's, and nothing else is ever touched (keys of `ftok` collide). Whether the queue has
//! priorities its maker says by the queue's own bit 0o001; whoever binds the set to the queue copies that, so that it outlives
//! a change of the queue's mode. The id binds a set to one
//! queue: one that a dying remover left behind is not taken for the set of the next queue under that key.
//!
//! # Places
//!
//! A sender that attaches takes a place that is 0, in the same operations. Its number says which, and from the number
//! follows the mark in it, so that everybody can ask whether the sender of that number lives. Senders beyond the sixty-fourth have
//! no place: of them it cannot be known.
//!
//! # Removal
//!
//! Who removes a queue unless it is in use raises `NEVER`, if `PRODUCERS`, `CONSUMER` and `NEVER` are 0, all in one: so nobody
//! lives, and nobody attaches until the set is gone, or the remover, with whom the kernel takes that back. Nobody else
//! sleeps on `NEVER` then.
//!
//! # How the dead ring
//!
//! Each sender raises `NEWS` and lowers it again, the latter with `SEM_UNDO`, when it attaches; so its death raises it.
//! The receiver does the same with `ROOM`. The kernel takes back all that a process has to take back in a set at once, so who is woken
//! by a death sees it, and only when the last thread of the process has ended, so nothing follows it.
//!
//! # The eventcount
//!
//! [`Set::wait_for_room`] sleeps while `ROOM` is what it was: the operations "lower by what it was, is it 0, raise by
//! what it was", of which the kernel fails the whole with EAGAIN, at once or later, when the second one does not hold,
//! and behind them one that lowers `NEVER`, which waits for ever. So every change of `ROOM` wakes all who wait, who
//! dies in its sleep takes nothing along, and a change before the sleep prevents it. The count has fifteen bits:
//! a sender that is held up between its look and its sleep while there is room exactly 30000 times would miss the last one.

use std::time::Duration;

use nix::errno::Errno;
use ringway_core::Error;
use ringway_core::os::semget::{self, AtExit, Operation};
use ringway_core::peer::Peer;

use super::{has_priorities, permissions};
use crate::attempt::Attempt;
use crate::frame::{PLACES, SenderNumber, since_start};
use crate::side::Departure;

#[cfg(test)]
mod tests;

pub(crate) const PRODUCERS: u16 = 0;
pub(crate) const CONSUMER: u16 = 1;
const UNCLEAN: u16 = 2;
const CLOSED: u16 = 3;
const RECEIVER: u16 = 4;
const WAITING: u16 = 5;
const ROOM: u16 = 6;
pub(crate) const NEWS: u16 = 7;
const NEVER: u16 = 8;
const ID: u16 = 9;
const TAG: u16 = 12;
const ORDER: u16 = 13;
const LONGEST: u16 = 14;
const FIRST_PLACE: u16 = 16;
const SENDER_PLACES: u16 = 64;
const LEN: u16 = FIRST_PLACE + SENDER_PLACES;
/// In the number of a sender that has none.
const NO_PLACE: u16 = PLACES - 1;
const _: () = assert!(SENDER_PLACES <= NO_PLACE);

/// What [`ORDER`] says.
const IN_TURN: u16 = 1;
const BY_PRIORITY: u16 = 2;

/// The permission bits that say that ringway made it.
const MARK: u32 = 0o111;

/// "RR".
const TAG_VALUE: u16 = 0x5252;

/// A count is taken down by that much when it gets there. The kernel knows numbers up to 32767.
const FOLD: u16 = 30_000;

/// How long to wait for one who removes the queue, before the next try to attach.
const REMOVAL: Duration = Duration::from_millis(1);

/// How often others may get in between.
const ATTEMPTS: usize = 1000;

/// The set of one queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    id: i32,
}

/// What all semaphores said at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Values(pub(crate) Vec<u16>);

impl Values {
    fn get(&self, index: u16) -> u16 {
        self.0.get(usize::from(index)).copied().unwrap_or(0)
    }

    pub(crate) fn senders(&self) -> u16 {
        self.get(PRODUCERS)
    }

    pub(crate) fn receivers(&self) -> u16 {
        self.get(CONSUMER)
    }

    /// How many died in whose place nobody has come.
    pub(crate) fn dead(&self) -> u16 {
        let senders = self.get(UNCLEAN).saturating_sub(self.senders());
        senders + u16::from(self.receiving_side() == Peer::Died)
    }

    /// Whether the queue has priorities.
    pub(crate) fn has_priorities(&self) -> bool {
        self.get(ORDER) == BY_PRIORITY
    }

    /// Bytes of the longest message that the queue was made for, once its maker has said so.
    pub(crate) fn message_len(&self) -> Option<usize> {
        let [low, high] = [0, 1].map(|piece| usize::from(self.get(LONGEST + piece)));
        let len = low | high << 15;
        // One more, so that there can be messages of no bytes.
        len.checked_sub(1)
    }

    /// The place for a sender that is to attach.
    fn free_place(&self) -> u16 {
        let mut places = 0..SENDER_PLACES;
        let free = places.find(|place| self.get(FIRST_PLACE + place) == 0);
        free.unwrap_or(NO_PLACE)
    }

    fn is_closing(&self) -> bool {
        self.get(NEVER) > 0
    }

    /// What the senders are together.
    pub(crate) fn sending_side(&self) -> Peer {
        match (self.senders(), self.get(UNCLEAN), self.get(CLOSED)) {
            (1.., _, _) => Peer::Alive,
            (0, 1.., _) => Peer::Died,
            (0, 0, 1..) => Peer::Closed,
            (0, 0, 0) => Peer::Absent,
        }
    }

    pub(crate) fn receiving_side(&self) -> Peer {
        match (self.receivers(), self.get(RECEIVER)) {
            (1.., _) => Peer::Alive,
            (0, 0) => Peer::Absent,
            (0, 1) => Peer::Died,
            (0, _) => Peer::Closed,
        }
    }
}

fn pieces(queue: i32) -> [(u16, u16); 3] {
    let queue = queue.unsigned_abs();
    [0, 1, 2].map(|piece| {
        (
            ID + piece,
            (queue >> (15 * u32::from(piece)) & 0x7fff) as u16,
        )
    })
}

/// Fails unless a semaphore is `value`, and leaves it so.
fn compare(index: u16, value: u16) -> impl Iterator<Item = Operation> {
    let is_zero = Operation::is_zero(index).at_once();
    let around = (value > 0).then(|| {
        let down = Operation::lower_by(index, value, AtExit::Keep).at_once();
        (down, Operation::raise(index, value, AtExit::Keep))
    });
    let (down, up) = around.unzip();
    down.into_iter().chain([is_zero]).chain(up)
}

/// The semaphore of a sender's place, if it has one, and what it says while the sender lives.
fn place_of(sender: SenderNumber) -> Option<(u16, u16)> {
    let mark = 1 + (sender.time() % 0x7fff) as u16;
    (sender.place() < SENDER_PLACES).then_some((FIRST_PLACE + sender.place(), mark))
}

/// Has a death raise a semaphore; now, it stays as it is.
fn ring_at_death(index: u16) -> [Operation; 2] {
    [
        Operation::raise(index, 1, AtExit::Keep),
        Operation::lower(index, AtExit::Undo),
    ]
}

/// The opposite: rings now and not at death.
fn ring_now(index: u16) -> Operation {
    Operation::raise(index, 1, AtExit::Undo)
}

impl Set {
    /// The set of `queue`, made if there is none. `mode`: that of the queue, for a new one.
    pub(crate) fn of(
        attempt: Attempt<'_>,
        key: u32,
        queue: i32,
        mode: u32,
        any_owner: bool,
    ) -> Result<Self, Error> {
        let failed = |errno| attempt.os("semop", "cannot use its semaphore set", errno);
        for _ in 0..ATTEMPTS {
            let id = semget::of_key(key, LEN, Some(permissions(mode) | MARK));
            let id = id.map_err(|errno| explain(attempt, errno))?;
            let result = Self::check(attempt, id, any_owner).and_then(|()| {
                let set = Self { id };
                set.bind(queue, has_priorities(mode)).map_err(failed)
            });
            match result {
                Ok(true) => return Ok(Self { id }),
                // Of a queue that is gone, unless this one is.
                Ok(false) if super::find(key) == Ok(queue) => drop(semget::remove(id)),
                Ok(false) => return Err(attempt.not_found(Errno::EIDRM)),
                Err(error) if is_gone(error.errno()) => {}
                Err(error) => return Err(error),
            }
        }
        Err(failed(Errno::EIDRM))
    }

    /// The set of `queue`, if there is one; or one that was left behind, if there is no queue.
    pub(crate) fn find(attempt: Attempt<'_>, key: u32, queue: Option<i32>) -> Option<Self> {
        let id = semget::of_key(key, LEN, None).ok()?;
        Self::check(attempt, id, true).ok()?;
        let set = Self { id };
        queue.is_none_or(|queue| set.is_of(queue)).then_some(set)
    }

    fn check(attempt: Attempt<'_>, id: i32, any_owner: bool) -> Result<(), Error> {
        let status = semget::status(id)
            .map_err(|errno| attempt.os("semctl", "cannot inspect its semaphore set", errno))?;
        if status.count != LEN || status.mode & MARK != MARK {
            return Err(foreign(attempt));
        }
        attempt.check_owner(&[status.owner_uid, status.creator_uid], any_owner)
    }

    /// Binds a new set to `queue`. `false`: it is another one's.
    fn bind(self, queue: i32, by_priority: bool) -> Result<bool, Errno> {
        let pieces = pieces(queue).into_iter().filter(|(_, value)| *value > 0);
        let mut operations = vec![
            Operation::is_zero(TAG).at_once(),
            Operation::raise(TAG, TAG_VALUE, AtExit::Keep),
            Operation::raise(
                ORDER,
                if by_priority { BY_PRIORITY } else { IN_TURN },
                AtExit::Keep,
            ),
        ];
        operations
            .extend(pieces.map(|(index, value)| Operation::raise(index, value, AtExit::Keep)));
        match semget::operate(self.id, &operations, None) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN) => Ok(self.is_of(queue)),
            Err(errno) => Err(errno),
        }
    }

    /// Writes down the longest message that the queue is made for. Its maker does, once. (Who opens the queue before that
    /// knows of no limit.)
    pub(crate) fn limit(self, message_len: usize) -> Result<(), Errno> {
        // What is longer than that is beyond the kernel's own limits.
        let len = message_len.saturating_add(1).min((1 << 30) - 1);
        let pieces = [(LONGEST, len & 0x7fff), (LONGEST + 1, len >> 15)];
        let operations = pieces
            .into_iter()
            .filter(|(_, value)| *value > 0)
            .map(|(index, value)| Operation::raise(index, value as u16, AtExit::Keep));
        semget::operate(self.id, &operations.collect::<Vec<_>>(), None)
    }

    fn is_of(self, queue: i32) -> bool {
        let tag = [(TAG, TAG_VALUE)];
        self.values().is_ok_and(|values| {
            let mut expected = pieces(queue).into_iter().chain(tag);
            expected.all(|(index, value)| values.get(index) == value)
        })
    }

    pub(crate) fn values(self) -> Result<Values, Errno> {
        semget::values(self.id).map(Values)
    }

    pub(crate) fn remove(self) {
        let _ = semget::remove(self.id);
    }

    /// Whether that sender lives; `None` if it has no place, or nobody can say.
    pub(crate) fn is_attached(self, sender: SenderNumber) -> Option<bool> {
        let (index, mark) = place_of(sender)?;
        semget::value(self.id, index)
            .ok()
            .map(|value| value == mark)
    }

    /// Attaches this process as a sender, in the place of a dead one if there is one.
    pub(crate) fn enter_sender(self) -> Result<SenderNumber, Errno> {
        for _ in 0..ATTEMPTS {
            self.fold(NEWS)?;
            let values = self.values()?;
            let (alive, unclean) = (values.get(PRODUCERS), values.get(UNCLEAN));
            let mut operations = vec![Operation::is_zero(NEVER).at_once()];
            match unclean > alive {
                true => {
                    operations.extend(compare(PRODUCERS, alive));
                    operations.extend(compare(UNCLEAN, unclean));
                }
                false => operations.push(Operation::raise(UNCLEAN, 1, AtExit::Keep)),
            }
            operations.push(Operation::raise(PRODUCERS, 1, AtExit::Undo));
            operations.extend(ring_at_death(NEWS));
            let sender = SenderNumber::new(values.free_place(), since_start()?);
            if let Some((index, mark)) = place_of(sender) {
                operations.push(Operation::is_zero(index).at_once());
                operations.push(Operation::raise(index, mark, AtExit::Undo));
            }
            match self.operate(&operations) {
                Err(Errno::EAGAIN) if values.is_closing() => std::thread::sleep(REMOVAL),
                Err(Errno::EAGAIN) => {}
                result => return result.map(|()| sender),
            }
        }
        Err(Errno::EBUSY)
    }

    pub(crate) fn leave_sender(self, sender: SenderNumber, how: Departure) -> Result<(), Errno> {
        self.fold(NEWS)?;
        let mut operations = vec![
            Operation::lower(PRODUCERS, AtExit::Undo).at_once(),
            ring_now(NEWS),
        ];
        if let Some((index, mark)) = place_of(sender) {
            operations.push(Operation::lower_by(index, mark, AtExit::Undo).at_once());
        }
        if how == Departure::Abandon {
            return self.operate(&operations);
        }
        operations.push(Operation::lower(UNCLEAN, AtExit::Keep).at_once());
        // The last to leave says whether the stream has ended.
        let is_closed = Operation::lower(CLOSED, AtExit::Keep).at_once();
        let raise = Operation::raise(CLOSED, 1, AtExit::Keep);
        let not_closed = Operation::is_zero(CLOSED).at_once();
        let (it_says_so, it_is_to_say) = match how {
            Departure::Close => ([is_closed, raise], [not_closed, raise]),
            _ => ([not_closed; 2], [is_closed, not_closed]),
        };
        for _ in 0..ATTEMPTS {
            for last in [it_says_so, it_is_to_say] {
                match self.operate(&[&operations[..], &last].concat()) {
                    Err(Errno::EAGAIN) => {}
                    result => return result,
                }
            }
        }
        self.operate(&operations)
    }

    /// Attaches this process as the receiver. `false`: there is one.
    pub(crate) fn enter_receiver(self) -> Result<bool, Errno> {
        self.fold(ROOM)?;
        let [up, down] = ring_at_death(ROOM);
        let operations = [
            Operation::is_zero(NEVER).at_once(),
            Operation::is_zero(CONSUMER).at_once(),
            Operation::raise(CONSUMER, 1, AtExit::Undo),
            up,
            down,
        ];
        for _ in 0..ATTEMPTS {
            match self.operate(&operations) {
                Ok(()) => {
                    semget::set_value(self.id, RECEIVER, 1)?;
                    return Ok(true);
                }
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno),
            }
            let values = self.values()?;
            if values.receivers() > 0 {
                return Ok(false);
            }
            if values.is_closing() {
                std::thread::sleep(REMOVAL);
            }
        }
        Err(Errno::EBUSY)
    }

    /// Keeps everybody out, if nobody is in; `None` if somebody is. For as long as the gate lives.
    pub(crate) fn close(self) -> Result<Option<Gate>, Errno> {
        let operations = [
            Operation::is_zero(PRODUCERS).at_once(),
            Operation::is_zero(CONSUMER).at_once(),
            Operation::is_zero(NEVER).at_once(),
            Operation::raise(NEVER, 1, AtExit::Undo),
        ];
        match self.operate(&operations) {
            Ok(()) => Ok(Some(Gate { set: self })),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    pub(crate) fn leave_receiver(self, how: Departure) -> Result<(), Errno> {
        match how {
            Departure::Close => semget::set_value(self.id, RECEIVER, 2)?,
            Departure::Leave => semget::set_value(self.id, RECEIVER, 0)?,
            Departure::Abandon => {}
        }
        self.fold(ROOM)?;
        let out = Operation::lower(CONSUMER, AtExit::Undo).at_once();
        self.operate(&[out, ring_now(ROOM)])
    }

    /// Tells the receiver that a sender waits.
    pub(crate) fn begin_wait(self) -> Result<(), Errno> {
        self.operate(&[Operation::raise(WAITING, 1, AtExit::Undo)])?;
        self.fold(NEWS)?;
        // One that is not there yet looks when it comes, and has no watcher to take the bells down.
        let is_there = [
            Operation::lower(CONSUMER, AtExit::Keep).at_once(),
            Operation::raise(CONSUMER, 1, AtExit::Keep),
        ];
        let ring = Operation::raise(NEWS, 1, AtExit::Keep);
        match self.operate(&[&is_there[..], &[ring]].concat()) {
            Err(Errno::EAGAIN) => Ok(()),
            result => result,
        }
    }

    pub(crate) fn end_wait(self) {
        // Fails if the set was removed.
        let _ = self.operate(&[Operation::lower(WAITING, AtExit::Undo).at_once()]);
    }

    /// The count of the eventcount.
    pub(crate) fn room(self) -> Result<u16, Errno> {
        semget::value(self.id, ROOM)
    }

    /// Sleeps while the count is `seen`, for `timeout` at most, or until a signal comes.
    pub(crate) fn wait_for_room(self, seen: u16, timeout: Option<Duration>) -> Result<(), Errno> {
        let mut operations: Vec<_> = compare(ROOM, seen).collect();
        operations.push(Operation::lower(NEVER, AtExit::Keep));
        wait(self.id, &operations, timeout)
    }

    /// Wakes the senders that wait, if there are any. Returns whether there are.
    pub(crate) fn ring_room(self) -> Result<bool, Errno> {
        if semget::value(self.id, WAITING)? == 0 {
            return Ok(false);
        }
        self.fold(ROOM)?;
        self.operate(&[Operation::raise(ROOM, 1, AtExit::Keep)])?;
        Ok(true)
    }

    /// Sleeps until somebody is attached in a role, for `timeout` at most, or until a signal comes.
    pub(crate) fn wait_for(self, role: u16, timeout: Option<Duration>) -> Result<(), Errno> {
        let operations = [
            Operation::lower(role, AtExit::Keep),
            Operation::raise(role, 1, AtExit::Keep),
        ];
        wait(self.id, &operations, timeout)
    }

    /// Sleeps until a sender leaves, dies or begins to wait, or the bell is rung, for `timeout` at most. EAGAIN when that is over.
    pub(crate) fn wait_for_news(self, timeout: Option<Duration>) -> Result<(), Errno> {
        semget::lower(self.id, NEWS, AtExit::Keep, timeout)
    }

    /// Rings the bell of news.
    pub(crate) fn ring_news(self) {
        // Fails if it is rung that often, or if the set was removed: then nobody sleeps on it.
        let _ = self.operate(&[Operation::raise(NEWS, 1, AtExit::Keep)]);
    }

    /// Keeps a count away from the largest number.
    fn fold(self, index: u16) -> Result<(), Errno> {
        // It must not become 0: who sleeps on it may not have woken.
        if semget::value(self.id, index)? <= FOLD {
            return Ok(());
        }
        match self.operate(&[Operation::lower_by(index, FOLD, AtExit::Keep).at_once()]) {
            // Somebody else did.
            Err(Errno::EAGAIN) => Ok(()),
            result => result,
        }
    }

    /// Operations that do not wait.
    fn operate(self, operations: &[Operation]) -> Result<(), Errno> {
        loop {
            match semget::operate(self.id, operations, None) {
                Err(Errno::EINTR) => {}
                result => return result,
            }
        }
    }
}

/// Nobody can attach.
#[derive(Debug)]
pub(crate) struct Gate {
    set: Set,
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Fails if the set was removed, which is what it was for.
        let open = Operation::lower(NEVER, AtExit::Undo).at_once();
        let _ = self.set.operate(&[open]);
    }
}

fn wait(id: i32, operations: &[Operation], timeout: Option<Duration>) -> Result<(), Errno> {
    match semget::operate(id, operations, timeout) {
        Err(Errno::EINTR | Errno::EAGAIN) => Ok(()),
        result => result,
    }
}

fn is_gone(errno: Option<i32>) -> bool {
    errno.is_some_and(|errno| super::is_gone(Errno::from_raw(errno)))
}

fn foreign(attempt: Attempt<'_>) -> Error {
    attempt.foreign("a semaphore set that ringway did not make has the same key")
}

fn explain(attempt: Attempt<'_>, errno: Errno) -> Error {
    match errno {
        // It has fewer semaphores.
        Errno::EINVAL => foreign(attempt),
        Errno::ENOSPC => {
            let limits = std::fs::read_to_string("/proc/sys/kernel/sem").unwrap_or_default();
            attempt
                .error(
                    ringway_core::ErrorKind::NoSpace,
                    format!(
                        "it needs a set of {LEN} semaphores, and the machine has all that kernel.sem \
                         allows: {}",
                        limits.trim().replace('\t', " ")
                    ),
                )
                .remedy(
                    "remove sets (ipcs -s, ipcrm -s) or raise the fourth or second number of kernel.sem \
                     (sysctl)",
                )
                .with_errno(errno as i32)
        }
        errno => attempt.os("semget", "cannot open or make its semaphore set", errno),
    }
}
