//! The results of a demo, for people and as JSON.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{ROUNDS, Results, Via, Work};
use crate::cli::slabs::{self, SlabClass};
use crate::failure::Failure;
use crate::latency::{Percentiles, bar, human_ns, steps};
use crate::output;
use crate::units::human_size;

#[derive(Serialize)]
struct DemoJson {
    address: String,
    kind: &'static str,
    sync: Option<&'static str>,
    messages: u64,
    round_trips: u64,
    size_bytes: usize,
    slabs: Vec<SlabClass>,
    rounds: u64,
    cores: Option<[usize; 2]>,
    /// Every message arrived once, in order, byte for byte; otherwise there would be no report.
    verified: bool,
    transports: Vec<TransportJson>,
}

#[derive(Serialize)]
struct TransportJson {
    name: &'static str,
    one_way: OneWayJson,
    round_trip_ns: Percentiles,
}

#[derive(Serialize)]
struct OneWayJson {
    messages_per_second: f64,
    bytes_per_second: f64,
    slowest_round: f64,
    fastest_round: f64,
}

impl OneWayJson {
    fn of(result: &Results, size: usize) -> Self {
        let rates = &result.rates;
        let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
        Self {
            messages_per_second: median,
            bytes_per_second: median * size as f64,
            slowest_round: rates.first().copied().unwrap_or_default(),
            fastest_round: rates.last().copied().unwrap_or_default(),
        }
    }
}

/// Shows the results.
pub(super) fn show(work: &Work, results: &[Results], json: bool) -> Result<(), Failure> {
    let (kind, sync) = work.kind.names(&work.address);
    let value = DemoJson {
        address: work.address.to_string(),
        kind,
        sync,
        messages: work.one_way * ROUNDS,
        round_trips: work.round_trips * ROUNDS,
        size_bytes: work.size,
        slabs: work.kind.slabs(&work.address),
        rounds: ROUNDS,
        cores: work.cores,
        verified: true,
        transports: results
            .iter()
            .map(|result| TransportJson {
                name: match (result.via, sync) {
                    (Via::Ring, None) => "queue",
                    (via, _) => via.name(),
                },
                one_way: OneWayJson::of(result, work.size),
                round_trip_ns: Percentiles::of(&result.round_trips),
            })
            .collect(),
    };
    if json {
        return output::print_json(&value);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = describe(&mut text, &value, results);
    output::print(&text)
}

fn describe(text: &mut String, demo: &DemoJson, results: &[Results]) -> std::fmt::Result {
    let what = match demo.sync {
        Some(sync) => {
            let slabs = slabs::and_all(&demo.slabs);
            format!("{} ring with {sync}{slabs}", demo.kind)
        }
        None => demo.kind.to_owned(),
    };
    let where_ = match demo.cores {
        Some([first, second]) => format!("on cores {first} and {second}"),
        None => "on one core".to_owned(),
    };
    writeln!(
        text,
        "Two processes {where_}, messages of {} bytes, {ROUNDS} rounds in turn; {} at {}.",
        demo.size_bytes, what, demo.address
    )?;
    writeln!(
        text,
        "Every message arrived once, in order, and was checked byte for byte.\n"
    )?;

    writeln!(text, "ONE WAY, {} messages each", thousands(demo.messages))?;
    let best = demo
        .transports
        .iter()
        .map(|transport| transport.one_way.messages_per_second);
    let best = best.fold(1.0, f64::max);
    for transport in &demo.transports {
        let one_way = &transport.one_way;
        writeln!(
            text,
            "  {:<12}{:>12} msg/s {:>12}/s  {}",
            transport.name,
            human_rate(one_way.messages_per_second),
            human_size(one_way.bytes_per_second as u64),
            bar(one_way.messages_per_second / best, 32)
        )?;
    }

    writeln!(text, "\nROUND TRIP, {} each", thousands(demo.round_trips))?;
    writeln!(
        text,
        "  {:<12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "min", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for transport in &demo.transports {
        let ns = &transport.round_trip_ns;
        write!(text, "  {:<12}", transport.name)?;
        for value in [ns.min, ns.p50, ns.p90, ns.p99, ns.p999, ns.max] {
            write!(text, "{:>10}", human_ns(value))?;
        }
        text.push('\n');
    }

    let histograms: Vec<&Histogram<u64>> =
        results.iter().map(|result| &result.round_trips).collect();
    write!(text, "\n  {:<18}", "")?;
    let mut heads = demo
        .transports
        .iter()
        .map(|transport| format!("{:<22}", transport.name));
    writeln!(text, "{}", heads.by_ref().collect::<String>().trim_end())?;
    for (from, to, shares) in steps(&histograms) {
        let mut line = format!("  {:>7} - {:<8}", human_bound(from), human_bound(to));
        for share in shares {
            let cell = match share {
                0.0 => String::new(),
                _ => format!("{} {}", bar(share, 12), human_share(share)),
            };
            let _ = write!(line, "{cell:<22}");
        }
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A bound of a step, without digits behind a point: 1, 2 or 5 and zeroes.
fn human_bound(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

fn human_share(share: f64) -> String {
    match share * 100.0 {
        percent if percent < 0.01 => "< 0.01 %".to_owned(),
        percent if percent < 1.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

pub(super) fn human_rate(rate: f64) -> String {
    match rate {
        ..1e3 => format!("{rate:.0}"),
        ..1e6 => format!("{:.1} K", rate / 1e3),
        _ => format!("{:.2} M", rate / 1e6),
    }
}

/// Digits in groups of three.
pub(super) fn thousands(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}
