//! The smallest executor: one future, or what is polled like one, in the thread that waits for it.

use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls until it is ready, whenever it is woken.
///
/// # Panics
/// If nobody wakes it for half a minute.
#[track_caller]
pub fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        if let Poll::Ready(done) = poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        let asleep = Instant::now();
        thread::park_timeout(PATIENCE);
        assert!(asleep.elapsed() < PATIENCE, "not woken");
    }
}
