//! Standard output, for listings and for data.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ringway::os::Line;

use crate::descriptors;
use crate::failure::Failure;
use crate::signals;

/// Standard output without the line buffer that `std` puts before it.
pub(crate) fn data() -> Result<File, Failure> {
    descriptors::require_output()?;
    io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .map(File::from)
        .map_err(Failure::output)
}

/// Writes everything, or says how much was written before the error; [`ErrorKind::Interrupted`] if this process is
/// told to end.
pub(crate) fn write_all(mut file: &File, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            // Only what has to wait is given up: what can be written is not lost, or does not come again.
            Err(error) if is_delay(&error) && signals::is_urged() => {
                return Err((written, ErrorKind::Interrupted.into()));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Whoever shares the descriptor has made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(file, PollFlags::POLLOUT),
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

fn is_delay(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

/// Waits until `file` can be read or written, or says that it cannot, or a signal comes.
pub(crate) fn wait(file: &impl AsFd, what: PollFlags) {
    let _ = poll(&mut [PollFd::new(file.as_fd(), what)], PollTimeout::NONE);
}

/// Writes a whole listing.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write_all(&data()?, text.as_bytes()).map_err(|(_, error)| Failure::output(error))
}

/// Writes a value as JSON and a newline.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::error)?;
    print(&(text + "\n"))
}

/// Writes a value as a line of JSON.
pub(crate) fn print_json_line(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(Failure::error)?;
    print(&(text + "\n"))
}

/// Writes a listing in place of what a terminal shows; elsewhere below what was written before, and an empty line.
pub(crate) fn print_over(text: &str) -> Result<(), Failure> {
    use std::io::IsTerminal;
    match io::stdout().is_terminal() {
        // To the corner; clear what is there.
        true => print(&format!("\x1b[H\x1b[2J{text}")),
        false => print(&format!("{text}\n")),
    }
}

/// Columns under their heads; those of numbers to the right. A row is a line, whatever is in it.
pub(crate) fn table<const N: usize>(
    head: [&str; N],
    numbers: &[usize],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows.map(|row| row.map(|cell| Line(cell).to_string())))
        .collect();
    let widths: Vec<usize> = (0..N)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let width = *width;
            // Writing to a string cannot fail.
            let _ = if numbers.contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
