//! Who must not block is told when it is worth looking: a task by its waker, and an event loop by a descriptor, on rings of every kind.

mod two_processes;

use std::future::poll_fn;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use ringway::{Kind, Receiver, RecvError, SendError, Sender, WaitStrategy};
use ringway_testing::place::Backing;
use ringway_testing::table::{Row, for_each};
use two_processes::roles::{consumer, fill, producer, receive, send};
use two_processes::{Second, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        _ => panic!("{role}"),
    });
}

/// Wakes a thread, and counts.
struct Bed(Thread, AtomicUsize);

impl Wake for Bed {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

/// The least executor: sleeps until it is woken, and fails if nobody does.
fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let bed = Arc::new(Bed(thread::current(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&bed));
    let mut future = pin!(poll_fn(|context| poll(context)));
    loop {
        let mut context = Context::from_waker(&waker);
        let before = bed.1.load(Ordering::SeqCst);
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        while bed.1.load(Ordering::SeqCst) == before {
            assert!(Instant::now() < watchdog_of(), "not woken");
            thread::park_timeout(Duration::from_secs(1));
        }
    }
}

fn watchdog_of() -> Instant {
    thread_local!(static END: Instant = watchdog());
    END.with(|end| *end)
}

/// A pause of no certain length.
fn moment(round: usize) {
    match round % 4 {
        0 => {}
        3 => thread::sleep(Duration::from_micros(100)),
        n => (0..n * 300).for_each(|_| std::hint::spin_loop()),
    }
}

const STRATEGIES: [WaitStrategy; 2] = [
    WaitStrategy::Park,
    WaitStrategy::Adaptive(Duration::from_micros(50)),
];

#[test]
fn a_task_gets_every_message() {
    const ROUNDS: usize = 200;
    for_each(Row::on_shm(), |row| {
        for how in STRATEGIES {
            let (ring, _place) = row.ring();
            let mut receiver = ring.receiver().unwrap().with_wait(how);
            let mut sender = ring.sender().unwrap();
            let other = thread::spawn(move || {
                for round in 0..ROUNDS {
                    moment(round);
                    sender.send(&round.to_le_bytes()).unwrap();
                }
            });
            for round in 0..ROUNDS {
                let message = block_on(|context| receiver.poll_recv(context)).unwrap();
                assert_eq!(message, round.to_le_bytes(), "{row}");
            }
            let end = block_on(|context| receiver.poll_recv(context));
            assert_eq!(end, Err(RecvError::Closed), "{row}");
            other.join().unwrap();
        }
    });
}

#[test]
fn a_task_gets_room() {
    const ROUNDS: usize = 200;
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
        let other = thread::spawn(move || {
            for round in 0..ROUNDS {
                moment(round);
                assert_eq!(receiver.recv().unwrap().len(), 500);
            }
            receiver
        });
        for _ in 0..ROUNDS {
            block_on(|context| sender.poll_send(context, &[7; 500])).unwrap();
        }
        block_on(|context| sender.poll_wait_until_drained(context)).unwrap();
        drop(other.join().unwrap());
    });
}

/// Several tasks of one role: each message goes to one, and all are woken at the end.
#[test]
fn many_tasks_share_the_messages() {
    let many = Row::with_many(ringway::peer::Role::Consumer, Row::on_shm());
    for_each(many, |row| {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap();
        let receivers: Vec<Receiver> = (0..4).map(|_| ring.receiver().unwrap()).collect();
        thread::scope(|scope| {
            let tasks = receivers.into_iter().map(|mut receiver| {
                scope.spawn(move || {
                    let mut count = 0;
                    while block_on(|context| receiver.poll_recv(context)).is_ok() {
                        count += 1;
                    }
                    count
                })
            });
            let tasks: Vec<_> = tasks.collect();
            for round in 0..400 {
                moment(round);
                sender.send(b"work").unwrap();
            }
            drop(sender);
            let counts = tasks.into_iter().map(|task| task.join().unwrap());
            assert_eq!(counts.sum::<usize>(), 400, "{row}");
        });
    });
}

