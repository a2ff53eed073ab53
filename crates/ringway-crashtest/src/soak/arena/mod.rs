//! One ring and its workers, from the first message to the last audit.
//!
//! Kills come in bursts. Between two bursts nobody is stopped or killed until everybody has gone on by
//! itself: a wake-up that was lost would otherwise be made good by the next death. For the same reason
//! successors sometimes wait until the survivors have gone on, or have learnt that they are alone.

mod conclusion;
mod crew;
mod reading;

use std::time::{Duration, Instant};

use ringway::SyncKind;
use ringway::inspect::stat;
use ringway::peer::Role;
use ringway_testing::messages::Random;
use ringway_testing::place::Place;

use crew::{Crew, Worker};

use super::dump;
use super::journal::{MAX_MESSAGE, Order};
use super::life::{LONGEST_PAUSE, Life, Pace};
use super::oracle::Oracle;
use super::plan::{PLACES, Plan, some_time};
use super::worker::{Fresh, Part};
use super::workers::{Stage, Workers};

/// Who takes longer gets the others out of its way: a message of several cells may wait long in a ring
/// that is kept full.
const SLOW: Duration = Duration::from_secs(1);

pub(super) struct Arena {
    plan: Plan,
    crew: Crew,
    place: Place,
    nonce: u128,
    phase: Phase,
    pace: Pace,
    kills_left: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many deaths or stops are to come.
    Burst(u64),
    /// The stopped are to be continued, and the dead to be dead.
    Calming,
    /// Everybody is to go on.
    Settling {
        hushed: bool,
    },
    /// Producers are to leave.
    ProducersLeave,
    /// Consumers are to learn that this was all.
    ConsumersLeave,
    Audit,
}

