//! Makes docs/performance out of the rows that runs of `compare --json` have written: tables, plots, and the data in short.
//!
//!     report RUNS.jsonl... DIRECTORY

mod data;
mod plots;
mod tables;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use data::Data;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((directory, runs)) = arguments.split_last().filter(|(_, runs)| !runs.is_empty())
    else {
        eprintln!("report RUNS.jsonl... DIRECTORY");
        return ExitCode::from(2);
    };
    match report(runs, Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(runs: &[String], directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut data = Data::default();
    for run in runs {
        let text = std::fs::read_to_string(run).map_err(|error| format!("{run}: {error}"))?;
        data.add(&text)
            .map_err(|problem| format!("{run}: {problem}"))?;
    }
    std::fs::create_dir_all(directory)?;
    let plots = plots::draw_all(&data, directory)?;
    std::fs::write(directory.join("README.md"), tables::page(&data, &plots))?;
    let json = serde_json::to_string_pretty(&data.json())?;
    std::fs::write(directory.join("figures.json"), json + "\n")?;
    println!(
        "{}: {} rows of {} runs",
        directory.display(),
        data.rows.len(),
        data.runs.len()
    );
    Ok(())
}
