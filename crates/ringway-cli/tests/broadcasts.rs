//! Broadcast rings from the shell: every receiver gets every line, and names keep their places.

mod common;

use common::{Place, Running, SCHEMES, assert_says, assert_status, run, run_with, text};

#[test]
fn three_receivers_all_print_all_lines() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let at = place.address.as_str();
        assert_status(&run(["create", at, "--kind", "broadcast"]), 0);
        let receivers = [(); 3].map(|()| Running::start(["recv", at, "--quiet"]));
        let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        assert_status(&run_with(["send", at, "--quiet"], lines.as_bytes()), 0);
        for receiver in receivers {
            let output = receiver.finish();
            assert_status(&output, 0);
            assert!(text(&output.stdout) == lines, "{scheme}");
        }
    }
}

#[test]
fn a_name_goes_on_where_it_stood_until_it_is_forgotten() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["create", at, "--kind", "broadcast"]), 0);
    assert_status(
        &run(["send", at, "-m", "one", "-m", "two", "-m", "three"]),
        0,
    );
    let named = |count| run(["recv", at, "--quiet", "--name", "audit", "-n", count]);
    assert_eq!(text(&named("1").stdout), "one\n");
    assert_eq!(text(&named("1").stdout), "two\n");
    let none = run(["forget", at, "no such"]);
    assert_status(&none, 1);
    assert_says(&none.stderr, &["has no name no%20such"]);
    assert_status(&run(["forget", at, "audit"]), 0);
    assert_status(&run(["forget", at, "audit"]), 1);
    assert_eq!(text(&named("3").stdout), "one\ntwo\nthree\n");

    let listens = Running::start(["recv", at, "--quiet", "--name", "audit", "--follow"]);
    common::eventually("a live holder", || {
        run(["forget", at, "audit"]).status.code() == Some(2)
    });
    drop(listens);
}

#[test]
fn other_rings_have_no_names() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["forget", at, "audit"]), 1);
    assert_status(&run(["create", at]), 0);
    let refused = run(["forget", at, "audit"]);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["its kind is spsc"]);
}