/// More than one thread can watch, and more than one ring.
#[test]
fn hundreds_of_handles_are_served() {
    const RINGS: usize = 150;
    let rings: Vec<_> = (0..RINGS).map(|_| Backing::Memfd.ring(4096)).collect();
    let pairs = rings
        .iter()
        .map(|(ring, _)| (ring.receiver().unwrap(), ring.sender().unwrap()));
    let (mut receivers, mut senders): (Vec<Receiver>, Vec<Sender>) = pairs.unzip();
    let mut context = Context::from_waker(Waker::noop());
    for receiver in &mut receivers {
        assert!(receiver.poll_recv(&mut context).is_pending());
    }
    let order = (0..RINGS).map(|index| index * 67 % RINGS);
    for index in order {
        let sender = &mut senders[index];
        thread::scope(|scope| {
            scope.spawn(|| {
                moment(index);
                sender.send(&index.to_le_bytes()).unwrap();
            });
            let message = block_on(|context| receivers[index].poll_recv(context)).unwrap();
            assert_eq!(message, index.to_le_bytes());
        });
    }
}

/// A future that is dropped, another waker, and blocking calls in between: nothing is lost.
#[test]
fn a_task_that_is_cancelled_loses_nothing() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut cancelled = Context::from_waker(Waker::noop());
        for round in 0..100 {
            assert!(receiver.poll_recv(&mut cancelled).is_pending(), "{row}");
            if round % 3 == 1 {
                let moment = Duration::from_micros(200);
                assert_eq!(receiver.recv_timeout(moment), Err(RecvError::TimedOut));
            }
            if round % 3 == 2 {
                receiver.disarm();
            }
            thread::scope(|scope| {
                scope.spawn(|| {
                    moment(round);
                    sender.send(b"message").unwrap();
                });
                if round % 2 == 0 {
                    block_on(|context| receiver.poll_recv(context)).unwrap();
                } else {
                    receiver.recv_deadline(watchdog()).unwrap();
                }
            });
        }
    });
}

#[test]
fn a_task_is_told_of_a_death() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let victim = producer(&ring, 10);
        let mut got = 0;
        let end = block_on(|context| {
            loop {
                match receiver.poll_recv(context) {
                    Poll::Ready(Ok(_)) => got += 1,
                    Poll::Ready(Err(end)) => return Poll::Ready(end),
                    Poll::Pending => {
                        if got == 10 {
                            victim.kill();
                        }
                        return Poll::Pending;
                    }
                }
            }
        });
        assert_eq!((got, end), (10, RecvError::PeerDied), "{row}");
    });
}

#[test]
fn a_task_that_waits_for_room_is_told_of_a_death() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut sender = ring.sender().unwrap();
        fill(&mut sender);
        let victim = consumer(&ring);
        let mut killed = false;
        let end = block_on(|context| {
            let polled = sender.poll_send(context, &[7; 100]);
            if polled.is_pending() && !std::mem::replace(&mut killed, true) {
                victim.kill();
            }
            polled
        });
        assert_eq!(end, Err(SendError::PeerDied), "{row}");
    });
}

/// A peer that is stopped is alive: nobody is woken, and its message comes when it goes on.
#[test]
fn a_task_waits_for_a_peer_that_is_stopped() {
    let (ring, _place) = Row::named("mpmc/futex/Shm").unwrap().ring();
    let mut receiver = ring.receiver().unwrap();
    let peer = producer(&ring, 1);
    block_on(|context| receiver.poll_recv(context)).unwrap();
    peer.signal(nix::sys::signal::Signal::SIGSTOP);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(receiver.poll_recv(&mut context).is_pending());
        thread::sleep(Duration::from_millis(1));
    }
    peer.signal(nix::sys::signal::Signal::SIGCONT);
    peer.kill();
    let end = block_on(|context| receiver.poll_recv(context));
    assert_eq!(end, Err(RecvError::PeerDied));
}

