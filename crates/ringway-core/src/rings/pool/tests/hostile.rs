//! A peer that rewrites words, tickets and records while we work, made worst: every read of shared memory gives
//! another value. Nothing may panic, leave the slabs, or run on.

use proptest::prelude::*;

use super::slabs;
use crate::memory::layout::cell::{Code, LOANED, State, Word as CellWord};
use crate::memory::layout::pool::{Holder, Ticket, Word};
use crate::memory::layout::record::Record;
use crate::memory::layout::{Geometry, Kind};
use crate::memory::region::Region;
use crate::memory::region::memory::Heap;
use crate::rings::broadcast::{self, EvictAfter, Policy, Start, Wish};
use crate::rings::cell;
use crate::rings::message::MessageRef;
use crate::rings::pool::{Pool, SlabSender as _};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::testing::broadcasts::HeapBroadcast;
use crate::testing::cells::{HeapCells, KEY};
use crate::testing::liar::Liar;

const CELLS: u64 = 8;

/// A word of a slab, half a ticket, or a record of a message in a slab.
fn forge(random: u64, truth: u64) -> u64 {
    let bits = |from: u32, count: u32| random >> from & ((1 << count) - 1);
    let generation = (truth as u32).wrapping_add(bits(20, 1) as u32);
    match bits(8, 3) {
        0 => Word::free(generation).encode(),
        1 | 2 => Word::held(Holder::new(bits(10, 2) as u32, bits(12, 1)), generation).encode(),
        3 => {
            let ticket = Ticket {
                slab: bits(10, 3) as u32,
                generation,
                len: 0,
            };
            ticket.encode()[0]
        }
        4 => bits(10, 14),
        5 => Record::loaned(truth >> 32),
        6 => LOANED,
        _ => {
            let code = Code::new(KEY, CELLS);
            let lap = code.decode(truth).map_or(0, |truth| truth.lap);
            code.encode(CellWord::free(lap).become_nobodys(State::Full))
        }
    }
}

fn most() -> usize {
    if cfg!(miri) { 12 } else { 60 }
}

fn stream(seed: u64) -> (Liar, Option<Box<Pool>>) {
    let geometry = Geometry::stream(256).unwrap().with_slabs(slabs());
    let heap = Heap::new(geometry).unwrap();
    let pool = Pool::new(&slabs(), 0, 1);
    (Liar::new(heap.region(), seed, forge), pool)
}

fn cells() -> HeapCells {
    let ring = HeapCells::new(Kind::Mpmc, 2, CELLS, 64).unwrap();
    ring.with_slabs(slabs()).unwrap()
}

/// A broadcast ring of a producer and three consumers, all of whom live.
fn broadcast(seed: u64) -> Liar {
    let ring = HeapBroadcast::with_slabs(256, 3, slabs()).unwrap();
    for slot in 0..4 {
        ring.attach(slot);
    }
    Liar::new(ring.region(), seed, forge)
}

