//! What becomes of a queue that a collector looks at.

use ringway_core::Error;
use ringway_core::gc::{Fate, Why};

/// What a collector was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Judge {
    /// It changes nothing.
    pub(crate) dry_run: bool,
    /// It removes what has messages, too.
    pub(crate) undelivered: bool,
}

/// A queue as a collector finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Live participants.
    pub(crate) alive: u32,
    /// Those that died, and whose place nobody has taken; `None` if nothing tells.
    pub(crate) dead: Option<u32>,
    /// Messages in it.
    pub(crate) messages: u64,
}

impl Judge {
    /// What becomes of a queue: at first sight, and again when nobody can attach any more.
    pub(crate) fn judge(&self, state: State) -> Fate {
        let State {
            alive,
            dead,
            messages,
        } = state;
        let why = match (alive, dead) {
            (1.., dead) => Why::InUse {
                alive,
                dead: dead.unwrap_or(0),
            },
            (0, None) => Why::Unproven,
            (0, Some(0)) => Why::InOrder,
            (0, Some(_)) if messages > 0 && !self.undelivered => Why::Undelivered { messages },
            (0, Some(_)) => return Fate::Removable,
        };
        Fate::Kept(why)
    }

    /// Judges, and removes what is garbage: `close` keeps everybody out, if nobody is in; then `look` sees what
    /// stays so, until `remove` has removed it (`false`: somebody else had) or the gate is dropped.
    pub(crate) fn run<G>(
        &self,
        look: impl Fn() -> Result<State, Error>,
        close: impl FnOnce() -> Result<Option<G>, Error>,
        remove: impl FnOnce(&G) -> Result<bool, Error>,
    ) -> Result<Option<Fate>, Error> {
        let fate = self.judge(look()?);
        if self.dry_run || fate != Fate::Removable {
            return Ok(Some(fate));
        }
        let Some(gate) = close()? else {
            // Somebody came.
            return Ok(Some(match self.judge(look()?) {
                Fate::Removable => Fate::Kept(Why::InUse { alive: 1, dead: 0 }),
                fate => fate,
            }));
        };
        match self.judge(look()?) {
            Fate::Removable => Ok(remove(&gate)?.then_some(Fate::Removed)),
            fate => Ok(Some(fate)),
        }
    }
}
