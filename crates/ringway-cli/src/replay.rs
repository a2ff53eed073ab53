//! `ringway replay`: from a log into a ring or a queue, or to standard output.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ringway::broadcast::Start;
use ringway::channel::ChannelSender;
use ringway::log::{self as logs, ReadError, Subscription};
use ringway::{Address, Channel, SendError};

use crate::attach;
use crate::cli::subscription::{From, start_of_log};
use crate::cli::{ReplayArgs, Speed, Target};
use crate::failure::Failure;
use crate::log;
use crate::output;
use crate::progress::Progress;
use crate::say::say;
use crate::signals;
use crate::units::counted;

/// Bytes that are gathered before they are written.
const BLOCK: usize = 256 << 10;

/// Replays what the log holds now.
pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let mut progress = Progress::new("replayed", args.quiet, &io::stdout());
    let ending = progress.clone();
    signals::take_over(move || ending.end())?;
    let outcome = replay(args, &mut progress);
    match &outcome {
        Err(failure) if failure.is_of_reader() => progress.clear(),
        _ => progress.end(),
    }
    outcome
}

/// Where it ends.
#[derive(Clone, Copy)]
enum End {
    Number(u64),
    Time(SystemTime),
}

fn replay(args: &ReplayArgs, progress: &mut Progress) -> Result<(), Failure> {
    let end = match args.to {
        None => None,
        Some(From::Start(Start::Number(number))) => Some(End::Number(number)),
        Some(From::Time(time)) => Some(End::Time(time)),
        Some(_) => {
            return Err(Failure::error(
                "choose --to number:K, time:T or ago:DURATION",
            ));
        }
    };
    let log = logs::Builder::at(&args.log)?.open().map_err(log::advise)?;
    let subscription = Subscription::new()
        .start(start_of_log(args.from))
        .synced_only(args.read.synced);
    let mut reader = log.subscribe(&subscription).map_err(log::advise)?;
    let mut sink = Sink::open(args)?;
    progress.begin();
    let mut clock = Clock::new(args.speed);
    let outcome = loop {
        let message = match reader.try_recv_in_place() {
            Ok(message) => message,
            Err(ReadError::Empty | ReadError::Closed | ReadError::PeerDied) => break Ok(()),
            Err(ReadError::Lagged { missed }) => {
                let missed = counted(missed, "message");
                say(format_args!("{missed} of the log are gone"));
                continue;
            }
            Err(ReadError::Corrupt { .. }) if args.read.skip_damaged => {
                reader.skip_damaged().map_err(log::explain_read)?;
                continue;
            }
            Err(error) => break Err(log::explain_read(error)),
        };
        let is_behind = match end {
            Some(End::Number(number)) => message.number() >= number,
            Some(End::Time(time)) => message.time() >= time,
            None => false,
        };
        if is_behind {
            break Ok(());
        }
        if let Some(left) = clock.left(message.time()) {
            sink.flush()?;
            thread::sleep(left);
        }
        sink.send(&message)?;
        progress.add(1, message.len());
    };
    sink.close(outcome)
}

/// When the next message is due.
struct Clock {
    speed: Speed,
    /// The first message's time, and when it was sent.
    began: Option<(SystemTime, Instant)>,
}

impl Clock {
    fn new(speed: Speed) -> Self {
        Self { speed, began: None }
    }

    /// How long to wait for the message of that time.
    fn left(&mut self, time: SystemTime) -> Option<Duration> {
        let Speed::Times(times) = self.speed else {
            return None;
        };
        let (first, began) = *self.began.get_or_insert_with(|| (time, Instant::now()));
        let apart = time.duration_since(first).unwrap_or_default();
        let apart = Duration::try_from_secs_f64(apart.as_secs_f64() / times).ok()?;
        let left = apart.saturating_sub(began.elapsed());
        (!left.is_zero()).then_some(left)
    }
}

/// Where messages go.
enum Sink {
    Output { file: File, bytes: Vec<u8> },
    Channel(Box<ChannelSender>),
}

impl Sink {
    fn open(args: &ReplayArgs) -> Result<Self, Failure> {
        let address = match &args.target {
            Target::Output => {
                return Ok(Self::Output {
                    file: output::data()?,
                    bytes: Vec::new(),
                });
            }
            Target::Address(address @ Address::Log(_)) => {
                return Err(Failure::error(format_args!(
                    "{address} is a log: pipe it there (ringway replay ... - | ringway send {address})"
                )));
            }
            Target::Address(address) => address,
        };
        let builder = attach::at(address)?;
        let channel = match args.create {
            true => Channel::open_or_create(builder),
            false => Channel::open(builder),
        }?;
        Ok(Self::Channel(Box::new(channel.sender()?)))
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Output { bytes, .. } => {
                bytes.extend_from_slice(message);
                bytes.push(b'\n');
                match bytes.len() < BLOCK {
                    true => Ok(()),
                    false => self.flush(),
                }
            }
            Self::Channel(sender) => sender.send(message).map_err(|error| match error {
                SendError::Closed | SendError::PeerDied | SendError::Removed => {
                    Failure::negative(error)
                }
                _ => Failure::error(error),
            }),
        }
    }

    /// Writes what was gathered.
    fn flush(&mut self) -> Result<(), Failure> {
        if let Self::Output { file, bytes } = self {
            output::write_all(file, bytes).map_err(|(_, error)| Failure::output(error))?;
            bytes.clear();
        }
        Ok(())
    }

    /// All is sent. If something went wrong, the receiver shall learn that it is not complete.
    fn close(mut self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let flushed = self.flush();
        if let Self::Channel(sender) = self {
            match &outcome {
                Ok(()) => sender.close(),
                // Held until this process ends, which is at once: that is a death to the receiver.
                Err(_) => std::mem::forget(sender),
            }
        }
        outcome.and(flushed)
    }
}
