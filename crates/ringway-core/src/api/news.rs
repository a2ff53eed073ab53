//! What happens beside a handle's calls, told by `tracing`: who comes, goes and dies, what of the dead was put in order, who was
//! evicted.
//!
//! The kernel reports a death to the handle's [watcher](crate::presence::watcher). That thread must not run code of others: a
//! subscriber that blocks, allocates or panics there would hold back the news from the handle itself. And what the dead left is put in
//! order where messages are received, under the ring's lock if it has one. So neither tells anything. A thread of the handle's own,
//! the *reporter*, is woken by the watcher, compares the words of the segment that anybody can see with what it saw last (who holds
//! which slot, and the counter of what this handle put in order), and tells of the difference.
//!
//! ```text
//!  ASLEEP -- the watcher was woken --> LOOKING -- told, after 0, 10, 100 and 1000 ms --> ASLEEP
//!                                        ^        (each second while a dead one is in sight)
//!  the handle leaves: its own thread takes the account, looks a last time, and the reporter finds none, and ends
//! ```
//!
//! It looks several times because what follows a death takes a while, and is not announced: the kernel has more words to mark, and the
//! repair is made when somebody needs it.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | nobody listens when the handle attaches | there is no reporter |
//! | the subscriber takes long, or for ever | what it tells is late; a handle that leaves meanwhile waits for it for some seconds, and not longer |
//! | the subscriber panics | the reporter ends, and nothing more of others is told of this handle, which notices nothing |
//! | this process is killed | the thread holds nothing |
//! | this process is stopped | it looks when it goes on |
//! | `fork` | the child has no reporter, and its copy of the handle waits for none |
//! | somebody came and left between two looks | it is not told of; what is told is true |
//! | a peer writes garbage | what is told is wrong, in numbers that are shown as numbers, and ends: each look goes once over the slots |

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::dispatcher::{self, Dispatch};

use crate::address::Address;
use crate::events::tell;
use crate::memory::layout::broadcast::{Phase, STATE, State};
use crate::memory::layout::participant::{EPOCH, PID, REPAIRED, ROLE, Role, slot_offset};
use crate::memory::map::Map;
use crate::presence::outlook::Words as _;
use crate::presence::participant::Participant;
use crate::presence::watcher::Alarm;
use crate::presence::{Liveness, Outlook};
use crate::sys::futex::{self, MonotonicTime};
use crate::sys::pthread_sigmask;

/// After which times to look once more, from the last news on.
const LOOKS: [Duration; 3] = [
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
];
/// How often to look while a dead one is in sight.
const WHILE_DEAD: Duration = Duration::from_secs(1);
/// How long a handle that leaves waits for a reporter that is telling, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(5);
const ASK: Duration = Duration::from_millis(1);

/// Of which ring, and which slot of it, is told.
struct Post {
    map: Arc<Map>,
    address: Address,
    role: Role,
    me: Outlook,
    slot: u32,
    participants: u32,
    /// Whether consumers have phases.
    is_broadcast: bool,
}

/// What the reporter and the others share.
struct Desk {
    /// Counts the reasons to look.
    news: AtomicU32,
    /// The handle has left without the account, for which it has waited too long.
    given_up: AtomicBool,
    /// Until the handle leaves. Whoever looks and tells has it locked; after a panic of a subscriber it is poisoned.
    account: Mutex<Option<Account>>,
}

impl Desk {
    /// Called by the watcher as well: wakes, and nothing more.
    fn rouse(&self) {
        self.news.fetch_add(1, Ordering::Release);
        futex::wake_all(&self.news);
    }

    /// Looks, and tells what is different. Whether a dead one is in sight; `None`: the handle has left.
    fn look(&self) -> Option<bool> {
        let mut place = self.account.lock().ok()?;
        let account = place.as_mut()?;
        account.tell();
        let sees_death = account.is_death_in_sight();
        // Acquire pairs with the release in `take`.
        if self.given_up.load(Ordering::Acquire) {
            *place = None;
        }
        Some(sees_death)
    }

