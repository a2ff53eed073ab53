//! The transcripts in the book's chapters, each typed for real: the blocks `console`, one chapter after the other, each in a
//! world of its own. What a command says must be what stands below it in the chapter.
//!
//! - `$ ` begins a command, `> ` goes on with it. The commands of a chapter are one session of `bash`.
//! - A line `...` stands for any lines, and `[..]` for any text within a line.
//! - A block whose language is followed by `file=NAME` is a file, which the reader writes.
//! - `console,setup` installs what this test has at hand anyhow (`INSTALLED`); `console,python` needs the Python package, and is
//!   skipped where `RINGWAY_BOOK_PYTHON` names no interpreter that has it (`cargo xtask book` does); `console,boost` where Boost's headers
//!   are not installed.

#[path = "../src/blocks.rs"]
mod blocks;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use blocks::Block;
use ringway_testing::apart::apart;
use ringway_testing::programs::built;

/// How long a chapter may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// What installs the programs and libraries that `workplace` puts there.
const INSTALLED: &[&str] = &[
    "cd ringway",
    "cargo install --path crates/ringway-cli",
    "cargo xtask c-install ~/.local",
    "export PKG_CONFIG_PATH=~/.local/lib/pkgconfig LD_LIBRARY_PATH=~/.local/lib",
    "python3 -m venv ~/.venv",
    "~/.venv/bin/pip install ringway/",
    "cd ..",
];

/// Is there where Boost is.
const BOOST: &str = "/usr/include/boost/interprocess/ipc/message_queue.hpp";

macro_rules! chapters {
    ($($name:ident $file:literal),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                apart(stringify!($name), || follow($file));
            }
        )*

        const CHAPTERS: &[&str] = &[$($file),*];
    };
}

chapters! {
    start "start.md",
    choosing "choosing.md",
    dying "dying.md",
    patterns "patterns.md",
    operating "operating.md",
    coming_from "coming-from.md",
    ground_up "ground-up.md",
    tuning "tuning.md",
    security "security.md",
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn no_transcript_is_left_out() {
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let document = std::fs::read_to_string(&path).unwrap();
        let has = !blocks::blocks(&document, "console").is_empty();
        assert_eq!(CHAPTERS.contains(&name), has, "{name}, and the list above");
        for line in document.lines() {
            let Some((_, rest)) = line.split_once("{{#include ") else {
                continue;
            };
            let file = rest.split(['}', ':']).next().unwrap();
            assert!(root().join("docs").join(file).exists(), "{name}: {file}");
        }
    }
}

/// A command, and what the reader is told that comes out.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// The commands of a block.
fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                expected: Vec::new(),
            });
            continue;
        }
        let step = steps
            .last_mut()
            .expect("a transcript begins with a command");
        match line.strip_prefix("> ") {
            Some(more) if step.expected.is_empty() => write!(step.command, "\n{more}").unwrap(),
            _ => step.expected.push(line.to_owned()),
        }
    }
    steps
}

/// Types what the chapter says.
fn follow(chapter: &str) {
    let document = std::fs::read_to_string(root().join("docs").join(chapter)).unwrap();
    let python = std::env::var_os("RINGWAY_BOOK_PYTHON").map(PathBuf::from);
    let home = workplace(python.as_deref());
    let mut script = "exec 2>&1\n".to_owned();
    let mut all = Vec::new();
    for block in blocks::all(&document) {
        let mut words = block.info.split([',', ' ']);
        let language = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        if let Some(name) = words.iter().find_map(|word| word.strip_prefix("file=")) {
            let path = home.path().join("book").join(name);
            writeln!(script, "mkdir -p {:?}", path.parent().unwrap()).unwrap();
            writeln!(
                script,
                "cat > {path:?} <<'END OF THE FILE'\n{}END OF THE FILE",
                block.text
            )
            .unwrap();
        }
        if language != "console" {
            continue;
        }
        if words.contains(&"python") && python.is_none() {
            eprintln!("{chapter}: skipped what needs the Python package: cargo xtask book");
            continue;
        }
        if words.contains(&"boost") && !Path::new(BOOST).exists() {
            eprintln!("{chapter}: skipped what needs Boost: apt-get install libboost-dev");
            continue;
        }
        for step in steps(&block) {
            if words.contains(&"setup") {
                let known = INSTALLED.contains(&step.command.as_str());
                assert!(known, "{chapter}: {} is not known", step.command);
                continue;
            }
            let number = all.len();
            // `$!` and the status of the last command belong to the reader.
            writeln!(
                script,
                "printf '\\036%d\\n' {number}\n{}\nprintf '\\035%d\\n' $?",
                step.command
            )
            .unwrap();
            all.push(step);
        }
    }
    assert!(!all.is_empty(), "{chapter} has nothing to type");
    let out = run(chapter, home.path(), &script);
    for (number, step) in all.iter().enumerate() {
        let begin = out
            .split_once(&format!("\x1e{number}\n"))
            .unwrap_or_else(|| panic!("{chapter}: {} was not reached:\n{out}", step.command));
        let (said, rest) = begin
            .1
            .split_once('\x1d')
            .unwrap_or_else(|| panic!("{chapter}: {} did not end:\n{out}", step.command));
        let status = rest.lines().next().unwrap_or_default();
        assert_eq!(
            status, "0",
            "{chapter}: {}: {said}\nA command that shall fail stands before `; echo`.",
            step.command
        );
        // A session that is typed tells of ended jobs in another way.
        let said: Vec<&str> = said
            .lines()
            .filter(|line| !line.contains("session.sh: line "))
            .collect();
        let expected: Vec<&str> = step.expected.iter().map(String::as_str).collect();
        assert!(
            matches(&expected, &said),
            "{chapter}: {}\nsays:\n{}\nand not:\n{}",
            step.command,
            said.join("\n"),
            expected.join("\n")
        );
    }
    let left: Vec<_> = std::fs::read_dir("/dev/shm").unwrap().collect();
    assert!(left.is_empty(), "{chapter} left {left:?}");
    let objects = Command::new("ipcs").output().unwrap().stdout;
    let objects = String::from_utf8_lossy(&objects).into_owned();
    assert!(
        !objects.lines().any(|line| line.starts_with("0x")),
        "{objects}"
    );
}

