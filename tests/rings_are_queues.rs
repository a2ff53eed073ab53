//! Every sort of ring behaves as a queue, whatever is done to it through several handles and two
//! mappings, in whatever order. And what does not exist is refused.

mod queue_model;
mod two_processes;

use proptest::test_runner::{Config, TestRunner};
use queue_model::World;
use queue_model::step::steps;
use two_processes::place::Backing;
use two_processes::table::{Row, for_each};

#[test]
fn any_sequence_of_calls_on_any_ring() {
    for_each(Row::supported(), |row| check(row, false));
}

#[test]
fn any_sequence_of_calls_on_any_ring_that_overwrites() {
    for_each(Row::on_shm(), |row| check(row, true));
}

#[test]
fn a_ring_that_cannot_be_is_refused_with_a_reason() {
    for row in Row::all() {
        let Some(kind) = row.refusal() else { continue };
        let (builder, _place) = row.builder();
        let error = builder.create().unwrap_err();
        assert_eq!(error.kind(), kind, "{row}");
        assert!(!error.next_step().is_empty(), "{row}: {error}");
    }
}

fn check(row: Row, overwrites: bool) {
    // The same code runs on all backings.
    let cases = match row.backing {
        Backing::Shm => 48,
        _ => 8,
    };
    let config = Config {
        cases: cases * scale(),
        failure_persistence: None,
        ..Config::default()
    };
    let max = row.ring().0.max_message_len() as usize;
    let strategy = (steps(max, 60), proptest::bool::ANY);
    let outcome = TestRunner::new(config).run(&strategy, |(steps, producers_end)| {
        let mut world = World::new(row, overwrites);
        world.take_all(&steps);
        if producers_end {
            world.end_by_producers();
        } else {
            world.end_by_consumers();
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{row}: {error}");
    }
}

/// How much longer than usual to look.
fn scale() -> u32 {
    let scale = std::env::var("RINGWAY_TEST_SCALE").ok();
    scale.map_or(1, |scale| scale.parse().unwrap())
}
