//! `spool`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::log::WriteLogArgs;
use super::transfer::PlaceArgs;

/// In which order files are sent that are there together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// By their names, byte by byte
    #[default]
    Name,
    /// By the time when they were last written, then by their names
    Time,
}

/// Send each file that appears in a folder as a message
///
/// Put a file there by renaming it: write it under another name, which begins with a dot or ends with .tmp, .part or ~, or
/// elsewhere in the same file system. What has such a name is left alone, and so are subfolders, and files that somebody
/// has open for writing (where the kernel tells: of files of the same user, or for root).
///
/// A file is moved to DIR/.sending, sent, and moved to DIR/done, or removed with --delete. One that is too long for a message is moved to
/// DIR/refused. Nobody else feeds from DIR meanwhile.
///
/// If it is killed between sending a file and moving it, the next spool sends that one file once more, and says so. Where nobody
/// else sends to ADDRESS, which --only-sender promises, the ring or the log tells whether it was sent, and nothing is sent twice.
///
/// To a log a file is sent when it is appended, and synced unless --durability is none.
///
/// It goes on until a signal, then closes the ring: who receives ends when all is received.
#[derive(Args, Debug)]
#[command(after_help = SPOOL_HELP)]
pub(crate) struct SpoolArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    #[command(flatten)]
    pub(crate) place: PlaceArgs,

    /// In which order to send what is there
    #[arg(long, value_enum, default_value_t)]
    pub(crate) order: Order,

    /// End when all that is there is sent
    #[arg(long)]
    pub(crate) once: bool,

    /// Remove files that are sent, and do not move them to DIR/done
    #[arg(long)]
    pub(crate) delete: bool,

    /// Nobody else sends there: then what the ring has counted tells whether a file was sent before a death (kind spsc, sync futex; a
    /// log)
    #[arg(long)]
    pub(crate) only_sender: bool,

    #[command(flatten)]
    pub(crate) log: WriteLogArgs,
}

const SPOOL_HELP: &str = "\
Exit status:
  0  with --once: all files are sent
  1  nothing is at the address, the receiver died, or closed
  2  an error: the folder cannot be watched, another spool feeds from it, a file cannot be moved
  SIGTERM, SIGINT and SIGHUP end it by that signal, after the file that is being sent; one that waits for room is put back

Examples:
  ringway spool /var/spool/mails shm:mails --create --kind mpmc &
  ringway work shm:mails --follow -- sendmail -t &
  cp letter /var/spool/mails/.letter && mv /var/spool/mails/.letter /var/spool/mails/letter";
