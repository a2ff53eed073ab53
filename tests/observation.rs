//! An observer sees who is attached, who is dead and what lies in a ring, and disturbs nobody. Removing
//! spares what is in use, and leaves nothing.

mod two_processes;

use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::geteuid;
use ringway::inspect::{list, stat};
use ringway::peer::Role;
use ringway::{ErrorKind, Kind, RecvError, SyncKind, remove};
use two_processes::messages::{number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::roles::{become_nobody, consumer, producer, receive, send};
use two_processes::{First, Second, bytes, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        "look as nobody" => look_as_nobody(first),
        "send for ever" => send_for_ever(first),
        "hold one of each" => hold_one_of_each(first),
        _ => panic!("{role}"),
    });
}

#[test]
fn the_counters_are_exact() {
    for backing in Backing::FOUND {
        let (ring, place) = backing.ring(4096);
        let look = || stat(&place.address).unwrap();
        let new = look();
        assert_eq!(new.address, place.address);
        assert_eq!((new.kind, new.sync), (Kind::Spsc, SyncKind::Futex));
        assert_eq!((new.capacity_bytes, new.used_bytes), (4096, 0));
        assert_eq!((new.sent, new.received), (0, 0));
        assert!(!new.producer_closed && !new.consumer_closed);
        assert!(new.participants.is_empty());
        let age = now_ns() - new.created_ns;
        assert!(age < 60_000_000_000, "made {age} ns ago");

        let producer = producer(&ring, 5);
        // A word and eight bytes each.
        let full = look();
        assert_eq!((full.sent, full.received, full.used_bytes), (5, 0, 5 * 16));
        let consumer = consumer(&ring);
        for index in 0..2 {
            consumer.say("next");
            consumer.expect(&index.to_string());
        }
        let half = look();
        assert_eq!((half.sent, half.received, half.used_bytes), (5, 2, 3 * 16));
        let of_each = half.participants.iter().map(|one| (one.role, one.messages));
        assert!(of_each.eq([(Role::Producer, 5), (Role::Consumer, 2)]));

        producer.say("close");
        producer.finish();
        assert!(look().producer_closed && !look().consumer_closed);
        consumer.say("close");
        consumer.finish();
        assert!(look().consumer_closed, "{backing:?}");
        assert!(look().participants.is_empty(), "{backing:?}");
    }
}

#[test]
fn batches_padding_and_empty_messages_are_counted() {
    let (ring, place) = Backing::Shm.ring(4096);
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let mut batch = sender.batch();
    for len in [0, 1, 8] {
        batch.push(&vec![0; len]).unwrap();
    }
    let look = || stat(&place.address).unwrap();
    assert_eq!((look().sent, look().used_bytes), (0, 0), "not committed");
    batch.commit();
    assert_eq!((look().sent, look().used_bytes), (3, 8 + 16 + 16));
    receiver.drain(10, |_| ()).unwrap();
    assert_eq!((look().received, look().used_bytes), (3, 0));
    // Two more of 2008 bytes do not fit before the end: the rest of the lap is padding.
    for _ in 0..2 {
        sender.try_send(&[0; 2000]).unwrap();
        receiver.try_recv().unwrap();
    }
    sender.try_send(&[0; 2000]).unwrap();
    assert_eq!(look().used_bytes, 4096 - 40 - 2 * 2008 + 2008);
    sender.try_claim(10).unwrap().abort();
    assert_eq!(look().sent, 6);
}

#[test]
fn participants_are_shown_with_their_life() {
    for backing in Backing::FOUND {
        let (ring, place) = backing.ring(4096);
        let before = now_ns();
        let producer = producer(&ring, 1);
        let _receiver = ring.receiver().unwrap();
        let seen = stat(&place.address).unwrap().participants;
        assert_eq!(seen.len(), 2, "{backing:?}");
        assert_eq!(
            (seen[0].role, seen[0].pid),
            (Role::Producer, producer.pid())
        );
        assert_eq!(
            (seen[1].role, seen[1].pid),
            (Role::Consumer, std::process::id())
        );
        for who in &seen {
            assert!(who.alive && who.epoch == 1, "{who:?}");
            assert!((before..=now_ns()).contains(&who.attached_ns), "{who:?}");
        }
        producer.kill_unreaped();
        let dead = &stat(&place.address).unwrap().participants[0];
        assert!(!dead.alive && dead.pid == producer.pid(), "{dead:?}");
        let _sender = ring.sender().unwrap();
        let next = &stat(&place.address).unwrap().participants[0];
        assert!(next.alive && next.pid == std::process::id(), "{next:?}");
        assert_eq!(next.epoch, 2);
    }
}

#[test]
fn an_observer_changes_nothing_and_takes_no_role() {
    for backing in Backing::FOUND {
        let (ring, place) = backing.ring(4096);
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        sender.send(&number(7)).unwrap();
        let before = bytes::copy(&place);
        for _ in 0..10 {
            stat(&place.address).unwrap();
            let _ = list();
        }
        assert!(bytes::copy(&place) == before, "{backing:?}");
        assert_eq!(number_in(&receiver.try_recv().unwrap()), 7);
    }
}

/// What cannot be written to is mapped for reading only.
#[test]
fn who_may_only_read_may_observe() {
    if !geteuid().is_root() {
        return println!("skipped: only root can become somebody else");
    }
    for backing in Backing::NAMED {
        let place = Place::new(backing);
        place.open_to_others(0o755);
        let ring = place.builder().capacity(4096).mode(0o644).create().unwrap();
        ring.sender().unwrap().send(b"x").unwrap();
        let nobody = Second::start_at("look as nobody", &place.address);
        nobody.expect("1 sent");
        nobody.finish();
    }
}

