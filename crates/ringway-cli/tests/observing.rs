//! What `ls` and `stat` tell an operator, of all kinds in one shape: who holds what, who is stopped, who is dead, who holds whom up,
//! and what moves. Observers write nothing.

mod common;

use std::os::unix::fs::FileExt;
use std::process::Stdio;

use common::{
    Place, Running, assert_says, assert_status, command, eventually, json, run, run_with, text,
    waiting_sender,
};
use nix::sys::signal::Signal;
use ringway::message::MessageType;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../schema/stat.schema.json");

/// Whether `value` is as `schema` says: of JSON Schema, the keywords that our file uses. Any other one is an error, so nothing
/// of the file is passed over.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fail = |what: String| Err(format!("{at}: {what}, and is {value}"));
    for (keyword, wanted) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(pointer).unwrap(), value, at)?;
            }
            "anyOf" => {
                let tried = wanted.as_array().unwrap().iter();
                let failed: Vec<_> = tried
                    .map_while(|one| check(root, one, value, at).err())
                    .collect();
                if failed.len() == wanted.as_array().unwrap().len() {
                    return Err(failed.join("\nor "));
                }
            }
            "const" if value != wanted => return fail(format!("is to be {wanted}")),
            "enum" if !wanted.as_array().unwrap().contains(value) => {
                return fail(format!("is to be one of {wanted}"));
            }
            "const" | "enum" => {}
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("no such type: {other}"),
                };
                let one = [wanted.clone()];
                let names = wanted.as_array().map_or(&one[..], Vec::as_slice);
                if !names.iter().any(is) {
                    return fail(format!("is to be of type {wanted}"));
                }
            }
            "minimum" => {
                let least = wanted.as_f64().unwrap();
                if value.as_f64().is_some_and(|number| number < least) {
                    return fail(format!("is to be at least {least}"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, wanted, item, &format!("{at}/{index}"))?;
                }
            }
            "required" => {
                let missing = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                if value.is_object()
                    && let Some(name) = wanted.as_array().unwrap().iter().find(missing)
                {
                    return fail(format!("is to have {name}"));
                }
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{at}/{name}"))?;
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(wanted, false);
                let known = schema["properties"].as_object().unwrap();
                for name in value.as_object().into_iter().flat_map(|all| all.keys()) {
                    if !known.contains_key(name) {
                        return fail(format!("has {name}, which the schema does not know"));
                    }
                }
            }
            other => panic!("this test does not know the keyword {other}"),
        }
    }
    Ok(())
}

#[track_caller]
fn assert_fits(value: &Value) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    check(&schema, &schema, value, "").unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn the_schema_is_not_content_with_anything() {
    let place = Place::new("shm");
    assert_status(&run(["create", &place.address]), 0);
    let good = place.stat();
    assert_fits(&good);
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let is_refused = |change: &dyn Fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        check(&schema, &schema, &bad, "").is_err()
    };
    assert!(is_refused(&|bad| bad["schema"] = 2.into()));
    assert!(is_refused(&|bad| bad["kind"] = "pipe".into()));
    assert!(is_refused(&|bad| bad["used_bytes"] = (-1).into()));
    assert!(is_refused(&|bad| bad["used_bytes"] = Value::Null));
    assert!(is_refused(&|bad| bad["more"] = 1.into()));
    assert!(is_refused(&|bad| {
        bad.as_object_mut().unwrap().remove("sent");
    }));
    assert!(is_refused(&|bad| bad["participants"] = json!([{}])));
}

/// Whatever lies there, which a peer can have written.
#[test]
fn the_type_of_a_rings_messages_is_shown() {
    const ORDER: MessageType = MessageType::of::<[u64; 2]>("shop.order").with_version(2);
    let place = Place::new("shm");
    let ring = ringway::at(&place.address).unwrap().message_type(ORDER);
    let ring = ring.create().unwrap();
    let shown = |expected: &Value, line: &str| {
        let stat = place.stat();
        assert_fits(&stat);
        assert_eq!(stat["message_type"], *expected);
        let text = run(["stat", &place.address]).stdout;
        let text = String::from_utf8(text).unwrap();
        let found = text.lines().find(|one| one.starts_with("messages"));
        assert_eq!(found, Some(&*format!("messages    {line}")), "{text}");
    };
    let order = json!({ "name": "shop.order", "version": 2, "size_bytes": 16, "alignment": 8 });
    shown(&order, "shop.order version 2 (16 bytes, alignment 8)");
    let name = place.address.strip_prefix("shm:").unwrap();
    let path = format!("/dev/shm/{name}");
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"\x1b[2J\n\xff", 664).unwrap();
    let forged = json!({
        "name": "\u{1b}[2J\n\u{fffd}rder", "version": 2, "size_bytes": 16, "alignment": 8,
    });
    shown(
        &forged,
        "%1b[2J%0a\u{fffd}rder version 2 (16 bytes, alignment 8)",
    );
    drop(ring);
}

