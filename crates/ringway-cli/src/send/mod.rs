//! `ringway send`: from files or standard input into a ring or a queue.

mod outlet;

use std::io::{self, Read};

use ringway::chunk::ChunkSendError;
use ringway::{Address, Carrier, Channel, ChannelSender, Role};

use self::outlet::Outlet;
use crate::attach;
use crate::cli::SendArgs;
use crate::failure::Failure;
use crate::framing::{self, Framing, Input};
use crate::progress::Progress;
use crate::units::human_size;

/// Sends the whole input, then closes.
pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    if args.unlink && matches!(args.ring.address, Address::Mq(_) | Address::Sysvmq(_)) {
        return Err(unlinked_queue());
    }
    let input = Input::open(&args.files)?;
    let mut opened = attach::open(&args.ring)?;
    let attached = attach(args, &opened.channel);
    let outlet = opened.settle(attached)?;
    opened.channel.attach_no_more();
    let mut progress = Progress::new(args.ring.quiet, &io::stdin());
    let outcome = send(args, input, outlet, &opened.channel, &mut progress);
    drop(progress);
    opened.settle(outcome)
}

/// Refuses what cannot be had of what is there, and attaches.
fn attach(args: &SendArgs, channel: &Channel) -> Result<Outlet, Failure> {
    if args.unlink && matches!(channel.carrier(), Carrier::Queue(_)) {
        return Err(unlinked_queue());
    }
    args.copy.refuse_without_slabs(channel)?;
    let sender = channel.sender()?;
    Ok(Outlet::new(args.copy.apply(sender)))
}

fn unlinked_queue() -> Failure {
    Failure::error(
        "a queue does not tell when all is received: have the receiver remove it (recv --unlink)",
    )
}

fn send(
    args: &SendArgs,
    input: Input,
    mut outlet: Outlet,
    channel: &Channel,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let sent = match args.ring.framing() {
        Framing::Whole => send_whole(args, input, &mut outlet, progress),
        framing => {
            let max = usize::try_from(channel.max_message_len()).unwrap_or(usize::MAX);
            framing::cut(input, framing, max, |message| {
                outlet.send(message)?;
                progress.add(1, message.len());
                Ok(())
            })
        }
    };
    let done = sent.and_then(|()| match args.unlink {
        true => outlet.wait_until_drained(progress.messages()),
        false => Ok(()),
    });
    match done {
        Ok(()) => {
            outlet.report_losses();
            close(outlet.sender.into_inner(), channel, args.unlink)
        }
        Err(failure) => {
            outlet.leave(channel.is_new() && !progress.has_begun());
            Err(failure)
        }
    }
}

/// Sends the input as one message, in pieces.
fn send_whole(
    args: &SendArgs,
    input: Input,
    outlet: &mut Outlet,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let most = args.ring.max_message.unwrap_or(u64::MAX);
    let too_large = || {
        Failure::error(format_args!(
            "the input has more than {}: raise --max-message",
            human_size(most)
        ))
    };
    // What a file says of its length is a hint: it may grow, and files of the kernel's say 0.
    let expected = input.expected_len();
    if expected.is_some_and(|len| len > most) {
        return Err(too_large());
    }
    outlet.wait_for_successor()?;
    let input = AtMost { input, left: most };
    let mut before = 0;
    let sent = outlet.sender.send_from(input, None, None, |so_far| {
        progress.advance((so_far.done - before) as usize, expected);
        before = so_far.done;
    });
    match sent {
        Ok(_) => {
            progress.add(1, 0);
            Ok(())
        }
        Err(ChunkSendError::Read(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(too_large())
        }
        Err(error) => Err(outlet.explain(error)),
    }
}

/// An input that must not have more than so many bytes.
struct AtMost {
    input: Input,
    left: u64,
}

impl Read for AtMost {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buffer)?;
        self.left = self
            .left
            .checked_sub(len as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(len)
    }
}

/// Closes, and removes the address if that was asked for.
fn close(sender: ChannelSender, channel: &Channel, unlink: bool) -> Result<(), Failure> {
    if unlink && !channel.allows_many(Role::Producer) {
        // Before the ring is closed: until then nobody begins anew at this address.
        let unlinked = attach::unlink(channel);
        sender.close();
        return unlinked;
    }
    sender.close();
    // Afterwards: of several that close at once, at least one finds that it was the last.
    if unlink
        && let Carrier::Ring(ring) = channel.carrier()
        && !attach::has_producer(ring)
    {
        return attach::unlink(channel);
    }
    Ok(())
}
