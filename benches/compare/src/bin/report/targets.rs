//! What was aimed at, and how far it was reached: the table at the top of the page.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::data::{Data, Distance, Figure, Row};
use crate::tables::{bytes, show};

/// Which figures of a row count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// The rate, or the median trip.
    Usual,
    /// The trip that all but one of a thousand stay below.
    P999,
}

/// So much of something, or so little.
#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of what is aimed at; where it names several sizes or rings, it holds for each.
struct Target {
    what: &'static str,
    works: &'static [&'static str],
    sizes: &'static [u64],
    /// The best of these counts.
    own: &'static [&'static str],
    /// The best of these, too.
    others: &'static [&'static str],
    measure: Measure,
    bound: Bound,
}

const USUAL: Target = Target {
    what: "",
    works: &[],
    sizes: &[],
    own: &[],
    others: &[],
    measure: Measure::Usual,
    bound: Bound::AtLeast(1.0),
};

const AERON: &[&str] = &["aeron offer", "aeron claim"];
const BATCHES: &[&str] = &["ringway batch", "ringway batch+drain", "ringway bulk"];
const MANY: &[&str] = &["many 1:1", "many 2:1", "many 1:2", "many 2:2"];

const TARGETS: [Target; 21] = [
    Target {
        what: "one way, one a call",
        works: &["oneway"],
        sizes: &[64, 256, 1024],
        own: &["ringway"],
        others: &["ringfire", "shmem-ipc", "aeron offer", "aeron claim"],
        bound: Bound::AtLeast(1.2),
        ..USUAL
    },
    Target {
        what: "one way, one a call",
        works: &["oneway"],
        sizes: &[8],
        own: &["ringway"],
        others: &["ringfire"],
        bound: Bound::AtLeast(0.8),
        ..USUAL
    },
    Target {
        what: "one way, one a call",
        works: &["oneway"],
        sizes: &[8],
        own: &["ringway typed"],
        others: &["ringfire"],
        bound: Bound::AtLeast(1.0),
        ..USUAL
    },
    Target {
        what: "one way, one a call",
        works: &["oneway"],
        sizes: &[8],
        own: &["ringway"],
        others: AERON,
        bound: Bound::AtLeast(2.0),
        ..USUAL
    },
    Target {
        what: "batches of 64",
        works: &["oneway"],
        sizes: &[8, 64, 256, 1024],
        own: BATCHES,
        others: &["shmem-ipc batch+drain", "shmem-ipc batch, drain 256"],
        bound: Bound::AtLeast(1.0),
        ..USUAL
    },
    Target {
        what: "batches of 64",
        works: &["oneway"],
        sizes: &[8, 64, 256, 1024],
        own: BATCHES,
        others: &["ringfire batch", "aeron offer", "aeron claim"],
        bound: Bound::AtLeast(1.5),
        ..USUAL
    },
    Target {
        what: "there and back, spinning, p50",
        works: &["rtt"],
        sizes: &[64],
        own: &["ringway"],
        others: &["raw slot"],
        bound: Bound::AtMost(1.05),
        ..USUAL
    },
    Target {
        what: "there and back, spinning, p99.9",
        works: &["rtt"],
        sizes: &[64],
        own: &["ringway"],
        others: &["raw slot"],
        measure: Measure::P999,
        bound: Bound::AtMost(1.5),
    },
    Target {
        what: "there and back, asleep, p50",
        works: &["sleep", "sleep, one processor"],
        sizes: &[64],
        own: &["ringway park"],
        others: &["raw slot + futex"],
        bound: Bound::AtMost(1.1),
        ..USUAL
    },
    Target {
        what: "copied in and out",
        works: &["copy"],
        sizes: &[4 << 10, 64 << 10, 1 << 20],
        own: &["ringway"],
        others: &["shmem-ipc", "pipe", "unix socket"],
        bound: Bound::AtLeast(1.2),
        ..USUAL
    },
    Target {
        what: "in place",
        works: &["map"],
        sizes: &[1 << 20],
        own: &["ringway slab", "ringway in ring"],
        others: &["iceoryx2 loan"],
        bound: Bound::AtLeast(1.2),
        ..USUAL
    },
    Target {
        what: "between many, one a call",
        works: MANY,
        sizes: &[64],
        own: &["ringway", "ringway spin", "ringway polled"],
        others: &["raw vyukov"],
        bound: Bound::AtLeast(1.0),
        ..USUAL
    },
    Target {
        what: "between many, batches of 64",
        works: MANY,
        sizes: &[64],
        own: &["ringway batch/64", "ringway polled batch/64"],
        others: &["raw vyukov"],
        bound: Bound::AtLeast(1.5),
        ..USUAL
    },
    Target {
        what: "to each of one or two, one a call",
        works: &["fan 1:1"],
        sizes: &[64],
        own: &["ringway broadcast"],
        others: &["ringway stream for each"],
        bound: Bound::AtLeast(0.9),
        ..USUAL
    },
    Target {
        what: "to each of one or two, one a call",
        works: &["fan 1:2"],
        sizes: &[64],
        own: &["ringway broadcast"],
        others: &["ringfire", "iceoryx2"],
        bound: Bound::AtLeast(2.0),
        ..USUAL
    },
    Target {
        what: "with ninety lossy consumers beside, that sleep",
        works: &["fan 1:1", "fan 1:2"],
        sizes: &[64],
        own: &["ringway broadcast, lossy beside"],
        others: &["ringway broadcast"],
        bound: Bound::AtLeast(0.9),
        ..USUAL
    },
    Target {
        what: "a value read and written, alone, its length known from its type",
        works: &["board-get", "board-set"],
        sizes: &[64],
        own: &["ringway board typed"],
        others: &["bare seqlock"],
        bound: Bound::AtLeast(0.9),
        ..USUAL
    },
    Target {
        what: "a value read and written, alone, as bytes",
        works: &["board-get", "board-set"],
        sizes: &[64],
        own: &["ringway board"],
        others: &["bare seqlock, any length"],
        bound: Bound::AtLeast(0.9),
        ..USUAL
    },
    Target {
        what: "a call and its answer, spinning, p50",
        works: &["call"],
        sizes: &[64],
        own: &["ringway call"],
        others: &["ringway, two streams"],
        bound: Bound::AtMost(1.15),
        ..USUAL
    },
    Target {
        what: "a call and its answer, spinning, p50",
        works: &["call"],
        sizes: &[64],
        own: &["ringway call"],
        others: &["iceoryx2 request-response"],
        bound: Bound::AtMost(0.33),
        ..USUAL
    },
    // By what it costs to be asleep in other kinds of ring: for orientation, with the same bound.
    Target {
        what: "there and back, asleep, p50",
        works: &["sleep-sync futex", "sleep-sync futex, one processor"],
        sizes: &[64],
        own: &["ringway park"],
        others: &["raw slot + futex"],
        bound: Bound::AtMost(1.1),
        ..USUAL
    },
];

