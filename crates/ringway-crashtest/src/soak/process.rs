//! Starting workers, and learning of their ends.

use std::ffi::CString;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use serde::{Deserialize, Serialize};

use super::journal::Journals;
use super::worker::{self, Task};

/// What kind of process a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Birth {
    /// Forked, and nothing else.
    Fork,
    /// A program of its own.
    Exec,
    /// Forked into a pid namespace of its own.
    Namespace,
}

/// Whether this process may make pid namespaces: not where it lacks the privilege.
pub(super) fn may_make_namespaces() -> bool {
    // In a child, so that nothing is changed here.
    // SAFETY: the child makes one system call and ends.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let made = unshare(CloneFlags::CLONE_NEWPID).is_ok();
            // SAFETY: ends the process, and nothing else.
            unsafe { libc::_exit(i32::from(!made)) }
        }
        Ok(ForkResult::Parent { child }) => {
            matches!(
                nix::sys::wait::waitpid(child, None),
                Ok(WaitStatus::Exited(_, 0))
            )
        }
        Err(_) => false,
    }
}

/// Starts a worker.
pub(super) fn start(birth: Birth, task: &Task, journals: &Journals) -> Result<Pid, String> {
    match birth {
        Birth::Fork => start_forked(task, journals, Some(getpid())),
        Birth::Exec => start_program(task, journals),
        Birth::Namespace => {
            let failed = |errno: Errno| format!("no pid namespace: {errno}");
            let own = File::open("/proc/self/ns/pid").map_err(|error| error.to_string())?;
            unshare(CloneFlags::CLONE_NEWPID).map_err(failed)?;
            // Its parent is in no namespace that it knows.
            let started = start_forked(task, journals, None);
            setns(own, CloneFlags::CLONE_NEWPID).map_err(failed)?;
            started
        }
    }
}

fn start_forked(task: &Task, journals: &Journals, coordinator: Option<Pid>) -> Result<Pid, String> {
    // SAFETY: the only other threads of this process are ringway's keepers, which hold no lock of the
    // program's and sleep; the C library sees to its allocator. The child never returns from here.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(child),
        Ok(ForkResult::Child) => {
            worker::prepare(coordinator);
            let journal = journals.at(task.journal);
            let outcome = catch_unwind(AssertUnwindSafe(|| worker::perform(task, journal)));
            let problem = match outcome {
                Ok(Ok(())) => None,
                Ok(Err(problem)) => Some(problem),
                Err(panic) => Some(format!("panicked: {:?}", panic.downcast_ref::<String>())),
            };
            if let Some(problem) = &problem {
                journal.report(problem);
            }
            // SAFETY: ends the process. What the coordinator would clean up is not this one's.
            unsafe { libc::_exit(i32::from(problem.is_some())) }
        }
        Err(errno) => Err(format!("cannot fork: {errno}")),
    }
}

fn start_program(task: &Task, journals: &Journals) -> Result<Pid, String> {
    let words = worker::arguments(task, journals)?;
    let words: Result<Vec<_>, _> = words.into_iter().map(CString::new).collect();
    let words = words.map_err(|error| error.to_string())?;
    let coordinator = getpid();
    // SAFETY: the child calls what needs no lock, then becomes another program or ends.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(child),
        Ok(ForkResult::Child) => {
            worker::prepare(Some(coordinator));
            let _ = nix::unistd::execv(c"/proc/self/exe", &words);
            journals.at(task.journal).report("cannot execute itself");
            // SAFETY: ends the process, and nothing else.
            unsafe { libc::_exit(1) }
        }
        Err(errno) => Err(format!("cannot fork: {errno}")),
    }
}

/// How a process ended, if it has: all of its threads. It stays a zombie.
pub(super) fn end_of(pid: Pid) -> Result<Option<WaitStatus>, String> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(pid), flags) {
        Ok(WaitStatus::StillAlive) => Ok(None),
        Ok(status) => Ok(Some(status)),
        Err(errno) => Err(format!("process {pid} is nowhere: {errno}")),
    }
}

/// Buries a zombie.
pub(super) fn reap(pid: Pid) {
    let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED);
}

/// Sends a signal to a process that is not reaped.
pub(super) fn signal(pid: Pid, which: Signal) {
    let _ = kill(pid, which);
}
