//! Messages in slabs: whoever dies at whatever change, each comes once, unharmed, and all slabs come back.

use super::deaths::at_every_change;
use super::*;
use crate::memory::layout::pool::Word;
use crate::rings::pool::SlabSender as _;

/// Sends a message in a slab.
fn lend(producer: &mut Producer<Model>, value: u64) -> Result<(), SendError> {
    producer.lend(8, Some(&WaitOptions::PARK))?;
    let loan = producer.member.pool.as_ref().unwrap().lent.unwrap();
    let region = producer.member.region();
    region.write_slab(loan.at, &value.to_le_bytes());
    match producer.claim_to_copy(16, Some(&WaitOptions::PARK)) {
        Ok(_) => {
            producer.commit_loan(8);
            Ok(())
        }
        Err(error) => {
            producer.give_back();
            Err(error)
        }
    }
}

/// Has somebody who comes reclaim, and checks that nobody holds a slab.
fn assert_all_free(ring: &Ring) {
    ring.attach(0);
    drop(ring.producer(0));
    for slab in 0..ring.slabs {
        let word = Word::decode(ring.model.load_slab(slab)).unwrap();
        assert_eq!(word.holder, None, "slab {slab}");
    }
}

/// The producer waits for the only slab, and writes it when it has been read.
#[test]
fn a_slab_goes_round() {
    model(0, || {
        let ring = Ring::new(1, 1).with_slabs(1);
        let (mut producer, mut consumer) = (ring.producer(0), ring.consumer(0));
        let sender = thread::spawn(move || {
            (1..=2).for_each(|value| lend(&mut producer, value).unwrap());
        });
        assert_eq!(receive(&mut consumer), Ok(1));
        assert_eq!(receive(&mut consumer), Ok(2));
        sender.join().unwrap();
        assert_all_free(&ring);
    });
}

/// A producer dies after any change; another one wants its slab while the message is received.
#[test]
fn a_lender_dies_beside_another() {
    at_every_change(1, |changes| {
        let ring = Ring::new(2, 1).with_slabs(1);
        let (mut victim, mut other) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        victim.member.region().dies_after(changes);
        let lived = lives(|| lend(&mut victim, 1).unwrap());
        ring.kill(0);
        let sending = thread::spawn(move || lend(&mut other, 2).unwrap());
        let mut values = vec![receive(&mut consumer).unwrap()];
        if values == [1] {
            values.push(receive(&mut consumer).unwrap());
        }
        sending.join().unwrap();
        assert!(values == [1, 2] || values == [2] && !lived, "{values:?}");
        assert_all_free(&ring);
        lived
    });
}

/// A producer dies after any change while another one waits for its slab.
#[test]
fn a_lender_dies_while_another_waits() {
    at_every_change(2, |changes| {
        let ring = Ring::new(2, 1).with_slabs(1);
        let (mut victim, mut other) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        let sending = thread::spawn(move || lend(&mut other, 2));
        victim.member.region().dies_after(changes);
        let lived = lives(|| {
            if victim.lend(8, None).is_ok() {
                victim.give_back();
            }
        });
        ring.kill(0);
        sending.join().unwrap().unwrap();
        assert_eq!(receive(&mut consumer), Ok(2));
        assert_all_free(&ring);
        lived
    });
}

/// A consumer dies after any change with a message in a slab; another one reclaims and receives meanwhile.
#[test]
fn a_reader_dies_beside_another() {
    at_every_change(1, |changes| {
        let ring = Ring::new(1, 2).with_slabs(1);
        let mut producer = ring.producer(0);
        lend(&mut producer, 1).unwrap();
        let mut victim = ring.consumer(0);
        ring.close(&mut producer);
        victim.member.region().dies_after(changes);
        let dead = ring.clone();
        let dying = thread::spawn(move || {
            let mut value = None;
            let lived = lives(|| value = some(try_receive(&mut victim)));
            dead.kill(1);
            (lived, value)
        });
        // Whoever comes reclaims.
        let (values, end) = receive_all(&mut ring.consumer(1));
        let (lived, value) = dying.join().unwrap();
        assert_eq!(end, RecvError::Closed);
        let count = values.len() + usize::from(value.is_some());
        assert!(count == 1 || count == 0 && !lived, "{values:?} {value:?}");
        assert_all_free(&ring);
        lived
    });
}

/// A consumer takes a dead producer's message and releases it, while another one comes and reclaims.
#[test]
fn a_message_is_released_while_another_reclaims() {
    model(1, || {
        let ring = Ring::new(1, 2).with_slabs(1);
        lend(&mut ring.producer(0), 1).unwrap();
        let mut consumer = ring.consumer(0);
        ring.kill(0);
        let coming = ring.clone();
        let reclaiming = thread::spawn(move || some(try_receive(&mut coming.consumer(1))));
        let value = some(try_receive(&mut consumer));
        let other = reclaiming.join().unwrap();
        assert_eq!(sorted(value.into_iter().chain(other)), [1]);
        assert_all_free(&ring);
    });
}
