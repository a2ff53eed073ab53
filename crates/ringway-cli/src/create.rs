//! `ringway create`: making a ring and leaving it for others.

use crate::attach;
use crate::cli::CreateArgs;
use crate::failure::Failure;
use crate::output;

/// Makes the ring, and says where it is.
pub(crate) fn run(args: &CreateArgs) -> Result<(), Failure> {
    let ring = args.make.apply(attach::at(&args.address)?).create()?;
    output::print(&format!("{}\n", ring.address()))
}
