//! Between two threads of one process, for orientation: rtrb and crossbeam-channel, which no two processes can use. The
//! receiving thread runs on the processor of the team's second member, which sleeps meanwhile.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::memory::{Shared, spin_until};
use crate::message;
use crate::process;
use crate::track::{LEAD, Tape, Track};

/// One direction of a channel between threads.
pub trait Channel<const W: usize>: 'static {
    type Sender;
    type Receiver: Send + 'static;
    fn new(messages: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &mut Self::Sender, message: [u64; W]);
    fn receive(receiver: &mut Self::Receiver) -> [u64; W];
}

pub struct Rtrb;

impl<const W: usize> Channel<W> for Rtrb {
    type Sender = rtrb::Producer<[u64; W]>;
    type Receiver = rtrb::Consumer<[u64; W]>;

    fn new(messages: usize) -> (Self::Sender, Self::Receiver) {
        rtrb::RingBuffer::new(messages)
    }

    #[inline(always)]
    fn send(sender: &mut Self::Sender, message: [u64; W]) {
        spin_until(|| sender.push(message).is_ok());
    }

    #[inline(always)]
    fn receive(receiver: &mut Self::Receiver) -> [u64; W] {
        let mut message = None;
        spin_until(|| {
            message = receiver.pop().ok();
            message.is_some()
        });
        message.unwrap_or([0; W])
    }
}

pub struct Crossbeam;

impl<const W: usize> Channel<W> for Crossbeam {
    type Sender = crossbeam_channel::Sender<[u64; W]>;
    type Receiver = crossbeam_channel::Receiver<[u64; W]>;

    fn new(messages: usize) -> (Self::Sender, Self::Receiver) {
        crossbeam_channel::bounded(messages)
    }

    #[inline(always)]
    fn send(sender: &mut Self::Sender, message: [u64; W]) {
        sender.send(message).expect("a live receiver");
    }

    #[inline(always)]
    fn receive(receiver: &mut Self::Receiver) -> [u64; W] {
        receiver.recv().expect("a live sender")
    }
}

/// What the receiving thread is told, and tells. All only grow.
#[derive(Default)]
struct Orders {
    /// One more than the last number to receive; it grows when a burst begins.
    end: AtomicU64,
    /// The same when the thread is awake and polls.
    ready: AtomicU64,
    /// The same when all has been received.
    done: AtomicU64,
}

/// Flat out from the leader to a thread of its own.
pub struct Threads<C: Channel<W>, const W: usize> {
    messages: usize,
    sender: Option<C::Sender>,
    orders: Arc<Orders>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// One more than the last number of the last burst that the leader has ended: for the other member.
    ended: Shared,
    other_cpu: Shared,
}

impl<C: Channel<W>, const W: usize> Threads<C, W> {
    /// With room for as many messages as bytes of `ring` hold.
    pub fn new(ring: u64) -> Self {
        Self {
            messages: (ring / (W as u64 * 8)) as usize,
            sender: None,
            orders: Arc::default(),
            thread: None,
            ended: Shared::new(4096),
            other_cpu: Shared::new(4096),
        }
    }
}

impl<C: Channel<W>, const W: usize> Track for Threads<C, W> {
    fn start(&mut self, member: usize) {
        if member != LEAD {
            let cpu = process::processors()[0];
            self.other_cpu.word(0).store(cpu as u64, Ordering::Release);
        }
    }

    /// The other member has said where it runs.
    fn join(&mut self, member: usize) {
        if member != LEAD {
            return;
        }
        let cpu = self.other_cpu.word(0).load(Ordering::Acquire) as usize;
        let (sender, receiver) = C::new(self.messages);
        self.sender = Some(sender);
        let orders = Arc::clone(&self.orders);
        self.thread = Some(std::thread::spawn(move || {
            follow::<C, W>(&orders, receiver, cpu)
        }));
    }

    fn unlink(&mut self, _: usize) {}

    fn prepare(&mut self, numbers: &Range<u64>) {
        self.orders.end.store(numbers.end, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
        spin_until(|| self.orders.ready.load(Ordering::Acquire) == numbers.end);
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, _: Tape<'_>) {
        let end = numbers.end;
        if member != LEAD {
            // Its processor is the thread's.
            while self.ended.word(0).load(Ordering::Acquire) < end {
                std::thread::sleep(Duration::from_micros(200));
            }
            return;
        }
        let sender = self.sender.as_mut().expect("started");
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            C::send(sender, message);
        }
        spin_until(|| self.orders.done.load(Ordering::Acquire) == end);
        self.ended.word(0).store(end, Ordering::Release);
    }

    fn ends_with_leader(&self) -> bool {
        true
    }
}

/// Receives what it is told to; never returns, and ends with its process.
fn follow<C: Channel<W>, const W: usize>(orders: &Orders, mut receiver: C::Receiver, cpu: usize) {
    process::pin(cpu);
    // Numbers begin with 1.
    let mut next = 1;
    loop {
        let end = orders.end.load(Ordering::Acquire);
        if end <= next {
            std::thread::park();
            continue;
        }
        orders.ready.store(end, Ordering::Release);
        for number in next..end {
            message::check(&C::receive(&mut receiver), number);
        }
        next = end;
        orders.done.store(end, Ordering::Release);
    }
}
