//! The kill matrix: a process is stepped through one operation with ptrace and killed, or frozen, at each
//! instruction; survivors and successors work on, and an oracle judges what they find.
//!
//! An instruction that neither stores to shared memory nor is a system call changes nothing that anybody
//! else can see, so to die behind it is the same as to die before it. Short operations are killed at
//! every instruction all the same; long ones, and all of them in the fast cut, behind each instruction that
//! others can see. (What the kernel makes of the victim's other threads is the same at each: they sleep, or
//! are stepped as well.)

mod board;
mod case;
mod judge;
mod message;
mod report;
mod round;
mod row;
mod scene;
mod seclusion;
mod victim;

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use clap::Args;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

pub(crate) use case::name_of;
use report::Report;
pub(crate) use scene::said;
use seclusion::Seclusion;
pub(crate) use victim::{VictimOptions, play_victim};

use crate::trace;

#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Only cases whose names contain one of these, with commas between, such as mpmc/futex/Shm/send
    #[arg(long, default_value = "")]
    only: String,
    /// Operations of up to so many instructions are killed at each of them, others where it shows
    /// [default: 1000 on shm:, 0 elsewhere, where the instructions are the same]
    #[arg(long)]
    every: Option<usize>,
    /// The fast cut: chosen rows, and kills only where they show
    #[arg(long)]
    fast: bool,
    /// Which of these: kill, freeze, recover
    #[arg(long, value_delimiter = ',', default_value = "kill,freeze,recover")]
    modes: Vec<Mode>,
    /// How many rows at once; as many as there are processors if not given
    #[arg(long)]
    jobs: Option<usize>,
    /// This row alone, on that processor, with a report for the parent
    #[arg(long, hide = true, requires = "cpu")]
    row: Option<String>,
    #[arg(long, hide = true)]
    cpu: Option<usize>,
}

/// What happens to victims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Killed
    Kill,
    /// Stopped while others work, and continued
    Freeze,
    /// Killed, and then one who finds what they left
    Recover,
}

pub(crate) fn run(options: Options) -> Result<(), String> {
    match (&options.row, options.cpu) {
        (Some(row), Some(cpu)) => {
            // Who ends the matrix ends its rows.
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(said("the parent's end"))?;
            let seclusion = Seclusion::enter();
            trace::settle_on(cpu)?;
            let mut report = row::run(row, &options);
            for left in seclusion.iter().flat_map(Seclusion::left_behind) {
                if !is_unprovable(row, &left) {
                    report.fail(&format!("{row}: stays behind in spite of gc: {left}"));
                }
            }
            println!(
                "{}",
                serde_json::to_string(&report).map_err(said("reporting"))?
            );
            Ok(())
        }
        _ => run_all(&options),
    }
}

/// A semaphore set whose creator died before its ring's file had a name: that there is no such file anywhere cannot be
/// proven, so gc reports the set and keeps it.
fn is_unprovable(row: &str, left: &str) -> bool {
    row.contains("sysv-sem/File") && left.starts_with("/proc/sysvipc/sem")
}

fn run_all(options: &Options) -> Result<(), String> {
    let start = Instant::now();
    let set = sched_getaffinity(Pid::from_raw(0)).map_err(said("processors"))?;
    let cpus: Vec<usize> = (0..CpuSet::count())
        .filter(|cpu| set.is_set(*cpu) == Ok(true))
        .collect();
    let jobs = options.jobs.unwrap_or(cpus.len()).max(1);
    let rows = Mutex::new(row::chosen(options).into_iter());
    let whole = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let (rows, whole, cpu) = (&rows, &whole, cpus[job % cpus.len()]);
            scope.spawn(move || {
                loop {
                    let next = rows.lock().map(|mut rows| rows.next());
                    let Ok(Some(row)) = next else { return };
                    let start = Instant::now();
                    let report = run_row(&row, cpu).unwrap_or_else(|problem| {
                        let mut report = Report::default();
                        report.fail(&format!("{row}: {problem}"));
                        report
                    });
                    print_row(&row, &report, start);
                    if let Ok(mut whole) = whole.lock() {
                        whole.add(report);
                    }
                }
            });
        }
    });
    let whole = whole.into_inner().map_err(|_| "a job panicked")?;
    conclude(&whole, options, start)
}

/// Runs a row in a process of its own: a hang or a crash there is one row's failure.
fn run_row(row: &str, cpu: usize) -> Result<Report, String> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    arguments.extend([
        "--row".to_owned(),
        row.to_owned(),
        "--cpu".to_owned(),
        cpu.to_string(),
    ]);
    let output = Command::new("/proc/self/exe")
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(said("starting"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .map_err(|_| format!("it ended with {} before it was done", output.status))
}

fn print_row(row: &str, report: &Report, start: Instant) {
    println!(
        "{row}: {} cases, {} instructions, {} states, {} kills, {} freezes, {} recoverers killed, {} failures, {:.0?}",
        report.cases,
        report.instructions,
        report.states,
        report.kills,
        report.freezes,
        report.recoverers,
        report.failures,
        start.elapsed(),
    );
}

fn conclude(whole: &Report, options: &Options, start: Instant) -> Result<(), String> {
    print_row("all", whole, start);
    let missed = whole.missed();
    println!(
        "{} instructions of the program store to a segment; a victim was killed right after {} of them",
        whole.stores.len(),
        whole.stores.len() - missed.len(),
    );
    if whole.failures > 0 {
        return Err(format!("{} failures", whole.failures));
    }
    if options.modes.contains(&Mode::Kill) && !missed.is_empty() {
        return Err(format!(
            "nobody was killed right after the stores at {missed:x?} of the program"
        ));
    }
    Ok(())
}
