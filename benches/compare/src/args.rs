//! The command line.

use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use ringway::SyncKind;

use crate::crowd::Shape;

const USAGE: &str = "\
compare: ringway beside its limits and its peers, between processes

    --work rtt,sleep,sleep-sync,oneway,copy,map,hand,chunk,many,mq,mq-rtt,hierarchy,hierarchy-rtt,
           fan,board-get,board-set,call
                                   what to measure (default: all)
    --shapes 1:1,2:1,1:2,2:2       producers and consumers of `many` (default: these)
    --syncs futex,pthread,posix-sem,sysv-sem,mqueue
                                   kinds of synchronisation of `sleep-sync` (default: all)
    --sizes 64,4K,1M               message sizes (default: all that are built in)
    --rings 64K,1M,16M             ring sizes (default: by work)
    --rounds N                     rounds (default: 21)
    --seed N                       of the orders in which contestants have their turns (default: by the clock; printed)
    --burst-ms N                   length of a burst (default: 10; `many`: 20; `chunk`: 50)
    --only NAME,NAME               only contestants whose name begins so (the limit always runs)
    --cpus A,B,...                 the processors (default: the first that are allowed: two, or for
                                   `many` as many as there are processes)
    --json FILE                    append one JSON object per row, with every round's ratio
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One message there and back, both sides spinning.
    RoundTrip,
    /// The same, both sides asleep in between.
    Sleep,
    /// The same, by what the two sleep on.
    SleepSync,
    /// Flat out in one direction.
    OneWay,
    /// Flat out, messages so large that copying them is the work.
    Copy,
    /// Flat out, large messages that are written once and read once where they lie.
    Map,
    /// A slab that nobody touches there and back, beside one of 64 bytes.
    Hand,
    /// Flat out, messages larger than the ring.
    Chunk,
    /// Flat out, several producers or consumers.
    Many,
    /// Flat out in one direction, through message queues.
    Mq,
    /// One message there and back through message queues, asleep in between.
    MqRoundTrip,
    /// Flat out in one direction, through whatever two processes can talk by.
    Hierarchy,
    /// The same there and back.
    HierarchyRoundTrip,
    /// Flat out, and each of several consumers gets every message.
    Fan,
    /// A value is read again and again, which nobody writes meanwhile.
    BoardGet,
    /// A value is written again and again, which nobody reads meanwhile.
    BoardSet,
    /// A call and its answer, both sides spinning.
    Call,
}

/// What a work is done with, apart from sizes. Each is a measurement of its own, with a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Only,
    Seats(Seats),
    Sync(SyncKind, Seats),
    Shape(Shape),
    Queue(Queue),
}

/// Where two run that sleep in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seats {
    /// On a processor each: a wake-up goes to the other one, which is idle.
    Two,
    /// On the same one: whoever wakes the other gives way to it. Nothing but instructions and the change counts.
    One,
}

impl Seats {
    pub const ALL: [Self; 2] = [Self::Two, Self::One];

    fn label(self) -> &'static str {
        match self {
            Self::Two => "",
            Self::One => ", one processor",
        }
    }
}

/// The kernel's two systems of message queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    Posix,
    Sysv,
}

