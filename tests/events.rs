//! What is told by `tracing`: each event is told when it should be, and stands in the table; nothing is told where messages flow; and
//! whoever listens, however badly, keeps no handle from its work.
#![cfg(feature = "tracing")]

mod two_processes;

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use ringway::board::GetError;
use ringway::gc::Gc;
use ringway::service::CallError;
use ringway::{Board, Builder, Kind, RecvError, Ring};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::with_default;
use tracing::{Event, Metadata, Subscriber};
use two_processes::place::{Backing, Place};
use two_processes::roles::{producer, receive, send};
use two_processes::{First, Second, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send" => send(first),
        "receive" => receive(first),
        "hold a message" => hold_a_message(first),
        "set" => set(first),
        "begin with a request" => begin_with_a_request(first),
        "ask" => ask(first),
        _ => panic!("{role}"),
    });
}

fn hold_a_message(first: &First) {
    let mut receiver = first.ring().receiver().unwrap();
    let message = receiver.recv_in_place().unwrap();
    first.say("held");
    first.hear();
    drop(message);
}

fn set(first: &First) {
    let board = Board::at(&first.address().to_string()).unwrap();
    let mut writer = board.open().unwrap().writer("speed").unwrap();
    writer.set(b"50").unwrap();
    first.say("set");
    first.hear();
}

fn begin_with_a_request(first: &First) {
    let service = ringway::serve(&first.address().to_string()).unwrap();
    let mut server = service.start().unwrap();
    let request = server.next().unwrap();
    first.say("begun");
    first.hear();
    drop(request);
}

fn ask(first: &First) {
    let service = ringway::connect(&first.address().to_string()).unwrap();
    let mut client = service.open().unwrap();
    let answers = client.stream(b"hello").unwrap();
    first.say("asked");
    first.hear();
    drop(answers);
}

/// Who listens: notes each event as `target LEVEL what field=value ...`, and then does as it is told.
#[derive(Clone, Default)]
struct Listener {
    heard: Arc<Mutex<Vec<String>>>,
    then: Option<fn(&str)>,
}

