//! Rows of several runs, gathered: for each the middle of the runs' medians, and how far those spread.

use serde_json::{Value, json};

use crate::targets::{self, Measure};

/// A bare round trip of less, in nanoseconds, is near. As in `compare`.
pub const NEAR: f64 = 150.0;

/// What was measured in one way, in all runs.
pub struct Row {
    pub work: String,
    pub size: u64,
    pub ring: Option<u64>,
    pub contestant: String,
    pub bare: bool,
    pub reference: bool,
    /// By run: which of all runs it was, as not every one has every row.
    runs: Vec<(usize, Value)>,
}

#[derive(Default)]
pub struct Data {
    /// The records that stand before the runs' rows.
    pub runs: Vec<Value>,
    pub rows: Vec<Row>,
}

/// The middle of the runs' figures, the least and the greatest.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub middle: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Figure {
    pub fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.retain(|number| number.is_finite());
        numbers.sort_by(f64::total_cmp);
        // Of an even count, between the two in the middle.
        let (below, above) = (numbers.len().saturating_sub(1) / 2, numbers.len() / 2);
        Some(Self {
            middle: (numbers.get(below)? + numbers.get(above)?) / 2.0,
            least: *numbers.first()?,
            greatest: *numbers.last()?,
        })
    }

    /// Of each list's median.
    pub fn of_medians(lists: Vec<Vec<f64>>) -> Option<Self> {
        Self::of(lists.into_iter().filter_map(median).collect())
    }
}

fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    Figure::of(numbers.into_iter().collect()).map(|figure| figure.middle)
}

fn numbers(run: &Value, name: &str) -> Vec<f64> {
    let list = run[name].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_f64).collect()
}

/// How far apart the processors were in each round of a row; `None`: it changed, or there is one only.
fn distances(run: &Value) -> Vec<Option<Distance>> {
    let keys = numbers(run, "key_before_ns").into_iter();
    let keys = keys.zip(numbers(run, "key_behind_ns"));
    let place = |(before, behind): (f64, f64)| match [before, behind].map(|key| key < NEAR) {
        _ if before == 0.0 => None,
        [true, true] => Some(Distance::Near),
        [false, false] => Some(Distance::Far),
        _ => None,
    };
    keys.map(place).collect()
}

/// Trips in which both sides sleep, of those that are meant to: at least this share, or the round does not count.
const ASLEEP: f64 = 0.9;

/// Which rounds of a row count: where the two are to sleep, those in which they did.
fn counts(run: &Value) -> Vec<bool> {
    let sleeps = run["work"]
        .as_str()
        .is_some_and(|work| work.starts_with("sleep"));
    let rounds = numbers(run, "key_before_ns").len();
    if !sleeps || run.get("asleep").is_none() {
        return vec![true; rounds];
    }
    let both = numbers(run, "asleep").into_iter();
    let both = both.zip(numbers(run, "asleep_beside"));
    both.map(|(own, beside)| own >= ASLEEP && beside >= ASLEEP)
        .collect()
}

/// Rounds by how far apart the processors were in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    Near,
    Far,
}

impl Row {
    pub fn is(&self, work: &str, size: u64, ring: Option<u64>) -> bool {
        self.work == work && self.size == size && self.ring == ring
    }

    pub fn is_latency(&self) -> bool {
        self.runs.iter().any(|(_, run)| run.get("p50_ns").is_some())
    }