#[test]
fn every_kind_is_as_the_schema_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let log = format!("log:{path}/log-of-a-test");
    let send = ["send", &log, "--create", "-m", "one", "-m", "two"];
    assert_status(&run(send), 0);
    let kinds = ["spsc", "mpsc", "spmc", "mpmc", "broadcast"];
    let rings = kinds.map(|kind| (kind, Place::new("shm")));
    for (kind, place) in &rings {
        let mut words = vec!["create", &place.address, "--kind", kind];
        if *kind != "broadcast" {
            words.extend(["--slabs", "4Kx2"]);
        }
        assert_status(&run(words), 0);
    }
    let queues = ["mq", "sysvmq"].map(Place::new);
    for queue in &queues {
        let send = run(["send", &queue.address, "--create", "-m", "one"]);
        assert_status(&send, 0);
    }
    let board = Place::new("shm");
    assert_status(&run(["set", &board.address, "speed", "50"]), 0);
    let service = Place::new("shm");
    let words = ["serve", &service.address, "--", "cat"];
    let server = Running::spawn(command(words).stdout(Stdio::null()));
    eventually("the server", || {
        let stat = run(["stat", &service.address, "--json"]);
        stat.status.success() && json(&stat)["service"]["servers"] == 1
    });

    let all = json(&run(["ls", "--json", path]));
    assert_fits(&all);
    let expected = rings.iter().map(|(kind, place)| (*kind, &place.address));
    let expected = expected
        .chain(queues.iter().map(|place| ("queue", &place.address)))
        .chain([
            ("board", &board.address),
            ("service", &service.address),
            ("log", &log),
        ]);
    for (kind, address) in expected {
        let found = all.as_array().unwrap().iter();
        let found: Vec<_> = found.filter(|one| one["address"] == *address).collect();
        assert_eq!(found.len(), 1, "{address}");
        assert_eq!(found[0]["kind"], kind);
        assert_eq!(found[0]["mode"], "600");
        assert_eq!(found[0]["owner_uid"], nix::unistd::geteuid().as_raw());
        let stat = json(&run(["stat", address, "--json", "--sample", "1ms"]));
        assert_fits(&stat);
        assert_eq!(stat["kind"], kind);
        assert!(stat["activity"]["over_seconds"].as_f64().unwrap() >= 0.001);
        assert_says(&run(["stat", address]).stdout, &[kind, "mode 600"]);
    }
    // The entries that nobody uses are not shown.
    let shown = json(&run(["stat", &service.address, "--json"]));
    assert_eq!(shown["entries"].as_array().unwrap().len(), 1, "{shown}");
    server.kill();
}

/// A sender to a full ring waits, and who does not take is stopped: that is what a person looks for.
#[test]
fn who_is_stopped_and_holds_whom_up_is_told() {
    for kind in ["spsc", "mpmc", "broadcast"] {
        let place = Place::new("shm");
        let address = place.address.as_str();
        let make = ["create", address, "--kind", kind, "--capacity", "4K"];
        assert_status(&run(make), 0);
        let mut words = vec!["recv", address, "--raw", "--follow"];
        if kind == "broadcast" {
            words.extend(["--policy", "block"]);
        }
        let mut recv = Running::spawn(command(words).stdout(Stdio::null()));
        eventually("the receiver", || place.participants().len() == 1);
        assert_eq!(place.participants()[0]["state"], "running");
        assert_eq!(place.participants()[0]["command"], "ringway");
        recv.signal(Signal::SIGSTOP);
        eventually("that it is stopped", || {
            place.participants()[0]["state"] == "stopped"
        });
        let mut send = Running::start(["send", address, "--raw", "/dev/zero"]);
        eventually("a sender that waits", || {
            place.stat()["held_up_by"].is_array()
        });
        let stat = place.stat();
        assert_fits(&stat);
        let pid = recv.id();
        assert_eq!(
            stat["held_up_by"],
            json!([{ "pid": pid, "command": "ringway", "state": "stopped" }]),
            "{kind}: {stat}"
        );
        let shown = text(&run(["stat", address, "--sample", "1ms"]).stdout);
        for words in [
            &format!("held up by  {pid} (ringway, stopped)"),
            "waits for room",
            "blocked for",
        ] {
            assert!(shown.contains(words), "{kind}: {words:?} is not in {shown}");
        }
        let listed = text(&run(["ls"]).stdout);
        let line = listed.lines().find(|line| line.starts_with(address));
        assert!(line.unwrap().contains(&format!("{pid} (ringway) stopped")));
        send.signal(Signal::SIGTERM);
        recv.signal(Signal::SIGCONT);
        recv.kill();
    }
}

