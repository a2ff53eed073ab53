//! The results of a bench, for people and as JSON.

use std::fmt::Write;

use ringway::Address;
use serde::Serialize;

use super::Measured;
use crate::cli::BenchArgs;
use crate::cli::slabs::{self, SlabClass};
use crate::failure::Failure;
use crate::latency::{Percentiles, human_ns};
use crate::output;
use crate::units::human_size;

#[derive(Serialize)]
struct BenchJson {
    kind: &'static str,
    sync: Option<&'static str>,
    wait_strategy: &'static str,
    rounds: u32,
    cores: Option<[usize; 2]>,
    capacity_bytes: u64,
    slabs: Vec<SlabClass>,
    /// Every message arrived once, in order, byte for byte; otherwise there would be no report.
    verified: bool,
    sizes: Vec<SizeJson>,
}

#[derive(Serialize)]
struct SizeJson {
    size_bytes: usize,
    one_way: OneWayJson,
    round_trip: RoundTripJson,
}

#[derive(Serialize)]
struct OneWayJson {
    ring_messages_per_second: f64,
    raw_messages_per_second: f64,
    /// Ring to raw; more is better.
    ratio: Ratio,
}

#[derive(Serialize)]
struct RoundTripJson {
    ring_ns: Percentiles,
    raw_ns: Percentiles,
    /// Ring to raw, of the medians; less is better.
    ratio: Ratio,
}

/// Ratios of neighbouring bursts, over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Ratio {
    median: f64,
    p10: f64,
    p90: f64,
}

impl Ratio {
    fn of(ring: &[f64], raw: &[f64]) -> Self {
        let ratios: Vec<f64> = ring.iter().zip(raw).map(|(ring, raw)| ring / raw).collect();
        Self {
            median: quantile(&ratios, 0.5),
            p10: quantile(&ratios, 0.1),
            p90: quantile(&ratios, 0.9),
        }
    }
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} - {:.2})", self.median, self.p10, self.p90)
    }
}

/// The value nearest to a quantile; 0 of nothing.
fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * quantile).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// Shows the results.
pub(super) fn show(
    args: &BenchArgs,
    address: &Address,
    cores: Option<[usize; 2]>,
    results: &[Measured],
) -> Result<(), Failure> {
    let (kind, sync) = args.trial.kind.names(address);
    let bench = BenchJson {
        kind,
        sync,
        wait_strategy: args.wait_strategy.name(),
        rounds: args.rounds,
        cores,
        capacity_bytes: args.capacity.unwrap_or(super::CAPACITY),
        slabs: args.trial.kind.slabs(address),
        verified: true,
        sizes: results.iter().map(summary).collect(),
    };
    if args.trial.json {
        return output::print_json(&bench);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = describe(&mut text, &bench);
    output::print(&text)
}

fn summary(measured: &Measured) -> SizeJson {
    let (one_way, round_trip) = (&measured.one_way, &measured.round_trip);
    SizeJson {
        size_bytes: measured.size,
        one_way: OneWayJson {
            ring_messages_per_second: quantile(&one_way.ring, 0.5),
            raw_messages_per_second: quantile(&one_way.raw, 0.5),
            ratio: Ratio::of(&one_way.ring, &one_way.raw),
        },
        round_trip: RoundTripJson {
            ring_ns: Percentiles::of(&round_trip.ring),
            raw_ns: Percentiles::of(&round_trip.raw),
            ratio: Ratio::of(&round_trip.ring_medians, &round_trip.raw_medians),
        },
    }
}

fn describe(text: &mut String, bench: &BenchJson) -> std::fmt::Result {
    let place = match bench.cores {
        Some([first, second]) => format!("on cores {first} and {second}"),
        None => "on one core".to_owned(),
    };
    writeln!(
        text,
        "Two processes {place}, waiting by {}; rounds in turn: {}; every message checked.",
        bench.wait_strategy, bench.rounds
    )?;
    match bench.sync {
        Some(sync) => writeln!(
            text,
            "The rings are {} with {sync}, of {}{}.",
            bench.kind,
            human_size(bench.capacity_bytes),
            slabs::and_all(&bench.slabs)
        ),
        None => writeln!(text, "Two message queues, one each way."),
    }?;
    let ours = if bench.sync.is_some() {
        "ring"
    } else {
        "queue"
    };
    writeln!(
        text,
        "Ratios are of neighbouring bursts: median (10 % - 90 % of the rounds).\n"
    )?;

    writeln!(text, "ONE WAY (ratio: more is better)")?;
    writeln!(
        text,
        "  {:>9}{:>16}{:>16}    {ours} / raw",
        "size",
        format!("{ours} msg/s"),
        "raw msg/s"
    )?;
    for size in &bench.sizes {
        let one_way = &size.one_way;
        writeln!(
            text,
            "  {:>9}{:>14.2} M{:>14.2} M    {}",
            human_size(size.size_bytes as u64),
            one_way.ring_messages_per_second / 1e6,
            one_way.raw_messages_per_second / 1e6,
            one_way.ratio
        )?;
    }

    writeln!(text, "\nROUND TRIP (ratio: less is better)")?;
    writeln!(
        text,
        "  {:>9}       {:>10}{:>10}{:>10}{:>10}{:>10}    {ours} / raw",
        "size", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for size in &bench.sizes {
        let trip = &size.round_trip;
        let name = human_size(size.size_bytes as u64);
        let ratio = format!("    {}", trip.ratio);
        for (name, via, ns, ratio) in [
            (name.as_str(), ours, &trip.ring_ns, ratio.as_str()),
            ("", "raw", &trip.raw_ns, ""),
        ] {
            write!(text, "  {name:>9}  {via:<5}")?;
            for value in [ns.p50, ns.p90, ns.p99, ns.p999, ns.max] {
                write!(text, "{:>10}", human_ns(value))?;
            }
            writeln!(text, "{ratio}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_pairs_and_not_of_medians() {
        let ratio = Ratio::of(&[1.0, 20.0, 3.0], &[2.0, 40.0, 6.0]);
        assert_eq!(
            ratio,
            Ratio {
                median: 0.5,
                p10: 0.5,
                p90: 0.5
            }
        );
    }

    #[test]
    fn quantiles_of_few_values() {
        assert_eq!(quantile(&[], 0.5), 0.0);
        assert_eq!(quantile(&[7.0], 0.9), 7.0);
        assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.5), 2.0);
    }
}
