//! The page: the machine, the plots, a table for each work.

use std::fmt::Write as _;

use serde_json::Value;

use crate::data::{Data, Distance, Figure, NEAR, Row};
use crate::targets;

/// Of a work, by the first word of its label.
const WORKS: [(&str, &str); 17] = [
    ("oneway", "One way, flat out"),
    ("rtt", "There and back, spinning"),
    ("sleep", "There and back, asleep in between"),
    ("sleep-sync", "The same, by what the two sleep on"),
    ("copy", "Large messages, copied in and out"),
    ("map", "Written once and read once where they lie"),
    ("hand", "Handed over untouched"),
    ("chunk", "Messages larger than the ring"),
    ("many", "Many to many"),
    ("fan", "Each message to everybody"),
    ("board-get", "A value that is read"),
    ("board-set", "A value that is written"),
    ("call", "A call and its answer"),
    ("mq", "Message queues"),
    ("mq-rtt", "Message queues, there and back"),
    ("hierarchy", "Whatever two processes can talk by, flat out"),
    ("hierarchy-rtt", "The same, there and back"),
];

/// `instructions`: the page that `cargo xtask instructions` writes.
pub fn page(data: &Data, plots: &[(String, String)], instructions: Option<&str>) -> String {
    let mut page = format!(
        "# Figures\n\nWritten by `cargo xtask compare`. How it is measured, and what the columns mean, is in \
         [benches/README.md](../../benches/README.md); every figure is in [figures.json](figures.json).\n\n{}",
        machine(data)
    );
    page += &targets::table(data, instructions);
    for (title, file) in plots {
        let _ = write!(page, "\n## {title}\n\n![{title}]({file})\n");
    }
    page += &order(data);
    for (work, title) in WORKS {
        let is_it = |row: &&Row| row.work.split(' ').next() == Some(work);
        let rows: Vec<&Row> = data.rows.iter().filter(is_it).collect();
        if !rows.is_empty() {
            let _ = write!(page, "\n## {title}\n\n{}", table(data, &rows));
        }
    }
    page
}

