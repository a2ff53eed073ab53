//! Durable logs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ringway::log::{Builder, LogStat};
use ringway::{Address, Error};

use super::process;
use super::report::{Cursor, Participant, Report};
use crate::failure::Failure;
use crate::log;

/// Whether a directory has what a log is known by.
pub(super) fn is_one(path: &Path) -> bool {
    path.join("log").is_file() && Builder::new(path).open().is_ok()
}

pub(super) fn report(path: &Path) -> Result<Report, Failure> {
    look(path).map_err(log::advise)
}

pub(super) fn look(path: &Path) -> Result<Report, Error> {
    let stat = Builder::new(path).open()?.stat()?;
    Ok(of(path, &stat))
}

fn of(path: &Path, stat: &LogStat) -> Report {
    let cursor = |(name, number): &(String, u64)| Cursor {
        name: name.clone(),
        next_number: *number,
        behind: stat.next.saturating_sub(*number),
    };
    let about = path.join("log").metadata().ok();
    let owner = about.as_ref().map(MetadataExt::uid);
    let mode = about.as_ref().map(|about| about.mode() & 0o777);
    let address = Address::Log(path.to_owned());
    Report {
        used_bytes: stat.bytes,
        messages: Some(stat.next.saturating_sub(stat.oldest)),
        oldest_number: Some(stat.oldest),
        next_number: Some(stat.next),
        segments: Some(stat.segments as u64),
        cursors: stat.cursors.iter().map(cursor).collect(),
        participants: Some(stat.writer.map(writer).into_iter().collect()),
        ..Report::new(&address, "log").owned_by(owner, mode)
    }
}

/// Who holds the lock, and so lives; 0 is one that is not seen from here.
fn writer(pid: u32) -> Participant {
    let pid_here = (pid != 0).then_some(pid);
    let (command, state) = process::look(pid_here);
    Participant {
        role: "producer",
        pid,
        pid_here,
        pid_namespace: None,
        command,
        state,
        alive: true,
        epoch: None,
        attached_ns: None,
        waits_for: None,
        messages: None,
        subscription: None,
    }
}
