//! Where a join writes.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ringway::SendError;
use ringway::channel::ChannelSender;
use ringway::log::Writer;
use ringway::peer::Peer;

use super::cut::whole;
use super::socket::{Attempts, Listener, untaken};
use super::{BLOCK, Stop};
use crate::endpoint::Socket;
use crate::failure::Failure;
use crate::framing::Framing;
use crate::log;
use crate::output;
use crate::say::say;
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

    /// Whether messages lie there as they do in a stream of bytes with this framing, and so need not be taken out of it.
    pub(super) fn has_framing(&self, framing: Framing) -> bool {
        matches!(self, Self::Stream(sink) if sink.framing == framing)
    }

    /// Writes messages from where they are, in their frames, after what was put.
    pub(super) fn pass(&mut self, messages: &[u8], count: u64) -> Result<(), Stop> {
        self.flush()?;
        match self {
            Self::Stream(sink) => sink.pass(messages, count),
            Self::Channel(_) | Self::Log(_) | Self::Packets(_) => Ok(()),
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
        match self {
            Self::Stream(StreamSink {
                target: Target::Fifo { is_wide, .. },
                ..
            }) => *is_wide = true,
            Self::Stream(StreamSink {
                target: Target::Standard(file),
                ..
            }) => widen(file),
            _ => {}
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

/// Makes room for a block in a pipe that has less. What is no pipe stays as it is, and so does one for which the kernel allows no more.
fn widen(pipe: &File) {
    use nix::fcntl::{FcntlArg, fcntl};
    let room = BLOCK as libc::c_int;
    if fcntl(pipe, FcntlArg::F_GETPIPE_SZ).is_ok_and(|now| now < room) {
        let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(room));
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

/// What is written to.
pub(super) enum Target {
    Standard(File),
    Fifo {
        path: std::path::PathBuf,
        file: Option<File>,
        is_wide: bool,
        is_quiet: bool,
    },
    Connect {
        socket: Socket,
        attempts: Attempts,
        file: Option<File>,
        is_quiet: bool,
    },
    Listen {
        listener: Listener,
        clients: Vec<File>,
        turn: usize,
        is_quiet: bool,
    },
}

impl Target {
    /// Has a connection made early, where it is made from here.
    fn begin(&mut self) -> Result<(), Stop> {
        match self {
            Self::Connect { .. } => self.current().map(drop),
            Self::Fifo { path, .. } => check_fifo(path).map_err(Stop::Failed),
            Self::Standard(_) | Self::Listen { .. } => Ok(()),
        }
    }

    /// What to write to now.
    fn current(&mut self) -> Result<&File, Stop> {
        match self {
            Self::Standard(file) => Ok(file),
            Self::Fifo {
                path,
                file,
                is_wide,
                ..
            } => {
                let opened = match file.take() {
                    Some(file) => file,
                    None => open_fifo(path)?,
                };
                if std::mem::take(is_wide) {
                    widen(&opened);
                }
                Ok(file.insert(opened))
            }
            Self::Connect {
                socket,
                attempts,
                file,
                ..
            } => {
                let made = match file.take() {
                    Some(file) => file,
                    None => attempts.until(&*socket, || socket.connect())?,
                };
                Ok(file.insert(made))
            }
            Self::Listen {
                listener,
                clients,
                turn,
                ..
            } => {
                *turn = next_client(listener, clients, *turn + 1)?;
                Ok(&clients[*turn])
            }
        }
    }

    /// What was written to last does not take any more.
    fn lost(&mut self, error: io::Error) -> Result<(), Stop> {
        match self {
            Self::Standard(_) => Err(Stop::Failed(Failure::output(error))),
            Self::Fifo {
                path,
                file,
                is_quiet,
                ..
            } => {
                if !*is_quiet {
                    let path = path.display();
                    say(format_args!(
                        "nobody reads fifo:{path} any more: waiting for the next reader"
                    ));
                }
                // First the next one, which waits for a reader: as long as somebody has it open for writing, the kernel keeps what is in it.
                *file = Some(open_fifo(path)?);
                Ok(())
            }
            Self::Connect {
                socket,
                file,
                is_quiet,
                ..
            } => {
                *file = None;
                if !*is_quiet && socket.kind.is_connected() {
                    say(format_args!("the connection to {socket} is lost: {error}"));
                }
                Ok(())
            }
            Self::Listen {
                clients,
                turn,
                is_quiet,
                ..
            } => {
                clients.remove(*turn);
                if !*is_quiet {
                    say(format_args!("a client is gone: {error}"));
                }
                Ok(())
            }
        }
    }

    fn end(self) {
        match self {
            Self::Connect { file, .. } => file.into_iter().for_each(part),
            Self::Listen { clients, .. } => clients.into_iter().for_each(part),
            Self::Standard(_) | Self::Fifo { .. } => {}
        }
    }
}

/// Says that no more comes. What the peer has sent and nobody reads is read, as far as it is there: else the kernel would take back
/// what was written.
fn part(mut file: File) {
    let Ok(socket) = file.as_fd().try_clone_to_owned() else {
        return;
    };
    let socket = std::os::unix::net::UnixStream::from(socket);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let _ = socket.set_nonblocking(true);
    let mut block = [0; 4096];
    while file.read(&mut block).is_ok_and(|len| len > 0) {}
}

/// Fails unless a named pipe is there.
pub(super) fn check_fifo(path: &Path) -> Result<(), Failure> {
    let cannot = |what: &dyn std::fmt::Display| {
        Failure::error(format_args!("cannot use fifo:{}: {what}", path.display()))
    };
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_fifo() => Ok(()),
        Ok(_) => Err(cannot(&"it is no named pipe; mkfifo makes one")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(cannot(&"it is not there; mkfifo makes one"))
        }
        Err(error) => Err(cannot(&error)),
    }
}

/// Opens it for writing, when somebody reads it.
fn open_fifo(path: &Path) -> Result<File, Stop> {
    check_fifo(path).map_err(Stop::Failed)?;
    loop {
        // Not by `std`, which begins again after an interruption.
        let flags = nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_CLOEXEC;
        match nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty()) {
            Ok(fd) => return Ok(File::from(fd)),
            Err(nix::errno::Errno::EINTR) if signals::is_urged() => return Err(Stop::Urged),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => {
                let path = path.display();
                let what = format!("cannot open fifo:{path}: {errno}");
                return Err(Stop::Failed(Failure::error(what)));
            }
        }
    }
}

/// Opens a named pipe for reading, whether somebody writes it or not.
pub(super) fn open_to_read(path: &Path) -> Result<File, Failure> {
    check_fifo(path)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK);
    options.open(path).map_err(|error| {
        Failure::error(format_args!("cannot open fifo:{}: {error}", path.display()))
    })
}

/// The next client, from `turn` on, that takes something now; waits for one.
fn next_client(listener: &Listener, clients: &mut Vec<File>, turn: usize) -> Result<usize, Stop> {
    loop {
        while let Some(client) = listener.accept().map_err(super::broken)? {
            clients.push(client);
        }
        let mut polled: Vec<_> = clients
            .iter()
            .map(|client| PollFd::new(client.as_fd(), PollFlags::POLLOUT))
            .collect();
        polled.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) if signals::is_urged() => return Err(Stop::Urged),
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(super::broken(errno.into())),
        }
        let count = clients.len();
        let is_ready = |nth: &usize| polled[*nth].any().unwrap_or(false);
        let ready = (0..count).map(|step| (turn + step) % count).find(is_ready);
        if let Some(nth) = ready {
            return Ok(nth);
        }
    }
}
