//! Futures of the reading handles of boards.

use std::future::{Future, poll_fn};

use ringway::board::{GetError, Reader, Value, Watcher};

mod sealed {
    pub trait Sealed {}
    impl Sealed for ringway::board::Reader {}
    impl Sealed for ringway::board::Watcher {}
}

/// Futures of a board's [`Reader`]. One that is dropped has missed nothing: the latest value stays.
pub trait AsyncReader: sealed::Sealed {
    /// As [`Reader::wait_newer`].
    ///
    /// # Errors
    /// As [`Reader::poll_newer`].
    ///
    /// ```
    /// use ringway_async::AsyncReader;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let board = ringway::Board::at("memfd:")?.create()?;
    /// board.writer("speed")?.set(b"50")?;
    /// assert_eq!(board.reader("speed")?.newer_async().await?, *b"50");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn newer_async(&mut self) -> impl Future<Output = Result<Value, GetError>> + Send;
}

impl AsyncReader for Reader {
    fn newer_async(&mut self) -> impl Future<Output = Result<Value, GetError>> + Send {
        poll_fn(|context| self.poll_newer(context))
    }
}

/// Futures of a board's [`Watcher`].
pub trait AsyncWatcher: sealed::Sealed {
    /// As [`Watcher::wait`].
    ///
    /// # Errors
    /// As [`Watcher::poll_wait`].
    fn wait_async(&mut self) -> impl Future<Output = Result<(String, Value), GetError>> + Send;
}

impl AsyncWatcher for Watcher {
    fn wait_async(&mut self) -> impl Future<Output = Result<(String, Value), GetError>> + Send {
        poll_fn(|context| self.poll_wait(context))
    }
}
