//! Every interleaving of those who arm, the waiter that sleeps for them, those who wake and those who interrupt. What is published
//! is a number in a word. A lost wake-up is a deadlock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};

use loom::sync::{Condvar, Mutex};
use loom::thread;

use super::eventcount::{AWAKE, COUNT, notify, prepare};
use super::waiter::{Armed, Bed, Waiter};
use super::{Arming, WaitOptions, WaitStrategy};
use crate::error::RecvError;
use crate::memory::region::{Load, Region};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::rings::stream::{CONSUMER, PRODUCER};
use crate::sys::futex::MonotonicTime;
use crate::testing::model::{Model, explorer};

/// What is slept on.
const EVENT: usize = CONSUMER.event;
/// How much there is to take.
const THERE: usize = PRODUCER.closed;
/// Whether somebody has interrupted.
const FLAG: usize = CONSUMER.closed;
/// The waiter's control word, in a model of its own.
const CONTROL: usize = PRODUCER.event;
/// Added to it, it ends the waiter, which no other does.
const END: u32 = 1 << 16;

fn model(body: impl Fn() + Sync + Send + 'static) {
    explorer(0).check(body);
}

/// The control word's model. What a waiter sleeps on beside it is under the same kernel.
struct Modelled(Model);

/// An event, and a token by which one sees who holds it.
#[derive(Clone)]
struct Event(Model, Arc<()>);

impl Bed for Modelled {
    type Word = Event;

    fn value(word: &Event) -> u32 {
        word.0.load32(EVENT, Ordering::Acquire)
    }

    fn is_same(one: &Event, other: &Event) -> bool {
        Arc::ptr_eq(&one.1, &other.1)
    }

    fn control(&self) -> u32 {
        self.0.load32(CONTROL, Ordering::Relaxed)
    }

    fn call(&self) {
        self.0.add32(CONTROL, 1);
        self.0.wake(CONTROL);
    }

    fn sleep(&self, control: u32, words: &[(Event, u32)], _: Option<MonotonicTime>) {
        if control >= END {
            return;
        }
        let control = [(CONTROL, control)];
        let events: Vec<_> = words.iter().map(|(_, value)| [(EVENT, *value)]).collect();
        let rings = words.iter().zip(&events);
        let rings = rings.map(|((event, _), pairs)| (&event.0, &pairs[..]));
        let all: Vec<_> = [(&self.0, &control[..])].into_iter().chain(rings).collect();
        Model::wait_on(&all, &[], None);
    }
}

/// A task's thread, which its waker wakes.
#[derive(Default)]
struct Task(Mutex<bool>, Condvar);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }
}

