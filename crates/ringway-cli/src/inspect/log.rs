//! Logs, as an observer sees them.

use std::fmt::Write;

use ringway::Address;
use ringway::log::{Builder, LogStat};
use serde::Serialize;

use crate::failure::Failure;
use crate::log;
use crate::output;
use crate::units::{counted, human_size};

/// A log, as JSON shows it.
#[derive(Serialize)]
struct LogJson {
    address: String,
    kind: &'static str,
    oldest_number: u64,
    next_number: u64,
    segments: usize,
    used_bytes: u64,
    /// Null if nobody writes.
    writer: Option<u32>,
    cursors: Vec<CursorJson>,
}

#[derive(Serialize)]
struct CursorJson {
    name: String,
    next_number: u64,
    behind: u64,
}

/// Shows one.
pub(super) fn show(address: &Address, json: bool) -> Result<(), Failure> {
    let log = Builder::at(address)?.open().map_err(log::advise)?;
    let stat = log.stat().map_err(log::advise)?;
    match json {
        true => output::print_json(&of(address, &stat)),
        false => output::print(&text(address, &stat)),
    }
}

fn of(address: &Address, stat: &LogStat) -> LogJson {
    let cursor = |(name, number): &(String, u64)| CursorJson {
        name: name.clone(),
        next_number: *number,
        behind: stat.next.saturating_sub(*number),
    };
    LogJson {
        address: address.to_string(),
        kind: "log",
        oldest_number: stat.oldest,
        next_number: stat.next,
        segments: stat.segments,
        used_bytes: stat.bytes,
        writer: stat.writer,
        cursors: stat.cursors.iter().map(cursor).collect(),
    }
}

fn text(address: &Address, stat: &LogStat) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    field("address", address.to_string());
    field("kind", "log".to_owned());
    let count = stat.next.saturating_sub(stat.oldest);
    field(
        "messages",
        match count {
            0 => format!("0, the next is {}", stat.next),
            _ => format!("{count}, from {} to {}", stat.oldest, stat.next - 1),
        },
    );
    let segments = counted(stat.segments as u64, "segment");
    field("used", format!("{} in {segments}", human_size(stat.bytes)));
    field(
        "writer",
        match stat.writer {
            Some(0) => "a process in another pid namespace".to_owned(),
            Some(pid) => format!("process {pid}"),
            None => "nobody".to_owned(),
        },
    );
    for (name, number) in &stat.cursors {
        let behind = stat.next.saturating_sub(*number);
        let name = ringway::os::Name::of(name);
        field(
            "cursor",
            format!("{name}: next is {number}, {behind} behind"),
        );
    }
    text
}
