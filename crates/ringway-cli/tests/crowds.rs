//! Many senders and receivers: every line whole, at one receiver, once, each sender's in order.

mod common;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::{
    KINDS, Place, Running, SCHEMES, SYNCS, assert_says, assert_status, command, run, text,
    waiting_sender,
};
use serde_json::Value;
use tempfile::TempDir;

/// How many send and receive.
const SENDERS: u64 = 4;
const RECEIVERS: u64 = 3;

/// What a hang is told by; no measure of anything.
const PATIENCE: Duration = Duration::from_secs(120);
const MORE_PATIENCE: Duration = Duration::from_secs(3600);

/// A line that says whose it is and which. Some take one cell, some several.
fn line(sender: u64, number: u64) -> String {
    let filler = "abcdefghijklmnopqrstuvwxyz".repeat((number * 7 + sender) as usize % 12);
    format!("{sender} {number} {filler}")
}

fn lines_of(sender: u64, count: u64) -> Vec<u8> {
    lines_between(sender, 0, count)
}

/// The lines `from` to `to`, exclusive, of a sender.
fn lines_between(sender: u64, from: u64, to: u64) -> Vec<u8> {
    (from..to)
        .flat_map(|number| (line(sender, number) + "\n").into_bytes())
        .collect()
}

/// Whose line it is and which; fails if it is not whole.
#[track_caller]
fn parse(text: &str) -> (u64, u64) {
    let mut words = text.split(' ').map(str::parse);
    let (Some(Ok(sender)), Some(Ok(number))) = (words.next(), words.next()) else {
        panic!("{text:?} is no line");
    };
    assert_eq!(text, line(sender, number));
    (sender, number)
}

/// A ring with receivers that write to files.
struct Crowd {
    place: Place,
    outputs: TempDir,
    receivers: Vec<Running>,
}

impl Crowd {
    fn new(scheme: &str, kind: &str, sync: &str) -> Self {
        let place = Place::new(scheme);
        let words = ["create", &place.address, "--capacity", "64K"];
        let made = run(words.into_iter().chain(["--kind", kind, "--sync", sync]));
        assert_status(&made, 0);
        Self {
            place,
            outputs: TempDir::new().unwrap(),
            receivers: Vec::new(),
        }
    }

    fn output(&self, index: usize) -> PathBuf {
        self.outputs.path().join(index.to_string())
    }

    /// Starts a receiver that ends when so many senders have come and gone.
    fn receive(&mut self, senders: u64) {
        let file = File::create(self.output(self.receivers.len())).unwrap();
        let senders = senders.to_string();
        let words = ["recv", &self.place.address, "--producers", &senders];
        let recv = Running::spawn(command(words).stdout(file));
        self.receivers.push(recv);
    }

    fn send(&self, sender: u64, count: u64) -> Running {
        Running::feed(["send", &self.place.address], &lines_of(sender, count))
    }

    /// Waits for a participant that is as told.
    fn wait_for(&self, condition: impl Fn(&Value) -> bool) {
        common::eventually("a participant", || {
            self.place.participants().iter().any(&condition)
        });
    }

    /// What a receiver has written.
    fn written(&self, index: usize) -> Vec<(u64, u64)> {
        let written = fs::read_to_string(self.output(index)).unwrap();
        written.lines().map(parse).collect()
    }

    /// Waits for the receivers' ends with `status`, and gives what each has written.
    fn finish(mut self, status: i32, patience: Duration) -> Vec<Vec<(u64, u64)>> {
        let receivers = std::mem::take(&mut self.receivers);
        let outputs: Vec<_> = receivers
            .into_iter()
            .map(|recv| recv.finish_within(patience))
            .collect();
        for output in &outputs {
            assert_status(output, status);
        }
        (0..outputs.len())
            .map(|index| self.written(index))
            .collect()
    }
}

/// Fails unless what was received is what each sender sent (so many lines), once, and in order at each
/// receiver.
#[track_caller]
fn assert_exactly_once_in_order(received: &[Vec<(u64, u64)>], sent: &[u64], what: &str) {
    for lines in received {
        let mut next = vec![0; sent.len()];
        for &(sender, number) in lines {
            let next = &mut next[sender as usize];
            assert!(number >= *next, "{what}: {sender} {number} after {next}");
            *next = number + 1;
        }
    }
    assert_all(received, sent, what);
}

