//! One thing in a line.

use super::model::{Model, fill};
use crate::observe::{Report, State};
use crate::output;
use crate::units::counted;

pub(super) const HEAD: [&str; 7] = ["ADDRESS", "KIND", "FILL", "IN/S", "OUT/S", "LAG", "STATE"];

/// How much somebody should look at it. What needs it most is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Quiet,
    Busy,
    Look,
    Act,
}

/// The cells of its line.
pub(super) fn row(report: &Report) -> [String; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let activity = report.activity.as_ref();
    let rate = |figure: Option<f64>| or_dash(figure.map(short));
    [
        report.address.clone(),
        report.kind.to_owned(),
        or_dash(fill(report).map(|percent| format!("{percent}%"))),
        rate(activity.and_then(|activity| activity.sent_per_second)),
        rate(activity.and_then(|activity| activity.received_per_second)),
        match report.problem {
            Some(_) => "-".to_owned(),
            None => short(report.lag() as f64),
        },
        state(report).0,
    ]
}

/// What is to be said of it first.
pub(super) fn state(report: &Report) -> (String, Level) {
    if report.problem.is_some() {
        return (report.kind.to_owned(), Level::Act);
    }
    let activity = report.activity.as_ref();
    let mut parts = Vec::new();
    if report.held_up_by.is_some() {
        parts.push(
            match activity.and_then(|activity| activity.blocked_seconds) {
                // One that sleeps for a moment is no news.
                Some(seconds) if seconds < 1.0 => "full".to_owned(),
                Some(seconds) => format!("blocked {}", duration(seconds)),
                None => "full".to_owned(),
            },
        );
    }
    let dead = report.count(State::Dead);
    if dead > 0 {
        parts.push(format!("{dead} died"));
    } else if report.has_dead() {
        parts.push("writer died".to_owned());
    }
    let is_without_server =
        |service: &crate::observe::Service| service.clients > 0 && service.servers == 0;
    if report.service.as_ref().is_some_and(is_without_server) {
        parts.push("no server".to_owned());
    }
    let is_bad = parts.iter().any(|part| part != "full");
    let stopped = report.count(State::Stopped);
    if stopped > 0 {
        parts.push(format!("{stopped} stopped"));
    }
    let evicted = report
        .all()
        .iter()
        .filter_map(|one| one.subscription.as_ref());
    let evicted = evicted.filter(|one| one.evicted).count();
    if evicted > 0 {
        parts.push(format!("{evicted} evicted"));
    }
    match (parts.is_empty(), is_bad) {
        (false, true) => (parts.join(", "), Level::Act),
        (false, false) if parts == ["full"] => ("full".to_owned(), Level::Busy),
        (false, false) => (parts.join(", "), Level::Look),
        (true, _) => match activity {
            Some(activity) if activity.moved => ("moving".to_owned(), Level::Busy),
            Some(activity) => match activity.idle_seconds {
                Some(idle) => (format!("idle {}", duration(idle)), Level::Quiet),
                None => ("idle".to_owned(), Level::Quiet),
            },
            None => ("-".to_owned(), Level::Quiet),
        },
    }
}

/// A figure in at most five letters.
pub(super) fn short(figure: f64) -> String {
    let mut scaled = figure;
    for unit in ["", "k", "M", "G", "T"] {
        if scaled < 999.5 {
            return match unit.is_empty() || scaled >= 99.5 {
                true if figure > 0.0 && figure < 9.95 && figure.fract() != 0.0 => {
                    format!("{figure:.1}")
                }
                true => format!("{scaled:.0}{unit}"),
                false => format!("{scaled:.1}{unit}"),
            };
        }
        scaled /= 1000.0;
    }
    ">1P".to_owned()
}

/// Seconds, in the largest unit that there is one of.
pub(super) fn duration(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}min", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// The head line: how many there are, and how many of them need somebody.
pub(super) fn summary(model: &Model) -> String {
    let shown = model.shown();
    let count = |level| shown.iter().filter(|one| state(one).1 == level).count();
    let mut text = match shown.len() == model.count() {
        true => counted(shown.len() as u64, "thing"),
        false => format!("{} of {} things", shown.len(), model.count()),
    };
    for (level, words) in [(Level::Act, "in trouble"), (Level::Look, "to look at")] {
        let count = count(level);
        if count > 0 {
            text.push_str(&format!(", {count} {words}"));
        }
    }
    if model.failures > 0 {
        text.push_str(&format!(", {} cannot be looked at", model.failures));
    }
    text
}

/// All, where there is no terminal.
pub(super) fn text(model: &Model) -> String {
    let rows = model.shown().into_iter().map(row);
    let table = output::table(HEAD, &[2, 3, 4, 5], rows);
    format!("{}\n{table}\n", summary(model))
}
