//! The receiver as a transport.

use std::time::Instant;

use ringway_core::RecvError;
use ringway_core::peer::Peer;
use ringway_core::transport::MessageSource;

use super::{QueueMessage, QueueReceiver};
use crate::frame::SenderNumber;
use crate::side::Got;

impl MessageSource for QueueReceiver {
    type Message<'a> = QueueMessage<'a>;

    fn try_receive(&mut self) -> Result<QueueMessage<'_>, RecvError> {
        self.lend(None)
    }

    fn receive_deadline(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<QueueMessage<'_>, RecvError> {
        self.lend(Some(deadline))
    }

    fn is_attached(&self, sender: u64) -> Option<bool> {
        if self.origin.is_forked() {
            return Some(false);
        }
        match SenderNumber::of(sender) {
            Some(sender) => self.inlet.is_attached(sender),
            None => Some(false),
        }
    }

    /// A message that comes meanwhile is kept for the next receive, and errors are left to it.
    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool {
        while self.pending.is_none() && !self.is_over(deadline) {
            // Before the sleep: what happens after this look ends it.
            let has_ended = matches!(self.inlet.peer(false), Peer::Closed | Peer::Died);
            let lives = |sender: &u64| self.is_attached(*sender) != Some(false);
            if has_ended || !senders.iter().all(lives) {
                break;
            }
            match self.inlet.sleep(&mut self.buffer, deadline) {
                Ok(Got::Frame(taken)) => self.pending = self.accept(taken),
                Ok(Got::Notice | Got::Nothing) => {}
                Err(_) => break,
            }
        }
        true
    }

    fn is_drained(&mut self) -> bool {
        // Nothing lies behind a message that is being written: a message enters a queue whole.
        self.pending.is_none()
    }

    fn capacity(&self) -> Option<u64> {
        self.inlet.capacity()
    }
}
