//! A board in which a peer writes to control words, slots and entries before any access to the memory: typed errors, no panic,
//! nothing outside of an entry's buffers, an end. As long as nobody writes there, it holds what a map would.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::verify::HeapBoard;

/// What the peer writes: which word, what, and when.
type Meddling = Vec<(u16, Word, u16)>;

/// Often one that is near to what belongs there.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Word {
    Small(u8),
    Huge(u8),
    Any(u64),
}

impl Word {
    fn word(self) -> u64 {
        match self {
            Self::Small(word) => word.into(),
            Self::Huge(less) => u64::MAX - u64::from(less),
            Self::Any(word) => word,
        }
    }
}

#[derive(Arbitrary, Debug)]
enum Step {
    Set(u8, u16, u8, Meddling),
    Get(u8, Meddling),
    Wait(u8, Meddling),
    Watch(Meddling),
}

fuzz_target!(|steps: Vec<Step>| {
    let Some(board) = HeapBoard::new() else {
        return;
    };
    // What is there, with how many values came before it, unless somebody has meddled.
    let mut model = Some(BTreeMap::<[u8; 1], (u64, Vec<u8>)>::new());
    for step in steps.into_iter().take(64) {
        let (Step::Set(.., meddling)
        | Step::Get(_, meddling)
        | Step::Wait(_, meddling)
        | Step::Watch(meddling)) = &step;
        let meddling: Vec<_> = (meddling.iter().take(16))
            .map(|(at, word, when)| (*at, word.word(), when % 512))
            .collect();
        if !meddling.is_empty() {
            model = None;
        }
        match step {
            Step::Set(key, len, byte, _) => {
                let value = vec![byte; usize::from(len) % (HeapBoard::MAX_LEN + 8)];
                let key = [key % 5];
                let is_set = board.set(&key, &value, &meddling);
                if let Some(model) = &mut model {
                    let has_place = model.len() < HeapBoard::ENTRIES as usize;
                    let fits = value.len() <= HeapBoard::MAX_LEN;
                    let entry = (has_place || model.contains_key(&key)).then(|| model.entry(key));
                    assert_eq!(is_set, fits && entry.is_some());
                    // One that does not fit has added its entry all the same.
                    if let Some(entry) = entry {
                        let (number, last) = entry.or_default();
                        if is_set {
                            (*number, *last) = (*number + 1, value);
                        }
                    }
                }
            }
            Step::Get(key, _) => {
                let read = board.get(&[key % 5], &meddling);
                if let Ok(Some((_, value))) = &read {
                    assert!(value.len() <= HeapBoard::MAX_LEN);
                }
                if let Some(model) = &model {
                    let there = model.get(&[key % 5]).filter(|(number, _)| *number > 0);
                    assert_eq!(read, Ok(there.cloned()));
                }
            }
            Step::Wait(key, _) => {
                let read = board.wait(&[key % 5], &meddling);
                if let Some(model) = &model {
                    let there = model.get(&[key % 5]).filter(|(number, _)| *number > 0);
                    assert_eq!(read.ok(), there.cloned());
                }
            }
            Step::Watch(_) => {
                let found = board.watch(&meddling);
                if let Some(model) = &model {
                    let there = model.iter().filter(|(_, (number, _))| *number > 0);
                    let there: BTreeMap<_, _> = there
                        .map(|(key, (_, value))| (key.to_vec(), value.clone()))
                        .collect();
                    assert_eq!(found.map(BTreeMap::from_iter), Ok(there));
                }
            }
        }
    }
});
