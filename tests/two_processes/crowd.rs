//! Several producers and consumers on one ring, each a process with a private log, and what the logs
//! must say together, also if one of the processes was killed.
//!
//! They wait without deadlines: with the last look before a deadline one would find what one was not
//! woken for. Who watches them reports what hangs.

use std::collections::HashMap;
use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::unistd::Pid;
use ringway::inspect::stat;
use ringway::{Address, Receiver, RecvError, Ring, SendError, Sender, WaitStrategy};
use tempfile::TempDir;

use super::messages::{Random, signature, signed};
use super::{First, Second};

/// The roles of the processes.
const PRODUCE: &str = "produce";
const CONSUME: &str = "consume";

/// A consumer borrows at most so many messages at a time: all the cells of a small ring.
const MOST_BORROWED: usize = 32;

/// What the members of a crowd do.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    pub producers: usize,
    pub consumers: usize,
    /// Messages of each producer.
    pub count: u64,
    /// The producers sign with their index and this.
    pub first_name: u32,
    /// Whether consumers also use the calls that copy, which release before they can be logged.
    pub copies: bool,
    /// Members with an even index wait in the one way, others in the other.
    pub waits: [&'static str; 2],
}

/// All members, attached and about to start.
pub struct Crowd {
    task: Task,
    ring: Ring,
    producers: Vec<Member>,
    consumers: Vec<Member>,
}

struct Member {
    process: Second,
    log: File,
    _directory: TempDir,
}

impl Member {
    fn start(ring: &Ring, task: Task, role: &str, index: usize) -> Self {
        let directory = TempDir::with_prefix("ringway-test-").unwrap();
        let path = directory.path().join("log");
        let log = File::create_new(&path).and_then(|_| File::open(&path));
        let process = Second::start(role, ring);
        process.say(path.display());
        process.say(task.waits[index % 2]);
        if role == PRODUCE {
            process.say(task.first_name + index as u32);
            process.say(task.count);
        } else {
            process.say(task.copies);
        }
        Self {
            process,
            log: log.unwrap(),
            _directory: directory,
        }
    }
}

/// One of the crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Producer(usize),
    Consumer(usize),
}

impl Crowd {
    /// Starts all members, and returns when all are attached.
    pub fn start(ring: &Ring, task: Task) -> Self {
        let start = |role, index| Member::start(ring, task, role, index);
        let crowd = Self {
            task,
            ring: ring.clone(),
            producers: (0..task.producers).map(|i| start(PRODUCE, i)).collect(),
            consumers: (0..task.consumers).map(|i| start(CONSUME, i)).collect(),
        };
        for member in crowd.members() {
            member.process.expect("attached");
        }
        crowd
    }

    /// Starts one more consumer.
    pub fn add_consumer(&mut self) {
        let index = self.consumers.len();
        let member = Member::start(&self.ring, self.task, CONSUME, index);
        member.process.expect("attached");
        member.process.say("go");
        self.consumers.push(member);
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.producers.iter().chain(&self.consumers)
    }

    /// Lets all begin.
    pub fn go(&self) {
        for member in self.members() {
            member.process.say("go");
        }
    }

    /// Kills one.
    pub fn kill(&self, victim: Victim) {
        let member = match victim {
            Victim::Producer(index) => &self.producers[index],
            Victim::Consumer(index) => &self.consumers[index],
        };
        member.process.kill_unreaped();
    }

    /// The process id of each.
    pub fn pids(&self) -> Vec<Pid> {
        self.members()
            .map(|member| Pid::from_raw(member.process.pid() as i32))
            .collect()
    }

    /// Waits for all but the victim, and checks what all logs say together.
    pub fn finish(self, victim: Option<Victim>) {
        let max = self.ring.max_message_len() as usize;
        let mut received = Received::new(self.task, victim);
        for (index, member) in self.consumers.iter().enumerate() {
            let who = Victim::Consumer(index);
            if Some(who) != victim {
                received.check_end(&self.hear_end(member, who));
            }
        }
        for (index, member) in self.producers.iter().enumerate() {
            if Some(Victim::Producer(index)) != victim {
                self.check_exit(member, Victim::Producer(index));
            }
        }
        for (index, member) in self.consumers.iter().enumerate() {
            let who = Victim::Consumer(index);
            if Some(who) != victim {
                self.check_exit(member, who);
            }
            received.add_log(who, &member.log);
        }
        // A consumer that died when the others were gone leaves its messages to us.
        let mut receiver = self.ring.receiver().unwrap();
        let mut left = Vec::new();
        let end = loop {
            match receiver.try_recv() {
                Ok(message) => left.push(signature(&message, max)),
                Err(end) => break end,
            }
        };
        received.check_end(&format!("{end:?}"));
        received.add_rest(left);
        for (index, member) in self.producers.iter().enumerate() {
            received.compare(index, &member.log);
        }
    }

    fn hear_end(&self, member: &Member, who: Victim) -> String {
        let heard = super::try_hear(&member.process.socket);
        heard.unwrap_or_else(|error| panic!("{who:?}: {error}\n{}", self.state()))
    }

