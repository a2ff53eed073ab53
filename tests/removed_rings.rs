//! Who waits in a ring whose name is gone, where nobody is attached and nobody can come, is told so; as long as anybody is
//! there or can come, nobody is.

mod two_processes;

use std::time::{Duration, Instant};

use ringway::peer::{Peer, Role};
use ringway::wait::{WaitError, WaitSet};
use ringway::{Builder, ErrorKind, Kind, RecvError, SendError, Sender, SyncKind, remove};
use two_processes::messages::{number, number_in};
use two_processes::place::Backing;
use two_processes::procfs::while_blocked;
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, WAITS, in_time, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "remove" => remove_it(first),
        "send" => send(first),
        "open only" => open_only(first),
        "receive later" => receive_later(first),
        _ => panic!("{role}"),
    });
}

/// Removes the ring, without opening it, when it is told to.
fn remove_it(first: &First) {
    first.hear();
    remove(first.address(), true).unwrap();
}

fn fill(sender: &mut Sender) {
    while sender.try_send(&[7; 64]).is_ok() {}
}

/// Of sync `sysv-sem` the ring ends with its name: the set goes with it, and `Companion` says so to everybody.
fn on_shm() -> Vec<Row> {
    let mut rows = Row::on_shm();
    rows.retain(|row| row.sync != SyncKind::SysvSem);
    rows
}

/// One row for each shape and sync on shm, and one of each shape for each other backing that has a name.
fn rows() -> Vec<Row> {
    let mut rows = on_shm();
    rows.retain(|row| matches!(row.kind, Kind::Spsc | Kind::Mpmc));
    rows.extend(Row::supported().into_iter().filter(|row| {
        row.sync == SyncKind::Futex
            && matches!(row.kind, Kind::Spsc | Kind::Mpmc)
            && Backing::FOUND.contains(&row.backing)
            && row.backing != Backing::Shm
    }));
    rows
}

#[test]
fn who_waits_for_room_learns_that_the_ring_is_removed() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let mut sender = ring.sender().unwrap();
        fill(&mut sender);
        let remover = Second::start_at("remove", &place.address);
        let sent = in_time(|deadline| {
            while_blocked(
                ringway::WaitStrategy::Park,
                || remover.say("now"),
                || sender.send_deadline(&[7; 64], deadline),
            )
        });
        assert_eq!(sent, Err(SendError::Removed), "{row}");
        remover.finish();
        assert!(sender.is_removed().unwrap(), "{row}");
        // Before it falls asleep again. And what needs no waiting goes on.
        assert_eq!(sender.wait_until_drained(), Err(SendError::Removed));
        assert_eq!(sender.wait_for_peer(), Err(SendError::Removed));
        assert_eq!(sender.try_send(&[7; 64]), Err(SendError::Full), "{row}");
    });
}

#[test]
fn who_waits_for_a_message_learns_that_the_ring_is_removed() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        assert!(!receiver.is_removed().unwrap(), "{row}");
        let remover = Second::start_at("remove", &place.address);
        let received = in_time(|deadline| {
            while_blocked(
                ringway::WaitStrategy::Park,
                || remover.say("now"),
                || receiver.recv_deadline(deadline),
            )
        });
        assert_eq!(received, Err(RecvError::Removed), "{row}");
        remover.finish();
        assert!(receiver.is_removed().unwrap(), "{row}");
        assert_eq!(receiver.wait_for_peer(), Err(RecvError::Removed));
        let more = receiver.wait_for_producers(1);
        assert_eq!(more, Err(RecvError::Removed), "{row}");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        let mut set = WaitSet::new();
        set.add(&mut receiver);
        assert_eq!(set.wait(), Err(WaitError::Removed), "{row}");
    });
}

