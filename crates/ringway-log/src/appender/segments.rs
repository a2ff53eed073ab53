//! Beginning segments, and removing those that shall not be kept.

use std::sync::Arc;

use nix::errno::Errno;

use super::{Appender, Current, Older, Plan, erase};
use crate::error::AppendError;
use crate::files::{FileLike, Files, create_draft};
use crate::format::{HEADER_LEN, RecordKind, SEAL_LEN, SegmentHeader, encode};
use crate::index::Index;
use crate::names::{self, About};
use crate::options::Retention;
use crate::slots::Slots;
use crate::trouble::Trouble;

impl<F: Files> Appender<F> {
    /// Begins a new segment, in which a record of so many bytes finds room.
    pub(super) fn roll(&mut self, needed: usize) -> Result<(), AppendError> {
        let base = self.next;
        if base == self.current.base {
            // Nothing is in it: it is too short for this message, and another one takes its place.
            return self.replace(needed);
        }
        let len = segment_len(&self.plan, needed);
        let header = SegmentHeader {
            nonce: self.about.nonce,
            base,
            time: self.time,
            seed: (self.random)() as u32,
        };
        let file = make_segment(&self.files, header, len).map_err(|error| self.not_made(error))?;
        let old = &self.current;
        let mut seal = Vec::with_capacity(SEAL_LEN);
        encode(&mut seal, old.seed, RecordKind::Seal, base, self.time, &[]);
        if let Err((done, errno)) = old.file.write_at(&seal, old.end) {
            let erased = done == 0 || erase(&*old.file, old.end, old.end + done as u64);
            let removed = self.files.remove(&names::segment(base));
            if !erased || removed.is_err() {
                self.stopped = Some(AppendError::of(errno));
            }
            return Err(AppendError::of(errno));
        }
        if self.plan.durable {
            self.sync_current(base)?;
            self.synced = base;
        } else {
            self.older_synced = false;
        }
        let old = &self.current;
        let end = old.end + SEAL_LEN as u64;
        // What is allocated behind it only takes room.
        let cut = old.file.truncate(end).is_ok();
        self.older.push(Older {
            base: old.base,
            len: if cut { end } else { old.len },
            time: self.time,
        });
        self.current = Current {
            file: Arc::new(file),
            base,
            seed: header.seed,
            len,
            end: HEADER_LEN,
        };
        self.end_index();
        self.index = Index::open(&self.files, base).ok();
        self.indexed = HEADER_LEN;
        Ok(())
    }

    /// A segment was not made. If it has its name already it would stand where none is expected: the next writer puts that in order.
    fn not_made(&mut self, error: NotMade) -> AppendError {
        let NotMade { errno, is_named } = error;
        let error = AppendError::of(errno);
        if is_named {
            self.stopped = Some(error);
        }
        error
    }

    /// Puts a longer segment in the place of an empty one.
    fn replace(&mut self, needed: usize) -> Result<(), AppendError> {
        let len = segment_len(&self.plan, needed);
        let header = SegmentHeader {
            nonce: self.about.nonce,
            base: self.current.base,
            time: self.time,
            seed: (self.random)() as u32,
        };
        let file = make_segment(&self.files, header, len).map_err(|error| self.not_made(error))?;
        self.current.file = Arc::new(file);
        self.current.seed = header.seed;
        self.current.len = len;
        self.current.end = HEADER_LEN;
        self.indexed = HEADER_LEN;
        Ok(())
    }

    /// How many segments shall not be kept. `slowest` is the number that the slowest named cursor is at.
    pub fn removable(&self, retention: &Retention, now: u64, slowest: Option<u64>) -> usize {
        let mut total: u64 = self.older.iter().map(|older| older.len).sum();
        total += self.current.len;
        let mut count = 0;
        for (index, older) in self.older.iter().enumerate() {
            let behind = (self.older.get(index + 1)).map_or(self.current.base, |next| next.base);
            let is_passed = slowest.is_none_or(|slowest| slowest >= behind);
            let is_old = retention.age.is_some_and(|age| {
                let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
                older.time.saturating_add(age) < now
            });
            let is_too_much = retention.bytes.is_some_and(|bytes| total > bytes);
            let is_done_with = retention.passed && slowest.is_some() && is_passed;
            let may_go = is_passed || retention.despite_cursors;
            if !is_done_with && !(may_go && (is_old || is_too_much)) {
                break;
            }
            total -= older.len;
            count = index + 1;
        }
        count
    }

