//! What a panic ends, and what merely happens while one unwinds: a destructor that receives has received, and a handle
//! that a panic drops has died, whatever of it lives on elsewhere.

mod two_processes;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ringway::message::DetachedMessage;
use ringway::peer::{Peer, Role};
use ringway::{Builder, Kind, Receiver, RecvError, Ring, Sender};
use two_processes::messages::number;
use two_processes::table::{Row, for_each};

/// Runs `work`, and then a destructor in the unwinding of a panic; the thread lives on.
fn panic_after(work: impl FnOnce()) {
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        work();
        // As a panic, but nothing is printed.
        resume_unwind(Box::new("a panic"));
    }));
    assert!(panicked.is_err());
}

/// Runs something when it is dropped.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A ring with a message in a slab now and then.
fn slabs(row: Row) -> (Ring, two_processes::place::Place) {
    row.ring_with(|builder| builder.slabs(4096, 8))
}

/// Sends a short message if `nth` is even, else a long one.
fn send(sender: &mut Sender, nth: u64) {
    let mut bytes = number(nth).to_vec();
    if nth % 2 == 1 {
        bytes.resize(3000, 0);
    }
    sender.try_send(&bytes).unwrap();
}

/// The number that a message begins with.
fn number_in(message: &[u8]) -> u64 {
    two_processes::messages::number_in(&message[..8])
}

/// One way to receive.
type Receive = fn(&mut Receiver) -> u64;

/// All ways in which a message can be received and acknowledged.
const WAYS: [(&str, Receive); 9] = [
    ("try_recv", |receiver| {
        number_in(&receiver.try_recv().unwrap())
    }),
    ("recv", |receiver| number_in(&receiver.recv().unwrap())),
    ("recv_into", |receiver| {
        let mut buffer = [0; 4096];
        let len = receiver.recv_into(&mut buffer).unwrap();
        number_in(&buffer[..len])
    }),
    ("release", |receiver| {
        let message = receiver.recv_in_place().unwrap();
        let number = number_in(&message.to_vec());
        message.release();
        number
    }),
    ("process", |receiver| {
        let number = receiver.process(|message| Ok::<_, ()>(number_in(&message.to_vec())));
        number.unwrap().unwrap()
    }),
    ("detach", |receiver| {
        number_in(&receiver.recv_in_place().unwrap().detach().unwrap().to_vec())
    }),
    ("drain", |receiver| {
        let mut number = 0;
        let drained = receiver.drain(1, |message| number = number_in(&message.to_vec()));
        drained.unwrap();
        number
    }),
    ("backlog", |receiver| {
        let mut backlog = receiver.backlog();
        let message = backlog.next_message().unwrap().unwrap().to_vec();
        backlog.release();
        number_in(&message)
    }),
    ("give back first", |receiver| {
        drop(receiver.recv_in_place().unwrap());
        number_in(&receiver.try_recv().unwrap())
    }),
];

#[test]
fn a_destructor_that_receives_has_received() {
    for_each(Row::on_shm(), |row| {
        for with_slabs in [false, true] {
            let (ring, _place) = if with_slabs { slabs(row) } else { row.ring() };
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            let step = if with_slabs { 1 } else { 2 };
            for (way, receive) in WAYS {
                for nth in 0..3 {
                    send(&mut sender, nth * step);
                }
                let mut got = Vec::new();
                panic_after(|| {
                    let _finally = Finally(|| {
                        got.extend((0..3).map(|_| receive(&mut receiver)));
                    });
                    // The panic begins while this lives.
                    resume_unwind(Box::new("a panic"));
                });
                assert_eq!(got, [0, step, 2 * step], "{row}: {way}");
                assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}: {way}");
            }
        }
    });
}

/// One way to hold messages when a panic begins.
type Fail = fn(&mut Receiver);

