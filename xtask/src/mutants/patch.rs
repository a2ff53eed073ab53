//! A bug on purpose: a file of `mutants/`.

use std::fmt;
use std::fs;
use std::path::Path;

/// What a check is built as. Each is built in a copy of the sources of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Build {
    /// Tests over loom's model of memory.
    Loom,
    /// Tests with processes.
    Tests,
    /// The program of the kill matrix.
    Program,
}

/// A test that passes, and fails when a bug is there that it is meant to find.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    /// `loom TEST`: interleavings over loom's model, in the core's library.
    Loom(String),
    /// `lib TEST`: a test in the core's library, with real memory and processes.
    Lib(String),
    /// `log TEST`: a test in the log's library, on a simulated disk.
    Log(String),
    /// `test FILE TEST`: a test in a file of `tests/`.
    Test(String, String),
    /// `gateway FILE TEST`: a test of the gateway's, which has a lock file of its own, in a file of its `tests/`.
    Gateway(String, String),
    /// `kill CASE`: kills in a case of the kill matrix.
    Kill(String),
    /// `freeze CASE`: stops in a case of the kill matrix.
    Freeze(String),
    /// `log-kill CASE`: a case of the kill matrix of logs.
    LogKill(String),
}

impl Check {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let own = |word: &str| word.to_owned();
        match words[..] {
            ["loom", test] => Some(Self::Loom(own(test))),
            ["lib", test] => Some(Self::Lib(own(test))),
            ["log", test] => Some(Self::Log(own(test))),
            ["test", file, test] => Some(Self::Test(own(file), own(test))),
            ["gateway", file, test] => Some(Self::Gateway(own(file), own(test))),
            ["kill", case] => Some(Self::Kill(own(case))),
            ["freeze", case] => Some(Self::Freeze(own(case))),
            ["log-kill", case] => Some(Self::LogKill(own(case))),
            _ => None,
        }
    }

    pub(super) fn build(&self) -> Build {
        match self {
            Self::Loom(_) => Build::Loom,
            Self::Lib(_) | Self::Log(_) | Self::Test(..) | Self::Gateway(..) => Build::Tests,
            Self::Kill(_) | Self::Freeze(_) | Self::LogKill(_) => Build::Program,
        }
    }

    /// The binary, as cargo names it.
    pub(super) fn binary(&self) -> &str {
        match self {
            Self::Loom(_) | Self::Lib(_) => "ringway_core",
            Self::Log(_) => "ringway_log",
            Self::Test(file, _) | Self::Gateway(file, _) => file,
            Self::Kill(_) | Self::Freeze(_) | Self::LogKill(_) => "crashtest",
        }
    }

    /// The arguments by which the binary makes this check and no other.
    pub(super) fn arguments(&self) -> Vec<&str> {
        let (case, mode) = match self {
            Self::Loom(test)
            | Self::Lib(test)
            | Self::Log(test)
            | Self::Test(_, test)
            | Self::Gateway(_, test) => {
                return vec!["--exact", test, "--nocapture", "--test-threads=1"];
            }
            Self::Kill(case) => (case, "kill"),
            Self::Freeze(case) => (case, "freeze"),
            Self::LogKill(case) => return vec!["logs", "--fast", "--only", case],
        };
        let run = [
            "matrix", "--only", case, "--modes", mode, "--every", "0", "--jobs", "1",
        ];
        run.to_vec()
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loom(test) => write!(f, "loom {test}"),
            Self::Lib(test) => write!(f, "lib {test}"),
            Self::Log(test) => write!(f, "log {test}"),
            Self::Test(file, test) => write!(f, "test {file} {test}"),
            Self::Gateway(file, test) => write!(f, "gateway {file} {test}"),
            Self::Kill(case) => write!(f, "kill {case}"),
            Self::Freeze(case) => write!(f, "freeze {case}"),
            Self::LogKill(case) => write!(f, "log-kill {case}"),
        }
    }
}

/// A bug, and what has to find it.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    /// The file's, without the extension.
    pub(super) name: String,
    /// Never empty.
    pub(super) checks: Vec<Check>,
    /// The sources that it changes, from the root of the repository.
    pub(super) files: Vec<String>,
    /// All of the file.
    pub(super) text: String,
}

