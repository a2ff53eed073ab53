//! A sender, and what is known of the receivers.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use ringway::SendError;
use ringway::channel::ChannelSender;
use ringway::chunk::{ChunkSendError, ChunkSender};
use ringway::peer::Peer;
use ringway::transport::{MessageRoom, MessageSink};

use crate::failure::Failure;
use crate::say::say;
use crate::units::deadline;

/// A sender, and what is known of the receivers.
pub(super) struct Outlet {
    pub(super) sender: ChunkSender<Impatient>,
    /// The receiver of an earlier run died, and no other has come: as good as none yet.
    died_before: bool,
    peer_ended: bool,
}

impl Outlet {
    pub(super) fn new(mut sender: ChannelSender, timeout: Option<Duration>) -> Self {
        let died_before = sender.peer() == Peer::Died;
        Self {
            sender: ChunkSender::new(Impatient { sender, timeout }),
            died_before,
            peer_ended: false,
        }
    }

    fn plain(&mut self) -> &mut ChannelSender {
        &mut self.sender.get_mut().sender
    }

    pub(super) fn into_inner(self) -> ChannelSender {
        self.sender.into_inner().sender
    }

    /// Until when to wait, from now on.
    fn deadline(&self) -> Option<Instant> {
        deadline(self.sender.get_ref().timeout)
    }

    pub(super) fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        loop {
            match self.sender.get_mut().send(message) {
                Ok(()) => break,
                Err(error) => self.survive(error)?,
            }
        }
        // While there is room, nothing else would tell.
        self.look_at_peer()
    }

    fn look_at_peer(&mut self) -> Result<(), Failure> {
        // A queue would be asked with a system call; it tells when it is full.
        let ChannelSender::Ring(ring) = &self.sender.get_ref().sender else {
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
            ChunkSendError::Transport {
                error: SendError::TimedOut,
                sent,
            } => Failure::negative(format_args!(
                "the message is given up after {sent} bytes: no room came in time"
            )),
            error => Failure::error(error),
        }
    }

    /// Waits until a receiver of the ring has all.
    pub(super) fn wait_until_drained(&mut self, sent: u64) -> Result<(), Failure> {
        if sent == 0 {
            // That there is nothing is news too, and nobody would get it from a ring that is gone.
            let until = self.deadline();
            if let Err(error) = self.plain().wait_for_peer_deadline(until) {
                self.survive(error).map_err(|failure| match error {
                    SendError::TimedOut => Failure::negative("no receiver came in time"),
                    _ => failure,
                })?;
            }
        }
        loop {
            let until = self.deadline();
            let ChannelSender::Ring(ring) = self.plain() else {
                return Ok(());
            };
            match ring.wait_until_drained_deadline(until) {
                Ok(()) => return Ok(()),
                Err(SendError::TimedOut) => {
                    return Err(Failure::negative(
                        "all is sent, but not all was received in time; the ring stays",
                    ));
                }
                Err(error) => self.survive(error)?,
            }
        }
    }

    /// Says how much of the ring was overwritten, where it is made so.
    pub(super) fn report_losses(&self) {
        let ChannelSender::Ring(ring) = &self.sender.get_ref().sender else {
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
                let until = self.deadline();
                match self.plain().wait_for_peer_deadline(until) {
                    Ok(()) => {
                        self.died_before = false;
                        Ok(())
                    }
                    Err(SendError::TimedOut) => Err(Failure::negative("no receiver came in time")),
                    Err(error) => self.survive(error),
                }
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
            SendError::TimedOut => Err(Failure::negative(NO_ROOM)),
            _ => Err(Failure::error(error)),
        }
    }

    /// Leaves without closing. If it was not the receiver that ended first, it shall learn that the
    /// stream is not complete. Who has `begun_nothing` leaves nothing behind, if nobody has come.
    pub(super) fn leave(mut self, begun_nothing: bool) {
        if self.peer_ended || begun_nothing && self.plain().peer() == Peer::Absent {
            self.into_inner().leave();
        } else {
            // Held until this process ends, which is at once: that is a death to the receiver.
            std::mem::forget(self.sender);
        }
    }
}

/// Why a sender gave up.
pub(super) const NO_ROOM: &str =
    "no room came in time; what was sent before stays: start a receiver, and send the rest";

/// A sender that waits for room so long and no longer.
pub(super) struct Impatient {
    sender: ChannelSender,
    timeout: Option<Duration>,
}

impl Impatient {
    /// Sends a copy of a message.
    fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        if self.timeout.is_none() {
            return self.sender.send(message);
        }
        // The clock is asked only where there is no room.
        match self.sender.try_send(message) {
            Err(SendError::Full) => match deadline(self.timeout) {
                Some(until) => self.sender.send_deadline(message, until),
                None => self.sender.send(message),
            },
            outcome => outcome,
        }
    }
}

impl MessageSink for Impatient {
    fn max_message_len(&self) -> usize {
        MessageSink::max_message_len(&self.sender)
    }

    fn sender_id(&self) -> u64 {
        self.sender.sender_id()
    }

    fn is_shared_out(&self) -> bool {
        MessageSink::is_shared_out(&self.sender)
    }

    fn try_send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        self.sender.try_send_parts(parts)
    }

    fn send_parts_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        until: Option<Instant>,
    ) -> Result<(), SendError> {
        let until = until.or_else(|| deadline(self.timeout));
        self.sender.send_parts_deadline(parts, until)
    }

    fn try_send_with(
        &mut self,
        len: usize,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        self.sender.try_send_with(len, write)
    }

    fn send_with_deadline(
        &mut self,
        len: usize,
        until: Option<Instant>,
        write: &mut dyn FnMut(&mut dyn MessageRoom),
    ) -> Result<(), SendError> {
        let until = until.or_else(|| deadline(self.timeout));
        self.sender.send_with_deadline(len, until, write)
    }
}
