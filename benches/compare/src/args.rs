//! The command line.

use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

const USAGE: &str = "\
compare: ringway beside its limits and its peers, between two processes

    --work rtt,sleep,oneway,copy   what to measure (default: all)
    --sizes 64,4K,1M               message sizes (default: all that are built in)
    --rings 64K,1M,16M             ring sizes (default: by work)
    --rounds N                     rounds (default: 21)
    --burst-ms N                   length of a burst (default: 10)
    --only NAME,NAME               only contestants whose name begins so (the limit always runs)
    --cpus A,B                     the two processors (default: the first two allowed)
    --json FILE                    append one JSON object per row, with every round's ratio
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One message there and back, both sides spinning.
    RoundTrip,
    /// The same, both sides sleeping.
    Sleep,
    /// Flat out in one direction.
    OneWay,
    /// Flat out, messages so large that copying them is the work.
    Copy,
}

impl Work {
    pub const ALL: [Self; 4] = [Self::RoundTrip, Self::Sleep, Self::OneWay, Self::Copy];

    pub fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "rtt",
            Self::Sleep => "sleep",
            Self::OneWay => "oneway",
            Self::Copy => "copy",
        }
    }

    /// Whether each message is timed, and less is better.
    pub fn is_latency(self) -> bool {
        matches!(self, Self::RoundTrip | Self::Sleep)
    }

    pub fn sizes(self) -> &'static [u64] {
        match self {
            Self::RoundTrip | Self::Sleep => &[64],
            Self::OneWay => &[8, 64, 256],
            Self::Copy => &[4 << 10, 64 << 10, 1 << 20],
        }
    }

    pub fn rings(self) -> &'static [u64] {
        match self {
            Self::RoundTrip => &[64 << 10, 4 << 20],
            Self::Sleep => &[4 << 20],
            Self::OneWay => &[64 << 10, 1 << 20, 4 << 20, 16 << 20],
            Self::Copy => &[1 << 20, 4 << 20, 16 << 20],
        }
    }
}

#[derive(Debug)]
pub struct Args {
    pub works: Vec<Work>,
    pub sizes: Option<Vec<u64>>,
    pub rings: Option<Vec<u64>>,
    pub rounds: u32,
    pub burst: Duration,
    pub only: Option<Vec<String>>,
    pub cpus: Option<(usize, usize)>,
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
            burst: Duration::from_millis(10),
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

    fn set(&mut self, option: &str, value: &str) -> Option<()> {
        let list = || value.split(',');
        match option {
            "--work" => {
                let work = |name| Work::ALL.into_iter().find(|work| work.name() == name);
                self.works = list().map(work).collect::<Option<_>>()?;
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
            "--burst-ms" => {
                let milliseconds = value
                    .parse()
                    .ok()
                    .filter(|time| (1..=1000).contains(time))?;
                self.burst = Duration::from_millis(milliseconds);
            }
            "--only" => self.only = Some(list().map(str::to_owned).collect()),
            "--cpus" => {
                let (first, second) = value.split_once(',')?;
                self.cpus = Some((first.parse().ok()?, second.parse().ok()?));
            }
            "--json" => self.json = Some(value.into()),
            _ => return None,
        }
        Some(())
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