/// Also where it does not sleep, and where it waits for several rings, of which one may get a message.
#[test]
fn every_way_of_waiting_learns_it() {
    for wait in WAITS {
        let (ring, place) = Backing::Shm.ring(4096);
        let (other, elsewhere) = Backing::Shm.ring(4096);
        let mut receiver = ring.receiver().unwrap().with_wait(wait);
        let mut another = other.receiver().unwrap().with_wait(wait);
        remove(&place.address, true).unwrap();
        assert_eq!(receiver.recv(), Err(RecvError::Removed), "{wait:?}");
        let mut both = WaitSet::new().with_wait(wait);
        both.add(&mut receiver);
        both.add(&mut another);
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(both.wait_deadline(soon), Err(WaitError::TimedOut));
        remove(&elsewhere.address, true).unwrap();
        assert_eq!(both.wait(), Err(WaitError::Removed), "{wait:?}");
    }
}

/// What lies in the ring is received first.
#[test]
fn what_was_sent_is_received_before() {
    for_each(on_shm(), |row| {
        let (ring, place) = row.ring();
        let mut sender = ring.sender().unwrap();
        sender.send(&number(1)).unwrap();
        sender.leave();
        remove(&place.address, true).unwrap();
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(number_in(&receiver.recv().unwrap()), 1, "{row}");
        assert_eq!(receiver.recv(), Err(RecvError::Removed), "{row}");
    });
}

fn send(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    first.say("attached");
    while let Ok(text) = text(first) {
        sender.send(&number(text)).unwrap();
    }
    sender.leave();
}

/// A number, or the end.
fn text(first: &First) -> Result<u64, std::num::ParseIntError> {
    first.hear().parse()
}

/// Who is attached goes on; the last one that is left learns it.
#[test]
fn a_living_peer_is_served() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let sender = Second::start("send", &ring);
        sender.expect("attached");
        remove(&place.address, true).unwrap();
        // Longer than between two looks.
        let soon = Instant::now() + Duration::from_millis(1100);
        assert_eq!(
            receiver.recv_deadline(soon),
            Err(RecvError::TimedOut),
            "{row}"
        );
        for message in 0..3 {
            let received = in_time(|deadline| {
                while_blocked(
                    ringway::WaitStrategy::Park,
                    || sender.say(message),
                    || receiver.recv_deadline(deadline),
                )
            });
            assert_eq!(number_in(&received.unwrap()), message, "{row}");
        }
        let end = in_time(|deadline| {
            while_blocked(
                ringway::WaitStrategy::Park,
                || sender.say("end"),
                || receiver.recv_deadline(deadline),
            )
        });
        assert_eq!(end, Err(RecvError::Removed), "{row}");
        sender.finish();
        assert_eq!(receiver.peer(), Peer::Absent, "{row}");
    });
}

fn open_only(first: &First) {
    let ring = first.ring();
    first.say("open");
    first.hear();
    drop(ring);
}

fn receive_later(first: &First) {
    let ring = first.ring();
    first.say("open");
    first.hear();
    let mut receiver = ring.receiver().unwrap();
    // Enough for one more, wherever the ring ends.
    for _ in 0..3 {
        assert_eq!(receiver.recv_deadline(watchdog()).unwrap(), [7; 64]);
    }
    first.hear();
    receiver.close();
}

/// A process that opened the ring before it lost its name may still come, be it stopped.
#[test]
fn who_has_the_ring_open_may_still_come() {
    for_each(rows(), |row| {
        let (ring, place) = row.ring();
        let mut sender = ring.sender().unwrap();
        fill(&mut sender);
        let later = Second::start("receive later", &ring);
        later.expect("open");
        remove(&place.address, true).unwrap();
        later.stop();
        let soon = Instant::now() + Duration::from_millis(1100);
        let sent = sender.send_deadline(&[7; 64], soon);
        assert_eq!(sent, Err(SendError::TimedOut), "{row}");
        later.signal(nix::sys::signal::Signal::SIGCONT);
        later.say("now");
        assert_eq!(sender.send_deadline(&[7; 64], watchdog()), Ok(()), "{row}");
        later.say("close");
        later.finish();
        // Its end is another one.
        assert_eq!(sender.wait_until_drained(), Err(SendError::Closed), "{row}");
    });
}

