//! What a join writes to: opened, connected or accepted, again and again.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::socket::{Attempts, Listener};
use super::{BLOCK, Stop};
use crate::endpoint::Socket;
use crate::failure::Failure;
use crate::say::say;
use crate::signals;

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
    /// Has pipes get room for a block.
    pub(super) fn widen(&mut self) {
        match self {
            Self::Standard(file) => widen(file),
            Self::Fifo { is_wide, .. } => *is_wide = true,
            Self::Connect { .. } | Self::Listen { .. } => {}
        }
    }

    /// Has a connection made early, where it is made from here.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        match self {
            Self::Connect { .. } => self.current().map(drop),
            Self::Fifo { path, .. } => check_fifo(path).map_err(Stop::Failed),
            Self::Standard(_) | Self::Listen { .. } => Ok(()),
        }
    }

    /// What to write to now.
    pub(super) fn current(&mut self) -> Result<&File, Stop> {
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
    pub(super) fn lost(&mut self, error: io::Error) -> Result<(), Stop> {
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

    pub(super) fn end(self) {
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

/// Makes room for a block in a pipe that has less. What is no pipe stays as it is, and so does one for which the kernel allows no more.
fn widen(pipe: &File) {
    use nix::fcntl::{FcntlArg, fcntl};
    let room = BLOCK as libc::c_int;
    if fcntl(pipe, FcntlArg::F_GETPIPE_SZ).is_ok_and(|now| now < room) {
        let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(room));
    }
}