impl Work {
    pub const ALL: [Self; 17] = [
        Self::RoundTrip,
        Self::Sleep,
        Self::SleepSync,
        Self::OneWay,
        Self::Copy,
        Self::Map,
        Self::Hand,
        Self::Chunk,
        Self::Many,
        Self::Mq,
        Self::MqRoundTrip,
        Self::Hierarchy,
        Self::HierarchyRoundTrip,
        Self::Fan,
        Self::BoardGet,
        Self::BoardSet,
        Self::Call,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "rtt",
            Self::Sleep => "sleep",
            Self::SleepSync => "sleep-sync",
            Self::OneWay => "oneway",
            Self::Copy => "copy",
            Self::Map => "map",
            Self::Hand => "hand",
            Self::Chunk => "chunk",
            Self::Many => "many",
            Self::Mq => "mq",
            Self::MqRoundTrip => "mq-rtt",
            Self::Hierarchy => "hierarchy",
            Self::HierarchyRoundTrip => "hierarchy-rtt",
            Self::Fan => "fan",
            Self::BoardGet => "board-get",
            Self::BoardSet => "board-set",
            Self::Call => "call",
        }
    }

    /// Whether each message is timed, and less is better.
    pub fn is_latency(self) -> bool {
        matches!(
            self,
            Self::RoundTrip
                | Self::Sleep
                | Self::SleepSync
                | Self::Hand
                | Self::MqRoundTrip
                | Self::HierarchyRoundTrip
                | Self::Call
        )
    }

    pub fn sizes(self) -> &'static [u64] {
        match self {
            Self::RoundTrip | Self::Sleep | Self::SleepSync | Self::Many => &[64],
            Self::Mq | Self::MqRoundTrip => &[64, 1024],
            Self::Hierarchy | Self::HierarchyRoundTrip => &[64],
            Self::Fan | Self::BoardGet | Self::BoardSet | Self::Call => &[64],
            Self::OneWay => &[8, 64, 256, 1024],
            Self::Copy => &[4 << 10, 64 << 10, 1 << 20],
            Self::Map => &[1 << 20],
            Self::Hand => &[64 << 20],
            Self::Chunk => &[64 << 20],
        }
    }

    pub fn rings(self) -> &'static [u64] {
        match self {
            Self::RoundTrip => &[64 << 10, 4 << 20],
            Self::Sleep => &[4 << 20],
            Self::OneWay => &[64 << 10, 1 << 20, 4 << 20, 16 << 20],
            Self::Copy => &[1 << 20, 4 << 20, 16 << 20],
            Self::Chunk => &[1 << 20],
            // 1024 and 8192 cells of two lines.
            Self::Many => &[128 << 10, 1 << 20],
            Self::SleepSync => &[128 << 10],
            Self::Fan => &[1 << 20],
            Self::Map | Self::Hand | Self::BoardGet | Self::BoardSet | Self::Call => &[],
            // Their sizes are the kernel's.
            Self::Mq | Self::MqRoundTrip => &[],
            Self::Hierarchy | Self::HierarchyRoundTrip => &[128 << 10],
        }
    }

    /// Length of a burst: where processes share processors, several turns of each.
    pub fn burst(self) -> Duration {
        Duration::from_millis(match self {
            Self::Many | Self::Fan | Self::Sleep | Self::SleepSync => 20,
            // A few messages.
            Self::Chunk => 50,
            _ => 10,
        })
    }

    /// Whether both sides are meant to be asleep whenever they are woken.
    pub fn sleeps(self) -> bool {
        matches!(self, Self::Sleep | Self::SleepSync | Self::MqRoundTrip)
    }

    /// Contestants that others are shown relative to.
    pub fn peers(self) -> &'static [&'static str] {
        match self {
            Self::OneWay => &["ringfire", "shmem-ipc", "aeron offer"],
            Self::RoundTrip => &["ringfire", "aeron offer"],
            Self::Copy => &["shmem-ipc"],
            Self::Map => &["iceoryx2 loan"],
            Self::Sleep
            | Self::SleepSync
            | Self::Hand
            | Self::Chunk
            | Self::Mq
            | Self::MqRoundTrip
            | Self::Hierarchy
            | Self::HierarchyRoundTrip => &[],
            Self::Many => &["boost polled", "iceoryx2 polled"],
            Self::Fan => &["ringfire", "iceoryx2"],
            Self::BoardGet | Self::BoardSet => &["bare seqlock, any length", "iceoryx2 blackboard"],
            Self::Call => &["iceoryx2 request-response"],
        }
    }
}

#[derive(Debug)]
pub struct Args {
    pub works: Vec<Work>,
    pub sizes: Option<Vec<u64>>,
    pub rings: Option<Vec<u64>>,
    pub rounds: u32,
    pub seed: u64,
    pub burst: Option<Duration>,
    pub shapes: Vec<Shape>,
    pub syncs: Vec<SyncKind>,
    pub only: Option<Vec<String>>,
    pub cpus: Option<Vec<usize>>,
    pub json: Option<PathBuf>,
}

