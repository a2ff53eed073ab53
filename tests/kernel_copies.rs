//! What the kernel still copies for a process that was killed, it never copies into what is lent again: `read`, io_uring
//! and Linux AIO into claims in slabs, streams and cells.

mod two_processes;

#[path = "kernel_copies/requests.rs"]
mod requests;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use requests::{Bytes, Source};
use ringway::{Kind, Ring, SendError, Sender, SyncKind};
use two_processes::place::{Backing, Place};
use two_processes::table::Row;
use two_processes::{First, Second, in_time, play, watchdog};

/// Bytes of a slab: a read of so many takes a while.
const SLAB: usize = 8 << 20;
/// Bytes of a message that goes through a ring.
const IN_RING: usize = 3 << 20;
const CAPACITY: u64 = 8 << 20;
/// What the killed ones read.
const FOREIGN: u8 = 0xee;
const OURS: u8 = 0x11;

#[test]
fn child_role() {
    play(|role, first| match role {
        "read" => read(first),
        "lend to another" => lend_to_another(first),
        "claim" => claim(first),
        _ => panic!("{role}"),
    });
}

const STREAM: (Kind, SyncKind) = (Kind::Spsc, SyncKind::Futex);
const CELLS: (Kind, SyncKind) = (Kind::Mpmc, SyncKind::Futex);

fn ring(
    (kind, sync): (Kind, SyncKind),
    backing: Backing,
    slabs: u32,
    apart: bool,
) -> (Ring, Place) {
    let row = Row {
        kind,
        sync,
        backing,
    };
    row.ring_with(|builder| {
        let builder = builder.capacity(CAPACITY).cell_len(4096);
        match slabs {
            0 => builder,
            _ => builder.slabs(SLAB as u64, slabs).slab_segments(apart),
        }
    })
}

