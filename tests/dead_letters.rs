//! A message that nobody succeeds with, or that kills whoever has it, is set aside after so many tries: it is lost nowhere, whoever
//! dies on the way, and holds up nobody.

mod two_processes;

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use ringway::tasks::{TRIES, TaskError, TaskReceiver};
use ringway::transport::MessageSink;
use ringway::{Builder, Channel, ErrorKind, Kind, Message, RecvError, Ring, SendError, Sender};
use two_processes::messages::{Random, number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "die of every tenth" => die_of_every_tenth(first),
        "between copy and release" => between(first),
        "wait for room" => wait_for_room(first),
        "work for ever" => work_for_ever(first),
        _ => panic!("{role}"),
    });
}

/// A ring for tasks, and one for the dead letters.
struct Jobs {
    tasks: Ring,
    dead: Ring,
    _places: [Place; 2],
}

impl Jobs {
    fn new(backing: Backing, kind: Kind, dead: impl FnOnce(Builder) -> Builder) -> Self {
        let mut places = [Place::new(backing), Place::new(backing)];
        let make = |place: &mut Place, builder: Builder| {
            let ring = builder.kind(kind).create().unwrap();
            place.address = ring.address().clone();
            ring
        };
        let tasks = places[0].builder().capacity(1 << 16);
        let tasks = make(&mut places[0], tasks);
        let builder = dead(places[1].builder().capacity(1 << 16));
        let dead = make(&mut places[1], builder);
        Self {
            tasks,
            dead,
            _places: places,
        }
    }

    /// A process that works here.
    fn start(&self, role: &str) -> Second {
        let second = Second::start_at(role, self.tasks.address());
        second.say(self.dead.address());
        second
    }

    fn receiver(&self, after: u32) -> TaskReceiver {
        let receiver = self.tasks.receiver().unwrap();
        receiver.with_dead_letters(&self.dead, after).unwrap()
    }

    fn send(&self, numbers: std::ops::Range<u64>) {
        let mut sender = self.tasks.sender().unwrap();
        numbers.for_each(|nth| sender.try_send(&number(nth)).unwrap());
        sender.leave();
    }

    /// The numbers of the dead letters that are there.
    fn dead_letters(&self) -> Vec<u64> {
        let mut receiver = self.dead.receiver().unwrap();
        let dead = std::iter::from_fn(|| receiver.try_recv().ok());
        dead.map(|message| number_in(&message)).collect()
    }
}

fn rings(first: &First) -> (Ring, Ring) {
    let dead = first.hear();
    (first.ring(), ringway::at(&dead).unwrap().open().unwrap())
}

fn value(message: &Message<'_>) -> u64 {
    number_in(&message.to_vec())
}

/// What is left to do is none.
fn assert_done<R, S>(tasks: &mut TaskReceiver<R, S>)
where
    R: ringway::transport::MessageSource,
    S: MessageSink,
{
    let next = tasks.try_process(|_| Ok::<_, ()>(()));
    assert_eq!(next, Err(TaskError::Receive(RecvError::Empty)));
}

#[test]
fn what_fails_so_often_is_set_aside_and_the_rest_is_done() {
    for_each(Row::supported(), |row| {
        for (after, with_slabs) in [(1, false), (3, true), (13, false)] {
            let with_slabs = |builder: Builder| match with_slabs {
                false => builder,
                true => builder.slabs(4096, 8),
            };
            let (tasks, _place) = row.ring_with(with_slabs);
            let (dead, _other_place) = row.ring_with(with_slabs);
            let mut sender = tasks.sender().unwrap().with_copy_limit(0);
            for nth in 0..6 {
                sender.try_send(&number(nth)).unwrap();
            }
            let receiver = tasks.receiver().unwrap();
            let mut tasks = receiver.with_dead_letters(&dead, after).unwrap();
            let mut tries = BTreeMap::new();
            // Number 2 never succeeds, and number 4 the last time.
            for _ in 0..4 + 2 * after {
                let done = tasks.try_process(|message| {
                    let task = value(message);
                    let tries = tries.entry(task).or_insert(0);
                    *tries += 1;
                    assert_eq!(message.deliveries(), *tries, "{row}");
                    match task {
                        2 => Err("never"),
                        4 if *tries < after => Err("not yet"),
                        _ => Ok(()),
                    }
                });
                done.unwrap().ok();
            }
            assert_done(&mut tasks);
            let expected = [(0, 1), (1, 1), (2, after), (3, 1), (4, after), (5, 1)];
            assert!(tries.into_iter().eq(expected), "{row}");
            assert_eq!((tasks.moved(), tasks.moved_again()), (1, 0), "{row}");
            let mut letters = dead.receiver().unwrap();
            assert_eq!(letters.try_recv(), Ok(number(2).to_vec()), "{row}");
            assert_eq!(letters.try_recv(), Err(RecvError::Empty), "{row}");
            tasks.leave();
            assert_eq!(letters.try_recv(), Err(RecvError::Empty), "{row}");
        }
    });
}

