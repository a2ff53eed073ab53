//! `auto:`: who chooses a ring and who a queue meet all the same, without a lock that anybody could hold; and what a
//! queue cannot do is refused, not dropped.

mod two_processes;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};
use ringway::channel::Carrier;
use ringway::{Address, Builder, Channel, Error, ErrorKind, Kind, SyncKind};
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "small" => on_a_small_dev_shm(first),
        "race" => race(first),
        _ => panic!("{role}"),
    });
}

/// A name; the ring or the queue of that name goes with it.
struct Name(Address);

impl Name {
    fn new() -> Self {
        let place = Place::new(Backing::Shm);
        match &place.address {
            Address::Shm(name) => Self(Address::Auto(name.clone())),
            other => panic!("{other}"),
        }
    }

    fn name(&self) -> &str {
        match &self.0 {
            Address::Auto(name) => name,
            other => panic!("{other}"),
        }
    }

    fn builder(&self) -> Builder {
        Builder::at(self.0.clone()).capacity(4096)
    }

    /// One whose ring has no room anywhere.
    fn without_room(&self) -> Builder {
        self.builder().capacity(1 << 45)
    }

    /// Opens or makes it so; if a ring of another capacity is there, that.
    fn meet(&self, builder: Builder) -> Result<Channel, Error> {
        match Channel::open_or_create(builder) {
            Err(error) if error.kind() == ErrorKind::Incompatible => {
                Channel::open(Builder::at(self.0.clone()))
            }
            other => other,
        }
    }

    fn queue(&self) -> Address {
        Address::Mq(self.name().to_owned())
    }

    fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(self.name())
    }

    fn remove(&self) {
        let _ = Channel::remove(&self.0, true);
        let _ = ringway::mq::remove(&self.queue(), true);
        let _ = fs::remove_file(self.path());
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.remove();
    }
}

#[track_caller]
fn assert_meet(one: &Channel, other: &Channel) {
    assert_eq!(one.address(), other.address());
    let (mut sender, mut receiver) = (one.sender().unwrap(), other.receiver().unwrap());
    sender.send(b"hello").unwrap();
    let mut buffer = [0; 1 << 16];
    let len = receiver.recv_into(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"hello");
    sender.leave();
}

#[test]
fn a_lock_on_the_directory_keeps_nobody_out() {
    let directory = fs::File::open("/dev/shm").unwrap();
    // Another test may have it for this very reason.
    let _locked = Flock::lock(directory, FlockArg::LockSharedNonblock);
    let directory = fs::File::open("/dev/shm").unwrap();
    let _locked = Flock::lock(directory, FlockArg::LockExclusiveNonblock);
    let name = Name::new();
    let made = Channel::open_or_create(name.builder()).unwrap();
    let found = Channel::open(name.builder()).unwrap();
    assert_meet(&made, &found);
    Channel::remove(&name.0, true).unwrap();
}

