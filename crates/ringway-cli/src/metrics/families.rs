//! Which figures there are, by which names. Names and labels follow Prometheus' conventions: base units, `_total` for what only grows, and
//! no process numbers in labels, which would make a new series with each restart.

use std::fmt::Error;
use std::time::Instant;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::observe::{Found, Participant, Report, State};

/// The labels of a sample.
type Labels = Vec<(&'static str, String)>;

/// Encodes all that was found.
pub(super) fn encode(
    mut encoder: DescriptorEncoder<'_>,
    found: &Found,
    begun: Instant,
) -> Result<(), Error> {
    for family in FAMILIES {
        let mut metric = encoder.encode_descriptor(
            family.name,
            family.help,
            family.unit.as_ref(),
            match family.is_counter {
                true => MetricType::Counter,
                false => MetricType::Gauge,
            },
        )?;
        for report in &found.reports {
            let mut samples = Samples::of(report);
            (family.read)(report, &mut samples);
            for (labels, figure) in samples.all {
                let mut sample = metric.encode_family(&labels)?;
                match family.is_counter {
                    true => sample.encode_counter::<NoLabelSet, u64, u64>(&figure, None)?,
                    false => sample.encode_gauge(&figure)?,
                }
            }
        }
    }
    let failures = ConstGauge::new(found.failures.len() as u64);
    let metric = encoder.encode_descriptor(
        "ringway_look_failures",
        "Files that were named and cannot be looked at",
        None,
        MetricType::Gauge,
    )?;
    failures.encode(metric)?;
    let took = ConstGauge::new(begun.elapsed().as_secs_f64());
    let metric = encoder.encode_descriptor(
        "ringway_look_duration",
        "How long it took to look at all",
        Some(&Unit::Seconds),
        MetricType::Gauge,
    )?;
    took.encode(metric)?;
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    let mut metric = encoder.encode_descriptor(
        "ringway_build_info",
        "The version of the program that looks; always 1",
        None,
        MetricType::Gauge,
    )?;
    metric.encode_family(&version)?.encode_gauge(&1u64)
}

/// A figure that things have.
struct Family {
    /// Without its unit, and without `_total`.
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    is_counter: bool,
    read: fn(&Report, &mut Samples),
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    read: fn(&Report, &mut Samples),
) -> Family {
    Family {
        name,
        help,
        unit,
        is_counter: false,
        read,
    }
}

const fn counter(
    name: &'static str,
    help: &'static str,
    read: fn(&Report, &mut Samples),
) -> Family {
    Family {
        name,
        help,
        unit: None,
        is_counter: true,
        read,
    }
}

/// What is told of one thing.
struct Samples {
    base: Labels,
    all: Vec<(Labels, u64)>,
}

impl Samples {
    fn of(report: &Report) -> Self {
        let base = vec![
            ("address", label(&report.address)),
            ("kind", report.kind.to_owned()),
        ];
        Self {
            base,
            all: Vec::new(),
        }
    }

    fn add(&mut self, figure: u64) {
        self.all.push((self.base.clone(), figure));
    }

    fn maybe(&mut self, figure: Option<u64>) {
        if let Some(figure) = figure {
            self.add(figure);
        }
    }

    fn with<const N: usize>(&mut self, labels: [(&'static str, String); N], figure: u64) {
        let mut all = self.base.clone();
        all.extend(labels);
        self.all.push((all, figure));
    }
}

/// A text of somebody else's as a label's value: nothing in it ends the value or the line.
fn label(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' | '\0'..='\x1f' | '\x7f' => {
                value.push_str(&format!("%{:02X}", letter as u32));
            }
            letter => value.push(letter),
        }
    }
    value
}

