//! Long messages in slabs: they arrive whole by every way of receiving, slabs come back when nobody needs them any
//! more, whoever dies at whatever point, and who waits for one is woken.

mod two_processes;

use std::fmt;
use std::io::{IoSlice, Read};
use std::time::{Duration, Instant};

use ringway::message::{DetachedMessage, MessageReader};
use ringway::peer::Role;
use ringway::{
    Address, Builder, ErrorKind, Message, Receiver, RecvError, Ring, SendError, Sender,
    WaitStrategy,
};
use two_processes::place::{Backing, Place, again};
use two_processes::table::{self, CAPACITY, Row};
use two_processes::{First, Second, in_time, play, watchdog};

/// Bytes of the slabs.
const SLAB: usize = 8192;
/// How many there are.
const SLABS: u32 = 4;

#[test]
fn child_role() {
    play(|role, first| match role {
        "claim" => claim(first),
        "send" => send(first),
        "take" => take(first),
        "keep" => keep(first),
        _ => panic!("{role}"),
    });
}

/// A sort of ring with slabs.
#[derive(Clone, Copy)]
struct Sort {
    row: Row,
    /// Whether each slab is a segment of its own.
    apart: bool,
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apart = if self.apart { ", slabs apart" } else { "" };
        write!(f, "{}{apart}", self.row)
    }
}

/// Runs a test for all sorts of rings in the rows of the table.
fn for_each(rows: Vec<Row>, test: impl Fn(Sort) + Sync) {
    table::for_each(rows, |row| {
        test(Sort { row, apart: false });
        if row.backing != Backing::Memfd {
            test(Sort { row, apart: true });
        }
    });
}

fn with_slabs(Sort { row, apart }: Sort) -> (Ring, Place) {
    row.ring_with(|builder| builder.slabs(SLAB as u64, SLABS).slab_segments(apart))
}

/// A message that knows its number, longer than the ring.
fn message(number: u8) -> Vec<u8> {
    let len = SLAB - 5 * usize::from(number % 16);
    (0..len)
        .map(|at| (at as u8).wrapping_mul(31).wrapping_add(number))
        .collect()
}

fn ends(ring: &Ring) -> (Sender, Receiver) {
    (ring.sender().unwrap(), ring.receiver().unwrap())
}

/// Checks that nobody holds a slab.
#[track_caller]
fn assert_all_free(row: Sort, ring: &Ring) {
    let Ok(stat) = ringway::inspect::stat(ring.address()) else {
        // A memfd cannot be looked at: all can be had.
        let mut sender = ring.sender().unwrap();
        let mut receiver = ring.receiver().unwrap();
        for number in 0..SLABS as u8 {
            sender.try_send(&message(number)).unwrap();
        }
        for number in 0..SLABS as u8 {
            assert_eq!(receiver.try_recv().unwrap(), message(number), "{row}");
        }
        return;
    };
    let [slabs] = &stat.slabs[..] else {
        panic!("{row}: {stat:?}");
    };
    assert_eq!(
        (slabs.count, slabs.free),
        (SLABS, SLABS),
        "{row}: {slabs:?}"
    );
}

#[test]
fn long_messages_arrive_by_every_way_of_sending_and_receiving() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = with_slabs(row);
        assert_eq!(ring.max_message_len(), SLAB as u64);
        let (mut sender, mut receiver) = ends(&ring);
        for round in 0..20 {
            for (nth, send) in SENDS.into_iter().enumerate() {
                send(&mut sender, &message(nth as u8));
                if round % 2 == 0 {
                    sender.send(&[nth as u8]).unwrap();
                }
            }
            let receive = RECEIVES[round % RECEIVES.len()];
            for nth in 0..SENDS.len() {
                assert_eq!(receive(&mut receiver), message(nth as u8), "{row} {round}");
                if round % 2 == 0 {
                    assert_eq!(receive(&mut receiver), [nth as u8], "{row} {round}");
                }
            }
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        }
        sender.leave();
        drop(receiver);
        assert_all_free(row, &ring);
    });
}

