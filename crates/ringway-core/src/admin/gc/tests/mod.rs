//! Crashes of every sort, then a collection of everything there is, in namespaces of their own, so that no
//! other test's rings are there. Where this process may not have them, these tests are skipped and say so.

mod hostile;
mod late;
mod process;
mod slabs;

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use super::*;
use crate::api::builder::Builder;
use crate::memory::layout::{Kind, SyncKind};
use crate::sys::{mq_overview as mq, semget, shmget};
use process::{ends, kill, private, spawn, steps};

const PATIENCE: Duration = Duration::from_secs(60);

/// In the permissions of a System V segment: removed, and gone as soon as nobody has it mapped.
const SHM_DEST: u32 = 0o1000;

/// What there is in this process's namespaces. A segment that is removed counts no more: who was killed and has it
/// mapped may still be dying, also when its parent knows of its end.
fn listing() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir("/dev/shm").unwrap() {
        all.insert(format!("/dev/shm {:?}", entry.unwrap().file_name()));
    }
    for table in ["shm", "sem"] {
        let text = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let mut fields = line.split_whitespace();
            let mut field = || fields.next().unwrap();
            let (key, id) = (field(), field());
            let mode = u32::from_str_radix(field(), 8).unwrap();
            if table == "sem" || mode & SHM_DEST == 0 {
                all.insert(format!("{table} {key} {id}"));
            }
        }
    }
    let queues = queues::names().unwrap();
    all.extend(queues.into_iter().map(|name| format!("queue {name}")));
    all
}

/// What the kernel tells of semaphore sets.
fn state_of_sets() -> String {
    let table = std::fs::read_to_string("/proc/sysvipc/sem").unwrap();
    let values = |line: &str| {
        let id = line.split_whitespace().nth(1)?.parse().ok()?;
        let count = semget::status(id).ok()?.count;
        let values: Vec<_> = (0..count).map(|index| semget::value(id, index)).collect();
        Some(format!("{line}: {values:?}\n"))
    };
    table.lines().filter_map(values).collect()
}