const AFTER: u32 = 3;

fn die_of_every_tenth(first: &First) {
    let (tasks, dead) = rings(first);
    let receiver = tasks.receiver().unwrap();
    let mut tasks = receiver.with_dead_letters(&dead, AFTER).unwrap();
    loop {
        let done = tasks.process(|message| {
            first.say(value(message));
            if value(message).is_multiple_of(10) {
                std::process::abort();
            }
            Ok::<_, ()>(())
        });
        if done == Err(TaskError::Receive(RecvError::Closed)) {
            return;
        }
        done.unwrap().unwrap();
    }
}

/// A message that kills whoever has it kills so many, and no more.
#[test]
fn a_message_that_kills_its_workers_is_set_aside() {
    for kind in [Kind::Spsc, Kind::Mpmc] {
        let jobs = Jobs::new(Backing::Shm, kind, |dead| dead);
        jobs.send(0..30);
        jobs.tasks.sender().unwrap().close();
        let mut said = Vec::new();
        let mut deaths = 0;
        loop {
            let worker = jobs.start("die of every tenth");
            said.extend(worker.last_words());
            if worker.wait().success() {
                break;
            }
            deaths += 1;
        }
        assert_eq!(deaths, 3 * AFTER, "{kind:?}");
        assert_eq!(jobs.dead_letters(), [0, 10, 20], "{kind:?}");
        let mut tries = BTreeMap::new();
        for task in said {
            *tries.entry(task.parse::<u64>().unwrap()).or_insert(0) += 1;
        }
        for task in 0..30_u64 {
            let expected = if task.is_multiple_of(10) { AFTER } else { 1 };
            assert_eq!(tries[&task], expected, "{kind:?}: {task}");
        }
    }
}

/// A sender that tells when the copy is committed, and then lets nothing go on.
struct Halting<'a>(Sender, &'a First);

impl MessageSink for Halting<'_> {
    fn max_message_len(&self) -> usize {
        MessageSink::max_message_len(&self.0)
    }
    fn sender_id(&self) -> u64 {
        self.0.sender_id()
    }
    fn is_shared_out(&self) -> bool {
        MessageSink::is_shared_out(&self.0)
    }
    fn try_send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        self.send_parts_deadline(parts, Some(Instant::now()))
    }
    fn send_parts_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        self.0.send_parts_deadline(parts, deadline)?;
        self.1.say("committed");
        self.1.hear();
        Ok(())
    }
}

fn between(first: &First) {
    let (tasks, dead) = rings(first);
    let sender = Halting(dead.sender().unwrap(), first);
    let mut tasks = TaskReceiver::new(tasks.receiver().unwrap(), sender, AFTER);
    let _ = tasks.process(|_| Ok::<_, ()>(()));
}

/// The one moment in which a message is in both places: then it is set aside once more, and that is counted.
#[test]
fn a_death_between_copy_and_acknowledgement_repeats_one_and_loses_none() {
    for kind in [Kind::Spsc, Kind::Mpmc] {
        let jobs = Jobs::new(Backing::Shm, kind, |dead| dead);
        jobs.send(0..2);
        for _ in 0..AFTER {
            let failed = jobs.receiver(AFTER).try_process(|_| Err::<(), _>("no"));
            assert_eq!(failed, Ok(Err("no")));
        }
        let deaths = 2;
        for _ in 0..deaths {
            let worker = jobs.start("between copy and release");
            worker.expect("committed");
            worker.kill();
        }
        let mut tasks = jobs.receiver(AFTER);
        let next = tasks.try_process(|message| Ok::<_, ()>(value(message)));
        assert_eq!(next, Ok(Ok(1)), "{kind:?}");
        assert_done(&mut tasks);
        assert_eq!((tasks.moved(), tasks.moved_again()), (1, 1), "{kind:?}");
        drop(tasks);
        assert_eq!(jobs.dead_letters(), vec![0; deaths + 1], "{kind:?}");
    }
}