/// Kills the reader when it is at it, has `survive` send what needs the place that it wrote to, and returns when all
/// that it had asked for has come.
fn kill_reader(
    ring: &Ring,
    source: Source,
    len: usize,
    round: u64,
    survive: impl FnOnce(),
) -> bool {
    let reader = Second::start("read", ring);
    reader.say(source.name());
    reader.say(len);
    if reader.hear() != "reading" {
        return false;
    }
    std::thread::sleep(Duration::from_micros(700 + 900 * round));
    reader.signal(Signal::SIGKILL);
    survive();
    reader.kill();
    if source.outlives_the_process() {
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn is_ours(message: &[u8], len: usize) -> bool {
    message.len() == len && message.iter().all(|byte| *byte == OURS)
}

#[test]
fn a_slab_that_a_killed_one_had_read_into_is_nobody_elses_before_the_kernel_is_done() {
    let sorts = [
        (STREAM, Backing::Shm, false),
        (STREAM, Backing::File, true),
        (CELLS, Backing::Memfd, false),
        (CELLS, Backing::SysvKey, false),
        ((Kind::Mpsc, SyncKind::PosixSem), Backing::Shm, false),
    ];
    for (shape, backing, apart) in sorts {
        for source in Source::ALL {
            let (ring, _place) = ring(shape, backing, 1, apart);
            let mut receiver = ring.receiver().unwrap();
            for round in 0..2 {
                let survive = || {
                    let mut sender = in_time(|_| ring.sender_when_free());
                    send_in_slab(&mut sender);
                    sender.leave();
                };
                if !kill_reader(&ring, source, SLAB, round, survive) {
                    break;
                }
                let message = receiver.try_recv().unwrap();
                assert!(is_ours(&message, SLAB), "{shape:?} {backing:?} {source:?}");
            }
        }
    }
}

fn send_in_slab(sender: &mut Sender) {
    let mut claim = in_time(|deadline| sender.claim_deadline(SLAB, deadline)).unwrap();
    claim.write_at(0, &vec![OURS; SLAB]);
    claim.commit();
}

#[test]
fn a_claim_in_a_ring_that_a_killed_one_had_read_into_gets_nothing_of_it_afterwards() {
    for shape in [STREAM, CELLS] {
        for source in Source::ALL {
            let (ring, _place) = ring(shape, Backing::Shm, 0, false);
            for round in 0..2 {
                // In the cells, the second one needs the place of the dead.
                let messages = if shape == STREAM { 1 } else { 2 };
                let survive = || {
                    let mut sender = in_time(|_| ring.sender_when_free());
                    for _ in 0..messages {
                        let message = vec![OURS; IN_RING];
                        in_time(|deadline| sender.send_deadline(&message, deadline)).unwrap();
                    }
                    sender.leave();
                };
                if !kill_reader(&ring, source, IN_RING, round, survive) {
                    break;
                }
                let mut receiver = ring.receiver().unwrap();
                for _ in 0..messages {
                    let message = receiver.try_recv().unwrap();
                    assert!(is_ours(&message, IN_RING), "{shape:?} {source:?}");
                }
            }
        }
    }
}

trait SenderWhenFree {
    fn sender_when_free(&self) -> Sender;
}

impl SenderWhenFree for Ring {
    /// Attaches as soon as the kernel says that the last one is dead.
    fn sender_when_free(&self) -> Sender {
        loop {
            match self.sender() {
                Ok(sender) => return sender,
                Err(error) => {
                    let is_taken = matches!(error.kind(), ringway::ErrorKind::RoleTaken { .. });
                    assert!(is_taken && Instant::now() < watchdog(), "{error}");
                }
            }
        }
    }
}

/// Reads into a claim until it is killed.
fn read(first: &First) {
    let ring = first.ring();
    let source = Source::named(&first.hear());
    let len = first.hear().parse().unwrap();
    let mut sender = ring.sender().unwrap();
    let mut claim = sender.claim_deadline(len, watchdog()).unwrap();
    // SAFETY: nobody else writes it.
    let room = unsafe { claim.as_mut_slice() };
    let mut source = Bytes::of(source, len, FOREIGN, room);
    let fill = |source: &mut Bytes<'_>| source.fill().map_err(|error| error.to_string());
    if let Err(refusal) = source
        .as_mut()
        .map_err(|error| error.to_string())
        .and_then(fill)
    {
        // Such a call is not known here, or not allowed, or not for such a file.
        eprintln!("not tried: {refusal}");
        first.say("cannot");
        return;
    }
    first.say("reading");
    while source.as_mut().is_ok_and(|source| source.fill().is_ok()) {}
    panic!("it could be read once");
}

/// Lends a pointer to a process that shares its memory, as a child of `vfork` does, and that reads from a FIFO. The
/// death of this one is no end of the memory.
fn lend_to_another(first: &First) {
    let ring = first.ring();
    let fifo = File::open(first.hear()).unwrap();
    let len = first.hear().parse().unwrap();
    let mut sender = ring.sender().unwrap();
    let mut claim = sender.claim_deadline(len, watchdog()).unwrap();
    // SAFETY: nobody else writes it.
    let room = unsafe { claim.as_mut_slice() };
    requests::read_in_another_process(&fifo, room);
    drop(fifo);
    first.say("lent");
    first.hear();
}

/// Claims a slab, and asks for no pointer.
fn claim(first: &First) {
    let ring = first.ring();
    let mut sender = ring.sender().unwrap();
    let mut claim = sender.claim_deadline(SLAB, watchdog()).unwrap();
    claim.write_at(0, &[FOREIGN; 4096]);
    first.say("claimed");
    first.hear();
}

/// A FIFO that goes with the test.
fn fifo(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    path
}

#[test]
fn a_slab_is_withheld_as_long_as_the_memory_of_a_dead_one_lives_and_then_wakes_who_needs_it() {
    for (shape, backing, apart) in [
        (STREAM, Backing::Shm, false),
        (CELLS, Backing::Memfd, false),
        (CELLS, Backing::File, true),
        ((Kind::Mpmc, SyncKind::SysvSem), Backing::Shm, false),
        ((Kind::Mpsc, SyncKind::PosixSem), Backing::Shm, false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(directory.path());
        let (ring, place) = ring(shape, backing, 1, apart);
        let mut receiver = ring.receiver().unwrap();
        let lender = Second::start("lend to another", &ring);
        lender.say(path.display());
        lender.say(SLAB);
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        lender.expect("lent");
        lender.kill();
        let mut sender = ring.sender().unwrap();
        // The memory lives.
        assert_eq!(sender.try_claim(SLAB).err(), Some(SendError::Full));
        let soon = Instant::now() + Duration::from_millis(20);
        let late = sender.claim_deadline(SLAB, soon).err();
        assert_eq!(late, Some(SendError::TimedOut), "{shape:?}");
        if let Ok(stat) = ringway::inspect::stat(&place.address) {
            assert_eq!((stat.slabs[0].free, stat.slabs[0].withheld), (0, 1));
        }
        // Who does not need it goes on.
        sender.try_send(b"short").unwrap();
        assert_eq!(receiver.try_recv().unwrap(), b"short");
        let waiting = std::thread::spawn(move || {
            send_in_slab(&mut sender);
            sender
        });
        pipe.write_all(&vec![FOREIGN; SLAB]).unwrap();
        drop(pipe);
        let sender = waiting.join().unwrap();
        assert!(is_ours(&receiver.try_recv().unwrap(), SLAB), "{shape:?}");
        drop((sender, receiver));
        if let Ok(stat) = ringway::inspect::stat(&place.address) {
            assert_eq!((stat.slabs[0].free, stat.slabs[0].withheld), (1, 0));
        }
    }
}

#[test]
fn room_in_a_ring_is_had_at_once_while_the_memory_of_a_dead_one_lives_and_stays_as_it_is() {
    for shape in [STREAM, CELLS] {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(directory.path());
        let (ring, _place) = ring(shape, Backing::Shm, 0, false);
        let mut receiver = ring.receiver().unwrap();
        let lender = Second::start("lend to another", &ring);
        lender.say(path.display());
        lender.say(IN_RING);
        let mut pipe = File::options().read(true).write(true).open(&path).unwrap();
        lender.expect("lent");
        lender.kill();
        let mut sender = ring.sender().unwrap();
        // In the cells, the second one needs the place of the dead.
        let messages = if shape == STREAM { 1 } else { 2 };
        for _ in 0..messages {
            sender.try_send(&vec![OURS; IN_RING]).unwrap();
        }
        // All but what the pipe holds has been read then.
        pipe.write_all(&vec![FOREIGN; IN_RING + (1 << 20)]).unwrap();
        for _ in 0..messages {
            assert!(is_ours(&receiver.try_recv().unwrap(), IN_RING));
        }
    }
}

#[test]
fn what_others_leave_is_had_at_once_while_a_slab_is_withheld() {
    let directory = tempfile::tempdir().unwrap();
    let path = fifo(directory.path());
    let (ring, _place) = ring(CELLS, Backing::Shm, 2, false);
    let mut receiver = ring.receiver().unwrap();
    let mut sender = ring.sender().unwrap();
    let lender = Second::start("lend to another", &ring);
    lender.say(path.display());
    lender.say(SLAB);
    let pipe = File::options().read(true).write(true).open(&path).unwrap();
    lender.expect("lent");
    let claimer = Second::start("claim", &ring);
    claimer.expect("claimed");
    lender.kill();
    assert_eq!(sender.try_claim(SLAB).err(), Some(SendError::Full));
    let waiting = std::thread::spawn(move || {
        send_in_slab(&mut sender);
        sender
    });
    std::thread::sleep(Duration::from_millis(5));
    claimer.kill();
    let mut sender = waiting.join().unwrap();
    assert!(is_ours(&receiver.recv().unwrap(), SLAB));
    // One that died without having lent a pointer is not waited for; the other one still is.
    sender.try_claim(SLAB).unwrap().abort();
    let mut claim = sender.try_claim(SLAB).unwrap();
    claim.write_at(0, b"one slab");
    claim.commit();
    assert_eq!(sender.try_claim(SLAB).err(), Some(SendError::Full));
    drop(pipe);
    send_in_slab(&mut sender);
}

#[test]
fn what_was_written_by_pieces_and_by_pointer_is_one_message() {
    for (shape, slabs) in [(STREAM, 0), (CELLS, 0), (STREAM, 1), (CELLS, 1)] {
        for backing in [Backing::Shm, Backing::SysvPrivate] {
            let (ring, _place) = ring(shape, backing, slabs, false);
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            let len = if slabs == 0 { IN_RING } else { SLAB };
            for _ in 0..3 {
                let mut claim = sender.try_claim(len).unwrap();
                claim.write_at(0, b"first ");
                // SAFETY: nobody else writes it.
                let whole = unsafe { claim.as_mut_slice() };
                whole[6..12].copy_from_slice(b"second");
                claim.write_at(12, b" third");
                // SAFETY: as above.
                let whole = unsafe { claim.as_mut_slice() };
                assert_eq!(
                    (&whole[..18], whole.len()),
                    (&b"first second third"[..], len)
                );
                claim.commit_len(18);
                assert_eq!(receiver.try_recv().unwrap(), b"first second third");
                let mut claim = sender.try_claim(len).unwrap();
                // SAFETY: nobody else writes it.
                unsafe { claim.as_mut_ptr().write_bytes(OURS, len) };
                // SAFETY: as above.
                let whole = unsafe { claim.as_mut_slice() };
                whole[0] = FOREIGN;
                claim.commit();
                let message = receiver.try_recv().unwrap();
                assert_eq!(message[0], FOREIGN);
                assert!(is_ours(&message[1..], len - 1));
                // Of one that is given up nothing is left.
                let mut claim = sender.try_claim(len).unwrap();
                // SAFETY: nobody else writes it.
                unsafe { claim.as_mut_slice() }.fill(FOREIGN);
                claim.abort();
            }
        }
    }
}
