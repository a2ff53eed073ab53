//! An engine within the process: the rules of a stream, without a server.
//!
//! It keeps to what gateways rely on: sequences that grow by one, a message that is stored only behind the sequence and the id that it expects, suppression
//! of ids that came lately, room for so many messages, consumers that deliver in order and again what was not acknowledged. Tests have it
//! [fail](Memory::fail_at) at the N-th step, before or after that has had its effect, and thus go through all the moments at which a gateway can be
//! stopped.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Ready, ready};
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::engine::{Delivery, Engine, Inlet, Outlet, Publication, State, Trouble};

/// What becomes of the step that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never ends, and has had no effect: as if the gateway died before it.
    DiesBefore,
    /// It never ends, and has had its effect: as if the gateway died after it.
    DiesAfter,
    /// It fails, and has had no effect: the connection was lost on the way there.
    FailsBefore,
    /// It fails, and has had its effect: the connection was lost on the way back.
    FailsAfter,
}

/// An engine within the process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    inner: Rc<RefCell<Inner>>,
    news: Rc<Notify>,
    dead: Rc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: BTreeMap<String, Stored>,
    steps: u64,
    fault: Option<(u64, Fate)>,
    losses: u64,
}

#[derive(Debug, Default)]
struct Stored {
    last: u64,
    last_id: Option<String>,
    messages: BTreeMap<u64, (String, Bytes)>,
    /// Ids that came lately.
    recent: VecDeque<(String, u64)>,
    duplicate_window: usize,
    room: Option<usize>,
    queue: bool,
    consumers: BTreeMap<String, Consumer>,
}

#[derive(Debug, Default)]
struct Consumer {
    /// Which one of its name: deliveries of earlier ones are not its own.
    generation: u64,
    next: u64,
    deliveries: u64,
    pending: BTreeMap<u64, u64>,
}

impl Memory {
    /// An engine without streams.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a stream with room for so many messages, which suppresses the last `duplicates` ids, and from which messages go when they are
    /// acknowledged if it is a `queue`.
    pub fn create(&self, name: &str, room: Option<usize>, duplicates: usize, queue: bool) {
        let stored = Stored {
            duplicate_window: duplicates,
            room,
            queue,
            ..Stored::default()
        };
        self.inner
            .borrow_mut()
            .streams
            .insert(name.to_owned(), stored);
    }

    /// Has the `step`-th call from now fail, from 0.
    pub fn fail_at(&self, step: u64, fate: Fate) {
        let mut inner = self.inner.borrow_mut();
        let step = inner.steps + step;
        inner.fault = Some((step, fate));
    }

    /// Returns when a call has died.
    pub async fn died(&self) {
        self.dead.notified().await;
    }

    /// Whether the fault that was asked for is still to come.
    pub fn is_armed(&self) -> bool {
        self.inner.borrow().fault.is_some()
    }

    /// All that a stream holds now, in order: sequence, id, payload.
    pub fn contents(&self, name: &str) -> Vec<(u64, String, Bytes)> {
        let inner = self.inner.borrow();
        let messages = inner
            .streams
            .get(name)
            .into_iter()
            .flat_map(|stored| &stored.messages);
        messages
            .map(|(sequence, (id, payload))| (*sequence, id.clone(), payload.clone()))
            .collect()
    }

    /// Removes the messages up to and with this sequence.
    pub fn remove_up_to(&self, name: &str, sequence: u64) {
        if let Some(stored) = self.inner.borrow_mut().streams.get_mut(name) {
            stored.messages.retain(|at, _| *at > sequence);
        }
    }

    /// Forgets the messages behind this sequence, and that they ever were: what a server loses with its power.
    pub fn forget_behind(&self, name: &str, sequence: u64) {
        if let Some(stored) = self.inner.borrow_mut().streams.get_mut(name) {
            stored.messages.retain(|at, _| *at <= sequence);
            stored.recent.retain(|(_, at)| *at <= sequence);
            stored.last = sequence;
            stored.last_id = None;
        }
    }

