//! Workers and their states, and what happens to them alike, whatever they work on: they are stopped, killed, watched and buried.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use ringway_testing::messages::Random;

use super::dump;
use super::journal::{Journal, Journals, Step};
use super::plan::some_time;
use super::process::{self, Birth};
use super::tally::Tally;
use super::worker::Task;

/// What all rings and boards share.
pub(super) struct Stage {
    pub(super) journals: Journals,
    /// The indices of journals that nobody has.
    pub(super) free: Vec<usize>,
    pub(super) tally: Tally,
    /// Whether workers may have pid namespaces of their own.
    pub(super) namespaces: bool,
}

/// The longest that a worker stays stopped.
const LONGEST_STOP: Duration = Duration::from_millis(30);

/// The longest that a dead one stays unreaped.
const LONGEST_ZOMBIE: Duration = Duration::from_millis(300);

/// The steps of one that has attached and begun its first operation are more than this.
const STEPS_TO_ATTACH: u64 = 2;

/// One worker, and what is noted of it.
pub(super) struct Worker<N = ()> {
    pub(super) pid: Pid,
    pub(super) task: Task,
    birth: Birth,
    pub(super) state: State,
    /// It has gone on when it has begun more steps than that.
    mark: u64,
    pub(super) notes: N,
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
    /// It has become another program, which does not take part.
    Executed {
        until: Instant,
    },
    /// It is dead, and that has been seen to.
    Zombie {
        until: Instant,
    },
}

impl State {
    /// Dead, or soon: a random one of four stays unreaped for a while.
    pub(super) fn zombie(random: &mut Random, tally: &mut Tally, now: Instant) -> Self {
        let time = some_time(random, LONGEST_ZOMBIE);
        let stays = random.below(4) == 0;
        tally.zombies += u64::from(stays);
        Self::Zombie {
            until: if stays { now + time } else { now },
        }
    }
}

impl<N> Worker<N> {
    pub(super) fn journal<'a>(&self, stage: &'a Stage) -> &'a Journal {
        stage.journals.at(self.task.journal)
    }

    /// Whether it is neither dead nor dying.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.state, State::Working | State::Stopped { .. })
    }

    pub(super) fn is_buried(&self) -> bool {
        matches!(self.state, State::Zombie { .. })
    }

    /// Whether it has gone on since it was [marked](Workers::mark).
    pub(super) fn has_gone_on(&self, stage: &Stage) -> bool {
        self.journal(stage).steps() > self.mark
    }

    /// Whether it has begun to work.
    fn has_attached(&self, stage: &Stage) -> bool {
        self.journal(stage).steps() > STEPS_TO_ATTACH
    }

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

    /// The same, with what it is at.
    pub(super) fn dump(&self, stage: &Stage, is_late: bool, more: &str) -> String {
        let journal = self.journal(stage);
        format!(
            "  {}{}: {}, step {}, {more}\n{}",
            if is_late { "STANDS STILL: " } else { "" },
            self.describe(),
            journal.step().name(),
            journal.steps(),
            dump::threads(self.pid),
        )
    }
}

/// All workers of a ring or a board. None outlives it.
pub(super) struct Workers<N = ()> {
    /// As the tally has it.
    pub(super) row: String,
    all: Vec<Worker<N>>,
}

impl<N> std::ops::Deref for Workers<N> {
    type Target = [Worker<N>];

    fn deref(&self) -> &[Worker<N>] {
        &self.all
    }
}

impl<N> std::ops::DerefMut for Workers<N> {
    fn deref_mut(&mut self) -> &mut [Worker<N>] {
        &mut self.all
    }
}

impl<N: Default> Workers<N> {
    pub(super) fn new(row: String) -> Self {
        Self {
            row,
            all: Vec::new(),
        }
    }

    /// Starts one. In a namespace of its own only if that is `allowed`.
    pub(super) fn start(
        &mut self,
        stage: &Stage,
        random: &mut Random,
        allowed: bool,
        task: Task,
    ) -> Result<(), String> {
        let birth = match random.below(16) {
            0 => Birth::Exec,
            1 | 2 if stage.namespaces && allowed => Birth::Namespace,
            _ => Birth::Fork,
        };
        stage.journals.at(task.journal).clear();
        let pid = process::start(birth, &task, &stage.journals)?;
        self.all.push(Worker {
            pid,
            task,
            birth,
            state: State::Working,
            mark: STEPS_TO_ATTACH,
            notes: N::default(),
        });
        Ok(())
    }
}

impl<N> Workers<N> {
    /// The indices of those of `such` that can be killed or stopped; only of those that have begun to work, if so wanted.
    pub(super) fn victims(
        &self,
        stage: &Stage,
        attached: bool,
        is_such: impl Fn(&Worker<N>) -> bool,
    ) -> Vec<usize> {
        let is_victim = |worker: &Worker<N>| {
            worker.state == State::Working
                && is_such(worker)
                && (!attached || worker.has_attached(stage))
        };
        let all = self.all.iter().enumerate();
        all.filter(|(_, worker)| is_victim(worker))
            .map(|(index, _)| index)
            .collect()
    }

    /// Stops one for a while.
    pub(super) fn stop(
        &mut self,
        stage: &mut Stage,
        random: &mut Random,
        index: usize,
        now: Instant,
    ) {
        let time = some_time(random, LONGEST_STOP);
        let then_killed = random.below(3) == 0;
        let worker = &mut self.all[index];
        process::signal(worker.pid, Signal::SIGSTOP);
        worker.state = State::Stopped {
            until: now + time,
            then_killed,
        };
        stage.tally.of(&self.row).stops += 1;
    }

    /// Kills some, all of them before anything else happens. What their states are then is for the caller to say.
    pub(super) fn kill(&self, stage: &mut Stage, victims: &[usize]) {
        let steps: Vec<Step> = victims
            .iter()
            .map(|&index| self.all[index].journal(stage).step())
            .collect();
        for &index in victims {
            process::signal(self.all[index].pid, Signal::SIGKILL);
        }
        let tally = &mut stage.tally;
        tally.of(&self.row).kills += victims.len() as u64;
        if victims.len() > 1 {
            tally.together += victims.len() as u64;
        }
        for (&index, step) in victims.iter().zip(steps) {
            let birth = format!("{:?}", self.all[index].birth);
            *tally.killed_births.entry(birth).or_default() += 1;
            *tally.killed_at.entry(step.name().to_owned()).or_default() += 1;
        }
    }

    /// Continues those that have been stopped for long enough. Whether everybody works who has not left, and the indices of those
    /// that are to be killed instead.
    pub(super) fn tend(&mut self, now: Instant) -> (bool, Vec<usize>) {
        let (mut quiet, mut doomed) = (true, Vec::new());
        for (index, worker) in self.all.iter_mut().enumerate() {
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
        (quiet, doomed)
    }

    /// Reaps the dead whose time has come.
    pub(super) fn bury(&mut self, now: Instant) {
        self.all.retain(|worker| match worker.state {
            State::Zombie { until } if now >= until => {
                process::reap(worker.pid);
                false
            }
            _ => true,
        });
    }

    /// Begins to watch that everybody goes on.
    pub(super) fn mark(&mut self, stage: &Stage) {
        for worker in &mut self.all {
            worker.mark = worker.mark.max(worker.journal(stage).steps());
        }
    }
}

impl<N> Drop for Workers<N> {
    fn drop(&mut self) {
        for worker in &self.all {
            process::signal(worker.pid, Signal::SIGKILL);
        }
        for worker in &self.all {
            process::reap(worker.pid);
        }
    }
}
