//! Who is stepped: prepares itself, says so, and does one thing to a board between two breakpoints.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU32, Ordering};

use clap::{Args, ValueEnum};
use ringway::board::{Builder, Writer};
use ringway::{Address, Board, ErrorKind};

use crate::matrix::name_of;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Op {
    /// Sets a short value
    Set,
    /// Sets the first one
    SetFirst,
    /// Sets a long value
    SetLong,
    /// Takes the role of an entry that nobody writes
    Take,
    /// Takes it from one that died
    TakeOver,
    /// Takes the role of an entry that is not there yet
    Add,
    /// Gives the role up
    Leave,
    /// Reads
    Get,
}

impl Op {
    pub(super) fn name(self) -> String {
        name_of(&self)
    }

    /// How many values it sets.
    pub(super) fn sets(self) -> u64 {
        match self {
            Self::Set | Self::SetFirst | Self::SetLong => 1,
            _ => 0,
        }
    }

    /// Whether it has the role before it begins.
    pub(super) fn is_writer(self) -> bool {
        self.sets() > 0 || self == Self::Leave
    }

    /// How many values are there before.
    pub(super) fn before(self) -> u64 {
        u64::from(!matches!(self, Self::SetFirst | Self::Add))
    }
}

pub(super) const KEY: &str = "key";

/// Value n: itself, again and again.
pub(super) fn value(number: u64, op: Op) -> Vec<u8> {
    number.to_le_bytes().repeat(match op {
        Op::SetLong => 500,
        _ => 2,
    })
}

#[derive(Args)]
pub(crate) struct VictimOptions {
    /// Where the board is
    #[arg(long)]
    address: Address,
    /// What to do
    #[arg(long)]
    op: Op,
}

/// How the operation ended.
pub(crate) const DONE: u32 = 1;
/// Somebody else had the role.
pub(super) const REFUSED: u32 = 2;
pub(crate) const WRONG: u32 = 3;

pub(crate) fn verdict(good: bool) -> u32 {
    if good { DONE } else { WRONG }
}

static OUTCOME: AtomicU32 = AtomicU32::new(0);

pub(crate) fn play_victim(options: VictimOptions) -> Result<(), String> {
    play(&options).map_err(|error| format!("the victim of {}: {error}", options.op.name()))
}

fn play(options: &VictimOptions) -> Result<(), Box<dyn std::error::Error>> {
    let (op, board) = (options.op, Builder::at(options.address.clone()).open()?);
    if op.is_writer() {
        let mut writer = board.writer(KEY)?;
        let next = value(writer.number() + 1, op);
        return match op {
            Op::Leave => act(|| {
                drop(writer);
                DONE
            }),
            _ => act(|| writer.set(&next).map_or(WRONG, |_| DONE)),
        };
    }
    if op == Op::Get {
        let (mut reader, mut bytes) = (board.reader(KEY)?, Vec::with_capacity(4096));
        return act(|| match reader.get_into(&mut bytes) {
            Ok(Some(number)) if bytes == value(number, op) => DONE,
            _ => WRONG,
        });
    }
    let mut taken = None;
    act(|| take(&board, &mut taken))
}

fn take(board: &Board, taken: &mut Option<Writer>) -> u32 {
    match board.writer(KEY) {
        Ok(writer) => {
            *taken = Some(writer);
            DONE
        }
        Err(error) if matches!(error.kind(), ErrorKind::RoleTaken { .. }) => REFUSED,
        Err(_) => WRONG,
    }
}

/// Says that all is prepared, and does the deed between two breakpoints when told to. Ends when told so.
pub(crate) fn act(deed: impl FnOnce() -> u32) -> Result<(), Box<dyn std::error::Error>> {
    let mut stdout = std::io::stdout();
    let mut orders = std::io::stdin().lock().lines();
    writeln!(stdout, "{}", std::ptr::from_ref(&OUTCOME).addr())?;
    stdout.flush()?;
    orders.next().ok_or("nobody says when")??;
    breakpoint();
    OUTCOME.store(deed(), Ordering::Release);
    breakpoint();
    orders.next().transpose()?;
    Ok(())
}

fn breakpoint() {
    // SAFETY: a trap, which the tracer takes; it changes nothing here.
    unsafe { std::arch::asm!("int3") };
}
