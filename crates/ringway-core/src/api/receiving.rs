//! The receiving side of a ring of any shape: where the handles meet the algorithms.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use bytemuck::{AnyBitPattern, NoUninit};
use nix::errno::Errno;

use crate::api::reach::Reached;
use crate::error::RecvError;
use crate::memory::layout::participant::Role;
use crate::memory::region::Region;
use crate::memory::region::memory::Memory;
use crate::presence::Peer;
use crate::rings::message::MessageRef;
use crate::rings::pool::{IN_SLAB, Loan};
use crate::rings::stream::PRODUCER;
use crate::rings::stream::consumer::Consumer;
use crate::rings::{broadcast, cell};
use crate::waiting::several::Candidate;
use crate::waiting::sync::listener::Heard;
use crate::waiting::watch::Watch;
use crate::waiting::{self, Blocked, PeersEnd, WaitOptions, Waited, interrupt};

/// A consumer.
#[derive(Debug)]
// A tag of its own: one comparison tells a stream.
#[repr(u8)]
pub(crate) enum Receiving {
    /// Of a stream ring.
    Stream(Consumer<Memory>),
    /// Of a cell ring.
    Cells(cell::consumer::Consumer<Memory>),
    /// Of a broadcast ring.
    Broadcast(broadcast::consumer::Consumer<Memory>),
}

impl Receiving {
    #[inline]
    pub(crate) fn region(&self) -> &Memory {
        match self {
            Self::Stream(consumer) => &consumer.region,
            Self::Cells(consumer) => consumer.member.region(),
            Self::Broadcast(consumer) => &consumer.region,
        }
    }

    #[inline(always)]
    pub(crate) fn recv_into(
        &mut self,
        buffer: &mut [u8],
        wait: Option<&WaitOptions>,
    ) -> Result<usize, RecvError> {
        if let Self::Stream(consumer) = self
            && let Some(len) = consumer.recv_at_once(buffer)
        {
            return Ok(len);
        }
        match self {
            Self::Stream(consumer) => consumer.recv_into(buffer, wait),
            Self::Cells(consumer) => match consumer.recv_at_once(buffer) {
                Some(len) => Ok(len),
                None => consumer.recv_otherwise(buffer, wait),
            },
            Self::Broadcast(consumer) => consumer.recv_into(buffer, wait),
        }
    }

