//! fork(2): how a process tells that it is not the one that made something.
//!
//! A child of `fork` gets copies of its parent's handles and must not act by them. That it is a child is told by one
//! word in a page that the kernel clears in it (`MADV_WIPEONFORK`): `pthread_atfork` would miss `_Fork(3)` and a bare
//! `clone`, and a process id may be that of an ancestor in another namespace.
//!
//! The word holds a number that no ancestor of the process had. A child that wants one itself takes the next.
//!
//! Who asks with each message asks nothing: what it compares anyway lies in a page of that sort (`Wiped`), and a child
//! finds 0 there.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

#[cfg(not(miri))]
use memmap2::MmapRaw;
use nix::errno::Errno;

#[cfg(not(miri))]
use super::mmap;
use super::sysconf::page_size;

/// The process that made something.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    mark: &'static AtomicU64,
    /// What the mark held there.
    number: u64,
}

/// The marked page, which is never unmapped. At the same place in children.
static MARK: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());
/// The number that this process or an ancestor took last.
static LAST: AtomicU64 = AtomicU64::new(0);

impl Origin {
    /// This process.
    ///
    /// # Errors
    /// ENOMEM, when this is called for the first time.
    pub fn here() -> Result<Self, Errno> {
        let mark = mark()?;
        // Relaxed here and below: only the numbers themselves are compared.
        let seen = mark.load(Ordering::Relaxed);
        if seen != 0 {
            return Ok(Self { mark, number: seen });
        }
        let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        // Another thread may be first; all of this process say the same.
        let marked = mark.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
        let number = marked.map_or_else(|theirs| theirs, |_| next);
        Ok(Self { mark, number })
    }

    /// Whether this process is another one: a child of that.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.now() != self.number
    }

    /// A number of the process that asks: 0 in a child, until it has made an origin of its own, and then another one than in all
    /// its ancestors. Never all ones.
    #[inline(always)]
    pub fn now(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }
}

fn mark() -> Result<&'static AtomicU64, Errno> {
    // Acquire pairs with the release below: the page is mapped and zero.
    let current = MARK.load(Ordering::Acquire);
    // SAFETY: what MARK points to is never unmapped, and only ever used as this word.
    if let Some(mark) = unsafe { current.as_ref() } {
        return Ok(mark);
    }
    let made = Page::new()?;
    let kept = MARK.compare_exchange(
        std::ptr::null_mut(),
        made.mark(),
        Ordering::AcqRel,
        Ordering::Acquire,
    );
    let mark = match kept {
        // Never unmapped.
        Ok(_) => {
            let mark = made.mark();
            std::mem::forget(made);
            mark
        }
        Err(theirs) => theirs,
    };
    // SAFETY: as above.
    Ok(unsafe { &*mark })
}

/// A page that begins with the mark.
#[cfg(not(miri))]
struct Page(MmapRaw);

#[cfg(not(miri))]
impl Page {
    fn new() -> Result<Self, Errno> {
        let page = mmap::reserve(page_size())?;
        mmap::wipe_on_fork(&page)?;
        Ok(Self(page))
    }

    fn mark(&self) -> *mut AtomicU64 {
        self.0.as_mut_ptr().cast()
    }
}

/// A number of this process's own, with a page for it: a child of `fork` finds 0 in its place.
///
/// Where no such page is to be had it is 0 for ever, as in a child. So its owner must take 0 for "ask".
#[derive(Debug)]
pub(crate) struct Wiped {
    /// In the page, or [`NOTHING`]. Only the owner reads and writes it, by ordinary loads and stores.
    word: NonNull<u64>,
    #[cfg(not(any(miri, loom)))]
    page: Option<MmapRaw>,
}

// SAFETY: the page is this one's own, and what there is instead of one is never written.
unsafe impl Send for Wiped {}
// SAFETY: it is written by who has it for itself only.
unsafe impl Sync for Wiped {}

/// What there is where there is no page.
#[cfg(not(any(miri, loom)))]
static NOTHING: u64 = 0;

impl Wiped {
    /// A number that is 0 until it is set.
    #[cfg(not(any(miri, loom)))]
    pub(crate) fn new() -> Self {
        let page = Page::new().ok().map(|Page(page)| page);
        let word = page.as_ref().map(|page| page.as_mut_ptr().cast());
        Self {
            word: word
                .and_then(NonNull::new)
                .unwrap_or(NonNull::from(&NOTHING)),
            page,
        }
    }

    /// Neither Miri nor a model forks.
    #[cfg(any(miri, loom))]
    pub(crate) fn new() -> Self {
        Self {
            word: NonNull::from(Box::leak(Box::default())),
        }
    }

    /// What was set last, in this process.
    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        // SAFETY: the word lies in the page, which stays mapped as long as this lives, or is a static. Nobody writes it
        // meanwhile: `set` takes the owner for its own.
        unsafe { self.word.read() }
    }

    /// Sets it. A child must not: to it, 0 says what it is.
    #[inline]
    pub(crate) fn set(&mut self, number: u64) {
        #[cfg(not(any(miri, loom)))]
        if self.page.is_none() {
            return;
        }
        // SAFETY: as for `get`.
        unsafe { self.word.write(number) };
    }
}

#[cfg(any(miri, loom))]
impl Drop for Wiped {
    fn drop(&mut self) {
        // SAFETY: made from a box, and used by nobody any more.
        drop(unsafe { Box::from_raw(self.word.as_ptr()) });
    }
}

/// Miri does not fork.
#[cfg(miri)]
struct Page(NonNull<AtomicU64>);

#[cfg(miri)]
impl Page {
    fn new() -> Result<Self, Errno> {
        Ok(Self(NonNull::from(Box::leak(Box::default()))))
    }

    fn mark(&self) -> *mut AtomicU64 {
        self.0.as_ptr()
    }
}

#[cfg(all(test, not(miri), not(loom)))]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    use super::*;

    /// A child by the bare system call, of which no library hears.
    fn in_a_child(play: impl FnOnce() -> bool) -> bool {
        // SAFETY: as fork; the child does what takes no lock, and exits.
        match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
            0 => {
                let code = i32::from(!play());
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(code) }
            }
            child => {
                let child = Pid::from_raw(child as i32);
                waitpid(child, None) == Ok(WaitStatus::Exited(child, 0))
            }
        }
    }

    #[test]
    fn a_child_of_a_bare_clone_finds_nothing_in_a_page_that_is_wiped() {
        let (mut one, mut other) = (Wiped::new(), Wiped::new());
        one.set(7);
        other.set(8);
        assert!(in_a_child(|| one.get() == 0 && other.get() == 0));
        assert_eq!((one.get(), other.get()), (7, 8));
    }

    #[test]
    fn a_child_of_a_bare_clone_is_another_process() {
        let origin = Origin::here().unwrap();
        assert!(!origin.is_forked());
        assert!(in_a_child(|| {
            let own = Origin::here();
            let told = origin.is_forked() && own.is_ok_and(|own| !own.is_forked());
            let of_a_child =
                own.is_ok_and(|own| in_a_child(|| own.is_forked() && origin.is_forked()));
            told && of_a_child
        }));
        assert!(!origin.is_forked());
    }
}
