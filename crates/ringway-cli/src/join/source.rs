//! Where a join reads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use super::cut::{Cutter, HEAD};
use super::sink::Sink;
use super::socket::{Attempts, Listener};
use super::target::open_to_read;
use super::{BLOCK, Stop, broken};
use crate::endpoint::Socket;
use crate::framing::Framing;
use crate::progress::Progress;
use crate::say::say;
use crate::signals::Busy;
use crate::units::counted;

/// The longest datagram that is received whole.
const LONGEST_DATAGRAM: usize = 1 << 20;

/// Where connections come from.
pub(super) enum Origin {
    /// This one, and no other.
    Only,
    Fifo(PathBuf),
    Connect(Socket, Attempts),
    Listen(Listener),
}

/// How bytes that were read become messages.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Bytes(Framing),
    /// Each read is one message. With connections, an empty one is the end.
    Packets {
        has_end: bool,
    },
}

/// One that sends.
struct Client {
    file: File,
    cutter: Cutter,
}

/// Inputs of bytes or packets, one or several.
pub(super) struct Inputs {
    origin: Origin,
    kind: Kind,
    /// The longest message.
    max: usize,
    clients: Vec<Client>,
    /// Whether anything has come. Who only connects may be one that looks whether somebody listens.
    has_come: bool,
    follow: bool,
    is_quiet: bool,
}

impl Inputs {
    pub(super) fn new(
        origin: Origin,
        kind: Kind,
        max: usize,
        follow: bool,
        is_quiet: bool,
    ) -> Self {
        Self {
            origin,
            kind,
            max,
            clients: Vec::new(),
            has_come: false,
            follow,
            is_quiet,
        }
    }

    pub(super) fn add(&mut self, file: File) {
        let framing = match self.kind {
            Kind::Bytes(framing) => framing,
            Kind::Packets { .. } => Framing::Raw,
        };
        let cutter = Cutter::new(framing, self.max);
        self.clients.push(Client { file, cutter });
    }

    /// Passes on what comes until the end.
    pub(super) fn pump(&mut self, sink: &mut Sink, progress: &mut Progress) -> Result<(), Stop> {
        let len = match self.kind {
            Kind::Bytes(_) => BLOCK,
            Kind::Packets { .. } => LONGEST_DATAGRAM,
        };
        let mut block = vec![0; HEAD + len];
        let mut ready = VecDeque::new();
        loop {
            if self.clients.is_empty() && !self.connect()? {
                return Ok(());
            }
            if ready.is_empty() {
                // Idle: a signal ends the process here, and what was not read stays with the kernel.
                self.wait(&mut ready)?;
                continue;
            }
            let Some(nth) = ready.pop_front() else {
                continue;
            };
            let busy = Busy::begin();
            let goes_on = self.read(nth, &mut block, sink, progress);
            if let Err(Stop::Urged) = goes_on {
                busy.end_if_urged();
            }
            if !goes_on? {
                if self.follow && matches!(self.origin, Origin::Fifo(_)) {
                    // First: so there is no moment in which a writer has no reader.
                    self.connect()?;
                }
                let had = self.clients.remove(nth).cutter.begun();
                debug_assert_eq!(had, 0);
                ready.clear();
                if !self.goes_on() {
                    return Ok(());
                }
            }
            busy.end_if_urged();
        }
    }

    /// Whether there is more to come when a connection has ended.
    fn goes_on(&self) -> bool {
        match &self.origin {
            Origin::Only => false,
            Origin::Listen(_) => self.follow || !self.clients.is_empty() || !self.has_come,
            Origin::Fifo(_) | Origin::Connect(..) => self.follow,
        }
    }

    /// Makes a connection, if there can be one.
    fn connect(&mut self) -> Result<bool, Stop> {
        let file = match &mut self.origin {
            Origin::Only => return Ok(false),
            // It waits for clients with the rest.
            Origin::Listen(_) => return Ok(true),
            Origin::Fifo(path) => open_to_read(path).map_err(Stop::Failed)?,
            Origin::Connect(socket, attempts) => attempts.until(&*socket, || socket.connect())?,
        };
        self.add(file);
        Ok(true)
    }

