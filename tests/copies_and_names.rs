//! `cp`, `ln` and `mv` of a ring's file, for every kind of ring: a copy is a ring of its own and never touches the
//! original, one file under several names is one ring, and a name is not what a ring is known by. And what lies beside a
//! ring may go without it.

mod two_processes;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal;
use ringway::{
    Address, ErrorKind, Kind, Receiver, RecvError, Ring, SendError, Sender, SyncKind, WaitStrategy,
};
use two_processes::messages::{number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::procfs::while_blocked;
use two_processes::roles::{consumer, receive, send};
use two_processes::table::{CAPACITY, Row, for_each};
use two_processes::{Second, bytes, in_time, play, watchdog};

/// Offset of the semaphore set's id plus 1, 4 bytes.
const SEMAPHORES: usize = 136;

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        _ => panic!("{role}"),
    });
}

/// Those in files.
fn rows() -> Vec<Row> {
    let mut rows = Row::supported();
    rows.retain(|row| matches!(row.backing, Backing::Shm | Backing::File));
    rows
}

/// Those whose locks and bells are semaphores beside the segment.
fn with_sets() -> Vec<Row> {
    let mut rows = Row::supported();
    rows.retain(|row| row.sync == SyncKind::SysvSem && row.backing != Backing::SysvPrivate);
    rows
}

/// Another name in the same directory; what lies there goes with it.
fn beside(place: &Place, ending: &str) -> Place {
    let name = |text: &str| format!("{text}-{ending}");
    Place::at(match &place.address {
        Address::Shm(shm) => Address::Shm(name(shm)),
        _ => Address::File(PathBuf::from(name(place.path().to_str().unwrap()))),
    })
}

/// Opens the ring. A process that another test is starting has all files of this one open until it is itself; that
/// passes.
fn open(place: &Place) -> Ring {
    let limit = watchdog();
    loop {
        match place.builder().trust_peers(true).open() {
            Ok(ring) => return ring,
            Err(error) if error.kind() == ErrorKind::CompanionLost && Instant::now() < limit => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Asserts that a message gets from one side to the other, which sleeps and is woken for it.
#[track_caller]
fn assert_meet(sender: &mut Sender, receiver: &mut Receiver, what: u64) {
    let deed = || sender.send(&number(what)).unwrap();
    let message = while_blocked(WaitStrategy::Park, deed, || {
        in_time(|deadline| receiver.recv_deadline(deadline))
    });
    assert_eq!(message.map(|message| number_in(&message)), Ok(what));
}

/// Lets others come after.
fn leave(sender: Sender, receiver: Receiver) {
    sender.leave();
    drop(receiver);
}

fn sides(ring: &Ring) -> (Sender, Receiver) {
    let sender = ring.sender().unwrap_or_else(|error| panic!("{error}"));
    (
        sender.with_wait(WaitStrategy::Park),
        ring.receiver().unwrap().with_wait(WaitStrategy::Park),
    )
}

#[test]
fn a_copy_of_a_ring_in_use_is_a_ring_of_its_own() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let (mut sender, mut receiver) = sides(&ring);
        assert_meet(&mut sender, &mut receiver, 0);
        sender.send(&number(1)).unwrap();
        let copy = beside(&place, "copy");
        fs::copy(place.path(), copy.path()).unwrap();

        // An observer sees nobody in it.
        let stat = ringway::inspect::stat(&copy.address).unwrap();
        assert!(stat.participants.iter().all(|who| !who.alive), "{stat:?}");
        // Nobody is attached, and what was not received is there.
        let again = open(&copy);
        let (mut copied_sender, mut copied_receiver) = sides(&again);
        assert_eq!(number_in(&copied_receiver.recv().unwrap()), 1);
        assert_meet(&mut copied_sender, &mut copied_receiver, 2);

        // The original does not notice; nor do either's bells ring for the other.
        assert_eq!(number_in(&receiver.recv().unwrap()), 1);
        assert_meet(&mut sender, &mut receiver, 3);
        assert_meet(&mut copied_sender, &mut copied_receiver, 4);
        let in_use = ringway::remove(&copy.address, false).unwrap_err();
        assert!(matches!(in_use.kind(), ErrorKind::InUse { .. }), "{in_use}");
        leave(copied_sender, copied_receiver);
        drop(again);
        ringway::remove(&copy.address, false).unwrap();
        assert_meet(&mut sender, &mut receiver, 5);
        let (mut sender, mut receiver) = {
            leave(sender, receiver);
            sides(&open(&place))
        };
        assert_meet(&mut sender, &mut receiver, 6);
    });
}

