//! From a ring or a queue. What comes from a ring is acknowledged when it is written, and not before.

use std::time::Instant;

use ringway::channel::ChannelReceiver;
use ringway::mq::QueueReceiver;
use ringway::{Channel, Receiver, RecvError};

use super::sink::Sink;
use super::{BLOCK, Stop};
use crate::cli::IntakeArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::recv;
use crate::say::say;
use crate::signals::Busy;
use crate::units::counted;

/// Passes on what comes until the end.
pub(super) fn pump(
    receiver: &mut ChannelReceiver,
    channel: &Channel,
    args: &IntakeArgs,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<(), Stop> {
    match receiver {
        ChannelReceiver::Ring(ring) => pump_ring(ring, args, sink, progress),
        ChannelReceiver::Queue(queue) => pump_queue(queue, channel, sink, progress),
        _ => Err(Stop::Failed(Failure::error(
            "this is neither a ring nor a queue",
        ))),
    }
}

fn failed(error: RecvError) -> Stop {
    Stop::Failed(recv::explain(error))
}

fn pump_ring(
    ring: &mut Receiver,
    args: &IntakeArgs,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<(), Stop> {
    let mut copy = Vec::new();
    loop {
        // Before the wait: who joins after it may have left something.
        let ever = ring.producers_ever();
        match ring.wait() {
            Ok(()) => pass_on(ring, &mut copy, sink, progress)?,
            Err(RecvError::Lagged { missed }) => recv::say_missed(missed),
            Err(end @ (RecvError::Closed | RecvError::PeerDied))
                if args.expects_another(end, ever) =>
            {
                let next: Option<Instant> = None;
                ring.wait_for_producers_deadline(ever + 1, next)
                    .map_err(failed)?;
            }
            Err(RecvError::Closed) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Writes what is there now, then releases what is written.
fn pass_on(
    ring: &mut Receiver,
    copy: &mut Vec<u8>,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<(), Stop> {
    // What is out and not released yet would come again.
    let busy = Busy::begin();
    let before = sink.written();
    let mut backlog = ring.backlog();
    let (mut bytes, mut stop) = (0, Ok(()));
    while bytes < BLOCK {
        match backlog.next_message() {
            Ok(Some(message)) => {
                copy.resize(message.len(), 0);
                message.read_at(0, copy);
            }
            // What that means is found by the next wait.
            Ok(None) | Err(RecvError::Empty | RecvError::Closed | RecvError::PeerDied) => break,
            Err(RecvError::Lagged { missed }) => {
                recv::say_missed(missed);
                break;
            }
            // An error shows again, when what came before it is out.
            Err(_) if bytes > 0 => break,
            Err(error) => {
                stop = Err(failed(error));
                break;
            }
        }
        bytes += copy.len().max(1);
        stop = sink.put(copy);
        if stop.is_err() {
            break;
        }
    }
    let stop = stop.and_then(|()| sink.flush());
    sink.forget();
    let count = sink.written() - before;
    backlog.release_first(count);
    progress.add(count, bytes);
    busy.end_if_urged();
    stop
}

/// What is taken out of a queue cannot be put back: busy also while it waits.
fn pump_queue(
    queue: &mut QueueReceiver,
    channel: &Channel,
    sink: &mut Sink,
    progress: &mut Progress,
) -> Result<(), Stop> {
    let busy = Busy::begin();
    loop {
        let (before, mut taken, mut bytes) = (sink.written(), 0, 0);
        let mut passed = Ok(());
        let end = loop {
            let message = match taken {
                0 => queue.recv_in_place(),
                _ => queue.try_recv_in_place(),
            };
            match message {
                Ok(message) => {
                    passed = sink.put(message.bytes());
                    bytes += message.bytes().len();
                    taken += 1;
                    message.release();
                }
                Err(RecvError::Empty) => break None,
                Err(error) => break Some(error),
            }
            if passed.is_err() || bytes >= BLOCK {
                break None;
            }
        };
        let passed = passed.and_then(|()| sink.flush());
        let written = sink.written() - before;
        progress.add(written, bytes);
        if written < taken {
            say(format_args!(
                "{} that were taken out of the queue are not written, and lost",
                counted(taken - written, "message")
            ));
        }
        busy.end_if_urged();
        passed?;
        match end {
            // It shows again when it is waited for.
            Some(_) if taken > 0 => {}
            Some(RecvError::Closed) => {
                return recv::refuse_removal(channel).map_err(Stop::Failed);
            }
            Some(error) => return Err(failed(error)),
            None => {}
        }
    }
}
