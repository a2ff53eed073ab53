//! The programs in `examples/`, each run to its good end. (`subscriber` is in the test of all languages.)

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::{Kind, RecvError};
use ringway_testing::place::{Backing, Place};
use ringway_testing::programs::built;

/// Nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| built(&["--examples"]).join("examples"))
}

/// One that runs, and is killed when this goes.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(folder().join(name));
        command.args(arguments).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    #[track_caller]
    fn says(&mut self, expected: &str) {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }

    #[track_caller]
    fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn part(place: &Place, part: &str) -> Place {
    Place::at(format!("{}-{part}", place.address).parse().unwrap())
}

#[test]
fn a_server_ends_cleanly_on_a_signal_while_a_receive_is_pending() {
    for (threads, signal) in [("1", Signal::SIGINT), ("4", Signal::SIGTERM)] {
        let place = Place::new(Backing::Shm);
        let places = [part(&place, "requests"), part(&place, "answers")];
        let [requests, answers] = &places;
        let requests = requests.builder().create().unwrap();
        let answers = answers.builder().create().unwrap();
        let mut server = Running::start("server", &[&place.address.to_string(), threads]);
        server.says("ready");
        let (mut ask, mut told) = (requests.sender().unwrap(), answers.receiver().unwrap());
        for _ in 0..100 {
            ask.send(b"hello").unwrap();
            assert_eq!(told.recv_timeout(PATIENCE).unwrap(), b"HELLO");
        }
        kill(Pid::from_raw(server.child.id() as i32), signal).unwrap();
        server.says("bye");
        server.ends_well();
        let end = told.recv_timeout(PATIENCE);
        assert_eq!(end, Err(RecvError::Closed), "it left in order");
        // What comes now waits for the next one.
        ask.send(b"late").unwrap();
        let mut server = Running::start("server", &[&place.address.to_string(), threads]);
        server.says("ready");
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), b"LATE");
    }
}

#[test]
fn a_ring_in_tokios_reactor() {
    for kind in Kind::ALL {
        let place = Place::new(Backing::Shm);
        let ring = place.builder().kind(kind).create().unwrap();
        let mut sender = ring.sender().unwrap();
        let mut reader = Running::start("async_fd", &[&place.address.to_string()]);
        reader.says("ready");
        for number in 0..500 {
            // As it sleeps, and as it has just been woken.
            for half in ["a", "b"] {
                sender.send(format!("{number}{half}").as_bytes()).unwrap();
            }
            reader.says(&format!("{number}a"));
            reader.says(&format!("{number}b"));
        }
        drop(sender);
        reader.says("end");
        reader.ends_well();
    }
}

#[test]
fn one_thread_waits_for_three_rings_and_a_socket() {
    let places = [(); 3].map(|()| Place::new(Backing::Shm));
    let rings = places
        .each_ref()
        .map(|place| place.builder().create().unwrap());
    let mut senders: Vec<_> = rings.iter().map(|ring| ring.sender().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut arguments = vec![socket.to_str().unwrap().to_owned()];
    arguments.extend(places.iter().map(|place| place.address.to_string()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    senders[2].send(b"early").unwrap();
    let mut reader = Running::start("mio_loop", &arguments);
    let (mut socket, _) = listener.accept().unwrap();
    reader.says("waits");
    reader.says("2: early");
    for round in 0..100 {
        for (number, sender) in senders.iter_mut().enumerate() {
            sender.send(round.to_string().as_bytes()).unwrap();
            reader.says(&format!("{number}: {round}"));
        }
        socket.write_all(b"!").unwrap();
        reader.says("input: !");
    }
    drop(senders.pop());
    reader.says("2 ends");
    drop(socket);
    reader.says("input ends");
    for number in (0..2).rev() {
        drop(senders.pop());
        reader.says(&format!("{number} ends"));
    }
    reader.ends_well();
}
