//! The demo with several producers or consumers: one ring, and everything in it accounted for.

use std::fmt::Write;

use ringway::{Address, Builder};
use serde::Serialize;

use super::report::{human_rate, thousands};
use super::share::Share;
use super::worker::{self, WorkerReport};
use super::{LEAD_NS, ROUNDS, refuse_too_long, workers};
use crate::cleanup::Cleanup;
use crate::cli::slabs::{self, SlabClass};
use crate::cli::{DemoArgs, WorkerRole};
use crate::failure::Failure;
use crate::latency::bar;
use crate::units::{counted, human_size};
use crate::{output, progress};

/// Bytes that tell whose message it is and which.
const LEAST_SIZE: usize = 8;

#[derive(Serialize)]
struct CrowdJson {
    address: String,
    kind: &'static str,
    sync: &'static str,
    senders: u32,
    receivers: u32,
    messages: u64,
    size_bytes: usize,
    slabs: Vec<SlabClass>,
    rounds: u64,
    /// Every message arrived at one consumer, once, each producer's in order, byte for byte; otherwise
    /// there would be no report.
    verified: bool,
    messages_per_second: f64,
    slowest_round: f64,
    fastest_round: f64,
    /// How many messages each consumer received.
    shares: Vec<u64>,
}

/// Runs the demo and shows the results.
pub(super) fn run(
    args: &DemoArgs,
    address: Address,
    senders: u32,
    receivers: u32,
) -> Result<(), Failure> {
    if args.size < LEAST_SIZE {
        return Err(Failure::error(format_args!(
            "messages of several processes are told apart by {LEAST_SIZE} bytes: choose a larger --size"
        )));
    }
    // As many from each producer in each round.
    let each = args.messages.div_ceil(ROUNDS * u64::from(senders));
    let per_round = each * u64::from(senders);
    let cleanup = Cleanup::new()?;
    let address = cleanup.choose(args.trial.kind.apply(Builder::at(address)))?;
    let bar = progress::bar(args.trial.quiet, ROUNDS);
    let mut rates = Vec::new();
    let mut shares = vec![0; receivers as usize];
    for _ in 0..ROUNDS {
        let builder = args.trial.kind.apply(Builder::at(address.clone()));
        let builder = builder.participants(senders.max(receivers));
        let received = round(builder, [senders, receivers], each, args, &cleanup)?;
        let slowest = received.iter().map(|report| report.elapsed_ns).max();
        rates.push(per_round as f64 * 1e9 / slowest.unwrap_or(0).max(1) as f64);
        for (sum, report) in shares.iter_mut().zip(&received) {
            *sum += report.share.count();
        }
        account_for(&received, per_round)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    rates.sort_by(f64::total_cmp);
    let rate = |index: usize| rates.get(index).copied().unwrap_or_default();
    let results = CrowdJson {
        address: address.to_string(),
        kind: args.trial.kind.kind().name(),
        sync: args.trial.kind.sync().name(),
        senders,
        receivers,
        messages: per_round * ROUNDS,
        size_bytes: args.size,
        slabs: args.trial.kind.slabs.clone(),
        rounds: ROUNDS,
        verified: true,
        messages_per_second: rate(rates.len() / 2),
        slowest_round: rate(0),
        fastest_round: rate(rates.len() - 1),
        shares,
    };
    if args.trial.json {
        return output::print_json(&results);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = describe(&mut text, &results);
    output::print(&text)
}

/// Has all processes work on a new ring, and gives the consumers' reports.
fn round(
    builder: Builder,
    [senders, receivers]: [u32; 2],
    each: u64,
    args: &DemoArgs,
    cleanup: &Cleanup,
) -> Result<Vec<WorkerReport>, Failure> {
    let channels = [cleanup.create(builder)?];
    refuse_too_long(&channels[0], args.size)?;
    let start_ns = worker::now_ns()? + LEAD_NS;
    let mut children = Vec::new();
    for _ in 0..receivers {
        let role = WorkerRole::OneOfConsumers;
        let mut command = workers::command(role, each, args.size, start_ns, &args.trial.copy)?;
        command.args(["--producers", &senders.to_string()]);
        children.push((role, workers::start_on(&mut command, &channels)?));
    }
    for index in 0..senders {
        let role = WorkerRole::OneOfProducers;
        let mut command = workers::command(role, each, args.size, start_ns, &args.trial.copy)?;
        command.args(["--producer", &index.to_string()]);
        children.push((role, workers::start_on(&mut command, &channels)?));
    }
    let reports = workers::reports(children);
    cleanup.remove(channels[0].address());
    let mut reports = reports?;
    reports.truncate(receivers as usize);
    Ok(reports)
}

/// Fails unless every message went to one consumer.
fn account_for(received: &[WorkerReport], messages: u64) -> Result<(), Failure> {
    let mut all = Share::default();
    for report in received {
        if !all.merge(&report.share) {
            return Err(Failure::error("a message arrived at two consumers"));
        }
    }
    match messages - all.count() {
        0 => Ok(()),
        lost => Err(Failure::error(format_args!(
            "{lost} messages did not arrive"
        ))),
    }
}

fn describe(text: &mut String, crowd: &CrowdJson) -> std::fmt::Result {
    writeln!(
        text,
        "{}, {}, messages of {} bytes, {ROUNDS} rounds; {} ring with {}{} at {}.",
        counted(crowd.senders.into(), "producer"),
        counted(crowd.receivers.into(), "consumer"),
        crowd.size_bytes,
        crowd.kind,
        crowd.sync,
        slabs::and_all(&crowd.slabs),
        crowd.address
    )?;
    writeln!(
        text,
        "Every message arrived at one consumer, once, each producer's in order, and was checked byte \
         for byte.\n"
    )?;
    writeln!(
        text,
        "ONE WAY, {} messages: {} msg/s, {}/s (rounds from {} to {} msg/s)\n",
        thousands(crowd.messages),
        human_rate(crowd.messages_per_second),
        human_size((crowd.messages_per_second * crowd.size_bytes as f64) as u64),
        human_rate(crowd.slowest_round),
        human_rate(crowd.fastest_round)
    )?;
    writeln!(text, "SHARES")?;
    for (index, share) in crowd.shares.iter().enumerate() {
        let part = *share as f64 / crowd.messages as f64;
        writeln!(
            text,
            "  consumer {:<4}{:>14}{:>8.1} %  {}",
            index + 1,
            thousands(*share),
            part * 100.0,
            bar(part, 32)
        )?;
    }
    Ok(())
}