impl Listener {
    fn then(then: fn(&str)) -> Self {
        Self {
            then: Some(then),
            ..Self::default()
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits for an event that has all these words, and returns it.
    #[track_caller]
    fn hears(&self, words: &[&str]) -> String {
        let until = watchdog();
        loop {
            let heard = self.heard();
            let told = |event: &&String| words.iter().all(|word| event.contains(word));
            if let Some(event) = heard.iter().find(told) {
                return event.clone();
            }
            assert!(Instant::now() < until, "{words:?} is not in {heard:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How many events have all these words.
    fn count(&self, words: &[&str]) -> usize {
        let heard = self.heard();
        let told = |event: &&String| words.iter().all(|word| event.contains(word));
        heard.iter().filter(told).count()
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let about = event.metadata();
        let mut words = Words::default();
        event.record(&mut words);
        let line = format!(
            "{} {} {}{}",
            about.target(),
            about.level(),
            words.what,
            words.fields
        );
        self.heard.lock().unwrap().push(line.clone());
        if let Some(then) = self.then {
            then(&line);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Words {
    what: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.what = format!("{value:?}"),
            name => write!(self.fields, " {name}={value:?}").unwrap(),
        }
    }
}

#[test]
fn a_life_is_told_from_its_making_to_its_removal() {
    let listener = Listener::default();
    let place = Place::new(Backing::Shm);
    let address = place.address.clone();
    with_default(listener.clone(), || {
        let ring = Builder::at(address.clone()).create().unwrap();
        drop(ring.sender().unwrap());
        drop(Builder::at(address.clone()).open().unwrap());
        ringway::remove(&address, false).unwrap();
    });
    let about = format!("address={address}");
    let capacity = 4 << 20;
    assert_eq!(
        listener.heard(),
        [
            format!(
                "ringway::segment INFO created {about} kind=\"spsc\" sync=\"futex\" capacity={capacity}"
            ),
            format!("ringway::peer DEBUG attached {about} role=\"producer\" slot=0 epoch=1"),
            format!("ringway::peer DEBUG leaving {about} role=\"producer\" slot=0"),
            format!(
                "ringway::segment DEBUG opened {about} kind=\"spsc\" sync=\"futex\" capacity={capacity}"
            ),
            format!("ringway::segment INFO removed {about}"),
        ]
    );
}

/// A ring that its test has to itself.
fn ring(kind: Kind) -> Ring {
    let ring = Builder::new("memfd:").unwrap().kind(kind).capacity(1 << 16);
    ring.create().unwrap()
}

#[test]
fn a_death_and_its_repair_are_told() {
    let listener = Listener::default();
    with_default(listener.clone(), || {
        let ring = ring(Kind::Mpmc);
        ring.sender().unwrap().send(b"a job").unwrap();
        let mut survivor = ring.receiver().unwrap();
        let victim = Second::start("hold a message", &ring);
        victim.expect("held");
        let pid = format!("pid={}", victim.pid());
        let role = "role=\"consumer\"";
        listener.hears(&["ringway::peer DEBUG peer came", role, &pid]);
        victim.kill();
        listener.hears(&["ringway::peer WARN peer died", role, &pid]);
        assert_eq!(survivor.recv_deadline(watchdog()).unwrap(), b"a job");
        listener.hears(&["ringway::peer INFO repaired", "records=1"]);
        // Who comes after a dead one is told of it as well.
        let next = ring.receiver().unwrap();
        listener.hears(&["ringway::peer INFO succeeded a dead one", role, &pid]);
        // And who leaves in order does not die.
        let orderly = Second::start("receive", &ring);
        orderly.expect("attached");
        let pid = format!("pid={}", orderly.pid());
        listener.hears(&["peer came", &pid]);
        orderly.say("leave");
        orderly.finish();
        listener.hears(&["ringway::peer DEBUG peer left", &pid]);
        drop((survivor, next));
    });
    let heard = listener.heard();
    let deaths = heard.iter().filter(|event| event.contains("peer died"));
    // Two handles could tell of one: the other came when it was dead already.
    assert_eq!(deaths.count(), 1, "{heard:#?}");
}

/// What the handle has found out is told before it is gone, however soon that is.
#[test]
fn what_a_handle_knows_is_told_before_it_leaves() {
    for _ in 0..20 {
        let listener = Listener::default();
        with_default(listener.clone(), || {
            let ring = ring(Kind::Spsc);
            let mut receiver = ring.receiver().unwrap();
            let victim = producer(&ring, 1);
            victim.kill();
            receiver.recv_deadline(watchdog()).unwrap();
            let end = receiver.recv_deadline(watchdog());
            assert_eq!(end, Err(RecvError::PeerDied));
            drop(receiver);
            let heard = listener.heard();
            let pid = format!("pid={}", victim.pid());
            let told = |event: &String| event.contains("peer died") && event.contains(&pid);
            assert!(heard.iter().any(told), "{heard:#?}");
            let last = heard.last().unwrap();
            assert!(last.contains("leaving"), "{heard:#?}");
        });
    }
}

#[test]
fn nothing_is_told_where_messages_flow() {
    for kind in [Kind::Spsc, Kind::Mpmc, Kind::Broadcast] {
        let listener = Listener::default();
        with_default(listener.clone(), || {
            let ring = ring(kind);
            let (mut receiver, mut sender) = (ring.receiver().unwrap(), ring.sender().unwrap());
            listener.hears(&["peer came"]);
            let before = listener.heard();
            for index in 0_u64..20_000 {
                sender.send(&index.to_le_bytes()).unwrap();
                assert_eq!(receiver.recv().unwrap(), index.to_le_bytes());
            }
            // Also where they wait.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    with_default(listener.clone(), || {
                        for index in 0_u64..2000 {
                            sender.send(&index.to_le_bytes()).unwrap();
                            std::thread::yield_now();
                        }
                    });
                });
                for _ in 0..2000 {
                    receiver.recv_deadline(watchdog()).unwrap();
                }
            });
            let after = listener.heard();
            // Each of two handles tells that the other has come, one of them perhaps late.
            let news = after[before.len()..].iter();
            let others: Vec<_> = news.filter(|event| !event.contains("peer came")).collect();
            assert!(others.is_empty(), "{others:#?}");
        });
    }
}

/// Were it told by the thread that brings the news, the receiver would wait for ever; and the handle could not leave.
#[test]
fn who_listens_and_takes_for_ever_keeps_nobody() {
    static FREE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
    let listener = Listener::then(|event| {
        if event.contains("peer died") {
            let (free, news) = &FREE;
            let held = news.wait_while(free.lock().unwrap(), |free| !*free);
            drop(held.unwrap());
        }
    });
    with_default(listener.clone(), || {
        let ring = ring(Kind::Spsc);
        let mut receiver = ring.receiver().unwrap();
        let victim = producer(&ring, 1);
        receiver.recv_deadline(watchdog()).unwrap();
        victim.kill();
        listener.hears(&["peer died"]);
        let end = receiver.recv_deadline(watchdog());
        assert_eq!(end, Err(RecvError::PeerDied));
        drop(receiver);
        // Its place can be had again.
        drop(ring.receiver().unwrap());
    });
    *FREE.0.lock().unwrap() = true;
    FREE.1.notify_all();
}

