//! `ringway rm`: removing rings and queues.

use ringway::{Channel, Error, ErrorKind};

use crate::cli::RmArgs;
use crate::failure::Failure;

/// Removes every address that can be removed, and says which could not.
pub(crate) fn run(args: &RmArgs) -> Result<(), Failure> {
    let remove = |address| Channel::remove(address, args.force).err().map(advise);
    Failure::all(args.addresses.iter().filter_map(remove))
}

/// The next step, as the command line has it.
fn advise(error: Error) -> Failure {
    Failure::from(match error.kind() {
        // Of a queue the kernel does not say who it is.
        ErrorKind::InUse { pid: 0 } => error.remedy("end that process, or add --force"),
        ErrorKind::InUse { pid } => error.remedy(format!("end process {pid}, or add --force")),
        _ => error,
    })
}
