//! The keeper: one sleeping thread per process, whose robust list stands for all of the process's
//! liveness words.
//!
//! Only the keeper takes words and links nodes. A word is then written by the very thread whose death
//! the kernel reports, so there is no instant at which the process could die and leave a word that
//! nobody marks: the node is linked first, the compare-and-swap follows, and before it the kernel
//! finds a word that does not carry the keeper's thread id and leaves it alone.
//!
//! The keeper blocks all signals, holds no lock, and sleeps until the process attaches or leaves. A
//! child of `fork` has no keeper; it gets one of its own when it attaches somewhere itself.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::mpsc;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use crate::planted::{self, Bug};
use crate::segment::map::{FRONT, Map};
use crate::sys::robust_list::{self, RobustList};
use crate::sys::{futex, membarrier, mmap, page_size};
use crate::unwinding::Unwinding;

/// Why a word was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It did not hold the expected value but this one.
    Changed(u32),
    /// This process holds as many words as the kernel follows.
    TooMany,
    /// The keeper could not be started.
    Os(Errno),
}

/// A word that this process holds. Left in order when dropped, unless a panic that began since unwinds through its
/// owner, or [`leave`](Self::leave) decides it.
#[derive(Debug)]
pub(crate) struct Claim {
    map: Arc<Map>,
    offset: usize,
    pid: u32,
    hand: Hand,
    /// Whether its end is a death, if that is decided.
    died: Option<bool>,
    unwinding: Unwinding,
}

/// A thread with a robust list, as others reach it. It ends when nobody does any more.
#[derive(Clone, Debug)]
pub(crate) struct Hand {
    jobs: mpsc::Sender<Job>,
    /// 1 when the thread shall do its jobs instead of watching.
    stop: Arc<AtomicU32>,
    /// The process.
    pid: u32,
}

/// Watches until the word is 1, and sleeps on no other condition without sleeping on that.
pub(crate) type Watch = Box<dyn FnOnce(&AtomicU32) + Send>;

/// Whether this kernel has what ringway needs, and `membarrier` besides. Found out once per process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Abilities {
    /// Other processes' barriers reach this one.
    pub(crate) membarrier: bool,
}

struct Keeper {
    mark: Mark,
    hand: Hand,
    abilities: Abilities,
}

enum Job {
    Take {
        map: Arc<Map>,
        offset: usize,
        expected: u32,
        reply: mpsc::Sender<Result<(), Refusal>>,
    },
    Leave {
        map: Arc<Map>,
        offset: usize,
        value: u32,
        reply: mpsc::Sender<()>,
    },
    Watch(Watch),
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Take { .. } => "Take",
            Self::Leave { .. } => "Leave",
            Self::Watch(_) => "Watch",
        })
    }
}

/// A word that the kernel clears in a child of `fork`, so that telling whose the keeper is takes no
/// system call.
struct Mark {
    page: NonNull<c_void>,
    len: NonZeroUsize,
}

impl Mark {
    const PARENT: u32 = 1;

    fn new() -> Result<Self, Errno> {
        let len = NonZeroUsize::new(page_size()).ok_or(Errno::EINVAL)?;
        let mark = Self {
            page: mmap::reserve(len)?,
            len,
        };
        // SAFETY: the page was just reserved: private, anonymous, and only ours.
        unsafe { mmap::wipe_on_fork(mark.page, len.get())? };
        mark.word().store(Self::PARENT, Ordering::Relaxed);
        Ok(mark)
    }

    fn is_forked(&self) -> bool {
        self.word().load(Ordering::Relaxed) != Self::PARENT
    }

    fn word(&self) -> &AtomicU32 {
        // SAFETY: the start of a page that is mapped while `self` lives, only ever used as this word.
        unsafe { AtomicU32::from_ptr(self.page.as_ptr().cast()) }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // SAFETY: the page is this value's alone.
        unsafe { mmap::unmap(self.page, self.len.get()) };
    }
}

/// The keeper of the process that started it; leaked, as threads of the process may be using it. A
/// child of `fork` sees that it is not its own and starts another.
static KEEPER: AtomicPtr<Keeper> = AtomicPtr::new(std::ptr::null_mut());

