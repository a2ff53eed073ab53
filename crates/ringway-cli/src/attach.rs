//! Opening the ring that `send` and `recv` work on, and removing it when they are done.

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
