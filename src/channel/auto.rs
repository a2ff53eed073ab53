//! `auto:NAME`: shared memory where it can be had, else a message queue.
//!
//! Whoever comes first chooses; the others find what it made. There is no lock: the name in the directory of shared
//! memory decides, which the kernel gives to one. It leads to the ring, or is a *sign* that there is a queue: a symbolic
//! link to `mq:/NAME`, which nobody follows. A link takes no memory, so it can be made where a ring cannot.
//!
//! | who | in this order |
//! |---|---|
//! | finds a ring's name | opens the ring |
//! | finds a sign | opens the queue, or makes it |
//! | finds a queue without a sign | makes the sign, and then uses the queue; if a ring has the name by now, the ring |
//! | finds nothing, and can have a ring | makes it, which gives it the name when it is finished; if the name is taken by then, looks again |
//! | finds nothing, and cannot | makes the queue, then the sign; if a ring has the name by now, removes its queue, which nobody uses, and opens the ring |
//!
//! So nobody uses a queue before its sign is there, and where that is there is no ring. However long it takes to make
//! a ring, nobody waits for it. A name that was a queue stays one until it is removed.
//!
//! | a process dies or is stopped | it leaves |
//! |---|---|
//! | making a ring | nothing that others see |
//! | having made the queue | a queue without a sign, which the next one makes |
//! | having made the sign | both |
//! | removing: having removed the queue | a sign, and the next one makes the queue, or removes the sign |
//!
//! Who cannot write in the directory makes no sign, and looks for a ring once more when its queue is there. Two who see
//! different directories (mount namespaces), or of whom one can write there and the other cannot, can choose differently if
//! they come in the same moment, for nothing in common tells them.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::geteuid;
use ringway_core::os::rename;
use ringway_core::{Address, Builder, Error, ErrorKind};

use super::{Carrier, queue_builder};

/// Where POSIX shared memory lies.
const SHM_DIRECTORY: &str = "/dev/shm";

/// How long to wait between two looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// How often what is there may vanish and come back between a look and a try.
const ROUNDS: usize = 1000;

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

/// What is there.
enum Found {
    Nothing,
    /// Others chose a queue, and it is not made yet or was removed.
    Sign,
    Open(Box<Carrier>),
}

/// Finds what stands behind `auto:name`, or makes it; and says why it is what it is.
pub(super) fn open(builder: &Builder, name: &str, absent: Absent) -> Result<Chosen, Error> {
    let deadline = builder
        .common()
        .wait
        .and_then(|wait| Instant::now().checked_add(wait));
    let mut rounds = 0;
    loop {
        let found = find(builder, name)?;
        if let Found::Open(carrier) = found {
            return Ok((*carrier, FOUND.to_owned()));
        }
        if absent == Absent::Make {
            if let Some(chosen) = make(builder, name, &found)? {
                return Ok(chosen);
            }
            rounds += 1;
            if rounds == ROUNDS {
                return Err(restless(builder.address()));
            }
            continue;
        }
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
    for _ in 0..ROUNDS {
        let found = find(builder, name)?;
        let taken = match found {
            Found::Open(carrier) => carrier.address().clone(),
            Found::Nothing | Found::Sign => match make(builder, name, &found)? {
                Some(chosen) => return Ok(chosen),
                None => continue,
            },
        };
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "create",
            builder.address(),
            format!("{taken} is there already"),
        )
        .remedy(format!(
            "open it, remove it (ringway rm {}), or choose another address",
            builder.address()
        )));
    }
    Err(restless(builder.address()))
}

fn restless(address: &Address) -> Error {
    let problem = "other processes keep making and removing it";
    Error::new(ErrorKind::TimedOut, "open", address, problem).remedy("see which, or try again")
}

/// What a name in the directory of shared memory says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Absent,
    /// A queue is meant, says the user with this id.
    Sign(u32),
    /// A ring, or something else that is in its place.
    Taken,
}

fn path(name: &str) -> PathBuf {
    Path::new(SHM_DIRECTORY).join(name)
}

fn text(name: &str) -> String {
    Address::Mq(name.to_owned()).to_string()
}

fn look(name: &str) -> Name {
    look_at(&path(name), name)
}

fn look_at(path: &Path, name: &str) -> Name {
    let Ok(metadata) = path.symlink_metadata() else {
        return Name::Absent;
    };
    match std::fs::read_link(path) {
        Ok(target) if target == Path::new(&text(name)) => Name::Sign(metadata.uid()),
        _ => Name::Taken,
    }
}

/// Makes the sign that `name` is a queue, unless the name is taken; and says what the name means then. `None` where no
/// sign can be made.
fn sign(name: &str) -> Option<Name> {
    for _ in 0..ROUNDS {
        match symlink(text(name), path(name)) {
            Ok(()) => return Some(Name::Sign(geteuid().as_raw())),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(_) => return None,
        }
        match look(name) {
            // Removed since.
            Name::Absent => {}
            found => return Some(found),
        }
    }
    None
}

