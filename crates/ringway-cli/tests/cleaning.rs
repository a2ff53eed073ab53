//! `gc` and `doctor`. What is collected by address here is this test's own; everything there is, only in
//! namespaces of its own, where no other test's rings are.

mod common;

use std::process::Command;

use common::{
    Place, QUEUES, Running, SCHEMES, SYNCS, assert_says, assert_status, eventually, json, lines,
    run, run_with, text, waiting_sender,
};
use serde_json::Value;

/// A process that holds the ring as its producer, having sent `messages`.
fn holder(place: &Place, sync: &str, messages: u64) -> Running {
    let options = ["--capacity", "8K", "--kind", "mpsc", "--sync", sync];
    waiting_sender(place, &options, &lines(0, messages))
}

/// What `gc --json` says of one ring.
fn collected(place: &Place, more: &[&str]) -> Value {
    let words = ["gc", "--json", &place.address];
    let report = json(&run(words.into_iter().chain(more.iter().copied())));
    let objects = report["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 1, "{report}");
    assert_eq!(objects[0]["name"], place.address);
    objects[0].clone()
}

/// A collection that waits until what was killed a moment ago is gone.
fn collected_in_the_end(place: &Place) {
    eventually("that nobody has it open", || {
        let found = collected(place, &[]);
        assert!(
            found["fate"] == "removed" || found["why"] == "open",
            "{found}"
        );
        found["fate"] == "removed"
    });
}

#[test]
fn gc_removes_the_rings_of_the_dead_and_leaves_those_of_the_living() {
    for scheme in SCHEMES {
        for sync in SYNCS {
            let place = Place::new(scheme);
            let send = holder(&place, sync, 0);
            let found = collected(&place, &[]);
            assert_eq!(
                (&found["fate"], &found["why"]),
                (&"kept".into(), &"in-use".into())
            );
            assert_eq!((&found["alive"], &found["dead"]), (&1.into(), &0.into()));
            assert!(place.exists());
            send.kill();
            collected_in_the_end(&place);
            assert!(!place.exists());
            assert_status(&run(["gc", &place.address]), 1);
        }
    }
}

#[test]
fn gc_says_what_is_undelivered_and_removes_it_only_when_told_to() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        holder(&place, "futex", 2).kill();
        let found = collected(&place, &[]);
        assert_eq!(
            (&found["why"], &found["undelivered"]),
            (&"undelivered".into(), &2.into())
        );
        assert_says(
            &run(["gc", address]).stdout,
            &[
                "kept",
                address,
                "2 undelivered messages",
                "ringway recv",
                "--undelivered",
            ],
        );
        let received = run(["recv", address, "--count", "1"]);
        assert_eq!(text(&received.stdout), "line 0\n");
        eventually("a dry run that finds nobody", || {
            let found = collected(&place, &["--dry-run", "--undelivered"]);
            found["fate"] == "removable"
        });
        assert!(place.exists());
        let gone = run(["gc", "--undelivered", address]);
        assert_status(&gone, 0);
        assert_says(&gone.stdout, &["removed"]);
        assert!(!place.exists());
    }
}

/// A process that is the receiver of a queue, which it makes if need be.
fn queue_receiver(place: &Place) -> Running {
    let recv = Running::start(["recv", &place.address, "--create"]);
    eventually("the queue", || place.exists());
    eventually("its receiver", || place.stat()["receivers"] == 1);
    recv
}

#[test]
fn gc_removes_the_queues_of_the_dead_and_leaves_those_of_the_living() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        let recv = queue_receiver(&place);
        let found = collected(&place, &[]);
        assert_eq!(
            (&found["kind"], &found["fate"], &found["why"]),
            (&"queue".into(), &"kept".into(), &"in-use".into())
        );
        assert_eq!((&found["alive"], &found["dead"]), (&1.into(), &0.into()));
        recv.kill();
        assert_eq!(collected(&place, &["--dry-run"])["fate"], "removable");
        assert!(place.exists());
        assert_says(&run(["gc", address]).stdout, &["removed", address]);
        assert!(!place.exists());
        assert_status(&run(["gc", address]), 1);
    }
}

