//! Message queues.

use ringway::mq::QueueStat;

use super::report::Report;

pub(super) fn report(stat: &QueueStat) -> Report {
    Report {
        used_bytes: stat.bytes,
        capacity_bytes: stat.max_bytes,
        messages: Some(stat.messages),
        max_messages: stat.max_messages,
        max_message_bytes: Some(stat.max_message_len as u64),
        priorities: Some(stat.priorities),
        senders: Some(stat.senders as u64),
        receivers: Some(stat.receivers as u64),
        ..Report::new(&stat.address, "queue").owned_by(Some(stat.owner), Some(stat.mode))
    }
}
