//! The workers of one broadcast ring or board: starting, stopping and killing them, and seeing to those that have ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use ringway_testing::messages::Random;

use super::chain::Chain;
use crate::soak::arena::Stage;
use crate::soak::journal::{Order, Step};
use crate::soak::plan::{Sort, some_time};
use crate::soak::process::{self, Birth};
use crate::soak::worker::{Ear, Part, Task};

/// The longest that a worker stays stopped.
const LONGEST_STOP: Duration = Duration::from_millis(30);

/// The longest that a dead one stays unreaped.
const LONGEST_ZOMBIE: Duration = Duration::from_millis(300);

/// The steps of one that has attached and begun its first operation are more than this.
const STEPS_TO_ATTACH: u64 = 2;

/// One worker.
pub(super) struct Worker {
    pub(super) pid: Pid,
    pub(super) task: Task,
    birth: Birth,
    pub(super) state: State,
    /// It has gone on when it has begun more steps than that.
    mark: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Working,
    Stopped {
        until: Instant,
        then_killed: bool,
    },
    /// A SIGKILL is on its way. Whether it has a successor yet, or will not have one.
    Dying {
        succeeded: bool,
    },
    /// It is dead, and that has been seen to.
    Zombie {
        until: Instant,
    },
}

/// All workers of a ring or a board.
pub(super) struct Crew {
    pub(super) row: String,
    address: String,
    /// By what a ring's messages are signed.
    name: u32,
    pub(super) workers: Vec<Worker>,
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
            row: sort.to_string(),
            address,
            name,
            workers: Vec::new(),
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
        let birth = match self.random.below(16) {
            0 => Birth::Exec,
            1 | 2 if stage.namespaces => Birth::Namespace,
            _ => Birth::Fork,
        };
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
        stage.journals.at(task.journal).clear();
        let pid = process::start(birth, &task, &stage.journals)?;
        self.workers.push(Worker {
            pid,
            task,
            birth,
            state: State::Working,
            mark: STEPS_TO_ATTACH,
        });
        Ok(())
    }

    /// Whether somebody who does this is there, or has not finished dying.
    pub(super) fn has(&self, is_such: impl Fn(Part) -> bool) -> bool {
        let is_there = |worker: &Worker| !matches!(worker.state, State::Zombie { .. });
        let mut all = self.workers.iter();
        all.any(|worker| is_such(worker.task.part) && is_there(worker))
    }

    pub(super) fn order(&self, stage: &Stage, is_such: impl Fn(Part) -> bool, order: Order) {
        for worker in &self.workers {
            let is_there = matches!(worker.state, State::Working | State::Stopped { .. });
            if is_there && is_such(worker.task.part) {
                stage.journals.at(worker.task.journal).give_order(order);
            }
        }
    }

    /// The indices of those that can be killed or stopped; only of those that have begun to work, if so wanted.
    pub(super) fn victims(&self, stage: &Stage, attached: bool) -> Vec<usize> {
        let is_victim = |worker: &Worker| {
            let steps = stage.journals.at(worker.task.journal).steps();
            worker.state == State::Working && (!attached || steps > STEPS_TO_ATTACH)
        };
        let all = self.workers.iter().enumerate();
        all.filter(|(_, worker)| is_victim(worker))
            .map(|(index, _)| index)
            .collect()
    }

    /// Stops a worker for a while.
    pub(super) fn stop(&mut self, stage: &mut Stage, index: usize, now: Instant) {
        let time = some_time(&mut self.random, LONGEST_STOP);
        let then_killed = self.random.below(3) == 0;
        let worker = &mut self.workers[index];
        process::signal(worker.pid, Signal::SIGSTOP);
        worker.state = State::Stopped {
            until: now + time,
            then_killed,
        };
        stage.tally.of(&self.row).stops += 1;
    }

    /// Kills workers, all of them before anything else happens. Most successors come at once.
    pub(super) fn kill(&mut self, stage: &mut Stage, victims: &[usize]) -> Result<(), String> {
        for &index in victims {
            let worker = &self.workers[index];
            let step = stage.journals.at(worker.task.journal).step();
            process::signal(worker.pid, Signal::SIGKILL);
            let (birth, tally) = (format!("{:?}", worker.birth), &mut stage.tally);
            *tally.killed_births.entry(birth).or_default() += 1;
            *tally.killed_at.entry(step.name().to_owned()).or_default() += 1;
        }
        stage.tally.of(&self.row).kills += victims.len() as u64;
        if victims.len() > 1 {
            stage.tally.together += victims.len() as u64;
        }
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
        let (mut quiet, mut doomed) = (true, Vec::new());
        for (index, worker) in self.workers.iter_mut().enumerate() {
            match worker.state {
                State::Stopped { until, then_killed } => {
                    quiet = false;
                    if now >= until && then_killed {
                        doomed.push(index);
                    } else if now >= until {
                        process::signal(worker.pid, Signal::SIGCONT);
                        worker.state = State::Working;
                    }
                }
                State::Dying { .. } => quiet = false,
                _ => {}
            }
        }
        if !doomed.is_empty() {
            self.kill(stage, &doomed)?;
        }
        self.workers.retain(|worker| match worker.state {
            State::Zombie { until } if now >= until => {
                process::reap(worker.pid);
                false
            }
            _ => true,
        });
        Ok(quiet)
    }

    /// Reads what went wrong, and sees to those that have ended.
    pub(super) fn read(&mut self, stage: &mut Stage, now: Instant) -> Result<(), String> {
        for index in 0..self.workers.len() {
            let worker = &self.workers[index];
            if matches!(worker.state, State::Zombie { .. }) {
                continue;
            }
            let end = process::end_of(worker.pid)?;
            if let Some(problem) = stage.journals.at(worker.task.journal).problem() {
                return Err(format!("{}: {problem}", worker.describe()));
            }
            let executes = stage.journals.at(worker.task.journal).step() == Step::Executing;
            if let Some(status) = end {
                self.see_to_end(stage, index, status, now)?;
            } else if executes && worker.state == State::Working {
                // A death to the ring, be it done or about to be.
                stage.tally.of(&self.row).execs += 1;
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
        let journal = stage.journals.at(worker.task.journal);
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
        let time = some_time(&mut self.random, LONGEST_ZOMBIE);
        let leaves_zombie = self.random.below(4) == 0;
        stage.tally.zombies += u64::from(leaves_zombie);
        let worker = &mut self.workers[index];
        worker.state = State::Zombie {
            until: if leaves_zombie { now + time } else { now },
        };
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

    /// Begins to watch that everybody goes on.
    pub(super) fn mark(&mut self, stage: &Stage) {
        for worker in &mut self.workers {
            let steps = stage.journals.at(worker.task.journal).steps();
            worker.mark = worker.mark.max(steps);
        }
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
        let journal = stage.journals.at(worker.task.journal);
        let writer = match worker.task.part {
            Part::Listen(_) => Some(Part::Produce),
            Part::Look(entry) => Some(Part::Set(entry)),
            _ => None,
        };
        let mut withheld = self.withheld.iter();
        match withheld.find(|(part, _)| Some(*part) == writer) {
            // Of one that left no trace nobody learns.
            Some((_, left_a_trace)) => *left_a_trace && journal.step() != Step::AwaitingPeer,
            None => journal.steps() <= worker.mark,
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

impl Worker {
    pub(super) fn describe(&self) -> String {
        let Self {
            pid,
            task,
            birth,
            state,
            ..
        } = self;
        format!("{:?} (process {pid}, {birth:?}, {state:?})", task.part)
    }
}

impl Drop for Crew {
    /// None outlives the ring.
    fn drop(&mut self) {
        for worker in &self.workers {
            process::signal(worker.pid, Signal::SIGKILL);
        }
        for worker in &self.workers {
            process::reap(worker.pid);
        }
    }
}