    /// Removes the segments that shall not be kept. `slowest` is the number that the slowest named cursor is at, and on the disk.
    /// Returns how many went.
    ///
    /// # Errors
    /// The kernel's.
    pub fn retain(
        &mut self,
        retention: &Retention,
        now: u64,
        slowest: Option<u64>,
    ) -> Result<usize, AppendError> {
        let count = self.removable(retention, now, slowest);
        if count == 0 {
            return Ok(0);
        }
        let oldest = (self.older.get(count)).map_or(self.current.base, |older| older.base);
        let about = About {
            oldest,
            ..self.about
        };
        let stored = self.slots.store(about.words());
        stored
            .and_then(|()| self.slots.sync())
            .map_err(AppendError::of)?;
        self.about = about;
        for older in self.older.drain(..count) {
            // What stays is removed by the next writer.
            let _ = remove(&self.files, older.base);
        }
        Ok(count)
    }
}

/// Removes a segment that is not kept. Its index goes first: nobody would look for one that is left alone.
pub(crate) fn remove(files: &impl Files, base: u64) -> Result<(), Errno> {
    match files.remove(&names::index(base)) {
        Ok(()) | Err(Errno::ENOENT) => files.remove(&names::segment(base)),
        Err(errno) => Err(errno),
    }
}

fn segment_len(plan: &Plan, needed: usize) -> u64 {
    let least = HEADER_LEN + (needed + SEAL_LEN) as u64;
    plan.segment_len.max(least.next_multiple_of(4096))
}

/// Makes the first segment, and says that it is there.
pub(crate) fn start<F: Files>(
    files: &F,
    plan: &Plan,
    about: About,
    mut slots: Slots<F::File>,
    random: fn() -> u64,
) -> Result<(), Trouble> {
    let header = SegmentHeader {
        nonce: about.nonce,
        base: about.first,
        time: 0,
        seed: random() as u32,
    };
    make_segment(files, header, segment_len(plan, 0))
        .map_err(|error| error.errno)
        .map_err(Trouble::os("its first segment cannot be made"))?;
    let about = About {
        started: true,
        ..about
    };
    slots
        .store(about.words())
        .and_then(|()| slots.sync())
        .map_err(Trouble::os("log cannot be written"))
}

/// Why a segment was not made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotMade {
    pub(crate) errno: Errno,
    /// It has its name already, and nobody knows whether that is on the disk.
    is_named: bool,
}

impl NotMade {
    fn unnamed(errno: Errno) -> Self {
        let is_named = false;
        Self { errno, is_named }
    }
}

/// Makes a segment with nothing in it, and room on the disk for `len` bytes. What has its name is replaced.
pub(crate) fn make_segment<F: Files>(
    files: &F,
    header: SegmentHeader,
    len: u64,
) -> Result<F::File, NotMade> {
    let draft = names::draft(header.base);
    let file = create_draft(files, &draft).map_err(NotMade::unnamed)?;
    let made = file
        .allocate(len)
        .and_then(|()| {
            file.write_at(&header.encode(), 0)
                .map_err(|(_, errno)| errno)
        })
        .and_then(|()| file.sync())
        .and_then(|()| files.rename(&draft, &names::segment(header.base)));
    if let Err(errno) = made {
        let _ = files.remove(&draft);
        return Err(NotMade::unnamed(errno));
    }
    files.sync_names().map_err(|errno| NotMade {
        errno,
        is_named: true,
    })?;
    Ok(file)
}
