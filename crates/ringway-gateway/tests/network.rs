//! Two hosts, which are network namespaces with a link between them: it goes down and comes up, and gateways are killed meanwhile. Needs
//! root, and `ip` of iproute2.

mod common;

use std::time::Duration;

use common::{Hosts, Process, gateway, inside, receive, send, until};

#[test]
fn messages_cross_a_link_that_goes_down_and_comes_up() {
    let hosts = Hosts::new();
    let server = hosts.server();
    let out = server.config(
        "out",
        &server.outward("a", "retention = \"work-queue\"\nmax_messages = 5000"),
    );
    let into = server.config("in", &server.inward("b"));
    hosts.create(&out);
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
