//! A slab's word, by itself: what may be seized, and what a reclaimer makes of it.

use super::slabs;
use crate::memory::layout::Corrupt;
use crate::memory::layout::Geometry;
use crate::memory::layout::pool::{Holder, Ticket, Word};
use crate::memory::region::memory::{Heap, Memory};
use crate::memory::region::{Load, Region};
use crate::rings::pool::{Pool, Referenced};

/// The participant that does something, and one that has died.
const ME: (u32, u64) = (0, 1);
const DEAD: (u32, u64) = (1, 5);

fn holder((slot, epoch): (u32, u64)) -> Holder {
    Holder::new(slot, epoch)
}

/// A ring with slabs, the first of which has this word.
fn ring(first: Word) -> (Memory, Box<Pool>) {
    let geometry = Geometry::stream(256).unwrap().with_slabs(slabs());
    let region = Heap::new(geometry).unwrap().region();
    set(&region, first);
    (region, Pool::new(&slabs(), ME.0, ME.1).unwrap())
}

fn set(region: &Memory, word: Word) {
    let seen = region.load_slab(0);
    region.replace_slab(0, seen, word.encode()).unwrap();
}

fn first(region: &Memory) -> Word {
    Word::decode(region.load_slab(0)).unwrap()
}

#[test]
fn a_slab_is_seized_in_the_generation_of_its_ticket_and_no_other() {
    let held = |generation| Word::held(holder(DEAD), generation);
    let ticket = Ticket {
        slab: 0,
        generation: 7,
        len: 100,
    };
    for now in [Word::free(7), Word::free(8), held(6), held(8)] {
        let (region, pool) = ring(held(7));
        let loan = pool.accept(&region, ticket.encode()).unwrap();
        set(&region, now);
        assert_eq!(pool.seize(&region, &loan), Err(Corrupt), "{now:?}");
        assert_eq!(first(&region), now);
        assert_eq!(pool.accept(&region, ticket.encode()), Err(Corrupt));
    }
    let (region, pool) = ring(held(7));
    let loan = pool.accept(&region, ticket.encode()).unwrap();
    pool.seize(&region, &loan).unwrap();
    assert_eq!(first(&region), Word::held(holder(ME), 7));
    pool.free(&region, &loan);
    assert_eq!(first(&region), Word::free(8));
}

#[test]
fn a_reclaimer_raises_the_generation_of_what_it_frees_and_keeps_that_of_what_it_takes_over() {
    let of_the_dead = Word::held(holder(DEAD), u32::MAX);
    let cases = [
        // No generation comes again while anybody has a ticket for it; after the last comes the first.
        (Referenced::No, Word::free(0)),
        (Referenced::Yes, Word::held(holder(ME), u32::MAX)),
        (Referenced::Unclear, of_the_dead),
    ];
    for (reference, expected) in cases {
        let (region, pool) = ring(of_the_dead);
        let _ = pool.reclaim(
            &region,
            |holder| holder == self::holder(DEAD),
            |_| reference,
        );
        assert_eq!(first(&region), expected);
    }
    // What the living hold, or the reclaimer itself, it leaves alone.
    for owner in [ME, DEAD] {
        let word = Word::held(holder(owner), 3);
        let (region, pool) = ring(word);
        let _ = pool.reclaim(
            &region,
            |holder| holder == self::holder(ME),
            |_| Referenced::No,
        );
        assert_eq!(first(&region), word);
    }
}
