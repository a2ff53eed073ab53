//! Scores as Markdown, and as JSON.

use serde_json::{Value, json};

use crate::args::{Work, show_bytes};
use crate::contestants::Contestant;
use crate::measure::{Distance, Round, Sample, Score};

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
        columns.push("p50 to reference: median (p10-p90)");
        columns.extend(["near", "far", "to the limit", "mean", "p99.9"]);
        if work.sleeps() {
            columns.push("trips asleep, and of the reference");
        }
        columns.extend(to_peers);
        columns.push("p50 / p99 / p99.9 ns");
    } else {
        columns.push("rate to reference: median (p10-p90)");
        columns.extend(["near", "far", "to the limit"]);
        columns.extend(to_peers);
        columns.extend(["under load p50 / p99 ns", "median"]);
    }
    format!(
        "| {} |\n|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    )
}

/// What is compared of a burst.
fn measure(work: Work) -> fn(&Sample) -> f64 {
    match work.is_latency() {
        true => |sample| sample.p50,
        false => |sample| sample.rate,
    }
}

/// Round by round, relative to the reference beside it.
fn ratios(score: &Score, measure: impl Fn(&Sample) -> f64) -> Vec<f64> {
    let ratio = |round: &Round| measure(&round.own) / measure(&round.beside);
    score.rounds.iter().map(ratio).collect()
}

/// Greater is better.
pub fn goodness(work: Work, score: &Score) -> f64 {
    let middle = Spread::of(ratios(score, measure(work))).map_or(0.0, |spread| spread.median);
    match work.is_latency() {
        true => -middle,
        false => middle,
    }
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
    /// The best bare layout with this ring, and its name.
    pub limit: Option<(&'static str, &'a Score)>,
}

impl Row<'_> {
    fn ring(&self) -> String {
        self.contestant.ring.map_or("-".to_owned(), show_bytes)
    }

    fn ratios(&self, measure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        ratios(self.score, measure)
    }

    /// In the rounds at this distance.
    fn at(&self, distance: Distance) -> Option<Spread> {
        let rounds = self
            .score
            .rounds
            .iter()
            .zip(self.ratios(measure(self.work)));
        Spread::of(
            rounds.filter_map(|(round, ratio)| (round.distance() == distance).then_some(ratio)),
        )
    }

    /// Round by round, each side of the pair relative to the reference beside it.
    fn to_other(&self, other: &Score) -> Option<Spread> {
        let measure = measure(self.work);
        let both = self.ratios(measure).into_iter().zip(ratios(other, measure));
        Spread::of(both.map(|(own, other)| own / other))
    }

    pub fn markdown(&self) -> String {
        let show = |spread: Option<Spread>| spread.map_or("-".to_owned(), Spread::show);
        let short = |spread: Option<Spread>| {
            spread.map_or("-".to_owned(), |spread| format!("{:.2}", spread.median))
        };
        let mut columns = vec![
            self.label.to_owned(),
            show_bytes(self.size),
            self.ring(),
            self.contestant.name.to_owned(),
            show(Spread::of(self.ratios(measure(self.work)))),
            short(self.at(Distance::Near)),
            short(self.at(Distance::Far)),
            match self.limit {
                Some((name, _)) if name == self.contestant.name => "it".to_owned(),
                Some((_, limit)) => short(self.to_other(limit)),
                None => "-".to_owned(),
            },
        ];
        if self.work.is_latency() {
            columns.push(short(Spread::of(self.ratios(|sample| 1.0 / sample.rate))));
            columns.push(show(Spread::of(self.ratios(|sample| sample.p999))));
            if self.work.sleeps() {
                let share = |of: fn(&Round) -> &Sample| {
                    let rounds = self.score.rounds.iter();
                    let share = Spread::of(rounds.map(|round| of(round).asleep));
                    share.map_or(0.0, |share| share.median)
                };
                let shares = (share(|round| &round.own), share(|round| &round.beside));
                columns.push(format!("{:.2}, {:.2}", shares.0, shares.1));
            }
        }
        for peer in &self.peers {
            columns.push(short(peer.and_then(|peer| self.to_other(peer))));
        }
        if !self.work.is_latency() {
            let middle = |measure: fn(&Sample) -> f64| {
                let spread = Spread::of(self.score.rounds.iter().map(|round| measure(&round.own)));
                spread.map_or(0.0, |spread| spread.median)
            };
            let (p50, p99) = (middle(|own| own.load_p50), middle(|own| own.load_p99));
            columns.push(match p99 > 0.0 {
                true => format!("{p50:.0} / {p99:.0}"),
                false => "-".to_owned(),
            });
        }
        columns.push(self.absolute());
        format!("| {} |", columns.join(" | "))
    }

    fn absolute(&self) -> String {
        if self.work.is_latency() {
            let at = |quantile| self.score.laps.value_at_quantile(quantile);
            return format!("{} / {} / {}", at(0.5), at(0.99), at(0.999));
        }
        let rate = Spread::of(self.score.rounds.iter().map(|round| round.own.rate));
        let rate = rate.map_or(0.0, |rate| rate.median);
        if matches!(self.work, Work::Copy | Work::Map | Work::Chunk) {
            format!("{:.2} GB/s", rate * self.size as f64 / 1e9)
        } else {
            format!("{:.2} M msg/s", rate / 1e6)
        }
    }

    /// What every round showed.
    pub fn json(&self) -> Value {
        let rounded = |number: f64| (number * 1e4).round() / 1e4;
        let rounds = |measure: &dyn Fn(&Round) -> f64| {
            let numbers = self
                .score
                .rounds
                .iter()
                .map(|round| rounded(measure(round)));
            numbers.collect::<Vec<f64>>()
        };
        let own = |measure: fn(&Sample) -> f64| rounds(&|round| measure(&round.own));
        let to_reference = |measure: fn(&Sample) -> f64| {
            rounds(&|round| measure(&round.own) / measure(&round.beside))
        };
        let mut record = json!({
            "work": self.label,
            "size": self.size,
            "ring": self.contestant.ring,
            "contestant": self.contestant.name,
            "bare": self.contestant.is_bare(),
            "reference": self.contestant.is_reference,
            "limit": self.limit.map(|(name, _)| name),
            "key_before_ns": rounds(&|round| round.key[0]),
            "key_behind_ns": rounds(&|round| round.key[1]),
            "rate": own(|sample| sample.rate),
            "rate_to_reference": to_reference(|sample| sample.rate),
        });
        let more = match self.work.is_latency() {
            true => {
                let shares = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];
                let at = |share: f64| (share, self.score.laps.value_at_quantile(share));
                json!({
                    "p50_ns": own(|sample| sample.p50),
                    "p50_to_reference": to_reference(|sample| sample.p50),
                    "asleep": own(|sample| sample.asleep),
                    "asleep_beside": rounds(&|round| round.beside.asleep),
                    "p999_ns": own(|sample| sample.p999),
                    "p999_to_reference": to_reference(|sample| sample.p999),
                    "quantiles_ns": shares.map(at),
                })
            }
            false => json!({
                "load_p50_ns": own(|sample| sample.load_p50),
                "load_p99_ns": own(|sample| sample.load_p99),
            }),
        };
        if let (Value::Object(record), Value::Object(more)) = (&mut record, more) {
            record.extend(more);
        }
        record
    }
}
