//! Real memory: a mapped segment, or the heap for tests and fuzzing.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence, fence};
use std::sync::{Arc, OnceLock};

use bytemuck::{AnyBitPattern, NoUninit};

use super::pane::Place;
use super::{Change, Control, Load, Region, RingName, SlabMemory, Spot, Unreachable, copy};
use crate::memory::layout::Geometry;
use crate::memory::layout::header::FenceMode;
use crate::memory::layout::pool::NO_WORD;
use crate::memory::map::Map;
use crate::sys::errno;
use crate::sys::fork::Origin;
use crate::sys::futex::{self, MonotonicTime, Wake};
use crate::sys::{membarrier, mmap};

/// A region in memory that stays mapped as long as this lives.
///
/// The invariant that every access below stands on, made by the constructors: `geometry.total_len()`
/// bytes from `base` are mapped and 4096-aligned, and control words and slots lie before
/// `data_offset`, which is at least a page.
#[derive(Debug)]
pub(crate) struct Memory {
    base: NonNull<u8>,
    data: NonNull<u8>,
    /// Capacity - 1.
    mask: u64,
    /// Capacity - 8: the bits of a position that say which word it is.
    word_mask: u64,
    asymmetric: bool,
    /// All bits, if this handle makes a fence between publishing and looking for sleepers, else none.
    unsure: u32,
    /// Whether the last fence before a sleep was none: a sandbox has begun to deny `membarrier`.
    unfenced: AtomicBool,
    settles: bool,
    /// The process that this is for.
    origin: Origin,
    /// Where the slabs are, if there are some.
    pool: Option<Box<Pool>>,
    /// What says that a call which waits is to end, once somebody can say so.
    interrupted: OnceLock<Arc<AtomicBool>>,
    /// The ring's name, if it can have one.
    name: Option<Arc<dyn RingName>>,
    /// The mapping or the heap memory, held so that it stays.
    _owner: Arc<dyn std::fmt::Debug + Send + Sync>,
}

/// The pool in such memory: words, 4096-aligned, and behind them slabs, all of them within `total_len()` unless
/// they are segments of their own.
#[derive(Debug)]
struct Pool {
    words: NonNull<u8>,
    /// How many.
    count: u32,
    slabs: Slabs,
    /// Bytes of all slabs.
    len: u64,
}

/// Where the slabs are.
#[derive(Debug)]
enum Slabs {
    /// One behind the other, from there.
    Here(NonNull<u8>),
    /// Each in a segment of its own. `None`: nowhere, but in a header.
    Apart(Option<Arc<dyn SlabMemory>>),
}

// SAFETY: the pointers are to memory that the owner keeps, and all access to it is by atomics or the
// copies that allow for races.
unsafe impl Send for Memory {}
// SAFETY: as for Send.
unsafe impl Sync for Memory {}

impl Memory {
    /// The region of a mapped segment, and of those of its slabs if they have some; `None` if the segment is
    /// shorter than `geometry`.
    pub(crate) fn mapped(
        map: Arc<Map>,
        geometry: &Geometry,
        fence: FenceMode,
        slab_segments: Option<Arc<dyn SlabMemory>>,
    ) -> Option<Self> {
        if (map.len() as u64) < geometry.total_len() {
            return None;
        }
        let (base, origin) = (map.base(), map.origin());
        Some(Self::over(
            base,
            geometry,
            fence,
            origin,
            slab_segments,
            map,
        ))
    }

    /// The same, of a ring whose name can be asked for.
    pub(crate) fn with_name(self, name: Option<Arc<dyn RingName>>) -> Self {
        Self { name, ..self }
    }

    /// What ends a call that waits, from here on.
    pub(crate) fn heed(&self, interrupted: Arc<AtomicBool>) {
        // There is one for each handle, and it is given once.
        let _ = self.interrupted.set(interrupted);
    }

    /// Whether publishers may have missed that this one sleeps, as the fence of its sleep is denied.
    pub(crate) fn is_unfenced(&self) -> bool {
        self.unfenced.load(Ordering::Relaxed)
    }

    /// What ends a call that waits, if anything does.
    pub(crate) fn heeded(&self) -> Option<Arc<AtomicBool>> {
        self.interrupted.get().cloned()
    }