    /// Looks whenever there is a reason, until the handle leaves.
    fn report(&self) {
        let (mut last, mut again) = (None, LOOKS.into_iter());
        loop {
            // Acquire pairs with the release in `rouse`; before the look, so that what comes after it is seen.
            let news = self.news.load(Ordering::Acquire);
            if last.replace(news) != Some(news) {
                again = LOOKS.into_iter();
            }
            let Some(sees_death) = self.look() else {
                return;
            };
            let after = again.next().or(sees_death.then_some(WHILE_DEAD));
            let until = after.and_then(MonotonicTime::after);
            futex::wait([(&self.news, news)].into_iter(), until);
        }
    }

    /// The account, for the last look. `None`: there is none any more, or who has it takes too long.
    fn take(&self) -> Option<Account> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.account.try_lock() {
                Ok(mut account) => return account.take(),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(ASK),
                Err(_) => {
                    // Who has it finds it nobody's when it is done, or when it is roused.
                    self.given_up.store(true, Ordering::Release);
                    return None;
                }
            }
        }
    }
}

/// A reporter's owner. Dropped, before its handle leaves, it looks once more.
struct Reporter {
    desk: Arc<Desk>,
    map: Arc<Map>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if self.map.is_forked() {
            // The lock may be held by a thread that is not there.
            return;
        }
        let account = self.desk.take();
        self.desk.rouse();
        if let Some(mut account) = account.filter(|_| !thread::panicking()) {
            account.tell();
        }
    }
}

/// Tells that a participant leaves.
#[derive(Debug)]
struct Leaving {
    map: Arc<Map>,
    address: Address,
    role: Role,
    slot: u32,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.map.is_forked() && !thread::panicking() {
            tell!(
                "ringway::peer",
                DEBUG,
                "leaving",
                address = %self.address,
                role = self.role.name(),
                slot = self.slot
            );
        }
    }
}

/// Tells that this process has attached, and will tell that it leaves.
pub(crate) fn attached(
    participant: &mut Participant,
    map: &Arc<Map>,
    address: &Address,
    role: Role,
) {
    let slot = participant.slot;
    if let Some(pid) = participant.succeeds {
        tell!(
            "ringway::peer",
            INFO,
            "succeeded a dead one",
            address = %address,
            role = role.name(),
            slot,
            pid
        );
    }
    tell!(
        "ringway::peer",
        DEBUG,
        "attached",
        address = %address,
        role = role.name(),
        slot,
        epoch = participant.epoch
    );
    participant.guard_by(Box::new(Leaving {
        map: Arc::clone(map),
        address: address.clone(),
        role,
        slot,
    }));
}

/// Has what the watcher is told of reported too, if anybody listens: returns the alarm for it.
pub(crate) fn report(
    participant: &mut Participant,
    alarm: &Alarm,
    map: &Arc<Map>,
    address: &Address,
    (role, participants, is_broadcast): (Role, u32, bool),
) -> Alarm {
    if !tracing::enabled!(target: "ringway::peer", tracing::Level::WARN) {
        return Arc::clone(alarm);
    }
    let post = Post {
        map: Arc::clone(map),
        address: address.clone(),
        role,
        me: participant.outlook,
        slot: participant.slot,
        participants,
        is_broadcast,
    };
    let desk = Arc::new(Desk {
        news: AtomicU32::new(0),
        given_up: AtomicBool::new(false),
        account: Mutex::new(Some(Account::of(post))),
    });
    let name = thread::Builder::new().name("ringway-news".to_owned());
    let own = Arc::clone(&desk);
    if pthread_sigmask::spawn(name, move || own.report()).is_err() {
        // There are too many threads. The handle works all the same.
        return Arc::clone(alarm);
    }
    participant.guard_by(Box::new(Reporter {
        desk: Arc::clone(&desk),
        map: Arc::clone(map),
    }));
    let alarm = Arc::clone(alarm);
    Arc::new(move |told| {
        alarm(told);
        desk.rouse();
    })
}

/// Another participant, as it was seen.
#[derive(Clone, Copy)]
struct Seen {
    life: Liveness,
    epoch: u64,
    /// Its process id, as its own pid namespace counts.
    pid: u32,
    role: Option<Role>,
    evicted: bool,
}

/// What was told of last.
struct Account {
    post: Post,
    /// Who listens where the handle was made may listen in no other thread.
    listener: Dispatch,
    seen: Vec<Seen>,
    repaired: u64,
    evicted: bool,
}

