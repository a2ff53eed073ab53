//! POSIX message queues of other programs: messages without a frame, and without anybody's life or end.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::stat::fstat;
use nix::sys::time::TimeSpec;
use ringway::os::mq_overview as kernel;
use ringway::{Address, Error, ErrorKind, mq, os};

use crate::cli::PlaceArgs;
use crate::failure::Failure;

/// How often to look whether a queue has appeared.
const LOOK: Duration = Duration::from_millis(5);

/// In which direction messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// A queue that is open. Nothing waits in it but [`wait`](Self::wait).
pub(crate) struct ForeignQueue {
    address: Address,
    queue: OwnedFd,
    max_len: usize,
}

impl ForeignQueue {
    /// Opens the queue, after it has appeared.
    pub(crate) fn open(args: &PlaceArgs, direction: Direction) -> Result<Self, Failure> {
        let address = &args.address;
        let Address::Mq(name) = address else {
            return Err(Failure::error(format_args!(
                "{address} is no POSIX message queue: --foreign is for mq:/NAME"
            )));
        };
        let path = CString::new(format!("/{name}")).map_err(Failure::error)?;
        let deadline = args.how.wait.map(|wait| Instant::now().checked_add(wait));
        let queue = loop {
            let opened = match direction {
                Direction::In => kernel::open_to_receive(&path),
                Direction::Out => kernel::open_to_send(&path),
            };
            match (opened, deadline) {
                (Err(Errno::ENOENT), None) => {
                    return Err(
                        problem(address, ErrorKind::NotFound, "there is no such queue")
                            .remedy("wait for it with --wait 5s")
                            .into(),
                    );
                }
                (Err(Errno::ENOENT), Some(Some(deadline))) if Instant::now() >= deadline => {
                    return Err(problem(address, ErrorKind::TimedOut, "it did not appear").into());
                }
                (Err(Errno::ENOENT), Some(_)) => std::thread::sleep(LOOK),
                (opened, _) => break opened.map_err(|errno| broken(address, "open", errno))?,
            }
        };
        let inspected = |errno| broken(address, "inspect", errno);
        let owner = fstat(&queue).map_err(inspected)?.st_uid;
        if !args.how.any_owner && !os::is_trusted(owner) {
            return Err(Failure::error(
                problem(
                    address,
                    ErrorKind::ForeignOwner,
                    format!("it belongs to user {owner}"),
                )
                .remedy("if that user is to be trusted, add --any-owner"),
            ));
        }
        // It may have been made by ringway without a mark, and nobody use it: then nothing is known of it.
        if mq::stat(address).is_ok() {
            return Err(Failure::error(format_args!(
                "{address} is a queue of ringway's, whose messages have frames: leave out --foreign"
            )));
        }
        let attributes = kernel::attributes(queue.as_fd()).map_err(inspected)?;
        Ok(Self {
            address: address.clone(),
            queue,
            max_len: usize::try_from(attributes.max_len).unwrap_or(0),
        })
    }

    /// Bytes of the longest message.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// Puts a message in, if there is room.
    pub(crate) fn try_send(&self, message: &[u8]) -> Result<bool, Failure> {
        loop {
            match kernel::send_message(self.queue.as_fd(), message, 0) {
                Ok(()) => return Ok(true),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(broken(&self.address, "send to", errno)),
            }
        }
    }

    /// Takes the next message, if there is one, and returns its length. `buffer` has room for the longest one.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
        loop {
            match kernel::receive_message(self.queue.as_fd(), buffer) {
                Ok((len, _)) => return Ok(Some(len)),
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(broken(&self.address, "receive from", errno)),
            }
        }
    }

    /// Waits until there is a message, or room for one; until the deadline, or a signal. Whether the time is over.
    pub(crate) fn wait(&self, direction: Direction, deadline: Option<Instant>) -> bool {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return true;
        }
        let flags = match direction {
            Direction::In => PollFlags::POLLIN,
            Direction::Out => PollFlags::POLLOUT,
        };
        // Whatever it says, the caller looks.
        let _ = ppoll(
            &mut [PollFd::new(self.queue.as_fd(), flags)],
            left.map(TimeSpec::from),
            None,
        );
        false
    }
}

fn problem(address: &Address, kind: ErrorKind, problem: impl Into<String>) -> Error {
    Error::new(kind, "open", address, problem)
}

fn broken(address: &Address, action: &'static str, errno: Errno) -> Failure {
    let kind = match errno {
        Errno::EACCES | Errno::EPERM => ErrorKind::PermissionDenied,
        _ => ErrorKind::Os,
    };
    Failure::error(Error::new(kind, action, address, "the kernel refuses").with_errno(errno as i32))
}