    fn over(
        base: NonNull<u8>,
        geometry: &Geometry,
        fence: FenceMode,
        origin: Origin,
        slab_segments: Option<Arc<dyn SlabMemory>>,
        owner: Arc<dyn std::fmt::Debug + Send + Sync>,
    ) -> Self {
        // SAFETY: the caller has total_len bytes at `base`, and data_offset is less.
        let data = unsafe { base.add(geometry.data_offset() as usize) };
        let pool = (!geometry.slabs().is_empty()).then(|| {
            let (words, slabs) = geometry.slab_offsets();
            // SAFETY: both offsets are less than total_len as well.
            let [words, slabs] = [words, slabs].map(|at| unsafe { base.add(at as usize) });
            Box::new(Pool {
                words,
                count: geometry.slabs().count(),
                slabs: match geometry.has_slab_segments() {
                    true => Slabs::Apart(slab_segments),
                    false => Slabs::Here(slabs),
                },
                len: geometry.slabs().bytes(),
            })
        });
        Self {
            base,
            data,
            mask: geometry.capacity() - 1,
            word_mask: geometry.capacity() - 8,
            asymmetric: fence == FenceMode::Asymmetric,
            unsure: match fence {
                FenceMode::Asymmetric => 0,
                _ => u32::MAX,
            },
            unfenced: AtomicBool::new(false),
            settles: fence.needs_membarrier(),
            origin,
            pool,
            interrupted: OnceLock::new(),
            name: None,
            _owner: owner,
        }
    }

    #[inline]
    fn word32(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4) && offset < self.control_len());
        // SAFETY: offsets are constants of the layout: aligned, and before `data_offset` (see the
        // type). All processes access these words atomically.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast().as_ptr()) }
    }

    #[inline]
    fn word64(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && offset < self.control_len());
        // SAFETY: as for `word32`.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast().as_ptr()) }
    }

    #[inline]
    fn data_word(&self, position: u64) -> &AtomicU64 {
        self.spot(position).word()
    }

    /// Whether `len` bytes from `position` lie before the end of the region. Payloads always do; this
    /// keeps the copies sound without having to trust that.
    #[inline]
    fn holds(&self, position: u64, len: usize) -> bool {
        let holds = len as u64 <= self.capacity() - (position & self.mask);
        debug_assert!(holds, "a payload wraps");
        holds
    }

    fn control_len(&self) -> usize {
        self.data.addr().get() - self.base.addr().get()
    }

    fn slab_word(&self, index: u32) -> Option<&AtomicU64> {
        let pool = self.pool.as_ref().filter(|pool| index < pool.count)?;
        // SAFETY: so many words lie there, aligned, and all processes access them atomically.
        Some(unsafe { AtomicU64::from_ptr(pool.words.add(8 * index as usize).cast().as_ptr()) })
    }

    /// As [`read`](Region::read), of a part of the `rest` bytes that are still to be read from `position` on.
    #[inline]
    pub(crate) fn read_ahead(&self, position: u64, bytes: &mut [u8], rest: usize) {
        if self.holds(position, bytes.len()) {
            let (target, source) = (bytes.as_mut_ptr(), self.pointer(position));
            // SAFETY: so many bytes from here lie in the data region, just checked, and in `bytes`.
            unsafe { copy::from_shared_ahead(target, source, bytes.len(), rest) };
        }
    }

    /// As [`read_slab`](Region::read_slab), of a part of the `rest` bytes that are still to be read from `at` on.
    #[inline]
    pub(crate) fn read_slab_ahead(&self, at: u64, bytes: &mut [u8], rest: usize) {
        if let Some(source) = self.slab_bytes(at, bytes.len()) {
            // SAFETY: so many bytes from here lie in the slabs, just checked, and in `bytes`.
            unsafe { copy::from_shared_ahead(bytes.as_mut_ptr(), source, bytes.len(), rest) };
        }
    }

    /// Where so many bytes of slabs are; `None` if they are not all there.
    fn slab_bytes(&self, at: u64, len: usize) -> Option<*mut u8> {
        let pool = self.pool.as_ref()?;
        let fits = at.checked_add(len as u64)? <= pool.len;
        debug_assert!(fits, "{len} bytes at {at} of the slabs");
        match &pool.slabs {
            // SAFETY: in the slabs or right behind them, just checked.
            Slabs::Here(slabs) => fits.then(|| unsafe { slabs.add(at as usize) }.as_ptr()),
            // What it returns is mapped as long as it lives, as every implementation promises.
            Slabs::Apart(segments) => segments.as_ref()?.bytes(at, len),
        }
    }
}

