//! Opening what carries messages, handing it to other processes, and removing it when it is done with.

use std::os::unix::net::UnixStream;

use ringway::address::{QueueKey, SysvKey};
use ringway::channel::Carrier;
use ringway::inspect::ParticipantStat;
use ringway::peer::Role;
use ringway::{Address, Builder, Channel, Error, ErrorKind, Ring};

use crate::cli::HowArgs;
use crate::failure::Failure;
use crate::say::say;

/// What a command has opened, or made.
pub(crate) struct Opened {
    pub(crate) channel: Channel,
}

impl Opened {
    /// Undoes the making if the command failed, and nothing was sent and nobody else has come meanwhile.
    pub(crate) fn settle<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if outcome.as_ref().is_err_and(Failure::is_error) {
            undo(&self.channel);
        }
        outcome
    }
}

/// Bytes of a frame without a message.
const FAREWELL: u64 = 16;

/// Removes what a command that failed has made, unless it is in use or something was sent.
pub(crate) fn undo(channel: &Channel) {
    let address = channel.address();
    let is_unused = match channel.carrier() {
        Carrier::Ring(ring) => {
            is_at_its_address(ring)
                && ringway::inspect::stat(address).is_ok_and(|stat| stat.sent == 0)
        }
        // The farewell of this process may lie in it.
        _ => ringway::mq::stat(address)
            .is_ok_and(|stat| stat.messages <= 1 && stat.bytes <= FAREWELL),
    };
    if channel.is_new() && is_unused {
        // Somebody may have come in this moment; then it stays.
        let _ = Channel::remove(address, false);
    }
}

/// Opens the ring or the queue, or makes it if that was asked for. Says what `auto:` is.
pub(crate) fn open(address: &Address, args: &HowArgs) -> Result<Opened, Failure> {
    args.make.refuse_at_queue(address)?;
    let mut builder = at(address)?
        .any_owner(args.any_owner)
        .trust_peers(args.make.trust_peers);
    if let Some(wait) = args.wait {
        builder = builder.wait(wait);
    }
    let opened = if args.create {
        Channel::open_or_create(args.make.apply(builder))
    } else {
        Channel::open(args.make.kind.apply(builder))
    };
    let channel = opened.map_err(|error| advise(error, address, args))?;
    let opened = Opened { channel };
    opened.settle(args.make.refuse_other(&opened.channel))?;
    if !args.quiet {
        if opened.channel.reason().is_some() {
            say(&opened.channel);
        }
        args.make.say_what_was_rounded(&opened.channel);
    }
    Ok(opened)
}

/// The next step, as the command line has it.
fn advise(error: Error, address: &Address, args: &HowArgs) -> Failure {
    match error.kind() {
        // Where it would have been made: something else is missing.
        ErrorKind::NotFound if args.create => Failure::error(error),
        ErrorKind::NotFound => {
            Failure::from(error.remedy("make it with --create, or wait for it with --wait 5s"))
        }
        ErrorKind::ForeignOwner => {
            Failure::from(error.remedy("if that user is to be trusted, add --any-owner"))
        }
        ErrorKind::Untrusted => trust_it(error),
        ErrorKind::NotARing if matches!(address, Address::Mq(_)) => {
            Failure::from(error.remedy(
                "if it is another program's, add --foreign; if it is ringway's, give its file in /dev/mqueue the mark back \
                 (chmod +t)",
            ))
        }
        ErrorKind::Incompatible if !args.make.given().is_empty() => {
            let given = args.make.given().join(", ");
            Failure::error(error.remedy(format!(
                "leave that out ({given}) to use it as it is, choose another address, or remove it (ringway rm {address})"
            )))
        }
        _ => Failure::from(error),
    }
}

/// The next step where others could turn the ring's lock against this process.
pub(crate) fn trust_it(error: Error) -> Failure {
    let next = "make it with --sync futex, sysv-sem or mqueue; or, if all who can write in it are to be trusted, \
                add --trust-peers";
    Failure::error(error.remedy(next))
}

/// What other commands can find.
pub(crate) fn at(address: &Address) -> Result<Builder, Failure> {
    if *address == Address::Memfd {
        return Err(Failure::error(
            "memfd: has no name under which another command could find it; use shm:NAME, file:PATH \
             or sysv:0xKEY",
        ));
    }
    if let Address::Log(_) = address {
        return Err(Failure::error(format_args!(
            "{address} is a log: recv reads it, send appends to it, and replay passes its messages on to a ring or a queue"
        )));
    }
    Ok(Builder::at(address.clone()))
}

/// Hands those of `channels` that have no name to a process that calls [`open_all`].
pub(crate) fn hand_over_all(channels: &[Channel], socket: &UnixStream) -> Result<(), Failure> {
    for channel in channels {
        if let Carrier::Ring(ring) = channel.carrier()
            && *ring.address() == Address::Memfd
        {
            ring.hand_over(socket)?;
        }
    }
    Ok(())
}

/// Opens what another process made; what has no name it hands over.
pub(crate) fn open_all(
    addresses: &[Address],
    socket: &UnixStream,
) -> Result<Vec<Channel>, Failure> {
    let open = |address: &Address| match address {
        // From the process that started this one.
        Address::Memfd => {
            let builder = Builder::at(Address::Memfd).trust_peers(true);
            Ok(Channel::from(builder.take_over(socket)?.0))
        }
        named => Ok(Channel::open(Builder::at(named.clone()))?),
    };
    addresses.iter().map(open).collect()
}

/// Where the answers go.
pub(crate) fn reply_address(address: &Address) -> Address {
    match address {
        Address::Shm(name) => Address::Shm(format!("{name}-reply")),
        Address::File(path) => {
            let mut path = path.clone().into_os_string();
            path.push("-reply");
            Address::File(path.into())
        }
        Address::Sysv(_) => Address::Sysv(SysvKey::Private),
        Address::Mq(name) => Address::Mq(format!("{name}-reply")),
        Address::Auto(name) => Address::Auto(format!("{name}-reply")),
        Address::Sysvmq(QueueKey::Key(key)) => {
            Address::Sysvmq(QueueKey::Key(key.wrapping_add(1).max(1)))
        }
        Address::Sysvmq(QueueKey::Ftok { path, id }) => Address::Sysvmq(QueueKey::Ftok {
            path: path.clone(),
            id: id.wrapping_add(1).max(1),
        }),
        other => other.clone(),
    }
}

/// Whether a live process is attached to `ring` as a producer.
pub(crate) fn has_producer(ring: &Ring) -> bool {
    let is_one =
        |participant: &ParticipantStat| participant.alive && participant.role == Role::Producer;
    ringway::inspect::stat(ring.address()).is_ok_and(|stat| stat.participants.iter().any(is_one))
}

/// Removes the address of `channel`, unless it is gone or names another ring by now: the other side may
/// have been told to remove it too, and somebody may have begun anew.
pub(crate) fn unlink(channel: &Channel) -> Result<(), Failure> {
    // Who is still attached keeps the memory; nobody else shall find it.
    let removed = match channel.carrier() {
        Carrier::Ring(ring) if !is_at_its_address(ring) => Ok(()),
        _ => Channel::remove(channel.address(), true),
    };
    match removed {
        Err(error) if !is_absence(&error) => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_at_its_address(ring: &Ring) -> bool {
    // Only looked at: nobody attaches.
    let found = Builder::at(ring.address().clone())
        .prefault(false)
        .trust_peers(true)
        .open();
    found.is_ok_and(|found| found.nonce() == ring.nonce())
}

fn is_absence(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}
