//! The figures, as a table and as JSON.

use std::path::Path;

use serde::Serialize;

use super::cases::{Case, Victim, name};
use super::times::{Figures, Times};

/// What p99 is compared with.
const GOAL_MS: f64 = 5.0;

#[derive(Serialize)]
pub(crate) struct Report {
    /// What else the machine had to do, when this began.
    machine: String,
    goal_p99_ms: f64,
    lines: Vec<Line>,
    skipped: Vec<Skipped>,
}

#[derive(Serialize)]
struct Line {
    ring: String,
    victim: String,
    fate: String,
    wait: String,
    event: &'static str,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Serialize)]
struct Skipped {
    case: String,
    why: &'static str,
}

impl Report {
    pub(crate) fn new() -> Self {
        let machine = machine();
        println!("{machine}\n");
        println!(
            "{:<15} {:<6} {:<9} {:<8} {:<34} {:>9} {:>9} {:>9} {:>9}",
            "ring", "victim", "fate", "wait", "until", "p50 ms", "p99 ms", "p99.9 ms", "max ms"
        );
        Self {
            machine,
            goal_p99_ms: GOAL_MS,
            lines: Vec::new(),
            skipped: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, case: Case, times: &Times) {
        for (index, event) in case.events().iter().enumerate() {
            let line = Line {
                ring: case.ring(),
                victim: name(&case.victim),
                fate: name(&case.fate),
                wait: name(&case.waiting),
                event,
                figures: times.of(index),
            };
            line.print();
            self.lines.push(line);
        }
    }

    pub(crate) fn skip(&mut self, case: Case, why: &'static str) {
        println!("{case}: skipped: {why}");
        self.skipped.push(Skipped {
            case: case.to_string(),
            why,
        });
    }

    pub(crate) fn finish(self, file: Option<&Path>) -> Result<(), String> {
        // The sockets are there for comparison.
        let socket = name(&Victim::Socket);
        let rings = || self.lines.iter().filter(|line| line.victim != socket);
        let missed = rings().filter(|line| line.figures.p99_ms >= GOAL_MS);
        let (missed, all) = (missed.count(), rings().count());
        println!("\n{}", machine());
        match missed {
            0 => println!("p99 < {GOAL_MS} ms: yes, on all {all} lines"),
            _ => println!("p99 < {GOAL_MS} ms: no, on {missed} of {all} lines"),
        }
        let Some(file) = file else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self).map_err(|error| error.to_string())?;
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

impl Line {
    fn print(&self) {
        let Figures {
            p50_ms,
            p99_ms,
            p999_ms,
            max_ms,
            ..
        } = self.figures;
        println!(
            "{:<15} {:<6} {:<9} {:<8} {:<34} {p50_ms:>9.3} {p99_ms:>9.3} {p999_ms:>9.3} {max_ms:>9.3}",
            self.ring, self.victim, self.fate, self.wait, self.event
        );
    }
}

/// How much the machine has to do besides.
fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split(' ').take(3).collect();
    format!("{processors} processors, load {}", load.join(" "))
}
