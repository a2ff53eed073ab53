//! Making, finding and refusing queues.

use std::sync::Barrier;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use ringway::mq::{QueueBuilder, stat};
use ringway::{ErrorKind, SendError, WaitStrategy};

use super::place::{Place, System, again};
use super::two_processes::procfs::while_blocked;
use super::two_processes::{First, Second};

#[test]
fn what_exists_is_not_created_and_what_does_not_is_not_opened() {
    for system in System::ALL {
        let place = Place::new(system);
        let missing = place.builder().open().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{system:?}");
        assert!(missing.to_string().contains("create it"), "{missing}");
        let late = place.builder().wait(Duration::from_millis(5)).open();
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let gone = stat(&place.address).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        let _queue = place.builder().create().unwrap();
        let taken = place.builder().create().unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "{system:?}");
        place.builder().open_or_create().unwrap();
    }
    let ring = QueueBuilder::new("shm:orders").unwrap().create();
    assert_eq!(ring.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn an_open_that_waits_finds_what_is_made_meanwhile() {
    for system in System::ALL {
        let place = Place::new(system);
        let patient = place.builder().wait(Duration::from_secs(60));
        let made = while_blocked(
            WaitStrategy::Park,
            || drop(place.builder().create().unwrap()),
            || patient.open(),
        );
        assert!(made.is_ok(), "{system:?}");
    }
}

#[test]
fn of_a_thousand_racing_creators_one_succeeds_each_time() {
    const RACERS: usize = 10;
    for system in System::ALL {
        for _ in 0..100 {
            let place = Place::new(system);
            let start = Barrier::new(RACERS);
            let created = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..RACERS)
                    .map(|racer| {
                        let (place, start) = (&place, &start);
                        scope.spawn(move || {
                            start.wait();
                            let created = match racer % 2 {
                                0 => place.builder().create(),
                                _ => place.builder().open_or_create().inspect(|queue| {
                                    queue.sender().unwrap().leave();
                                }),
                            };
                            match created {
                                Ok(_) => racer % 2 == 0,
                                Err(error) => {
                                    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                                    false
                                }
                            }
                        })
                    })
                    .collect();
                racers
                    .into_iter()
                    .map(|racer| racer.join().unwrap())
                    .filter(|created| *created)
                    .count()
            });
            assert!(created <= 1, "{system:?}");
            let stat = stat(&place.address).unwrap();
            assert_eq!((stat.senders, stat.receivers), (0, 0), "{system:?}");
        }
    }
}

#[test]
fn racing_processes_make_one_queue() {
    for system in System::ALL {
        let place = Place::new(system);
        let racers: Vec<_> = (0..8)
            .map(|_| Second::start_at("create", &place.address))
            .collect();
        racers.iter().for_each(|racer| racer.expect("ready"));
        racers.iter().for_each(|racer| racer.say("go"));
        let made = racers.iter().filter(|racer| racer.hear() == "made").count();
        assert_eq!(made, 1, "{system:?}");
    }
}

pub fn create(first: &First) {
    first.say("ready");
    first.hear();
    let builder = QueueBuilder::at(first.address().clone());
    match builder.messages(4).message_len(112).create() {
        Ok(_) => first.say("made"),
        Err(error) => first.say(error),
    }
}

#[test]
fn limits_are_named_with_their_values() {
    let place = Place::new(System::Posix);
    let error = place.builder().messages(100_000).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCapacity);
    for part in ["fs.mqueue.msg_max", "sysctl"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = place.builder().messages(0).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCapacity);
    let second = Second::start_at("few bytes", &place.address);
    assert_eq!(second.hear(), "explained");

    let place = Place::new(System::Sysv);
    let error = place.builder().message_len(1 << 30).create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidCapacity);
    for part in ["kernel.msgmax", "sysctl"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(!place.is_taken());
}

pub fn few_bytes(first: &First) {
    setrlimit(Resource::RLIMIT_MSGQUEUE, 1000, 1000).unwrap();
    let builder = QueueBuilder::at(first.address().clone());
    let builder = builder.messages(4).message_len(8000);
    let error = builder.create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    for part in ["RLIMIT_MSGQUEUE, 1000", "ulimit -q"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    first.say("explained");
}

/// Whoever opens the queue is bound by what its maker said.
#[test]
fn the_longest_message_is_what_was_asked_for() {
    for system in System::ALL {
        let place = Place::new(system);
        let builder = place.builder().messages(4).message_len(100);
        let made = builder.create().unwrap();
        for queue in [again(&made), made] {
            assert_eq!(queue.max_message_len(), 100, "{system:?}");
            let (mut sender, mut receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
            let refused = sender.try_send(&[0; 101]);
            let too_large = SendError::TooLarge { len: 101, max: 100 };
            assert_eq!(refused, Err(too_large), "{system:?}");
            sender.try_send(&[7; 100]).unwrap();
            assert_eq!(receiver.try_recv().unwrap(), [7; 100], "{system:?}");
        }
        assert_eq!(stat(&place.address).unwrap().max_message_len, 100);
    }
}

#[test]
fn the_mode_is_what_was_asked_for() {
    for system in System::ALL {
        let place = Place::new(system);
        let queue = place.builder().mode(0o666).create().unwrap();
        let _receiver = queue.receiver().unwrap();
        assert_eq!(stat(&place.address).unwrap().mode, 0o666, "{system:?}");
    }
}

#[test]
fn nothing_is_left_of_a_queue_that_was_removed() {
    for system in System::ALL {
        let place = Place::new(system);
        for _ in 0..3 {
            let queue = place.builder().create().unwrap();
            drop((queue.sender().unwrap(), queue.receiver().unwrap()));
            ringway::mq::remove(&place.address, false).unwrap();
            assert!(!place.is_taken(), "{system:?}");
        }
    }
}
