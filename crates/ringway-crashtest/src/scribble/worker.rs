//! Who works on a ring into which garbage is written: goes on after every typed error, and ends by itself.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use clap::Args;
use ringway::message::DetachedMessage;
use ringway::{
    Address, Builder, Error, ErrorKind, Receiver, RecvError, Ring, SendError, Sender, WaitStrategy,
};
use ringway_testing::messages::Random;

/// How long a call may wait.
const PATIENCE: Duration = Duration::from_millis(5);
/// What a worker may need at most: the rings are small, and no length in them is believed.
const MOST_MEMORY: u64 = 256 << 20;
/// Longer than any message that the rings carry.
const BUFFER: usize = 64 << 10;

#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    role: String,
    #[arg(long)]
    address: String,
    #[arg(long)]
    millis: u64,
    #[arg(long)]
    seed: u64,
}

/// One of the processes.
struct Work {
    until: Instant,
    random: Random,
    tally: BTreeMap<&'static str, u64>,
    buffer: Vec<u8>,
}

pub(crate) fn play(options: Options) -> Result<(), String> {
    let address: Address = options.address.parse().map_err(failed)?;
    let mut work = Work {
        until: Instant::now() + Duration::from_millis(options.millis),
        random: Random(options.seed),
        tally: BTreeMap::new(),
        buffer: vec![0; BUFFER],
    };
    match options.role.as_str() {
        "produce" => work.produce(&address),
        "consume" => work.consume(&address),
        _ => work.observe(&address),
    }
    let most = most_memory();
    if most > MOST_MEMORY {
        return Err(format!("took {most} bytes of memory"));
    }
    let text = serde_json::to_string(&work.tally).map_err(|error| error.to_string())?;
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .map_err(|error| error.to_string())
}

fn failed(error: Error) -> String {
    error.to_string()
}

/// The most that this process ever had in memory, in bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_ascii_whitespace().next());
    kibibytes
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        << 10
}