    /// Puts a message into a stream, as another program does.
    pub fn put(&self, name: &str, payload: &[u8]) {
        if let Some(stored) = self.inner.borrow_mut().streams.get_mut(name) {
            stored.last += 1;
            stored.last_id = None;
            let payload = Bytes::copy_from_slice(payload);
            stored
                .messages
                .insert(stored.last, (String::new(), payload));
        }
        self.news.notify_waiters();
    }

    /// One call of a gateway's: perhaps it fails, or never ends.
    async fn step<T>(
        &self,
        effect: impl FnOnce(&mut Inner) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let fate = {
            let mut inner = self.inner.borrow_mut();
            let step = inner.steps;
            inner.steps += 1;
            match inner.fault {
                Some((chosen, fate)) if chosen <= step => {
                    inner.fault = None;
                    Some(fate)
                }
                _ => None,
            }
        };
        let lost = || Err(Trouble::passing("the connection was lost"));
        match fate {
            None => effect(&mut self.inner.borrow_mut()),
            Some(Fate::FailsBefore) => {
                self.inner.borrow_mut().losses += 1;
                lost()
            }
            Some(Fate::FailsAfter) => {
                let _ = effect(&mut self.inner.borrow_mut());
                self.inner.borrow_mut().losses += 1;
                self.news.notify_waiters();
                lost()
            }
            Some(fate) => {
                if fate == Fate::DiesAfter {
                    let _ = effect(&mut self.inner.borrow_mut());
                    self.news.notify_waiters();
                }
                self.dead.notify_one();
                std::future::pending().await
            }
        }
    }
}

fn stored<'a>(inner: &'a mut Inner, name: &str) -> Result<&'a mut Stored, Trouble> {
    let missing = || Trouble::Passing(format!("there is no stream {name}"));
    inner.streams.get_mut(name).ok_or_else(missing)
}

impl Engine for Memory {
    type Outlet = MemoryOutlet;
    type Inlet = MemoryInlet;

    fn outlet(&self, stream: &str, _: &str) -> MemoryOutlet {
        MemoryOutlet {
            engine: self.clone(),
            stream: stream.to_owned(),
        }
    }

    fn inlet(&self, stream: &str, _: Option<&str>, consumer: &str, window: usize) -> MemoryInlet {
        MemoryInlet {
            engine: self.clone(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            window,
            generation: 0,
            losses: 0,
        }
    }
}

/// A way out.
#[derive(Debug)]
pub struct MemoryOutlet {
    engine: Memory,
    stream: String,
}

impl Outlet for MemoryOutlet {
    type Ack = Ready<Result<u64, Trouble>>;

    async fn state(&mut self) -> Result<State, Trouble> {
        let name = &self.stream;
        let state = self.engine.step(|inner| {
            let stored = stored(inner, name)?;
            let newest = stored.messages.last_key_value();
            let newest = newest.map(|(sequence, (id, _))| {
                (*sequence, Some(id.clone()).filter(|id| !id.is_empty()))
            });
            Ok(State {
                identity: 1,
                last: stored.last,
                newest,
            })
        });
        state.await
    }

