//! What several targets have in common: rings and steps, as fuzzing makes them.

pub mod broadcast;

use arbitrary::Arbitrary;
use ringway_core::Kind;
use ringway_core::peer::Role;
use ringway_core::verify::{Leaving, Setup, Step};

/// A small ring, so that it is soon full.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Ring {
    kind: u8,
    each: bool,
    cells_log2: u8,
    cell_len_log2: u8,
    overwrite: bool,
    lock: bool,
    bell: bool,
    settles: bool,
}

impl Ring {
    /// The ring, used up so often before.
    pub fn setup(self, lap: u64) -> Setup {
        Setup {
            kind: Kind::ALL[usize::from(self.kind) % 4],
            each: 2 + u32::from(self.each),
            cells: 4 << (self.cells_log2 % 4),
            cell_len: 64 << (self.cell_len_log2 % 2),
            lap,
            late: lap > 0,
            overwrite: self.overwrite,
            lock: self.lock,
            bell: self.bell,
            settles: self.settles,
        }
    }
}

/// A step, as short as can be. Lengths wrap a little beyond what fits.
#[derive(Arbitrary, Clone, Debug)]
pub enum Act {
    Send(u16),
    SendUntil(u16),
    Claim(u16),
    Commit(u16),
    Abort,
    Batch(Vec<u8>, bool),
    Drained,
    Receive(Option<u16>),
    ReceiveUntil(Option<u16>),
    Ready,
    Take(u8),
    Release,
    GiveBack,
    Leave(bool, u8),
}

impl Act {
    pub fn step(&self, setup: &Setup) -> Step {
        let most = setup.cells as usize / 2 * setup.cell_len as usize;
        let len = |len: &u16| usize::from(*len) % (most + 32);
        let room = |room: &Option<u16>| room.as_ref().map_or(most, len);
        match self {
            Self::Send(bytes) => Step::Send(len(bytes)),
            Self::SendUntil(bytes) => Step::SendUntil(len(bytes)),
            Self::Claim(bytes) => Step::Claim(len(bytes)),
            Self::Commit(bytes) => Step::Commit(len(bytes)),
            Self::Abort => Step::Abort,
            Self::Batch(lens, commits) => {
                Step::Batch(lens.iter().map(|len| (*len).into()).collect(), *commits)
            }
            Self::Drained => Step::Drained,
            Self::Receive(bytes) => Step::Receive(room(bytes)),
            Self::ReceiveUntil(bytes) => Step::ReceiveUntil(room(bytes)),
            Self::Ready => Step::Ready,
            Self::Take(most) => Step::Take(u64::from(*most) % 80),
            Self::Release => Step::Release,
            Self::GiveBack => Step::GiveBack,
            Self::Leave(produces, how) => {
                let leavings = [Leaving::Dying, Leaving::Silently, Leaving::Closing];
                let role = match produces {
                    true => Role::Producer,
                    false => Role::Consumer,
                };
                Step::Leave(role, leavings[usize::from(*how) % 3])
            }
        }
    }
}