    /// Copies the next message to the start of `buffer` in the usual case, and returns its length.
    #[inline(always)]
    pub(crate) fn recv_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        match self {
            Self::Stream(consumer) => consumer.recv_at_once(buffer),
            Self::Cells(consumer) => consumer.recv_at_once(buffer),
            Self::Broadcast(consumer) => consumer.recv_at_once(buffer),
        }
    }

    /// Receives messages of just so many bytes as a `T` has, in the usual case of a stream ring, and returns how many.
    #[inline]
    pub(crate) fn recv_run<T: NoUninit + AnyBitPattern>(&mut self, values: &mut [T]) -> usize {
        match self {
            Self::Stream(consumer) => consumer.recv_run(values),
            Self::Cells(_) | Self::Broadcast(_) => 0,
        }
    }

    /// Receives the next message as a `T`, in the usual case. `false`: nothing was done; else `value` is initialised.
    #[inline(always)]
    pub(crate) fn recv_value_at_once<T: NoUninit + AnyBitPattern>(
        &mut self,
        value: &mut MaybeUninit<T>,
    ) -> bool {
        match self {
            Self::Stream(consumer) => consumer.recv_value_at_once(value),
            Self::Cells(consumer) => consumer.recv_value_at_once(value),
            Self::Broadcast(consumer) => consumer.recv_value_at_once(value),
        }
    }

    /// The next message, which is this consumer's until it is released or given back. In a cell ring up to
    /// `most` are taken together.
    #[inline]
    pub(crate) fn take(
        &mut self,
        most: u64,
        wait: Option<&WaitOptions>,
    ) -> Result<MessageRef, RecvError> {
        match self {
            Self::Stream(consumer) => consumer.take(wait),
            Self::Cells(consumer) => consumer.take(most, wait),
            Self::Broadcast(consumer) => consumer.take(wait),
        }
    }

    /// The next message, which is [shown](Self::show) now: the usual case.
    #[inline(always)]
    pub(crate) fn take_at_once(&mut self) -> Option<MessageRef> {
        match self {
            Self::Stream(consumer) => consumer.show_at_once(None, 0),
            Self::Cells(consumer) => consumer.take_at_once(1),
            Self::Broadcast(_) => None,
        }
    }

    /// The same where something is unusual, waiting for it as the options say.
    #[inline(never)]
    pub(crate) fn take_otherwise(
        &mut self,
        wait: Option<&WaitOptions>,
    ) -> Result<MessageRef, RecvError> {
        let found = self.take(1, wait)?;
        self.show(0);
        Ok(found)
    }

    /// Acknowledges the `count` messages that were taken, `last` being the last of them, in the usual case; `false` if it is none, and then
    /// nothing was done.
    #[inline(always)]
    pub(crate) fn release_at_once(&mut self, last: &MessageRef, count: u64) -> bool {
        match self {
            Self::Stream(consumer) => consumer.release_at_once(last, count),
            Self::Cells(consumer) => consumer.release_at_once(),
            Self::Broadcast(_) => false,
        }
    }

    /// Behind `last`, the `nth` of those that were taken, to be [shown](Self::show) now: the usual case.
    #[inline(always)]
    pub(crate) fn show_at_once(
        &mut self,
        last: Option<&MessageRef>,
        nth: u64,
    ) -> Option<MessageRef> {
        match self {
            Self::Stream(consumer) => consumer.show_at_once(last, nth),
            // What is taken already.
            Self::Cells(consumer) => last.and_then(|_| consumer.show_at_once()),
            Self::Broadcast(_) => None,
        }
    }

    /// The message behind `last`, the `nth` of those that were taken. In a cell ring up to `most` more are
    /// taken together.
    #[inline]
    pub(crate) fn take_behind(
        &mut self,
        last: &MessageRef,
        nth: u64,
        most: u64,
    ) -> Result<Option<MessageRef>, RecvError> {
        match self {
            Self::Stream(consumer) => consumer.peek_behind(last, nth),
            Self::Cells(consumer) => consumer.next_held(most),
            Self::Broadcast(consumer) => consumer.peek_behind(last, nth),
        }
    }

    /// Where the message that was found last is: a position in the ring, or [`IN_SLAB`] and one in the slabs.
    #[inline]
    pub(crate) fn locate(&self, found: &MessageRef) -> u64 {
        if found.is_loaned() {
            return self.locate_loan();
        }
        found.payload
    }

    #[cold]
    fn locate_loan(&self) -> u64 {
        let shown = match self {
            Self::Stream(consumer) => consumer.shown(),
            Self::Cells(consumer) => consumer.shown(),
            Self::Broadcast(consumer) => consumer.shown(),
        };
        IN_SLAB | shown.map_or(0, |loan| loan.at)
    }

    /// The message that was found last, if it is a copy in private memory.
    #[inline]
    pub(crate) fn copied(&self, found: &MessageRef) -> Option<&[u8]> {
        match self {
            Self::Broadcast(consumer) => consumer.copied(found),
            Self::Stream(_) | Self::Cells(_) => None,
        }
    }

    /// The `nth` of those that were taken is about to be shown in place.
    #[inline]
    pub(crate) fn show(&mut self, nth: u64) {
        match self {
            Self::Stream(consumer) => consumer.show(consumer.received() + nth),
            // Counted when it is taken.
            Self::Cells(_) => {}
            Self::Broadcast(consumer) => consumer.show(nth),
        }
    }

    /// What tells a message that was found, the `nth` of those that were taken, from all others.
    #[inline]
    pub(crate) fn number(&self, found: &MessageRef, nth: u64) -> u64 {
        match self {
            Self::Stream(consumer) => consumer.received() + nth,
            Self::Cells(consumer) => consumer.number(found),
            Self::Broadcast(consumer) => consumer.number() + nth,
        }
    }

    /// How often that message was delivered, with this time.
    pub(crate) fn deliveries(&self, found: &MessageRef, nth: u64) -> u32 {
        match self {
            Self::Stream(consumer) => consumer.deliveries(consumer.received() + nth),
            Self::Cells(consumer) => consumer.deliveries(found),
            Self::Broadcast(consumer) => consumer.deliveries(consumer.number() + nth),
        }
    }

    /// Whether its slab can be kept behind its acknowledgement, if it lies in one. (In a broadcast ring others have it as well, and it is
    /// the producer's.)
    pub(crate) fn keeps_slab(&self, found: &MessageRef) -> bool {
        found.is_loaned() && !matches!(self, Self::Broadcast(_))
    }

    /// Acknowledges the only message that was taken, and keeps its slab if that can be.
    pub(crate) fn detach(&mut self, found: &MessageRef) -> Result<Option<Loan>, RecvError> {
        match self {
            Self::Stream(consumer) => consumer.detach(found),
            Self::Cells(consumer) => consumer.detach(found),
            Self::Broadcast(consumer) if consumer.region.is_forked() => Err(RecvError::Forked),
            Self::Broadcast(consumer) => {
                consumer.release(found, 1);
                Ok(None)
            }
        }
    }

    /// Acknowledges the `count` messages that were taken, `last` being the last of them, and returns how many were
    /// acknowledged: fewer if the ring turns out to be corrupt, none in a child of `fork`.
    #[inline(always)]
    pub(crate) fn release(&mut self, last: &MessageRef, count: u64) -> u64 {
        match self.release_at_once(last, count) {
            true => count,
            false => self.release_otherwise(last, count),
        }
    }

    #[inline(never)]
    fn release_otherwise(&mut self, last: &MessageRef, count: u64) -> u64 {
        match self {
            Self::Stream(consumer) => {
                let before = consumer.received();
                consumer.release(last, count);
                consumer.received() - before
            }
            Self::Cells(consumer) => consumer.release(),
            Self::Broadcast(consumer) => {
                let before = consumer.received();
                consumer.release(last, count);
                consumer.received() - before
            }
        }
    }

    /// Acknowledges the next message if it cannot be read here; whether that was so.
    pub(crate) fn skip_unreadable(&mut self) -> Result<bool, RecvError> {
        match self {
            Self::Stream(consumer) => consumer.skip_unreadable(),
            Self::Cells(consumer) => consumer.skip_unreadable(),
            Self::Broadcast(consumer) => consumer.skip_unreadable(),
        }
    }

    /// Acknowledges the first `count` of the messages that were taken one by one, and leaves the others to the next
    /// receive.
    pub(crate) fn release_first(&mut self, count: u64) {
        let consumer = match self {
            Self::Stream(consumer) => consumer,
            Self::Cells(consumer) => return consumer.release_first(count),
            Self::Broadcast(consumer) => return consumer.release_first(count),
        };
        // Nothing is taken in a stream: the same messages again, from the first.
        let mut last = None;
        for nth in 0..count {
            let found = match &last {
                None => consumer.peek().map(Some),
                Some(last) => consumer.peek_behind(last, nth),
            };
            match found {
                Ok(Some(found)) => last = Some(found),
                Ok(None) | Err(_) => return,
            }
        }
        if let Some(last) = last {
            consumer.release(&last, count);
        }
    }

    /// Leaves what was taken and not released to the next receive.
    pub(crate) fn give_back(&mut self) {
        if let Self::Cells(consumer) = self {
            consumer.give_back();
        }
    }

    /// Has its bell listened to no more. Before it leaves its slot.
    pub(crate) fn listen_no_more(&mut self) {
        if let Self::Cells(consumer) = self {
            consumer.member.listen_no_more();
        }
    }

    /// Whether there is a message now.
    pub(crate) fn ready(&mut self) -> Result<(), RecvError> {
        match self {
            Self::Stream(consumer) => consumer.peek().map(drop),
            Self::Cells(consumer) => match consumer.is_ready()? {
                true => Ok(()),
                false => Err(RecvError::Empty),
            },
            // What is told once is told by the call that receives.
            Self::Broadcast(consumer) => match consumer.is_due() {
                true => Ok(()),
                false => Err(RecvError::Empty),
            },
        }
    }

    pub(crate) fn ready_until(&mut self, wait: &WaitOptions) -> Result<(), RecvError> {
        match self {
            Self::Stream(consumer) => consumer.peek_until(wait).map(drop),
            Self::Cells(consumer) => consumer.ready_until(wait),
            Self::Broadcast(consumer) => consumer.peek_until(wait).map(drop),
        }
    }

    /// Whether nothing that was committed lies in the ring, not even behind a claim.
    pub(crate) fn is_drained(&mut self) -> bool {
        match self {
            Self::Stream(consumer) => matches!(
                consumer.peek(),
                Err(RecvError::Empty | RecvError::Closed | RecvError::PeerDied)
            ),
            Self::Cells(consumer) => consumer.is_drained(),
            Self::Broadcast(consumer) => !consumer.may_retry(),
        }
    }

    pub(crate) fn peer(&self) -> Peer {
        match self {
            Self::Stream(consumer) => PRODUCER.state(&consumer.region),
            Self::Cells(consumer) => consumer.member.peer(),
            Self::Broadcast(consumer) => consumer.producer(),
        }
    }

    /// Waits for a live producer or a message.
    pub(crate) fn wait_for_peer(&mut self, wait: &WaitOptions) -> Result<(), RecvError> {
        let consumer = match self {
            Self::Stream(consumer) => consumer,
            Self::Cells(consumer) => return consumer.wait_for_peer(wait),
            Self::Broadcast(consumer) => return consumer.wait_for_peer(wait),
        };
        if consumer.region.is_forked() {
            return Err(RecvError::Forked);
        }
        match waiting::wait_for_peer(consumer, wait, |consumer| consumer.may_retry()) {
            _ if consumer.peer() == Peer::Alive || consumer.may_retry() => Ok(()),
            // Somebody was there, and may be gone again.
            Waited::Ready => Ok(()),
            Waited::TimedOut => Err(RecvError::TimedOut),
            Waited::Forsaken => Err(RecvError::Removed),
            Waited::Interrupted => Err(RecvError::Interrupted),
            Waited::Armed => Err(RecvError::Empty),
        }
    }

    /// Waits until `condition` holds, which is looked at whenever a producer comes or goes.
    pub(crate) fn wait_until(
        &mut self,
        wait: &WaitOptions,
        condition: impl Fn() -> bool,
    ) -> Result<(), RecvError> {
        if self.region().is_forked() {
            return Err(RecvError::Forked);
        }
        let peers_end = PeersEnd::IsNoEnd;
        let waited = match self {
            Self::Stream(consumer) => wait.wait(consumer, peers_end, |_, _| condition()),
            Self::Cells(consumer) => wait.wait(&mut consumer.member, peers_end, |_, _| condition()),
            Self::Broadcast(consumer) => wait.wait(consumer, peers_end, |_, _| condition()),
        };
        match waited {
            _ if condition() => Ok(()),
            Waited::Forsaken => Err(RecvError::Removed),
            Waited::Ready | Waited::TimedOut => Err(RecvError::TimedOut),
            Waited::Interrupted => Err(RecvError::Interrupted),
            Waited::Armed => Err(RecvError::Empty),
        }
    }

    /// Waits until it is worth looking for a message again, or `over`, which is looked at whenever a producer
    /// comes or goes. The caller has just found no message.
    ///
    /// An interruption ends it too, and is left for the call that comes next: this one has no way to tell of it.
    pub(crate) fn look_again_when(&mut self, wait: &WaitOptions, over: impl Fn() -> bool) {
        let wait = &wait.uninterrupted();
        let interrupted = self.region().heeded();
        let is_interrupted = || interrupted.as_deref().is_some_and(interrupt::is_pending);
        let over = || is_interrupted() || over();
        match self {
            Self::Stream(consumer) => {
                wait.wait(consumer, PeersEnd::EndsIt, |consumer, _| {
                    consumer.may_retry() || over()
                });
            }
            Self::Cells(consumer) => {
                let member = &mut consumer.member;
                member.block_or(wait, over);
            }
            Self::Broadcast(consumer) => {
                wait.wait(consumer, PeersEnd::EndsIt, |consumer, _| {
                    consumer.may_retry() || over()
                });
            }
        }
    }

    pub(crate) fn received(&self) -> u64 {
        match self {
            Self::Stream(consumer) => consumer.received(),
            Self::Cells(consumer) => consumer.member.messages_ever(Role::Consumer),
            Self::Broadcast(consumer) => consumer.received(),
        }
    }

    /// Of a broadcast ring, messages that this consumer missed.
    pub(crate) fn missed(&self) -> Option<u64> {
        match self {
            Self::Broadcast(consumer) => Some(consumer.missed()),
            Self::Stream(_) | Self::Cells(_) => None,
        }
    }

    /// Of a broadcast ring, the number of the next message.
    pub(crate) fn next_number(&self) -> Option<u64> {
        match self {
            Self::Broadcast(consumer) => Some(consumer.number()),
            Self::Stream(_) | Self::Cells(_) => None,
        }
    }

    pub(crate) fn close(&mut self) {
        match self {
            Self::Stream(consumer) => consumer.close(),
            Self::Cells(consumer) => consumer.close(),
            // One of many ends nothing for the producer.
            Self::Broadcast(_) => {}
        }
    }
}