#[test]
fn a_task_is_interrupted() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let _sender = ring.sender().unwrap();
        let mut receiver = ring.receiver().unwrap();
        let interrupter = receiver.interrupter();
        for round in 0..50 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    moment(round);
                    interrupter.interrupt();
                });
                let end = block_on(|context| receiver.poll_recv(context));
                assert_eq!(end, Err(RecvError::Interrupted), "{row}");
            });
        }
    });
}

#[test]
fn a_task_learns_that_nobody_can_come() {
    let (ring, place) = Row::named("spsc/futex/Shm").unwrap().ring();
    let mut receiver = ring.receiver().unwrap();
    drop(ring);
    let mut removed = false;
    let end = block_on(|context| {
        let polled = receiver.poll_recv(context);
        if polled.is_pending() && !std::mem::replace(&mut removed, true) {
            ringway::remove(&place.address, true).unwrap();
        }
        polled
    });
    assert_eq!(end, Err(RecvError::Removed));
}

#[test]
fn a_task_waits_for_a_peer_to_come() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        for round in 0..20 {
            let ever = receiver.producers_ever();
            thread::scope(|scope| {
                let coming = scope.spawn(|| {
                    moment(round);
                    ring.sender().unwrap()
                });
                if round % 2 == 0 {
                    block_on(|context| receiver.poll_wait_for_peer(context)).unwrap();
                } else {
                    let wait = |context: &mut Context<'_>| {
                        receiver.poll_wait_for_producers(context, ever + 1)
                    };
                    block_on(wait).unwrap();
                }
                coming.join().unwrap().leave();
            });
        }
    });
}

/// The mapping goes with the handle, though a thread slept on it.
#[test]
fn a_handle_that_is_dropped_while_armed_leaves_nothing() {
    for_each(Row::on_shm(), |row| {
        let (ring, place) = row.ring();
        let address = place.address.to_string();
        let (_, name) = address.split_once(':').unwrap();
        let inode = std::fs::metadata(format!("/dev/shm/{name}")).unwrap().ino();
        let inode = inode.to_string();
        let maps = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let mut lines = maps.lines();
            lines.any(|line| line.split_whitespace().nth(4) == Some(&inode))
        };
        let mut receiver = ring.receiver().unwrap();
        drop(ring);
        let mut context = Context::from_waker(Waker::noop());
        assert!(receiver.poll_recv(&mut context).is_pending());
        // So that the waiter sleeps on it.
        thread::sleep(Duration::from_millis(2));
        assert!(maps(), "{row}");
        drop(receiver);
        assert!(!maps(), "{row}");
    });
}

/// Runs tasks within the call that wakes them, as some executors do: the handle is dropped by the waiter itself.
#[test]
fn a_handle_may_be_dropped_by_its_waker() {
    struct Holds(std::sync::Mutex<Option<Receiver>>, Thread);
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            self.1.unpark();
        }
    }
    let (ring, _place) = Backing::Shm.ring(4096);
    let mut sender = ring.sender().unwrap();
    let holder = Arc::new(Holds(std::sync::Mutex::new(None), thread::current()));
    let mut receiver = ring.receiver().unwrap();
    let waker = Waker::from(Arc::clone(&holder));
    // A waker that panics harms nobody but the one that it is of.
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker panics"));
        }
    }
    let other = Backing::Shm.ring(4096);
    let (mut panics, mut panicking) = (other.0.receiver().unwrap(), other.0.sender().unwrap());
    let panicker = Waker::from(Arc::new(Panics));
    assert!(
        panics
            .poll_recv(&mut Context::from_waker(&panicker))
            .is_pending()
    );
    panicking.send(b"").unwrap();
    let mut slot = holder.0.lock().unwrap();
    assert!(
        receiver
            .poll_recv(&mut Context::from_waker(&waker))
            .is_pending()
    );
    *slot = Some(receiver);
    drop(slot);
    sender.send(b"").unwrap();
    while holder.0.lock().unwrap().is_some() {
        assert!(Instant::now() < watchdog_of());
        thread::park_timeout(Duration::from_secs(1));
    }
}