fn machine(data: &Data) -> String {
    let Some(first) = data.runs.first() else {
        return String::new();
    };
    let machine = &first["machine"];
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    let caches = machine["caches"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let caches: Vec<String> = caches.iter().map(text).collect();
    let rounds: u64 = data
        .runs
        .iter()
        .filter_map(|run| run["run"]["rounds"].as_u64())
        .sum();
    let (runs, kernel, memory) = (
        data.runs.len(),
        text(&machine["kernel"]),
        text(&machine["memory"]),
    );
    let mut about = format!(
        "| | |\n|---|---|\n| processor | {}{}, {} of it |\n| caches | {} |\n| memory | {memory} |\n| kernel | {kernel} |\n\
         | runs | {runs}, {rounds} rounds together |\n",
        text(&machine["processor"]),
        if machine["virtual"] == true {
            " (virtual)"
        } else {
            ""
        },
        machine["processors"],
        caches.join("; "),
    );
    let keys: Vec<f64> = data
        .rows
        .iter()
        .filter_map(|row| row.figure("key_before_ns"))
        .map(|key| key.middle)
        .collect();
    if let (Some(least), Some(greatest)) = (
        keys.iter().copied().reduce(f64::min),
        keys.iter().copied().reduce(f64::max),
    ) {
        let _ = writeln!(
            about,
            "| bare round trip | {least:.0} to {greatest:.0} ns, by row; less than {NEAR:.0} is *near* |"
        );
    }
    for run in &data.runs {
        let at = |name: &str| run["run"][name].as_u64().unwrap_or_default();
        let _ = writeln!(
            about,
            "| run | begun {} s after 1970, seed {}, load before it {} |",
            at("seconds_since_1970"),
            at("seed"),
            text(&run["machine"]["load_before"]),
        );
    }
    about
}

/// The order in which the ways are commonly taught to be, the fastest first; of several names the best counts.
const TAUGHT: [(&str, &[&str]); 14] = [
    ("shared memory", &["raw slot", "ringway"]),
    (
        "locks in shared memory",
        &[
            "shared memory, mutex + condvars",
            "shared memory, POSIX semaphores",
            "shared memory, System V semaphores",
        ],
    ),
    ("mapped file", &["raw slot, mapped file", "ringway, file:"]),
    ("pipe", &["pipe"]),
    ("FIFO", &["FIFO"]),
    ("signals", &["signals (sigqueue), 8 bytes each"]),
    ("Unix stream", &["Unix socket, stream"]),
    ("Unix datagram", &["Unix socket, datagram"]),
    ("Unix seqpacket", &["Unix socket, seqpacket"]),
    ("POSIX queue", &["POSIX message queue"]),
    ("System V queue", &["System V message queue"]),
    ("file, polled", &["file, written and polled"]),
    ("TCP", &["TCP, loopback"]),
    ("UDP", &["UDP, loopback, answered"]),
];

/// Ways that are this much better than one that is taught to be better stand against the order.
const NOTABLE: f64 = 1.1;

/// What the hierarchy is in this data, the fastest first, and where the order that is commonly taught does not hold.
fn order(data: &Data) -> String {
    let mut text = String::new();
    for (work, title) in [("hierarchy", "by rate"), ("hierarchy-rtt", "by round trip")] {
        // Greater is better.
        let goodness = |row: &Row| {
            let middle = row.to_reference()?.middle;
            Some(if row.is_latency() {
                1.0 / middle
            } else {
                middle
            })
        };
        let rows = data.rows.iter().filter(|row| row.work == work);
        let mut rows: Vec<(&Row, f64)> =
            rows.filter_map(|row| Some((row, goodness(row)?))).collect();
        rows.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        if rows.is_empty() {
            continue;
        }
        let names: Vec<&str> = rows
            .iter()
            .map(|(row, _)| row.contestant.as_str())
            .collect();
        let _ = write!(
            text,
            "\n## The order of ways, {title}, the best first\n\n{}\n",
            names.join(" > ")
        );
        let best = |names: &[&str]| {
            let of_them = rows
                .iter()
                .filter(|(row, _)| names.contains(&row.contestant.as_str()));
            of_them.map(|(_, goodness)| *goodness).reduce(f64::max)
        };
        let ways: Vec<(&str, f64)> = TAUGHT
            .iter()
            .filter_map(|(way, names)| Some((*way, best(names)?)))
            .collect();
        let taught: Vec<&str> = ways.iter().map(|(way, _)| *way).collect();
        let mut against = Vec::new();
        for (index, (way, goodness)) in ways.iter().enumerate() {
            let better = ways[..index]
                .iter()
                .filter(|(_, before)| *goodness > before * NOTABLE);
            let better: Vec<&str> = better.map(|(way, _)| *way).collect();
            if !better.is_empty() {
                against.push(format!("- {way} is better than {}", better.join(", ")));
            }
        }
        let verdict = match against.is_empty() {
            true => "That order holds here.\n".to_owned(),
            false => format!(
                "It does not hold here in so far as\n\n{}\n",
                against.join("\n")
            ),
        };
        let _ = write!(text, "\nCommonly taught: {}. {verdict}", taught.join(" > "));
    }
    text
}

fn table(data: &Data, rows: &[&Row]) -> String {
    let is_latency = rows.iter().any(|row| row.is_latency());
    let what = if is_latency { "p50" } else { "rate" };
    let mut columns = vec![
        "work".to_owned(),
        "size".to_owned(),
        "ring".to_owned(),
        "contestant".to_owned(),
        if is_latency { "p50, ns" } else { "rate" }.to_owned(),
        format!("{what} to reference"),
        "near".to_owned(),
        "far".to_owned(),
        "to the limit".to_owned(),
    ];
    match is_latency {
        true => columns.push("p99.9 to reference".to_owned()),
        false => columns.push("under load p50 / p99, ns".to_owned()),
    }
    let mut table = format!(
        "| {} |\n|{}\n",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
    for row in rows {
        let limit = data.limit(row);
        let to_limit = match limit {
            Some(limit) if limit.contestant == row.contestant => "it".to_owned(),
            Some(limit) => show(row.to_other(limit)),
            None => "-".to_owned(),
        };
        let at = |distance| {
            row.at(distance).map_or("-".to_owned(), |(ratio, rounds)| {
                format!("{ratio:.2} ({rounds})")
            })
        };
        let last = if row.is_latency() {
            show(row.figure("p999_to_reference"))
        } else {
            match (row.figure("load_p50_ns"), row.figure("load_p99_ns")) {
                (Some(half), Some(most)) if most.greatest > 0.0 => {
                    format!("{:.0} / {:.0}", half.middle, most.middle)
                }
                _ => "-".to_owned(),
            }
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {}{} | {} | {} | {} | {} | {to_limit} | {last} |",
            row.work,
            bytes(row.size),
            row.ring.map_or("-".to_owned(), bytes),
            row.contestant,
            if row.reference { " (reference)" } else { "" },
            absolute(row),
            show(row.to_reference()),
            at(Distance::Near),
            at(Distance::Far),
        );
    }
    table
}

fn absolute(row: &Row) -> String {
    let Some(figure) = row.figure(row.measure()) else {
        return "-".to_owned();
    };
    let scale = |unit: &str, factor: f64, digits: usize| {
        let Figure {
            middle,
            least,
            greatest,
        } = figure;
        let [middle, least, greatest] = [middle, least, greatest].map(|number| number * factor);
        format!("{middle:.digits$} ({least:.digits$} - {greatest:.digits$}){unit}")
    };
    match row.is_latency() {
        true => scale("", 1.0, 0),
        false if row.size >= 4096 => scale(" GB/s", row.size as f64 / 1e9, 2),
        false => scale(" M/s", 1e-6, 2),
    }
}

pub fn show(figure: Option<Figure>) -> String {
    figure.map_or(
        "-".to_owned(),
        |Figure {
             middle,
             least,
             greatest,
         }| { format!("{middle:.2} ({least:.2} - {greatest:.2})") },
    )
}

pub fn bytes(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}
