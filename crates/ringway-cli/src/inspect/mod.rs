//! `ringway ls` and `ringway stat`: rings, queues and logs as an observer sees them.

mod board;
mod log;
mod queues;

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use ringway::gc::BlindSpot;
use ringway::inspect::{EntryStat, ParticipantStat, SlabStat, Stat, WaitsFor};
use ringway::peer::Role;
use ringway::{Address, Channel, Error, ErrorKind, Kind, mq, os};
use serde::Serialize;

use self::queues::QueueJson;
use crate::cli::{LsArgs, StatArgs};
use crate::failure::Failure;
use crate::gc::words_of;
use crate::output;
use crate::say::say;
use crate::units::{counted, human_size};

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
    when_full: &'static str,
    overwritten: u64,
    /// Records of the dead that others put in order.
    repaired: u64,
    producers_ever: u64,
    producer_closed: bool,
    consumer_closed: bool,
    created_ns: u64,
    participants: Vec<ParticipantJson>,
    slabs: Vec<SlabsJson>,
    /// Whether each is a segment of its own.
    slab_segments: bool,
    /// Of a board.
    entries: Vec<EntryJson>,
}

#[derive(Serialize)]
struct EntryJson {
    key: String,
    values: u64,
    value_bytes: u64,
    /// Null if nobody has the role; as its own pid namespace counts.
    writer: Option<u32>,
    writer_alive: bool,
}

#[derive(Serialize)]
struct SlabsJson {
    slab_bytes: u64,
    count: u32,
    free: u32,
    withheld: u32,
    held: Vec<HolderJson>,
}

#[derive(Serialize)]
struct HolderJson {
    role: &'static str,
    /// Null if it is gone.
    pid: Option<u32>,
    count: u32,
}

#[derive(Serialize)]
struct ParticipantJson {
    role: &'static str,
    pid: u32,
    /// As it is called here; null if it is in a pid namespace that is not seen from here.
    pid_here: Option<u32>,
    pid_namespace: u64,
    alive: bool,
    epoch: u64,
    attached_ns: u64,
    waits_for: Option<&'static str>,
    messages: u64,
    /// Of a consumer of a broadcast ring; null of others.
    subscription: Option<SubscriptionJson>,
}

#[derive(Serialize)]
struct SubscriptionJson {
    policy: &'static str,
    evicted: bool,
    next_number: u64,
    behind: u64,
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
            when_full: policy(stat),
            overwritten: stat.overwritten,
            repaired: stat.repaired,
            producers_ever: stat.producers_ever,
            producer_closed: stat.producer_closed,
            consumer_closed: stat.consumer_closed,
            created_ns: stat.created_ns,
            participants: stat
                .participants
                .iter()
                .map(ParticipantJson::from)
                .collect(),
            slabs: stat.slabs.iter().map(SlabsJson::from).collect(),
            slab_segments: stat.slab_segments,
            entries: stat.entries.iter().map(EntryJson::from).collect(),
        }
    }
}

impl From<&EntryStat> for EntryJson {
    fn from(entry: &EntryStat) -> Self {
        Self {
            key: entry.key.clone(),
            values: entry.number,
            value_bytes: entry.len,
            writer: entry.writer,
            writer_alive: entry.writer_alive,
        }
    }
}

impl From<&SlabStat> for SlabsJson {
    fn from(slabs: &SlabStat) -> Self {
        let holders = slabs.held.iter().map(|holder| HolderJson {
            role: holder.role.name(),
            pid: holder.pid,
            count: holder.count,
        });
        Self {
            slab_bytes: slabs.slab_bytes,
            count: slabs.count,
            free: slabs.free,
            withheld: slabs.withheld,
            held: holders.collect(),
        }
    }
}

impl From<&ParticipantStat> for ParticipantJson {
    fn from(participant: &ParticipantStat) -> Self {
        Self {
            role: participant.role.name(),
            pid: participant.pid,
            pid_here: participant.pid_here(),
            pid_namespace: participant.pid_namespace,
            alive: participant.alive,
            epoch: participant.epoch,
            attached_ns: participant.attached_ns,
            waits_for: participant.waits_for.map(WaitsFor::name),
            messages: participant.messages,
            subscription: participant
                .subscription
                .as_ref()
                .map(|one| SubscriptionJson {
                    policy: one.policy,
                    evicted: one.evicted,
                    next_number: one.next_number,
                    behind: one.behind,
                }),
        }
    }
}

