//! `ringway rm`: removing rings, queues and logs.

use ringway::{Address, Channel, Error, ErrorKind};

use crate::cli::RmArgs;
use crate::failure::Failure;

/// Removes every address that can be removed, and says which could not.
pub(crate) fn run(args: &RmArgs) -> Result<(), Failure> {
    let remove = |address: &Address| match address {
        Address::Log(_) => ringway::log::remove(address, args.force),
        _ => Channel::remove(address, args.force),
    };
    let failures = args.addresses.iter().map(remove);
    Failure::all(failures.filter_map(|outcome| outcome.err().map(advise)))
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
