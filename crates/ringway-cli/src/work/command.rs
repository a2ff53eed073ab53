//! A command that is run for a message.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};

use memchr::memmem;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::unistd::getppid;
use ringway::transport::ReceivedMessage;

use crate::failure::Failure;

/// Stands for the path of a file that holds the message.
const PLACE: &[u8] = b"{}";

/// Statuses by which a shell says that a command is not there, or cannot be executed.
const NOT_RUN: [i32; 2] = [126, 127];

/// What to run.
pub(super) struct Launch {
    words: Vec<OsString>,
    by_shell: bool,
    has_place: bool,
}

/// What became of a task.
pub(super) enum Verdict {
    Done,
    Failed(String),
}

impl Launch {
    /// A program and its arguments.
    pub(super) fn of_words(words: &[OsString]) -> Result<Self, Failure> {
        Self::new(words.to_vec(), false)
    }

    /// What a shell shall run.
    pub(super) fn of_shell(command: &OsStr) -> Result<Self, Failure> {
        Self::new(vec!["sh".into(), "-c".into(), command.into()], true)
    }

    fn new(words: Vec<OsString>, by_shell: bool) -> Result<Self, Failure> {
        if words.iter().all(|word| word.is_empty()) {
            return Err(Failure::error("there is no command to run"));
        }
        let has_place = words.iter().any(|word| has_place(word));
        Ok(Self {
            words,
            by_shell,
            has_place,
        })
    }

    /// Runs it for a message. Fails if it cannot be run at all.
    pub(super) fn run(
        &self,
        message: &impl ReceivedMessage,
        number: Option<u64>,
        deliveries: u32,
    ) -> Result<Verdict, Failure> {
        let file = file_of(message).map_err(|error| {
            Failure::error(format_args!("cannot hold a message in memory: {error}"))
        })?;
        let descriptor = file.as_raw_fd();
        let path = format!("/dev/fd/{descriptor}");
        let mut words = self.words.iter().map(|word| fill_in(word, path.as_bytes()));
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(&program);
        command
            .args(words)
            .env("RINGWAY_DELIVERIES", deliveries.to_string());
        if let Some(number) = number {
            command.env("RINGWAY_NUMBER", number.to_string());
        }
        let has_place = self.has_place;
        let parent = nix::unistd::getpid();
        // SAFETY: the closure calls functions that may be called between fork and exec, and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                // So that no command goes on whose task another worker begins.
                set_pdeathsig(Signal::SIGKILL)?;
                if getppid() != parent {
                    return Err(Errno::ESRCH.into());
                }
                // This process has them blocked.
                pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
                if has_place {
                    inherit(descriptor)?;
                }
                Ok(())
            });
        }
        let status = match self.has_place {
            true => {
                command.stdin(Stdio::null());
                let status = command.status();
                drop(file);
                status
            }
            false => command.stdin(file).status(),
        };
        let status = status.map_err(|error| {
            let program = program.to_string_lossy();
            Failure::error(format_args!("cannot run {program}: {error}"))
        })?;
        self.judge(status)
    }

    fn judge(&self, status: ExitStatus) -> Result<Verdict, Failure> {
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(Verdict::Done),
            (Some(code), _) if self.by_shell && NOT_RUN.contains(&code) => {
                Err(Failure::error(format_args!(
                    "the shell cannot run the command (status {code}); the message was given back"
                )))
            }
            (Some(code), _) => Ok(Verdict::Failed(format!("status {code}"))),
            (None, Some(signal)) => {
                let name = Signal::try_from(signal).map_or("a signal", Signal::as_str);
                Ok(Verdict::Failed(format!("ended by {name}")))
            }
            (None, None) => Ok(Verdict::Failed(status.to_string())),
        }
    }
}

fn has_place(word: &OsStr) -> bool {
    memmem::find(word.as_bytes(), PLACE).is_some()
}

/// The word, with the path where it has its place.
fn fill_in(word: &OsStr, path: &[u8]) -> OsString {
    let (mut filled, mut rest) = (Vec::new(), word.as_bytes());
    while let Some(at) = memmem::find(rest, PLACE) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(path);
        rest = &rest[at + PLACE.len()..];
    }
    filled.extend_from_slice(rest);
    OsString::from_vec(filled)
}

/// Lets a descriptor outlast `exec`.
fn inherit(descriptor: i32) -> io::Result<()> {
    // SAFETY: changes a flag of a descriptor, and takes no memory.
    let done = unsafe { nix::libc::fcntl(descriptor, nix::libc::F_SETFD, 0) };
    Errno::result(done).map(drop).map_err(io::Error::from)
}

/// Bytes that are copied at once.
const BLOCK: usize = 64 << 10;

/// A file without a name that holds the message, at whose beginning it stands. It goes with its last descriptor, whoever is killed.
fn file_of(message: &impl ReceivedMessage) -> io::Result<File> {
    let file = File::from(memfd_create(c"ringway-task", MFdFlags::MFD_CLOEXEC)?);
    let mut block = vec![0; BLOCK.min(message.len())];
    let mut done = 0;
    while done < message.len() {
        let count = message.read_at(done, &mut block);
        // At its place: the position stays at the beginning.
        file.write_all_at(&block[..count], done as u64)?;
        done += count.max(1);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_filled_in() {
        let filled = |word: &str| fill_in(OsStr::new(word), b"/dev/fd/4");
        assert_eq!(filled("{}"), "/dev/fd/4");
        assert_eq!(filled("a{}b{}"), "a/dev/fd/4b/dev/fd/4");
        assert_eq!(filled("{ }"), "{ }");
        assert_eq!(filled(""), "");
    }
}
