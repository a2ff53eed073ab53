//! `join`: what goes in at one side comes out at the other, whatever carries it there; with programs that everybody has (nc, socat),
//! and when those are killed.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{
    Place, Running, assert_says, assert_status, command, eventually, lines, run, run_with, text,
};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

/// Whether a program is there; says so if not, because then a test shows nothing.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).exists());
    if !found {
        eprintln!("SKIPPED: {program} is not installed, and this test needs it");
    }
    found
}

/// A port that nobody listens at: the kernel gives it to nobody else for a while.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn tool(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}:{}", self.path(name).display())
    }

    fn pipe(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        path
    }
}

fn numbers(from: u64, to: u64) -> Vec<u8> {
    let lines = (from..=to).map(|number| format!("{number}\n"));
    lines.collect::<String>().into_bytes()
}

/// A ring with these lines, closed.
fn filled(input: &[u8]) -> Place {
    let place = Place::new("shm");
    let send = ["send", &place.address, "--create", "--capacity", "8M"];
    assert_status(&run_with(send, input), 0);
    place
}

fn count(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// `seq 100000 | ringway send A`, `ringway join A tcp:...` into nc, and the way back.
#[test]
fn a_ring_goes_through_nc_and_back() {
    if !has("nc") {
        return;
    }
    let folder = Folder::new();
    let place = filled(&numbers(1, 100_000));
    let port = port().to_string();
    let out = folder.path("out");
    let mut nc = tool("nc", &["-l", "127.0.0.1", &port]);
    let nc = Running::spawn(nc.stdout(File::create(&out).unwrap()));
    let there = format!("tcp:127.0.0.1:{port}");
    let join = run(["join", &place.address, &there, "--framing", "lines", "-q"]);
    assert_status(&join, 0);
    eventually("all lines", || count(&out) == 100_000);
    drop(nc);
    assert!(fs::read(&out).unwrap() == numbers(1, 100_000));

    let back = Place::new("shm");
    let listen = format!("{there},listen");
    let join = Running::start(["join", &listen, &back.address, "--create"]);
    eventually("the ring", || back.exists());
    let recv = Running::start(["recv", &back.address, "-q"]);
    let mut nc = tool("nc", &["-N", "127.0.0.1", &port]);
    let nc = Running::spawn(nc.stdin(File::open(&out).unwrap()));
    let recv = recv.finish();
    assert_status(&recv, 0);
    assert!(recv.stdout == numbers(1, 100_000));
    assert_status(&join.finish(), 0);
    assert_status(&nc.finish(), 0);
}

/// The receiving side is killed and started again: what comes then goes on with a whole line, in order, and none comes twice; what is
/// missing lay in the two kernels' buffers. Lines come until the successor has some, so that the first one cannot have had them all.
#[test]
fn a_killed_receiver_of_a_connection_has_a_successor() {
    if !has("socat") {
        return;
    }
    let folder = Folder::new();
    // From a ring they are put together, and from standard input written as they came.
    let cases = ["ring", "input"].map(|from| [("tcp", from), ("unix", from)]);
    for (kind, from) in cases.concat() {
        let (listen, there) = match kind {
            "tcp" => {
                let port = port();
                let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,rcvbuf=4096");
                (listen, format!("tcp:127.0.0.1:{port}"))
            }
            _ => {
                let path = folder.path("socket").display().to_string();
                let listen = format!("UNIX-LISTEN:{path},unlink-early");
                (listen, format!("unix:{path}"))
            }
        };
        let outs = [folder.path("first"), folder.path("second")];
        // The first one reads nothing after a while: it is stopped, and then killed.
        let mut socat = tool("socat", &["-u", "-b512", &listen, "STDOUT"]);
        let mut first = Running::spawn(socat.stdout(File::create(&outs[0]).unwrap()));
        let place = Place::new("shm");
        let begin = |args: &[&str]| Running::open(args.iter().copied(), &numbers(1, 10_000));
        let (mut send, join) = match from {
            "ring" => {
                let send = begin(&["send", &place.address, "--create", "--capacity", "8M"]);
                eventually("the ring", || place.exists());
                let join = Running::start(["join", &place.address, &there, "-q"]);
                (send, Some(join))
            }
            _ => (begin(&["join", "-", &there, "-q"]), None),
        };
        eventually("the first lines", || count(&outs[0]) > 100);
        first.signal(Signal::SIGSTOP);
        // More than a Unix socket holds: the first one dies while it is written to. (And not more than that and a pipe.)
        send.write(&numbers(10_001, 52_000));
        let mut sent = 52_000;
        first.kill();
        let mut socat = tool("socat", &["-u", &listen, "STDOUT"]);
        let second = Running::spawn(socat.stdout(File::create(&outs[1]).unwrap()));
        eventually("lines for the second one", || {
            send.write(&numbers(sent + 1, sent + 100));
            sent += 100;
            count(&outs[1]) > 0
        });
        send.close();
        assert_status(&send.finish(), 0);
        if let Some(join) = join {
            assert_status(&join.finish(), 0);
        }
        assert_status(&second.finish(), 0);
        let [first, second] = outs.map(|out| text(&fs::read(out).unwrap()));
        let whole = first.rsplit_once('\n').unwrap().0;
        let had: Vec<u64> = whole.lines().map(|line| line.parse().unwrap()).collect();
        assert!(
            had.iter().copied().eq(1..=had.len() as u64),
            "{kind} {from}"
        );
        let got: Vec<u64> = second.lines().map(|line| line.parse().unwrap()).collect();
        assert!(got.iter().copied().eq(got[0]..=sent), "{kind} {from}");
        assert!(
            got[0] > had.len() as u64,
            "{kind} {from}: nothing comes twice"
        );
    }
}

/// A join that is killed at any moment repeats, and loses nothing that came from a ring.
#[test]
fn a_killed_join_loses_nothing_of_a_ring() {
    let place = filled(&numbers(1, 20_000));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("tcp:{}", listener.local_addr().unwrap());
    let mut got = BTreeSet::new();
    let mut deaths = 0;
    loop {
        let join = Running::start(["join", &place.address, &there, "-q"]);
        let (mut client, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        if deaths < 5 {
            let mut block = vec![0; 3000 * (deaths + 1)];
            client.read_exact(&mut block).unwrap();
            bytes.extend(block);
            join.kill();
            deaths += 1;
            // What it had written to its end.
            let _ = client.read_to_end(&mut bytes);
        } else {
            client.read_to_end(&mut bytes).unwrap();
            assert_status(&join.finish(), 0);
            deaths += 1;
        }
        let words = text(&bytes);
        let whole = words.rsplit_once('\n').map_or("", |(whole, _)| whole);
        got.extend(whole.lines().map(|line| line.parse::<u64>().unwrap()));
        let stat = place.stat();
        if deaths > 5 || stat["sent"] == stat["received"] {
            break;
        }
    }
    assert!(got.into_iter().eq(1..=20_000));
}

#[test]
fn a_named_pipe_is_read_and_written() {
    let folder = Folder::new();
    let pipe = folder.pipe("pipe");
    let there = format!("fifo:{}", pipe.display());
    // Out, to cat.
    let place = filled(&lines(0, 1000));
    let mut cat = tool("cat", &[pipe.to_str().unwrap()]);
    let cat = Running::spawn(cat.stdout(Stdio::piped()));
    assert_status(&run(["join", &place.address, &there]), 0);
    assert_eq!(cat.finish().stdout, lines(0, 1000));
    // In, from several writers in turn.
    let back = Place::new("shm");
    let follow = ["join", &there, &back.address, "--create", "--follow"];
    let mut join = Running::start(follow);
    eventually("the ring", || back.exists());
    for part in 0..3 {
        fs::write(&pipe, lines(part * 10, (part + 1) * 10)).unwrap();
        eventually("the lines", || back.stat()["sent"] == (part + 1) * 10);
    }
    join.signal(Signal::SIGTERM);
    assert_eq!(join.finish().status.signal(), Some(libc::SIGTERM));
    let got = run(["recv", &back.address]);
    assert_eq!(got.stdout, lines(0, 30));
}

/// What a reader of a pipe that was killed had not read, the next one gets.
#[test]
fn a_killed_reader_of_a_pipe_has_a_successor() {
    let folder = Folder::new();
    let pipe = folder.pipe("pipe");
    let there = format!("fifo:{}", pipe.display());
    let place = filled(&numbers(1, 50_000));
    let join = Running::start(["join", &place.address, &there, "-q"]);
    let mut first = vec![0; 20_000];
    let mut reader = File::open(&pipe).unwrap();
    reader.read_exact(&mut first).unwrap();
    drop(reader);
    let mut rest = Vec::new();
    File::open(&pipe).unwrap().read_to_end(&mut rest).unwrap();
    assert_status(&join.finish(), 0);
    // Nothing is missing; the message at which the first reader left may come once more.
    let all = numbers(1, 50_000);
    let words = text(&rest);
    let got: Vec<u64> = words
        .lines()
        .skip(1)
        .map(|line| line.parse().unwrap())
        .collect();
    assert!(all.starts_with(&first));
    assert_eq!(got.last(), Some(&50_000));
    let read = text(&first).lines().count() as u64;
    let expected: BTreeSet<u64> = (read + 2..=50_000).collect();
    let had: BTreeSet<u64> = got.iter().copied().collect();
    assert!(expected.is_subset(&had));
    assert!(got.len() - had.len() <= 1, "one line may come twice");
}

#[test]
fn each_kind_of_socket_carries_messages_both_ways() {
    let folder = Folder::new();
    let address = |kind: &str, side: &str| match kind {
        "tcp" | "udp" => format!("{kind}:127.0.0.1:{}", port()),
        _ => folder.at(kind, &format!("{kind}-{side}")),
    };
    for (kind, framing) in [
        ("tcp", "lines"),
        ("tcp", "frames"),
        ("unix", "lines"),
        ("unix", "frames"),
        ("unix-seqpacket", "datagrams"),
        ("unix-dgram", "datagrams"),
        ("udp", "datagrams"),
    ] {
        let is_connected = !matches!(kind, "udp" | "unix-dgram");
        let there = address(kind, framing);
        let listen = match is_connected {
            true => format!("{there},listen"),
            false => there.clone(),
        };
        let input = lines(0, 100);
        let (from, to) = (filled(&input), Place::new("shm"));
        let words = [
            "join",
            &listen,
            &to.address,
            "--create",
            "--framing",
            framing,
        ];
        let mut inward = Running::start(words);
        let is_there = || match there.split_once(':') {
            Some(("udp", at)) => UdpSocket::bind(at).is_err(),
            Some(("tcp", _)) => true,
            _ => Path::new(there.split_once(':').unwrap().1).exists(),
        };
        eventually("the socket", || to.exists() && is_there());
        let outward = run(["join", &from.address, &there, "--framing", framing, "-q"]);
        assert_status(&outward, 0);
        if is_connected {
            assert_status(&inward.finish(), 0);
        } else {
            eventually("all", || to.stat()["sent"] == 100);
            inward.signal(Signal::SIGTERM);
            inward.finish();
            assert_eq!(kind == "udp", !there.contains('/'));
        }
        let got = run(["recv", &to.address]);
        assert_eq!(text(&got.stdout), text(&input), "{kind} {framing}");
        if there.contains('/') {
            let path = there.split_once(':').unwrap().1;
            assert!(!Path::new(path).exists(), "{path} stayed behind");
        }
    }
}

#[test]
fn several_clients_of_a_listening_side() {
    let folder = Folder::new();
    let (there, path) = (folder.at("unix", "in"), folder.path("in"));
    // Messages of all of them are passed on, each whole, however they come.
    let to = Place::new("shm");
    let listen = format!("{there},listen");
    let join = Running::start(["join", &listen, &to.address, "--create"]);
    eventually("the socket", || path.exists());
    let mut clients = [0; 3].map(|_| UnixStream::connect(&path).unwrap());
    for part in ["on", "e ", "line\n"] {
        for client in &mut clients {
            client.write_all(part.as_bytes()).unwrap();
        }
    }
    eventually("three lines", || to.stat()["sent"] == 3);
    drop(clients);
    assert_status(&join.finish(), 0);
    assert_eq!(
        text(&run(["recv", &to.address]).stdout),
        "one line\n".repeat(3)
    );

    // Those that read share the messages; what one is given that is gone, another one gets.
    let place = Place::new("shm");
    assert_status(&run(["create", &place.address]), 0);
    let join = Running::start(["join", &place.address, &listen, "--follow", "-q"]);
    eventually("the socket", || path.exists());
    let [mut one, mut other] = [0; 2].map(|_| UnixStream::connect(&path).unwrap());
    let mut sent = 0;
    let mut send = |count: u64| {
        let input = numbers(sent + 1, sent + count);
        assert_status(&run_with(["send", &place.address], &input), 0);
        eventually("their way out", || place.stat()["received"] == sent + count);
        sent += count;
    };
    (0..10).for_each(|_| send(1));
    drop(std::mem::replace(
        &mut one,
        UnixStream::connect(&path).unwrap(),
    ));
    (0..10).for_each(|_| send(1));
    let read = |client: &mut UnixStream| {
        client.set_nonblocking(true).unwrap();
        let mut bytes = Vec::new();
        let _ = client.read_to_end(&mut bytes);
        text(&bytes).lines().count()
    };
    // Of the first ten the one that left had its half.
    let (had, rest) = (read(&mut one), read(&mut other));
    assert!(
        rest >= 5 && had + rest >= 15 && had + rest <= 20,
        "{had} and {rest}"
    );
    join.kill();
}

/// A peer that does not read holds up the sender, and nothing is lost.
#[test]
fn back_pressure_goes_from_end_to_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("tcp:{}", listener.local_addr().unwrap());
    let place = Place::new("shm");
    let create = ["create", &place.address, "--capacity", "64K"];
    assert_status(&run(create), 0);
    let input = numbers(1, 3_000_000);
    let join = Running::start(["join", &place.address, &there, "-q"]);
    let mut send = Running::feed(["send", &place.address, "-q"], &input);
    let (mut client, _) = listener.accept().unwrap();
    let stalls = || {
        let before = place.stat()["sent"].as_u64();
        std::thread::sleep(std::time::Duration::from_millis(100));
        before == place.stat()["sent"].as_u64()
    };
    eventually("a stall", stalls);
    assert!(
        send.child().try_wait().unwrap().is_none(),
        "the sender waits"
    );
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got == input);
    assert_status(&join.finish(), 0);
    assert_status(&send.finish(), 0);
}

