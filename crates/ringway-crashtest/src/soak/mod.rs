//! Many processes on many rings, under random SIGKILL and SIGSTOP, for hours.
//!
//! The *coordinator* makes rings ([`arena`]), starts *workers* ([`worker`]) that use them, kills and stops
//! them at random moments, starts successors, and reads what each has written down of its work
//! ([`journal`]), for the *oracle* to judge ([`oracle`]). A ring lives for some hundred deaths; then it is
//! drained and audited. All choices follow from the seed ([`plan`]), as far as the scheduler lets them. Broadcast rings and
//! boards, where everybody sees everything, have a coordinator and a judge of their own ([`forum`]).

mod arena;
mod dump;
mod forum;
mod journal;
mod life;
mod oracle;
mod plan;
mod process;
mod remains;
mod tally;
mod worker;
mod workers;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use nix::sys::signal::{SigHandler, Signal, signal};

use arena::Arena;
use forum::Forum;
use journal::{Journals, MOST};
use life::Life;
use plan::{Plan, Sort};
use remains::Remains;
use tally::Tally;
pub(crate) use worker::{Options as WorkerOptions, play as play_worker};
use workers::Stage;

/// How often the state is written, and a line shown.
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Options {
    /// For how long to kill
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// All choices follow from it; another one each time unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Goes on from this file if it is there, and keeps the state in it, also at Ctrl-C
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Rings at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    rings: u64,
    /// Which rows, as parts of their names with commas between: mpmc/futex,spsc
    #[arg(long)]
    rows: Option<String>,
    /// Seconds without any progress until somebody hangs
    #[arg(long, default_value_t = 60)]
    hang: u64,
}

/// Set at Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

pub(crate) fn run(options: Options) -> Result<(), String> {
    let kept = match &options.resume {
        Some(file) => Tally::read(file)?,
        None => None,
    };
    let seed = || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    };
    let tally = kept.unwrap_or_else(|| Tally {
        seed: options.seed.unwrap_or_else(seed),
        ..Tally::default()
    });
    if options.seed.is_some_and(|seed| seed != tally.seed) {
        return Err(format!("what is to go on has the seed {}", tally.seed));
    }
    let sorts = plan::sorts(options.rows.as_deref());
    if sorts.is_empty() {
        return Err("there are no such rows".to_owned());
    }
    for which in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler stores into an atomic.
        unsafe { signal(which, SigHandler::Handler(stop)) }.map_err(|errno| errno.to_string())?;
    }
    // Short sleeps are to be short.
    nix::sys::prctl::set_timerslack(1).map_err(|errno| errno.to_string())?;
    Soak::begin(tally, sorts, options)?.run()
}

struct Soak {
    stage: Stage,
    options: Options,
    sorts: Vec<Sort>,
    arenas: Vec<Box<dyn Life>>,
    begun: Instant,
    /// How long the runs before have lasted, and how many they have killed.
    before: (Duration, u64),
    shown: Instant,
}

impl Soak {
    fn begin(tally: Tally, sorts: Vec<Sort>, options: Options) -> Result<Self, String> {
        println!(
            "{} rows, seed {}, from ring {} on",
            sorts.len(),
            tally.seed,
            tally.next_ring
        );
        let namespaces = process::may_make_namespaces();
        if !namespaces {
            println!("without pid namespaces: this process may not make any");
        }
        let now = Instant::now();
        Ok(Self {
            before: (tally.lasted, tally.total().kills),
            stage: Stage {
                journals: Journals::new()?,
                free: (0..MOST).collect(),
                tally,
                namespaces,
            },
            options,
            sorts,
            arenas: Vec::new(),
            begun: now,
            shown: now,
        })
    }

    fn run(mut self) -> Result<(), String> {
        let end = self.begun + Duration::from_secs_f64(60.0 * self.options.minutes);
        // When a first ring is gone, all is there that stays: the page by which a child of fork is told, say.
        let mut remains = None;
        let outcome = loop {
            let now = Instant::now();
            if now >= end || STOP.load(Ordering::Relaxed) {
                self.arenas.iter_mut().for_each(|arena| arena.finish_soon());
                if self.arenas.is_empty() {
                    if now < end {
                        println!("told to stop by a signal");
                    }
                    break Ok(());
                }
            } else if self.arenas.len() < self.options.rings as usize
                && let Err(problem) = self.open()
            {
                break Err(problem);
            }
            match self.go_on() {
                Ok(0) => {}
                Ok(_) => {
                    remains.get_or_insert_with(Remains::now);
                }
                Err(problem) => break Err(problem),
            }
            if now - self.shown >= INTERVAL {
                self.show(now)?;
            }
        };
        self.conclude(outcome, remains)
    }

    fn open(&mut self) -> Result<(), String> {
        let tally = &mut self.stage.tally;
        let (seed, number) = (tally.seed, tally.next_ring);
        tally.next_ring += 1;
        let sort = plan::turn(seed, number, &self.sorts);
        let hang = Duration::from_secs(self.options.hang);
        let described = format!("ring {number} of {sort}");
        let arena = match sort {
            Sort::Ring(row) => Arena::open(&mut self.stage, Plan::new(seed, number, row), hang)
                .map(|arena| Box::new(arena) as Box<dyn Life>),
            _ => Forum::open(
                &mut self.stage,
                sort,
                number,
                plan::choices(seed, number),
                hang,
            )
            .map(|forum| Box::new(forum) as Box<dyn Life>),
        };
        self.arenas
            .push(arena.map_err(|problem| format!("{described}: {problem}"))?);
        Ok(())
    }

    /// Does what is due at all rings, and waits until something is. How many rings are done with.
    fn go_on(&mut self) -> Result<usize, String> {
        let mut done = Vec::new();
        for (index, arena) in self.arenas.iter_mut().enumerate() {
            let now = Instant::now();
            if arena.pace().next > now {
                continue;
            }
            if arena.go_on(&mut self.stage)? {
                done.push(index);
            }
            if now.elapsed() > Duration::from_secs(1) {
                println!(
                    "kept from running for {:?} at {}",
                    now.elapsed(),
                    arena.describe()
                );
            }
        }
        for index in done.iter().rev() {
            self.arenas.swap_remove(*index);
        }
        if let Some(next) = self.arenas.iter_mut().map(|arena| arena.pace().next).min() {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(done.len())
    }

    fn show(&mut self, now: Instant) -> Result<(), String> {
        self.shown = now;
        let lasted = now - self.begun;
        let (before, killed_before) = self.before;
        let tally = &mut self.stage.tally;
        tally.lasted = before + lasted;
        let kills = tally.total().kills - killed_before;
        println!("{}", tally.progress(kills as f64 / lasted.as_secs_f64()));
        if let Some(file) = &self.options.resume {
            tally.write(file)?;
        }
        Ok(())
    }

    fn conclude(
        mut self,
        outcome: Result<(), String>,
        before: Option<Remains>,
    ) -> Result<(), String> {
        // Those of rings that are not done with are killed.
        self.arenas.clear();
        self.show(Instant::now())?;
        println!("\n{}\n", self.stage.tally.table());
        let outcome = outcome.and_then(|()| {
            let journals = self.stage.free.len();
            if journals != MOST {
                return Err(format!("{} journals were not given back", MOST - journals));
            }
            before.map_or(Ok(()), |before| before.compare(&Remains::now()))
        });
        match outcome {
            Ok(()) => {
                println!("violations: 0");
                Ok(())
            }
            Err(problem) => {
                let seed = self.stage.tally.seed;
                Err(format!("VIOLATION, with seed {seed}: {problem}"))
            }
        }
    }
}
