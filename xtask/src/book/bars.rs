//! Bars on a logarithmic scale, of `docs/figures/*.json`: what ways to talk were measured to take, and to carry.
//!
//! The source is made by [`thin`] of `figures.json`, which `report` of `benches/compare` writes of any runs.

use serde_json::{Value, json};

use super::svg::Svg;
use crate::process;

const WIDTH: i32 = 700;
/// Where the bars begin, and how far they go at most.
const LEFT: i32 = 262;
const RIGHT: i32 = 610;
const ROW: i32 = 21;

/// The parts of the figure: the work and its measure, what the source calls it, and what it is.
const PARTS: [(&str, &str, &str, &str); 2] = [
    (
        "hierarchy-rtt",
        "p50_ns",
        "round_trip_ns",
        "64 bytes there and back: half of the trips took less than this",
    ),
    (
        "hierarchy",
        "rate",
        "messages_a_second",
        "64 bytes one way, flat out: messages a second",
    ),
];

/// What a way is, by which it has its colour: the colour's class, words for readers, and the ways whose names begin so.
const SORTS: [(&str, &str, &[&str]); 4] = [
    ("blue", "by hand, polled", &["raw slot"]),
    ("good", "ringway", &["ringway"]),
    ("gold", "locks in shared memory", &["shared memory"]),
    ("bad", "file", &["file"]),
];
/// Of all others.
const KERNEL: (&str, &str) = ("plain", "through the kernel");

/// What readers know better by another name than that of the comparison.
const NAMES: [(&str, &str); 3] = [
    ("raw slot", "shared memory, by hand"),
    ("raw slot, mapped file", "mapped file, by hand"),
    ("file, written and polled", "file, written and read"),
];

/// What the figure is made of, out of what `report` has written.
pub(crate) fn thin(figures: &str) -> Result<String, String> {
    let figures: Value = serde_json::from_str(figures).map_err(|error| error.to_string())?;
    let runs = figures["runs"].as_array().ok_or("runs are missing")?;
    let machine = &runs.first().ok_or("there is no run")?["machine"];
    if runs
        .iter()
        .any(|run| run["machine"]["processor"] != machine["processor"])
    {
        return Err("the runs are of different machines".to_owned());
    }
    let number = |of: &Value| of.as_u64().ok_or("a number is missing");
    let mut rounds = 0;
    let mut dates = Vec::new();
    for run in runs {
        rounds += number(&run["run"]["rounds"])?;
        dates.push(date(number(&run["run"]["seconds_since_1970"])?)?);
    }
    dates.sort();
    dates.dedup();
    let mut thinned = json!({
        "processor": machine["processor"],
        "processors": machine["processors"],
        "virtual": machine["virtual"],
        "kernel": machine["kernel"],
        "measured": dates,
        "runs": runs.len(),
        "rounds": rounds,
    });
    for (work, measure, name, _) in PARTS {
        let rows = figures["rows"].as_array().ok_or("rows are missing")?;
        let rows = rows.iter().filter(|row| row["work"] == work);
        let rows: Vec<Value> = rows
            .map(|row| {
                // Three digits are more than the measurement has.
                let figure = |which: &str| three_digits(row[measure][which].as_f64());
                json!({
                    "way": row["contestant"],
                    "least": figure("least"),
                    "median": figure("median"),
                    "greatest": figure("greatest"),
                })
            })
            .collect();
        if rows.is_empty() {
            return Err(format!("there is nothing of {work}"));
        }
        thinned[name] = rows.into();
    }
    let thinned = serde_json::to_string_pretty(&thinned).map_err(|error| error.to_string())?;
    Ok(thinned + "\n")
}

fn three_digits(number: Option<f64>) -> Option<f64> {
    format!("{:.2e}", number?).parse().ok()
}

