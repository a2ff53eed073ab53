//! `ringway metrics`: what a scraper gets, by each way, and that the rules and the dashboard in the tree ask for what there is.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Place, Running, assert_says, assert_status, command, eventually, run, text};
use nix::sys::signal::Signal;

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../packaging")
        .join(name)
}

/// The samples of one address: each name, with all labels but the address, and its figure.
fn samples(exposition: &str, address: &str) -> Vec<(String, f64)> {
    let labels = format!("address=\"{address}\"");
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.filter(|line| line.contains(&labels));
    let sample = |line: &str| {
        let (name, figure) = line.rsplit_once(' ').unwrap();
        let name = name.replace(&format!("{labels},"), "");
        (name, figure.parse().unwrap())
    };
    lines.map(sample).collect()
}

#[track_caller]
fn assert_sample(exposition: &str, address: &str, name: &str, figure: f64) {
    let all = samples(exposition, address);
    let found = all.iter().find(|(found, _)| found == name);
    let found = found.unwrap_or_else(|| panic!("{name} is not in {all:#?}"));
    assert_eq!(found.1, figure, "{name}");
}

/// The names of all samples.
fn names(exposition: &str) -> BTreeSet<String> {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    lines.map(name).collect()
}

#[test]
fn figures_are_those_of_the_segments() {
    let place = Place::new("shm");
    let address = place.address.as_str();
    let make = ["create", address, "--kind", "mpmc", "--capacity", "4K"];
    assert_status(&run(make), 0);
    let lines = ["-m", "one", "-m", "two", "-m", "three"];
    assert_status(&run(["send", address].into_iter().chain(lines)), 0);
    assert_status(&run(["recv", address, "--count", "1"]), 0);
    let written = run(["metrics"]);
    assert_status(&written, 0);
    let all = text(&written.stdout);
    assert!(all.ends_with("# EOF\n"), "{all}");
    let of = |name: &str| format!("{name}{{kind=\"mpmc\"}}");
    for (name, figure) in [
        ("ringway_sent_messages_total", 3.0),
        ("ringway_received_messages_total", 1.0),
        ("ringway_messages", 2.0),
        ("ringway_lag_messages", 2.0),
        ("ringway_capacity_bytes", 4096.0),
        ("ringway_blocked_producers", 0.0),
        ("ringway_overwritten_messages_total", 0.0),
    ] {
        assert_sample(&all, address, &of(name), figure);
    }

    // A sender fills it, and waits; another process is stopped, and then dead.
    let mut send = Running::start(["send", address, "--raw", "/dev/zero"]);
    let now = || text(&run(["metrics"]).stdout);
    let in_state = |state: &str| {
        format!("ringway_participants{{kind=\"mpmc\",role=\"producer\",state=\"{state}\"}}")
    };
    let is = |name: &str, figure: f64| {
        let all = samples(&now(), address);
        all.iter().any(|(found, is)| found == name && *is == figure)
    };
    eventually("a sender that waits", || {
        is(&of("ringway_blocked_producers"), 1.0)
    });
    assert!(is(&in_state("running"), 1.0));
    send.signal(Signal::SIGSTOP);
    eventually("that it is stopped", || is(&in_state("stopped"), 1.0));
    assert!(is(&in_state("running"), 0.0));
    send.kill();
    eventually("that it is dead", || is(&in_state("dead"), 1.0));
    assert!(is(&in_state("stopped"), 0.0));
}

#[test]
fn a_file_is_put_in_place_whole_in_the_format_of_the_node_exporter() {
    let directory = tempfile::tempdir().unwrap();
    let log = format!("log:{}/log", directory.path().display());
    assert_status(
        &run(["send", &log, "--create", "-m", "one", "-m", "two"]),
        0,
    );
    let path = directory.path().join("ringway.prom");
    let words = ["metrics", "--textfile", path.to_str().unwrap(), &log];
    assert_status(&run(words), 0);
    let written = std::fs::read_to_string(&path).unwrap();
    assert_sample(
        &written,
        &log,
        "ringway_sent_messages_total{kind=\"log\"}",
        2.0,
    );
    assert!(!written.contains("EOF"), "{written}");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let nowhere = directory.path().join("not/there.prom");
    let words = ["metrics", "--textfile", nowhere.to_str().unwrap()];
    let refused = run(words);
    assert_status(&refused, 2);
    assert_says(&refused.stderr, &["cannot write"]);
    assert_status(&run(["metrics", "/not/there"]), 1);
    promtool(&["check", "metrics"], Some(&written));
}