#[test]
fn gc_says_what_is_undelivered_in_a_queue() {
    for scheme in QUEUES {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        queue_receiver(&place).kill();
        // A POSIX queue keeps the sender's farewell behind them.
        assert_status(&run_with(["send", address], b"one\ntwo\n"), 0);
        let found = collected(&place, &[]);
        assert_eq!(found["why"], "undelivered", "{found}");
        assert!(found["undelivered"].as_u64().unwrap() >= 2, "{found}");
        let next = found["next_step"].as_str().unwrap();
        assert!(
            next.contains("--undelivered") && next.contains(address),
            "{next}"
        );
        assert_eq!(collected(&place, &["--undelivered"])["fate"], "removed");
        assert!(!place.exists());
    }
}

#[test]
fn gc_leaves_alone_a_queue_of_which_no_death_is_known() {
    for (scheme, why) in [("mq", "unknown"), ("sysvmq", "in-order")] {
        let place = Place::new(scheme);
        let address = place.address.as_str();
        assert_status(&run(["create", address]), 0);
        let found = collected(&place, &["--undelivered"]);
        assert_eq!(found["why"], why, "{found}");
        assert!(place.exists());
        if why == "unknown" {
            let next = found["next_step"].as_str().unwrap();
            assert!(next.contains(&format!("ringway rm {address}")), "{next}");
        }
    }
}

#[test]
fn gc_of_an_auto_address_looks_at_what_is_there() {
    let place = Place::new("auto");
    let name = place.address.strip_prefix("auto:").unwrap();
    assert_status(&run(["gc", &place.address]), 1);
    assert_status(&run(["create", &format!("mq:/{name}")]), 0);
    let found = run(["gc", &place.address, "--json"]);
    assert_status(&found, 0);
    assert_says(&found.stdout, &[&format!("\"mq:/{name}\"")]);
}

#[test]
fn gc_leaves_alone_what_was_left_in_order_and_what_is_no_ring() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        assert_status(&run(["create", &place.address]), 0);
        let found = collected(&place, &["--undelivered"]);
        assert_eq!(found["why"], "in-order");
        assert!(place.exists());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    std::fs::write(&path, "not a ring").unwrap();
    assert_status(&run(["gc", &format!("file:{}", path.display())]), 2);
    assert_eq!(std::fs::read(&path).unwrap(), b"not a ring");
    assert_status(&run(["gc", "memfd:"]), 2);
    assert_status(&run(["gc", "shm:ringway-not-there"]), 1);
}

#[test]
fn stat_marks_the_dead_and_tells_what_was_repaired() {
    let place = Place::new("shm");
    holder(&place, "futex", 0).kill();
    assert_eq!(place.stat()["repaired"], 0);
    assert_says(
        &run(["stat", &place.address]).stdout,
        &["0 records of the dead", "died"],
    );
}

#[test]
fn doctor_tells_real_limits_and_what_to_do() {
    let output = run(["doctor", "--json"]);
    let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let has_problem = checks.iter().any(|check| check["verdict"] == "problem");
    assert_status(&output, has_problem.into());
    let check = |name: &str| {
        let found = checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {checks:?}"))
    };
    for (name, source) in [
        ("queues_max", "/proc/sys/fs/mqueue/queues_max"),
        ("msg_max", "/proc/sys/fs/mqueue/msg_max"),
        ("kernel", "/proc/sys/kernel/osrelease"),
    ] {
        let real = std::fs::read_to_string(source).unwrap();
        assert_eq!(check(name)["value"], real.trim());
    }
    assert_eq!(check("futex_waitv")["value"], "yes");
    for check in &checks {
        let is_well = check["verdict"] == "ok";
        assert_eq!(is_well, check["hint"].is_null(), "{check}");
    }
    // The verdict first, then what led to it, then all.
    let shown = text(&run(["doctor"]).stdout);
    let is = |verdict: &str| checks.iter().any(|check| check["verdict"] == verdict);
    let expected = match (is("problem"), is("warning")) {
        (true, _) => "Not all works here; ",
        (false, true) => "Rings work here; ",
        (false, false) => "All is well.",
    };
    assert!(shown.starts_with(expected), "{shown}");
    let (verdict, table) = shown.split_once("\n\n").unwrap();
    let told = verdict.lines().count() - 1;
    let amiss = checks.iter().filter(|check| check["verdict"] != "ok");
    assert_eq!(told, amiss.count(), "{shown}");
    assert!(table.starts_with("VERDICT"), "{shown}");
    assert!(table.contains("left by the dead"), "{shown}");
}

