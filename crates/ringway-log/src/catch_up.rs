//! A consumer of a broadcast ring that never misses a message: what the ring does not hold any more comes from its log.

use std::fmt;
use std::time::{Duration, Instant};

use ringway_core::broadcast::{Start, Subscription};
use ringway_core::os::deadline_after;
use ringway_core::{Error, ErrorKind, Kind, Receiver, RecvError, Ring};

use crate::error::ReadError;
use crate::log::Log;
use crate::options;
use crate::reader::{self, Reader};
use crate::source::Source;

/// Consumes a broadcast ring that a [`Recorder`](crate::Recorder) records, each message once, in order: live from the ring, and from the log what it
/// fell too far behind for.
///
/// When the ring passes this consumer over (it is [lossy](ringway_core::broadcast::Policy::Lossy)), or throws it out
/// ([`Evict`](ringway_core::broadcast::Policy::Evict)), it knows the number that it was to get next. It goes on with that number in the log, until it
/// comes to the one that the ring has for it, and goes on there. It may have to wait for the recorder, which is never further behind than
/// the ring reaches, if it subscribed so that the producer waits for it.
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
/// use ringway::Kind;
/// use ringway::broadcast::{Policy, Subscription};
/// use ringway::log::{CatchUp, Log, Recorder};
///
/// # let directory = tempfile::tempdir()?;
/// # let address = format!("log:{}", directory.path().join("news").display());
/// let ring = ringway::Builder::new("memfd:")?.kind(Kind::Broadcast).capacity(4096).create()?;
/// let log = Log::at(&address)?.create()?;
/// let (mut sender, mut keeper) = (ring.sender()?, ring.receiver()?);
/// let mut recorder = Recorder::new(&log, &ring)?;
/// let lossy = Subscription::new().policy(Policy::Lossy);
/// let mut screen = CatchUp::new(&ring, &log, &lossy)?;
/// for number in 0..1000_u64 {
///     sender.send(&number.to_le_bytes())?;
///     recorder.record(&mut keeper)?;
/// }
/// // The ring has overwritten most of them.
/// for number in 0..1000_u64 {
///     let message = screen.recv()?;
///     assert_eq!((message.number, &message.bytes[..]), (number, &number.to_le_bytes()[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CatchUp {
    ring: Ring,
    log: Log,
    subscription: Subscription,
    receiver: Receiver,
    /// The number of the next message, as the ring counts.
    next: u64,
    reading: Option<Reading>,
    from_log: u64,
}

/// What is read of the log.
#[derive(Debug)]
struct Reading {
    reader: Reader,
    source: Source,
    /// The ring has the message with this number.
    until: u64,
}

/// A message, wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caught {
    /// Its number, as the ring counts.
    pub number: u64,
    /// The message.
    pub bytes: Vec<u8>,
}

impl CatchUp {
    /// Subscribes to the ring, of which that is the log. With a subscription from a number that the ring does not hold any more it begins
    /// in the log.
    ///
    /// # Errors
    /// [`ErrorKind::Incompatible`] if the ring is not of kind broadcast; those of [`Ring::subscribe`].
    pub fn new(ring: &Ring, log: &Log, subscription: &Subscription) -> Result<Self, Error> {
        let receiver = ring.subscribe(subscription)?;
        let Some(next) = receiver
            .next_number()
            .filter(|_| ring.kind() == Kind::Broadcast)
        else {
            let problem = "it is not of kind broadcast, and keeps no history";
            let kind = ErrorKind::Incompatible;
            return Err(Error::new(kind, "subscribe to", ring.address(), problem)
                .remedy("use a ring of kind broadcast"));
        };
        Ok(Self {
            ring: ring.clone(),
            log: log.clone(),
            subscription: subscription.clone(),
            receiver,
            next,
            reading: None,
            from_log: 0,
        })
    }

    /// Goes on with this number, as the ring counts, wherever it is: for who keeps its own place.
    #[must_use]
    pub fn from_number(mut self, number: u64) -> Self {
        self.next = number;
        self
    }

