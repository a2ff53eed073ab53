//! `ringway spool`: files of a folder as messages.
//!
//! | the spool is killed, or stopped | the file is in | the next spool |
//! |---|---|---|
//! | before it takes it | the folder | sends it |
//! | before the message is committed | `.sending` | sends it, and says that it may have been sent |
//! | after that, before it is moved | `.sending` | the same: this is what is repeated |
//! | after that | `done` | |
//!
//! The name in `.sending` has the ring's or the log's nonce and the number that the message has or will have. With `--only-sender` these decide: if
//! it is the same one, and more messages were sent than that, the file was, and is only moved. Without it nobody knows: another
//! sender may have sent the one that has that number.
//!
//! A lock on `.sending`, which the kernel drops with its holder, keeps a second spool away.

mod folder;
mod target;

use std::io;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use self::folder::{Folder, Ticket};
use self::target::Target;
use crate::cli::SpoolArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::say::say;
use crate::signals::{self, Busy};

/// Feeds files until a signal, or, with `--once`, until there are none.
pub(crate) fn run(args: &SpoolArgs) -> Result<(), Failure> {
    let folder = Folder::open(&args.directory, args.order)?;
    let progress = Progress::new("sent", args.place.how.quiet, &io::stdin());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let target = Target::open(args)?;
    progress.begin();
    // Also while it waits for files: so it leaves in order when it is told to end.
    let busy = Busy::begin();
    let mut spool = Spool {
        args,
        folder,
        target,
        progress: progress.clone(),
    };
    let outcome = match spool.feed() {
        Ok(()) => spool.target.close(),
        Err(failure) => {
            spool.target.fail();
            Err(failure)
        }
    };
    busy.end_if_urged();
    progress.end();
    outcome
}

struct Spool<'a> {
    args: &'a SpoolArgs,
    folder: Folder,
    target: Target,
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
                && Some(ticket.ring) == self.target.nonce()
                && self.target.sent().is_some_and(|sent| sent > ticket.number);
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

    /// Sends what is there.
    fn send_all(&mut self) -> Result<(), Failure> {
        let max = self.target.max_message_len();
        for name in self.folder.list()? {
            if signals::is_urged() {
                return Ok(());
            }
            if !self.folder.is_whole(&name) {
                continue;
            }
            let ring = self.target.nonce().unwrap_or(0);
            let number = self.target.sent().unwrap_or(0);
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
            match self.target.send(&message) {
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
}
