//! Who writes the entries of a board, and who reads them.

use std::collections::BTreeMap;
use std::time::Duration;

use ringway::Board;
use ringway::board::{GetError, Reader, Value, Watcher, Writer};
use ringway_testing::messages::{Random, is_signed, sign};

use super::{Task, is_due, rest, some_wait, take_place};
use crate::soak::journal::{Journal, Order, Step};

/// The key of an entry.
pub(in crate::soak) fn key(entry: u32) -> String {
    format!("entry-{entry}")
}

/// Sets one value after the other until it is told to stop.
pub(super) fn set(board: &Board, entry: u32, task: &Task, journal: &Journal) -> Result<(), String> {
    let (key, max) = (key(entry), board.max_value_len());
    let mut random = Random(task.seed);
    let take = || take_place(task.place_is_free, || board.writer(&key));
    journal.begin(Step::Attaching);
    let mut writer: Writer = take()?;
    let mut number = writer.number();
    journal.begin_turn(number, number);
    let mut value = Vec::new();
    while rest(journal, &mut random) {
        journal.begin(Step::Sending);
        sign(&mut value, entry, number + 1, max);
        journal.intend(number + 1);
        let set = writer.set(&value).map_err(|error| error.to_string())?;
        if set != number + 1 {
            return Err(format!("value {set} follows {number}"));
        }
        number = set;
        journal.acknowledge(number);
        if is_due(&mut random, 500) {
            journal.begin(Step::Leaving);
            drop(writer);
            journal.begin(Step::Attaching);
            writer = take()?;
            if writer.number() != number {
                let found = writer.number();
                return Err(format!("it left with value {number}, and finds {found}"));
            }
        }
        // Readers are to fall asleep.
        if is_due(&mut random, 4) {
            journal.begin(Step::Resting);
            std::thread::sleep(Duration::from_micros(random.below(300)));
        }
    }
    journal.begin(Step::Leaving);
    Ok(())
}

/// Reads an entry until it is told to stop: no value is torn, and none is older than the one before.
pub(super) fn look(
    board: &Board,
    entry: u32,
    task: &Task,
    journal: &Journal,
) -> Result<(), String> {
    let mut random = Random(task.seed);
    let new_reader = |random: &mut Random| -> Result<Reader, String> {
        let reader = board
            .reader(&key(entry))
            .map_err(|error| error.to_string())?;
        Ok(reader.with_wait(some_wait(random)))
    };
    let mut reader = new_reader(&mut random)?;
    let (mut last, mut mourns) = (0, false);
    journal.begin(Step::Attaching);
    while rest(journal, &mut random) {
        let way = random.below(8);
        let soon = Duration::from_micros(random.below(1000));
        journal.begin(match (mourns, way) {
            (true, _) => Step::AwaitingPeer,
            (_, 0 | 1) => Step::ReceivingCopy,
            _ => Step::Receiving,
        });
        let read = match way {
            0 => reader.get(),
            1 => reader.get_if_newer(),
            2 => reader.wait_newer_timeout(soon).map(Some),
            _ => reader.wait_newer().map(Some),
        };
        match read {
            Ok(Some(value)) => {
                check(entry, board.max_value_len(), &value)?;
                let is_news = way > 0;
                if value.number() < last + u64::from(is_news) {
                    return Err(format!("value {} comes after {last}", value.number()));
                }
                mourns &= value.number() == last;
                last = value.number();
            }
            Ok(None) | Err(GetError::TimedOut | GetError::Changing) => {}
            Err(GetError::WriterDied) => mourns = true,
            Err(error) => return Err(format!("reading entry {entry}: {error:?}")),
        }
        if is_due(&mut random, 2000) && journal.order() == Order::Work {
            reader = new_reader(&mut random)?;
            // What it has read is news to another reader.
            (last, mourns) = (last.saturating_sub(1), false);
        }
    }
    journal.begin(Step::Leaving);
    Ok(())
}

/// Reads whatever changes.
pub(super) fn watch(board: &Board, task: &Task, journal: &Journal) -> Result<(), String> {
    let mut random = Random(task.seed);
    let watcher = board.watch().map_err(|error| error.to_string())?;
    let mut watcher: Watcher = watcher.with_wait(some_wait(&mut random));
    let mut last = BTreeMap::<String, u64>::new();
    journal.begin(Step::Attaching);
    while rest(journal, &mut random) {
        journal.begin(Step::Receiving);
        let read = match random.below(3) {
            0 => watcher.next(),
            _ => watcher.wait_timeout(Duration::from_millis(3)).map(Some),
        };
        match read {
            Ok(Some((name, value))) => {
                let entry = name
                    .strip_prefix("entry-")
                    .and_then(|entry| entry.parse().ok());
                let entry = entry.ok_or_else(|| format!("there is no entry {name}"))?;
                check(entry, board.max_value_len(), &value)?;
                let before = last.insert(name.clone(), value.number());
                if before >= Some(value.number()) {
                    return Err(format!("{name}: {} after {before:?}", value.number()));
                }
            }
            Ok(None) | Err(GetError::TimedOut | GetError::Changing | GetError::WriterDied) => {}
            Err(error) => return Err(format!("watching: {error:?}")),
        }
    }
    journal.begin(Step::Leaving);
    Ok(())
}

/// Whether the value is the one that has its number.
pub(in crate::soak) fn check(entry: u32, max: usize, value: &Value) -> Result<(), String> {
    let mut expected = Vec::new();
    sign(&mut expected, entry, value.number(), max);
    match expected == value[..] && is_signed(value, max) {
        true => Ok(()),
        false => Err(format!(
            "TORN: value {} of entry {entry} is {:02x?}",
            value.number(),
            &value[..]
        )),
    }
}