#[track_caller]
fn assert_all(received: &[Vec<(u64, u64)>], sent: &[u64], what: &str) {
    let mut all: Vec<_> = received.concat();
    all.sort_unstable();
    let sent = (0..).zip(sent);
    let expected: Vec<_> = sent
        .flat_map(|(sender, count)| (0..*count).map(move |number| (sender, number)))
        .collect();
    assert!(
        all == expected,
        "{what}: {} lines of {}",
        all.len(),
        expected.len()
    );
}

/// Has as many senders as the kind allows send `count` lines each to as many receivers.
fn share(scheme: &str, kind: &str, sync: &str, count: u64, patience: Duration) {
    let senders = if kind.starts_with('m') { SENDERS } else { 1 };
    let receivers = if kind.ends_with("mc") { RECEIVERS } else { 1 };
    let mut crowd = Crowd::new(scheme, kind, sync);
    for _ in 0..receivers {
        crowd.receive(senders);
    }
    let sending: Vec<_> = (0..senders)
        .map(|sender| crowd.send(sender, count))
        .collect();
    for send in sending {
        assert_status(&send.finish_within(patience), 0);
    }
    let received = crowd.finish(0, patience);
    let sent = vec![count; senders as usize];
    assert_exactly_once_in_order(&received, &sent, &format!("{scheme} {kind} {sync}"));
}

#[test]
fn every_kind_shares_lines_exactly_once_with_every_synchronisation() {
    for sync in SYNCS {
        for kind in KINDS {
            share("shm", kind, sync, 5_000, PATIENCE);
        }
    }
}

#[test]
fn every_scheme_carries_many_senders_and_receivers() {
    for scheme in SCHEMES {
        share(scheme, "mpmc", "futex", 5_000, PATIENCE);
    }
}

#[test]
#[ignore = "minutes; run with --ignored --nocapture"]
fn a_million_lines_are_shared_exactly_once_everywhere() {
    for scheme in SCHEMES {
        for sync in SYNCS {
            eprintln!("{scheme} {sync}");
            share(scheme, "mpmc", sync, 250_000, MORE_PATIENCE);
        }
    }
}

#[test]
fn receivers_wait_for_senders_that_come_one_after_the_other_or_send_nothing() {
    for sync in SYNCS {
        let mut crowd = Crowd::new("shm", "mpmc", sync);
        for _ in 0..RECEIVERS {
            crowd.receive(4);
        }
        for (sender, count) in [(0, 100), (1, 0), (2, 100), (3, 0)] {
            assert_status(&crowd.send(sender, count).finish(), 0);
        }
        let received = crowd.finish(0, PATIENCE);
        assert_exactly_once_in_order(&received, &[100, 0, 100, 0], sync);
    }
}

#[test]
fn a_killed_sender_takes_nothing_with_it_and_ends_nobody_else() {
    for sync in SYNCS {
        let mut crowd = Crowd::new("shm", "mpmc", sync);
        for _ in 0..RECEIVERS {
            crowd.receive(4);
        }
        // Sends a part, and waits for the rest of its input.
        let victim = waiting_sender(&crowd.place, &[], &lines_of(3, 1000));
        let sending: Vec<_> = (0..3).map(|sender| crowd.send(sender, 2000)).collect();
        // One that joins later would be the victim's successor, and make up for its death.
        common::eventually("all senders", || crowd.place.stat()["producers_ever"] == 4);
        victim.kill();
        for send in sending {
            assert_status(&send.finish(), 0);
        }
        let received = crowd.finish(1, PATIENCE);
        assert_exactly_once_in_order(&received, &[2000, 2000, 2000, 1000], sync);
    }
}

