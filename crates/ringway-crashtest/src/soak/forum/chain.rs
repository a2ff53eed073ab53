//! What one after the other does in the same role, of whom each goes on where the one before stood: a producer, who writes an
//! entry, a consumer with a name.

/// How far somebody came who had the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::soak) struct Turn {
    /// The number that it began with.
    pub(in crate::soak) begun: u64,
    /// The number that it has come to for sure.
    pub(in crate::soak) sure: u64,
    /// The number that it may have come to, if it died.
    pub(in crate::soak) most: u64,
}

/// All who had a role.
#[derive(Debug, Default)]
pub(super) struct Chain {
    turns: Vec<Turn>,
    /// Somebody died before it had written down where it began, and may have been told what it missed.
    has_gap: bool,
}

impl Chain {
    /// Somebody has ended. `None`: before it had written down where it began.
    pub(super) fn add(&mut self, turn: Option<Turn>) {
        self.has_gap |= turn.is_none();
        self.turns.extend(turn);
    }

    /// Judges all turns; where the last one must have come to, and may have.
    pub(super) fn judge(&self, misses: bool) -> Result<(u64, u64), String> {
        let mut turns = self.turns.clone();
        turns.sort_unstable();
        for pair in turns.windows(2) {
            let [before, turn] = pair else { continue };
            let is_next = (before.sure..=before.most).contains(&turn.begun);
            let may_miss = misses && self.has_gap && turn.begun > before.most;
            if !is_next && !may_miss {
                return Err(format!("{turn:?} follows {before:?}"));
            }
        }
        Ok(turns.last().map_or((0, 0), |turn| (turn.sure, turn.most)))
    }

    /// The number that the first one began with.
    pub(super) fn begun(&self) -> Option<u64> {
        self.turns.iter().map(|turn| turn.begun).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(turns: &[(u64, u64, u64)], has_gap: bool) -> bool {
        let mut chain = Chain::default();
        for &(begun, sure, most) in turns {
            chain.add(Some(Turn { begun, sure, most }));
        }
        if has_gap {
            chain.add(None);
        }
        chain.judge(true).is_ok()
    }

    #[test]
    fn who_follows_goes_on_where_the_last_one_stood() {
        assert!(judged(
            &[(0, 5, 6), (6, 9, 9), (9, 9, 10), (9, 12, 12)],
            false
        ));
        for second in [4, 7] {
            assert!(!judged(&[(0, 5, 6), (second, 9, 9)], false), "{second}");
        }
        assert!(judged(&[(0, 5, 6), (7, 9, 9)], true));
        assert!(!judged(&[(0, 5, 6), (4, 9, 9)], true));
    }
}
