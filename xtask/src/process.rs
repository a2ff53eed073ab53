//! Running other programs, each of which is shown first.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the repository, where every program runs.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// A command with `words` as program and arguments.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(root());
    // cargo tells us about our own package and toolchain; that is not for those we start.
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name == "RUSTUP_TOOLCHAIN" || name == "CARGO" || name.starts_with("CARGO_PKG_")
        });
        if ours {
            command.env_remove(name);
        }
    }
    command
}

/// Shows the command, runs it, and reports its failure.
pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let shown = shown(&command);
    println!("$ {shown}");
    let status = command
        .status()
        .map_err(|error| format!("{shown}: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{shown}: {status}")),
    }
}

/// Runs the command and returns what it writes; reports its failure, with what it says.
pub(crate) fn quiet(mut command: Command) -> Result<String, String> {
    let shown = shown(&command);
    let output = command
        .output()
        .map_err(|error| format!("{shown}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!(
            "{shown}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Shows the command, and becomes it. Returns only if that fails.
pub(crate) fn become_it(mut command: Command) -> Result<(), String> {
    let shown = shown(&command);
    println!("$ {shown}");
    Err(format!("{shown}: {}", command.exec()))
}

/// Runs `install` if `probe` fails.
pub(crate) fn ensure(probe: &[&str], install: &[&str]) -> Result<(), String> {
    let mut probe = command(probe);
    probe.stdout(Stdio::null()).stderr(Stdio::null());
    match probe.status() {
        Ok(status) if status.success() => Ok(()),
        _ => run(command(install)),
    }
}

/// Installs a program of cargo's registry in that version if `probe` does not tell of it.
pub(crate) fn ensure_version(probe: &[&str], package: &str, version: &str) -> Result<(), String> {
    let found = quiet(command(probe)).unwrap_or_default();
    if found.contains(version) {
        return Ok(());
    }
    let install = [
        "cargo",
        "install",
        package,
        "--locked",
        "--version",
        version,
    ];
    run(command(&install))
}

/// As it would be typed: the environment that was set, the program, its arguments.
fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value?.to_string_lossy());
        Some(format!("{name}={value:?}"))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned());
    set.chain(words).collect::<Vec<_>>().join(" ")
}
