//! `spool`: files that are put into a folder become messages, each whole, in order; and what a killed spool leaves.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{Place, Running, assert_says, assert_status, eventually, run, text, waiting_sender};
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// A folder, and where its files go.
struct Spool {
    folder: TempDir,
    place: Place,
}

impl Spool {
    fn new(options: &[&str]) -> Self {
        let (folder, place) = (tempfile::tempdir().unwrap(), Place::new("shm"));
        let create = ["create", &place.address];
        let create = run(create.into_iter().chain(options.iter().copied()));
        assert_status(&create, 0);
        Self { folder, place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file there as one should.
    fn put(&self, name: &str, content: &str) {
        fs::write(self.path(".unfinished"), content).unwrap();
        fs::rename(self.path(".unfinished"), self.path(name)).unwrap();
    }

    fn words<'a>(&'a self, options: &[&'a str]) -> Vec<&'a str> {
        let folder = self.folder.path().to_str().unwrap();
        let mut words = vec!["spool", folder, &self.place.address];
        words.extend(options);
        words
    }

    fn start(&self, options: &[&str]) -> Running {
        Running::start(self.words(options))
    }

    /// Sends all that is there.
    fn once(&self, options: &[&str]) -> std::process::Output {
        let mut words = self.words(options);
        words.push("--once");
        run(words)
    }

    fn received(&self) -> String {
        text(&run(["recv", &self.place.address, "-0"]).stdout)
    }
}

fn names(folder: &Path) -> Vec<String> {
    // It may not be made yet.
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn files_are_sent_in_order_and_moved() {
    for (order, expected) in [
        ("name", "1\u{0}2\u{0}3\u{0}"),
        ("time", "2\u{0}3\u{0}1\u{0}"),
    ] {
        let spool = Spool::new(&[]);
        for (name, age) in [("b", 30), ("c", 20), ("a", 10)] {
            let content = match name {
                "a" => "1",
                "b" => "2",
                _ => "3",
            };
            spool.put(name, content);
            let time = SystemTime::now() - Duration::from_secs(age);
            let file = File::options().write(true).open(spool.path(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        fs::create_dir(spool.path("folder")).unwrap();
        for unfinished in [".hidden", "x.tmp", "x.part", "x~"] {
            fs::write(spool.path(unfinished), "no").unwrap();
        }
        assert_status(&spool.once(&["--order", order]), 0);
        assert_eq!(spool.received(), expected);
        assert_eq!(names(&spool.path("done")), ["a", "b", "c"]);
        let left = names(spool.folder.path());
        let expected = [
            ".hidden", ".sending", "done", "folder", "refused", "x.part", "x.tmp", "x~",
        ];
        assert_eq!(left, expected);

        // Another file of that name.
        spool.put("a", "again");
        assert_status(&spool.once(&[]), 0);
        assert_eq!(names(&spool.path("done")), ["a", "a.1", "b", "c"]);
        spool.put("a", "and again");
        assert_status(&spool.once(&["--delete"]), 0);
        assert_eq!(names(&spool.path("done")), ["a", "a.1", "b", "c"]);
        assert_eq!(spool.received(), "again\u{0}and again\u{0}");
    }
}

#[test]
fn files_are_sent_as_they_appear_and_a_signal_ends_it_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let spool = Spool::new(&[]);
        spool.put("before", "0");
        let mut running = spool.start(&[]);
        for nth in 0..20 {
            spool.put(&format!("file {nth}"), &nth.to_string());
            eventually("the file", || {
                spool.path("done").join(format!("file {nth}")).exists()
            });
        }
        running.signal(signal);
        let ended = running.finish();
        assert_eq!(ended.status.signal(), Some(signal as i32));
        assert_says(&ended.stderr, &["sent 21 messages"]);
        // To its end: the ring was closed.
        assert_eq!(spool.received().matches('\u{0}').count(), 21);
    }
}

/// Half a file is never sent, also not one that was put there otherwise than by renaming.
#[test]
fn a_file_that_somebody_writes_is_left_alone_until_it_is_closed() {
    let spool = Spool::new(&[]);
    let running = spool.start(&[]);
    let mut file = File::create(spool.path("a")).unwrap();
    file.write_all(b"half ").unwrap();
    // By the time when this one is sent, the other one was looked at.
    for nth in 0..3 {
        spool.put(&format!("b{nth}"), "b");
        eventually("the other file", || {
            spool.path("done").join(format!("b{nth}")).exists()
        });
    }
    assert!(spool.path("a").exists());
    file.write_all(b"and half").unwrap();
    drop(file);
    eventually("the file", || spool.path("done").join("a").exists());
    running.kill();
    let received = spool.received();
    assert_eq!(received, "b\u{0}b\u{0}b\u{0}half and half\u{0}");
}

#[test]
fn only_one_spool_feeds_from_a_folder() {
    let spool = Spool::new(&["--kind", "mpmc"]);
    let running = spool.start(&[]);
    eventually("the first spool", || !spool.place.participants().is_empty());
    let second = spool.once(&[]);
    assert_status(&second, 2);
    assert_says(&second.stderr, &["another spool does"]);
    running.kill();
    assert_status(&spool.once(&[]), 0);
}

#[test]
fn a_file_that_is_no_message_is_moved_aside() {
    let spool = Spool::new(&["--capacity", "4K"]);
    spool.put("a", &"x".repeat(3000));
    spool.put("b", "short");
    let done = spool.once(&[]);
    assert_status(&done, 0);
    assert_says(&done.stderr, &["a has more than", "refused"]);
    assert_eq!(names(&spool.path("refused")), ["a"]);
    assert_eq!(spool.received(), "short\u{0}");
}

#[test]
fn a_file_that_waits_for_room_is_put_back() {
    let spool = Spool::new(&["--capacity", "4K"]);
    for nth in 0..8 {
        spool.put(&format!("file {nth}"), &"x".repeat(1000));
    }
    let mut running = spool.start(&[]);
    // The same file for longer than sending takes.
    let mut before = Vec::new();
    eventually("no room", || {
        std::thread::sleep(Duration::from_millis(50));
        let now = names(&spool.path(".sending"));
        !now.is_empty() && std::mem::replace(&mut before, now.clone()) == now
    });
    running.signal(Signal::SIGTERM);
    assert_eq!(running.finish().status.signal(), Some(libc::SIGTERM));
    let sent = names(&spool.path("done")).len();
    assert!(sent < 8 && names(&spool.path(".sending")).is_empty());
    assert_eq!(spool.received().matches('\u{0}').count(), sent);
}

/// The moment between sending and moving, as a kill leaves it.
fn leave_as_a_kill_does(spool: &Spool, name: &str, number: u64) {
    let ring = ringway::at(&spool.place.address).unwrap().open().unwrap();
    let ticket = format!("{:032x}-{number:016x}-{name}", ring.nonce());
    let sending = spool.path(".sending").join(ticket);
    fs::rename(spool.path("done").join(name), sending).unwrap();
}

#[test]
fn what_a_kill_between_sending_and_moving_repeats() {
    // Nobody knows whether it was sent: it is sent again, and that is said.
    for kind in ["spsc", "mpmc"] {
        let spool = Spool::new(&["--kind", kind]);
        spool.put("a", "a");
        assert_status(&spool.once(&[]), 0);
        leave_as_a_kill_does(&spool, "a", 0);
        let next = spool.once(&[]);
        assert_status(&next, 0);
        assert_says(
            &next.stderr,
            &["a may have been sent before, and is sent again"],
        );
        assert_eq!(spool.received(), "a\u{0}a\u{0}", "{kind}");
        assert_eq!(names(&spool.path("done")), ["a"]);
    }
    // With the promise that nobody else sends, the ring tells.
    let spool = Spool::new(&[]);
    spool.put("a", "a");
    assert_status(&spool.once(&["--only-sender"]), 0);
    leave_as_a_kill_does(&spool, "a", 0);
    spool.put("b", "b");
    assert_status(&spool.once(&["--only-sender"]), 0);
    assert_eq!(names(&spool.path("done")), ["a", "b"]);
    // Killed before it was sent.
    leave_as_a_kill_does(&spool, "b", 2);
    assert_status(&spool.once(&["--only-sender"]), 0);
    assert_eq!(spool.received(), "a\u{0}b\u{0}b\u{0}");
    assert!(names(&spool.path(".sending")).is_empty());
}

#[test]
fn a_folder_that_goes_ends_it() {
    let spool = Spool::new(&[]);
    let running = spool.start(&[]);
    eventually("the spool", || !spool.place.participants().is_empty());
    spool.put("a", "a");
    eventually("the file", || spool.path("done").join("a").exists());
    let other = tempfile::tempdir().unwrap();
    fs::rename(spool.folder.path(), other.path().join("moved")).unwrap();
    let ended = running.finish();
    assert_status(&ended, 1);
    assert_says(&ended.stderr, &["was moved or removed"]);
    let missing = run(["spool", "/no/such/folder", &spool.place.address]);
    assert_status(&missing, 2);
    drop(waiting_sender(&spool.place, &[], b""));
}