/// What a panic found in somebody's hands comes again, although the handle lives on. A message in place is the handle's
/// next one, and another's when the handle has left; what was taken together is the others' at once.
#[test]
fn a_message_that_a_panic_drops_is_given_back() {
    for_each(Row::on_shm(), |row| {
        let ways: [(&str, Fail); 3] = [
            ("in place", |receiver| {
                let _message = receiver.recv_in_place().unwrap();
                resume_unwind(Box::new("a panic"));
            }),
            ("drain", |receiver| {
                let mut left = 2;
                let _ = receiver.drain(8, |_| {
                    left -= 1;
                    if left == 0 {
                        resume_unwind(Box::new("a panic"));
                    }
                });
            }),
            ("backlog", |receiver| {
                let mut backlog = receiver.backlog();
                backlog.next_message().unwrap().unwrap();
                resume_unwind(Box::new("a panic"));
            }),
        ];
        for (way, fail) in ways {
            let (ring, _place) = slabs(row);
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            (0..3).for_each(|nth| send(&mut sender, nth));
            panic_after(|| fail(&mut receiver));
            let mut left = None;
            if row.has_many(Role::Consumer) {
                let other = ring.receiver().unwrap();
                left = Some(std::mem::replace(&mut receiver, other));
            }
            if way == "in place" {
                left = None;
            }
            let next = &mut receiver;
            for nth in 0..3 {
                assert_eq!(number_in(&next.try_recv().unwrap()), nth, "{row}: {way}");
            }
            assert_eq!(next.try_recv(), Err(RecvError::Empty), "{row}: {way}");
            drop(left);
        }
    });
}

/// How a receiver's handle ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Dropped,
    Closed,
    ByPanic,
}

/// The table of [`DetachedMessage`]'s place: whatever lives longer, what the handle held is given back, and how the handle
/// ended decides how its place is left.
#[test]
fn how_a_receiver_ended_is_told_when_its_last_detached_message_goes() {
    for_each(Row::on_shm(), |row| {
        for end in [End::Dropped, End::Closed, End::ByPanic] {
            for holds in [false, true] {
                for detached in [None, Some(false), Some(true)] {
                    ends_as_it_should(row, end, holds, detached);
                }
            }
        }
    });
}

/// `detached`: whether a detached message lives longer than the handle, and if so, whether a panic drops it.
fn ends_as_it_should(row: Row, end: End, holds: bool, detached: Option<bool>) {
    let case = format!("{row}: {end:?}, holds {holds}, detached {detached:?}");
    let (ring, _place) = slabs(row);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    // Long, long, short.
    for nth in [1, 3, 4] {
        send(&mut sender, nth);
    }
    let slab: Option<DetachedMessage> = detached.map(|_| {
        let slab = receiver.recv_in_place().unwrap().detach().unwrap();
        assert!(!slab.is_copy(), "{case}");
        slab
    });
    let next = if slab.is_some() { 3 } else { 1 };
    let hold = |receiver: &mut Receiver| {
        if holds {
            let message = receiver.try_recv_in_place().unwrap();
            assert_eq!(number_in(&message.to_vec()), next, "{case}");
        }
    };
    match end {
        End::Dropped | End::Closed => {
            hold(&mut receiver);
            match end {
                End::Closed => receiver.close(),
                _ => drop(receiver),
            }
        }
        End::ByPanic => panic_after(move || {
            let mut receiver = receiver;
            hold(&mut receiver);
            resume_unwind(Box::new("a panic"));
        }),
    }
    let left = match end {
        End::Dropped => Peer::Absent,
        End::Closed => Peer::Closed,
        End::ByPanic => Peer::Died,
    };
    if let Some(slab) = slab {
        assert_eq!(sender.peer(), Peer::Alive, "{case}");
        assert_eq!(slab.to_vec()[..8], number(1)[..8], "{case}");
        // A panic that is none of the receiver's.
        match detached {
            Some(true) => panic_after(move || {
                let _slab = slab;
                resume_unwind(Box::new("a panic"));
            }),
            _ => drop(slab),
        }
    }
    assert_eq!(sender.peer(), left, "{case}");
    let mut successor = ring.receiver().unwrap();
    for nth in [1, 3, 4].into_iter().filter(|&nth| nth >= next) {
        assert_eq!(number_in(&successor.try_recv().unwrap()), nth, "{case}");
    }
    assert_eq!(successor.try_recv(), Err(RecvError::Empty), "{case}");
    let free = ringway::inspect::stat(ring.address()).unwrap().slabs;
    assert!(free.iter().all(|slab| slab.free == slab.count), "{case}");
}

