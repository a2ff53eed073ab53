//! Several threads on one ring, as processes would be: on real processors natively, and under Miri, which
//! reports every data race and every access outside of the memory.

use std::thread;
use std::time::Duration;

use crate::error::RecvError;
use crate::memory::layout::Kind;
use crate::memory::layout::participant::Role;
use crate::memory::region::Region;
use crate::memory::region::memory::Memory;
use crate::rings::cell::consumer::Consumer;
use crate::rings::cell::producer::Producer;
use crate::testing::cells::HeapCells;
use crate::waiting::{WaitOptions, WaitStrategy};

const EACH: u64 = if cfg!(miri) { 20 } else { 20_000 };
const MANY: u32 = 2;
/// Miri knows no futex on several words.
const HOW: WaitOptions<'static> = WaitOptions::new(if cfg!(miri) {
    WaitStrategy::Spin
} else {
    WaitStrategy::Adaptive(Duration::from_micros(5))
});

/// The message of that number of that producer: it tells both, and its length and bytes are told by them.
fn message(producer: u64, number: u64) -> Vec<u8> {
    let len = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    let head = [producer, number].map(u64::to_le_bytes).concat();
    let body = (0..len).map(|at| number.wrapping_mul(31).wrapping_add(at) as u8);
    head.into_iter().chain(body).collect()
}

/// Sends all; every third time a batch.
fn send_all(producer: &mut Producer<Memory>, name: u64) {
    let mut number = 0;
    while number < EACH {
        if number.is_multiple_of(3) {
            let mut laid = 0;
            while laid < 3 && number + laid < EACH {
                if producer.push(&message(name, number + laid)).is_err() {
                    break;
                }
                laid += 1;
            }
            assert_eq!(producer.commit_batch(), laid);
            number += laid;
        }
        if number < EACH {
            let next = message(name, number);
            producer.send(&next, Some(&HOW)).unwrap();
            number += 1;
        }
    }
}

/// Receives until all have closed; every third time several together. Returns what came, by producer.
fn receive_all(consumer: &mut Consumer<Memory>) -> [Vec<u64>; MANY as usize] {
    let mut numbers = [const { Vec::new() }; MANY as usize];
    let mut most = 1;
    loop {
        let mut found = match consumer.take(most, Some(&HOW)) {
            Ok(found) => Some(found),
            Err(end) => {
                assert_eq!(end, RecvError::Closed);
                return numbers;
            }
        };
        while let Some(next) = found {
            let mut bytes = vec![0; next.len];
            consumer.member.region().read(next.payload, &mut bytes);
            let (words, _) = bytes.as_chunks::<8>();
            let [name, number] = [words[0], words[1]].map(u64::from_le_bytes);
            assert_eq!(bytes, message(name, number));
            numbers[name as usize].push(number);
            found = consumer.next_held(0).unwrap();
        }
        consumer.release();
        most = most % 3 + 1;
    }
}

#[test]
fn every_message_arrives_once_whole_and_in_order() {
    let ring = HeapCells::new(Kind::Mpmc, MANY, 16, 128).unwrap();
    let producers: Vec<_> = (0..MANY).map(|nth| ring.producer(nth).unwrap()).collect();
    let consumers: Vec<_> = (0..MANY).map(|nth| ring.consumer(nth).unwrap()).collect();
    let sending: Vec<_> = (0..)
        .zip(producers)
        .map(|(nth, mut producer)| {
            let ring = ring.clone();
            thread::spawn(move || {
                send_all(&mut producer, nth.into());
                producer.close();
                ring.leave(Role::Producer, nth);
                producer.member.announce(Role::Producer);
            })
        })
        .collect();
    let receiving: Vec<_> = consumers
        .into_iter()
        .map(|mut consumer| thread::spawn(move || receive_all(&mut consumer)))
        .collect();
    for thread in sending {
        thread.join().unwrap();
    }
    let received: Vec<_> = receiving
        .into_iter()
        .map(|one| one.join().unwrap())
        .collect();
    for name in 0..MANY as usize {
        let of_one = || received.iter().map(move |numbers| &numbers[name]);
        assert!(of_one().all(|numbers| numbers.is_sorted()));
        let mut all: Vec<u64> = of_one().flatten().copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..EACH), "producer {name}");
    }
}