impl Patch {
    /// Plain text that says what the bug is, `check:` lines, and a unified difference.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("mutants/{name}.diff: {what}");
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.iter().position(|line| line.starts_with("--- a/"));
        let start = start.ok_or_else(|| wrong("no difference in it"))?;
        let (head, difference) = lines.split_at(start);
        if head.first().is_none_or(|line| line.trim().is_empty()) {
            return Err(wrong("its first line does not say what the bug is"));
        }
        let lines = head.iter().filter_map(|line| line.strip_prefix("check:"));
        let checks: Vec<Check> = lines
            .map(|line| Check::parse(line).ok_or_else(|| wrong(&format!("no check:{line}"))))
            .collect::<Result<_, _>>()?;
        if checks.is_empty() {
            return Err(wrong("no check is meant to find it"));
        }
        let files = difference
            .iter()
            .filter_map(|line| line.strip_prefix("+++ b/"));
        Ok(Self {
            name: name.to_owned(),
            checks,
            files: files.map(|file| file.trim_end().to_owned()).collect(),
            text: text.to_owned(),
        })
    }

    /// All that are in `folder`, by name.
    pub(super) fn all(folder: &Path) -> Result<Vec<Self>, String> {
        let shown = |error| format!("{}: {error}", folder.display());
        let mut patches = Vec::new();
        for entry in fs::read_dir(folder).map_err(shown)? {
            let path = entry.map_err(shown)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "diff")
            {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let text = fs::read_to_string(&path).map_err(shown)?;
                patches.push(Self::parse(&name, &text)?);
            }
        }
        patches.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(patches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    const PATCH: &str = "\
A bug.
It is bad.

check: loom rings::one
check: test roles two

--- a/src/lib.rs
+++ b/src/lib.rs
@@ -1 +1 @@
-right
+wrong
";

    #[test]
    fn a_patch_names_its_checks_and_files() {
        let patch = Patch::parse("bug", PATCH).unwrap();
        let checks: Vec<String> = patch.checks.iter().map(Check::to_string).collect();
        assert_eq!(checks, ["loom rings::one", "test roles two"]);
        assert_eq!(patch.files, ["src/lib.rs"]);
    }

    #[test]
    fn a_patch_without_a_sentence_a_check_or_a_difference_is_refused() {
        let without = |from: &str, to: &str| Patch::parse("bug", &PATCH.replace(from, to));
        let error = |patch: Result<Patch, String>| patch.unwrap_err();
        assert!(error(without("A bug.", "")).contains("what the bug is"));
        assert!(error(without("loom rings::one", "loom")).contains("no check: loom"));
        assert!(error(without("check:", "")).contains("no check is meant"));
        assert!(error(without("--- a/", "")).contains("no difference"));
    }

    /// So that `cargo test` tells who changes the sources, and not a run of the mutants much later.
    #[test]
    fn every_patch_applies_to_the_sources_and_names_a_check_that_exists() {
        let root = process::root();
        let patches = Patch::all(&root.join("mutants")).unwrap();
        let stale: Vec<String> = patches
            .iter()
            .filter_map(|patch| super::super::tree::try_to_apply(&root, patch).err())
            .collect();
        assert!(stale.is_empty(), "{}", stale.join("\n"));
        for (patch, check) in patches
            .iter()
            .flat_map(|patch| patch.checks.iter().map(move |check| (patch, check)))
        {
            let (places, test) = match check {
                Check::Test(file, test) | Check::Gateway(file, test) => {
                    let package = match check {
                        Check::Gateway(..) => root.join("crates/ringway-gateway"),
                        _ => root.clone(),
                    };
                    let place = package.join("tests").join(file);
                    (vec![place.with_extension("rs"), place], test)
                }
                Check::Loom(test) | Check::Lib(test) | Check::Log(test) => {
                    let module = test.rsplit_once("::").map_or("", |(module, _)| module);
                    let parts = module.split("::").take_while(|part| *part != "tests");
                    let parts = parts.take_while(|part| *part != "interleavings");
                    let package = match check {
                        Check::Log(_) => "ringway-log",
                        _ => "ringway-core",
                    };
                    let folder = root.join("crates").join(package).join("src");
                    let place = parts.fold(folder, |folder, part| folder.join(part));
                    (vec![place.with_extension("rs"), place], test)
                }
                Check::Kill(_) | Check::Freeze(_) | Check::LogKill(_) => continue,
            };
            let function = format!("fn {}(", test.rsplit("::").next().unwrap());
            let mut places = places.iter().filter(|place| place.exists());
            let is_there = places.any(|place| is_in(place, &function));
            assert!(is_there, "{}: {check}", patch.name);
        }
    }

    /// Whether a file, or one in a folder, has this text.
    fn is_in(path: &Path, text: &str) -> bool {
        if path.is_dir() {
            let mut entries = fs::read_dir(path).unwrap();
            return entries.any(|entry| is_in(&entry.unwrap().path(), text));
        }
        fs::read_to_string(path).is_ok_and(|source| source.contains(text))
    }
}
