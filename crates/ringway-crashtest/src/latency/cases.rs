//! Who dies, how, and who waits.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use ringway::peer::Role;
use ringway::{SyncKind, WaitStrategy};
use ringway_testing::table::Row;
use serde::{Deserialize, Serialize};

/// What a victim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Victim {
    /// A producer that has sent all it had
    Idle,
    /// A producer with a claim
    Claim,
    /// A consumer with a message in place, the ring being full
    Hold,
    /// A producer with the ring's lock: stopped when it has it, then killed
    Lock,
    /// Nobody's peer, for comparison: the survivor sees a Unix socket end
    Socket,
}

/// How a victim dies, and what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fate {
    /// Its parent is waiting to reap it
    Reaped,
    /// It stays a zombie
    Zombie,
    /// In a pid namespace of its own
    Namespace,
    /// With other threads that keep all processors busy
    Busy,
}

/// How a survivor waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Waiting {
    /// It is asleep when the victim is killed
    Park,
    /// It spins or is asleep: the victim is killed at a random moment after it began to wait
    Adaptive,
}

impl Waiting {
    pub(crate) fn wait(self) -> WaitStrategy {
        match self {
            Self::Park => WaitStrategy::Park,
            Self::Adaptive => WaitStrategy::Adaptive(SPIN),
        }
    }
}

/// How long survivors spin.
pub(crate) const SPIN: Duration = Duration::from_micros(50);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) row: Row,
    pub(crate) victim: Victim,
    pub(crate) fate: Fate,
    pub(crate) waiting: Waiting,
}

impl Case {
    /// All cases of the rows that have one of `rows`' parts in their name; of the others, those listed,
    /// or all if none is.
    pub(crate) fn chosen(
        rows: &str,
        victims: &[Victim],
        fates: &[Fate],
        waitings: &[Waiting],
    ) -> Vec<Self> {
        let mut table = Row::on_shm();
        table.retain(|row| {
            rows == "all" || rows.split(',').any(|part| row.to_string().contains(part))
        });
        let mut cases = Vec::new();
        for row in table {
            for &victim in those(victims) {
                for &fate in those(fates) {
                    for &waiting in those(waitings) {
                        cases.push(Self {
                            row,
                            victim,
                            fate,
                            waiting,
                        });
                    }
                }
            }
        }
        cases.retain(|case| case.exists());
        cases
    }

    fn exists(&self) -> bool {
        match self.victim {
            // That its holder was stopped is seen by another producer.
            Victim::Lock => {
                let has_lock = matches!(
                    self.row.sync,
                    SyncKind::Pthread | SyncKind::PosixSem | SyncKind::SysvSem
                );
                has_lock && self.row.has_many(Role::Producer)
            }
            // Once.
            Victim::Socket => !self.row.has_cells() && self.waiting == Waiting::Park,
            _ => true,
        }
    }

    /// Whether others in the victim's role are attached, who keep the ring going. Otherwise the survivor
    /// is told of the death, and needs a successor.
    pub(crate) fn has_others(&self) -> bool {
        match self.victim {
            Victim::Idle => false,
            Victim::Socket => true,
            Victim::Claim | Victim::Lock => self.row.has_many(Role::Producer),
            Victim::Hold => self.row.has_many(Role::Consumer),
        }
    }

    /// What the times go up to.
    pub(crate) fn events(&self) -> &'static [&'static str] {
        match (self.victim, self.has_others()) {
            (Victim::Idle, _) | (Victim::Claim, false) => {
                &["consumer: PeerDied", "consumer: successor's message"]
            }
            (Victim::Claim, true) => &["consumer: message behind the claim"],
            (Victim::Hold, false) => &["producer: PeerDied", "producer: successor makes room"],
            (Victim::Hold, true) => &["consumer: the message again", "producer: room"],
            (Victim::Lock, _) => &["producer: the lock, and sent"],
            (Victim::Socket, _) => &["reader: end of file"],
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            victim,
            fate,
            waiting,
            ..
        } = self;
        write!(
            f,
            "{} {} {} {}",
            self.ring(),
            name(victim),
            name(fate),
            name(waiting)
        )
    }
}

impl Case {
    /// Kind and synchronisation of the ring, if there is one.
    pub(crate) fn ring(&self) -> String {
        match self.victim {
            Victim::Socket => "none".to_owned(),
            _ => format!("{}/{}", self.row.kind.name(), self.row.sync.name()),
        }
    }
}

/// A choice as it is typed.
pub(crate) fn name(choice: &impl ValueEnum) -> String {
    choice
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

fn those<T: ValueEnum>(chosen: &[T]) -> &[T] {
    match chosen {
        [] => T::value_variants(),
        some => some,
    }
}
