//! A call that waits is ended from outside: by another thread, and by a signal handler, on rings of every kind.

use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use ringway::chunk::{ChunkReceiver, ChunkRecvError, Splitter};
use ringway::transport::MessageSink;
use ringway::wait::Interrupter;
use ringway::{Receiver, RecvError, SendError, Sender, WaitStrategy};
use ringway_testing::table::{Row, for_each};

const STRATEGIES: [WaitStrategy; 3] = [
    WaitStrategy::Park,
    WaitStrategy::Adaptive(Duration::from_micros(50)),
    WaitStrategy::Spin,
];

fn fill(sender: &mut Sender) {
    while sender.try_send(&[7; 100]).is_ok() {}
}

/// Has another thread interrupt again and again at no certain moment of what `call` does: it must end each time.
fn interrupted<T>(interrupter: Interrupter, times: usize, mut call: impl FnMut() -> T) {
    let (ask, asked) = mpsc::channel();
    let other = thread::spawn(move || {
        for round in asked {
            (0..round % 5 * 200).for_each(|_| std::hint::spin_loop());
            interrupter.interrupt();
        }
    });
    for round in 0..times {
        ask.send(round).unwrap();
        call();
    }
    drop(ask);
    other.join().unwrap();
}

#[test]
fn another_thread_ends_a_receive() {
    for_each(Row::on_shm(), |row| {
        for how in STRATEGIES {
            let (ring, _place) = row.ring();
            let mut sender = ring.sender().unwrap();
            let mut receiver = ring.receiver().unwrap().with_wait(how);
            let interrupter = receiver.interrupter();
            interrupted(interrupter, 100, || {
                assert_eq!(
                    receiver.recv(),
                    Err(RecvError::Interrupted),
                    "{row} {how:?}"
                );
            });
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row} {how:?}");
            sender.send(b"message").unwrap();
            assert_eq!(receiver.recv().unwrap(), b"message", "{row} {how:?}");
        }
    });
}

#[test]
fn another_thread_ends_a_send() {
    for_each(Row::on_shm(), |row| {
        for how in STRATEGIES {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap();
            let mut sender = ring.sender().unwrap().with_wait(how);
            fill(&mut sender);
            let interrupter = sender.interrupter();
            interrupted(interrupter, 100, || {
                assert_eq!(
                    sender.send(&[7; 100]),
                    Err(SendError::Interrupted),
                    "{row} {how:?}"
                );
            });
            while receiver.try_recv().is_ok() {}
            sender.send(&[7; 100]).unwrap();
        }
    });
}

#[test]
fn every_wait_ends() {
    for row in Row::on_shm() {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
        let interrupter = sender.interrupter();
        interrupter.interrupt();
        assert_eq!(sender.wait_for_peer(), Err(SendError::Interrupted));
        sender.send(b"1").unwrap();
        interrupter.interrupt();
        assert_eq!(sender.wait_until_drained(), Err(SendError::Interrupted));
        interrupter.interrupt();
        interrupter.interrupt();
        while sender.send_timeout(&[7; 100], Duration::from_secs(60)) == Ok(()) {}
        // Twice is once.
        let moment = Duration::from_millis(1);
        assert_eq!(
            sender.send_timeout(&[7; 100], moment),
            Err(SendError::TimedOut)
        );

        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        let interrupter = receiver.interrupter();
        interrupter.interrupt();
        while receiver.wait() == Ok(()) {
            receiver.recv().unwrap();
        }
        interrupter.interrupt();
        let more = receiver.producers_ever() + 1;
        assert_eq!(
            receiver.wait_for_producers(more),
            Err(RecvError::Interrupted)
        );
        interrupter.interrupt();
        // It tells nothing, and leaves it to the next.
        receiver.wait_while_attached(&[sender.id()]);
        assert_eq!(receiver.recv(), Err(RecvError::Interrupted));
        sender.leave();
        interrupter.interrupt();
        assert_eq!(receiver.wait_for_peer(), Err(RecvError::Interrupted));
    }
}

