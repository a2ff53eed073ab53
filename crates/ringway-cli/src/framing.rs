//! What is a message in a stream of bytes, and cutting a stream into messages.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use nix::poll::PollFlags;

use crate::descriptors;
use crate::failure::Failure;
use crate::output;

/// What is a message in a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// What ends with this byte, without it.
    Delimited(u8),
    /// A block, of whatever size.
    Raw,
    /// Bytes with their length before them, 32 bits, little-endian.
    Frames,
    /// All.
    Whole,
}

impl Framing {
    /// A line, without its newline.
    pub(crate) const LINES: Self = Self::Delimited(b'\n');

    /// Bytes that stand before or behind a message that is written.
    pub(crate) fn overhead(self) -> usize {
        match self {
            Self::Delimited(_) => 1,
            Self::Frames => 4,
            Self::Raw | Self::Whole => 0,
        }
    }
}

/// Bytes that are read at once.
const BLOCK: usize = 256 << 10;

/// Files that are read one after the other, as if they were one.
pub(crate) struct Input {
    waiting: VecDeque<PathBuf>,
    current: Option<(PathBuf, File)>,
}

impl Input {
    /// All files in order; standard input if there are none. The first is opened now.
    pub(crate) fn open(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut waiting: VecDeque<_> = files.to_vec().into();
        if waiting.is_empty() {
            waiting.push_back("-".into());
        }
        for path in &waiting {
            check(path)?;
        }
        let mut input = Self {
            waiting,
            current: None,
        };
        input.open_next().map_err(Failure::error)?;
        Ok(input)
    }

    /// Bytes that all files together say they have, if all do. They may be wrong.
    pub(crate) fn expected_len(&self) -> Option<u64> {
        let path_len = |path: &PathBuf| path.metadata().ok().filter(Metadata::is_file);
        let waiting = self.waiting.iter().map(path_len);
        let (_, file) = self.current.as_ref()?;
        let current = file.metadata().ok().filter(Metadata::is_file);
        let position = (&*file).stream_position().unwrap_or(0);
        let all: Option<u64> = waiting
            .chain([current])
            .map(|metadata| metadata.map(|metadata| metadata.len()))
            .sum();
        all?.checked_sub(position).filter(|len| *len > 0)
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.current = match self.waiting.pop_front() {
            Some(path) => {
                let file = open(&path).map_err(|error| name(&path, &error))?;
                Some((path, file))
            }
            None => None,
        };
        Ok(())
    }
}

/// Fails if it is known before anything is sent that a file cannot be.
fn check(path: &Path) -> Result<(), Failure> {
    if path == Path::new("-") {
        return descriptors::require_input();
    }
    path.metadata()
        .map(drop)
        .map_err(|error| Failure::error(name(path, &error)))
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::fd::AsFd;
    if path == Path::new("-") {
        // Without the buffer that `std` puts before it: there is one here.
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(path)
    }
}

fn name(path: &Path, error: &io::Error) -> io::Error {
    let shown = match path.to_str() {
        Some("-") => "standard input".into(),
        _ => path.to_string_lossy(),
    };
    io::Error::new(error.kind(), format!("cannot read {shown}: {error}"))
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((path, file)) = &mut self.current {
            match file.read(buffer) {
                Ok(0) if !buffer.is_empty() => self.open_next()?,
                // Whoever shares the descriptor has made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    output::wait(file, PollFlags::POLLIN);
                }
                // The readers above try again after an interruption.
                Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
                Err(error) => return Err(name(path, &error)),
                count => return count,
            }
        }
        Ok(0)
    }
}

/// Cuts `input` into messages of at most `max` bytes, and calls `send` for each as soon as it is
/// complete.
pub(crate) fn cut(
    input: Input,
    framing: Framing,
    max: usize,
    send: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let capacity = match framing {
        Framing::Raw => BLOCK.min(max / 4).max(1),
        _ => BLOCK,
    };
    let input = BufReader::with_capacity(capacity, input);
    match framing {
        Framing::Delimited(end) => delimited(input, end, max, send),
        Framing::Raw => raw(input, send),
        Framing::Frames => frames(input, max, send),
        // In pieces, by others.
        Framing::Whole => Ok(()),
    }
}

