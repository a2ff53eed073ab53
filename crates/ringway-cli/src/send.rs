//! `ringway send`: from files or standard input into a ring.

use std::io;

use ringway::{Peer, Ring, Role, SendError, Sender};

use crate::attach;
use crate::cli::SendArgs;
use crate::failure::Failure;
use crate::framing::{self, Input};
use crate::progress::Progress;

/// Sends the whole input, then closes the ring.
pub(crate) fn run(args: &SendArgs) -> Result<(), Failure> {
    let input = Input::open(&args.files)?;
    let ring = attach::open(&args.ring)?;
    let mut outlet = Outlet::new(ring.sender()?);
    let mut progress = Progress::new(args.ring.quiet, &io::stdin());
    let max = usize::try_from(ring.max_message_len()).unwrap_or(usize::MAX);
    let done = framing::cut(input, args.ring.framing(), max, |message| {
        outlet.send(message)?;
        progress.add(1, message.len());
        Ok(())
    })
    .and_then(|()| {
        if args.unlink {
            outlet.wait_until_drained(progress.messages())
        } else {
            Ok(())
        }
    });
    drop(progress);
    match done {
        Ok(()) => {
            outlet.report_losses();
            close(outlet.sender, &ring, args.unlink)
        }
        Err(failure) => {
            outlet.leave();
            Err(failure)
        }
    }
}

/// Closes, and removes the address if that was asked for.
fn close(sender: Sender, ring: &Ring, unlink: bool) -> Result<(), Failure> {
    if unlink && !ring.kind().allows_many(Role::Producer) {
        // Before the ring is closed: until then nobody begins anew at this address.
        let unlinked = attach::unlink(ring);
        sender.close();
        return unlinked;
    }
    sender.close();
    // Afterwards: of several that close at once, at least one finds that it was the last.
    if unlink && !attach::has_producer(ring) {
        return attach::unlink(ring);
    }
    Ok(())
}

/// A sender, and what is known of the receiver.
struct Outlet {
    sender: Sender,
    /// The receiver of an earlier run died, and no other has come: as good as none yet.
    died_before: bool,
    peer_ended: bool,
}

impl Outlet {
    fn new(sender: Sender) -> Self {
        let died_before = sender.peer() == Peer::Died;
        Self {
            sender,
            died_before,
            peer_ended: false,
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        loop {
            match self.sender.send(message) {
                Ok(()) => break,
                Err(error) => self.survive(error)?,
            }
        }
        // While there is room, nothing else would tell.
        match self.sender.peer() {
            Peer::Died if !self.died_before => self.survive(SendError::PeerDied),
            Peer::Alive => {
                self.died_before = false;
                Ok(())
            }
            Peer::Died | Peer::Absent | Peer::Closed => Ok(()),
        }
    }

    /// Waits until a receiver has all.
    fn wait_until_drained(&mut self, sent: u64) -> Result<(), Failure> {
        if sent == 0 {
            // That there is nothing is news too, and nobody would get it from a ring that is gone.
            if let Err(error) = self.sender.wait_for_peer(None) {
                self.survive(error)?;
            }
        }
        while let Err(error) = self.sender.wait_until_drained(None) {
            self.survive(error)?;
        }
        Ok(())
    }

    /// Says how much of the ring was overwritten, where it is made so.
    fn report_losses(&self) {
        match self.sender.overwritten() {
            0 => {}
            lost => {
                eprintln!("ringway: {lost} messages were overwritten before they were received")
            }
        }
    }

    /// Waits for a receiver if the only one so far died before this process began; otherwise says why
    /// there is no going on.
    fn survive(&mut self, error: SendError) -> Result<(), Failure> {
        match error {
            SendError::PeerDied if self.died_before => {
                self.sender.wait_for_peer(None).map_err(Failure::error)?;
                self.died_before = false;
                Ok(())
            }
            SendError::PeerDied => {
                self.peer_ended = true;
                Err(Failure::negative(
                    "the receiver died; what it did not release is in the ring, which stays open: \
                     start a receiver, and send the rest",
                ))
            }
            SendError::Closed => {
                self.peer_ended = true;
                Err(Failure::negative(error))
            }
            _ => Err(Failure::error(error)),
        }
    }

    /// Leaves without closing. If it was not the receiver that ended first, it shall learn that the
    /// stream is not complete.
    fn leave(self) {
        if self.peer_ended {
            self.sender.detach();
        } else {
            // Held until this process ends, which is at once: that is a death to the receiver.
            std::mem::forget(self.sender);
        }
    }
}
