//! Sockets: connecting with patience, and listening.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, socket,
};

use super::Stop;
use crate::endpoint::{Socket, SocketKind};
use crate::failure::Failure;
use crate::say::say;
use crate::signals;

/// How long to wait after a first failure to connect, and after many.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How often to look, in a pause, whether to end.
const LOOK: Duration = Duration::from_millis(20);

/// Attempts to connect: each failure is followed by a pause, which doubles up to a bound.
pub(super) struct Attempts {
    pause: Duration,
    since: Option<Instant>,
    timeout: Option<Duration>,
    is_quiet: bool,
}

impl Attempts {
    pub(super) fn new(timeout: Option<Duration>, is_quiet: bool) -> Self {
        Self {
            pause: PAUSES[0],
            since: None,
            timeout,
            is_quiet,
        }
    }

    /// Calls `attempt` until it succeeds, unless this process is told to end, or the time is over.
    pub(super) fn until<T>(
        &mut self,
        what: &dyn std::fmt::Display,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> Result<T, Stop> {
        loop {
            let error = match attempt() {
                Ok(made) => {
                    self.since = None;
                    self.pause = PAUSES[0];
                    return Ok(made);
                }
                Err(error) => error,
            };
            if signals::is_urged() {
                return Err(Stop::Urged);
            }
            match self.since {
                None if !self.is_quiet => {
                    say(format_args!(
                        "cannot connect to {what}: {error}; trying again"
                    ));
                }
                _ => {}
            }
            let since = *self.since.get_or_insert_with(Instant::now);
            if self.timeout.is_some_and(|most| since.elapsed() >= most) {
                return Err(Stop::Failed(Failure::negative(format_args!(
                    "cannot connect to {what} in time: {error}"
                ))));
            }
            self.rest()?;
        }
    }

    /// Pauses.
    fn rest(&mut self) -> Result<(), Stop> {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(PAUSES[1]);
        loop {
            if signals::is_urged() {
                return Err(Stop::Urged);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

impl Socket {
    /// Connects, or, for those without connections, says where all that is written goes.
    pub(super) fn connect(&self) -> io::Result<File> {
        let fd: OwnedFd = match self.kind {
            SocketKind::Tcp => {
                let mut last = io::Error::from(ErrorKind::NotFound);
                let mut found = None;
                for address in self.at.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, ATTEMPT) {
                        Ok(stream) => {
                            found = Some(stream);
                            break;
                        }
                        Err(error) => last = error,
                    }
                }
                let stream = found.ok_or(last)?;
                // Blocks are written; nothing waits for more.
                stream.set_nodelay(true)?;
                stream.into()
            }
            SocketKind::Udp => {
                let mut addresses = self.at.to_socket_addrs()?;
                let address = addresses.next().ok_or(ErrorKind::NotFound)?;
                let any = match address.is_ipv4() {
                    true => "0.0.0.0:0",
                    false => "[::]:0",
                };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                socket.into()
            }
            SocketKind::Unix => UnixStream::connect(&self.at)?.into(),
            SocketKind::UnixDgram => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(&self.at)?;
                socket.into()
            }
            SocketKind::UnixSeqpacket => {
                let fd = seqpacket()?;
                connect(fd.as_raw_fd(), &UnixAddr::new(self.at.as_str())?)?;
                fd
            }
        };
        Ok(File::from(fd))
    }

    /// Receives what is sent to this address, of those without connections.
    pub(super) fn receive(&self, names: &Names) -> io::Result<File> {
        let fd: OwnedFd = match self.kind {
            SocketKind::Udp => UdpSocket::bind(&self.at)?.into(),
            _ => {
                let path = Path::new(&self.at);
                remove_stale(path, || UnixDatagram::unbound()?.connect(path))?;
                let socket = UnixDatagram::bind(path)?;
                names.add(path);
                socket.into()
            }
        };
        Ok(File::from(fd))
    }

    /// Listens for connections.
    pub(super) fn listen(&self, names: &Names) -> io::Result<Listener> {
        let path = Path::new(&self.at);
        let fd: OwnedFd = match self.kind {
            SocketKind::Tcp => TcpListener::bind(&self.at)?.into(),
            SocketKind::Unix => {
                remove_stale(path, || UnixStream::connect(path).map(drop))?;
                let listener = UnixListener::bind(path)?;
                names.add(path);
                listener.into()
            }
            _ => {
                remove_stale(path, || self.connect().map(drop))?;
                let fd = seqpacket()?;
                bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
                names.add(path);
                listen(&fd, Backlog::new(128).unwrap_or(Backlog::MAXCONN))?;
                fd
            }
        };
        set_nonblocking(&fd)?;
        Ok(Listener(fd))
    }
}

fn seqpacket() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

/// Has accepting never wait: a client may be gone again.
fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Removes the name of a socket whose process was killed: nobody is there to connect to.
fn remove_stale(path: &Path, connect: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match connect() {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
            // In use, or of another kind: what binds there says so.
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Where clients come from.
pub(super) struct Listener(OwnedFd);

impl Listener {
    /// The next client, if one waits. Errors of a client that is gone again are none.
    pub(super) fn accept(&self) -> io::Result<Option<File>> {
        loop {
            match accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
                Ok(fd) => {
                    use std::os::fd::FromRawFd;
                    // SAFETY: accept4 has just made it, and nobody else has it.
                    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                    return Ok(Some(File::from(fd)));
                }
                Err(nix::errno::Errno::EAGAIN) => return Ok(None),
                Err(nix::errno::Errno::ECONNABORTED | nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Names of sockets in the file system, which go with this process.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<Vec<PathBuf>>>);

impl Names {
    fn add(&self, path: &Path) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.push(path.to_owned());
    }

    pub(super) fn remove(&self) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names.drain(..) {
            let _ = fs::remove_file(name);
        }
    }
}

/// Bytes that were written to a socket, and that the other side's kernel has not taken yet.
pub(super) fn untaken(file: &File) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (TIOCOUTQ) stores an int where the pointer leads.
    let asked = unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (asked == 0).then(|| u64::try_from(bytes).unwrap_or(0))
}
