//! The workers of one broadcast ring or board: starting, stopping and killing them, and seeing to those that have ended.

use std::collections::BTreeMap;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use ringway_testing::messages::Random;

use super::chain::Chain;
use crate::soak::journal::{Order, Step};
use crate::soak::plan::Sort;
use crate::soak::process;
use crate::soak::worker::{Ear, Part, Task};
use crate::soak::workers::{Stage, State, Worker, Workers};

/// All workers of a ring or a board.
pub(super) struct Crew {
    address: String,
    /// By what a ring's messages are signed.
    name: u32,
    pub(super) workers: Workers,
    /// How far those came who had a role, one after the other.
    pub(super) chains: BTreeMap<Part, Chain>,
    /// What each consumer had come to that was told that all is closed.
    pub(super) ends: Vec<(Part, u64)>,
    /// Messages that consumers have released.
    pub(super) read_by_all: u64,
    pub(super) random: Random,
    /// Whether who dies gets a successor.
    pub(super) succeeds: bool,
    /// Whether successors wait: until then the others must learn of a death by themselves.
    pub(super) withholds: bool,
    /// What successors that wait are to do, and whether those before them have died in their places.
    pub(super) withheld: Vec<(Part, bool)>,
}

impl Crew {
    pub(super) fn new(sort: Sort, address: String, random: Random, stage: &mut Stage) -> Self {
        let name = stage.tally.next_name;
        // As those of other rings are.
        stage.tally.next_name = (name + 1) % (u32::MAX >> 2);
        Self {
            address,
            name,
            workers: Workers::new(sort.to_string()),
            chains: BTreeMap::new(),
            ends: Vec::new(),
            read_by_all: 0,
            random,
            succeeds: true,
            withholds: false,
            withheld: Vec::new(),
        }
    }

    /// Starts a worker.
    pub(super) fn start(&mut self, stage: &mut Stage, part: Part) -> Result<(), String> {
        let is_dying = |worker: &Worker| matches!(worker.state, State::Dying { .. });
        let task = Task {
            part,
            address: self.address.clone(),
            name: self.name,
            seed: self.random.below(u64::MAX),
            journal: stage.free.pop().ok_or("more workers than journals")?,
            place_is_free: !self.workers.iter().any(is_dying),
            fresh: Default::default(),
        };
        self.workers.start(stage, &mut self.random, true, task)
    }

    /// Whether somebody who does this is there, or has not finished dying.
    pub(super) fn has(&self, is_such: impl Fn(Part) -> bool) -> bool {
        let mut all = self.workers.iter();
        all.any(|worker| is_such(worker.task.part) && !worker.is_buried())
    }

    pub(super) fn order(&self, stage: &Stage, is_such: impl Fn(Part) -> bool, order: Order) {
        for worker in self.workers.iter() {
            if worker.is_there() && is_such(worker.task.part) {
                worker.journal(stage).give_order(order);
            }
        }
    }

    /// The indices of those that can be killed or stopped; only of those that have begun to work, if so wanted.
    pub(super) fn victims(&self, stage: &Stage, attached: bool) -> Vec<usize> {
        self.workers.victims(stage, attached, |_| true)
    }

    /// Stops a worker for a while.
    pub(super) fn stop(&mut self, stage: &mut Stage, index: usize, now: Instant) {
        self.workers.stop(stage, &mut self.random, index, now);
    }

    /// Kills workers. Most successors come at once.
    pub(super) fn kill(&mut self, stage: &mut Stage, victims: &[usize]) -> Result<(), String> {
        self.workers.kill(stage, victims);
        let mut coming = Vec::new();
        for &index in victims {
            let succeeds_now = self.succeeds && !self.withholds && self.random.below(4) != 0;
            let worker = &mut self.workers[index];
            worker.state = State::Dying {
                succeeded: succeeds_now || !self.succeeds,
            };
            coming.extend(succeeds_now.then_some(worker.task.part));
        }
        coming
            .into_iter()
            .try_for_each(|part| self.start(stage, part))
    }

    /// Continues or kills those that have been stopped for long enough, and buries the dead. Whether everybody works who
    /// has not left.
    pub(super) fn attend(&mut self, stage: &mut Stage, now: Instant) -> Result<bool, String> {
        let (quiet, doomed) = self.workers.tend(now);
        if !doomed.is_empty() {
            self.kill(stage, &doomed)?;
        }
        self.workers.bury(now);
        Ok(quiet)
    }

