//! One try: a scene, victims that come so far, a death or a frost, a judgement.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Instant;

use ringway::peer::Role;

use super::board::{self, Diary};
use super::case::{Case, Op};
use super::judge::{Effect, Victim, judge};
use super::scene::{Scene, said};
use super::victim::WATCHDOG;
use crate::trace::{Step, Tracee};

/// A victim at the start of its operation.
struct Stepped {
    op: Op,
    who: u32,
    process: Child,
    board: u64,
    tracee: Tracee,
    /// What it has been through.
    script: Vec<Step>,
}

/// How far a victim goes.
#[derive(Clone, Debug)]
pub(super) enum Point {
    /// Behind so many instructions that others can see, all of which stand among these, and behind so many more.
    Behind {
        visible: usize,
        places: Rc<BTreeSet<u64>>,
        more: usize,
    },
    /// To the end of its operation.
    End,
}

impl Point {
    /// Behind so many instructions, each of which is looked at.
    fn steps(steps: usize) -> Self {
        Self::Behind {
            visible: 0,
            places: Rc::default(),
            more: steps,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind {
                visible, more: 0, ..
            } => write!(f, "after {visible} visible instructions"),
            Self::Behind { visible, more, .. } => {
                write!(f, "{more} behind {visible} visible instructions")
            }
            Self::End => write!(f, "at its end"),
        }
    }
}

/// Where the instructions stand that others can see on a victim's way to its sleep, once it has been gone.
pub(super) type WayToSleep = OnceCell<BTreeSet<u64>>;

/// What a try was.
pub(super) struct Tried {
    pub(super) script: Vec<Step>,
    pub(super) effect: Effect,
}

const FIRST: u32 = 2;
const SECOND: u32 = 3;