impl Reached for Receiving {
    fn region(&self) -> &Memory {
        Receiving::region(self)
    }

    fn listen(&mut self) -> Result<Option<Arc<Heard>>, Errno> {
        match self {
            Self::Stream(_) => Ok(None),
            Self::Cells(consumer) => consumer.member.listen(),
            Self::Broadcast(_) => Ok(None),
        }
    }

    fn says_that_it_sleeps(&self) -> bool {
        match self {
            // The event says it all.
            Self::Stream(_) | Self::Broadcast(_) => true,
            Self::Cells(consumer) => consumer.member.says_that_it_sleeps(),
        }
    }
}

/// As a [`Candidate`], of which the handle is one.
impl Receiving {
    pub(crate) fn is_due(&mut self) -> bool {
        match self {
            Self::Stream(consumer) => consumer.is_due(),
            Self::Cells(consumer) => consumer.is_due(),
            Self::Broadcast(consumer) => consumer.is_due(),
        }
    }

    pub(crate) fn has_changed(&mut self) -> bool {
        match self {
            Self::Stream(consumer) => consumer.has_changed(),
            Self::Cells(consumer) => consumer.has_changed(),
            Self::Broadcast(consumer) => consumer.has_changed(),
        }
    }

    pub(crate) fn prepare(&mut self) -> Watch {
        match self {
            Self::Stream(consumer) => Candidate::prepare(consumer),
            Self::Cells(consumer) => consumer.prepare(),
            Self::Broadcast(consumer) => Candidate::prepare(consumer),
        }
    }