/// Instructions of a message of 64 bytes in a stream ring, as `cargo xtask instructions` counts them.
const INSTRUCTIONS: [(&str, f64); 2] = [("send", 45.0), ("recv_into", 45.0)];

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
        }
    }

    fn show(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
        }
    }
}

/// A target at one size and ring, and what the runs say.
struct Outcome<'a> {
    target: &'a Target,
    own: &'a Row,
    other: &'a Row,
    reached: Figure,
    runs: usize,
}

impl Outcome<'_> {
    fn is_reached(&self) -> bool {
        self.target.bound.holds(self.reached.middle)
    }
}

/// Every size and ring of every target for which there are figures.
fn outcomes(data: &Data) -> Vec<Outcome<'_>> {
    let mut found = Vec::new();
    for target in &TARGETS {
        for work in target.works {
            for &size in target.sizes {
                let rows = data.rows.iter();
                let own = rows
                    .filter(|row| row.work == *work && row.size == size)
                    .filter(|row| target.own.contains(&row.contestant.as_str()));
                let mut rings: Vec<Option<u64>> = own.map(|row| row.ring).collect();
                rings.sort_unstable();
                rings.dedup();
                let places = rings.into_iter();
                found.extend(places.filter_map(|ring| target.outcome(data, work, size, ring)));
            }
        }
    }
    found
}

