//! How files are synced, so that a process which is killed in the middle of it is not taken for one that had nothing to tell.
//!
//! After a sync that failed, the kernel takes for written what is not on the disk, and the next sync says that all is well. Who has seen the failure
//! has to tell it, and can be killed before. So it is told beforehand that a sync is *under way*, in memory that outlives the process, and
//! afterwards what came of it:
//!
//! | state | told | killed in it, or in the call that ends it | so the next writer |
//! |---|---|---|---|
//! | quiet | `synced` = n | all before n is on the disk. Of the rest, the kernel knows what it has to write | trusts a sync |
//! | under way | `syncing` as well | of what is not before n, nobody knows what the kernel takes for written and is not | writes all that is not before n once more, to the files' ends, and then trusts a sync ([`recover`](crate::recover)) |
//! | failed | `failed` as well; `syncing` stays | the same, and it is known | refuses, until a repair has written it anew into other files |
//!
//! | from | to | when |
//! |---|---|---|
//! | quiet | under way | before the first file is synced ([`Syncer::begin`]) |
//! | under way | quiet | when `synced` was told ([`Begun::end`]), or the files that were asked for are synced, and nothing is said about numbers (it is dropped) |
//! | under way | failed | a sync has failed ([`Begun::file`]) |
//! | failed | quiet | a writer has been made, after a repair ([`Syncer::is_ready`]) |
//!
//! A process that is stopped in one of them is still the writer, and nobody takes its place.
//!
//! One sync goes on at a time, whichever thread asks: of two at the same time on one open file, the kernel tells only one that
//! pages could not be written, and the other one would say that all is well. Once one has failed, none is begun any more.
//!
//! What is appended while a sync goes on is not in danger: the page becomes dirty again, as a whole.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use crate::files::FileLike;

/// Where a writer tells what it syncs, for readers and for the writer after it. It outlives the process, at every call.
pub trait Tell: Send + fmt::Debug + 'static {
    /// Whether a sync is under way.
    fn syncing(&mut self, is: bool);
    /// All before this number is synced; and the error of a sync that has failed, if one has.
    fn synced(&mut self, next: u64, failed: Option<Errno>);
}

/// Syncs the files of a log, and tells so.
#[derive(Debug)]
pub struct Syncer {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    tell: Box<dyn Tell>,
    synced: u64,
    failed: Option<Errno>,
}

impl Syncer {
    /// All before `synced` was synced already. Nothing is told yet: what the last writer told stays.
    pub(crate) fn new(tell: Box<dyn Tell>, synced: u64) -> Self {
        let inner = Inner {
            tell,
            synced,
            failed: None,
        };
        Self {
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells that a sync is under way, after the one that may be.
    ///
    /// # Errors
    /// That of a sync that has failed before.
    pub(crate) fn begin(&self) -> Result<Begun<'_>, Errno> {
        let mut inner = self.lock();
        if let Some(errno) = inner.failed {
            return Err(errno);
        }
        inner.tell.syncing(true);
        Ok(Begun(inner))
    }

    /// All that the last writer left is in order: tells how far it is synced, and nothing else.
    pub(crate) fn is_ready(&self, synced: u64) {
        let inner = &mut *self.lock();
        if inner.failed.is_none() {
            inner.synced = synced;
            inner.tell.synced(synced, None);
            // Behind the other: what it told must not be trusted in between.
            inner.tell.syncing(false);
        }
    }
}

/// A sync that is under way.
#[derive(Debug)]
pub(crate) struct Begun<'a>(MutexGuard<'a, Inner>);

impl Begun<'_> {
    /// Syncs a file.
    pub(crate) fn file(&mut self, file: &impl FileLike) -> Result<(), Errno> {
        file.sync().inspect_err(|errno| {
            let inner = &mut *self.0;
            inner.failed = Some(*errno);
            inner.tell.synced(inner.synced, inner.failed);
        })
    }

    /// All before this number is synced, if nothing has failed.
    pub(crate) fn end(mut self, next: u64) {
        let inner = &mut *self.0;
        if inner.failed.is_none() {
            inner.synced = inner.synced.max(next);
            inner.tell.synced(inner.synced, None);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.0.failed.is_none() {
            self.0.tell.syncing(false);
        }
    }
}

/// Tells nobody: for logs that nobody follows.
#[cfg(any(test, feature = "verify"))]
#[derive(Debug)]
pub struct Nobody;

#[cfg(any(test, feature = "verify"))]
impl Tell for Nobody {
    fn syncing(&mut self, _: bool) {}
    fn synced(&mut self, _: u64, _: Option<Errno>) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::files::Files;
    use crate::files::sim::Disk;

    #[derive(Clone, Debug, Default)]
    struct Heard(Arc<Mutex<Vec<String>>>);

    impl Tell for Heard {
        fn syncing(&mut self, is: bool) {
            self.0.lock().unwrap().push(format!("syncing {is}"));
        }

        fn synced(&mut self, next: u64, failed: Option<Errno>) {
            self.0.lock().unwrap().push(format!("{next} {failed:?}"));
        }
    }

    #[test]
    fn a_sync_is_told_before_it_begins_and_when_it_has_ended() {
        let disk = Disk::new(1);
        let file = disk.create("file").unwrap();
        let heard = Heard::default();
        let syncer = Syncer::new(Box::new(heard.clone()), 3);
        let took = || std::mem::take(&mut *heard.0.lock().unwrap());
        let mut begun = syncer.begin().unwrap();
        assert_eq!(took(), ["syncing true"]);
        begun.file(&file).unwrap();
        assert!(took().is_empty());
        begun.end(5);
        assert_eq!(took(), ["5 None", "syncing false"]);
        disk.fail_sync(Some(0));
        let mut begun = syncer.begin().unwrap();
        assert_eq!(begun.file(&file), Err(Errno::EIO));
        begun.end(9);
        // It stays under way, for who comes next.
        assert_eq!(took(), ["syncing true", "5 Some(EIO)"]);
        assert!(matches!(syncer.begin(), Err(Errno::EIO)));
        syncer.is_ready(9);
        assert!(took().is_empty(), "what has failed is not made good here");
    }
}
