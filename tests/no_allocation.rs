//! After set-up, no send and no receive allocates: an allocator that counts, by thread, watches all of
//! them, with room and without, with messages and without, waiting and being woken.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use ringway::{Builder, Kind, Receiver, RecvError, SendError, Sender, WaitStrategy};
use ringway_testing::place::{Backing, Place};

/// The system's allocator, and a count of the calls of each thread.
struct Counting;

thread_local! {
    /// Constant and without a destructor, so that using it allocates nothing either.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    CALLS.set(CALLS.get() + 1);
}

// SAFETY: every call is passed on to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.realloc(memory, layout, new_size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count();
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations, reallocations and deallocations of this thread while `work` runs.
fn calls(work: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

fn ring() -> (Sender, Receiver) {
    let builder = Builder::new("memfd:").unwrap().capacity(4096);
    let ring = builder.create().unwrap();
    (ring.sender().unwrap(), ring.receiver().unwrap())
}

/// Enough to go round the ring of 4096 bytes many times.
const MESSAGES: u32 = 10_000;

#[test]
fn the_allocator_counts() {
    assert_eq!(calls(|| drop(std::hint::black_box(Box::new(1)))), 2);
}

#[test]
fn copying_in_and_out_allocates_nothing() {
    let (mut sender, mut receiver) = ring();
    let mut buffer = [0; 64];
    let calls = calls(|| {
        for number in 0..MESSAGES {
            let message = &[number as u8; 64][..number as usize % 65];
            sender.try_send(message).unwrap();
            assert_eq!(receiver.try_recv_into(&mut buffer), Ok(message.len()));
            sender.send(message).unwrap();
            assert_eq!(receiver.recv_into(&mut buffer), Ok(message.len()));
            assert_eq!(&buffer[..message.len()], message);
        }
    });
    assert_eq!(calls, 0);
}

#[test]
fn working_in_place_allocates_nothing() {
    let (mut sender, mut receiver) = ring();
    let calls = calls(|| {
        for number in 0..MESSAGES {
            let mut claim = sender.try_claim(100).unwrap();
            claim.write_at(0, &number.to_le_bytes());
            claim.commit_len(4);
            sender.claim(8).unwrap().abort();
            let parts = [IoSlice::new(b"in "), IoSlice::new(b"parts")];
            sender.try_send_vectored(&parts).unwrap();
            let mut bytes = [0; 8];
            let message = receiver.recv_in_place().unwrap();
            assert_eq!(message.read_at(0, &mut bytes), 4);
            drop(message);
            receiver.try_recv_in_place().unwrap().release();
            let message = receiver.try_recv_in_place().unwrap();
            assert_eq!(message.read_at(0, &mut bytes), 8);
            assert_eq!(&bytes, b"in parts");
            message.release();
        }
    });
    assert_eq!(calls, 0);
}

#[test]
fn batches_and_drains_allocate_nothing() {
    let (mut sender, mut receiver) = ring();
    let calls = calls(|| {
        for number in 0..MESSAGES {
            let mut batch = sender.batch();
            for _ in 0..16 {
                batch.push(&number.to_le_bytes()).unwrap();
            }
            assert_eq!(batch.commit(), 16);
            receiver.wait().unwrap();
            let mut seen = 0;
            let drained = receiver.drain(100, |view| seen += view.len());
            assert_eq!((drained, seen), (Ok(16), 64));
        }
    });
    assert_eq!(calls, 0);
}

#[test]
fn slabs_allocate_nothing() {
    for (kind, apart) in [Kind::Spsc, Kind::Mpmc]
        .map(|kind| [(kind, false), (kind, true)])
        .concat()
    {
        let place = Place::new(if apart { Backing::Shm } else { Backing::Memfd });
        let builder = place.builder().capacity(4096).kind(kind);
        let ring = builder
            .slabs(4096, 3)
            .slab_segments(apart)
            .create()
            .unwrap();
        let mut sender = ring.sender().unwrap().with_copy_limit(100);
        let mut receiver = ring.receiver().unwrap();
        let mut buffer = [0; 4096];
        // All are mapped.
        let mut kept = Vec::new();
        for _ in 0..3 {
            sender.send(&buffer).unwrap();
            kept.push(receiver.recv_in_place().unwrap().detach().unwrap());
        }
        drop(kept);
        let calls = calls(|| {
            let mut kept = None;
            for number in 0..MESSAGES {
                sender.send(&[number as u8; 4096]).unwrap();
                assert_eq!(receiver.recv_into(&mut buffer), Ok(4096));
                assert_eq!(buffer, [number as u8; 4096]);
                let mut claim = sender.try_claim(1000).unwrap();
                claim.write_at(0, &number.to_le_bytes());
                claim.commit_len(4);
                let slab = receiver.recv_in_place().unwrap().detach().unwrap();
                assert!(!slab.is_copy());
                drop(kept.replace(slab));
                sender.try_send(&[1; 1000]).unwrap();
                assert_eq!(
                    receiver.drain(5, |view| assert_eq!(view.len(), 1000)),
                    Ok(1)
                );
            }
        });
        assert_eq!(calls, 0);
    }
}

#[test]
fn refusals_and_timeouts_allocate_nothing() {
    let (mut sender, mut receiver) = ring();
    let mut buffer = [0; 4];
    let soon = || Instant::now() + Duration::from_micros(100);
    let calls = calls(|| {
        assert_eq!(receiver.try_recv_into(&mut buffer), Err(RecvError::Empty));
        let late = receiver.recv_into_deadline(&mut buffer, soon());
        assert_eq!(late, Err(RecvError::TimedOut));
        while sender.try_send(&[0; 64]).is_ok() {}
        assert_eq!(sender.try_send(&[0; 64]), Err(SendError::Full));
        assert_eq!(
            sender.send_deadline(&[0; 64], soon()),
            Err(SendError::TimedOut)
        );
        assert!(matches!(
            sender.try_send(&[0; 4000]),
            Err(SendError::TooLarge { .. })
        ));
        let small = receiver.try_recv_into(&mut buffer);
        assert_eq!(small, Err(RecvError::BufferTooSmall { len: 64 }));
    });
    assert_eq!(calls, 0);
}

#[test]
fn sleeping_and_waking_allocates_nothing() {
    for wait in [WaitStrategy::Park, WaitStrategy::default()] {
        let (sender, receiver) = ring();
        let (mut sender, mut receiver) = (sender.with_wait(wait), receiver.with_wait(wait));
        // Once each, for what is found out once per process.
        sender.send(b"first").unwrap();
        receiver.recv_into(&mut [0; 8]).unwrap();
        let now = Some(Instant::now());
        assert_eq!(receiver.wait_deadline(now), Err(RecvError::TimedOut));
        let sending = std::thread::spawn(move || {
            calls(|| {
                for number in 0..MESSAGES {
                    sender.send(&[number as u8; 64]).unwrap();
                }
            })
        });
        let mut buffer = [0; 64];
        let receiving = calls(|| {
            for number in 0..MESSAGES {
                assert_eq!(receiver.recv_into(&mut buffer), Ok(64));
                assert_eq!(buffer, [number as u8; 64]);
            }
        });
        assert_eq!((sending.join().unwrap(), receiving), (0, 0), "{wait:?}");
    }
}
