//! The sending side of a ring of any shape: where the handles meet the algorithms.

mod lending;

use std::sync::Arc;

use bytemuck::NoUninit;
use nix::errno::Errno;

use crate::api::reach::Reached;
use crate::error::SendError;
use crate::memory::layout::participant::Role;
use crate::memory::region::Region;
use crate::memory::region::memory::Memory;
use crate::presence::Peer;
use crate::rings::stream::producer::{Pending, Producer, Reservation};
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::rings::{broadcast, cell};
use crate::waiting::sync::listener::Heard;
use crate::waiting::{self, WaitOptions, Waited};

/// A producer.
#[derive(Debug)]
// A tag of its own: one comparison tells a stream.
#[repr(u8)]
pub(crate) enum Sending {
    /// Of a stream ring.
    Stream(Producer<Memory>),
    /// Of a cell ring.
    Cells(cell::producer::Producer<Memory>),
    /// Of a broadcast ring.
    Broadcast(broadcast::producer::Producer<Memory>),
}

/// Room for one message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claimed {
    /// In a stream ring.
    Stream(Reservation),
    /// In a cell ring, with its payload at that position.
    Cells(u64),
    /// In a broadcast ring.
    Broadcast(broadcast::producer::Reservation),
    /// In a slab, and room for the ticket in a stream ring.
    StreamLoan(Reservation),
    /// In a slab, and room for the ticket in a cell ring.
    CellsLoan,
    /// In a slab, and room for the ticket in a broadcast ring.
    BroadcastLoan(broadcast::producer::Reservation),
}

impl Reached for Sending {
    fn region(&self) -> &Memory {
        Sending::region(self)
    }

    fn listen(&mut self) -> Result<Option<Arc<Heard>>, Errno> {
        match self {
            Self::Stream(_) => Ok(None),
            Self::Cells(producer) => producer.member.listen(),
            Self::Broadcast(_) => Ok(None),
        }
    }

    fn says_that_it_sleeps(&self) -> bool {
        match self {
            // The event says it all.
            Self::Stream(_) | Self::Broadcast(_) => true,
            Self::Cells(producer) => producer.member.says_that_it_sleeps(),
        }
    }
}

impl Sending {
    /// Has its bell listened to no more. Before it leaves its slot.
    pub(crate) fn listen_no_more(&mut self) {
        if let Self::Cells(producer) = self {
            producer.member.listen_no_more();
        }
    }

    #[inline]
    pub(crate) fn region(&self) -> &Memory {
        match self {
            Self::Stream(producer) => &producer.region,
            Self::Cells(producer) => producer.member.region(),
            Self::Broadcast(producer) => &producer.region,
        }
    }

    #[inline(always)]
    pub(crate) fn send(
        &mut self,
        message: &[u8],
        wait: Option<&WaitOptions>,
    ) -> Result<(), SendError> {
        if self.send_at_once(message) {
            return Ok(());
        }
        self.send_otherwise(message, wait)
    }

    /// The usual case, on a path of its own: the ring has room, and nothing stands in the way.
    #[inline(always)]
    pub(crate) fn send_at_once(&mut self, message: &[u8]) -> bool {
        match self {
            Self::Stream(producer) => producer.send_at_once(message),
            Self::Cells(producer) => producer.send_at_once(message),
            Self::Broadcast(producer) => producer.send_at_once(message),
        }
    }

    #[inline(never)]
    fn send_otherwise(
        &mut self,
        message: &[u8],
        wait: Option<&WaitOptions>,
    ) -> Result<(), SendError> {
        let sent = match self {
            Self::Stream(producer) => producer.send(message, wait),
            Self::Cells(producer) => producer.send_otherwise(message, wait),
            Self::Broadcast(producer) => producer.send(message, wait),
        };
        sent.or_else(|refusal| self.send_long(message, refusal, wait))
    }