impl Target {
    fn outcome<'a>(
        &'a self,
        data: &'a Data,
        work: &str,
        size: u64,
        ring: Option<u64>,
    ) -> Option<Outcome<'a>> {
        // Those without a ring of their own stand beside every ring.
        let row = |name: &&str| {
            data.row(work, size, ring, name)
                .or_else(|| data.row(work, size, None, name))
        };
        // Greater is better.
        let goodness = |figure: Figure| match self.bound {
            Bound::AtLeast(_) => figure.middle,
            Bound::AtMost(_) => -figure.middle,
        };
        let best_of = |names: &[&str]| {
            let rows = names.iter().filter_map(row);
            let rated = rows.filter_map(|row| Some((row, goodness(row.to_reference()?))));
            rated.max_by(|(_, one), (_, other)| one.total_cmp(other))
        };
        let (own, _) = best_of(self.own)?;
        let (other, _) = best_of(self.others)?;
        let by_run = own.ratios_to(other, self.measure, None);
        Some(Outcome {
            target: self,
            own,
            other,
            runs: by_run.len(),
            reached: Figure::of_medians(by_run)?,
        })
    }
}

/// The table.
pub fn table(data: &Data, instructions: Option<&str>) -> String {
    let outcomes = outcomes(data);
    if outcomes.is_empty() {
        return String::new();
    }
    let reached = outcomes
        .iter()
        .filter(|outcome| outcome.is_reached())
        .count();
    let mut table = format!(
        "\n## Targets\n\nThe ratio of ringway to the best of those that it is compared with: the median of the runs' medians, and the \
         least and the greatest of these. Of several ways to do it, the best counts on both sides. Near and far are the medians \
         of all rounds at that distance. Asleep, rounds count in which both sides slept in at least 9 of 10 trips. \
         {reached} of {} lines are reached.\n\n\
         | | size | ring | ringway | compared with | target | reached | near | far | runs | |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
        outcomes.len()
    );
    for (operation, most) in INSTRUCTIONS {
        if let Some(counted) = instructions.and_then(|text| instructions_of(text, operation)) {
            let verdict = if counted <= most { "yes" } else { "no" };
            let _ = writeln!(
                table,
                "| instructions | 64 B | - | {operation} | - | <= {most} | {counted} | - | - | - | {verdict} |"
            );
        }
    }
    for outcome in &outcomes {
        let Outcome {
            target, own, other, ..
        } = outcome;
        let at = |distance| {
            let chosen = own.ratios_to(other, target.measure, Some(distance));
            let all = Figure::of(chosen.into_iter().flatten().collect());
            all.map_or("-".to_owned(), |figure| format!("{:.2}", figure.middle))
        };
        let _ = writeln!(
            table,
            "| {}{} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            target.what,
            variant(&own.work),
            bytes(own.size),
            own.ring.map_or("-".to_owned(), bytes),
            own.contestant,
            other.contestant,
            target.bound.show(),
            show(Some(outcome.reached)),
            at(Distance::Near),
            at(Distance::Far),
            outcome.runs,
            if outcome.is_reached() {
                "yes"
            } else {
                "**no**"
            },
        );
    }
    table
}

/// What the work's label says beyond its name.
fn variant(work: &str) -> String {
    let (_, shape) = work.split_once("many ").unwrap_or_default();
    let one = work.ends_with("one processor");
    let kind = if work.starts_with("sleep-sync") {
        " (cells)"
    } else {
        ""
    };
    match (shape.is_empty(), one) {
        (false, _) => format!(", {shape}"),
        (true, true) => format!("{kind}, one processor"),
        (true, false) => kind.to_owned(),
    }
}

/// Of the table that `cargo xtask instructions` writes.
fn instructions_of(text: &str, operation: &str) -> Option<f64> {
    let start = format!("| stream | {operation} | 64 | ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start))?;
    line.split(' ').next()?.parse().ok()
}

/// The same, for programs.
pub fn json(data: &Data) -> Value {
    let lines = outcomes(data).into_iter().map(|outcome| {
        let rounded = |number: f64| (number * 1e3).round() / 1e3;
        json!({
            "what": outcome.target.what,
            "work": outcome.own.work,
            "size": outcome.own.size,
            "ring": outcome.own.ring,
            "own": outcome.own.contestant,
            "other": outcome.other.contestant,
            "target": outcome.target.bound.show(),
            "median": rounded(outcome.reached.middle),
            "least": rounded(outcome.reached.least),
            "greatest": rounded(outcome.reached.greatest),
            "runs": outcome.runs,
            "reached": outcome.is_reached(),
        })
    });
    lines.collect()
}
