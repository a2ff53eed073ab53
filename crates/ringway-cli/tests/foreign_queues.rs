//! `--foreign`: POSIX queues of other programs.

mod common;

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Place, Running, assert_says, assert_status, eventually, lines, run, run_with, text};
use nix::mqueue::{MQ_OFlag, MqAttr, MqdT, mq_close, mq_open, mq_receive, mq_send, mq_unlink};
use nix::sys::stat::Mode;

/// A queue as any program makes one, removed at the end.
struct Theirs {
    address: String,
    name: CString,
    queue: Option<MqdT>,
}

impl Theirs {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let name = format!("/ringway-cli-foreign-{pid}-{count}");
        let mut made = Self {
            address: format!("mq:{name}"),
            name: CString::new(name).unwrap(),
            queue: None,
        };
        made.make();
        made
    }

    fn make(&mut self) {
        let flags = MQ_OFlag::O_RDWR | MQ_OFlag::O_CREAT | MQ_OFlag::O_NONBLOCK;
        let shape = MqAttr::new(0, 3, 32, 0);
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        self.queue = Some(mq_open(self.name.as_c_str(), flags, mode, Some(&shape)).unwrap());
    }

    fn send(&self, message: &[u8]) {
        mq_send(self.queue.as_ref().unwrap(), message, 7).unwrap();
    }

    fn recv(&self) -> Option<Vec<u8>> {
        let (mut buffer, mut priority) = ([0; 32], 0);
        let len = mq_receive(self.queue.as_ref().unwrap(), &mut buffer, &mut priority).ok()?;
        Some(buffer[..len].to_vec())
    }

    fn remove(&mut self) {
        let _ = mq_unlink(self.name.as_c_str());
        self.queue.take().map(mq_close);
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        self.remove();
    }
}

#[test]
fn messages_of_other_programs_arrive_as_they_are() {
    let theirs = Theirs::new();
    for message in [&b"one"[..], b"", b"th\0ree"] {
        theirs.send(message);
    }
    let recv = run(["recv", &theirs.address, "--foreign", "--count", "2"]);
    assert_status(&recv, 0);
    assert_eq!(recv.stdout, b"one\n\n");
    assert_says(&recv.stderr, &["received 2 messages, 3 bytes"]);
    // Nobody says that these were all.
    let recv = run([
        "recv",
        &theirs.address,
        "--foreign",
        "-0",
        "--timeout",
        "0.05",
    ]);
    assert_status(&recv, 1);
    assert_eq!(recv.stdout, b"th\0ree\0");
    assert_says(&recv.stderr, &["no message came in time"]);
}

#[test]
fn messages_reach_other_programs_as_they_are() {
    let theirs = Theirs::new();
    let send = ["send", &theirs.address, "--foreign", "-m", "one", "-m", ""];
    assert_status(&run(send), 0);
    assert_eq!(theirs.recv(), Some(b"one".to_vec()));
    assert_eq!(theirs.recv(), Some(vec![]));
    assert_eq!(theirs.recv(), None);
    // There is room for three.
    let send = ["send", &theirs.address, "--foreign", "--timeout", "0.05"];
    let send = run_with(send, &lines(0, 5));
    assert_status(&send, 1);
    assert_says(&send.stderr, &["no room came in time", "sent 3 messages"]);
    let long = "x".repeat(33);
    let send = run([
        "send",
        &theirs.address,
        "--foreign",
        "-m",
        "short",
        "-m",
        &long,
    ]);
    assert_status(&send, 2);
    assert_says(&send.stderr, &["message 2", "32 bytes"]);
}

#[test]
fn a_receiver_waits_for_messages_and_a_sender_for_room() {
    let theirs = Theirs::new();
    let recv = Running::start(["recv", &theirs.address, "--foreign", "--count", "200"]);
    assert_status(
        &run_with(["send", &theirs.address, "--foreign"], &lines(0, 200)),
        0,
    );
    let recv = recv.finish();
    assert_status(&recv, 0);
    assert_eq!(text(&recv.stdout), text(&lines(0, 200)));
}

#[test]
fn a_foreign_queue_that_is_not_there_can_be_waited_for_and_is_not_made() {
    let mut theirs = Theirs::new();
    theirs.remove();
    for command in ["send", "recv"] {
        let output = run_with([command, &theirs.address, "--foreign"], b"x\n");
        assert_status(&output, 1);
        assert_says(&output.stderr, &["no such queue", "--wait"]);
        let output = run([command, &theirs.address, "--foreign", "--wait", "0.02"]);
        assert_status(&output, 1);
    }
    let words = ["recv", &theirs.address, "--foreign", "--wait", "60", "-n1"];
    let recv = Running::start(words);
    theirs.make();
    theirs.send(b"hello");
    let recv = recv.finish();
    assert_status(&recv, 0);
    assert_eq!(recv.stdout, b"hello\n");
}

#[test]
fn what_foreign_queues_have_not_is_refused() {
    let theirs = Theirs::new();
    for words in [
        &["recv", "--unlink"][..],
        &["recv", "--follow"],
        &["recv", "--peek"],
        &["recv", "--whole"],
        &["recv", "--create"],
        &["recv", "--producers", "1"],
        &["recv", "--kind", "mpsc"],
        &["send", "--unlink"],
        &["send", "--whole"],
        &["send", "--create"],
        &["send", "--sync", "futex"],
        &["send", "--copy-limit", "4K"],
    ] {
        let refused = words.iter().copied();
        let refused = run(refused.chain([theirs.address.as_str(), "--foreign"]));
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &[words[1]]);
    }
    for address in ["shm:a", "sysvmq:0x1", "auto:a"] {
        let refused = run(["recv", address, "--foreign"]);
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["POSIX"]);
    }
}

#[test]
fn queues_of_ringways_and_foreign_ones_are_not_mixed_up() {
    let ours = Place::new("mq");
    assert_status(&run_with(["send", &ours.address, "--create"], b"one\n"), 0);
    for command in ["send", "recv"] {
        let refused = run_with([command, &ours.address, "--foreign"], b"x\n");
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["leave out --foreign"]);
    }
    assert_eq!(text(&run(["recv", &ours.address]).stdout), "one\n");

    let theirs = Theirs::new();
    theirs.send(b"one");
    for command in ["send", "recv"] {
        let refused = run_with([command, &theirs.address], b"x\n");
        assert_status(&refused, 2);
        assert_says(&refused.stderr, &["--foreign"]);
    }
    assert_eq!(theirs.recv(), Some(b"one".to_vec()));
}

#[test]
fn a_foreign_queue_of_another_user_is_used_when_that_is_said() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not root: nothing here belongs to another user");
        return;
    }
    let theirs = Theirs::new();
    let file = format!("/dev/mqueue/{}", &theirs.address["mq:/".len()..]);
    if nix::unistd::chown(file.as_str(), Some(65534.into()), None).is_err() {
        eprintln!("/dev/mqueue is not mounted");
        return;
    }
    let refused = run(["send", &theirs.address, "--foreign", "-mx"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["--any-owner"]);
    assert_status(
        &run(["send", &theirs.address, "--foreign", "-mx", "--any-owner"]),
        0,
    );
    assert_eq!(theirs.recv(), Some(b"x".to_vec()));
    eventually("nothing more", || theirs.recv().is_none());
}
