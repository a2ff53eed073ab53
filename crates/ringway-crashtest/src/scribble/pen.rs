//! What is written, and where.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringway_testing::messages::Random;

/// Where the header ends, and the control lines, as LAYOUT.md has it.
const HEADER_LEN: u64 = 256;
const PARTICIPANTS: u64 = 1024;
const SLOT_LEN: u64 = 128;

/// The addresses of this process's shared mappings.
pub(super) fn shared_mappings() -> Result<Vec<Range<u64>>, String> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| error.to_string())?;
    let parse = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        words
            .next()
            .filter(|rights| rights.starts_with("rw") && rights.ends_with('s'))?;
        Some(number(start)?..number(end)?)
    };
    Ok(maps.lines().filter_map(parse).collect())
}

/// Where not to write.
#[derive(Clone, Debug)]
pub(super) struct Spared {
    pub(super) header: Option<Range<u64>>,
    pub(super) lock: Option<Range<u64>>,
    /// In each slot.
    pub(super) in_slots: Option<Range<u64>>,
    /// How many slots there are.
    pub(super) slots: u64,
}

impl Spared {
    fn slots_end(&self) -> u64 {
        PARTICIPANTS + SLOT_LEN * self.slots
    }

    /// Where the sights end, a word of eight bytes for each two slots.
    fn table_end(&self) -> u64 {
        self.slots_end() + 8 * self.slots * self.slots
    }

    fn contains(&self, at: u64) -> bool {
        let is_in =
            |range: &Option<Range<u64>>, at| range.as_ref().is_some_and(|r| r.contains(&at));
        let in_slot = (PARTICIPANTS..self.slots_end()).contains(&at)
            && is_in(&self.in_slots, (at - PARTICIPANTS) % SLOT_LEN);
        is_in(&self.header, at) || is_in(&self.lock, at) || in_slot
    }
}

/// Writes into a segment that this process has mapped.
pub(super) struct Pen {
    base: *mut u8,
    len: u64,
    spared: Spared,
    /// The segment when it was new.
    fresh: Vec<u64>,
    /// The segment at some later time.
    later: Vec<u64>,
    random: Random,
}

impl Pen {
    /// At the mapping that was not among `before`: the first one, as a ring's own segment is mapped when it is made,
    /// and its slabs' when they are used.
    pub(super) fn at_new_mapping(
        before: &[Range<u64>],
        spared: Spared,
        seed: u64,
    ) -> Result<Self, String> {
        let now = shared_mappings()?;
        let new = now.into_iter().filter(|range| !before.contains(range));
        let range = new.max_by_key(|range| range.end - range.start);
        let range = range.ok_or("the ring is not mapped")?;
        let mut pen = Self {
            base: range.start as *mut u8,
            len: range.end - range.start,
            spared,
            fresh: Vec::new(),
            later: Vec::new(),
            random: Random(seed),
        };
        pen.fresh = pen.copy();
        pen.later = pen.fresh.clone();
        Ok(pen)
    }

    fn word(&self, at: u64) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= self.len);
        // SAFETY: aligned and in bounds of a mapping that stays while the round's ring lives, longer than this. All who
        // use the segment access it by atomics or racy copies.
        unsafe { AtomicU64::from_ptr(self.base.add(at as usize).cast()) }
    }

    fn half(&self, at: u64) -> &AtomicU32 {
        debug_assert!(at.is_multiple_of(4) && at + 4 <= self.len);
        // SAFETY: as in `word`.
        unsafe { AtomicU32::from_ptr(self.base.add(at as usize).cast()) }
    }

    fn copy(&self) -> Vec<u64> {
        let words = (0..self.len).step_by(8);
        words
            .map(|at| self.word(at).load(Ordering::Relaxed))
            .collect()
    }

    /// Makes the segment what it was when it was new.
    pub(super) fn restore(&mut self) {
        self.replay(0..self.len, true);
    }

    fn replay(&self, range: Range<u64>, all: bool) {
        for at in range.step_by(8) {
            if all || !self.spared.contains(at) {
                let word = self.fresh[at as usize / 8];
                self.word(at).store(word, Ordering::Relaxed);
            }
        }
    }

    /// Writes until then, and returns how many words that were.
    pub(super) fn write_until(&mut self, until: Instant) -> u64 {
        // Much at once, a little all the time, or a word now and then, so that somebody goes on with it.
        let pause = [0, 20, 500, 5_000, 40_000][self.random.below(5) as usize];
        let mut written = 0;
        while Instant::now() < until {
            match self.random.below(200) {
                // What was here when the ring was new: everybody's memory of it is wrong now.
                0 => self.replay(HEADER_LEN..self.len, false),
                1 => self.replay(HEADER_LEN..PARTICIPANTS, false),
                2 => self.replay(self.spared.table_end()..self.len, false),
                3 => self.later = self.copy(),
                _ => self.write_word(),
            }
            written += 1;
            if pause > 0 {
                std::thread::sleep(Duration::from_micros(self.random.below(2 * pause)));
            }
        }
        written
    }

    fn place(&mut self) -> u64 {
        let end = self.spared.table_end();
        let range = match self.random.below(100) {
            0..2 => 0..HEADER_LEN,
            2..35 => HEADER_LEN..PARTICIPANTS,
            35..55 => PARTICIPANTS..end,
            // The first words of cells and records, and what lies in the first pages.
            55..70 => return end.next_multiple_of(4096) + 128 * self.random.below(32),
            // The words of slabs, and the slabs, lie at the end.
            70..85 => self.len.saturating_sub(3 * 4096)..self.len,
            _ => end..self.len,
        };
        range.start + self.random.below((range.end - range.start) / 8) * 8
    }

    fn write_word(&mut self) {
        let at = self.place();
        if at + 8 > self.len || self.spared.contains(at) || self.spared.contains(at + 4) {
            return;
        }
        let now = self.word(at).load(Ordering::Relaxed);
        let word = match self.random.below(12) {
            0..3 => now ^ 1 << self.random.below(64),
            3 => now.wrapping_add(self.random.below(17)).wrapping_sub(8),
            4 => 0,
            5 => u64::MAX,
            6 => u64::from(self.random.below(1 << 32) as u32) << 32 | self.random.below(1 << 32),
            // The same field of an earlier time.
            7 => self.later[at as usize / 8],
            8 => self.fresh[at as usize / 8],
            // A word of a neighbour, or of anywhere: a plausible one in the wrong place.
            9 => self.word(at ^ 128).load(Ordering::Relaxed),
            10 => {
                let other = self.place();
                match other + 8 <= self.len {
                    true => self.word(other).load(Ordering::Relaxed),
                    false => now,
                }
            }
            // Half of a word.
            _ => {
                let half = self.random.below(1 << 32) as u32 >> self.random.below(32);
                let at = at + 4 * self.random.below(2);
                return self.half(at).store(half, Ordering::Relaxed);
            }
        };
        self.word(at).store(word, Ordering::Relaxed);
    }
}
