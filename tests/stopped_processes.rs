//! A process that is stopped is not dead: what it has claimed stays its own, what it borrows stays as it
//! is, and the others go on as far as they can. When it runs again, nothing is lost.

mod two_processes;

use nix::sys::signal::Signal;
use ringway::inspect::stat;
use ringway::peer::Role;
use ringway::{RecvError, SendError, WaitStrategy};
use two_processes::messages::{number, number_in};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, in_time, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "claim" => claim(first),
        "borrow" => borrow(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn a_stopped_producer_keeps_its_claim_and_its_place() {
    for_each(Row::with_many(Role::Producer, Row::on_shm()), |row| {
        let (ring, place) = row.ring();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        sender.send(&number(0)).unwrap();
        let claimer = Second::start("claim", &ring);
        claimer.expect("claimed");
        claimer.stop();
        // Others claim behind it, until the ring is full.
        let mut next = 2;
        let end = loop {
            match sender.try_send(&number(next)) {
                Ok(()) => next += 1,
                Err(end) => break end,
            }
        };
        assert_eq!(end, SendError::Full, "{row}");
        assert!(next > 10, "{row}");
        // Nobody passes the claim, however hard one looks for the dead.
        assert_eq!(number_in(&receiver.recv().unwrap()), 0, "{row}");
        for _ in 0..100 {
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        }
        let mut other = ring.sender().unwrap();
        other.try_send(&number(next)).unwrap();
        next += 1;
        drop(receiver);
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        let stat = stat(&place.address).unwrap();
        let claimer_seen = |who: &&ringway::inspect::ParticipantStat| who.pid == claimer.pid();
        assert!(stat.participants.iter().find(claimer_seen).unwrap().alive);
        claimer.signal(Signal::SIGCONT);
        claimer.say("commit");
        for index in 1..next {
            let message = in_time(|deadline| receiver.recv_deadline(deadline)).unwrap();
            assert_eq!(number_in(&message), index, "{row}");
        }
        claimer.finish();
    });
}

#[test]
fn a_stopped_consumer_keeps_what_it_borrows_and_the_others_share_the_rest() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        let (ring, _place) = row.ring();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        sender.send(&number(0)).unwrap();
        let borrower = Second::start("borrow", &ring);
        borrower.expect("0");
        borrower.stop();
        let mut next = 1;
        while sender.try_send(&number(next)).is_ok() {
            next += 1;
        }
        for index in 1..next {
            assert_eq!(number_in(&receiver.try_recv().unwrap()), index, "{row}");
        }
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        // The ring is empty but for the one at its head, and so full.
        assert_eq!(
            sender.try_send(&number(next)),
            Err(SendError::Full),
            "{row}"
        );
        borrower.signal(Signal::SIGCONT);
        borrower.say("release");
        let last = number(next);
        in_time(|deadline| sender.send_deadline(&last, deadline)).unwrap();
        borrower.finish();
        let message = receiver.try_recv().unwrap();
        assert_eq!(number_in(&message), next, "{row}");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
    });
}

/// The sleepers watch the stopped one's life, and its death wakes them.
#[test]
fn a_stopped_producer_that_is_killed_gives_its_claim_up() {
    for_each(Row::with_many(Role::Producer, Row::on_shm()), |row| {
        for wait in [WaitStrategy::Park, WaitStrategy::default()] {
            let (ring, _place) = row.ring();
            let mut sender = ring.sender().unwrap();
            let mut receiver = ring.receiver().unwrap().with_wait(wait);
            let claimer = Second::start("claim", &ring);
            claimer.expect("claimed");
            claimer.stop();
            sender.send(&number(2)).unwrap();
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
            let message = two_processes::procfs::while_blocked(
                wait,
                || claimer.kill_unreaped(),
                || in_time(|deadline| receiver.recv_deadline(deadline)),
            );
            assert_eq!(number_in(&message.unwrap()), 2, "{row}");
        }
    });
}

/// Claims room, and sends it as number 1 when told to.
fn claim(first: &First) {
    let ring = first.ring();
    let mut sender = ring.sender().unwrap();
    let mut claim = sender.claim(8).unwrap();
    first.say("claimed");
    assert_eq!(first.hear(), "commit");
    claim.write_at(0, &number(1));
    claim.commit();
    sender.leave();
}

/// Borrows a message, says its number, and releases it when told to.
fn borrow(first: &First) {
    let ring = first.ring();
    let mut receiver = ring.receiver().unwrap();
    let message = receiver.recv_in_place().unwrap();
    first.say(number_in(&message.to_vec()));
    assert_eq!(first.hear(), "release");
    assert_eq!(message.to_vec(), number(number_in(&message.to_vec())));
    message.release();
}
