//! Collecting: what only the dead held goes, by proof of the kernel's; the living, the orderly, the foreign and whoever
//! comes in the same moment lose nothing.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringway::gc::{Fate, Why};
use ringway::mq::{Gc, QueueBuilder, QueueSender, remove, stat};
use ringway::{ErrorKind, WaitStrategy};

use super::deaths::{receiver_at, sender_at};
use super::hostile::put_notice;
use super::place::{Place, System, drain};
use super::two_processes::messages::{Random, number, number_in};
use super::two_processes::procfs::while_blocked;
use super::two_processes::{First, Second, watchdog};

fn collect(place: &Place) -> Fate {
    Gc::new().collect(&place.address).unwrap().unwrap()
}

/// What is said of a queue in which nobody alive is, and of no death.
fn quiet(system: System) -> Fate {
    Fate::Kept(match system {
        System::Posix => Why::Unproven,
        System::Sysv | System::SysvInTurn => Why::InOrder,
    })
}

#[test]
fn a_queue_whose_receiver_was_killed_goes() {
    for system in System::ALL {
        for kill in [Second::kill, Second::kill_unreaped] {
            let (_queue, place) = system.queue();
            let victim = receiver_at(&place.address);
            let in_use = Fate::Kept(Why::InUse { alive: 1, dead: 0 });
            assert_eq!(collect(&place), in_use, "{system:?}");
            victim.stop();
            assert_eq!(collect(&place), in_use, "{system:?}: it is stopped");
            kill(&victim);
            let dry = Gc::new().dry_run(true).collect(&place.address);
            assert_eq!(dry.unwrap(), Some(Fate::Removable), "{system:?}");
            assert!(place.is_taken());
            assert_eq!(collect(&place), Fate::Removed, "{system:?}");
            assert!(!place.is_taken(), "{system:?}");
            let gone = Gc::new().collect(&place.address).unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::NotFound, "{system:?}");
        }
    }
}

#[test]
fn a_queue_whose_sender_was_killed_goes_where_that_leaves_a_trace() {
    for system in System::ALL {
        let (_queue, place) = system.queue();
        sender_at(&place.address, 0).kill();
        match system {
            System::Sysv | System::SysvInTurn => assert_eq!(collect(&place), Fate::Removed),
            System::Posix => {
                assert_eq!(collect(&place), Fate::Kept(Why::Unproven));
                let all = Gc::new().undelivered(true).collect(&place.address);
                assert_eq!(all.unwrap(), Some(Fate::Kept(Why::Unproven)));
                remove(&place.address, false).unwrap();
            }
        }
        assert!(!place.is_taken(), "{system:?}");
    }
}

#[test]
fn a_notice_that_the_dead_left_keeps_no_queue() {
    for system in System::ALL {
        let (_queue, place) = system.queue();
        let victim = receiver_at(&place.address);
        victim.stop();
        put_notice(&place, system);
        victim.kill();
        assert_eq!(collect(&place), Fate::Removed, "{system:?}");
    }
}

#[test]
fn messages_are_kept_until_they_are_received_or_given_up() {
    for system in System::ALL {
        let (queue, place) = system.queue();
        let (from, to) = (sender_at(&place.address, 3), receiver_at(&place.address));
        to.kill();
        let repairable = Fate::Kept(Why::InUse { alive: 1, dead: 1 });
        assert_eq!(collect(&place), repairable, "{system:?}");
        from.kill();
        let kept = |messages| Fate::Kept(Why::Undelivered { messages });
        assert_eq!(collect(&place), kept(3), "{system:?}");
        let mut successor = queue.receiver().unwrap();
        assert_eq!(drain(&mut successor), 3, "{system:?}");
        drop(successor);
        // The sender's death is still there, where it leaves a trace.
        let dry = Gc::new().dry_run(true).collect(&place.address).unwrap();
        match system {
            System::Posix => assert_eq!(dry, Some(Fate::Kept(Why::Unproven))),
            System::Sysv | System::SysvInTurn => assert_eq!(dry, Some(Fate::Removable)),
        }
        sender_at(&place.address, 2).kill();
        receiver_at(&place.address).kill();
        assert_eq!(collect(&place), kept(2), "{system:?}");
        let all = Gc::new().undelivered(true).collect(&place.address);
        assert_eq!(all.unwrap(), Some(Fate::Removed), "{system:?}");
        assert!(!place.is_taken(), "{system:?}");
    }
}

#[test]
fn what_was_left_in_order_stays() {
    for system in System::ALL {
        let (queue, place) = system.queue();
        assert_eq!(collect(&place), quiet(system), "new");
        drop((queue.sender().unwrap(), queue.receiver().unwrap()));
        assert_eq!(collect(&place), quiet(system), "closed");
        let mut receiver = queue.receiver().unwrap();
        drain(&mut receiver);
        queue.sender().unwrap().leave();
        drain(&mut receiver);
        receiver.leave();
        assert_eq!(collect(&place), quiet(system), "left");
        assert!(place.is_taken(), "{system:?}");
    }
}

#[test]
fn a_queue_of_which_one_opened_before_is_gone_for_that_one() {
    for system in System::ALL {
        let (queue, place) = system.queue();
        receiver_at(&place.address).kill();
        assert_eq!(collect(&place), Fate::Removed, "{system:?}");
        let gone = queue.sender().unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound, "{system:?}: {gone}");
        let gone = queue.receiver().unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound, "{system:?}: {gone}");
    }
}