/// Stopped there, it is alive: nobody else gets the message, and nothing is repeated.
#[test]
fn a_stop_between_copy_and_acknowledgement_repeats_nothing() {
    let jobs = Jobs::new(Backing::Shm, Kind::Mpmc, |dead| dead);
    jobs.send(0..2);
    for _ in 0..AFTER {
        let failed = jobs.receiver(AFTER).try_process(|_| Err::<(), _>("no"));
        assert_eq!(failed, Ok(Err("no")));
    }
    let worker = jobs.start("between copy and release");
    worker.expect("committed");
    worker.stop();
    let mut tasks = jobs.receiver(AFTER);
    let next = tasks.try_process(|message| Ok::<_, ()>(value(message)));
    assert_eq!(next, Ok(Ok(1)));
    assert_done(&mut tasks);
    worker.signal(nix::sys::signal::Signal::SIGCONT);
    worker.say("go on");
    assert_done(&mut tasks);
    assert_eq!(jobs.dead_letters(), [0]);
}

/// Rings of kind mpmc with room for a few messages.
fn with_little_room() -> Jobs {
    Jobs::new(Backing::Shm, Kind::Mpmc, |dead| dead)
}

fn fill(ring: &Ring) -> u64 {
    let mut sender = ring.sender().unwrap();
    let mut sent = 0;
    while sender.try_send(&number(1000 + sent)).is_ok() {
        sent += 1;
    }
    sender.leave();
    sent
}

fn wait_for_room(first: &First) {
    let (tasks, dead) = rings(first);
    let receiver = tasks.receiver().unwrap();
    let mut tasks = receiver.with_dead_letters(&dead, AFTER).unwrap();
    first.say("waiting");
    let _ = tasks.process(|_| Ok::<_, ()>(()));
    first.say("done");
    first.hear();
}

#[test]
fn without_room_among_the_dead_letters_nothing_is_lost() {
    let jobs = with_little_room();
    jobs.send(0..2);
    let mut tasks = jobs.receiver(AFTER);
    for _ in 0..AFTER {
        assert_eq!(tasks.try_process(|_| Err::<(), _>("no")), Ok(Err("no")));
    }
    let filled = fill(&jobs.dead);
    let work = |_: &Message<'_>| Ok::<_, ()>(());
    let full = Err(TaskError::DeadLetters(SendError::Full));
    assert_eq!(tasks.try_process(work), full);
    let late = Err(TaskError::DeadLetters(SendError::TimedOut));
    assert_eq!(tasks.process_timeout(Duration::from_millis(2), work), late);
    drop(tasks);

    // Whoever waits for room, and is killed there, has acknowledged nothing.
    let worker = jobs.start("wait for room");
    worker.expect("waiting");
    let address = jobs.dead.address();
    let waits = || {
        let stat = ringway::inspect::stat(address).unwrap();
        stat.participants.iter().any(|one| one.waits_for.is_some())
    };
    while !waits() {
        std::thread::yield_now();
    }
    worker.kill();

    let worker = jobs.start("wait for room");
    worker.expect("waiting");
    let mut letters = jobs.dead.receiver().unwrap();
    for nth in 0..filled {
        let letter = letters.recv_deadline(watchdog()).unwrap();
        assert_eq!(number_in(&letter), 1000 + nth);
    }
    let letter = letters.recv_deadline(watchdog()).unwrap();
    assert_eq!(
        number_in(&letter),
        0,
        "the dead letter came when there was room"
    );
    worker.expect("done");
    drop(worker);
    assert_done(&mut jobs.receiver(AFTER));
    assert!(jobs.dead_letters().is_empty());
}