    async fn publish(&mut self, publication: Publication) -> Result<Self::Ack, Trouble> {
        let name = &self.stream;
        let outcome = self.engine.step(|inner| {
            let stored = stored(inner, name)?;
            // What is refused is said by the acknowledgement.
            Ok(ready(stored.store(publication)))
        });
        let outcome = outcome.await;
        self.engine.news.notify_waiters();
        outcome
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

impl Stored {
    fn store(&mut self, publication: Publication) -> Result<u64, Trouble> {
        if let Some((_, at)) = self.recent.iter().find(|(id, _)| *id == publication.id) {
            return Ok(*at);
        }
        if publication.behind != self.last {
            return Err(Trouble::passing("wrong last sequence"));
        }
        if publication.behind_id.is_some() && publication.behind_id != self.last_id {
            return Err(Trouble::passing("wrong last message id"));
        }
        if self.room.is_some_and(|room| self.messages.len() >= room) {
            return Err(Trouble::Full("maximum messages exceeded".to_owned()));
        }
        self.last += 1;
        self.last_id = Some(publication.id.clone());
        self.recent.push_back((publication.id.clone(), self.last));
        if self.recent.len() > self.duplicate_window {
            self.recent.pop_front();
        }
        self.messages
            .insert(self.last, (publication.id, publication.payload));
        Ok(self.last)
    }
}

/// A way in.
#[derive(Debug)]
pub struct MemoryInlet {
    engine: Memory,
    stream: String,
    consumer: String,
    window: usize,
    generation: u64,
    losses: u64,
}

impl Inlet for MemoryInlet {
    /// Of which consumer, and which message.
    type Token = (u64, u64);

    async fn state(&mut self) -> Result<(i64, u64), Trouble> {
        self.losses = self.engine.inner.borrow().losses;
        let name = &self.stream;
        let state = self
            .engine
            .step(|inner| stored(inner, name).map(|stored| (1, stored.last)));
        state.await
    }

    async fn start(&mut self, after: u64) -> Result<(), Trouble> {
        let (name, consumer) = (&self.stream, &self.consumer);
        let made = self.engine.step(|inner| {
            let stored = stored(inner, name)?;
            let queue = stored.queue;
            let made = stored.consumers.entry(consumer.clone()).or_default();
            *made = Consumer {
                generation: made.generation + 1,
                next: if queue { 1 } else { after + 1 },
                ..Consumer::default()
            };
            Ok(made.generation)
        });
        self.generation = made.await?;
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivery<Self::Token>, Trouble> {
        loop {
            let news = self.engine.news.notified();
            if self.engine.inner.borrow().losses != self.losses {
                return Err(Trouble::passing("the connection was lost"));
            }
            let is_there = {
                let inner = self.engine.inner.borrow();
                inner.streams.get(&self.stream).is_some_and(|stored| {
                    stored
                        .consumers
                        .get(&self.consumer)
                        .is_some_and(|consumer| {
                            consumer.pending.len() < self.window
                                && stored.messages.range(consumer.next..).next().is_some()
                        })
                })
            };
            if !is_there {
                news.await;
                continue;
            }
            let (name, consumer, generation) = (&self.stream, &self.consumer, self.generation);
            let delivery = self.engine.step(|inner| {
                let stored = stored(inner, name)?;
                let consumer = stored.consumers.get_mut(consumer);
                let consumer = consumer.filter(|consumer| consumer.generation == generation);
                let consumer = consumer.ok_or_else(|| Trouble::passing("the consumer is gone"))?;
                let next = stored.messages.range(consumer.next..).next();
                let (sequence, (_, payload)) =
                    next.ok_or_else(|| Trouble::passing("it is gone"))?;
                consumer.next = sequence + 1;
                consumer.deliveries += 1;
                consumer.pending.insert(*sequence, consumer.deliveries);
                Ok(Delivery {
                    sequence: *sequence,
                    delivery: consumer.deliveries,
                    payload: payload.clone(),
                    token: (generation, *sequence),
                })
            });
            return delivery.await;
        }
    }

    async fn acknowledge(&mut self, (generation, sequence): Self::Token) -> Result<(), Trouble> {
        let (name, consumer) = (&self.stream, &self.consumer);
        let done = self.engine.step(|inner| {
            let stored = stored(inner, name)?;
            if stored.queue {
                stored.messages.remove(&sequence);
            }
            if let Some(consumer) = stored.consumers.get_mut(consumer)
                && consumer.generation == generation
            {
                consumer.pending.remove(&sequence);
            }
            Ok(())
        });
        done.await?;
        self.engine.news.notify_waiters();
        Ok(())
    }
}