#[test]
fn doctor_says_whether_a_plan_will_fit_and_what_to_set() {
    let plan = |plan: &str| -> Vec<Value> {
        let output = run(["doctor", "--json", "--plan", plan]);
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let is_plan = |check: &Value| check["name"].as_str().unwrap().starts_with("plan: ");
        checks.into_iter().filter(is_plan).collect()
    };
    let check = |checks: &[Value], name: &str| {
        let mut all = checks.iter();
        let found = all.find(|check| check["name"] == format!("plan: {name}"));
        found
            .unwrap_or_else(|| panic!("{name} is not in {checks:?}"))
            .clone()
    };
    let small = plan("capacity=64K,clients=10,message=1K");
    assert!(
        small.iter().all(|check| check["verdict"] == "ok"),
        "{small:?}"
    );

    // No machine has that.
    let huge = plan("capacity=1T,rings=1000");
    for name in ["memory", "/dev/shm"] {
        let check = check(&huge, name);
        assert!(name != "memory" || check["verdict"] == "problem", "{check}");
    }
    let many = check(&plan("clients=200"), "clients");
    assert_eq!(many["verdict"], "problem");
    assert_says(
        many["hint"].as_str().unwrap().as_bytes(),
        &["4 rings", "kind=service"],
    );
    assert_eq!(
        check(&plan("clients=200,kind=service"), "clients")["verdict"],
        "ok"
    );
    assert_eq!(check(&plan("clients=50"), "clients")["verdict"], "warning");
    let long = check(&plan("capacity=64K,message=100K"), "message");
    assert_eq!(long["verdict"], "problem");
    // What is advised is enough.
    let hint = long["hint"].as_str().unwrap();
    let needed = hint
        .split("capacity=")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    let advised = plan(&format!("capacity={needed},message=100K"));
    assert_eq!(check(&advised, "message")["verdict"], "ok", "{hint}");
    let place = Place::new("file");
    let make = ["create", &place.address, "--capacity", needed];
    assert_status(&run(make), 0);
    let message = "x".repeat(100 << 10);
    assert_status(&run_with(["send", &place.address], message.as_bytes()), 0);

    let sysv = plan("capacity=1M,rings=100000,backing=sysv");
    assert_says(
        check(&sysv, "shmmni")["hint"].to_string().as_bytes(),
        &["kernel.shmmni="],
    );
    assert_status(&run(["doctor", "--plan", "colour=red"]), 2);
}