    /// Reads what went wrong, and sees to those that have ended.
    pub(super) fn read(&mut self, stage: &mut Stage, now: Instant) -> Result<(), String> {
        for index in 0..self.workers.len() {
            let worker = &self.workers[index];
            if worker.is_buried() {
                continue;
            }
            let end = process::end_of(worker.pid)?;
            if let Some(problem) = worker.journal(stage).problem() {
                return Err(format!("{}: {problem}", worker.describe()));
            }
            let executes = worker.journal(stage).step() == Step::Executing;
            if let Some(status) = end {
                self.see_to_end(stage, index, status, now)?;
            } else if executes && worker.state == State::Working {
                // A death to the ring, be it done or about to be.
                stage.tally.of(&self.workers.row).execs += 1;
                process::signal(worker.pid, Signal::SIGKILL);
                let succeeded = !self.succeeds;
                self.workers[index].state = State::Dying { succeeded };
            }
        }
        Ok(())
    }

    fn see_to_end(
        &mut self,
        stage: &mut Stage,
        index: usize,
        status: WaitStatus,
        now: Instant,
    ) -> Result<(), String> {
        let worker = &self.workers[index];
        let (part, was) = (worker.task.part, worker.state);
        let journal = worker.journal(stage);
        let (turn, had_place) = (journal.turn(), journal.step().has_place());
        let was_told = journal.order() == Order::Stop || part == Part::Close;
        match (status, was) {
            (WaitStatus::Exited(_, 0), _) if was_told => {
                let end = turn.map(|turn| (part, turn.sure));
                self.ends
                    .extend(end.filter(|_| matches!(part, Part::Listen(_))));
            }
            (WaitStatus::Signaled(_, Signal::SIGKILL, _), State::Dying { .. }) => {}
            _ => return Err(format!("{} ended by itself: {status:?}", worker.describe())),
        }
        if let Part::Listen(_) = part {
            self.read_by_all += turn.map_or(0, |turn| turn.sure - turn.begun);
        }
        if part.is_a_role() {
            self.chains.entry(part).or_default().add(turn);
        }
        let worker = &mut self.workers[index];
        worker.state = State::zombie(&mut self.random, &mut stage.tally, now);
        stage.free.push(worker.task.journal);
        let is_missing = matches!(was, State::Dying { succeeded: false });
        match is_missing && self.succeeds {
            true if self.withholds => {
                self.withheld.push((part, had_place));
                Ok(())
            }
            true => self.start(stage, part),
            false => Ok(()),
        }
    }

    /// Lets the successors come that have waited.
    pub(super) fn end_withholding(&mut self, stage: &mut Stage) -> Result<(), String> {
        self.withholds = false;
        let withheld = std::mem::take(&mut self.withheld);
        let mut parts = withheld.into_iter().map(|(part, _)| part);
        parts.try_for_each(|part| self.start(stage, part))
    }

    pub(super) fn is_anybody_late(&self, stage: &Stage) -> bool {
        let mut all = self.workers.iter();
        all.any(|worker| self.is_late(stage, worker))
    }

    /// Whether this worker must have gone on, and has not. Where nobody writes, it must have learnt of that.
    pub(super) fn is_late(&self, stage: &Stage, worker: &Worker) -> bool {
        if worker.state != State::Working {
            return false;
        }
        let writer = match worker.task.part {
            Part::Listen(_) => Some(Part::Produce),
            Part::Look(entry) => Some(Part::Set(entry)),
            _ => None,
        };
        let mut withheld = self.withheld.iter();
        match withheld.find(|(part, _)| Some(*part) == writer) {
            // Of one that left no trace nobody learns.
            Some((_, left_a_trace)) => {
                *left_a_trace && worker.journal(stage).step() != Step::AwaitingPeer
            }
            None => !worker.has_gone_on(stage),
        }
    }
}

impl Part {
    /// Whether one at a time does it, and who comes next goes on where that one stood.
    fn is_a_role(self) -> bool {
        matches!(
            self,
            Self::Produce | Self::Set(_) | Self::Listen(Ear::Named(_))
        )
    }
}
