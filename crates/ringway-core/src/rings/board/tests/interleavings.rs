//! Every interleaving of writers and readers within loom's bounds, on the code that ships. A lost wake-up shows as a
//! deadlock, a missing fence as a value of which one half is another one's.

use loom::thread;

use crate::error::GetError;
use crate::memory::layout::participant::{LIVENESS, slot_offset};
use crate::presence::Outlook;
use crate::rings::board::reader::Reader;
use crate::rings::board::writer::{Refused, Wakes, Writer};
use crate::rings::board::{Slate, directory};
use crate::testing::model::{Model, at_every_change, explorer, lives};
use crate::waiting::WaitOptions;

/// Two words for each of two buffers of an entry.
const CAPACITY: usize = 32;
const KEY: &[u8] = b"key";
const SLOTS: u32 = 2;

fn model(body: impl Fn() + Sync + Send + 'static) {
    check(Box::new(body));
}

fn check(body: Box<dyn Fn() + Sync + Send>) {
    explorer(0).check(body);
}

fn slate() -> Slate {
    Slate::new(SLOTS, 1, CAPACITY as u64)
}

fn board() -> Model {
    Model::board(SLOTS, 1, CAPACITY)
}

/// Attaches to the slot, and takes the role.
fn take(board: Model, slot: u32) -> Result<Writer<Model>, Refused> {
    let id = board.attach(slot) << 8 | u64::from(slot);
    let entry = directory::find_or_add(&board, &slate(), KEY).unwrap();
    Writer::take(board, entry, id, Outlook::new(SLOTS, slot))
}

fn reader(board: &Model) -> Reader<Model> {
    Reader::new(board.clone(), slate(), KEY)
}

/// Value n is n in both of its words.
fn set(writer: &mut Writer<Model>, value: u64) {
    let bytes = [value.to_le_bytes(); 2];
    assert_eq!(writer.set(bytes.as_flattened()), Ok(value));
}

fn set_short(writer: &mut Writer<Model>, value: u64) {
    assert_eq!(writer.set_short(1, [value; 2], &[], Wakes::All), Ok(value));
}

fn whole(bytes: &[u8], number: u64) {
    assert_eq!(
        bytes,
        [number.to_le_bytes(); 2].as_flattened(),
        "value {number}"
    );
}

/// What is read, if a value was.
fn get(reader: &mut Reader<Model>) -> Option<u64> {
    let mut bytes = Vec::new();
    match reader.get(&mut bytes) {
        Ok(read) => read.map(|(number, ())| {
            whole(&bytes, number);
            number
        }),
        // As often as a model looks.
        Err(GetError::Changing) => None,
        Err(error) => panic!("{error}"),
    }
}

fn wait_newer(reader: &mut Reader<Model>) -> Result<u64, GetError> {
    let mut bytes = Vec::new();
    let (number, ()) = reader.wait_newer(&WaitOptions::PARK, &mut bytes)?;
    whole(&bytes, number);
    Ok(number)
}

/// What the kernel does when a process dies.
fn bury(board: &Model, slot: u32) {
    board.mark(slot_offset(slot) + LIVENESS, 1);
}

#[test]
fn what_is_read_is_one_value() {
    model(|| {
        let board = board();
        let mut writer = take(board.clone(), 0).unwrap();
        set(&mut writer, 1);
        let mut reader = reader(&board);
        let writing = thread::spawn(move || (2..=3).for_each(|value| set(&mut writer, value)));
        let first = get(&mut reader);
        let second = get(&mut reader);
        assert!(first.is_none() || second.is_none() || first <= second);
        writing.join().unwrap();
        assert_eq!(get(&mut reader), Some(3));
    });
}

/// Of the value that was read last it is known where it is, and only its number is asked for again.
#[test]
fn what_is_read_again_is_one_value() {
    model(|| {
        let board = board();
        let mut writer = take(board.clone(), 0).unwrap();
        set(&mut writer, 1);
        let mut reader = reader(&board);
        assert_eq!(get(&mut reader), Some(1));
        let writing = thread::spawn(move || (2..=3).for_each(|value| set(&mut writer, value)));
        let again = get(&mut reader);
        assert!(again.is_none() || again >= Some(1));
        writing.join().unwrap();
        assert_eq!(get(&mut reader), Some(3));
    });
}

