//! What the algorithms see of the model.

use super::*;

impl Load for Model {
    fn capacity(&self) -> u64 {
        self.words.data.len() as u64 * 8
    }

    fn load32(&self, offset: usize, order: Ordering) -> u32 {
        self.words.word32(offset).load(order)
    }

    fn load64(&self, offset: usize, order: Ordering) -> u64 {
        match self.words.counters.get(&offset) {
            Some(counter) => counter.load(order),
            None => self.words.control64[&offset].load(order),
        }
    }

    fn load_word(&self, position: u64, order: Ordering) -> u64 {
        self.data(position).load(order)
    }

    fn load_slab(&self, index: u32) -> u64 {
        self.words.slabs[index as usize].0.load(Ordering::Acquire)
    }
}

impl Region for Model {
    type Pane = Place;

    unsafe fn pane(&self, place: &Place) -> Place {
        *place
    }

    type Spot<'a> = At<'a, Self>;

    fn spot(&self, position: u64) -> At<'_, Self> {
        At(self, position)
    }

    type Control<'a> = Of<'a, Self>;

    fn control(&self) -> Of<'_, Self> {
        Of(self)
    }

    fn store32(&self, offset: usize, value: u32, order: Ordering) {
        self.live();
        self.words.word32(offset).store(value, order);
    }

    fn store64(&self, offset: usize, value: u64, order: Ordering) {
        // That one is for observers, and no step of a repair.
        if offset % SLOT_LEN != slot_offset(0) % SLOT_LEN + REPAIRED {
            self.live();
        }
        match self.words.counters.get(&offset) {
            Some(counter) => counter.store(value, order),
            None => self.words.control64[&offset].store(value, order),
        }
    }

    fn set32(&self, offset: usize, bits: u32) -> u32 {
        self.live();
        self.words.word32(offset).fetch_or(bits, Ordering::AcqRel)
    }

    fn replace32(&self, offset: usize, current: u32, new: u32) -> Result<(), u32> {
        self.live();
        self.words
            .word32(offset)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed)
            .map(drop)
    }

    fn add32(&self, offset: usize, more: u32) {
        self.live();
        self.words.word32(offset).fetch_add(more, Ordering::AcqRel);
    }

    fn replace64(&self, offset: usize, current: u64, new: u64) -> Result<(), u64> {
        self.live();
        self.words.control64[&offset]
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    fn mask64(&self, offset: usize, bits: u64) -> u64 {
        self.live();
        self.words.control64[&offset].fetch_and(bits, Ordering::Release)
    }

    fn store_word(&self, position: u64, word: u64, order: Ordering) {
        self.live();
        self.data(position).store(word, order);
    }

    fn replace_word(&self, position: u64, current: u64, new: u64) -> Result<(), u64> {
        self.live();
        self.data(position)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    /// Payloads of whole words only. Relaxed: it is the ring's business to order them.
    fn write(&self, position: u64, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty(), "models send whole words");
        for (position, word) in (position..).step_by(8).zip(words) {
            if let Some(race) = self.race(position) {
                race.with_mut(|_| ());
            }
            self.data(position)
                .store(u64::from_le_bytes(*word), Ordering::Relaxed);
        }
    }

    fn read(&self, position: u64, bytes: &mut [u8]) {
        let (words, _) = bytes.as_chunks_mut::<8>();
        for (position, word) in (position..).step_by(8).zip(words) {
            if let Some(race) = self.race(position) {
                race.with(|_| ());
            }
            *word = self.data(position).load(Ordering::Relaxed).to_le_bytes();
        }
    }

    /// Who reads so expects to be overtaken.
    fn read_racy(&self, position: u64, bytes: &mut [u8]) {
        let (words, _) = bytes.as_chunks_mut::<8>();
        for (position, word) in (position..).step_by(8).zip(words) {
            *word = self.data(position).load(Ordering::Relaxed).to_le_bytes();
        }
    }

    fn pointer(&self, _: u64) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn replace_slab(&self, index: u32, current: u64, new: u64) -> Result<(), u64> {
        self.live();
        self.words.slabs[index as usize]
            .0
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    /// The first word only.
    fn write_slab(&self, at: u64, bytes: &[u8]) {
        let (_, word, race) = &self.words.slabs[(at / MIN_SLAB_LEN) as usize];
        race.with_mut(|_| ());
        if let Some(first) = bytes.first_chunk() {
            word.store(u64::from_le_bytes(*first), Ordering::Relaxed);
        }
    }

    /// The first word only.
    fn read_slab(&self, at: u64, bytes: &mut [u8]) {
        let (_, word, race) = &self.words.slabs[(at / MIN_SLAB_LEN) as usize];
        race.with(|_| ());
        if let Some(first) = bytes.first_chunk_mut() {
            *first = word.load(Ordering::Relaxed).to_le_bytes();
        }
    }

    fn slab_pointer(&self, _: u64) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn prefetch(&self, _: u64, _: &mut u64) {}

    fn prefetch_to_write(&self, _: u64) {}

    fn claim_fence(&self) {
        fence(Ordering::Release);
    }

    fn copied_fence(&self) {
        fence(Ordering::Acquire);
    }

    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }

    fn publish_fence(&self) {
        if self.fences() {
            fence(Ordering::SeqCst);
        }
    }

    fn sleep_fence(&self) {
        fence(Ordering::SeqCst);
        if self.is_asymmetric() {
            drop(self.without_a_fence());
        }
    }

    fn is_asymmetric(&self) -> bool {
        self.words.unfenced.is_some()
    }

    fn fences(&self) -> bool {
        !self.is_asymmetric() || self.fences
    }

    fn set_fences(&mut self, fences: bool) {
        self.fences = fences;
    }

    /// What lies beside is no business of loom's.
    fn wait_on(
        rings: &[(&Self, &[(usize, u32)])],
        _: &[(&std::sync::atomic::AtomicU32, u32)],
        _: Option<MonotonicTime>,
    ) -> Wake {
        let words = rings.iter().flat_map(|(model, words)| {
            words
                .iter()
                .map(|&(offset, value)| (model.id(), offset, model.words.word32(offset), value))
        });
        sleep(&rings[0].0.kernel, words);
        Wake::Check
    }

    fn wake(&self, offset: usize) {
        self.live();
        self.wake_all(offset);
    }

    fn change_and_wake(&self, offset: usize, change: Change) -> bool {
        if self.words.is_old {
            return false;
        }
        self.live();
        self.change_and_wake_all(offset, change);
        true
    }

    fn settle(&self) -> bool {
        fence(Ordering::SeqCst);
        true
    }

    /// One that is marked dead has unwound.
    fn settles(&self) -> bool {
        true
    }

    fn is_forked(&self) -> bool {
        false
    }
    /// One process.
    fn process(&self) -> u64 {
        1
    }
}
