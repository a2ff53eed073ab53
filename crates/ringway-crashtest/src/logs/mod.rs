//! The kill matrix of logs: a process is stepped through what a writer or a reader does, and killed, or frozen, at each instruction that others
//! can see, and within each write to a segment; readers, a sleeper and the next writer work on, and what they find is judged.
//!
//! Killed: what it had appended is there once, whole, in order; what it was appending, from its first message on, as far as it goes; what a
//! reader was shown stays; a cursor is where it was or where it was to be; nothing stays behind of segments that were begun or to be removed; the
//! next writer comes, and needs no repair. Frozen: it stays the writer, and others read.
//!
//! *Second*: a writer that finds what a dead one left is killed over it, at each instruction that others can see.
//!
//! What a loss of power leaves is not tried here, but on the simulated disk of `cargo xtask log-ordeal`.

mod scene;
mod victim;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::{fmt, io};

use clap::ValueEnum;
use ringway_testing::place::Backing;

use crate::boards::Victim;
use crate::matrix::said;
use crate::sweep::{self, Fate, Options, Tried};
use crate::trace::{Step, Tracee, Write};
use scene::Scene;
use victim::Op;
pub(crate) use victim::{VictimOptions, play_victim};

const PART: &str = "log-victim";

/// What the victim is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Case {
    /// Who does something.
    First(Op),
    /// Who comes as the writer behind one that died doing that.
    Second(Op, Death),
}

/// Where somebody dies.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Death {
    /// Behind so many steps.
    Behind(usize),
    /// Within one of its writes to segments, counted from 1, of which so many bytes are written. How many steps come before a write differs
    /// from run to run, where the clock is read or a thread takes part; the writes are the same.
    Within { write: usize, bytes: usize },
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(steps) => write!(f, "{steps}"),
            Self::Within { write, bytes } => write!(f, "write-{write}-{bytes}"),
        }
    }
}

/// What a victim goes through.
struct Script {
    steps: Vec<Step>,
    has_threads: bool,
    /// The deaths within its writes to segments.
    within: Vec<Death>,
}

struct Stage {
    scripts: RefCell<HashMap<Case, Rc<Script>>>,
    /// How many died within a write.
    torn: Cell<usize>,
    fast: bool,
}

/// Those whose deaths leave something to be put in order.
const RECOVERED: [Op; 6] = [
    Op::Roll,
    Op::Retain,
    Op::RollSynced,
    Op::BatchRoll,
    Op::AppendSynced,
    Op::RollAndRetain,
];

pub(crate) fn run(options: &Options) -> Result<(), String> {
    crate::trace::settle_on_any()?;
    let stage = Stage {
        scripts: RefCell::default(),
        torn: Cell::new(0),
        fast: options.fast,
    };
    let ops = Op::value_variants().iter();
    let mut cases: Vec<(String, Case)> = ops
        .map(|op| (format!("{}/first", op.name()), Case::First(*op)))
        .collect();
    let recovered = if options.fast {
        &RECOVERED[..2]
    } else {
        &RECOVERED[..]
    };
    for &op in recovered {
        let found = stage.recoveries(op);
        cases.extend(found.map_err(|problem| format!("{}: {problem}", op.name()))?);
    }
    // Between two calls, all file systems are the same.
    let outcome = sweep::run(options, &[Backing::Shm], &cases, |case, _, way, fate| {
        stage.attempt(case, way.steps, fate)
    });
    println!("{} more were killed within a write", stage.torn.get());
    outcome
}

impl Stage {
    /// Those who come behind one that died: within a write, or behind a system call.
    fn recoveries(&self, op: Op) -> Result<Vec<(String, Case)>, String> {
        let script = self.rehearse(Case::First(op))?;
        let calls = (script.steps.iter().zip(1..))
            .filter(|(step, _)| matches!(step, Step::Syscall(_)))
            .map(|(_, steps)| Death::Behind(steps));
        let mut deaths: Vec<Death> = calls.chain(script.within.iter().copied()).collect();
        if self.fast {
            let middle = deaths.len() / 2;
            deaths.drain(..middle);
            deaths.truncate(1);
        }
        let cases = deaths.into_iter().map(|death| {
            let name = format!("{}/second/{death}", op.name());
            (name, Case::Second(op, death))
        });
        Ok(cases.collect())
    }

    /// The numbers say nothing: what was shown before a death is compared instead.
    fn attempt(&self, case: Case, steps: usize, fate: Fate) -> Result<Tried, String> {
        if steps < usize::MAX {
            let script = self.rehearse(case)?;
            self.try_once(case, Death::Behind(steps), &script, fate)?;
            return Ok((Vec::new(), 0));
        }
        let script = self.rehearse(case)?;
        for death in &script.within {
            self.torn.set(self.torn.get() + 1);
            let tried = self.try_once(case, *death, &script, Fate::Killed);
            tried.map_err(|problem| format!("but killed at {death}: {problem}"))?;
        }
        Ok((script.steps.clone(), 0))
    }

