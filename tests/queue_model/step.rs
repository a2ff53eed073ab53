//! What can be done to a ring, and how random sequences of it are made.

use proptest::prelude::*;
use ringway::peer::Role;

use crate::two_processes::table::CELL_LEN;

/// One call on one handle. A handle that is not there, or is in use by an enclosing step, does nothing.
#[derive(Clone, Debug)]
pub enum Step {
    Send {
        from: usize,
        len: usize,
        how: Sending,
    },
    /// Claims, does `meanwhile`, then writes and ends the claim.
    Claim {
        from: usize,
        len: usize,
        end: End,
        meanwhile: Vec<Step>,
    },
    /// Adds all of `lens` that fit, does `meanwhile`, then commits the batch or drops it.
    Batch {
        from: usize,
        lens: Vec<usize>,
        commit: bool,
        meanwhile: Vec<Step>,
    },
    Receive {
        at: usize,
        how: Receiving,
    },
    /// Borrows a message, does `meanwhile`, then releases it or keeps it.
    InPlace {
        at: usize,
        release: bool,
        meanwhile: Vec<Step>,
    },
    Drain {
        at: usize,
        most: usize,
    },
    /// Looks at up to `most` messages, does `meanwhile`, then releases them or leaves them.
    Backlog {
        at: usize,
        most: usize,
        release: bool,
        meanwhile: Vec<Step>,
    },
    /// Asks whether all is received.
    AskDrained(usize),
    Attach(Role, usize),
    Leave(Role, usize),
    /// Where the role can be taken again afterwards; elsewhere nothing.
    Close(Role, usize),
}

/// The calls that send a copy.
#[derive(Clone, Copy, Debug)]
pub enum Sending {
    Try,
    /// With a deadline that has passed.
    Deadline,
    TryVectored,
    Vectored,
}

/// The calls that receive a copy.
#[derive(Clone, Copy, Debug)]
pub enum Receiving {
    Try,
    /// With a deadline that has passed.
    Deadline,
    Into,
    /// Into a buffer that is too small, which leaves the message.
    IntoNothing,
    /// Waits, until a deadline that has passed, and leaves the message.
    Wait,
}

/// How a claim ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    Commit,
    CommitLen(usize),
    Abort,
}

/// Random steps on a ring that carries messages of up to `max` bytes.
pub fn steps(max: usize, most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(nested(max, 2), 1..most)
}

/// A step in which others happen in the middle, up to so deep.
fn nested(max: usize, depth: u32) -> BoxedStrategy<Step> {
    if depth == 0 {
        return flat(max).boxed();
    }
    let meanwhile = || {
        prop_oneof![
            2 => Just(Vec::new()),
            1 => prop::collection::vec(nested(max, depth - 1), 0..6),
        ]
    };
    let claim = (0..HANDLES, len(max), end(max), meanwhile());
    let claim = claim.prop_map(|(from, len, end, meanwhile)| Step::Claim {
        from,
        len,
        end,
        meanwhile,
    });
    let lens = prop::collection::vec(len(max), 0..6);
    let batch = (0..HANDLES, lens, any::<bool>(), meanwhile());
    let batch = batch.prop_map(|(from, lens, commit, meanwhile)| Step::Batch {
        from,
        lens,
        commit,
        meanwhile,
    });
    let in_place = (0..HANDLES, any::<bool>(), meanwhile());
    let in_place = in_place.prop_map(|(at, release, meanwhile)| Step::InPlace {
        at,
        release,
        meanwhile,
    });
    let backlog = (0..HANDLES, 1..8_usize, any::<bool>(), meanwhile());
    let backlog = backlog.prop_map(|(at, most, release, meanwhile)| Step::Backlog {
        at,
        most,
        release,
        meanwhile,
    });
    prop_oneof![10 => flat(max), 3 => claim, 2 => batch, 3 => in_place, 2 => backlog].boxed()
}

/// So many handles of each role take part where the kind has many.
pub const HANDLES: usize = 3;

fn flat(max: usize) -> impl Strategy<Value = Step> {
    let handle = || 0..HANDLES;
    let role = || prop::sample::select(vec![Role::Producer, Role::Consumer]);
    let sending = prop::sample::select(vec![
        Sending::Try,
        Sending::Try,
        Sending::Deadline,
        Sending::TryVectored,
        Sending::Vectored,
    ]);
    let receiving = prop::sample::select(vec![
        Receiving::Try,
        Receiving::Deadline,
        Receiving::Into,
        Receiving::IntoNothing,
        Receiving::Wait,
    ]);
    prop_oneof![
        10 => (handle(), len(max), sending).prop_map(|(from, len, how)| Step::Send { from, len, how }),
        8 => (handle(), receiving).prop_map(|(at, how)| Step::Receive { at, how }),
        3 => (handle(), 0..8_usize).prop_map(|(at, most)| Step::Drain { at, most }),
        1 => handle().prop_map(Step::AskDrained),
        2 => (role(), handle()).prop_map(|(role, index)| Step::Attach(role, index)),
        1 => (role(), handle()).prop_map(|(role, index)| Step::Leave(role, index)),
        1 => (role(), handle()).prop_map(|(role, index)| Step::Close(role, index)),
    ]
}

fn end(max: usize) -> impl Strategy<Value = End> {
    prop_oneof![
        2 => Just(End::Commit),
        2 => len(max).prop_map(End::CommitLen),
        1 => Just(End::Abort),
    ]
}

/// Lengths around all borders: nothing, one byte, one cell, several cells, the longest, too long.
fn len(max: usize) -> impl Strategy<Value = usize> {
    let cell = CELL_LEN as usize;
    prop_oneof![
        1 => 0..=1_usize,
        6 => 2..64_usize,
        2 => cell - 20..=cell + 4,
        2 => (2..max / cell, 0..20_usize).prop_map(move |(cells, off)| cells * cell - off),
        1 => 0..=max,
        1 => max - 2..=max,
        1 => max + 1..max + 100,
    ]
}