fn work_for_ever(first: &First) {
    let (tasks, dead) = rings(first);
    first.say("ready");
    let receiver = tasks.receiver().unwrap();
    let mut tasks = receiver.with_dead_letters(&dead, AFTER).unwrap();
    loop {
        let done = tasks.process(|message| {
            let task = value(message);
            if task.is_multiple_of(10) {
                return Err(());
            }
            first.say(task);
            Ok(())
        });
        if done == Err(TaskError::Receive(RecvError::Closed)) {
            return;
        }
        let _ = done.unwrap();
    }
}

/// Workers are killed at any moment, two at a time: every task is done, every poison is set aside, and a death repeats at most one.
#[test]
fn workers_killed_at_any_moment_forget_nothing() {
    const TASKS: u64 = 2000;
    let jobs = Jobs::new(Backing::Shm, Kind::Mpmc, |dead| dead.capacity(1 << 18));
    let mut random = Random(1);
    let mut sender = jobs.tasks.sender().unwrap();
    let mut done = BTreeMap::new();
    let mut note = |words: Vec<String>| {
        for word in words {
            *done.entry(word.parse::<u64>().unwrap()).or_insert(0_u64) += 1;
        }
    };
    let rounds = 40;
    for round in 0..rounds {
        let workers = [0; 2].map(|_| jobs.start("work for ever"));
        workers.iter().for_each(|worker| worker.expect("ready"));
        for nth in round * TASKS / rounds..(round + 1) * TASKS / rounds {
            sender.send_deadline(&number(nth), watchdog()).unwrap();
        }
        std::thread::sleep(Duration::from_micros(random.below(2000)));
        for worker in &workers {
            worker.kill_unreaped();
        }
        workers.iter().for_each(|worker| note(worker.last_words()));
    }
    sender.close();
    let worker = jobs.start("work for ever");
    worker.expect("ready");
    note(worker.last_words());
    worker.finish();
    let deaths = 2 * rounds;
    // One that dies may have said a number and not acknowledged it, or have been killed while it said it.
    let repeated: u64 = done.values().map(|count| count - 1).sum();
    assert!(repeated <= deaths, "{repeated}");
    let letters = jobs.dead_letters();
    assert!(letters.len() as u64 <= TASKS / 10 + deaths);
    for task in 0..TASKS {
        match task.is_multiple_of(10) {
            true => assert!(letters.contains(&task), "{task} is lost"),
            // What killed workers were given, and had not begun, counts as tried.
            false => assert!(
                done.contains_key(&task) || letters.contains(&task),
                "{task} is lost"
            ),
        }
    }
}

#[test]
fn rings_that_would_lose_dead_letters_are_refused() {
    let ring = |build: fn(Builder) -> Builder| {
        let builder = Builder::new("memfd:").unwrap().capacity(1 << 16);
        build(builder).create().unwrap()
    };
    let tasks = ring(|builder| builder.slabs(1 << 16, 2));
    let refused = |dead: &Ring, after| {
        let receiver = tasks.receiver().unwrap();
        let error = receiver.with_dead_letters(dead, after).unwrap_err();
        assert!(!error.next_step().is_empty(), "{error}");
        let channel = Channel::from(tasks.clone());
        let receiver = channel.receiver().unwrap();
        let also = receiver.with_dead_letters(&Channel::from(dead.clone()), after);
        assert_eq!(also.unwrap_err().kind(), error.kind());
        error.kind()
    };
    let overwriting = ring(|builder| builder.capacity(1 << 20).overwrite_oldest(true));
    let broadcast = ring(|builder| builder.capacity(1 << 20).kind(Kind::Broadcast));
    assert_eq!(refused(&overwriting, 3), ErrorKind::Unsupported);
    assert_eq!(refused(&broadcast, 3), ErrorKind::Unsupported);
    assert_eq!(refused(&tasks, 3), ErrorKind::Incompatible);
    assert_eq!(
        refused(&ring(|builder| builder), 3),
        ErrorKind::Incompatible
    );
    let good = ring(|builder| builder.slabs(1 << 16, 2));
    for after in [0, TRIES.end() + 1, u32::MAX] {
        assert_eq!(refused(&good, after), ErrorKind::Unsupported);
    }
    let receiver = tasks.receiver().unwrap();
    assert!(receiver.with_dead_letters(&good, *TRIES.end()).is_ok());
}