impl Args {
    /// From the command line; explains itself and exits if it cannot.
    pub fn parse() -> Self {
        let mut args = Self {
            works: Work::ALL.to_vec(),
            sizes: None,
            rings: None,
            rounds: 21,
            seed: crate::clock::now() & 0xffff_ffff,
            burst: None,
            shapes: [(1, 1), (2, 1), (1, 2), (2, 2)]
                .map(|(producers, consumers)| Shape {
                    producers,
                    consumers,
                })
                .to_vec(),
            syncs: SyncKind::ALL.to_vec(),
            only: None,
            cpus: None,
            json: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            if option == "--help" || option == "-h" {
                print!("{USAGE}");
                exit(0);
            }
            let value = words.next().unwrap_or_else(|| refuse(&option));
            let accepted = args.set(&option, &value);
            if accepted.is_none() {
                refuse(&format!("{option} {value}"));
            }
        }
        args
    }

    /// The variants of a work.
    pub fn variants(&self, work: Work) -> Vec<Variant> {
        match work {
            Work::Many => self.shapes.iter().copied().map(Variant::Shape).collect(),
            Work::Fan => [1, 2]
                .map(|consumers| {
                    Variant::Shape(Shape {
                        producers: 1,
                        consumers,
                    })
                })
                .to_vec(),
            Work::Sleep => Seats::ALL.map(Variant::Seats).to_vec(),
            Work::SleepSync => {
                let of = |sync| Seats::ALL.map(|seats| Variant::Sync(sync, seats));
                self.syncs.iter().copied().flat_map(of).collect()
            }
            Work::Mq | Work::MqRoundTrip => {
                [Queue::Posix, Queue::Sysv].map(Variant::Queue).to_vec()
            }
            _ => vec![Variant::Only],
        }
    }

    fn set(&mut self, option: &str, value: &str) -> Option<()> {
        let list = || value.split(',');
        match option {
            "--work" => {
                let work = |name| Work::ALL.into_iter().find(|work| work.name() == name);
                self.works = list().map(work).collect::<Option<_>>()?;
            }
            "--shapes" => self.shapes = list().map(Shape::parse).collect::<Option<_>>()?,
            "--syncs" => {
                let sync = |name| SyncKind::ALL.into_iter().find(|sync| sync.name() == name);
                self.syncs = list().map(sync).collect::<Option<_>>()?;
            }
            "--sizes" => self.sizes = Some(list().map(bytes).collect::<Option<_>>()?),
            "--rings" => {
                let rings: Vec<u64> = list().map(bytes).collect::<Option<_>>()?;
                if !rings
                    .iter()
                    .all(|ring| ring.is_power_of_two() && *ring >= 4096)
                {
                    return None;
                }
                self.rings = Some(rings);
            }
            "--rounds" => self.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
            "--seed" => self.seed = value.parse().ok()?,
            "--burst-ms" => {
                let milliseconds = value
                    .parse()
                    .ok()
                    .filter(|time| (1..=1000).contains(time))?;
                self.burst = Some(Duration::from_millis(milliseconds));
            }
            "--only" => self.only = Some(list().map(str::to_owned).collect()),
            "--cpus" => {
                let cpus: Option<Vec<usize>> = list().map(|cpu| cpu.parse().ok()).collect();
                self.cpus = Some(cpus.filter(|cpus| cpus.len() > 1)?);
            }
            "--json" => self.json = Some(value.into()),
            _ => return None,
        }
        Some(())
    }
}

impl Variant {
    /// The work as tables name it.
    pub fn label(self, work: Work) -> String {
        let name = work.name();
        match self {
            Self::Only => name.to_owned(),
            Self::Seats(seats) => format!("{name}{}", seats.label()),
            Self::Sync(sync, seats) => format!("{name} {}{}", sync.name(), seats.label()),
            Self::Queue(Queue::Posix) => format!("{name} posix"),
            Self::Queue(Queue::Sysv) => format!("{name} sysv"),
            Self::Shape(shape) => format!("{name} {}:{}", shape.producers, shape.consumers),
        }
    }

    /// Who runs on which processor.
    pub fn placement(self, cpus: &[usize]) -> Vec<usize> {
        match self {
            Self::Shape(shape) => shape.placement(cpus),
            Self::Seats(Seats::One) | Self::Sync(_, Seats::One) => vec![cpus[0]; 2],
            _ => cpus[..2].to_vec(),
        }
    }
}

fn refuse(what: &str) -> ! {
    eprintln!("compare: cannot make sense of `{what}`\n\n{USAGE}");
    exit(2)
}

/// "64", "64K", "1M".
fn bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(digits) => (digits, 20),
            None => (text, 0),
        },
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}

/// The other way round.
pub fn show_bytes(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}
