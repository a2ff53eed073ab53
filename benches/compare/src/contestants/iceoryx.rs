//! iceoryx2: publish-subscribe, made lossless: what finds no room is sent again. The one subscriber is
//! polled. Several subscribers get every message each, which is a work of its own ([`FanOut`]).

use std::ops::Range;

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::publish_subscribe;

use super::mapping;
use crate::crowd::{Queue, Role};
use crate::memory::yield_until;
use crate::message;
use crate::track::Lane;

type Topic<const W: usize> = publish_subscribe::PortFactory<ipc::Service, [u64; W], ()>;

pub struct Iceoryx<const W: usize> {
    /// Of its files in /dev/shm, and of a directory there.
    name: String,
    messages: u64,
    producers: usize,
    consumers: usize,
    /// What a publisher does when the subscriber's queue is full.
    full: BackpressureStrategy,
    topic: Option<(Node<ipc::Service>, Topic<W>)>,
    publisher: Option<Publisher<ipc::Service, [u64; W], ()>>,
    subscriber: Option<Subscriber<ipc::Service, [u64; W], ()>>,
}

impl<const W: usize> Iceoryx<W> {
    pub fn new(name: String, messages: u64, producers: usize, full: BackpressureStrategy) -> Self {
        Self {
            name,
            messages,
            producers,
            consumers: 1,
            full,
            topic: None,
            publisher: None,
            subscriber: None,
        }
    }

    fn join_topic(&mut self) -> &Topic<W> {
        let node = node(&self.name);
        let topic = node
            .service_builder(&"compare".try_into().expect("a name"))
            .publish_subscribe::<[u64; W]>()
            .enable_safe_overflow(false)
            .history_size(0)
            .subscriber_max_buffer_size(self.messages as usize)
            .subscriber_max_borrowed_samples(1)
            .max_publishers(self.producers)
            .max_subscribers(self.consumers)
            .max_nodes(self.producers + self.consumers)
            .open_or_create()
            .expect("the same of all");
        &self.topic.insert((node, topic)).1
    }
}

/// A node with files of its own.
pub fn node(name: &str) -> Node<ipc::Service> {
    set_log_level(LogLevel::Error);
    let mut config = Config::default();
    let prefix = format!("{name}-");
    config.global.prefix = FileName::new(prefix.as_bytes()).expect("a file name");
    // It must not begin with the prefix.
    let root = format!("/dev/shm/{name}.root");
    let root = Path::new(root.as_bytes()).expect("a path");
    config.global.set_root_path(&root);
    // The leader outlives the others, and must not sweep up after them: the run's end does.
    config.global.node.cleanup_dead_nodes_on_creation = false;
    config.global.node.cleanup_dead_nodes_on_destruction = false;
    NodeBuilder::new()
        .config(&config)
        .create::<ipc::Service>()
        .expect("a new node")
}

impl<const W: usize> Queue<W> for Iceoryx<W> {
    fn make(&mut self) {
        self.join_topic();
    }

    fn attach(&mut self, role: Role) {
        let (buffer, full) = (self.messages as usize, self.full);
        let topic = match self.topic.take() {
            Some(made) => &self.topic.insert(made).1,
            None => self.join_topic(),
        };
        match role {
            Role::Producer => {
                let publisher = topic
                    .publisher_builder()
                    .max_loaned_samples(1)
                    .backpressure_strategy(full)
                    .create();
                self.publisher = Some(publisher.expect("room for a publisher"));
            }
            Role::Consumer => {
                let subscriber = topic.subscriber_builder().buffer_size(buffer).create();
                self.subscriber = Some(subscriber.expect("room for a subscriber"));
            }
        }
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let publisher = self.publisher.as_ref().expect("attached");
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            // Whatever the strategy, nobody is reached while the queue is full and the subscriber has not
            // yet looked at this publisher.
            yield_until(|| {
                let sample = publisher.loan_uninit().expect("a free sample");
                let sample = sample.write_payload(message);
                sample.send().expect("intact") == 1
            });
        }
    }

    #[inline(always)]
    fn receive(&mut self, count: u64, mut each: impl FnMut(&[u64; W])) {
        let subscriber = self.subscriber.as_ref().expect("attached");
        for _ in 0..count {
            yield_until(|| match subscriber.receive().expect("intact") {
                Some(sample) => {
                    each(sample.payload());
                    true
                }
                None => false,
            });
        }
    }
}

/// Samples that are written and read where they are lent.
pub struct Loans<const W: usize>(Iceoryx<W>);

impl<const W: usize> Loans<W> {
    pub fn new(name: String) -> Self {
        // As many samples on their way as others have slots.
        let full = BackpressureStrategy::RetryUntilDelivered;
        Self(Iceoryx::new(name, mapping::SLOTS, 1, full))
    }
}

impl<const W: usize> Lane for Loans<W> {
    fn start_sending(&mut self) {
        self.0.attach(Role::Producer);
    }

    fn start_receiving(&mut self) {
        self.0.attach(Role::Consumer);
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let publisher = self.0.publisher.as_ref().expect("attached");
        for number in numbers {
            // Nobody is reached while the subscriber has not yet looked at this publisher.
            yield_until(|| {
                let mut sample = publisher.loan_uninit().expect("a free sample");
                let message = sample.payload_mut().as_mut_ptr().cast();
                // SAFETY: the sample's, which is this publisher's until it is sent.
                unsafe { mapping::write(message, W, number) };
                // SAFETY: just written.
                let sample = unsafe { sample.assume_init() };
                sample.send().expect("intact") == 1
            });
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let subscriber = self.0.subscriber.as_ref().expect("attached");
        for number in numbers {
            yield_until(|| match subscriber.receive().expect("intact") {
                Some(sample) => {
                    mapping::check(sample.payload(), number);
                    true
                }
                None => false,
            });
        }
    }
}

/// What is sent reaches each of several subscribers.
pub struct FanOut<const W: usize>(Iceoryx<W>);

impl<const W: usize> FanOut<W> {
    pub fn new(name: String, messages: u64, consumers: usize) -> Self {
        let full = BackpressureStrategy::RetryUntilDelivered;
        let mut topic = Iceoryx::new(name, messages, 1, full);
        topic.consumers = consumers;
        Self(topic)
    }
}

impl<const W: usize> Lane for FanOut<W> {
    fn start_sending(&mut self) {
        self.0.attach(Role::Producer);
    }

    fn start_receiving(&mut self) {
        self.0.attach(Role::Consumer);
    }

    /// Sends a greeting to all: from then on everybody knows everybody, and each message reaches all at once.
    fn unlink(&mut self) {
        let publisher = self.0.publisher.as_ref().expect("attached");
        let sample = publisher.loan_uninit().expect("a free sample");
        let reached = sample.write_payload([0; W]).send().expect("intact");
        assert_eq!(
            reached, self.0.consumers,
            "iceoryx2: subscribers at the beginning"
        );
    }

    fn greet(&mut self) {
        Queue::receive(&mut self.0, 1, |_| {});
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let publisher = self.0.publisher.as_ref().expect("attached");
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            let sample = publisher.loan_uninit().expect("a free sample");
            let reached = sample.write_payload(message).send().expect("intact");
            assert_eq!(reached, self.0.consumers, "iceoryx2: all live");
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let mut next = numbers.start;
        Queue::receive(&mut self.0, numbers.end - numbers.start, |message| {
            message::check(message, next);
            next += 1;
        });
    }
}