/// Shows one ring or queue.
pub(crate) fn stat(args: &StatArgs) -> Result<(), Failure> {
    if let Address::Log(_) = args.address {
        return log::show(&args.address, args.json);
    }
    let address = Channel::find(&args.address)?;
    if let Address::Mq(_) | Address::Sysvmq(_) = address {
        return queues::show(mq::stat(&address), args.json);
    }
    let stat = ringway::inspect::stat(&address)?;
    if args.json {
        return output::print_json(&RingJson::from(&stat));
    }
    if stat.kind == Kind::Board {
        return output::print(&board::text(&stat));
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let mut field = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    field("address", stat.address.to_string());
    field("kind", stat.kind.name().to_owned());
    field("sync", stat.sync.name().to_owned());
    field("created", time(stat.created_ns));
    let percent = stat.used_bytes as f64 * 100.0 / stat.capacity_bytes.max(1) as f64;
    let (used, capacity) = (human_size(stat.used_bytes), human_size(stat.capacity_bytes));
    field("used", format!("{used} of {capacity} ({percent:.1} %)"));
    let policy = policy(&stat).to_owned();
    field(
        "when full",
        match stat.overwritten {
            0 => policy,
            lost => format!("{policy}, {} so far", messages(lost)),
        },
    );
    field("sent", messages(stat.sent));
    // The three are read one after the other.
    let behind = (stat.sent)
        .saturating_sub(stat.received)
        .saturating_sub(stat.overwritten);
    field(
        "received",
        format!("{}, {behind} behind", messages(stat.received)),
    );
    for role in [Role::Producer, Role::Consumer] {
        field(role.name(), state(&stat, role));
    }
    for slabs in &stat.slabs {
        field("slabs", slab_class(slabs, stat.slab_segments));
    }
    let ever = counted(stat.producers_ever, "producer");
    field("joined", format!("{ever} so far"));
    let repaired = counted(stat.repaired, "record");
    field("repaired", format!("{repaired} of the dead"));
    if !stat.participants.is_empty() {
        text.push('\n');
        text.push_str(&participants(&stat.participants));
    }
    output::print(&text)
}

fn messages(count: u64) -> String {
    counted(count, "message")
}

/// What a sender to a full ring does.
fn policy(stat: &Stat) -> &'static str {
    if stat.overwrites_oldest {
        "overwrite"
    } else {
        "wait"
    }
}

