//! An engine within the process: the rules of a stream, without a server.
//!
//! It keeps to what gateways rely on: sequences that grow by one, a message that is stored only behind the sequence and the id that it expects, suppression
//! of ids that came lately, messages that arrive late and ones whose acknowledgement does, room for so many messages, consumers that deliver in order and again what was not acknowledged. Tests have it
//! [fail](Memory::fail_at) at the N-th step, before or after that has had its effect, and thus go through all the moments at which a gateway can be
//! stopped.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

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
    /// It is carried out, but just before it somebody else publishes into all streams.
    Overtaken,
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
    /// What was published and whose acknowledgement nobody waited for: it arrives later, one with each that does not.
    late: VecDeque<(String, Publication)>,
    /// How much is published and not acknowledged, and the most that ever was.
    under_way: (usize, usize),
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

    /// What is still under way arrives, in order.
    pub fn deliver_late(&self) {
        let inner = &mut *self.inner.borrow_mut();
        for (stream, publication) in std::mem::take(&mut inner.late) {
            let _ = stored(inner, &stream).and_then(|stored| stored.store(publication));
        }
    }

    /// The most messages that were ever published and not acknowledged at once.
    pub fn most_under_way(&self) -> usize {
        self.inner.borrow().under_way.1
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
            stored.put(payload);
        }
        self.news.notify_waiters();
    }

    /// Counts a step, and says what becomes of it, if it was chosen.
    fn fate(&self) -> Option<Fate> {
        let mut inner = self.inner.borrow_mut();
        let step = inner.steps;
        inner.steps += 1;
        inner
            .fault
            .take_if(|(chosen, _)| *chosen <= step)
            .map(|(_, fate)| fate)
    }

    /// One step of a gateway's: it has its effect, perhaps, and ends, perhaps.
    fn take(
        &self,
        fate: Option<Fate>,
        effect: impl FnOnce(&mut Inner) -> Result<u64, Trouble>,
    ) -> Poll<Result<u64, Trouble>> {
        if fate == Some(Fate::Overtaken) {
            for stored in self.inner.borrow_mut().streams.values_mut() {
                stored.put(b"overtaking");
            }
        }
        let done = match fate {
            None | Some(Fate::DiesAfter | Fate::FailsAfter | Fate::Overtaken) => {
                effect(&mut self.inner.borrow_mut())
            }
            Some(Fate::DiesBefore | Fate::FailsBefore) => Ok(0),
        };
        self.news.notify_waiters();
        match fate {
            None | Some(Fate::Overtaken) => Poll::Ready(done),
            Some(Fate::FailsBefore | Fate::FailsAfter) => {
                self.inner.borrow_mut().losses += 1;
                Poll::Ready(Err(Trouble::passing("the connection was lost")))
            }
            Some(Fate::DiesBefore | Fate::DiesAfter) => {
                self.dead.notify_one();
                Poll::Pending
            }
        }
    }

    /// The same of a call.
    async fn step<T>(
        &self,
        effect: impl FnOnce(&mut Inner) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let mut made = None;
        let outcome = self.take(self.fate(), |inner| {
            made = Some(effect(inner)?);
            Ok(0)
        });
        match outcome {
            Poll::Ready(Ok(_)) => made.ok_or_else(|| Trouble::passing("it was not made")),
            Poll::Ready(Err(trouble)) => Err(trouble),
            Poll::Pending => std::future::pending().await,
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
    type Ack = MemoryAck;

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
        let (engine, stream) = (&self.engine, &self.stream);
        let handed = engine.step(|inner| {
            inner.under_way.0 += 1;
            inner.under_way.1 = inner.under_way.1.max(inner.under_way.0);
            Ok(MemoryAck {
                engine: engine.clone(),
                stream: stream.clone(),
                under_way: Some(publication),
                turns: 0,
            })
        });
        handed.await
    }

    async fn disturbed(&mut self) {
        std::future::pending().await
    }
}

/// An acknowledgement to come. The message is stored when it comes, which is not at once; until then it is under way.
#[derive(Debug)]
pub struct MemoryAck {
    engine: Memory,
    stream: String,
    under_way: Option<Publication>,
    /// How often it was asked for.
    turns: u32,
}

impl Future for MemoryAck {
    type Output = Result<u64, Trouble>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.turns += 1;
        if self.turns == 1 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let engine = self.engine.clone();
        let fate = engine.fate();
        let this = &mut *self;
        engine.take(fate, |inner| {
            if let Some((stream, publication)) = inner.late.pop_front() {
                let _ = stored(inner, &stream).and_then(|stored| stored.store(publication));
            }
            // Once stored it is not under way any more; a gateway that died is not asked again.
            let publication = this.under_way.take();
            let publication = publication.ok_or_else(|| Trouble::passing("it is stored"))?;
            inner.under_way.0 -= 1;
            stored(inner, &this.stream)?.store(publication)
        })
    }
}

impl Drop for MemoryAck {
    fn drop(&mut self) {
        if let Some(publication) = self.under_way.take() {
            let late = (self.stream.clone(), publication);
            let inner = &mut *self.engine.inner.borrow_mut();
            inner.late.push_back(late);
            // Nobody counts on it any more.
            inner.under_way.0 -= 1;
        }
    }
}

impl Stored {
    /// Somebody else's message.
    fn put(&mut self, payload: &[u8]) {
        self.last += 1;
        self.last_id = None;
        let payload = Bytes::copy_from_slice(payload);
        self.messages.insert(self.last, (String::new(), payload));
    }

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
