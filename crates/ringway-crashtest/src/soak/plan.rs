//! What is done to which ring: all of it follows from the seed and the ring's number.

use std::fmt;
use std::time::Duration;

use ringway::peer::Role;
use ringway_testing::messages::Random;
use ringway_testing::place::Backing;
use ringway_testing::table::Row;

/// What processes can share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// A ring of which each message is for one.
    Ring(Row),
    /// A ring of which each message is for all.
    Broadcast(Backing),
    Board(Backing),
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(row) => row.fmt(f),
            Self::Broadcast(backing) => write!(f, "broadcast/futex/{backing:?}"),
            Self::Board(backing) => write!(f, "board/futex/{backing:?}"),
        }
    }
}

/// All that can be found by an address, as workers find theirs.
pub(super) fn sorts(chosen: Option<&str>) -> Vec<Sort> {
    let mut rows = Row::supported();
    rows.retain(|row| Backing::FOUND.contains(&row.backing));
    let mut sorts: Vec<Sort> = rows.into_iter().map(Sort::Ring).collect();
    for backing in Backing::FOUND {
        sorts.extend([Sort::Broadcast(backing), Sort::Board(backing)]);
    }
    if let Some(chosen) = chosen {
        sorts.retain(|sort| {
            chosen
                .split(',')
                .any(|part| sort.to_string().contains(part))
        });
    }
    sorts
}

/// Each sort gets its turn, in another order each time.
pub(super) fn turn(seed: u64, number: u64, sorts: &[Sort]) -> Sort {
    let len = sorts.len() as u64;
    let mut deck = sorts.to_vec();
    let mut shuffle = Random(scatter(seed, number / len));
    for index in (1..deck.len()).rev() {
        deck.swap(index, shuffle.below(index as u64 + 1) as usize);
    }
    deck[(number % len) as usize]
}

/// The choices for ring `number`.
pub(super) fn choices(seed: u64, number: u64) -> Random {
    Random(scatter(!seed, number))
}

/// The life of one ring.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) row: Row,
    pub(super) capacity: u64,
    pub(super) cell_len: u32,
    pub(super) producers: usize,
    pub(super) consumers: usize,
    /// How many of its users are to be killed.
    pub(super) kills: u64,
    /// Whether the last consumers are killed, too, or stay until they are told that all is received.
    pub(super) ends_by_kill: bool,
    /// For all further choices.
    pub(super) seed: u64,
}

/// Places in each role that a ring has many of.
pub(super) const PLACES: u32 = 8;

impl Plan {
    pub(super) fn new(seed: u64, number: u64, row: Row) -> Self {
        let mut random = choices(seed, number);
        Self {
            number,
            row,
            capacity: 4096 << random.below(3),
            cell_len: 64 << random.below(2),
            producers: row.up_to(2 + random.below(3) as usize, Role::Producer),
            consumers: row.up_to(2 + random.below(2) as usize, Role::Consumer),
            kills: 50 + random.below(450),
            ends_by_kill: random.below(2) == 0,
            seed: random.below(u64::MAX),
        }
    }

    /// Messages of no bytes that the ring can hold.
    pub(super) fn most_messages(&self) -> u64 {
        if self.row.has_cells() {
            self.capacity / u64::from(self.cell_len)
        } else {
            // Each has a word, and there is one behind the last.
            self.capacity / 8 - 1
        }
    }
}

/// A number whose successors are not those of its neighbours.
fn scatter(seed: u64, number: u64) -> u64 {
    Random(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).below(u64::MAX)
}

/// A time below `most`, as often near nothing as far from it.
pub(super) fn some_time(random: &mut Random, most: Duration) -> Duration {
    let most = most.as_nanos() as u64 >> random.below(10);
    Duration::from_nanos(random.below(most.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_gets_its_turn_and_the_same_seed_makes_the_same_plans() {
        let sorts = sorts(None);
        let plans = |seed| -> Vec<String> {
            let numbers = 0..sorts.len() as u64;
            let plan = |number| match turn(seed, number, &sorts) {
                Sort::Ring(row) => format!("{:?}", Plan::new(seed, number, row)),
                sort => format!("{sort} {}", choices(seed, number).0),
            };
            numbers.map(plan).collect()
        };
        assert_eq!(plans(7), plans(7));
        assert_ne!(plans(7), plans(8));
        let mut turns: Vec<String> = (0..sorts.len() as u64)
            .map(|number| turn(7, number, &sorts).to_string())
            .collect();
        turns.sort();
        turns.dedup();
        assert_eq!(turns.len(), sorts.len());
    }
}