fn look_as_nobody(first: &First) {
    become_nobody();
    let error = ringway::Builder::at(first.address().clone())
        .open()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    let removed = remove(first.address(), true).unwrap_err().kind();
    let refusals = [ErrorKind::ForeignOwner, ErrorKind::PermissionDenied];
    assert!(refusals.contains(&removed), "{removed:?}");
    first.say(format!("{} sent", stat(first.address()).unwrap().sent));
}

#[test]
fn numbers_make_sense_while_messages_flow() {
    for backing in Backing::FOUND {
        let (ring, place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        let producer = Second::start("send for ever", &ring);
        receiver.wait_for_peer_deadline(watchdog()).unwrap();
        let (mut sent, mut received) = (0, 0);
        for _ in 0..500 {
            let seen = stat(&place.address).unwrap();
            assert!(seen.sent >= sent && seen.received >= received, "{seen:?}");
            assert!(seen.sent >= seen.received, "{seen:?}");
            assert!(seen.used_bytes <= seen.capacity_bytes, "{seen:?}");
            (sent, received) = (seen.sent, seen.received);
            for _ in 0..20 {
                receiver.recv_deadline(watchdog()).unwrap();
            }
        }
        producer.kill();
    }
}

fn send_for_ever(first: &First) {
    let mut sender = first.ring().sender().unwrap();
    loop {
        sender.send(&[0; 24]).unwrap();
    }
}

/// A message that is taken and not released, and room that is claimed and not committed.
fn hold_one_of_each(first: &First) {
    let ring = first.ring();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    sender.send(b"taken").unwrap();
    let _message = receiver.recv_in_place().unwrap();
    let _claim = sender.try_claim(8).unwrap();
    first.say("held");
    loop {
        std::thread::park();
    }
}

#[test]
fn what_the_dead_left_and_others_put_in_order_is_counted() {
    for sync in SyncKind::ALL {
        let place = Place::new(Backing::Shm);
        let builder = place.builder().kind(Kind::Mpmc).sync(sync);
        let ring = builder.create().unwrap();
        let holder = Second::start("hold one of each", &ring);
        holder.expect("held");
        let look = || stat(&place.address).unwrap();
        assert_eq!(look().repaired, 0);
        holder.kill();
        let dead = look();
        assert_eq!(dead.repaired, 0);
        assert_eq!(dead.participants.len(), 2);
        assert!(dead.participants.iter().all(|one| !one.alive));
        let mut receiver = ring.receiver().unwrap();
        assert_eq!(look().repaired, 2, "{sync:?}");
        assert_eq!(receiver.recv(), Ok(b"taken".to_vec()));
        drop((ring.sender().unwrap(), ring.receiver().unwrap()));
        assert_eq!(look().repaired, 2, "{sync:?}");
    }
}

#[test]
fn rings_are_listed_by_the_addresses_that_open_them() {
    let made: Vec<_> = [Backing::Shm, Backing::SysvKey, Backing::SysvPrivate]
        .map(|backing| backing.ring(4096))
        .into();
    let listed = list();
    for (ring, place) in &made {
        assert!(listed.contains(&place.address), "{}", place.address);
        let opened = place.builder().open().unwrap();
        assert_eq!(opened.nonce(), ring.nonce());
        remove(&place.address, false).unwrap();
    }
    let listed = list();
    for (_, place) in &made {
        assert!(!listed.contains(&place.address), "{}", place.address);
    }
}

#[test]
fn what_is_in_use_is_removed_by_force_only_and_its_users_go_on() {
    for backing in Backing::FOUND {
        let (ring, place) = backing.ring(4096);
        let producer = producer(&ring, 1);
        let pid = producer.pid();
        let error = remove(&place.address, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse { pid }, "{backing:?}");
        assert!(error.next_step().contains(&pid.to_string()), "{error}");
        assert!(place.is_taken());

        remove(&place.address, true).unwrap();
        assert_eq!(
            remove(&place.address, true).unwrap_err().kind(),
            ErrorKind::NotFound,
            "{backing:?}"
        );
        assert!(!list().contains(&place.address));
        let mut receiver = ring.receiver().unwrap();
        producer.say(2);
        producer.expect("2");
        for expected in [0, 0, 1] {
            let message = receiver.recv_deadline(watchdog()).unwrap();
            assert_eq!(number_in(&message), expected, "{backing:?}");
        }
        // The address is free for another ring.
        if Backing::NAMED.contains(&backing) {
            let other = place.builder().capacity(4096).create().unwrap();
            assert_ne!(other.nonce(), ring.nonce());
        }
        producer.kill();
        let end = receiver.recv_deadline(watchdog());
        assert_eq!(end, Err(RecvError::PeerDied), "{backing:?}");
    }
}

#[test]
fn the_dead_do_not_keep_a_ring_in_use_and_nothing_is_left_of_it() {
    for backing in Backing::FOUND {
        let (ring, place) = backing.ring(4096);
        let producer = producer(&ring, 1);
        producer.kill_unreaped();
        drop(ring);
        remove(&place.address, false).unwrap();
        let opened = place.builder().open().unwrap_err();
        assert_eq!(opened.kind(), ErrorKind::NotFound, "{backing:?}");
        assert!(!place.is_taken(), "{backing:?}");
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_nanos() as u64
}
