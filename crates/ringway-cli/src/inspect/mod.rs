//! `ringway ls` and `ringway stat`: rings, boards, services, queues and logs as an observer sees them.

mod tables;
mod text;

use std::cmp::Reverse;
use std::thread;
use std::time::Instant;

use ringway::gc::BlindSpot;
use ringway::os;

use crate::cli::{By, LsArgs, StatArgs};
use crate::failure::Failure;
use crate::gc::words_of;
use crate::observe::{self, Pace, Report};
use crate::output;
use crate::say::say;

/// Shows one, once or again and again.
pub(crate) fn stat(args: &StatArgs) -> Result<(), Failure> {
    let mut pace = Pace::default();
    if let Some(sample) = args.sample {
        pace.mark(&mut [observe::one(&args.address)?], Instant::now());
        thread::sleep(sample);
    }
    let mut left = match args.watch {
        Some(_) => args.count.unwrap_or(u64::MAX),
        None => 1,
    };
    loop {
        let mut reports = [observe::one(&args.address)?];
        pace.mark(&mut reports, Instant::now());
        let [report] = reports;
        match (args.json, args.watch) {
            (true, None) => output::print_json(&report)?,
            (true, Some(_)) => output::print_json_line(&report)?,
            (false, None) => output::print(&text::of(&report))?,
            (false, Some(_)) => output::print_over(&text::of(&report))?,
        }
        left -= 1;
        match args.watch {
            Some(interval) if left > 0 => thread::sleep(interval),
            _ => return Ok(()),
        }
    }
}

/// The first ones are those to look at first. What does not tell comes last.
fn sort(reports: &mut [Report], order: By) {
    match order {
        By::Size => {
            reports.sort_by_key(|one| Reverse(one.capacity_bytes.unwrap_or(one.used_bytes)))
        }
        By::Lag => reports.sort_by_key(|one| Reverse(one.lag())),
        By::Age => reports.sort_by_key(|one| one.created_ns.unwrap_or(u64::MAX)),
    }
}

/// Lists what there is.
pub(crate) fn ls(args: &LsArgs) -> Result<(), Failure> {
    let mut pace = Pace::default();
    if let Some(sample) = args.sample {
        pace.mark(&mut observe::all(&args.files).reports, Instant::now());
        thread::sleep(sample);
    }
    let mut found = observe::all(&args.files);
    pace.mark(&mut found.reports, Instant::now());
    let mut reports = found.reports;
    let all = reports.len();
    if args.dead {
        reports.retain(Report::has_dead);
    }
    if let Some(order) = args.by {
        sort(&mut reports, order);
    }
    if args.json {
        output::print_json(&reports)?;
    } else {
        output::print(&tables::of(&reports, all))?;
        if os::message_queues().is_err() {
            say(words_of(BlindSpot::MessageQueues).1);
        }
    }
    Failure::all(found.failures)
}
