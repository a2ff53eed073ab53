//! Message queues: ringway's transports beside the bare calls. All have the same room, all block in the kernel.

use std::ffi::CString;
use std::ops::Range;

use ::ringway::Address;
use ::ringway::address::QueueKey;
use ::ringway::mq::{QueueBuilder, QueueReceiver, QueueSender};

use super::{Contestant, Roster};
use crate::args::{Queue, Variant, Work};
use crate::message;
use crate::track::{Lane, OneWay, RoundTrip, Track};

/// Messages in a POSIX queue: what an unprivileged user may have.
const MESSAGES: u32 = 10;

/// Most queues of a measurement.
const QUEUES: u32 = 64;

impl Roster<'_> {
    pub(super) fn queues<const W: usize>(&mut self) -> Vec<Contestant> {
        let Variant::Queue(queue) = self.variant else {
            return Vec::new();
        };
        let mut list = Vec::new();
        match queue {
            Queue::Posix => {
                let bare = self.lanes(|address| BarePosix::<W>::new(name(&address), Frame::None));
                list.push(contestant("bare mq_send, mq_receive", true, bare));
                let framed =
                    self.lanes(|address| BarePosix::<W>::new(name(&address), Frame::Copied));
                list.push(contestant("bare, copied and framed", false, framed));
            }
            Queue::Sysv => {
                let bare =
                    self.lanes(|address| BareSysv::<W>::new(key(&address), FIRST, Frame::None));
                list.push(contestant("bare msgsnd, msgrcv", true, bare));
                let sorted =
                    self.lanes(|address| BareSysv::<W>::new(key(&address), LOWEST, Frame::None));
                list.push(contestant("bare msgsnd, msgrcv by type", false, sorted));
                let framed =
                    self.lanes(|address| BareSysv::<W>::new(key(&address), FIRST, Frame::Copied));
                list.push(contestant("bare, copied and framed", false, framed));
                let urgent = self.lanes(|address| Ours::<W>::new(address, true));
                list.push(contestant("ringway queue by priority", false, urgent));
            }
        }
        let ours = self.lanes(|address| Ours::<W>::new(address, false));
        list.push(contestant("ringway queue", false, ours));
        list
    }

    /// One lane, or two for round trips.
    fn lanes<L: Lane + 'static>(&mut self, new: impl Fn(Address) -> L) -> Box<dyn Track> {
        let work = self.work;
        let mut lane = || {
            let address = match self.variant {
                Variant::Queue(Queue::Sysv) => {
                    self.made += 1;
                    Address::Sysvmq(QueueKey::Key(key_of(std::process::id(), self.made)))
                }
                _ => Address::Mq(self.name()),
            };
            new(address)
        };
        match work {
            Work::MqRoundTrip => {
                let (there, back) = (lane(), lane());
                Box::new(RoundTrip { there, back })
            }
            _ => Box::new(OneWay(lane())),
        }
    }
}

fn contestant(name: &'static str, is_reference: bool, track: Box<dyn Track>) -> Contestant {
    let ring = None;
    Contestant {
        name,
        ring,
        is_reference,
        track,
    }
}

pub(super) fn key_of(process: u32, number: u32) -> u32 {
    process << 10 | number
}

fn name(address: &Address) -> CString {
    let Address::Mq(name) = address else {
        panic!("{address} has no name");
    };
    CString::new(format!("/{name}")).expect("no zero byte")
}

fn key(address: &Address) -> libc::key_t {
    let Address::Sysvmq(QueueKey::Key(key)) = address else {
        panic!("{address} has no key");
    };
    *key as libc::key_t
}

/// Removes what the measurement of a process has left.
pub fn remove_all(leader: u32, prefix: &str) {
    for number in 1..=QUEUES {
        let key = key_of(leader, number) as libc::key_t;
        if let Ok(name) = CString::new(format!("/{prefix}{number}")) {
            // SAFETY: a C string.
            unsafe { libc::mq_unlink(name.as_ptr()) };
        }
        // SAFETY: calls with numbers; IPC_RMID takes no memory.
        unsafe {
            libc::msgctl(libc::msgget(key, 0), libc::IPC_RMID, std::ptr::null_mut());
            libc::semctl(libc::semget(key, 0, 0), 0, libc::IPC_RMID);
        }
    }
}

/// ringway's transport.
struct Ours<const W: usize> {
    address: Address,
    priorities: bool,
    sender: Option<QueueSender>,
    receiver: Option<QueueReceiver>,
}

impl<const W: usize> Ours<W> {
    fn new(address: Address, priorities: bool) -> Self {
        Self {
            address,
            priorities,
            sender: None,
            receiver: None,
        }
    }
}

impl<const W: usize> Lane for Ours<W> {
    fn start_sending(&mut self) {
        let builder = QueueBuilder::at(self.address.clone()).priorities(self.priorities);
        let builder = match self.address {
            Address::Mq(_) => builder.messages(MESSAGES).message_len(W * 8),
            _ => builder,
        };
        let queue = builder.create().expect("a new queue");
        self.sender = Some(queue.sender().expect("it is there"));
    }

    fn start_receiving(&mut self) {
        let builder = QueueBuilder::at(self.address.clone());
        let queue = builder.open().expect("the other process has made it");
        self.receiver = Some(queue.receiver().expect("no other receiver"));
    }

    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("started");
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            let sent = sender.send(bytemuck::cast_slice(&message));
            sent.expect("a live receiver");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.receiver.as_mut().expect("started");
        let mut message = [0; W];
        for number in numbers {
            let bytes = bytemuck::cast_slice_mut(&mut message);
            let len = receiver.recv_into(bytes).expect("a live sender");
            if len != W * 8 {
                message::wrong(number);
            }
            message::check(&message, number);
        }
    }
}

