//! All that there is, a line each, as `ls` shows it.

use std::fmt::Write;

use super::text::{room, who};
use crate::observe::{Report, State};
use crate::output;
use crate::units::{counted, human_size};

/// Tables of what has the same columns, and a line that sums up. `all` is how many there are, with those that were not asked
/// for.
pub(super) fn of(reports: &[Report], all: usize) -> String {
    let of_kind = |wanted: fn(&Report) -> bool| -> Vec<&Report> {
        reports.iter().filter(|report| wanted(report)).collect()
    };
    let tables = [
        rings(&of_kind(|report| report.sync.is_some())),
        queues(&of_kind(|report| report.kind == "queue")),
        logs(&of_kind(|report| report.kind == "log")),
        unusable(&of_kind(|report| report.problem.is_some())),
    ];
    let mut tables: Vec<_> = tables
        .into_iter()
        .filter(|table| !table.is_empty())
        .collect();
    if all > 0 {
        tables.push(summary(reports, all));
    }
    tables.join("\n")
}

/// Whose it is.
pub(super) fn owner(report: &Report) -> Option<String> {
    let uid = report.owner_uid?;
    Some(match &report.owner {
        Some(name) => name.clone(),
        None => format!("uid {uid}"),
    })
}

fn rights(report: &Report) -> [String; 2] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [or_dash(owner(report)), or_dash(report.mode.clone())]
}

fn rings(reports: &[&Report]) -> String {
    if reports.is_empty() {
        return String::new();
    }
    let head = [
        "ADDRESS", "KIND", "SYNC", "CAPACITY", "USED", "SENT", "RECEIVED", "OWNER", "MODE",
        "PRODUCER", "CONSUMER",
    ];
    let rows = reports.iter().map(|report| {
        let [owner, mode] = rights(report);
        [
            report.address.clone(),
            report.kind.to_owned(),
            report.sync.unwrap_or_default().to_owned(),
            human_size(report.capacity_bytes.unwrap_or(0)),
            human_size(report.used_bytes),
            report.sent.unwrap_or(0).to_string(),
            // Nobody counts who reads a board.
            (report.received).map_or("-".to_owned(), |received| received.to_string()),
            owner,
            mode,
            who(report, "producer"),
            who(report, "consumer"),
        ]
    });
    output::table(head, &[3, 4, 5, 6], rows)
}

fn queues(reports: &[&Report]) -> String {
    if reports.is_empty() {
        return String::new();
    }
    let head = [
        "ADDRESS",
        "MESSAGES",
        "OF",
        "USED",
        "LONGEST",
        "SENDERS",
        "RECEIVERS",
        "OWNER",
        "MODE",
    ];
    let rows = reports.iter().map(|report| {
        let [owner, mode] = rights(report);
        [
            report.address.clone(),
            report.messages.unwrap_or(0).to_string(),
            room(report),
            human_size(report.used_bytes),
            human_size(report.max_message_bytes.unwrap_or(0)),
            report.senders.unwrap_or(0).to_string(),
            report.receivers.unwrap_or(0).to_string(),
            owner,
            mode,
        ]
    });
    output::table(head, &[1, 2, 3, 4, 5, 6], rows)
}

fn logs(reports: &[&Report]) -> String {
    if reports.is_empty() {
        return String::new();
    }
    let head = [
        "ADDRESS", "MESSAGES", "NEXT", "USED", "CURSORS", "OWNER", "MODE", "WRITER",
    ];
    let rows = reports.iter().map(|report| {
        let [owner, mode] = rights(report);
        [
            report.address.clone(),
            report.messages.unwrap_or(0).to_string(),
            report.next_number.unwrap_or(0).to_string(),
            human_size(report.used_bytes),
            report.cursors.len().to_string(),
            owner,
            mode,
            who(report, "producer"),
        ]
    });
    output::table(head, &[1, 2, 3, 4], rows)
}

fn unusable(reports: &[&Report]) -> String {
    if reports.is_empty() {
        return String::new();
    }
    let rows = reports.iter().map(|report| {
        [
            report.address.clone(),
            report.kind.to_owned(),
            report.problem.clone().unwrap_or_default(),
        ]
    });
    output::table(["ADDRESS", "STATE", "PROBLEM"], &[], rows)
}

/// One line for all.
fn summary(reports: &[Report], all: usize) -> String {
    let count = |wanted: fn(&Report) -> bool| reports.iter().filter(|one| wanted(one)).count();
    let is_board = |report: &Report| matches!(report.kind, "board" | "service");
    let boards = reports.iter().filter(|one| is_board(one)).count();
    let kinds = [
        (count(|report| report.sync.is_some()) - boards, "ring"),
        (count(|report| report.kind == "board"), "board"),
        (count(|report| report.kind == "service"), "service"),
        (count(|report| report.kind == "queue"), "queue"),
        (count(|report| report.kind == "log"), "log"),
    ];
    let kinds = kinds.into_iter().filter(|(count, _)| *count > 0);
    let kinds: Vec<_> = kinds
        .map(|(count, kind)| counted(count as u64, kind))
        .collect();
    let mut line = match kinds.is_empty() {
        true => "nothing".to_owned(),
        false => kinds.join(", "),
    };
    let unusable = count(|report| report.problem.is_some());
    if unusable > 0 {
        let _ = write!(line, ", {unusable} unusable");
    }
    if reports.len() < all {
        let _ = write!(line, ", of {all} things");
    }
    let of_rings = reports.iter().filter(|report| report.kind != "log");
    let waiting = of_rings.filter_map(|report| report.messages);
    let used = reports.iter().map(|report| report.used_bytes);
    let _ = write!(
        line,
        ": {} waiting, {} used",
        counted(waiting.fold(0, u64::saturating_add), "message"),
        human_size(used.fold(0, u64::saturating_add)),
    );
    for state in [State::Stopped, State::Dead] {
        let processes: usize = reports.iter().map(|report| report.count(state)).sum();
        if processes > 0 {
            let _ = write!(line, ", {processes} {}", state.name());
        }
    }
    line + "\n"
}
