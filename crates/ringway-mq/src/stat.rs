//! Looking after queues from outside.

use ringway_core::os::tell;
use ringway_core::{Address, Error};

use crate::attempt::Attempt;
use crate::status::QueueStat;
use crate::{posix, sysv};

/// Looks at the queue at `address` without taking part.
///
/// # Errors
/// Those of [`QueueBuilder::open`](crate::QueueBuilder::open).
///
/// ```no_run
/// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
/// let stat = ringway::mq::stat(&"mq:/orders".parse()?)?;
/// println!("{} messages, {} senders", stat.messages, stat.senders);
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn stat(address: &Address) -> Result<QueueStat, Error> {
    let attempt = Attempt {
        action: "inspect",
        address,
    };
    match address {
        Address::Mq(name) => posix::stat(attempt, name),
        Address::Sysvmq(key) => sysv::stat(attempt, key),
        _ => Err(attempt.wrong_address()),
    }
}

/// The addresses of all queues of ringway's that this user may open. POSIX queues can be listed by root, or where
/// `/dev/mqueue` is mounted.
///
/// ```
/// # mod ringway { pub use ringway_mq as mq; }
/// for address in ringway::mq::list() {
///     println!("{address}");
/// }
/// ```
pub fn list() -> Vec<Address> {
    let mut queues = posix::list();
    queues.extend(sysv::list());
    queues
}

/// Removes the queue at `address`, with all that is in it. Processes that have a POSIX queue open can go on; a System
/// V queue is gone for them too. Unless `force` is set, a queue to which a live process is attached is left alone.
///
/// # Errors
/// [`ErrorKind::InUse`](ringway_core::ErrorKind::InUse) if a live process is attached (the kernel does not say which: the pid is 0),
/// [`ErrorKind::NotFound`](ringway_core::ErrorKind::NotFound), [`ErrorKind::NotARing`](ringway_core::ErrorKind::NotARing) (foreign objects are never removed),
/// [`ErrorKind::ForeignOwner`](ringway_core::ErrorKind::ForeignOwner), [`ErrorKind::PermissionDenied`](ringway_core::ErrorKind::PermissionDenied).
///
/// ```no_run
/// # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
/// ringway::mq::remove(&"mq:/orders".parse()?, false)?;
/// # Ok::<(), ringway::Error>(())
/// ```
pub fn remove(address: &Address, force: bool) -> Result<(), Error> {
    let attempt = Attempt {
        action: "remove",
        address,
    };
    match address {
        Address::Mq(name) => posix::remove(attempt, name, force),
        Address::Sysvmq(key) => sysv::remove(attempt, key, force),
        _ => Err(attempt.wrong_address()),
    }?;
    tell!("ringway::queue", INFO, "removed", address = %address);
    Ok(())
}
