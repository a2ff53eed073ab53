//! The other process of a bench: it sends, or answers, as it is told.
//!
//! Its standard input is a Unix socket: by it rings without a name are handed over, then come orders, one a line. Its
//! standard output is the memory of the raw rings.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use memmap2::MmapRaw;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use ringway::Channel;
use ringway::channel::{ChannelReceiver, ChannelSender};

use super::raw::{End, Shape};
use crate::attach;
use crate::cli::slabs::CopyArgs;
use crate::cli::{BenchWorkerArgs, Strategy};
use crate::cores;
use crate::failure::Failure;
use crate::transport::{answer, send_all};

/// The ends of one process: what it sends by and what it receives by.
pub(crate) struct Ends {
    pub(crate) ring: (ChannelSender, ChannelReceiver),
    pub(crate) raw: (End, End),
}

impl Ends {
    /// `there` leads from the process that gives the orders to the other; `is_first` is that process.
    pub(crate) fn new(
        channels: [&Channel; 2],
        raw: &File,
        size: usize,
        strategy: Strategy,
        copy: &CopyArgs,
        is_first: bool,
    ) -> Result<Self, Failure> {
        let [there, back] = channels;
        let (out, into) = if is_first {
            (there, back)
        } else {
            (back, there)
        };
        let (sender, receiver) = (out.sender()?, into.receiver()?);
        let wait = strategy.wait();
        let map = MmapRaw::map_raw(raw)
            .map(Arc::new)
            .map_err(Failure::error)?;
        let end = |index: usize| {
            End::new(&map, index, Shape::new(size), strategy == Strategy::Park)
                .ok_or_else(|| Failure::error("the raw memory is too short"))
        };
        let (out, into) = if is_first {
            (end(0)?, end(1)?)
        } else {
            (end(1)?, end(0)?)
        };
        Ok(Self {
            ring: (copy.apply(sender.with_wait(wait)), receiver.with_wait(wait)),
            raw: (out, into),
        })
    }
}

/// Does what it is told until nobody tells it anything.
pub(crate) fn run(args: &BenchWorkerArgs) -> Result<(), Failure> {
    // If the parent is gone, nobody wants the result.
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(Failure::error)?;
    if let Some(core) = args.core {
        cores::pin(core);
    }
    let own = |fd: io::Result<_>| fd.map_err(Failure::error);
    let mut socket = UnixStream::from(own(io::stdin().as_fd().try_clone_to_owned())?);
    let raw = File::from(own(io::stdout().as_fd().try_clone_to_owned())?);
    let channels = attach::open_all(&args.channels, &socket)?;
    let [there, back] = channels.as_slice() else {
        return Err(Failure::error("there are two addresses"));
    };
    let mut ends = Ends::new(
        [there, back],
        &raw,
        args.size,
        args.wait_strategy,
        &args.copy,
        false,
    )?;
    socket.write_all(b"\n").map_err(Failure::error)?;
    let mut message = vec![0; args.size];
    for order in BufReader::new(socket).lines() {
        let order = order.map_err(Failure::error)?;
        obey(&order, &mut ends, &mut message)?;
    }
    Ok(())
}

fn obey(order: &str, ends: &mut Ends, message: &mut [u8]) -> Result<(), Failure> {
    let unknown = || Failure::error(format_args!("the order {order:?} is unknown"));
    let words: Vec<&str> = order.split(' ').collect();
    let [via, work, count] = words[..] else {
        return Err(unknown());
    };
    let count: u64 = count.parse().map_err(|_| unknown())?;
    let Ends { ring, raw } = ends;
    match (via, work) {
        ("ring", "one-way") => send_all(&mut ring.0, count, message),
        ("raw", "one-way") => send_all(&mut raw.0, count, message),
        ("ring", "round-trip") => answer(&mut ring.0, &mut ring.1, count, message),
        ("raw", "round-trip") => answer(&mut raw.0, &mut raw.1, count, message),
        _ => Err(unknown()),
    }
}
