//! How a queue is made or found.

use std::time::{Duration, Instant};

use ringway_core::os::fork::Origin;
use ringway_core::os::tell;
use ringway_core::{Address, Error, ErrorKind};

use crate::attempt::Attempt;
use crate::options::{Options, permissions};
use crate::queue::Queue;
use crate::{posix, sysv};

/// How often [`QueueBuilder::open`] looks whether the queue has appeared. The kernel reports no such thing for all
/// queues.
const LOOK: Duration = Duration::from_millis(2);

/// Says where a message queue lives and what it is like, then makes or opens it.
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
/// use ringway::mq::QueueBuilder;
///
/// # let address = format!("mq:/ringway-doc-builder-{}", std::process::id());
/// let queue = QueueBuilder::new(&address)?.messages(4).message_len(100).create()?;
/// assert_eq!(queue.max_message_len(), 100);
/// ringway::mq::remove(queue.address(), false)?;
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct QueueBuilder {
    address: Address,
    options: Options,
    wait: Option<Duration>,
}

impl QueueBuilder {
    /// A queue at `address`, with every option at its default.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`] if the address does not parse.
    pub fn new(address: &str) -> Result<Self, Error> {
        address.parse().map(Self::at)
    }

    /// A queue at a parsed address: [`Address::Mq`] or [`Address::Sysvmq`].
    pub fn at(address: Address) -> Self {
        Self {
            address,
            options: Options::default(),
            wait: None,
        }
    }

    /// Most messages in a new queue. The default is what an unprivileged user may have.
    ///
    /// A System V queue has a limit of bytes instead; this and [`message_len`](Self::message_len) together set it.
    #[must_use]
    pub fn messages(mut self, most: u32) -> Self {
        self.options.messages = Some(most.into());
        self
    }

    /// Bytes of the longest message in a new queue: a sender is told that a longer one is
    /// [`TooLarge`](ringway_core::SendError::TooLarge). The default is what an unprivileged user may have.
    #[must_use]
    pub fn message_len(mut self, bytes: usize) -> Self {
        self.options.message_len = Some(bytes);
        self
    }

