//! `ringway recv`: from a ring, a queue or a log to standard output.

mod foreign;
mod log;
mod peek;
mod queue;
mod ring;
mod whole;

use std::fs::File;
use std::io;
use std::sync::Once;

use ringway::channel::{Carrier, ChannelReceiver};
use ringway::chunk::Header;
use ringway::peer::Peer;
use ringway::{Address, Channel, Kind, RecvError};

use crate::attach;
use crate::cli::{IntakeArgs, RecvArgs};
use crate::failure::Failure;
use crate::framing::Framing;
use crate::log::is_log;
use crate::output;
use crate::progress::Progress;
use crate::say::say;
use crate::signals;
use crate::units::counted;

pub(crate) use self::queue::refuse_removal;

/// Bytes that are gathered before they are written, if there are so many.
const BLOCK: usize = 256 << 10;

/// Writes messages until the senders close.
pub(crate) fn run(args: &RecvArgs) -> Result<(), Failure> {
    let address = &args.ring.place.address;
    refuse_at_queue(&args.intake, address)?;
    if args.peek && matches!(address, Address::Mq(_) | Address::Sysvmq(_)) {
        return Err(unpeekable());
    }
    let verb = match args.peek {
        true => "showed",
        false => "received",
    };
    let progress = Progress::new(verb, args.ring.place.how.quiet, &io::stdout());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let mut output = Output {
        file: output::data()?,
        framing: args.ring.framing(),
        progress,
    };
    let outcome = match args.ring.foreign {
        _ if is_log(&args.ring.place.address) => log::receive(args, &mut output),
        true => foreign::receive(args, &mut output),
        false => receive_here(args, &mut output),
    };
    match &outcome {
        // Who reads no more has its right, and wants to hear no more.
        Err(failure) if failure.is_of_reader() => output.progress.clear(),
        _ => output.progress.end(),
    }
    outcome
}

/// From a ring or a queue of ringway's.
fn receive_here(args: &RecvArgs, output: &mut Output) -> Result<(), Failure> {
    args.log.refuse_at(&args.ring.place.address)?;
    let mut opened = attach::open(&args.ring.place.address, &args.ring.place.how)?;
    let attached = check_peek(args, &opened.channel)
        .and_then(|()| check(&args.intake, &opened.channel))
        .and_then(|()| attach(&args.intake, &opened.channel));
    opened.channel.attach_no_more();
    let channel = &opened.channel;
    let outcome = attached.and_then(|receiver| {
        output.progress.begin();
        match receiver {
            ChannelReceiver::Ring(mut ring) if args.peek => {
                peek::show(&mut ring, args, output).map(|()| ChannelReceiver::Ring(ring))
            }
            receiver => receive(receiver, channel, args, output),
        }
    });
    let receiver = opened.settle(outcome)?;
    if args.intake.unlink {
        // First: until it is closed, nobody begins anew at this address.
        let unlinked = attach::unlink(channel);
        // Nobody will receive any more: who sends, or waits for room, shall not wait for it.
        receiver.close();
        return unlinked;
    }
    Ok(())
}

/// Attaches as a receiver that takes part as it is told.
pub(crate) fn attach(args: &IntakeArgs, channel: &Channel) -> Result<ChannelReceiver, Failure> {
    if let Carrier::Ring(ring) = channel.carrier()
        && args.subscription.is_given()
    {
        let receiver = ring.subscribe(&args.subscription.choice()?)?;
        return Ok(ChannelReceiver::Ring(receiver));
    }
    Ok(match channel.receiver()? {
        ChannelReceiver::Queue(queue) => {
            let queue = queue.with_interrupt(signals::is_urged);
            ChannelReceiver::Queue(match args.follow {
                true => queue.with_follow(),
                false => queue,
            })
        }
        ring => ring,
    })
}

/// Refuses what cannot be had of what is there.
pub(crate) fn check(args: &IntakeArgs, channel: &Channel) -> Result<(), Failure> {
    let is_broadcast =
        matches!(channel.carrier(), Carrier::Ring(ring) if ring.kind() == Kind::Broadcast);
    if args.subscription.is_given() && !is_broadcast {
        return Err(Failure::error(format_args!(
            "{} is not of kind broadcast: leave out --from, --policy and --name",
            channel.address()
        )));
    }
    match channel.carrier() {
        Carrier::Queue(_) if args.producers.is_some() => Err(uncounted()),
        _ => Ok(()),
    }
}

