//! Where a test's queue lies. What lies there goes with the test, also with a failed one.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

use ringway::address::QueueKey;
use ringway::mq::{Queue, QueueBuilder, QueueReceiver, QueueSender};
use ringway::{Address, RecvError, SendError, WaitStrategy};

use super::two_processes::place::ROLE;
use super::two_processes::procfs::while_blocked;
use super::two_processes::{First, in_time};

/// A system of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Posix,
    Sysv,
    /// Without priorities, where the oldest message is received and not the most urgent.
    SysvInTurn,
}

impl System {
    pub const ALL: [Self; 3] = [Self::Posix, Self::Sysv, Self::SysvInTurn];

    /// A new queue, with room for a few messages of up to 112 bytes.
    pub fn queue(self) -> (Queue, Place) {
        let place = Place::new(self);
        let queue = place.builder().create().unwrap();
        (queue, place)
    }

    /// The ends of a new queue: one sender and the receiver.
    pub fn ends(self) -> (QueueSender, QueueReceiver, Place) {
        let (queue, place) = self.queue();
        (queue.sender().unwrap(), queue.receiver().unwrap(), place)
    }
}

/// An address that no other test uses. What is there goes when this is dropped. So a process that is killed cannot have
/// one.
pub struct Place {
    pub address: Address,
    priorities: bool,
}

impl Place {
    pub fn new(system: System) -> Self {
        assert!(
            std::env::var_os(ROLE).is_none(),
            "a process that may be killed cannot remove what it made"
        );
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let address = match system {
            System::Posix => Address::Mq(format!("ringway-test-{process}-{number}")),
            // Process ids have 22 bits.
            System::Sysv | System::SysvInTurn => {
                Address::Sysvmq(QueueKey::Key(process << 10 | number & 0x3ff))
            }
        };
        let priorities = system != System::SysvInTurn;
        Self {
            address,
            priorities,
        }
    }

    pub fn builder(&self) -> QueueBuilder {
        QueueBuilder::at(self.address.clone())
            .messages(4)
            .message_len(112)
            .priorities(self.priorities)
    }

    /// The name of a POSIX queue, for the kernel.
    pub fn name(&self) -> CString {
        let Address::Mq(name) = &self.address else {
            panic!("{} has no name", self.address);
        };
        CString::new(format!("/{name}")).unwrap()
    }

    /// The key of a System V queue.
    pub fn key(&self) -> i32 {
        let Address::Sysvmq(QueueKey::Key(key)) = self.address else {
            panic!("{} has no key", self.address);
        };
        key as i32
    }

    /// Queue and semaphore set of a System V queue, if they exist.
    pub fn ids(&self) -> (Option<i32>, Option<i32>) {
        // SAFETY: calls with numbers only.
        let ids = unsafe { (libc::msgget(self.key(), 0), libc::semget(self.key(), 0, 0)) };
        ((ids.0 >= 0).then_some(ids.0), (ids.1 >= 0).then_some(ids.1))
    }

    /// Whether something is here.
    pub fn is_taken(&self) -> bool {
        match &self.address {
            Address::Mq(_) => {
                // SAFETY: a C string and flags that ask for no more arguments.
                let queue = unsafe { libc::mq_open(self.name().as_ptr(), libc::O_RDONLY) };
                if queue >= 0 {
                    // SAFETY: just opened, and nobody else's.
                    unsafe { libc::close(queue) };
                }
                queue >= 0
            }
            _ => self.ids() != (None, None),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = ringway::mq::remove(&self.address, true);
        match &self.address {
            // SAFETY: a C string.
            Address::Mq(_) => unsafe {
                libc::mq_unlink(self.name().as_ptr());
            },
            _ => {
                let (queue, set) = self.ids();
                // SAFETY: IPC_RMID takes no memory of ours.
                unsafe {
                    queue.map(|id| libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()));
                    set.map(|id| libc::semctl(id, 0, libc::IPC_RMID));
                }
            }
        }
    }
}

/// The queue of a test, in a second process.
pub fn queue(first: &First) -> Queue {
    QueueBuilder::at(first.address().clone()).open().unwrap()
}

/// The same queue, opened once more.
pub fn again(queue: &Queue) -> Queue {
    QueueBuilder::at(queue.address().clone()).open().unwrap()
}

/// Sends until the queue is full; returns how many messages went in.
pub fn fill(sender: &mut QueueSender) -> u64 {
    for count in 0_u64.. {
        match sender.try_send(&count.to_le_bytes()) {
            Ok(()) => {}
            Err(SendError::Full) => return count,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

/// What a sender gets that sleeps before a full queue when `deed` is done.
pub fn send_during(sender: &mut QueueSender, deed: impl FnOnce() + Send) -> Result<(), SendError> {
    while_blocked(WaitStrategy::Park, deed, || {
        in_time(|deadline| sender.send_deadline(&[0; 8], deadline))
    })
}

/// What a receiver gets that sleeps before an empty queue when `deed` is done.
pub fn receive_during(
    receiver: &mut QueueReceiver,
    deed: impl FnOnce() + Send,
) -> Result<Vec<u8>, RecvError> {
    while_blocked(WaitStrategy::Park, deed, || {
        in_time(|deadline| receiver.recv_deadline(deadline))
    })
}

/// Receives all that is there; returns how many messages came.
pub fn drain(receiver: &mut QueueReceiver) -> u64 {
    std::iter::from_fn(|| receiver.try_recv().ok()).count() as u64
}