/// How many slabs of one length are free, and who holds the others.
fn slab_class(slabs: &SlabStat, are_segments: bool) -> String {
    let (free, count) = (slabs.free, slabs.count);
    let mut text = format!(
        "{free} of {count} free, of {} each",
        human_size(slabs.slab_bytes)
    );
    if are_segments {
        text.push_str(", in segments of their own");
    }
    for holder in &slabs.held {
        let role = holder.role.name();
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
fn process(participant: &ParticipantStat) -> String {
    match participant.pid_here() {
        Some(pid) => pid.to_string(),
        // As it was called there.
        None => match participant.alive {
            true => format!("{} in pid:[{}]", participant.pid, participant.pid_namespace),
            false => participant.pid.to_string(),
        },
    }
}

/// Who is attached, or died, one a line.
fn participants(participants: &[ParticipantStat]) -> String {
    let head = ["ROLE", "PID", "STATE", "MESSAGES", "SINCE"];
    let rows = participants.iter().map(|participant| {
        let state = match participant.waits_for {
            _ if !participant.alive => "died".to_owned(),
            Some(what) => format!("waits for {}", what.name()),
            None => "alive".to_owned(),
        };
        let state = match &participant.subscription {
            Some(one) if one.evicted => format!("{state}, evicted"),
            Some(one) => format!("{state}, {}, {} behind", one.policy, messages(one.behind)),
            None => state,
        };
        [
            participant.role.name().to_owned(),
            process(participant),
            state,
            participant.messages.to_string(),
            time(participant.attached_ns),
        ]
    });
    output::table(head, &[1, 3], rows)
}

/// A ring, a queue, or what cannot be used, as JSON shows it.
#[derive(Serialize)]
#[serde(untagged)]
enum ListedJson<'a> {
    Ring(RingJson),
    Queue(QueueJson),
    Unusable(&'a Unusable),
}

/// Something of ringway's that cannot be used as it is.
#[derive(Serialize)]
struct Unusable {
    address: String,
    /// A word for scripts, where others have their kind.
    kind: &'static str,
    /// For people, with what to do about it.
    problem: String,
}

impl Unusable {
    fn new(address: &Address, error: &Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::NotARing => "damaged",
            ErrorKind::Incompatible => "incompatible",
            _ => "unreadable",
        };
        Self {
            address: address.to_string(),
            kind,
            problem: error.to_string(),
        }
    }
}

fn unusable(all: &[Unusable]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let rows = all.iter().map(|one| {
        [
            one.address.clone(),
            one.kind.to_owned(),
            one.problem.clone(),
        ]
    });
    output::table(["ADDRESS", "STATE", "PROBLEM"], &[], rows)
}

/// Lists rings and queues.
pub(crate) fn ls(args: &LsArgs) -> Result<(), Failure> {
    let mut failures = Vec::new();
    let mut rings = Found::default();
    rings.look_at(&ringway::inspect::list(), ringway::inspect::stat);
    for file in &args.files {
        if let Err(failure) = look_in(file, &mut rings) {
            failures.push(failure);
        }
    }
    let mut queues = Found::default();
    queues.look_at(&mq::list(), mq::stat);
    let damaged: Vec<_> = rings.unusable.into_iter().chain(queues.unusable).collect();
    if args.json {
        let rings = rings.stats.iter().map(|stat| ListedJson::Ring(stat.into()));
        let queues = queues.stats.iter();
        let queues = queues.map(|stat| ListedJson::Queue(stat.into()));
        let damaged = damaged.iter().map(ListedJson::Unusable);
        output::print_json(&rings.chain(queues).chain(damaged).collect::<Vec<_>>())?;
    } else {
        let tables = [
            self::rings(&rings.stats),
            queues::table(&queues.stats),
            unusable(&damaged),
        ];
        let tables: Vec<_> = tables
            .into_iter()
            .filter(|table| !table.is_empty())
            .collect();
        output::print(&tables.join("\n"))?;
        if os::message_queues().is_err() {
            say(words_of(BlindSpot::MessageQueues).1);
        }
    }
    Failure::all(failures)
}

/// What there is, and what of it cannot be used. Whoever has left that, it is nobody's who only lists: no failure.
struct Found<S> {
    stats: Vec<S>,
    unusable: Vec<Unusable>,
}

impl<S> Default for Found<S> {
    fn default() -> Self {
        Self {
            stats: Vec::new(),
            unusable: Vec::new(),
        }
    }
}

impl<S> Found<S> {
    fn look_at(&mut self, addresses: &[Address], stat: impl Fn(&Address) -> Result<S, Error>) {
        for address in addresses {
            match stat(address) {
                Ok(stat) => self.stats.push(stat),
                // Removed since it was listed, or not finished yet.
                Err(error) if is_passing(&error) => {}
                Err(error) => self.unusable.push(Unusable::new(address, &error)),
            }
        }
    }
}

/// The file's ring, which is to be one, or those of the directory's files that are rings.
fn look_in(path: &Path, found: &mut Found<Stat>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot list {}: {error}", os::Name::of(path));
        match error.kind() {
            std::io::ErrorKind::NotFound => Failure::negative(message),
            _ => Failure::error(message),
        }
    };
    // An address is taken as well: it is what the other commands want.
    let parsed = match path.to_str().filter(|text| text.starts_with("file:")) {
        Some(text) => Some(text.parse::<Address>()?),
        None => None,
    };
    let path = match &parsed {
        Some(Address::File(path)) => path,
        _ => path,
    };
    if !path.metadata().map_err(unreadable)?.is_dir() {
        found
            .stats
            .push(ringway::inspect::stat(&Address::File(path.to_owned()))?);
        return Ok(());
    }
    let rings = ringway::inspect::list_in(path).map_err(unreadable)?;
    found.look_at(&rings, ringway::inspect::stat);
    Ok(())
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::HalfMade)
}

fn rings(stats: &[Stat]) -> String {
    if stats.is_empty() {
        return String::new();
    }
    let head = [
        "ADDRESS", "KIND", "SYNC", "CAPACITY", "USED", "SENT", "RECEIVED", "PRODUCER", "CONSUMER",
    ];
    let rows = stats.iter().map(|stat| {
        [
            stat.address.to_string(),
            stat.kind.name().to_owned(),
            stat.sync.name().to_owned(),
            human_size(stat.capacity_bytes),
            human_size(stat.used_bytes),
            stat.sent.to_string(),
            match stat.kind {
                // Nobody counts who reads.
                Kind::Board => "-".to_owned(),
                _ => stat.received.to_string(),
            },
            state(stat, Role::Producer),
            state(stat, Role::Consumer),
        ]
    });
    output::table(head, &[3, 4, 5, 6], rows)
}

/// Who plays `role`, in a few words.
fn state(stat: &Stat, role: Role) -> String {
    let closed = match role {
        Role::Producer => stat.producer_closed,
        Role::Consumer => stat.consumer_closed,
        _ => false,
    };
    let (alive, dead): (Vec<_>, Vec<_>) = stat
        .participants
        .iter()
        .filter(|participant| participant.role == role)
        .partition(|participant| participant.alive);
    match (alive.as_slice(), dead.as_slice()) {
        ([], _) if closed => "closed".to_owned(),
        ([], []) => "-".to_owned(),
        ([], [one]) => format!("{} died", process(one)),
        ([], many) => format!("{} died", many.len()),
        ([one], []) => process(one),
        ([one], dead) => format!("{}, {} died", process(one), dead.len()),
        (many, []) => format!("{} alive", many.len()),
        (many, dead) => format!("{} alive, {} died", many.len(), dead.len()),
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
