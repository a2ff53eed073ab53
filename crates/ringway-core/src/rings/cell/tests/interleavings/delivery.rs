//! Each message arrives once, whole and in its producer's order.

use super::*;

/// Two producers' claims and two consumers' takes, on the last cell of a lap and the first of the next.
#[test]
fn two_producers_and_two_consumers() {
    model(2, || {
        let ring = Ring::new(2, 2);
        ring.advance(3);
        let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
        let sending = [1, 2].map(|value| {
            let mut producer = ring.producer(value as u32 - 1);
            thread::spawn(move || try_send(&mut producer, value, SHORT).unwrap())
        });
        let receiving = thread::spawn(move || try_receive(&mut one));
        let mut values = Vec::from_iter(some(try_receive(&mut two)));
        values.extend(some(receiving.join().unwrap()));
        for thread in sending {
            thread.join().unwrap();
        }
        values.extend(rest(&mut two));
        assert_eq!(sorted(values), [1, 2]);
    });
}

/// Each producer's messages arrive in order, while the ring wraps.
#[test]
fn each_producer_keeps_its_order() {
    model(2, || {
        let ring = Ring::new(2, 1);
        ring.advance(2);
        let mut consumer = ring.consumer(0);
        let sending = [10, 20].map(|value| {
            let mut producer = ring.producer(value as u32 / 10 - 1);
            thread::spawn(move || {
                send(&mut producer, value).unwrap();
                send(&mut producer, value + 1).unwrap();
            })
        });
        let values: Vec<_> = (0..4).map(|_| receive(&mut consumer).unwrap()).collect();
        let of = |tens| {
            values
                .iter()
                .copied()
                .filter(move |value| value / 10 == tens)
        };
        assert!(of(1).eq([10, 11]) && of(2).eq([20, 21]), "{values:?}");
        for thread in sending {
            thread.join().unwrap();
        }
    });
}

/// Two consumers empty a ring: nobody takes a message twice, also not one of several taken together.
#[test]
fn nobody_takes_what_another_took() {
    model(0, || {
        let ring = Ring::new(1, 2);
        let mut producer = ring.producer(0);
        (1..=3).for_each(|value| send(&mut producer, value).unwrap());
        let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
        let draining = thread::spawn(move || drain(&mut one, 2).unwrap());
        let mut values = vec![receive(&mut two).unwrap()];
        values.extend(draining.join().unwrap());
        values.extend(rest(&mut two));
        assert_eq!(sorted(values), [1, 2, 3]);
    });
}

/// Two consumers drain runs that overlap.
#[test]
fn runs_do_not_overlap() {
    model(1, || {
        let ring = Ring::new(1, 2);
        let mut producer = ring.producer(0);
        fill(&mut producer);
        let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
        let draining = thread::spawn(move || drain(&mut one, 2).unwrap());
        let mut values = vec![receive(&mut two).unwrap()];
        values.extend(drain(&mut two, 2).unwrap_or_default());
        values.extend(draining.join().unwrap());
        values.extend(rest(&mut two));
        assert_eq!(sorted(values), [1, 2, 3, 4]);
    });
}

/// Of two producers and one free cell, one gets it, and writes where another message has been read.
#[test]
fn two_claim_the_last_free_cell() {
    model(1, || {
        let ring = Ring::new(2, 1);
        let (mut one, mut two) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        fill(&mut one);
        let receiving = thread::spawn(move || {
            assert_eq!(receive(&mut consumer), Ok(1));
            consumer
        });
        let claiming = thread::spawn(move || try_send(&mut one, 5, SHORT).is_ok());
        let got = [
            try_send(&mut two, 6, SHORT).is_ok(),
            claiming.join().unwrap(),
        ];
        let mut consumer = receiving.join().unwrap();
        let expected: Vec<u64> = match got {
            [false, false] => vec![2, 3, 4],
            [true, false] => vec![2, 3, 4, 6],
            [false, true] => vec![2, 3, 4, 5],
            [true, true] => panic!("two in one cell"),
        };
        assert_eq!(rest(&mut consumer), expected);
    });
}

