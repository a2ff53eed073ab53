//! A service of which servers and clients are killed and stopped at random: every call is answered once, or its caller is told why not.
//!
//! `RINGWAY_SERVICE_SECONDS=600 RINGWAY_SERVICE_CLIENTS=100 RINGWAY_SERVICE_HANDLES=10 cargo test --release --test services_at_random -- --nocapture`
//! does so for ten minutes with a thousand clients, and shows counts.

mod two_processes;

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringway::service::{CallError, Client, Request, ServeError, Server};
use ringway::{connect, serve};
use tempfile::TempDir;
use two_processes::messages::Random;
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, play};

const SERVERS: usize = 4;
const WORKERS: usize = 2;

/// How long, how many processes call, and how many handles each of them has.
const SECONDS: (&str, u64) = ("RINGWAY_SERVICE_SECONDS", 3);
const CLIENTS: (&str, u64) = ("RINGWAY_SERVICE_CLIENTS", 8);
const HANDLES: (&str, u64) = ("RINGWAY_SERVICE_HANDLES", 4);

fn asked((variable, default): (&str, u64)) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn child_role() {
    play(|role, first| match role {
        "serve" => serve_all(first),
        "call" => call_all(first),
        _ => panic!("{role}"),
    });
}

/// What processes write down, each entry by one `write` to a file that only grows.
#[derive(Clone)]
struct Log(Arc<File>);

const ENTRY: usize = 24;

impl Log {
    fn open(path: &str) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(Arc::new(file.unwrap()))
    }

    fn write(&self, call: u64, what: u64, more: u64) {
        let words = [call, what, more].map(u64::to_le_bytes).concat();
        assert_eq!((&*self.0).write(&words).unwrap(), ENTRY);
    }

    fn read(path: &Path) -> Vec<[u64; 3]> {
        let bytes = std::fs::read(path).unwrap_or_default();
        let word = |entry: &[u8], at: usize| {
            u64::from_le_bytes(entry[8 * at..8 * at + 8].try_into().unwrap())
        };
        let entries = bytes.chunks_exact(ENTRY);
        entries
            .map(|entry| [word(entry, 0), word(entry, 1), word(entry, 2)])
            .collect()
    }
}

/// The client begins with a call; at most once, or at least once.
const BEGINS: u64 = 0;
/// A server begins to work for it; repeated, or not.
const WORKS: u64 = 1;
/// The client has the answer, whole and right.
const ANSWERED: u64 = 10;
/// The client has taken some parts, and did not want the others.
const ENOUGH: u64 = 11;
const TIMED_OUT: u64 = 20;
const SERVER_DIED: u64 = 21;
const LET_GO: u64 = 22;
const NO_SERVER: u64 = 23;

fn word(outcome: u64) -> &'static str {
    match outcome {
        ANSWERED => "answered",
        ENOUGH => "answered in part, as much as was wanted",
        TIMED_OUT => "timed out",
        SERVER_DIED => "server died",
        LET_GO => "let go",
        NO_SERVER => "no server",
        _ => "?",
    }
}

/// A request: the call's number, how many parts the answer is to have, how long the server takes, and bytes.
fn request(call: u64, parts: u8, micros: u16, len: usize) -> Vec<u8> {
    let mut request = call.to_le_bytes().to_vec();
    request.push(parts);
    request.extend_from_slice(&micros.to_le_bytes());
    request.extend((0..len).map(|at| (call as usize + at) as u8));
    request
}

/// The answer to it, or one part of that.
fn answer(request: &[u8], part: u8) -> Vec<u8> {
    request.iter().map(|byte| byte ^ part ^ 0x5a).collect()
}

fn serve_all(first: &First) {
    let log = Log::open(&first.hear());
    let server = serve(&first.address().to_string())
        .unwrap()
        .start()
        .unwrap();
    let ending = Arc::new(AtomicBool::new(false));
    let working = |mut server: Server| {
        let (ending, log) = (Arc::clone(&ending), log.clone());
        thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let request = match server.next_timeout(Duration::from_millis(100)) {
                    Ok(request) => request,
                    Err(ServeError::TimedOut) => continue,
                    Err(error) => panic!("{error}"),
                };
                match work(request, &log) {
                    Ok(()) | Err(ServeError::Cancelled | ServeError::NotTaken) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            server.finish(Duration::from_secs(30)).unwrap();
        })
    };
    let others: Vec<_> = (1..WORKERS).map(|_| server.another().unwrap()).collect();
    let workers: Vec<_> = others.into_iter().chain([server]).map(working).collect();
    first.say("there");
    first.hear();
    ending.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.join().unwrap();
    }
    first.say("done");
}

