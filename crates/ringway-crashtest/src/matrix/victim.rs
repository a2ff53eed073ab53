//! The process that is stepped, killed and frozen: prepares itself, says so, and does one thing between two
//! breakpoints.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::uio::pread;
use nix::unistd::write;
use ringway::{Builder, RecvError, Ring, SendError, WaitStrategy};
use ringway_testing::table::Row;

use super::board::{BOARD, MOST, Outcome, PAGE, Pages};
use super::case::Op;
use super::message::{COPY_LIMIT, Id, SHORT};

/// What no operation comes near to; only a hang does.
pub(super) const WATCHDOG: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct VictimOptions {
    /// Where the ring is, or shall be
    #[arg(long)]
    pub(super) address: String,
    /// What to do
    #[arg(long)]
    pub(super) op: Op,
    /// Who it is, in its messages
    #[arg(long)]
    pub(super) who: u32,
    /// What ring to create
    #[arg(long)]
    pub(super) row: String,
}

pub(crate) fn play_victim(options: VictimOptions) -> Result<(), String> {
    play(&options).map_err(|error| format!("the victim of {}: {error}", options.op.name()))
}

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

fn play(options: &VictimOptions) -> Result<()> {
    let op = options.op;
    let builder = Builder::new(&options.address)?;
    if matches!(op, Op::Create | Op::CreateSegments) {
        let row = Row::named(&options.row).ok_or("no such row")?;
        let builder = op.shape(row.shape(builder));
        let mut ring = None;
        act(|| made(builder.open_or_create(), &mut ring))?;
        return Ok(());
    }
    if op == Op::Open {
        let mut ring = None;
        act(|| made(builder.open(), &mut ring))?;
        return Ok(());
    }
    let ring = builder.open()?;
    match op.role() {
        Some(ringway::peer::Role::Producer) => produce(op, &ring, options.who),
        _ => consume(op, &ring),
    }
}

fn produce(op: Op, ring: &Ring, who: u32) -> Result<()> {
    if op == Op::AttachSender {
        let mut sender = None;
        act(|| made(ring.sender(), &mut sender))?;
        if let Some(sender) = sender {
            sender.leave();
        }
        return Ok(());
    }
    let sender = ring.sender()?.with_wait(WaitStrategy::Park);
    let mut sender = sender.with_copy_limit(COPY_LIMIT);
    let (count, len) = op.sends();
    let messages: Vec<_> = (0..count.max(1))
        .map(|number| Id { who, number }.bytes(len.max(SHORT)))
        .collect();
    let first = &messages[0];
    match op {
        Op::CloseSender => {
            return act(|| {
                sender.close();
                Outcome::Done
            });
        }
        Op::LeaveSender => {
            return act(|| {
                sender.leave();
                Outcome::Done
            });
        }
        Op::SleepSend => act(|| sent(sender.send_deadline(first, Instant::now() + WATCHDOG))),
        Op::Commit | Op::CommitOver => {
            let mut claim = sender.try_claim(first.len())?;
            claim.write_at(0, first);
            act(|| {
                claim.commit();
                Outcome::Done
            })
        }
        Op::SendByPointer | Op::LendPointer => {
            let source = memfd_create("message", MFdFlags::MFD_CLOEXEC)?;
            write(&source, first)?;
            act(|| {
                let claim = sender.try_claim(first.len());
                sent(claim.map(|mut claim| {
                    // SAFETY: nobody else writes it.
                    let _ = pread(&source, unsafe { claim.as_mut_slice() }, 0);
                    claim.commit();
                }))
            })
        }
        Op::Abort => act(|| {
            let claimed = sender.try_claim(first.len()).map(|mut claim| {
                claim.write_at(0, first);
                claim.abort();
            });
            sent(claimed)
        }),
        Op::Batch => act(|| {
            let mut batch = sender.batch();
            for message in &messages {
                if let Err(error) = batch.push(message) {
                    return sent(Err(error));
                }
            }
            batch.commit();
            Outcome::Done
        }),
        Op::SendAll => {
            let values: Vec<[u8; SHORT]> = messages
                .iter()
                .filter_map(|message| message.as_slice().try_into().ok())
                .collect();
            act(|| match sender.try_send_all(&values) {
                Ok(count) if count == values.len() => Outcome::Done,
                Ok(_) => Outcome::Wrong,
                Err(error) => sent(Err(error)),
            })
        }
        _ => act(|| sent(sender.try_send(first))),
    }?;
    sender.leave();
    Ok(())
}

