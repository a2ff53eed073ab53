//! Places with too little of something: the error says what the kernel said and what is known of the cause, no more, and
//! nothing is left.

mod common;

use std::process::{Command, Output, Stdio};

use common::{Place, Running, text};

/// Runs a line of shell with mounts of its own. `None` where that is not allowed.
fn in_a_place(script: &str, place: &Place) -> Option<Output> {
    let shell = |script: &str| {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--map-root-user", "--mount", "sh", "-c", script])
            .env("R", env!("CARGO_BIN_EXE_ringway"))
            .env("A", &place.address)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        unshare
    };
    let can = shell("mount -t tmpfs none /mnt").status();
    can.is_ok_and(|status| status.success())
        .then(|| Running::spawn(&mut shell(script)).finish())
}

/// A scheme, a line of shell, its status, what is said, and what is not.
type Transcript = (
    &'static str,
    &'static str,
    i32,
    &'static [&'static str],
    &'static [&'static str],
);

const TRANSCRIPTS: &[Transcript] = &[
    // Small and absent.
    (
        "shm",
        "mount -t tmpfs -o size=1M none /dev/shm; $R create $A",
        2,
        &["/dev/shm"],
        &["inode"],
    ),
    (
        "shm",
        "mount -t tmpfs -o size=1M none /dev/shm; $R create $A --capacity 64K; $R rm $A",
        0,
        &[],
        &[],
    ),
    (
        "shm",
        "mount -t tmpfs -o size=64M,nr_inodes=1 none /dev/shm; $R create $A",
        2,
        &["ENOSPC", "inode"],
        &["smaller capacity"],
    ),
    (
        "shm",
        "mount -t tmpfs none /dev; $R create $A",
        2,
        &["/dev/shm"],
        &[],
    ),
    (
        "shm",
        "mount -t tmpfs -o ro none /dev/shm; $R create $A",
        2,
        &["EROFS"],
        &[],
    ),
    (
        "mq",
        "mount -t tmpfs none /proc; $R create $A",
        2,
        &["/proc"],
        &["somebody"],
    ),
    (
        "mq",
        "mount -t tmpfs none /proc; $R send $A --create",
        2,
        &["/proc"],
        &["somebody"],
    ),
    (
        "sysvmq",
        "mount -t tmpfs none /proc; $R create $A >/dev/null; $R rm $A",
        0,
        &[],
        &[],
    ),
    // Limits.
    (
        "mq",
        "exec 3>&- 4>&-; $R create $A; ulimit -n 5; $R recv $A; s=$?; $R rm $A; exit $s",
        2,
        &["EMFILE", "ulimit -n"],
        &["somebody"],
    ),
    (
        "shm",
        "ulimit -f 8; $R create $A",
        2,
        &["ulimit -f"],
        &["inode"],
    ),
    (
        "mq",
        "prlimit --msgqueue=100 $R create $A",
        2,
        &["RLIMIT_MSGQUEUE"],
        &["somebody"],
    ),
    // What doctor knows of it.
    (
        "shm",
        "mount -t tmpfs -o size=64M,nr_inodes=1 none /dev/shm; $R doctor",
        1,
        &["inodes in /dev/shm", "nr_inodes"],
        &[],
    ),
    (
        "shm",
        "mount -t tmpfs none /proc; $R doctor",
        1,
        &["mq: queues do not work"],
        &[],
    ),
];

#[test]
fn places_with_too_little() {
    for (scheme, script, status, said, unsaid) in TRANSCRIPTS {
        let place = Place::new(scheme);
        let Some(output) = in_a_place(script, &place) else {
            eprintln!("no namespaces here");
            return;
        };
        let all = text(&output.stdout) + &text(&output.stderr);
        let shown = format!("{scheme}: {script}\n{all}");
        assert_eq!(output.status.code(), Some(*status), "{shown}");
        assert!(said.iter().all(|word| all.contains(word)), "{shown}");
        assert!(!unsaid.iter().any(|word| all.contains(word)), "{shown}");
        assert!(!place.exists(), "something is left by {shown}");
    }
}
