//! Boards in tasks: each newer value wakes who waits for one, as do the writer's death and an interruption.

use std::process::{Command, Stdio};
use std::time::Duration;

use ringway::Board;
use ringway::board::GetError;
use ringway_async::{AsyncReader, AsyncWatcher};
use ringway_testing::place::{Backing, Place, ROLE};

/// Nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
const AT: &str = "RINGWAY_TEST_AT";

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_time().build().unwrap()
}

#[test]
fn many_tasks_read_an_entry_each_and_one_reads_all() {
    const VALUES: u64 = 200;
    let keys: Vec<_> = (0..50).map(|number| format!("entry {number}")).collect();
    let board = Board::at("memfd:").unwrap().keys(&keys).create().unwrap();
    let mut watcher = board.watch().unwrap();
    runtime().block_on(async {
        let tasks: Vec<_> = keys
            .iter()
            .map(|key| {
                let mut reader = board.reader(key).unwrap();
                tokio::spawn(async move {
                    let mut last = 0;
                    while last < VALUES {
                        let value = reader.newer_async().await.unwrap();
                        assert!(value.number() > last);
                        last = value.number();
                        assert_eq!(value, last.to_le_bytes());
                    }
                })
            })
            .collect();
        let mut writers: Vec<_> = keys.iter().map(|key| board.writer(key).unwrap()).collect();
        let writing = tokio::spawn(async move {
            for number in 1..=VALUES {
                for writer in &mut writers {
                    assert_eq!(writer.set(&number.to_le_bytes()), Ok(number));
                }
                tokio::time::sleep(Duration::from_micros(number % 3 * 50)).await;
            }
        });
        let mut last = std::collections::HashMap::new();
        while last.len() < keys.len() || last.values().any(|number| *number < VALUES) {
            let (key, value) = watcher.wait_async().await.unwrap();
            let before = last.insert(key, value.number());
            assert!(before < Some(value.number()));
        }
        writing.await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// One process writes until it is killed.
#[test]
fn child_role() {
    let Ok(address) = std::env::var(AT) else {
        return;
    };
    let board = Board::at(&address).unwrap().open().unwrap();
    let mut writer = board.writer("speed").unwrap();
    loop {
        let number = writer.number() + 1;
        writer.set(&number.to_le_bytes()).unwrap();
    }
}

#[test]
fn a_death_is_told_once() {
    let place = Place::new(Backing::Shm);
    let address = place.address.to_string();
    let board = Board::at(&address).unwrap().create().unwrap();
    // Several, of which the kernel wakes one.
    let mut readers: Vec<_> = (0..5).map(|_| board.reader("speed").unwrap()).collect();
    runtime().block_on(async {
        for round in 0..3 {
            let mut other = Command::new(std::env::current_exe().unwrap())
                .args(["child_role", "--exact"])
                .env(AT, &address)
                .env(ROLE, "writer")
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            for reader in &mut readers {
                reader.newer_async().await.unwrap();
            }
            let killing = tokio::task::spawn_blocking(move || {
                std::thread::sleep(Duration::from_millis(20 * round));
                other.kill().unwrap();
                other.wait().unwrap();
            });
            let mut tasks = Vec::new();
            for mut reader in readers.drain(..) {
                tasks.push(tokio::spawn(async move {
                    let told = loop {
                        let newer = tokio::time::timeout(PATIENCE, reader.newer_async()).await;
                        match newer.expect("a death is told") {
                            Ok(value) => assert_eq!(value, value.number().to_le_bytes()),
                            Err(error) => break error,
                        }
                    };
                    assert_eq!(told, GetError::WriterDied);
                    let soon = Duration::from_millis(10);
                    let again = tokio::time::timeout(soon, reader.newer_async()).await;
                    assert!(again.is_err(), "{again:?}");
                    reader
                }));
            }
            killing.await.unwrap();
            for task in tasks {
                readers.push(task.await.unwrap());
            }
        }
    });
}

#[test]
fn a_pending_wait_is_interrupted() {
    let board = Board::at("memfd:").unwrap().create().unwrap();
    runtime().block_on(async {
        for add_before in [true, false] {
            let key = format!("late, {add_before}");
            if add_before {
                drop(board.writer(&key).unwrap());
            }
            let mut reader = board.reader(&key).unwrap();
            let interrupter = reader.interrupter();
            let waiting = tokio::spawn(async move { (reader.newer_async().await, reader) });
            tokio::task::yield_now().await;
            interrupter.interrupt();
            let (ended, mut reader) = waiting.await.unwrap();
            assert_eq!(ended.unwrap_err(), GetError::Interrupted);
            // It goes on, also when its entry is added only now.
            board.writer(&key).unwrap().set(b"50").unwrap();
            assert_eq!(reader.newer_async().await.unwrap(), *b"50");
            let interrupter = reader.interrupter();
            let other = std::thread::spawn(move || interrupter.interrupt());
            assert_eq!(reader.wait_newer().unwrap_err(), GetError::Interrupted);
            other.join().unwrap();
        }
        let mut watcher = board.watch().unwrap();
        while watcher.next().unwrap().is_some() {}
        let interrupter = watcher.interrupter();
        let waiting = tokio::spawn(async move { watcher.wait_async().await });
        tokio::task::yield_now().await;
        interrupter.interrupt();
        assert_eq!(waiting.await.unwrap().unwrap_err(), GetError::Interrupted);
    });
}

/// More than one waiter thread can watch: each reader has two words.
#[test]
fn hundreds_wait_at_once() {
    let board = Board::at("memfd:").unwrap().create().unwrap();
    let mut writer = board.writer("speed").unwrap();
    runtime().block_on(async {
        let tasks: Vec<_> = (0..300)
            .map(|_| {
                let mut reader = board.reader("speed").unwrap();
                tokio::spawn(async move { reader.newer_async().await.unwrap().number() })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        writer.set(b"50").unwrap();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1);
        }
    });
}