    /// Sets a scene for a case, up to its victim.
    fn set(&self, case: Case) -> Result<(Scene, Victim), String> {
        let (Case::First(op) | Case::Second(op, _)) = case;
        let mut scene = Scene::set(op)?;
        let victim = Victim::play(PART, &op.name(), scene.place())?;
        let Case::Second(_, death) = case else {
            scene.fall_asleep()?;
            return Ok((scene, victim));
        };
        let mut first = victim;
        let script = self.rehearse(Case::First(op))?;
        go(&mut first, &script, death)?;
        scene.look()?;
        let (outcome, dead) = first.kill()?;
        scene.has_ended(outcome, Some(dead))?;
        let victim = Victim::play(PART, &op.successor().name(), scene.place())?;
        Ok((scene, victim))
    }

    /// Has a victim do all of it, and then die, to learn what it goes through.
    fn rehearse(&self, case: Case) -> Result<Rc<Script>, String> {
        if let Some(script) = self.scripts.borrow().get(&case) {
            return Ok(Rc::clone(script));
        }
        let (mut scene, mut victim) = self.set(case)?;
        let mut within = Vec::new();
        let mut writes = 0;
        let steps = victim.advance_seeing(|tracee| {
            if let Some(len) = next_to_segment(tracee)?.map(|write| write.len) {
                writes += 1;
                let write = writes;
                within.extend(cuts(len).map(|bytes| Death::Within { write, bytes }));
            }
            Ok(())
        })?;
        let (outcome, dead) = victim.kill()?;
        ended(&mut scene, case, outcome, Some(dead))?;
        scene.judge()?;
        let (Case::First(op) | Case::Second(op, _)) = case;
        let has_threads = op.has_thread();
        let script = Rc::new(Script {
            steps,
            has_threads,
            within,
        });
        let mut scripts = self.scripts.borrow_mut();
        scripts.insert(case, Rc::clone(&script));
        Ok(script)
    }

    fn try_once(
        &self,
        case: Case,
        death: Death,
        script: &Script,
        fate: Fate,
    ) -> Result<(), String> {
        let (mut scene, mut victim) = self.set(case)?;
        go(&mut victim, script, death)?;
        if fate == Fate::Frozen {
            scene.work_around()?;
            let outcome = victim.thaw()?;
            ended(&mut scene, case, outcome, None)?;
        } else {
            scene.look()?;
            let (outcome, dead) = victim.kill()?;
            ended(&mut scene, case, outcome, Some(dead))?;
        }
        scene.judge()
    }
}

fn ended(
    scene: &mut Scene,
    case: Case,
    outcome: u32,
    dead: Option<crate::boards::Process>,
) -> Result<(), String> {
    match case {
        Case::First(_) => scene.has_ended(outcome, dead),
        Case::Second(..) => scene.successor_has_ended(outcome, dead),
    }
}

/// Takes a victim to where it dies.
fn go(victim: &mut Victim, script: &Script, death: Death) -> Result<(), String> {
    match death {
        // Which of them is woken first differs, and what it does then.
        Death::Behind(steps) if script.has_threads => victim.advance(steps).map(drop),
        Death::Behind(steps) => victim.advance_along(&script.steps, steps),
        Death::Within { write, bytes } => tear(victim, write, bytes),
    }
}

/// Has it write a part of a write to a segment, and nothing behind that.
fn tear(victim: &mut Victim, nth: usize, bytes: usize) -> Result<(), String> {
    let mut seen = 0;
    loop {
        let write = next_to_segment(victim.tracee()).map_err(said("looking for a write"))?;
        if let Some(write) = write {
            seen += 1;
            if seen == nth {
                let torn = victim.tracee().tear(&write, bytes);
                return torn.map_err(said("writing a part"));
            }
        }
        if victim.advance(1)?.is_empty() {
            return Err(format!("the victim has written {seen} times"));
        }
    }
}

/// What it is about to write to a segment. What else it writes lies in a page, and is written as a whole.
fn next_to_segment(tracee: &mut Tracee) -> io::Result<Option<Write>> {
    let write = tracee.next_write()?;
    Ok(write.filter(|write| write.name.starts_with(|first: char| first.is_ascii_digit())))
}

/// How many bytes of a write are written when its process is killed.
fn cuts(len: usize) -> impl Iterator<Item = usize> {
    let page = (len > 4096).then_some(4096);
    [1, len / 2, len - 1].into_iter().chain(page)
}