const FAMILIES: &[Family] = &[
    gauge(
        "ringway_used",
        "Bytes of what waits, words and padding included; of a log, of its files",
        Some(Unit::Bytes),
        |report, out| {
            if report.problem.is_none() {
                out.add(report.used_bytes);
            }
        },
    ),
    gauge(
        "ringway_capacity",
        "Bytes of room",
        Some(Unit::Bytes),
        |report, out| out.maybe(report.capacity_bytes),
    ),
    gauge(
        "ringway_capacity_messages",
        "Messages that a queue has room for",
        None,
        |report, out| out.maybe(report.max_messages),
    ),
    gauge(
        "ringway_messages",
        "Messages that wait; of a log, those that are kept",
        None,
        |report, out| out.maybe(report.messages),
    ),
    gauge(
        "ringway_lag_messages",
        "How many messages the slowest is behind who has a place or a cursor",
        None,
        |report, out| {
            if report.problem.is_none() {
                out.add(report.lag());
            }
        },
    ),
    gauge(
        "ringway_cursor_lag_messages",
        "How many messages a log's named cursor is behind",
        None,
        |report, out| {
            for cursor in &report.cursors {
                out.with([("cursor", label(&cursor.name))], cursor.behind);
            }
        },
    ),
    counter(
        "ringway_sent_messages",
        "Messages ever sent; of a board, values ever set",
        |report, out| out.maybe(report.sent.or(report.next_number)),
    ),
    counter(
        "ringway_received_messages",
        "Messages ever received and released; of a broadcast ring, by the slowest that is waited for",
        |report, out| {
            // That of a broadcast ring goes back when a slower one comes, which no counter may.
            if report.kind != "broadcast" {
                out.maybe(report.received);
            }
        },
    ),
    counter(
        "ringway_overwritten_messages",
        "Messages that were lost because the ring was made to overwrite",
        |report, out| out.maybe(report.overwritten),
    ),
    counter(
        "ringway_repaired_records",
        "Records of dead processes that others put in order; no message is lost by it",
        |report, out| out.maybe(report.repaired),
    ),
    counter(
        "ringway_joined_producers",
        "How many producers ever attached",
        |report, out| out.maybe(report.producers_ever),
    ),
    gauge(
        "ringway_participants",
        "Processes that are attached, or died and nobody has taken their place",
        None,
        |report, out| {
            let all = report.participants.as_deref().unwrap_or_default();
            if report.participants.is_none() {
                return;
            }
            for role in ["producer", "consumer"] {
                for (state, name) in STATES {
                    let is_one = |one: &&Participant| one.role == role && one.state == *state;
                    let count = all.iter().filter(is_one).count();
                    let labels = [("role", role.to_owned()), ("state", (*name).to_owned())];
                    out.with(labels, count as u64);
                }
            }
        },
    ),
    gauge(
        "ringway_blocked_producers",
        "Producers that wait for room",
        None,
        |report, out| {
            let all = report.participants.iter().flatten();
            let blocked = all.filter(|one| one.waits_for == Some("room")).count();
            if report.capacity_bytes.is_some() {
                out.add(blocked as u64);
            }
        },
    ),
    gauge(
        "ringway_evicted_consumers",
        "Consumers of a broadcast ring that were passed and have not subscribed again",
        None,
        |report, out| {
            let all = report.participants.iter().flatten();
            let subscriptions = all.filter_map(|one| one.subscription.as_ref());
            if report.kind == "broadcast" {
                out.add(subscriptions.filter(|one| one.evicted).count() as u64);
            }
        },
    ),
    gauge(
        "ringway_queue_senders",
        "Senders of a queue that live",
        None,
        |report, out| out.maybe(report.senders),
    ),
    gauge(
        "ringway_queue_receivers",
        "Receivers of a queue that live",
        None,
        |report, out| out.maybe(report.receivers),
    ),
    gauge(
        "ringway_slabs",
        "Slabs for long messages",
        None,
        |report, out| {
            for class in &report.slabs {
                let bytes = [("slab_bytes", class.slab_bytes.to_string())];
                out.with(bytes, class.count.into());
            }
        },
    ),
    gauge(
        "ringway_free_slabs",
        "Slabs that nobody holds",
        None,
        |report, out| {
            for class in &report.slabs {
                let bytes = [("slab_bytes", class.slab_bytes.to_string())];
                out.with(bytes, class.free.into());
            }
        },
    ),
    gauge(
        "ringway_service_servers",
        "Servers of a service that live",
        None,
        |report, out| out.maybe(report.service.as_ref().map(|service| service.servers)),
    ),
    gauge(
        "ringway_service_clients",
        "Clients of a service that live",
        None,
        |report, out| out.maybe(report.service.as_ref().map(|service| service.clients)),
    ),
    gauge(
        "ringway_service_desks",
        "How many clients a service can have at once",
        None,
        |report, out| out.maybe(report.service.as_ref().map(|service| service.desks)),
    ),
    gauge(
        "ringway_board_dead_writers",
        "Entries of a board whose writer died and that nobody has taken over",
        None,
        |report, out| {
            let dead = report.entries.iter();
            let dead = dead.filter(|one| one.writer.is_some() && !one.writer_alive);
            if matches!(report.kind, "board" | "service") {
                out.add(dead.count() as u64);
            }
        },
    ),
    gauge(
        "ringway_log_segments",
        "Files of a log's messages",
        None,
        |report, out| out.maybe(report.segments),
    ),
    gauge(
        "ringway_unusable",
        "Something of ringway's that is damaged, of another version or cannot be read; always 1",
        None,
        |report, out| {
            if report.problem.is_some() {
                out.add(1);
            }
        },
    ),
];

const STATES: &[(State, &str)] = &[
    (State::Running, "running"),
    (State::Stopped, "stopped"),
    (State::Dead, "dead"),
    (State::Unknown, "unknown"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_label_ends_it() {
        assert_eq!(label("shm:a"), "shm:a");
        assert_eq!(label("a\"b\\c\nd\u{7f}ü"), "a%22b%5Cc%0Ad%7Fü");
    }
}