/// The kernel's abilities; starts the keeper if need be.
pub(crate) fn abilities() -> Result<Abilities, Errno> {
    keeper().map(|keeper| keeper.abilities)
}

/// Takes the liveness word at `offset` if it holds `expected`.
pub(crate) fn take(map: &Arc<Map>, offset: usize, expected: u32) -> Result<Claim, Refusal> {
    shared().map_err(Refusal::Os)?.take(map, offset, expected)
}

/// The thread that keeps all words of this process which it does not keep by a thread of their own.
pub(crate) fn shared() -> Result<Hand, Errno> {
    keeper().map(|keeper| keeper.hand.clone())
}

/// A thread for one word, which can watch the words of others meanwhile. Its own word is marked after it
/// has left their queues: see [`watcher`](super::watcher).
pub(crate) fn own() -> Result<Hand, Errno> {
    // What the kernel has to have for it, the first keeper finds out.
    keeper()?;
    start_thread("ringway-watcher")
}

impl Hand {
    /// Takes the liveness word at `offset` if it holds `expected`.
    pub(crate) fn take(
        &self,
        map: &Arc<Map>,
        offset: usize,
        expected: u32,
    ) -> Result<Claim, Refusal> {
        let gone = Refusal::Os(Errno::ESRCH);
        let (reply, answer) = mpsc::channel();
        let job = Job::Take {
            map: Arc::clone(map),
            offset,
            expected,
            reply,
        };
        self.jobs.send(job).map_err(|_| gone)?;
        answer.recv().map_err(|_| gone)??;
        Ok(Claim {
            map: Arc::clone(map),
            offset,
            pid: self.pid,
            hand: self.clone(),
            died: None,
            unwinding: Unwinding::new(),
        })
    }

    /// Lets the thread watch, until a word that it keeps is given up.
    pub(crate) fn watch(&self, watch: Watch) {
        // It lives as long as this.
        let _ = self.jobs.send(Job::Watch(watch));
    }
}

impl Claim {
    /// The process that holds the word.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Leaves the word; as the dead do, if what its holder was about will not be completed.
    pub(crate) fn leave(mut self, died: bool) {
        self.died = Some(died);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.map.is_forked() {
            return;
        }
        let value = if self.died.unwrap_or_else(|| self.unwinding.has_begun()) {
            // What this process was about is not complete; its peers shall see a death.
            futex::OWNER_DIED | futex::WAITERS
        } else {
            0
        };
        let (reply, answer) = mpsc::channel();
        let job = Job::Leave {
            map: Arc::clone(&self.map),
            offset: self.offset,
            value,
            reply,
        };
        self.hand.stop.store(1, Ordering::Release);
        futex::wake_all(&self.hand.stop);
        if self.hand.jobs.send(job).is_ok() {
            // The node lies in the map's front, which may go as soon as this returns.
            let _ = answer.recv();
        }
    }
}

fn keeper() -> Result<&'static Keeper, Errno> {
    // Acquire pairs with the Release of the exchange below: the keeper's fields are seen.
    let current = KEEPER.load(Ordering::Acquire);
    // SAFETY: what KEEPER points to is leaked.
    if let Some(keeper) = unsafe { current.as_ref() }
        && !keeper.mark.is_forked()
    {
        return Ok(keeper);
    }
    let started = Box::into_raw(Box::new(start()?));
    let exchanged = KEEPER.compare_exchange(current, started, Ordering::AcqRel, Ordering::Acquire);
    let keeper = match exchanged {
        Ok(_) => started,
        Err(theirs) => {
            // Another thread was first. Dropping ours ends its thread, which holds no word.
            // SAFETY: `started` came from Box::into_raw and was shown to nobody.
            drop(unsafe { Box::from_raw(started) });
            theirs
        }
    };
    // SAFETY: what KEEPER points to is leaked.
    Ok(unsafe { &*keeper })
}

fn start() -> Result<Keeper, Errno> {
    if !futex::can_wait_on_two() {
        return Err(Errno::ENOSYS);
    }
    let abilities = Abilities {
        membarrier: membarrier::register(),
    };
    Ok(Keeper {
        mark: Mark::new()?,
        hand: start_thread("ringway-keeper")?,
        abilities,
    })
}