    fn check_exit(&self, member: &Member, who: Victim) {
        let status = member.process.wait();
        assert!(status.success(), "{who:?}: {status}\n{}", self.state());
    }

    /// What an observer sees of the ring.
    pub fn state(&self) -> String {
        match self.ring.address() {
            Address::Memfd => String::new(),
            address => format!("{:#?}", stat(address)),
        }
    }
}

/// What the consumers received.
struct Received {
    task: Task,
    victim: Option<Victim>,
    /// How often each message was received by one that released it, or that lives.
    times: HashMap<(u32, u64), u32>,
    /// What the victim received and may have released.
    unclear: Vec<(u32, u64)>,
    /// Messages that came to a consumer behind younger ones of the same producer.
    late: usize,
}

impl Received {
    fn new(task: Task, victim: Option<Victim>) -> Self {
        Self {
            task,
            victim,
            times: HashMap::new(),
            unclear: Vec::new(),
            late: 0,
        }
    }

    /// How many messages may come again, or late.
    fn excuses(&self) -> usize {
        match self.victim {
            Some(Victim::Consumer(_)) => MOST_BORROWED,
            _ => 0,
        }
    }

    fn check_end(&self, end: &str) {
        let died = matches!(self.victim, Some(Victim::Producer(_)));
        let end = end.split(':').next().unwrap_or_default();
        let fits = end == "Closed" || died && end == "PeerDied";
        assert!(fits, "{end} with victim {:?}", self.victim);
    }

    fn add_log(&mut self, who: Victim, log: &File) {
        let mut youngest = HashMap::new();
        let mut borrowed = Vec::new();
        for entry in entries(log) {
            match entry {
                RELEASED => {
                    for message in borrowed.drain(..) {
                        *self.times.entry(message).or_default() += 1;
                    }
                }
                (name, number) => {
                    let message = (name as u32, number);
                    borrowed.push(message);
                    let youngest = youngest.entry(name).or_insert(number);
                    self.late += usize::from(number < *youngest);
                    *youngest = number.max(*youngest);
                }
            }
        }
        assert!(
            borrowed.is_empty() || self.victim == Some(who),
            "{who:?} did not finish its log"
        );
        self.unclear.extend(borrowed);
    }

    fn add_rest(&mut self, rest: Vec<(u32, u64)>) {
        assert!(rest.len() <= self.excuses(), "left: {rest:?}");
        for message in rest {
            *self.times.entry(message).or_default() += 1;
        }
    }

    /// Compares with what the producer of this index sent.
    fn compare(&self, index: usize, log: &File) {
        assert!(self.late <= self.excuses(), "{} came late", self.late);
        assert!(self.unclear.len() <= self.excuses(), "{:?}", self.unclear);
        let name = self.task.first_name + index as u32;
        let (mut intended, mut sent) = (0, 0);
        for entry in entries(log) {
            match entry {
                (INTENDED, number) => intended = number,
                (_, number) => sent = number,
            }
        }
        if self.victim != Some(Victim::Producer(index)) {
            assert_eq!((intended, sent), (self.task.count, self.task.count));
        }
        for number in 0..self.task.count {
            let message = (name, number);
            let times = self.times.get(&message).copied().unwrap_or(0);
            let unclear = self.unclear.contains(&message);
            let fits = match times {
                0 => number >= sent || unclear,
                1 => number < intended,
                _ => false,
            };
            assert!(
                fits,
                "message {number} of {name} came {times} times and was seen {} times by a victim; \
                 {sent} were sent, {intended} tried; victim {:?}",
                u32::from(unclear),
                self.victim
            );
        }
        let foreign = |&(from, number): &(u32, u64)| from == name && number >= self.task.count;
        assert!(!self.times.keys().any(foreign));
    }
}

/// An entry of a producer's log: so many messages may have been sent.
const INTENDED: u64 = 1;
/// An entry of a producer's log: so many messages have been sent.
const SENT: u64 = 2;
/// An entry of a consumer's log: all before it are released. The others are messages.
const RELEASED: (u64, u64) = (u64::MAX, 0);

fn entries(log: &File) -> Vec<(u64, u64)> {
    let len = log.metadata().unwrap().len();
    let mut bytes = vec![0; len as usize];
    log.read_exact_at(&mut bytes, 0).unwrap();
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    bytes
        .chunks_exact(16)
        .map(|entry| (number(&entry[..8]), number(&entry[8..])))
        .collect()
}

/// One write each: a kill leaves all of it or nothing.
fn log_to(mut log: &File, entries: &[(u64, u64)]) {
    let bytes: Vec<u8> = entries
        .iter()
        .flat_map(|(what, number)| [what.to_le_bytes(), number.to_le_bytes()])
        .flatten()
        .collect();
    log.write_all(&bytes).unwrap();
}

/// The ways to wait, by their names in a [`Task`].
fn wait_named(name: &str) -> WaitStrategy {
    match name {
        "park" => WaitStrategy::Park,
        "adaptive" => WaitStrategy::Adaptive(Duration::from_micros(50)),
        _ => panic!("{name}"),
    }
}

