//! Batches that are longer than what is staged of them, of messages of all lengths.

use super::receive_into;
use crate::error::RecvError;
use crate::memory::layout::Geometry;
use crate::memory::region::memory::{Heap, Memory};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;

fn ring() -> (Producer<Memory>, Consumer<Memory>) {
    let heap = Heap::new(Geometry::stream(128 << 10).unwrap()).unwrap();
    let producer = Producer::resume(heap.region()).unwrap();
    let consumer = Consumer::resume(heap.region()).unwrap();
    (producer, consumer)
}

fn message(number: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (number * 7 + at) as u8).collect()
}

/// Miri takes its time.
fn few_under_miri<T: Copy>(few: &[T], all: impl IntoIterator<Item = T>) -> Vec<T> {
    match cfg!(miri) {
        true => few.to_vec(),
        false => all.into_iter().collect(),
    }
}

/// Messages that are staged, such that are too long for it, and the other way round, until parts of a batch are laid before it
/// is committed: of none is anything seen by then, and all is there afterwards.
#[test]
fn a_long_batch_is_seen_as_a_whole_and_arrives_as_it_was() {
    let (mut producer, mut consumer) = ring();
    let mut buffer = vec![0; 4096];
    let mut sent = 0_u64;
    // Short ones, long ones, and both.
    for lens in [[0, 7, 8, 100], [2048, 2049, 3000, 2500], [1, 2049, 2048, 5]] {
        for count in few_under_miri(&[2, 20], [1, 2, 16, 40, 200]) {
            let mut pending = None;
            let lens = || lens.iter().copied().cycle().take(count);
            if lens().sum::<usize>() > 100 << 10 {
                continue;
            }
            for (number, len) in (sent..).zip(lens()) {
                super::push(&mut producer, &mut pending, &message(number, len)).unwrap();
                let early = receive_into(&mut consumer, &mut buffer, None);
                assert_eq!(early, Err(RecvError::Empty), "{number} of {count}");
            }
            producer.commit(pending.unwrap());
            for len in lens() {
                assert_eq!(receive_into(&mut consumer, &mut buffer, None), Ok(len));
                assert_eq!(buffer[..len], message(sent, len), "{sent}");
                sent += 1;
            }
        }
    }
    assert_eq!((producer.sent(), consumer.received()), (sent, sent));
}

/// The same of runs of values, with as many as there is room for.
#[test]
fn a_long_run_arrives_as_it_was() {
    fn run<const LEN: usize>(producer: &mut Producer<Memory>, consumer: &mut Consumer<Memory>)
    where
        [u8; LEN]: bytemuck::NoUninit,
    {
        let mut next = 0;
        for count in few_under_miri(&[3, 30], (0..300).chain([3000])) {
            let values: Vec<[u8; LEN]> = (next..next + count)
                .map(|number| message(number, LEN).try_into().unwrap())
                .collect();
            let sent = producer.send_run(&values) as u64;
            // None at the end of the lap, where one takes the long way, and is alone.
            let sent = match sent {
                0 if count > 0 => {
                    super::send(producer, &values[0], None).unwrap();
                    1
                }
                sent => sent,
            };
            for number in next..next + sent {
                let mut buffer = [0; LEN];
                assert_eq!(receive_into(consumer, &mut buffer, None), Ok(LEN));
                assert_eq!(buffer[..], message(number, LEN), "{number}");
            }
            next += sent;
        }
        assert!(next > 10, "{next}");
    }
    let (mut producer, mut consumer) = ring();
    run::<8>(&mut producer, &mut consumer);
    run::<64>(&mut producer, &mut consumer);
    run::<100>(&mut producer, &mut consumer);
    run::<1000>(&mut producer, &mut consumer);
    run::<2048>(&mut producer, &mut consumer);
    run::<3000>(&mut producer, &mut consumer);
}