fn by_blocks(mut reader: MessageReader<'_>) -> Vec<u8> {
    let mut seen = Vec::new();
    reader.read_to_end(&mut seen).unwrap();
    assert_eq!(reader.remaining(), 0);
    seen
}

type Send = fn(&mut Sender, &[u8]);
type Receive = fn(&mut Receiver) -> Vec<u8>;

const SENDS: [Send; 4] = [
    |sender, message| sender.send(message).unwrap(),
    |sender, message| {
        let mut claim = sender.claim(message.len()).unwrap();
        claim.write_at(1, &message[1..]);
        claim.write_at(0, &message[..1]);
        claim.commit();
    },
    |sender, message| {
        let mut claim = sender.try_claim(SLAB).unwrap();
        // SAFETY: nobody else touches it.
        let room = unsafe { claim.as_mut_slice() };
        room[..message.len()].copy_from_slice(message);
        claim.commit_len(message.len());
    },
    |sender, message| {
        let parts = [IoSlice::new(&message[..7]), IoSlice::new(&message[7..])];
        sender.send_vectored_deadline(&parts, watchdog()).unwrap();
    },
];

const RECEIVES: [Receive; 9] = [
    |receiver| receiver.recv().unwrap(),
    |receiver| {
        let mut buffer = [0; SLAB];
        let short = receiver.try_recv_into(&mut []);
        let Err(RecvError::BufferTooSmall { len }) = short else {
            panic!("{short:?}")
        };
        assert_eq!(receiver.recv_into(&mut buffer), Ok(len));
        buffer[..len].to_vec()
    },
    |receiver| {
        drop(receiver.recv_in_place().unwrap());
        receiver
            .process(|message| Ok::<_, ()>(message.to_vec()))
            .unwrap()
            .unwrap()
    },
    |receiver| {
        let message = receiver.try_recv_in_place().unwrap();
        // SAFETY: nobody writes it.
        let seen = unsafe { message.as_slice() }.to_vec();
        message.release();
        seen
    },
    |receiver| {
        let message = receiver.recv_in_place().unwrap();
        let seen = by_blocks(message.reader());
        message.release();
        seen
    },
    |receiver| by_blocks(receiver.recv_in_place().unwrap().detach().unwrap().reader()),
    |receiver| {
        let mut seen = Vec::new();
        receiver
            .drain(1, |message| seen = message.to_vec())
            .unwrap();
        seen
    },
    |receiver| {
        let mut backlog = receiver.backlog();
        let seen = backlog.next_message().unwrap().unwrap().to_vec();
        assert_eq!(backlog.release(), 1);
        seen
    },
    |receiver| {
        receiver
            .recv_in_place()
            .and_then(Message::detach)
            .unwrap()
            .to_vec()
    },
];

#[test]
fn a_backlog_of_long_and_short_messages_is_released_together_or_not_at_all() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = with_slabs(row);
        let (mut sender, mut receiver) = ends(&ring);
        for _ in 0..30 {
            for number in 0..3 {
                sender.send(&message(number)).unwrap();
                sender.send(&[number]).unwrap();
            }
            let mut backlog = receiver.backlog();
            for number in 0..2 {
                let seen = backlog.next_message().unwrap().unwrap();
                assert_eq!(seen.to_vec(), message(number), "{row}");
                let seen = backlog.next_message().unwrap().unwrap();
                assert_eq!(seen.to_vec(), [number], "{row}");
            }
            drop(backlog);
            let mut seen = Vec::new();
            let count = receiver.drain(5, |message| seen.push(message.to_vec()));
            assert_eq!(count, Ok(5), "{row}");
            for number in 0..3 {
                assert_eq!(seen[2 * usize::from(number)], message(number), "{row}");
            }
            assert_eq!(receiver.recv(), Ok(vec![2]), "{row}");
        }
        sender.leave();
        drop(receiver);
        assert_all_free(row, &ring);
    });
}

