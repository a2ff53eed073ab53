//! Programs in C and C++, compiled and run.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use ringway_testing::programs::built;

pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The folder with both libraries.
pub fn libraries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| built(&["--lib"]))
}

/// How a program is linked.
#[derive(Clone, Copy)]
pub enum Link {
    /// With the static library, and with the sanitizers of addresses and of undefined behaviour.
    Sanitized,
    /// With the shared library.
    Shared,
}

/// A program, compiled and linked, which goes with this.
pub struct Program {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Program {
    pub fn new(source: &str, standard: &str, link: Link) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let mut compiler = compiler(source, standard);
        compiler.arg(here(source)).arg("-o").arg(&path);
        match link {
            Link::Sanitized => {
                compiler.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
                compiler.arg(libraries().join("libringway_c.a"));
                compiler.args(["-lpthread", "-ldl", "-lm"]);
            }
            Link::Shared => {
                // The soname is what it looks for at run time.
                let name = folder.path().join("libringway_c.so.0");
                std::os::unix::fs::symlink(libraries().join("libringway_c.so"), name).unwrap();
                compiler.arg("-L").arg(libraries()).arg("-lringway_c");
                compiler.arg("-Wl,-rpath,$ORIGIN").arg("-lpthread");
            }
        }
        run(&mut compiler);
        Self {
            _folder: folder,
            path,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// What it writes, if it comes to a good end.
    pub fn output(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.command(arguments));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out }
    }
}

/// One that runs, and is killed when this goes.
pub struct Running {
    pub child: Child,
    pub out: BufReader<ChildStdout>,
}

impl Running {
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert_ne!(line, "", "it has ended");
        line.trim_end().to_owned()
    }

    /// Kills it, and returns what it had written.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One that takes no warning.
pub fn compiler(source: &str, standard: &str) -> Command {
    let mut compiler = match source.ends_with(".c") {
        true => Command::new(std::env::var("CC").unwrap_or_else(|_| "gcc".to_owned())),
        false => Command::new(std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned())),
    };
    compiler.arg(format!("-std={standard}"));
    compiler.args([
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-g",
        "-O1",
        "-I",
    ]);
    compiler.arg(here("include"));
    compiler
}

#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
