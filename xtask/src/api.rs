//! The public interface of each package that is published, as a list in `api/`: what changes it shows in a diff.

use std::collections::BTreeSet;
use std::fs;

use crate::process;

/// The version whose lists these are: another one may word them otherwise.
const TOOL: &str = "0.52.0";

const PACKAGES: [&str; 7] = [
    "ringway-core",
    "ringway-chunk",
    "ringway-log",
    "ringway-mq",
    "ringway-service",
    "ringway",
    "ringway-async",
];

/// `api [--bless] [PACKAGE...]`
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (options, names): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|word| word.starts_with('-'));
    let bless = match options[..] {
        [] => false,
        [word] if word == "--bless" => true,
        [word, ..] => return Err(format!("there is no argument {word}")),
    };
    if let Some(unknown) = names.iter().find(|name| !PACKAGES.contains(&name.as_str())) {
        return Err(format!(
            "{unknown} is no package that is published with an interface"
        ));
    }
    process::ensure_version(
        &["cargo", "public-api", "--version"],
        "cargo-public-api",
        TOOL,
    )?;
    let mut differ = Vec::new();
    for package in PACKAGES {
        if !names.is_empty() && !names.iter().any(|name| *name == package) {
            continue;
        }
        // Without what the compiler derives and implements for everything.
        let words = ["cargo", "public-api", "--package", package, "-sss"];
        let is = process::quiet(process::command(&words))?;
        let path = process::root().join("api").join(format!("{package}.txt"));
        if bless {
            fs::create_dir_all(process::root().join("api")).map_err(|error| error.to_string())?;
            fs::write(&path, is).map_err(|error| format!("{}: {error}", path.display()))?;
            continue;
        }
        let was = fs::read_to_string(&path).unwrap_or_default();
        for line in changes(&was, &is) {
            println!("{package}: {line}");
            differ.push(package);
        }
    }
    differ.dedup();
    match differ.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "the public interface of {} is not what api/ says; if that is meant: cargo xtask api --bless",
            differ.join(", ")
        )),
    }
}

/// The lines that went, and those that came.
fn changes(was: &str, is: &str) -> Vec<String> {
    let [was, is] = [was, is].map(|text| text.lines().collect::<BTreeSet<_>>());
    let went = was.difference(&is).map(|line| format!("- {line}"));
    went.chain(is.difference(&was).map(|line| format!("+ {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::changes;

    #[test]
    fn what_went_and_what_came_is_shown() {
        let (was, is) = ("pub fn a()\npub fn b()\n", "pub fn a()\npub fn b(u8)\n");
        assert_eq!(changes(was, is), ["- pub fn b()", "+ pub fn b(u8)"]);
        assert_eq!(changes(is, is), [""; 0]);
    }
}
