//! `ringway rm`: removing rings and queues.

use ringway::Channel;

use crate::cli::RmArgs;
use crate::failure::Failure;

/// Removes every address that can be removed, and says which could not.
pub(crate) fn run(args: &RmArgs) -> Result<(), Failure> {
    let remove = |address| {
        Channel::remove(address, args.force)
            .err()
            .map(Failure::from)
    };
    Failure::all(args.addresses.iter().filter_map(remove))
}
