//! Boards: `set`, `get` and `watch`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use ringway::Address;

use super::address;
use crate::units;

/// Which board, and whether to wait for it.
#[derive(Args, Debug)]
pub(crate) struct BoardArgs {
    /// Where: shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID, sysv:id=SHMID
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// Use it even if it belongs to another user, who could truncate it under this process
    #[arg(long)]
    pub(crate) any_owner: bool,
}

/// Set the value of an entry of a board
///
/// Makes the board if nothing is there, and the entry if it is not there yet. One process at a time writes an entry: it is an
/// error if another one does. The value stays when this command has ended.
#[derive(Args, Debug)]
#[command(after_help = SET_HELP)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(crate) board: BoardArgs,

    /// Which entry: 1 to 104 bytes
    pub(crate) key: String,

    /// The value; without it, all of standard input
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: Option<OsString>,

    /// How many entries a new board can have [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) entries: Option<u32>,

    /// The longest value of a new board [default: 4K]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) value_len: Option<u64>,

    /// Permission bits of a new board, in octal [default: 600]
    #[arg(long, value_name = "MODE", value_parser = units::mode)]
    pub(crate) mode: Option<u32>,
}

const SET_HELP: &str = "\
Exit status:
  0  set
  2  an error: another process writes the entry, the value is too long, or what is there is no board

Examples:
  ringway set shm:car speed 50
  date | ringway set shm:car started
  ringway set shm:images last --value-len 1M < photo.jpg";

/// Show the value of an entry of a board
///
/// Writes its bytes to standard output as they are (to a terminal, with a newline at the end).
#[derive(Args, Debug)]
#[command(after_help = GET_HELP)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) board: BoardArgs,

    /// Which entry
    pub(crate) key: String,

    /// Wait so long for the board and for a value: 5 (seconds), 100ms, 2min
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) wait: Option<Duration>,
}

const GET_HELP: &str = "\
Exit status:
  0  shown
  1  there is no such board, or the entry has no value
  2  an error

Examples:
  ringway get shm:car speed
  ringway get shm:images last --wait 5s > photo.jpg";

/// Write a line for each change of a board
///
/// Begins with the value that is there. Of several values that follow each other faster than they are written out, the latest is
/// shown. What a terminal would not show as a letter is escaped: %0a is a newline within a value. Without KEY each line has the key
/// first, and a tab.
///
/// It ends when the board is removed and nobody writes to it.
#[derive(Args, Debug)]
#[command(after_help = WATCH_HELP)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) board: BoardArgs,

    /// Which entry; all, if it is left out
    pub(crate) key: Option<String>,

    /// Wait so long for the board to appear
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) wait: Option<Duration>,

    /// End after so many lines
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

const WATCH_HELP: &str = "\
Exit status:
  0  shown, as many as were asked for
  1  there is no such board, or it was removed
  2  an error

Examples:
  ringway watch shm:car
  ringway watch shm:car speed --wait 5s -n 10";
