//! Where a join writes.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::PollFlags;
use ringway::SendError;
use ringway::channel::ChannelSender;
use ringway::log::Writer;
use ringway::peer::Peer;

use super::Stop;
use super::cut::{Cutter, whole};
use super::socket::untaken;
use super::target::Target;
use crate::failure::Failure;
use crate::framing::Framing;
use crate::log;
use crate::output;
use crate::signals;

/// Messages of so many bytes are not gathered: to copy them costs more than a call.
const LONG: usize = 16 << 10;

/// How long to wait for room in a ring before looking whether to end.
const SLICE: Duration = Duration::from_millis(100);

/// Where messages go.
pub(super) enum Sink {
    Channel(Box<ChannelSink>),
    Log(Box<LogSink>),
    Stream(StreamSink),
    Packets(PacketSink),
}

impl Sink {
    /// Takes a message. It is out when [`written`](Self::written) says so, at the latest after [`flush`](Self::flush).
    pub(super) fn put(&mut self, message: &[u8]) -> Result<(), Stop> {
        match self {
            Self::Channel(sink) => sink.send(message),
            Self::Log(sink) => sink.append(message),
            Self::Stream(sink) => sink.put(message),
            Self::Packets(sink) => sink.send(message),
        }
    }

    /// Takes what came in a block, of which the first bytes were `laid` there by the cutter. Into a stream of bytes with the same framing messages go as they
    /// lie, and are not looked at one by one.
    pub(super) fn take(
        &mut self,
        cutter: &mut Cutter,
        laid: usize,
        block: &[u8],
    ) -> Result<(), Stop> {
        if laid > 0 {
            cutter.laid();
        }
        match self {
            Self::Stream(sink) if cutter.between() == Some(sink.framing) => {
                let (messages, count, rest) = cutter.split(block);
                sink.flush()?;
                sink.pass(messages, count).and(rest)
            }
            _ => cutter.feed(block, |message| self.put(message)),
        }
    }

    /// Writes what was put.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        match self {
            Self::Channel(_) | Self::Log(_) | Self::Packets(_) => Ok(()),
            Self::Stream(sink) => sink.flush(),
        }
    }

    /// Messages that are out, of all that were put.
    pub(super) fn written(&self) -> u64 {
        match self {
            Self::Channel(sink) => sink.written,
            Self::Log(sink) => sink.written,
            Self::Stream(sink) => sink.written,
            Self::Packets(sink) => sink.written,
        }
    }

    /// What was put and is not out is forgotten: its source has it still.
    pub(super) fn forget(&mut self) {
        if let Self::Stream(sink) = self {
            sink.bytes.clear();
            sink.ends.clear();
        }
    }

    /// A pipe that is written to gets room for a block, so that who reads it and this process wait less for one another. For sources of which a
    /// block is lost with this process anyway: what is in a pipe is lost with its last user.
    pub(super) fn widen(&mut self) {
        if let Self::Stream(sink) = self {
            sink.target.widen();
        }
    }

    /// Connects, where that is to be done.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        match self {
            Self::Channel(_) | Self::Log(_) => Ok(()),
            Self::Stream(sink) => sink.target.begin(),
            Self::Packets(sink) => sink.target.begin(),
        }
    }

    /// All is written: says so to the other side.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self {
            Self::Channel(sink) => sink.sender.close(),
            Self::Log(sink) => return sink.writer.close().map_err(log::explain_append),
            Self::Stream(sink) => sink.target.end(),
            Self::Packets(sink) => sink.target.end(),
        }
        Ok(())
    }

    /// Something went wrong: the other side shall not take this for the end of all.
    pub(super) fn fail(self) {
        // Held until this process ends, which is at once: that is a death to the receiver.
        match self {
            Self::Channel(sink) => std::mem::forget(sink.sender),
            Self::Log(sink) => std::mem::forget(sink.writer),
            Self::Stream(_) | Self::Packets(_) => {}
        }
    }
}

