//! A spool and a worker that are killed again and again, at any moment: every task is done at least once, what is done
//! more often was reported, and none is forgotten.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::Path;

use common::{Place, Running, assert_status, command, eventually, run};
use nix::sys::signal::Signal;
use ringway_testing::messages::Random;

/// How often something is killed, unless RINGWAY_KILLS says otherwise.
const KILLS: u64 = 40;

/// Tasks for each of them.
const TASKS_PER_KILL: u64 = 10;

struct Daemon<'a> {
    words: Vec<&'a str>,
    log: &'a Path,
    running: Option<Running>,
}

impl<'a> Daemon<'a> {
    fn new(words: Vec<&'a str>, log: &'a Path) -> Self {
        let mut daemon = Self {
            words,
            log,
            running: None,
        };
        daemon.start();
        daemon
    }

    fn start(&mut self) {
        let log = File::options().append(true).create(true).open(self.log);
        let mut command = command(self.words.iter().copied());
        self.running = Some(Running::spawn(command.stderr(log.unwrap())));
    }

    fn kill(&mut self) {
        self.running.take().unwrap().kill();
        self.start();
    }

    fn end(mut self) {
        let mut running = self.running.take().unwrap();
        running.signal(Signal::SIGTERM);
        running.finish();
    }
}

#[test]
fn a_daemon_with_a_spool_forgets_nothing() {
    let kills = std::env::var("RINGWAY_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let spool = path("spool");
    fs::create_dir(&spool).unwrap();
    let place = Place::new("shm");
    // So small that the spool has to wait for room.
    let create = [
        "create",
        &place.address,
        "--kind",
        "mpmc",
        "--capacity",
        "4K",
    ];
    assert_status(&run(create), 0);
    let (done, spool_log, work_log) = (path("done"), path("spool.log"), path("work.log"));
    let script = format!("read x; echo $x $RINGWAY_DELIVERIES >> {}", done.display());
    let feed = vec!["spool", spool.to_str().unwrap(), &place.address];
    let work = vec![
        "work",
        &place.address,
        "--follow",
        "--",
        "sh",
        "-c",
        &script,
    ];
    let mut feeder = Daemon::new(feed, &spool_log);
    let mut worker = Daemon::new(work, &work_log);
    let mut random = Random(3);
    let tasks = kills * TASKS_PER_KILL;
    for kill in 0..kills {
        for task in kill * TASKS_PER_KILL..(kill + 1) * TASKS_PER_KILL {
            fs::write(spool.join(".task"), format!("task-{task}")).unwrap();
            fs::rename(spool.join(".task"), spool.join(format!("task-{task}"))).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_micros(random.below(20_000)));
        match random.below(2) {
            0 => feeder.kill(),
            _ => worker.kill(),
        }
    }
    // Entries of tasks: with how many deliveries each was begun.
    let entries = || {
        let mut entries: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for line in fs::read_to_string(&done).unwrap_or_default().lines() {
            let (task, deliveries) = line.split_once(' ').unwrap();
            let deliveries = deliveries.parse().unwrap();
            entries.entry(task.to_owned()).or_default().push(deliveries);
        }
        entries
    };
    eventually("all tasks", || {
        let stat = place.stat();
        entries().len() as u64 == tasks && stat["sent"] == stat["received"]
    });
    eventually("all files", || {
        fs::read_dir(spool.join("done")).unwrap().count() as u64 >= tasks
    });
    feeder.end();
    worker.end();
    let mut said: HashMap<String, usize> = HashMap::new();
    for line in fs::read_to_string(&spool_log).unwrap().lines() {
        if let Some(words) = line.strip_suffix(" may have been sent before, and is sent again") {
            let task = words.strip_prefix("ringway: ").unwrap();
            *said.entry(task.to_owned()).or_default() += 1;
        }
    }
    let begun_again = fs::read_to_string(&work_log).unwrap();
    let begun_again = begun_again.matches("was begun before").count();
    let (mut repeated_by_spool, mut repeated_by_worker) = (0, 0);
    for (task, entries) in entries() {
        // Each message begins with delivery 1, though perhaps its command did not come to write that.
        let messages = 1 + said.get(&task).copied().unwrap_or(0);
        let first = entries
            .iter()
            .filter(|deliveries| **deliveries == 1)
            .count();
        assert!(
            first <= messages,
            "{task}: {entries:?}, and {messages} reported"
        );
        repeated_by_spool += first.saturating_sub(1);
        repeated_by_worker += entries.len() - first;
    }
    assert!(repeated_by_worker <= begun_again, "each was reported");
    assert!((repeated_by_spool + repeated_by_worker) as u64 <= kills);
    println!(
        "{kills} kills, {tasks} tasks, each done; {repeated_by_spool} sent twice, {repeated_by_worker} begun again"
    );
}
