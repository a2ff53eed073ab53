//! Whether the memory of the dead is gone: what nobody but the kernel can say of a system call that was writing for
//! them.
//!
//! [`settle`](super::settle) makes sure that a dead process executes nothing more *of its program*. A system call that
//! it was in is another matter. `read` into a slab goes on until the kernel comes to look for the signal, which takes
//! tens of milliseconds and as many megabytes; and a thread that waits for a disk waits on. All these write by way of
//! the process's address space. So a slab to whose memory a pointer was lent is not lent again before the address
//! space of the one that lent it is gone.
//!
//! # The proof
//!
//! A participant that may lend pointers has a *lock* on a byte of the ring's file that no other holder of a slot has
//! ([`Holder::number`]), by an open file of its own, to which there is no descriptor, but one mapping, which no child of
//! `fork` inherits. So the open file lives as long as the address space: through the death of all threads, through each
//! of their system calls, through requests of Linux AIO (for which the kernel waits first), and in a child of `vfork`. When
//! the last user of the address space is gone, the kernel removes the mapping, then the lock. What frees a process's memory
//! ahead of that (the OOM killer, `process_mrelease`) leaves mappings as they are. Peers ask for the lock, and sleep for
//! it, by the file alone: no process id, no namespace, no time.
//!
//! A child of `fork` that another thread makes in the very instant in which the lock is taken inherits its descriptor. As
//! long as that child lives and does not call exec, the lock stays: slabs are withheld longer than need be, never shorter.
//!
//! One that could not get the lock lends no pointers to shared memory. Its users write to private memory, and the copy
//! into the slab is its program's, which `settle` ends. So it is with rings that are no files (`sysv:`), where huge
//! pages are, without /proc, and where the file system has no locks or cannot punch holes.
//!
//! # What the proof does not cover
//!
//! Memory that the kernel was told to *pin* may be written by a device after the address space is gone: reads with
//! `O_DIRECT` by io_uring do, with registered buffers and without. (Measured: a read of 4 MiB from a disk that was
//! throttled to 1 MiB/s landed up to seven seconds after the mapping was gone. With Linux AIO and by `pread`,
//! the lock stayed until all had landed.) So a slab to which a pointer was lent gets *other pages* as well, before it is
//! lent again: what is pinned is no more the slab's.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::Builder;

use memmap2::MmapRaw;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, fallocate, fcntl};
use nix::sys::stat::fstat;
use nix::sys::statfs::{HUGETLBFS_MAGIC, fstatfs};

use crate::memory::layout::MAX_PARTICIPANTS;
use crate::memory::layout::pool::{HOLDERS, Holder};
use crate::memory::map::Map;
use crate::sys::{mmap, page_size, pthread_sigmask};

/// The byte of the file that stands for the first holder's memory; no file is so long. Locks on bytes before it are
/// others ([`crate::store`]).
pub(crate) const FIRST_LOCK: i64 = 1 << 62;

const _: () = assert!(HOLDERS < 1 << 32);

/// For so many a thread waits at once. There are more only where a peer takes locks to mislead others, or where as many
/// of the dead wait for disks that do not answer.
const MOST_AWAITED: usize = MAX_PARTICIPANTS as usize;

/// Is told that memory may have gone.
pub(crate) type Wake = dyn Fn() + Send + Sync;

/// By what this process asks for the memory of a ring's participants.
pub(crate) struct Memories {
    file: OwnedFd,
    /// Device and inode.
    identity: (u64, u64),
    /// Holders for whose memory threads of this process wait, and who is to be woken.
    awaited: Mutex<BTreeSet<(u64, usize)>>,
}

impl std::fmt::Debug for Memories {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Memories").field(&self.file).finish()
    }
}

/// Holds a participant's lock for as long as this process's address space lives, or until dropped.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Always there, until it is dropped. Nobody accesses it.
    page: Option<MmapRaw>,
    map: Arc<Map>,
}

impl Drop for Proof {
    fn drop(&mut self) {
        // In a child of `fork` something else may be there.
        if self.map.is_forked() {
            std::mem::forget(self.page.take());
        }
    }
}

impl Memories {
    /// Of the participants of the ring in `file`.
    pub(crate) fn of(file: OwnedFd) -> Option<Arc<Self>> {
        let identity = identity(&file)?;
        Some(Arc::new(Self {
            file,
            identity,
            awaited: Mutex::default(),
        }))
    }

