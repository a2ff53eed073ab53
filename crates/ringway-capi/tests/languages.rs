//! One ring, four languages: a producer in Rust, and consumers in C, C++, Python and asynchronous Rust. Each gets every message;
//! any of them, and the producer, is killed at any time, and the others go on.
//!
//! For Python, `RINGWAY_PYTHON` names an interpreter that has the package, as `cargo xtask python` does; without it the other three
//! are there.

mod common;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Link, Program, here};
use ringway::peer::Role;
use ringway::{Kind, Ring};
use ringway_testing::place::{Backing, Place, ROLE};
use ringway_testing::programs::built;

/// Nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(120);
const AT: &str = "RINGWAY_TEST_AT";
const COUNT: &str = "RINGWAY_TEST_COUNT";

/// How a consumer is started.
struct Language {
    name: &'static str,
    command: Vec<PathBuf>,
    /// It goes with this.
    _program: Option<Program>,
}

impl Language {
    fn all() -> Vec<Self> {
        let compiled = |name, source, standard| {
            let program = Program::new(source, standard, Link::Shared);
            Self {
                name,
                command: vec![program.path().to_owned()],
                _program: Some(program),
            }
        };
        let rust = built(&["--example", "subscriber"]);
        let mut all = vec![
            compiled("C", "examples/subscriber.c", "c11"),
            compiled("C++", "examples/subscriber.cpp", "c++17"),
            Self {
                name: "Rust",
                command: vec![rust.join("examples/subscriber")],
                _program: None,
            },
        ];
        if let Some(python) = std::env::var_os("RINGWAY_PYTHON") {
            let program = here("../ringway-python/examples/subscriber.py");
            all.push(Self {
                name: "Python",
                command: vec![python.into(), program],
                _program: None,
            });
        }
        all
    }

    fn start(&self, place: &Place) -> Process {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command.arg(place.address.to_string()).arg(self.name);
        let process = Process::start(command);
        process.wait_for(|lines| !lines.is_empty());
        process
    }
}