    /// Sends each of `values` as a message of its bytes: as many together as there is room for now, and all if it may
    /// wait. Returns how many; what stands against the next is told only if it is the first.
    pub(crate) fn send_all<T: NoUninit>(
        &mut self,
        values: &[T],
        wait: Option<&WaitOptions>,
    ) -> Result<usize, SendError> {
        let mut sent = 0;
        while sent < values.len() {
            let run = self.send_run(&values[sent..]);
            sent += run;
            if run > 0 {
                continue;
            }
            match self.send_otherwise(bytemuck::bytes_of(&values[sent]), wait) {
                Ok(()) => sent += 1,
                Err(refusal) if sent == 0 => return Err(refusal),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    /// Sends some together, without a wait, if that can be.
    fn send_run<T: NoUninit>(&mut self, values: &[T]) -> usize {
        if let Self::Stream(producer) = self {
            return producer.send_run(values);
        }
        // What a forgotten claim or batch has left is none of this one's.
        self.abort();
        for value in values {
            if self.push(&mut None, bytemuck::bytes_of(value)).is_err() {
                break;
            }
        }
        self.commit_batch(None) as usize
    }

    /// Claims room in the usual case, in the ring.
    #[inline(always)]
    pub(crate) fn claim_at_once(&mut self, len: usize) -> Option<Claimed> {
        match self {
            Self::Stream(producer) => producer.reserve_at_once(len).map(Claimed::Stream),
            Self::Cells(producer) => producer.claim_at_once(len).map(Claimed::Cells),
            Self::Broadcast(_) => None,
        }
    }

    #[inline(never)]
    pub(crate) fn claim(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Claimed, SendError> {
        let claimed = match self {
            Self::Stream(producer) => producer.reserve(len, wait).map(Claimed::Stream),
            Self::Cells(producer) => producer.claim(len, wait).map(Claimed::Cells),
            Self::Broadcast(producer) => producer.reserve(len, wait).map(Claimed::Broadcast),
        };
        claimed.or_else(|refusal| self.claim_long(len, refusal, wait))
    }

    /// Copies to `offset` of what is claimed.
    #[inline]
    pub(crate) fn write_at(&self, claimed: &Claimed, offset: usize, bytes: &[u8]) {
        let payload = match claimed {
            Claimed::Stream(reservation) => reservation.payload(),
            Claimed::Cells(payload) => *payload,
            Claimed::Broadcast(reservation) => reservation.payload(),
            Claimed::StreamLoan(_) | Claimed::CellsLoan | Claimed::BroadcastLoan(_) => {
                return self.write_loan(offset, bytes);
            }
        };
        self.region().write(payload + offset as u64, bytes);
    }

    /// Copies from the start of what is claimed.
    #[cold]
    pub(crate) fn read_back(&self, claimed: &Claimed, bytes: &mut [u8]) {
        match claimed {
            Claimed::Stream(reservation) => self.region().read(reservation.payload(), bytes),
            Claimed::Cells(payload) => self.region().read(*payload, bytes),
            Claimed::Broadcast(reservation) => self.region().read(reservation.payload(), bytes),
            Claimed::StreamLoan(_) | Claimed::CellsLoan | Claimed::BroadcastLoan(_) => {
                self.read_loan(bytes)
            }
        }
    }

    /// Where what is claimed lies in memory, if that may be written by system calls, which may go on when this process
    /// is dead. Room in the ring may not: others could not go on there before they have ended, and of some calls
    /// nobody knows when.
    #[inline]
    pub(crate) fn lend_pointer(&mut self, claimed: &Claimed) -> Option<*mut u8> {
        match claimed {
            Claimed::Stream(_) | Claimed::Cells(_) | Claimed::Broadcast(_) => None,
            Claimed::StreamLoan(_) | Claimed::CellsLoan | Claimed::BroadcastLoan(_) => {
                self.lend_loan_pointer()
            }
        }
    }

    /// Where what is claimed lies in memory, for who writes there by instructions of its own only.
    #[inline]
    pub(crate) fn pointer(&self, claimed: &Claimed) -> *mut u8 {
        match claimed {
            Claimed::Stream(reservation) => self.region().pointer(reservation.payload()),
            Claimed::Cells(payload) => self.region().pointer(*payload),
            Claimed::Broadcast(reservation) => self.region().pointer(reservation.payload()),
            Claimed::StreamLoan(_) | Claimed::CellsLoan | Claimed::BroadcastLoan(_) => {
                self.loan_pointer()
            }
        }
    }

    #[inline(always)]
    pub(crate) fn commit(&mut self, claimed: Claimed, len: u64) {
        if let (Self::Stream(producer), Claimed::Stream(reservation)) = (&mut *self, &claimed)
            && producer.commit_at_once(reservation, len)
        {
            return;
        }
        self.commit_otherwise(claimed, len);
    }

    #[inline(never)]
    fn commit_otherwise(&mut self, claimed: Claimed, len: u64) {
        match (self, claimed) {
            (Self::Stream(producer), Claimed::Stream(reservation)) => {
                let pending = producer.stage(None, reservation, len);
                producer.commit(pending);
            }
            (Self::Cells(producer), Claimed::Cells(_)) => producer.commit(len),
            (Self::Stream(producer), Claimed::StreamLoan(reservation)) => {
                producer.commit_loan(reservation, len);
            }
            (Self::Cells(producer), Claimed::CellsLoan) => producer.commit_loan(len),
            (Self::Broadcast(producer), Claimed::Broadcast(reservation)) => {
                producer.commit(reservation, len);
            }
            (Self::Broadcast(producer), Claimed::BroadcastLoan(reservation)) => {
                producer.commit_loan(reservation, len);
            }
            // What one claims of a ring, one commits to it.
            (Self::Stream(_) | Self::Cells(_) | Self::Broadcast(_), _) => {}
        }
    }

    /// Gives up what is claimed and not committed.
    #[inline]
    pub(crate) fn abort(&mut self) {
        match self {
            Self::Cells(producer) => producer.abort(),
            Self::Broadcast(producer) => producer.abort(),
            Self::Stream(_) => {}
        }
        if self.pool().is_some() {
            self.give_back();
        }
    }

    /// Gives up what is pending in a stream ring.
    #[cold]
    pub(crate) fn forget_batch(&mut self) {
        if let Self::Stream(producer) = self {
            producer.abort();
        }
    }

    #[inline]
    pub(crate) fn push(
        &mut self,
        pending: &mut Option<Pending>,
        message: &[u8],
    ) -> Result<(), SendError> {
        match self {
            Self::Stream(producer) => match producer.push_at_once(pending, message) {
                true => Ok(()),
                false => producer.push(pending, message),
            },
            Self::Cells(producer) => producer.push(message),
            Self::Broadcast(producer) => producer.push(message),
        }
    }

    #[inline]
    pub(crate) fn commit_batch(&mut self, pending: Option<Pending>) -> u64 {
        match self {
            Self::Stream(producer) => match pending {
                Some(pending) => {
                    let before = producer.sent();
                    producer.commit(pending);
                    // None in a child of `fork`.
                    producer.sent() - before
                }
                None => 0,
            },
            Self::Cells(producer) => producer.commit_batch(),
            Self::Broadcast(producer) => producer.commit_batch(),
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        use crate::waiting::Blocked;
        match self {
            Self::Stream(producer) => CONSUMER.state(&producer.region),
            Self::Cells(producer) => producer.member.peer(),
            Self::Broadcast(producer) => producer.consumers_state(),
        }
    }

    /// Waits for a live consumer.
    pub(crate) fn wait_for_peer(&mut self, wait: &WaitOptions) -> Result<(), SendError> {
        if self.region().is_forked() {
            return Err(SendError::Forked);
        }
        let waited = match self {
            Self::Stream(producer) => waiting::wait_for_peer(producer, wait, |_| false),
            Self::Broadcast(producer) => waiting::wait_for_peer(producer, wait, |_| false),
            Self::Cells(producer) => waiting::wait_for_peer(&mut producer.member, wait, |_| false),
        };
        match waited {
            _ if self.peer() == Peer::Alive => Ok(()),
            // Somebody was there, and may be gone again.
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(SendError::TimedOut),
            Waited::Forsaken => Err(SendError::Removed),
            Waited::Interrupted => Err(SendError::Interrupted),
            Waited::Armed => Err(SendError::Full),
        }
    }

    pub(crate) fn drained_until(&mut self, wait: &WaitOptions) -> Result<(), SendError> {
        match self {
            Self::Stream(producer) => producer.drained_until(wait),
            Self::Cells(producer) => producer.drained_until(wait),
            Self::Broadcast(producer) => producer.drained_until(wait),
        }
    }

    pub(crate) fn sent(&self) -> u64 {
        match self {
            Self::Stream(producer) => producer.sent(),
            Self::Cells(producer) => producer.member.messages_ever(Role::Producer),
            Self::Broadcast(producer) => producer.sent(),
        }
    }

    pub(crate) fn overwritten(&self) -> u64 {
        match self {
            Self::Stream(_) | Self::Broadcast(_) => 0,
            Self::Cells(producer) => producer.overwritten(),
        }
    }

    /// The longest message, in bytes.
    pub(crate) fn max_len(&self) -> u64 {
        let in_slab = self.pool().map_or(0, |pool| pool.longest());
        in_slab.max(self.max_len_in_ring())
    }

    pub(crate) fn close(&mut self) {
        match self {
            Self::Stream(producer) => producer.close(),
            Self::Cells(producer) => producer.close(),
            Self::Broadcast(producer) => producer.close(),
        }
    }

    /// Forgets that producers which have left before closed, for one that only leaves. (In a stream, this one has forgotten
    /// it when it came.)
    pub(crate) fn reopen(&self) {
        if let Self::Cells(producer) = self
            && !self.region().is_forked()
        {
            producer.member.reopen();
        }
    }

    /// Says, after this producer has left its slot, that it is gone.
    pub(crate) fn announce_leave(&self) {
        match self {
            _ if self.region().is_forked() => {}
            Self::Stream(producer) => PRODUCER.announce(CONSUMER, &producer.region),
            Self::Cells(producer) => producer.member.announce(Role::Producer),
            Self::Broadcast(producer) => producer.announce(),
        }
    }
}
