//! `ringway top`: as text, as JSON, and in a real terminal.

mod common;

use std::process::{Command, Output, Stdio};

use common::{Place, Running, assert_status, eventually, run, text};
use nix::sys::signal::Signal;
use serde_json::Value;

#[test]
fn once_shows_what_there_is_and_what_is_wrong_with_it() {
    let (place, other) = (Place::new("shm"), Place::new("shm"));
    let at = place.address.as_str();
    for address in [at, &other.address] {
        assert_status(&run(["create", address, "--capacity", "4K"]), 0);
    }
    let mut recv =
        Running::spawn(common::command(["recv", at, "--raw", "--follow"]).stdout(Stdio::null()));
    eventually("the receiver", || place.participants().len() == 1);
    recv.signal(Signal::SIGSTOP);
    eventually("that it is stopped", || {
        place.participants()[0]["state"] == "stopped"
    });
    let send = Running::start(["send", at, "--raw", "/dev/zero"]);
    eventually("a sender that waits", || {
        place.stat()["held_up_by"].is_array()
    });
    let shown = run(["top", "--once", "--filter", at]);
    assert_status(&shown, 0);
    let shown = text(&shown.stdout);
    let line = shown.lines().find(|line| line.starts_with(at)).unwrap();
    assert!(line.contains("1 stopped"), "{shown}");
    assert!(shown.starts_with("1 of "), "{shown}");
    // The one that is stopped last: it does not see that the other one dies, and does not end by itself.
    send.kill();
    recv.kill();
    let shown = text(&run(["top", "--once", "--filter", at]).stdout);
    assert!(shown.contains("2 died"), "{shown}");
}

#[test]
fn json_is_a_line_for_each_look() {
    let place = Place::new("shm");
    let at = place.address.as_str();
    assert_status(&run(["create", at]), 0);
    let words = ["top", "--json", "--iterations", "3", "-d", "10ms"];
    let shown = run(words.into_iter().chain(["--filter", at]));
    assert_status(&shown, 0);
    let shown = text(&shown.stdout);
    let looks: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(looks.len(), 3);
    for look in &looks {
        assert_eq!(look.as_array().unwrap().len(), 1);
        assert_eq!(look[0]["address"], at);
        assert_eq!(look[0]["schema"], 1);
    }
    assert_eq!(looks[0][0]["activity"], Value::Null);
    assert_eq!(looks[2][0]["activity"]["moved"], false);
}

/// A terminal of 80 columns and 24 lines.
struct Tmux {
    socket: String,
    /// Where its socket lies.
    directory: tempfile::TempDir,
}

impl Tmux {
    /// Starts `command` in it; `None` if there is no tmux.
    fn start(name: &str, command: &str) -> Option<Self> {
        let tmux = Self {
            socket: format!("ringway-test-{}-{name}", std::process::id()),
            directory: tempfile::tempdir().unwrap(),
        };
        if Command::new("tmux").arg("-V").output().is_err() {
            return None;
        }
        let words = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            command,
        ];
        let started = tmux.run(&words);
        assert!(started.status.success(), "{}", text(&started.stderr));
        Some(tmux)
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket]).args(words);
        command.env("TMUX_TMPDIR", self.directory.path());
        command.env("LC_ALL", "C.UTF-8").output().unwrap()
    }

    fn keys(&self, keys: &[&str]) {
        let words: Vec<_> = ["send-keys"]
            .into_iter()
            .chain(keys.iter().copied())
            .collect();
        assert!(self.run(&words).status.success());
    }

    fn screen(&self) -> String {
        text(&self.run(&["capture-pane", "-p"]).stdout)
    }

    fn shows(&self, what: &str) {
        let mut last = String::new();
        eventually(what, || {
            last = self.screen();
            last.contains(what)
        });
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.run(&["kill-server"]);
    }
}

/// For whoever wants to look at it.
fn keep(name: &str, screen: &str) {
    if let Some(folder) = std::env::var_os("RINGWAY_SCREENS") {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(name), screen).unwrap();
    }
}

#[test]
fn in_a_real_terminal_keys_do_what_the_last_line_says() {
    let (place, other) = (Place::new("shm"), Place::new("shm"));
    let at = place.address.as_str();
    for address in [at, &other.address] {
        assert_status(&run(["create", address, "--kind", "mpmc"]), 0);
    }
    assert_status(&run(["send", at, "-m", "one", "-m", "two"]), 0);
    let directory = tempfile::tempdir().unwrap();
    let ended = directory.path().join("ended");
    let program = env!("CARGO_BIN_EXE_ringway");
    // What the shell writes afterwards is on the screen only if that was given back.
    let command = format!(
        "{program} top -d 50ms; echo status $? > {}; echo back again; exec sleep 1000",
        ended.display()
    );
    let Some(tmux) = Tmux::start("keys", &command) else {
        eprintln!("no tmux here: not driven in a terminal");
        return;
    };
    tmux.shows("ringway top");
    tmux.shows("s sort: state");
    tmux.keys(&["s"]);
    tmux.shows("s sort: fill");
    tmux.keys(&["/"]);
    tmux.keys(&["-l", at]);
    tmux.shows("filter: shm:");
    tmux.keys(&["Enter"]);
    tmux.shows("1 of ");
    let screen = tmux.screen();
    assert!(screen.lines().all(|line| line.chars().count() <= 80));
    assert_eq!(screen.lines().count(), 24, "{screen}");
    keep("top.txt", &screen);
    tmux.keys(&["Enter"]);
    tmux.shows("waiting 2");
    tmux.shows("Esc back");
    // What comes is seen.
    assert_status(&run(["send", at, "-m", "three"]), 0);
    tmux.shows("waiting 3");
    keep("top-detail.txt", &tmux.screen());
    tmux.keys(&["Escape"]);
    tmux.shows("q end");
    tmux.keys(&["q"]);
    tmux.shows("back again");
    assert!(!tmux.screen().contains("ringway top"), "{}", tmux.screen());
    assert_eq!(std::fs::read_to_string(ended).unwrap(), "status 0\n");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let program = env!("CARGO_BIN_EXE_ringway");
    let command = format!(
        "sh -c 'echo $$ > {0}; exec {program} top -d 50ms'; stty -a | tr ' ' '\\n' | grep -x -e -*icanon; exec sleep 1000",
        pid.display()
    );
    let Some(tmux) = Tmux::start("signal", &command) else {
        eprintln!("no tmux here: not driven in a terminal");
        return;
    };
    tmux.shows("ringway top");
    let pid: i32 = std::fs::read_to_string(pid)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    tmux.shows("icanon");
    let screen = tmux.screen();
    assert!(!screen.contains("-icanon"), "{screen}");
}