#[test]
fn detached_messages_stay_while_others_come_and_go_and_end_in_any_order() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = with_slabs(row);
        let (mut sender, mut receiver) = ends(&ring);
        let mut next = |number| {
            sender.send(&message(number)).unwrap();
            receiver.recv_in_place().and_then(Message::detach).unwrap()
        };
        let kept: Vec<DetachedMessage> = (0..3).map(&mut next).collect();
        for number in 0..50 {
            assert_eq!(next(number).to_vec(), message(number), "{row}");
        }
        let [first, second, third] = kept.try_into().unwrap();
        drop(second);
        let fourth = next(9);
        assert_eq!(first.to_vec(), message(0), "{row}");
        assert_eq!(third.to_vec(), message(2), "{row}");
        drop(first);
        // Elsewhere, and after the receiver.
        drop(receiver);
        let other = std::thread::spawn(move || [third, fourth].map(|slab| slab.to_vec()));
        assert_eq!(other.join().unwrap(), [message(2), message(9)], "{row}");
        sender.leave();
        assert_all_free(row, &ring);
        // And the place is free.
        if row.row.has_cells() {
            drop(ring.receiver().unwrap());
        }
    });
}

#[test]
fn who_waits_for_a_slab_is_woken_when_one_comes_back() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = with_slabs(row);
        let (mut sender, mut receiver) = ends(&ring);
        let mut kept = Vec::new();
        for number in 0..SLABS as u8 {
            sender.send(&message(number)).unwrap();
            kept.push(receiver.recv_in_place().and_then(Message::detach).unwrap());
        }
        assert_eq!(sender.try_send(&message(9)), Err(SendError::Full), "{row}");
        let soon = Instant::now() + Duration::from_millis(1);
        let timed_out = sender.send_deadline(&message(9), soon);
        assert_eq!(timed_out, Err(SendError::TimedOut), "{row}");
        // By a drop in another thread, by a release, and by a drop of a claim.
        for number in 0..10 {
            let sending = std::thread::spawn(move || {
                in_time(|deadline| sender.send_deadline(&message(number), deadline)).unwrap();
                sender
            });
            std::thread::sleep(Duration::from_millis(2));
            drop(kept.remove(0));
            sender = sending.join().unwrap();
            kept.push(receiver.recv_in_place().and_then(Message::detach).unwrap());
            assert_eq!(kept[3].to_vec(), message(number), "{row}");
        }
        drop(kept.pop());
        sender.send(&message(1)).unwrap();
        let sending = std::thread::spawn(move || {
            in_time(|deadline| sender.send_deadline(&message(2), deadline)).unwrap();
            sender
        });
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(receiver.recv().unwrap(), message(1), "{row}");
        sending.join().unwrap().leave();
        assert_eq!(receiver.recv().unwrap(), message(2), "{row}");
        drop((kept, receiver));
        assert_all_free(row, &ring);
    });
}

#[test]
fn what_fits_the_ring_goes_through_it_when_no_slab_is_free() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = with_slabs(row);
        let (sender, mut receiver) = ends(&ring);
        let mut sender = sender.with_copy_limit(100);
        let mut copies = Vec::new();
        for _ in 0..SLABS + 2 {
            sender.send(&[7; 200]).unwrap();
        }
        for _ in 0..SLABS + 2 {
            let slab = receiver.recv_in_place().and_then(Message::detach).unwrap();
            assert_eq!(slab.to_vec(), [7; 200], "{row}");
            copies.push(slab);
        }
        let are_copies: Vec<_> = copies.iter().map(DetachedMessage::is_copy).collect();
        assert_eq!(
            are_copies,
            [false, false, false, false, true, true],
            "{row}"
        );
        let too_long = sender.try_send(&[0; SLAB + 1]);
        let error = SendError::TooLarge {
            len: SLAB + 1,
            max: SLAB,
        };
        assert_eq!(too_long, Err(error), "{row}");
        // A batch goes through the ring.
        let mut batch = sender.batch();
        batch.push(&[8; 200]).unwrap();
        let pushed = batch.push(&message(0));
        assert!(matches!(pushed, Err(SendError::TooLarge { .. })), "{row}");
        batch.commit();
        let slab = receiver.recv_in_place().and_then(Message::detach).unwrap();
        assert!(slab.is_copy(), "{row}");
        assert_eq!(slab.to_vec(), [8; 200], "{row}");
        sender.leave();
        drop((copies, receiver));
        assert_all_free(row, &ring);
    });
}

