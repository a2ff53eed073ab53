//! A NATS server of the test's own, programs that the test starts, and configurations.
#![allow(dead_code)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// After so long without progress, something hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process that does not outlive the test.
pub struct Process(Child);

impl Process {
    /// Starts a command, which is killed with this thread, whatever kills that.
    pub fn start(command: &Command) -> Self {
        let mut bound = Command::new("setpriv");
        bound
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => bound.env(name, value),
                None => bound.env_remove(name),
            };
        }
        Self(
            bound
                .stdin(Stdio::null())
                .spawn()
                .expect("setpriv (of util-linux) starts"),
        )
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }

    pub fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.0.wait().unwrap();
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(
            start.elapsed() < PATIENCE,
            "it does not come to pass: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server with JetStream, on loopback, with a store of its own.
pub struct Server {
    pub folder: TempDir,
    pub port: u16,
    address: String,
    /// The network namespace that it is in.
    pub namespace: Option<String>,
    options: Vec<String>,
    process: Option<Process>,
}

/// The version of the server.
pub fn version() -> [u32; 2] {
    let output = Command::new("nats-server").arg("--version").output();
    let output = output.expect("these tests need a NATS server: apt-get install nats-server");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = text.trim().rsplit('v').next().unwrap().split('.');
    let numbers: Vec<u32> = numbers.map_while(|number| number.parse().ok()).collect();
    [numbers[0], numbers[1]]
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(options: &[&str]) -> Self {
        Self::at("127.0.0.1", None, options)
    }

    /// One with an address of a network namespace.
    pub fn at(address: &str, namespace: Option<&str>, options: &[&str]) -> Self {
        let there = Command::new("nats-server").arg("--version").output();
        assert!(
            there.is_ok_and(|output| output.status.success()),
            "these tests need a NATS server: apt-get install nats-server"
        );
        let mut server = Self {
            folder: TempDir::with_prefix("ringway-test-").unwrap(),
            // Free now; nobody else on loopback asks for it by number.
            port: TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port(),
            address: address.to_owned(),
            namespace: namespace.map(str::to_owned),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            process: None,
        };
        server.again();
        server
    }

    /// Starts the server on what its predecessor has left.
    pub fn again(&mut self) {
        let mut command = inside(self.namespace.as_deref(), &Command::new("nats-server"));
        command.args([
            "--addr",
            &self.address,
            "--port",
            &self.port.to_string(),
            "--jetstream",
        ]);
        command
            .arg("--store_dir")
            .arg(self.folder.path().join("store"));
        command
            .arg("--log")
            .arg(self.folder.path().join("log"))
            .args(&self.options);
        self.process = Some(Process::start(&command));
        if self.namespace.is_some() {
            // Who is in there waits for it.
            return;
        }
        until("the server listens", || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Has it end in order.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            process.wait();
        }
    }

    pub fn url(&self) -> String {
        format!("nats://{}:{}", self.address, self.port)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A ring of the test's, in its folder.
    pub fn ring(&self, name: &str) -> String {
        format!("file:{}", self.path(name).display())
    }

    /// Writes a configuration, with the head that all have.
    pub fn config(&self, name: &str, routes: &str) -> PathBuf {
        let cursors = self.ring("cursors");
        let text = format!(
            "cursors = \"{cursors}\"\n{routes}\n[server]\nurls = [\"{}\"]\n",
            self.url()
        );
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn outward(&self, ring: &str, create: &str) -> String {
        let ring = self.ring(ring);
        format!(
            "[[outward]]\nname = \"out\"\nring = \"{ring}\"\nstream = \"S\"\nsubject = \"s\"\nwindow = 64\n[outward.create]\n{create}\n"
        )
    }

    pub fn inward(&self, ring: &str) -> String {
        let ring = self.ring(ring);
        format!(
            "[[inward]]\nname = \"in\"\nring = \"{ring}\"\nstream = \"S\"\nconsumer = \"c\"\nwindow = 64\n"
        )
    }
}

/// Two hosts and their link: network namespaces, and a pair of virtual devices. Needs root, and `ip` of iproute2.
pub struct Hosts {
    /// The namespace of the one.
    pub a: String,
    /// That of the other.
    pub b: String,
    link: String,
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("these tests need ip: apt-get install iproute2");
    assert!(
        output.status.success(),
        "these tests need to be root, with leave to make network namespaces: ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Hosts {
    pub fn new() -> Self {
        // Process ids have 22 bits, and names of links 15 bytes.
        let process = std::process::id();
        let hosts = Self {
            a: format!("ringway-{process}-a"),
            b: format!("ringway-{process}-b"),
            link: format!("rw{process}"),
        };
        let (a, b) = (&hosts.a, &hosts.b);
        let ends = [format!("{}a", hosts.link), format!("{}b", hosts.link)];
        ip(&["netns", "add", a]);
        ip(&["netns", "add", b]);
        ip(&[
            "link", "add", &ends[0], "netns", a, "type", "veth", "peer", "name", &ends[1], "netns",
            b,
        ]);
        for (host, end, address) in [
            (a, &ends[0], "10.213.7.1/24"),
            (b, &ends[1], "10.213.7.2/24"),
        ] {
            ip(&["-n", host, "link", "set", "lo", "up"]);
            ip(&["-n", host, "address", "add", address, "dev", end]);
            ip(&["-n", host, "link", "set", end, "up"]);
        }
        hosts
    }

    /// A server on the second one.
    pub fn server(&self) -> Server {
        Server::at("10.213.7.2", Some(&self.b), &[])
    }

    /// Makes the streams of a configuration, from the first one, when the server is there.
    pub fn create(&self, config: &Path) {
        until("the server is there", || {
            let mut create = inside(Some(&self.a), &gateway("create", config));
            create.output().unwrap().status.success()
        });
    }

    /// Takes the link `down`, or `up`.
    pub fn link(&self, state: &str) {
        ip(&[
            "-n",
            &self.a,
            "link",
            "set",
            &format!("{}a", self.link),
            state,
        ]);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in [&self.a, &self.b] {
            // With the end of the link that is in there.
            let _ = Command::new("ip").args(["netns", "delete", host]).status();
        }
    }
}

/// The same command in a network namespace.
pub fn inside(namespace: Option<&str>, command: &Command) -> Command {
    let mut words: Vec<_> = match namespace {
        Some(namespace) => ["ip", "netns", "exec", namespace].map(Into::into).to_vec(),
        None => Vec::new(),
    };
    words.push(command.get_program().to_owned());
    words.extend(command.get_args().map(ToOwned::to_owned));
    let mut inside = Command::new(&words[0]);
    inside.args(&words[1..]);
    inside
}

/// The command.
pub fn gateway(verb: &str, config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway-gateway"));
    command.arg(verb).arg(config);
    command
}

/// What the command says, and whether it succeeded.
pub fn said(verb: &str, config: &Path) -> (bool, String) {
    let output = gateway(verb, config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text.into_owned())
}

/// Makes the streams of a configuration.
pub fn create(config: &Path) {
    let (good, text) = said("create", config);
    assert!(good, "{text}");
}

/// Message `number` of those that tests send.
pub fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 9)
}

/// Sends the messages up to `end`, going on where a predecessor stopped.
pub fn send(ring: &str, end: u64) {
    let ring = ringway::at(ring).unwrap().open_or_create().unwrap();
    let mut sender = ring.sender().unwrap();
    for number in sender.sent()..end {
        while let Err(error) = sender.send(&payload(number)) {
            match error {
                ringway::SendError::Closed | ringway::SendError::PeerDied => {
                    sender.wait_for_peer_timeout(PATIENCE).unwrap();
                }
                error => panic!("{number}: {error}"),
            }
        }
    }
    sender.leave();
}

/// Receives the messages up to `end`, going on where a predecessor stopped: message n of the ring is message n of those that were sent.
pub fn receive(ring: &str, end: u64) {
    let ring = ringway::at(ring).unwrap().open_or_create().unwrap();
    let mut receiver = ring.receiver().unwrap();
    while receiver.received() < end {
        match receiver.recv_in_place_timeout(PATIENCE) {
            Ok(message) => {
                let number = message.number();
                assert_eq!(message.to_vec(), payload(number), "message {number}");
                message.release();
            }
            Err(ringway::RecvError::PeerDied | ringway::RecvError::Closed) => {
                receiver.wait_for_peer_timeout(PATIENCE).unwrap();
            }
            Err(error) => panic!("at {}: {error}", receiver.received()),
        }
    }
}

/// Runs the test `name` of this program as another process, in a role.
pub fn role(name: &str, role: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role.join(" "));
    command
}

/// The words of this process's role, if it is not the test itself.
pub fn role_of_this() -> Option<Vec<String>> {
    let role = std::env::var(ROLE).ok()?;
    Some(role.split(' ').map(str::to_owned).collect())
}

const ROLE: &str = "RINGWAY_TEST_ROLE";