/// Runs the session, and returns what it writes.
fn run(chapter: &str, home: &Path, script: &str) -> String {
    let (file, out) = (home.join("session.sh"), home.join("out"));
    std::fs::write(&file, script).unwrap();
    let mut session = Command::new("bash");
    session.arg(&file).current_dir(home.join("book"));
    session.env("HOME", home).env("LC_ALL", "C.UTF-8");
    let mut path = home.join(".cargo/bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    session.env("PATH", path);
    session.env("PKG_CONFIG_PATH", home.join(".local/lib/pkgconfig"));
    session.env("LD_LIBRARY_PATH", home.join(".local/lib"));
    // The reader's program needs nothing from a registry, and what it is made of need not be built each time.
    let programs = std::env::current_exe().unwrap();
    let target = programs.ancestors().nth(3).unwrap().join("book-programs");
    session
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true");
    if let Some(toolchain) = std::env::var_os("CARGO_HOME").or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo").into_os_string())
    }) {
        session.env("CARGO_HOME", toolchain);
    }
    if let Some(toolchains) = std::env::var_os("RUSTUP_HOME").or_else(|| {
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup").into_os_string())
    }) {
        session.env("RUSTUP_HOME", toolchains);
    }
    session
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).unwrap());
    let mut child = session.spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            let out = std::fs::read_to_string(&out).unwrap_or_default();
            panic!("{chapter} hangs after:\n{out}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    String::from_utf8_lossy(&std::fs::read(&out).unwrap()).into_owned()
}

/// A home, with what the chapters' first lines install, and in it the folder `book`, where the reader is.
fn workplace(python: Option<&Path>) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let link = |from: &Path, to: &str| {
        let to = home.path().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(from, to).unwrap();
    };
    let programs = built(&["--bin", "ringway", "--lib"]);
    link(&programs.join("ringway"), ".cargo/bin/ringway");
    link(
        &programs.join("libringway_c.so"),
        ".local/lib/libringway_c.so",
    );
    link(
        &programs.join("libringway_c.so"),
        ".local/lib/libringway_c.so.0",
    );
    for header in ["ringway.h", "ringway.hpp"] {
        let header = root().join("crates/ringway-capi/include").join(header);
        let name = header.file_name().unwrap().to_str().unwrap().to_owned();
        link(&header, &format!(".local/include/{name}"));
    }
    let prefix = home.path().join(".local");
    std::fs::create_dir_all(prefix.join("lib/pkgconfig")).unwrap();
    std::fs::write(
        prefix.join("lib/pkgconfig/ringway.pc"),
        format!(
            "Name: ringway\nDescription: ringway\nVersion: 0\nCflags: -I{0}/include\nLibs: -L{0}/lib -lringway_c\n",
            prefix.display()
        ),
    )
    .unwrap();
    if let Some(python) = python {
        // All of it: Python looks beside its folder for what tells that it is an environment.
        link(python.ancestors().nth(2).unwrap(), ".venv");
    }
    std::fs::create_dir(home.path().join("book")).unwrap();
    link(&root().canonicalize().unwrap(), "book/ringway");
    home
}

/// Whether these lines are what was expected.
fn matches(expected: &[&str], said: &[&str]) -> bool {
    match expected.split_first() {
        None => said.is_empty(),
        Some((&"...", rest)) => (0..=said.len()).any(|skipped| matches(rest, &said[skipped..])),
        Some((line, rest)) => said
            .split_first()
            .is_some_and(|(first, said)| fits(line, first.trim_end()) && matches(rest, said)),
    }
}

/// Whether this line is what was expected.
fn fits(expected: &str, said: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected.trim_end() == said,
        Some((before, after)) => said.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| fits(after, &rest[at..]))
        }),
    }
}

#[test]
fn the_wildcards_are_no_more_than_that() {
    assert!(matches(&["a", "...", "b [..] c"], &["a", "x", "b 1 c"]));
    assert!(!matches(&["a", "b"], &["a"]));
    assert!(!matches(&["a"], &["a", "b"]));
    assert!(!matches(&["b [..] c"], &["b 1 d"]));
}