#[test]
fn a_claim_that_is_dropped_or_forgotten_costs_no_slab() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = with_slabs(row);
        let (mut sender, mut receiver) = ends(&ring);
        for number in 0..20 {
            drop(sender.try_claim(SLAB).unwrap());
            std::mem::forget(sender.try_claim(SLAB).unwrap());
            sender.try_send(&message(number)).unwrap();
            assert_eq!(receiver.recv().unwrap(), message(number), "{row}");
        }
        std::mem::forget(sender.try_claim(SLAB).unwrap());
        sender.leave();
        drop(receiver);
        assert_all_free(row, &ring);
    });
}

/// A sender that may wait keeps to the first slabs of such a length, but never for want of others.
#[test]
fn a_receiver_that_keeps_long_messages_gets_as_many_as_there_are_slabs() {
    // Two and more of these fit any second-level cache of a megabyte or more, and not all of them.
    const LONG: usize = 512 << 10;
    let place = Place::new(Backing::Shm);
    let ring = place.builder().slabs(LONG as u64, 6).capacity(CAPACITY);
    let ring = ring.create().unwrap();
    let (sender, mut receiver) = ends(&ring);
    let mut sender = sender.with_wait(WaitStrategy::Spin);
    let mut kept = Vec::new();
    for number in 0..6 {
        // The fourth and later ones find that the time is over, and a free slab all the same.
        let deadline = (number > 2).then(Instant::now);
        sender.claim_deadline(LONG, deadline).unwrap().commit();
        kept.push(receiver.recv_in_place().unwrap().detach().unwrap());
    }
    assert!(kept.iter().all(|kept| !kept.is_copy()));
    assert_eq!(sender.try_claim(LONG).err(), Some(SendError::Full));
    kept.swap_remove(4);
    sender.claim(LONG).unwrap().commit();
}

#[test]
fn the_shortest_slab_that_will_do_is_taken() {
    let place = Place::new(Backing::Shm);
    let builder = place.builder().slabs(5000, 1).slabs(1, 2).slabs(1 << 20, 1);
    let ring = builder.slabs(8192, 1).capacity(CAPACITY).create().unwrap();
    let (sender, _receiver) = ends(&ring);
    let mut sender = sender.with_copy_limit(0);
    let free = || -> Vec<_> {
        let stat = ringway::inspect::stat(ring.address()).unwrap();
        let slabs = stat.slabs.iter();
        slabs.map(|slabs| (slabs.slab_bytes, slabs.free)).collect()
    };
    assert_eq!(free(), [(4096, 2), (8192, 2), (1 << 20, 1)]);
    for (len, left) in [
        (1, [1, 2, 1]),
        (4096, [0, 2, 1]),
        (2, [0, 1, 1]),
        (4097, [0, 0, 1]),
        (8192, [0, 0, 0]),
    ] {
        sender.try_send(&vec![0; len]).unwrap();
        assert!(free().iter().map(|(_, free)| free).eq(&left), "{len}");
    }
    let stat = ringway::inspect::stat(ring.address()).unwrap();
    let held = stat.slabs[0].held[0];
    let me = Some(std::process::id());
    assert_eq!((held.role, held.pid, held.count), (Role::Producer, me, 2));
    assert_eq!(sender.try_send(&[0; 8192]), Err(SendError::Full));
}

