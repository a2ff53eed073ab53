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

pub fn heading(work: Work) -> String {
    let mut columns = vec!["work", "size", "ring", "contestant"];
    let mut to_peers = Vec::new();
    for peer in work.peers() {
        let measure = if work.is_latency() { "p50" } else { "rate" };
        to_peers.push(format!("{measure} to {peer}"));
    }
    let to_peers = to_peers.iter().map(String::as_str);
    if work.is_latency() {
        columns.extend([
            "p50 to raw: median (p10-p90)",
            "mean to raw",
            "p99.9 to raw",
        ]);
        columns.extend(to_peers);
        columns.push("p50 / p99 / p99.9 ns");
    } else {
        columns.push("rate to raw: median (p10-p90)");
        columns.extend(to_peers);
        columns.push("median");
    }
    format!(
        "| {} |\n|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    )
}

/// A row of the work's table.
pub struct Row<'a> {
    pub work: Work,
    /// The work and its variant.
    pub label: &'a str,
    pub size: u64,
    pub contestant: &'a Contestant,
    pub score: &'a Score,
    /// The work's peers with the same ring, if they took part.
    pub peers: Vec<Option<&'a Score>>,
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
    fn to_peer(&self, peer: &Score, measure: impl Fn(&Sample) -> f64) -> Option<Spread> {
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
        let measure = |sample: &Sample| {
            if self.work.is_latency() {
                sample.p50
            } else {
                sample.rate
            }
        };
        let mut columns = vec![
            self.label.to_owned(),
            show_bytes(self.size),
            self.ring(),
            self.contestant.name.to_owned(),
            show(Spread::of(self.ratios(measure))),
        ];
        if self.work.is_latency() {
            columns.push(short(Spread::of(self.ratios(|sample| 1.0 / sample.rate))));
            columns.push(show(Spread::of(self.ratios(|sample| sample.p999))));
        }
        for peer in &self.peers {
            columns.push(short(peer.and_then(|peer| self.to_peer(peer, measure))));
        }
        columns.push(self.absolute());
        format!("| {} |", columns.join(" | "))
    }

    fn absolute(&self) -> String {
        if self.work.is_latency() {
            let at = |quantile| self.score.laps.value_at_quantile(quantile);
            return format!("{} / {} / {}", at(0.5), at(0.99), at(0.999));
        }
        let rate = Spread::of(self.score.rounds.iter().map(|(own, _)| own.rate));
        let rate = rate.map_or(0.0, |rate| rate.median);
        if matches!(self.work, Work::Copy | Work::Map | Work::Chunk) {
            format!("{:.2} GB/s", rate * self.size as f64 / 1e9)
        } else {
            format!("{:.2} M msg/s", rate / 1e6)
        }
    }

    /// One object on one line; names need no escapes.
    pub fn json(&self) -> String {
        let mut text = format!(
            "{{\"work\":\"{}\",\"size\":{},\"ring\":{},\"contestant\":\"{}\"",
            self.label,
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
