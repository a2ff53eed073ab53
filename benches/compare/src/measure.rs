//! Rounds of paired bursts.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock;
use crate::shuffle::Shuffle;
use crate::team::{Burst, Team};

/// Fewest messages of a burst, but of such as take several milliseconds each.
const LEAST: u64 = 16;
const LARGE: u64 = 16 << 20;
/// Most laps that a burst may record.
const MOST_LAPS: u64 = 1 << 18;

/// One burst, as it counts: messages a second, or nanoseconds a message.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Messages per second.
    pub rate: f64,
    /// Nanoseconds per round trip; 0 where they are not timed one by one.
    pub p50: f64,
    pub p999: f64,
    /// Nanoseconds that a message was on its way flat out; 0 where that is not known.
    pub load_p50: f64,
    pub load_p99: f64,
    /// In what share of the trips both sides slept.
    pub asleep: f64,
}

/// One burst and the reference's beside it.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub own: Sample,
    pub beside: Sample,
    /// Nanoseconds of a bare round trip just before and just behind the two: how far apart the processors were. 0 on one
    /// processor.
    pub key: [f64; 2],
}

/// How far apart two processors were in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    Near,
    Far,
    /// It changed, or there is none.
    Between,
}

/// A bare round trip of less is near: at most a few hundred cycles, as within one core or a cluster with a cache of its
/// own.
pub const NEAR: f64 = 150.0;

impl Round {
    pub fn distance(&self) -> Distance {
        match self.key.map(|trip| trip < NEAR) {
            _ if self.key == [0.0; 2] => Distance::Between,
            [true, true] => Distance::Near,
            [false, false] => Distance::Far,
            _ => Distance::Between,
        }
    }
}

/// What one contestant showed.
pub struct Score {
    pub rounds: Vec<Round>,
    /// Every round trip, in nanoseconds.
    pub laps: Histogram<u64>,
}

pub struct Measurement<'a> {
    team: &'a mut Team,
    target: Duration,
    is_latency: bool,
    message_size: u64,
    nanoseconds_per_tick: f64,
    /// By contestant: the next number, and how many messages make a burst of the wanted length.
    next: Vec<u64>,
    counts: Vec<u64>,
    laps: Vec<u32>,
    shuffle: Shuffle,
}

/// Round trips of the key: some tens of microseconds.
const KEY_TRIPS: u64 = 300;

impl<'a> Measurement<'a> {
    /// The team's last contestant is the key, and no contestant.
    pub fn new(
        team: &'a mut Team,
        target: Duration,
        is_latency: bool,
        message_size: u64,
        shuffle: Shuffle,
    ) -> Self {
        let contestants = team.contestants().len();
        let laps = vec![1; if is_latency { MOST_LAPS } else { KEY_TRIPS } as usize];
        let nanoseconds_per_tick = clock::nanoseconds_per_tick();
        let (next, counts) = (vec![1; contestants], vec![0; contestants]);
        Self {
            team,
            target,
            is_latency,
            message_size,
            nanoseconds_per_tick,
            next,
            counts,
            laps,
            shuffle,
        }
    }

    /// Warms up, then runs `rounds` rounds over all contestants, each in an order of its own: nobody always follows the same.
    pub fn run(mut self, rounds: u32) -> Vec<Score> {
        let contestants = self.counts.len() - 1;
        let mut scores: Vec<Score> = (0..contestants).map(|_| Score::new()).collect();
        for contestant in 0..contestants {
            self.warm_up(contestant);
        }
        let mut order: Vec<usize> = (0..contestants).collect();
        for _ in 0..rounds {
            self.shuffle.order(&mut order);
            let mut before = self.key();
            for &contestant in &order {
                let reference = self.reference_of(contestant);
                let laps = Some(&mut scores[contestant].laps);
                let (own, beside) = if self.shuffle.coin() {
                    let beside = self.sample(reference, None);
                    (self.sample(contestant, laps), beside)
                } else {
                    let own = self.sample(contestant, laps);
                    (own, self.sample(reference, None))
                };
                let behind = self.key();
                scores[contestant].rounds.push(Round {
                    own,
                    beside,
                    key: [before, behind],
                });
                before = behind;
            }
        }
        scores
    }

