//! `ringway ls` and `ringway stat`: rings as an observer sees them.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use ringway::{Address, Error, ErrorKind, ParticipantStat, Role, Stat};
use serde::Serialize;

use crate::cli::{LsArgs, StatArgs};
use crate::failure::Failure;
use crate::output;
use crate::units::human_size;

/// A ring, as JSON shows it.
#[derive(Serialize)]
struct RingJson {
    address: String,
    kind: &'static str,
    sync: &'static str,
    capacity_bytes: u64,
    used_bytes: u64,
    sent: u64,
    received: u64,
    producer_closed: bool,
    consumer_closed: bool,
    created_ns: u64,
    participants: Vec<ParticipantJson>,
}

#[derive(Serialize)]
struct ParticipantJson {
    role: &'static str,
    pid: u32,
    alive: bool,
    epoch: u64,
    attached_ns: u64,
}

impl From<&Stat> for RingJson {
    fn from(stat: &Stat) -> Self {
        Self {
            address: stat.address.to_string(),
            kind: stat.kind.name(),
            sync: stat.sync.name(),
            capacity_bytes: stat.capacity_bytes,
            used_bytes: stat.used_bytes,
            sent: stat.sent,
            received: stat.received,
            producer_closed: stat.producer_closed,
            consumer_closed: stat.consumer_closed,
            created_ns: stat.created_ns,
            participants: stat
                .participants
                .iter()
                .map(ParticipantJson::from)
                .collect(),
        }
    }
}

impl From<&ParticipantStat> for ParticipantJson {
    fn from(participant: &ParticipantStat) -> Self {
        Self {
            role: participant.role.name(),
            pid: participant.pid,
            alive: participant.alive,
            epoch: participant.epoch,
            attached_ns: participant.attached_ns,
        }
    }
}

/// Shows one ring.
pub(crate) fn stat(args: &StatArgs) -> Result<(), Failure> {
    let stat = ringway::stat(&args.address)?;
    if args.json {
        return output::print_json(&RingJson::from(&stat));
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    field("address", stat.address.to_string());
    field(
        "kind",
        format!("{}, woken by {}", stat.kind.name(), stat.sync.name()),
    );
    field("created", time(stat.created_ns));
    let percent = stat.used_bytes as f64 * 100.0 / stat.capacity_bytes.max(1) as f64;
    let (used, capacity) = (human_size(stat.used_bytes), human_size(stat.capacity_bytes));
    field("used", format!("{used} of {capacity} ({percent:.1} %)"));
    field("sent", format!("{} messages", stat.sent));
    let behind = stat.sent - stat.received.min(stat.sent);
    field(
        "received",
        format!("{} messages, {behind} behind", stat.received),
    );
    for role in [Role::Producer, Role::Consumer] {
        let holder = stat
            .participants
            .iter()
            .find(|participant| participant.role == role);
        let since = holder
            .filter(|holder| holder.alive)
            .map(|holder| time(holder.attached_ns));
        let since = since
            .map(|since| format!(", since {since}"))
            .unwrap_or_default();
        field(role.name(), state(&stat, role) + &since);
    }
    output::print(&text)
}

/// Lists rings.
pub(crate) fn ls(args: &LsArgs) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut stats = Vec::new();
    for address in ringway::list() {
        match ringway::stat(&address) {
            Ok(stat) => stats.push(stat),
            // Removed since it was listed, or not finished yet.
            Err(error) if is_passing(&error) => {}
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    for file in &args.files {
        match look_in(file) {
            Ok(found) => stats.extend(found),
            Err(failure) => failures.push(failure),
        }
    }
    if args.json {
        output::print_json(&stats.iter().map(RingJson::from).collect::<Vec<_>>())?;
    } else {
        output::print(&table(&stats))?;
    }
    Failure::all(failures)
}

/// The file's ring, or those of the directory's files that are rings.
fn look_in(path: &Path) -> Result<Vec<Stat>, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot list {}: {error}", path.display());
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::negative(message),
            _ => Failure::error(message),
        }
    };
    // An address is taken as well: it is what the other commands want.
    let path = match path.to_str().and_then(|text| text.strip_prefix("file:")) {
        Some(rest) => Path::new(rest),
        None => path,
    };
    if !path.metadata().map_err(unreadable)?.is_dir() {
        return Ok(vec![ringway::stat(&Address::File(path.to_owned()))?]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // Opening a FIFO or a device may have effects.
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    // A directory may hold anything; what is no ring, or not ours to read, is none of ours to report.
    Ok(files
        .into_iter()
        .filter_map(|file| ringway::stat(&Address::File(file)).ok())
        .collect())
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::HalfMade)
}

fn table(stats: &[Stat]) -> String {
    if stats.is_empty() {
        return String::new();
    }
    let head = [
        "ADDRESS", "KIND", "CAPACITY", "USED", "SENT", "RECEIVED", "PRODUCER", "CONSUMER",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(stats.iter().map(|stat| {
        [
            stat.address.to_string(),
            stat.kind.name().to_owned(),
            human_size(stat.capacity_bytes),
            human_size(stat.used_bytes),
            stat.sent.to_string(),
            stat.received.to_string(),
            state(stat, Role::Producer),
            state(stat, Role::Consumer),
        ]
    }));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let numbers = 2..6;
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

/// Who plays `role`, in a few words.
fn state(stat: &Stat, role: Role) -> String {
    let closed = match role {
        Role::Producer => stat.producer_closed,
        Role::Consumer => stat.consumer_closed,
        _ => false,
    };
    let holder = stat
        .participants
        .iter()
        .find(|participant| participant.role == role);
    match holder {
        _ if closed => "closed".to_owned(),
        Some(holder) if holder.alive => holder.pid.to_string(),
        Some(holder) => format!("{} died", holder.pid),
        None => "-".to_owned(),
    }
}

/// Nanoseconds since 1970, as UTC to the second.
fn time(ns: u64) -> String {
    UNIX_EPOCH
        .checked_add(Duration::from_secs(ns / 1_000_000_000))
        .map_or_else(
            || "unknown".to_owned(),
            |at| humantime::format_rfc3339_seconds(at).to_string(),
        )
}
