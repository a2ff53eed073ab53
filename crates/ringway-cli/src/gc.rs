//! `ringway gc`: removing what dead processes left behind.

use ringway::gc::{BlindSpot, Fate, Found, Gc, Leftover, Why};
use ringway::{Address, Channel, Error, ErrorKind, mq};
use serde::Serialize;

use crate::cli::GcArgs;
use crate::failure::Failure;
use crate::output;
use crate::say::say;
use crate::units::{counted, human_size};

/// A collection, as JSON shows it.
#[derive(Serialize)]
struct ReportJson {
    dry_run: bool,
    objects: Vec<FoundJson>,
    unseen: Vec<&'static str>,
}

/// What was found, be it of rings or of queues.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) found: Vec<Item>,
    blind_spots: Vec<BlindSpot>,
    failures: Vec<Error>,
}

/// Something that dead processes left, or may have.
pub(crate) struct Item {
    /// A word for scripts.
    kind: &'static str,
    name: String,
    pub(crate) bytes: u64,
    pub(crate) fate: Fate,
    /// Why it is garbage, if it is.
    reason: &'static str,
    /// What to do about it, if it is kept.
    next_step: Option<String>,
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
    let report = collect(args)?;
    if args.json {
        output::print_json(&json(&report, !args.removes()))?;
    } else {
        output::print(&text(&report))?;
        for blind_spot in &report.blind_spots {
            say(words_of(*blind_spot).1);
        }
    }
    let is_removable = |item: &&Item| item.fate == Fate::Removable;
    let removable = report.found.iter().filter(is_removable).count();
    let unsaid = (removable > 0 && !args.removes() && !args.dry_run).then(|| {
        Failure::negative(format_args!(
            "nothing is removed yet: look at what there is, and say --yes to remove {}",
            counted(removable as u64, "object")
        ))
    });
    let failures = report.failures.into_iter().map(Failure::from);
    Failure::all(failures.chain(unsaid))
}

impl GcArgs {
    /// Whether it removes anything: what is named is meant.
    fn removes(&self) -> bool {
        !self.dry_run && (self.yes || !self.addresses.is_empty())
    }
}

/// Collects rings and queues, and what lies beside them.
pub(crate) fn collect(args: &GcArgs) -> Result<Report, Failure> {
    let mut rings = Gc::new()
        .dry_run(!args.removes())
        .undelivered(args.undelivered);
    if let Some(age) = args.older_than {
        rings = rings.older_than(age);
    }
    if let Some(prefix) = &args.prefix {
        rings = rings.prefix(prefix);
    }
    let queues = mq::Gc::new()
        .dry_run(!args.removes())
        .undelivered(args.undelivered);
    let mut report = Report::default();
    let mut any_ring = args.addresses.is_empty();
    for address in &args.addresses {
        match Channel::find(address) {
            Ok(Address::Memfd) => {
                return Err(Failure::error("memfd: goes with its last process"));
            }
            Ok(queue @ (Address::Mq(_) | Address::Sysvmq(_))) => report.add_queue(&queue, queues),
            Ok(ring) => {
                rings = rings.address(ring);
                any_ring = true;
            }
            Err(error) => report.failures.push(error),
        }
    }
    let names = rings.clone();
    if any_ring {
        let found = rings.run();
        report.found.extend(found.found.iter().map(Item::from));
        report.failures.extend(found.failures);
        report.blind_spots.extend(found.blind_spots);
    }
    // Of a queue nothing tells its age.
    if args.addresses.is_empty() && args.older_than.is_none() {
        for queue in mq::list().iter().filter(|queue| names.allows_name(queue)) {
            report.add_queue_of_all(queue, queues);
        }
    }
    Ok(report)
}

impl Report {
    fn add_queue(&mut self, queue: &Address, collector: mq::Gc) {
        // Before it is removed.
        let bytes = mq::stat(queue).map_or(0, |stat| stat.bytes);
        match collector.collect(queue) {
            Ok(Some(fate)) => self.found.push(Item::of_queue(queue, bytes, fate)),
            Ok(None) => {}
            Err(error) => self.failures.push(error),
        }
    }

    /// Of all there is, only what the dead left is told of, or may have left.
    fn add_queue_of_all(&mut self, queue: &Address, collector: mq::Gc) {
        let mut report = Self::default();
        report.add_queue(queue, collector);
        let is_told = |item: &Item| {
            !matches!(
                item.fate,
                Fate::Kept(Why::InOrder | Why::InUse { dead: 0, .. })
            )
        };
        // Removed since it was listed.
        let is_failure = |error: &Error| error.kind() != ErrorKind::NotFound;
        self.found.extend(report.found.into_iter().filter(is_told));
        self.failures
            .extend(report.failures.into_iter().filter(is_failure));
    }
}