#[test]
fn a_copy_that_nobody_opened_is_removed_and_the_original_goes_on() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let (mut sender, mut receiver) = sides(&ring);
        let copy = beside(&place, "copy");
        fs::copy(place.path(), copy.path()).unwrap();
        // Not garbage either: somebody made it.
        let report = ringway::gc::Gc::new().address(copy.address.clone()).run();
        assert!(copy.is_taken(), "{report:?}");
        ringway::remove(&copy.address, false).unwrap();
        assert!(!copy.is_taken());
        assert_meet(&mut sender, &mut receiver, 0);
        leave(sender, receiver);
        let (mut sender, mut receiver) = sides(&ring);
        assert_meet(&mut sender, &mut receiver, 1);
    });
}

/// The liveness words of a copy of a backup are those of nobody, whoever opens it first.
#[test]
fn of_many_that_open_a_copy_one_makes_it_a_ring_of_its_own() {
    for row in rows() {
        if row.backing != Backing::Shm || row.kind != Kind::Mpmc {
            continue;
        }
        let (ring, place) = row.ring();
        let _sides = sides(&ring);
        for _ in 0..20 {
            let copy = beside(&place, "copy");
            fs::copy(place.path(), copy.path()).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        if let Ok(sender) = open(&copy).sender() {
                            sender.leave();
                        }
                    });
                }
            });
            let (mut sender, mut receiver) = sides(&open(&copy));
            while receiver.try_recv().is_ok() {}
            assert_meet(&mut sender, &mut receiver, 0);
        }
    }
}

#[test]
fn one_file_under_two_names_is_one_ring() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let (mut sender, receiver) = sides(&ring);
        let link = beside(&place, "link");
        fs::hard_link(place.path(), link.path()).unwrap();
        drop(receiver);
        let mut receiver = open(&link)
            .receiver()
            .unwrap()
            .with_wait(WaitStrategy::Park);
        assert_meet(&mut sender, &mut receiver, 0);
        let in_use = ringway::remove(&link.address, false).unwrap_err();
        assert!(matches!(in_use.kind(), ErrorKind::InUse { .. }), "{in_use}");
        // By force it is the name that goes, and nothing else.
        ringway::remove(&link.address, true).unwrap();
        assert_meet(&mut sender, &mut receiver, 1);
        leave(sender, receiver);
        let (mut sender, mut receiver) = sides(&open(&place));
        assert_meet(&mut sender, &mut receiver, 2);
    });
}

#[test]
fn a_ring_that_is_renamed_goes_on_under_both_names() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let (mut sender, receiver) = sides(&ring);
        let renamed = beside(&place, "renamed");
        fs::rename(place.path(), renamed.path()).unwrap();
        drop(receiver);
        // From what was opened before.
        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        assert_meet(&mut sender, &mut receiver, 0);
        drop(receiver);
        // By the new name.
        let mut receiver = open(&renamed)
            .receiver()
            .unwrap()
            .with_wait(WaitStrategy::Park);
        assert_meet(&mut sender, &mut receiver, 1);
        leave(sender, receiver);
        drop(ring);
        let missing = place.builder().open().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        ringway::remove(&renamed.address, false).unwrap();
    });
}

