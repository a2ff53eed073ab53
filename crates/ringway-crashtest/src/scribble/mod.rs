//! A peer that writes anything at all into a ring, while others work on it.
//!
//! Each round makes a ring, starts producers, consumers and an observer on it ([`worker`]), and writes into the live
//! segment meanwhile ([`pen`]): flipped bits, words of other places and other times, numbers that almost fit, and the
//! whole segment as it once was. Every worker has to come to its end by itself, whatever it met: with results and typed
//! errors, without a panic, a signal or much memory. What they say of that is added up; a round in which nobody noticed
//! anything is no failure, but a run in which nobody did is.
//!
//! Spared are the words of the C library's locks: syncs `pthread` and `posix-sem` trust who can write those. Spared in
//! rings with objects beside the segment is the header, by which those are found and removed.
//!
//! The coordinator writes through its own mapping, and takes no part in the ring. All choices follow from the seed, as
//! far as the scheduler lets them.

mod pen;
mod worker;

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use ringway::peer::Role;
use ringway::{Address, Kind, Ring, SyncKind};
use ringway_testing::messages::Random;
use ringway_testing::place::Backing;
use ringway_testing::table::Row;

use pen::Pen;
pub(crate) use worker::{Options as WorkerOptions, play as play_worker};

/// How long workers work in a round.
const ROUND: Duration = Duration::from_millis(300);
/// How long a worker may take to come to its end after that, until it hangs. It only reports.
const HANG: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(crate) struct Options {
    /// For how long to write
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// All choices follow from it; another one each time unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Which rows, as parts of their names with commas between: mpmc/futex,spsc
    #[arg(long)]
    rows: Option<String>,
}

/// What all workers met, by its name, and how often.
type Tally = BTreeMap<String, u64>;

pub(crate) fn run(options: Options) -> Result<(), String> {
    let seed = options.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    });
    let mut rows = Row::supported();
    if let Some(chosen) = &options.rows {
        rows.retain(|row| {
            let name = row.to_string();
            chosen.split(',').any(|part| name.contains(part))
        });
    }
    if rows.is_empty() {
        return Err("there are no such rows".to_owned());
    }
    println!("{} rows, seed {seed}", rows.len());
    let end = Instant::now() + Duration::from_secs_f64(60.0 * options.minutes);
    let mut tally = Tally::new();
    let mut rounds = 0_u64;
    while Instant::now() < end {
        let row = rows[rounds as usize % rows.len()];
        let round = Round::plan(row, seed.wrapping_add(rounds << 20));
        round
            .run(&mut tally)
            .map_err(|problem| format!("{round}, seed {seed}, round {rounds}: {problem}"))?;
        rounds += 1;
    }
    let count = |name: &str| tally.get(name).copied().unwrap_or(0);
    println!("{rounds} rounds");
    for (name, count) in &tally {
        println!("{count:>12} {name}");
    }
    let whole_run = rounds >= rows.len() as u64;
    if whole_run && (count("sent") == 0 || count("received") == 0 || count("corrupt") == 0) {
        return Err("nobody worked, or nobody noticed anything: this proves nothing".to_owned());
    }
    Ok(())
}

/// What a ring has besides its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extra {
    Nothing,
    Slabs,
    SlabSegments,
    Overwriting,
}

#[derive(Debug)]
struct Round {
    row: Row,
    extra: Extra,
    seed: u64,
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.row, self.extra)
    }
}

impl Round {
    fn plan(row: Row, seed: u64) -> Self {
        let mut random = Random(seed);
        let extra = match random.below(5) {
            0 | 1 => Extra::Nothing,
            2 => Extra::Slabs,
            3 if row.backing != Backing::Memfd => Extra::SlabSegments,
            _ => Extra::Overwriting,
        };
        Self { row, extra, seed }
    }

