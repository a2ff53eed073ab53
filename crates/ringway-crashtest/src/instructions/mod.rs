//! Instructions of the usual operations in steady state, counted by single steps.
//!
//! Time differs from minute to minute, and from machine to machine; the number of instructions does not. It is the same
//! each time for one source and one compiler: the program that is counted is built in release, has one thread that is
//! awake, no random addresses, and buffers that are aligned. The copies are ringway's own code, so neither the processor
//! nor the C library chooses among several.
//!
//! The table is compared with the one in the tree: a growth is an error. `usual` is the median of the operations of one
//! lap, `lap` the mean over all of them, with what happens only now and then: the end of the lap, and looking for room.

mod table;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;

use crate::trace::{self, Tracee};
use table::{Row, Table};

#[derive(Args)]
pub(crate) struct Options {
    /// The table that is compared with
    #[arg(long, default_value = "benches/INSTRUCTIONS.md")]
    file: PathBuf,
    /// Writes the table instead
    #[arg(long)]
    bless: bool,
    /// Only rows whose names contain this, such as "stream, send"
    #[arg(long, default_value = "", conflicts_with = "bless")]
    only: String,
    /// What compiled this
    #[arg(long, default_value = "unknown")]
    compiler: String,
}

const WORKS: [&str; 10] = [
    "send",
    "send in place",
    "recv_into",
    "recv_in_place",
    "batch",
    "drain",
    "send a value",
    "receive a value",
    "send_all",
    "recv_all",
];

const BOARD_WORKS: [&str; 6] = [
    "set",
    "get",
    "get again",
    "set a value",
    "get a value",
    "get a value again",
];

/// The rings, and what is done on each.
const RINGS: [(&str, &[&str]); 5] = [
    ("stream", &WORKS),
    ("cells", &WORKS),
    // The lock's own instructions are ringway's. (Those of sync pthread are the C library's, and sysv-sem and mqueue have no
    // `memfd:`.)
    ("cells, posix-sem", &["send", "recv_into"]),
    // To one consumer, which holds the producer up.
    ("broadcast", &WORKS),
    ("board", &BOARD_WORKS),
];
const SIZES: [u32; 3] = [8, 64, 256];

pub(crate) fn run(options: Options) -> Result<(), String> {
    trace::settle_on_any()?;
    let mut table = Table::new(options.compiler);
    for (ring, works) in RINGS {
        for &work in works {
            for bytes in SIZES {
                let name = table::name(ring, work, bytes);
                if name.contains(&options.only) {
                    let row = count(ring, work, bytes);
                    table
                        .rows
                        .push(row.map_err(|problem| format!("{name}: {problem}"))?);
                }
            }
        }
    }
    print!("{table}");
    let file = options.file.display();
    if options.bless {
        return std::fs::write(&options.file, table.to_string())
            .map_err(|error| format!("{file}: {error}"));
    }
    let text =
        std::fs::read_to_string(&options.file).map_err(|error| format!("{file}: {error}"))?;
    let before = Table::parse(&text).map_err(|problem| format!("{file}: {problem}"))?;
    table.compare(&before, &options.only)
}

fn count(ring: &str, work: &str, bytes: u32) -> Result<Row, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut process = Command::new(program.with_file_name("counted"))
        .args([ring, work, &bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // What begins on the stack lies where it always lies.
        .env_clear()
        .spawn()
        .map_err(|error| format!("starting `counted`: {error}"))?;
    let counts = counts(&mut process);
    if counts.is_err() {
        // Whoever has traced it to its end has taken note of that already.
        let _ = process.kill().and_then(|()| process.wait());
    }
    let (counts, messages) = counts?;
    Ok(Row::new(ring, work, bytes, counts, messages))
}

/// Instructions of each piece of work, and its messages.
fn counts(process: &mut std::process::Child) -> Result<(Vec<u64>, u64), String> {
    let said = |error: std::io::Error| error.to_string();
    let stdout = process.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(said)?;
    let numbers: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [pieces, messages] = numbers[..] else {
        return Err("it did not start".to_owned());
    };
    let mut tracee = Tracee::seize(process.id()).map_err(said)?;
    let stdin = process.stdin.as_mut().ok_or("no input")?;
    stdin.write_all(b"go\n").map_err(said)?;
    tracee.begin().map_err(said)?;
    let mut counts = Vec::new();
    for piece in 0..pieces {
        if piece > 0 {
            tracee.run_to_breakpoint(|| ()).map_err(said)?;
        }
        counts.push(tracee.count_to_breakpoint().map_err(said)?);
        // Past that one.
        tracee.run_to_breakpoint(|| ()).map_err(said)?;
    }
    match tracee.finish().map_err(said)? {
        true => Ok((counts, messages)),
        false => Err("it did not end well".to_owned()),
    }
}
