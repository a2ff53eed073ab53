//! A slab's word, as pointers to its memory are lent. The locks are the kernel's, the slabs on the heap, where no pages
//! can be renewed.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use super::slabs;
use crate::memory::layout::Geometry;
use crate::memory::layout::pool::{Holder, Word};
use crate::memory::map::{Map, Source};
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::presence::memory::{Memories, Proof};
use crate::rings::pool::{Lender, Pool, Referenced};
use crate::sys::page_size;

struct World {
    region: Memory,
    file: OwnedFd,
    map: Arc<Map>,
    woken: Arc<AtomicBool>,
}

fn me() -> Holder {
    Holder::new(0, 1)
}

fn dead() -> Holder {
    Holder::new(1, 5)
}

fn is_gone(holder: Holder) -> bool {
    holder == dead()
}

impl World {
    fn new() -> Self {
        let geometry = Geometry::stream(256).unwrap().with_slabs(slabs());
        let file = memfd_create("ring", MFdFlags::MFD_CLOEXEC).unwrap();
        ftruncate(&file, page_size() as i64).unwrap();
        let map = Map::new(Source::Fd(file.as_fd()), page_size(), page_size()).unwrap();
        Self {
            region: Heap::new(geometry).unwrap().region(),
            file,
            map: Arc::new(map),
            woken: Arc::default(),
        }
    }

    /// The memories as one more process sees them, and the proof of `holder`.
    fn proof(&self, holder: Holder) -> (Arc<Memories>, Proof) {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = File::options().read(true).write(true).open(path).unwrap();
        let memories = Memories::of(file.into()).unwrap();
        let proof = memories.prove(&self.map, holder).unwrap();
        (memories, proof)
    }

    fn pool(&self) -> Box<Pool> {
        Pool::new(&slabs(), 0, 1).unwrap()
    }

    fn lending_pool(&self) -> Box<Pool> {
        let (memories, proof) = self.proof(me());
        let woken = Arc::clone(&self.woken);
        let wake = move || woken.store(true, Ordering::Relaxed);
        let lender = Lender::new(memories, proof, Arc::new(wake));
        self.pool().with_lender(Some(lender))
    }

    fn set(&self, word: Word) {
        let seen = self.region.load_slab(0);
        let set = self.region.replace_slab(0, seen, word.encode());
        set.unwrap();
    }

    fn first(&self) -> Word {
        Word::decode(self.region.load_slab(0)).unwrap()
    }
}

#[test]
fn a_slab_is_lent_until_it_is_committed_or_given_up() {
    let world = World::new();
    let mut pool = world.lending_pool();
    for generation in [0, 1] {
        pool.lent = pool.take(&world.region, 4096);
        assert_eq!(world.first(), Word::held(me(), generation));
        for _ in 0..2 {
            assert!(pool.lend_pointer(&world.region));
            assert_eq!(world.first(), Word::lent(me(), generation));
        }
        // It is the message that is being made, and none to be renewed.
        let _ = pool.reclaim(&world.region, is_gone, |_| Referenced::No);
        assert!(!pool.has_to_renew(&world.region));
        let mut loan = pool.lent.take().unwrap();
        if generation == 1 {
            pool.end_lending(&world.region, &mut loan);
            assert_eq!(world.first(), Word::held(me(), 1));
        }
        pool.free(&world.region, &loan);
        assert_eq!(world.first(), Word::free(generation + 1));
    }
}

#[test]
fn who_cannot_prove_its_memory_lends_none_and_takes_none_back() {
    let world = World::new();
    let mut pool = world.pool();
    pool.lent = pool.take(&world.region, 4096);
    assert!(!pool.lend_pointer(&world.region));
    assert_eq!(world.first(), Word::held(me(), 0));
    let lent = Word::lent(dead(), 0);
    world.set(lent);
    pool.lent = None;
    let _ = pool.reclaim(&world.region, is_gone, |_| Referenced::No);
    assert_eq!(world.first(), lent);
    assert!(!pool.is_held_by_the_gone(&world.region, is_gone));
    assert!(pool.await_withheld(&world.region, is_gone));
}

#[test]
fn what_a_dead_one_had_lent_is_withheld_until_its_memory_is_gone_and_then_until_it_has_new_pages() {
    let world = World::new();
    let pool = world.lending_pool();
    let (_memories, proof) = world.proof(dead());
    let lent = Word::lent(dead(), 3);
    world.set(lent);
    let _ = pool.reclaim(&world.region, is_gone, |_| Referenced::No);
    assert_eq!(world.first(), lent);
    assert!(!pool.is_held_by_the_gone(&world.region, is_gone));
    assert!(pool.await_withheld(&world.region, is_gone));
    assert!(!world.woken.load(Ordering::Relaxed));
    drop(proof);
    while !world.woken.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    assert!(pool.is_held_by_the_gone(&world.region, is_gone));
    // It is this one's now, and nobody's message before it has other pages.
    for _ in 0..2 {
        let _ = pool.reclaim(&world.region, is_gone, |_| Referenced::No);
        assert_eq!(world.first(), Word::lent(me(), 3));
        assert!(pool.has_to_renew(&world.region));
        assert!(!pool.is_held_by_the_gone(&world.region, is_gone));
    }
    let mut pool = pool;
    for _ in 0..2 {
        let loan = pool.take(&world.region, 4096).unwrap();
        assert_ne!(loan.at, 0);
    }
}

#[test]
fn what_was_committed_is_taken_over_as_a_message() {
    let world = World::new();
    let pool = world.lending_pool();
    world.set(Word::held(dead(), 3));
    let _ = pool.reclaim(&world.region, is_gone, |_| Referenced::Yes);
    assert_eq!(world.first(), Word::held(me(), 3));
}
