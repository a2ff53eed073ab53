//! Random orders that can be had again.

/// Xorshift, seeded.
#[derive(Clone, Debug)]
pub struct Shuffle(u64);

impl Shuffle {
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed | 1 << 63)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn coin(&mut self) -> bool {
        self.next() >> 32 & 1 == 1
    }

    /// Fisher and Yates.
    pub fn order(&mut self, places: &mut [usize]) {
        for last in (1..places.len()).rev() {
            let chosen = (self.next() >> 11) as usize % (last + 1);
            places.swap(last, chosen);
        }
    }
}