    pub(crate) fn cancel(&mut self) {
        match self {
            Self::Stream(consumer) => Candidate::cancel(consumer),
            Self::Cells(consumer) => consumer.cancel(),
            Self::Broadcast(consumer) => Candidate::cancel(consumer),
        }
    }

    pub(crate) fn heard(&self) -> Option<&AtomicU32> {
        match self {
            Self::Stream(consumer) => consumer.heard(),
            Self::Cells(consumer) => consumer.heard(),
            Self::Broadcast(consumer) => consumer.heard(),
        }
    }

    pub(crate) fn drain(&mut self) {
        match self {
            Self::Stream(consumer) => consumer.drain(),
            Self::Cells(consumer) => consumer.drain(),
            Self::Broadcast(consumer) => consumer.drain(),
        }
    }

    pub(crate) fn is_lonely(&mut self) -> bool {
        match self {
            Self::Stream(consumer) => Candidate::is_lonely(consumer),
            Self::Cells(consumer) => consumer.is_lonely(),
            Self::Broadcast(consumer) => Candidate::is_lonely(consumer),
        }
    }

    pub(crate) fn is_forsaken(&self) -> bool {
        match self {
            Self::Stream(consumer) => Candidate::is_forsaken(consumer),
            Self::Cells(consumer) => consumer.is_forsaken(),
            Self::Broadcast(consumer) => Candidate::is_forsaken(consumer),
        }
    }
}
