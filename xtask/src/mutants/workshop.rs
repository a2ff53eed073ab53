//! Where binaries with bugs are built.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::patch::{Build, Check, Patch};
use super::tree::Tree;
use crate::process;

/// What is built again for each bug.
const OURS: [&str; 8] = [
    "ringway",
    "ringway-chunk",
    "ringway-core",
    "ringway-crashtest",
    "ringway-log",
    "ringway-mq",
    "ringway-service",
    "ringway-testing",
];

/// Selects the package that has a lock file of its own.
const GATEWAY: &str = "--manifest-path=crates/ringway-gateway/Cargo.toml";

/// A copy of the sources, and what is built of it in one way.
///
/// For each bug one crate and what depends on it is built again, incrementally, so what counts is the time of that: our own
/// code is hardly optimised, what it depends on is.
pub(super) struct Workshop {
    kind: Build,
    folder: PathBuf,
    tree: Tree,
    built: usize,
}

/// A binary that cargo's next build leaves alone. It is removed with the last of these.
#[derive(Clone, Debug)]
pub(super) struct Binary(Arc<Removed>);

#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Binary {
    pub(super) fn path(&self) -> &Path {
        &self.0.0
    }
}

impl Workshop {
    pub(super) fn new(kind: Build) -> Result<Self, String> {
        let name = match kind {
            Build::Loom => "loom",
            Build::Tests => "tests",
            Build::Program => "program",
        };
        let folder = process::root().join("target/mutants").join(name);
        let binaries = folder.join("binaries");
        // Of a run that was ended.
        let _ = fs::remove_dir_all(&binaries);
        for folder in [&binaries, &folder.join("tree")] {
            let shown = |error| format!("{}: {error}", folder.display());
            fs::create_dir_all(folder).map_err(shown)?;
        }
        Ok(Self {
            kind,
            tree: Tree::new(folder.join("tree"))?,
            folder,
            built: 0,
        })
    }

    pub(super) fn kind(&self) -> Build {
        self.kind
    }

    /// Builds what `checks` need, with a bug or as the sources are. Returns a binary for each. An error has all that the
    /// compiler said.
    pub(super) fn build(
        &mut self,
        patch: Option<&Patch>,
        checks: &[&Check],
    ) -> Result<Vec<Binary>, String> {
        match patch {
            Some(patch) => self.tree.apply(patch)?,
            None => self.tree.restore()?,
        }
        let (gateway, others): (Vec<&Check>, Vec<&Check>) = checks
            .iter()
            .partition(|check| matches!(check, Check::Gateway(..)));
        let [gateway, binaries] = [gateway, others].map(|checks| {
            let mut binaries: Vec<&str> = checks.iter().map(|check| check.binary()).collect();
            binaries.sort_unstable();
            binaries.dedup();
            binaries
        });
        let (ours, files): (Vec<&str>, Vec<&str>) = binaries
            .iter()
            .partition(|name| matches!(**name, "ringway_core" | "ringway_log" | "crashtest"));
        // Apart, so that each selects the same features whatever is built beside it.
        let mut built = Vec::new();
        for name in ours {
            built.extend(self.built_by(&match name {
                "crashtest" => vec!["--package=ringway-crashtest"],
                "ringway_log" => vec!["--package=ringway-log", "--lib"],
                _ => vec!["--package=ringway-core", "--lib"],
            })?);
        }
        if !files.is_empty() {
            let mut selection = vec!["--package=ringway"];
            selection.extend(files.iter().flat_map(|file| ["--test", file]));
            built.extend(self.built_by(&selection)?);
        }
        if !gateway.is_empty() {
            let mut selection = vec![GATEWAY];
            selection.extend(gateway.iter().flat_map(|file| ["--test", file]));
            built.extend(self.built_by(&selection)?);
        }
        let kept = built.into_iter().map(|(name, path)| {
            self.built += 1;
            let copy = self
                .folder
                .join("binaries")
                .join(format!("{name}-{}", self.built));
            let shown = |error| format!("{}: {error}", copy.display());
            fs::copy(path, &copy).map_err(shown)?;
            Ok((name, Binary(Arc::new(Removed(copy)))))
        });
        let kept: Vec<(String, Binary)> = kept.collect::<Result<_, String>>()?;
        let of = |check: &&Check| {
            let found = kept.iter().find(|(name, _)| name == check.binary());
            let found = found.map(|(_, binary)| binary.clone());
            found.ok_or_else(|| format!("cargo built no {}", check.binary()))
        };
        checks.iter().map(of).collect()
    }

    /// Builds, and returns the names and paths of what came of it. What others made is built, and kept, where other checks
    /// have theirs. Our own code has a profile of its own: cargo tells a copy of a workspace from the workspace by nothing else, and
    /// would take what has a bug for what has none.
    fn built_by(&self, selection: &[&str]) -> Result<Vec<(String, String)>, String> {
        let mut build = process::command(&["cargo"]);
        let (words, flags, target): (&[&str], _, _) = match self.kind {
            Build::Loom => (
                &["test", "--no-run", "--release"],
                "--cfg loom",
                "target/loom",
            ),
            Build::Tests if selection.contains(&GATEWAY) => {
                (&["test", "--no-run"], "", "target/gateway")
            }
            Build::Tests => (&["test", "--no-run"], "", "target"),
            // Code that is not optimised at all has other instructions, and far more of them.
            Build::Program => (&["build", "--release"], "", "target"),
        };
        build.args(words).args(selection);
        build.args([
            "--quiet",
            "--locked",
            "--message-format=json-render-diagnostics",
        ]);
        let (profile, level) = match self.kind {
            Build::Loom => ("release", "0"),
            Build::Program => ("release", "1"),
            Build::Tests => ("dev", "0"),
        };
        for package in OURS {
            let profile = format!("profile.{profile}.package.{package}");
            build.args(["--config", &format!("{profile}.opt-level={level}")]);
            build.args(["--config", &format!("{profile}.debug=0")]);
        }
        build
            .current_dir(self.tree.root())
            .env("CARGO_TARGET_DIR", process::root().join(target))
            .env("CARGO_INCREMENTAL", "1")
            .env("RUSTFLAGS", flags);
        let messages = process::quiet(build)?;
        let paths = messages.lines().filter_map(executable);
        let named = paths.map(|path| {
            let name = Path::new(path).file_name().unwrap_or_default();
            let name = name.to_string_lossy();
            let name = match self.kind {
                Build::Program => &*name,
                Build::Loom | Build::Tests => {
                    name.rsplit_once('-').map_or(&*name, |(name, _)| name)
                }
            };
            (name.to_owned(), path.to_owned())
        });
        Ok(named.collect())
    }
}

/// The binary that a message of cargo's tells of.
fn executable(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    rest.split('"').next()
}