fn work(mut request: Request<'_>, log: &Log) -> Result<(), ServeError> {
    let body = request.take_body();
    let call = u64::from_le_bytes(body[..8].try_into().unwrap());
    log.write(call, WORKS, request.is_repeated().into());
    let (parts, micros) = (body[8], u16::from_le_bytes([body[9], body[10]]));
    assert!(
        body == self::request(call, parts, micros, body.len() - 11),
        "a torn request"
    );
    if micros > 0 {
        thread::sleep(Duration::from_micros(micros.into()));
    }
    if parts == 0 {
        return request.answer(&answer(&body, 0));
    }
    for part in 0..parts {
        request.send(&answer(&body, part))?;
    }
    request.end()
}

fn call_all(first: &First) {
    let log = Log::open(&first.hear());
    let number: u64 = first.hear().parse().unwrap();
    let address = first.address().to_string();
    let at_least_once = number % 2 == 1;
    let open = connect(&address).unwrap().wait(Duration::from_secs(30));
    let open = match at_least_once {
        true => open
            .at_least_once()
            .grace(Duration::from_secs(30))
            .attempts(1000),
        false => open,
    };
    let first_handle = open.open().unwrap();
    let ending = Arc::new(AtomicBool::new(false));
    let calling = |handle: u64| {
        let client = first_handle.another().unwrap();
        let (ending, log) = (Arc::clone(&ending), log.clone());
        let first_call = (number << 8 | handle) << 32;
        thread::spawn(move || {
            let mut random = Random(first_call + 1);
            let mut client = client;
            let mut call = first_call;
            while !ending.load(Ordering::Relaxed) {
                log.write(call, BEGINS, at_least_once.into());
                let outcome = call_once(&mut client, call, &mut random);
                log.write(call, outcome, 0);
                call += 1;
            }
        })
    };
    let threads: Vec<_> = (0..asked(HANDLES)).map(calling).collect();
    first.say("there");
    first.hear();
    ending.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    first.say("done");
}

fn call_once(client: &mut Client, call: u64, random: &mut Random) -> u64 {
    let parts = match random.below(8) {
        0 => 1 + random.below(5) as u8,
        _ => 0,
    };
    let micros = match random.below(10) {
        0 => random.below(2000) as u16,
        _ => 0,
    };
    let len = match random.below(8) {
        0 => random.below(40_000) as usize,
        _ => random.below(200) as usize,
    };
    let timeout = match random.below(8) {
        0 => Some(Duration::from_micros(random.below(5000))),
        _ => None,
    };
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let request = request(call, parts, micros, len);
    let ended = match parts {
        0 => client.call_deadline(&request, until).map(|whole| {
            assert!(whole == answer(&request, 0), "a wrong answer");
            ANSWERED
        }),
        _ => take_parts(client, &request, until, parts, random.below(4) == 0),
    };
    match ended {
        Ok(outcome) => outcome,
        Err(CallError::TimedOut) => TIMED_OUT,
        Err(CallError::ServerDied) => SERVER_DIED,
        Err(CallError::LetGo) => LET_GO,
        Err(CallError::NoServer) => NO_SERVER,
        Err(error) => panic!("{error:?}"),
    }
}

fn take_parts(
    client: &mut Client,
    request: &[u8],
    until: Option<Instant>,
    count: u8,
    wants_one: bool,
) -> Result<u64, CallError> {
    let mut answers = client.stream_deadline(request, until)?;
    for part in 0..count {
        let taken = answers.next_part()?;
        assert!(
            taken.as_ref() == Some(&answer(request, part)),
            "a wrong part"
        );
        if wants_one {
            return Ok(ENOUGH);
        }
    }
    assert_eq!(answers.next_part()?, None);
    Ok(ANSWERED)
}

/// One process of the test, and the place of its log.
struct Member {
    process: Second,
    /// Whether it has said that it is there.
    is_there: bool,
    stopped_until: Option<Instant>,
}

impl Member {
    fn start(role: &str, place: &Place, logs: &TempDir, number: usize) -> Self {
        let process = Second::start_at(role, &place.address);
        process.say(logs.path().join(format!("{role}-{number}")).display());
        if role == "call" {
            process.say(number);
        }
        Self {
            process,
            is_there: false,
            stopped_until: None,
        }
    }

    fn expect_there(&mut self) {
        if !std::mem::replace(&mut self.is_there, true) {
            self.process.expect("there");
        }
    }
}