#[test]
fn a_growing_file_is_followed_over_its_successors() {
    let folder = Folder::new();
    let path = folder.path("log");
    fs::write(&path, "one\ntw").unwrap();
    let to = Place::new("shm");
    let tail = folder.at("tail", "log");
    let mut join = Running::start(["join", &tail, &to.address, "--create"]);
    let arrived = |count: u64| {
        eventually("the lines", || to.exists() && to.stat()["sent"] == count);
    };
    arrived(1);
    let append = |what: &str| {
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(what.as_bytes()).unwrap();
    };
    append("o\nthree\n");
    arrived(3);
    // As logrotate does.
    append("four");
    fs::rename(&path, folder.path("log.1")).unwrap();
    fs::write(folder.path("new"), "five\n").unwrap();
    fs::rename(folder.path("new"), &path).unwrap();
    arrived(5);
    File::options()
        .write(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    append("6\n");
    arrived(6);
    join.signal(Signal::SIGTERM);
    assert_eq!(join.finish().status.signal(), Some(libc::SIGTERM));
    let got = run(["recv", &to.address]);
    assert_eq!(text(&got.stdout), "one\ntwo\nthree\nfour\nfive\n6\n");

    let from_end = format!("{tail},end");
    let mut join = Running::start(["join", &from_end, &to.address]);
    eventually("the join", || {
        to.participants().iter().any(|one| one["alive"] == true)
    });
    append("seven\n");
    arrived(7);
    join.signal(Signal::SIGTERM);
    join.finish();
}

#[test]
fn a_connection_is_made_again_with_patience() {
    let folder = Folder::new();
    let (there, path) = (folder.at("unix", "socket"), folder.path("socket"));
    let place = filled(&lines(0, 3));
    let late = run(["join", &place.address, &there, "--timeout", "0.2"]);
    assert_status(&late, 1);
    assert_says(&late.stderr, &["trying again", "in time"]);
    let join = Running::start(["join", &place.address, &there]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let listener = UnixListener::bind(&path).unwrap();
    let (mut client, _) = listener.accept().unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, lines(0, 3));
    assert_status(&join.finish(), 0);
}

#[test]
fn standard_input_and_output_rings_and_queues() {
    for scheme in ["shm", "mq", "sysvmq"] {
        let (one, other) = (Place::new(scheme), Place::new("shm"));
        let input = lines(0, 8);
        assert_status(
            &run_with(["join", "-", &one.address, "--create"], &input),
            0,
        );
        assert_status(&run(["join", &one.address, &other.address, "--create"]), 0);
        let out = run(["join", &other.address, "-"]);
        assert_status(&out, 0);
        assert_eq!(text(&out.stdout), text(&input), "{scheme}");
    }
    let place = filled(&lines(0, 3));
    let raw = run(["join", &place.address, "-", "--framing", "raw"]);
    assert_eq!(text(&raw.stdout), "line 0line 1line 2");
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let folder = Folder::new();
    let file = folder.path("file");
    fs::write(&file, "").unwrap();
    let place = filled(b"");
    let (a, fifo) = (place.address.as_str(), format!("fifo:{}", file.display()));
    let udp = format!("udp:127.0.0.1:{}", port());
    for words in [
        &["join", a][..],
        &["join", a, "tcp:nowhere"],
        &["join", a, &fifo],
        &["join", &fifo, a],
        &["join", a, "tail:/etc/hostname"],
        &["join", a, "-", "--framing", "datagrams"],
        &["join", a, &udp, "--framing", "lines"],
        &["join", a, "-", "--from", "latest"],
    ] {
        assert_status(&command(words.iter().copied()).output().unwrap(), 2);
    }
    // One that is too long for a datagram stays in the ring.
    let long = filled(&[&[b'x'; 70_000][..], b"\n"].concat());
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = format!("udp:{}", receiver.local_addr().unwrap());
    let failed = run(["join", &long.address, &there]);
    assert_status(&failed, 2);
    assert_says(&failed.stderr, &["too long for one datagram"]);
    assert_eq!(long.stat()["received"], 0);
}

/// The name of a socket whose process was killed keeps nobody from listening there.
#[test]
fn a_stale_name_is_taken_over_and_a_live_one_is_not() {
    let folder = Folder::new();
    let path = folder.path("socket");
    for kind in ["unix", "unix-dgram", "unix-seqpacket"] {
        let comma = if kind == "unix-dgram" { "" } else { ",listen" };
        let listen = format!("{}{comma}", folder.at(kind, "socket"));
        let places = [Place::new("shm"), Place::new("shm")];
        let start = |place: &Place| {
            let join = Running::start(["join", &listen, &place.address, "--create"]);
            eventually("the ring", || place.exists());
            join
        };
        let first = start(&places[0]);
        eventually("the socket", || path.exists());
        let second = run(["join", &listen, &places[1].address, "--create"]);
        assert_status(&second, 2);
        assert!(!places[1].exists(), "what it made goes with it");
        first.kill();
        assert!(path.exists());
        let mut third = start(&places[1]);
        eventually("the listener", || match kind {
            "unix" => UnixStream::connect(&path).is_ok(),
            "unix-dgram" => UnixDatagram::unbound().unwrap().connect(&path).is_ok(),
            _ => places[1].participants().len() == 1,
        });
        third.signal(Signal::SIGTERM);
        third.finish();
        let _ = fs::remove_file(&path);
    }
    drop(TcpStream::connect("127.0.0.1:1"));
}