    fn run(&self, tally: &mut Tally) -> Result<(), String> {
        let mapped = pen::shared_mappings()?;
        let (ring, _place) = self.row.ring_with(|builder| match self.extra {
            Extra::Nothing => builder,
            Extra::Slabs => builder.slabs(4096, 3).slabs(16384, 2),
            Extra::SlabSegments => builder.slabs(4096, 4).slab_segments(true),
            Extra::Overwriting => builder.overwrite_oldest(true),
        });
        let mut pen = Pen::at_new_mapping(&mapped, self.spared(), self.seed)?;
        let until = Instant::now() + ROUND;
        let workers: Vec<Worker> = self
            .roles()
            .into_iter()
            .enumerate()
            .map(|(nth, role)| Worker::start(role, &ring, self.seed + nth as u64))
            .collect::<Result<_, _>>()?;
        // They begin in an orderly ring.
        std::thread::sleep(ROUND / 6);
        let written = pen.write_until(until);
        *tally.entry("words written".to_owned()).or_default() += written;
        let outcome = workers
            .into_iter()
            .try_for_each(|worker| worker.finish(tally));
        // What lies beside the segment is found by it.
        pen.restore();
        outcome
    }

    fn roles(&self) -> Vec<&'static str> {
        let many = |role| self.row.kind.allows_many(role);
        let mut roles = vec!["produce", "consume", "observe"];
        if many(Role::Producer) {
            roles.push("produce");
        }
        if many(Role::Consumer) {
            roles.push("consume");
        }
        roles
    }

    /// Where not to write. The numbers are those of LAYOUT.md.
    fn spared(&self) -> pen::Spared {
        let sync = self.row.sync;
        let is_file = self.row.backing == Backing::File;
        pen::Spared {
            lock: sync.needs_trust().then_some(896..968),
            in_slots: (sync == SyncKind::PosixSem).then_some(64..96),
            header: match sync {
                SyncKind::SysvSem | SyncKind::Mqueue => Some(0..256),
                // A boot id that is not this boot's has the next opener clear the liveness words.
                _ if is_file => Some(112..128),
                _ => None,
            },
            slots: slots(self.row.kind),
        }
    }
}

/// How many slots the rings of the table have: up to 8 in each role.
fn slots(kind: Kind) -> u64 {
    let of = |role| if kind.allows_many(role) { 8 } else { 1 };
    of(Role::Producer) + of(Role::Consumer)
}

/// A process that works on the ring; killed if it is dropped before its end.
struct Worker {
    role: &'static str,
    process: Child,
    started: Instant,
}

impl Worker {
    fn start(role: &'static str, ring: &Ring, seed: u64) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start a worker: {error}");
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command
            .args(["play", "scribbled", "--role", role])
            .args(["--address", &ring.address().to_string()])
            .args(["--millis", &ROUND.as_millis().to_string()])
            .args(["--seed", &seed.to_string()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: between fork and exec, one system call that takes no memory.
        unsafe {
            command.pre_exec(|| {
                prctl::set_pdeathsig(Some(Signal::SIGKILL)).map_err(std::io::Error::from)
            });
        }
        let process = command.spawn().map_err(failed)?;
        let worker = Self {
            role,
            process,
            started: Instant::now(),
        };
        if *ring.address() == Address::Memfd {
            ring.hand_over(&ours).map_err(|error| error.to_string())?;
        }
        Ok(worker)
    }

    /// Waits for its end, and adds what it met.
    fn finish(mut self, tally: &mut Tally) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot wait for a worker: {error}");
        let status = loop {
            if let Some(status) = self.process.try_wait().map_err(failed)? {
                break status;
            }
            if self.started.elapsed() > ROUND + HANG {
                return Err(format!("{} hangs:\n{}", self.role, self.whereabouts()));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let (mut said, mut complaint) = (String::new(), String::new());
        if let (Some(out), Some(err)) = (&mut self.process.stdout, &mut self.process.stderr) {
            out.read_to_string(&mut said).map_err(failed)?;
            err.read_to_string(&mut complaint).map_err(failed)?;
        }
        if !status.success() {
            return Err(format!("{} ended with {status}\n{complaint}", self.role));
        }
        let met: Tally = serde_json::from_str(&said).map_err(|error| error.to_string())?;
        for (name, count) in met {
            *tally.entry(name).or_default() += count;
        }
        Ok(())
    }

    /// Where its threads are.
    fn whereabouts(&self) -> String {
        let mut text = String::new();
        let tasks = format!("/proc/{}/task", self.process.id());
        for task in std::fs::read_dir(tasks).into_iter().flatten().flatten() {
            for what in ["comm", "wchan", "syscall", "stat"] {
                let told = std::fs::read_to_string(task.path().join(what));
                text += &format!("{what} {}\n", told.unwrap_or_default().trim_end());
            }
        }
        text
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
