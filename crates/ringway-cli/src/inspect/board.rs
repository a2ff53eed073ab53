//! A board, as `stat` shows it.

use std::fmt::Write;

use ringway::inspect::{EntryStat, Stat};
use ringway::os::Name;
use ringway::peer::Role;

use super::{state, time};
use crate::output;
use crate::units::{counted, human_size};

pub(super) fn text(stat: &Stat) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    field("address", stat.address.to_string());
    field("kind", stat.kind.name().to_owned());
    field("created", time(stat.created_ns));
    let (used, capacity) = (human_size(stat.used_bytes), human_size(stat.capacity_bytes));
    field("used", format!("{used} of {capacity}"));
    field("set", counted(stat.sent, "value"));
    field("writers", state(stat, Role::Producer));
    if !stat.entries.is_empty() {
        text.push('\n');
        let head = ["KEY", "VALUES", "BYTES", "WRITER"];
        let rows = stat.entries.iter().map(|entry| {
            [
                Name::of(&entry.key).to_string(),
                entry.number.to_string(),
                entry.len.to_string(),
                writer(entry),
            ]
        });
        text.push_str(&output::table(head, &[1, 2], rows));
    }
    text
}

/// Who writes an entry.
fn writer(entry: &EntryStat) -> String {
    match entry.writer {
        None => "-".to_owned(),
        Some(0) => "died".to_owned(),
        Some(pid) if entry.writer_alive => pid.to_string(),
        Some(pid) => format!("{pid} died"),
    }
}
