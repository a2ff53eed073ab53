//! Where newcomers begin, and whose cursors they do not inherit.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::Ring;
use crate::error::{RecvError, SendError};
use crate::memory::region::memory::Memory;
use crate::rings::broadcast::consumer::Consumer;
use crate::rings::broadcast::producer::Producer;
use crate::rings::broadcast::{EvictAfter, Policy, Refused, Start, Wish, forget};
use crate::testing::meddled::{Meddled, Meddler};

/// Bytes of a record with a number.
const RECORD: u64 = 16;
const CAPACITY: u64 = 1024;

#[test]
fn each_start_begins_where_it_says() {
    for policy in [Policy::Block, Policy::Lossy] {
        let ring = Ring::new(CAPACITY, 8);
        let mut producer = ring.producer();
        producer.numbers(20);
        let begin = |slot, start| ring.consumer(slot, policy, start).number();
        assert_eq!(begin(1, Start::Oldest), 0);
        assert_eq!(begin(2, Start::Latest), 20);
        assert_eq!(begin(3, Start::Last(3)), 17);
        assert_eq!(begin(4, Start::Last(100)), 0);
        assert_eq!(begin(5, Start::Number(7)), 7);
        assert_eq!(begin(6, Start::Number(100)), 20);
    }
}

/// What is asked for and gone is told, and counted exactly; what is there comes whole.
#[test]
fn who_asks_for_more_than_there_is_is_told_from_where_it_got() {
    let ring = Ring::new(CAPACITY, 8);
    let mut producer = ring.producer();
    producer.numbers(1000);
    for start in [Start::Number(5), Start::Last(995)] {
        let mut consumer = ring.consumer(1, Policy::Block, start);
        let first = consumer.number();
        // All but what lies at the edge: two strides, of those that were granted and the one that is not whole.
        assert!(first <= 1000 - CAPACITY / RECORD * 13 / 16, "{first}");
        let missed = first - 5;
        assert_eq!(consumer.try_number(), Err(RecvError::Lagged { missed }));
        assert_eq!(consumer.missed(), missed);
        let (numbers, end) = consumer.all_numbers();
        assert_eq!(numbers, (first..1000).collect::<Vec<_>>());
        assert_eq!(end, RecvError::Empty);
        ring.leave(1);
    }
    // Who asks for what there is asks for no more.
    let mut oldest = ring.consumer(1, Policy::Block, Start::Oldest);
    assert!(oldest.try_number().is_ok());
}

/// Every number is found, wherever in the ring it is, at every place of the tail.
#[test]
fn every_number_that_is_there_is_found() {
    let ring = Ring::new(CAPACITY, 8);
    let mut producer = ring.producer();
    for sent in 1..if cfg!(miri) { 60 } else { 400 } {
        let message = vec![0; (sent * 7 % 40) as usize];
        producer.try_send(&message).unwrap();
        let oldest = ring.consumer(1, Policy::Lossy, Start::Oldest).number();
        for number in oldest..=sent {
            let start = Start::Number(number);
            let mut consumer = ring.consumer(1, Policy::Lossy, start);
            assert_eq!(consumer.number(), number);
            if number < sent {
                let len = consumer.peek().unwrap().len as u64;
                assert_eq!(len, (number + 1) * 7 % 40);
            }
        }
    }
}

/// The next holder of a slot neither holds the producer where the last one stood, nor begins there.
#[test]
fn no_cursor_is_inherited() {
    let ring = Ring::new(CAPACITY, 1);
    let mut producer = ring.producer();
    drop(ring.consumer(1, Policy::Block, Start::Oldest));
    while producer.try_number().is_ok() {}
    assert_eq!(producer.try_number(), Err(SendError::Full));
    // It has come and said nothing yet.
    ring.leave(1);
    ring.attach(1);
    producer.numbers(200);
    let mut next = ring.consumer(1, Policy::Block, Start::Oldest);
    assert!(next.number() > 100);
    assert_eq!(next.try_number(), Ok(next.number() - 1));
}

#[test]
fn a_name_finds_its_place_again() {
    let ring = Ring::new(CAPACITY, 4);
    let mut producer = ring.producer();
    producer.numbers(20);
    let mut audit = ring.named(1, "audit").unwrap();
    assert_eq!((audit.try_number(), audit.try_number()), (Ok(0), Ok(1)));
    assert_eq!(ring.named(2, "audit").unwrap_err(), Refused::NameTaken);
    let other = ring.named(3, "other").unwrap();
    assert_eq!(other.number(), 0);
    ring.leave(2);
    // It had found the third message, and not released it.
    audit.peek().unwrap();
    ring.kill(1);
    let mut again = ring.named(2, "audit").unwrap();
    assert_eq!(again.try_number(), Ok(2));
    // In its old slot as well.
    ring.leave(2);
    ring.leave(3);
    producer.numbers(1000);
    let mut late = ring.named(1, "audit").unwrap();
    let missed = late.number() - 3;
    assert_eq!(late.try_number(), Err(RecvError::Lagged { missed }));
    assert!(late.try_number().is_ok());
}

