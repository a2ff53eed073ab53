//! Messages in slabs: whoever dies at whatever change, each comes once, unharmed, and all slabs come back.

use std::sync::atomic::Ordering;

use super::*;
use crate::memory::layout::participant::{EPOCH, slot_offset};
use crate::memory::layout::pool::{Class, MIN_SLAB_LEN, Slabs, Word};
use crate::rings::pool::{self, Pool, SlabSender as _};

fn slabs(count: u32) -> Slabs {
    let len = MIN_SLAB_LEN;
    Slabs::new(&[Class { len, count }]).unwrap()
}

/// A ring with so many slabs whose sides are both attached.
fn with_slabs(count: u32) -> Model {
    Model::attached(CAPACITY).with_slabs(count)
}

fn pool(ring: &Model, count: u32, slot: u32) -> Option<Box<Pool>> {
    let epoch = ring.load64(slot_offset(slot) + EPOCH, Ordering::Relaxed);
    Pool::new(&slabs(count), slot, epoch)
}

fn lender(ring: &Model, count: u32) -> Producer<Model> {
    producer(ring).with_pool(pool(ring, count, 0))
}

fn reader(ring: &Model, count: u32) -> Consumer<Model> {
    consumer(ring).with_pool(pool(ring, count, 1))
}

/// Sends a message in a slab.
fn lend(producer: &mut Producer<Model>, value: u64) -> Result<(), SendError> {
    producer.lend(8, Some(&WaitOptions::PARK))?;
    let loan = producer.pool.as_ref().unwrap().lent.unwrap();
    producer.region.write_slab(loan.at, &value.to_le_bytes());
    match producer.reserve_to_copy(16, Some(&WaitOptions::PARK)) {
        Ok(reservation) => {
            producer.commit_loan(reservation, 8);
            Ok(())
        }
        Err(error) => {
            producer.give_back();
            Err(error)
        }
    }
}

fn assert_all_free(ring: &Model, count: u32) {
    for slab in 0..count {
        let word = Word::decode(ring.load_slab(slab)).unwrap();
        assert_eq!(word.holder, None, "slab {slab}");
    }
}

/// The producer waits for the only slab, and writes it when it has been read.
#[test]
fn a_slab_goes_round() {
    model(|| {
        let ring = with_slabs(1);
        let mut receiving = reader(&ring, 1);
        let sending = ring.clone();
        let sender = thread::spawn(move || {
            let mut producer = lender(&sending, 1);
            (1..=2).for_each(|value| lend(&mut producer, value).unwrap());
        });
        assert_eq!(receive(&mut receiving), Ok(1));
        assert_eq!(receive(&mut receiving), Ok(2));
        sender.join().unwrap();
        assert_all_free(&ring, 1);
    });
}

/// A producer dies after any change; the next one reclaims while the consumer receives what the dead one sent.
#[test]
fn a_lender_dies_and_another_reclaims() {
    at_every_change(model, |changes| {
        let ring = with_slabs(2);
        let (mut victim, mut receiving) = (lender(&ring, 2), reader(&ring, 2));
        victim.region.dies_after(changes);
        let lived = lives(|| (1..=2).for_each(|value| lend(&mut victim, value).unwrap()));
        ring.kill(PRODUCER.slot);
        ring.attach(PRODUCER.slot);
        let next = ring.clone();
        let sender = thread::spawn(move || {
            let mut next = lender(&next, 2);
            lend(&mut next, 3).unwrap();
            close(&next);
        });
        let (values, end) = receive_all(&mut receiving);
        sender.join().unwrap();
        assert_eq!(end, RecvError::Closed);
        let (last, before) = values.split_last().unwrap();
        assert!(*last == 3 && [1, 2].starts_with(before), "{values:?}");
        assert!(before.len() == 2 || !lived, "{values:?}");
        assert_all_free(&ring, 2);
        lived
    });
}

/// A consumer dies after any change, while the producer waits for a slab.
#[test]
fn a_reader_dies_and_the_producer_reclaims() {
    at_every_change(model, |changes| {
        let ring = with_slabs(1);
        let (mut sending, mut victim) = (lender(&ring, 1), reader(&ring, 1));
        lend(&mut sending, 1).unwrap();
        victim.region.dies_after(changes);
        let dying = ring.clone();
        let receiver = thread::spawn(move || {
            let lived = lives(|| assert_eq!(receive(&mut victim), Ok(1)));
            dying.kill(CONSUMER.slot);
            lived
        });
        let sent = lend(&mut sending, 2);
        let lived = receiver.join().unwrap();
        ring.attach(CONSUMER.slot);
        let mut next = reader(&ring, 1);
        if sent.is_err() {
            // The slab is that of a message that comes again.
            assert_eq!(sent, Err(SendError::PeerDied));
            assert!(!lived);
            assert_eq!(receive(&mut next), Ok(1));
            lend(&mut sending, 2).unwrap();
        }
        assert_eq!(receive(&mut next), Ok(2));
        assert_all_free(&ring, 1);
        lived
    });
}

/// A consumer detaches a message of a dead producer while the next one reclaims and wants the slab.
#[test]
fn a_message_is_detached_while_another_reclaims() {
    model(|| {
        let ring = with_slabs(1);
        let (mut dead, mut receiving) = (lender(&ring, 1), reader(&ring, 1));
        lend(&mut dead, 1).unwrap();
        ring.kill(PRODUCER.slot);
        ring.attach(PRODUCER.slot);
        let next = ring.clone();
        let sender = thread::spawn(move || lend(&mut lender(&next, 1), 2).unwrap());
        let found = receiving.peek().unwrap();
        let loan = receiving.detach(&found).unwrap().unwrap();
        let mut bytes = [0; 8];
        receiving.region.read_slab(loan.at, &mut bytes);
        assert_eq!(u64::from_le_bytes(bytes), 1);
        let me = crate::memory::layout::pool::Holder::new(1, 0);
        pool::free(&ring, me, &loan);
        eventcount::notify(&ring, PRODUCER.event);
        assert_eq!(receive(&mut receiving), Ok(2));
        sender.join().unwrap();
        assert_all_free(&ring, 1);
    });
}