impl Item {
    fn of_queue(queue: &Address, bytes: u64, fate: Fate) -> Self {
        let next_step = match &fate {
            Fate::Kept(Why::Unproven) => Some(format!(
                "if nobody needs it, remove it (ringway rm {queue})"
            )),
            Fate::Kept(why) => common_next_step(&queue.to_string(), why),
            _ => None,
        };
        Self {
            kind: "queue",
            name: queue.to_string(),
            bytes,
            fate,
            reason: "all that held it are dead",
            next_step,
        }
    }
}

impl From<&Found> for Item {
    fn from(found: &Found) -> Self {
        let (kind, reason) = kind_of(&found.what);
        Self {
            kind,
            name: found.what.to_string(),
            bytes: found.bytes,
            fate: found.fate.clone(),
            reason,
            next_step: match &found.fate {
                Fate::Kept(why) => next_step(&found.what, why),
                _ => None,
            },
        }
    }
}

fn text(report: &Report) -> String {
    let rows = report.found.iter().map(|item| {
        let (fate, why) = match (&item.fate, &item.next_step) {
            (Fate::Kept(why), Some(next)) => ("kept", format!("{why}; {next}")),
            (Fate::Kept(why), None) => ("kept", why.to_string()),
            (fate, _) => (name_of(fate), item.reason.to_owned()),
        };
        let size = match item.bytes {
            0 => "-".to_owned(),
            bytes => human_size(bytes),
        };
        [fate.to_owned(), item.name.clone(), size, why]
    });
    match report.found.is_empty() {
        true => String::new(),
        false => output::table(["FATE", "WHAT", "SIZE", "WHY"], &[2], rows),
    }
}

fn json(report: &Report, dry_run: bool) -> ReportJson {
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

impl From<&Item> for FoundJson {
    fn from(item: &Item) -> Self {
        let why = match &item.fate {
            Fate::Kept(why) => Some(why),
            _ => None,
        };
        let (alive, dead) = match why {
            Some(Why::InUse { alive, dead }) => (Some(*alive), Some(*dead)),
            _ => (None, None),
        };
        Self {
            kind: item.kind,
            name: item.name.clone(),
            bytes: item.bytes,
            fate: match &item.fate {
                Fate::Removable => "removable",
                fate => name_of(fate),
            },
            why: why.map(word_of),
            text: why.map(Why::to_string),
            next_step: item.next_step.clone(),
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
        Why::Values { .. } => "values",
        Why::Damaged => "damaged",
        Why::InUse { .. } => "in-use",
        Why::Open => "open",
        Why::InOrder => "in-order",
        Why::Persistent => "persistent",
        Why::Recent => "recent",
        Why::BeingMade { .. } => "being-made",
        Why::Unknown { .. } | Why::Unproven => "unknown",
        Why::Unsettled => "unsettled",
        Why::NotPermitted => "not-permitted",
        _ => "other",
    }
}

/// What to do about something that is kept.
fn next_step(what: &Leftover, why: &Why) -> Option<String> {
    match (what, why) {
        (Leftover::Semaphores { id }, Why::Unknown { .. }) => {
            Some(format!("if it is gone: ipcrm -s {id}"))
        }
        _ => common_next_step(&what.to_string(), why),
    }
}

fn common_next_step(name: &str, why: &Why) -> Option<String> {
    match why {
        Why::Undelivered { .. } => Some(format!(
            "receive them (ringway recv {name}) or give them up (ringway gc --undelivered {name})"
        )),
        Why::Values { .. } => Some(format!(
            "read them (ringway stat {name}) or give them up (ringway gc --undelivered {name})"
        )),
        Why::Damaged => Some(format!("remove it (ringway rm {name})")),
        Why::NotPermitted => Some("run as its owner or as root".to_owned()),
        Why::Unsettled => Some("allow the call, or collect from outside of the sandbox".to_owned()),
        _ => None,
    }
}

/// A word for scripts, and a sentence for people.
pub(crate) fn words_of(blind_spot: BlindSpot) -> (&'static str, &'static str) {
    match blind_spot {
        BlindSpot::MessageQueues => (
            "message-queues",
            "message queues cannot be listed: mount -t mqueue none /dev/mqueue, or run as root",
        ),
        _ => ("other", "this process cannot look everywhere"),
    }
}