fn consume(op: Op, ring: &Ring) -> Result<()> {
    if op == Op::AttachReceiver {
        let mut receiver = None;
        return act(|| made(ring.receiver(), &mut receiver));
    }
    let mut receiver = ring.receiver()?.with_wait(WaitStrategy::Park);
    let mut pages: Pages = [[0; PAGE]; MOST];
    BOARD.reads_to(&pages);
    let page = &mut pages[0];
    match op {
        Op::Receive | Op::TakeLoan | Op::TakeSegment => {
            act_on(|| received(receiver.try_recv_into(page)))
        }
        Op::SleepReceive => {
            let deadline = Instant::now() + WATCHDOG;
            act_on(|| received(receiver.recv_into_deadline(page, deadline)))
        }
        Op::Borrow | Op::BorrowOver | Op::GiveBack => act_on(|| {
            let borrowed = receiver.try_recv_in_place().map(|message| {
                message.read_at(0, page);
                if op == Op::GiveBack {
                    message.give_back();
                } else {
                    message.release();
                }
            });
            received(borrowed)
        }),
        Op::Detach => act_on(|| {
            let detached = receiver.try_recv_in_place().and_then(|message| {
                message.read_at(0, page);
                message.detach()
            });
            received(detached.map(drop))
        }),
        Op::Drain => act_on(|| {
            let mut pages = pages.iter_mut();
            let drained = receiver.drain(3, |message| {
                if let Some(page) = pages.next() {
                    message.read_at(0, page);
                }
            });
            let (outcome, _) = received(drained.as_ref().map_err(|error| *error));
            (outcome, drained.unwrap_or(0))
        }),
        Op::CloseReceiver => act(|| {
            receiver.close();
            Outcome::Done
        }),
        _ => act(|| {
            drop(receiver);
            Outcome::Done
        }),
    }
}

fn act(deed: impl FnOnce() -> Outcome) -> Result<()> {
    act_on(|| (deed(), 0))
}

/// Says that all is prepared, and does the deed between two breakpoints when told to. Ends when told so.
fn act_on(deed: impl FnOnce() -> (Outcome, usize)) -> Result<()> {
    let mut stdout = std::io::stdout();
    let mut orders = std::io::stdin().lock().lines();
    writeln!(stdout, "{}", std::ptr::from_ref(&BOARD).addr())?;
    stdout.flush()?;
    orders.next().ok_or("nobody says when")??;
    breakpoint();
    BOARD.finish(deed());
    breakpoint();
    orders.next().transpose()?;
    Ok(())
}

fn breakpoint() {
    // SAFETY: a trap, which the tracer takes; it changes nothing here.
    unsafe { std::arch::asm!("int3") };
}

fn made<T>(made: std::result::Result<T, ringway::Error>, place: &mut Option<T>) -> Outcome {
    match made {
        Ok(thing) => {
            *place = Some(thing);
            Outcome::Done
        }
        Err(_) => Outcome::Wrong,
    }
}

fn sent(outcome: std::result::Result<(), SendError>) -> Outcome {
    match outcome {
        Ok(()) => Outcome::Done,
        Err(SendError::Full) => Outcome::NotNow,
        Err(SendError::PeerDied | SendError::Closed) => Outcome::Ended,
        Err(_) => Outcome::Wrong,
    }
}

/// What one message that was received, or not, amounts to.
fn received<T>(outcome: std::result::Result<T, RecvError>) -> (Outcome, usize) {
    match outcome {
        Ok(_) => (Outcome::Done, 1),
        Err(RecvError::Empty) => (Outcome::NotNow, 0),
        Err(RecvError::PeerDied | RecvError::Closed) => (Outcome::Ended, 0),
        Err(_) => (Outcome::Wrong, 0),
    }
}
