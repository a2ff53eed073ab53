//! Rounds of paired bursts.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::clock;
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
}

/// What one contestant showed.
pub struct Score {
    /// Its bursts, and the limit's beside them.
    pub rounds: Vec<(Sample, Sample)>,
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
}

impl<'a> Measurement<'a> {
    pub fn new(team: &'a mut Team, target: Duration, is_latency: bool, message_size: u64) -> Self {
        let contestants = team.contestants().len();
        let laps = if is_latency {
            vec![1; MOST_LAPS as usize]
        } else {
            Vec::new()
        };
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
        }
    }

    /// Warms up, then runs `rounds` rounds over all contestants.
    pub fn run(mut self, rounds: u32) -> Vec<Score> {
        let contestants = self.counts.len();
        let mut scores: Vec<Score> = (0..contestants).map(|_| Score::new()).collect();
        for contestant in 0..contestants {
            self.warm_up(contestant);
        }
        for round in 0..rounds as usize {
            for turn in 0..contestants {
                // Begins with another one every round, so that nobody always follows the same.
                let contestant = (turn + round) % contestants;
                let limit = self.limit_of(contestant);
                // Before and after, in turn: what changes steadily cancels out.
                let pair = if round % 2 == 0 {
                    let beside = self.sample(limit, None);
                    (
                        self.sample(contestant, Some(&mut scores[contestant].laps)),
                        beside,
                    )
                } else {
                    let own = self.sample(contestant, Some(&mut scores[contestant].laps));
                    (own, self.sample(limit, None))
                };
                scores[contestant].rounds.push(pair);
            }
        }
        scores
    }

    /// The limit that this contestant is measured against; for a limit, itself.
    fn limit_of(&self, contestant: usize) -> usize {
        let list = self.team.contestants();
        let ring = list[contestant].ring;
        let same_ring = list
            .iter()
            .position(|other| other.is_limit && other.ring == ring);
        same_ring
            .or_else(|| list.iter().position(|other| other.is_limit))
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
            return Sample {
                rate,
                p50: 0.0,
                p999: 0.0,
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
