//! The cases of one row, one after the other.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ringway_testing::place::Backing;
use ringway_testing::table::Row;

use super::case::{self, Case, State};
use super::judge::Effect;
use super::report::Report;
use super::round::{self, Point, WayToSleep};
use super::{Mode, Options};
use crate::trace::Step;

/// Failures of a case after which it is left.
const ENOUGH: usize = 3;

/// What is being tried, and since when.
static NOW: Mutex<Option<(String, Instant)>> = Mutex::new(None);

/// No try takes so long; only a hang does.
const HANG: Duration = Duration::from_secs(60);

/// The names of the rows that are chosen.
pub(super) fn chosen(options: &Options) -> Vec<String> {
    let mut rows = case::rows();
    if options.fast {
        rows = case::fast_rows();
    }
    let mut names = Vec::new();
    for row in rows {
        if Case::of(row).iter().any(|case| is_chosen(case, options)) {
            names.push(row.to_string());
        }
    }
    names
}

fn is_chosen(case: &Case, options: &Options) -> bool {
    let name = case.to_string();
    options.only.split(',').any(|part| name.contains(part))
}

/// Tries all chosen cases of a row.
pub(super) fn run(name: &str, options: &Options) -> Report {
    std::thread::spawn(end_hangs);
    let mut report = Report::default();
    let row = Row::named(name);
    for case in row.into_iter().flat_map(Case::of) {
        if is_chosen(&case, options) {
            report.add(try_case(case, options));
        }
    }
    report
}

/// Ends this process if it hangs, and says where.
fn end_hangs() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        if let Ok(now) = NOW.lock()
            && let Some((what, since)) = &*now
            && since.elapsed() > HANG
        {
            eprintln!("HUNG: {what}");
            std::process::exit(3);
        }
    }
}

fn now(what: String) {
    if let Ok(mut now) = NOW.lock() {
        *now = Some((what, Instant::now()));
    }
}

fn try_case(case: Case, options: &Options) -> Report {
    let mut report = Report {
        cases: 1,
        ..Report::default()
    };
    let rehearsed = round::room(case).and_then(|room| {
        now(format!("{case}, not killed"));
        round::rehearse(case, room).map(|tried| (room, tried))
    });
    let (room, rehearsal) = match rehearsed {
        Ok(rehearsed) => rehearsed,
        Err(problem) => {
            report.fail(&format!("{case}, not killed: {problem}"));
            return report;
        }
    };
    let script = &rehearsal.tried.script;
    report.instructions += script.len() as u64;
    report.states += rehearsal.states;
    report.note_stores(script);
    let visible = visible(script);
    let is_whole = case.row.backing == Backing::Shm && !options.fast;
    let every = options.every.unwrap_or(if is_whole { 1000 } else { 0 });
    let every = if script.len() <= every {
        all(script)
    } else {
        visible.clone()
    };
    for mode in &options.modes {
        match mode {
            Mode::Kill => kill(case, &every, room, &mut report),
            Mode::Freeze if !case.can_be_frozen() => {}
            Mode::Freeze => freeze(case, &visible, room, &mut report),
            Mode::Recover => recover(case, script, room, is_whole, &mut report),
        }
    }
    report
}

/// All points, from before the first instruction to behind the last.
fn all(script: &[Step]) -> Vec<Point> {
    // Where the instructions stand that others can see.
    let places: Rc<BTreeSet<u64>> = Rc::new(script.iter().filter_map(Step::place).collect());
    let (mut seen, mut more) = (0, 0);
    let behind = |step: &Step| {
        (seen, more) = match step {
            Step::Private => (seen, more + 1),
            _ => (seen + 1, 0),
        };
        (seen, more)
    };
    let counts: Vec<_> = script.iter().map(behind).collect();
    let point = |(visible, more)| Point::Behind {
        visible,
        places: Rc::clone(&places),
        more,
    };
    std::iter::once((0, 0)).chain(counts).map(point).collect()
}