fn check_peek(args: &RecvArgs, channel: &Channel) -> Result<(), Failure> {
    match channel.carrier() {
        Carrier::Queue(_) if args.peek => Err(unpeekable()),
        _ => Ok(()),
    }
}

/// Refuses what a queue can never have, before one is made or looked for.
pub(crate) fn refuse_at_queue(args: &IntakeArgs, address: &Address) -> Result<(), Failure> {
    match address {
        Address::Mq(_) | Address::Sysvmq(_) if args.producers.is_some() => Err(uncounted()),
        _ => Ok(()),
    }
}

fn unpeekable() -> Failure {
    Failure::error(
        "what is taken out of a queue cannot be put back: leave out --peek, or use a ring (stat tells how many messages \
         wait)",
    )
}

fn uncounted() -> Failure {
    Failure::error(
        "a queue does not count its senders: leave out --producers, or use a ring of kind mpsc",
    )
}

/// Receives, and gives the receiver back when all went well.
fn receive(
    mut receiver: ChannelReceiver,
    channel: &Channel,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<ChannelReceiver, Failure> {
    let outcome = match &mut receiver {
        _ if output.framing == Framing::Whole => {
            let outcome;
            (receiver, outcome) = whole::receive(receiver, args, output);
            outcome
        }
        ChannelReceiver::Ring(ring) => ring::receive(ring, args, output),
        ChannelReceiver::Queue(queue) => {
            queue::receive(&mut queue::Ours { queue, channel }, args, output)
        }
        _ => Err(Failure::error("this is neither a ring nor a queue")),
    };
    match outcome {
        Ok(()) => Ok(receiver),
        Err(failure) => {
            let is_alone =
                channel.is_new() && !output.progress.has_begun() && receiver.peer() == Peer::Absent;
            if failure.is_error() && !is_alone {
                // Held until this process ends, which is at once: the sender shall learn that something
                // went wrong here, as if this process had died.
                std::mem::forget(receiver);
            }
            Err(failure)
        }
    }
}

/// Where messages go.
struct Output {
    file: File,
    framing: Framing,
    progress: Progress,
}

impl Output {
    /// Writes everything, or says how much was written before the error.
    fn write_all(&self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        output::write_all(&self.file, bytes)
    }

    /// Counts messages that were written, in their frames.
    fn count(&mut self, messages: u64, written: usize) {
        let frames = messages as usize * self.framing.overhead();
        self.progress.add(messages, written.saturating_sub(frames));
    }
}

/// Fails if not all that were asked for came before the end.
pub(crate) fn all_came(came: u64, asked: Option<u64>) -> Result<(), Failure> {
    match asked {
        Some(asked) if came < asked => Err(Failure::negative(format_args!(
            "all is received, and it was only {} of {asked}",
            counted(came, "message")
        ))),
        _ => Ok(()),
    }
}

/// Appends a message of `len` bytes, which `copy` writes, in its frame.
fn append(
    bytes: &mut Vec<u8>,
    framing: Framing,
    len: usize,
    copy: impl FnOnce(&mut [u8]),
) -> Result<(), Failure> {
    if framing == Framing::Frames {
        // A slab can hold more.
        let len = u32::try_from(len).map_err(|_| {
            Failure::error(format_args!(
                "a message of {len} bytes is too long for a frame: receive it with --raw"
            ))
        })?;
        bytes.extend_from_slice(&len.to_le_bytes());
    }
    let start = bytes.len();
    bytes.resize(start + len, 0);
    copy(&mut bytes[start..]);
    hint(&bytes[start..]);
    if let Framing::Delimited(end) = framing {
        bytes.push(end);
    }
    Ok(())
}

/// Says, once, that what comes was sent in pieces: it is received as it is, but hardly on purpose.
fn hint(message: &[u8]) {
    static SAID: Once = Once::new();
    if Header::decode(message, message.len()).is_ok_and(|piece| piece.is_first()) {
        SAID.call_once(|| {
            say(
                "these are pieces of a message that was sent with --whole: receive it with --whole",
            );
        });
    }
}

/// Says that messages are missing, and goes on.
pub(crate) fn say_missed(missed: u64) {
    say(format_args!(
        "{} were overwritten before they were received",
        counted(missed, "message")
    ));
}

pub(crate) fn explain(error: RecvError) -> Failure {
    match error {
        RecvError::TimedOut => Failure::negative("no message came in time"),
        RecvError::Removed | RecvError::Evicted => Failure::negative(error),
        RecvError::PeerDied => Failure::negative(
            "a sender died before it closed; all that it sent is received (--follow waits for the next \
             sender)",
        ),
        _ => Failure::error(error),
    }
}