/// Reads what was found, wherever it is.
fn read(region: &Liar, found: &MessageRef, at: Option<u64>) {
    if found.is_loaned() {
        assert!(found.len <= 8192);
        region.read_slab(at.unwrap(), &mut vec![0; found.len]);
    } else {
        assert!(found.len <= 512);
        region.read(found.payload, &mut vec![0; found.len]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_stream_producer_bears_it(seed: u64, lens in prop::collection::vec(0_usize..9000, 1..most())) {
        let (liar, pool) = stream(seed);
        let Ok(producer) = Producer::resume(liar) else { return Ok(()) };
        let mut producer = producer.with_pool(pool);
        for len in lens {
            if producer.lend(len, None).is_err() {
                continue;
            }
            let loan = producer.pool.as_ref().and_then(|pool| pool.lent).unwrap();
            producer.region.write_slab(loan.at, &vec![0x5a; len]);
            match producer.reserve_to_copy(16, None) {
                Ok(reservation) if len % 2 == 0 => producer.commit_loan(reservation, len as u64),
                _ => producer.give_back(),
            }
        }
    }

    #[test]
    fn a_stream_consumer_bears_it(seed: u64, records: Vec<(u8, u8, u16)>) {
        let (liar, pool) = stream(seed);
        for (at, (place, slab, len)) in records.iter().enumerate() {
            let ticket = Ticket { slab: u32::from(*slab) % 6, generation: 0, len: (*len).into() };
            let words = [Record::loaned(at as u64), ticket.encode()[0], ticket.encode()[1]];
            for (nth, word) in words.into_iter().enumerate() {
                let at = u64::from(*place & !7) + 8 * nth as u64;
                liar.truth.store_word(at, word, std::sync::atomic::Ordering::Relaxed);
            }
            let held = Word::held(Holder::new(0, 1), 0).encode();
            let _ = liar.truth.replace_slab(u32::from(*slab) % 6, 0, held);
        }
        let Ok(consumer) = Consumer::resume(liar) else { return Ok(()) };
        let mut consumer = consumer.with_pool(pool);
        for nth in 0..most() {
            let Ok(found) = consumer.peek() else { continue };
            read(&consumer.region, &found, consumer.shown().map(|loan| loan.at));
            match consumer.peek_behind(&found, 1) {
                Ok(Some(last)) if nth % 3 == 0 => consumer.release(&last, 2),
                Ok(None) if nth % 3 == 1 => drop(consumer.detach(&found)),
                _ => consumer.release(&found, 1),
            }
        }
    }

    #[test]
    fn a_cell_producer_bears_it(seed: u64, lens in prop::collection::vec(0_usize..9000, 1..most())) {
        let ring = cells();
        let liar = Liar::new(ring.region(), seed, forge);
        let Ok(mut producer) = ring.produce(liar, 0) else { return Ok(()) };
        for len in lens {
            if producer.lend(len, None).is_err() {
                continue;
            }
            let loan = producer.member.pool.as_ref().and_then(|pool| pool.lent).unwrap();
            producer.member.region().write_slab(loan.at, &vec![0x5a; len]);
            match producer.claim_to_copy(16, None) {
                Ok(_) if len % 2 == 0 => producer.commit_loan(len as u64),
                _ => {
                    producer.abort();
                    producer.give_back();
                }
            }
        }
    }

    #[test]
    fn a_cell_consumer_bears_it(seed: u64, lens in prop::collection::vec(0_usize..9000, 0..6)) {
        let ring = cells();
        let mut producer = ring.producer(0).unwrap();
        for len in lens {
            if producer.lend(len, None).is_ok() && producer.claim_to_copy(16, None).is_ok() {
                producer.commit_loan(len as u64);
            }
        }
        let liar = Liar::new(ring.region(), seed, forge);
        let consumer: Result<cell::consumer::Consumer<Liar>, _> = ring.consume(liar, 0);
        let Ok(mut consumer) = consumer else { return Ok(()) };
        for nth in 0..most() {
            let Ok(found) = consumer.take(nth as u64 % 4 + 1, None) else { continue };
            read(consumer.member.region(), &found, consumer.shown().map(|loan| loan.at));
            while let Ok(Some(next)) = consumer.next_held(1) {
                read(consumer.member.region(), &next, consumer.shown().map(|loan| loan.at));
            }
            match nth % 3 {
                0 => drop(consumer.release()),
                1 => drop(consumer.detach(&found)),
                _ => consumer.give_back(),
            }
        }
    }

    #[test]
    fn a_broadcast_producer_bears_it(seed: u64, lens in prop::collection::vec(0_usize..9000, 1..most())) {
        let resumed = broadcast::producer::Producer::resume(broadcast(seed), 4, 7);
        let Ok(producer) = resumed else { return Ok(()) };
        let mut producer = producer.with_pool(Pool::new(&slabs(), 0, 1));
        for len in lens {
            if producer.lend(len, None).is_err() {
                continue;
            }
            let loan = producer.pool.as_ref().and_then(|pool| pool.lent).unwrap();
            producer.region.write_slab(loan.at, &vec![0x5a; len]);
            match producer.reserve_to_copy(16, None) {
                Ok(reservation) if len % 2 == 0 => producer.commit_loan(reservation, len as u64),
                _ => producer.give_back(),
            }
        }
    }

    #[test]
    fn a_broadcast_consumer_bears_it(seed: u64, records: Vec<(u8, u8, u16)>) {
        let liar = broadcast(seed);
        for (at, (place, slab, len)) in records.iter().enumerate() {
            let ticket = Ticket { slab: u32::from(*slab) % 6, generation: 0, len: (*len).into() };
            let words = [Record::loaned(at as u64), ticket.encode()[0], ticket.encode()[1]];
            for (nth, word) in words.into_iter().enumerate() {
                let at = u64::from(*place & !7) + 8 * nth as u64;
                liar.truth.store_word(at, word, std::sync::atomic::Ordering::Relaxed);
            }
            let held = Word::held(Holder::new(0, 1), 0).encode();
            let _ = liar.truth.replace_slab(u32::from(*slab) % 6, 0, held);
        }
        let policies = [Policy::Block, Policy::Lossy, Policy::Evict(EvictAfter::Bytes(64))];
        let wish = Wish { policy: policies[seed as usize % 3], start: Start::Oldest, name: None };
        let joined = broadcast::consumer::Consumer::join(liar, 4, (1, 1), &wish);
        let Ok(consumer) = joined else { return Ok(()) };
        let mut consumer = consumer.with_pool(Pool::new(&slabs(), 1, 1));
        for nth in 0..most() {
            let Ok(found) = consumer.peek() else { continue };
            match consumer.copied(&found) {
                Some(copy) => assert_eq!(copy.len(), found.len),
                None => read(&consumer.region, &found, consumer.shown().map(|loan| loan.at)),
            }
            match consumer.peek_behind(&found, 1) {
                Ok(Some(last)) if nth % 3 == 0 => consumer.release(&last, 2),
                _ if nth % 5 == 0 => consumer.release_first(1),
                _ if nth % 7 == 0 => drop(consumer.skip_unreadable()),
                _ => consumer.release(&found, 1),
            }
        }
    }
}