impl Account {
    /// What is so when the handle comes. Who is dead already is told of.
    fn of(post: Post) -> Self {
        let seen: Vec<_> = (0..post.participants).map(|slot| post.look(slot)).collect();
        for (slot, one) in (0..).zip(&seen) {
            if slot != post.slot && one.life == Liveness::Dead {
                post.tell_of_death(slot, one, true);
            }
        }
        Self {
            listener: dispatcher::get_default(Dispatch::clone),
            seen,
            repaired: post.repaired(),
            evicted: false,
            post,
        }
    }

    fn is_death_in_sight(&self) -> bool {
        let mut others = (0..)
            .zip(&self.seen)
            .filter(|(slot, _)| *slot != self.post.slot);
        others.any(|(_, one)| one.life == Liveness::Dead)
    }

    /// Looks, and tells what is different.
    fn tell(&mut self) {
        let listener = self.listener.clone();
        dispatcher::with_default(&listener, || self.tell_here());
    }

    fn tell_here(&mut self) {
        let post = &self.post;
        for (slot, before) in (0..).zip(&mut self.seen) {
            if slot != post.slot {
                let now = post.look(slot);
                post.tell_of_peer(slot, before, &now);
                *before = now;
            }
        }
        let repaired = post.repaired();
        let records = repaired.wrapping_sub(self.repaired);
        if records > 0 {
            tell!("ringway::peer", INFO, "repaired", address = %post.address, slot = post.slot, records);
            self.repaired = repaired;
        }
        let evicted = post.look(post.slot).evicted;
        if evicted && !self.evicted {
            tell!("ringway::peer", WARN, "this one was evicted", address = %post.address, slot = post.slot);
        }
        self.evicted = evicted;
    }
}

impl Post {
    fn look(&self, slot: u32) -> Seen {
        let (words, at) = (&*self.map, slot_offset(slot));
        // Life before the epoch: see `Outlook::is_gone`.
        let life = self.me.liveness(words, slot);
        let epoch = words.look64(at + EPOCH);
        let evicted = self.is_broadcast
            && State::decode(words.look64(at + STATE))
                .is_some_and(|state| state.is_of(epoch) && state.phase == Phase::Evicted);
        Seen {
            life,
            epoch,
            pid: words.look32(at + PID),
            role: Role::from_code(words.look32(at + ROLE)),
            evicted,
        }
    }

    /// How many records of the dead this handle has put in order, with all before it in its slot.
    fn repaired(&self) -> u64 {
        self.map.look64(slot_offset(self.slot) + REPAIRED)
    }

    fn tell_of_peer(&self, slot: u32, before: &Seen, now: &Seen) {
        let address = &self.address;
        let is_another = now.epoch != before.epoch;
        let was_there = before.life == Liveness::Alive;
        if is_another && was_there {
            // It left or died; its successor was there before anybody looked.
            let role = before.role.map(Role::name);
            tell!("ringway::peer", INFO, "peer replaced", address = %address, role, slot, pid = before.pid);
        }
        let role = now.role.map(Role::name);
        match now.life {
            Liveness::Alive if is_another || !was_there => {
                tell!("ringway::peer", DEBUG, "peer came", address = %address, role, slot, pid = now.pid);
            }
            // One that has raised the epoch may have been seen as nobody still.
            Liveness::Dead if is_another || before.life != Liveness::Dead => {
                self.tell_of_death(slot, now, false);
            }
            Liveness::Absent if was_there && !is_another => {
                tell!("ringway::peer", DEBUG, "peer left", address = %address, role, slot, pid = now.pid);
            }
            _ => {}
        }
        let is_news = now.evicted && (is_another || !before.evicted);
        if is_news && self.role == Role::Producer {
            tell!("ringway::peer", WARN, "peer evicted", address = %address, slot, pid = now.pid);
        }
    }

    fn tell_of_death(&self, slot: u32, one: &Seen, was_before: bool) {
        let (address, role) = (&self.address, one.role.map(Role::name));
        if was_before {
            tell!("ringway::peer", INFO, "peer is dead", address = %address, role, slot, pid = one.pid);
        } else {
            tell!("ringway::peer", WARN, "peer died", address = %address, role, slot, pid = one.pid);
        }
    }
}