/// As one who removes a queue: until this is dropped.
enum Gate {
    Posix { _locked: OwnedFd },
    Sysv { set: i32 },
}

impl Gate {
    fn close(place: &Place) -> Self {
        match place.address {
            ringway::Address::Mq(_) => {
                // SAFETY: a C string and flags that ask for no more arguments; a descriptor that nobody else has.
                let file = unsafe {
                    let queue = libc::mq_open(place.name().as_ptr(), libc::O_RDWR);
                    assert!(queue >= 0);
                    OwnedFd::from_raw_fd(queue)
                };
                let all = libc::flock {
                    l_type: libc::F_WRLCK as libc::c_short,
                    l_whence: libc::SEEK_SET as libc::c_short,
                    l_start: 0,
                    l_len: 0,
                    l_pid: 0,
                };
                // SAFETY: reads the lock, which outlives the call.
                let locked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &all) };
                assert_eq!(locked, 0);
                Self::Posix { _locked: file }
            }
            _ => {
                let set = place.ids().1.unwrap();
                change_never(set, 1);
                Self::Sysv { set }
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Self::Sysv { set } = self {
            change_never(*set, -1);
        }
    }
}

/// The semaphore that is raised while a queue is removed.
fn change_never(set: i32, by: i16) {
    let mut operation = libc::sembuf {
        sem_num: 8,
        sem_op: by,
        sem_flg: 0,
    };
    // SAFETY: one operation, which outlives the call.
    assert_eq!(unsafe { libc::semop(set, &mut operation, 1) }, 0);
}

#[test]
fn who_comes_while_it_is_decided_waits_for_that() {
    for system in System::ALL {
        let (queue, place) = system.queue();
        drop((queue.sender().unwrap(), queue.receiver().unwrap()));
        drain(&mut queue.receiver().unwrap());
        let gate = Gate::close(&place);
        let attached = while_blocked(WaitStrategy::Park, || drop(gate), || queue.receiver());
        let mut receiver = attached.unwrap();
        drain(&mut receiver);
        receiver.leave();
        let gate = Gate::close(&place);
        let mut sender =
            while_blocked(WaitStrategy::Park, || drop(gate), || queue.sender()).unwrap();
        sender.try_send(b"x").unwrap();
        assert_eq!(queue.receiver().unwrap().try_recv().unwrap(), b"x");
    }
}

/// Sets it when dropped, also by a failed test.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Attaches as often as it is told, and has the queue for itself then: what is sent by its name arrives.
pub fn visit(first: &First) {
    let wanted: u64 = first.hear().parse().unwrap();
    first.say("begun");
    let mut visits = 0;
    let may_be = |kind| {
        [
            ErrorKind::NotFound,
            ErrorKind::AlreadyExists,
            ErrorKind::RoleTaken { pid: 0 },
        ]
        .contains(&kind)
    };
    while visits < wanted {
        let builder = || {
            let builder = QueueBuilder::at(first.address().clone());
            builder.messages(4).message_len(112)
        };
        let queue = match builder().open_or_create() {
            Ok(queue) => queue,
            Err(error) if may_be(error.kind()) => continue,
            Err(error) => panic!("{error}"),
        };
        let mut receiver = match queue.receiver() {
            Ok(receiver) => receiver,
            Err(error) if may_be(error.kind()) => continue,
            Err(error) => panic!("{error}"),
        };
        // Of those that were killed.
        while receiver.try_recv().is_ok() {}
        let mut sender: QueueSender = builder().open().unwrap().sender().unwrap();
        sender.send(&number(visits)).unwrap();
        // Not, say, that the sender has died or closed.
        let received = number_in(&receiver.recv_deadline(watchdog()).unwrap());
        assert_eq!(received, visits);
        visits += 1;
        sender.leave();
        receiver.leave();
    }
    first.say("visited");
}

#[test]
fn collectors_hurt_nobody_who_comes_and_goes() {
    for system in System::ALL {
        let place = Place::new(system);
        let start = |visits: u64| {
            let visitor = Second::start_at("visit", &place.address);
            visitor.say(visits);
            visitor.expect("begun");
            visitor
        };
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let collectors = [0, 1].map(|nth| {
                let (place, ended) = (&place, &ended);
                scope.spawn(move || {
                    let gc = Gc::new().undelivered(nth == 0);
                    let mut removed = 0;
                    while !ended.load(Ordering::Relaxed) {
                        match gc.collect(&place.address) {
                            Ok(Some(Fate::Removed)) => removed += 1,
                            Ok(_) => {}
                            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        }
                    }
                    removed
                })
            });
            let end = End(&ended);
            let visitors = [start(100), start(100)];
            let mut random = Random(4);
            for _ in 0..30 {
                let victim = start(u64::MAX);
                std::thread::sleep(Duration::from_micros(random.below(5000)));
                victim.kill();
            }
            for visitor in visitors {
                visitor.expect("visited");
                visitor.finish();
            }
            drop(end);
            let removed: u64 = collectors.map(|one| one.join().unwrap()).iter().sum();
            println!("{system:?}: removed {removed} times");
        });
        // And what is left of them goes in the end.
        let builder = QueueBuilder::at(place.address.clone());
        builder
            .messages(4)
            .message_len(112)
            .open_or_create()
            .unwrap();
        receiver_at(&place.address).kill();
        let fate = Gc::new().undelivered(true).collect(&place.address);
        assert_eq!(fate.unwrap(), Some(Fate::Removed), "{system:?}");
        assert!(!place.is_taken(), "{system:?}");
        assert_eq!(
            stat(&place.address).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}
