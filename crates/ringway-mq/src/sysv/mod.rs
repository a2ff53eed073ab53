//! System V message queues (sysvipc(7)), under a key.

use ringway_core::{Address, Error, QueueKey};

use crate::attempt::Attempt;
use crate::builder::Options;
use crate::frame::Header;
use crate::side::{Inlet, Outlet};
use crate::stat::QueueStat;

/// A queue that is open.
#[derive(Clone, Debug)]
pub(crate) struct Queue;

pub(crate) fn create(attempt: Attempt<'_>, _: &QueueKey, _: &Options) -> Result<Queue, Error> {
    Err(attempt.wrong_address())
}
pub(crate) fn open(attempt: Attempt<'_>, _: &QueueKey, _: &Options) -> Result<Queue, Error> {
    Err(attempt.wrong_address())
}
pub(crate) fn stat(attempt: Attempt<'_>, _: &QueueKey) -> Result<QueueStat, Error> {
    Err(attempt.wrong_address())
}
pub(crate) fn remove(attempt: Attempt<'_>, _: &QueueKey, _: bool) -> Result<(), Error> {
    Err(attempt.wrong_address())
}
pub(crate) fn list() -> Vec<Address> {
    Vec::new()
}
impl Queue {
    pub(crate) fn sender(
        &self,
        attempt: Attempt<'_>,
        _: u64,
    ) -> Result<(Box<dyn Outlet>, Header), Error> {
        Err(attempt.wrong_address())
    }
    pub(crate) fn receiver(&self, attempt: Attempt<'_>) -> Result<Box<dyn Inlet>, Error> {
        Err(attempt.wrong_address())
    }
    pub(crate) fn frame_len(&self, attempt: Attempt<'_>) -> Result<usize, Error> {
        Err(attempt.wrong_address())
    }
}