/// A ring or a queue.
pub(super) struct ChannelSink {
    sender: ChannelSender,
    /// Whether to wait for the next receiver when one has died or closed.
    follow: bool,
    died_before: bool,
    written: u64,
}

impl ChannelSink {
    pub(super) fn new(mut sender: ChannelSender, follow: bool) -> Self {
        Self {
            died_before: sender.peer() == Peer::Died,
            sender,
            follow,
            written: 0,
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Stop> {
        let mut sent = self.sender.try_send(message);
        loop {
            match sent {
                Ok(()) => break,
                Err(SendError::Full | SendError::TimedOut | SendError::Interrupted) => {}
                Err(error @ (SendError::PeerDied | SendError::Closed)) => self.survive(error)?,
                Err(error @ SendError::Removed) => return Err(failed(error)),
                Err(error) => return Err(Stop::Failed(Failure::error(error))),
            }
            if signals::is_urged() {
                return Err(Stop::Urged);
            }
            sent = self.sender.send_deadline(message, Instant::now() + SLICE);
        }
        self.written += 1;
        // While there is room, nothing else would tell.
        match &self.sender {
            ChannelSender::Ring(ring) if ring.peer() == Peer::Died && !self.died_before => {
                self.survive(SendError::PeerDied)
            }
            _ => Ok(()),
        }
    }

    /// The receivers are gone.
    fn survive(&mut self, error: SendError) -> Result<(), Stop> {
        if !self.follow && !self.died_before {
            return Err(failed(error));
        }
        self.died_before = true;
        if let Err(SendError::Removed) = self.sender.wait_for_peer_deadline(Instant::now() + SLICE)
        {
            return Err(failed(SendError::Removed));
        }
        Ok(())
    }
}

/// A log.
pub(super) struct LogSink {
    writer: Writer,
    written: u64,
}

impl LogSink {
    pub(super) fn new(writer: Writer) -> Self {
        Self { writer, written: 0 }
    }

    fn append(&mut self, message: &[u8]) -> Result<(), Stop> {
        let appended = self.writer.append(message);
        appended.map_err(|error| Stop::Failed(log::explain_append(error)))?;
        self.written += 1;
        Ok(())
    }
}

fn failed(error: SendError) -> Stop {
    Stop::Failed(Failure::negative(error))
}

/// A stream of bytes.
pub(super) struct StreamSink {
    target: Target,
    framing: Framing,
    /// Whether it is a connection, of which the peer may send no more. (Who writes to a pipe is told so by the write.)
    is_connection: bool,
    /// Messages in their frames, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    written: u64,
}

impl StreamSink {
    pub(super) fn new(target: Target, framing: Framing) -> Self {
        let is_connection = match &target {
            Target::Fifo { .. } => false,
            Target::Standard(file) => file.metadata().is_ok_and(|it| it.file_type().is_socket()),
            Target::Connect { .. } | Target::Listen { .. } => true,
        };
        Self {
            is_connection,
            target,
            framing,
            bytes: Vec::new(),
            ends: Vec::new(),
            written: 0,
        }
    }

    fn put(&mut self, message: &[u8]) -> Result<(), Stop> {
        if self.framing == Framing::Raw && message.len() >= LONG && self.ends.is_empty() {
            return self.pass(message, 1);
        }
        if self.framing == Framing::Frames {
            let len = u32::try_from(message.len()).map_err(|_| {
                let len = message.len();
                let what = format!("a message of {len} bytes is too long for a frame");
                Stop::Failed(Failure::error(what))
            })?;
            self.bytes.extend_from_slice(&len.to_le_bytes());
        }
        self.bytes.extend_from_slice(message);
        if let Framing::Delimited(end) = self.framing {
            self.bytes.push(end);
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Writes messages from where they are. Where a connection is lost, it goes on with the next one as [`flush`](Self::flush) does.
    fn pass(&mut self, mut messages: &[u8], mut count: u64) -> Result<(), Stop> {
        while !messages.is_empty() {
            let file = self.target.current()?;
            let (written, error) = match write(file, self.is_connection, messages) {
                Ok(()) => {
                    self.written += count;
                    return Ok(());
                }
                Err(broken_off) => broken_off,
            };
            // A raw block is one message, of which a part is none.
            if self.framing != Framing::Raw {
                let (len, whole) = whole(self.framing, &messages[..written]);
                messages = &messages[len..];
                count -= whole;
                self.written += whole;
            }
            if error.kind() == ErrorKind::Interrupted {
                return Err(Stop::Urged);
            }
            self.target.lost(error)?;
        }
        Ok(())
    }

    /// Writes all. Where a connection is lost, it goes on with the next one, from the beginning of the message that was not
    /// written to its end.
    fn flush(&mut self) -> Result<(), Stop> {
        let mut first = 0;
        while first < self.ends.len() {
            let start = first.checked_sub(1).map_or(0, |last| self.ends[last]);
            let file = self.target.current()?;
            let outcome = write(file, self.is_connection, &self.bytes[start..]);
            let written = match &outcome {
                Ok(()) => self.bytes.len(),
                Err((written, _)) => start + written,
            };
            let whole = self.ends.partition_point(|end| *end <= written);
            self.written += (whole - first) as u64;
            first = whole;
            match outcome {
                Ok(()) => {}
                Err((_, error)) if error.kind() == ErrorKind::Interrupted => {
                    return Err(Stop::Urged);
                }
                Err((_, error)) => self.target.lost(error)?,
            }
        }
        self.bytes.clear();
        self.ends.clear();
        Ok(())
    }
}

/// Writes. What a connection's peer that is known to send no more may not get counts as not written.
fn write(file: &File, is_connection: bool, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    if !is_connection {
        return output::write_all(file, bytes);
    }
    let gone = || (0, io::Error::from(ErrorKind::BrokenPipe));
    let events = look(file, libc::POLLRDHUP, 0);
    if events & GONE != 0 {
        return Err(gone());
    }
    output::write_all(file, bytes)?;
    if events & libc::POLLRDHUP == 0 {
        return Ok(());
    }
    // The peer has closed one direction, or all, which looks alike until its kernel has answered.
    loop {
        if look(file, 0, 1) & GONE != 0 {
            return Err(gone());
        }
        match untaken(file) {
            Some(1..) if signals::is_urged() => return Err((0, ErrorKind::Interrupted.into())),
            Some(1..) => {}
            _ => return Ok(()),
        }
    }
}

/// The other side has gone, one way or the other.
const GONE: libc::c_short = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;

/// Waits for that long at most, and tells what is so of a connection.
fn look(file: &File, what: libc::c_short, milliseconds: libc::c_int) -> libc::c_short {
    let mut polled = libc::pollfd {
        fd: file.as_raw_fd(),
        events: what,
        revents: 0,
    };
    // SAFETY: one pollfd, which lives as long as the call. (That of nix knows no POLLRDHUP.)
    match unsafe { libc::poll(&raw mut polled, 1, milliseconds) } {
        1.. => polled.revents,
        _ => 0,
    }
}

/// A socket that keeps messages apart.
pub(super) struct PacketSink {
    target: Target,
    has_end: bool,
    written: u64,
}

impl PacketSink {
    /// With connections, an empty message would be their end.
    pub(super) fn new(target: Target, has_end: bool) -> Self {
        Self {
            target,
            has_end,
            written: 0,
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Stop> {
        if message.is_empty() && self.has_end {
            let what =
                "an empty message cannot go through a unix-seqpacket: socket, where it is the end";
            return Err(Stop::Failed(Failure::error(what)));
        }
        loop {
            let mut file = self.target.current()?;
            match io::Write::write(&mut file, message) {
                Ok(_) => {
                    self.written += 1;
                    return Ok(());
                }
                Err(_) if signals::is_urged() => return Err(Stop::Urged),
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    let len = message.len();
                    return Err(Stop::Failed(Failure::error(format_args!(
                        "a message of {len} bytes is too long for one datagram"
                    ))));
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock => output::wait(file, PollFlags::POLLOUT),
                    _ => self.target.lost(error)?,
                },
            }
        }
    }
}