/// Sends a request as it is, and reads to the end.
fn ask(at: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_asks_gets_what_is_so_at_that_moment() {
    let place = Place::new("shm");
    assert_status(&run(["create", &place.address]), 0);
    let words = ["metrics", "--listen", "127.0.0.1:0"];
    let mut server = Running::spawn(command(words).stdout(Stdio::null()));
    let stderr = server.child().stderr.take().unwrap();
    let mut said = String::new();
    BufReader::new(stderr).read_line(&mut said).unwrap();
    let at = said.split("http://").nth(1).unwrap();
    let at = at.split('/').next().unwrap();

    // Those who say nothing keep nobody waiting.
    let _silent: Vec<_> = (0..2).map(|_| TcpStream::connect(at).unwrap()).collect();
    let get = |path: &str| ask(at, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let sent = |answer: &str, figure| {
        let name = "ringway_sent_messages_total{kind=\"spsc\"}";
        assert_sample(answer, &place.address, name, figure);
    };
    let before = get("/metrics");
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n"), "{before}");
    assert!(before.contains("application/openmetrics-text; version=1.0.0"));
    sent(&before, 0.0);
    assert_status(&run(["send", &place.address, "-m", "one"]), 0);
    sent(&get("/metrics?x=1"), 1.0);
    assert!(get("/else").starts_with("HTTP/1.1 404 "));
    assert!(get("/").contains("/metrics"));
    assert!(ask(at, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    let head = ask(at, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    // What is no request, or has no end, is given up.
    for rubbish in ["\r\n\r\n".to_owned(), "\u{fffd} \r\n\r\n".to_owned()] {
        assert!(ask(at, &rubbish).starts_with("HTTP/1.1 405 "));
    }
    let mut endless = TcpStream::connect(at).unwrap();
    let _ = endless.write_all(&[b'x'; 16 << 10]);
    let mut nothing = Vec::new();
    let _ = endless.read_to_end(&mut nothing);
    assert_eq!(nothing, b"");
    sent(&get("/metrics"), 1.0);

    // Its place is taken.
    assert_status(&run(["metrics", "--listen", at]), 2);
    server.signal(Signal::SIGTERM);
    let ended = server.finish();
    assert!(!ended.status.success());
}

/// Something of each kind, so that each figure is there.
fn exposition_of_everything() -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let at = |name: &str| format!("file:{path}/{name}");
    let log = format!("log:{path}/log");
    assert_status(&run(["send", &log, "--create", "-m", "one"]), 0);
    assert_status(&run(["recv", &log, "--name", "audit", "--count", "1"]), 0);
    for (name, kind) in [("a", "spsc"), ("b", "mpmc"), ("c", "broadcast")] {
        assert_status(&run(["create", &at(name), "--kind", kind]), 0);
    }
    assert_status(&run(["create", &at("d"), "--slabs", "4Kx2"]), 0);
    assert_status(&run(["set", &at("e"), "key", "value"]), 0);
    let damaged = directory.path().join("f");
    assert_status(&run(["create", &at("f")]), 0);
    let file = std::fs::File::options().write(true).open(damaged).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 16], 64).unwrap();
    let queue = Place::new("mq");
    assert_status(&run(["send", &queue.address, "--create", "-m", "one"]), 0);
    let service = at("g");
    let words = ["serve", &service, "--", "cat"];
    let server = Running::spawn(command(words).stdout(Stdio::null()));
    eventually("the server", || {
        run(["stat", &service]).status.success() && {
            let all = text(&run(["metrics", path]).stdout);
            all.contains("ringway_service_servers{")
        }
    });
    let written = run(["metrics", path]);
    assert_status(&written, 0);
    server.kill();
    text(&written.stdout)
}

#[test]
fn the_rules_and_the_dashboard_ask_for_what_there_is() {
    let all = exposition_of_everything();
    let names = names(&all);
    for file in [
        "prometheus/ringway.rules.yml",
        "prometheus/ringway.rules.test.yml",
        "grafana/ringway.json",
    ] {
        let content = std::fs::read_to_string(packaging(file)).unwrap();
        let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let words = content.split(|letter: char| !is_of_name(letter));
        let asked: BTreeSet<_> = words.filter(|word| word.starts_with("ringway_")).collect();
        assert!(asked.len() > 5, "{file}: {asked:?}");
        for name in asked {
            assert!(names.contains(name), "{file} asks for {name}: {names:#?}");
        }
    }
    let dashboard = std::fs::read_to_string(packaging("grafana/ringway.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(
        panels
            .iter()
            .all(|panel| panel["targets"][0]["expr"].is_string())
    );
    // Each figure has a name that is declared, and each series is there once.
    let mut series = BTreeSet::new();
    for line in all.lines().filter(|line| !line.starts_with('#')) {
        let (name, _) = line.rsplit_once(' ').unwrap();
        assert!(series.insert(name), "{name} is there twice");
        let name = name.split('{').next().unwrap();
        let family = name.strip_suffix("_total").unwrap_or(name);
        assert!(all.contains(&format!("# TYPE {family} ")), "{family}");
    }
}

/// Runs promtool, if it is there.
fn promtool(words: &[&str], input: Option<&str>) {
    let mut command = Command::new("promtool");
    command.args(words).current_dir(packaging("prometheus"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(_) => {
            eprintln!("no promtool here (Debian's package prometheus): not checked");
            return;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "promtool {words:?}: {said}");
}

#[test]
fn the_rules_fire_when_they_shall() {
    promtool(&["check", "rules", "ringway.rules.yml"], None);
    promtool(&["test", "rules", "ringway.rules.test.yml"], None);
}