/// Runs `name`, an ignored test of this file, where /dev/shm is empty and there are neither System V objects
/// nor message queues.
fn in_a_world_of_its_own(name: &str) {
    let this = std::env::current_exe().unwrap();
    let script = "mount --make-rprivate / && mount -t tmpfs none /dev/shm && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "--ipc", "sh", "-c", script, "sh"])
        .arg(this)
        .args([
            "--exact",
            name,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped: no unshare ({error})"),
    };
    let said = text(&output.stdout) + &text(&output.stderr);
    let ran = said.contains("running 1 test");
    if !ran {
        return eprintln!("skipped: no namespaces of its own: {said}");
    }
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn gc_of_everything_leaves_nothing_of_the_dead() {
    in_a_world_of_its_own("everything");
}

#[test]
#[ignore = "run in a world of its own by another test"]
fn everything() {
    let places: Vec<_> = ["shm", "sysv"]
        .into_iter()
        .flat_map(|scheme| SYNCS.map(|sync| (Place::new(scheme), sync)))
        .collect();
    let living = Place::new("shm");
    let mut alive = holder(&living, "sysv-sem", 0);
    for (place, sync) in &places {
        holder(place, sync, 0).kill();
    }
    let queues = QUEUES.map(Place::new);
    for place in &queues {
        queue_receiver(place).kill();
    }
    let living_queues = QUEUES.map(Place::new);
    let _receivers = living_queues.each_ref().map(queue_receiver);
    // Of which nobody knows: told of by gc, and no reason for doctor to warn.
    let quiet = Place::new("mq");
    assert_status(&run(["create", &quiet.address]), 0);
    let report = |words: &[&str]| json(&run(words.iter().copied()));
    let doctor = report(&["doctor", "--json"]);
    let left = doctor.as_array().unwrap().last().unwrap();
    assert_eq!(
        (&left["name"], &left["verdict"]),
        (&"left by the dead".into(), &"warning".into())
    );
    let mut removed = 0;
    eventually("that all is removed", || {
        let found = report(&["gc", "--yes", "--json"]);
        removed += found["objects"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|object| object["fate"] == "removed")
            .count();
        removed == places.len() + queues.len()
    });
    let told = text(&run(["gc"]).stdout);
    assert!(
        told.contains(&quiet.address) && told.lines().count() == 2,
        "{told}"
    );
    let doctor = report(&["doctor", "--json"]);
    assert_eq!(doctor.as_array().unwrap().last().unwrap()["verdict"], "ok");
    assert!(living.exists());
    assert!(queues.iter().all(|place| !place.exists()));
    assert!(living_queues.iter().all(Place::exists));
    let rows = |table| std::fs::read_to_string(table).unwrap().lines().count() - 1;
    assert_eq!(rows("/proc/sysvipc/shm"), 0);
    // Of the ring and the queue that are in use.
    assert_eq!(rows("/proc/sysvipc/sem"), 2);
    assert_eq!(rows("/proc/sysvipc/msg"), 1);
    assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 1);
    alive.close();
    assert_status(&alive.finish(), 0);
}

#[test]
fn gc_of_everything_lists_and_asks_for_a_yes() {
    let (place, kept) = (Place::new("shm"), Place::new("shm"));
    for (place, keep) in [(&place, None), (&kept, Some("--keep"))] {
        assert_status(&run(["create", &place.address].into_iter().chain(keep)), 0);
        let send = Running::open(["send", &place.address], b"");
        eventually("the sender", || place.participants().len() == 1);
        send.kill();
    }
    let name = place.address.strip_prefix("shm:").unwrap();
    let all = |words: &[&str]| {
        run(["gc", "--prefix", name]
            .into_iter()
            .chain(words.iter().copied()))
    };

    let asked = all(&[]);
    assert_status(&asked, 1);
    assert_says(&asked.stdout, &["would be removed", &place.address]);
    assert_says(&asked.stderr, &["--yes"]);
    assert!(place.exists());

    let recent = all(&["--yes", "--older-than", "1h"]);
    assert_status(&recent, 0);
    assert!(place.exists());

    let other = run(["gc", "--yes", "--prefix", "ringway-no-such-prefix"]);
    assert_status(&other, 0);
    assert_eq!(text(&other.stdout), "");
    assert!(place.exists());

    eventually("its removal", || {
        let removed = all(&["--yes", "--older-than", "1ns"]);
        assert_status(&removed, 0);
        !place.exists()
    });

    let keeps = run(["gc", &kept.address]);
    assert_status(&keeps, 0);
    assert_says(&keeps.stdout, &["kept", &kept.address]);
    assert!(kept.exists());
    assert_status(&run(["gc", "--yes", "--dry-run"]), 2);
}