/// A child has no waiter, and gets its own.
#[test]
fn a_child_of_fork_waits_by_itself() {
    let (ring, _place) = Row::named("mpmc/futex/Memfd").unwrap().ring();
    let mut receiver = ring.receiver().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(receiver.poll_recv(&mut context).is_pending());
    // SAFETY: no other thread of this process holds a lock that the child needs: the allocator has handlers for fork.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let work = move || {
                let inherited = receiver.poll_recv(&mut Context::from_waker(Waker::noop()));
                assert_eq!(inherited, Poll::Ready(Err(RecvError::Forked)));
                assert!(receiver.descriptor().is_err());
                drop(receiver);
                let (own, _place) = Backing::Memfd.ring(4096);
                let (mut sender, mut receiver) = (own.sender().unwrap(), own.receiver().unwrap());
                let other = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(1));
                    sender.send(b"in the child").unwrap();
                });
                let message = block_on(|context| receiver.poll_recv(context));
                assert_eq!(message.unwrap(), b"in the child");
                other.join().unwrap();
            };
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(done.is_err())) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
    }
    ring.sender().unwrap().send(b"message").unwrap();
    let message = block_on(|context| receiver.poll_recv(context));
    assert_eq!(message.unwrap(), b"message");
}

fn is_readable(descriptor: impl AsFd) -> bool {
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).unwrap() > 0
}

/// An armed handle may be woken for nothing, but not again and again.
fn becomes_quiet(descriptor: impl AsFd, mut arm: impl FnMut() -> bool) {
    for _ in 0..100 {
        assert!(arm());
        thread::sleep(Duration::from_millis(1));
        if !is_readable(&descriptor) {
            return;
        }
    }
    panic!("not quiet");
}

#[test]
fn a_descriptor_is_readable_while_an_armed_handle_should_look() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let descriptor = receiver.descriptor().unwrap().try_clone_to_owned().unwrap();
        sender.send(b"1").unwrap();
        assert!(!receiver.arm().unwrap(), "{row}: there is one");
        receiver.recv().unwrap();
        for _ in 0..20 {
            becomes_quiet(&descriptor, || receiver.arm().unwrap());
            sender.send(b"2").unwrap();
            let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut polled, 60_000_u16), Ok(1), "{row}");
            assert!(is_readable(&descriptor), "{row}: it stays so");
            assert!(!receiver.arm().unwrap(), "{row}");
            assert!(!is_readable(&descriptor), "{row}");
            receiver.recv().unwrap();
        }
        assert!(receiver.arm().unwrap());
        receiver.disarm();
        sender.send(b"3").unwrap();
        thread::sleep(Duration::from_millis(2));
        assert!(!is_readable(&descriptor), "{row}: disarmed");
        receiver.recv().unwrap();

        let full = sender.descriptor().unwrap().try_clone_to_owned().unwrap();
        assert!(!sender.arm(100).unwrap(), "{row}: there is room");
        fill(&mut sender);
        becomes_quiet(&full, || sender.arm(100).unwrap());
        while receiver.try_recv().is_ok() {}
        let mut polled = [PollFd::new(full.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, 60_000_u16), Ok(1), "{row}");
        assert!(!sender.arm(100).unwrap(), "{row}");
        sender.send(b"4").unwrap();
    });
}

