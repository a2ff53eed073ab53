//! Removing a queue that only the dead held.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::fstat;
use ringway_core::gc::Fate;
use ringway_core::os::mq_overview as mq;
use ringway_core::{Error, ErrorKind};

use super::life::{self, Everybody};
use super::{LOCKING, has_no_name, mark, open, queued_bytes, unlink};
use crate::attempt::Attempt;

use crate::judge::{Judge, State};
use crate::options::Options;

pub(crate) fn collect(
    attempt: Attempt<'_>,
    name: &str,
    judge: &Judge,
) -> Result<Option<Fate>, Error> {
    let any = Options {
        any_owner: true,
        ..Options::default()
    };
    let queue = open(attempt, name, &any)?.queue;
    let failed = |call| move |errno| attempt.os(call, "cannot inspect it", errno);
    let owner = fstat(&queue).map_err(failed("fstat"))?.st_uid;
    let close = || {
        attempt.check_is_ours(&[owner])?;
        Everybody::take(queue.as_fd())
            .map_err(|errno| attempt.os(LOCKING, "cannot take its locks", errno))
    };
    let remove = |_: &Everybody| remove(attempt, name, queue.as_fd());
    judge.run(
        || look(queue.as_fd()).map_err(failed("fcntl")),
        close,
        remove,
    )
}

/// Removes the name of the queue that was judged; whether it had it still.
fn remove(attempt: Attempt<'_>, name: &str, queue: BorrowedFd<'_>) -> Result<bool, Error> {
    // What has that name now is another queue.
    if has_no_name(queue) {
        return Ok(false);
    }
    match unlink(attempt, name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        result => result.map(|()| true),
    }
}

fn look(queue: BorrowedFd<'_>) -> Result<State, Errno> {
    // Before those who live: one that attaches has its place before its mark.
    let was_attached = mark::receiver(queue) == mark::Receiver::Attached;
    let (senders, has_receiver) = match life::is_gated(queue)? {
        true => (0, false),
        false => (life::senders(queue)?.len(), life::has_receiver(queue)?),
    };
    // Notices have no bytes.
    let messages = match queued_bytes(queue) {
        0 => 0,
        _ => mq::attributes(queue)?.messages.unsigned_abs(),
    };
    Ok(State {
        alive: senders as u32 + u32::from(has_receiver),
        // Nothing is kept of senders that died.
        dead: (was_attached && !has_receiver).then_some(1),
        messages,
    })
}

#[cfg(test)]
mod tests {
    use ringway_core::Address;

    use super::*;
    use crate::posix::create;

    #[test]
    fn only_the_queue_that_was_judged_loses_the_name() {
        let name = format!("ringway-test-collect-{}", std::process::id());
        let address = Address::Mq(name.clone());
        let attempt = Attempt {
            action: "collect",
            address: &address,
        };
        let options = Options {
            messages: Some(1),
            message_len: Some(1),
            ..Options::default()
        };
        let judged = create(attempt, &name, &options).unwrap();
        unlink(attempt, &name).unwrap();
        assert!(!remove(attempt, &name, judged.queue.as_fd()).unwrap());
        let next = create(attempt, &name, &options).unwrap();
        assert!(!remove(attempt, &name, judged.queue.as_fd()).unwrap());
        assert!(remove(attempt, &name, next.queue.as_fd()).unwrap());
        assert!(has_no_name(next.queue.as_fd()));
    }
}