#[test]
fn a_following_receiver_goes_on_with_the_successor_of_a_killed_sender() {
    for sync in SYNCS {
        let crowd = Crowd::new("shm", "mpsc", sync);
        let recv = Running::start(["recv", &crowd.place.address, "--follow", "--count", "200"]);
        let victim = waiting_sender(&crowd.place, &[], &lines_of(0, 100));
        crowd.wait_for(|one| one["role"] == "consumer" && one["messages"] == 100);
        victim.kill();
        assert_status(&crowd.send(1, 100).finish(), 0);
        let recv = recv.finish();
        assert_status(&recv, 0);
        let expected = [lines_of(0, 100), lines_of(1, 100)].concat();
        assert_eq!(text(&recv.stdout), text(&expected), "{sync}");
    }
}

/// What the victim wrote and did not release comes again, to another.
#[test]
fn a_killed_receiver_takes_nothing_with_it_and_ends_nobody_else() {
    const COUNT: u64 = 20_000;
    for sync in SYNCS {
        let mut crowd = Crowd::new("shm", "mpmc", sync);
        for _ in 0..RECEIVERS {
            crowd.receive(4);
        }
        let mut sending: Vec<_> = (0..3).map(|sender| crowd.send(sender, COUNT)).collect();
        let mut last = waiting_sender(&crowd.place, &[], b"");
        let victims_output = crowd.output(0);
        // Which receiver gets how much is up to the scheduler: lines flow until the victim has its part.
        let mut sent = 0;
        common::eventually("a part at the victim", || {
            last.write(&lines_between(3, sent, sent + 100));
            sent += 100;
            fs::metadata(&victims_output).unwrap().len() > 10_000
        });
        crowd.receivers.remove(0).kill();
        last.write(&lines_between(3, sent, sent + COUNT));
        sent += COUNT;
        last.close();
        sending.push(last);
        for send in sending {
            assert_status(&send.finish_within(PATIENCE), 0);
        }
        for recv in std::mem::take(&mut crowd.receivers) {
            assert_status(&recv.finish_within(PATIENCE), 0);
        }
        // Killed in the middle of a write, perhaps.
        let written = fs::read_to_string(&victims_output).unwrap();
        let whole = written.rfind('\n').map_or("", |end| &written[..end]);
        let victims: Vec<_> = whole.lines().map(parse).collect();
        let mut received = [crowd.written(1), crowd.written(2)].concat();
        let count = received.len();
        received.sort_unstable();
        received.dedup();
        assert_eq!(
            received.len(),
            count,
            "{sync}: a line came twice to the living"
        );
        received.extend(victims);
        received.sort_unstable();
        received.dedup();
        assert_all(&[received], &[COUNT, COUNT, COUNT, sent], sync);
    }
}

#[test]
fn senders_end_when_the_last_receiver_is_killed() {
    for sync in SYNCS {
        let crowd = Crowd::new("shm", "mpmc", sync);
        let address = crowd.place.address.as_str();
        let recv = ["recv", address, "--raw"];
        let mut receivers = [(); 2].map(|()| Running::spawn(command(recv).stdout(Stdio::null())));
        // Without an end.
        let send = ["send", address, "--raw", "/dev/zero"];
        let senders = [(); 2].map(|()| Running::start(send));
        for recv in &mut receivers {
            let pid = recv.id();
            crowd.wait_for(|one| one["pid"] == pid && one["messages"].as_u64() > Some(0));
        }
        let [first, last] = receivers;
        first.kill();
        let before = crowd.place.stat()["sent"].as_u64();
        common::eventually("more", || crowd.place.stat()["sent"].as_u64() > before);
        last.kill();
        for send in senders {
            let send = send.finish();
            assert_status(&send, 1);
            assert_says(&send.stderr, &["died"]);
        }
    }
}

#[test]
fn of_several_senders_the_last_to_leave_removes_the_address() {
    let mut crowd = Crowd::new("shm", "mpmc", "futex");
    crowd.receive(3);
    let sending =
        [0, 1, 2].map(|sender| waiting_sender(&crowd.place, &["--unlink"], &lines_of(sender, 10)));
    common::eventually("all senders", || crowd.place.stat()["producers_ever"] == 3);
    for mut send in sending {
        assert!(crowd.place.exists());
        send.close();
        assert_status(&send.finish(), 0);
    }
    assert!(!crowd.place.exists());
    let received = crowd.finish(0, PATIENCE);
    assert_exactly_once_in_order(&received, &[10; 3], "unlink");
}
