//! Opening rings, handing them to other processes, and removing them when they are done.

use std::os::unix::net::UnixStream;

use ringway::{Address, Builder, ParticipantStat, Ring, Role};

use crate::cli::RingArgs;
use crate::failure::Failure;

/// Opens the ring, or makes it if that was asked for.
pub(crate) fn open(args: &RingArgs) -> Result<Ring, Failure> {
    let mut builder = at(&args.address)?;
    if let Some(wait) = args.wait {
        builder = builder.wait(wait);
    }
    let ring = if args.create {
        args.make.apply(builder).open_or_create()?
    } else {
        builder.open()?
    };
    args.make.kind.refuse_other(&ring)?;
    Ok(ring)
}

/// A ring that other commands can find.
pub(crate) fn at(address: &Address) -> Result<Builder, Failure> {
    if *address == Address::Memfd {
        return Err(Failure::error(
            "memfd: has no name under which another command could find it; use shm:NAME, file:PATH \
             or sysv:0xKEY",
        ));
    }
    Ok(Builder::at(address.clone()))
}

/// Hands those of `rings` that have no name to a process that calls [`open_all`].
pub(crate) fn hand_over_all(rings: &[Ring], socket: &UnixStream) -> Result<(), Failure> {
    for ring in rings {
        if *ring.address() == Address::Memfd {
            ring.hand_over(socket)?;
        }
    }
    Ok(())
}

/// Opens the rings that another process made; those without a name it hands over.
pub(crate) fn open_all(addresses: &[Address], socket: &UnixStream) -> Result<Vec<Ring>, Failure> {
    let open = |address: &Address| match address {
        Address::Memfd => Ok(Ring::take_over(socket)?.0),
        named => Ok(Builder::at(named.clone()).open()?),
    };
    addresses.iter().map(open).collect()
}

/// Whether a live process is attached to `ring` as a producer.
pub(crate) fn has_producer(ring: &Ring) -> bool {
    let is_one =
        |participant: &ParticipantStat| participant.alive && participant.role == Role::Producer;
    ringway::stat(ring.address()).is_ok_and(|stat| stat.participants.iter().any(is_one))
}

/// Removes the address of `ring`, unless it is gone or names another ring by now: the other side may
/// have been told to remove it too, and somebody may have begun anew.
pub(crate) fn unlink(ring: &Ring) -> Result<(), Failure> {
    let found = Builder::at(ring.address().clone()).prefault(false).open();
    if found.is_ok_and(|found| found.nonce() == ring.nonce()) {
        // Who is still attached keeps the memory; nobody else shall find it.
        match ringway::remove(ring.address(), true) {
            Err(error) if error.kind() != ringway::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
