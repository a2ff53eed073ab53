//! Standard output, for listings and for data.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::failure::Failure;

/// Standard output without the line buffer that `std` puts before it.
pub(crate) fn data() -> Result<File, Failure> {
    io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(Failure::output)
}

/// Writes a whole listing.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    data()?.write_all(text.as_bytes()).map_err(Failure::output)
}

/// Writes a value as JSON and a newline.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::error)?;
    print(&(text + "\n"))
}
