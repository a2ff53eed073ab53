//! A receiver knows which of the attachments that ever sent still lives, and when all that the others sent
//! is received.

mod two_processes;

use ringway::RecvError;
use ringway::peer::Role;
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        _ => panic!("{role}"),
    });
}

fn send(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    sender.send(b"hello").unwrap();
    first.say(sender.id());
    first.hear();
}

#[test]
fn each_attachment_has_an_id_of_its_own() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring();
        let receiver = ring.receiver().unwrap();
        let mut ids = Vec::new();
        for _ in 0..10 {
            let sender = ring.sender().unwrap();
            assert!(receiver.is_attached(sender.id()), "{row}");
            ids.push(sender.id());
            sender.leave();
        }
        let last = ring.sender().unwrap();
        for id in &ids {
            assert!(!receiver.is_attached(*id), "{row}");
        }
        assert!(receiver.is_attached(last.id()), "{row}");
        assert!(!receiver.is_attached(u64::MAX), "{row}");
        ids.push(last.id());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 11, "{row}");
        assert_eq!(last.is_shared_out(), row.has_many(Role::Consumer), "{row}");
    });
}

#[test]
fn the_killed_are_not_attached_and_what_they_sent_is_received() {
    for_each(Row::supported(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let other = row.has_many(Role::Producer).then(|| ring.sender().unwrap());
        let second = Second::start("send", &ring);
        let id = second.hear().parse().unwrap();
        assert!(receiver.is_attached(id), "{row}");
        second.stop();
        assert!(receiver.is_attached(id), "{row}");
        second.kill_unreaped();
        assert!(!receiver.is_attached(id), "{row}");
        assert!(!receiver.is_drained(), "{row}");
        assert_eq!(receiver.try_recv(), Ok(b"hello".to_vec()), "{row}");
        assert!(receiver.is_drained(), "{row}");
        drop(other);
    });
}

#[test]
fn behind_a_message_that_is_being_written_others_may_lie() {
    for_each(Row::with_many(Role::Producer, Row::supported()), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let mut slow = ring.sender().unwrap();
        let mut fast = ring.sender().unwrap();
        assert!(receiver.is_drained(), "{row}");
        let claim = slow.claim(1).unwrap();
        fast.send(b"behind").unwrap();
        fast.leave();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        assert!(!receiver.is_drained(), "{row}");
        drop(claim);
        assert_eq!(receiver.try_recv(), Ok(b"behind".to_vec()), "{row}");
        assert!(receiver.is_drained(), "{row}");
    });
}
