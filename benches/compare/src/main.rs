//! ringway beside its limits and its peers, in short bursts between processes. See
//! `benches/README.md`.

mod args;
mod clock;
mod contestants;
mod crowd;
mod machine;
mod measure;
mod memory;
mod message;
mod process;
mod shuffle;
mod table;
mod team;
mod track;

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use args::{Args, Variant, Work};
use contestants::{Contestant, Roster};
use measure::{Measurement, NEAR, Score};
use shuffle::Shuffle;
use table::Row;
use team::Team;

fn main() -> ExitCode {
    let args = Args::parse();
    let cpus = args.cpus.clone().unwrap_or_else(process::processors);
    if cpus.len() < 2 {
        eprintln!("compare: one processor only; processes that spin on it tell nothing");
        return ExitCode::FAILURE;
    }
    println!(
        "seed {}, near: a bare round trip of less than {NEAR} ns\n",
        args.seed
    );
    let record = machine::describe(args.seed, args.rounds);
    append(&args, &[record]);
    for &work in &args.works {
        println!("{}", table::heading(work));
        for variant in args.variants(work) {
            for &size in args.sizes.as_deref().unwrap_or(work.sizes()) {
                let run = Run {
                    args: &args,
                    work,
                    variant,
                    size,
                };
                // Each in a process of its own, so that it starts with one thread, may fork, and
                // leaves no memory behind.
                if !in_a_child(|prefix| run.run(prefix, &cpus)) {
                    return ExitCode::FAILURE;
                }
            }
        }
        println!();
    }
    ExitCode::SUCCESS
}

/// Runs `body` in a child process, with a prefix for names in /dev/shm; what is left of those when the
/// child ends, in whatever way, is removed.
fn in_a_child(body: impl FnOnce(&str)) -> bool {
    let own = std::process::id();
    let prefix = format!("ringway-compare-{own}-");
    // SAFETY: this process never has a second thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        process::pass_endings_to_nobody();
        process::die_with(own as libc::pid_t);
        body(&prefix);
        std::process::exit(0);
    }
    // Who interrupts a run ends the child, and then this process cleans up behind it.
    process::pass_endings_to(child);
    let mut status = 0;
    // SAFETY: waits for our own child and writes the status.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    contestants::clean_up(child as u32, &prefix);
    process::pass_endings_to_nobody();
    child > 0 && waited == child && status == 0
}

/// One measurement: its contestants are open together.
struct Run<'a> {
    args: &'a Args,
    work: Work,
    variant: Variant,
    size: u64,
}

impl Run<'_> {
    fn run(&self, prefix: &str, cpus: &[usize]) {
        let Self { args, work, .. } = *self;
        let label = self.variant.label(work);
        let rings = args.rings.as_deref().unwrap_or(work.rings());
        let roster = Roster::new(work, self.variant, rings, prefix);
        let Some(mut contestants) = roster.contestants(self.size) else {
            let size = self.size;
            eprintln!("compare: {label} is not built for messages of {size} bytes; left out");
            return;
        };
        contestants
            .retain(|contestant| contestant.is_reference || is_wanted(args, contestant.name));
        if contestants.is_empty() {
            eprintln!("compare: no contestant is left for {} bytes", self.size);
            return;
        }
        contestants.push(contestants::key());
        #[cfg(feature = "aeron")]
        let needs_driver = (contestants.iter()).any(|other| other.name.starts_with("aeron "));
        let lead = || {
            #[cfg(feature = "aeron")]
            if needs_driver {
                contestants::aeron::Driver::start(prefix);
            }
        };
        let placement = self.variant.placement(cpus);
        let mut team = Team::start(contestants, &placement, self.size, lead);
        let burst = args.burst.unwrap_or(work.burst());
        let shuffle = Shuffle::new(args.seed.wrapping_mul(31).wrapping_add(self.size));
        let is_latency = work.is_latency();
        let measurement = Measurement::new(&mut team, burst, is_latency, self.size, shuffle);
        let scores = measurement.run(args.rounds);
        self.report(&label, team.contestants(), &scores);
        team.finish();
    }

    fn report(&self, label: &str, contestants: &[Contestant], scores: &[Score]) {
        let mut records = Vec::new();
        for (contestant, score) in contestants.iter().zip(scores) {
            let peer = |name: &&str| {
                let index = contestants
                    .iter()
                    .position(|other| other.name == *name && other.ring == contestant.ring)?;
                Some(&scores[index])
            };
            let row = Row {
                work: self.work,
                label,
                size: self.size,
                contestant,
                score,
                peers: self.work.peers().iter().map(peer).collect(),
                limit: limit(self.work, contestants, scores, contestant.ring),
            };
            println!("{}", row.markdown());
            records.push(row.json());
        }
        append(self.args, &records);
    }
}

/// The best of the bare layouts with this ring, or of those that have none.
fn limit<'a>(
    work: Work,
    contestants: &'a [Contestant],
    scores: &'a [Score],
    ring: Option<u64>,
) -> Option<(&'static str, &'a Score)> {
    let bare = |ring: Option<u64>| {
        let pairs = contestants.iter().zip(scores);
        let bare = pairs.filter(move |(other, _)| other.is_bare() && other.ring == ring);
        bare.max_by(|(_, one), (_, other)| {
            let goodness = |score| table::goodness(work, score);
            goodness(one).total_cmp(&goodness(other))
        })
    };
    let (contestant, score) = bare(ring).or_else(|| bare(None))?;
    Some((contestant.name, score))
}

fn append(args: &Args, records: &[serde_json::Value]) {
    let Some(path) = &args.json else { return };
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(lines.as_bytes()));
    if let Err(error) = written {
        eprintln!("compare: {}: {error}", path.display());
        std::process::exit(1);
    }
}

fn is_wanted(args: &Args, name: &str) -> bool {
    args.only
        .as_ref()
        .is_none_or(|only| only.iter().any(|start| name.starts_with(start.as_str())))
}
