//! `ringway demo`: two processes, a ring, and the same work over a pipe and a Unix socket beside it.

mod cleanup;
mod report;
pub(crate) mod worker;

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use clap::ValueEnum;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use ringway::{Address, Builder, Ring, SysvKey};

use self::cleanup::Cleanup;
use self::worker::{WorkerReport, WorkerRole};
use crate::cli::DemoArgs;
use crate::failure::Failure;
use crate::{cores, latency};

/// Each transport has its turn so many times, so that a bad moment of the machine strikes all.
const ROUNDS: u64 = 5;

/// Until both workers are up.
const LEAD_NS: u64 = 25_000_000;

/// The contestants, in the order of their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    Ring,
    Pipe,
    Socket,
}

const CONTESTANTS: [Via; 3] = [Via::Ring, Via::Pipe, Via::Socket];

/// What one contestant did.
struct Results {
    via: Via,
    /// Messages a second one way, of each round, from the least.
    rates: Vec<f64>,
    round_trips: Histogram<u64>,
}

/// What is to be done in one turn.
struct Work {
    address: Address,
    size: usize,
    one_way: u64,
    round_trips: u64,
    cores: Option<[usize; 2]>,
}

/// Runs the demo and shows the results.
pub(crate) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let address = match &args.address {
        Some(address) => address.clone(),
        None => Address::Shm(format!("ringway-demo-{}", std::process::id())),
    };
    let per_round = args.messages.div_ceil(ROUNDS);
    let work = Work {
        address,
        size: args.size,
        one_way: per_round,
        // A round trip over a pipe takes as long as dozens of messages.
        round_trips: (per_round / 50).max(per_round.min(100)),
        cores: cores::pair(),
    };
    let cleanup = Cleanup::new()?;
    let bar = progress(args);
    let mut results = CONTESTANTS.map(|via| Results {
        via,
        rates: Vec::new(),
        round_trips: latency::histogram(),
    });
    for _ in 0..ROUNDS {
        for result in &mut results {
            bar.set_message(result.via.name());
            result.take_turn(&work, &cleanup)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    for result in &mut results {
        result.rates.sort_by(f64::total_cmp);
    }
    report::show(&work, &results, args.json)
}

fn progress(args: &DemoArgs) -> ProgressBar {
    // Draws nothing if standard error is no terminal.
    let bar = if args.quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(ROUNDS * CONTESTANTS.len() as u64)
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    bar
}

impl Via {
    fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Pipe => "pipe",
            Self::Socket => "unix socket",
        }
    }
}

impl Results {
    fn take_turn(&mut self, work: &Work, cleanup: &Cleanup) -> Result<(), Failure> {
        let one_way = [WorkerRole::Producer, WorkerRole::Consumer];
        let [_, consumer] = pair_up(self.via, work, work.one_way, one_way, cleanup)?;
        self.rates
            .push(work.one_way as f64 * 1e9 / consumer.elapsed_ns.max(1) as f64);
        let both_ways = [WorkerRole::Caller, WorkerRole::Answerer];
        let [caller, _] = pair_up(self.via, work, work.round_trips, both_ways, cleanup)?;
        for (ns, count) in caller.round_trips {
            self.round_trips.saturating_record_n(ns, count);
        }
        Ok(())
    }
}

