//! `ringway record`: from a ring or a queue into a log.

use std::io;

use ringway::broadcast::Subscription;
use ringway::channel::{Carrier, ChannelReceiver};
use ringway::log::{Builder, Log, RecordError, Recorder};
use ringway::{Channel, Kind, Receiver, RecvError, Ring};

use crate::attach;
use crate::cli::RecordArgs;
use crate::failure::Failure;
use crate::log;
use crate::progress::Progress;
use crate::signals::{self, Busy};

/// Records until the senders close.
pub(crate) fn run(args: &RecordArgs) -> Result<(), Failure> {
    let mut progress = Progress::new("recorded", args.quiet, &io::stdin());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let outcome = record(args, &mut progress);
    progress.end();
    outcome
}

fn record(args: &RecordArgs, progress: &mut Progress) -> Result<(), Failure> {
    let mut builder = attach::at(&args.source)?;
    if let Some(wait) = args.wait {
        builder = builder.wait(wait);
    }
    let mut channel = Channel::open(builder)?;
    let log = args.write.apply(Builder::at(&args.log)?);
    let log = log.open_or_create().map_err(Failure::error)?;
    if let Carrier::Ring(ring) = channel.carrier() {
        let receiver = match ring.kind() {
            // Its place is kept by that name.
            Kind::Broadcast => ring.subscribe(&Subscription::new().name(&args.name))?,
            _ => ring.receiver()?,
        };
        let recorder = Recorder::new(&log, ring).map_err(log::advise)?;
        progress.begin();
        return of_ring(recorder, receiver, ring, args, progress);
    }
    let receiver = channel.receiver()?;
    channel.attach_no_more();
    progress.begin();
    of_queue(&log, receiver, args, progress)
}

fn of_ring(
    mut recorder: Recorder,
    mut receiver: Receiver,
    ring: &Ring,
    args: &RecordArgs,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let outcome = loop {
        let before = recorder.bytes();
        match recorder.record(&mut receiver) {
            Ok(count) => progress.add(count, (recorder.bytes() - before) as usize),
            Err(RecordError::Recv(RecvError::Closed | RecvError::PeerDied)) if args.follow => {
                receiver.wait_for_peer().map_err(Failure::error)?;
            }
            Err(RecordError::Recv(RecvError::Closed)) => break Ok(()),
            Err(RecordError::Recv(RecvError::PeerDied)) => {
                break Err(Failure::negative(
                    "a sender died before it closed; all that it sent is recorded (--follow waits for the next sender)",
                ));
            }
            Err(RecordError::Recv(error @ RecvError::Removed)) => {
                break Err(Failure::negative(error));
            }
            Err(RecordError::Append(error)) => break Err(log::explain_append(error)),
            Err(error) => break Err(Failure::error(format_args!("{}: {error}", ring.address()))),
        }
    };
    receiver.leave();
    outcome.and(recorder.close().map_err(log::explain_append))
}

/// What is taken out of a queue is gone: it is appended before anything else can happen.
fn of_queue(
    log: &Log,
    mut receiver: ChannelReceiver,
    args: &RecordArgs,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if let ChannelReceiver::Queue(queue) = receiver {
        let queue = queue.with_interrupt(signals::is_urged);
        receiver = ChannelReceiver::Queue(match args.follow {
            true => queue.with_follow(),
            false => queue,
        });
    }
    let mut writer = log.writer().map_err(log::advise)?;
    let busy = Busy::begin();
    let outcome = loop {
        busy.end_if_urged();
        match receiver.recv() {
            Ok(message) => {
                let len = message.len();
                writer.append(&message).map_err(log::explain_append)?;
                progress.add(1, len);
            }
            Err(RecvError::Closed) => break Ok(()),
            Err(RecvError::TimedOut) if signals::is_urged() => {}
            Err(error @ (RecvError::PeerDied | RecvError::Removed)) => {
                break Err(Failure::negative(error));
            }
            Err(error) => break Err(Failure::error(error)),
        }
    };
    outcome.and(writer.close().map_err(log::explain_append))
}
