//! A log on a small file system that is full: a clear error before anything is half written, nothing lost, and it goes on when there is
//! room. A tmpfs and an ext4 in a file, which need root and mount(2); where those are not to be had the tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use ringway_log::{AppendError, Builder, Durability, Log, ReadError};
use tempfile::TempDir;

/// A file system that goes with the test.
struct Small {
    path: PathBuf,
    _directory: TempDir,
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = umount2(&self.path, MntFlags::MNT_DETACH);
    }
}

fn skip(what: &str, why: impl std::fmt::Display) -> Option<Small> {
    eprintln!("skipped: {what} cannot be mounted here: {why}");
    None
}

fn tmpfs() -> Option<Small> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mounted");
    std::fs::create_dir(&path).unwrap();
    let mounted = mount(
        Some("none"),
        &path,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=1m"),
    );
    match mounted {
        Ok(()) => Some(Small {
            path,
            _directory: directory,
        }),
        Err(errno) => skip("a tmpfs", errno),
    }
}

fn ext4() -> Option<Small> {
    let directory = tempfile::tempdir().unwrap();
    let (image, path) = (
        directory.path().join("image"),
        directory.path().join("mounted"),
    );
    std::fs::create_dir(&path).unwrap();
    std::fs::File::create(&image)
        .unwrap()
        .set_len(4 << 20)
        .unwrap();
    let succeeds = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    let made = succeeds(Command::new("mkfs.ext4").arg("-q").arg(&image));
    let mounted = made.and_then(|()| {
        succeeds(
            Command::new("mount")
                .args(["-o", "loop"])
                .arg(&image)
                .arg(&path),
        )
    });
    match mounted {
        Ok(()) => Some(Small {
            path,
            _directory: directory,
        }),
        Err(why) => skip("an ext4 in a file", why.trim()),
    }
}

fn read_all(log: &Log) -> u64 {
    let mut reader = log.reader().unwrap();
    let mut count = 0;
    loop {
        match reader.recv_in_place() {
            Ok(message) => {
                assert_eq!(message.number(), count);
                assert_eq!(*message, [count as u8; 1000]);
                count += 1;
            }
            Err(ReadError::Closed | ReadError::Empty) => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

fn fill(path: &Path) {
    let _ = std::fs::write(path, vec![7; 64 << 20]);
}

fn play(small: &Small, durability: Durability) {
    let place = small.path.join("log");
    let log = Builder::new(&place)
        .segment_len(64 << 10)
        .durability(durability)
        .create()
        .unwrap();
    let mut writer = log.writer().unwrap();
    let filler = small.path.join("filler");
    fill(&filler);
    let append = |writer: &mut ringway_log::Writer, most: u64| {
        for _ in 0..most {
            let message = [writer.next_number() as u8; 1000];
            writer.append(&message)?;
        }
        Ok(())
    };
    let full = append(&mut writer, 10_000);
    assert!(matches!(full, Err(AppendError::NoSpace { .. })), "{full:?}");
    let acknowledged = writer.next_number();
    assert!(acknowledged > 10);
    // Again and again: nothing changes.
    for _ in 0..3 {
        assert_eq!(append(&mut writer, 1), full);
    }
    assert_eq!(writer.next_number(), acknowledged);
    let mut reader = log.reader().unwrap();
    for number in 0..acknowledged {
        assert_eq!(reader.recv().unwrap(), [number as u8; 1000]);
    }
    assert_eq!(reader.try_recv(), Err(ReadError::Empty));
    // There is room again.
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(append(&mut writer, 100), Ok(()));
    fill(&filler);
    // A writer that closes needs no room, and one that comes finds some in the last segment.
    writer.close().unwrap();
    assert_eq!(read_all(&log), acknowledged + 100);
    std::fs::remove_file(&filler).unwrap();
    let mut writer = log.writer().unwrap();
    assert_eq!(append(&mut writer, 1), Ok(()));
    writer.close().unwrap();
    assert_eq!(read_all(&log), acknowledged + 101);
    ringway_log::remove(&log.address(), false).unwrap();
    assert!(!place.exists());
}

#[test]
fn a_full_tmpfs_is_told_and_nothing_is_lost() {
    for durability in [Durability::None, Durability::Each] {
        if let Some(small) = tmpfs() {
            play(&small, durability);
        }
    }
}

#[test]
fn a_full_ext4_is_told_and_nothing_is_lost() {
    for durability in [Durability::None, Durability::Each] {
        if let Some(small) = ext4() {
            play(&small, durability);
        }
    }
}