#[test]
fn where_there_is_no_room_it_is_a_queue_that_says_why() {
    let name = Name::new();
    let made = Channel::open_or_create(name.without_room()).unwrap();
    assert_eq!(*made.address(), name.queue());
    assert!(
        made.reason().unwrap().contains("the ring needs 32.0 TiB"),
        "{made}"
    );
    // Who has room finds the queue.
    let found = Channel::open_or_create(name.builder()).unwrap();
    assert_meet(&found, &made);
    let found = Channel::open(name.builder()).unwrap();
    assert_meet(&found, &made);
    let error = Channel::create(name.builder()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    assert_eq!(Channel::find(&name.0).unwrap(), name.queue());
    Channel::remove(&name.0, false).unwrap();
    assert!(name.path().symlink_metadata().is_err());
    let again = Channel::open_or_create(name.builder()).unwrap();
    assert!(matches!(again.carrier(), Carrier::Ring(_)));
}

#[test]
fn what_a_queue_cannot_do_is_refused() {
    let refused = |builder: Builder, wish: &str| {
        let error: Error = Channel::open_or_create(builder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCapacity, "{error}");
        assert!(error.to_string().contains(wish), "{error}");
        assert!(error.to_string().contains("the ring needs"), "{error}");
    };
    let name = Name::new();
    refused(name.without_room().overwrite_oldest(true), "overwriting");
    refused(name.without_room().slabs(4096, 4), "slabs");
    refused(name.without_room().kind(Kind::Spsc), "a single sender");
    refused(name.without_room().kind(Kind::Spmc), "several receivers");
    refused(name.without_room().kind(Kind::Mpmc), "several receivers");
    refused(
        name.without_room().sync(SyncKind::Mqueue),
        "synchronisation",
    );
    assert_eq!(
        Channel::find(&name.0).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // Many senders it can have.
    let made = Channel::open_or_create(name.without_room().kind(Kind::Mpsc)).unwrap();
    assert_eq!(*made.address(), name.queue());
}

#[test]
fn what_no_ring_can_have_is_no_reason_for_a_queue() {
    let name = Name::new();
    for capacity in [0, u64::MAX] {
        let error = Channel::open_or_create(name.builder().capacity(capacity)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidCapacity, "{error}");
    }
    assert_eq!(
        Channel::find(&name.0).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

/// What a process leaves that dies, or is stopped, between two steps.
#[test]
fn what_was_begun_is_brought_to_its_end_by_the_next() {
    // The queue, and no sign.
    let name = Name::new();
    let queue = ringway::mq::QueueBuilder::at(name.queue())
        .create()
        .unwrap();
    let found = Channel::open_or_create(name.builder()).unwrap();
    assert_eq!(found.address(), queue.address());
    assert_eq!(
        fs::read_link(name.path()).unwrap(),
        Path::new(&name.queue().to_string())
    );
    drop((found, queue));
    // The sign, and no queue.
    ringway::mq::remove(&name.queue(), true).unwrap();
    let error = Channel::open(name.builder()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let made = Channel::open_or_create(name.builder()).unwrap();
    assert_eq!(*made.address(), name.queue());
    drop(made);
    ringway::mq::remove(&name.queue(), true).unwrap();
    Channel::remove(&name.0, false).unwrap();
    assert!(name.path().symlink_metadata().is_err());
    // Somebody else's link is no sign, and is not followed.
    symlink("/etc/hostname", name.path()).unwrap();
    let error = Channel::open_or_create(name.builder()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotARing, "{error}");
}

#[test]
fn removing_the_queue_by_its_own_address_removes_the_sign() {
    let name = Name::new();
    Channel::open_or_create(name.without_room()).unwrap();
    Channel::remove(&name.queue(), false).unwrap();
    assert!(name.path().symlink_metadata().is_err());
}

const RACES: usize = 700;

/// Half of them can have a ring, the others cannot; all end at the same place.
#[test]
fn who_chooses_differently_in_the_same_moment_meets() {
    let name = Name::new();
    let (mut rings, mut queues) = (0, 0);
    for round in 0..RACES {
        let start = Barrier::new(4);
        let open = |index: usize| {
            let builder = match (index + round) % 2 {
                0 => name.builder(),
                _ => name.without_room(),
            };
            // In every order.
            start.wait();
            for _ in 0..(round * (index + 1)) % 7 * 400 {
                std::hint::spin_loop();
            }
            name.meet(builder)
        };
        let channels: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|index| scope.spawn(move || open(index)))
                .collect();
            let channels = threads.into_iter().map(|thread| thread.join().unwrap());
            channels
                .map(|channel| channel.unwrap_or_else(|error| panic!("{error}")))
                .collect()
        });
        for (one, other) in channels.iter().zip(&channels[1..]) {
            assert_meet(one, other);
        }
        match channels[0].carrier() {
            Carrier::Ring(_) => rings += 1,
            _ => queues += 1,
        }
        drop(channels);
        Channel::remove(&name.0, true).unwrap();
        assert!(ringway::mq::stat(&name.queue()).is_err(), "a queue stayed");
    }
    assert!(rings > 0 && queues > 0, "{rings} rings, {queues} queues");
}

/// Opens a channel when it is told how, and says which it is.
fn race(first: &First) {
    let Address::Auto(name) = first.address() else {
        panic!("{}", first.address())
    };
    let name = std::mem::ManuallyDrop::new(Name(Address::Auto(name.clone())));
    loop {
        let builder = match first.hear().as_str() {
            "ring" => name.builder(),
            "queue" => name.without_room(),
            _ => return,
        };
        match name.meet(builder) {
            Ok(channel) => first.say(channel.address()),
            Err(error) => first.say(error),
        }
    }
}

#[test]
fn processes_that_choose_differently_in_the_same_moment_meet() {
    let name = Name::new();
    let seconds: Vec<_> = (0..3).map(|_| Second::start_at("race", &name.0)).collect();
    for round in 0..400 {
        for (index, second) in seconds.iter().enumerate() {
            second.say(["ring", "queue"][(index + round / 3) % 2]);
        }
        let found: Vec<_> = seconds.iter().map(Second::hear).collect();
        let theirs = Channel::find(&name.0).unwrap().to_string();
        assert_eq!(found, [(); 3].map(|()| theirs.clone()), "round {round}");
        Channel::remove(&name.0, true).unwrap();
    }
    for second in seconds {
        second.say("end");
        second.finish();
    }
}

/// With the default capacity, and with one that does not fit.
fn on_a_small_dev_shm(first: &First) {
    if unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC).is_err() {
        return first.say("skipped");
    }
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount")
            .args(arguments)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let is_small = mount(&["--make-rprivate", "/"])
        && mount(&["-t", "tmpfs", "-o", "size=3m", "none", "/dev/shm"]);
    if !is_small {
        return first.say("skipped");
    }
    for builder in [
        ringway::at("auto:small").unwrap(),
        ringway::at("auto:large").unwrap().capacity(64 << 20),
    ] {
        let channel = Channel::open_or_create(builder.clone()).unwrap();
        assert!(matches!(channel.carrier(), Carrier::Queue(_)), "{channel}");
        assert!(
            channel.reason().unwrap().contains("/dev/shm has 3 MiB"),
            "{channel}"
        );
        assert_meet(&channel, &Channel::open(builder).unwrap());
    }
    // What fits is a ring.
    let builder = ringway::at("auto:fits").unwrap().capacity(1 << 20);
    let channel = Channel::open_or_create(builder).unwrap();
    assert!(matches!(channel.carrier(), Carrier::Ring(_)), "{channel}");
    first.say("done");
}

#[test]
fn on_a_small_dev_shm_it_is_a_queue() {
    let name = Name::new();
    let second = Second::start_at("small", &name.0);
    let said = second.hear();
    assert!(["done", "skipped"].contains(&said.as_str()), "{said}");
    second.finish();
}

/// An open that waits finds either.
#[test]
fn who_waits_for_it_finds_the_queue_too() {
    let name = Name::new();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Channel::open(name.builder().wait(Duration::from_secs(60))));
        std::thread::sleep(Duration::from_millis(20));
        let made = Channel::open_or_create(name.without_room()).unwrap();
        assert_meet(&waiting.join().unwrap().unwrap(), &made);
    });
}