/// Until it is gone: then the kernel has its lock back.
#[test]
fn who_had_the_ring_open_and_is_gone_comes_no_more() {
    for_each(rows(), |row| {
        for dies in [true, false] {
            let (ring, place) = row.ring();
            let mut sender = ring.sender().unwrap();
            fill(&mut sender);
            let other = Second::start("open only", &ring);
            other.expect("open");
            remove(&place.address, true).unwrap();
            let end = in_time(|deadline| {
                while_blocked(
                    ringway::WaitStrategy::Park,
                    || match dies {
                        true => other.kill(),
                        false => other.say("go"),
                    },
                    || sender.send_deadline(&[7; 64], deadline),
                )
            });
            assert_eq!(end, Err(SendError::Removed), "{row}");
        }
    });
}

/// Two that wait for the same do not keep each other waiting, if they have given up attaching otherwise.
#[test]
fn two_who_wait_for_the_same_are_both_told() {
    for_each(Row::with_many(Role::Producer, rows()), |row| {
        let (ring, place) = row.ring();
        let mut other = two_processes::place::again(&ring);
        let mut senders = [ring.sender().unwrap(), other.sender().unwrap()];
        senders.iter_mut().for_each(fill);
        remove(&place.address, true).unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        // Another opening counts, be it of this process.
        let [one, two] = &mut senders;
        assert_eq!(
            one.send_deadline(&[7; 64], soon()),
            Err(SendError::TimedOut),
            "{row}"
        );
        other.attach_no_more();
        assert_eq!(one.send(&[7; 64]), Err(SendError::Removed), "{row}");
        assert_eq!(
            two.send_deadline(&[7; 64], soon()),
            Err(SendError::TimedOut),
            "{row}"
        );
        drop(ring);
        assert_eq!(two.send(&[7; 64]), Err(SendError::Removed), "{row}");
        assert_eq!(
            other.receiver().unwrap_err().kind(),
            ErrorKind::NotFound,
            "{row}"
        );
    });
}

/// What another consumer holds may come back.
#[test]
fn a_message_that_may_come_back_is_waited_for() {
    for_each(Row::with_many(Role::Consumer, on_shm()), |row| {
        let (ring, place) = row.ring();
        let mut sender = ring.sender().unwrap();
        sender.send(&number(1)).unwrap();
        sender.leave();
        let (mut one, mut two) = (ring.receiver().unwrap(), ring.receiver().unwrap());
        let mut held = one.backlog();
        assert!(held.next_message().unwrap().is_some());
        remove(&place.address, true).unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(two.recv_deadline(soon), Err(RecvError::TimedOut), "{row}");
        // Given back.
        drop(held);
        assert_eq!(number_in(&two.recv().unwrap()), 1, "{row}");
        assert_eq!(two.recv(), Err(RecvError::Removed), "{row}");
    });
}

/// A name is gone when no name is left.
#[test]
fn a_ring_that_was_renamed_is_not_removed() {
    let (ring, place) = Backing::File.ring(4096);
    let (path, to, link) = (
        place.path(),
        place.path().with_file_name("other"),
        place.path().with_file_name("link"),
    );
    assert!(!ring.is_removed().unwrap());
    std::fs::rename(&path, &to).unwrap();
    assert!(!ring.is_removed().unwrap());
    std::fs::hard_link(&to, &link).unwrap();
    std::fs::remove_file(&to).unwrap();
    assert!(!ring.is_removed().unwrap());
    // What has taken its place is another one.
    let another = place.builder().create().unwrap();
    std::fs::remove_file(&link).unwrap();
    assert!(ring.is_removed().unwrap());
    assert!(!another.is_removed().unwrap());
}

#[test]
fn a_ring_that_never_had_a_name_is_not_removed() {
    let ring = Builder::new("memfd:").unwrap().create().unwrap();
    assert!(!ring.is_removed().unwrap());
    let mut receiver = ring.receiver().unwrap();
    let soon = Instant::now() + Duration::from_millis(20);
    assert_eq!(receiver.recv_deadline(soon), Err(RecvError::TimedOut));
    assert!(!receiver.is_removed().unwrap());
}

/// The texts say what to do.
#[test]
fn the_errors_say_what_happened_and_what_to_do() {
    for text in [
        SendError::Removed.to_string(),
        RecvError::Removed.to_string(),
        WaitError::Removed.to_string(),
    ] {
        assert!(text.contains("removed"), "{text}");
        assert!(text.contains("again"), "{text}");
    }
}