impl Life for Arena {
    fn finish_soon(&mut self) {
        self.kills_left = 0;
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn go_on_at(&mut self, stage: &mut Stage, now: Instant) -> Result<bool, String> {
        self.crew.read(stage, now)?;
        if !self.crew.oracle.violations.is_empty() {
            return Err(self.crew.oracle.violations.join("\n"));
        }
        let quiet = self.crew.attend(stage, now)?;
        self.pace.next = now + Duration::from_micros(500);
        match self.phase {
            Phase::Burst(0) => self.enter(Phase::Calming),
            Phase::Burst(left) => {
                self.strike(stage, now)?;
                self.phase = Phase::Burst(left - 1);
                self.pace.next = now + some_time(&mut self.crew.random, LONGEST_PAUSE);
            }
            Phase::Calming if quiet => self.settle(stage),
            Phase::Calming => {}
            Phase::Settling { hushed } => self.await_progress(stage, now, hushed)?,
            Phase::ProducersLeave => {
                if !self.crew.has(Part::Produce) && quiet {
                    self.end_consumers(stage)?;
                }
            }
            Phase::ConsumersLeave => {
                if !self.crew.has(Part::Consume) && !self.crew.has(Part::Close) {
                    self.enter(Phase::Audit);
                    self.start(stage, Part::Audit)?;
                }
            }
            Phase::Audit => {
                if !self.crew.has(Part::Audit) {
                    self.conclude(stage)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn describe(&self) -> String {
        let Plan { number, row, .. } = &self.plan;
        format!("ring {number} of {row}, in {:?}", self.phase)
    }

    fn dump(&self, stage: &Stage) -> String {
        let mut text = format!(
            "ring {} of {:?}\nat {}, nonce {:032x}, in {:?} for {:?}, {} kills to come, withheld: {:?}\n",
            self.plan.number,
            self.plan,
            self.place.address,
            self.nonce,
            self.phase,
            self.pace.lasted,
            self.kills_left,
            self.crew.withheld,
        );
        for worker in self.crew.workers.iter().filter(|one| !one.is_buried()) {
            let journal = worker.journal(stage);
            let (intended, sent) = (journal.intended(), journal.sent());
            let is_late = self.crew.is_late(stage, worker);
            text += &worker.dump(stage, is_late, &format!("intended {intended}, sent {sent}"));
        }
        text + &dump::ring(&self.place.address, self.plan.number)
    }
}

impl Arena {
    /// Makes the ring and starts its first workers.
    pub(super) fn open(stage: &mut Stage, plan: Plan, hang: Duration) -> Result<Self, String> {
        let mut place = Place::new(plan.row.backing);
        let ring = place
            .builder()
            .kind(plan.row.kind)
            .sync(plan.row.sync)
            .capacity(plan.capacity)
            .cell_len(plan.cell_len)
            .participants(PLACES)
            .create()
            .map_err(|error| error.to_string())?;
        place.address = ring.address().clone();
        let max = ring.max_message_len() as usize;
        if max > MAX_MESSAGE {
            return Err(format!(
                "messages of {max} bytes are too long for the journals"
            ));
        }
        let crew = Crew {
            address: place.address.to_string(),
            max,
            one_namespace: plan.row.sync == SyncKind::Pthread,
            many: [Role::Producer, Role::Consumer].map(|role| plan.row.has_many(role)),
            workers: Workers::new(plan.row.to_string()),
            oracle: Oracle::new(!plan.row.has_many(Role::Consumer)),
            random: Random(plan.seed),
            succeeds: [true; 2],
            withholds: false,
            withheld: Vec::new(),
            left_in_order: 0,
            found_by_auditor: 0,
        };
        let mut arena = Self {
            kills_left: plan.kills,
            nonce: ring.nonce(),
            crew,
            place,
            phase: Phase::Calming,
            pace: Pace::new(hang),
            plan,
        };
        for _ in 0..arena.plan.producers {
            arena.start(stage, Part::Produce)?;
        }
        for _ in 0..arena.plan.consumers {
            arena.start(stage, Part::Consume)?;
        }
        Ok(arena)
    }

    fn start(&mut self, stage: &mut Stage, part: Part) -> Result<(), String> {
        let mut task = self.crew.task(stage, part)?;
        task.fresh = Fresh {
            producers: self.plan.row.up_to(PLACES as usize, Role::Producer),
            consumers: self.plan.row.up_to(PLACES as usize, Role::Consumer),
            messages: self.plan.most_messages(),
        };
        self.crew.start(stage, task)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.pace.begin();
    }

    /// Kills or stops somebody, or several at once.
    fn strike(&mut self, stage: &mut Stage, now: Instant) -> Result<(), String> {
        // Otherwise most would die before they have come to do anything.
        let attached = self.crew.random.below(4) != 0;
        let mut victims = self.crew.victims(stage, attached);
        let random = &mut self.crew.random;
        let mut some = |victims: &mut Vec<usize>, count: u64| {
            let mut chosen = Vec::new();
            while chosen.len() < count as usize && !victims.is_empty() {
                chosen.push(victims.swap_remove(random.below(victims.len() as u64) as usize));
            }
            chosen
        };
        let way = some(&mut (0..40).collect(), 1)[0];
        let chosen = match way {
            0..8 => {
                if let Some(&index) = some(&mut victims, 1).first() {
                    self.crew.stop(stage, index, now);
                }
                return Ok(());
            }
            8..12 => some(&mut victims, 2 + way as u64 % 3),
            12 | 13 => {
                let part = [Part::Produce, Part::Consume][way % 2];
                victims.retain(|&index| self.crew.workers[index].task.part == part);
                victims
            }
            _ => some(&mut victims, 1),
        };
        self.kills_left = self.kills_left.saturating_sub(chosen.len() as u64);
        self.crew.kill(stage, &chosen)
    }

    /// Begins to watch that everybody goes on.
    fn settle(&mut self, stage: &Stage) {
        self.crew.workers.mark(stage);
        self.enter(Phase::Settling { hushed: false });
    }

    fn await_progress(
        &mut self,
        stage: &mut Stage,
        now: Instant,
        hushed: bool,
    ) -> Result<(), String> {
        let is_late = |worker: &Worker| self.crew.is_late(stage, worker);
        if self.crew.workers.iter().any(is_late) {
            if !hushed && self.pace.lasted > SLOW {
                // Those who are faster than others in the same role let these have their turn.
                let players = [Part::Produce, Part::Consume].map(|part| self.crew.players(part));
                let (late, in_time): (Vec<&Worker>, Vec<&Worker>) = players
                    .into_iter()
                    .flatten()
                    .partition(|worker| is_late(worker));
                for worker in in_time {
                    if late.iter().any(|late| late.task.part == worker.task.part) {
                        worker.journal(stage).give_order(Order::Hush);
                    }
                }
                stage.tally.starved += 1;
                self.phase = Phase::Settling { hushed: true };
                self.forget_lost_traces()?;
            }
            return Ok(());
        }
        if hushed {
            self.crew.order(stage, Part::Produce, Order::Work);
            self.crew.order(stage, Part::Consume, Order::Work);
        }
        if self.crew.withholds {
            self.enter(Phase::Calming);
            return self.crew.end_withholding(stage);
        }
        if self.crew.random.below(20) == 0 {
            stat(&self.place.address).map_err(|error| error.to_string())?;
        }
        if self.kills_left > 0 {
            let burst = 1 + self.crew.random.below(8);
            self.crew.withholds = self.crew.random.below(4) == 0;
            self.enter(Phase::Burst(burst));
            self.pace.next = now + some_time(&mut self.crew.random, 4 * LONGEST_PAUSE);
            return Ok(());
        }
        self.enter(Phase::ProducersLeave);
        self.crew.succeeds[0] = false;
        self.crew.order(stage, Part::Produce, Order::Stop);
        // Some die on their way out.
        let mut victims = self.crew.victims(stage, false);
        let random = &mut self.crew.random;
        victims.retain(|&index| {
            self.crew.workers[index].task.part == Part::Produce && random.below(4) == 0
        });
        self.crew.kill(stage, &victims)
    }

    /// Nobody can learn of a death if one that took the place of the dead has left it in order before it died
    /// elsewhere.
    fn forget_lost_traces(&mut self) -> Result<(), String> {
        let stat = stat(&self.place.address).map_err(|error| error.to_string())?;
        for (part, left_a_trace) in &mut self.crew.withheld {
            let role = match part {
                Part::Produce => Role::Producer,
                _ => Role::Consumer,
            };
            // Also if it seems to be alive, which it is not.
            *left_a_trace &= stat.participants.iter().any(|who| who.role == role);
        }
        Ok(())
    }

    /// All producers are gone.
    fn end_consumers(&mut self, stage: &mut Stage) -> Result<(), String> {
        self.enter(Phase::ConsumersLeave);
        self.crew.succeeds[1] = false;
        if self.plan.ends_by_kill {
            let victims = self.crew.victims(stage, false);
            return self.crew.kill(stage, &victims);
        }
        self.crew.order(stage, Part::Consume, Order::Stop);
        self.start(stage, Part::Close)
    }
}
