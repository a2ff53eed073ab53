//! A copy of the sources, to which bugs are applied.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::patch::Patch;
use crate::process;

/// A copy of the sources as they are now, committed or not. It stays between runs, and what did not change keeps its time
/// of modification: cargo builds only what did.
pub(super) struct Tree {
    root: PathBuf,
    /// What a bug has changed, as it was. Not read from the sources again: somebody may be working on them.
    changed: Vec<(PathBuf, Vec<u8>)>,
}

impl Tree {
    /// Makes the copy at `root`, or renews it.
    pub(super) fn new(root: PathBuf) -> Result<Self, String> {
        let listed = process::quiet(process::command(&[
            "git",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?;
        let files: BTreeSet<&str> = listed.split('\0').filter(|file| !file.is_empty()).collect();
        let tree = Self {
            root,
            changed: Vec::new(),
        };
        for file in &files {
            tree.copy(file)?;
        }
        tree.remove_others(&tree.root, &files)?;
        Ok(tree)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the copy what the sources are with this bug.
    pub(super) fn apply(&mut self, patch: &Patch) -> Result<(), String> {
        self.restore()?;
        for file in &patch.files {
            let path = self.root.join(file);
            let shown = |error| format!("{}: {error}", path.display());
            let text = fs::read(&path).map_err(shown)?;
            self.changed.push((path, text));
        }
        git_apply(&self.root, patch, &[])?;
        let is_same =
            |(path, text): &&(PathBuf, Vec<u8>)| fs::read(path).ok().as_ref() == Some(text);
        match self.changed.iter().find(is_same) {
            Some((path, _)) => Err(format!(
                "{} changes nothing in {}",
                patch.name,
                path.display()
            )),
            None => Ok(()),
        }
    }

    /// Makes the copy what the sources are.
    pub(super) fn restore(&mut self) -> Result<(), String> {
        for (path, text) in self.changed.drain(..) {
            fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// Copies a file if it differs. One that is gone from the sources, but not yet for git, is removed.
    fn copy(&self, file: &str) -> Result<(), String> {
        let to = self.root.join(file);
        let shown = |error| format!("{}: {error}", to.display());
        let Ok(wanted) = fs::read(process::root().join(file)) else {
            return match to.exists() {
                true => fs::remove_file(&to).map_err(shown),
                false => Ok(()),
            };
        };
        if fs::read(&to).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        fs::create_dir_all(to.parent().unwrap_or(&self.root)).map_err(shown)?;
        fs::write(&to, wanted).map_err(shown)
    }

    /// Removes what is no source any more: cargo takes each file in some folders for a target.
    fn remove_others(&self, folder: &Path, files: &BTreeSet<&str>) -> Result<(), String> {
        let shown = |error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(folder).map_err(shown)? {
            let path = entry.map_err(shown)?.path();
            let name = path.strip_prefix(&self.root).unwrap_or(&path);
            if path.is_dir() {
                self.remove_others(&path, files)?;
            } else if !name.to_str().is_some_and(|name| files.contains(name)) {
                fs::remove_file(&path).map_err(shown)?;
            }
        }
        Ok(())
    }
}

/// Whether a bug can be applied to the sources in `root`, which stay as they are.
pub(super) fn try_to_apply(root: &Path, patch: &Patch) -> Result<(), String> {
    git_apply(root, patch, &["--check"])
}

fn git_apply(root: &Path, patch: &Patch, options: &[&str]) -> Result<(), String> {
    let mut apply = Command::new("git");
    apply.args(["apply"]).args(options).arg("-");
    apply
        .current_dir(root)
        // In a repository, git would apply to its root, and leave alone what is outside of the folder.
        .env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(root))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let failed = |error| format!("git apply: {error}");
    let mut child = apply.spawn().map_err(failed)?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(patch.text.as_bytes()));
    let output = child.wait_with_output().map_err(failed)?;
    match output.status.success() {
        true => written.map_err(failed),
        false => Err(format!(
            "mutants/{}.diff is stale, it does not apply to the sources any more: {}",
            patch.name,
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