#[test]
fn ls_shows_the_dead_alone_and_sorts_and_sums_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let at = |name: &str| format!("file:{path}/{name}");
    for (name, capacity, lines) in [("a", "4K", 3), ("b", "64K", 1), ("c", "16K", 2)] {
        let made = run(["create", &at(name), "--capacity", capacity]);
        assert_status(&made, 0);
        let input = common::lines(0, lines);
        assert_status(&run_with(["send", &at(name)], &input), 0);
    }
    let order = |by: &str| -> Vec<String> {
        let listed = json(&run(["ls", "--json", "--by", by, path]));
        let all = listed.as_array().unwrap().iter();
        let names = all.filter_map(|one| {
            let address = one["address"].as_str().unwrap();
            Some(address.strip_prefix(&at(""))?.to_owned())
        });
        names.collect()
    };
    assert_eq!(order("size"), ["b", "c", "a"]);
    assert_eq!(order("lag"), ["a", "c", "b"]);
    assert_eq!(order("age"), ["a", "b", "c"]);

    let dead = || text(&run(["ls", "--dead", path]).stdout);
    assert!(!dead().contains(&at("a")), "{}", dead());
    let mut send = Running::open(["send", &at("c")], b"");
    let pid = send.id();
    eventually("the sender", || {
        let listed = text(&run(["ls", path]).stdout);
        listed.contains(&format!("{pid} (ringway)"))
    });
    send.kill();
    let shown = dead();
    assert!(shown.contains(&at("c")), "{shown}");
    assert!(!shown.contains(&at("a")), "{shown}");
    assert!(shown.contains(&format!("{pid} died")), "{shown}");
    let summary = shown.lines().last().unwrap();
    for words in ["1 ring", "of ", " things", "2 messages waiting", "1 died"] {
        // Other tests' dead may be there as well.
        let alone = shown.lines().count() == 4;
        assert!(!alone || summary.contains(words), "{words:?}: {shown}");
    }
}

#[test]
fn watch_shows_it_again_and_what_moved() {
    let place = Place::new("shm");
    let mut send = waiting_sender(&place, &[], b"one\n");
    let address = place.address.as_str();
    let words = ["stat", address, "--json", "--watch=10ms", "--count", "3"];
    let watched = run(words);
    assert_status(&watched, 0);
    let lines = text(&watched.stdout);
    let looks: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(looks.len(), 3);
    looks.iter().for_each(assert_fits);
    assert_eq!(looks[0]["activity"], Value::Null);
    assert_eq!(looks[1]["activity"]["moved"], false);

    // It goes on until something moves, and is ended by a signal.
    let mut watch = Running::start(["stat", address, "--json", "--watch=1ms"]);
    let stdout = watch.child().stdout.take().unwrap();
    let mut looks = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let mut next = || serde_json::from_str::<Value>(&looks.next().unwrap().unwrap()).unwrap();
    next();
    send.write(b"two\n");
    while next()["activity"]["moved"] != true {}
    watch.signal(Signal::SIGTERM);
    drop(watch);
    let sampled = text(&run(["stat", address, "--sample", "1ms"]).stdout);
    assert!(sampled.contains("nothing moved in"), "{sampled}");
}

/// Nothing that only looks may change what it looks at, whoever could write there.
#[test]
fn an_observer_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let at = |scheme: &str, name: &str| format!("{scheme}:{}/{name}", path.display());
    let send = |address: &str| {
        assert_status(&run(["send", address, "--create", "-m", "one"]), 0);
    };
    send(&at("file", "ring"));
    send(&at("log", "log"));
    assert_status(&run(["set", &at("file", "board"), "key", "value"]), 0);
    let all = || -> Vec<(std::path::PathBuf, Vec<u8>, std::time::SystemTime)> {
        let mut found = Vec::new();
        let mut left = vec![path.to_owned()];
        while let Some(next) = left.pop() {
            let about = next.metadata().unwrap();
            let bytes = match about.is_dir() {
                true => {
                    let entries = std::fs::read_dir(&next).unwrap();
                    left.extend(entries.map(|entry| entry.unwrap().path()));
                    Vec::new()
                }
                false => std::fs::read(&next).unwrap(),
            };
            found.push((next, bytes, about.modified().unwrap()));
        }
        found.sort();
        found
    };
    let before = all();
    assert!(before.len() > 5);
    let listed = run(["ls", "--json", path.to_str().unwrap()]);
    assert_eq!(
        json(&listed)
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["address"].to_string().contains(path.to_str().unwrap()))
            .count(),
        3
    );
    for address in [at("file", "ring"), at("log", "log"), at("file", "board")] {
        assert_status(&run(["stat", &address]), 0);
    }
    assert!(before == all());
}