#[test]
fn who_listens_and_panics_ends_no_handle() {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    let listener = Listener::then(|event| {
        if event.contains("peer died") {
            PANICKED.store(true, Ordering::Release);
            panic!("as this test has it");
        }
    });
    with_default(listener, || {
        let ring = ring(Kind::Spsc);
        let mut receiver = ring.receiver().unwrap();
        let victim = producer(&ring, 1);
        receiver.recv_deadline(watchdog()).unwrap();
        victim.kill();
        let end = receiver.recv_deadline(watchdog());
        assert_eq!(end, Err(RecvError::PeerDied));
        let until = watchdog();
        while !PANICKED.load(Ordering::Acquire) {
            assert!(Instant::now() < until, "nothing is told");
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(receiver);
        drop(ring.receiver().unwrap());
    });
}

#[test]
fn the_death_of_a_boards_writer_is_told_by_readers_and_by_who_takes_over() {
    let listener = Listener::default();
    let place = Place::new(Backing::Shm);
    let about = format!("address={} key=\"speed\"", place.address);
    with_default(listener.clone(), || {
        let board = Board::at(&place.address.to_string()).unwrap();
        let board = board.create().unwrap();
        let mut gauges = [(); 2].map(|()| board.reader("speed").unwrap());
        let victim = Second::start_at("set", &place.address);
        victim.expect("set");
        for gauge in &mut gauges {
            assert_eq!(gauge.get().unwrap().unwrap(), *b"50");
        }
        victim.kill();
        let [blocked, armed] = &mut gauges;
        let end = blocked.wait_newer_deadline(watchdog());
        assert_eq!(end.unwrap_err(), GetError::WriterDied);
        let died = ["ringway::board WARN writer died", &about];
        assert_eq!(listener.count(&died), 1);
        // Once for each that waits, and each death.
        assert_eq!(armed.arm().unwrap_err(), GetError::WriterDied);
        assert!(blocked.arm().unwrap());
        assert_eq!(listener.count(&died), 2);
        let writer = board.writer("speed").unwrap();
        let over = ["ringway::board INFO took over from a dead one", &about];
        assert_eq!(listener.count(&over), 1);
        // From one that has left, nobody takes over.
        drop(writer);
        drop(board.writer("speed").unwrap());
        assert_eq!(listener.count(&over), 1);
    });
}

#[test]
fn deaths_in_a_service_are_told() {
    let listener = Listener::default();
    let place = Place::new(Backing::Shm);
    let name = place.address.to_string();
    let about = format!("address={name}");
    with_default(listener.clone(), || {
        drop(ringway::serve(&name).unwrap().clients(1).start().unwrap());
        let once = ringway::connect(&name).unwrap();
        let mut once = once.open().unwrap();
        let again = ringway::connect(&name).unwrap().at_least_once();
        let again = again.grace(Duration::from_secs(600));
        let mut again = again.open().unwrap();
        let died = ["ringway::service WARN server died", &about];

        // Told by the client, once, although its next call finds the traces.
        let victim = Second::start_at("begin with a request", &place.address);
        let mut answers = once.stream_deadline(&b"one"[..], watchdog()).unwrap();
        victim.expect("begun");
        victim.kill();
        assert_eq!(answers.next_part(), Err(CallError::ServerDied));
        drop(answers);
        assert_eq!(listener.count(&died), 1, "{:#?}", listener.heard());
        drop(once.stream_deadline(&b"two"[..], watchdog()).unwrap());
        assert_eq!(listener.count(&died), 1, "{:#?}", listener.heard());

        // And by the server that takes the desk after the dead one.
        let victim = Second::start_at("begin with a request", &place.address);
        let mut answers = again.stream_deadline(&b"three"[..], watchdog()).unwrap();
        victim.expect("begun");
        victim.kill();
        while listener.count(&died) < 2 {
            let soon = Instant::now() + Duration::from_millis(1);
            assert_eq!(answers.whole_until(soon), Poll::Pending);
        }
        let mut server = ringway::serve(&name).unwrap().start().unwrap();
        let succeeded = ["ringway::service INFO succeeded a dead server", &about];
        assert_eq!(listener.count(&succeeded), 1);
        let request = server.next_deadline(watchdog()).unwrap();
        assert_eq!(listener.count(&died), 3, "{:#?}", listener.heard());
        request.answer(b"done").unwrap();
        assert_eq!(answers.whole().unwrap(), b"done");

        // A client's death, by the server that has its call, and by the client that has its desk next.
        let victim = Second::start_at("ask", &place.address);
        victim.expect("asked");
        let mut request = server.next_deadline(watchdog()).unwrap();
        victim.kill();
        let until = watchdog();
        while !request.is_cancelled() {
            assert!(Instant::now() < until, "its death is not seen");
        }
        assert!(request.is_cancelled());
        drop(request);
        let died = ["ringway::service WARN client died", &about];
        assert_eq!(listener.count(&died), 1, "{:#?}", listener.heard());
        let free = server.clients() - 2;
        let others: Vec<_> = (0..free).map(|_| once.another().unwrap()).collect();
        assert_eq!(listener.count(&died), 2, "{:#?}", listener.heard());
        // Those that leave do not die.
        drop(others);
        drop(once.another().unwrap());
        assert_eq!(listener.count(&died), 2, "{:#?}", listener.heard());
    });
    // What its victims have left.
    drop(Gc::new().address(place.address.clone()).run());
}

#[test]
fn a_collection_and_a_log_are_told() {
    let listener = Listener::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    with_default(listener.clone(), || {
        let address = format!("file:{path}/ring").parse().unwrap();
        let ring = Builder::at(address).create().unwrap();
        let address = ring.address().clone();
        producer(&ring, 0).kill();
        drop(ring);
        Gc::new().address(address.clone()).run();
        let what = format!("what={address}");
        listener.hears(&["ringway::gc INFO collected", &what]);
        listener.hears(&[
            "ringway::segment INFO removed",
            &format!("address={address}"),
        ]);

        let address = format!("log:{path}/log");
        let log = ringway::log::Log::at(&address).unwrap();
        let keep = ringway::log::Retention::all().bytes(1 << 17);
        let log = log.segment_len(1 << 16).retention(keep).create().unwrap();
        let mut writer = log.writer().unwrap();
        for _ in 0..20 {
            writer.append(&[7; 8000]).unwrap();
        }
        listener.hears(&["ringway::log INFO retired", &address, "segments=1"]);
        // Nothing is too much now, and nothing is told.
        let told = listener.count(&["ringway::log", "retired"]);
        assert_eq!(writer.retain(), Ok(0));
        assert_eq!(listener.count(&["ringway::log", "retired"]), told);
        drop(writer);
        ringway::log::remove(&address.parse().unwrap(), false).unwrap();
        for words in ["created", "writing", "rolled", "removed"] {
            listener.hears(&["ringway::log", words, &address]);
        }
    });
}

/// One `target LEVEL what`.
type Told = (String, String, String);

/// The events in a source, found by their macro.
fn in_source(text: &str, found: &mut BTreeSet<(Told, Vec<String>)>) {
    for call in text.split("tell!(").skip(1) {
        // Of the macro's own rules: none begins with a text.
        let Some(call) = call.trim_start().strip_prefix('"') else {
            continue;
        };
        let (target, rest) = call.split_once('"').unwrap();
        let (level, rest) = rest[1..].split_once(',').unwrap();
        let (_, rest) = rest.split_once('"').unwrap();
        let (what, rest) = rest.split_once('"').unwrap();
        let rest = rest.split_once(';').map_or(rest, |(fields, _)| fields);
        let names = rest.lines().flat_map(|line| line.split(", "));
        let names = names.map(|field| field.trim().trim_matches([',', ')']).trim());
        let names = names.filter_map(|field| field.split(" = ").next());
        let names = names
            .filter(|name| !name.is_empty() && name.chars().all(|it| it.is_alphanumeric()))
            .map(str::to_owned);
        let told = (target.into(), level.trim().into(), what.into());
        found.insert((told, names.collect()));
    }
}

fn in_folder(folder: &Path, found: &mut BTreeSet<(Told, Vec<String>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_folder(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            in_source(&std::fs::read_to_string(&path).unwrap(), found);
        }
    }
}

/// The words in a cell of the table.
fn words(cell: &str) -> Vec<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

#[test]
fn the_table_has_each_event_with_its_fields_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for package in std::fs::read_dir(root.join("crates")).unwrap() {
        let sources = package.unwrap().path().join("src");
        if sources.exists() {
            in_folder(&sources, &mut found);
        }
    }
    let table = std::fs::read_to_string(root.join("src/events.md")).unwrap();
    let mut written = BTreeSet::new();
    let (mut target, mut fields) = (String::new(), Vec::new());
    for row in table.lines().skip(2) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, of, level, events, with, _, _] = cells[..] else {
            panic!("{row}");
        };
        if let [of] = &words(of)[..] {
            target.clone_from(of);
        }
        if with != "the same" {
            fields = words(with);
        }
        for what in words(events) {
            written.insert(((target.clone(), level.to_uppercase(), what), fields.clone()));
        }
    }
    assert!(found.len() > 20, "{found:#?}");
    assert_eq!(found, written);
}