/// The frame of a bare message, behind its type if it has one. With a frame as ringway's, a message is copied into a
/// buffer and out of one, too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    None,
    Copied,
}

/// What the kernel reads or writes.
struct Buffer<const W: usize> {
    words: Vec<u64>,
    message: [u64; W],
    frame: Frame,
}

impl<const W: usize> Buffer<W> {
    /// `before`: words in front of the frame.
    fn new(before: usize, frame: Frame) -> Self {
        let head = match frame {
            Frame::None => 0,
            Frame::Copied => 2,
        };
        Self {
            words: vec![0; before + head + W],
            message: [0; W],
            frame,
        }
    }

    fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    fn fill(&mut self, number: u64) {
        let place: &mut [u64; W] = self.words.last_chunk_mut().expect("as long as that");
        match self.frame {
            Frame::None => message::fill(place, number),
            Frame::Copied => {
                message::fill(&mut self.message, number);
                place.copy_from_slice(&self.message);
            }
        }
    }

    fn check(&mut self, number: u64, len: isize, expected: usize) {
        if len != expected as isize {
            message::wrong(number);
        }
        let place: &[u64; W] = self.words.last_chunk().expect("as long as that");
        match self.frame {
            Frame::None => message::check(place, number),
            Frame::Copied => {
                self.message.copy_from_slice(place);
                message::check(&self.message, number);
            }
        }
    }
}

/// `mq_send` and `mq_receive` on a descriptor that blocks.
pub(super) struct BarePosix<const W: usize> {
    name: CString,
    buffer: Buffer<W>,
    queue: libc::mqd_t,
}

impl<const W: usize> BarePosix<W> {
    pub(super) fn new(name: CString, frame: Frame) -> Self {
        Self {
            name,
            buffer: Buffer::new(0, frame),
            queue: -1,
        }
    }
}

impl<const W: usize> Lane for BarePosix<W> {
    fn start_sending(&mut self) {
        // SAFETY: mq_attr is plain integers, for which zero is a value.
        let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
        attributes.mq_maxmsg = MESSAGES.into();
        attributes.mq_msgsize = self.buffer.bytes() as _;
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        // SAFETY: a C string, the flags, and the two arguments that O_CREAT asks for.
        let queue = unsafe { libc::mq_open(self.name.as_ptr(), flags, 0o600, &raw mut attributes) };
        assert!(queue >= 0, "a new queue");
        self.queue = queue;
    }

    fn start_receiving(&mut self) {
        // SAFETY: a C string and flags that ask for no more arguments.
        self.queue = unsafe { libc::mq_open(self.name.as_ptr(), libc::O_RDWR) };
        assert!(self.queue >= 0, "the other process has made it");
    }

    fn unlink(&mut self) {
        // SAFETY: a C string.
        unsafe { libc::mq_unlink(self.name.as_ptr()) };
    }

    fn send(&mut self, numbers: Range<u64>) {
        let len = self.buffer.bytes();
        for number in numbers {
            self.buffer.fill(number);
            let from = self.buffer.words.as_ptr().cast();
            // SAFETY: so many bytes to read, which outlive the call.
            let sent = unsafe { libc::mq_send(self.queue, from, len, 0) };
            assert_eq!(sent, 0, "a queue");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let room = self.buffer.bytes();
        for number in numbers {
            let (to, none) = (self.buffer.words.as_mut_ptr().cast(), std::ptr::null_mut());
            // SAFETY: so many bytes to write.
            let len = unsafe { libc::mq_receive(self.queue, to, room, none) };
            self.buffer.check(number, len, room);
        }
    }
}

/// Receives the message that was sent first.
pub(super) const FIRST: libc::c_long = 0;

/// Receives the message of the lowest type, as who has priorities must.
const LOWEST: libc::c_long = -libc::c_long::MAX;

/// The type of all messages, as ringway's: none may end the search for the lowest.
const TYPE: u64 = 33;

/// `msgsnd` and `msgrcv` that block.
pub(super) struct BareSysv<const W: usize> {
    key: libc::key_t,
    wanted: libc::c_long,
    buffer: Buffer<W>,
    queue: libc::c_int,
}

impl<const W: usize> BareSysv<W> {
    pub(super) fn new(key: libc::key_t, wanted: libc::c_long, frame: Frame) -> Self {
        Self {
            key,
            wanted,
            buffer: Buffer::new(1, frame),
            queue: -1,
        }
    }
}

impl<const W: usize> Lane for BareSysv<W> {
    fn start_sending(&mut self) {
        // SAFETY: numbers only.
        self.queue = unsafe { libc::msgget(self.key, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) };
        assert!(self.queue >= 0, "a new queue");
    }

    fn start_receiving(&mut self) {
        // SAFETY: numbers only.
        self.queue = unsafe { libc::msgget(self.key, 0) };
        assert!(self.queue >= 0, "the other process has made it");
    }

    fn send(&mut self, numbers: Range<u64>) {
        let len = self.buffer.bytes() - 8;
        self.buffer.words[0] = TYPE;
        for number in numbers {
            self.buffer.fill(number);
            let from = self.buffer.words.as_ptr().cast();
            // SAFETY: a type and so many bytes to read, which outlive the call.
            let sent = unsafe { libc::msgsnd(self.queue, from, len, 0) };
            assert_eq!(sent, 0, "a queue");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let room = self.buffer.bytes() - 8;
        for number in numbers {
            let to = self.buffer.words.as_mut_ptr().cast();
            // SAFETY: a type and so many bytes to write.
            let len = unsafe { libc::msgrcv(self.queue, to, room, self.wanted, 0) };
            self.buffer.check(number, len, room);
        }
    }
}
