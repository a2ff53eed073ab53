//! Removing a queue that only the dead held.

use ringway_core::Error;
use ringway_core::address::QueueKey;
use ringway_core::gc::Fate;
use ringway_core::os::msgget;

use super::set::{Gate, Set};
use super::{is_gone, look, number};
use crate::attempt::Attempt;
use crate::judge::{Judge, State};

pub(crate) fn collect(
    attempt: Attempt<'_>,
    key: &QueueKey,
    judge: &Judge,
) -> Result<Option<Fate>, Error> {
    let key = number(attempt, key)?;
    let (id, status) = look(attempt, key)?;
    let Some(set) = Set::find(attempt, key, Some(id)) else {
        // Its creator has not come so far, or died.
        let unknown = State {
            alive: 0,
            dead: None,
            messages: status.messages,
        };
        return Ok(Some(judge.judge(unknown)));
    };
    let failed = |errno| match is_gone(errno) {
        true => attempt.not_found(errno),
        false => attempt.os("msgctl", "cannot inspect it", errno),
    };
    let state = || {
        let values = set.values().map_err(failed)?;
        let status = msgget::status(id).map_err(failed)?;
        Ok(State {
            alive: u32::from(values.senders()) + u32::from(values.receivers()),
            dead: Some(values.dead().into()),
            // Notices have no bytes.
            messages: if status.bytes > 0 { status.messages } else { 0 },
        })
    };
    let close = || {
        attempt.check_is_ours(&[status.owner_uid, status.creator_uid])?;
        set.close().map_err(failed)
    };
    let remove = |_: &Gate| match msgget::remove(id) {
        Ok(()) => {
            set.remove();
            Ok(true)
        }
        Err(errno) if is_gone(errno) => Ok(false),
        Err(errno) => Err(attempt.os("msgctl", "cannot remove it", errno)),
    };
    judge.run(state, close, remove)
}
