//! set_robust_list(2): words that the kernel marks when a thread dies.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::errno::Errno;

/// How many entries the kernel follows at a thread's death.
pub(crate) const LIMIT: usize = 2048;

/// An entry of the list. The kernel finds its word at a fixed distance behind it.
#[repr(C)]
pub(crate) struct Node {
    next: AtomicPtr<Node>,
}

/// The head of one thread's list, in the layout that the kernel's ABI fixes.
///
/// Only its thread changes it, by single stores after each of which the list is whole; the kernel
/// reads it when that thread ends, so program order is all the order there has to be.
#[repr(C)]
pub(crate) struct RobustList {
    first: AtomicPtr<Node>,
    /// Bytes from a node to its word.
    futex_offset: libc::c_long,
    pending: AtomicPtr<Node>,
}

/// The list of the calling thread, which it cannot leave.
pub(crate) struct Registered {
    list: Box<RobustList>,
    _of_this_thread: PhantomData<*mut ()>,
}

impl Deref for Registered {
    type Target = RobustList;

    fn deref(&self) -> &RobustList {
        &self.list
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: without a list the kernel follows none; this is the thread that registered it.
        unsafe {
            libc::syscall(
                libc::SYS_set_robust_list,
                std::ptr::null::<RobustList>(),
                size_of::<RobustList>(),
            )
        };
    }
}

impl RobustList {
    /// Makes an empty list and registers it for the calling thread, for as long as the value lives.
    pub(crate) fn register(futex_offset: usize) -> Result<Registered, Errno> {
        let list = Box::new(Self {
            first: AtomicPtr::new(null_mut()),
            futex_offset: futex_offset as libc::c_long,
            pending: AtomicPtr::new(null_mut()),
        });
        // The kernel follows the list until it is back at the head.
        list.first.store(list.last(), Ordering::Relaxed);
        // SAFETY: the list has the kernel's layout and stays where it is until it is registered no
        // more (`Registered::drop`); the kernel reads it when the thread ends. glibc's own list for
        // this thread is replaced: the caller is a thread of ours that takes no robust mutex.
        let result = unsafe {
            libc::syscall(
                libc::SYS_set_robust_list,
                std::ptr::from_ref(&*list),
                size_of::<Self>(),
            )
        };
        Errno::result(result)?;
        Ok(Registered {
            list,
            _of_this_thread: PhantomData,
        })
    }

    /// Says that the word of `node`, which is linked, is about to be given up: if the thread dies when the
    /// word has become 0, the kernel wakes one who sleeps on it.
    pub(crate) fn begin(&self, node: NonNull<Node>) {
        self.pending.store(node.as_ptr(), Ordering::Release);
    }

    /// Says that all who slept on that word are woken, and its node is unlinked.
    pub(crate) fn end(&self) {
        self.pending.store(null_mut(), Ordering::Release);
    }

    /// What the last node points to.
    fn last(&self) -> *mut Node {
        std::ptr::from_ref(&self.first).cast_mut().cast()
    }

    /// Puts `node` in front.
    ///
    /// # Safety
    /// `node` must stay valid, written by nobody else, until it is unlinked; its word, at the
    /// list's distance, must be mapped as long. Only the list's own thread may call this.
    pub(crate) unsafe fn link(&self, node: *mut Node) {
        // SAFETY: the caller vouches for `node`.
        unsafe {
            (*node)
                .next
                .store(self.first.load(Ordering::Relaxed), Ordering::Release)
        };
        self.first.store(node, Ordering::Release);
    }

    /// Takes `node` out, if it is in.
    ///
    /// # Safety
    /// Only the list's own thread may call this; all linked nodes must be valid.
    pub(crate) unsafe fn unlink(&self, node: *mut Node) {
        let mut link = &self.first;
        loop {
            let next = link.load(Ordering::Relaxed);
            if next == self.last() {
                return;
            }
            // SAFETY: `next` is a linked node, which is valid by the contract of `link`.
            let after = unsafe { &(*next).next };
            if next == node {
                link.store(after.load(Ordering::Relaxed), Ordering::Release);
                return;
            }
            link = after;
        }
    }
}
