//! `ringway send`: from files, standard input or the command line into a ring, a queue or a log.

mod foreign;
mod log;
mod outlet;
mod pace;

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use ringway::channel::{Carrier, ChannelSender};
use ringway::chunk::ChunkSendError;
use ringway::peer::Role;
use ringway::{Address, Channel};

use self::outlet::Outlet;
use self::pace::Pace;
use crate::attach;
use crate::cli::SendArgs;
use crate::failure::Failure;
use crate::framing::{self, Framing, Input};
use crate::log::is_log;
use crate::progress::Progress;
use crate::signals;
use crate::units::{deadline, human_size};

/// Sends everything, then closes.
pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    if args.unlink && matches!(args.ring.place.address, Address::Mq(_) | Address::Sysvmq(_)) {
        return Err(unlinked_queue());
    }
    let items = Items::of(args)?;
    let mut progress = Progress::new("sent", args.ring.place.how.quiet, &io::stdin());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let outcome = match args.ring.foreign {
        _ if is_log(&args.ring.place.address) => log::send(args, items, &mut progress),
        true => foreign::send(args, items, &mut progress),
        false => send_here(args, items, &mut progress),
    };
    progress.end();
    outcome
}

/// To a ring or a queue of ringway's.
fn send_here(args: &SendArgs, items: Items, progress: &mut Progress) -> Result<(), Failure> {
    args.log.refuse_at(&args.ring.place.address)?;
    let mut opened = attach::open(&args.ring.place.address, &args.ring.place.how)?;
    let attached = attach(args, &opened.channel);
    let outlet = opened.settle(attached)?;
    opened.channel.attach_no_more();
    progress.begin();
    let outcome = send(args, items, outlet, &opened.channel, progress);
    opened.settle(outcome)
}

/// What is to be sent.
enum Items<'a> {
    Input(Input),
    /// A message each.
    Texts(&'a [OsString]),
}

impl<'a> Items<'a> {
    fn of(args: &'a SendArgs) -> Result<Self, Failure> {
        match args.messages.as_slice() {
            [] => Input::open(&args.files).map(Self::Input),
            texts => Ok(Self::Texts(texts)),
        }
    }

    /// Calls `send` for each message, at the rate that was asked for. None has more than `max` bytes.
    fn each(
        self,
        args: &SendArgs,
        max: usize,
        mut send: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut pace = args.rate.map(Pace::new);
        let mut send = |message: &[u8]| {
            if let Some(pace) = &mut pace {
                pace.wait();
            }
            send(message)
        };
        match self {
            Self::Input(input) => framing::cut(input, args.ring.framing(), max, send),
            Self::Texts(texts) => {
                // All, before the first is sent.
                for (number, text) in (1..).zip(texts) {
                    if text.len() > max {
                        return Err(framing::too_large(format_args!("message {number}"), max));
                    }
                }
                texts.iter().try_for_each(|text| send(text.as_bytes()))
            }
        }
    }
}

/// Refuses what cannot be had of what is there, and attaches.
fn attach(args: &SendArgs, channel: &Channel) -> Result<Outlet, Failure> {
    if args.unlink && matches!(channel.carrier(), Carrier::Queue(_)) {
        return Err(unlinked_queue());
    }
    args.copy.refuse_without_slabs(channel)?;
    let sender = channel.sender()?;
    Ok(Outlet::new(args.copy.apply(sender), args.timeout))
}

fn unlinked_queue() -> Failure {
    Failure::error(
        "a queue does not tell when all is received: have the receiver remove it (recv --unlink)",
    )
}

fn send(
    args: &SendArgs,
    items: Items,
    mut outlet: Outlet,
    channel: &Channel,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let sent = match (items, args.ring.framing()) {
        (Items::Input(input), Framing::Whole) => send_whole(args, input, &mut outlet, progress),
        (items, _) => {
            let max = usize::try_from(channel.max_message_len()).unwrap_or(usize::MAX);
            items.each(args, max, |message| {
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
            close(outlet.into_inner(), channel, args)
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
    let sent = outlet.sender.send_from(input, None, |so_far| {
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
fn close(sender: ChannelSender, channel: &Channel, args: &SendArgs) -> Result<(), Failure> {
    let sender = match (sender, deadline(args.timeout)) {
        (ChannelSender::Queue(sender), Some(deadline)) => {
            return sender.close_deadline(deadline).map_err(|_| {
                Failure::negative(
                    "all is sent, but there was no room in time to tell the receiver that this is all",
                )
            });
        }
        (sender, _) => sender,
    };
    if args.unlink && !channel.allows_many(Role::Producer) {
        // Before the ring is closed: until then nobody begins anew at this address.
        let unlinked = attach::unlink(channel);
        sender.close();
        return unlinked;
    }
    sender.close();
    // Afterwards: of several that close at once, at least one finds that it was the last.
    if args.unlink
        && let Carrier::Ring(ring) = channel.carrier()
        && !attach::has_producer(ring)
    {
        return attach::unlink(channel);
    }
    Ok(())
}