impl Work {
    fn note(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn deadline() -> Instant {
        Instant::now() + PATIENCE
    }

    /// The ring, as soon as it can be had; `None` at the end.
    fn ring(&mut self, address: &Address) -> Option<Ring> {
        let socket = (*address == Address::Memfd).then(|| {
            // SAFETY: the coordinator has made it this process's standard input, which nobody else uses.
            UnixStream::from(unsafe { OwnedFd::from_raw_fd(0) })
        });
        while !self.is_over() {
            let builder = Builder::at(address.clone()).trust_peers(true);
            let opened = match &socket {
                Some(socket) => builder.take_over(socket).map(|(ring, _)| ring),
                None => builder.open(),
            };
            match opened {
                Ok(ring) => return Some(ring),
                // It was handed over once.
                Err(_) if socket.is_some() => return None,
                Err(error) => self.set_up_failed(&error),
            }
        }
        None
    }

    fn set_up_failed(&mut self, error: &Error) {
        self.note(match error.kind() {
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::RoleTaken { .. } => "role taken",
            _ => "not opened or attached",
        });
        std::thread::sleep(Duration::from_millis(1));
    }

    fn wait(&mut self) -> WaitStrategy {
        match self.random.below(3) {
            0 => WaitStrategy::Park,
            1 => WaitStrategy::Spin,
            _ => WaitStrategy::default(),
        }
    }

    fn produce(&mut self, address: &Address) {
        let Some(mut ring) = self.ring(address) else {
            return;
        };
        while !self.is_over() {
            match ring.sender() {
                Ok(sender) => {
                    let how = self.wait();
                    let mut sender = sender.with_wait(how).with_copy_limit(200);
                    let most = 1 + self.random.below(2000);
                    for _ in 0..most {
                        match self.send(&mut sender) {
                            Ok(()) => self.note("sent"),
                            Err(error) => {
                                if self.send_failed(error) {
                                    break;
                                }
                            }
                        }
                        if self.is_over() {
                            break;
                        }
                    }
                    match self.random.below(4) {
                        0 => sender.close(),
                        1 => drop(sender),
                        _ => sender.leave(),
                    }
                }
                Err(error) => {
                    self.set_up_failed(&error);
                    self.reopen(&mut ring, address);
                }
            }
        }
    }

    fn send(&mut self, sender: &mut Sender) -> Result<(), SendError> {
        let longest = sender.max_message_len().min(BUFFER as u64);
        let len = match self.random.below(10) {
            0..6 => self.random.below(64),
            6..8 => self.random.below(longest.min(2000) + 1),
            _ => self.random.below(longest + 1),
        } as usize;
        match self.random.below(9) {
            0..3 => sender.try_send(&self.buffer[..len]),
            3 => sender.send_deadline(&self.buffer[..len], Self::deadline()),
            4 => {
                let mut claim = sender.claim_deadline(len, Self::deadline())?;
                claim.write_at(0, &self.buffer[..len]);
                claim.commit_len(len / 2);
                Ok(())
            }
            5 => {
                let mut claim = sender.try_claim(len)?;
                claim.write_at(len / 2, &self.buffer[..len]);
                claim.abort();
                Ok(())
            }
            6 | 7 => {
                let count = self.random.below(20);
                let mut batch = sender.batch();
                let pushed = (0..count).try_for_each(|_| batch.push(&self.buffer[..len.min(100)]));
                batch.commit();
                pushed
            }
            _ => {
                let _ = (sender.peer(), sender.sent(), sender.overwritten());
                match self.random.below(2) {
                    0 => sender.wait_until_drained_deadline(Self::deadline()),
                    _ => sender.wait_for_peer_deadline(Self::deadline()),
                }
            }
        }
    }

    /// Whether the handle is of no use any more.
    fn send_failed(&mut self, error: SendError) -> bool {
        let (name, ends) = match error {
            SendError::Corrupt => ("corrupt", true),
            SendError::Unmapped { .. } => ("unmapped", false),
            SendError::Closed => ("closed", true),
            SendError::PeerDied => ("peer died", false),
            SendError::Full => ("full", false),
            SendError::TimedOut => ("timed out", false),
            SendError::TooLarge { .. } => ("too large", false),
            _ => ("another error", true),
        };
        self.note(name);
        ends
    }

    fn consume(&mut self, address: &Address) {
        let Some(mut ring) = self.ring(address) else {
            return;
        };
        let mut kept: Vec<DetachedMessage> = Vec::new();
        while !self.is_over() {
            match ring.receiver() {
                Ok(receiver) => {
                    let how = self.wait();
                    let mut receiver = receiver.with_wait(how);
                    let most = 1 + self.random.below(2000);
                    for _ in 0..most {
                        match self.receive(&mut receiver, &mut kept) {
                            Ok(()) => self.note("received"),
                            Err(error) => {
                                if self.receive_failed(error) {
                                    break;
                                }
                            }
                        }
                        if self.is_over() {
                            break;
                        }
                    }
                    if self.random.below(50) == 0 {
                        receiver.close();
                    }
                }
                Err(error) => {
                    kept.clear();
                    self.set_up_failed(&error);
                    self.reopen(&mut ring, address);
                }
            }
        }
    }

    fn receive(
        &mut self,
        receiver: &mut Receiver,
        kept: &mut Vec<DetachedMessage>,
    ) -> Result<(), RecvError> {
        let deadline = Self::deadline();
        match self.random.below(12) {
            0..3 => receiver.try_recv_into(&mut self.buffer).map(drop),
            3 => receiver
                .recv_into_deadline(&mut self.buffer, deadline)
                .map(drop),
            4 => receiver.recv_deadline(deadline).map(drop),
            5 => {
                let message = receiver.recv_in_place_deadline(deadline)?;
                let len = message.len().min(BUFFER);
                message.read_at(0, &mut self.buffer[..len]);
                match self.random.below(3) {
                    0 => drop(message),
                    _ => message.release(),
                }
                Ok(())
            }
            6 => {
                kept.truncate(2);
                kept.push(receiver.try_recv_in_place()?.detach()?);
                let _ = kept[0].to_vec();
                kept.swap_remove(0);
                Ok(())
            }
            7 => {
                let most = 1 + self.random.below(100) as usize;
                let buffer = &mut self.buffer;
                receiver
                    .drain(most, |view| _ = view.read_at(0, buffer))
                    .map(drop)
            }
            8 => {
                let count = self.random.below(20);
                let mut backlog = receiver.backlog();
                let mut looked = Ok(());
                for _ in 0..count {
                    match backlog.next_message() {
                        Ok(Some(message)) => drop(message.to_vec()),
                        Ok(None) => break,
                        Err(error) => {
                            looked = Err(error);
                            break;
                        }
                    }
                }
                if self.random.below(2) == 0 {
                    backlog.release();
                }
                looked
            }
            9 => receiver.wait_deadline(deadline),
            10 => {
                let ever = receiver.producers_ever();
                let _ = (receiver.is_drained(), receiver.peer(), receiver.received());
                receiver.wait_while_attached_deadline(&[ever << 8], deadline);
                receiver.wait_for_producers_deadline(ever.saturating_add(1), deadline)
            }
            _ => match self.random.below(2) {
                0 => receiver.skip_unreadable().map(drop),
                _ => receiver.wait_for_peer_deadline(deadline),
            },
        }
    }

    /// Whether the handle is of no use any more.
    fn receive_failed(&mut self, error: RecvError) -> bool {
        let (name, ends) = match error {
            RecvError::Corrupt => ("corrupt", true),
            RecvError::Unmapped { .. } => ("unmapped", false),
            RecvError::Closed => ("closed", true),
            RecvError::PeerDied => ("peer died", false),
            RecvError::Empty => ("empty", false),
            RecvError::TimedOut => ("timed out", false),
            RecvError::BufferTooSmall { .. } => ("too large", false),
            _ => ("another error", true),
        };
        self.note(name);
        ends
    }

    /// Opens it again now and then: another process would see what is there now.
    fn reopen(&mut self, ring: &mut Ring, address: &Address) {
        if *address != Address::Memfd
            && self.random.below(4) == 0
            && let Some(again) = self.ring(address)
        {
            *ring = again;
        }
    }

    fn observe(&mut self, address: &Address) {
        while !self.is_over() {
            match ringway::inspect::stat(address) {
                Ok(stat) => {
                    let _ = format!("{stat:?}");
                    self.note("looked");
                }
                Err(_) => self.note("refused to look"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
