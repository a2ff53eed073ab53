//! `ringway join`: messages from one place to another, in one direction, whatever carries them on either side.
//!
//! A join takes as much as it can write: what is not taken waits where it is, and holds up whoever sends it, as far as that side can be held up.
//! Between taking and writing, a block lies in its memory.
//!
//! | from | is taken from there | a join that is killed |
//! |---|---|---|
//! | a ring | when it is written: released in its turn | repeats what it had written and not released |
//! | a log | never; a named cursor passes it when it is written | repeats what it had written and the cursor had not passed; without a name, begins as it is told |
//! | a queue, a pipe, a socket, standard input | when it is read | loses the block that it had read and not written |
//! | `tail:` | never | begins anew, or at the end, as it is told |
//!
//! | to | is written | the other side is killed, or the connection is lost |
//! |---|---|---|
//! | a ring, a queue | when it is sent | nothing is lost; what waits for room waits for the next receiver (`--follow`) |
//! | a log | when it is appended, and as durable as it is told | |
//! | a named pipe | when it is in the pipe, which has room for a block if a block is read anyway | what nobody has read stays there for the next reader, as long as this process lives |
//! | a socket with connections | when the kernel has it | what lay in the two kernels' buffers is lost; the message that was not whole is written again |
//! | a socket without connections | when it is sent | what the receiver had not received is lost |
//! | standard output | when it is written | the join ends |
//!
//! What a signal finds: *idle* while nothing is in hand, *busy* from the moment when something was read until it is written (`signals.rs`). A
//! `Stop` ends all waits in between.

mod channel;
mod cut;
mod log;
mod sink;
mod socket;
mod source;
mod tail;
mod target;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use ringway::Address;
use ringway::channel::ChannelReceiver;

use self::log::Inlet;
use self::sink::{ChannelSink, LogSink, PacketSink, Sink, StreamSink};
use self::socket::{Attempts, Names};
use self::source::{Inputs, Kind, Origin};
use self::tail::Tail;
use self::target::Target;
use crate::attach::{self, Opened};
use crate::cli::JoinArgs;
use crate::descriptors;
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::framing::Framing;
use crate::output;
use crate::progress::Progress;
use crate::recv;
use crate::signals::{self, Busy};

/// Bytes that are read, or gathered, before they are written.
const BLOCK: usize = 256 << 10;

/// The longest message between streams of bytes: it is gathered in memory.
const LONGEST: usize = 64 << 20;

/// Why it does not go on.
enum Stop {
    /// This process is told to end.
    Urged,
    Failed(Failure),
}

fn broken(error: io::Error) -> Stop {
    Stop::Failed(Failure::error(error))
}

/// Passes on what comes until the end.
pub(crate) fn run(args: &JoinArgs) -> Result<(), Failure> {
    let framing = framing(args)?;
    let mut progress = Progress::new("passed on", args.how.quiet, &io::stdin());
    let (ending, names) = (progress.clone(), Names::default());
    let ending_names = names.clone();
    signals::take_over(move || {
        ending_names.remove();
        ending.end();
    })?;
    let outcome = join(args, framing, &names, &mut progress);
    names.remove();
    match &outcome {
        Err(failure) if failure.is_of_reader() => progress.clear(),
        _ => progress.end(),
    }
    outcome
}

/// What a message is in the streams of bytes, where there are any.
fn framing(args: &JoinArgs) -> Result<Framing, Failure> {
    let has_bytes = !args.from.has_packets() || !args.to.has_packets();
    match args.framing {
        Some(framing) if framing.is_of_bytes() == has_bytes => Ok(framing.of_bytes()),
        None => Ok(Framing::LINES),
        Some(_) if has_bytes => Err(Failure::error(format_args!(
            "{} and {} are not both made of datagrams: say --framing lines, frames or raw",
            args.from, args.to
        ))),
        Some(_) => Err(Failure::error(format_args!(
            "{} and {} keep messages apart by themselves: leave out --framing",
            args.from, args.to
        ))),
    }
}

