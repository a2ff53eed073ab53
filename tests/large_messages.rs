//! Messages longer than the ring, of several processes at a time, some of which are killed in the midst of
//! one: the others' arrive whole, theirs are reported, and nothing of them stays.
//!
//! With `RINGWAY_TEST_LARGE=1` the messages have 50 MB.

mod two_processes;

use std::collections::HashMap;
use std::io::Read;
use std::time::Instant;

use nix::unistd::gettid;
use ringway::chunk::{ChunkReceiver, ChunkRecvError, ChunkSender, Limits, Lost, Why};
use ringway::peer::Role;
use ringway::{Kind, Receiver, RecvError, Ring, WaitStrategy};
use two_processes::messages::Random;
use two_processes::place::Place;
use two_processes::procfs::until_asleep;
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, in_time, play};

/// So many processes send.
const SENDERS: u64 = 8;
/// So many of them are killed.
const VICTIMS: u64 = 2;

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        _ => panic!("{role}"),
    });
}

/// Bytes of a message.
fn len() -> u64 {
    match std::env::var("RINGWAY_TEST_LARGE") {
        Ok(_) => 50_000_000,
        Err(_) => 200_000,
    }
}

/// What `who` sends.
fn pattern(who: u64) -> Vec<u8> {
    let mut random = Random(who << 32);
    let words = std::iter::from_fn(|| Some(random.below(u64::MAX).to_le_bytes()));
    words.take(len() as usize / 8).flatten().collect()
}

/// Sends a message, and waits in its midst if it is told to.
fn send(first: &First) {
    let mut sender = ChunkSender::new(first.ring().sender().unwrap());
    first.say(sender.get_ref().id());
    let who: u64 = first.hear().parse().unwrap();
    let stops = first.hear() == "stop";
    let mut stopped = false;
    let message = pattern(who);
    let sent = sender.send_from(&message[..], Some(len()), |progress| {
        if stops && !stopped && progress.done >= len() / 2 {
            stopped = true;
            first.say("half");
            first.hear();
        }
    });
    assert_eq!(sent.unwrap(), len());
    first.say("sent");
    first.hear();
}

/// A ring that holds a fraction of a message.
fn ring(row: Row) -> (Ring, Place) {
    row.ring_with(|builder| builder.capacity(64 << 10).cell_len(1024).participants(10))
}

fn limits() -> Limits {
    Limits {
        max_message: len(),
        max_in_flight: SENDERS * len(),
        max_messages: SENDERS as usize,
    }
}

fn with_one_consumer(row: &Row) -> bool {
    !row.has_many(Role::Consumer)
}

fn with_many_producers(row: &Row) -> bool {
    row.kind == Kind::Mpsc
}

fn rows(wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
    let mut rows = Row::supported();
    rows.retain(wanted);
    rows
}

/// Starts a process that will send message `who`; it has attached.
fn start(ring: &Ring, who: u64, stops: bool) -> (Second, u64) {
    let second = Second::start("send", ring);
    let id = second.hear().parse().unwrap();
    second.say(who);
    second.say(if stops { "stop" } else { "go on" });
    (second, id)
}

#[track_caller]
fn assert_lost(received: Result<Vec<u8>, ChunkRecvError>) -> Lost {
    match received {
        Err(ChunkRecvError::Lost(lost)) => lost,
        Ok(message) => panic!("a message of {} bytes", message.len()),
        Err(error) => panic!("{error:?}"),
    }
}

fn nothing_is_left(receiver: &ChunkReceiver<Receiver>) {
    assert_eq!(receiver.reassembler().accounted(), 0);
    assert!(receiver.reassembler().is_idle());
    // What is at hand for the next fragment.
    assert!(receiver.reassembler().allocated() <= 64 << 10);
}

#[test]
fn of_eight_senders_two_are_killed_half_way_and_six_arrive_whole() {
    for_each(rows(with_many_producers), |row| {
        let (ring, _place) = ring(row);
        let mut receiver = ChunkReceiver::with_limits(ring.receiver().unwrap(), limits());
        let (senders, ids): (Vec<_>, Vec<_>) = (0..SENDERS)
            .map(|who| start(&ring, who, who < VICTIMS))
            .unzip();
        let mut whole = HashMap::new();
        let mut lost = Vec::new();
        std::thread::scope(|scope| {
            for victim in &senders[..VICTIMS as usize] {
                scope.spawn(|| {
                    victim.expect("half");
                    victim.kill_unreaped();
                });
            }
            for sender in &senders[VICTIMS as usize..] {
                scope.spawn(|| {
                    sender.expect("sent");
                    sender.say("leave");
                });
            }
            loop {
                match in_time(|deadline| receiver.recv_gathered_deadline(deadline)) {
                    Ok(message) => drop(whole.insert(message.sender, message.bytes)),
                    Err(ChunkRecvError::Lost(one)) => lost.push(one),
                    Err(ChunkRecvError::Transport(RecvError::Closed | RecvError::PeerDied)) => {
                        return;
                    }
                    Err(error) => panic!("{row}: {error}"),
                }
            }
        });
        let (victims, survivors) = ids.split_at(VICTIMS as usize);
        for (id, who) in survivors.iter().zip(VICTIMS..) {
            assert!(whole.remove(id) == Some(pattern(who)), "{row}: {who}");
        }
        assert!(whole.is_empty(), "{row}");
        lost.sort_unstable_by_key(|lost| lost.sender);
        let mut victims = victims.to_vec();
        victims.sort_unstable();
        let reported: Vec<u64> = lost.iter().map(|lost| lost.sender).collect();
        assert_eq!(reported, victims, "{row}");
        for lost in lost {
            assert_eq!(lost.why, Why::SenderGone, "{row}");
            assert!((len() / 2..len()).contains(&lost.received), "{row}");
        }
        nothing_is_left(&receiver);
    });
}

