//! The workers of one ring: starting, stopping and killing them, and reading what they have written down.

use std::time::Instant;

use ringway_testing::messages::Random;

use crate::soak::journal::{Order, Step};
use crate::soak::oracle::{Hands, Oracle};
use crate::soak::worker::{Part, Task};
use crate::soak::workers::{self, Stage, State, Workers};

/// One worker, and what the oracle has of it.
pub(super) type Worker = workers::Worker<Hands>;

/// All workers of a ring.
pub(super) struct Crew {
    pub(super) address: String,
    pub(super) max: usize,
    /// Whether the workers' namespaces matter to the ring.
    pub(super) one_namespace: bool,
    /// For each part, whether it can be played by several.
    pub(super) many: [bool; 2],
    pub(super) workers: Workers<Hands>,
    pub(super) oracle: Oracle,
    pub(super) random: Random,
    /// For each part, whether who dies gets a successor.
    pub(super) succeeds: [bool; 2],
    /// Whether successors wait: until then the others must learn of a death by themselves.
    pub(super) withholds: bool,
    /// The parts of successors that wait, and whether those before them have died in their places.
    pub(super) withheld: Vec<(Part, bool)>,
    /// Consumers that have left because they were told that all is received.
    pub(super) left_in_order: usize,
    /// Messages that the auditor found.
    pub(super) found_by_auditor: u64,
}

impl Crew {
    /// Starts a worker.
    pub(super) fn start(&mut self, stage: &mut Stage, task: Task) -> Result<(), String> {
        if task.part == Part::Produce {
            self.oracle.note_producer(task.name, 0, 0);
        }
        let may_be_apart = !self.one_namespace;
        self.workers
            .start(stage, &mut self.random, may_be_apart, task)
    }

    /// What a new worker is to do.
    pub(super) fn task(&mut self, stage: &mut Stage, part: Part) -> Result<Task, String> {
        let name = stage.tally.next_name;
        // Two bits of a journal's entry are not the name's.
        stage.tally.next_name = (name + 1) % (u32::MAX >> 2);
        let is_lone = match part {
            Part::Produce | Part::Close => !self.many[0],
            _ => !self.many[1],
        };
        Ok(Task {
            part,
            address: self.address.clone(),
            name,
            seed: self.random.below(u64::MAX),
            journal: stage.free.pop().ok_or("more workers than journals")?,
            place_is_free: is_lone && !self.is_anybody_leaving(part),
            fresh: Default::default(),
        })
    }

    fn is_anybody_leaving(&self, part: Part) -> bool {
        self.workers.iter().any(|worker| {
            worker.task.part == part
                && matches!(worker.state, State::Dying { .. } | State::Executed { .. })
        })
    }

    pub(super) fn is_succeeded(&self, part: Part) -> bool {
        match part {
            Part::Produce => self.succeeds[0],
            Part::Consume => self.succeeds[1],
            _ => false,
        }
    }

    pub(super) fn succeed(&mut self, stage: &mut Stage, part: Part) -> Result<(), String> {
        let task = self.task(stage, part)?;
        self.start(stage, task)
    }

    /// Those that play `part` and are neither dead nor dying.
    pub(super) fn players(&self, part: Part) -> impl Iterator<Item = &Worker> {
        let workers = self.workers.iter();
        workers.filter(move |worker| worker.task.part == part && worker.is_there())
    }

    /// Whether somebody plays `part`, or has not finished dying.
    pub(super) fn has(&self, part: Part) -> bool {
        let mut workers = self.workers.iter();
        workers.any(|worker| worker.task.part == part && !worker.is_buried())
    }

    pub(super) fn order(&self, stage: &Stage, part: Part, order: Order) {
        for worker in self.players(part) {
            worker.journal(stage).give_order(order);
        }
    }

    /// The indices of those that can be killed or stopped; only of those that have begun to work, if so
    /// wanted.
    pub(super) fn victims(&self, stage: &Stage, attached: bool) -> Vec<usize> {
        let is_such = |worker: &Worker| matches!(worker.task.part, Part::Produce | Part::Consume);
        self.workers.victims(stage, attached, is_such)
    }

    /// Stops a worker for a while.
    pub(super) fn stop(&mut self, stage: &mut Stage, index: usize, now: Instant) {
        self.workers.stop(stage, &mut self.random, index, now);
    }

    /// Kills workers. Most successors come at once, while the dead are dying yet.
    pub(super) fn kill(&mut self, stage: &mut Stage, victims: &[usize]) -> Result<(), String> {
        self.workers.kill(stage, victims);
        for &index in victims {
            let part = self.workers[index].task.part;
            let succeeds = self.is_succeeded(part);
            let succeeds_now = succeeds && !self.withholds && self.random.below(4) != 0;
            self.workers[index].state = State::Dying {
                succeeded: succeeds_now || !succeeds,
            };
            if succeeds_now {
                self.succeed(stage, part)?;
            }
        }
        Ok(())
    }

    /// Continues or kills those that have been stopped for long enough, and buries the dead. Whether
    /// everybody works who has not left.
    pub(super) fn attend(&mut self, stage: &mut Stage, now: Instant) -> Result<bool, String> {
        let (quiet, doomed) = self.workers.tend(now);
        if !doomed.is_empty() {
            self.kill(stage, &doomed)?;
        }
        self.workers.bury(now);
        Ok(quiet)
    }

    /// Lets the successors come that have waited.
    pub(super) fn end_withholding(&mut self, stage: &mut Stage) -> Result<(), String> {
        self.withholds = false;
        for (part, _) in std::mem::take(&mut self.withheld) {
            self.succeed(stage, part)?;
        }
        Ok(())
    }

    /// Whether this worker must have gone on, and has not: after the death of all others whom it waits for,
    /// it must have learnt of that.
    pub(super) fn is_late(&self, stage: &Stage, worker: &Worker) -> bool {
        if worker.state != State::Working {
            return false;
        }
        let others = match worker.task.part {
            Part::Produce => Part::Consume,
            _ => Part::Produce,
        };
        if !self.withholds || self.players(others).next().is_some() {
            return !worker.has_gone_on(stage);
        }
        // Of those who left no trace nobody learns.
        let left_a_trace = self.withheld.contains(&(others, true));
        left_a_trace && worker.journal(stage).step() != Step::AwaitingPeer
    }
}

impl Part {
    /// Whether it ends by itself.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::Close | Self::Audit)
    }
}
