//! A service as an observer sees it.

use ringway_core::inspect::{EntryStat, Stat};

use crate::place::MARK;

/// Who takes part in a service. It is read off the [`Stat`] of its board, without taking part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceStat {
    /// Places of servers that live processes have. Several workers of a process have one together.
    pub servers: u64,
    /// Desks that live clients have.
    pub clients: u64,
    /// How many clients there can be at once.
    pub desks: u64,
}

impl ServiceStat {
    /// Reads it off what [`inspect::stat`](ringway_core::inspect::stat) says of a board; `None` if that is no service.
    ///
    /// ```no_run
    /// # use ringway_core as ringway;
    /// # use ringway_service as service;
    /// let stat = ringway::inspect::stat(&"shm:upper".parse()?)?;
    /// let servers = service::ServiceStat::of(&stat).map_or(0, |stat| stat.servers);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn of(stat: &Stat) -> Option<Self> {
        if stat.entries.first()?.key != MARK {
            return None;
        }
        let count = |kind: &str, is_counted: fn(&EntryStat) -> bool| {
            let entries = stat.entries.iter();
            let of_kind = entries.filter(|entry| {
                let number = entry.key.strip_prefix(kind);
                number.is_some_and(|number| number.starts_with(' '))
            });
            of_kind.filter(|entry| is_counted(entry)).count() as u64
        };
        Some(Self {
            servers: count("server", |entry| entry.writer_alive),
            clients: count("call", |entry| entry.writer_alive),
            desks: count("call", |_| true),
        })
    }
}
