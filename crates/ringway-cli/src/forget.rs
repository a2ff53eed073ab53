//! `ringway forget`: names of receivers that will not come back.

use ringway::os::Name;
use ringway::{Builder, Error, ErrorKind, Ring};

use crate::cli::ForgetArgs;
use crate::failure::Failure;

/// Forgets every name that can be forgotten, and says which could not.
pub(crate) fn run(args: &ForgetArgs) -> Result<(), Failure> {
    let builder = Builder::at(args.address.clone()).any_owner(args.any_owner);
    let ring = builder.open().map_err(advise)?;
    Failure::all(
        args.names
            .iter()
            .filter_map(|name| forget(&ring, name).err()),
    )
}

fn forget(ring: &Ring, name: &str) -> Result<(), Failure> {
    match ring.forget_name(name) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::negative(format_args!(
            "{} has no name {}",
            ring.address(),
            Name::of(name)
        ))),
        Err(error) => Err(advise(error)),
    }
}

/// The next step, as the command line has it.
fn advise(error: Error) -> Failure {
    Failure::from(match error.kind() {
        ErrorKind::ForeignOwner => error.remedy("if that user is to be trusted, add --any-owner"),
        _ => error,
    })
}
