//! `ringway create`: making a ring or a queue and leaving it for others.

use ringway::Channel;

use crate::attach;
use crate::cli::CreateArgs;
use crate::failure::Failure;
use crate::output;

/// Makes it, and says where it is.
pub(crate) fn run(args: &CreateArgs) -> Result<(), Failure> {
    args.make.kind.refuse_at_queue(&args.address)?;
    let channel = Channel::create(args.make.apply(attach::at(&args.address)?))?;
    if channel.reason().is_some() {
        eprintln!("ringway: {channel}");
    }
    output::print(&format!("{}\n", channel.address()))
}