/// Has two processes work with each other, and gives their reports.
fn pair_up(
    via: Via,
    work: &Work,
    messages: u64,
    roles: [WorkerRole; 2],
    cleanup: &Cleanup,
) -> Result<[WorkerReport; 2], Failure> {
    let start_ns = worker::now_ns()? + LEAD_NS;
    let mut commands = Vec::new();
    for (index, role) in roles.into_iter().enumerate() {
        let mut command = Command::new(std::env::current_exe().map_err(Failure::error)?);
        let role = role
            .to_possible_value()
            .map(|value| value.get_name().to_owned());
        command.arg("demo-worker").arg(role.unwrap_or_default());
        command.args([
            "--messages",
            &messages.to_string(),
            "--size",
            &work.size.to_string(),
        ]);
        command.args(["--start-ns", &start_ns.to_string()]);
        if let Some(cores) = work.cores {
            command.args(["--core", &cores[index].to_string()]);
        }
        command.stderr(Stdio::piped());
        commands.push(command);
    }
    let [mut first, mut second] =
        <[Command; 2]>::try_from(commands).map_err(|_| Failure::error("there are two workers"))?;
    // Held until the workers have ended: rings, their addresses, and what hands them over.
    let mut rings = Vec::new();
    let children = match via {
        Via::Ring => {
            let there = cleanup.create(&work.address)?;
            rings.push(there);
            if matches!(roles[0], WorkerRole::Caller) {
                rings.push(cleanup.create(&reply_address(&work.address))?);
            }
            [
                start_on_rings(&mut first, &rings)?,
                start_on_rings(&mut second, &rings)?,
            ]
        }
        Via::Pipe => {
            let (there, back) = (pipe()?, pipe()?);
            [
                start(first, back.0, there.1)?,
                start(second, there.0, back.1)?,
            ]
        }
        Via::Socket => {
            let (here, there) = UnixStream::pair().map_err(Failure::error)?;
            let twin = |socket: &UnixStream| socket.try_clone().map(OwnedFd::from);
            let (here2, there2) = (
                twin(&here).map_err(Failure::error)?,
                twin(&there).map_err(Failure::error)?,
            );
            [
                start(first, here.into(), here2)?,
                start(second, there.into(), there2)?,
            ]
        }
    };
    let reports = reports(children, roles);
    for ring in &rings {
        cleanup.remove(ring.address());
    }
    reports
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let (reader, writer) = io::pipe().map_err(Failure::error)?;
    Ok((reader.into(), writer.into()))
}

/// Starts a worker whose transport is its standard input and output. The parent's ends are closed on
/// return, so that the death of one worker is an end of file to the other.
fn start(mut command: Command, input: OwnedFd, output: OwnedFd) -> Result<Child, Failure> {
    command
        .stdin(input)
        .stdout(output)
        .spawn()
        .map_err(cannot_start)
}

fn start_on_rings(command: &mut Command, rings: &[Ring]) -> Result<Child, Failure> {
    let (ours, theirs) = UnixStream::pair().map_err(Failure::error)?;
    command.args(rings.iter().map(|ring| ring.address().to_string()));
    let child = command
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()
        .map_err(cannot_start)?;
    for ring in rings
        .iter()
        .filter(|ring| *ring.address() == Address::Memfd)
    {
        ring.hand_over(&ours)?;
    }
    Ok(child)
}

fn cannot_start(error: io::Error) -> Failure {
    Failure::error(format_args!("cannot start a worker: {error}"))
}

/// Where the answers go.
fn reply_address(address: &Address) -> Address {
    match address {
        Address::Shm(name) => Address::Shm(format!("{name}-reply")),
        Address::File(path) => {
            let mut path = path.clone().into_os_string();
            path.push("-reply");
            Address::File(path.into())
        }
        Address::Sysv(_) => Address::Sysv(SysvKey::Private),
        other => other.clone(),
    }
}

/// Waits for both workers. The first that fails ends the demo, and the end of this process ends the
/// other worker.
fn reports(children: [Child; 2], roles: [WorkerRole; 2]) -> Result<[WorkerReport; 2], Failure> {
    let (done, outcomes) = mpsc::channel();
    for (index, child) in children.into_iter().enumerate() {
        let done = done.clone();
        thread::spawn(move || done.send((index, report_of(child))));
    }
    drop(done);
    let mut reports = [WorkerReport::default(), WorkerReport::default()];
    for (index, outcome) in outcomes {
        reports[index] = outcome.map_err(|why| {
            Failure::error(
                format_args!("the {:?} process {why}", roles[index])
                    .to_string()
                    .to_lowercase(),
            )
        })?;
    }
    Ok(reports)
}

/// The worker's report, or what happened to it.
fn report_of(mut child: Child) -> Result<WorkerReport, String> {
    let mut text = String::new();
    let read = child
        .stderr
        .take()
        .map(|mut stderr| stderr.read_to_string(&mut text));
    let status = child.wait().map_err(|error| error.to_string())?;
    if let Some(Err(error)) = read {
        return Err(error.to_string());
    }
    match status.code() {
        Some(0) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Some(_) => Err(format!(
            "failed: {}",
            text.trim_end().trim_start_matches("ringway: ")
        )),
        None => Err(format!(
            "died by signal {}",
            status.signal().unwrap_or_default()
        )),
    }
}

/// Makes a ring of the default shape.
fn create(address: &Address) -> Result<Ring, Failure> {
    Ok(Builder::at(address.clone()).create()?)
}
