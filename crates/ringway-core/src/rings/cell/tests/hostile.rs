//! A peer that rewrites the segment while we work, made worst: every read of shared memory gives
//! another value. Nothing may panic, leave the region, or run on.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::SHARING;
use crate::error::{RecvError, SendError};
use crate::memory::layout::Kind;
use crate::memory::layout::cell::{Code, Owner, State, Word};
use crate::memory::layout::participant::Role;
use crate::memory::region::Region;
use crate::rings::cell::consumer::Consumer;
use crate::rings::cell::producer::Producer;
use crate::rings::message::MessageRef;
use crate::testing::cells::{HeapCells, KEY};
use crate::testing::liar::Liar;
use crate::waiting::{WaitOptions, WaitStrategy};

const CELLS: u64 = 8;
const CELL_LEN: u32 = 64;
const CAPACITY: usize = CELLS as usize * CELL_LEN as usize;

const STATES: [State; 8] = [
    State::Free,
    State::Claimed,
    State::Full,
    State::Taken,
    State::Returned,
    State::Freeing,
    State::Aborted,
    State::HeldOver,
];

/// A word of this ring, or the description of a record.
fn forge(random: u64, truth: u64) -> u64 {
    let bits = |from: u32, count: u32| random >> from & ((1 << count) - 1);
    if bits(8, 2) == 0 {
        return bits(10, 10) | bits(20, 4) << 32;
    }
    let state = STATES[bits(10, 3) as usize];
    let code = code();
    let lap = code.decode(truth).map_or(0, |truth| truth.lap);
    let word = Word::free(lap + bits(20, 2)).with_extent(bits(16, 2) + 1);
    let word = match state.is_owned() {
        true => word.become_owned(state, Owner::new(bits(13, 2) as u32, bits(15, 1))),
        false => word.become_nobodys(state),
    };
    code.encode(word)
}

fn code() -> Code {
    Code::new(KEY, CELLS)
}

fn ring(overwrite: bool, kind: Kind) -> HeapCells {
    let ring = HeapCells::new(kind, 2, CELLS, CELL_LEN).unwrap();
    if overwrite { ring.overwriting() } else { ring }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(SHARING.to_vec())
}

fn at_once() -> Option<Instant> {
    Some(Instant::now())
}

/// Miri takes a thousand times as long.
const MOST: usize = if cfg!(miri) { 12 } else { 60 };

/// Lengths up to beyond what fits.
fn lens() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0_usize..300, 1..MOST)
}

fn steps() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..2 * MOST)
}

fn producer(seed: u64, overwrite: bool, kind: Kind) -> Option<Producer<Liar>> {
    let ring = ring(overwrite, kind);
    let liar = Liar::new(ring.region(), seed, forge);
    Producer::join(ring.attach(liar, Role::Producer, 0), overwrite).ok()
}

fn consumer(seed: u64, lens: &[usize], kind: Kind) -> Option<Consumer<Liar>> {
    let ring = ring(false, kind);
    let mut producer = ring.producer(0).unwrap();
    for len in lens {
        let _ = producer.send(&vec![0x5a; *len], None);
    }
    let liar = Liar::new(ring.region(), seed, forge);
    Consumer::join(ring.attach(liar, Role::Consumer, 0)).ok()
}

fn read(consumer: &Consumer<Liar>, found: MessageRef) {
    assert!(found.len <= CAPACITY);
    let mut bytes = vec![0; found.len];
    consumer.member.region().read(found.payload, &mut bytes);
}

/// A word that is there whenever we ask whether to look, and never when we look, cannot keep us beyond a
/// deadline.
#[test]
fn a_flickering_word_cannot_hold_us_up() {
    let of = |state| Word::free(0).become_owned(state, Owner::new(1, 1));
    let free = code().encode(Word::free(0));
    let claimed = code().encode(of(State::Claimed));
    let in_use = code().encode(of(State::Taken));
    for how in [
        WaitStrategy::Spin,
        WaitStrategy::default(),
        WaitStrategy::Park,
    ] {
        let deadline = || Some(Instant::now() + Duration::from_millis(5));
        let ring = ring(false, Kind::Mpmc);
        let liar = || {
            let liar = Liar::new(ring.region(), 0, forge);
            liar.flicker.set(Some((free, free)));
            liar
        };
        let flicker = |region: &Liar, one, other| {
            region.state.set(0);
            region.flicker.set(Some((one, other)));
        };
        let mut other = ring.producer(1).unwrap();
        let mut consumer = Consumer::join(ring.attach(liar(), Role::Consumer, 0)).unwrap();
        flicker(consumer.member.region(), free, claimed);
        let taken = consumer.take(1, Some(&WaitOptions::new(how).until(deadline())));
        assert_eq!(taken, Err(RecvError::TimedOut));

        while other.send(&[], None).is_ok() {}
        let mut producer = Producer::join(ring.attach(liar(), Role::Producer, 0), false).unwrap();
        flicker(producer.member.region(), claimed, in_use);
        let sent = producer.claim(200, Some(&WaitOptions::new(how).until(deadline())));
        assert!(matches!(sent, Err(SendError::TimedOut)), "{sent:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 2048 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_producer_bears_it(seed: u64, overwrite: bool, kind in kind(), lens in lens()) {
        let mut made = 0;
        let mut handle = None;
        for len in lens {
            // A handle that has found its ring corrupt does nothing any more.
            if handle.as_ref().is_none_or(|producer: &Producer<Liar>| producer.member.corrupt) {
                made += 1;
                handle = producer(seed.wrapping_add(made), overwrite, kind);
            }
            let Some(producer) = &mut handle else { continue };
            let message = vec![0xff; len];
            match len % 6 {
                0 | 1 => drop(producer.send(&message, None)),
                2 => drop(producer.push(&message)),
                3 => { producer.commit_batch(); }
                4 => {
                    if let Ok(payload) = producer.claim(len, None) {
                        producer.member.region().write(payload, &message);
                    }
                }
                _ => drop(producer.drained_until(&WaitOptions::new(WaitStrategy::Park).until(at_once()))),
            }
        }
    }

    #[test]
    fn a_consumer_bears_it(seed: u64, kind in kind(), lens in lens(), steps in steps()) {
        let mut made = 0;
        let mut handle = None;
        for step in steps {
            if handle.as_ref().is_none_or(|consumer: &Consumer<Liar>| consumer.member.corrupt) {
                made += 1;
                handle = consumer(seed.wrapping_add(made), &lens, kind);
            }
            let Some(consumer) = &mut handle else { continue };
            match step % 4 {
                0 => {
                    let mut buffer = [0; CAPACITY];
                    let _ = consumer.recv_into(&mut buffer, None);
                }
                1 => drop(consumer.ready_until(&WaitOptions::new(WaitStrategy::Park).until(at_once()))),
                _ => {
                    let mut found = consumer.take(u64::from(step) / 4, None).ok().filter(|_| step > 3);
                    while let Some(message) = found {
                        read(consumer, message);
                        found = consumer.next_held(1).ok().flatten();
                    }
                    if step % 4 == 2 {
                        consumer.release();
                    } else {
                        consumer.give_back();
                    }
                }
            }
        }
    }
}
