//! The reading handle.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ringway_core::board::GetError;
use ringway_core::os::{deadline_after, fork};
use ringway_core::{Address, Error, ErrorKind};

use crate::control::{self, Control, Follower, WriterIs};
use crate::cursor::{Cursor, NoCursor};
use crate::error::ReadError;
use crate::files::disk::Directory;
use crate::format::Record;
use crate::options::{Start, nanoseconds, time_of};
use crate::place::Place;
use crate::tape::{From, Next, Tape};
use crate::trouble::Trouble;

/// How a reader takes part.
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
/// use ringway::log::{Log, Start, Subscription};
///
/// # let directory = tempfile::tempdir()?;
/// # let address = format!("log:{}", directory.path().join("orders").display());
/// let log = Log::at(&address)?.create()?;
/// let mut writer = log.writer()?;
/// writer.append(b"one")?;
/// writer.append(b"two")?;
/// let mut audit = log.subscribe(&Subscription::new().start(Start::Number(1)).name("audit"))?;
/// assert_eq!(audit.recv()?, b"two");
/// audit.acknowledge()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    start: Start,
    name: Option<String>,
    follow: bool,
    synced_only: bool,
}

impl Subscription {
    /// From the oldest message on, without a name, until the log is closed.
    pub fn new() -> Self {
        Self::default()
    }

    /// With which message to begin. One with a name begins so only the first time.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Go on, after a restart or a death, with the first message that no reader of this name has
    /// [acknowledged](Reader::acknowledge). One reader has a name at a time. What it has not acknowledged is kept, unless the log's
    /// retention says otherwise.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Whether to wait for the next writer when one has closed or died. Otherwise that is told, as
    /// [`Closed`](ReadError::Closed) and [`PeerDied`](ReadError::PeerDied).
    #[must_use]
    pub fn follow(mut self, yes: bool) -> Self {
        self.follow = yes;
        self
    }

    /// Whether to get a message only when it is synced, so that nothing is read that a loss of power can take. Of a writer that never
    /// syncs, or that died or failed before it did, that is nothing; what was not synced then may come when the next writer has synced it.
    #[must_use]
    pub fn synced_only(mut self, yes: bool) -> Self {
        self.synced_only = yes;
        self
    }
}

/// A reader of a log.
///
/// Messages come in order, each with its number. Reading takes nothing away. A reader with a name
/// [acknowledges](Self::acknowledge) what it has done with; the next one of that name goes on behind that.
#[derive(Debug)]
pub struct Reader {
    tape: Tape<Directory>,
    follower: Option<Follower>,
    cursor: Option<Cursor>,
    follow: bool,
    synced_only: bool,
    /// A message that was found, and is not to be shown yet.
    held: Option<Record>,
    synced: u64,
    path: PathBuf,
    origin: fork::Origin,
}

/// A message in place: it lies in the reader's buffer until the next one is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    number: u64,
    time: u64,
    bytes: &'a [u8],
}

impl Message<'_> {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was appended; those of a batch have the time of their block.
    pub fn time(&self) -> SystemTime {
        time_of(self.time)
    }
}

impl std::ops::Deref for Message<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl std::fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("number", &self.number)
            .field("len", &self.bytes.len())
            .finish()
    }
}

/// How long a call waits.
#[derive(Clone, Copy)]
enum Patience {
    None,
    Until(Option<Instant>),
}

impl Reader {
    pub(crate) fn open(
        directory: &Directory,
        path: &Path,
        nonce: u128,
        subscription: &Subscription,
    ) -> Result<Self, Error> {
        let trouble = |trouble: Trouble| trouble.at("read from", path);
        let address = || Address::Log(path.to_owned());
        let origin = fork::Origin::here()
            .map_err(|errno| trouble(Trouble::os("it cannot be used")(errno)))?;
        let control = Control::open(path, directory.mode());
        let follower = match control.and_then(|control| control.follower()) {
            Ok(follower) => Some(follower),
            // Where there is none and none can be made, nobody writes: what is there can be read.
            Err(_) if !subscription.follow && !control::path_of(path)?.exists() => None,
            Err(error) => return Err(error),
        };
        let mut follower = follower;
        let limit = match &mut follower {
            Some(follower) => follower.place().map_err(|_| {
                let problem = "the control file holds what no ringway process writes";
                Error::new(ErrorKind::Corrupt, "read from", address(), problem).remedy(
                    "end all processes that use the log, and remove the files whose names begin with control.",
                )
            })?,
            None => None,
        };
        let from = match subscription.start {
            Start::Oldest => From::Oldest,
            Start::Latest => From::Latest,
            Start::Last(count) => From::Last(count),
            Start::Number(number) => From::Number(number),
            Start::Time(time) => From::Time(nanoseconds(time)),
        };
        let mut tape = Tape::open(directory.clone(), from, limit).map_err(trouble)?;
        let mut cursor = None;
        if let Some(name) = &subscription.name {
            let start = || Ok(tape.next_number());
            let opened =
                Cursor::open(directory, name, nonce, start).map_err(|error| match error {
                    NoCursor::Trouble(other) => trouble(other),
                    NoCursor::Taken(pid) => {
                        let problem =
                            format!("process {pid} reads by the cursor {name}, and one can");
                        let kind = ErrorKind::RoleTaken { pid };
                        Error::new(kind, "read from", address(), problem)
                            .remedy(format!("wait for process {pid} to end, or choose another name"))
                    }
                    NoCursor::Name => {
                        let problem = "a cursor cannot have that name";
                        Error::new(ErrorKind::InvalidKey, "read from", address(), problem).remedy(
                            "choose one of 1 to 200 bytes that can be a file's, without a slash, and does not begin with a \
                             dot or end with .lock or .new",
                        )
                    }
                })?;
            let is_new = opened.number() == tape.next_number();
            if !is_new {
                tape = Tape::open(directory.clone(), From::Number(opened.number()), limit)
                    .map_err(trouble)?;
            }
            cursor = Some(opened);
        }
        Ok(Self {
            tape,
            follower,
            cursor,
            follow: subscription.follow,
            synced_only: subscription.synced_only,
            held: None,
            synced: 0,
            path: path.to_owned(),
            origin,
        })
    }

