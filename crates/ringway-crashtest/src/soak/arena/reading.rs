//! Reading what the workers of a ring have written down, and seeing to those that have ended.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use ringway_testing::messages::{claimed_signature, is_signed, signed_len};

use super::crew::{Crew, Worker};
use crate::soak::journal::{Order, Signature, Step};
use crate::soak::plan::some_time;
use crate::soak::process;
use crate::soak::worker::Part;
use crate::soak::workers::{Stage, State};

/// The longest that one stays which has called exec.
const LONGEST_AFTER_EXEC: Duration = Duration::from_millis(100);

impl Crew {
    /// Reads all journals, and sees to those that have ended.
    pub(super) fn read(&mut self, stage: &mut Stage, now: Instant) -> Result<(), String> {
        let mut entries = Vec::new();
        let mut ended = Vec::new();
        for (index, worker) in self.workers.iter().enumerate() {
            if worker.is_buried() {
                continue;
            }
            let journal = worker.journal(stage);
            // Before its entries are read: there are no more then.
            let end = process::end_of(worker.pid)?;
            let executes = journal.step() == Step::Executing && worker.state == State::Working;
            journal.drain(|entry| entries.push((index, entry)));
            if let Some(problem) = journal.problem() {
                return Err(format!("{}: {problem}", worker.describe()));
            }
            match end {
                Some(status) => ended.push((index, Some(status))),
                None if executes => ended.push((index, None)),
                None => {}
            }
        }
        // Behind the reading of what has come of what they have sent.
        for worker in self.workers.iter() {
            let counts = worker.task.part == Part::Produce
                && !matches!(worker.state, State::Zombie { .. } | State::Executed { .. });
            if counts {
                let journal = worker.journal(stage);
                let (sent, intended) = (journal.sent(), journal.intended());
                self.oracle.note_producer(worker.task.name, intended, sent);
            }
        }
        for (index, entry) in entries {
            let worker = &mut self.workers[index];
            self.found_by_auditor += u64::from(worker.task.part == Part::Audit);
            self.oracle.note(&mut worker.notes, entry);
        }
        for (index, status) in ended {
            self.see_to_end(stage, index, status, now)?;
        }
        // What the dying were copying is known when they are dead, and whoever had it after them waits for
        // that with its message.
        let dies = |worker: &Worker| matches!(worker.state, State::Dying { .. });
        if !self.workers.iter().any(dies) {
            self.oracle.end_round();
        }
        Ok(())
    }

    /// A worker has ended, or called exec.
    fn see_to_end(
        &mut self,
        stage: &mut Stage,
        index: usize,
        status: Option<WaitStatus>,
        now: Instant,
    ) -> Result<(), String> {
        let max = self.max;
        if status.is_none() {
            stage.tally.of(&self.workers.row).execs += 1;
        }
        let worker = &mut self.workers[index];
        let journal = stage.journals.at(worker.task.journal);
        let (part, was) = (worker.task.part, worker.state);
        let hands = std::mem::take(&mut worker.notes);
        let had_place = journal.step().has_place();
        match status {
            Some(WaitStatus::Exited(_, 0)) if journal.order() == Order::Stop || part.is_short() => {
                self.left_in_order += usize::from(part == Part::Consume);
                self.oracle.note_leaving(&hands);
            }
            Some(WaitStatus::Signaled(_, Signal::SIGKILL, _))
                if matches!(was, State::Dying { .. }) =>
            {
                let copied = journal.copied_unlogged();
                let copied = copied.and_then(|buffer| whole_message(buffer, max));
                self.oracle.note_death(hands, journal.unlogged(), copied);
            }
            // Its hands were seen to when it called exec.
            Some(WaitStatus::Signaled(..)) if matches!(was, State::Executed { .. }) => {}
            None => self.oracle.note_death(hands, 0, None),
            Some(status) => {
                return Err(format!("{} ended by itself: {status:?}", worker.describe()));
            }
        }
        worker.state = match status {
            None => State::Executed {
                until: now + some_time(&mut self.random, LONGEST_AFTER_EXEC),
            },
            Some(_) => State::zombie(&mut self.random, &mut stage.tally, now),
        };
        if status.is_some() {
            stage.free.push(worker.task.journal);
        }
        let is_missing = match (was, status) {
            (State::Dying { succeeded }, _) => !succeeded,
            (_, None) => true,
            _ => false,
        };
        match is_missing && self.is_succeeded(part) {
            true if self.withholds => {
                self.withheld.push((part, had_place));
                Ok(())
            }
            true => self.succeed(stage, part),
            false => Ok(()),
        }
    }
}

/// The message at the start of `buffer`, if all of it is there.
fn whole_message(buffer: &[u8], max: usize) -> Option<Signature> {
    let (who, number) = claimed_signature(buffer)?;
    let message = buffer.get(..signed_len(who, number, max))?;
    is_signed(message, max).then_some((who, number))
}
