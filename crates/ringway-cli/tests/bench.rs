//! The bench works with every way of waiting, and its report holds together.

mod common;

use common::{KINDS, SYNCS, assert_says, assert_status, json, run};

#[test]
fn the_bench_reports_ratios_for_every_size() {
    for strategy in ["spin", "adaptive", "park"] {
        let report = json(&run([
            "bench",
            "--json",
            "--size",
            "8,100,4K",
            "--rounds",
            "3",
            "--burst",
            "1ms",
            "--wait-strategy",
            strategy,
        ]));
        assert_eq!(report["wait_strategy"], strategy);
        assert_eq!(report["verified"], true);
        let sizes = report["sizes"].as_array().unwrap();
        let bytes: Vec<_> = sizes
            .iter()
            .map(|size| size["size_bytes"].as_u64().unwrap())
            .collect();
        assert_eq!(bytes, [8, 100, 4096]);
        for size in sizes {
            for work in ["one_way", "round_trip"] {
                let at = |name: &str| size[work]["ratio"][name].as_f64().unwrap();
                assert!(at("p10") > 0.0 && at("p10") <= at("median") && at("median") <= at("p90"));
            }
            assert!(size["round_trip"]["ring_ns"]["count"].as_u64().unwrap() >= 6);
        }
    }
}

#[test]
fn the_bench_measures_every_kind_of_ring() {
    for sync in SYNCS {
        for kind in KINDS {
            let words = [
                "bench", "--json", "--size", "8", "--rounds", "1", "--burst", "1ms",
            ];
            let kinds = ["--wait-strategy", "park", "--kind", kind, "--sync", sync];
            let report = json(&run(words.into_iter().chain(kinds)));
            assert_eq!(
                (&report["kind"], &report["sync"]),
                (&kind.into(), &sync.into())
            );
            assert_eq!(report["verified"], true);
        }
    }
}

#[test]
fn the_bench_shows_a_table() {
    let output = run(["bench", "--size", "64", "--rounds", "1", "--burst", "1ms"]);
    assert_status(&output, 0);
    assert_says(
        &output.stdout,
        &["64 B", "ring / raw", "p99.9", "spsc with futex"],
    );
}

#[test]
fn a_message_that_the_ring_cannot_carry_is_an_error() {
    let output = run(["bench", "--size", "1M", "--capacity", "1M"]);
    assert_status(&output, 2);
    assert_says(&output.stderr, &["--capacity"]);
}
