//! Looking at rings and queues from outside, removing them, and collecting what the dead left.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::time::Duration;

use ringway::gc::{Fate, Gc};
use ringway::inspect::{ParticipantStat, Stat, WaitsFor};
use ringway::peer::Role;
use ringway::{Address, Channel, Kind, SyncKind, inspect, mq};

use crate::options::{KINDS, address};
use crate::outcome::{Fault, NULL, guard, guard_unit};
use crate::ring::number;
use crate::sized::{self, Sized, read};

/// A ring or a queue as an observer sees it. Set `size`, and give it to ringway_stat. What a queue does not tell is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_stat_t {
    /// sizeof(ringway_stat_t)
    pub size: usize,
    /// RINGWAY_SPSC, ...
    pub kind: u32,
    /// RINGWAY_FUTEX, ...
    pub sync: u32,
    /// Bytes for messages.
    pub capacity: u64,
    /// Bytes that messages take now.
    pub used: u64,
    /// Messages that wait.
    pub messages: u64,
    /// Messages ever sent.
    pub sent: u64,
    /// Messages ever received and released.
    pub received: u64,
    /// What the dead left and others put in order.
    pub repaired: u64,
    /// Messages that senders overwrote.
    pub overwritten: u64,
    /// How many senders ever attached.
    pub senders_ever: u64,
    /// When it was made, nanoseconds since 1970.
    pub created_ns: u64,
    /// Live senders.
    pub senders: u32,
    /// Live receivers.
    pub receivers: u32,
    /// Places that the dead hold.
    pub dead: u32,
    /// Whether it is a message queue of the kernel.
    pub is_queue: bool,
    /// Whether senders overwrite the oldest message when it is full.
    pub overwrites_oldest: bool,
    /// Whether the last sender to leave closed, and none has come since.
    pub senders_closed: bool,
    /// Whether the last receiver to leave closed, and none has come since.
    pub receivers_closed: bool,
}

// SAFETY: repr(C), begins with its size. It is written by the library and never read from the caller.
unsafe impl Sized for ringway_stat_t {}

/// One who is attached to a ring, or died attached to it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_participant_t {
    /// Its process id as this process can use it; 0 if it cannot be seen from here, or has gone.
    pub pid: u32,
    /// Whether it is a receiver, and no sender.
    pub is_receiver: bool,
    /// Whether it lives, by the kernel's word.
    pub alive: bool,
    /// Whether it sleeps, for a message or for room; not known of kind spsc with sync futex.
    pub sleeps: bool,
    /// When it attached, nanoseconds since 1970.
    pub attached_ns: u64,
    /// Messages that holders of its place ever sent or released.
    pub messages: u64,
}

/// Shows a participant; it is valid until this returns.
pub type ringway_each_participant_t =
    Option<unsafe extern "C" fn(context: *mut c_void, participant: *const ringway_participant_t)>;

fn fill(stat: &Stat) -> ringway_stat_t {
    let mut filled: ringway_stat_t = sized::zero();
    filled.kind = number(stat.kind, &KINDS);
    filled.sync = number(stat.sync, &SyncKind::ALL);
    filled.capacity = stat.capacity_bytes;
    filled.used = stat.used_bytes;
    let gone = stat.received.saturating_add(stat.overwritten);
    filled.messages = stat.sent.saturating_sub(gone);
    filled.sent = stat.sent;
    filled.received = stat.received;
    filled.repaired = stat.repaired;
    filled.overwritten = stat.overwritten;
    filled.senders_ever = stat.producers_ever;
    filled.created_ns = stat.created_ns;
    for one in &stat.participants {
        match (one.alive, one.role) {
            (false, _) => filled.dead += 1,
            (true, Role::Producer) => filled.senders += 1,
            (true, _) => filled.receivers += 1,
        }
    }
    filled.overwrites_oldest = stat.overwrites_oldest;
    filled.senders_closed = stat.producer_closed;
    filled.receivers_closed = stat.consumer_closed;
    filled
}

/// Looks at the ring or queue at `address`, without taking part. `stat->size` says how much of it there is. `each` (may be null) is shown each participant
/// of a ring.
///
/// Fails as ringway_open does.
///
/// # Safety
/// `address` ends with a zero byte; `stat` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_stat(
    address: *const c_char,
    stat: *mut ringway_stat_t,
    each: ringway_each_participant_t,
    context: *mut c_void,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let address = Channel::find(&unsafe { self::address(address) }?)?;
        let filled = match &address {
            Address::Mq(_) | Address::Sysvmq(_) => {
                let found = mq::stat(&address)?;
                let mut filled: ringway_stat_t = sized::zero();
                filled.kind = number(Kind::Mpsc, &KINDS);
                filled.is_queue = true;
                filled.capacity = found.max_bytes.unwrap_or(0);
                filled.used = found.bytes;
                filled.messages = found.messages;
                filled.senders = found.senders as u32;
                filled.receivers = found.receivers as u32;
                filled
            }
            _ => {
                let found = inspect::stat(&address)?;
                if let Some(each) = each {
                    for one in &found.participants {
                        let shown = participant(one);
                        // SAFETY: the caller's function, called as it is declared.
                        unsafe { each(context, &raw const shown) };
                    }
                }
                fill(&found)
            }
        };
        // SAFETY: the caller's promise.
        unsafe { sized::write(stat, &filled) }
    })
}

fn participant(one: &ParticipantStat) -> ringway_participant_t {
    ringway_participant_t {
        pid: one.pid_here().unwrap_or(0),
        is_receiver: one.role == Role::Consumer,
        alive: one.alive,
        sleeps: matches!(one.waits_for, Some(WaitsFor::Message | WaitsFor::Room)),
        attached_ns: one.attached_ns,
        messages: one.messages,
    }
}

