//! One broadcast ring or one board, where everybody sees everything, and all who use it.
//!
//! Messages and values have numbers, and their bytes follow from these. So each reader judges by itself whether what it reads is
//! whole, in order, and lacks nothing that it was not told of; its [`journal`](super::journal) says what went wrong. What the
//! deaths between two holders of a role could lose or repeat is judged here ([`chain`]): whoever writes, or reads under a name, goes on
//! where the last one had come to. At the end all who are still there must have come to the same number.

mod chain;
mod crew;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringway::inspect::stat;
use ringway::{Kind, board};
use ringway_testing::messages::Random;
use ringway_testing::place::Place;

pub(super) use chain::Turn;
use crew::Crew;

use super::dump;
use super::journal::{MAX_MESSAGE, Order};
use super::life::{LONGEST_PAUSE, Life, Pace};
use super::plan::{PLACES, Sort, some_time};
use super::worker::board::{check, key};
use super::worker::{Ear, Part};
use super::workers::Stage;

pub(super) struct Forum {
    number: u64,
    sort: Sort,
    crew: Crew,
    place: Place,
    phase: Phase,
    pace: Pace,
    kills_left: u64,
    /// Of a board.
    entries: u32,
}

/// As those of other rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many deaths or stops are to come.
    Burst(u64),
    /// The stopped are to be continued, and the dead to be dead.
    Calming,
    /// Everybody is to go on.
    Settling,
    /// The first are to leave: who sends, or who reads a board, which nobody else ends.
    FirstLeave,
    /// The others are to leave: who receives, because all is closed, or who writes a board.
    LastLeave,
}

impl Forum {
    /// Makes the ring or the board, and starts its first workers.
    pub(super) fn open(
        stage: &mut Stage,
        sort: Sort,
        number: u64,
        mut random: Random,
        hang: Duration,
    ) -> Result<Self, String> {
        let (Sort::Broadcast(backing) | Sort::Board(backing)) = sort else {
            return Err(format!("{sort} is no forum"));
        };
        let mut place = Place::new(backing);
        let mut parts = Vec::new();
        let mut entries = 0;
        if let Sort::Broadcast(_) = sort {
            let capacity = 4096 << random.below(3);
            let builder = place.builder().kind(Kind::Broadcast).capacity(capacity);
            let ring = builder.participants(PLACES).create();
            let ring = ring.map_err(|error| error.to_string())?;
            place.address = ring.address().clone();
            if ring.max_message_len() > MAX_MESSAGE as u64 {
                return Err("messages are too long for the journals".to_owned());
            }
            parts.push(Part::Produce);
            for nth in 0..2 + random.below(3) as u32 {
                parts.push(Part::Listen(match random.below(6) {
                    0 => Ear::Lossy,
                    1 => Ear::Behind(capacity >> random.below(3)),
                    2 => Ear::Held,
                    3 => Ear::Block,
                    _ => Ear::Named(nth),
                }));
            }
        } else {
            entries = 1 + random.below(3) as u32;
            let builder = board::Builder::at(place.address.clone()).writers(PLACES);
            let made = builder
                .entries(entries)
                .value_len(64 << random.below(7))
                .create();
            let made = made.map_err(|error| error.to_string())?;
            place.address = made.address().clone();
            for entry in 0..entries {
                parts.push(Part::Set(entry));
                parts.push(Part::Look(entry));
            }
            parts.push(Part::Watch);
        }
        let kills_left = 50 + random.below(450);
        let seed = random.below(u64::MAX);
        let mut forum = Self {
            number,
            sort,
            crew: Crew::new(sort, place.address.to_string(), Random(seed), stage),
            place,
            phase: Phase::Calming,
            pace: Pace::new(hang),
            kills_left,
            entries,
        };
        for part in parts {
            forum.crew.start(stage, part)?;
        }
        Ok(forum)
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.pace.begin();
    }

