//! The ring behaves as a queue that several share, whatever they do in whatever order, and whoever dies.

use proptest::prelude::*;

use super::SHARING;
use crate::memory::layout::Kind;
use crate::memory::layout::cell::LAPS_END;
use crate::memory::layout::participant::Role;
use crate::rings::cell::MOST_HEAD;
use crate::testing::cells::{Leaving, Setup};
use crate::testing::queue::{LENS, Queue, Step};

const CELLS: u64 = 8;

fn step() -> impl Strategy<Value = Step> {
    let len = 2_usize..=250;
    let role = prop::sample::select(vec![Role::Producer, Role::Consumer]);
    let leavings = vec![Leaving::Closing, Leaving::Silently, Leaving::Dying];
    prop_oneof![
        3 => len.clone().prop_map(Step::Send),
        1 => len.clone().prop_map(Step::SendUntil),
        2 => len.clone().prop_map(Step::Claim),
        2 => len.clone().prop_map(Step::Commit),
        1 => Just(Step::Abort),
        2 => (prop::collection::vec(2_usize..=80, 0..6), any::<bool>())
            .prop_map(|(lens, commits)| Step::Batch(lens, commits)),
        1 => Just(Step::Drained),
        3 => Just(Step::Receive(LENS.end)),
        1 => len.prop_map(Step::ReceiveUntil),
        1 => Just(Step::Ready),
        3 => (1_u64..6).prop_map(Step::Take),
        3 => Just(Step::Release),
        1 => Just(Step::GiveBack),
        1 => (role, prop::sample::select(leavings))
            .prop_map(|(role, leaving)| Step::Leave(role, leaving)),
    ]
}

fn plain(kind: Kind) -> Setup {
    Setup {
        kind,
        each: 3,
        cells: CELLS,
        cell_len: 64,
        lap: 0,
        late: false,
        overwrite: false,
        lock: false,
        bell: false,
        settles: false,
    }
}

fn setup() -> impl Strategy<Value = Setup> {
    let kind = prop::sample::select(SHARING.to_vec());
    // In the second one the laps that words tell begin anew; in the third, positions come to their end.
    let lap = prop::sample::select(vec![0, LAPS_END / CELLS - 2, MOST_HEAD / CELLS - 10_000]);
    (kind, lap, any::<[bool; 5]>()).prop_map(
        |(kind, lap, [overwrite, lock, bell, settles, late])| Setup {
            lap,
            late,
            overwrite,
            lock,
            bell,
            settles,
            ..plain(kind)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_ring_is_a_queue(
        setup in setup(),
        steps in prop::collection::vec((0_usize..6, step()), 1..if cfg!(miri) { 20 } else { 200 }),
    ) {
        act(setup, &steps);
    }
}

fn act(setup: Setup, steps: &[(usize, Step)]) {
    let mut queue = Queue::new(setup).unwrap();
    for (who, step) in steps {
        queue.act(*who, step);
    }
    queue.finish();
}

/// Its wait noted that a consumer had come, and not that the ring was open again.
#[test]
fn a_producer_that_waited_sends_to_the_next_consumer() {
    let steps = [
        (0, Step::Leave(Role::Consumer, Leaving::Closing)),
        (0, Step::Drained),
        (0, Step::Send(2)),
    ];
    act(plain(Kind::Spsc), &steps);
}

/// Each of the aborted cells took two steps, and the walk had no more than those.
#[test]
fn a_message_behind_a_ring_of_aborted_claims_is_there() {
    let claims = (0..2 * CELLS).map(|_| (0, Step::Claim(45)));
    let steps: Vec<_> = claims
        .chain([(0, Step::Abort), (0, Step::Send(2))])
        .collect();
    let setup = Setup {
        overwrite: true,
        ..plain(Kind::Spsc)
    };
    act(setup, &steps);
}

/// The repair that comes with the lock of a dead holder was not taken for a reason to look again.
#[test]
fn a_message_behind_the_claim_of_a_dead_lock_holder_is_there() {
    let steps = [
        (0, Step::Claim(2)),
        (1, Step::Send(2)),
        (0, Step::Leave(Role::Producer, Leaving::Dying)),
    ];
    let setup = Setup {
        lock: true,
        ..plain(Kind::Mpsc)
    };
    act(setup, &steps);
}
