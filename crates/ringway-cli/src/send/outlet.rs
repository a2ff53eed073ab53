//! A sender, and what is known of the receivers.

use ringway::chunk::{ChunkSendError, ChunkSender};
use ringway::{ChannelSender, Peer, SendError};

use crate::failure::Failure;
use crate::say::say;

/// A sender, and what is known of the receivers.
pub(super) struct Outlet {
    pub(super) sender: ChunkSender<ChannelSender>,
    /// The receiver of an earlier run died, and no other has come: as good as none yet.
    died_before: bool,
    peer_ended: bool,
}

impl Outlet {
    pub(super) fn new(mut sender: ChannelSender) -> Self {
        let died_before = sender.peer() == Peer::Died;
        Self {
            sender: ChunkSender::new(sender),
            died_before,
            peer_ended: false,
        }
    }

    fn plain(&mut self) -> &mut ChannelSender {
        self.sender.get_mut()
    }

    pub(super) fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        loop {
            match self.plain().send(message) {
                Ok(()) => break,
                Err(error) => self.survive(error)?,
            }
        }
        // While there is room, nothing else would tell.
        self.look_at_peer()
    }

    fn look_at_peer(&mut self) -> Result<(), Failure> {
        // A queue would be asked with a system call; it tells when it is full.
        let ChannelSender::Ring(ring) = self.sender.get_ref() else {
            return Ok(());
        };
        match ring.peer() {
            Peer::Died if !self.died_before => self.survive(SendError::PeerDied),
            Peer::Alive => {
                self.died_before = false;
                Ok(())
            }
            Peer::Died | Peer::Absent | Peer::Closed => Ok(()),
        }
    }

    /// Before a message that cannot be begun again half way.
    pub(super) fn wait_for_successor(&mut self) -> Result<(), Failure> {
        match self.died_before {
            true => self.survive(SendError::PeerDied),
            false => Ok(()),
        }
    }

    /// Says why a message in pieces was given up.
    pub(super) fn explain(&mut self, error: ChunkSendError) -> Failure {
        match error {
            ChunkSendError::Transport {
                error: error @ (SendError::PeerDied | SendError::Closed | SendError::Removed),
                sent,
            } => {
                self.peer_ended = true;
                Failure::negative(format_args!(
                    "the message is given up after {sent} bytes: {error}"
                ))
            }
            error => Failure::error(error),
        }
    }

    /// Waits until a receiver of the ring has all.
    pub(super) fn wait_until_drained(&mut self, sent: u64) -> Result<(), Failure> {
        if sent == 0 {
            // That there is nothing is news too, and nobody would get it from a ring that is gone.
            if let Err(error) = self.plain().wait_for_peer(None) {
                self.survive(error)?;
            }
        }
        loop {
            let ChannelSender::Ring(ring) = self.plain() else {
                return Ok(());
            };
            match ring.wait_until_drained(None) {
                Ok(()) => return Ok(()),
                Err(error) => self.survive(error)?,
            }
        }
    }

    /// Says how much of the ring was overwritten, where it is made so.
    pub(super) fn report_losses(&self) {
        let ChannelSender::Ring(ring) = self.sender.get_ref() else {
            return;
        };
        match ring.overwritten() {
            0 => {}
            lost => {
                say(format_args!(
                    "{lost} messages were overwritten before they were received"
                ));
            }
        }
    }

    /// Waits for a receiver if the only one so far died before this process began; otherwise says why
    /// there is no going on.
    fn survive(&mut self, error: SendError) -> Result<(), Failure> {
        match error {
            SendError::PeerDied if self.died_before => {
                if let Err(error) = self.plain().wait_for_peer(None) {
                    return self.survive(error);
                }
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
            SendError::Closed | SendError::Removed => {
                self.peer_ended = true;
                Err(Failure::negative(error))
            }
            _ => Err(Failure::error(error)),
        }
    }

    /// Leaves without closing. If it was not the receiver that ended first, it shall learn that the
    /// stream is not complete. Who has `begun_nothing` leaves nothing behind, if nobody has come.
    pub(super) fn leave(mut self, begun_nothing: bool) {
        if self.peer_ended || begun_nothing && self.plain().peer() == Peer::Absent {
            self.sender.into_inner().leave();
        } else {
            // Held until this process ends, which is at once: that is a death to the receiver.
            std::mem::forget(self.sender);
        }
    }
}
