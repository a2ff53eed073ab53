//! How a server is started.

use std::time::Duration;

use ringway_core::board::Builder;
use ringway_core::{Address, Error, WaitStrategy};

use crate::place::{DEFAULT_MOST, Place, Plan};
use crate::server::Server;

/// Says where a service is and what it is like, then starts a server of it. All servers that share an address share its requests out.
///
/// Options that shape a new service must be true of one that is there already.
///
/// ```
/// # let name = format!("shm:ringway-doc-serve-{}", std::process::id());
/// use ringway_service::serve;
///
/// let server = serve(&name)?.clients(1000).start()?;
/// assert_eq!(server.clients(), 1008);
/// # ringway_core::remove(server.address(), true)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Serve {
    board: Builder,
    plan: Plan,
    how: How,
}

/// How a server serves.
#[derive(Clone, Debug)]
pub(crate) struct How {
    pub(crate) max_request: usize,
    pub(crate) patience: Duration,
    pub(crate) wait: WaitStrategy,
}

/// How long a caller that lives may take no part of its answer, unless told otherwise.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

impl Serve {
    /// A service at a parsed address, with every option at its default.
    pub fn at(address: Address) -> Self {
        Self {
            board: Builder::at(address),
            plan: Plan {
                clients: None,
                part_len: None,
                mode: None,
                persistent: None,
            },
            how: How {
                max_request: DEFAULT_MOST,
                patience: DEFAULT_PATIENCE,
                wait: WaitStrategy::default(),
            },
        }
    }

    /// How many client handles a new service has room for at once: up to 2032, in up to 120 processes together with the servers. The default
    /// is 240. It is rounded up to what fits in the same memory.
    pub fn clients(mut self, count: u32) -> Self {
        self.plan.clients = Some(count);
        self
    }

    /// Bytes, with their header, that a new service moves at once, rounded up to a power of two of at least 256. Longer requests
    /// and answers go in fragments, of which the other side says that it has each. Each client takes four times as much memory. The default
    /// is 4096.
    pub fn part_len(mut self, bytes: u64) -> Self {
        self.plan.part_len = Some(bytes.max(256));
        self
    }

    /// Permission bits of a new service, whatever the umask. The default is `0o600`. Who calls needs the right to write.
    pub fn mode(mut self, mode: u32) -> Self {
        self.plan.mode = Some(mode);
        self
    }

    /// Whether collectors leave a new service alone, whoever dies, as [`Builder::persistent`](ringway_core::Builder::persistent) of rings.
    pub fn persistent(mut self, yes: bool) -> Self {
        self.plan.persistent = Some(yes);
        self
    }

    /// Whether to serve at a place that belongs to another user, as [`Builder::any_owner`](ringway_core::Builder::any_owner).
    pub fn any_owner(mut self, yes: bool) -> Self {
        self.board = self.board.any_owner(yes);
        self
    }

    /// Bytes of the longest request that is taken. The default is 64 MiB. Callers of longer ones are told
    /// ([`RequestTooLong`](crate::CallError::RequestTooLong)).
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.how.max_request = bytes;
        self
    }

    /// How long a caller that lives may take no part of an answer that is sent in parts, before [`send`](crate::Request::send) gives up. It
    /// may be stopped, and others wait. The default is 10 seconds.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.how.patience = patience;
        self
    }

    /// How the server waits.
    pub fn with_wait(mut self, wait: WaitStrategy) -> Self {
        self.how.wait = wait;
        self
    }

    /// Opens the service, or makes it if nothing is there, and starts a server.
    ///
    /// # Errors
    /// Those of [`Builder::open_or_create`](ringway_core::Builder::open_or_create);
    /// [`ErrorKind::Incompatible`](ringway_core::ErrorKind::Incompatible) if what is there is no such service;
    /// [`ErrorKind::RoleTaken`](ringway_core::ErrorKind::RoleTaken) if 31 other processes serve there.
    pub fn start(self) -> Result<Server, Error> {
        let place = Place::open_or_create(&self.board, &self.plan)?;
        Server::start(place, self.how)
    }
}
