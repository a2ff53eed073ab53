//! Rings on btrfs, which writes every block elsewhere unless it is told not to, and in a copy on XFS that shares its
//! blocks with the original: a full disk is nobody's death.

mod two_processes;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::posix_fallocate;
use nix::sched::{CloneFlags, unshare};
use ringway::peer::Role;
use ringway::{Address, Builder, ErrorKind, Ring};
use two_processes::place::{Backing, Place};
use two_processes::roles::receive;
use two_processes::{First, Second, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "btrfs" => on_btrfs(first),
        "xfs" => on_xfs(first),
        "receive" => receive(first),
        _ => panic!("{role}"),
    });
}

/// The test's, which clears it when what is mounted there is gone with this process.
fn directory(first: &First) -> PathBuf {
    match first.address() {
        Address::File(path) => path.parent().unwrap().to_owned(),
        other => panic!("{other}"),
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Mounts a small file system that goes with this process; `None` where that cannot be had.
fn mount(at: &Path, mkfs: &[&str], bytes: u64, options: &str) -> Option<()> {
    let (image, directory) = (at.join("image"), at.join("mount"));
    File::create(&image).unwrap().set_len(bytes).unwrap();
    fs::create_dir(&directory).unwrap();
    let (image, directory) = (image.to_str().unwrap(), directory.to_str().unwrap());
    let done = unshare(CloneFlags::CLONE_NEWNS).is_ok()
        && run("mount", &["--make-rprivate", "/"])
        && run(mkfs[0], &[&mkfs[1..], &[image]].concat())
        && run(
            "mount",
            &["-o", &format!("loop,{options}"), image, directory],
        );
    done.then_some(())
}

/// Leaves no room on the disk.
fn fill(directory: &Path) {
    let file = File::create(directory.join("filler")).unwrap();
    let mut at = 0;
    for step in [16 << 20, 1 << 20, 256 << 10] {
        while posix_fallocate(&file, at, step).is_ok() {
            at += step;
        }
    }
    file.sync_all().unwrap();
}

/// Writes all over the ring, again and again, and to the disk each time.
fn write_all_over(ring: &Ring, path: &Path) {
    let file = File::open(path).unwrap();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    for _ in 0..3 {
        for index in 0..64 {
            sender.try_send(&[index; 60 << 10]).unwrap();
            assert_eq!(receiver.try_recv().unwrap(), [index; 60 << 10]);
        }
        file.sync_all().unwrap();
    }
    sender.leave();
}

fn on_btrfs(first: &First) {
    let directory = directory(first);
    // Data that would be compressed as well.
    let mkfs = ["mkfs.btrfs", "-q", "-d", "single", "-m", "single"];
    if mount(&directory, &mkfs, 140 << 20, "compress-force").is_none() {
        eprintln!("skipped: no btrfs can be mounted");
        return first.say("skipped");
    }
    let mount = directory.join("mount");
    let path = mount.join("ring");
    let address = Address::File(path.clone());
    let builder = || Builder::at(address.clone()).capacity(4 << 20);
    let ring = builder()
        .slabs(1 << 20, 2)
        .slab_segments(true)
        .create()
        .unwrap();
    let copy = mount.join("copy");
    assert!(run(
        "cp",
        &[
            "--reflink=never",
            path.to_str().unwrap(),
            copy.to_str().unwrap()
        ]
    ));
    let second = Second::start("receive", &ring);
    second.expect("attached");
    fill(&mount);
    // A slab's space is reserved, too.
    let mut sender = ring.sender().unwrap();
    for byte in 0..3 {
        sender
            .send(&[byte; 1 << 20])
            .unwrap_or_else(|error| panic!("{error}"));
        if byte < 2 {
            continue;
        }
        break;
    }
    sender.leave();
    first.say("slabs");
    second.kill();
    // The kernel has marked the dead one's word.
    let stat = ringway::inspect::stat(&address).unwrap();
    let alive = |role| {
        stat.participants
            .iter()
            .any(|who| who.role == role && who.alive)
    };
    assert!(!alive(Role::Consumer), "{stat:?}");
    let mut receiver = ring.receiver().unwrap();
    while receiver.try_recv().is_ok() {}
    drop(receiver);
    drop(ring);
    let whole = open_or_panic(&address);
    write_all_over(&whole, &path);
    // A copy that was not marked would be what the original was before.
    let error = Builder::at(Address::File(copy)).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("copy-on-write"), "{error}");
    first.say("done");
}

fn on_xfs(first: &First) {
    let directory = directory(first);
    let mkfs = ["mkfs.xfs", "-q", "-m", "reflink=1"];
    if mount(&directory, &mkfs, 320 << 20, "rw").is_none() {
        eprintln!("skipped: no XFS can be mounted");
        return first.say("skipped");
    }
    let mount = directory.join("mount");
    let (path, copy) = (mount.join("ring"), mount.join("copy"));
    let builder = Builder::at(Address::File(path.clone()));
    drop(builder.capacity(4 << 20).create().unwrap());
    let sync = || assert!(run("sync", &["-f", mount.to_str().unwrap()]));
    sync();
    assert!(run(
        "cp",
        &[
            "--reflink=always",
            path.to_str().unwrap(),
            copy.to_str().unwrap()
        ]
    ));
    // To touch all of it would unshare it, too.
    let builder = Builder::at(Address::File(copy.clone())).prefault(false);
    let ring = builder.open().unwrap_or_else(|error| panic!("{error}"));
    sync();
    fill(&mount);
    write_all_over(&ring, &copy);
    first.say("done");
}

fn open_or_panic(address: &Address) -> Ring {
    let ring = Builder::at(address.clone()).open();
    ring.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_ring_on_btrfs_survives_a_full_disk() {
    assert_survives("btrfs");
}

#[test]
fn a_copy_that_shared_its_blocks_survives_a_full_disk() {
    assert_survives("xfs");
}

fn assert_survives(role: &str) {
    let place = Place::new(Backing::File);
    let second = Second::start_at(role, &place.address);
    let said = second.last_words();
    let last = said.last().map(String::as_str);
    assert!(matches!(last, Some("done" | "skipped")), "{said:?}");
    second.finish();
}
