//! ringway beside its limits and its peers, in short bursts between two processes. See
//! `benches/README.md`.

mod args;
mod clock;
mod contestants;
mod measure;
mod memory;
mod message;
mod pair;
mod table;
mod track;

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use args::{Args, Work};
use contestants::{Contestant, Roster};
use measure::{Measurement, Score};
use pair::Pair;
use table::Row;

fn main() -> ExitCode {
    let args = Args::parse();
    let cpus = args.cpus.or_else(pair::two_processors);
    if cpus.is_none() {
        eprintln!("compare: one processor only; two processes that spin on it tell nothing");
        return ExitCode::FAILURE;
    }
    for &work in &args.works {
        println!("{}", table::heading(work));
        for &size in args.sizes.as_deref().unwrap_or(work.sizes()) {
            // Each in a process of its own, so that it starts with one thread, may fork, and leaves
            // no memory behind.
            if !in_a_child(|prefix| run(&args, work, size, prefix, cpus)) {
                return ExitCode::FAILURE;
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
        pair::die_with(own as libc::pid_t);
        body(&prefix);
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: waits for our own child and writes the status.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    for entry in std::fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // It may go by itself in between.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    child > 0 && waited == child && status == 0
}

fn run(args: &Args, work: Work, size: u64, prefix: &str, cpus: Option<(usize, usize)>) {
    let rings = args.rings.as_deref().unwrap_or(work.rings());
    let Some(mut contestants) = Roster::new(work, rings, prefix).contestants(size) else {
        eprintln!(
            "compare: {} is not built for messages of {size} bytes; left out",
            work.name()
        );
        return;
    };
    contestants.retain(|contestant| contestant.is_limit || is_wanted(args, contestant.name));
    if contestants.is_empty() {
        eprintln!("compare: no contestant is left for {size} bytes");
        return;
    }
    let mut pair = Pair::start(contestants, cpus);
    let measurement = Measurement::new(&mut pair, args.burst, work.is_latency(), size);
    let scores = measurement.run(args.rounds);
    report(args, work, size, pair.contestants(), &scores);
    pair.finish();
}

fn is_wanted(args: &Args, name: &str) -> bool {
    args.only
        .as_ref()
        .is_none_or(|only| only.iter().any(|start| name.starts_with(start.as_str())))
}

fn report(args: &Args, work: Work, size: u64, contestants: &[Contestant], scores: &[Score]) {
    let mut json = String::new();
    for (contestant, score) in contestants.iter().zip(scores) {
        let peer = contestants
            .iter()
            .position(|other| other.name == "shmem-ipc" && other.ring == contestant.ring)
            .map(|index| &scores[index]);
        let row = Row {
            work,
            size,
            contestant,
            score,
            peer,
        };
        println!("{}", row.markdown());
        json += &row.json();
        json.push('\n');
    }
    if let Some(path) = &args.json {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(json.as_bytes()));
        if let Err(error) = written {
            eprintln!("compare: {}: {error}", path.display());
            std::process::exit(1);
        }
    }
}
