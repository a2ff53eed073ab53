//! Where the victims come from: a process with one thread, which has not touched ringway, forks them.
//!
//! It is told what to do by lines on its standard input, which is a socket, and answers there. Victims
//! connect to a socket of their own, so that they are known by the pid that *we* see.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use serde::{Deserialize, Serialize};

use super::dying::{self, Script};

/// Whoever is silent for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the zygote is told.
#[derive(Serialize, Deserialize)]
enum Order {
    /// Fork one that follows the script, perhaps in a pid namespace of its own.
    Fork { script: Script, namespace: bool },
    /// Wait for the end of one, and say so.
    Reap,
    /// Try to make a pid namespace, and say whether that went well.
    TryNamespace,
}

/// The zygote as we see it. It ends with us.
pub(crate) struct Zygote {
    process: Child,
    orders: UnixStream,
    listener: UnixListener,
    name: String,
}

impl Zygote {
    pub(crate) fn start() -> Result<Self, String> {
        let name = format!("ringway-crashtest-{}", std::process::id());
        let listener = SocketAddr::from_abstract_name(&name)
            .and_then(|address| UnixListener::bind_addr(&address));
        let (ours, theirs) = UnixStream::pair().map_err(text)?;
        ours.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        let this = std::env::current_exe().map_err(text)?;
        let process = Command::new(this)
            .args(["play", "dying"])
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(text)?;
        Ok(Self {
            process,
            orders: ours,
            listener: listener.map_err(text)?,
            name,
        })
    }

    /// A new process, which has not attached yet.
    pub(crate) fn fork(&mut self, script: Script, namespace: bool) -> Result<Dying, String> {
        let script = Script {
            listener: self.name.clone(),
            ..script
        };
        self.order(&Order::Fork { script, namespace })?;
        let (socket, _) = self.listener.accept().map_err(text)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        let peer = getsockopt(&socket, sockopt::PeerCredentials).map_err(text)?;
        let dying = Dying {
            pid: Pid::from_raw(peer.pid()),
            socket,
        };
        dying.expect("open")?;
        Ok(dying)
    }

    /// Has it wait for the end of one that dies, or that is dead.
    pub(crate) fn begin_reaping(&mut self) -> Result<(), String> {
        self.order(&Order::Reap)
    }

    /// Returns when that one is reaped.
    pub(crate) fn end_reaping(&mut self) -> Result<(), String> {
        match hear(&self.orders)?.as_str() {
            "reaped" => Ok(()),
            other => Err(format!("the zygote says: {other}")),
        }
    }

    pub(crate) fn may_make_namespaces(&mut self) -> bool {
        self.order(&Order::TryNamespace)
            .and_then(|()| hear(&self.orders))
            .is_ok_and(|answer| answer == "permitted")
    }

    fn order(&mut self, order: &Order) -> Result<(), String> {
        say(&self.orders, &serde_json::to_string(order).map_err(text)?)
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A victim.
pub(crate) struct Dying {
    pub(crate) pid: Pid,
    socket: UnixStream,
}

impl Dying {
    pub(crate) fn say(&self, line: impl ToString) -> Result<(), String> {
        say(&self.socket, &line.to_string())
    }

    pub(crate) fn expect(&self, line: &str) -> Result<(), String> {
        match hear(&self.socket)? {
            heard if heard == line => Ok(()),
            heard => Err(format!("the victim says: {heard}")),
        }
    }

    /// Waits until its socket is closed.
    pub(crate) fn await_end(&self) -> Result<(), String> {
        match (&self.socket).read(&mut [0]).map_err(text)? {
            0 => Ok(()),
            _ => Err("the victim says something".to_owned()),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        kill(self.pid, signal).map_err(text)
    }
}

/// The role of the zygote.
pub(crate) fn play() -> Result<(), String> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(text)?;
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    let socket = UnixStream::from(socket.map_err(text)?);
    for line in BufReader::new(&socket).lines() {
        match serde_json::from_str(&line.map_err(text)?).map_err(text)? {
            Order::Fork { script, namespace } => spawn(namespace, || dying::play(&script))?,
            Order::Reap => {
                // Whoever it is: others live until they are told to die.
                waitpid(None, None).map_err(text)?;
                say(&socket, "reaped")?;
            }
            Order::TryNamespace => {
                spawn(true, || Ok(()))?;
                let end = waitpid(None, None).map_err(text)?;
                let permitted = matches!(end, WaitStatus::Exited(_, 0));
                say(&socket, if permitted { "permitted" } else { "refused" })?;
            }
        }
    }
    Ok(())
}

/// Forks a process that does `what`. In a namespace of its own it has a parent of its own outside, who
/// ends as it does.
fn spawn(namespace: bool, what: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    child(|| {
        if !namespace {
            return what();
        }
        unshare(CloneFlags::CLONE_NEWPID).map_err(text)?;
        child(what)?;
        match waitpid(None, None).map_err(text)? {
            WaitStatus::Exited(_, 0) | WaitStatus::Signaled(_, Signal::SIGKILL, _) => Ok(()),
            end => Err(format!("{end:?}")),
        }
    })
}

fn child(what: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    // SAFETY: this process has one thread, so nobody is in the middle of anything in the child.
    match unsafe { fork() }.map_err(text)? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            let end = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
                .map_err(text)
                .and_then(|()| what());
            std::process::exit(i32::from(end.is_err()))
        }
    }
}

/// The socket on which a victim talks.
pub(super) fn connect(name: &str) -> Result<UnixStream, String> {
    let address = SocketAddr::from_abstract_name(name).map_err(text)?;
    UnixStream::connect_addr(&address).map_err(text)
}

pub(super) fn say(mut socket: &UnixStream, line: &str) -> Result<(), String> {
    socket
        .write_all(format!("{line}\n").as_bytes())
        .map_err(text)
}

/// The next line. Nobody says more than one before the next is due.
pub(super) fn hear(mut socket: &UnixStream) -> Result<String, String> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        socket.read_exact(&mut byte).map_err(text)?;
        match byte {
            [b'\n'] => return String::from_utf8(line).map_err(text),
            [byte] => line.push(byte),
        }
    }
}

pub(super) fn text(error: impl ToString) -> String {
    error.to_string()
}
