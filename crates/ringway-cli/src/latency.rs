//! Distributions of latencies, as numbers and as bars.

use hdrhistogram::Histogram;
use serde::Serialize;

/// What a distribution comes down to, in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) min: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    #[serde(rename = "p99_9")]
    pub(crate) p999: u64,
    pub(crate) max: u64,
    pub(crate) mean: f64,
}

impl Percentiles {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            min: histogram.min(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
            mean: histogram.mean(),
        }
    }
}

/// An empty distribution of nanoseconds, with three significant digits.
pub(crate) fn histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .expect("the bounds are constants in range");
    histogram.auto(true);
    histogram
}

/// Nanoseconds for people, with three significant digits.
pub(crate) fn human_ns(ns: u64) -> String {
    let value = ns as f64;
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (value / 1e3, "us"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    match value {
        ..10.0 => format!("{value:.2} {unit}"),
        ..100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A bar of `share` of `width` characters, in eighths of a character; something for every share that
/// is not nothing.
pub(crate) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if share <= 0.0 {
        return String::new();
    }
    let eighths = ((share.min(1.0) * (width * 8) as f64).round() as usize).max(1);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Bounds in steps of 1, 2, 5 that hold everything in the histograms, and the share of each histogram
/// in each step.
pub(crate) fn steps(histograms: &[&Histogram<u64>]) -> Vec<(u64, u64, Vec<f64>)> {
    let filled = || histograms.iter().filter(|histogram| !histogram.is_empty());
    let (Some(min), Some(max)) = (
        filled().map(|histogram| histogram.min()).min(),
        filled().map(|histogram| histogram.max()).max(),
    ) else {
        return Vec::new();
    };
    let mut bounds = (0..18).flat_map(|power| [1, 2, 5].map(|step| step * 10_u64.pow(power)));
    let mut from = 0;
    let mut steps = Vec::new();
    while let Some(to) = bounds.next()
        && from <= max
    {
        if to > min {
            let share = |histogram: &&Histogram<u64>| {
                let count: u64 = histogram
                    .iter_recorded()
                    .filter(|at| (from..to).contains(&at.value_iterated_to()))
                    .map(|at| at.count_at_value())
                    .sum();
                count as f64 / histogram.len().max(1) as f64
            };
            steps.push((from, to, histograms.iter().map(share).collect()));
        }
        from = to;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people_have_three_digits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (52_340, "52.3 us"),
            (152_340, "152 us"),
            (3_000_000, "3.00 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(human_ns(ns), text);
        }
    }

    #[test]
    fn the_steps_hold_every_value_once() {
        let mut histogram = histogram();
        for value in [99, 100, 101, 150, 199, 200, 700, 52_000] {
            histogram.saturating_record(value);
        }
        let steps = steps(&[&histogram]);
        assert_eq!((steps[0].0, steps[0].1), (50, 100));
        assert_eq!(
            steps.last().map(|step| (step.0, step.1)),
            Some((50_000, 100_000))
        );
        let sum: f64 = steps.iter().map(|step| step.2[0]).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_bar_shows_eighths_and_never_nothing_for_something() {
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(1e-9, 4), "▏");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(2.0, 4), "████");
    }
}