    /// The figure that counts: the rate, or the median trip.
    pub fn measure(&self) -> &'static str {
        if self.is_latency() { "p50_ns" } else { "rate" }
    }

    /// The middle of a list of every run's rounds.
    pub fn figure(&self, name: &str) -> Option<Figure> {
        let medians = self
            .runs
            .iter()
            .filter_map(|(_, run)| median(numbers(run, name)));
        Figure::of(medians.collect())
    }

    /// The same, of the measure that counts, relative to the reference beside it.
    pub fn to_reference(&self) -> Option<Figure> {
        self.figure(self.ratio())
    }

    fn ratio(&self) -> &'static str {
        match self.is_latency() {
            true => "p50_to_reference",
            false => "rate_to_reference",
        }
    }

    /// The same in the rounds at one distance, and how many those were.
    pub fn at(&self, distance: Distance) -> Option<(f64, usize)> {
        let mut chosen = Vec::new();
        for (_, run) in &self.runs {
            let places = distances(run).into_iter();
            let there = places.zip(numbers(run, self.ratio()));
            chosen.extend(
                there.filter_map(|(place, ratio)| (place == Some(distance)).then_some(ratio)),
            );
        }
        Some((median(chosen.iter().copied())?, chosen.len()))
    }

    /// Round by round relative to another row, by way of the references beside both.
    pub fn to_other(&self, other: &Self) -> Option<Figure> {
        Figure::of_medians(self.ratios_to(other, Measure::Usual, None))
    }

    /// The ratios behind it: of each run that has both rows, one for each round (at this distance) that counts.
    pub fn ratios_to(
        &self,
        other: &Self,
        measure: Measure,
        distance: Option<Distance>,
    ) -> Vec<Vec<f64>> {
        let name = match measure {
            Measure::Usual => self.ratio(),
            Measure::P999 => "p999_to_reference",
        };
        let of_run = |(run, own): &(usize, Value)| {
            let (_, beside) = other.runs.iter().find(|(other_run, _)| other_run == run)?;
            let places = distances(own).into_iter();
            let counts = counts(own).into_iter().zip(counts(beside));
            let ratios = numbers(own, name).into_iter().zip(numbers(beside, name));
            let rounds = places.zip(counts).zip(ratios);
            let chosen = rounds.filter_map(|((place, counts), (own, other))| {
                let is_there = distance.is_none() || place == distance;
                (is_there && counts == (true, true)).then_some(own / other)
            });
            let chosen: Vec<f64> = chosen.collect();
            (!chosen.is_empty()).then_some(chosen)
        };
        self.runs.iter().filter_map(of_run).collect()
    }

    /// Nanoseconds at these shares of all trips: the middle of the runs'.
    pub fn quantiles(&self) -> Vec<(f64, f64)> {
        let shares = self
            .runs
            .first()
            .and_then(|(_, run)| run["quantiles_ns"].as_array());
        let shares = shares.map(Vec::as_slice).unwrap_or_default().iter();
        let of_runs = |index: usize| {
            let runs = self.runs.iter();
            median(runs.filter_map(|(_, run)| run["quantiles_ns"][index][1].as_f64()))
        };
        let points = shares.enumerate();
        points
            .filter_map(|(index, pair)| Some((pair[0].as_f64()?, of_runs(index)?)))
            .collect()
    }
}

