//! `ringway doctor`: whether this machine is fit for rings.

mod kernel;
mod limits;
mod memory;
mod plan;
mod sandbox;

use std::fmt::Write;
use std::str::FromStr;

use ringway::gc::{Fate, Why};
use serde::Serialize;

use crate::cli::{DoctorArgs, GcArgs};
use crate::failure::Failure;
use crate::gc;
use crate::output;
use crate::units::{counted, human_size};

/// Bytes of a ring that is made without options, and its header.
const DEFAULT_RING: u64 = (4 << 20) + 16384;

/// What was looked at, and what was found.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    /// As the kernel tells it; for people.
    value: String,
    verdict: Verdict,
    /// What it means and what to do about it, unless all is well.
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Something works, but not all that could.
    Warning,
    /// Some kinds of rings do not work.
    Problem,
}

impl Check {
    fn ok(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            verdict: Verdict::Ok,
            hint: None,
        }
    }

    /// Something that cannot be read, and whether that matters.
    fn unreadable(name: &'static str, source: &str) -> Self {
        Self::ok(name, "unknown").but(Verdict::Warning, format!("{source} cannot be read"))
    }

    fn but(mut self, verdict: Verdict, hint: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.hint = Some(hint.into());
        self
    }

    /// The same, unless `is_well`.
    fn unless(self, is_well: bool, verdict: Verdict, hint: impl Into<String>) -> Self {
        match is_well {
            true => self,
            false => self.but(verdict, hint),
        }
    }
}

/// Looks at everything, and says so.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let mut checks = kernel::checks();
    checks.push(sandbox::check());
    checks.extend(memory::checks());
    checks.extend(limits::checks());
    let look = GcArgs {
        dry_run: true,
        ..GcArgs::default()
    };
    checks.push(leftovers(&gc::collect(&look)?));
    checks.extend(args.plan.iter().flat_map(plan::checks));
    if args.json {
        output::print_json(&checks)?;
    } else {
        output::print(&text(&checks))?;
    }
    let problems = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Problem)
        .count();
    match problems {
        0 => Ok(()),
        1 => Err(Failure::negative("there is a problem")),
        many => Err(Failure::negative(format!("there are {many} problems"))),
    }
}

/// The verdict, what led to it, and all that was looked at.
fn text(checks: &[Check]) -> String {
    let of = |verdict: Verdict| checks.iter().filter(move |check| check.verdict == verdict);
    let (problems, warnings) = (of(Verdict::Problem), of(Verdict::Warning));
    let counts = [
        counted(problems.clone().count() as u64, "problem"),
        counted(warnings.clone().count() as u64, "warning"),
    ];
    let mut text = match (problems.clone().count(), warnings.clone().count()) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, _) => format!("Rings work here; {}:\n", counts[1]),
        (_, 0) => format!("Not all works here; {}:\n", counts[0]),
        _ => format!("Not all works here; {}, {}:\n", counts[0], counts[1]),
    };
    for (word, checks) in [
        ("PROBLEM", problems.collect::<Vec<_>>()),
        ("warning", warnings.collect()),
    ] {
        for check in checks {
            let (name, value) = (check.name, &check.value);
            let hint = check.hint.as_deref().unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {word}: {name} ({value}): {hint}");
        }
    }
    text.push('\n');
    text.push_str(&table(checks));
    text
}

fn table(checks: &[Check]) -> String {
    let rows = checks.iter().map(|check| {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
        };
        [
            verdict.to_owned(),
            check.name.to_owned(),
            check.value.clone(),
            check.hint.clone().unwrap_or_default(),
        ]
    });
    output::table(["VERDICT", "WHAT", "VALUE", "WHAT TO DO"], &[], rows)
}

/// What a collection would remove or keep.
fn leftovers(report: &gc::Report) -> Check {
    let name = "left by the dead";
    let garbage = report
        .found
        .iter()
        .filter(|found| found.fate == Fate::Removable);
    let bytes = human_size(garbage.clone().map(|found| found.bytes).sum());
    // What may as well have been left in order is none of it.
    let kept = report.found.iter().filter(|found| {
        matches!(
            found.fate,
            Fate::Kept(
                Why::Undelivered { .. } | Why::Values { .. } | Why::Damaged | Why::Unknown { .. }
            )
        )
    });
    let (garbage, kept) = (garbage.count(), kept.count());
    match (garbage, kept) {
        (0, 0) => Check::ok(name, "nothing"),
        (0, kept) => Check::ok(name, format!("{kept} that are kept")).but(
            Verdict::Warning,
            "ringway gc says why, and what to do with them",
        ),
        (garbage, kept) => Check::ok(
            name,
            format!("{garbage} to remove ({bytes}), {kept} that are kept"),
        )
        .but(
            Verdict::Warning,
            "look (ringway gc), then remove it (ringway gc --yes)",
        ),
    }
}

/// The numbers in a file of the kernel's.
fn numbers<T: FromStr>(path: &str) -> Option<Vec<T>> {
    let text = std::fs::read_to_string(path).ok()?;
    text.split_whitespace()
        .map(|word| word.parse().ok())
        .collect()
}

/// The number in a file of the kernel's.
fn number(path: &str) -> Option<u64> {
    numbers(path)?.first().copied()
}

/// How many rows a table of the kernel's has.
fn rows(path: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.lines().skip(1).count() as u64)
}