/// Whoever opens a ring while its file is exchanged for a copy gets either.
#[test]
fn a_copy_in_place_of_the_original_is_a_ring_like_it() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let (mut sender, receiver) = sides(&ring);
        sender.send(&number(7)).unwrap();
        let copy = beside(&place, "copy");
        fs::copy(place.path(), copy.path()).unwrap();
        // So that what lies beside it can be removed.
        let original = beside(&place, "original");
        fs::hard_link(place.path(), original.path()).unwrap();
        fs::rename(copy.path(), place.path()).unwrap();
        let (mut new_sender, mut new_receiver) = sides(&open(&place));
        assert_eq!(number_in(&new_receiver.recv().unwrap()), 7);
        assert_meet(&mut new_sender, &mut new_receiver, 8);
        // Those who have the old one open go on with it.
        let mut receiver = receiver;
        assert_eq!(number_in(&receiver.recv().unwrap()), 7);
        assert_meet(&mut sender, &mut receiver, 9);
    });
}

/// A process that is stopped is alive, in what it has open and under whatever name.
#[test]
fn a_stopped_process_keeps_its_ring_from_being_renewed() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let second = consumer(&ring);
        drop(ring);
        second.stop();
        // As in a container with a boot id of its own, or after a change of the file system's numbers.
        let _forged = [bytes::BOOT_ID, FILE].map(|at| Forged::new(&place, at, &[0x5a; 16]));
        let in_use = ringway::remove(&place.address, false).unwrap_err();
        assert!(matches!(in_use.kind(), ErrorKind::InUse { .. }), "{in_use}");
        let ring = open(&place);
        if !row.has_many(ringway::peer::Role::Consumer) {
            let taken = ring.receiver().unwrap_err();
            assert!(
                matches!(taken.kind(), ErrorKind::RoleTaken { .. }),
                "{taken}"
            );
        }
        let mut sender = ring.sender().unwrap();
        second.signal(Signal::SIGCONT);
        second.say("next");
        sender.send(&number(5)).unwrap();
        second.expect("5");
    });
}

/// Offset of device and inode, 16 bytes.
const FILE: u64 = 200;

/// Bytes of a segment that are others until this is dropped.
struct Forged<'a> {
    place: &'a Place,
    at: u64,
    before: Vec<u8>,
}

impl<'a> Forged<'a> {
    fn new(place: &'a Place, at: u64, now: &[u8]) -> Self {
        let start = at as usize;
        let before = bytes::copy(place)[start..start + now.len()].to_vec();
        bytes::forge(place, at, now);
        Self { place, at, before }
    }
}

impl Drop for Forged<'_> {
    fn drop(&mut self) {
        bytes::forge(self.place, self.at, &self.before);
    }
}

fn set_of(place: &Place) -> i32 {
    let bytes = bytes::copy(place);
    let word = bytes[SEMAPHORES..SEMAPHORES + 4].try_into().unwrap();
    u32::from_le_bytes(word) as i32 - 1
}

fn remove_set(place: &Place) {
    // SAFETY: IPC_RMID takes no memory of ours.
    assert_eq!(unsafe { libc::semctl(set_of(place), 0, libc::IPC_RMID) }, 0);
}

#[test]
fn a_ring_whose_semaphore_set_was_removed_says_so_and_is_whole_again_when_nobody_has_it() {
    for_each(with_sets(), |row| {
        let (ring, place) = row.ring();
        let (mut sender, mut receiver) = sides(&ring);
        assert_meet(&mut sender, &mut receiver, 0);
        sender.send(&number(1)).unwrap();
        remove_set(&place);
        let error = sender.send(&number(2)).unwrap_err();
        let gone = |errno| [libc::EIDRM, libc::EINVAL].contains(&errno);
        assert!(
            matches!(error, SendError::Companion { errno } if gone(errno)),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("semaphore set was removed"),
            "{error}"
        );
        let error = receiver.recv().unwrap_err();
        assert!(
            matches!(error, RecvError::Companion { errno } if gone(errno)),
            "{error:?}"
        );
        let error = place.builder().open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CompanionLost, "{error}");
        leave(sender, receiver);
        let error = ring.sender().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CompanionLost, "{error}");
        drop(ring);
        let ring = open(&place);
        let (mut sender, mut receiver) = sides(&ring);
        assert_eq!(number_in(&receiver.recv().unwrap()), 1);
        assert_meet(&mut sender, &mut receiver, 3);
    });
}

