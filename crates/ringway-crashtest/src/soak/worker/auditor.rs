//! Who comes when all others are gone: takes what is left, and looks whether the ring is as good as new.

use ringway::{ErrorKind, Receiver, RecvError, Ring, SendError, Sender};

use super::consumer::{Failure, copy};
use super::{Fresh, Task, failed, max_message};
use crate::soak::journal::{Journal, Step};

pub(super) fn audit(ring: &Ring, task: &Task, journal: &Journal) -> Result<(), String> {
    journal.begin(Step::Auditing);
    let mut receiver = ring.receiver().map_err(failed)?;
    take_the_rest(&mut receiver, max_message(ring), journal)?;
    journal.begin(Step::Auditing);
    let Fresh {
        producers,
        consumers,
        messages,
    } = task.fresh;
    let mut senders = Vec::new();
    let mut receivers = vec![receiver];
    fill_places(&mut receivers, consumers, || ring.receiver())?;
    fill_places(&mut senders, producers, || ring.sender())?;
    let held = fill(&mut senders[0])?;
    if held != messages {
        return Err(format!(
            "holds {held} messages; when it was new, {messages}"
        ));
    }
    empty(&mut receivers[0], held)?;
    senders.into_iter().for_each(Sender::close);
    Ok(())
}

/// Receives what is there, by calls that do not wait: nobody is there who could hold anything up.
fn take_the_rest(receiver: &mut Receiver, max: usize, journal: &Journal) -> Result<(), String> {
    loop {
        match copy(journal, max, |buffer| receiver.try_recv_into(buffer)) {
            Ok(()) => {}
            Err(Failure::Ring(RecvError::Empty | RecvError::Closed | RecvError::PeerDied)) => {
                return Ok(());
            }
            Err(Failure::Ring(error)) => return Err(format!("taking the rest: {error:?}")),
            Err(Failure::Problem(problem)) => return Err(problem),
        }
    }
}

/// Takes all places of a role: each must be free, the dead have left none behind, and there are no more.
fn fill_places<T>(
    taken: &mut Vec<T>,
    places: usize,
    mut take: impl FnMut() -> Result<T, ringway::Error>,
) -> Result<(), String> {
    while taken.len() < places {
        taken.push(take().map_err(failed)?);
    }
    match take() {
        Err(error) if matches!(error.kind(), ErrorKind::RoleTaken { .. }) => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(format!("has more than {places} places for a role")),
    }
}

/// Sends messages of no bytes until there is no room, and returns how many.
fn fill(sender: &mut Sender) -> Result<u64, String> {
    let mut count = 0;
    loop {
        match sender.try_send(b"") {
            Ok(()) => count += 1,
            Err(SendError::Full) => return Ok(count),
            Err(error) => return Err(format!("filling it: {error:?}")),
        }
    }
}

fn empty(receiver: &mut Receiver, count: u64) -> Result<(), String> {
    for index in 0..count {
        match receiver.try_recv() {
            Ok(message) if message.is_empty() => {}
            other => return Err(format!("message {index} of {count} to fill it: {other:?}")),
        }
    }
    match receiver.try_recv() {
        Err(RecvError::Empty) => Ok(()),
        other => Err(format!("behind the last message: {other:?}")),
    }
}
