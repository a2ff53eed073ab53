//! The words of `tap`.

use clap::Args;
use ringway::Address;

use super::address;

/// Look at the messages of a ring, and take none
///
/// It takes no part, holds nobody up and writes nothing: who receives gets the same as without it. Of a broadcast ring it shows what was sent, up to
/// a whole ring ago, received or not. Of every other ring it shows what has not been received yet: where a receiver keeps up, many
/// messages pass unseen, and where messages have numbers (kinds spsc and broadcast) it says how many. Each is shown whole and once. A message in a slab
/// is told, and not shown.
///
/// A message is a line; control characters and bytes that are no text are shown as \n, \u{1b} or \xff.
#[derive(Args, Debug)]
#[command(after_help = TAP_HELP)]
pub(crate) struct TapArgs {
    /// Where the ring is
    #[arg(value_parser = address)]
    pub(crate) address: Address,

    /// Only the last N of what is there; with --follow, begin with them
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,

    /// Show what comes, until the ring is removed or a signal comes
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Show bytes in hexadecimal
    #[arg(long, conflicts_with = "json")]
    pub(crate) hex: bool,

    /// Write an object as a line of JSON for each: number, bytes, text or hex
    #[arg(short, long)]
    pub(crate) json: bool,
}

const TAP_HELP: &str = "\
Exit status:
  0  something was shown, or with --follow the ring was removed
  1  there is no message to see, or no ring
  2  an error: it is no ring, or damaged

Examples:
  ringway tap shm:orders
  ringway tap shm:news --last 10 --follow
  ringway tap shm:orders --json | jq .bytes";
