//! `auto:NAME`: shared memory where it can be had, else a message queue.
//!
//! Whoever comes first chooses; the others find what it made. So that two who come at once do not
//! choose differently, looking and making are done under a lock: that of the directory of shared memory
//! (`flock`), which the kernel takes from the dead. Who cannot open that directory cannot make
//! shared memory either, and needs no lock: it looks for a queue, or makes one.
//!
//! | a process dies | it leaves |
//! |---|---|
//! | holding the lock | nothing: the kernel gives the lock to the next |
//! | having made the ring or the queue | that, which the next one finds |

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use ringway_core::{Address, Builder, Error, ErrorKind, Role};

use super::{Carrier, queue_builder};

/// Where POSIX shared memory lies.
const SHM_DIRECTORY: &str = "/dev/shm";

/// How long to wait for others to make their choice. Unless one of them is stopped, that takes
/// microseconds.
const CHOICE: Duration = Duration::from_secs(5);

/// How long to wait between two looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// What to do where nothing is yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Say so, after the builder's waiting time.
    Report,
    /// Make it.
    Make,
}

/// What stands behind an address, and why.
pub(super) type Chosen = (Carrier, String);

/// Finds what stands behind `auto:name`, or makes it; and says why it is what it is.
pub(super) fn open(builder: &Builder, name: &str, absent: Absent) -> Result<Chosen, Error> {
    let deadline = builder
        .common()
        .wait
        .and_then(|wait| Instant::now().checked_add(wait));
    loop {
        let lock = lock(builder.address())?;
        if let Some(found) = find(builder, name)? {
            return Ok(found);
        }
        if absent == Absent::Make {
            match make(builder, name) {
                // By one who sees another directory of shared memory, and so has another lock.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                made => return made,
            }
        }
        drop(lock);
        match deadline {
            None => return Err(nothing("open", builder.address(), ErrorKind::NotFound)),
            Some(deadline) if Instant::now() >= deadline => {
                return Err(nothing("open", builder.address(), ErrorKind::TimedOut));
            }
            // Neither directory may be there to be watched.
            Some(_) => std::thread::sleep(INTERVAL),
        }
    }
}

/// Makes what `auto:name` is to be; something is there already if that fails so.
pub(super) fn create(builder: &Builder, name: &str) -> Result<Chosen, Error> {
    let _lock = lock(builder.address())?;
    match find(builder, name)? {
        Some((carrier, _)) => Err(Error::new(
            ErrorKind::AlreadyExists,
            "create",
            builder.address(),
            format!("{} is there already", carrier.address()),
        )
        .remedy(format!(
            "open it, remove it (ringway rm {}), or choose another address",
            builder.address()
        ))),
        None => make(builder, name),
    }
}

/// The lock on the choice; `None` where there is no shared memory to choose.
fn lock(address: &Address) -> Result<Option<Flock<File>>, Error> {
    let Ok(mut directory) = File::open(SHM_DIRECTORY) else {
        return Ok(None);
    };
    let started = Instant::now();
    loop {
        directory = match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((directory, Errno::EWOULDBLOCK)) if started.elapsed() < CHOICE => directory,
            Err((_, Errno::EWOULDBLOCK)) => {
                let problem = "another process that is about to choose does not come to an end";
                return Err(Error::new(ErrorKind::TimedOut, "open", address, problem).remedy(
                    "see who holds a lock on /dev/shm (lslocks), or name the transport: shm:, mq:",
                ));
            }
            // A file system without locks.
            Err(_) => return Ok(None),
        };
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is there, and why that is what it is. What is there and cannot be used is an error: whoever made it waits
/// there for others.
fn find(builder: &Builder, name: &str) -> Result<Option<Chosen>, Error> {
    let shm = Address::Shm(name.to_owned());
    let at_once = builder.clone().with_address(shm).no_wait();
    match at_once.open() {
        Ok(ring) => return Ok(Some((Carrier::Ring(ring), FOUND.to_owned()))),
        Err(error) if is_in_shared_memory(name) => return Err(error),
        Err(_) => {}
    }
    let mq = Address::Mq(name.to_owned());
    match queue_builder(&builder.clone().no_wait(), &mq).open() {
        Ok(queue) => Ok(Some((Carrier::Queue(queue), FOUND.to_owned()))),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why it is what it is, if others made it.
const FOUND: &str = "it is there already";

fn is_absence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
}

fn make(builder: &Builder, name: &str) -> Result<Chosen, Error> {
    let shm = Address::Shm(name.to_owned());
    let no_memory = match builder.clone().with_address(shm).create() {
        Ok(ring) => {
            let reason = "shared memory can be had".to_owned();
            return Ok((Carrier::Ring(ring), reason));
        }
        Err(error) => error,
    };
    let asks_for_a_ring = builder.common().kind.allows_many(Role::Consumer);
    if asks_for_a_ring || !is_want_of_memory(&no_memory) {
        return Err(no_memory);
    }
    let mq = Address::Mq(name.to_owned());
    match queue_builder(builder, &mq).create() {
        Ok(queue) => Ok((Carrier::Queue(queue), no_memory.to_string())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(no_queue) => Err(Error::new(
            no_memory.kind(),
            "create",
            builder.address(),
            format!("neither shared memory nor a queue can be had: {no_memory}; {no_queue}"),
        )),
    }
}

/// Whether a queue may do where a ring cannot be made.
fn is_want_of_memory(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NoSpace
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::Os
    )
}

/// Where it is that `auto:name` stands for.
pub(super) fn find_address(address: &Address, name: &str) -> Result<Address, Error> {
    if is_in_shared_memory(name) {
        return Ok(Address::Shm(name.to_owned()));
    }
    let mq = Address::Mq(name.to_owned());
    match ringway_mq::stat(&mq) {
        Err(error) if is_absence(&error) => Err(nothing("find", address, ErrorKind::NotFound)),
        Ok(_) | Err(_) => Ok(mq),
    }
}

/// Removes whatever stands behind `auto:name`.
pub(super) fn remove(address: &Address, name: &str, force: bool) -> Result<(), Error> {
    let _lock = lock(address)?;
    match find_address(address, name)? {
        mq @ Address::Mq(_) => ringway_mq::remove(&mq, force),
        shm => ringway_core::remove(&shm, force),
    }
}

fn is_in_shared_memory(name: &str) -> bool {
    Path::new(SHM_DIRECTORY)
        .join(name)
        .symlink_metadata()
        .is_ok()
}

fn nothing(action: &'static str, address: &Address, kind: ErrorKind) -> Error {
    let problem = "there is neither shared memory nor a queue of that name";
    let remedy = match (kind, action) {
        (ErrorKind::TimedOut, _) => "see whether the creator runs, or wait longer",
        (_, "open") => "create it, or let the open wait for it",
        _ => "see what there is: ringway ls",
    };
    Error::new(kind, action, address, problem).remedy(remedy)
}
