//! What has been done so far: counts by row, shown now and then, and kept in a file to go on from.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Counts of one row, or of all.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) rings: u64,
    pub(super) kills: u64,
    pub(super) execs: u64,
    pub(super) stops: u64,
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) redelivered: u64,
    pub(super) given_back: u64,
    pub(super) given_up: u64,
}

impl Counts {
    fn columns(&self) -> [(&'static str, u64); 9] {
        [
            ("rings", self.rings),
            ("kills", self.kills),
            ("execs", self.execs),
            ("stops", self.stops),
            ("sent", self.sent),
            ("delivered", self.delivered),
            ("redelivered", self.redelivered),
            ("given back", self.given_back),
            ("given up", self.given_up),
        ]
    }

    fn add(&mut self, other: &Self) {
        self.rings += other.rings;
        self.kills += other.kills;
        self.execs += other.execs;
        self.stops += other.stops;
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.given_back += other.given_back;
        self.given_up += other.given_up;
    }
}

/// All that is to be known to go on another time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    /// All choices follow from it.
    pub(super) seed: u64,
    /// The number of the next ring.
    pub(super) next_ring: u64,
    /// The next name to sign with.
    pub(super) next_name: u32,
    /// For how long all runs have lasted together.
    pub(super) lasted: Duration,
    pub(super) rows: BTreeMap<String, Counts>,
    /// What those who were killed were doing.
    pub(super) killed_at: BTreeMap<String, u64>,
    /// What kinds of processes were killed.
    pub(super) killed_births: BTreeMap<String, u64>,
    /// Those that were left unreaped for a while.
    pub(super) zombies: u64,
    /// Those that were killed together with others.
    pub(super) together: u64,
    /// Sends that took so long that others were told to let them pass.
    pub(super) starved: u64,
}

impl Tally {
    pub(super) fn of(&mut self, row: &str) -> &mut Counts {
        self.rows.entry(row.to_owned()).or_default()
    }

    pub(super) fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.rows.values().for_each(|row| total.add(row));
        total
    }

    /// What a run before has left in the file, if there was one.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        let shown = path.display();
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| format!("{shown} is not what a soak has left: {error}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{shown}: {error}")),
        }
    }

    /// Leaves the old state or the new one in the file, whatever happens meanwhile.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        fs::write(&new, bytes).map_err(failed)?;
        fs::rename(&new, path).map_err(failed)
    }

    /// One line.
    pub(super) fn progress(&self, kills_per_second: f64) -> String {
        let total = self.total();
        format!(
            "{:6} s  {:8} kills ({kills_per_second:.0}/s)  {:6} stops  {:9} messages  {:6} redelivered  \
             {:5} rings done",
            self.lasted.as_secs(),
            total.kills,
            total.stops,
            total.sent,
            total.redelivered,
            total.rings,
        )
    }

    /// The table of all rows.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        let _ = write!(text, "{:<26}", "row");
        for (name, _) in self.total().columns() {
            let _ = write!(text, "{name:>12}");
        }
        let total = ("all".to_owned(), self.total());
        for (row, counts) in self.rows.iter().chain([(&total.0, &total.1)]) {
            let _ = write!(text, "\n{row:<26}");
            for (_, count) in counts.columns() {
                let _ = write!(text, "{count:>12}");
            }
        }
        let list = |counts: &BTreeMap<String, u64>| {
            let words: Vec<_> = counts
                .iter()
                .map(|(name, n)| format!("{name} {n}"))
                .collect();
            words.join(", ")
        };
        let Self {
            zombies,
            together,
            starved,
            ..
        } = self;
        let _ = write!(text, "\n\nkilled while: {}", list(&self.killed_at));
        let _ = write!(text, "\nkilled were: {}", list(&self.killed_births));
        let _ = write!(
            text,
            "\nkilled together with others {together}, left as zombies {zombies}, long sends that others \
             had to let pass {starved}"
        );
        text
    }
}
