//! POSIX (`mq:/NAME`) and System V (`sysvmq:KEY`) message queues as transports of ringway.
//!
//! ```
//! # mod ringway { pub use ringway_core::*; pub use ringway_mq as mq; }
//! use ringway::RecvError;
//! use ringway::mq::QueueBuilder;
//!
//! # let address = format!("mq:/ringway-doc-{}", std::process::id());
//! let queue = QueueBuilder::new(&address)?.messages(4).message_len(100).create()?;
//! let mut sender = queue.sender()?;
//! let mut receiver = queue.receiver()?;
//!
//! sender.send(b"hello")?;
//! sender.send_with_priority(b"urgent", 5)?;
//! sender.close();
//!
//! assert_eq!(receiver.recv()?, b"urgent");
//! assert_eq!(receiver.recv()?, b"hello");
//! assert_eq!(receiver.recv(), Err(RecvError::Closed));
//! ringway::mq::remove(queue.address(), true)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Many send, one receives, as with a ring of kind mpsc; but each message is copied into the kernel and out of it, by one
//! system call each. Choose a queue for priorities, for a descriptor that epoll knows, for peers between which no
//! memory is to be shared, or where there is no shared memory.
//!
//! # How queues differ from rings, and from each other
//!
//! | | ring (mpsc) | `mq:` | `sysvmq:` |
//! |---|---|---|---|
//! | longest message | half of the ring | `fs.mqueue.msgsize_max` - 16, 8176 bytes | `kernel.msgmax` - 16, 8176 bytes |
//! | longer ones | | in pieces, by chunking | in pieces, by chunking |
//! | room | any | `fs.mqueue.msg_max`, 10 messages; of a user `ulimit -q`, 819200 bytes | `kernel.msgmnb`, 16384 bytes |
//! | priorities | no | 0 to 31, unless [`made without`](QueueBuilder::priorities) | the same; it is faster without |
//! | a message is received | when it is released; a receiver that dies or leaves before that gives it back | when it is taken from the queue: one that is given back is that receiver's next one, and lost with it | the same |
//! | a sender is told `Closed` | by its next send | when there is no room | when there is no room |
//! | ... and `PeerDied` | when there is no room | when there is no room | when there is no room |
//! | `Closed` of senders | is kept in the ring | is known to the receiver that was attached then or got the farewell | is kept beside the queue |
//! | `Closed` of a receiver that belongs to another user than the queue | the same | senders are told `PeerDied` | the same |
//! | closing, when there is no room | at once | waits for room while a receiver is attached elsewhere | at once |
//! | `chmod` with a number (`chmod 660`; `chmod g+rw` keeps what is there) | no difference | takes ringway's mark: the queue is known while somebody is attached, and then not without `chmod +t` | the semaphore set knows it |
//! | who lives, of more than so many senders | each | 1024, and more are refused | 64; of the others it is not known which one died |
//! | a sender that died before it sent anything | `PeerDied` | `PeerDied` if the receiver looked meanwhile; else as if it had not been | `PeerDied` |
//! | removal under those attached | they go on | they go on | `Closed` for all |
//! | attaching to what was removed since it was opened | goes on | [`NotFound`](ringway_core::ErrorKind::NotFound) | `NotFound` |
//! | a death that [`Gc`] can prove | any | the receiver's | any |
//! | pollable | sync `mqueue` | [`QueueReceiver::descriptor`] | no |
//! | hidden threads | a keeper for each handle | one for each receiver | one for each receiver |
//! | costs beside the queue | | four descriptors for each sender, six for the receiver, and an inotify instance for each (`fs.inotify.max_user_instances`, 128) | a semaphore set |
//! | a child of `fork` | is nobody | `Forked`; but until it calls exec or ends, its parent seems alive | `Forked` |
//! | exec in a process that is attached | it is dead | it is dead | it lives until it ends |
//! | who may attach | read and write permission | read and write permission | read and write permission |
//!
//! A sender that finds no room tries again for some twenty microseconds, and then sleeps in the kernel; a receiver
//! sleeps at once.
//!
//! # Parts
//!
//! [`QueueBuilder`] makes or opens a [`Queue`], which gives [`QueueSender`]s and a [`QueueReceiver`]. [`list`], [`stat`],
//! [`remove`] and [`Gc`] look after queues from outside.

mod attempt;
mod builder;
pub mod frame;
mod gc;
mod judge;
mod limits;
mod lull;
mod options;
mod posix;
mod queue;
mod receiver;
mod sender;
mod side;
mod stat;
mod status;
mod sysv;
#[cfg(any(test, feature = "verify"))]
#[doc(hidden)]
pub mod verify;
mod watcher;

pub use builder::QueueBuilder;
pub use gc::Gc;
pub use options::MAX_PRIORITY;
pub use queue::Queue;
pub use receiver::{QueueMessage, QueueReceiver};
pub use sender::QueueSender;
pub use stat::{list, remove, stat};
pub use status::QueueStat;
