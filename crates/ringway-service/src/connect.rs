//! How a client finds a service.

use std::time::{Duration, Instant};

use ringway_core::board::Builder;
use ringway_core::os::deadline_after;
use ringway_core::{Address, Error, ErrorKind, WaitStrategy};

use crate::client::Client;
use crate::place::{DEFAULT_MOST, Place};

/// Says which service, and how calls are made, then connects.
///
/// ```
/// # let name = format!("shm:ringway-doc-connect-{}", std::process::id());
/// use ringway_service::{connect, serve};
///
/// let server = serve(&name)?.start()?;
/// let client = connect(&name)?.at_least_once().open()?;
/// assert_eq!(client.servers(), 1);
/// # ringway_core::remove(server.address(), true)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Connect {
    board: Builder,
    wait: Option<Duration>,
    pub(crate) how: How,
}

/// How a client makes its calls.
#[derive(Clone, Debug)]
pub(crate) struct How {
    pub(crate) at_least_once: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) max_answer: usize,
    pub(crate) attempts: u32,
    pub(crate) wait: WaitStrategy,
}

/// How often a request is begun at most, unless told otherwise: one that kills its servers shall not kill all.
const DEFAULT_ATTEMPTS: u32 = 10;

impl Connect {
    /// A service at a parsed address, with every option at its default.
    pub fn at(address: Address) -> Self {
        Self {
            board: Builder::at(address),
            wait: None,
            how: How {
                at_least_once: false,
                timeout: None,
                grace: Duration::ZERO,
                max_answer: DEFAULT_MOST,
                attempts: DEFAULT_ATTEMPTS,
                wait: WaitStrategy::default(),
            },
        }
    }

    /// How long [`open`](Self::open) waits for the service to appear, and for a server to be there. The default is not at all: then a
    /// service without servers can be connected to, and calls end with [`NoServer`](crate::CallError::NoServer).
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Lets a request whose server dies, or lets it go, be served again by the next server, which is told so
    /// ([`Request::is_repeated`](crate::Request::is_repeated)): it is done once or more often. Unless this is called, the caller is told
    /// ([`ServerDied`](crate::CallError::ServerDied)): then it is done at most once.
    pub fn at_least_once(mut self) -> Self {
        self.how.at_least_once = true;
        self
    }

    /// How often one request is begun at most, at least once. The default is 10: a request that kills its servers does not kill for ever.
    pub fn attempts(mut self, most: u32) -> Self {
        self.how.attempts = most.max(1);
        self
    }

    /// How long a call takes at most, that is given no deadline of its own. The default is for ever, as long as there are servers.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.how.timeout = Some(timeout);
        self
    }

    /// How long a call goes on although no server is there, so that one can be started anew. The default is not at all.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.how.grace = grace;
        self
    }

    /// Bytes of the longest answer that [`call`](Client::call) gathers. The default is 64 MiB.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.how.max_answer = bytes;
        self
    }

    /// Whether to connect to a service that belongs to another user, as [`Builder::any_owner`](ringway_core::Builder::any_owner).
    pub fn any_owner(mut self, yes: bool) -> Self {
        self.board = self.board.any_owner(yes);
        self
    }

    /// How calls wait.
    pub fn with_wait(mut self, wait: WaitStrategy) -> Self {
        self.how.wait = wait;
        self
    }

    /// Connects: takes one of the service's desks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] ([`ErrorKind::TimedOut`] after [`wait`](Self::wait)) if there is no service, or no server after
    /// [`wait`](Self::wait); [`ErrorKind::Incompatible`] if what is there is none; [`ErrorKind::RoleTaken`] if all desks are taken, or the
    /// service has 120 processes; and those of [`Builder::open`](ringway_core::Builder::open).
    pub fn open(self) -> Result<Client, Error> {
        let until = self.wait.and_then(deadline_after);
        let board = match self.wait {
            Some(wait) => self.board.wait(wait),
            None => self.board,
        };
        let address = board.address().clone();
        let client = Client::new(Place::open(&board)?, self.how)?;
        let mut pause = Duration::from_millis(1);
        while self.wait.is_some() && client.servers() == 0 {
            if until.is_some_and(|until| Instant::now() >= until) {
                let error = Error::new(
                    ErrorKind::TimedOut,
                    "connect to",
                    &address,
                    "no server is there",
                );
                return Err(error.remedy("start one (ringway serve), or wait longer"));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(client)
    }
}
