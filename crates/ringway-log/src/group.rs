//! Syncing in groups: a thread that syncs what was written since the last time, so long after the first of it or when it is so much.
//!
//! The writer leaves the file and the number behind the last message; the thread takes both, and everything that was written before
//! the sync began is in it. While it syncs, the writer goes on. A writer that waits for a group which is due and that the thread has not taken yet takes it
//! itself, and spares two switches of threads.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::syncing::Syncer;

/// The thread, and what it shares with the writer.
#[derive(Debug)]
pub(crate) struct Group {
    shared: Arc<Shared>,
    syncer: Arc<Syncer>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    interval: Duration,
    bytes: u64,
    state: Mutex<State>,
    /// There is something for the thread.
    work: Condvar,
    /// Something was synced, or failed.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What is to be synced, and the number behind the last message in it.
    pending: Option<(Arc<File>, u64)>,
    bytes: u64,
    /// When the group must be synced.
    due: Option<Instant>,
    urgent: bool,
    synced: u64,
    failed: Option<Errno>,
    stop: bool,
}

impl State {
    /// What is to be synced now, if anything is.
    fn take_due(&mut self, now: Instant, bytes: u64) -> Option<(Arc<File>, u64)> {
        let is_due = self.urgent || self.bytes >= bytes || self.due.is_some_and(|due| due <= now);
        let taken = self.pending.take_if(|_| is_due)?;
        self.bytes = 0;
        self.due = None;
        self.urgent = false;
        Some(taken)
    }
}

impl Shared {
    /// Syncs what was taken, and says so.
    fn sync(&self, file: &File, next: u64, syncer: &Syncer) -> MutexGuard<'_, State> {
        let synced = syncer.begin().and_then(|mut begun| {
            begun.file(file)?;
            begun.end(next);
            Ok(())
        });
        let mut state = self.lock();
        match synced {
            Ok(()) => state.synced = state.synced.max(next),
            Err(errno) => state.failed = Some(errno),
        }
        self.done.notify_all();
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    pub(crate) fn start(
        interval: Duration,
        bytes: u64,
        synced: u64,
        syncer: Arc<Syncer>,
    ) -> Result<Self, Errno> {
        let shared = Arc::new(Shared {
            interval,
            bytes,
            state: Mutex::new(State {
                synced,
                ..State::default()
            }),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let theirs = (Arc::clone(&shared), Arc::clone(&syncer));
        let thread = std::thread::Builder::new()
            .name("ringway-log".to_owned())
            .spawn(move || run(&theirs.0, &theirs.1))
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EAGAIN)))?;
        Ok(Self {
            shared,
            syncer,
            thread: Some(thread),
        })
    }

    /// So many bytes more are written, up to the message before `next`.
    pub(crate) fn note(&self, file: Arc<File>, next: u64, bytes: u64) {
        let mut state = self.shared.lock();
        state.pending = Some((file, next));
        state.bytes += bytes;
        if state.due.is_none() {
            // A time beyond the clock's range never comes.
            state.due = Instant::now().checked_add(self.shared.interval);
            self.shared.work.notify_one();
        } else if state.bytes >= self.shared.bytes {
            self.shared.work.notify_one();
        }
    }

    /// How far it is synced.
    pub(crate) fn synced(&self) -> Result<u64, Errno> {
        let state = self.shared.lock();
        state.failed.map_or(Ok(state.synced), Err)
    }

    /// Waits until all before `next` is synced. Whether it is. What is `urgent` does not wait for the group to be full.
    pub(crate) fn wait(
        &self,
        next: u64,
        deadline: Option<Instant>,
        urgent: bool,
    ) -> Result<bool, Errno> {
        let mut state = self.shared.lock();
        loop {
            if let Some(errno) = state.failed {
                return Err(errno);
            }
            if state.synced >= next {
                return Ok(true);
            }
            state.urgent |= urgent && state.pending.is_some();
            // Not with a deadline: a sync may take longer.
            if deadline.is_none()
                && let Some((file, next)) = state.take_due(Instant::now(), self.shared.bytes)
            {
                drop(state);
                state = self.shared.sync(&file, next, &self.syncer);
                continue;
            }
            if state.urgent {
                self.shared.work.notify_one();
            }
            let done = &self.shared.done;
            state = match deadline {
                None => done.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(false);
                    }
                    let waited = done.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Ends the thread. What is pending is the caller's to sync.
    pub(crate) fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(shared: &Shared, syncer: &Syncer) {
    let mut state = shared.lock();
    loop {
        if state.stop || state.failed.is_some() {
            return;
        }
        let now = Instant::now();
        let Some((file, next)) = state.take_due(now, shared.bytes) else {
            state.urgent &= state.pending.is_some();
            state = match state.due.filter(|_| state.pending.is_some()) {
                None => (shared.work.wait(state)).unwrap_or_else(PoisonError::into_inner),
                Some(due) => {
                    let waited = shared.work.wait_timeout(state, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            continue;
        };
        drop(state);
        state = shared.sync(&file, next, syncer);
    }
}
