//! `ringway spool`: files of a folder as messages.
//!
//! | the spool is killed, or stopped | the file is in | the next spool |
//! |---|---|---|
//! | before it takes it | the folder | sends it |
//! | before the message is committed | `.sending` | sends it, and says that it may have been sent |
//! | after that, before it is moved | `.sending` | the same: this is what is repeated |
//! | after that | `done` | |
//!
//! The name in `.sending` has the ring's nonce and the number that the message has or will have. With `--only-sender` these decide: if
//! it is the same ring, and more messages were sent than that, the file was, and is only moved. Without it nobody knows: another
//! sender may have sent the one that has that number.
//!
//! A lock on `.sending`, which the kernel drops with its holder, keeps a second spool away.

mod folder;

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use ringway::channel::{Carrier, ChannelSender};
use ringway::{Channel, Kind, SendError};

use self::folder::{Folder, Ticket};
use crate::attach;
use crate::cli::SpoolArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::say::say;
use crate::signals::{self, Busy};

/// How long to wait for room before looking whether to end.
const SLICE: Duration = Duration::from_millis(100);

/// Feeds files until a signal, or, with `--once`, until there are none.
pub(crate) fn run(args: &SpoolArgs) -> Result<(), Failure> {
    let folder = Folder::open(&args.directory, args.order)?;
    let progress = Progress::new("sent", args.place.how.quiet, &io::stdin());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let mut opened = attach::open(&args.place.address, &args.place.how)?;
    let attached = opened.channel.sender().map_err(Failure::from);
    let sender = opened.settle(attached)?;
    opened.channel.attach_no_more();
    progress.begin();
    // Also while it waits for files: so it leaves in order when it is told to end.
    let busy = Busy::begin();
    let mut spool = Spool {
        args,
        folder,
        channel: &opened.channel,
        sender,
        progress: progress.clone(),
    };
    let outcome = spool.feed();
    match outcome {
        Ok(()) => spool.sender.close(),
        // Held until this process ends, which is at once: receivers shall learn that this was no orderly end.
        Err(_) => std::mem::forget(spool.sender),
    }
    busy.end_if_urged();
    progress.end();
    outcome
}

struct Spool<'a> {
    args: &'a SpoolArgs,
    folder: Folder,
    channel: &'a Channel,
    sender: ChannelSender,
    progress: Progress,
}

impl Spool<'_> {
    /// Returns when this process is told to end, or all is sent that was to be.
    fn feed(&mut self) -> Result<(), Failure> {
        let directory = &self.args.directory;
        let watching = |errno: Errno| {
            Failure::error(format_args!(
                "cannot watch {}: {errno}",
                directory.display()
            ))
        };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(watching)?;
        let events = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        // Before the first look: what comes after that is told.
        inotify.add_watch(directory, events).map_err(watching)?;
        self.resume()?;
        loop {
            self.send_all()?;
            if signals::is_urged() || self.args.once {
                return Ok(());
            }
            match inotify.read_events() {
                Ok(events) => {
                    let gone = AddWatchFlags::IN_DELETE_SELF
                        | AddWatchFlags::IN_MOVE_SELF
                        | AddWatchFlags::IN_IGNORED;
                    if events.iter().any(|event| event.mask.intersects(gone)) {
                        return Err(Failure::negative(format_args!(
                            "{} was moved or removed",
                            directory.display()
                        )));
                    }
                }
                // Perhaps to end.
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(watching(errno)),
            }
        }
    }

    /// Sees to the file that the last spool was about to send when it was killed.
    fn resume(&mut self) -> Result<(), Failure> {
        for ticket in self.folder.begun()? {
            let was_sent = self.args.only_sender
                && Some(ticket.ring) == self.nonce()
                && self.sent().is_some_and(|sent| sent > ticket.number);
            if was_sent {
                self.folder.finish(&ticket, self.args.delete)?;
            } else {
                if !self.args.only_sender {
                    say(format_args!(
                        "{} may have been sent before, and is sent again",
                        ticket.shown()
                    ));
                }
                self.folder.put_back(&ticket)?;
            }
        }
        Ok(())
    }

    /// Which ring it is, if it counts its messages exactly.
    fn nonce(&self) -> Option<u128> {
        match self.channel.carrier() {
            // One without cells, whose only producer this is.
            Carrier::Ring(ring) if ring.kind() == Kind::Spsc && ring.cell_len().is_none() => {
                Some(ring.nonce())
            }
            _ => None,
        }
    }

    fn sent(&self) -> Option<u64> {
        match &self.sender {
            ChannelSender::Ring(sender) => Some(sender.sent()),
            _ => None,
        }
    }

    /// Sends what is there.
    fn send_all(&mut self) -> Result<(), Failure> {
        let max = self.channel.max_message_len();
        for name in self.folder.list()? {
            if signals::is_urged() {
                return Ok(());
            }
            if !self.folder.is_whole(&name) {
                continue;
            }
            let (ring, number) = (self.nonce().unwrap_or(0), self.sent().unwrap_or(0));
            let ticket = Ticket { ring, number, name };
            if !self.folder.begin(&ticket)? {
                continue;
            }
            let message = self.folder.read(&ticket, max)?;
            if message.len() as u64 > max {
                say(format_args!(
                    "{} has more than {max} bytes, the most that a message can have: it is moved to refused",
                    ticket.shown()
                ));
                self.folder.refuse(&ticket)?;
                continue;
            }
            match self.send(&message) {
                Ok(true) => {
                    self.folder.finish(&ticket, self.args.delete)?;
                    self.progress.add(1, message.len());
                }
                Ok(false) => return self.folder.put_back(&ticket),
                Err(failure) => {
                    self.folder.put_back(&ticket)?;
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Sends a message, waiting for room; not, if this process is told to end meanwhile.
    fn send(&mut self, message: &[u8]) -> Result<bool, Failure> {
        loop {
            let until = Instant::now().checked_add(SLICE);
            let sent = match &mut self.sender {
                ChannelSender::Ring(ring) => ring.send_deadline(message, until),
                sender => sender.send_deadline(message, until),
            };
            match sent {
                Ok(()) => return Ok(true),
                Err(SendError::TimedOut | SendError::Interrupted) if signals::is_urged() => {
                    return Ok(false);
                }
                Err(SendError::TimedOut | SendError::Interrupted) => {}
                // Nobody took the rest; whoever comes next shall have it.
                Err(SendError::PeerDied) => match self.sender.wait_for_peer_deadline(until) {
                    Ok(()) | Err(SendError::TimedOut) if signals::is_urged() => return Ok(false),
                    Ok(()) | Err(SendError::TimedOut | SendError::PeerDied) => {}
                    Err(error) => return Err(Failure::negative(error)),
                },
                Err(error @ (SendError::Closed | SendError::Removed)) => {
                    return Err(Failure::negative(error));
                }
                Err(error) => return Err(Failure::error(error)),
            }
        }
    }
}