/// Also where a message has begun and its sender lives, which is another wait.
#[test]
fn a_receive_of_fragments_ends() {
    for row in Row::on_shm() {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap();
        let mut receiver = ring.receiver().unwrap();
        let interrupter = receiver.interrupter();
        let mut chunks = ChunkReceiver::new(receiver);
        // The first of two fragments.
        let split = Splitter::new(MessageSink::sender_id(&sender), 0, Some(2));
        let frame = [&split.next(b"1", false).encode(b"1")[..], b"1"].concat();
        sender.send(&frame).unwrap();
        for _ in 0..2 {
            interrupter.interrupt();
            let ended = chunks.recv();
            let is_told = matches!(
                ended,
                Err(ChunkRecvError::Transport(RecvError::Interrupted))
            );
            assert!(is_told, "{row}");
        }
    }
}

static BY_SIGNAL: OnceLock<Interrupter> = OnceLock::new();

extern "C" fn on_signal(_: libc::c_int) {
    if let Some(interrupter) = BY_SIGNAL.get() {
        interrupter.interrupt();
    }
}

/// The handler runs in the very thread that waits, as of a program with one thread it does.
#[test]
fn a_signal_handler_ends_a_receive() {
    let (ring, _place) = Row::named("spsc/futex/Shm").unwrap().ring();
    let _sender = ring.sender().unwrap();
    let mut receiver = ring.receiver().unwrap();
    BY_SIGNAL.set(receiver.interrupter()).unwrap();
    let action = SigAction::new(
        SigHandler::Handler(on_signal),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler does what may be done in one.
    unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
    let (tell, told) = mpsc::channel();
    let waiting = thread::spawn(move || {
        tell.send(pthread_self()).unwrap();
        (0..100).for_each(|_| assert_eq!(receiver.recv(), Err(RecvError::Interrupted)));
    });
    let thread = told.recv().unwrap();
    // As often as it takes: several may come before one call, and are one.
    while !waiting.is_finished() {
        pthread_kill(thread, Signal::SIGUSR1).unwrap();
        thread::sleep(Duration::from_micros(100));
    }
    waiting.join().unwrap();
}

/// The place in the ring is the next handle's.
#[test]
fn an_interrupter_outlives_its_handle_and_reaches_no_other() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let attach = |receiver: &mut Option<Receiver>| {
            *receiver = None;
            receiver.insert(ring.receiver().unwrap()).interrupter()
        };
        let mut receiver = None;
        let first = attach(&mut receiver);
        let (hand_over, handed_over) = mpsc::channel::<Interrupter>();
        thread::scope(|scope| {
            scope.spawn(|| {
                for interrupter in handed_over {
                    (0..10).for_each(|_| interrupter.interrupt());
                }
            });
            for _ in 0..50 {
                hand_over.send(attach(&mut receiver)).unwrap();
            }
            drop(hand_over);
        });
        let last = attach(&mut receiver);
        first.interrupt();
        let mut receiver = receiver.unwrap();
        let moment = Duration::from_millis(1);
        assert_eq!(
            receiver.recv_timeout(moment),
            Err(RecvError::TimedOut),
            "{row}"
        );
        last.interrupt();
        assert_eq!(receiver.recv(), Err(RecvError::Interrupted), "{row}");
        drop(receiver);
        last.interrupt();
    });
}

#[test]
fn a_child_of_fork_interrupts_nobody() {
    let (ring, _place) = Row::named("mpmc/futex/Shm").unwrap().ring();
    let mut receiver = ring.receiver().unwrap();
    let interrupter = receiver.interrupter();
    // SAFETY: the child makes system calls only, and exits.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            interrupter.interrupt();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
    }
    let moment = Duration::from_millis(1);
    assert_eq!(receiver.recv_timeout(moment), Err(RecvError::TimedOut));
}
