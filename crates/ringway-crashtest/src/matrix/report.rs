//! What was tried, and what went wrong.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::trace::Step;

/// The size of a part of the matrix, and its failures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) cases: u64,
    /// Instructions that victims were stepped through without being killed.
    pub(super) instructions: u64,
    /// States of the segment that they went through.
    pub(super) states: u64,
    /// Victims that were killed, each at another instruction of a case.
    pub(super) kills: u64,
    /// Victims that were frozen.
    pub(super) freezes: u64,
    /// Victims that were killed when they found what another one had left.
    pub(super) recoverers: u64,
    /// Where the program stores to a segment.
    pub(super) stores: BTreeSet<u64>,
    /// Those of them right after which a victim was killed.
    pub(super) killed: BTreeSet<u64>,
    pub(super) failures: u64,
}

impl Report {
    pub(super) fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.instructions += other.instructions;
        self.states += other.states;
        self.kills += other.kills;
        self.freezes += other.freezes;
        self.recoverers += other.recoverers;
        self.stores.extend(other.stores);
        self.killed.extend(other.killed);
        self.failures += other.failures;
    }

    /// Notes a failure, and says so at once.
    pub(super) fn fail(&mut self, what: &str) {
        eprintln!("{what}");
        self.failures += 1;
    }

    /// Notes a script at whose end its victim was killed.
    pub(super) fn note_kill(&mut self, script: &[Step]) {
        self.note_stores(script);
        if let Some(Step::Store(place)) = script.last() {
            self.killed.insert(*place);
        }
    }

    /// Notes where a script stored.
    pub(super) fn note_stores(&mut self, script: &[Step]) {
        let place = |step: &Step| match step {
            Step::Store(place) => Some(*place),
            _ => None,
        };
        self.stores.extend(script.iter().filter_map(place));
    }

    /// The places of the program that store to a segment, right after which nobody was killed.
    pub(super) fn missed(&self) -> Vec<u64> {
        self.stores.difference(&self.killed).copied().collect()
    }
}
