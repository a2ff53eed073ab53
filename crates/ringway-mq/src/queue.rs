//! A queue that is open.

use ringway_core::os::fork::Origin;
use ringway_core::{Address, Error};

use crate::attempt::Attempt;
use crate::frame::HEADER_LEN;
use crate::receiver::QueueReceiver;
use crate::sender::QueueSender;
use crate::{posix, sysv};

/// A message queue that is open. Neither sender nor receiver yet: [`sender`](Self::sender) and
/// [`receiver`](Self::receiver) attach, and live on without it.
#[derive(Clone, Debug)]
pub struct Queue {
    address: Address,
    system: System,
    origin: Origin,
    is_new: bool,
}

#[derive(Clone, Debug)]
enum System {
    Posix(posix::Queue),
    Sysv(sysv::Queue),
}

impl Queue {
    pub(crate) fn posix(address: &Address, queue: posix::Queue, origin: Origin) -> Self {
        Self {
            address: address.clone(),
            system: System::Posix(queue),
            origin,
            is_new: false,
        }
    }

    pub(crate) fn sysv(address: &Address, queue: sysv::Queue, origin: Origin) -> Self {
        Self {
            address: address.clone(),
            system: System::Sysv(queue),
            origin,
            is_new: false,
        }
    }

    /// The same queue, known to have been made here.
    pub(crate) fn made_here(mut self) -> Self {
        self.is_new = true;
        self
    }

    /// Whether this handle made the queue, and did not find it.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Attaches this process as a sender; there may be many.
    ///
    /// # Errors
    /// [`ErrorKind::NoSpace`](ringway_core::ErrorKind::NoSpace), which names the limit;
    /// [`ErrorKind::Forked`](ringway_core::ErrorKind::Forked) in a child of `fork` that inherited the queue;
    /// [`ErrorKind::NotFound`](ringway_core::ErrorKind::NotFound) if it was removed (System V).
    pub fn sender(&self) -> Result<QueueSender, Error> {
        let attempt = self.attach("send to")?;
        let (outlet, header) = match &self.system {
            System::Posix(queue) => queue.sender(attempt)?,
            System::Sysv(queue) => queue.sender(attempt)?,
        };
        let max_len = self.max_message_len();
        Ok(QueueSender::new(
            outlet,
            header,
            max_len,
            self.has_priorities(),
            self.origin,
        ))
    }

    /// Attaches this process as the receiver; there is one at a time.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`](ringway_core::ErrorKind::RoleTaken) if a live process is the receiver (the kernel
    /// does not say which: the pid is 0), and those of [`sender`](Self::sender).
    pub fn receiver(&self) -> Result<QueueReceiver, Error> {
        let attempt = self.attach("receive from")?;
        let (inlet, frame_len) = match &self.system {
            System::Posix(queue) => (queue.receiver(attempt)?, queue.frame_len),
            System::Sysv(queue) => (queue.receiver(attempt)?, queue.frame_len(attempt)?),
        };
        Ok(QueueReceiver::new(inlet, frame_len, self.origin))
    }

    fn attach(&self, action: &'static str) -> Result<Attempt<'_>, Error> {
        let attempt = Attempt {
            action,
            address: &self.address,
        };
        match !self.origin.is_forked() {
            true => Ok(attempt),
            false => Err(attempt.forked()),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it was created with priorities.
    pub fn has_priorities(&self) -> bool {
        match &self.system {
            System::Posix(queue) => queue.has_priorities,
            System::Sysv(queue) => queue.has_priorities,
        }
    }

    /// Bytes of the longest message.
    pub fn max_message_len(&self) -> usize {
        let attempt = Attempt {
            action: "inspect",
            address: &self.address,
        };
        match &self.system {
            System::Posix(queue) => queue.frame_len.saturating_sub(HEADER_LEN),
            // 0 once it is removed.
            System::Sysv(queue) => queue.max_message_len(attempt).unwrap_or(0),
        }
    }

    /// The permission bits that it had when it was opened.
    pub(crate) fn mode(&self) -> u32 {
        match &self.system {
            System::Posix(queue) => queue.mode,
            System::Sysv(queue) => queue.mode,
        }
    }

    /// For how many messages, and of how many bytes, it was made. `None` of one that is just being made, or whose maker
    /// died over that.
    pub(crate) fn made_for(&self) -> Option<(u64, usize)> {
        match &self.system {
            System::Posix(queue) => {
                Some((queue.messages, queue.frame_len.saturating_sub(HEADER_LEN)))
            }
            System::Sysv(queue) => queue.made_for(),
        }
    }

    /// Most messages, where the kernel counts them (POSIX).
    pub fn max_messages(&self) -> Option<u64> {
        match &self.system {
            System::Posix(queue) => Some(queue.messages),
            System::Sysv(_) => None,
        }
    }
}