    /// Waits until one has something, and for clients. Tells from behind, so that those in front keep their places.
    fn wait(&mut self, ready: &mut VecDeque<usize>) -> Result<(), Stop> {
        let count = self.clients.len();
        let mut polled: Vec<_> = self
            .clients
            .iter()
            .map(|client| PollFd::new(client.file.as_fd(), PollFlags::POLLIN))
            .collect();
        if let Origin::Listen(listener) = &self.origin {
            polled.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(broken(errno.into())),
        }
        let is_ready = |nth: usize| polled.get(nth).and_then(PollFd::any) == Some(true);
        ready.extend((0..count).rev().filter(|nth| is_ready(*nth)));
        if is_ready(count)
            && let Origin::Listen(listener) = &self.origin
            && let Some(client) = listener.accept().map_err(broken)?
        {
            self.add(client);
        }
        Ok(())
    }

    /// Reads from one, and writes what came. Says whether it goes on.
    fn read(
        &mut self,
        nth: usize,
        block: &mut [u8],
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<bool, Stop> {
        let kind = self.kind;
        let client = &mut self.clients[nth];
        let laid = client.cutter.lay(&mut block[..HEAD]);
        let (from, room) = (HEAD - laid, block.len() - HEAD);
        let read = &mut block[HEAD..];
        let len = match kind {
            Kind::Bytes(_) => client.file.read(read),
            Kind::Packets { .. } => {
                let fd = client.file.as_raw_fd();
                recv(fd, read, MsgFlags::MSG_TRUNC).map_err(std::io::Error::from)
            }
        };
        let len = match len {
            Ok(len) => len,
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::WouldBlock => return Ok(true),
                // Of one without connections: nobody was there for something that was sent.
                ErrorKind::ConnectionRefused => return Ok(true),
                _ if matches!(self.origin, Origin::Only) => {
                    return Err(broken(error));
                }
                _ => {
                    let begun = client.cutter.begun();
                    if !self.is_quiet {
                        let lost = match begun {
                            0 => String::new(),
                            begun => format!(
                                "; {} of a message that is not complete are left out",
                                counted(begun as u64, "byte")
                            ),
                        };
                        say(format_args!("a connection is lost: {error}{lost}"));
                    }
                    client.cutter = Cutter::new(Framing::Raw, 1);
                    // What broke off comes again, if it can.
                    let again = matches!(self.origin, Origin::Connect(..));
                    if again {
                        self.clients.remove(nth);
                        self.connect()?;
                    }
                    return Ok(again);
                }
            },
        };
        self.has_come |= len > 0;
        let (before, bytes) = (sink.written(), len.min(room));
        let done = match kind {
            Kind::Packets { .. } if len > room => {
                say(format_args!(
                    "a datagram of {len} bytes is too long, and left out"
                ));
                return Ok(true);
            }
            Kind::Packets { has_end: true } if len == 0 => return Ok(false),
            Kind::Packets { .. } => sink.put(&block[HEAD..HEAD + len]),
            Kind::Bytes(_) if len == 0 => match client.cutter.end(|message| sink.put(message)) {
                Err(Stop::Failed(cut_short)) if !matches!(self.origin, Origin::Only) => {
                    let _ = cut_short.report();
                    Ok(())
                }
                ended => ended,
            },
            Kind::Bytes(_) => sink.take(&mut client.cutter, laid, &block[from..HEAD + len]),
        };
        let done = done.and_then(|()| sink.flush());
        progress.add(sink.written() - before, bytes);
        match done {
            Ok(()) => Ok(len > 0 || matches!(kind, Kind::Packets { has_end: false })),
            Err(Stop::Urged) => {
                say(format_args!(
                    "up to {} that were read are not written, and lost",
                    counted(bytes as u64, "byte")
                ));
                Err(Stop::Urged)
            }
            Err(stop) => Err(stop),
        }
    }
}