/// A record word in such memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a> {
    /// Eight bytes of the data region, aligned.
    at: NonNull<u8>,
    _memory: PhantomData<&'a Memory>,
}

impl<'a> Word<'a> {
    #[inline(always)]
    fn word(self) -> &'a AtomicU64 {
        // SAFETY: mapped as long as the memory is borrowed (see the types). Record words are accessed atomically; where
        // payload of another lap lies, only copies that allow for races touch it.
        unsafe { AtomicU64::from_ptr(self.at.cast().as_ptr()) }
    }
}

impl Spot for Word<'_> {
    #[inline(always)]
    fn load(self, order: Ordering) -> u64 {
        self.word().load(order)
    }

    #[inline(always)]
    fn store(self, word: u64, order: Ordering) {
        self.word().store(word, order);
    }

    #[inline(always)]
    fn replace(self, current: u64, new: u64) -> bool {
        self.word()
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    #[inline(always)]
    unsafe fn behind(self, bytes: u64) -> Self {
        Self {
            // SAFETY: a word of the data region lies there, as the caller says.
            at: unsafe { self.at.add(bytes as usize) },
            ..self
        }
    }

    #[inline(always)]
    unsafe fn write(self, bytes: &[u8]) {
        // SAFETY: so many bytes behind the word lie in the data region, as the caller says, and in `bytes`.
        unsafe { copy::to_shared::<8>(self.at.as_ptr(), bytes.as_ptr(), bytes.len()) };
    }

    #[inline(always)]
    unsafe fn read(self, bytes: &mut [u8]) {
        // SAFETY: as for `write`.
        unsafe { copy::from_shared::<8>(bytes.as_mut_ptr(), self.at.as_ptr(), bytes.len()) };
    }

    #[inline(always)]
    unsafe fn read_value<T: NoUninit + AnyBitPattern>(self, value: &mut MaybeUninit<T>) {
        // Not zeroed first: no compiler sees that the copy makes that superfluous.
        let target = value.as_mut_ptr().cast();
        // SAFETY: as for `write`; the copy writes all bytes of the value, and a `T` may consist of any.
        unsafe { copy::from_shared::<8>(target, self.at.as_ptr(), size_of::<T>()) };
    }
}

/// The control words of such memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlWords<'a> {
    /// The memory's, here so that it is not fetched again behind each store.
    base: NonNull<u8>,
    memory: &'a Memory,
}

impl ControlWords<'_> {
    #[inline(always)]
    fn word32(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4) && offset < self.memory.control_len());
        // SAFETY: as for `Memory::word32`.
        unsafe { AtomicU32::from_ptr(self.base.add(offset).cast().as_ptr()) }
    }
}

impl Control for ControlWords<'_> {
    #[inline(always)]
    fn load32(self, offset: usize, order: Ordering) -> u32 {
        self.word32(offset).load(order)
    }

    #[inline(always)]
    fn store64(self, offset: usize, value: u64, order: Ordering) {
        debug_assert!(offset.is_multiple_of(8) && offset < self.memory.control_len());
        // SAFETY: as for `Memory::word32`.
        let word = unsafe { AtomicU64::from_ptr(self.base.add(offset).cast().as_ptr()) };
        word.store(value, order);
    }

    #[inline(always)]
    fn may_have(self, offset: usize, bits: u32) -> bool {
        // The processor's part of this fence is in the sleeper's membarrier.
        compiler_fence(Ordering::SeqCst);
        (self.word32(offset).load(Ordering::Relaxed) | self.memory.unsure) & bits != 0
    }
}

impl Load for Memory {
    #[inline]
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    #[inline]
    fn load32(&self, offset: usize, order: Ordering) -> u32 {
        self.word32(offset).load(order)
    }

    #[inline]
    fn load64(&self, offset: usize, order: Ordering) -> u64 {
        self.word64(offset).load(order)
    }

    #[inline]
    fn load_word(&self, position: u64, order: Ordering) -> u64 {
        self.data_word(position).load(order)
    }

    fn load_slab(&self, index: u32) -> u64 {
        self.slab_word(index)
            .map_or(NO_WORD, |word| word.load(Ordering::Acquire))
    }
}

impl Region for Memory {
    type Control<'a> = ControlWords<'a>;