    /// The median of some bare round trips; 0 where they share a processor, which makes it pointless.
    fn key(&mut self) -> f64 {
        if self.team.takes_turns() {
            return 0.0;
        }
        let key = self.counts.len() - 1;
        let first = self.next[key];
        self.next[key] += KEY_TRIPS;
        self.team
            .burst(key, first..first + KEY_TRIPS, &mut self.laps);
        let timed = &mut self.laps[..KEY_TRIPS as usize];
        timed.sort_unstable();
        f64::from(timed[timed.len() / 2]) * self.nanoseconds_per_tick
    }

    /// The reference that this contestant is measured beside; for a reference, itself.
    fn reference_of(&self, contestant: usize) -> usize {
        let list = self.team.contestants();
        let ring = list[contestant].ring;
        let same_ring = list
            .iter()
            .position(|other| other.is_reference && other.ring == ring);
        same_ring
            .or_else(|| list.iter().position(|other| other.is_reference))
            .unwrap_or(contestant)
    }

    /// Goes round the ring twice, so that every page and line has been used, and finds out how many
    /// messages make a burst.
    fn warm_up(&mut self, contestant: usize) {
        let ring = self.team.contestants()[contestant].ring.unwrap_or(0);
        let twice_round = 2 * ring / self.message_size;
        self.counts[contestant] = if self.is_latency {
            100
        } else {
            twice_round.max(if self.least() == 1 { 4 } else { 100 })
        };
        for _ in 0..6 {
            self.burst(contestant);
        }
    }

    fn sample(&mut self, contestant: usize, laps: Option<&mut Histogram<u64>>) -> Sample {
        let burst = self.burst(contestant);
        let rate = burst.messages as f64 * 1e9 / burst.nanoseconds as f64;
        if !self.is_latency {
            let mut delays = self.team.delays(contestant, burst.messages);
            delays.sort_unstable();
            let at = |share: f64| {
                let index = (delays.len() as f64 * share) as usize;
                let delay = delays.get(index.min(delays.len().saturating_sub(1)));
                delay.map_or(0.0, |delay| *delay as f64 * self.nanoseconds_per_tick)
            };
            return Sample {
                rate,
                p50: 0.0,
                p999: 0.0,
                load_p50: at(0.5),
                load_p99: at(0.99),
                asleep: 0.0,
            };
        }
        let timed = &mut self.laps[..burst.messages as usize];
        timed.sort_unstable();
        let at = |share: f64| {
            let index = (timed.len() as f64 * share) as usize;
            f64::from(timed[index.min(timed.len() - 1)]) * self.nanoseconds_per_tick
        };
        let sample = Sample {
            rate,
            p50: at(0.5),
            p999: at(0.999),
            load_p50: 0.0,
            load_p99: 0.0,
            asleep: burst.sleeps as f64 / burst.messages as f64,
        };
        if let Some(histogram) = laps {
            for lap in timed {
                let nanoseconds = f64::from(*lap) * self.nanoseconds_per_tick;
                histogram.saturating_record(nanoseconds as u64);
            }
        }
        sample
    }

    /// One burst, after which the next is made nearer to the wanted length.
    fn burst(&mut self, contestant: usize) -> Burst {
        let count = self.counts[contestant];
        let first = self.next[contestant];
        self.next[contestant] += count;
        let burst = self
            .team
            .burst(contestant, first..first + count, &mut self.laps);
        let factor = self.target.as_nanos() as f64 / burst.nanoseconds.max(1) as f64;
        let wanted = (count as f64 * factor.clamp(0.5, 4.0)) as u64;
        let most = if self.is_latency { MOST_LAPS } else { u64::MAX };
        self.counts[contestant] = wanted.clamp(self.least(), most);
        burst
    }

    fn least(&self) -> u64 {
        if self.message_size < LARGE { LEAST } else { 1 }
    }
}

impl Score {
    fn new() -> Self {
        let laps = Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("sound bounds");
        Self {
            rounds: Vec::new(),
            laps,
        }
    }
}
