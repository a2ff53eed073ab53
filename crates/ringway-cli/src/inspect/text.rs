//! One thing in full, as `stat` shows it.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use ringway::os::Name;

use crate::observe::{Entry, Participant, Process, Report, Slabs, State};
use crate::output;
use crate::units::{counted, human_size};

/// Fields, a line each.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:<12}{value}");
    }

    fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

pub(super) fn of(report: &Report) -> String {
    let mut fields = Fields::default();
    fields.add("address", &report.address);
    fields.add("kind", report.kind);
    if !matches!(report.kind, "board" | "service") {
        fields.maybe("sync", report.sync);
    }
    fields.maybe("owner", owner(report));
    fields.maybe("created", report.created_ns.map(time));
    fields.add("used", used(report));
    match report.kind {
        "board" | "service" => board(&mut fields, report),
        "queue" => queue(&mut fields, report),
        "log" => log(&mut fields, report),
        _ => ring(&mut fields, report),
    }
    fields.maybe("activity", activity(report));
    let mut text = fields.0;
    if !report.all().is_empty() {
        text.push('\n');
        text.push_str(&participants(report.all()));
    }
    if !report.entries.is_empty() {
        text.push('\n');
        text.push_str(&entries(&report.entries));
    }
    text
}

fn ring(fields: &mut Fields, report: &Report) {
    let message_type = report.message_type.as_ref();
    fields.maybe("messages", message_type.map(|one| &one.shown));
    let lost = report.overwritten.filter(|lost| *lost > 0);
    let lost = lost.map_or_else(String::new, |lost| format!(", {} so far", messages(lost)));
    let when_full = report.when_full.unwrap_or_default();
    fields.add("when full", format!("{when_full}{lost}"));
    fields.maybe("sent", report.sent.map(messages));
    let behind = report.messages.unwrap_or(0);
    let received = messages(report.received.unwrap_or(0));
    fields.add("received", format!("{received}, {behind} behind"));
    for role in ["producer", "consumer"] {
        fields.add(role, who(report, role));
    }
    fields.maybe("held up by", held_up_by(report));
    for slabs in &report.slabs {
        fields.add("slabs", slab_class(slabs, report.slab_segments));
    }
    let ever = counted(report.producers_ever.unwrap_or(0), "producer");
    fields.add("joined", format!("{ever} so far"));
    let repaired = counted(report.repaired.unwrap_or(0), "record");
    fields.add("repaired", format!("{repaired} of the dead"));
}

fn board(fields: &mut Fields, report: &Report) {
    fields.maybe("set", report.sent.map(|sent| counted(sent, "value")));
    if let Some(service) = &report.service {
        fields.add("servers", service.servers);
        fields.add(
            "clients",
            format!("{} of {}", service.clients, service.desks),
        );
    }
    fields.add("writers", who(report, "producer"));
}

fn queue(fields: &mut Fields, report: &Report) {
    let waiting = report.messages.unwrap_or(0);
    fields.add("messages", format!("{waiting} of {}", room(report)));
    let longest = human_size(report.max_message_bytes.unwrap_or(0));
    fields.add("longest", format!("{longest} a message"));
    let order = match report.priorities {
        Some(true) => "by priority, then of sending",
        _ => "of sending",
    };
    fields.add("order", order);
    fields.maybe("senders", report.senders);
    fields.maybe("receivers", report.receivers);
}

fn log(fields: &mut Fields, report: &Report) {
    let next = report.next_number.unwrap_or(0);
    let kept = match report.messages {
        None | Some(0) => format!("0, the next is {next}"),
        Some(count) => {
            let oldest = report.oldest_number.unwrap_or(0);
            format!("{count}, from {oldest} to {}", next.saturating_sub(1))
        }
    };
    fields.add("messages", kept);
    let writer = match report.all() {
        [] => "nobody".to_owned(),
        [one, ..] if one.pid == 0 => "a process in another pid namespace".to_owned(),
        [one, ..] => format!("process {}", one.pid),
    };
    fields.add("writer", writer);
    for cursor in &report.cursors {
        let (name, next, behind) = (Name::of(&cursor.name), cursor.next_number, cursor.behind);
        fields.add("cursor", format!("{name}: next is {next}, {behind} behind"));
    }
}

/// Whose it is, and who else may use it.
fn owner(report: &Report) -> Option<String> {
    let owner = super::tables::owner(report)?;
    let mode = report.mode.as_deref().unwrap_or_default();
    Some(format!("{owner}, mode {mode}"))
}

fn used(report: &Report) -> String {
    let used = human_size(report.used_bytes);
    match (report.capacity_bytes, report.segments) {
        (Some(capacity), _) => {
            let percent = report.used_bytes as f64 * 100.0 / capacity.max(1) as f64;
            format!("{used} of {} ({percent:.1} %)", human_size(capacity))
        }
        (None, Some(segments)) => format!("{used} in {}", counted(segments, "segment")),
        (None, None) => used,
    }
}

/// How many fit into a queue.
pub(super) fn room(report: &Report) -> String {
    match (report.max_messages, report.capacity_bytes) {
        (Some(messages), _) => messages.to_string(),
        (None, Some(bytes)) => human_size(bytes),
        (None, None) => "-".to_owned(),
    }
}

fn messages(count: u64) -> String {
    counted(count, "message")
}

