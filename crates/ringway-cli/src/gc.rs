//! `ringway gc`: removing what dead processes left behind.

use ringway::{Address, BlindSpot, Fate, Found, Gc, GcReport, Leftover, Why};
use serde::Serialize;

use crate::cli::GcArgs;
use crate::failure::Failure;
use crate::output;
use crate::units::human_size;

/// A collection, as JSON shows it.
#[derive(Serialize)]
struct ReportJson {
    dry_run: bool,
    objects: Vec<FoundJson>,
    unseen: Vec<&'static str>,
}

#[derive(Serialize)]
struct FoundJson {
    kind: &'static str,
    name: String,
    bytes: u64,
    fate: &'static str,
    /// Why it is kept.
    why: Option<&'static str>,
    /// The same for people.
    text: Option<String>,
    next_step: Option<String>,
    undelivered: Option<u64>,
    alive: Option<u32>,
    dead: Option<u32>,
}

/// Collects, and shows what was found.
pub(crate) fn run(args: &GcArgs) -> Result<(), Failure> {
    let mut collector = Gc::new()
        .dry_run(args.dry_run)
        .undelivered(args.undelivered);
    for address in &args.addresses {
        if *address == Address::Memfd {
            return Err(Failure::error("memfd: goes with its last process"));
        }
        collector = collector.address(address.clone());
    }
    let report = collector.run();
    if args.json {
        output::print_json(&json(&report, args.dry_run))?;
    } else {
        output::print(&text(&report))?;
        for blind_spot in &report.blind_spots {
            eprintln!("ringway: {}", words_of(*blind_spot).1);
        }
    }
    Failure::all(report.failures.into_iter().map(Failure::from))
}

fn text(report: &GcReport) -> String {
    let rows = report.found.iter().map(|found| {
        let (fate, why) = match &found.fate {
            Fate::Kept(why) => match next_step(&found.what, why) {
                Some(next) => ("kept", format!("{why}; {next}")),
                None => ("kept", why.to_string()),
            },
            fate => (name_of(fate), kind_of(&found.what).1.to_owned()),
        };
        let size = match found.bytes {
            0 => "-".to_owned(),
            bytes => human_size(bytes),
        };
        [fate.to_owned(), found.what.to_string(), size, why]
    });
    match report.found.is_empty() {
        true => String::new(),
        false => output::table(["FATE", "WHAT", "SIZE", "WHY"], &[2], rows),
    }
}

fn json(report: &GcReport, dry_run: bool) -> ReportJson {
    ReportJson {
        dry_run,
        objects: report.found.iter().map(FoundJson::from).collect(),
        unseen: report
            .blind_spots
            .iter()
            .map(|blind_spot| words_of(*blind_spot).0)
            .collect(),
    }
}

impl From<&Found> for FoundJson {
    fn from(found: &Found) -> Self {
        let why = match &found.fate {
            Fate::Kept(why) => Some(why),
            _ => None,
        };
        let (alive, dead) = match why {
            Some(Why::InUse { alive, dead }) => (Some(*alive), Some(*dead)),
            _ => (None, None),
        };
        Self {
            kind: kind_of(&found.what).0,
            name: found.what.to_string(),
            bytes: found.bytes,
            fate: match &found.fate {
                Fate::Removable => "removable",
                fate => name_of(fate),
            },
            why: why.map(word_of),
            text: why.map(Why::to_string),
            next_step: why.and_then(|why| next_step(&found.what, why)),
            undelivered: match why {
                Some(Why::Undelivered { messages }) => Some(*messages),
                _ => None,
            },
            alive,
            dead,
        }
    }
}

fn name_of(fate: &Fate) -> &'static str {
    match fate {
        Fate::Removed => "removed",
        Fate::Removable => "would be removed",
        _ => "kept",
    }
}

/// A word for scripts, and one reason for people.
fn kind_of(what: &Leftover) -> (&'static str, &'static str) {
    match what {
        Leftover::Ring(_) => ("ring", "all that held it are dead"),
        Leftover::HalfMade(_) => ("half-made", "its creator died before it was finished"),
        Leftover::Draft(_) => ("draft", "its creator died before it was finished"),
        Leftover::Semaphores { .. } => ("semaphores", "its ring is gone"),
        Leftover::Slabs { .. } => ("slabs", "their ring is gone"),
        Leftover::Queues { .. } => ("queues", "nobody uses them, and no ring here has them"),
        _ => ("other", ""),
    }
}

fn word_of(why: &Why) -> &'static str {
    match why {
        Why::Undelivered { .. } => "undelivered",
        Why::Damaged => "damaged",
        Why::InUse { .. } => "in-use",
        Why::Open => "open",
        Why::InOrder => "in-order",
        Why::BeingMade { .. } => "being-made",
        Why::Unknown { .. } => "unknown",
        Why::NotPermitted => "not-permitted",
        _ => "other",
    }
}

/// What to do about something that is kept.
fn next_step(what: &Leftover, why: &Why) -> Option<String> {
    match why {
        Why::Undelivered { .. } => Some(format!(
            "receive them (ringway recv {what}) or give them up (ringway gc --undelivered {what})"
        )),
        Why::Damaged => Some(format!("remove it (ringway rm {what})")),
        Why::Unknown { .. } => match what {
            Leftover::Semaphores { id } => Some(format!("if it is gone: ipcrm -s {id}")),
            _ => None,
        },
        Why::NotPermitted => Some("run as its owner or as root".to_owned()),
        _ => None,
    }
}

fn words_of(blind_spot: BlindSpot) -> (&'static str, &'static str) {
    match blind_spot {
        BlindSpot::MessageQueues => (
            "message-queues",
            "message queues cannot be listed: mount -t mqueue none /dev/mqueue, or run as root",
        ),
        _ => ("other", "this process cannot look everywhere"),
    }
}