/// The same of short values, of which the second overwrites the first, and of a long one behind them.
fn short_values(last_is_short: bool) {
    model(move || {
        let board = board();
        let mut writer = take(board.clone(), 0).unwrap();
        set_short(&mut writer, 1);
        let mut reader = reader(&board);
        let writing = thread::spawn(move || {
            set_short(&mut writer, 2);
            match last_is_short {
                true => set_short(&mut writer, 3),
                false => set(&mut writer, 3),
            }
        });
        let first = get(&mut reader);
        let second = get(&mut reader);
        assert!(first.is_none() || second.is_none() || first <= second);
        writing.join().unwrap();
        assert_eq!(get(&mut reader), Some(3));
    });
}

#[test]
fn what_is_read_of_short_values_is_one_value() {
    short_values(true);
}

#[test]
fn what_is_read_of_short_values_and_long_ones_is_one_value() {
    short_values(false);
}

/// A server marks a call, and looks once more what the client says; the client takes the call back, and looks at the mark. One of both knows of the other: it is not
/// begun with there and asked for elsewhere.
#[test]
fn of_one_who_marks_and_one_who_takes_back_one_sees_the_other() {
    model(|| {
        let slate = Slate::new(SLOTS, 2, 2 * CAPACITY as u64);
        let board = Model::board(SLOTS, 2, 2 * CAPACITY);
        let [call, answer] = [&b"call"[..], b"answer"]
            .map(|key| directory::find_or_add(&board, &slate, key).unwrap());
        let writer = |slot, entry| {
            let id = board.attach(slot) << 8 | u64::from(slot);
            Writer::take(board.clone(), entry, id, Outlook::new(SLOTS, slot)).unwrap()
        };
        let (mut client, server) = (writer(0, call), writer(1, answer));
        set_short(&mut client, 1);
        let mut calls = Reader::new(board.clone(), slate, b"call");
        let mut answers = Reader::new(board.clone(), slate, b"answer");
        assert_eq!(answers.mark(), Some(0));
        let serving = thread::spawn(move || {
            let mut bytes = Vec::new();
            let is_asked = calls.get_if_newer(&mut bytes) == Ok(Some((1, ())));
            server.set_mark(1);
            // It begins if nothing newer is there.
            is_asked && calls.get_if_newer(&mut bytes) == Ok(None)
        });
        set(&mut client, 2);
        let moves = answers.mark_behind_all() != Some(1);
        let begins = serving.join().unwrap();
        assert!(!(moves && begins));
    });
}

/// Who dies among the words of a short value leaves one that nobody can read. Who passes it over reads the next one.
#[test]
fn a_short_value_that_is_half_written_is_passed_over() {
    at_every_change(check, |changes| {
        let board = board();
        let mut first = take(board.clone(), 0).unwrap();
        set_short(&mut first, 1);
        first.leave();
        let mut reader = reader(&board);
        let dying = board.clone();
        dying.dies_after(changes);
        let lived = lives(|| {
            let mut writer = take(dying, 0).unwrap();
            set_short(&mut writer, 2);
            writer.leave();
        });
        if !lived {
            bury(&board, 0);
        }
        let mut bytes = Vec::new();
        match reader.get(&mut bytes) {
            Ok(read) => whole(&bytes, read.unwrap().0),
            Err(error) => {
                assert_eq!(error, GetError::Changing);
                reader.pass_over_half_written();
                assert_eq!(reader.seen(), 1);
                assert_eq!(reader.get_if_newer(&mut bytes), Ok(None));
            }
        }
        let mut next = take(board, 1).unwrap();
        let number = next.number() + 1;
        set_short(&mut next, number);
        assert_eq!(reader.get_if_newer(&mut bytes), Ok(Some((number, ()))));
        whole(&bytes, number);
        lived
    });
}

#[test]
fn who_sleeps_for_a_newer_value_is_woken() {
    model(|| {
        let board = board();
        let mut reader = reader(&board);
        let writing = board.clone();
        let writing = thread::spawn(move || {
            let mut writer = take(writing, 0).unwrap();
            (1..=2).for_each(|value| set(&mut writer, value));
            writer.leave();
        });
        let mut last = 0;
        while last < 2 {
            let number = match wait_newer(&mut reader) {
                Err(GetError::Changing) => continue,
                number => number.unwrap(),
            };
            assert!(number > last);
            last = number;
        }
        writing.join().unwrap();
    });
}

