//! Rings that overwrite their oldest message: nobody waits, what is lost is counted, the rest is in order.

mod common;

use common::{KINDS, Place, SYNCS, assert_says, assert_status, lines, run, run_with, text};

#[test]
fn a_full_ring_loses_its_oldest_lines_and_says_how_many() {
    const TOTAL: u64 = 1000;
    for sync in SYNCS {
        for kind in KINDS {
            let place = Place::new("shm");
            let address = place.address.as_str();
            let make = ["--create", "--overwrite", "--capacity", "4K"];
            let kind = ["--kind", kind, "--sync", sync];
            let words = ["send", address].into_iter().chain(make).chain(kind);
            let send = run_with(words, &lines(0, TOTAL));
            assert_status(&send, 0);
            let stat = place.stat();
            let lost = stat["overwritten"].as_u64().unwrap();
            assert!((1..TOTAL).contains(&lost), "{stat}");
            assert_eq!(stat["when_full"], "overwrite");
            assert_says(
                &send.stderr,
                &[&format!("{lost} messages were overwritten")],
            );
            // What was overwritten is not waiting for anybody.
            let behind = format!(", {} behind", TOTAL - lost);
            assert_says(
                &run(["stat", address]).stdout,
                &[&format!("overwrite, {lost} messages so far"), &behind],
            );

            let recv = run(["recv", address]);
            assert_status(&recv, 0);
            assert_eq!(text(&recv.stdout), text(&lines(lost, TOTAL)), "{kind:?}");
        }
    }
}

#[test]
fn a_ring_with_room_for_all_loses_nothing() {
    let place = Place::new("shm");
    let words = ["send", &place.address, "--create", "--overwrite"];
    let send = run_with(words, &lines(0, 1000));
    assert_status(&send, 0);
    assert!(!text(&send.stderr).contains("overwritten"));
    assert_eq!(place.stat()["overwritten"], 0);
    assert_eq!(run(["recv", &place.address]).stdout, lines(0, 1000));
}
