//! The workers of one ring: starting, stopping and killing them, and reading what they have written down.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use ringway_testing::messages::Random;

use crate::soak::journal::{Journals, Order, Step};
use crate::soak::oracle::{Hands, Oracle};
use crate::soak::plan::some_time;
use crate::soak::process::{self, Birth};
use crate::soak::tally::Tally;
use crate::soak::worker::{Part, Task};

/// What all rings share.
pub(in crate::soak) struct Stage {
    pub(in crate::soak) journals: Journals,
    /// The indices of journals that nobody has.
    pub(in crate::soak) free: Vec<usize>,
    pub(in crate::soak) tally: Tally,
    /// Whether workers may have pid namespaces of their own.
    pub(in crate::soak) namespaces: bool,
}

/// The longest that a worker stays stopped.
const LONGEST_STOP: Duration = Duration::from_millis(30);

/// One worker.
pub(super) struct Worker {
    pub(super) pid: Pid,
    pub(super) task: Task,
    pub(super) birth: Birth,
    pub(super) state: State,
    /// It has gone on when it has begun more steps than that.
    pub(super) mark: u64,
    pub(super) hands: Hands,
}

/// The steps of one that has attached and begun its first operation are more than this.
const STEPS_TO_ATTACH: u64 = 2;

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
    /// It has become another program, which does not take part.
    Executed {
        until: Instant,
    },
    /// It is dead, and that has been seen to.
    Zombie {
        until: Instant,
    },
}

/// All workers of a ring.
pub(super) struct Crew {
    pub(super) row: String,
    pub(super) address: String,
    pub(super) max: usize,
    /// Whether the workers' namespaces matter to the ring.
    pub(super) one_namespace: bool,
    /// For each part, whether it can be played by several.
    pub(super) many: [bool; 2],
    pub(super) workers: Vec<Worker>,
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
        let birth = match self.random.below(16) {
            0 => Birth::Exec,
            1 | 2 if stage.namespaces && !self.one_namespace => Birth::Namespace,
            _ => Birth::Fork,
        };
        stage.journals.at(task.journal).clear();
        if task.part == Part::Produce {
            self.oracle.note_producer(task.name, 0, 0);
        }
        let pid = process::start(birth, &task, &stage.journals)?;
        self.workers.push(Worker {
            pid,
            task,
            birth,
            state: State::Working,
            mark: STEPS_TO_ATTACH,
            hands: Hands::default(),
        });
        Ok(())
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
        self.workers.iter().filter(move |worker| {
            worker.task.part == part
                && matches!(worker.state, State::Working | State::Stopped { .. })
        })
    }

    /// Whether somebody plays `part`, or has not finished dying.
    pub(super) fn has(&self, part: Part) -> bool {
        self.workers
            .iter()
            .any(|worker| worker.task.part == part && !matches!(worker.state, State::Zombie { .. }))
    }

    pub(super) fn order(&self, stage: &Stage, part: Part, order: Order) {
        for worker in self.players(part) {
            stage.journals.at(worker.task.journal).give_order(order);
        }
    }

    /// The indices of those that can be killed or stopped; only of those that have begun to work, if so
    /// wanted.
    pub(super) fn victims(&self, stage: &Stage, attached: bool) -> Vec<usize> {
        let is_victim = |worker: &Worker| {
            let steps = stage.journals.at(worker.task.journal).steps();
            worker.state == State::Working
                && matches!(worker.task.part, Part::Produce | Part::Consume)
                && (!attached || steps > STEPS_TO_ATTACH)
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

    /// Kills workers, all of them before anything else happens. Most successors come at once, while the dead
    /// are dying yet.
    pub(super) fn kill(&mut self, stage: &mut Stage, victims: &[usize]) -> Result<(), String> {
        let steps: Vec<Step> = victims
            .iter()
            .map(|&index| stage.journals.at(self.workers[index].task.journal).step())
            .collect();
        for &index in victims {
            process::signal(self.workers[index].pid, Signal::SIGKILL);
        }
        let tally = &mut stage.tally;
        tally.of(&self.row).kills += victims.len() as u64;
        if victims.len() > 1 {
            tally.together += victims.len() as u64;
        }
        for (&index, step) in victims.iter().zip(steps) {
            let birth = format!("{:?}", self.workers[index].birth);
            *tally.killed_births.entry(birth).or_default() += 1;
            *tally.killed_at.entry(step.name().to_owned()).or_default() += 1;
        }
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
        let mut quiet = true;
        let mut doomed = Vec::new();
        for (index, worker) in self.workers.iter_mut().enumerate() {
            match worker.state {
                State::Stopped { until, then_killed } => {
                    quiet = false;
                    if now < until {
                        continue;
                    }
                    if then_killed {
                        doomed.push(index);
                    } else {
                        process::signal(worker.pid, Signal::SIGCONT);
                        worker.state = State::Working;
                    }
                }
                State::Dying { .. } => quiet = false,
                State::Executed { until } if now >= until => {
                    process::signal(worker.pid, Signal::SIGKILL);
                }
                _ => {}
            }
        }
        if !doomed.is_empty() {
            self.kill(stage, &doomed)?;
        }
        self.bury(now);
        Ok(quiet)
    }

    fn bury(&mut self, now: Instant) {
        self.workers.retain(|worker| match worker.state {
            State::Zombie { until } if now >= until => {
                process::reap(worker.pid);
                false
            }
            _ => true,
        });
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
        let journal = stage.journals.at(worker.task.journal);
        let others = match worker.task.part {
            Part::Produce => Part::Consume,
            _ => Part::Produce,
        };
        if !self.withholds || self.players(others).next().is_some() {
            return journal.steps() <= worker.mark;
        }
        // Of those who left no trace nobody learns.
        let left_a_trace = self.withheld.contains(&(others, true));
        left_a_trace && journal.step() != Step::AwaitingPeer
    }
}

impl Part {
    /// Whether it ends by itself.
    pub(super) fn is_short(self) -> bool {
        matches!(self, Self::Close | Self::Audit)
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
        let (part, name) = (task.part, task.name);
        format!("{part:?} {name} (process {pid}, {birth:?}, {state:?})")
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