/// Collects until nothing but `before` is there: what was killed a moment ago may still be dying.
#[track_caller]
fn collect_until(before: &BTreeSet<String>) {
    let started = Instant::now();
    loop {
        let report = Gc::new().run();
        assert_eq!(report.failures, []);
        assert_eq!(report.blind_spots, []);
        let now = listing();
        if now == *before {
            return;
        }
        let excess: Vec<_> = now.symmetric_difference(before).collect();
        assert!(
            started.elapsed() < PATIENCE,
            "{excess:?}: {report:?}\n{}",
            state_of_sets()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Addresses in a private world, by their kinds.
fn addresses(name: &str) -> [String; 2] {
    let key = name.bytes().fold(7_u32, |key, byte| {
        key.wrapping_mul(31).wrapping_add(byte.into())
    });
    [format!("shm:{name}"), format!("sysv:{:#010x}", key | 1)]
}

/// Another process in the roles of a ring that it makes if need be; `messages` are sent, none received.
fn holder(address: &str, kind: Kind, sync: SyncKind, messages: u32) -> Child {
    let what = format!("hold {address} {} {} {messages}", kind.name(), sync.name());
    spawn(&what)
}

#[test]
fn nothing_is_left_of_rings_whose_holders_were_killed() {
    private("killed holders");
}

fn killed_holders() {
    let before = listing();
    for sync in SyncKind::ALL {
        for kind in [Kind::Spsc, Kind::Mpmc] {
            for address in addresses("held") {
                let holders = match kind {
                    Kind::Spsc => vec![holder(&address, kind, sync, 0)],
                    _ => (0..3).map(|_| holder(&address, kind, sync, 0)).collect(),
                };
                holders.into_iter().for_each(kill);
                collect_until(&before);
            }
        }
    }
}

#[test]
fn nothing_is_left_of_rings_whose_holders_are_zombies() {
    private("zombies");
}

fn zombies() {
    let before = listing();
    let zombies: Vec<Child> = SyncKind::ALL
        .into_iter()
        .flat_map(|sync| addresses(sync.name()).map(|address| (sync, address)))
        .map(|(sync, address)| {
            let mut zombie = holder(&address, Kind::Mpmc, sync, 0);
            // Not reaped.
            zombie.kill().unwrap();
            zombie
        })
        .collect();
    collect_until(&before);
    zombies.into_iter().for_each(kill);
}

#[test]
fn nothing_is_left_of_creators_that_are_killed_at_any_moment() {
    private("killed creators");
}

fn killed_creators() {
    let before = listing();
    // Each makes one ring after the other, so any moment is one of making, holding or removing.
    for round in 0..60_u32 {
        for sync in [SyncKind::Futex, SyncKind::SysvSem, SyncKind::Mqueue] {
            let [shm, sysv] = addresses("made").map(|address| {
                // Every other ring has slabs apart.
                let slabs = round % 2 * 5;
                let creator = spawn(&format!("make {address} {} {slabs}", sync.name()));
                (creator, Duration::from_micros(u64::from(round) * 37 % 1500))
            });
            for (creator, life) in [shm, sysv] {
                std::thread::sleep(life);
                kill(creator);
            }
            for address in addresses("made") {
                // Finished, and never held by anybody: that is no garbage.
                let address = address.parse().unwrap();
                if crate::inspect::stat(&address).is_ok_and(|stat| stat.producers_ever == 0) {
                    crate::remove(&address, false).unwrap();
                }
            }
            collect_until(&before);
        }
    }
}

#[test]
fn nothing_is_left_of_half_made_segments() {
    private("half-made");
}

fn half_made() {
    let before = listing();
    for play in [
        "die before the lock",
        "die holding the lock",
        "die before the magic",
    ] {
        for address in ["sysv:0x1234567", "sysv:0x7654321"] {
            process::die_in_the_middle(play, address);
        }
        assert_eq!(
            listing()
                .iter()
                .filter(|name| name.starts_with("shm "))
                .count(),
            2
        );
        collect_until(&before);
    }
    // And under a temporary name.
    let path = "/dev/shm/.ring.ringway-0123456789abcdef";
    std::fs::write(path, []).unwrap();
    collect_until(&before);
}

#[test]
fn nothing_is_left_of_what_lay_beside_rings_that_are_gone() {
    private("beside");
}

fn beside() {
    let before = listing();
    for sync in [SyncKind::SysvSem, SyncKind::Mqueue] {
        for address in addresses("gone") {
            let holders: Vec<_> = (0..2)
                .map(|_| holder(&address, Kind::Mpmc, sync, 0))
                .collect();
            // Not by ringway, which would have removed all of it.
            match address.strip_prefix("shm:") {
                Some(name) => std::fs::remove_file(format!("/dev/shm/{name}")).unwrap(),
                None => {
                    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
                    let row = table.lines().nth(1).unwrap();
                    let id = row.split_whitespace().nth(1).unwrap().parse().unwrap();
                    shmget::remove(id).unwrap();
                }
            }
            let in_use = listing();
            assert!(in_use.iter().any(|name| !name.starts_with("/dev/shm")));
            // They live, and go on.
            Gc::new().undelivered(true).run();
            assert_eq!(listing(), in_use);
            holders.into_iter().for_each(kill);
            collect_until(&before);
        }
    }
}

#[test]
fn the_living_the_orderly_and_the_foreign_are_left_alone() {
    private("others");
}

fn others() {
    // A segment, one with an odd mode, a set, a queue and files that are not ringway's, some of which look
    // like it.
    let create = libc::IPC_CREAT | libc::IPC_EXCL;
    for (key, len, mode) in [(11, 8192, 0o600), (12, 8192, 0o777), (13, 100, 0o610)] {
        shmget::get(key, len, create | mode).unwrap();
    }
    for count in [1, 25, 41] {
        let set = semget::create(count, 0o600).unwrap();
        semget::set_value(set, count - 1, 0x5257).unwrap();
    }
    let nonce = "00112233445566778899aabbccddeeff";
    for name in [
        "/ringway.notes".to_owned(),
        format!("/ringway.{nonce}.7.bak"),
        format!("/ringway.{nonce}.777"),
        format!("/ringway.{}.7", nonce.to_uppercase()),
    ] {
        let name = std::ffi::CString::new(name).unwrap();
        mq::open_or_create(&name, 0o600).unwrap();
    }
    for name in ["orders", ".orders.ringway-0123456789abcdef", ".x.ringway-1"] {
        std::fs::write(format!("/dev/shm/{name}"), "precious").unwrap();
    }
    // Rings that are held, in every way; that have been, in order; and that have never been.
    let mut living = Vec::new();
    for sync in SyncKind::ALL {
        for address in addresses(&format!("held-{}", sync.name())) {
            kill(holder(&address, Kind::Mpmc, sync, 0));
            living.push(holder(&address, Kind::Mpmc, sync, 2));
            kill(holder(&address, Kind::Mpmc, sync, 0));
        }
        for address in addresses(&format!("left-{}", sync.name())) {
            let builder = Builder::new(&address).unwrap().sync(sync).kind(Kind::Mpmc);
            drop(builder.create().unwrap().sender().unwrap());
        }
        for address in addresses(&format!("new-{}", sync.name())) {
            let builder = Builder::new(&address).unwrap().sync(sync).kind(Kind::Mpmc);
            builder.create().unwrap();
        }
    }
    // One that is open, and to which nobody alive is attached.
    let mut open = Vec::new();
    for address in addresses("open") {
        kill(holder(&address, Kind::Mpmc, SyncKind::Futex, 0));
        open.push(Builder::new(&address).unwrap().open().unwrap());
    }
    let before = listing();
    for undelivered in [false, true] {
        let report = Gc::new().undelivered(undelivered).run();
        assert_eq!(report.failures, []);
        assert_eq!(listing(), before, "{report:?}");
        let fates = |wanted: &dyn Fn(&Fate) -> bool| {
            report
                .found
                .iter()
                .filter(|found| wanted(&found.fate))
                .count()
        };
        let is_in_use =
            |fate: &Fate| matches!(fate, Fate::Kept(Why::InUse { alive: 2, dead }) if *dead > 0);
        assert_eq!(fates(&is_in_use), living.len(), "{report:?}");
        assert_eq!(fates(&|fate| *fate == Fate::Kept(Why::Open)), open.len());
        assert_eq!(report.found.len(), living.len() + open.len());
    }
    // They work as before.
    for ring in &open {
        ring.sender().unwrap().try_send(b"here").unwrap();
        assert_eq!(ring.receiver().unwrap().try_recv().unwrap(), b"here");
    }
    for one in living {
        ends(one);
    }
}

#[test]
fn messages_are_kept_until_they_are_received_or_given_up() {
    private("undelivered");
}

fn undelivered() {
    let before = listing();
    for kind in [Kind::Spsc, Kind::Mpmc] {
        for address in addresses("full") {
            kill(holder(&address, kind, SyncKind::Futex, 3));
            let held = listing();
            let address: Address = address.parse().unwrap();
            let collector = Gc::new().address(address.clone());
            let fate = |report: GcReport| {
                assert_eq!(report.failures, []);
                report.found.into_iter().next().unwrap().fate
            };
            // Threads of this process may have the ring open for a moment yet.
            let fate_in_the_end = |collector: &Gc| {
                let started = Instant::now();
                loop {
                    match fate(collector.run()) {
                        Fate::Kept(Why::Open) if started.elapsed() < PATIENCE => {}
                        fate => return fate,
                    }
                }
            };
            let kept = |messages| Fate::Kept(Why::Undelivered { messages });
            assert_eq!(fate(collector.run()), kept(3));
            assert_eq!(fate(Gc::new().run()), kept(3));
            let ring = Builder::at(address.clone()).open().unwrap();
            assert!(ring.receiver().unwrap().try_recv().is_ok());
            drop(ring);
            assert_eq!(fate(collector.run()), kept(2));
            assert_eq!(listing(), held);
            let collector = collector.undelivered(true);
            let dry = collector.clone().dry_run(true);
            assert_eq!(fate_in_the_end(&dry), Fate::Removable);
            assert_eq!(listing(), held);
            assert_eq!(fate_in_the_end(&collector), Fate::Removed);
            assert_eq!(listing(), before);
        }
    }
}

#[test]
fn a_dry_run_says_what_the_next_run_does_and_changes_nothing() {
    private("dry run");
}

fn dry_run() {
    let before = listing();
    for sync in SyncKind::ALL {
        for address in addresses(sync.name()) {
            kill(holder(&address, Kind::Mpmc, sync, 0));
        }
    }
    process::die_in_the_middle("die before the magic", "sysv:0x1234567");
    for (sync, name) in [(SyncKind::SysvSem, "set"), (SyncKind::Mqueue, "queue")] {
        kill(holder(&format!("shm:{name}"), Kind::Mpmc, sync, 0));
        std::fs::remove_file(format!("/dev/shm/{name}")).unwrap();
    }
    std::fs::write("/dev/shm/.ring.ringway-0123456789abcdef", []).unwrap();
    let bytes = || {
        let names = SyncKind::ALL.map(|sync| format!("/dev/shm/{}", sync.name()));
        names.map(|name| std::fs::read(name).unwrap())
    };
    let (held, contents) = (listing(), bytes());
    let dry = Gc::new().dry_run(true).run();
    assert_eq!(listing(), held);
    assert!(bytes() == contents);
    assert!(
        dry.found.iter().all(|found| found.fate == Fate::Removable),
        "{dry:?}"
    );
    let wet = Gc::new().run();
    let removed = |report: &GcReport| {
        let what = report.found.iter().map(|found| found.what.to_string());
        what.collect::<Vec<_>>()
    };
    assert_eq!(removed(&wet), removed(&dry));
    // Ten rings, one half made, a file, a set and queues.
    assert_eq!(wet.found.len(), 14, "{wet:?}");
    assert_eq!(listing(), before);
}

#[test]
fn what_lies_beside_a_file_is_left_alone_unless_the_ring_is_collected() {
    private("beside a file");
}

fn beside_a_file() {
    let before = listing();
    let directory = std::env::temp_dir().join(format!("ringway-test-gc-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    for sync in [SyncKind::SysvSem, SyncKind::Mqueue] {
        let address = format!("file:{}", directory.join("ring").display());
        kill(holder(&address, Kind::Mpmc, sync, 0));
        let held = listing();
        let report = Gc::new().run();
        if sync == SyncKind::SysvSem {
            // It cannot be known that the ring is gone.
            let [found] = report.found.as_slice() else {
                panic!("{report:?}");
            };
            assert!(
                matches!(found.fate, Fate::Kept(Why::Unknown { .. })),
                "{found:?}"
            );
            assert_eq!(listing(), held);
        } else {
            // They are made again when they are needed.
            assert!(listing().is_superset(&before));
        }
        let successor = holder(&address, Kind::Mpmc, sync, 0);
        Gc::new().run();
        assert_eq!(listing(), held);
        kill(successor);
        let report = Gc::new().address(address.parse().unwrap()).run();
        assert_eq!(report.found[0].fate, Fate::Removed, "{report:?}");
        assert_eq!(listing(), before);
    }
    std::fs::remove_dir(&directory).unwrap();
}

#[test]
fn collectors_hurt_nobody_who_comes_and_goes() {
    private("coming and going");
}

fn coming_and_going() {
    let before = listing();
    let rings = [SyncKind::Futex, SyncKind::SysvSem, SyncKind::Mqueue].map(|sync| (sync, 0));
    for (sync, slabs) in rings.into_iter().chain([(SyncKind::Futex, 3)]) {
        for address in addresses("busy") {
            let visit = format!("visit {address} {} {slabs}", sync.name());
            let visitors: Vec<_> = (0..3).map(|_| spawn(&visit)).collect();
            let mut collectors: Vec<_> = (0..2).map(|_| spawn("collect")).collect();
            // Some die in the midst of it, and leave the others something to do: attached, making, collecting.
            for round in 0..40_u64 {
                let dying = spawn(&visit);
                std::thread::sleep(Duration::from_micros(round * 131 % 4000));
                kill(dying);
                if round % 8 == 0 {
                    kill(std::mem::replace(&mut collectors[0], spawn("collect")));
                }
            }
            visitors.into_iter().for_each(ends);
            collectors.into_iter().for_each(kill);
            collect_until(&before);
        }
    }
}

#[test]
fn a_ring_that_its_collector_retired_and_did_not_remove_is_as_good_as_gone() {
    private("retired");
}

fn retired() {
    // A segment goes with its last attachment, which threads of this process may have for a moment yet.
    let is_empty = || {
        let started = Instant::now();
        while !listing().is_empty() {
            assert!(started.elapsed() < PATIENCE, "{:?}", listing());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for address in addresses("retired") {
        let builder = || Builder::new(&address).unwrap().kind(Kind::Mpmc);
        let stale = builder().create().unwrap();
        let address: Address = address.parse().unwrap();
        let retire = || {
            let suspect = crate::store::suspect::Suspect::open(&address).unwrap();
            assert!(suspect.hold_anyhow().doubt().unwrap().commit());
        };
        retire();
        // Who had it open could do so only where the kernel does not tell.
        let error = stale.sender().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::NotFound, "{error}");
        assert!(error.next_step().contains("open it again"), "{error}");
        drop(stale);
        let gone = crate::inspect::stat(&address).unwrap_err();
        assert_eq!(gone.kind(), crate::ErrorKind::NotFound, "{gone}");
        // An opener removes the name.
        let gone = builder().open().unwrap_err();
        assert_eq!(gone.kind(), crate::ErrorKind::NotFound, "{gone}");
        is_empty();
        // And one that makes what is absent makes another.
        drop(builder().create().unwrap());
        retire();
        let again = builder().open_or_create().unwrap();
        again.sender().unwrap().try_send(b"new").unwrap();
        drop(again);
        retire();
        assert_eq!(Gc::new().run().found[0].fate, Fate::Removed);
        is_empty();
    }
}

/// The test that runs in a world of its own.
fn play(name: &str) {
    match name {
        "killed holders" => killed_holders(),
        "zombies" => zombies(),
        "killed creators" => killed_creators(),
        "half-made" => half_made(),
        "beside" => beside(),
        "others" => others(),
        "undelivered" => undelivered(),
        "dry run" => dry_run(),
        "beside a file" => beside_a_file(),
        "coming and going" => coming_and_going(),
        "retired" => retired(),
        "late rings" => late::rings(),
        "late names" => late::names(),
        "giants" => hostile::giants_without_memory(),
        "truncation" => hostile::truncation(),
        "slabs" => slabs::without_rings(),
        "slabs of a file" => slabs::of_a_file(),
        _ => steps(name),
    }
}
