//! Makes docs/performance out of the rows that runs of `compare --json` have written: tables, plots, and the data in short.
//!
//!     report [--instructions PAGE] [--renew README]... RUNS.jsonl... DIRECTORY
//!
//! The runs may be of different times and parts of the work; a file may have several of them, one behind the other.

mod data;
mod plots;
mod summary;
mod tables;
mod targets;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use data::Data;

#[derive(Default)]
struct Arguments {
    /// What `cargo xtask instructions` has written.
    instructions: Option<PathBuf>,
    /// Pages that have a place for the most important figures.
    renewed: Vec<PathBuf>,
    runs: Vec<PathBuf>,
    directory: PathBuf,
}

impl Arguments {
    fn parse() -> Option<Self> {
        let mut arguments = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--instructions" => arguments.instructions = Some(words.next()?.into()),
                "--renew" => arguments.renewed.push(words.next()?.into()),
                _ => arguments.runs.push(word.into()),
            }
        }
        arguments.directory = arguments.runs.pop()?;
        (!arguments.runs.is_empty()).then_some(arguments)
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("report [--instructions PAGE] [--renew README]... RUNS.jsonl... DIRECTORY");
        return ExitCode::from(2);
    };
    match report(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn report(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let directory = &arguments.directory;
    let mut data = Data::default();
    for run in &arguments.runs {
        data.add(&read(run)?)
            .map_err(|problem| format!("{}: {problem}", run.display()))?;
    }
    let instructions = arguments.instructions.as_deref().map(read).transpose()?;
    std::fs::create_dir_all(directory)?;
    let plots = plots::draw_all(&data, directory)?;
    let page = tables::page(&data, &plots, instructions.as_deref());
    std::fs::write(directory.join("README.md"), page)?;
    let json = serde_json::to_string_pretty(&data.json())?;
    std::fs::write(directory.join("figures.json"), json + "\n")?;
    for page in &arguments.renewed {
        let renewed = summary::renew(&read(page)?, &data)
            .ok_or_else(|| format!("{}: no marks for figures", page.display()))?;
        std::fs::write(page, renewed)?;
    }
    println!(
        "{}: {} rows of {} runs",
        directory.display(),
        data.rows.len(),
        data.runs.len()
    );
    Ok(())
}
