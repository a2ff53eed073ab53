//! What a collector saw first is not so any more when it comes to remove.

use std::collections::HashSet;

use super::process::{kill, private};
use super::{addresses, collect_until, holder, listing};
use crate::address::Address;
use crate::admin::gc::{Fate, Gc, Why};
use crate::api::builder::Builder;
use crate::memory::layout::{Kind, SyncKind};
use crate::store::Names;
use crate::waiting::sync::semaphore_set;

#[test]
fn a_ring_is_judged_again_when_nobody_can_come_unseen() {
    private("late rings");
}

pub(super) fn rings() {
    for text in addresses("late") {
        let address: Address = text.parse().unwrap();
        let builder = || Builder::new(&text).unwrap().kind(Kind::Mpmc);
        // As if it had been garbage at the first look: nobody died in it.
        drop(builder().create().unwrap());
        let fate = Gc::new().remove(&address).unwrap();
        assert_eq!(fate, Fate::Kept(Why::InOrder), "{text}");
        crate::remove(&address, false).unwrap();
        // Somebody died, who had sent something.
        kill(holder(&text, Kind::Mpmc, SyncKind::Futex, 2));
        let waiting = Fate::Kept(Why::Undelivered { messages: 2 });
        assert_eq!(Gc::new().remove(&address), Ok(waiting), "{text}");
        let lives = holder(&text, Kind::Mpmc, SyncKind::Futex, 0);
        let fate = Gc::new().undelivered(true).remove(&address).unwrap();
        assert!(matches!(fate, Fate::Kept(Why::Open | Why::InUse { .. })));
        kill(lives);
        let all = Gc::new().undelivered(true);
        let started = std::time::Instant::now();
        // Who was killed a moment ago may still have it open.
        while all.remove(&address) != Ok(Fate::Removed) {
            assert!(started.elapsed() < super::PATIENCE);
        }
    }
}

#[test]
fn a_semaphore_set_is_kept_if_its_ring_has_a_name_by_then() {
    private("late names");
}

pub(super) fn names() {
    let before = listing();
    for address in addresses("late") {
        kill(holder(&address, Kind::Mpmc, SyncKind::SysvSem, 0));
        let sets = semaphore_set::all();
        assert_eq!(sets.len(), 1);
        // As they were before the ring had its name, and nothing was hidden.
        let names = Names {
            hidden: Some(HashSet::new()),
            ..Names::default()
        };
        let started = std::time::Instant::now();
        while sets[0].again().is_none_or(|set| set.is_used()) {
            assert!(started.elapsed() < super::PATIENCE);
        }
        let set = sets[0].again().unwrap();
        assert_eq!(Gc::new().set(&set, &names), Ok(None), "{address}");
        assert_eq!(semaphore_set::all().len(), 1, "{address}");
        collect_until(&before);
    }
}
