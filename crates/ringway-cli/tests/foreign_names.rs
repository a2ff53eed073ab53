//! Names that others chose: whatever is in them, a listing stays a listing, what is shown can be pasted to a shell, and
//! what is listed can be removed.

mod common;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::Command;

use common::{assert_status, command, run, text};
use ringway::{Address, Builder, Channel, Kind, mq};
use serde_json::Value;

/// Ends of names.
const HARMFUL: [&[u8]; 8] = [
    b"\x1b[2J\x1b]0;title\x07",
    b"\nshm:forged  mpmc",
    b"; touch forged #",
    b"$(touch forged) `touch forged` 'a' \"b\" \\",
    "\u{202e}gpj.\u{200b}\u{9b}31m".as_bytes(),
    b"\xff\xfe",
    b"50%41%",
    b"--force *?[a]{b}~<>|&",
];

/// Objects with such names, which go with it.
struct Objects {
    addresses: Vec<Address>,
    files: Vec<PathBuf>,
}

impl Objects {
    fn new(test: &str) -> Self {
        let mut made = Self {
            addresses: Vec::new(),
            files: Vec::new(),
        };
        for (nth, end) in HARMFUL.into_iter().enumerate() {
            let mut name = format!("ringway-{test}-{}-{nth}", std::process::id()).into_bytes();
            name.extend_from_slice(end);
            let path = PathBuf::from("/dev/shm").join(OsStr::from_bytes(&name));
            let ring = match String::from_utf8(name) {
                Ok(name) => {
                    made.addresses.push(Address::Mq(name.clone()));
                    Address::Shm(name)
                }
                Err(_) => Address::File(path),
            };
            made.addresses.push(ring);
        }
        for address in &made.addresses {
            match address {
                Address::Mq(_) => {
                    let builder = mq::QueueBuilder::at(address.clone());
                    drop(builder.messages(1).message_len(64).create().unwrap());
                }
                _ => {
                    let builder = Builder::at(address.clone()).capacity(4096);
                    drop(builder.kind(Kind::Mpmc).create().unwrap());
                }
            }
        }
        made
    }

    fn draft(&mut self, end: &[u8]) {
        let mut name = format!(".ringway-drafts-{}", std::process::id()).into_bytes();
        name.extend_from_slice(end);
        name.extend_from_slice(b".ringway-0123456789abcdef");
        let path = PathBuf::from("/dev/shm").join(OsString::from_vec(name));
        std::fs::write(&path, b"").unwrap();
        self.files.push(path);
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        for address in &self.addresses {
            let _ = Channel::remove(address, true);
        }
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// What is shown does nothing to a terminal, and has as many lines as it should.
#[track_caller]
fn assert_harmless(shown: &[u8]) -> String {
    let shown = text(shown);
    let harmless = |letter: char| letter == '\n' || letter.is_ascii_graphic() || letter == ' ';
    assert!(shown.chars().all(harmless), "{shown:?}");
    assert!(!shown.contains("\nshm:forged"), "{shown}");
    shown
}

/// Runs a line that was shown, in a shell.
fn paste(line: &str) -> std::process::Output {
    let ringway = command([]).get_program().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let line = line.replacen("ringway", ringway.to_str().unwrap(), 1);
    let shell = Command::new("sh")
        .args(["-c", &line])
        .current_dir(directory.path())
        .output();
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "{line} made {left:?}");
    shell.unwrap()
}

#[test]
fn what_is_listed_is_a_line_and_a_word_and_can_be_removed() {
    let objects = Objects::new("listed");
    let listing = run(["ls"]);
    let shown = assert_harmless(&listing.stdout);
    assert_harmless(&listing.stderr);
    let listed = run(["ls", "--json"]);
    assert_harmless(&listed.stdout);
    // Whatever else lies there may be refused.
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    for address in &objects.addresses {
        let word = address.to_string();
        assert!(listed.iter().any(|one| one["address"] == word), "{word}");
        let lines = |line: &&str| line.split_whitespace().next() == Some(word.as_str());
        assert_eq!(shown.lines().filter(lines).count(), 1, "{word}");
        let stat = paste(&format!("ringway stat {word}"));
        assert_status(&stat, 0);
        assert_harmless(&stat.stdout);
        assert_status(&paste(&format!("ringway rm {word}")), 0);
        let gone = paste(&format!("ringway stat {word}"));
        assert_status(&gone, 1);
        assert_harmless(&gone.stderr);
    }
}

#[test]
fn what_is_suggested_can_be_pasted() {
    let objects = Objects::new("suggested");
    for address in &objects.addresses {
        let word = address.to_string();
        let refused = run(["create", &word]);
        assert_status(&refused, 2);
        let said = assert_harmless(&refused.stderr);
        let from = said.find("ringway rm").unwrap_or_else(|| panic!("{said}"));
        let suggested = said[from..].split(')').next().unwrap();
        assert_status(&paste(suggested), 0);
        assert_status(&run(["stat", &word]), 1);
    }
}

#[test]
fn what_a_collection_tells_of_is_harmless() {
    let mut objects = Objects::new("told");
    for end in HARMFUL {
        objects.draft(end);
    }
    for args in [&["gc", "--dry-run"][..], &["gc", "--dry-run", "--json"]] {
        let told = run(args.iter().copied());
        let shown = assert_harmless(&told.stdout);
        assert_harmless(&told.stderr);
        let drafts = format!(".ringway-drafts-{}", std::process::id());
        let count = shown.matches(&drafts).count();
        assert_eq!(count, HARMFUL.len(), "{shown}");
    }
    // What a person types, and what is not there.
    for word in ["no\u{1b}[31m", "shm:a\nb%", "file:/tmp/\u{202e}/x"] {
        let refused = run(["stat", word]);
        assert_harmless(&refused.stderr);
    }
}