    #[inline(always)]
    fn control(&self) -> ControlWords<'_> {
        ControlWords {
            base: self.base,
            memory: self,
        }
    }

    type Pane = pane::Near;

    unsafe fn pane(&self, place: &Place) -> pane::Near {
        // SAFETY: passed on.
        unsafe { pane::Near::of(self, place) }
    }

    type Spot<'a> = Word<'a>;

    #[inline(always)]
    fn spot(&self, position: u64) -> Word<'_> {
        let offset = (position & self.word_mask) as usize;
        // SAFETY: a multiple of eight below the capacity, so eight bytes of the data region (see the type).
        let at = unsafe { self.data.add(offset) };
        Word {
            at,
            _memory: PhantomData,
        }
    }

    #[inline]
    fn store32(&self, offset: usize, value: u32, order: Ordering) {
        self.word32(offset).store(value, order);
    }

    #[inline]
    fn store64(&self, offset: usize, value: u64, order: Ordering) {
        self.word64(offset).store(value, order);
    }

    fn set32(&self, offset: usize, bits: u32) -> u32 {
        self.word32(offset).fetch_or(bits, Ordering::AcqRel)
    }

    fn replace32(&self, offset: usize, current: u32, new: u32) -> Result<(), u32> {
        self.word32(offset)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed)
            .map(drop)
    }

    fn add32(&self, offset: usize, more: u32) {
        self.word32(offset).fetch_add(more, Ordering::AcqRel);
    }

    #[inline]
    fn replace64(&self, offset: usize, current: u64, new: u64) -> Result<(), u64> {
        self.word64(offset)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    fn mask64(&self, offset: usize, bits: u64) -> u64 {
        self.word64(offset).fetch_and(bits, Ordering::Release)
    }

    #[inline]
    fn store_word(&self, position: u64, word: u64, order: Ordering) {
        self.data_word(position).store(word, order);
    }

    #[inline]
    fn replace_word(&self, position: u64, current: u64, new: u64) -> Result<(), u64> {
        self.data_word(position)
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }

    #[inline]
    fn write(&self, position: u64, bytes: &[u8]) {
        if self.holds(position, bytes.len()) {
            // SAFETY: so many bytes from here lie in the data region, just checked, and in `bytes`.
            unsafe { copy::to_shared::<0>(self.pointer(position), bytes.as_ptr(), bytes.len()) };
        }
    }

    #[inline]
    fn read(&self, position: u64, bytes: &mut [u8]) {
        if self.holds(position, bytes.len()) {
            // SAFETY: so many bytes from here lie in the data region, just checked, and in `bytes`.
            unsafe {
                copy::from_shared::<0>(bytes.as_mut_ptr(), self.pointer(position), bytes.len())
            };
        }
    }

    #[inline]
    fn pointer(&self, position: u64) -> *mut u8 {
        // SAFETY: below the capacity, so in the data region.
        unsafe { self.data.add((position & self.mask) as usize) }.as_ptr()
    }

    #[inline]
    fn prefetch(&self, position: u64, pace: &mut u64) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // The multiplication makes each hint wait for the one before.
        // SAFETY: a prefetch changes nothing and cannot fault.
        unsafe {
            std::arch::asm!(
                "imul {pace}, {pace}",
                "prefetcht0 [{place} + {pace}]",
                pace = inout(reg) *pace,
                place = in(reg) self.pointer(position),
                options(nostack),
            );
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = (position, pace);
    }

    #[inline]
    fn prefetch_to_write(&self, position: u64) {
        ask_for_line_to_write(self.pointer(position));
    }

    #[inline]
    fn prefetch64_to_write(&self, offset: usize) {
        ask_for_line_to_write(self.word64(offset).as_ptr());
    }

    fn replace_slab(&self, index: u32, current: u64, new: u64) -> Result<(), u64> {
        self.slab_word(index).map_or(Err(u64::MAX >> 1), |word| {
            word.compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
                .map(drop)
        })
    }

    fn reach_slab(&self, at: u64) -> Result<(), Unreachable> {
        match self.pool.as_ref().map(|pool| &pool.slabs) {
            Some(Slabs::Apart(segments)) => {
                let segments = segments.as_ref().ok_or(Unreachable::Corrupt)?;
                segments.reach(at)
            }
            _ => Ok(()),
        }
    }

    fn write_slab(&self, at: u64, bytes: &[u8]) {
        if let Some(target) = self.slab_bytes(at, bytes.len()) {
            // SAFETY: so many bytes from here lie in the slabs, just checked, and in `bytes`.
            unsafe { copy::to_shared::<0>(target, bytes.as_ptr(), bytes.len()) };
        }
    }

    fn read_slab(&self, at: u64, bytes: &mut [u8]) {
        if let Some(source) = self.slab_bytes(at, bytes.len()) {
            // SAFETY: so many bytes from here lie in the slabs, just checked, and in `bytes`.
            unsafe { copy::from_shared::<0>(bytes.as_mut_ptr(), source, bytes.len()) };
        }
    }

    fn slab_pointer(&self, at: u64) -> *mut u8 {
        self.slab_bytes(at, 0).unwrap_or(std::ptr::null_mut())
    }

    fn renew_slab(&self, at: u64, len: u64) -> bool {
        let Ok(len) = usize::try_from(len) else {
            return false;
        };
        if self.reach_slab(at).is_err() {
            return false;
        }
        let Some(start) = self.slab_bytes(at, len).and_then(NonNull::new) else {
            return false;
        };
        // SAFETY: so many bytes from here are a slab's: whole pages of a shared mapping. The caller holds it for no
        // message.
        unsafe { mmap::renew(start.cast(), len) }.unwrap_or(false)
    }

    #[inline]
    fn claim_fence(&self) {
        fence(Ordering::Release);
    }

    #[inline]
    fn publish_fence(&self) {
        if self.fences() {
            fence(Ordering::SeqCst);
        } else {
            // The processor's part of this fence is in the sleeper's membarrier.
            compiler_fence(Ordering::SeqCst);
        }
    }

    fn is_asymmetric(&self) -> bool {
        self.asymmetric
    }

    #[inline]
    fn fences(&self) -> bool {
        self.unsure != 0
    }

    fn set_fences(&mut self, fences: bool) {
        if self.asymmetric {
            self.unsure = if fences { u32::MAX } else { 0 };
        }
    }

    fn sleep_fenced(&self) {
        self.unfenced.store(false, Ordering::Relaxed);
    }

    fn sleep_fence(&self) {
        if self.asymmetric {
            // Relaxed: this handle's own.
            self.unfenced
                .store(!membarrier::barrier(), Ordering::Relaxed);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    fn wait_on(
        rings: &[(&Self, &[(usize, u32)])],
        beside: &[(&AtomicU32, u32)],
        deadline: Option<MonotonicTime>,
    ) -> Wake {
        let words = rings.iter().flat_map(|(region, words)| {
            words
                .iter()
                .map(|&(offset, value)| (region.word32(offset), value))
        });
        let words = words.chain(beside.iter().copied());
        // Without the fence a publisher may have missed that this one sleeps: it looks again by itself. Nothing less
        // would do, for publishers that make no fence do not become others that do.
        let is_unfenced = |(region, _): &(&Self, _)| region.is_unfenced();
        if !rings.iter().any(is_unfenced) {
            return futex::wait(words, deadline);
        }
        let tick = MonotonicTime::after(futex::TICK);
        let woken = futex::wait(words, [tick, deadline].into_iter().flatten().min());
        match deadline {
            Some(deadline) if deadline.remaining().is_none() => woken,
            _ => Wake::Check,
        }
    }

    // The only system calls on the way of a call that tries: such may be made in a signal handler.

    fn wake(&self, offset: usize) {
        errno::kept(|| futex::wake_all(self.word32(offset)));
    }

    fn change_and_wake(&self, offset: usize, change: Change) -> bool {
        errno::kept(|| futex::change_and_wake(self.word32(offset), change))
    }

    fn settle(&self) -> bool {
        errno::kept(membarrier::settle) || !self.settles
    }

    #[inline]
    fn settles(&self) -> bool {
        self.settles
    }

    fn name(&self) -> Option<&dyn RingName> {
        self.name.as_deref()
    }

    fn interrupted(&self) -> Option<&AtomicBool> {
        self.interrupted.get().map(|flag| &**flag)
    }

    #[inline]
    fn is_forked(&self) -> bool {
        self.origin.is_forked()
    }

    #[inline(always)]
    fn process(&self) -> u64 {
        self.origin.now()
    }
}

/// A hint that the line of `place` will be written soon.
#[inline(always)]
fn ask_for_line_to_write<T>(place: *mut T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch changes nothing and cannot fault.
    unsafe {
        std::arch::asm!("prefetchw [{place}]", place = in(reg) place, options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = place;
}

mod pane;

#[cfg(any(all(test, not(loom)), feature = "verify"))]
pub(crate) use heap::Heap;

#[cfg(any(all(test, not(loom)), feature = "verify"))]
mod heap;