#[test]
fn impossible_slabs_are_refused() {
    let builder = || Builder::at(Address::Memfd);
    let five = (0..5).fold(builder(), |builder, nth| builder.slabs(4096 << nth, 1));
    for builder in [
        builder().slabs(4096, 0),
        builder().slabs(u64::MAX, 1),
        builder().slabs(1 << 41, 1),
        builder().slabs(4096, 65537),
        builder().slabs(4096, u32::MAX).slabs(4096, u32::MAX),
        builder().slabs(1 << 40, 65),
        builder().slabs(4096, 1).overwrite_oldest(true),
        five,
    ] {
        let error = builder.clone().create().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCapacity, "{builder:?}");
    }
}

#[test]
fn slabs_of_a_producer_that_died_come_back_and_what_it_sent_arrives() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = with_slabs(row);
        let mut receiver = ring.receiver().unwrap();
        for _ in 0..3 {
            // One message is on its way, one slab is lent.
            for role in ["claim", "send"] {
                let producer = Second::start(role, &ring);
                producer.expect("ready");
                producer.kill();
            }
            let mut sender = ring.sender().unwrap();
            for number in 1..SLABS as u8 - 1 {
                sender.try_send(&message(number)).unwrap();
            }
            // Of the killed ones: "claim" sends one as well.
            assert_eq!(sender.try_send(&message(0)), Err(SendError::Full), "{row}");
            for number in [0, 0, 1, 2] {
                assert_eq!(receiver.recv().unwrap(), message(number), "{row}");
            }
            sender.leave();
        }
        drop(receiver);
        assert_all_free(row, &ring);
    });
}

#[test]
fn slabs_of_a_consumer_that_died_come_back_and_what_it_had_not_released_comes_again() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = with_slabs(row);
        let mut sender = ring.sender().unwrap();
        for round in 0..3 {
            sender.send(&message(1)).unwrap();
            let consumer = Second::start("take", &ring);
            consumer.expect("ready");
            consumer.kill();
            let consumer = Second::start("keep", &ring);
            consumer.expect("ready");
            // It keeps that message: now all slabs are in use.
            for number in 0..SLABS as u8 - 1 {
                sender.try_send(&message(number)).unwrap();
            }
            assert_eq!(sender.try_send(&message(9)), Err(SendError::Full), "{row}");
            let sending = std::thread::spawn(move || {
                in_time(|deadline| sender.send_deadline(&message(7), deadline)).unwrap();
                sender
            });
            if round % 2 == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
            consumer.kill();
            sender = sending.join().unwrap();
            let mut receiver = ring.receiver().unwrap();
            for number in [0, 1, 2, 7] {
                assert_eq!(receiver.recv().unwrap(), message(number), "{row}");
            }
        }
        sender.leave();
        assert_all_free(row, &ring);
    });
}

#[test]
fn every_process_finds_the_slabs() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = with_slabs(row);
        let mut receiver = again(&ring).receiver().unwrap();
        let mut sender = ring.sender().unwrap();
        for number in 0..20 {
            sender.send(&message(number)).unwrap();
            assert_eq!(receiver.recv().unwrap(), message(number), "{row}");
        }
    });
}

/// Sends a message, and then claims a slab for another one.
fn claim(first: &First) {
    let ring = first.ring();
    let mut sender = ring.sender().unwrap();
    sender.send(&message(0)).unwrap();
    let mut claim = sender.try_claim(SLAB).unwrap();
    claim.write_at(0, &[0xee; SLAB]);
    first.say("ready");
    first.hear();
}

fn send(first: &First) {
    let ring = first.ring();
    let mut sender = ring.sender().unwrap();
    sender.send(&message(0)).unwrap();
    first.say("ready");
    first.hear();
}

/// Takes a message, and does not release it.
fn take(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    let message_taken = receiver.recv_in_place().unwrap();
    assert_eq!(message_taken.to_vec(), message(1));
    first.say("ready");
    first.hear();
}

/// Detaches a message.
fn keep(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    let kept = receiver.recv_in_place().and_then(Message::detach).unwrap();
    assert_eq!(kept.to_vec(), message(1));
    first.say("ready");
    first.hear();
}