    /// The number of the next message, as the ring counts.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// How many messages came from the log so far.
    pub fn from_log(&self) -> u64 {
        self.from_log
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// [`CatchUpError`]'s.
    pub fn try_recv(&mut self) -> Result<Caught, CatchUpError> {
        self.receive(Some(None))
    }

    /// Receives the next message, waiting for it.
    ///
    /// # Errors
    /// [`CatchUpError`]'s.
    pub fn recv(&mut self) -> Result<Caught, CatchUpError> {
        self.receive(None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`CatchUpError`]'s.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Caught, CatchUpError> {
        self.recv_deadline(deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`CatchUpError`]'s.
    pub fn recv_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Caught, CatchUpError> {
        match deadline.into() {
            Some(deadline) => self.receive(Some(Some(deadline))),
            None => self.receive(None),
        }
    }

    /// `Some(None)` does not wait.
    fn receive(&mut self, until: Option<Option<Instant>>) -> Result<Caught, CatchUpError> {
        loop {
            if self.reading.is_some() {
                match self.read(until)? {
                    Some(caught) => return Ok(caught),
                    None => continue,
                }
            }
            let message = match until {
                Some(None) => self.receiver.try_recv_in_place(),
                Some(deadline) => self.receiver.recv_in_place_deadline(deadline),
                None => self.receiver.recv_in_place(),
            };
            let at = match message {
                Ok(message) if message.number() == self.next => {
                    let (number, bytes) = (message.number(), message.to_vec());
                    message.release();
                    self.next = number + 1;
                    return Ok(Caught { number, bytes });
                }
                // Known already.
                Ok(message) if message.number() < self.next => {
                    message.release();
                    continue;
                }
                // Given back: it comes again behind those of the log.
                Ok(message) => message.number(),
                Err(RecvError::Lagged { .. }) => self.receiver.next_number().unwrap_or(self.next),
                Err(RecvError::Evicted) => {
                    let again = self.subscription.clone().start(Start::Number(self.next));
                    self.receiver =
                        (self.ring.subscribe(&again)).map_err(CatchUpError::Subscribe)?;
                    continue;
                }
                Err(error) => return Err(CatchUpError::Ring(error)),
            };
            if at > self.next {
                self.begin(at)?;
            }
        }
    }

    /// Goes to the log, until the message with the number `until`.
    fn begin(&mut self, until: u64) -> Result<(), CatchUpError> {
        let trouble = |trouble| CatchUpError::Subscribe(self.log.explain(trouble));
        let source = Source::open(self.log.directory()).map_err(trouble)?;
        let is_its = |source: &Source| source.nonce == self.ring.nonce();
        let source = source.filter(is_its);
        let place = source.and_then(|source| Some((source, source.in_log(self.next)?)));
        let Some((source, number)) = place else {
            // It is no record of this ring, or of later messages only.
            let missed = until - self.next;
            self.next = until;
            return Err(CatchUpError::Lagged { missed });
        };
        let from = reader::Subscription::new()
            .start(options::Start::Number(number))
            .follow(true);
        let reader = (self.log.subscribe(&from)).map_err(CatchUpError::Subscribe)?;
        self.reading = Some(Reading {
            reader,
            source,
            until,
        });
        Ok(())
    }

    /// The next message of the log; `None` if the ring has it.
    fn read(&mut self, until: Option<Option<Instant>>) -> Result<Option<Caught>, CatchUpError> {
        let Some(reading) = &mut self.reading else {
            return Ok(None);
        };
        if self.next >= reading.until {
            self.reading = None;
            return Ok(None);
        }
        let message = match until {
            Some(None) => reading.reader.try_recv_in_place(),
            Some(deadline) => reading.reader.recv_in_place_deadline(deadline),
            None => reading.reader.recv_in_place(),
        };
        let message = match message {
            Ok(message) => message,
            // The numbers tell.
            Err(ReadError::Lagged { .. }) => return Ok(None),
            Err(error) => return Err(CatchUpError::Log(error)),
        };
        let number = reading.source.in_ring(message.number());
        let number = number.unwrap_or(self.next);
        if number > self.next {
            // Not in the log either. This one comes next.
            let missed = number.min(reading.until) - self.next;
            self.next += missed;
            let until = reading.until;
            self.reading = None;
            if self.next < until {
                self.begin(until)?;
            }
            return Err(CatchUpError::Lagged { missed });
        }
        let bytes = message.to_vec();
        self.next = number + 1;
        self.from_log += 1;
        Ok(Some(Caught { number, bytes }))
    }
}

/// Why no message came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatchUpError {
    /// The ring's.
    Ring(RecvError),
    /// The log's.
    Log(ReadError),
    /// So many messages are neither in the ring nor in the log. Told once: the next call goes on behind them.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// The ring or the log cannot be read any more.
    Subscribe(Error),
}

impl fmt::Display for CatchUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
            Self::Lagged { missed } => write!(
                f,
                "{missed} messages are neither in the ring nor in the log any more: receive on, from the first behind them"
            ),
            Self::Subscribe(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CatchUpError {}