#[test]
fn there_are_so_many_names_and_no_more() {
    let ring = Ring::new(CAPACITY, 1);
    let _producer = ring.producer();
    for name in 0..128 {
        assert!(ring.named(1, &format!("name {name}")).is_ok(), "{name}");
    }
    assert_eq!(ring.named(1, "one more").unwrap_err(), Refused::NoName);
    ring.leave(1);
    // One that is forgotten makes room for one; the others stay what they are.
    let forget = |name| forget(&ring.region(), 2, (1, ring.attach(1)), name);
    assert_eq!(forget("no such name"), Ok(false));
    for (old, new) in [("name 7", "one more"), ("name 100", "another")] {
        assert_eq!(forget(old), Ok(true));
        assert_eq!(forget(old), Ok(false));
        assert!(ring.named(1, new).is_ok());
        assert_eq!(ring.named(1, old).unwrap_err(), Refused::NoName);
        assert!(ring.named(1, new).is_ok() && ring.named(1, "name 3").is_ok());
    }
    assert!(ring.named(1, "name 77").is_ok());
}

/// A newcomer that is overtaken each time it has found its place begins with the next message in the end, and is told
/// all the same how many it asked for and missed.
#[test]
fn who_is_overtaken_while_it_joins_is_told_what_it_missed() {
    let ring = Ring::new(CAPACITY, 8);
    let producer = Rc::new(RefCell::new(ring.producer()));
    producer.borrow_mut().numbers(100);
    let meddler = Rc::new(Meddler::default());
    meddler.begin();
    // The producer sends a message between any two accesses of the newcomer.
    for access in 0..10_000 {
        let producer = Rc::clone(&producer);
        let send = move |_: &_| producer.borrow_mut().numbers(1);
        meddler.plan(access, Box::new(send));
    }
    let region = Meddled::new(ring.region(), &meddler, true);
    let wish = Wish {
        policy: Policy::Lossy,
        start: Start::Number(70),
        name: None,
    };
    let epoch = ring.attach(1);
    let consumer = Consumer::join(region, 9, (1, epoch), &wish).unwrap();
    assert!(consumer.number() > 200, "it was never overtaken");
    assert_eq!(consumer.number() - consumer.missed(), 70);
}

/// Who comes back by its name before anything was overwritten misses nothing, however full the ring is.
#[test]
fn a_name_finds_its_place_at_the_edge_of_a_full_ring() {
    let ring = Ring::new(CAPACITY, 8);
    let mut producer = ring.producer();
    for round in 0..100 {
        let slot = 1 + round % 2;
        let mut consumer = ring.named(slot, "audit").unwrap();
        let next = consumer.number();
        let sent = producer.sent();
        while producer.try_number().is_ok() {}
        assert!(producer.sent() > sent || round > 0);
        let few = u64::from(round) % 7;
        for number in next..next + few {
            assert_eq!(consumer.try_number(), Ok(number));
        }
        ring.kill(slot);
        let again = ring.named(3 - slot, "audit").unwrap();
        assert_eq!((again.number(), again.missed()), (next + few, 0));
        ring.leave(3 - slot);
    }
}

/// A name that is forgotten begins anew, and one that is held is not forgotten.
#[test]
fn a_forgotten_name_begins_anew() {
    let ring = Ring::new(CAPACITY, 4);
    let mut producer = ring.producer();
    producer.numbers(20);
    let mut audit = ring.named(1, "audit").unwrap();
    (0..9).for_each(|number| assert_eq!(audit.try_number(), Ok(number)));
    let forget = |slot| forget(&ring.region(), 5, (slot, ring.attach(slot)), "audit");
    assert_eq!(forget(2), Err(Refused::NameTaken));
    ring.kill(1);
    assert_eq!(forget(2), Ok(true));
    assert_eq!(ring.named(3, "audit").unwrap().number(), 0);
}

/// Sends so many numbers by batches, each as long as it can be, and returns how many batches those were.
fn batches(producer: &mut Producer<Memory>, mut count: u64) -> u64 {
    let mut batches = 0;
    while count > 0 {
        let begin = producer.sent();
        let pushed = (0..count)
            .take_while(|nth| match producer.push(&(begin + nth).to_le_bytes()) {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!(error, SendError::Full);
                    false
                }
            })
            .count() as u64;
        assert_eq!(producer.commit_batch(), pushed);
        assert!(pushed > 0);
        (count, batches) = (count - pushed, batches + 1);
    }
    batches
}

