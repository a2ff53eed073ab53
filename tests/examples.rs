//! The programs in `examples/`, run to their good end: what they say of deaths and restarts is so, and they leave nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ringway_testing::apart::apart;
use ringway_testing::programs::built;

/// How long one may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a program says, in turn; `#` stands for a number which is not 0.
const SAYS: &[(&str, &[&str])] = &[
    (
        "01_hello",
        &["received: hello", "the sender has closed the ring"],
    ),
    ("02_in_place", &[]),
    ("03_batches_and_vectored", &[]),
    ("04_waiting", &[]),
    ("05_memfd", &[]),
    (
        "06_death_and_restart",
        &[
            "100000 received: killing",
            "the producer died after message #",
            "200000 received: killing",
            "the producer died after message #",
            "300000 messages, each once and in order",
        ],
    ),
    ("07_observe", &[]),
    ("08_many_workers", &[]),
    ("09_several_rings", &[]),
    ("10_any_transport", &[]),
    ("11_service", &["answered 60000 requests"]),
    ("12_pipeline", &["# deaths, 200000 squares"]),
    ("13_typed_messages", &[]),
    (
        "14_fan_out",
        &["100000 messages to each of 3 subscribers, # deaths"],
    ),
    (
        "15_latest_value",
        &[
            "killed; the last value is still there",
            "killed; the last value is still there",
            "killed; the last value is still there",
        ],
    ),
    ("16_broadcast", &["received 1000000, missed 0"]),
    (
        "17_work_queues",
        &[
            "done: put out the fire",
            "done: sweep",
            "done: call the doctor",
            "failed: cannot not a task (try 3)",
            "done: mop",
            "set aside: not a task",
        ],
    ),
    (
        "18_call_and_serve",
        &[
            "20000 calls, each answered",
            "20000 calls, each answered",
            "# deaths of servers",
        ],
    ),
    ("19_spool", &["200 tasks done, 5 deaths"]),
];

#[test]
fn each_example_works_and_leaves_nothing() {
    apart("each_example_works_and_leaves_nothing", || {
        let programs = built(&["--examples"]).join("examples");
        let listed: BTreeSet<_> = SAYS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(listed, sources(), "SAYS has all programs in examples/");
        for (name, says) in SAYS {
            let said = run(&programs.join(name));
            let mut rest = &said[..];
            for words in *says {
                rest = after(rest, words).unwrap_or_else(|| panic!("{words:?} is not in: {said}"));
            }
            let left: Vec<_> = std::fs::read_dir("/dev/shm").unwrap().collect();
            assert!(left.is_empty(), "{name} left {left:?}");
        }
    });
}

/// The names of the programs.
fn sources() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// A child that does not outlive the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the program says until its good end.
fn run(program: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    // Into a file: whatever it says, it does not wait for a reader.
    let said = folder.path().join("said");
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command.stdout(std::fs::File::create(&said).unwrap());
    let mut child = Running(command.spawn().unwrap());
    let started = Instant::now();
    let status = loop {
        match child.0.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(started.elapsed() < PATIENCE, "{} hangs", program.display()),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = std::fs::read_to_string(said).unwrap();
    assert!(status.success(), "{}: {status}\n{said}", program.display());
    said
}

/// What stands behind `words` in `text`.
fn after<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let Some((before, behind)) = words.split_once('#') else {
        return text.split_once(words).map(|(_, rest)| rest);
    };
    let mut from = text;
    loop {
        let rest = if before.is_empty() {
            from
        } else {
            from.split_once(before)?.1
        };
        let digits = rest.len()
            - rest
                .trim_start_matches(|sign: char| sign.is_ascii_digit())
                .len();
        let is_some = rest[..digits]
            .parse::<u64>()
            .is_ok_and(|number| number != 0);
        if is_some && let Some(rest) = rest[digits..].strip_prefix(behind) {
            return Some(rest);
        }
        // At the next letter, so that this ends.
        let mut next = rest.chars();
        next.next()?;
        from = next.as_str();
    }
}