fn held_up_by(report: &Report) -> Option<String> {
    let all = report.held_up_by.as_ref()?;
    if all.is_empty() {
        return Some("nobody who lives: no consumer is there".to_owned());
    }
    let named = |process: &Process| {
        let command = process.command.as_deref().unwrap_or("?");
        let state = match process.state {
            State::Stopped => ", stopped",
            _ => "",
        };
        format!("{} ({}{state})", process.pid, Name::of(command))
    };
    Some(all.iter().map(named).collect::<Vec<_>>().join(", "))
}

fn activity(report: &Report) -> Option<String> {
    let activity = report.activity.as_ref()?;
    let rate = |name: &str, rate: Option<f64>| rate.map(|rate| format!("{rate:.1}/s {name}"));
    let mut parts: Vec<String> = [
        rate("in", activity.sent_per_second),
        rate("out", activity.received_per_second),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.push(match activity.idle_seconds {
        Some(idle) if !activity.moved => format!("last moved {idle:.1} s ago"),
        Some(_) => "moving".to_owned(),
        None => format!("nothing moved in {:.1} s", activity.over_seconds),
    });
    if let Some(blocked) = activity.blocked_seconds {
        parts.push(format!("blocked for {blocked:.1} s or longer"));
    }
    Some(parts.join(", "))
}

/// How many slabs of one length are free, and who holds the others.
fn slab_class(slabs: &Slabs, are_segments: bool) -> String {
    let (free, count) = (slabs.free, slabs.count);
    let mut text = format!(
        "{free} of {count} free, of {} each",
        human_size(slabs.slab_bytes)
    );
    if are_segments {
        text.push_str(", in segments of their own");
    }
    for holder in &slabs.held {
        let role = holder.role;
        let _ = match holder.pid {
            Some(pid) => write!(text, "; {role} {pid} holds {}", holder.count),
            None => write!(text, "; a {role} that is gone held {}", holder.count),
        };
    }
    if slabs.withheld > 0 {
        let withheld = slabs.withheld;
        let _ = write!(
            text,
            "; {withheld} to be had when the kernel writes there no more"
        );
    }
    text
}

/// What a participant's process is called here.
pub(super) fn process(participant: &Participant) -> String {
    match (participant.pid_here, participant.pid_namespace) {
        (Some(pid), _) => pid.to_string(),
        // As it was called there.
        (None, Some(namespace)) if participant.alive => {
            format!("{} in pid:[{namespace}]", participant.pid)
        }
        (None, _) => participant.pid.to_string(),
    }
}

/// Who is attached, or died, one a line.
fn participants(participants: &[Participant]) -> String {
    let head = ["ROLE", "PID", "COMMAND", "STATE", "MESSAGES", "SINCE"];
    let rows = participants.iter().map(|participant| {
        let state = match (participant.state, participant.waits_for) {
            (State::Dead, _) => "died".to_owned(),
            (State::Running, Some(what)) => format!("waits for {what}"),
            (state, Some(what)) => format!("{}, waits for {what}", state.name()),
            (state, None) => state.name().to_owned(),
        };
        let state = match &participant.subscription {
            Some(one) if one.evicted => format!("{state}, evicted"),
            Some(one) => format!("{state}, {}, {} behind", one.policy, messages(one.behind)),
            None => state,
        };
        let command = participant.command.as_ref();
        let maybe = |figure: Option<u64>| figure.map_or("-".to_owned(), |it| it.to_string());
        [
            participant.role.to_owned(),
            process(participant),
            command.map_or("-".to_owned(), |command| Name::of(command).to_string()),
            state,
            maybe(participant.messages),
            participant.attached_ns.map_or("-".to_owned(), time),
        ]
    });
    output::table(head, &[1, 4], rows)
}

fn entries(entries: &[Entry]) -> String {
    let head = ["KEY", "VALUES", "BYTES", "WRITER"];
    let rows = entries.iter().map(|entry| {
        [
            Name::of(&entry.key).to_string(),
            entry.values.to_string(),
            entry.value_bytes.to_string(),
            match entry.writer {
                None => "-".to_owned(),
                Some(0) => "died".to_owned(),
                Some(pid) if entry.writer_alive => pid.to_string(),
                Some(pid) => format!("{pid} died"),
            },
        ]
    });
    output::table(head, &[1, 2], rows)
}

/// Who plays `role`, in a few words.
pub(super) fn who(report: &Report, role: &str) -> String {
    let closed = match role {
        "producer" => report.producer_closed,
        _ => report.consumer_closed,
    };
    let (alive, dead): (Vec<_>, Vec<_>) = report
        .all()
        .iter()
        .filter(|participant| participant.role == role)
        .partition(|participant| participant.alive);
    let stopped = alive.iter().filter(|one| one.state == State::Stopped);
    let stopped = match (stopped.count(), alive.len()) {
        (0, _) => String::new(),
        (1, 1) => " stopped".to_owned(),
        (stopped, _) => format!(", {stopped} stopped"),
    };
    match (alive.as_slice(), dead.as_slice()) {
        ([], _) if closed == Some(true) => "closed".to_owned(),
        ([], []) => "-".to_owned(),
        ([], [one]) => format!("{} died", process(one)),
        ([], many) => format!("{} died", many.len()),
        ([one], []) => named(one) + &stopped,
        ([one], dead) => format!("{}{stopped}, {} died", named(one), dead.len()),
        (many, []) => format!("{} alive{stopped}", many.len()),
        (many, dead) => format!("{} alive{stopped}, {} died", many.len(), dead.len()),
    }
}

/// A process by its number and its command's name.
fn named(participant: &Participant) -> String {
    let process = process(participant);
    match &participant.command {
        Some(command) => format!("{process} ({})", Name::of(command)),
        None => process,
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
