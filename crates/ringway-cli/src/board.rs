//! `ringway set`, `get` and `watch`: the latest values on a board.

use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;

use ringway::board::{Builder, GetError, Value};
use ringway::os::{Line, Name};
use ringway::{Board, Error, ErrorKind};

use crate::cli::{BoardArgs, GetArgs, SetArgs, WatchArgs};
use crate::descriptors;
use crate::failure::Failure;
use crate::output;
use crate::say::say;

fn at(args: &BoardArgs) -> Builder {
    Builder::at(args.address.clone()).any_owner(args.any_owner)
}

/// The next step, as the command line has it.
fn advise(error: Error) -> Failure {
    Failure::from(match error.kind() {
        ErrorKind::ForeignOwner => error.remedy("if that user is to be trusted, add --any-owner"),
        _ => error,
    })
}

/// As [`advise`], where nothing is there.
fn advise_to_make(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => {
            Failure::from(error.remedy("make it with ringway set, or wait for it with --wait 5s"))
        }
        _ => advise(error),
    }
}

/// Sets a value.
pub(crate) fn set(args: &SetArgs) -> Result<(), Failure> {
    if args.value.is_none() {
        descriptors::require_input()?;
    }
    let mut builder = at(&args.board);
    if let Some(entries) = args.entries {
        builder = builder.entries(entries);
    }
    if let Some(len) = args.value_len {
        builder = builder.value_len(len);
    }
    if let Some(mode) = args.mode {
        builder = builder.mode(mode);
    }
    // Never a negative answer: what is not found is where it was to be made.
    let board = builder
        .open_or_create()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::error(error),
            _ => advise(error),
        })?;
    let outcome = write(&board, args);
    if outcome.is_err() && board.is_new() && board.stat().sent == 0 {
        // Somebody may have come in this moment; then it stays.
        let _ = ringway::remove(board.address(), false);
    }
    outcome
}

fn write(board: &Board, args: &SetArgs) -> Result<(), Failure> {
    let value = match &args.value {
        Some(value) => value.as_bytes().to_vec(),
        None => read_all(board.max_value_len())?,
    };
    let mut writer = board.writer(&args.key)?;
    writer.set(&value).map(drop).map_err(|error| {
        Failure::error(error).after(format_args!("cannot set {}", Name::of(&args.key)))
    })
}

/// All of standard input, or one byte more than can be set.
fn read_all(most: usize) -> Result<Vec<u8>, Failure> {
    let mut value = Vec::new();
    let mut input = std::io::stdin().lock().take(most as u64 + 1);
    let read = input.read_to_end(&mut value);
    read.map_err(|error| Failure::error(format_args!("cannot read standard input: {error}")))?;
    Ok(value)
}

/// Shows a value.
pub(crate) fn get(args: &GetArgs) -> Result<(), Failure> {
    let mut builder = at(&args.board).prefault(false);
    if let Some(wait) = args.wait {
        builder = builder.wait(wait);
    }
    let board = builder.open().map_err(advise_to_make)?;
    let mut reader = board.reader(&args.key)?;
    let value = match (reader.get(), args.wait) {
        (Ok(None), Some(wait)) => match reader.wait_newer_timeout(wait) {
            Err(GetError::TimedOut) => Ok(None),
            // It died before its first value.
            Err(GetError::WriterDied) => Ok(None),
            value => value.map(Some),
        },
        (value, _) => value,
    };
    let value = value.map_err(|error| of_key(error, &args.key))?;
    let Some(value) = value else {
        let (key, address) = (Name::of(&args.key), board.address());
        return Err(Failure::negative(format_args!(
            "{key} has no value on {address}"
        )));
    };
    let mut bytes = value.into_bytes();
    if std::io::stdout().is_terminal() && bytes.last() != Some(&b'\n') {
        bytes.push(b'\n');
    }
    output::write_all(&output::data()?, &bytes).map_err(|(_, error)| Failure::output(error))
}

/// Writes a line for each change.
pub(crate) fn watch(args: &WatchArgs) -> Result<(), Failure> {
    let mut builder = at(&args.board).prefault(false);
    if let Some(wait) = args.wait {
        builder = builder.wait(wait);
    }
    let board = builder.open().map_err(advise_to_make)?;
    let address = board.address().clone();
    let mut next = changes(&board, args.key.as_deref())?;
    // Once it is removed, only who has it open could make it anew.
    drop(board);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let line = match next() {
            Err(GetError::Removed) => {
                let text = format!("{address} was removed, and nobody writes to it");
                return Err(Failure::negative(text));
            }
            Err(GetError::WriterDied) => {
                say("the process that writes it died; its successor's values will be shown");
                continue;
            }
            // The next look finds another one.
            Err(GetError::Changing) => continue,
            Err(error) => return Err(Failure::error(error)),
            Ok(line) => line,
        };
        output::print(&line)?;
        left -= 1;
    }
    Ok(())
}

type Changes = Box<dyn FnMut() -> Result<String, GetError>>;

/// What waits for the next line.
fn changes(board: &Board, key: Option<&str>) -> Result<Changes, Failure> {
    if let Some(key) = key {
        let mut reader = board.reader(key)?;
        return Ok(Box::new(move || {
            Ok(format!("{}\n", shown(&reader.wait_newer()?)))
        }));
    }
    let mut watcher = board.watch()?;
    Ok(Box::new(move || {
        let (key, value) = watcher.wait()?;
        Ok(format!("{}\t{}\n", Name::of(&key), shown(&value)))
    }))
}

/// A value in one line, without the newline that it may end with.
fn shown(value: &Value) -> String {
    let text = value.strip_suffix(b"\n").unwrap_or(value);
    Line(String::from_utf8_lossy(text)).to_string()
}

fn of_key(error: GetError, key: &str) -> Failure {
    Failure::error(error).after(format_args!("cannot read {}", Name::of(key)))
}