impl Task {
    fn sleep(&self) {
        let mut woken = self.0.lock().unwrap();
        while !*woken {
            woken = self.1.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// A waiter, its thread, and a handle's seat.
struct Fixture {
    memory: Model,
    control: Model,
    waiter: Arc<Waiter<Modelled>>,
    thread: thread::JoinHandle<()>,
    seat: u64,
    token: Arc<()>,
}

impl Fixture {
    fn new() -> Self {
        let memory = Model::attached(64);
        let control = Model::attached(64).beside(&memory);
        let waiter = Arc::new(Waiter::new(Modelled(control.clone())));
        let seat = waiter.sit(1).unwrap();
        let (turning, ends) = (Arc::clone(&waiter), control.clone());
        let thread = thread::spawn(move || {
            let (mut words, mut wakers) = (Vec::new(), Vec::new());
            while ends.load32(CONTROL, Ordering::Acquire) < END {
                turning.turn(&mut words, &mut wakers);
            }
        });
        Self {
            memory,
            control,
            waiter,
            thread,
            seat,
            token: Arc::new(()),
        }
    }

    fn takes(&self) -> bool {
        let there = self.memory.load32(THERE, Ordering::Acquire);
        there != 0 && self.memory.replace32(THERE, there, there - 1).is_ok()
    }

    /// What a handle does that is asked: whether it took one. Else it is armed.
    fn poll(&self, waker: &Waker) -> bool {
        if self.takes() {
            return true;
        }
        if self.waiter.renew(self.seat, waker) {
            return false;
        }
        let expected = prepare(&self.memory, EVENT);
        if self.takes() {
            return true;
        }
        let armed = Armed {
            word: Event(self.memory.clone(), Arc::clone(&self.token)),
            expected,
            also: None,
            next_look: None,
        };
        self.waiter.arm(self.seat, armed, Some(waker));
        false
    }

    /// What an executor does.
    fn take(&self) {
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        while !self.poll(&waker) {
            task.sleep();
        }
    }

    fn end(self) {
        self.waiter.leave(self.seat);
        self.control.add32(CONTROL, END);
        self.control.wake(CONTROL);
        self.thread.join().unwrap();
    }
}

fn publish(region: &Model) {
    region.add32(THERE, 1);
    notify(region, EVENT);
}

/// A message comes at any moment of arming.
#[test]
fn a_task_is_woken() {
    model(|| {
        let fixture = Fixture::new();
        let publishing = fixture.memory.clone();
        let publisher = thread::spawn(move || publish(&publishing));
        fixture.take();
        publisher.join().unwrap();
        fixture.end();
    });
}

/// A second message comes at any moment of arming again, while the waiter still watches the word, or does not any more.
#[test]
fn a_task_is_woken_again() {
    model(|| {
        let fixture = Fixture::new();
        for _ in 0..2 {
            let publishing = fixture.memory.clone();
            let publisher = thread::spawn(move || publish(&publishing));
            fixture.take();
            publisher.join().unwrap();
        }
        fixture.end();
    });
}

/// The same of a receiver of a stream ring: what its call finds last, before it is armed, and what comes after.
#[test]
fn a_receiver_is_woken() {
    model(|| {
        let fixture = Fixture::new();
        let sending = fixture.memory.clone();
        let sender = thread::spawn(move || {
            let mut producer = Producer::resume(sending).unwrap();
            producer.send(&[7; 8], None).unwrap();
        });
        let mut consumer = Consumer::resume(fixture.memory.clone()).unwrap();
        let task = Arc::new(Task::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut bytes = [0; 8];
        loop {
            let arming = Arming::default();
            let wait = WaitOptions::to_arm(WaitStrategy::Park, &arming);
            match consumer.recv_into(&mut bytes, Some(&wait)) {
                Ok(len) => break assert_eq!((len, bytes), (8, [7; 8])),
                Err(error) => assert_eq!(error, RecvError::Empty),
            }
            let watch = arming.watch().unwrap();
            let &[(EVENT, expected)] = watch.words() else {
                panic!("{watch:?}");
            };
            let armed = Armed {
                word: Event(fixture.memory.clone(), Arc::clone(&fixture.token)),
                expected,
                also: None,
                next_look: None,
            };
            fixture.waiter.arm(fixture.seat, armed, Some(&waker));
            task.sleep();
        }
        sender.join().unwrap();
        fixture.end();
    });
}

/// A future is polled once and dropped; another one, with a waker of its own, gets the message.
#[test]
fn a_task_is_woken_that_follows_a_cancelled_one() {
    model(|| {
        let fixture = Fixture::new();
        let publishing = fixture.memory.clone();
        let publisher = thread::spawn(move || publish(&publishing));
        if !fixture.poll(Waker::noop()) {
            fixture.take();
        }
        publisher.join().unwrap();
        fixture.end();
    });
}

/// One is disarmed, at any moment of being woken, and armed again.
#[test]
fn a_task_is_woken_that_was_disarmed() {
    model(|| {
        let fixture = Fixture::new();
        let publishing = fixture.memory.clone();
        let publisher = thread::spawn(move || publish(&publishing));
        if !fixture.poll(Waker::noop()) {
            fixture.waiter.disarm(fixture.seat);
            fixture.take();
        }
        publisher.join().unwrap();
        fixture.end();
    });
}

/// A handle is dropped while armed, at any moment of being woken: then the waiter holds nothing of it.
#[test]
fn one_that_leaves_leaves_nothing() {
    model(|| {
        let fixture = Fixture::new();
        let publishing = fixture.memory.clone();
        let publisher = thread::spawn(move || publish(&publishing));
        fixture.poll(Waker::noop());
        fixture.waiter.leave(fixture.seat);
        assert_eq!(Arc::strong_count(&fixture.token), 1);
        publisher.join().unwrap();
        fixture.end();
    });
}

/// Somebody interrupts at any moment of falling asleep, as the watcher of a handle wakes it.
fn is_interrupted(memory: fn() -> Model) {
    model(move || {
        let region = memory();
        let interrupting = region.clone();
        let other = thread::spawn(move || {
            interrupting.store32(FLAG, 1, Ordering::Release);
            if !interrupting.change_and_wake(EVENT, AWAKE) {
                interrupting.add32(EVENT, COUNT);
                interrupting.wake(EVENT);
            }
        });
        loop {
            let prepared = prepare(&region, EVENT);
            if region.load32(FLAG, Ordering::Acquire) != 0 {
                break;
            }
            region.wait(&[(EVENT, prepared)], None);
        }
        other.join().unwrap();
    });
}

#[test]
fn a_sleeper_is_interrupted() {
    is_interrupted(|| Model::attached(64));
}

#[test]
fn a_sleeper_is_interrupted_under_an_old_kernel() {
    is_interrupted(|| Model::attached(64).under_an_old_kernel());
}
