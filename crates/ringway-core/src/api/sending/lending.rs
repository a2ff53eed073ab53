//! Long messages: written into a slab, if one is free.

use super::{Claimed, Sending};
use crate::error::SendError;
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::region::Region;
use crate::rings::pool::{Pool, SlabSender as _};
use crate::waiting::WaitOptions;

impl Sending {
    /// Messages of more than so many bytes go into a slab.
    pub(crate) fn set_copy_limit(&mut self, bytes: usize) {
        match self {
            Self::Stream(producer) => producer.set_copy_limit(bytes),
            Self::Cells(producer) => producer.set_copy_limit(bytes),
            Self::Broadcast(producer) => producer.set_copy_limit(bytes),
        }
    }

    #[inline]
    pub(super) fn pool(&self) -> Option<&Pool> {
        match self {
            Self::Stream(producer) => producer.pool.as_deref(),
            Self::Cells(producer) => producer.member.pool.as_deref(),
            Self::Broadcast(producer) => producer.pool.as_deref(),
        }
    }

    /// The longest message that fits the ring, in bytes.
    pub(super) fn max_len_in_ring(&self) -> u64 {
        match self {
            Self::Stream(producer) => producer.max_len(),
            Self::Cells(producer) => producer.max_len(),
            Self::Broadcast(producer) => producer.max_len(),
        }
    }

    /// Sends a message that was refused, if that was because it is too long to be copied.
    #[cold]
    #[inline(never)]
    pub(super) fn send_long(
        &mut self,
        message: &[u8],
        refusal: SendError,
        wait: Option<&WaitOptions>,
    ) -> Result<(), SendError> {
        let claimed = match self.place(message.len(), refusal, wait)? {
            Some(claimed) => {
                self.write_at(&claimed, 0, message);
                claimed
            }
            None => {
                // Before the ticket's room is claimed, which would keep others waiting.
                self.write_loan(0, message);
                self.claim_ticket(wait)?
            }
        };
        self.commit(claimed, message.len() as u64);
        Ok(())
    }

    /// Claims room for a message that was refused, if that was because it is too long to be copied.
    #[cold]
    #[inline(never)]
    pub(super) fn claim_long(
        &mut self,
        len: usize,
        refusal: SendError,
        wait: Option<&WaitOptions>,
    ) -> Result<Claimed, SendError> {
        match self.place(len, refusal, wait)? {
            Some(claimed) => Ok(claimed),
            None => self.claim_ticket(wait),
        }
    }

    /// Finds a place for a long message: a slab, or (then it is returned) room in the ring, if there is no
    /// free slab and the message fits the ring.
    fn place(
        &mut self,
        len: usize,
        refusal: SendError,
        wait: Option<&WaitOptions>,
    ) -> Result<Option<Claimed>, SendError> {
        let in_slab = match (self.pool(), refusal) {
            (Some(pool), SendError::TooLarge { .. }) => pool.longest(),
            _ => return Err(refusal),
        };
        let in_ring = self.max_len_in_ring();
        if len as u64 > in_slab.max(in_ring) {
            let max = self.max_len() as usize;
            return Err(SendError::TooLarge { len, max });
        }
        let fits_ring = len as u64 <= in_ring;
        if len as u64 <= in_slab {
            let wait = wait.filter(|_| !fits_ring);
            match self.lend(len, wait) {
                Ok(()) => return Ok(None),
                Err(SendError::Full | SendError::PeerDied | SendError::Unsettled) if fits_ring => {}
                Err(error) => return Err(error),
            }
        }
        self.claim_to_copy(len, wait).map(Some)
    }

    fn lend(&mut self, len: usize, wait: Option<&WaitOptions>) -> Result<(), SendError> {
        match self {
            Self::Stream(producer) => producer.lend(len, wait),
            Self::Cells(producer) => producer.lend(len, wait),
            Self::Broadcast(producer) => producer.lend(len, wait),
        }
    }

    /// Claims room in the ring, be it for a message that a slab would be better for.
    fn claim_to_copy(
        &mut self,
        len: usize,
        wait: Option<&WaitOptions>,
    ) -> Result<Claimed, SendError> {
        match self {
            Self::Stream(producer) => producer.reserve_to_copy(len, wait).map(Claimed::Stream),
            Self::Cells(producer) => producer.claim_to_copy(len, wait).map(Claimed::Cells),
            Self::Broadcast(producer) => {
                let reserved = producer.reserve_to_copy(len, wait);
                reserved.map(Claimed::Broadcast)
            }
        }
    }

    /// Claims room in the ring for the ticket of the slab that is lent; gives it back if there is none.
    fn claim_ticket(&mut self, wait: Option<&WaitOptions>) -> Result<Claimed, SendError> {
        match self.claim_to_copy(TICKET_LEN as usize, wait) {
            Ok(Claimed::Stream(reservation)) => Ok(Claimed::StreamLoan(reservation)),
            Ok(Claimed::Broadcast(reservation)) => Ok(Claimed::BroadcastLoan(reservation)),
            Ok(_) => Ok(Claimed::CellsLoan),
            Err(error) => {
                self.give_back();
                Err(error)
            }
        }
    }

    /// Gives up the slab that is lent and not sent.
    #[cold]
    pub(super) fn give_back(&mut self) {
        match self {
            Self::Stream(producer) => producer.give_back(),
            Self::Cells(producer) => producer.give_back(),
            Self::Broadcast(producer) => producer.give_back(),
        }
    }

    #[cold]
    pub(super) fn write_loan(&self, offset: usize, bytes: &[u8]) {
        if let Some(loan) = self.pool().and_then(|pool| pool.lent) {
            self.region().write_slab(loan.at + offset as u64, bytes);
        }
    }

    #[cold]
    pub(super) fn read_loan(&self, bytes: &mut [u8]) {
        if let Some(loan) = self.pool().and_then(|pool| pool.lent) {
            self.region().read_slab(loan.at, bytes);
        }
    }

    #[cold]
    pub(super) fn lend_loan_pointer(&mut self) -> Option<*mut u8> {
        let may = match self {
            Self::Stream(producer) => {
                let pool = producer.pool.as_mut()?;
                pool.lend_pointer(&producer.region)
            }
            Self::Cells(producer) => {
                let member = &mut producer.member;
                member.pool.as_mut()?.lend_pointer(&member.cells.region)
            }
            Self::Broadcast(producer) => {
                let pool = producer.pool.as_mut()?;
                pool.lend_pointer(&producer.region)
            }
        };
        may.then(|| self.loan_pointer())
    }

    #[cold]
    pub(super) fn loan_pointer(&self) -> *mut u8 {
        let lent = self.pool().and_then(|pool| pool.lent);
        self.region().slab_pointer(lent.map_or(0, |loan| loan.at))
    }
}
