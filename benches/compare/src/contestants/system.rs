//! What the system offers beside streams of bytes: sockets that keep messages, a file that is polled, signals.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::memory::{Shared, spin_until};
use crate::message;
use crate::track::Lane;

/// A pair of sockets that keep messages apart and lose none.
pub struct Packets<const W: usize> {
    sender: OwnedFd,
    receiver: OwnedFd,
}

impl<const W: usize> Packets<W> {
    pub fn datagrams() -> Self {
        let (sender, receiver) = UnixDatagram::pair().expect("a pair of sockets");
        Self {
            sender: sender.into(),
            receiver: receiver.into(),
        }
    }

    pub fn seqpackets() -> Self {
        use std::os::fd::FromRawFd;
        let mut pair = [-1; 2];
        // SAFETY: room for two descriptors, which are ours then.
        unsafe {
            let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
            let made = libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr());
            assert_eq!(made, 0, "a pair of sockets");
            let [sender, receiver] = pair.map(|fd| OwnedFd::from_raw_fd(fd));
            Self { sender, receiver }
        }
    }
}

fn send<const W: usize>(socket: &impl AsRawFd, message: &[u64; W]) {
    // SAFETY: so many bytes to read.
    let sent = unsafe { libc::send(socket.as_raw_fd(), message.as_ptr().cast(), W * 8, 0) };
    assert_eq!(sent, W as isize * 8, "a live receiver");
}

fn receive<const W: usize>(socket: &impl AsRawFd, message: &mut [u64; W]) -> isize {
    // SAFETY: so many bytes to write.
    unsafe { libc::recv(socket.as_raw_fd(), message.as_mut_ptr().cast(), W * 8, 0) }
}

impl<const W: usize> Lane for Packets<W> {
    fn start_sending(&mut self) {}

    fn start_receiving(&mut self) {}

    fn send(&mut self, numbers: Range<u64>) {
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            send(&self.sender, &message);
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut message = [0; W];
        for number in numbers {
            if receive(&self.receiver, &mut message) != W as isize * 8 {
                message::wrong(number);
            }
            message::check(&message, number);
        }
    }
}

/// Both ends of a TCP connection on the loopback, without delay.
pub fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("a port");
    let sender = TcpStream::connect(address).expect("a listener");
    let (receiver, _) = listener.accept().expect("a connection");
    for end in [&sender, &receiver] {
        end.set_nodelay(true).expect("a TCP socket");
    }
    (sender, receiver)
}

/// UDP on the loopback. It drops what finds no room, so that the receiver answers every so many messages, and the sender
/// waits for that.
pub struct Udp<const W: usize> {
    sender: UdpSocket,
    receiver: UdpSocket,
    acknowledged: u64,
}

/// Messages between two answers, and on their way.
const ANSWER: u64 = 32;
const WINDOW: u64 = 64;

impl<const W: usize> Udp<W> {
    pub fn new() -> Self {
        let [sender, receiver] = [(), ()].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
        let address = |socket: &UdpSocket| socket.local_addr().expect("a port");
        let (sends, receives) = (address(&sender), address(&receiver));
        sender.connect(receives).expect("the loopback");
        receiver.connect(sends).expect("the loopback");
        Self {
            sender,
            receiver,
            acknowledged: 0,
        }
    }
}

impl<const W: usize> Lane for Udp<W> {
    fn start_sending(&mut self) {}

    fn start_receiving(&mut self) {}

    fn send(&mut self, numbers: Range<u64>) {
        let mut message = [0; W];
        for number in numbers {
            while number - self.acknowledged > WINDOW {
                let mut answer = [0; 1];
                assert_eq!(receive(&self.sender, &mut answer), 8, "an answer");
                self.acknowledged = answer[0];
            }
            message::fill(&mut message, number);
            send(&self.sender, &message);
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut message = [0; W];
        for number in numbers {
            if receive(&self.receiver, &mut message) != W as isize * 8 {
                message::wrong(number);
            }
            message::check(&message, number);
            if number.is_multiple_of(ANSWER) {
                send(&self.receiver, &[number]);
            }
        }
    }
}

/// A file that one appends to and the other reads again and again until there is more. It has no name.
pub struct Log<const W: usize>(File);

impl<const W: usize> Log<W> {
    pub fn new(path: &Path) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .expect("a new file");
        std::fs::remove_file(path).expect("it is there");
        Self(file)
    }

    /// Numbers begin with 1.
    fn place(number: u64) -> u64 {
        (number - 1) * W as u64 * 8
    }
}

impl<const W: usize> Lane for Log<W> {
    fn start_sending(&mut self) {}

    fn start_receiving(&mut self) {}

    fn send(&mut self, numbers: Range<u64>) {
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            let written = self
                .0
                .write_all_at(bytemuck::cast_slice(&message), Self::place(number));
            written.expect("room in the file system");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut message = [0; W];
        for number in numbers {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut message);
            spin_until(|| {
                // A page at a time becomes longer: a message that crosses into the next may be there in part.
                let read = self.0.read_at(bytes, Self::place(number));
                read.expect("a file") == W * 8
            });
            message::check(&message, number);
        }
    }
}

/// Signals with a payload, a word each: a message is as many of them as it has words.
pub struct Signals<const W: usize> {
    signal: libc::c_int,
    /// Who receives.
    page: Shared,
}

impl<const W: usize> Signals<W> {
    /// The `index`-th signal of those that queue up. It is blocked here and in all who are forked, so that it waits for
    /// `sigwaitinfo`.
    pub fn new(index: i32) -> Self {
        let signal = libc::SIGRTMIN() + 3 + index;
        // SAFETY: a set that is initialised before it is used; only the mask of this thread changes.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, signal);
            libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        }
        let page = Shared::new(4096);
        Self { signal, page }
    }
}

impl<const W: usize> Lane for Signals<W> {
    fn start_sending(&mut self) {}

    fn start_receiving(&mut self) {
        let own = u64::from(std::process::id());
        self.page.word(0).store(own, Ordering::Release);
    }

    fn send(&mut self, numbers: Range<u64>) {
        let receiver = self.page.word(0).load(Ordering::Acquire) as libc::pid_t;
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            for word in message {
                let value = libc::sigval {
                    sival_ptr: word as usize as *mut libc::c_void,
                };
                // SAFETY: no memory is involved; the value is a number. The receiver blocks the signal.
                while unsafe { libc::sigqueue(receiver, self.signal, value) } != 0 {
                    // As many are on their way as may be.
                    std::thread::yield_now();
                }
            }
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut message = [0; W];
        // SAFETY: as in `new`.
        let set = unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, self.signal);
            set
        };
        for number in numbers {
            for word in &mut message {
                // SAFETY: a set, and room for what is told of a signal that came with a value.
                *word = unsafe {
                    let mut told: libc::siginfo_t = std::mem::zeroed();
                    while libc::sigwaitinfo(&set, &mut told) != self.signal {}
                    told.si_value().sival_ptr.addr() as u64
                };
            }
            message::check(&message, number);
        }
    }
}