/// The points at which others see something else than before.
fn visible(script: &[Step]) -> Vec<Point> {
    let mut points = all(script);
    points.retain(|point| matches!(point, Point::Behind { more: 0, .. }));
    points
}

/// Tries at all points, until it fails too often.
fn try_all(
    points: &[Point],
    report: &mut Report,
    name: impl Fn(&Point) -> String,
    mut attempt: impl FnMut(&Point, &mut Report) -> Result<(), String>,
) {
    let mut failures = 0;
    for point in points {
        let what = name(point);
        now(what.clone());
        if let Err(problem) = attempt(point, report) {
            report.fail(&format!("{what}: {problem}"));
            failures += 1;
            if failures == ENOUGH {
                return;
            }
        }
    }
}

fn kill(case: Case, points: &[Point], room: usize, report: &mut Report) {
    let mut farthest = Effect::default();
    let name = |point: &Point| format!("{case}, killed {point}");
    try_all(points, report, name, |point, report| {
        let tried = round::kill(case, point, room)?;
        report.kills += 1;
        report.note_kill(&tried.script);
        let effect = tried.effect;
        let falls_back = effect.sent < farthest.sent || effect.received < farthest.received;
        if falls_back && !case.op.has_threads() {
            return Err(format!(
                "LOST: {farthest:?} when killed earlier, and now {effect:?}"
            ));
        }
        farthest = effect;
        Ok(())
    });
}

fn freeze(case: Case, points: &[Point], room: usize, report: &mut Report) {
    // Who would make the same ring waits some seconds for one who is at it.
    let most = match case.state {
        State::Nothing => 24,
        _ => points.len(),
    };
    let points = &spread(points.to_vec(), most);
    let name = |point: &Point| format!("{case}, frozen {point}");
    try_all(points, report, name, |point, report| {
        let tried = round::freeze(case, point, room)?;
        report.freezes += 1;
        report.note_stores(&tried.script);
        Ok(())
    });
}

fn recover(case: Case, script: &[Step], room: usize, is_whole: bool, report: &mut Report) {
    // Where it dies makes a difference only where the segment has changed.
    let deaths = behind_stores(script, |_| true);
    // The stores of a payload are all alike.
    let deaths = spread(deaths, if is_whole { 12 } else { 4 });
    for next in case.finders() {
        let way = WayToSleep::new();
        for death in &deaths {
            let what = format!("{case}, killed {death}, then {}", next.name());
            now(what.clone());
            let unharmed = match round::kill_two(case, death, *next, &way, &Point::End, room) {
                Ok(tried) => tried.script,
                Err(problem) => {
                    report.fail(&format!("{what}: {problem}"));
                    break;
                }
            };
            let points = visible(&unharmed);
            let some = match is_whole {
                false => 4,
                true if next.has_threads() => 12,
                true => points.len(),
            };
            let new = behind_stores(&unharmed, |place| !report.killed.contains(&place));
            let points = [spread(points, some), new].concat();
            let name = |point: &Point| format!("{what} killed {point}");
            try_all(&points, report, name, |point, report| {
                let tried = round::kill_two(case, death, *next, &way, point, room)?;
                report.recoverers += 1;
                report.note_kill(&tried.script);
                Ok(())
            });
        }
    }
}

/// The points right behind the stores of those places in the program.
fn behind_stores(script: &[Step], wanted: impl Fn(u64) -> bool) -> Vec<Point> {
    let steps = script.iter().filter(|step| **step != Step::Private);
    let is_wanted = |step: &Step| matches!(step, Step::Store(place) if wanted(*place));
    // The first point lies before the first step.
    let points = visible(script).into_iter().skip(1).zip(steps);
    points
        .filter_map(|(point, step)| is_wanted(step).then_some(point))
        .collect()
}

/// About `some` of the points, the first and the last among them.
fn spread(points: Vec<Point>, some: usize) -> Vec<Point> {
    let len = points.len();
    if len <= some || some < 2 {
        return points;
    }
    (0..some)
        .map(|index| points[index * (len - 1) / (some - 1)].clone())
        .collect()
}
