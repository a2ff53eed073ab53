//! A daemon with a spool over a log: files become messages, and a command is run for each, while both processes are killed again and again.
//!
//! Every file is a task that is done at least once. What is done or sent more than once was reported: by the spool, that a file may have been sent
//! before; by the worker, that a task was begun before, to which its command is told the same. With `--only-sender` no file is sent twice.
//!
//! `RINGWAY_SPOOL_KILLS` says how often (default 15).

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Running, assert_status, run, text};
use nix::libc;
use nix::sys::signal::Signal;
use ringway::log::{Builder, Log, ReadError};
use ringway_testing::messages::Random;
use tempfile::TempDir;

/// Tasks that may wait to be done.
const BACKLOG: u64 = 20;
/// What the cursor is called.
const CREW: &str = "crew";

/// A folder, a log, and a file in which the commands write what they have done.
struct Shop {
    directory: TempDir,
    only_sender: bool,
    put: AtomicU64,
    kills: AtomicU64,
    is_over: AtomicBool,
}

/// Who is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Spool,
    Worker,
}

/// Says that all is over, also when a check fails, so that nobody is waited for in vain.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Shop {
    fn new(only_sender: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("folder")).unwrap();
        Builder::new(directory.path().join("log")).create().unwrap();
        Self {
            directory,
            only_sender,
            put: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> Log {
        Builder::new(self.path("log")).open().unwrap()
    }

    /// The words of a command line, up to further options.
    fn words(&self, part: Part) -> Vec<String> {
        let log = format!("log:{}", self.path("log").display());
        let folder = self.path("folder").display().to_string();
        let mut words = match part {
            Part::Spool => vec!["spool".to_owned(), folder, log],
            Part::Worker => vec!["work".to_owned(), log, "--name".to_owned(), CREW.to_owned()],
        };
        if part == Part::Spool {
            // So that some are killed behind the append, and before it is acknowledged.
            words.extend(["--durability", "each"].map(str::to_owned));
            words.extend(self.only_sender.then(|| "--only-sender".to_owned()));
        }
        words
    }

    /// What a worker runs: it notes the task, in one write, and takes a moment.
    fn command(&self) -> [String; 4] {
        let done = self.path("done").display().to_string();
        let note = format!("read -r x; echo \"$RINGWAY_NUMBER $RINGWAY_DELIVERIES $x\" >> {done}");
        ["--".into(), "sh".into(), "-c".into(), note]
    }

    /// How much a part has done, in its own measure.
    fn progress(&self, part: Part) -> u64 {
        match part {
            Part::Spool => count(&self.path("folder/done")),
            Part::Worker => fs::metadata(self.path("done")).map_or(0, |file| file.len()),
        }
    }

    /// Puts files into the folder, as long as not too many tasks wait.
    fn feed(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            let done = fs::read_to_string(self.path("done")).unwrap_or_default();
            let done: BTreeSet<&str> = done.lines().filter_map(name_of).collect();
            let put = self.put.load(Ordering::Relaxed);
            if put - (done.len() as u64) < BACKLOG {
                let (hidden, name) = (self.path("folder/.new"), format!("task-{put:06}"));
                fs::write(&hidden, format!("{name}\n")).unwrap();
                fs::rename(&hidden, self.path("folder").join(&name)).unwrap();
                self.put.store(put + 1, Ordering::Relaxed);
            } else {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// One process after the other, each of which is killed. Returns all that they have said.
    fn live_and_die(&self, part: Part, end: u64, seed: u64) -> String {
        let _over = Over(&self.is_over);
        let (mut random, mut said) = (Random(seed | 1), String::new());
        let mut words = self.words(part);
        if part == Part::Worker {
            words.push("--follow".to_owned());
            words.extend(self.command());
        }
        while self.kills.load(Ordering::Relaxed) < end && !self.is_over.load(Ordering::Relaxed) {
            let before = self.progress(part);
            let mut running = Running::start(words.iter().map(String::as_str));
            // Some die while they come, most at work.
            let until = Instant::now() + Duration::from_secs(60);
            let is_early = random.below(4) == 0;
            while !is_early && self.progress(part) == before {
                assert!(Instant::now() < until, "the {part:?} does nothing");
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_micros(random.below(30_000)));
            running.signal(Signal::SIGKILL);
            let ended = running.finish();
            said += &text(&ended.stderr);
            assert_eq!(
                ended.status.signal(),
                Some(libc::SIGKILL),
                "{part:?}: {said}"
            );
            self.kills.fetch_add(1, Ordering::Relaxed);
        }
        said
    }

    /// What is left is sent and done.
    fn finish(&self) -> [String; 2] {
        [Part::Spool, Part::Worker].map(|part| {
            let mut words = self.words(part);
            match part {
                Part::Spool => words.push("--once".to_owned()),
                Part::Worker => words.extend(self.command()),
            }
            let ended = run(words.iter().map(String::as_str));
            assert_status(&ended, 0);
            text(&ended.stderr)
        })
    }

    /// The names of the files that the messages are made of, by number.
    fn sent(&self) -> Vec<String> {
        let log = self.log();
        let mut reader = log.reader().unwrap();
        let mut sent = Vec::new();
        loop {
            match reader.recv() {
                Ok(message) => sent.push(text(&message).trim_end().to_owned()),
                Err(ReadError::Closed) => return sent,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn judge(&self, spool_said: &str, worker_said: &str) {
        let put: BTreeSet<String> = (0..self.put.load(Ordering::Relaxed))
            .map(|number| format!("task-{number:06}"))
            .collect();
        let sent = self.sent();
        // Nothing is forgotten, and nothing is there that nobody has put there.
        assert_eq!(sent.iter().cloned().collect::<BTreeSet<_>>(), put);
        assert_eq!(count(&self.path("folder/done")), put.len() as u64);
        assert_eq!(count(&self.path("folder/.sending")), 0);
        assert_eq!(
            self.log().cursors().unwrap(),
            [(CREW.to_owned(), sent.len() as u64)]
        );
        // What was sent again was reported, each time.
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for name in &sent {
            *times.entry(name).or_default() += 1;
        }
        for (name, times) in times {
            let report = format!("{name} may have been sent before, and is sent again");
            let reports = spool_said.matches(&report).count();
            assert!(
                times <= 1 + reports,
                "{name}: {times} times, {reports} reports"
            );
        }
        if self.only_sender {
            assert_eq!(
                sent.len(),
                put.len(),
                "none is sent again by an only sender"
            );
        }
        // What was done again was reported, by the worker and to the command.
        let done = fs::read_to_string(self.path("done")).unwrap();
        let mut notes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for line in done.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number: u64 = words[0].parse().unwrap();
            assert_eq!(words[2], sent[number as usize], "task {number}");
            notes
                .entry(number)
                .or_default()
                .push(words[1].parse().unwrap());
        }
        assert_eq!(notes.len(), sent.len(), "each task is done at least once");
        let mut again = 0;
        for (number, deliveries) in &notes {
            let different: BTreeSet<&u64> = deliveries.iter().collect();
            assert_eq!(
                different.len(),
                deliveries.len(),
                "task {number}: {deliveries:?}"
            );
            if deliveries.len() > 1 {
                again += 1;
                let report = format!("task {number} was begun before, and is begun again");
                assert!(
                    worker_said.contains(&report),
                    "task {number}: {worker_said}"
                );
            }
        }
        eprintln!(
            "{} kills, {} files, {} sent again ({} reported that may have been), {again} tasks done again ({} begun again)",
            self.kills.load(Ordering::Relaxed),
            put.len(),
            sent.len() - put.len(),
            spool_said.matches("may have been sent before").count(),
            worker_said.matches("was begun before").count(),
        );
    }
}

/// The file's name in what a command has noted.
fn name_of(line: &str) -> Option<&str> {
    line.split(' ').nth(2)
}

fn count(directory: &Path) -> u64 {
    fs::read_dir(directory).map_or(0, |entries| entries.count() as u64)
}

fn kill_again_and_again(only_sender: bool) {
    let kills = std::env::var("RINGWAY_SPOOL_KILLS").ok();
    let kills = kills.map_or(15, |kills| kills.parse().unwrap());
    let shop = Shop::new(only_sender);
    let seed = u64::from(std::process::id()) << 8 | u64::from(only_sender);
    let [mut spool_said, mut worker_said] = thread::scope(|scope| {
        let shop = &shop;
        scope.spawn(move || shop.feed());
        let parts = [Part::Spool, Part::Worker].map(|part| {
            let seed = seed << 1 | u64::from(part == Part::Spool);
            scope.spawn(move || shop.live_and_die(part, kills, seed))
        });
        parts.map(|part| part.join().unwrap())
    });
    let [spool, worker] = shop.finish();
    spool_said += &spool;
    worker_said += &worker;
    shop.judge(&spool_said, &worker_said);
}

#[test]
fn every_task_is_done_and_repeats_are_reported() {
    kill_again_and_again(false);
}

#[test]
fn an_only_sender_sends_nothing_again() {
    kill_again_and_again(true);
}