#[test]
fn of_many_that_find_the_set_gone_one_makes_another() {
    for row in with_sets() {
        if row.kind != Kind::Mpmc {
            continue;
        }
        let (ring, place) = row.ring();
        drop(ring);
        for round in 0..20 {
            remove_set(&place);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        open(&place).sender().unwrap().leave();
                    });
                }
            });
            let (mut sender, mut receiver) = sides(&open(&place));
            assert_meet(&mut sender, &mut receiver, round);
        }
    }
}

/// As `RemoveIPC` of systemd-logind, or `rm /dev/mqueue/*`, does it.
#[test]
fn who_comes_after_the_names_of_the_queues_are_gone_is_woken_like_others() {
    let mut rows = Row::supported();
    rows.retain(|row| row.sync == SyncKind::Mqueue);
    for_each(rows, |row| {
        let (ring, place) = row.ring();
        let (mut sender, mut receiver) = sides(&ring);
        assert_meet(&mut sender, &mut receiver, 0);
        let nonce = ring.nonce().to_le_bytes();
        let digits: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let remove_names = || {
            for slot in 0..16 {
                let name = std::ffi::CString::new(format!("/ringway.{digits}.{slot}")).unwrap();
                // SAFETY: a C string.
                unsafe { libc::mq_unlink(name.as_ptr()) };
            }
        };
        remove_names();
        // Another consumer in the same slot, whose queue the sender does not have.
        drop(receiver);
        let mut receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        assert_meet(&mut sender, &mut receiver, 1);
        // And another producer, who finds no queue of the consumer's.
        remove_names();
        sender.leave();
        let mut sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
        assert_meet(&mut sender, &mut receiver, 2);
        let second = {
            sender.leave();
            Second::start("send", &ring)
        };
        assert_eq!(
            receiver.try_recv(),
            Err(RecvError::Empty).or(receiver.try_recv())
        );
        let message = while_blocked(
            WaitStrategy::Park,
            || second.say(1),
            || in_time(|deadline| receiver.recv_deadline(deadline)),
        );
        assert_eq!(message.map(|message| number_in(&message)), Ok(0));
        drop(place);
    });
}

const SLAB: usize = 8192;

fn with_slabs(backing: Backing) -> (Ring, Place) {
    let place = Place::new(backing);
    let builder = place.builder().capacity(CAPACITY);
    let builder = builder.slabs(SLAB as u64, 2).slab_segments(true);
    (builder.create().unwrap(), place)
}

fn send_one(ring: &Ring, byte: u8) {
    let mut sender = ring.sender().unwrap();
    sender.send(&[byte; SLAB]).unwrap();
    sender.leave();
}

/// The slabs of one ring, by the name that they are under.
fn slabs_of(place: &Place, ring: &Ring) -> Vec<PathBuf> {
    let digits = ring
        .nonce()
        .to_le_bytes()
        .map(|byte| format!("{byte:02x}"))
        .concat();
    let path = place.path();
    (0..2)
        .map(|index| PathBuf::from(format!("{}.slab.{digits}.{index}", path.display())))
        .collect()
}