    /// Kills or stops somebody, or several at once.
    fn strike(&mut self, stage: &mut Stage, now: Instant) -> Result<(), String> {
        let attached = self.crew.random.below(4) != 0;
        let mut victims = self.crew.victims(stage, attached);
        if victims.is_empty() {
            return Ok(());
        }
        let random = &mut self.crew.random;
        let (stops, count) = match random.below(40) {
            0..8 => (true, 1),
            8..12 => (false, 2 + random.below(3)),
            12 => (false, u64::MAX),
            _ => (false, 1),
        };
        let count = count.min(victims.len() as u64);
        let choose = |_| victims.swap_remove(random.below(victims.len() as u64) as usize);
        let chosen: Vec<usize> = (0..count).map(choose).collect();
        if stops {
            chosen
                .iter()
                .for_each(|&index| self.crew.stop(stage, index, now));
            return Ok(());
        }
        self.kills_left = self.kills_left.saturating_sub(count);
        self.crew.kill(stage, &chosen)
    }

    fn await_progress(&mut self, stage: &mut Stage, now: Instant) -> Result<(), String> {
        if self.crew.is_anybody_late(stage) {
            return Ok(());
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
        self.enter(Phase::FirstLeave);
        self.crew.succeeds = false;
        self.crew.order(stage, is_first, Order::Stop);
        // Some die on their way out.
        let mut victims = self.crew.victims(stage, false);
        let Crew {
            random, workers, ..
        } = &mut self.crew;
        victims.retain(|&index| is_first(workers[index].task.part) && random.below(4) == 0);
        self.crew.kill(stage, &victims)
    }

    /// All workers are gone.
    fn conclude(&mut self, stage: &mut Stage) -> Result<(), String> {
        let mut ends = BTreeMap::new();
        for (part, chain) in &self.crew.chains {
            let misses = matches!(part, Part::Listen(_));
            let judged = chain.judge(misses);
            let (sure, most) = judged.map_err(|problem| format!("{part:?}: {problem}"))?;
            let is_writer = matches!(part, Part::Produce | Part::Set(_));
            if is_writer && chain.begun().unwrap_or(0) != 0 {
                return Err(format!("{part:?} began with {:?}", chain.begun()));
            }
            ends.insert(*part, (sure, most));
        }
        let written = match self.sort {
            Sort::Broadcast(_) => self.conclude_broadcast(&ends)?,
            _ => self.conclude_board(&ends)?,
        };
        ringway::remove(&self.place.address, false).map_err(|error| error.to_string())?;
        let begun = Instant::now();
        // A System V segment stays as long as a forked bystander has it, who ends soon.
        while self.place.is_taken() {
            if begun.elapsed() > self.pace.hang {
                return Err("the segment is there after its removal".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let row = stage.tally.of(&self.crew.workers.row);
        row.rings += 1;
        row.sent += written;
        row.delivered += self.crew.read_by_all;
        Ok(())
    }

    /// What all have come to; how many messages were sent.
    fn conclude_broadcast(&self, ends: &BTreeMap<Part, (u64, u64)>) -> Result<u64, String> {
        let ring = self.place.builder().open();
        let ring = ring.map_err(|error| error.to_string())?;
        // All places are free, but for nobody more.
        let taken: Result<Vec<_>, _> = (0..PLACES).map(|_| ring.receiver()).collect();
        let mut taken = taken.map_err(|error| format!("a place is not free: {error}"))?;
        if ring.receiver().is_ok() {
            return Err(format!("it has more than {PLACES} places"));
        }
        let sender = ring.sender();
        let mut sender = sender.map_err(|error| format!("nobody can send: {error}"))?;
        let sent = sender.sent();
        let (sure, most) = ends.get(&Part::Produce).copied().unwrap_or_default();
        if !(sure..=most).contains(&sent) {
            return Err(format!("{sure} to {most} were sent, and it says {sent}"));
        }
        for (part, end) in &self.crew.ends {
            if *end != sent {
                return Err(format!(
                    "{part:?} had {end} when all was closed, and {sent} were sent"
                ));
            }
        }
        // What is there is for all of them, and so is what comes. That first: they may hold a ring that is full.
        for receiver in &mut taken {
            let first = receiver.next_number().unwrap_or_default();
            let mut count = 0;
            while receiver.try_recv().is_ok() {
                count += 1;
            }
            if first + count != sent {
                return Err(format!("from {first} on there are {count} of {sent}"));
            }
        }
        sender.send(b"audit").map_err(|error| error.to_string())?;
        for receiver in &mut taken {
            if !receiver.try_recv().is_ok_and(|message| message == b"audit") {
                return Err("what comes is not for all".to_owned());
            }
        }
        drop((sender, taken));
        let stat = stat(&self.place.address).map_err(|error| error.to_string())?;
        match stat.participants.is_empty() && stat.sent == sent + 1 {
            true => Ok(sent),
            false => Err(format!("somebody is left: {stat:#?}")),
        }
    }

    /// What all entries have come to; how many values there were.
    fn conclude_board(&self, ends: &BTreeMap<Part, (u64, u64)>) -> Result<u64, String> {
        let board = board::Builder::at(self.place.address.clone()).open();
        let board = board.map_err(|error| error.to_string())?;
        let stat = board.stat();
        if stat.participants.iter().any(|who| who.alive) {
            return Err(format!("somebody is left: {stat:#?}"));
        }
        let mut written = 0;
        for entry in 0..self.entries {
            let (sure, most) = ends.get(&Part::Set(entry)).copied().unwrap_or_default();
            let reader = board.reader(&key(entry));
            let read = reader.map_err(|error| error.to_string())?.get();
            let read = read.map_err(|error| error.to_string())?;
            let number = read.as_ref().map_or(0, |value| value.number());
            if !(sure..=most).contains(&number) {
                return Err(format!(
                    "entry {entry} has value {number}, not {sure} to {most}"
                ));
            }
            if let Some(value) = &read {
                check(entry, board.max_value_len(), value)?;
            }
            let writer = board.writer(&key(entry));
            let writer = writer.map_err(|error| format!("nobody can follow: {error}"))?;
            if writer.number() != number {
                return Err(format!(
                    "who follows finds {}, not {number}",
                    writer.number()
                ));
            }
            written += number;
        }
        Ok(written)
    }
}

/// Whether those who do this are the first to leave.
fn is_first(part: Part) -> bool {
    matches!(part, Part::Produce | Part::Look(_) | Part::Watch)
}

impl Life for Forum {
    fn finish_soon(&mut self) {
        self.kills_left = 0;
    }

    fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    fn go_on_at(&mut self, stage: &mut Stage, now: Instant) -> Result<bool, String> {
        self.crew.read(stage, now)?;
        let quiet = self.crew.attend(stage, now)?;
        self.pace.next = now + Duration::from_micros(500);
        match self.phase {
            Phase::Burst(0) => self.enter(Phase::Calming),
            Phase::Burst(left) => {
                self.strike(stage, now)?;
                self.phase = Phase::Burst(left - 1);
                self.pace.next = now + some_time(&mut self.crew.random, LONGEST_PAUSE);
            }
            Phase::Calming if quiet => {
                self.crew.workers.mark(stage);
                self.enter(Phase::Settling);
            }
            Phase::Calming => {}
            Phase::Settling => self.await_progress(stage, now)?,
            Phase::FirstLeave => {
                if !self.crew.has(is_first) && quiet {
                    self.enter(Phase::LastLeave);
                    self.crew.order(stage, |_| true, Order::Stop);
                    if let Sort::Broadcast(_) = self.sort {
                        self.crew.start(stage, Part::Close)?;
                    }
                }
            }
            Phase::LastLeave => {
                if !self.crew.has(|_| true) {
                    self.conclude(stage)?;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn describe(&self) -> String {
        format!("{} {}, in {:?}", self.sort, self.number, self.phase)
    }

    fn dump(&self, stage: &Stage) -> String {
        let mut text = format!(
            "{} {} at {}, in {:?} for {:?}, {} kills to come, withheld: {:?}\n",
            self.sort,
            self.number,
            self.place.address,
            self.phase,
            self.pace.lasted,
            self.kills_left,
            self.crew.withheld,
        );
        for worker in self.crew.workers.iter().filter(|one| !one.is_buried()) {
            let is_late = self.crew.is_late(stage, worker);
            let turn = format!("{:?}", worker.journal(stage).turn());
            text += &worker.dump(stage, is_late, &turn);
        }
        text + &dump::ring(&self.place.address, self.number)
    }
}