/// A day, of seconds since 1970.
fn date(seconds: u64) -> Result<String, String> {
    let at = format!("--date=@{seconds}");
    let day = process::quiet(process::command(&["date", "--utc", &at, "+%F"]))?;
    Ok(day.trim().to_owned())
}

/// A way, as it was measured.
struct Bar {
    way: String,
    least: f64,
    median: f64,
    greatest: f64,
}

fn bars(source: &Value, part: &str) -> Option<Vec<Bar>> {
    let rows = source[part].as_array()?.iter();
    let bar = |row: &Value| {
        let figure = |name: &str| row[name].as_f64().filter(|number| *number > 0.0);
        Some(Bar {
            way: row["way"].as_str()?.to_owned(),
            least: figure("least")?,
            median: figure("median")?,
            greatest: figure("greatest")?,
        })
    };
    rows.map(bar).collect()
}

/// Draws both parts, the best way first.
pub(crate) fn draw(source: &str, name: &str) -> Result<String, String> {
    let source: Value = serde_json::from_str(source).map_err(|error| format!("{name}: {error}"))?;
    let mut parts = Vec::new();
    for (_, _, part, title) in PARTS {
        let found = bars(&source, part).filter(|bars| !bars.is_empty());
        let mut bars = found.ok_or(format!("{name}: {part} is not as it should be"))?;
        bars.sort_by(|one, other| one.median.total_cmp(&other.median));
        let is_time = part.ends_with("_ns");
        if !is_time {
            bars.reverse();
        }
        parts.push((title, bars, is_time));
    }
    let rows: i32 = parts.iter().map(|(_, bars, _)| bars.len() as i32).sum();
    let mut svg = Svg::new(WIDTH, 122 + 60 * parts.len() as i32 + ROW * rows);
    svg.text(20, 26, "start", "small", &described(&source));
    legend(&mut svg);
    let mut top = 72;
    for (title, bars, is_time) in &parts {
        svg.text(20, top + 18, "start", "head", title);
        top = panel(&mut svg, top + 32, bars, *is_time) + 28;
    }
    for (line, words) in (0..).zip([
        "A bar ends at the median of the runs; the line in it goes from the least of them to the greatest.",
        "Each grid line is ten times the one before it.",
    ]) {
        svg.text(20, top + 10 + 17 * line, "start", "small", words);
    }
    Ok(svg.finish("What ways to talk take, and carry, as measured", name))
}

/// What machine that was, and when.
fn described(source: &Value) -> String {
    let word = |name: &str| source[name].as_str().unwrap_or("?").to_owned();
    let count = |name: &str| source[name].as_u64().unwrap_or(0);
    let dates = source["measured"].as_array().into_iter().flatten();
    let dates: Vec<&str> = dates.filter_map(Value::as_str).collect();
    let kind = match source["virtual"].as_bool() {
        Some(true) => "virtual machine",
        _ => "machine",
    };
    format!(
        "{}, a {kind} with {} processors, {}. Runs: {}, of {} rounds in all, {}",
        word("processor"),
        count("processors"),
        word("kernel").split('-').next().unwrap_or("?"),
        count("runs"),
        count("rounds"),
        dates.join(" and ")
    )
}

fn legend(svg: &mut Svg) {
    let sorts = SORTS.iter().map(|(class, words, _)| (*class, *words));
    let mut left = 20;
    for (class, words) in sorts.chain([KERNEL]) {
        svg.block([left, 42, 14, 14], class, &[]);
        svg.text(left + 20, 53, "start", "small", words);
        left += 36 + 13 * words.len() as i32 / 2;
    }
}

