//! Message queues, as an observer sees them.

use std::fmt::Write;

use ringway::Error;
use ringway::mq::QueueStat;
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use crate::units::human_size;

/// A queue, as JSON shows it.
#[derive(Serialize)]
pub(super) struct QueueJson {
    address: String,
    kind: &'static str,
    messages: u64,
    used_bytes: u64,
    max_messages: Option<u64>,
    max_bytes: Option<u64>,
    max_message_bytes: usize,
    priorities: bool,
    senders: usize,
    receivers: usize,
    owner_uid: u32,
    mode: String,
}

impl From<&QueueStat> for QueueJson {
    fn from(stat: &QueueStat) -> Self {
        Self {
            address: stat.address.to_string(),
            kind: "queue",
            messages: stat.messages,
            used_bytes: stat.bytes,
            max_messages: stat.max_messages,
            max_bytes: stat.max_bytes,
            max_message_bytes: stat.max_message_len,
            priorities: stat.priorities,
            senders: stat.senders,
            receivers: stat.receivers,
            owner_uid: stat.owner,
            mode: format!("{:o}", stat.mode),
        }
    }
}

/// A line each.
pub(super) fn table(stats: &[QueueStat]) -> String {
    if stats.is_empty() {
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
    ];
    let rows = stats.iter().map(|stat| {
        [
            stat.address.to_string(),
            stat.messages.to_string(),
            room(stat),
            human_size(stat.bytes),
            human_size(stat.max_message_len as u64),
            stat.senders.to_string(),
            stat.receivers.to_string(),
        ]
    });
    output::table(head, &[1, 2, 3, 4, 5, 6], rows)
}

/// How much fits.
fn room(stat: &QueueStat) -> String {
    match (stat.max_messages, stat.max_bytes) {
        (Some(messages), _) => messages.to_string(),
        (None, Some(bytes)) => human_size(bytes),
        (None, None) => "-".to_owned(),
    }
}

/// Shows one queue.
pub(super) fn show(stat: Result<QueueStat, Error>, json: bool) -> Result<(), Failure> {
    let stat = stat?;
    if json {
        return output::print_json(&QueueJson::from(&stat));
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    field("address", stat.address.to_string());
    field("kind", "queue".to_owned());
    field("messages", format!("{} of {}", stat.messages, room(&stat)));
    field("used", human_size(stat.bytes));
    field(
        "longest",
        format!("{} a message", human_size(stat.max_message_len as u64)),
    );
    let order = match stat.priorities {
        true => "by priority, then of sending",
        false => "of sending",
    };
    field("order", order.to_owned());
    field("senders", stat.senders.to_string());
    field("receivers", stat.receivers.to_string());
    field("owner", format!("uid {}, mode {:o}", stat.owner, stat.mode));
    output::print(&text)
}
