//! What is said on standard error. It decides nothing: where nobody listens (a full disk, a pipe without a
//! reader), the work goes on and the status tells.

use std::fmt;
use std::io::{self, Write};

/// Says one thing to people.
pub(crate) fn say(what: impl fmt::Display) {
    write(&format!("ringway: {what}\n"));
}

/// Writes a text as it is.
pub(crate) fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