/// Messages that end with the byte `end`; of the last one it may be missing.
fn delimited(
    mut input: impl BufRead,
    end: u8,
    max: usize,
    mut send: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut number = 0_u64;
    let mut send = |message: &[u8]| {
        number += 1;
        if message.len() > max {
            let what = match end {
                b'\n' => "line",
                _ => "message",
            };
            return Err(too_large(format_args!("{what} {number}"), max));
        }
        send(message)
    };
    // The start of a message whose end is not read yet.
    let mut begun = Vec::new();
    loop {
        let block = fill(&mut input)?;
        if block.is_empty() {
            break;
        }
        let len = block.len();
        let mut rest = block;
        while let Some(len) = memchr::memchr(end, rest) {
            if begun.is_empty() {
                send(&rest[..len])?;
            } else {
                begun.extend_from_slice(&rest[..len]);
                send(&begun)?;
                begun.clear();
            }
            rest = &rest[len + 1..];
        }
        begun.extend_from_slice(rest);
        input.consume(len);
        // A message without an end must not fill the memory.
        if begun.len() > max {
            break;
        }
    }
    if begun.is_empty() {
        Ok(())
    } else {
        send(&begun)
    }
}

fn raw(
    mut input: impl BufRead,
    mut send: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        let block = fill(&mut input)?;
        if block.is_empty() {
            return Ok(());
        }
        send(block)?;
        let len = block.len();
        input.consume(len);
    }
}

fn frames(
    mut input: impl BufRead,
    max: usize,
    mut send: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut frame = Vec::new();
    let mut number = 0_u64;
    while !fill(&mut input)?.is_empty() {
        number += 1;
        let read = |error: io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                Failure::error(format_args!("the input ends within frame {number}"))
            }
            _ => Failure::error(error),
        };
        let mut len = [0; 4];
        input.read_exact(&mut len).map_err(read)?;
        let len = u32::from_le_bytes(len) as usize;
        if len > max {
            return Err(too_large(
                format_args!("frame {number} with {len} bytes"),
                max,
            ));
        }
        frame.resize(len, 0);
        input.read_exact(&mut frame).map_err(read)?;
        send(&frame)?;
    }
    Ok(())
}

/// What is in the buffer; if nothing, what one read gives.
fn fill(input: &mut impl BufRead) -> Result<&[u8], Failure> {
    // Asked twice, because a borrow that is returned from a loop would outlive it.
    while let Err(error) = input.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(Failure::error(error));
        }
    }
    input.fill_buf().map_err(Failure::error)
}

pub(crate) fn too_large(what: impl std::fmt::Display, max: usize) -> Failure {
    Failure::error(format_args!(
        "{what} is too large: up to {max} bytes a message go through here; send --raw or --whole, or create \
         a ring with a larger --capacity or --slabs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives `step` bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(buffer.len());
            self.0.read(&mut buffer[..len])
        }
    }

    fn cut_lines(text: &[u8], step: usize, max: usize) -> (Vec<Vec<u8>>, bool) {
        let mut sent = Vec::new();
        let keep = |line: &[u8]| {
            sent.push(line.to_vec());
            Ok(())
        };
        let input = BufReader::with_capacity(7, Dribble(text, step));
        let outcome = delimited(input, b'\n', max, keep);
        (sent, outcome.is_ok())
    }

    #[test]
    fn lines_are_cut_alike_however_they_arrive() {
        let text = b"one\n\nthree is longer than the buffer\n\n\nlast";
        let expected: Vec<_> = text
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        for step in 1..12 {
            assert_eq!(
                cut_lines(text, step, 100),
                (expected.clone(), true),
                "{step}"
            );
        }
    }

    #[test]
    fn a_final_newline_starts_no_line() {
        assert_eq!(cut_lines(b"a\n", 3, 9), (vec![b"a".to_vec()], true));
        assert_eq!(cut_lines(b"\n", 3, 9), (vec![vec![]], true));
        assert_eq!(cut_lines(b"", 3, 9), (vec![], true));
    }

    #[test]
    fn a_line_that_is_too_long_stops_the_rest() {
        assert_eq!(
            cut_lines(b"ok\n0123456789\nnot sent", 3, 9),
            (vec![b"ok".to_vec()], false)
        );
        assert_eq!(cut_lines(b"0123456789", 3, 9), (vec![], false));
        assert_eq!(
            cut_lines(b"012345678", 3, 9),
            (vec![b"012345678".to_vec()], true)
        );
    }

    #[test]
    fn a_frame_that_is_cut_short_is_an_error() {
        let mut sent = Vec::new();
        let input = [3, 0, 0, 0, b'a', b'b', b'c', 0, 0, 0, 0, 9, 0];
        let outcome = frames(&input[..], 9, |frame| {
            sent.push(frame.to_vec());
            Ok(())
        });
        assert!(outcome.is_err());
        assert_eq!(sent, [b"abc".to_vec(), vec![]]);
    }
}
