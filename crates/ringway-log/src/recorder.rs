//! From a ring into a log.

use std::fmt;
use std::time::{Duration, Instant};

use ringway_core::os::deadline_after;
use ringway_core::{Error, Receiver, RecvError, Ring};

use crate::error::AppendError;
use crate::log::Log;
use crate::options::Durability;
use crate::source::{Source, is_counted};
use crate::writer::Writer;

/// Bytes that are appended at once, if there are so many.
const BLOCK: usize = 1 << 20;

/// Appends what a ring carries to a log, and releases it from the ring when it is there: synced, unless the log's
/// [`Durability`] is `None`.
///
/// Killed at any instruction and started again, it goes on. Of a ring of kind broadcast, and of one of kind spsc and sync futex that does not
/// overwrite, each message is recorded exactly once: the log knows which numbers of the ring it has. Of other rings a message that was
/// appended and not released yet is recorded twice.
///
/// To a broadcast ring one subscribes by a name and with [`Policy::Block`](ringway_core::broadcast::Policy::Block) (the default), so that the
/// producer waits for it. What it nevertheless missed is left out in the log too, and told to its readers as
/// [`Lagged`](crate::ReadError::Lagged).
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
/// use ringway::log::{Log, Recorder};
///
/// # let directory = tempfile::tempdir()?;
/// # let address = format!("log:{}", directory.path().join("orders").display());
/// let ring = ringway::Builder::new("memfd:")?.create()?;
/// let mut sender = ring.sender()?;
/// sender.send(b"buy 100")?;
/// sender.close();
///
/// let log = Log::at(&address)?.create()?;
/// let mut recorder = Recorder::new(&log, &ring)?;
/// let mut receiver = ring.receiver()?;
/// assert_eq!(recorder.record(&mut receiver)?, 1);
/// recorder.close()?;
/// assert_eq!(log.reader()?.recv()?, b"buy 100");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    log: Log,
    writer: Writer,
    /// The ring's nonce, if its messages are counted.
    counted: Option<u128>,
    source: Option<Source>,
    /// Of all messages that were released.
    bytes: u64,
}

impl Recorder {
    /// Takes the role of the log's writer, to record that ring.
    ///
    /// # Errors
    /// As [`Log::writer`].
    pub fn new(log: &Log, ring: &Ring) -> Result<Self, Error> {
        let (writer, source) = log.writer_of_record()?;
        let counted = is_counted(ring).then(|| ring.nonce());
        Ok(Self {
            log: log.clone(),
            writer,
            counted,
            source: source.filter(|source| Some(source.nonce) == counted),
            bytes: 0,
        })
    }

    /// Waits for messages, and records those that are there: up to about a megabyte. Returns how many were released.
    ///
    /// # Errors
    /// [`RecordError`]'s. What was not released comes again.
    pub fn record(&mut self, receiver: &mut Receiver) -> Result<u64, RecordError> {
        self.record_deadline(receiver, None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RecordError`]'s.
    pub fn record_timeout(
        &mut self,
        receiver: &mut Receiver,
        timeout: Duration,
    ) -> Result<u64, RecordError> {
        self.record_deadline(receiver, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`RecordError`]'s.
    pub fn record_deadline(
        &mut self,
        receiver: &mut Receiver,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<u64, RecordError> {
        match receiver.wait_deadline(deadline) {
            // What is missing is seen by the numbers.
            Ok(()) | Err(RecvError::Lagged { .. }) => {}
            Err(error) => return Err(RecordError::Recv(error)),
        }
        let mut backlog = receiver.backlog();
        let (mut bytes, mut payload, mut appended) = (0, 0, 0);
        let mut message = Vec::new();
        while bytes < BLOCK {
            let view = match backlog.next_message() {
                Ok(Some(view)) => view,
                // An end shows again when it is waited for.
                Ok(None) | Err(_) => break,
            };
            let number = view.number();
            message.resize(view.len(), 0);
            view.read_at(0, &mut message);
            bytes += message.len().max(64);
            payload += message.len() as u64;
            if self.is_recorded(number)? {
                continue;
            }
            self.writer.gather(&message)?;
            appended += 1;
        }
        if appended > 0 {
            let receipt = self.writer.write_gathered()?;
            if self.log.durability() != Durability::None {
                self.writer.wait_synced(receipt.number)?;
            }
        }
        self.bytes += payload;
        Ok(backlog.release())
    }

    /// Whether a message of the ring is in the log already. If some before it are missing, the log leaves their numbers out.
    fn is_recorded(&mut self, ring: u64) -> Result<bool, RecordError> {
        let Some(nonce) = self.counted else {
            return Ok(false);
        };
        let next = self.writer.next_number();
        let source = match self.source {
            Some(source) => source,
            None => {
                let source = Source::new(nonce, ring, next);
                source
                    .store(self.log.directory())
                    .map_err(|trouble| RecordError::Source(self.log.explain(trouble)))?;
                *self.source.insert(source)
            }
        };
        match source.in_log(ring) {
            Some(number) if number >= next => {
                self.writer.skip_to(number)?;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// Bytes of all messages that it has released.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The log's writer.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Closes the log in order.
    ///
    /// # Errors
    /// As [`Writer::close`].
    pub fn close(self) -> Result<(), AppendError> {
        self.writer.close()
    }
}

/// Why nothing more was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// The ring's: [`Closed`](RecvError::Closed) is the end.
    Recv(RecvError),
    /// The log's.
    Append(AppendError),
    /// The file that says which ring the log is a record of could not be written.
    Source(Error),
}

impl From<AppendError> for RecordError {
    fn from(error: AppendError) -> Self {
        Self::Append(error)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recv(error) => error.fmt(f),
            Self::Append(error) => error.fmt(f),
            Self::Source(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RecordError {}