    /// Receives a copy of the next message if there is one now.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    pub fn try_recv(&mut self) -> Result<Vec<u8>, ReadError> {
        self.try_recv_in_place().map(|message| message.to_vec())
    }

    /// Receives a copy of the next message, waiting for it.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    pub fn recv(&mut self) -> Result<Vec<u8>, ReadError> {
        self.recv_deadline(None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, ReadError> {
        self.recv_deadline(deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    pub fn recv_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Vec<u8>, ReadError> {
        let message = self.recv_in_place_deadline(deadline)?;
        Ok(message.to_vec())
    }

    /// Shows the next message if there is one now, without a copy.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    #[inline]
    pub fn try_recv_in_place(&mut self) -> Result<Message<'_>, ReadError> {
        let record = self.find(Patience::None)?;
        Ok(self.show(&record))
    }

    /// Shows the next message, waiting for it.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    #[inline]
    pub fn recv_in_place(&mut self) -> Result<Message<'_>, ReadError> {
        self.recv_in_place_deadline(None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    pub fn recv_in_place_timeout(&mut self, timeout: Duration) -> Result<Message<'_>, ReadError> {
        self.recv_in_place_deadline(deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`ReadError`]'s.
    #[inline]
    pub fn recv_in_place_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Message<'_>, ReadError> {
        let record = self.find(Patience::Until(deadline.into()))?;
        Ok(self.show(&record))
    }

    #[inline]
    fn show(&self, record: &Record) -> Message<'_> {
        Message {
            number: record.number,
            time: record.time,
            bytes: self.tape.payload(record),
        }
    }

    /// The number of the next message; a later one comes if that is gone.
    pub fn next_number(&self) -> u64 {
        match self.held {
            Some(held) => held.number,
            None => self.tape.next_number(),
        }
    }

    /// Acknowledges all that was received so far: the next reader of this name goes on behind it. It outlives this process, and not
    /// surely a loss of power; then some messages come again. Without a name it does nothing.
    ///
    /// # Errors
    /// [`ReadError::Os`], [`ReadError::Forked`].
    pub fn acknowledge(&mut self) -> Result<(), ReadError> {
        let number = self.next_number();
        self.acknowledge_before(number)
    }

    /// Acknowledges the messages with smaller numbers only, of those that were received: for who has received more than it has done with.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    pub fn acknowledge_before(&mut self, number: u64) -> Result<(), ReadError> {
        self.check()?;
        let number = number.min(self.next_number());
        match &mut self.cursor {
            Some(cursor) => cursor.store(number).map_err(ReadError::of),
            None => Ok(()),
        }
    }

    /// The same, and it outlives a loss of power.
    ///
    /// # Errors
    /// As [`acknowledge`](Self::acknowledge).
    pub fn acknowledge_synced(&mut self) -> Result<(), ReadError> {
        self.acknowledge()?;
        match &self.cursor {
            Some(cursor) => cursor.sync().map_err(ReadError::of),
            None => Ok(()),
        }
    }

    /// Notes that the message with this number is begun, before it is acknowledged, and returns how often it was, with this time, by readers of this
    /// name: more than once if one of them has begun it and died, or begins it again. It outlives this process. One message is
    /// remembered so at a time. Without a name it is always the first time.
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
    /// # use ringway::log::{Log, Subscription};
    /// # let directory = tempfile::tempdir()?;
    /// # let address = format!("log:{}", directory.path().join("orders").display());
    /// # let log = Log::at(&address)?.create()?;
    /// # log.writer()?.append(b"one")?;
    /// let mut worker = log.subscribe(&Subscription::new().name("worker"))?;
    /// let number = worker.recv_in_place()?.number();
    /// assert_eq!(worker.begin(number)?, 1);
    /// drop(worker);
    /// let mut successor = log.subscribe(&Subscription::new().name("worker"))?;
    /// assert_eq!(successor.begin(number)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError::Os`], [`ReadError::Forked`].
    pub fn begin(&mut self, number: u64) -> Result<u32, ReadError> {
        self.check()?;
        match &mut self.cursor {
            Some(cursor) => {
                let count = cursor.begin(number).map_err(ReadError::of)?;
                Ok(u32::try_from(count).unwrap_or(u32::MAX))
            }
            None => Ok(1),
        }
    }

    /// Goes behind what is [`Corrupt`](ReadError::Corrupt): to the next message that can be read, or to the end of the log. How many are passed over
    /// is told next, as [`Lagged`](ReadError::Lagged).
    ///
    /// # Errors
    /// [`ReadError::Os`] and others.
    pub fn skip_damaged(&mut self) -> Result<(), ReadError> {
        self.check()?;
        let limit = self.limit()?;
        let number = self.next_number();
        (self.tape.skip_damaged(limit)).map_err(|trouble| explain(trouble, number))
    }

    fn check(&self) -> Result<(), ReadError> {
        match self.origin.is_forked() {
            true => Err(ReadError::Forked),
            false => Ok(()),
        }
    }

    #[inline]
    fn limit(&mut self) -> Result<Option<Place>, ReadError> {
        match &mut self.follower {
            Some(follower) => follower.place().map_err(|error| self.explain_get(error)),
            None => Ok(None),
        }
    }

    #[inline]
    fn find(&mut self, patience: Patience) -> Result<Record, ReadError> {
        self.check()?;
        // Most were read with others before them.
        if !self.synced_only
            && let Some(record) = self.tape.next_ahead()
        {
            return Ok(record);
        }
        self.find_on(patience)
    }

    #[inline(never)]
    fn find_on(&mut self, patience: Patience) -> Result<Record, ReadError> {
        loop {
            if let Some(record) = self.look()? {
                return Ok(record);
            }
            // Before another look: what it wrote before it ended is there then.
            let writer = match &mut self.follower {
                Some(follower) => follower.writer(),
                None => WriterIs::Gone,
            };
            if writer != WriterIs::Alive
                && let Some(record) = self.look()?
            {
                return Ok(record);
            }
            if writer != WriterIs::Alive && !self.follow {
                return Err(match writer {
                    WriterIs::Dead => ReadError::PeerDied,
                    _ => ReadError::Closed,
                });
            }
            match patience {
                Patience::None => return Err(ReadError::Empty),
                Patience::Until(deadline) => self.wait(deadline)?,
            }
        }
    }

    /// The next message, if there is one that may be shown.
    #[inline]
    fn look(&mut self) -> Result<Option<Record>, ReadError> {
        let limit = self.limit()?;
        let record = match self.held.take() {
            Some(held) => held,
            None => {
                let number = self.tape.next_number();
                let next = self.tape.next(limit);
                match next.map_err(|trouble| explain(trouble, number))? {
                    Next::Message(record) => record,
                    Next::End => return Ok(None),
                    Next::Lagged(missed) => return Err(ReadError::Lagged { missed }),
                    Next::Damaged(number) => return Err(ReadError::Corrupt { number }),
                    Next::Removed => return Err(ReadError::Removed),
                }
            }
        };
        if self.synced_only && record.number >= self.synced && !self.is_synced(record.number)? {
            self.held = Some(record);
            return Ok(None);
        }
        Ok(Some(record))
    }

    /// Whether a message that was read is synced. Where nobody has written since the machine was started, all that there is comes from
    /// the disk.
    #[cold]
    fn is_synced(&mut self, number: u64) -> Result<bool, ReadError> {
        let Some(follower) = &mut self.follower else {
            return Ok(true);
        };
        // Asked after the message was read: a writer tells its place before it appends anything.
        let synced = match follower.place() {
            Ok(Some(_)) => follower.synced(),
            Ok(None) => return Ok(true),
            Err(error) => Err(error),
        };
        self.synced = synced.map_err(|error| self.explain_get(error))?;
        Ok(number < self.synced)
    }

    #[cold]
    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), ReadError> {
        let Some(follower) = &mut self.follower else {
            return Err(ReadError::Closed);
        };
        let waited = match self.held {
            Some(_) => follower.wait_synced(deadline),
            None => follower.wait_place(deadline),
        };
        match waited {
            // Who is told of the death looks once more.
            Ok(()) | Err(GetError::WriterDied) => Ok(()),
            Err(error) => Err(self.explain_get(error)),
        }
    }

    fn explain_get(&self, error: GetError) -> ReadError {
        match error {
            GetError::TimedOut => ReadError::TimedOut,
            GetError::Removed => ReadError::Removed,
            GetError::Forked => ReadError::Forked,
            _ => ReadError::Corrupt {
                number: self.next_number(),
            },
        }
    }

    /// Where the log is.
    pub fn address(&self) -> Address {
        Address::Log(self.path.clone())
    }
}

fn explain(trouble: Trouble, number: u64) -> ReadError {
    match trouble {
        Trouble::Os { errno, .. } => ReadError::of(errno),
        Trouble::NotALog => ReadError::Removed,
        Trouble::Damaged { number, .. } => ReadError::Corrupt { number },
        _ => ReadError::Corrupt { number },
    }
}
