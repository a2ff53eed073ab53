//! Services: `serve` and `call`.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use ringway::Address;

use super::address;
use crate::units;

/// Serve calls by a command
///
/// Makes the service if nothing is there. All that serve at one address share the calls. For each call the command is started once,
/// with the request on its standard input; what it writes to standard output is the answer. If it fails, the caller is told its
/// status and the end of what it wrote to standard error, which also is shown here. If the caller waits no longer, the command is killed.
///
/// The service stays when this command has ended, until it is removed (ringway rm).
#[derive(Args, Debug)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct ServeArgs {
    /// Where: shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// The command, and its arguments; it is run without a shell
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,

    /// Serve so many calls at once
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) workers: NonZeroU32,

    /// Start the command once for each worker: it reads requests and writes answers, in turn, each as a frame (32 bits of length,
    /// little-endian, and so many bytes), as send and recv have them with --frames. If it ends, the caller that waits is told, and it
    /// is started anew for the next one
    #[arg(long)]
    pub(crate) coprocess: bool,

    /// End after so many calls
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// How many callers at once a new service has room for [default: 240]
    #[arg(long, value_name = "N")]
    pub(crate) clients: Option<u32>,

    /// What a new service moves at once; longer requests and answers go in fragments [default: 4K]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) part_len: Option<u64>,

    /// The longest request
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "64M")]
    pub(crate) max_request: u64,

    /// Permission bits of a new service, in octal [default: 600]
    #[arg(long, value_name = "MODE", value_parser = units::mode)]
    pub(crate) mode: Option<u32>,

    /// Use it even if it belongs to another user, who could truncate it under this process
    #[arg(long)]
    pub(crate) any_owner: bool,
}

const SERVE_HELP: &str = "\
Without --count it serves until a signal ends it. The command finds RINGWAY_REPEATED=1 in its environment if an earlier server may have begun with that
very request (call --at-least-once).

Exit status:
  0  as many calls were served as were asked for
  1  the service was removed
  2  an error: all 31 places of servers are taken, what is there is no service, or the kernel refuses something

Examples:
  ringway serve shm:upper -- tr a-z A-Z
  ringway serve shm:once --count 1 -- sh -c 'date; cat'
  ringway serve shm:resize --workers 4 -- convert - -resize 200x200 -
  ringway serve shm:count --coprocess -- ./count-in-frames";

/// Call a service, and write its answer to standard output
///
/// The answer is written as it comes.
#[derive(Args, Debug)]
#[command(after_help = CALL_HELP)]
pub(crate) struct CallArgs {
    /// Where: shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID, sysv:id=SHMID
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// The request; without it, all of standard input
    #[arg(allow_hyphen_values = true)]
    pub(crate) data: Option<OsString>,

    /// Wait so long for the service and a server to appear: 5 (seconds), 100ms, 2min
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) wait: Option<Duration>,

    /// Give up when the whole answer has not come in this time
    #[arg(short, long, value_name = "DURATION", value_parser = units::duration)]
    pub(crate) timeout: Option<Duration>,

    /// Let the next server have the request if one dies with it, before any of the answer has come; it may be done more than once
    #[arg(long)]
    pub(crate) at_least_once: bool,

    /// Use it even if it belongs to another user, who could truncate it under this process
    #[arg(long)]
    pub(crate) any_owner: bool,
}

const CALL_HELP: &str = "\
Exit status:
  0  answered
  1  there is no service or no server, no answer in time, or the server died with the request
  2  an error
  N  the server's command failed with status N (128 and more: by a signal); what it says is on standard error

Examples:
  ringway call shm:upper hello
  ringway call shm:resize < photo.jpg > small.jpg
  ringway call shm:upper hello --wait 5s --timeout 1s || echo nothing";