/// It was armed, and woken, before there was one.
#[test]
fn a_descriptor_that_is_asked_for_late_is_readable_at_once() {
    let [early, late] = [(); 2].map(|()| ringway::at("memfd:").unwrap().create().unwrap());
    let [mut first, mut second] = [&early, &late].map(|ring| ring.receiver().unwrap());
    assert!(first.arm().unwrap());
    let descriptor = second.descriptor().unwrap().try_clone_to_owned().unwrap();
    assert!(second.arm().unwrap());
    early.sender().unwrap().send(b"1").unwrap();
    late.sender().unwrap().send(b"2").unwrap();
    // When the second one is woken, the first one has been: the waiter looks at them in that order.
    let mut polled = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut polled, 60_000_u16), Ok(1));
    assert!(is_readable(first.descriptor().unwrap()));
    assert!(!first.arm().unwrap());
    assert!(!is_readable(first.descriptor().unwrap()));
    assert_eq!(first.recv(), Ok(b"1".to_vec()));
}

/// One loop over rings of three kinds and a socket, level-triggered; one of the peers is killed.
#[test]
fn an_epoll_loop_serves_rings_and_a_socket() {
    const SOCKET: u64 = 99;
    let rows = ["spsc/futex/Shm", "mpmc/sysv-sem/Shm", "mpsc/mqueue/Shm"];
    let rings = rows.map(|row| Row::named(row).unwrap().ring());
    let mut receivers: Vec<_> = rings
        .iter()
        .map(|(ring, _)| ring.receiver().unwrap())
        .collect();
    let peers: Vec<Second> = rings.iter().map(|(ring, _)| producer(ring, 20)).collect();
    let (mut socket, other_end) = UnixStream::pair().unwrap();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let level = |number| EpollEvent::new(EpollFlags::EPOLLIN, number);
    epoll.add(&other_end, level(SOCKET)).unwrap();
    for (number, receiver) in receivers.iter_mut().enumerate() {
        let descriptor = receiver.descriptor().unwrap();
        epoll.add(descriptor, level(number as u64)).unwrap();
    }
    let mut got = [0; 3];
    let mut ends = [None; 3];
    let mut due: Vec<usize> = vec![0, 1, 2];
    let mut is_told = false;
    while ends.contains(&None) || !is_told {
        for number in due.drain(..) {
            let receiver = &mut receivers[number];
            loop {
                match receiver.try_recv() {
                    Ok(_) => got[number] += 1,
                    Err(RecvError::Empty) => {
                        if let Ok(true) = receiver.arm() {
                            break;
                        }
                    }
                    Err(end) => {
                        receiver.disarm();
                        ends[number] = Some(end);
                        break;
                    }
                }
            }
            if got[number] == 20 && ends[number].is_none() {
                peers[number].kill();
            }
        }
        if ends.iter().all(Option::is_some) && !is_told {
            socket.write_all(b"that was all").unwrap();
        }
        let mut events = [EpollEvent::empty(); 8];
        let count = epoll
            .wait(&mut events, EpollTimeout::from(60_000_u16))
            .unwrap();
        assert!(count > 0, "{got:?} {ends:?}");
        for event in &events[..count] {
            match event.data() {
                SOCKET => is_told = true,
                number => due.push(number as usize),
            }
        }
    }
    assert_eq!(got, [20; 3]);
    assert_eq!(ends, [Some(RecvError::PeerDied); 3]);
}

/// What waits for long messages waits for slabs.
#[test]
fn a_task_gets_a_slab() {
    for kind in [Kind::Spsc, Kind::Mpmc] {
        let row = Row {
            kind,
            ..Row::named("spsc/futex/Shm").unwrap()
        };
        let (ring, _place) = row.ring_with(|builder| builder.slabs(1 << 16, 2));
        let (sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let mut sender = sender.with_copy_limit(1000);
        let other = thread::spawn(move || {
            for round in 0..50 {
                moment(round);
                assert_eq!(receiver.recv().unwrap().len(), 60_000);
            }
        });
        for _ in 0..50 {
            let claim = |context: &mut Context<'_>| {
                sender
                    .poll_claim(context, 60_000)
                    .map_ok(|claim| claim.commit())
            };
            block_on(claim).unwrap();
        }
        other.join().unwrap();
    }
}