/// A process, and the lines that it says. It is killed when this goes.
struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
    input: Option<ChildStdin>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let out = BufReader::new(child.stdout.take().unwrap());
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&lines);
        // So that it never waits for who hears it.
        let listener = std::thread::spawn(move || {
            for line in out.lines() {
                heard.lock().unwrap().push(line.unwrap());
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            lines,
            listener: Some(listener),
        }
    }

    #[track_caller]
    fn wait_for(&self, is_so: impl Fn(&[String]) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.lines.lock().unwrap()) {
            assert!(begun.elapsed() < PATIENCE, "it says nothing more");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn count(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// Waits until it has shown so many more.
    #[track_caller]
    fn wait_for_more(&self, more: usize) {
        let count = self.count() + more;
        self.wait_for(|lines| lines.len() >= count);
    }

    /// All that it has said, when it has ended well.
    #[track_caller]
    fn end(mut self) -> Vec<String> {
        self.wait_for(|lines| lines.last().is_some_and(|line| line == "end"));
        assert!(self.child.wait().unwrap().success());
        self.said()
    }

    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said()
    }

    fn said(&mut self) -> Vec<String> {
        self.listener.take().unwrap().join().unwrap();
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The producer: sends its messages' numbers, in text, from where the last one stopped, until it has sent so many, or is told to end.
#[test]
fn child_role() {
    let Ok(address) = std::env::var(AT) else {
        return;
    };
    let most: u64 = std::env::var(COUNT).unwrap().parse().unwrap();
    let ring = ringway::at(&address).unwrap().open().unwrap();
    let mut sender = ring.sender().unwrap();
    let told = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tell = Arc::clone(&told);
    std::thread::spawn(move || {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        tell.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let mut number = sender.sent();
    while number < most && !told.load(std::sync::atomic::Ordering::Relaxed) {
        sender.send(number.to_string().as_bytes()).unwrap();
        number += 1;
    }
    sender.close();
}

fn producer(place: &Place, most: u64) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child_role", "--exact", "--nocapture"]);
    command.env(AT, place.address.to_string());
    command.env(COUNT, most.to_string()).env(ROLE, "producer");
    Process::start(command)
}

fn ring(place: &Place) -> Ring {
    // Small: the consumers that live keep the producer waiting.
    let builder = place.builder().kind(Kind::Broadcast).capacity(1 << 14);
    builder.create().unwrap()
}

#[test]
fn all_see_all() {
    const MESSAGES: u64 = 20_000;
    let place = Place::new(Backing::Shm);
    let ring = ring(&place);
    let languages = Language::all();
    let consumers: Vec<_> = languages.iter().map(|one| one.start(&place)).collect();
    let mut producer = producer(&place, MESSAGES);
    let expected: Vec<_> = ["ready".to_owned()]
        .into_iter()
        .chain((0..MESSAGES).map(|number| number.to_string()))
        .chain(["end".to_owned()])
        .collect();
    for (language, consumer) in languages.iter().zip(consumers) {
        assert!(consumer.end() == expected, "{}", language.name);
    }
    assert!(producer.child.wait().unwrap().success());
    assert_eq!(ring.stat().sent, MESSAGES);
}

/// What one language's consumers have shown, one after the other; each but the last was killed.
fn check(language: &str, lives: &[Vec<String>], sent: u64) {
    // The next message that was not shown.
    let mut next = 0_u64;
    for (life, said) in lives.iter().enumerate() {
        assert_eq!(said[0], "ready", "{language}");
        let is_last = life + 1 == lives.len();
        let end = said.len() - usize::from(is_last);
        for (at, line) in said[1..end].iter().enumerate() {
            if let Some(missed) = line.strip_prefix("missed ") {
                // While nobody had the name, the producer did not wait. One who lives misses nothing.
                assert!(life > 0 && at == 0, "{language}: {line} in life {life}");
                // One that was shown and not acknowledged may be among them.
                let missed: u64 = missed.parse().unwrap();
                let first: u64 = said[2].parse().unwrap();
                assert!(
                    [next, next.wrapping_sub(1)].contains(&(first - missed)),
                    "{language}: {next}, {said:?}"
                );
                next = first;
                continue;
            }
            let number: u64 = line.parse().unwrap();
            // Shown, and not acknowledged: once more.
            let is_again = life > 0 && at == 0 && number + 1 == next;
            assert!(
                is_again || number == next,
                "{language}: {number} and not {next}, in life {life}"
            );
            next = number + 1;
        }
    }
    assert_eq!(next, sent, "{language} has not come to the end");
}

#[test]
fn any_is_killed_and_the_others_go_on() {
    const ROUNDS: usize = 3;
    let place = Place::new(Backing::Shm);
    let ring = ring(&place);
    let languages = Language::all();
    let mut lives: Vec<_> = languages.iter().map(|_| Vec::new()).collect();
    let mut consumers: Vec<_> = languages.iter().map(|one| one.start(&place)).collect();
    let mut sending = producer(&place, u64::MAX);
    for round in 0..ROUNDS {
        for victim in 0..languages.len() {
            consumers[victim].wait_for_more(1 + (round * 7 + victim * 3) * 101);
            lives[victim].push(consumers.remove(victim).kill());
            for other in &consumers {
                // More than the ring holds: the producer does not wait for the dead.
                other.wait_for_more(2000);
            }
            consumers.insert(victim, languages[victim].start(&place));
        }
        // The producer, too. Nobody waits in vain for the next one, who goes on with the next message.
        let sent = ring.stat().sent;
        sending.kill();
        sending = producer(&place, u64::MAX);
        for consumer in &consumers {
            consumer.wait_for_more(1000);
        }
        assert!(ring.stat().sent > sent);
    }
    for consumer in &consumers {
        consumer.wait_for_more(1000);
    }
    drop(sending.input.take());
    assert!(sending.child.wait().unwrap().success());
    for (lives, consumer) in lives.iter_mut().zip(consumers) {
        lives.push(consumer.end());
    }
    let sent = ring.stat().sent;
    for (language, lives) in languages.iter().zip(&lives) {
        assert_eq!(lives.len(), ROUNDS + 1);
        check(language.name, lives, sent);
    }
    let stat = ring.stat();
    let live = stat
        .participants
        .iter()
        .filter(|one| one.role == Role::Consumer && one.alive);
    assert_eq!(live.count(), 0);
}
