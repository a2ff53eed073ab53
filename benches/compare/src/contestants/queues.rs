//! Message queues: ringway's transports beside the bare calls. All have the same room, all block in the kernel.

use std::ffi::CString;
use std::ops::Range;

use ::ringway::mq::{QueueBuilder, QueueReceiver, QueueSender};
use ::ringway::{Address, QueueKey};

use super::{Contestant, Roster};
use crate::args::{Queue, Variant, Work};
use crate::message;
use crate::track::{Lane, OneWay, RoundTrip, Track};

/// Messages in a POSIX queue: what an unprivileged user may have.
const MESSAGES: u32 = 10;

/// Most queues of a measurement.
const QUEUES: u32 = 16;

impl Roster<'_> {
    pub(super) fn queues<const W: usize>(&mut self) -> Vec<Contestant> {
        let Variant::Queue(queue) = self.variant else {
            return Vec::new();
        };
        let mut list = Vec::new();
        match queue {
            Queue::Posix => {
                let bare = self.lanes(|address| BarePosix::<W>::new(name(&address)));
                list.push(contestant("bare mq_send, mq_receive", true, bare));
            }
            Queue::Sysv => {
                let bare = self.lanes(|address| BareSysv::<W>::new(key(&address), FIRST));
                list.push(contestant("bare msgsnd, msgrcv", true, bare));
                let sorted = self.lanes(|address| BareSysv::<W>::new(key(&address), LOWEST));
                list.push(contestant("bare msgsnd, msgrcv by type", false, sorted));
            }
        }
        let ours = self.lanes(Ours::<W>::new);
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

fn contestant(name: &'static str, is_limit: bool, track: Box<dyn Track>) -> Contestant {
    let ring = None;
    Contestant {
        name,
        ring,
        is_limit,
        track,
    }
}

fn key_of(process: u32, number: u32) -> u32 {
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
    sender: Option<QueueSender>,
    receiver: Option<QueueReceiver>,
}

impl<const W: usize> Ours<W> {
    fn new(address: Address) -> Self {
        Self {
            address,
            sender: None,
            receiver: None,
        }
    }
}

impl<const W: usize> Lane for Ours<W> {
    fn start_sending(&mut self) {
        let builder = QueueBuilder::at(self.address.clone());
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
            let len = receiver.recv_into(bytes, None).expect("a live sender");
            if len != W * 8 {
                message::wrong(number);
            }
            message::check(&message, number);
        }
    }
}

/// `mq_send` and `mq_receive` on a descriptor that blocks.
struct BarePosix<const W: usize> {
    name: CString,
    queue: libc::mqd_t,
}

impl<const W: usize> BarePosix<W> {
    fn new(name: CString) -> Self {
        Self { name, queue: -1 }
    }
}

impl<const W: usize> Lane for BarePosix<W> {
    fn start_sending(&mut self) {
        // SAFETY: mq_attr is plain integers, for which zero is a value.
        let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
        attributes.mq_maxmsg = MESSAGES.into();
        attributes.mq_msgsize = (W * 8) as _;
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
        let mut message = [0_u64; W];
        for number in numbers {
            message::fill(&mut message, number);
            // SAFETY: so many bytes to read, which outlive the call.
            let sent = unsafe { libc::mq_send(self.queue, message.as_ptr().cast(), W * 8, 0) };
            assert_eq!(sent, 0, "a queue");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut message = [0_u64; W];
        for number in numbers {
            let (to, none) = (message.as_mut_ptr().cast(), std::ptr::null_mut());
            // SAFETY: so many bytes to write.
            let len = unsafe { libc::mq_receive(self.queue, to, W * 8, none) };
            if len != (W * 8) as isize {
                message::wrong(number);
            }
            message::check(&message, number);
        }
    }
}

/// Receives the message that was sent first.
const FIRST: libc::c_long = 0;

/// Receives the message of the lowest type, as who has priorities must.
const LOWEST: libc::c_long = -libc::c_long::MAX;

/// `msgsnd` and `msgrcv` that block.
struct BareSysv<const W: usize> {
    key: libc::key_t,
    wanted: libc::c_long,
    queue: libc::c_int,
}

#[repr(C)]
struct Typed<const W: usize> {
    kind: libc::c_long,
    text: [u64; W],
}

impl<const W: usize> BareSysv<W> {
    fn new(key: libc::key_t, wanted: libc::c_long) -> Self {
        let queue = -1;
        Self { key, wanted, queue }
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
        // As ringway's: none may end the search for the lowest.
        let mut message = Typed {
            kind: 33,
            text: [0; W],
        };
        for number in numbers {
            message::fill(&mut message.text, number);
            // SAFETY: a type and so many bytes to read, which outlive the call.
            let sent = unsafe { libc::msgsnd(self.queue, (&raw const message).cast(), W * 8, 0) };
            assert_eq!(sent, 0, "a queue");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut message = Typed {
            kind: 0,
            text: [0; W],
        };
        for number in numbers {
            // SAFETY: a type and so many bytes to write.
            let len = unsafe {
                libc::msgrcv(self.queue, (&raw mut message).cast(), W * 8, self.wanted, 0)
            };
            if len != (W * 8) as isize {
                message::wrong(number);
            }
            message::check(&message.text, number);
        }
    }
}
