//! `ringway create`: making a ring or a queue and leaving it for others.

use ringway::{Channel, ErrorKind};

use crate::attach;
use crate::cli::CreateArgs;
use crate::failure::Failure;
use crate::output;
use crate::say::say;

/// Makes it, and says where it is.
pub(crate) fn run(args: &CreateArgs) -> Result<(), Failure> {
    args.make.refuse_at_queue(&args.address)?;
    args.make.refuse_without_effect()?;
    let builder = args.make.apply(attach::at(&args.address)?);
    // Never a negative answer: what is not found is where it was to be made.
    let channel = Channel::create(builder).map_err(|error| match error.kind() {
        ErrorKind::Untrusted => attach::trust_it(error),
        _ => Failure::error(error),
    })?;
    if channel.reason().is_some() {
        say(&channel);
    }
    args.make.say_what_was_rounded(&channel);
    // Of what has no name of its own nobody would learn.
    output::print(&format!("{}\n", channel.address())).inspect_err(|_| attach::undo(&channel))
}