/// A consumer passes what is aborted while another producer commits behind it.
#[test]
fn an_aborted_claim_is_passed() {
    model(1, || {
        let ring = Ring::new(2, 1);
        ring.advance(3);
        let (mut one, mut two) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        claim(&mut one, 9, SHORT).unwrap();
        let aborting = thread::spawn(move || one.abort());
        let sending = thread::spawn(move || send(&mut two, 1).unwrap());
        assert_eq!(receive(&mut consumer), Ok(1));
        aborting.join().unwrap();
        sending.join().unwrap();
    });
}

/// A long message goes behind padding to the start of the ring while another producer claims there.
#[test]
fn padding_is_passed() {
    model(2, || {
        let ring = Ring::new(2, 1);
        ring.advance(3);
        let (mut one, mut two) = (ring.producer(0), ring.producer(1));
        let mut consumer = ring.consumer(0);
        let long = thread::spawn(move || send_long(&mut one, 1, LONG).unwrap());
        let short = thread::spawn(move || send(&mut two, 2).unwrap());
        let values = [
            receive(&mut consumer).unwrap(),
            receive(&mut consumer).unwrap(),
        ];
        assert_eq!(sorted(values), [1, 2]);
        long.join().unwrap();
        short.join().unwrap();
    });
}

/// The payload of a long message is written where its predecessor's was read, over a control word, while
/// the consumer that released it still walks there.
#[test]
fn a_stale_walker_believes_nothing() {
    model(1, || {
        let ring = Ring::new(1, 2);
        let mut producer = ring.producer(0);
        fill(&mut producer);
        let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
        // One has its place at the second cell, where the long message will have its third word.
        assert_eq!(receive(&mut one), Ok(1));
        let stale = thread::spawn(move || {
            let taken = try_receive(&mut one);
            (one, taken)
        });
        let racing = thread::spawn(move || (try_receive(&mut two), two));
        send_long(&mut producer, 5, LONG).unwrap();
        let (mut one, first) = stale.join().unwrap();
        let (second, mut two) = racing.join().unwrap();
        let taken = first.into_iter().chain(second);
        let left: Vec<_> = rest(&mut one).into_iter().chain(rest(&mut two)).collect();
        assert_eq!(sorted(taken.chain(left)), [2, 3, 4, 5]);
    });
}

/// A batch becomes visible with its first message, and all its records are whole, also for a consumer
/// that follows the hint of another and never looks at the first.
fn a_batch_is_one_behind(first: fn(&mut Consumer<Model>) -> Result<Vec<u64>, RecvError>) {
    model(2, move || {
        let ring = Ring::of_cells(8, 1, 2).all_attached();
        let mut producer = ring.producer(0);
        let (mut one, mut two) = (ring.consumer(0), ring.consumer(1));
        send(&mut producer, 0).unwrap();
        one.take(1, None).unwrap();
        let sending = thread::spawn(move || send_batch(&mut producer, &[1, 2]));
        let taking = thread::spawn(move || {
            one.release();
            first(&mut one)
        });
        let following = thread::spawn(move || (try_receive(&mut two), two));
        sending.join().unwrap();
        let mut values = taking.join().unwrap().unwrap_or_default();
        let (received, mut two) = following.join().unwrap();
        values.extend(some(received));
        values.extend(rest(&mut two));
        assert_eq!(sorted(values), [1, 2]);
    });
}

#[test]
fn a_batch_is_one() {
    a_batch_is_one_behind(|consumer| try_receive(consumer).map(|value| vec![value]));
}

#[test]
fn a_batch_is_one_behind_who_looks_in_place() {
    a_batch_is_one_behind(|consumer| drain(consumer, 1));
}