/// Shows an address; it is valid until this returns.
pub type ringway_each_address_t =
    Option<unsafe extern "C" fn(context: *mut c_void, address: *const c_char)>;

/// Shows the addresses of all rings and queues of ringway's on this machine that have a name which can be listed and that this user may read.
/// Returns how many.
///
/// # Safety
/// `each` does what it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_list(each: ringway_each_address_t, context: *mut c_void) -> i64 {
    guard(|| {
        let each = each.ok_or(NULL)?;
        let mut all = inspect::list();
        all.extend(mq::list());
        for address in &all {
            let text = text(&address.to_string());
            // SAFETY: the caller's function, called as it is declared.
            unsafe { each(context, text.as_ptr()) };
        }
        Ok(all.len() as i64)
    })
}

fn text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Removes the ring or queue at `address`. Processes that have it open go on; nobody else will find it. Unless `force` is set, that is refused
/// (RINGWAY_BUSY) while a live process is attached.
///
/// # Safety
/// `address` ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_remove(address: *const c_char, force: bool) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        Ok(Channel::remove(&unsafe { self::address(address) }?, force)?)
    })
}

/// What ringway_gc looks at and does. All zero but the size: all there is, and nothing is removed: RINGWAY_GC_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_gc_options_t {
    /// sizeof(ringway_gc_options_t)
    pub size: usize,
    /// The one ring or queue to look at; null: all.
    pub address: *const c_char,
    /// How the names of rings begin that it looks at; null: any.
    pub prefix: *const c_char,
    /// Leaves alone what was made or used in the last so many nanoseconds.
    pub older_than_ns: u64,
    /// RINGWAY_YES removes what it finds; else it only tells.
    pub remove: i32,
    /// RINGWAY_YES removes rings in which messages wait, too.
    pub undelivered: i32,
}

// SAFETY: repr(C), begins with its size, and has integers and pointers.
unsafe impl Sized for ringway_gc_options_t {}

/// It is removed.
pub const RINGWAY_GC_REMOVED: i32 = 0;
/// It is garbage, and would be removed.
pub const RINGWAY_GC_REMOVABLE: i32 = 1;
/// It stays.
pub const RINGWAY_GC_KEPT: i32 = 2;

/// Shows what was found: what it is, RINGWAY_GC_REMOVED, ..., and why it stays ("" of others). The texts are valid until this returns.
pub type ringway_each_found_t = Option<
    unsafe extern "C" fn(context: *mut c_void, what: *const c_char, fate: i32, why: *const c_char),
>;

/// Collects what dead processes left behind: it hurts nobody who lives, and keeps messages that nobody has received, unless that is asked for.
/// `options` and `each` may be null. Returns how many things were removed, or would be.
///
/// # Safety
/// `options` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_gc(
    options: *const ringway_gc_options_t,
    each: ringway_each_found_t,
    context: *mut c_void,
) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { read(options) }?;
        let dry_run = options.remove != crate::options::RINGWAY_YES;
        let undelivered = options.undelivered == crate::options::RINGWAY_YES;
        let mut rings = Gc::new().dry_run(dry_run).undelivered(undelivered);
        let queue_gc = mq::Gc::new().dry_run(dry_run).undelivered(undelivered);
        if options.older_than_ns > 0 {
            rings = rings.older_than(Duration::from_nanos(options.older_than_ns));
        }
        if !options.prefix.is_null() {
            // SAFETY: the caller's promise.
            let prefix = unsafe { CStr::from_ptr(options.prefix) }.to_string_lossy();
            rings = rings.prefix(prefix);
        }
        let mut queues = Vec::new();
        let mut any_ring = true;
        if options.address.is_null() {
            // Of a queue nothing tells its age.
            if options.older_than_ns == 0 {
                queues = mq::list();
                queues.retain(|queue| rings.allows_name(queue));
            }
        } else {
            // SAFETY: the caller's promise.
            match unsafe { address(options.address) }? {
                queue @ (Address::Mq(_) | Address::Sysvmq(_)) => {
                    queues.push(queue);
                    any_ring = false;
                }
                ring => rings = rings.address(ring),
            }
        }
        let mut found: Vec<(String, Fate)> = Vec::new();
        let mut failure = None;
        if any_ring {
            let report = rings.run();
            found.extend(
                report
                    .found
                    .into_iter()
                    .map(|one| (one.what.to_string(), one.fate)),
            );
            failure = report.failures.into_iter().next();
        }
        for queue in queues {
            match queue_gc.collect(&queue) {
                Ok(Some(fate)) => found.push((queue.to_string(), fate)),
                Ok(None) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let mut removed = 0;
        for (what, fate) in &found {
            let (number, why) = match fate {
                Fate::Removed => (RINGWAY_GC_REMOVED, String::new()),
                Fate::Removable => (RINGWAY_GC_REMOVABLE, String::new()),
                Fate::Kept(why) => (RINGWAY_GC_KEPT, why.to_string()),
                _ => (RINGWAY_GC_KEPT, String::new()),
            };
            removed += i64::from(number != RINGWAY_GC_KEPT);
            if let Some(each) = each {
                let (what, why) = (text(what), text(&why));
                // SAFETY: the caller's function, called as it is declared.
                unsafe { each(context, what.as_ptr(), number, why.as_ptr()) };
            }
        }
        // What was found is told; what could not be looked at is the error.
        match failure {
            Some(error) => Err(Fault::from(error)),
            None => Ok(removed),
        }
    })
}
