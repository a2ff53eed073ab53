//! Scores as Markdown, and as JSON.

use std::fmt::Write as _;

use crate::args::{Work, show_bytes};
use crate::contestants::Contestant;
use crate::measure::{Sample, Score};

/// The middle of some numbers, and how far they spread.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub p10: f64,
    pub median: f64,
    pub p90: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted.get(((sorted.len() - 1) as f64 * share).round() as usize);
        if sorted.is_empty() {
            return None;
        }
        Some(Self {
            p10: *at(0.1)?,
            median: *at(0.5)?,
            p90: *at(0.9)?,
        })
    }

    fn show(self) -> String {
        format!("{:.2} ({:.2}-{:.2})", self.median, self.p10, self.p90)
    }
}

pub fn heading(work: Work) -> &'static str {
    if work.is_latency() {
        "| work | size | ring | contestant | p50 to raw: median (p10-p90) | mean to raw | p99.9 to raw \
         | p50 to shmem-ipc | p50 / p99 / p99.9 ns |\n|---|---|---|---|---|---|---|---|---|"
    } else {
        "| work | size | ring | contestant | rate to raw: median (p10-p90) | rate to shmem-ipc \
         | median |\n|---|---|---|---|---|---|---|"
    }
}

/// A row of the work's table.
pub struct Row<'a> {
    pub work: Work,
    pub size: u64,
    pub contestant: &'a Contestant,
    pub score: &'a Score,
    /// shmem-ipc with the same ring, if it took part.
    pub peer: Option<&'a Score>,
}

impl Row<'_> {
    fn ring(&self) -> String {
        self.contestant.ring.map_or("-".to_owned(), show_bytes)
    }

    fn ratios(&self, measure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.score
            .rounds
            .iter()
            .map(|(own, limit)| measure(own) / measure(limit))
            .collect()
    }

    /// Round by round, each side of the pair relative to the limit beside it.
    fn to_peer(&self, measure: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let peer = self.peer?;
        let both = self.score.rounds.iter().zip(&peer.rounds);
        Spread::of(both.map(|((own, limit), (peer, beside))| {
            (measure(own) / measure(limit)) / (measure(peer) / measure(beside))
        }))
    }

    pub fn markdown(&self) -> String {
        let show = |spread: Option<Spread>| spread.map_or("-".to_owned(), Spread::show);
        let short = |spread: Option<Spread>| {
            spread.map_or("-".to_owned(), |spread| format!("{:.2}", spread.median))
        };
        let start = format!(
            "| {} | {} | {} | {} |",
            self.work.name(),
            show_bytes(self.size),
            self.ring(),
            self.contestant.name
        );
        if self.work.is_latency() {
            let laps = &self.score.laps;
            format!(
                "{start} {} | {} | {} | {} | {} / {} / {} |",
                show(Spread::of(self.ratios(|sample| sample.p50))),
                short(Spread::of(self.ratios(|sample| 1.0 / sample.rate))),
                show(Spread::of(self.ratios(|sample| sample.p999))),
                short(self.to_peer(|sample| sample.p50)),
                laps.value_at_quantile(0.5),
                laps.value_at_quantile(0.99),
                laps.value_at_quantile(0.999),
            )
        } else {
            format!(
                "{start} {} | {} | {} |",
                show(Spread::of(self.ratios(|sample| sample.rate))),
                short(self.to_peer(|sample| sample.rate)),
                self.absolute(),
            )
        }
    }

    fn absolute(&self) -> String {
        let rate = Spread::of(self.score.rounds.iter().map(|(own, _)| own.rate));
        let rate = rate.map_or(0.0, |rate| rate.median);
        if self.work == Work::Copy {
            format!("{:.2} GB/s", rate * self.size as f64 / 1e9)
        } else {
            format!("{:.2} M msg/s", rate / 1e6)
        }
    }

    /// One object on one line; names need no escapes.
    pub fn json(&self) -> String {
        let mut text = format!(
            "{{\"work\":\"{}\",\"size\":{},\"ring\":{},\"contestant\":\"{}\"",
            self.work.name(),
            self.size,
            self.contestant
                .ring
                .map_or("null".to_owned(), |ring| ring.to_string()),
            self.contestant.name
        );
        let mut list = |name: &str, numbers: Vec<f64>| {
            let numbers: Vec<String> = numbers.iter().map(|n| format!("{n:.4}")).collect();
            // Writing to a string cannot fail.
            let _ = write!(text, ",\"{name}\":[{}]", numbers.join(","));
        };
        let own = |measure: fn(&Sample) -> f64| {
            self.score
                .rounds
                .iter()
                .map(|(own, _)| measure(own))
                .collect::<Vec<f64>>()
        };
        list("rate", own(|sample| sample.rate));
        list("rate_to_raw", self.ratios(|sample| sample.rate));
        if self.work.is_latency() {
            list("p50_ns", own(|sample| sample.p50));
            list("p50_to_raw", self.ratios(|sample| sample.p50));
            list("p999_ns", own(|sample| sample.p999));
            list("p999_to_raw", self.ratios(|sample| sample.p999));
        }
        text.push('}');
        text
    }
}