#[test]
fn what_is_held_elsewhere_is_not_withheld_while_a_detached_message_lives() {
    let rows = Row::with_many(Role::Consumer, Row::on_shm());
    for_each(rows, |row| {
        let (ring, _place) = slabs(row);
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        send(&mut sender, 1);
        send(&mut sender, 2);
        let slab = receiver.recv_in_place().unwrap().detach().unwrap();
        panic_after(move || {
            let mut receiver = receiver;
            let _message = receiver.recv_in_place().unwrap();
            resume_unwind(Box::new("a panic"));
        });
        let mut other = ring.receiver().unwrap();
        assert_eq!(number_in(&other.try_recv().unwrap()), 2, "{row}");
        drop(slab);
    });
}

/// A handle that a destructor makes and drops has done what it was to do.
#[test]
fn a_handle_that_lives_in_an_unwinding_ends_in_order() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        panic_after(|| {
            let _finally = Finally(|| {
                let mut sender = ring.sender().unwrap();
                sender.send(&number(7)).unwrap();
                let mut claim = sender.try_claim(8).unwrap();
                claim.write_at(0, b"unsent");
                // Dropped: aborted.
            });
            resume_unwind(Box::new("a panic"));
        });
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 7, "{row}");
        assert_eq!(receiver.try_recv(), Err(RecvError::Closed), "{row}");
        assert_eq!(receiver.peer(), Peer::Closed, "{row}");
    });
}

/// An open claim goes with the panic, and the claimer is seen to have died.
#[test]
fn a_claim_that_a_panic_drops_is_aborted() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = slabs(row);
        let mut receiver = ring.receiver().unwrap();
        for len in [8, 3000] {
            let mut sender = ring.sender().unwrap();
            panic_after(move || {
                let mut sender_here = sender;
                let _claim = sender_here.try_claim(len).unwrap();
                resume_unwind(Box::new("a panic"));
            });
            assert_eq!(receiver.try_recv(), Err(RecvError::PeerDied), "{row}");
            assert_eq!(receiver.peer(), Peer::Died, "{row}");
            sender = ring.sender().unwrap();
            send(&mut sender, 5);
            assert_eq!(number_in(&receiver.try_recv().unwrap()), 5, "{row}");
            sender.leave();
        }
    });
}

#[test]
fn queues_tell_the_same() {
    for address in ["mq:/ringway-test-panics", "sysvmq:private"] {
        let address = match address {
            "sysvmq:private" => format!("sysvmq:{:#x}", std::process::id() << 10 | 0x3fe),
            named => format!("{named}-{}", std::process::id()),
        };
        let builder = Builder::new(&address).unwrap().kind(Kind::Mpsc);
        let channel = ringway::Channel::open_or_create(builder).unwrap();
        let mut receiver = channel.receiver().unwrap();
        panic_after(|| {
            let _finally = Finally(|| {
                let mut sender = channel.sender().unwrap();
                sender.try_send(b"from a destructor").unwrap();
            });
            resume_unwind(Box::new("a panic"));
        });
        let message = receiver.try_recv().unwrap();
        let end = receiver.try_recv();
        ringway::Channel::remove(channel.address(), true).unwrap();
        assert_eq!(message, b"from a destructor");
        assert_eq!(end, Err(RecvError::Closed), "{address}");
    }
}
