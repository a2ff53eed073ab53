//! One run of one test binary, which may hang.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::process;

/// How a run ended.
pub(super) struct Outcome {
    /// `None`: it did not, and was killed.
    pub(super) status: Option<ExitStatus>,
    pub(super) output: String,
    pub(super) took: Duration,
    /// Which try it was.
    pub(super) tries: u32,
}

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The last of its output.
    pub(super) fn tail(&self) -> String {
        let lines: Vec<&str> = self.output.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// What it said of its failure.
    pub(super) fn symptom(&self) -> String {
        let Some(status) = self.status else {
            return format!("hung: killed after {:.0} s", self.took.as_secs_f64());
        };
        // The kill matrix says where it was, and what it found.
        let mut lines = self.output.lines();
        let said = |line: &&str| line.contains("killed") && !line.contains(" cases, ");
        if let Some((_, found)) = lines.find(said).and_then(|line| line.split_once(", ")) {
            return found.chars().take(100).collect();
        }
        let mut lines = self.output.lines();
        let place = lines.find_map(|line| line.split_once(" panicked at "));
        let place = place.map_or("", |(_, place)| place.trim_end_matches(':'));
        let message = match lines.next() {
            Some(message) => message.to_owned(),
            None => match status.signal() {
                Some(signal) => format!("ended by signal {signal}"),
                None => status.to_string(),
            },
        };
        // Without the threads that loom lists, and the like.
        let end = [";", ". ", ": thread"].map(|end| message.find(end));
        let end = end.into_iter().flatten().min().unwrap_or(message.len());
        let message = message[..end].trim_end_matches('.');
        let file = Path::new(place).file_name().unwrap_or_default();
        match place.starts_with("crates") || place.starts_with("tests") {
            true => format!("{message} ({})", file.to_string_lossy()),
            false => message.to_owned(),
        }
    }
}

/// Where tests run so that nothing stays behind of one that was killed.
pub(super) struct Sandbox {
    folder: PathBuf,
    /// Whether there are namespaces: of processes, System V objects, queues, and a `/dev/shm` apart.
    is_apart: bool,
}

const UNSHARE: [&str; 7] = [
    "unshare",
    "--fork",
    "--kill-child",
    "--pid",
    "--ipc",
    "--mount",
    "--mount-proc",
];
const IN_IT: &str = "mount -t tmpfs tmpfs /dev/shm && exec \"$@\"";

impl Sandbox {
    pub(super) fn new() -> Result<Self, String> {
        let folder = format!("target/mutants/scratch-{}", std::process::id());
        let folder = process::root().join(folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut probe = process::command(&UNSHARE);
        probe.args(["sh", "-c", IN_IT, "sh", "true"]);
        let probe = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let is_apart = probe.is_ok_and(|status| status.success());
        if !is_apart {
            println!("no namespaces here: what tests that hang have made stays behind");
        }
        Ok(Self { folder, is_apart })
    }

    /// Runs a test, and kills it at the limit. `name` is for its files.
    pub(super) fn run(
        &self,
        name: &str,
        test: &[&str],
        environment: &[(&str, &str)],
        limit: Duration,
    ) -> Result<Outcome, String> {
        let shown = |error: std::io::Error| format!("{}: {error}", test.join(" "));
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).map_err(shown)?;
        let output = folder.join("output");
        let file = File::create(&output).map_err(shown)?;
        let mut command = match self.is_apart {
            true => process::command(&UNSHARE),
            false => process::command(&["env"]),
        };
        if self.is_apart {
            command.args(["sh", "-c", IN_IT, "sh"]);
        }
        command
            .args(test)
            .envs(environment.iter().copied())
            .env("TMPDIR", &folder)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(shown)?)
            .stderr(file)
            .process_group(0);
        let started = Instant::now();
        let mut child = command.spawn().map_err(shown)?;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(shown)? {
                break Some(status);
            }
            if started.elapsed() >= limit {
                // All that it has started.
                let group = format!("-{}", child.id());
                let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
                child.wait().map_err(shown)?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let took = started.elapsed();
        let output = fs::read(output).map_err(shown)?;
        Ok(Outcome {
            status,
            output: String::from_utf8_lossy(&output).into_owned(),
            took,
            tries: 1,
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