/// A ring or a queue at one end.
fn open(args: &JoinArgs, endpoint: &Endpoint) -> Result<Option<Opened>, Failure> {
    match endpoint {
        Endpoint::Channel(Address::Log(_)) => Ok(None),
        Endpoint::Channel(address) => attach::open(address, &args.how).map(Some),
        _ => Ok(None),
    }
}

fn join(
    args: &JoinArgs,
    framing: Framing,
    names: &Names,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if matches!(args.to, Endpoint::Tail { .. }) {
        return Err(Failure::error("tail: is only for FROM"));
    }
    refuse_of_log(args)?;
    let mut from = open(args, &args.from)?;
    let mut to = match open(args, &args.to) {
        Ok(to) => to,
        Err(failure) => return settle(&from, Err(failure)),
    };
    let prepared = sink(args, framing, to.as_ref(), names).and_then(|sink| {
        let max = max(args, to.as_ref());
        let source = source(args, framing, max, from.as_ref(), names)?;
        Ok((sink, source))
    });
    let (mut sink, mut source) = settle(&to, settle(&from, prepared))?;
    if let Source::Inputs(_) = source {
        sink.widen();
    }
    for opened in [&mut from, &mut to].into_iter().flatten() {
        opened.channel.attach_no_more();
    }
    progress.begin();
    let busy = Busy::begin();
    let begun = sink.begin();
    busy.end_if_urged();
    drop(busy);
    let outcome = begun.and_then(|()| source.pump(args, from.as_ref(), &mut sink, progress));
    match outcome {
        Ok(()) => sink.end(),
        Err(Stop::Failed(failure)) => {
            sink.fail();
            // As `recv` does: the sender shall learn that something went wrong.
            if failure.is_error() {
                std::mem::forget(source);
            }
            Err(failure)
        }
        Err(Stop::Urged) => {
            let busy = Busy::begin();
            loop {
                // Does not return when the thread that ends the process has seen that this one is busy.
                busy.end_if_urged();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
}

/// Refuses what only a log has, where there is none.
fn refuse_of_log(args: &JoinArgs) -> Result<(), Failure> {
    let is_log = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Channel(address) if crate::log::is_log(address));
    if !is_log(&args.to) {
        args.log.refuse_at(&args.to)?;
    }
    if !is_log(&args.from) {
        args.read_log.refuse_at(&args.from)?;
    }
    Ok(())
}

/// Removes what was made if all has failed before it began.
fn settle<T>(opened: &Option<Opened>, outcome: Result<T, Failure>) -> Result<T, Failure> {
    match opened {
        Some(opened) => opened.settle(outcome),
        None => outcome,
    }
}

/// The longest message that can be written.
fn max(args: &JoinArgs, to: Option<&Opened>) -> usize {
    let max = to.map(|to| to.channel.max_message_len());
    let max = max.map_or(LONGEST, |max| usize::try_from(max).unwrap_or(LONGEST));
    match &args.to {
        Endpoint::Socket(socket) if socket.kind.has_packets() => max.min(32 << 10),
        _ => max,
    }
}

fn sink(
    args: &JoinArgs,
    framing: Framing,
    to: Option<&Opened>,
    names: &Names,
) -> Result<Sink, Failure> {
    let is_quiet = args.how.quiet;
    let target = match &args.to {
        Endpoint::Channel(address @ Address::Log(_)) => {
            let writer = crate::log::open_to_write(address, &args.how, &args.log)?;
            return Ok(Sink::Log(Box::new(LogSink::new(writer))));
        }
        Endpoint::Channel(_) | Endpoint::Tail { .. } => {
            let opened = to.ok_or_else(|| Failure::error("this is neither a ring nor a queue"))?;
            let sender = opened.channel.sender()?;
            return Ok(Sink::Channel(Box::new(ChannelSink::new(
                sender,
                args.follow,
            ))));
        }
        Endpoint::Standard => Target::Standard(output::data()?),
        Endpoint::Fifo(path) => {
            target::check_fifo(path)?;
            Target::Fifo {
                path: path.clone(),
                file: None,
                is_wide: false,
                is_quiet,
            }
        }
        Endpoint::Socket(socket) if socket.listen => Target::Listen {
            listener: socket.listen(names).map_err(|error| {
                Failure::error(format_args!("cannot listen at {socket}: {error}"))
            })?,
            clients: Vec::new(),
            turn: 0,
            is_quiet,
        },
        Endpoint::Socket(socket) => Target::Connect {
            socket: socket.clone(),
            attempts: Attempts::new(args.timeout, is_quiet),
            file: None,
            is_quiet,
        },
    };
    Ok(match &args.to {
        Endpoint::Socket(socket) if socket.kind.has_packets() => {
            Sink::Packets(PacketSink::new(target, socket.kind.is_connected()))
        }
        _ => Sink::Stream(StreamSink::new(target, framing)),
    })
}

/// Where messages come from.
enum Source {
    Channel(Box<ChannelReceiver>),
    Log(Box<Inlet>),
    Inputs(Inputs),
    Tail(Tail),
}

fn source(
    args: &JoinArgs,
    framing: Framing,
    max: usize,
    from: Option<&Opened>,
    names: &Names,
) -> Result<Source, Failure> {
    let inputs = |origin, kind| Inputs::new(origin, kind, max, args.follow, args.how.quiet);
    let bytes = Kind::Bytes(framing);
    Ok(match &args.from {
        Endpoint::Channel(address @ Address::Log(_)) => {
            Source::Log(Box::new(Inlet::open(address, args)?))
        }
        Endpoint::Channel(_) => {
            let opened =
                from.ok_or_else(|| Failure::error("this is neither a ring nor a queue"))?;
            let intake = args.intake();
            recv::check(&intake, &opened.channel)?;
            Source::Channel(Box::new(recv::attach(&intake, &opened.channel)?))
        }
        Endpoint::Tail { path, from_end } => {
            Source::Tail(Tail::open(path, *from_end, framing, max)?)
        }
        Endpoint::Standard => {
            descriptors::require_input()?;
            let stdin = io::stdin().as_fd().try_clone_to_owned();
            let mut inputs = inputs(Origin::Only, bytes);
            inputs.add(File::from(stdin.map_err(Failure::error)?));
            Source::Inputs(inputs)
        }
        Endpoint::Fifo(path) => {
            target::check_fifo(path)?;
            Source::Inputs(inputs(Origin::Fifo(path.clone()), bytes))
        }
        Endpoint::Socket(socket) => {
            let has_end = socket.kind.is_connected();
            let kind = match socket.kind.has_packets() {
                true => Kind::Packets { has_end },
                false => bytes,
            };
            let cannot = |error: io::Error| {
                Failure::error(format_args!("cannot listen at {socket}: {error}"))
            };
            Source::Inputs(if socket.listen {
                let listener = socket.listen(names).map_err(cannot)?;
                inputs(Origin::Listen(listener), kind)
            } else if has_end {
                let attempts = Attempts::new(args.timeout, args.how.quiet);
                inputs(Origin::Connect(socket.clone(), attempts), kind)
            } else {
                let mut inputs = inputs(Origin::Only, kind);
                inputs.add(socket.receive(names).map_err(cannot)?);
                inputs
            })
        }
    })
}

impl Source {
    fn pump(
        &mut self,
        args: &JoinArgs,
        from: Option<&Opened>,
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        match (self, from) {
            (Self::Channel(receiver), Some(Opened { channel })) => {
                channel::pump(receiver, channel, &args.intake(), sink, progress)
            }
            (Self::Channel(_), None) => Ok(()),
            (Self::Log(inlet), _) => inlet.pump(sink, progress),
            (Self::Inputs(inputs), _) => inputs.pump(sink, progress),
            (Self::Tail(tail), _) => tail.pump(sink, progress),
        }
    }
}
