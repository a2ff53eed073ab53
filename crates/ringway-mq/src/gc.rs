//! Garbage: queues that only the dead held.
//!
//! | | proof that nobody lives | proof that somebody died | who comes in the same moment |
//! |---|---|---|---|
//! | `mq:` | the locks of all places, which the kernel takes from the dead | the last receiver's mark, without its locks; a sender's death leaves none | waits for those locks, and then finds the name gone |
//! | `sysvmq:` | counts of the living, which the kernel lowers for the dead | a count of those who did not leave in order, above that of the living; for receivers a mark | waits for the gate, and then finds the queue gone |
//!
//! No time and no pid decides anything. Who has a queue open and is not attached is not seen by the kernel; if that one
//! attaches when the queue is gone, it is told that there is none.

use ringway_core::gc::{Fate, Why};
use ringway_core::{Address, Error, ErrorKind};

use crate::attempt::Attempt;
use crate::judge::Judge;
use crate::{posix, sysv};

/// A collector of queues that dead processes left behind. What anybody alive is attached to, what was left in order,
/// what others made, and what this process's user may not remove stays.
///
/// Of a POSIX queue to which only *senders* died the kernel keeps no trace: it stays, as
/// [`Why::Unproven`](ringway_core::gc::Why::Unproven), for somebody who knows better to [`remove`](crate::remove).
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
/// use ringway::gc::{Fate, Why};
/// use ringway::mq::{Gc, QueueBuilder};
///
/// # let address = format!("mq:/ringway-doc-gc-{}", std::process::id());
/// let queue = QueueBuilder::new(&address)?.create()?;
/// let receiver = queue.receiver()?;
/// let fate = Gc::new().collect(queue.address())?;
/// assert_eq!(fate, Some(Fate::Kept(Why::InUse { alive: 1, dead: 0 })));
/// # drop(receiver);
/// # ringway::mq::remove(queue.address(), true)?;
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Gc {
    judge: Judge,
}

impl Gc {
    /// A collector that removes empty queues of the dead.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether to change nothing and only say what would be removed. The default is no.
    #[must_use]
    pub fn dry_run(mut self, yes: bool) -> Self {
        self.judge.dry_run = yes;
        self
    }

    /// Whether to remove queues in which messages wait, too; farewells of senders count as such. The default is no.
    #[must_use]
    pub fn undelivered(mut self, yes: bool) -> Self {
        self.judge.undelivered = yes;
        self
    }

    /// Looks at the queue at `address`, and removes it if it is garbage. `None` if somebody else removed it meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::NotARing`] if it is not ringway's, and others of the
    /// kernel's.
    pub fn collect(&self, address: &Address) -> Result<Option<Fate>, Error> {
        let attempt = Attempt {
            action: "collect",
            address,
        };
        let collected = match address {
            Address::Mq(name) => posix::collect(attempt, name, &self.judge),
            Address::Sysvmq(key) => sysv::collect(attempt, key, &self.judge),
            _ => Err(attempt.wrong_address()),
        };
        match collected {
            Err(error) if error.kind() == ErrorKind::ForeignOwner => {
                Ok(Some(Fate::Kept(Why::NotPermitted)))
            }
            collected => collected,
        }
    }
}