#[test]
fn slabs_are_found_and_removed_when_their_ring_was_renamed() {
    for backing in [Backing::Shm, Backing::File] {
        let (ring, place) = with_slabs(backing);
        send_one(&ring, 7);
        let slabs = slabs_of(&place, &ring);
        drop(ring);
        let renamed = beside(&place, "renamed");
        fs::rename(place.path(), renamed.path()).unwrap();
        // No garbage: their ring has a name.
        let report = ringway::gc::Gc::new().address(place.address.clone()).run();
        assert!(slabs.iter().all(|slab| slab.exists()), "{report:?}");
        let ring = open(&renamed);
        assert_eq!(ring.receiver().unwrap().recv().unwrap(), [7; SLAB]);
        drop(ring);
        ringway::remove(&renamed.address, false).unwrap();
        assert!(slabs.iter().all(|slab| !slab.exists()));
    }
}

#[test]
fn slabs_stay_while_their_ring_has_another_name() {
    let (ring, place) = with_slabs(Backing::File);
    send_one(&ring, 7);
    let slabs = slabs_of(&place, &ring);
    let link = beside(&place, "link");
    fs::hard_link(place.path(), link.path()).unwrap();
    drop(ring);
    ringway::remove(&place.address, false).unwrap();
    assert!(slabs.iter().all(|slab| slab.exists()));
    assert_eq!(open(&link).receiver().unwrap().recv().unwrap(), [7; SLAB]);
    ringway::remove(&link.address, false).unwrap();
    assert!(slabs.iter().all(|slab| !slab.exists()));
}

#[test]
fn a_copy_without_its_slabs_is_refused_and_never_takes_the_originals() {
    for backing in [Backing::Shm, Backing::File] {
        let (ring, place) = with_slabs(backing);
        send_one(&ring, 7);
        let copy = beside(&place, "copy");
        fs::copy(place.path(), copy.path()).unwrap();
        let error = copy.builder().open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(
            error.to_string().contains("was not copied with it"),
            "{error}"
        );
        // With them it is a ring of its own.
        let (slabs, copied) = (slabs_of(&place, &ring), slabs_of(&copy, &ring));
        for (slab, copied) in slabs.iter().zip(&copied) {
            fs::copy(slab, copied).unwrap();
        }
        let again = open(&copy);
        assert_eq!(again.receiver().unwrap().recv().unwrap(), [7; SLAB]);
        send_one(&again, 8);
        assert_eq!(ring.receiver().unwrap().recv().unwrap(), [7; SLAB]);
        assert_eq!(again.receiver().unwrap().recv().unwrap(), [8; SLAB]);
        drop(again);
        ringway::remove(&copy.address, false).unwrap();
        assert!(copied.iter().all(|slab| !slab.exists()));
        assert!(slabs.iter().all(|slab| slab.exists()));
        send_one(&ring, 9);
        assert_eq!(ring.receiver().unwrap().recv().unwrap(), [9; SLAB]);
    }
}

/// A set is found by its number, which the kernel may have given to another ring's.
#[test]
fn the_set_of_another_ring_is_left_alone() {
    let row = |place: &Place| {
        let builder = place.builder().kind(Kind::Mpmc).sync(SyncKind::SysvSem);
        builder.capacity(CAPACITY).create().unwrap()
    };
    let places = [Place::new(Backing::Shm), Place::new(Backing::Shm)];
    let rings = places.each_ref().map(row);
    let own = set_of(&places[0]);
    let foreign = (set_of(&places[1]) as u32 + 1).to_le_bytes();
    bytes::forge(&places[0], SEMAPHORES as u64, &foreign);
    // SAFETY: IPC_RMID takes no memory of ours.
    unsafe { libc::semctl(own, 0, libc::IPC_RMID) };
    let [ring, other] = rings;
    drop(ring);
    let (mut sender, mut receiver) = sides(&open(&places[0]));
    assert_meet(&mut sender, &mut receiver, 0);
    let (mut sender, mut receiver) = sides(&other);
    assert_meet(&mut sender, &mut receiver, 1);
}