/// A writer dies after each change that it makes while it sets its second value. Who sleeps is told, who reads reads
/// one of both, and a successor goes on.
#[test]
fn a_death_leaves_a_whole_value_and_strands_nobody() {
    at_every_change(check, |changes| {
        let board = board();
        let mut first = take(board.clone(), 0).unwrap();
        set(&mut first, 1);
        first.leave();
        let dying = board.clone();
        let mut reader = reader(&board);
        assert_eq!(get(&mut reader), Some(1));
        let victim = thread::spawn(move || {
            dying.dies_after(changes);
            let kernel = board.clone();
            let lived = lives(|| {
                let mut writer = take(dying, 0).unwrap();
                set(&mut writer, 2);
                writer.leave();
            });
            if !lived {
                bury(&kernel, 0);
            }
            let mut next = take(board, 1).unwrap();
            let published = next.number();
            assert!(published == 1 || published == 2);
            set(&mut next, published + 1);
            (lived, published + 1)
        });
        // Sooner or later it is the successor's.
        let mut read = Vec::new();
        let mut deaths = 0;
        while read.last() != Some(&3) && !(deaths > 0 && read.last() == Some(&2)) {
            match wait_newer(&mut reader) {
                Ok(number) => read.push(number),
                Err(GetError::WriterDied) => deaths += 1,
                Err(GetError::Changing) => {}
                Err(error) => panic!("{error}"),
            }
            if deaths == 0 && read.last() == Some(&2) {
                break;
            }
        }
        let (lived, last) = victim.join().unwrap();
        assert!(deaths <= u32::from(!lived));
        assert!(read.is_sorted());
        assert_eq!(get(&mut reader), Some(last));
        lived
    });
}

/// The kernel wakes one of those who sleep on the word of the dead one, and nobody follows it.
#[test]
fn all_who_sleep_are_told_of_a_death() {
    model(|| {
        let board = board();
        let mut writer = take(board.clone(), 0).unwrap();
        set(&mut writer, 1);
        let sleepers = [reader(&board), reader(&board)].map(|mut reader| {
            assert_eq!(get(&mut reader), Some(1));
            thread::spawn(move || wait_newer(&mut reader))
        });
        bury(&board, 0);
        for sleeper in sleepers {
            assert_eq!(sleeper.join().unwrap(), Err(GetError::WriterDied));
        }
    });
}

/// Who takes the role when a reader sleeps already dies before it sets anything.
#[test]
fn who_sleeps_is_told_of_the_death_of_a_writer_that_came_later() {
    model(|| {
        let board = board();
        directory::find_or_add(&board, &slate(), KEY).unwrap();
        let mut reader = reader(&board);
        let sleeper = thread::spawn(move || wait_newer(&mut reader));
        take(board.clone(), 0).unwrap();
        bury(&board, 0);
        assert_eq!(sleeper.join().unwrap(), Err(GetError::WriterDied));
    });
}

#[test]
fn one_of_two_follows_a_dead_writer() {
    model(|| {
        let board = board();
        let mut dead = take(board.clone(), 0).unwrap();
        set(&mut dead, 1);
        bury(&board, 0);
        let other = board.clone();
        let other = thread::spawn(move || take(other, 0).is_ok());
        let one = take(board, 1);
        assert!(one.is_ok() != other.join().unwrap());
    });
}

#[test]
fn two_that_add_a_key_find_one_entry() {
    model(|| {
        let slate = Slate::new(SLOTS, 2, 2 * CAPACITY as u64);
        let board = Model::board(SLOTS, 2, 2 * CAPACITY);
        let other = board.clone();
        let other = thread::spawn(move || {
            let key = directory::find_or_add(&other, &slate, b"other").unwrap();
            (key, directory::find_or_add(&other, &slate, KEY))
        });
        let one = directory::find_or_add(&board, &slate, KEY);
        let (key, found) = other.join().unwrap();
        assert_eq!(one, found);
        assert_ne!(one, Some(key));
        assert_eq!(directory::key(&board, one.unwrap()).unwrap(), KEY);
    });
}
