//! What there is on this machine, as an observer sees it who takes no part and writes nothing: rings, boards, services, queues and
//! logs in one shape, the [`Report`], of which `schema/stat.schema.json` is the description for others.

mod log;
mod pace;
mod process;
mod queue;
mod report;
mod ring;

use std::path::{Path, PathBuf};

use ringway::{Address, Channel, Error, ErrorKind, inspect, mq, os};

use crate::failure::Failure;

pub(crate) use self::pace::Pace;
#[cfg(test)]
pub(crate) use self::report::Subscription;
pub(crate) use self::report::{Entry, Participant, Process, Report, Service, Slabs, State};

/// Looks at the one thing at an address.
pub(crate) fn one(address: &Address) -> Result<Report, Failure> {
    if let Address::Log(path) = address {
        return log::report(path);
    }
    let address = Channel::find(address)?;
    Ok(match address {
        Address::Mq(_) | Address::Sysvmq(_) => queue::report(&mq::stat(&address)?),
        _ => ring::report(&inspect::stat(&address)?),
    })
}

/// What was found, and what of it that was asked for cannot be.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) reports: Vec<Report>,
    pub(crate) failures: Vec<Failure>,
}

/// Looks at all that has a name that can be listed, and at what `files` are or have in them.
pub(crate) fn all(files: &[PathBuf]) -> Found {
    let mut found = Found::default();
    found.look_at(&inspect::list(), ring_at);
    for file in files {
        if let Err(failure) = found.look_in(file) {
            found.failures.push(failure);
        }
    }
    found.look_at(&mq::list(), |address| {
        mq::stat(address).map(|stat| queue::report(&stat))
    });
    // What cannot be used comes last.
    found.reports.sort_by_key(|report| report.problem.is_some());
    found
}

fn ring_at(address: &Address) -> Result<Report, Error> {
    inspect::stat(address).map(|stat| ring::report(&stat))
}

impl Found {
    fn look_at(&mut self, addresses: &[Address], look: impl Fn(&Address) -> Result<Report, Error>) {
        for address in addresses {
            match look(address) {
                Ok(report) => self.reports.push(report),
                // Removed since it was listed, or not finished yet.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::HalfMade) => {
                }
                // Whoever has left that, it is nobody's who only lists: no failure.
                Err(error) => self.reports.push(Report::of_unusable(address, &error)),
            }
        }
    }

    /// The ring or log that the path is, which is to be one, or those that are in the directory.
    fn look_in(&mut self, path: &Path) -> Result<(), Failure> {
        let unreadable = |error: std::io::Error| {
            let message = format!("cannot list {}: {error}", os::Name::of(path));
            match error.kind() {
                std::io::ErrorKind::NotFound => Failure::negative(message),
                _ => Failure::error(message),
            }
        };
        // An address is taken as well: it is what the other commands want.
        let is_address = |text: &&str| text.starts_with("file:") || text.starts_with("log:");
        let parsed = match path.to_str().filter(is_address) {
            Some(text) => Some(text.parse::<Address>()?),
            None => None,
        };
        let path = match &parsed {
            Some(Address::File(path) | Address::Log(path)) => path,
            _ => path,
        };
        if !path.metadata().map_err(unreadable)?.is_dir() {
            self.reports.push(ring_at(&Address::File(path.to_owned()))?);
            return Ok(());
        }
        if log::is_one(path) || matches!(parsed, Some(Address::Log(_))) {
            self.reports.push(log::report(path)?);
            return Ok(());
        }
        let rings = inspect::list_in(path).map_err(unreadable)?;
        self.look_at(&rings, ring_at);
        let entries = std::fs::read_dir(path).map_err(unreadable)?;
        let mut logs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        logs.retain(|path| log::is_one(path));
        logs.sort();
        let logs: Vec<_> = logs.into_iter().map(Address::Log).collect();
        self.look_at(&logs, |address| match address {
            Address::Log(path) => log::look(path),
            _ => ring_at(address),
        });
        Ok(())
    }
}