    /// Whether a new queue has priorities; who opens it learns so. The default is yes.
    ///
    /// Without them messages are received in the order of sending, and a sender that asks for a priority above 0 gets
    /// [`SendError::NoPriorities`](ringway_core::SendError::NoPriorities). A System V queue is faster so: to find the
    /// most urgent message, the kernel looks at every one in the queue.
    ///
    /// ```
    /// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
    /// use ringway::SendError;
    /// use ringway::mq::QueueBuilder;
    ///
    /// # let address = format!("sysvmq:{:#x}", std::process::id() << 10 | 0x3fe);
    /// let queue = QueueBuilder::new(&address)?.priorities(false).create()?;
    /// let mut sender = queue.sender()?;
    /// sender.send(b"in turn")?;
    /// let urgent = sender.try_send_with_priority(b"urgent", 5);
    /// assert_eq!(urgent, Err(SendError::NoPriorities));
    /// # drop(sender);
    /// # ringway::mq::remove(queue.address(), true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn priorities(mut self, yes: bool) -> Self {
        self.options.priorities = yes;
        self.options.priorities_asked = true;
        self
    }

    /// Makes a new queue without priorities, and says nothing about one that is there. For who has no use for them.
    #[doc(hidden)]
    #[must_use]
    pub fn without_priorities_if_new(mut self) -> Self {
        self.options.priorities = false;
        self
    }

    /// Permission bits of a new queue, whatever the umask: read and write bits, of which users need both. The default is
    /// `0o600`.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.options.mode = Some(mode);
        self
    }

    /// Whether to open a queue that belongs to another user. The default is no: only one's own and root's are
    /// opened. In a user namespace that gives not everybody a number, nothing of the overflow uid's (65534) is one's own.
    #[must_use]
    pub fn any_owner(mut self, yes: bool) -> Self {
        self.options.any_owner = yes;
        self
    }

    /// How long [`open`](Self::open) waits for the queue to appear. The default is not at all.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Makes a new queue; of several processes that try at once, one succeeds.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if the address is taken, [`ErrorKind::NotARing`] by a queue of somebody
    /// else's making; [`ErrorKind::InvalidCapacity`] and [`ErrorKind::NoSpace`], which name the limit;
    /// [`ErrorKind::PermissionDenied`], [`ErrorKind::Unsupported`].
    pub fn create(self) -> Result<Queue, Error> {
        self.make()
    }

    /// Opens an existing queue. [`messages`](Self::messages), [`message_len`](Self::message_len), [`priorities`](Self::priorities) and
    /// [`mode`](Self::mode) must be true of it if they were set. (A System V queue has room for bytes: for so many messages of the
    /// longest.)
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] ([`ErrorKind::TimedOut`] after [`wait`](Self::wait)), [`ErrorKind::NotARing`],
    /// [`ErrorKind::Incompatible`], which names what the queue has and what was asked for,
    /// [`ErrorKind::ForeignOwner`], [`ErrorKind::PermissionDenied`], [`ErrorKind::Unsupported`].
    pub fn open(self) -> Result<Queue, Error> {
        let deadline = self.wait.map(|wait| Instant::now().checked_add(wait));
        loop {
            let error = match self.find() {
                Err(error) if error.kind() == ErrorKind::NotFound => error,
                result => return result,
            };
            match deadline {
                None => return Err(error),
                Some(Some(deadline)) if Instant::now() >= deadline => {
                    return Err(self
                        .attempt("open")
                        .error(ErrorKind::TimedOut, "it did not appear")
                        .remedy("see whether its creator runs, or wait longer"));
                }
                Some(_) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Opens the queue, or makes it if there is none.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(self) -> Result<Queue, Error> {
        loop {
            match self.find() {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => return result,
            }
            match self.make() {
                // Somebody was faster; or has been, and has removed it again.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                result => return result,
            }
        }
    }

    fn attempt(&self, action: &'static str) -> Attempt<'_> {
        Attempt {
            action,
            address: &self.address,
        }
    }

    fn make(&self) -> Result<Queue, Error> {
        let attempt = self.attempt("create");
        let origin = origin(attempt)?;
        let queue = match &self.address {
            Address::Mq(name) => posix::create(attempt, name, &self.options)
                .map(|queue| Queue::posix(&self.address, queue, origin).made_here()),
            Address::Sysvmq(key) => sysv::create(attempt, key, &self.options)
                .map(|queue| Queue::sysv(&self.address, queue, origin).made_here()),
            _ => Err(attempt.wrong_address()),
        }?;
        tell!("ringway::queue", INFO, "created", address = %self.address);
        Ok(queue)
    }

    fn find(&self) -> Result<Queue, Error> {
        let attempt = self.attempt("open");
        let origin = origin(attempt)?;
        let queue = match &self.address {
            Address::Mq(name) => posix::open(attempt, name, &self.options)
                .map(|queue| Queue::posix(&self.address, queue, origin)),
            Address::Sysvmq(key) => sysv::open(attempt, key, &self.options)
                .map(|queue| Queue::sysv(&self.address, queue, origin)),
            _ => Err(attempt.wrong_address()),
        }?;
        self.check(&queue)?;
        tell!("ringway::queue", DEBUG, "opened", address = %self.address);
        Ok(queue)
    }

    /// Whether a queue that is there is as options that were set say.
    fn check(&self, queue: &Queue) -> Result<(), Error> {
        let mut there = Vec::new();
        let options = &self.options;
        if options.priorities_asked && options.priorities != queue.has_priorities() {
            there.push(match queue.has_priorities() {
                true => "with priorities and not without".to_owned(),
                false => "without priorities and not with them".to_owned(),
            });
        }
        if let Some((messages, len)) = queue.made_for() {
            if let Some(asked) = options.messages.filter(|asked| *asked != messages) {
                there.push(format!("for {messages} messages and not {asked}"));
            }
            if let Some(asked) = options.message_len.filter(|asked| *asked != len) {
                there.push(format!("for messages of {len} bytes and not {asked}"));
            }
        }
        let mode = queue.mode();
        if let Some(asked) = options.mode.map(permissions).filter(|asked| *asked != mode) {
            there.push(format!("with mode {mode:o} and not {asked:o}"));
        }
        match there.is_empty() {
            true => Ok(()),
            false => {
                let problem = format!("it is there already, {}", there.join(", "));
                let attempt = self.attempt("open");
                Err(attempt.error(ErrorKind::Incompatible, problem).remedy(format!(
                    "leave that out to use it as it is, choose another address, or remove it (ringway rm {})",
                    self.address
                )))
            }
        }
    }
}

/// This process, known before anything is made: without it, children of fork would not be told apart.
fn origin(attempt: Attempt<'_>) -> Result<Origin, Error> {
    Origin::here().map_err(|errno| attempt.os("mmap or madvise", "cannot mark this process", errno))
}