impl Data {
    /// The rows of a run.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let record: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
            if record.get("run").is_some() {
                self.runs.push(record);
                continue;
            }
            let text = |name: &str| record[name].as_str().map(str::to_owned);
            let (work, contestant) = (text("work"), text("contestant"));
            let (work, contestant) = work.zip(contestant).ok_or("a row without a name")?;
            let size = record["size"].as_u64().ok_or("a row without a size")?;
            let ring = record["ring"].as_u64();
            // Runs are told apart by the records that stand before their rows.
            let run = self.runs.len().checked_sub(1).ok_or("a row of no run")?;
            let known = self
                .rows
                .iter_mut()
                .find(|row| row.is(&work, size, ring) && row.contestant == contestant);
            match known {
                Some(row) => row.runs.push((run, record)),
                None => self.rows.push(Row {
                    work,
                    size,
                    ring,
                    contestant,
                    bare: record["bare"].as_bool().unwrap_or_default(),
                    reference: record["reference"].as_bool().unwrap_or_default(),
                    runs: vec![(run, record)],
                }),
            }
        }
        Ok(())
    }

    pub fn row(&self, work: &str, size: u64, ring: Option<u64>, contestant: &str) -> Option<&Row> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.is(work, size, ring) && row.contestant == contestant)
    }

    /// The best bare layout beside a row.
    pub fn limit(&self, row: &Row) -> Option<&Row> {
        let bare = |ring: Option<u64>| {
            let rows = self.rows.iter();
            let beside =
                rows.filter(move |other| other.bare && other.is(&row.work, row.size, ring));
            beside.max_by(|one, other| {
                let goodness = |row: &Row| {
                    let ratio = row.to_reference().map_or(0.0, |figure| figure.middle);
                    if row.is_latency() { -ratio } else { ratio }
                };
                goodness(one).total_cmp(&goodness(other))
            })
        };
        bare(row.ring).or_else(|| bare(None))
    }

    /// All of it in short.
    pub fn json(&self) -> Value {
        let figure = |figure: Option<Figure>| {
            figure.map(|Figure { middle, least, greatest }| {
                let rounded = |number: f64| (number * 1e3).round() / 1e3;
                json!({ "median": rounded(middle), "least": rounded(least), "greatest": rounded(greatest) })
            })
        };
        let distance = |at: Option<(f64, usize)>| {
            at.map(|(ratio, rounds)| json!({ "median": (ratio * 1e3).round() / 1e3, "rounds": rounds }))
        };
        let rows = self.rows.iter().map(|row| {
            let limit = self.limit(row);
            json!({
                "work": row.work,
                "size": row.size,
                "ring": row.ring,
                "contestant": row.contestant,
                row.measure(): figure(row.figure(row.measure())),
                "to_reference": figure(row.to_reference()),
                "near": distance(row.at(Distance::Near)),
                "far": distance(row.at(Distance::Far)),
                "limit": limit.map(|limit| &limit.contestant),
                "to_limit": figure(limit.and_then(|limit| row.to_other(limit))),
                "p999_ns": figure(row.figure("p999_ns")),
                "p999_to_reference": figure(row.figure("p999_to_reference")),
                "load_p50_ns": figure(row.figure("load_p50_ns").filter(|figure| figure.greatest > 0.0)),
                "load_p99_ns": figure(row.figure("load_p99_ns").filter(|figure| figure.greatest > 0.0)),
                "quantiles_ns": row.quantiles(),
            })
        });
        json!({
            "runs": self.runs,
            "targets": targets::json(self),
            "rows": rows.collect::<Vec<Value>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(work: &str, contestant: &str, ratios: [f64; 2], asleep: [f64; 2]) -> String {
        let row = json!({
            "work": work, "size": 64, "ring": null, "contestant": contestant,
            "key_before_ns": [100.0, 300.0], "key_behind_ns": [100.0, 300.0],
            "p50_ns": [1.0, 1.0], "p50_to_reference": ratios,
            "asleep": asleep, "asleep_beside": [1.0, 1.0],
        });
        format!("{row}\n")
    }

    #[test]
    fn rows_meet_those_of_the_same_run() {
        let (awake, run) = ([0.0; 2], "{\"run\":{}}\n");
        let mut data = Data::default();
        data.add(&(run.to_owned() + &row("rtt", "one", [9.0; 2], awake)))
            .unwrap();
        // Of two runs in one file, only the second has both rows.
        let other = run.to_owned() + &row("rtt", "other", [7.0; 2], awake);
        let both = row("rtt", "one", [2.0, 4.0], awake) + &row("rtt", "other", [1.0; 2], awake);
        data.add(&(other + run + &both)).unwrap();
        let [one, other] = ["one", "other"].map(|name| data.row("rtt", 64, None, name).unwrap());
        assert_eq!(one.ratios_to(other, Measure::Usual, None), [vec![2.0, 4.0]]);
        assert_eq!(
            one.ratios_to(other, Measure::Usual, Some(Distance::Far)),
            [vec![4.0]]
        );
        assert!(data.add(&row("rtt", "one", [1.0; 2], awake)).is_ok());
        assert!(
            Data::default()
                .add(&row("rtt", "one", [1.0; 2], awake))
                .is_err()
        );
    }

    #[test]
    fn rounds_in_which_somebody_was_awake_do_not_count() {
        let mut data = Data::default();
        let run = "{\"run\":{}}\n".to_owned();
        let rows = row("sleep", "one", [2.0, 40.0], [1.0, 0.1])
            + &row("sleep", "bare", [1.0; 2], [1.0; 2]);
        data.add(&(run + &rows)).unwrap();
        let [one, bare] = ["one", "bare"].map(|name| data.row("sleep", 64, None, name).unwrap());
        assert_eq!(one.ratios_to(bare, Measure::Usual, None), [vec![2.0]]);
    }
}
