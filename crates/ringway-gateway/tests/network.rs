//! Two hosts, which are network namespaces with a link between them: it goes down and comes up, and gateways are killed meanwhile. Needs
//! root, and `ip` of iproute2.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Process, Server, gateway, inside, receive, send, until};

/// Two hosts and their link.
struct Hosts {
    a: String,
    b: String,
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
    fn new() -> Self {
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

    fn link(&self, state: &str) {
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

#[test]
fn messages_cross_a_link_that_goes_down_and_comes_up() {
    let hosts = Hosts::new();
    let server = Server::at("10.213.7.2", Some(&hosts.b), &[]);
    let out = server.config(
        "out",
        &server.outward("a", "retention = \"work-queue\"\nmax_messages = 5000"),
    );
    let into = server.config("in", &server.inward("b"));
    until("the server is there", || {
        let mut create = inside(Some(&hosts.a), &gateway("create", &out));
        create.output().unwrap().status.success()
    });
    let start = |host: &str, config| Process::start(&inside(Some(host), &gateway("run", config)));
    let mut outward = start(&hosts.a, &out);
    let _inward = start(&hosts.b, &into);
    let (a, b) = (server.ring("a"), server.ring("b"));
    let count = 12_000;
    let source = std::thread::spawn(move || {
        for part in 1..=120 {
            send(&a, count / 120 * part);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let sink = std::thread::spawn({
        let b = b.clone();
        move || receive(&b, count)
    });
    let arrived = || {
        ringway::at(&b)
            .unwrap()
            .open_or_create()
            .unwrap()
            .stat()
            .received
    };
    // Shorter than a connection lives, longer, and with a gateway that is killed, of which the server does not hear.
    for (seconds, kills) in [(0.3, false), (1.0, true), (7.0, false), (0.5, true)] {
        let before = arrived();
        until("messages cross", || {
            arrived() > before || arrived() == count
        });
        hosts.link("down");
        std::thread::sleep(Duration::from_secs_f64(seconds));
        if kills {
            outward.kill();
            outward = start(&hosts.a, &out);
        }
        hosts.link("up");
    }
    source.join().unwrap();
    sink.join().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(ringway::at(&b).unwrap().open().unwrap().stat().sent, count);
}