fn open_log(first: &First) -> File {
    File::options().append(true).open(first.hear()).unwrap()
}

/// Plays the role of a member.
pub fn take_part(role: &str, first: &First) {
    match role {
        PRODUCE => produce(first),
        CONSUME => consume(first),
        _ => panic!("{role}"),
    }
}

/// The role of a producer.
fn produce(first: &First) {
    let ring = first.ring();
    let log = open_log(first);
    let wait = wait_named(&first.hear());
    let name: u32 = first.hear().parse().unwrap();
    let count: u64 = first.hear().parse().unwrap();
    let mut sender = ring.sender().unwrap().with_wait(wait);
    first.say("attached");
    assert_eq!(first.hear(), "go");
    let mut random = Random(name.into());
    let mut number = 0;
    while number < count {
        number = send_some(&mut sender, &log, &mut random, name, number, count);
    }
    sender.close();
}

/// Sends some messages from `number` on in some way, and returns the number of the next.
fn send_some(
    sender: &mut Sender,
    log: &File,
    random: &mut Random,
    name: u32,
    number: u64,
    count: u64,
) -> u64 {
    let max = sender.max_message_len() as usize;
    let bytes = signed(name, number, max);
    let (front, rest) = bytes.split_at(bytes.len() / 3);
    let way = random.below(6);
    if way == 0 {
        let end = count.min(number + 3);
        log_to(log, &[(INTENDED, end)]);
        let mut batch = sender.batch();
        let fitting = (number..end)
            .take_while(|&number| batch.push(&signed(name, number, max)).is_ok())
            .count() as u64;
        assert_eq!(batch.commit(), fitting);
        log_to(log, &[(SENT, number + fitting)]);
        return number + fitting;
    }
    log_to(log, &[(INTENDED, number + 1)]);
    let once = |sender: &mut Sender| match way {
        1 => {
            let mut claim = sender.claim(max / 4)?;
            claim.write_at(0, b"nobody sees this");
            claim.abort();
            let len = (bytes.len() + 200).min(max);
            let mut claim = sender.claim(len)?;
            claim.write_at(0, &bytes);
            claim.commit_len(bytes.len());
            Ok(())
        }
        2 => {
            let parts = [IoSlice::new(front), IoSlice::new(rest)];
            sender.send_vectored(&parts)
        }
        3 => {
            let mut claim = sender.claim(bytes.len())?;
            claim.write_at(front.len(), rest);
            claim.write_at(0, front);
            claim.commit();
            Ok(())
        }
        _ => sender.send(&bytes),
    };
    while let Err(error) = once(sender) {
        // The only consumer; another one will come.
        assert_eq!(error, SendError::PeerDied);
        sender.wait_for_peer().unwrap();
    }
    log_to(log, &[(SENT, number + 1)]);
    number + 1
}

/// The role of a consumer.
fn consume(first: &First) {
    let ring = first.ring();
    let log = open_log(first);
    let wait = wait_named(&first.hear());
    let copies = first.hear() == "true";
    let mut receiver = ring.receiver().unwrap().with_wait(wait);
    let max = ring.max_message_len() as usize;
    first.say("attached");
    assert_eq!(first.hear(), "go");
    let mut random = Random(std::process::id().into());
    let end = loop {
        if let Err(end) = receive_some(&mut receiver, &log, &mut random, max, copies) {
            break end;
        }
    };
    first.say(format!("{end:?}"));
}

/// Receives some messages in some way.
fn receive_some(
    receiver: &mut Receiver,
    log: &File,
    random: &mut Random,
    max: usize,
    copies: bool,
) -> Result<(), RecvError> {
    let got = |bytes: &[u8]| {
        let (name, number) = signature(bytes, max);
        (u64::from(name), number)
    };
    match random.below(if copies { 5 } else { 3 }) {
        0 => {
            receiver.wait()?;
            let mut backlog = receiver.backlog();
            // To its end, in cells: what is left of a backlog may come to others late.
            for _ in 0..MOST_BORROWED {
                match backlog.next_message()? {
                    Some(message) => log_to(log, &[got(&message.to_vec())]),
                    None => break,
                }
            }
            backlog.release();
            log_to(log, &[RELEASED]);
        }
        1 => {
            receiver.wait()?;
            let most = 1 + random.below(8) as usize;
            match receiver.drain(most, |message| log_to(log, &[got(&message.to_vec())])) {
                // Another consumer was faster.
                Ok(_) | Err(RecvError::Empty) => {}
                Err(error) => return Err(error),
            }
            log_to(log, &[RELEASED]);
        }
        2 => {
            let message = receiver.recv_in_place()?;
            log_to(log, &[got(&message.to_vec())]);
            message.release();
            log_to(log, &[RELEASED]);
        }
        3 => {
            let message = receiver.recv()?;
            log_to(log, &[got(&message), RELEASED]);
        }
        _ => {
            let mut buffer = vec![0; max];
            let len = receiver.recv_into(&mut buffer)?;
            log_to(log, &[got(&buffer[..len]), RELEASED]);
        }
    }
    Ok(())
}