/// What is there. What is there and cannot be used is an error: whoever made it waits there for others.
fn find(builder: &Builder, name: &str) -> Result<Found, Error> {
    for _ in 0..ROUNDS {
        let found = look(name);
        if found == Name::Taken {
            let shm = Address::Shm(name.to_owned());
            match builder.clone().with_address(shm).no_wait().open() {
                Ok(ring) => return Ok(Found::Open(Box::new(Carrier::Ring(ring)))),
                // Removed since, or retired.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
        }
        if let Name::Sign(owner) = found {
            check_owner(builder, owner)?;
        }
        let mq = Address::Mq(name.to_owned());
        let queue = match queue_builder(&builder.clone().no_wait(), &mq).open() {
            Ok(queue) => queue,
            Err(error) if is_absence(&error) => {
                return Ok(match found {
                    Name::Sign(_) => Found::Sign,
                    _ => Found::Nothing,
                });
            }
            Err(error) => return Err(error),
        };
        match found {
            Name::Absent if sign(name) == Some(Name::Taken) => continue,
            _ => {}
        }
        return match builder.only_of_rings() {
            None => Ok(Found::Open(Box::new(Carrier::Queue(queue)))),
            Some(wish) => {
                let problem = format!(
                    "it is a queue already, {mq}, which has not what was asked for, {wish}"
                );
                let address = builder.address();
                Err(Error::new(ErrorKind::Incompatible, "open", address, problem).remedy(format!(
                    "leave that out to use it as it is, choose another address, or remove it (ringway rm {address})"
                )))
            }
        };
    }
    Err(restless(builder.address()))
}

/// Whether whoever says that a queue is meant is to be believed, as with a ring that lies there.
fn check_owner(builder: &Builder, owner: u32) -> Result<(), Error> {
    let euid = geteuid().as_raw();
    if builder.common().any_owner || [0, euid].contains(&owner) {
        return Ok(());
    }
    let problem = format!(
        "that it is a queue says user {owner} (by a symbolic link in {SHM_DIRECTORY}), and this process runs as user {euid}"
    );
    Err(
        Error::new(ErrorKind::ForeignOwner, "open", builder.address(), problem)
            .remedy("if that user is to be trusted, allow any owner when opening"),
    )
}

/// Why it is what it is, if others made it.
const FOUND: &str = "it is there already";

fn is_absence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
}

/// Makes it, as far as what was found allows: a ring, or a queue. `None`: others were faster; look again.
fn make(builder: &Builder, name: &str, found: &Found) -> Result<Option<Chosen>, Error> {
    let no_memory = match found {
        Found::Sign => None,
        _ => {
            let shm = Address::Shm(name.to_owned());
            match builder.clone().with_address(shm).create() {
                Ok(ring) => {
                    let reason = "shared memory can be had".to_owned();
                    return Ok(Some((Carrier::Ring(ring), reason)));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
                Err(error) if !is_want_of_memory(&error) => return Err(error),
                Err(error) => Some(error),
            }
        }
    };
    let reason = match &no_memory {
        Some(error) => error.to_string(),
        None => "others have chosen a queue".to_owned(),
    };
    if let Some(wish) = builder.only_of_rings() {
        let kind = no_memory
            .as_ref()
            .map_or(ErrorKind::Unsupported, Error::kind);
        let problem = format!("a queue has not what was asked for, {wish}; and {reason}");
        return Err(
            Error::new(kind, "create", builder.address(), problem).remedy(format!(
                "do without, make room for the ring, or remove the name if nobody uses it (ringway rm {})",
                builder.address()
            )),
        );
    }
    let mq = Address::Mq(name.to_owned());
    let queue = match queue_builder(builder, &mq).create() {
        Ok(queue) => queue,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        Err(no_queue) => {
            let kind = no_memory.map_or(no_queue.kind(), |error| error.kind());
            let problem =
                format!("neither shared memory nor a queue can be had: {reason}; {no_queue}");
            return Err(Error::new(kind, "create", builder.address(), problem));
        }
    };
    let name_is = sign(name).unwrap_or_else(|| look(name));
    if name_is == Name::Taken {
        drop(queue);
        // Nobody uses it before its sign is there. Whoever makes none may: then it stays.
        let _ = ringway_mq::remove(&mq, false);
        return Ok(None);
    }
    Ok(Some((Carrier::Queue(queue), reason)))
}

/// Whether a queue may do where a ring cannot be made.
fn is_want_of_memory(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::NoSpace
        | ErrorKind::PermissionDenied
        | ErrorKind::Unsupported
        | ErrorKind::Os => true,
        // More than there is, and not what no ring can have.
        ErrorKind::InvalidCapacity => error.errno() == Some(Errno::ENOSPC as i32),
        _ => false,
    }
}

/// Where it is that `auto:name` stands for.
pub(super) fn find_address(address: &Address, name: &str) -> Result<Address, Error> {
    if look(name) == Name::Taken {
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
    let has_sign = matches!(look(name), Name::Sign(_));
    match find_address(address, name) {
        Ok(Address::Mq(_)) => remove_queue(name, force),
        Ok(shm) => ringway_core::remove(&shm, force),
        // A sign without a queue.
        Err(_) if has_sign => {
            remove_sign(name);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Removes the queue, and then the sign.
pub(super) fn remove_queue(name: &str, force: bool) -> Result<(), Error> {
    ringway_mq::remove(&Address::Mq(name.to_owned()), force)?;
    remove_sign(name);
    Ok(())
}

/// Removes the sign of a queue that is removed, if there is one and this process may.
///
/// The kernel removes names, not what they lead to: another may remove the sign as well, and a third have made a ring
/// by that name in between. So the sign is taken out of the way first, and looked at there.
fn remove_sign(name: &str) {
    let Name::Sign(_) = look(name) else { return };
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let aside = path(&format!(".ringway-auto-{}-{number}", std::process::id()));
    let from = path(name);
    if rename::to_free_name(&from, &aside).is_err() {
        return;
    }
    match look_at(&aside, name) {
        Name::Sign(_) => drop(std::fs::remove_file(&aside)),
        _ => drop(rename::to_free_name(&aside, &from)),
    }
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
