//! set_robust_list(2): words that the kernel marks when a thread dies.
//!
//! The kernel follows the list by pointers, which must not lie where a peer can write them, and finds the word of each
//! node at one distance that is the same for the whole list. So list and nodes lie in memory of their own, which
//! mirrors the part of the segment that the words are in:
//!
//! ```text
//!  | list | nodes ...               |          | ... words ...           |
//!           node of word w at w - distance       ^ word w
//! ```
//!
//! That memory is *shared* anonymous memory, though nobody shares it: what is private can be taken from a process
//! that was killed before its threads have come to their ends (`process_mrelease(2)`, or the kernel itself when memory
//! is short), and then no word would be marked. A child of `fork` does not get it.

use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::errno::Errno;

use super::mmap;
use super::sysconf::page_size;

/// How many entries the kernel follows at a thread's death.
pub(crate) const LIMIT: usize = 2048;

/// An entry of the list.
#[repr(C)]
struct Node {
    next: AtomicPtr<Node>,
}

/// The head of one thread's list, in the layout that the kernel's ABI fixes.
#[repr(C)]
struct Head {
    first: AtomicPtr<Node>,
    /// Bytes from a node to its word.
    distance: libc::c_long,
    pending: AtomicPtr<Node>,
}

/// Bytes that the head takes.
const HEAD_LEN: usize = 64;
const _: () = assert!(size_of::<Head>() <= HEAD_LEN);

/// A list for words of a part of a segment, and memory for all nodes that it may have.
///
/// Only the thread that registered it changes it, by single stores after each of which the list is whole; the kernel
/// reads it when that thread ends, so program order is all the order there has to be.
#[derive(Debug)]
pub(crate) struct RobustList {
    memory: NonNull<c_void>,
    len: NonZeroUsize,
    /// Where the words may lie, in bytes from the segment's start.
    words: Range<usize>,
}

// SAFETY: memory that this value owns, and of which all but one thread keep off between `register` and that
// thread's end.
unsafe impl Send for RobustList {}
// SAFETY: as for Send; what is changed is atomic.
unsafe impl Sync for RobustList {}

impl RobustList {
    /// An empty list for words that lie at `words` in the segment whose first byte is at `base`.
    pub(crate) fn new(base: NonNull<u8>, words: Range<usize>) -> Result<Self, Errno> {
        let page = page_size();
        let len = (HEAD_LEN + words.len() + size_of::<Node>()).next_multiple_of(page);
        let len = NonZeroUsize::new(len).ok_or(Errno::EINVAL)?;
        let memory = mmap::share(len)?;
        let list = Self { memory, len, words };
        // From here on a failure unmaps it, by drop.
        // SAFETY: the range was just mapped, and is only ours.
        unsafe {
            mmap::keep_from_children(memory, len.get())?;
            mmap::populate(memory, page)?;
        }
        let first_node = memory.addr().get() + HEAD_LEN;
        let first_word = base.addr().get() + list.words.start;
        let head = Head {
            first: AtomicPtr::new(null_mut()),
            distance: first_word.wrapping_sub(first_node) as libc::c_long,
            pending: AtomicPtr::new(null_mut()),
        };
        // SAFETY: a page or more, aligned; nobody else knows of it yet.
        unsafe { list.head().write(head) };
        list.clear();
        Ok(list)
    }

    /// Makes it the list of the calling thread, in place of the C library's: the caller is a thread of ours that
    /// takes no robust mutex. It stays so until the thread ends, which it has to before this value goes.
    pub(crate) fn register(&self) -> Result<(), Errno> {
        // SAFETY: the head has the kernel's layout; that it outlives the thread is the caller's business, who joins it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_set_robust_list,
                self.head().as_ptr(),
                size_of::<Head>(),
            )
        };
        Errno::result(result).map(drop)
    }

    /// Makes the memory for the nodes of the words at `offsets` be there. A lack of it shows here.
    pub(crate) fn prepare(&self, offsets: impl Iterator<Item = usize>) -> Result<(), Errno> {
        let page_len = page_size();
        // The list itself is on the first one.
        let mut last = Some(0);
        for offset in offsets {
            let node = self.node(offset).ok_or(Errno::EFAULT)?;
            // Nodes are aligned, so none is cut by the end of a page.
            let page = (node.addr().get() - self.memory.addr().get()) & !(page_len - 1);
            if last.replace(page) != Some(page) {
                // SAFETY: the page lies in the memory.
                unsafe { mmap::populate(self.memory.byte_add(page), page_len)? };
            }
        }
        Ok(())
    }

    /// Puts the node of the word at `offset` in front: the kernel comes to it first. [Prepared](Self::prepare).
    pub(crate) fn link(&self, offset: usize) {
        if let Some(node) = self.node(offset) {
            let first = self.first().load(Ordering::Relaxed);
            // SAFETY: in the memory, aligned, and only this thread writes nodes.
            unsafe { (*node.as_ptr()).next.store(first, Ordering::Release) };
            self.first().store(node.as_ptr(), Ordering::Release);
        }
    }

    /// Takes all nodes out but the one that was linked first, that of the word at `offset`.
    pub(crate) fn keep_first_linked(&self, offset: usize) {
        if let Some(node) = self.node(offset) {
            self.first().store(node.as_ptr(), Ordering::Release);
        }
    }

    /// Takes all nodes out.
    pub(crate) fn clear(&self) {
        // The kernel follows the list until it is back at the head.
        let end = std::ptr::from_ref(self.first()).cast_mut().cast();
        self.first().store(end, Ordering::Release);
    }

    fn head(&self) -> NonNull<Head> {
        self.memory.cast()
    }

    fn first(&self) -> &AtomicPtr<Node> {
        // SAFETY: `new` has written it, and it is mapped while `self` lives.
        unsafe { &(*self.head().as_ptr()).first }
    }

    fn node(&self, offset: usize) -> Option<NonNull<Node>> {
        let fits = offset.is_multiple_of(align_of::<Node>()) && self.words.contains(&offset);
        // SAFETY: less than `words.len()` behind the head.
        fits.then(|| unsafe { self.memory.byte_add(HEAD_LEN + offset - self.words.start) }.cast())
    }
}

impl Drop for RobustList {
    fn drop(&mut self) {
        // SAFETY: the memory is this value's alone, and the thread that registered it has ended.
        unsafe { mmap::unmap(self.memory, self.len.get()) };
    }
}