/// Draws bars below each other, and returns where they end.
fn panel(svg: &mut Svg, top: i32, bars: &[Bar], is_time: bool) -> i32 {
    let least = bars
        .iter()
        .map(|bar| bar.least)
        .fold(f64::INFINITY, f64::min);
    let greatest = bars.iter().map(|bar| bar.greatest).fold(1.0, f64::max);
    let (first, last) = (least.log10().floor(), greatest.log10());
    let place = |value: f64| {
        let share = (value.log10() - first) / (last - first);
        LEFT + (share * f64::from(RIGHT - LEFT)) as i32
    };
    let bottom = top + ROW * bars.len() as i32;
    for decade in first as i32..=last as i32 {
        let x = place(10_f64.powi(decade));
        svg.path(&[(x, top - 4), (x, bottom)], "dash", false);
    }
    for (row, bar) in (0..).zip(bars) {
        let y = top + ROW * row;
        let sort = SORTS
            .iter()
            .find(|(_, _, names)| names.iter().any(|name| bar.way.starts_with(name)));
        let class = sort.map_or(KERNEL.0, |(class, _, _)| class);
        let end = place(bar.median);
        let name = NAMES.iter().find(|(name, _)| *name == bar.way);
        let name = name.map_or(bar.way.as_str(), |(_, known)| *known);
        svg.text(LEFT - 8, y + 14, "end", "small", name);
        svg.block([LEFT, y + 2, (end - LEFT).max(2), ROW - 5], class, &[]);
        let middle = y + 2 + (ROW - 5) / 2;
        svg.path(
            &[(place(bar.least), middle), (place(bar.greatest), middle)],
            "",
            false,
        );
        let beside = end.max(place(bar.greatest)) + 6;
        svg.text(
            beside,
            y + 14,
            "start",
            "small halo",
            &shown(bar.median, is_time),
        );
    }
    bottom
}

/// A number, with the word for its size.
fn shown(number: f64, is_time: bool) -> String {
    let (number, unit) = match number {
        _ if is_time && number >= 1e3 => (number / 1e3, " µs"),
        _ if is_time => (number, " ns"),
        _ if number >= 1e6 => (number / 1e6, " million"),
        _ if number >= 1e3 => (number / 1e3, " thousand"),
        _ => (number, ""),
    };
    match number {
        _ if number >= 10.0 => format!("{number:.0}{unit}"),
        _ => format!("{number:.1}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_calendars() {
        assert_eq!(date(0).unwrap(), "1970-01-01");
        assert_eq!(date(951_782_400).unwrap(), "2000-02-29");
        assert_eq!(date(1_796_046_840).unwrap(), "2026-11-30");
    }

    const FIGURES: &str = r#"{"runs": [{"machine": {"processor": "P", "processors": 2, "virtual": true, "kernel": "Linux 6.1-x"},
        "run": {"rounds": 5, "seconds_since_1970": 0}}], "rows": [
        {"work": "hierarchy", "contestant": "pipe", "rate": {"least": 1e5, "median": 123456.7, "greatest": 2e6}},
        {"work": "hierarchy", "contestant": "raw slot", "rate": {"least": 1e7, "median": 2e7, "greatest": 3e7}},
        {"work": "other", "contestant": "x"},
        {"work": "hierarchy-rtt", "contestant": "pipe", "p50_ns": {"least": 1e3, "median": 2e4, "greatest": 3e4}}]}"#;

    #[test]
    fn what_is_drawn_is_what_was_measured() {
        let thinned = thin(FIGURES).unwrap();
        assert!(
            thinned.contains("123000.0") && !thinned.contains("other"),
            "{thinned}"
        );
        let drawn = draw(&thinned, "x.json").unwrap();
        for words in [
            "P, a virtual machine with 2 processors, Linux 6.1. Runs: 1, of 5 rounds in all, 1970-01-01",
            "123 thousand",
            "20 million",
        ] {
            assert!(drawn.contains(words), "{words}: {drawn}");
        }
        // The best first, of each.
        let at = |words: &str| drawn.find(words).unwrap();
        assert!(at("20 µs") < at("20 million") && at("20 million") < at("123 thousand"));
        let problem = draw("{}", "x.json").unwrap_err();
        assert!(problem.contains("round_trip_ns"), "{problem}");
    }
}