#[test]
fn the_message_of_one_that_was_killed_is_reported_while_others_live() {
    for_each(rows(with_many_producers), |row| {
        let (ring, _place) = ring(row);
        let receiver = ring.receiver().unwrap().with_wait(WaitStrategy::Park);
        let mut receiver = ChunkReceiver::with_limits(receiver, limits());
        let _idle = ring.sender().unwrap();
        let (victim, id) = start(&ring, 0, true);
        let thread = gettid().as_raw();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                victim.expect("half");
                until_asleep(std::process::id(), thread);
                victim.kill_unreaped();
            });
            let lost = assert_lost(in_time(|deadline| receiver.recv_deadline(deadline)));
            assert_eq!((lost.sender, lost.why), (id, Why::SenderGone), "{row}");
        });
        nothing_is_left(&receiver);
    });
}

#[test]
fn what_a_sender_sent_before_it_left_arrives_whole_also_behind_one_that_is_slow() {
    for_each(rows(with_many_producers), |row| {
        let (ring, _place) = ring(row);
        let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
        let mut slow = ring.sender().unwrap();
        let mut sender = ChunkSender::new(ring.sender().unwrap()).with_fragment_len(1000);
        let message = vec![7; 3000];
        let mut claim = None;
        let mut slow = Some(&mut slow);
        let sent = sender.send_from(&message[..], Some(3000), |_| {
            // Behind the first fragment.
            if let Some(slow) = slow.take() {
                claim = Some(slow.claim(1).unwrap());
            }
        });
        assert_eq!(sent.unwrap(), 3000);
        sender.into_inner().leave();
        // Gone, and nothing to be had; but not all that it sent is received.
        let received = receiver.recv_deadline(Instant::now());
        let timed_out = ChunkRecvError::Transport(RecvError::TimedOut);
        assert_eq!(
            received.unwrap_err().to_string(),
            timed_out.to_string(),
            "{row}"
        );
        drop(claim);
        assert_eq!(receiver.try_recv().unwrap(), message, "{row}");
    });
}

/// The slabs hold more than the ring does. Who has left may have all of that behind it.
#[test]
fn what_lies_in_slabs_of_a_sender_that_left_arrives_whole() {
    const FRAGMENT: usize = 8000;
    for_each(rows(with_one_consumer), |row| {
        let (ring, _place) =
            row.ring_with(|builder| builder.capacity(4096).slabs(FRAGMENT as u64 + 100, 5));
        let sender = ring.sender().unwrap().with_copy_limit(0);
        let mut sender = ChunkSender::new(sender).with_fragment_len(FRAGMENT);
        let message = pattern(1)[..4 * FRAGMENT].to_vec();
        sender.send_deadline(&message, Instant::now()).unwrap();
        sender.into_inner().leave();
        let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
        assert!(receiver.try_recv().unwrap() == message, "{row}");
    });
}

#[test]
fn a_message_longer_than_the_ring_is_read_as_it_comes() {
    for_each(rows(with_one_consumer), |row| {
        let (ring, _place) = ring(row);
        let (sender, _) = start(&ring, 3, false);
        let none = Limits {
            max_message: 0,
            max_in_flight: 0,
            max_messages: 0,
        };
        let mut receiver = ChunkReceiver::with_limits(ring.receiver().unwrap(), none);
        let mut bytes = Vec::new();
        let mut most = 0;
        in_time(|deadline| {
            let mut stream = receiver.stream_deadline(deadline).unwrap();
            assert_eq!(stream.total(), Some(len()), "{row}");
            let mut buffer = [0; 5000];
            loop {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    read => bytes.extend_from_slice(&buffer[..read]),
                }
                most = most.max(stream.taken());
            }
        });
        assert!(bytes == pattern(3), "{row}");
        assert_eq!(most, len(), "{row}");
        nothing_is_left(&receiver);
        sender.say("leave");
    });
}

#[test]
fn when_the_only_sender_is_killed_its_message_is_reported_before_the_end() {
    for_each(rows(with_one_consumer), |row| {
        let (ring, _place) = ring(row);
        let (victim, id) = start(&ring, 0, true);
        let mut receiver = ChunkReceiver::new(ring.receiver().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                victim.expect("half");
                victim.kill_unreaped();
            });
            let mut file = Vec::new();
            let received =
                in_time(|deadline| receiver.recv_to_deadline(&mut file, deadline, |_| {}));
            let lost = assert_lost(received.map(|_| Vec::new()));
            assert_eq!((lost.sender, lost.why), (id, Why::SenderGone), "{row}");
            assert!(file == pattern(0)[..file.len()], "{row}");
            assert_eq!(lost.received, file.len() as u64, "{row}");
            assert!(lost.received >= len() / 2, "{row}");
        });
        match in_time(|deadline| receiver.recv_deadline(deadline)) {
            Err(ChunkRecvError::Transport(RecvError::PeerDied)) => {}
            other => panic!("{row}: {other:?}"),
        }
        // The next one goes on.
        let mut sender = ChunkSender::new(ring.sender().unwrap());
        sender.send_deadline(b"hello", Instant::now()).unwrap();
        assert_eq!(receiver.try_recv().unwrap(), b"hello", "{row}");
    });
}