#[test]
fn every_call_is_answered_once_or_told_why_not() {
    let (seconds, callers) = (asked(SECONDS), asked(CLIENTS));
    // With the handle from which the others come.
    let desks = (callers * (asked(HANDLES) + 1)) as u32;
    let place = Place::new(Backing::Shm);
    let logs = TempDir::with_prefix("ringway-test-").unwrap();
    drop(
        serve(&place.address.to_string())
            .unwrap()
            .clients(desks)
            .start()
            .unwrap(),
    );
    let mut started = 0;
    let mut start = |role: &str| {
        started += 1;
        Member::start(role, &place, &logs, started)
    };
    let roles: Vec<_> = [vec!["serve"; SERVERS], vec!["call"; callers as usize]].concat();
    let mut members: Vec<_> = roles.iter().map(|role| start(role)).collect();
    for member in &mut members {
        member.expect_there();
    }
    let mut random = Random(7);
    let (mut kills, mut stops) = (BTreeMap::new(), BTreeMap::new());
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        thread::sleep(Duration::from_micros(random.below(20_000)));
        let now = Instant::now();
        for member in &mut members {
            if member.stopped_until.is_some_and(|until| now >= until) {
                member.process.signal(Signal::SIGCONT);
                member.stopped_until = None;
            }
        }
        let chosen = random.below(members.len() as u64) as usize;
        let (role, member) = (roles[chosen], &mut members[chosen]);
        if random.below(2) == 0 {
            // Also one that is stopped, or has just been started.
            member.process.kill();
            *member = start(role);
            *kills.entry(role).or_insert(0) += 1;
        } else if member.stopped_until.is_none() {
            member.process.signal(Signal::SIGSTOP);
            member.stopped_until = Some(now + Duration::from_millis(random.below(100)));
            *stops.entry(role).or_insert(0) += 1;
        }
    }
    // Clients first: servers have to be there for their last calls.
    for member in &members {
        member.process.signal(Signal::SIGCONT);
    }
    for role in ["call", "serve"] {
        let these = members.iter_mut().zip(&roles);
        let mut these: Vec<_> = these.filter(|(_, its)| **its == role).collect();
        for (member, _) in &mut these {
            // It may have been started just now.
            member.expect_there();
            member.process.say("end");
        }
        for (member, _) in these {
            member.process.expect("done");
        }
    }
    drop(members);
    let seen = audit(logs.path(), kills.get("call").copied().unwrap_or(0));
    println!("{seconds} s, killed {kills:?}, stopped {stops:?}: {seen}");
    // Nothing of the dead is in anybody's way.
    let first = connect(&place.address.to_string()).unwrap().open().unwrap();
    let others: Vec<_> = (1..desks).map(|_| first.another().unwrap()).collect();
    assert_eq!(others.len() as u32 + 1, desks);
}

#[derive(Default)]
struct Call {
    at_least_once: bool,
    begun: u64,
    outcome: Option<u64>,
    works: u64,
    fresh_works: u64,
}

/// Reads all logs, and says how the calls ended.
fn audit(logs: &Path, killed_clients: u64) -> String {
    let mut calls: HashMap<u64, Call> = HashMap::new();
    for entry in std::fs::read_dir(logs).unwrap() {
        for [call, what, more] in Log::read(&entry.unwrap().path()) {
            let call = calls.entry(call).or_default();
            match what {
                BEGINS => (call.begun, call.at_least_once) = (call.begun + 1, more == 1),
                WORKS => {
                    call.works += 1;
                    call.fresh_works += u64::from(more == 0);
                }
                outcome => assert_eq!(call.outcome.replace(outcome), None, "ended twice"),
            }
        }
    }
    let (mut counts, mut open, mut again) = (BTreeMap::new(), 0, 0);
    for (number, call) in &calls {
        let Call { works, outcome, .. } = *call;
        assert_eq!(call.begun, 1, "call {number:#x}");
        if call.at_least_once {
            assert!(
                call.fresh_works <= 1,
                "call {number:#x} was repeated {works} times, and not said to be"
            );
            again += works.saturating_sub(1);
        } else {
            assert!(
                works <= 1,
                "call {number:#x}, at most once, was done {works} times"
            );
        }
        match outcome {
            Some(ANSWERED | ENOUGH) => {
                assert!(works >= 1, "call {number:#x} was answered by nobody")
            }
            // One whose server has said that it begins, and was killed before it wrote that down, is not there.
            Some(_) => {}
            None => open += 1,
        }
        let how = if call.at_least_once {
            "at least once"
        } else {
            "at most once"
        };
        *counts
            .entry((how, outcome.map_or("killed with its caller", word)))
            .or_insert(0_u64) += 1;
    }
    assert!(
        open <= killed_clients * asked(HANDLES),
        "{open} calls never ended"
    );
    let answered = counts.iter().filter(|((_, word), _)| *word == "answered");
    assert!(answered.map(|(_, count)| count).sum::<u64>() > 0);
    format!("{} calls {counts:?}, {again} repeated", calls.len())
}
