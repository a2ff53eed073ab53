//! `ringway tap`: what flows past, without taking anything.

use std::collections::VecDeque;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use ringway::inspect::{Seen, Tap};
use ringway::{Address, Channel};
use serde::Serialize;

use crate::cli::TapArgs;
use crate::failure::Failure;
use crate::output;
use crate::say::say;
use crate::units::counted;

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(20);
/// How often to ask whether the ring is still there, and to say what passed unseen.
const ROUND: Duration = Duration::from_millis(500);

/// In which form a message is shown.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Hex,
    Json,
}

/// A message, as JSON shows it.
#[derive(Serialize)]
struct SeenJson {
    /// Null where a ring's messages have no numbers.
    number: Option<u64>,
    bytes: u64,
    /// If it is UTF-8.
    text: Option<String>,
    /// If it is not.
    hex: Option<String>,
}

pub(crate) fn run(args: &TapArgs) -> Result<(), Failure> {
    let address = match &args.address {
        Address::Log(_) => {
            let message = "a log is read without taking anything: use ringway recv, without --name";
            return Err(Failure::error(message));
        }
        address => Channel::find(address)?,
    };
    if let Address::Mq(_) | Address::Sysvmq(_) = address {
        return Err(Failure::error(format_args!(
            "{address} is a message queue, in which the kernel shows nothing to those who do not take it"
        )));
    }
    let form = match (args.hex, args.json) {
        (true, _) => Form::Hex,
        (_, true) => Form::Json,
        _ => Form::Text,
    };
    let mut tap = Tap::open(&address)?;
    let count = first(&mut tap, args, form)?;
    if !args.follow {
        return match count {
            0 if args.last != Some(0) => Err(Failure::negative("there is no message to see")),
            _ => Ok(()),
        };
    }
    follow(&mut tap, form)
}

/// Shows what is there. How many messages that are.
fn first(tap: &mut Tap, args: &TapArgs, form: Form) -> Result<usize, Failure> {
    let most = match (args.last, args.follow) {
        (Some(most), _) => most,
        // What comes.
        (None, true) => 0,
        (None, false) => usize::MAX,
    };
    let mut last = VecDeque::new();
    let outcome = tap.look(|message| {
        last.push_back(message);
        if last.len() > most {
            last.pop_front();
        }
    });
    let mut text = String::new();
    for message in &last {
        show(message, form, &mut text)?;
    }
    output::print(&text)?;
    outcome?;
    Ok(last.len())
}

/// Shows what comes, until the ring is removed.
fn follow(tap: &mut Tap, form: Form) -> Result<(), Failure> {
    let (mut round, mut missed) = (Instant::now(), tap.missed());
    loop {
        // Before the look: what a ring had when it was removed is shown.
        let is_current = round.elapsed() < ROUND || tap.is_current();
        let mut text = String::new();
        let mut failed = None;
        let outcome = tap.look(|message| {
            let shown = show(&message, form, &mut text);
            // What is written at once needs no room.
            let written = match text.len() > 1 << 20 {
                true => output::print(&std::mem::take(&mut text)),
                false => Ok(()),
            };
            if let Err(failure) = shown.and(written) {
                failed.get_or_insert(failure);
            }
        });
        if let Some(failure) = failed {
            return Err(failure);
        }
        if !text.is_empty() {
            output::print(&text)?;
        }
        outcome?;
        if round.elapsed() >= ROUND || !is_current {
            let passed = tap.missed() - missed;
            if passed > 0 {
                say(format_args!("{} passed unseen", counted(passed, "message")));
            }
            (round, missed) = (Instant::now(), tap.missed());
        }
        if !is_current {
            say("the ring was removed");
            return Ok(());
        }
        thread::sleep(INTERVAL);
    }
}

fn show(message: &Seen, form: Form, out: &mut String) -> Result<(), Failure> {
    let payload = message.payload.as_deref();
    match (form, payload) {
        (Form::Json, _) => {
            let text = payload.and_then(|bytes| str::from_utf8(bytes).ok());
            let hex = payload.filter(|_| text.is_none());
            let shown = SeenJson {
                number: message.number,
                bytes: message.len,
                text: text.map(str::to_owned),
                hex: hex.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            };
            out.push_str(&serde_json::to_string(&shown).map_err(Failure::error)?);
            out.push('\n');
        }
        (_, None) => {
            let why = match message.len {
                0 => "a message in a slab".to_owned(),
                len => format!("a message of {len} bytes"),
            };
            // It cannot be taken for a line of a message: those have no control characters.
            let _ = writeln!(out, "\t({why}, which is not shown)");
        }
        (Form::Text, Some(bytes)) => {
            line(bytes, out);
            out.push('\n');
        }
        (Form::Hex, Some(bytes)) => dump(message.number, bytes, out),
    }
    Ok(())
}

/// A message as a line: what is text as it is, and all else so that it does nothing to a terminal and can be told from text.
fn line(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                // Writing to a string cannot fail.
                letter if letter.is_control() => _ = write!(out, "{}", letter.escape_unicode()),
                letter => out.push(letter),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// A message as its bytes in hexadecimal, sixteen a line, with what is ASCII beside them.
fn dump(number: Option<u64>, bytes: &[u8], out: &mut String) {
    let len = counted(bytes.len() as u64, "byte");
    // Writing to a string cannot fail.
    let _ = match number {
        Some(number) => writeln!(out, "message {number}, {len}"),
        None => writeln!(out, "message, {len}"),
    };
    for (index, row) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:08x} ", index * 16);
        for at in 0..16 {
            let gap = if at == 8 { " " } else { "" };
            let _ = match row.get(at) {
                Some(byte) => write!(out, "{gap} {byte:02x}"),
                None => write!(out, "{gap}   "),
            };
        }
        let letter = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        let letters: String = row.iter().map(letter).collect();
        let _ = writeln!(out, "  |{letters}|");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_reaches_the_terminal_as_a_command() {
        let mut shown = String::new();
        line("a\x1b[31m\\\n\u{9b}ü\u{7f}".as_bytes(), &mut shown);
        line(b"\xff\xfe", &mut shown);
        assert_eq!(shown, "a\\u{1b}[31m\\\\\\n\\u{9b}ü\\u{7f}\\xff\\xfe");
        assert!(!shown.chars().any(char::is_control));
    }

    #[test]
    fn a_dump_has_columns() {
        let mut shown = String::new();
        dump(Some(7), b"0123456789abcdef\n", &mut shown);
        let expected = "message 7, 17 bytes\n\
            00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
            00000010  0a                                                |.|\n";
        assert_eq!(shown, expected);
    }
}
