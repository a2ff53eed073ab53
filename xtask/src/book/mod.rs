//! The book in `docs/`: its figures are made, mdBook builds it, its links are followed, a browser looks at each page, and
//! what it tells the reader to type is typed.
//!
//! The figure of the hierarchy is made of a measurement, which is made and taken in by hand:
//!
//! ```sh
//! cd benches/compare
//! cargo run --release --bin compare -- --work hierarchy,hierarchy-rtt --rounds 25 --json RUN.jsonl    # several times
//! cargo run --release --bin report -- RUN.jsonl... DIRECTORY
//! cd ../.. && cargo xtask book --hierarchy DIRECTORY/figures.json && cargo xtask book --figures
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::process;

mod bars;
mod browser;
mod drawing;
mod links;
mod scale;
mod svg;

/// Which mdBook the book is built with.
const MDBOOK: &str = "0.5.4";
/// Where mdBook is put if it is not there, and where the built book is.
const TOOLS: &str = "target/book-tools";
const BUILT: &str = "target/book";

/// Where the figures of the hierarchy are kept.
const HIERARCHY: &str = "docs/figures/hierarchy.json";

/// `book [--figures] [--no-commands]`, `book --hierarchy FIGURES`
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let [word, path] = arguments
        && word == "--hierarchy"
    {
        let figures = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let thinned = bars::thin(&figures).map_err(|problem| format!("{path}: {problem}"))?;
        return fs::write(process::root().join(HIERARCHY), thinned)
            .map_err(|error| format!("{HIERARCHY}: {error}"));
    }
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if let Some(other) = arguments
        .iter()
        .find(|argument| !["--figures", "--no-commands"].contains(&argument.as_str()))
    {
        return Err(format!("there is no argument {other}"));
    }
    figures(has("--figures"))?;
    if has("--figures") {
        return Ok(());
    }
    let built = process::root().join(BUILT);
    // Pages of chapters that are no more.
    let _ = fs::remove_dir_all(&built);
    let mdbook = mdbook()?;
    process::run(process::command(&[&mdbook, "build", "docs"]))?;
    let pages = links::check(&built)?;
    browser::check(&built, &pages)?;
    match has("--no-commands") {
        true => Ok(()),
        false => commands(),
    }
}

/// Makes the figures, or says which are not as their sources say.
fn figures(write: bool) -> Result<(), String> {
    let folder = process::root().join("docs/figures");
    let mut sources: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    sources.sort();
    for source in sources {
        let text = || {
            fs::read_to_string(&source).map_err(|error| format!("{}: {error}", source.display()))
        };
        let name = source.strip_prefix(process::root()).unwrap_or(&source);
        let name = name.display().to_string();
        let made = match source.extension().and_then(|word| word.to_str()) {
            Some("fig") => drawing::draw(&text()?, &name)?,
            Some("txt") => scale::draw(&text()?, &name)?,
            Some("json") => bars::draw(&text()?, &name)?,
            _ => continue,
        };
        let path = source.with_extension("svg");
        if write {
            fs::write(&path, made).map_err(|error| format!("{}: {error}", path.display()))?;
        } else if fs::read_to_string(&path).unwrap_or_default() != made {
            return Err(format!("{name} has changed: cargo xtask book --figures"));
        }
    }
    Ok(())
}

/// The program `mdbook` in that version: the one that is there, or one from PyPI, which takes seconds, or from crates.io.
fn mdbook() -> Result<String, String> {
    let own = process::root().join(TOOLS).join("bin/mdbook");
    let own = own.to_string_lossy().into_owned();
    let is_there = |program: &str| {
        let version = process::quiet(process::command(&[program, "--version"]));
        version.is_ok_and(|version| version.contains(MDBOOK))
    };
    if let Some(found) = ["mdbook", &own].into_iter().find(|name| is_there(name)) {
        return Ok(found.to_owned());
    }
    let python = Path::new(TOOLS).join("bin/python");
    let python = python.to_string_lossy().into_owned();
    let fetch = || {
        process::run(process::command(&[
            "python3", "-m", "venv", "--clear", TOOLS,
        ]))?;
        // Which file it may be stands there, too.
        let pip = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"];
        let mut install = process::command(&[&python]);
        install.args(pip).args(["--require-hashes", "--no-deps"]);
        install.args(["-r", "docs/requirements.txt"]);
        process::run(install)
    };
    if let Err(problem) = fetch() {
        println!("{problem}; so it is built");
        let version = format!("mdbook@{MDBOOK}");
        let build = ["cargo", "install", &version, "--locked", "--root", TOOLS];
        let mut build = process::command(&build);
        build.args(["--no-default-features", "--features", "search"]);
        process::run(build)?;
    }
    match is_there(&own) {
        true => Ok(own),
        false => Err(format!("{own} is not mdBook {MDBOOK}")),
    }
}

/// The transcripts and snippets, with the Python package if `cargo xtask python` has built it.
fn commands() -> Result<(), String> {
    let mut test = process::command(&["cargo", "test", "--locked", "--workspace"]);
    // As the tests of the workspace are built, so that it is built once.
    test.args(["--test", "book"]);
    let python = process::root().join("target/python/venv/bin/python");
    match python.exists() {
        true => drop(test.env("RINGWAY_BOOK_PYTHON", python)),
        false => println!("cargo xtask python has not built the Python package: without it"),
    }
    process::run(test)
}

#[cfg(test)]
mod tests {
    #[test]
    fn figures_are_what_their_sources_say() {
        super::figures(false).unwrap();
    }

    #[test]
    fn a_drawing_says_where_it_is_wrong() {
        let problem = super::drawing::draw("size 10 10\narrow a.n b.s -\n", "x.fig");
        assert_eq!(problem.unwrap_err(), "x.fig:2: there is no box a");
        assert!(
            super::drawing::draw("title a & b\nsize 10 10\n", "x.fig")
                .unwrap()
                .contains("<title>a &amp; b</title>")
        );
    }
}