impl Stepped {
    fn start(op: Op, who: u32, scene: &Scene) -> Result<Self, String> {
        let row = scene.case.row;
        let mut process = Command::new("/proc/self/exe")
            .args(["play", "victim", "--op", &op.name()])
            .args(["--who", &who.to_string(), "--row", &row.to_string()])
            .args(["--address", &scene.place.address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(said("starting a victim"))?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("no output")?;
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(said("hearing of a victim"))?;
        let board = line
            .trim()
            .parse()
            .map_err(said("the victim did not start"))?;
        let mut tracee = Tracee::seize(process.id()).map_err(said("seizing"))?;
        process.stdin.as_mut().map(|stdin| stdin.write_all(b"go\n"));
        tracee.begin().map_err(said("beginning"))?;
        Ok(Self {
            op,
            who,
            process,
            board,
            tracee,
            script: Vec::new(),
        })
    }

    /// Goes on to a point of its operation, or to its end. A sleep is a step, in which `scene` does what the
    /// victim waits for. Whether it has come to the end.
    fn advance(&mut self, point: &Point, scene: &mut Scene) -> Result<bool, String> {
        let (leaps, end) = match point {
            Point::End => (0, usize::MAX),
            Point::Behind {
                visible,
                places,
                more,
            } => {
                if *visible > 0 {
                    self.tracee
                        .set_breakpoints(places)
                        .map_err(said("setting breakpoints"))?;
                }
                (*visible, visible + more)
            }
        };
        let deadline = Instant::now() + WATCHDOG;
        while self.script.len() < end {
            let step = match self.script.len() < leaps {
                true => self.tracee.leap(),
                false => self.tracee.step(),
            };
            let step = step.map_err(said("stepping"))?;
            match step {
                Step::Finished => return Ok(true),
                Step::Asleep if self.op.sleeps() && scene.can_help(self.op) => {
                    self.have_help(scene)?;
                }
                // The death of another will wake it, when the kernel has come to that.
                Step::Asleep if self.op.sleeps() && Instant::now() < deadline => continue,
                Step::Asleep => {
                    return Err("the victim sleeps, and nobody wakes it".to_owned());
                }
                _ => {}
            }
            self.script.push(step);
        }
        Ok(false)
    }

    /// Has the others do what the victim, which sleeps, waits for.
    fn have_help(&self, scene: &mut Scene) -> Result<(), String> {
        for _ in 0..100 {
            if scene.help(self.op)? {
                return Ok(());
            }
        }
        Err("the victim sleeps, and nobody can wake it".to_owned())
    }

    /// Goes on until it sleeps for the first time. What follows is a script of its own.
    fn fall_asleep(&mut self, way: &WayToSleep) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        if let Some(places) = way.get() {
            self.tracee
                .set_breakpoints(places)
                .map_err(said("setting breakpoints"))?;
        }
        loop {
            let step = match way.get() {
                Some(_) => self.tracee.leap(),
                None => self.tracee.step(),
            };
            match step.map_err(said("stepping"))? {
                Step::Asleep => break,
                Step::Finished => return Err("the second victim does not sleep".to_owned()),
                step => seen.extend(step.place()),
            }
        }
        way.get_or_init(|| seen);
        Ok(())
    }

    fn diary(&self) -> Result<Diary, String> {
        board::read(&self.tracee, self.board).map_err(said("reading the board"))
    }

    /// Kills it, and leaves it a zombie.
    fn kill(self) -> Result<(Victim, Zombie, Vec<Step>), String> {
        let diary = self.diary()?;
        self.tracee.kill().map_err(said("killing"))?;
        let victim = Victim {
            op: self.op,
            who: self.who,
            diary,
            died: true,
        };
        Ok((victim, Zombie(self.process), self.script))
    }

    /// Lets it finish, and leave in order.
    fn thaw(mut self, scene: &mut Scene) -> Result<(Victim, Vec<Step>), String> {
        let op = self.op;
        let mut help = Ok(if op.sleeps() { ENOUGH_HELP } else { 0 });
        let run = self.tracee.run_to_breakpoint(|| {
            if let Ok(left @ 1..) = help {
                help = scene.help(op).map(|done| left - u32::from(done));
            }
        });
        run.map_err(said("thawing"))?;
        help?;
        let diary = self.diary()?;
        // It ends when nobody gives orders any more.
        drop(self.process.stdin.take());
        if !self.tracee.finish().map_err(said("finishing"))? {
            return Err("the victim did not end well".to_owned());
        }
        let victim = Victim {
            op,
            who: self.who,
            diary,
            died: false,
        };
        Ok((victim, self.script))
    }
}

/// What one that sleeps can need: a stream has to find room for a gap as well.
const ENOUGH_HELP: u32 = 3;

/// A dead process that nobody has waited for yet.
struct Zombie(Child);

impl Drop for Zombie {
    fn drop(&mut self) {
        let _ = self.0.wait();
    }
}

/// A victim that came to its end.
pub(super) struct Rehearsed {
    pub(super) tried: Tried,
    /// States of the segment that it went through.
    pub(super) states: u64,
}

/// Lets a victim do its whole operation before it is killed.
pub(super) fn rehearse(case: Case, room: usize) -> Result<Rehearsed, String> {
    let mut scene = Scene::set(case, case.op.role().as_slice())?;
    let mut stepped = Stepped::start(case.op, FIRST, &scene)?;
    scene.fall_asleep()?;
    let mut states = HashSet::new();
    loop {
        if stepped
            .script
            .last()
            .is_none_or(|step| matches!(step, Step::Store(_)))
        {
            states.insert(
                stepped
                    .tracee
                    .digest()
                    .map_err(said("reading the segment"))?,
            );
        }
        let next = Point::steps(stepped.script.len() + 1);
        if stepped.advance(&next, &mut scene)? {
            break;
        }
    }
    let (victim, _zombie, script) = stepped.kill()?;
    let effect = judge(&mut scene, &[victim], room)?;
    let tried = Tried { script, effect };
    Ok(Rehearsed {
        tried,
        states: states.len() as u64,
    })
}

/// Kills a victim at a point.
pub(super) fn kill(case: Case, point: &Point, room: usize) -> Result<Tried, String> {
    let mut scene = Scene::set(case, case.op.role().as_slice())?;
    let mut stepped = Stepped::start(case.op, FIRST, &scene)?;
    scene.fall_asleep()?;
    stepped.advance(point, &mut scene)?;
    let (victim, _zombie, script) = stepped.kill()?;
    if case.op == Op::BorrowOver {
        scene.come_round()?;
    }
    let effect = judge(&mut scene, &[victim], room)?;
    Ok(Tried { script, effect })
}

/// Freezes a victim at a point, lets others work, and lets it go on.
pub(super) fn freeze(case: Case, point: &Point, room: usize) -> Result<Tried, String> {
    let mut scene = Scene::set(case, case.op.role().as_slice())?;
    let mut stepped = Stepped::start(case.op, FIRST, &scene)?;
    scene.fall_asleep()?;
    scene.another_falls_asleep()?;
    stepped.advance(point, &mut scene)?;
    scene.relieve_sleepers()?;
    scene.work_around()?;
    let (victim, script) = stepped.thaw(&mut scene)?;
    scene.end_sleepers()?;
    let effect = judge(&mut scene, &[victim], room)?;
    Ok(Tried { script, effect })
}

/// Kills a victim at a point, and then one who comes upon what it left, at another.
pub(super) fn kill_two(
    case: Case,
    point: &Point,
    next: Op,
    way: &WayToSleep,
    next_point: &Point,
    room: usize,
) -> Result<Tried, String> {
    let roles: Vec<Role> = case.op.role().into_iter().chain(next.role()).collect();
    let mut scene = Scene::set(case, &roles)?;
    let mut first = Stepped::start(case.op, FIRST, &scene)?;
    let mut second = Stepped::start(next, SECOND, &scene)?;
    if next.sleeps() {
        second.fall_asleep(way)?;
    }
    first.advance(point, &mut scene)?;
    let (victim, _zombie, _) = first.kill()?;
    second.advance(next_point, &mut scene)?;
    let (second, _another, script) = second.kill()?;
    let effect = judge(&mut scene, &[victim, second], room)?;
    Ok(Tried { script, effect })
}

/// How many short messages fit a fresh ring of the case.
pub(super) fn room(case: Case) -> Result<usize, String> {
    let mut scene = Scene::set(
        Case {
            op: Op::Open,
            state: super::case::State::Empty,
            ..case
        },
        &[],
    )?;
    while scene.try_send(super::message::SHORT, None)? {}
    Ok(scene.sent.len())
}