/// What was sent in batches that are longer than the ring is found like anything else, wherever they end.
#[test]
fn what_came_in_long_batches_is_found() {
    // Miri takes its time.
    let step = if cfg!(miri) { 199 } else { 7 };
    for before in (0..200).step_by(step) {
        for count in [1000, 64, 63, 40, 17] {
            let ring = Ring::new(CAPACITY, 8);
            let mut producer = ring.producer();
            producer.numbers(before);
            let mut lossy = ring.consumer(2, Policy::Lossy, Start::Oldest);
            let made = batches(&mut producer, count);
            assert!(
                made <= 1 + (count * RECORD).div_ceil(CAPACITY - RECORD),
                "{made}"
            );
            let sent = before + count;
            // A few more, so that the whole of the last batch has no place at its beginning any more.
            for more in [0, 6] {
                producer.numbers(more);
                let sent = sent + more;
                let most = CAPACITY / RECORD;
                let oldest = ring.consumer(1, Policy::Lossy, Start::Oldest).number();
                // What one batch has overwritten is gone, though it was given up or is shorter than that.
                assert!(
                    sent - oldest >= (count + more).min(most * 12 / 16),
                    "{before} {count} {more}: {oldest}"
                );
                for number in oldest..=sent {
                    let mut consumer = ring.consumer(1, Policy::Block, Start::Number(number));
                    assert_eq!((consumer.number(), consumer.missed()), (number, 0));
                    assert_eq!(consumer.all_numbers().0, (number..sent).collect::<Vec<_>>());
                    ring.leave(1);
                }
                assert_eq!(ring.consumer(1, Policy::Lossy, Start::Last(2)).missed(), 0);
                ring.leave(1);
            }
            // Who was overtaken goes on within the last batch.
            let next = lossy.number();
            match lossy.try_number() {
                Ok(number) => assert!(number == next && sent + 6 - next <= CAPACITY / RECORD),
                Err(error) => {
                    let missed = lossy.number() - next;
                    assert_eq!(error, RecvError::Lagged { missed });
                    assert!(sent + 6 - lossy.number() >= CAPACITY / RECORD / 4);
                    let rest = lossy.number()..sent + 6;
                    assert_eq!(lossy.all_numbers().0, rest.collect::<Vec<_>>());
                }
            }
        }
    }
}

/// A batch ends before its own beginning, and is refused the room without anybody being passed over for it.
#[test]
fn a_batch_does_not_overwrite_itself() {
    let ring = Ring::new(CAPACITY, 8);
    let mut producer = ring.producer();
    producer.numbers(11);
    let mut at_the_tail = ring.consumer(1, Policy::Lossy, Start::Latest);
    let while_waiting = Policy::Evict(EvictAfter::Waiting(Duration::ZERO));
    let mut evictable = ring.consumer(2, while_waiting, Start::Latest);
    let mut pushed = 0;
    while producer.push(&(11_u64 + pushed).to_le_bytes()).is_ok() {
        pushed += 1;
    }
    assert!(pushed >= CAPACITY / RECORD - 2, "{pushed}");
    assert_eq!(at_the_tail.try_number(), Err(RecvError::Empty));
    assert_eq!(producer.commit_batch(), pushed);
    let all: Vec<_> = (11..11 + pushed).collect();
    assert_eq!(at_the_tail.all_numbers(), (all.clone(), RecvError::Empty));
    assert_eq!(evictable.all_numbers(), (all, RecvError::Empty));
}

/// The room of a batch or a claim that was given up is no reason to send on without waypoints.
#[test]
fn what_was_given_up_leaves_no_gap() {
    for is_batch in [true, false] {
        let ring = Ring::new(CAPACITY, 8);
        let mut producer = ring.producer();
        for round in 0..50 {
            producer.numbers(20 + round);
            match is_batch {
                true => while producer.push(&[0xee; 8]).is_ok() {},
                false => drop(producer.reserve(CAPACITY as usize / 2 - 8, None)),
            }
            producer.abort();
            // What lies before is gone.
            for sent in 1..CAPACITY / RECORD {
                producer.numbers(1);
                let last = ring.consumer(1, Policy::Lossy, Start::Last(sent));
                assert!(
                    last.missed() <= CAPACITY / RECORD * 3 / 16 + 1,
                    "{round} {sent}"
                );
                ring.leave(1);
            }
        }
    }
}