    /// Lets the others see how long the memory of `holder`, a participant of this process, is there. `None` where that
    /// cannot be had.
    pub(crate) fn prove(&self, map: &Arc<Map>, holder: Holder) -> Option<Proof> {
        let file = self.file()?;
        // Parts of huge pages cannot be replaced.
        if fstatfs(file).ok()?.filesystem_type() == HUGETLBFS_MAGIC {
            return None;
        }
        // Behind its end, where nothing is.
        let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let page = page_size();
        let end = (fstat(file).ok()?.st_size as u64).checked_next_multiple_of(page as u64)?;
        fallocate(file, punch, i64::try_from(end).ok()?, page as i64).ok()?;
        // An open file of its own, which nothing else keeps: no descriptor, no child, no other mapping.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let own = File::options().read(true).write(true).open(path).ok()?;
        if identity(&own)? != self.identity {
            return None;
        }
        let lock = lock(libc::F_WRLCK, holder);
        restart(|| fcntl(&own, FcntlArg::F_OFD_SETLK(&lock))).ok()?;
        Some(Proof {
            page: Some(mmap::map_for_its_file(page, own.as_fd()).ok()?),
            map: Arc::clone(map),
        })
    }

    /// Whether the memory of `holder` is gone, who had the lock and lives no more. `false` also if nobody can say.
    pub(crate) fn is_gone(&self, holder: Holder) -> bool {
        let Some(file) = self.file() else {
            return false;
        };
        let mut lock = lock(libc::F_RDLCK, holder);
        let asked = restart(|| fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)));
        asked.is_ok() && lock.l_type == libc::F_UNLCK as libc::c_short
    }

    /// Has a thread call `wake` when the memory of `holder` is gone, if one does not wait for that already; nobody is
    /// woken who is not there any more. `false` if it cannot be waited for.
    pub(crate) fn watch(self: &Arc<Self>, holder: Holder, wake: &Arc<Wake>) -> bool {
        let key = (holder.number(), Arc::as_ptr(wake).cast::<()>().addr());
        let mut awaited = self.awaited();
        if awaited.contains(&key) {
            return true;
        }
        if awaited.len() >= MOST_AWAITED {
            return false;
        }
        let (memories, wake) = (Arc::clone(self), Arc::downgrade(wake));
        let thread = Builder::new()
            .name("ringway-memory".to_owned())
            .stack_size(64 << 10);
        let started = pthread_sigmask::spawn(thread, move || {
            memories.wait(holder, &key, &wake);
        });
        if started.is_ok() {
            awaited.insert(key);
        }
        started.is_ok()
    }

    /// Sleeps until the memory of `holder` is gone.
    fn wait(&self, holder: Holder, key: &(u64, usize), wake: &Weak<Wake>) {
        // Shared with all who wait for it, and at once given up.
        let (take, give_up) = (lock(libc::F_RDLCK, holder), lock(libc::F_UNLCK, holder));
        let taken = self
            .file()
            .map(|file| restart(|| fcntl(file, FcntlArg::F_OFD_SETLKW(&take))));
        let (Some(file), Some(Ok(_))) = (self.file(), taken) else {
            // Nobody can say, so there is nothing to look at; and nobody need try again.
            return;
        };
        let _ = restart(|| fcntl(file, FcntlArg::F_OFD_SETLK(&give_up)));
        // First: who does not find it there starts another wait, and who does is woken after it has looked.
        self.awaited().remove(key);
        if let Some(wake) = wake.upgrade() {
            wake();
        }
    }

    fn awaited(&self) -> std::sync::MutexGuard<'_, BTreeSet<(u64, usize)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ring's file; `None` if the program has closed the descriptor and it is another file's now.
    fn file(&self) -> Option<&OwnedFd> {
        (identity(&self.file)? == self.identity).then_some(&self.file)
    }
}

fn identity(file: impl AsFd) -> Option<(u64, u64)> {
    let stat = fstat(file).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

fn restart<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests;

fn lock(kind: libc::c_int, holder: Holder) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: FIRST_LOCK + holder.number() as i64,
        l_len: 1,
        l_pid: 0,
    }
}