/// Starts a thread with a robust list.
fn start_thread(name: &str) -> Result<Hand, Errno> {
    let (jobs, queue) = mpsc::channel();
    let (reply, answer) = mpsc::channel();
    let stop = Arc::new(AtomicU32::new(0));
    let hand = Hand {
        jobs,
        stop: Arc::clone(&stop),
        pid: std::process::id(),
    };
    spawn(name, move || keep(queue, reply, &stop))?;
    answer.recv().map_err(|_| Errno::ESRCH)??;
    Ok(hand)
}

/// Starts a thread on a small stack, and with all signals blocked, so that no handler of the program ever
/// runs on it.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    // The thread inherits the mask.
    let mut before = SigSet::empty();
    pthread_sigmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut before),
    )?;
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(64 << 10)
        .spawn(body);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    spawned
        .map(drop)
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))
}

fn keep(queue: mpsc::Receiver<Job>, ready: mpsc::Sender<Result<(), Errno>>, stop: &AtomicU32) {
    let list = match RobustList::register(FRONT) {
        Ok(list) => {
            let _ = ready.send(Ok(()));
            list
        }
        Err(errno) => {
            let _ = ready.send(Err(errno));
            return;
        }
    };
    let list = &*list;
    let tid = nix::unistd::gettid().as_raw() as u32;
    let mut held = 0;
    for job in queue {
        match job {
            Job::Take {
                map,
                offset,
                expected,
                reply,
            } => {
                let taken = if held < robust_list::LIMIT {
                    take_here(list, tid, &map, offset, expected)
                } else {
                    Err(Refusal::TooMany)
                };
                held += usize::from(taken.is_ok());
                let _ = reply.send(taken);
            }
            Job::Leave {
                map,
                offset,
                value,
                reply,
            } => {
                if let (Some(node), Some(word)) = (map.node(offset), map.word32(offset)) {
                    leave_here(list, node, word, value);
                    held -= 1;
                }
                let _ = reply.send(());
            }
            Job::Watch(watch) => watch(stop),
        }
    }
}

fn take_here(
    list: &RobustList,
    tid: u32,
    map: &Map,
    offset: usize,
    expected: u32,
) -> Result<(), Refusal> {
    let (Some(node), Some(word)) = (map.node(offset), map.word32(offset)) else {
        return Err(Refusal::Os(Errno::EFAULT));
    };
    // SAFETY: the node lies in the private front of `map`, at the list's distance from its word;
    // whoever holds the word keeps the map until it has had the node unlinked (`Claim::drop`). This
    // is the list's thread.
    let link = || unsafe { list.link(node.as_ptr()) };
    if !planted::is(Bug::NodeLinkedLate) {
        link();
    }
    let mine = (tid & futex::TID_MASK) | futex::WAITERS;
    // Acquire pairs with the Release in `Claim::leave`: what the last holder did is seen; the kernel's
    // mark of a death is a full barrier. Release: a peer that sees this holder sees what came before.
    match word.compare_exchange(expected, mine, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            if planted::is(Bug::NodeLinkedLate) {
                link();
            }
            Ok(())
        }
        Err(found) => {
            unlink(list, node);
            Err(Refusal::Changed(found))
        }
    }
}

/// Gives a word up, and wakes who sleeps on it. If the thread dies between the two, the kernel wakes one.
fn leave_here(list: &RobustList, node: NonNull<robust_list::Node>, word: &AtomicU32, value: u32) {
    list.begin(node);
    // Release: whatever this process did in the segment is seen by who reads the word with Acquire
    // (`Participant::attach` of a successor, a peer's liveness check).
    word.store(value, Ordering::Release);
    futex::wake_all(word);
    unlink(list, node);
    list.end();
}

fn unlink(list: &RobustList, node: NonNull<robust_list::Node>) {
    // SAFETY: this is the list's thread, and all linked nodes are valid (see `take_here`).
    unsafe { list.unlink(node.as_ptr()) };
}
