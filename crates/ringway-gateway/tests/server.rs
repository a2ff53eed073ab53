//! With a server: what the command does when a server dies, a stream is full, somebody else publishes; and what it says of configurations.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Process, Server, create, gateway, receive, said, send, until};
use nix::sys::signal::Signal;
use ringway_gateway::config::Config;
use ringway_gateway::engine::nats::Nats;

/// Talks to the server as an operator does.
fn operate<T>(server: &Server, act: impl AsyncFnOnce(&async_nats::jetstream::Context) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config::load(&server.config("operator", &server.outward("unused", ""))).unwrap();
    runtime.block_on(async {
        let engine = Nats::connect(&config.server, false).await.unwrap();
        act(engine.context()).await
    })
}

fn stored(server: &Server) -> (u64, u64) {
    operate(server, async |context| {
        let stream = context.get_stream("S").await.unwrap();
        let state = &stream.cached_info().state;
        (state.messages, state.last_sequence)
    })
}

#[test]
fn messages_cross_a_server_that_is_killed_and_started_again() {
    let mut server = Server::start();
    let routes = server.outward("a", "") + &server.inward("b");
    let config = server.config("config", &routes);
    create(&config);
    let _gateway = Process::start(&gateway("run", &config));
    let (a, b) = (server.ring("a"), server.ring("b"));
    let count = 20_000;
    let source = std::thread::spawn({
        let a = a.clone();
        move || {
            for part in 1..=20 {
                send(&a, count / 20 * part);
                std::thread::sleep(Duration::from_millis(60));
            }
        }
    });
    let sink = std::thread::spawn(move || receive(&b, count));
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(300));
        server.kill();
        std::thread::sleep(Duration::from_millis(100));
        server.again();
    }
    source.join().unwrap();
    sink.join().unwrap();
    assert_eq!(stored(&server), (count, count));
}

#[test]
fn a_full_stream_is_a_full_ring() {
    let server = Server::start();
    let config = server.config("config", &server.outward("a", "max_messages = 50"));
    create(&config);
    let a = server.ring("a");
    send(&a, 120);
    let mut process = Process::start(&gateway("run", &config));
    until("the stream is full", || stored(&server) == (50, 50));
    let ring = ringway::at(&a).unwrap().open().unwrap();
    until("the ring has let go", || ring.stat().received == 50);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(ring.stat().received, 50);
    for end in [100, 120] {
        operate(&server, async |context| {
            context
                .get_stream("S")
                .await
                .unwrap()
                .purge()
                .await
                .unwrap();
        });
        // All of it gone, so the newest message says nothing to a gateway that starts now.
        process.signal(Signal::SIGTERM);
        assert!(process.wait().success());
        process = Process::start(&gateway("run", &config));
        until("the stream has room", || stored(&server).1 == end);
    }
    until("all is released", || ring.stat().received == 120);
    assert_eq!(stored(&server), (20, 120));
}

#[test]
fn somebody_else_who_publishes_ends_the_gateway() {
    let server = Server::start();
    let config = server.config("config", &server.outward("a", ""));
    create(&config);
    let a = server.ring("a");
    send(&a, 100);
    let mut process = Process::start(&gateway("run", &config));
    until("they are stored", || stored(&server).0 == 100);
    operate(&server, async |context| {
        context
            .publish("s", "foreign".into())
            .await
            .unwrap()
            .await
            .unwrap();
    });
    send(&a, 200);
    assert_eq!(process.wait().code(), Some(1));
    let (good, text) = said("run", &config);
    assert!(!good && text.contains("somebody else publishes"), "{text}");
    // None of the hundred was stored in a wrong place.
    assert_eq!(stored(&server), (101, 101));
    assert_eq!(
        ringway::at(&a).unwrap().open().unwrap().stat().received,
        100
    );
}

#[test]
fn a_configuration_is_checked_against_the_server() {
    let server = Server::start();
    let routes = server.outward("a", "max_messages = 1000") + &server.inward("b");
    let config = server.config("config", &routes);
    let (good, text) = said("check", &config);
    assert!(!good && text.contains("stream S is missing"), "{text}");
    create(&config);
    let (good, text) = said("check", &config);
    assert!(good && !text.contains("bad"), "{text}");
    assert!(
        text.contains("will be made") && text.contains("version"),
        "{text}"
    );

    let is_old = common::version() < [2, 10];
    assert_eq!(text.contains("a server before 2.10"), is_old, "{text}");

    operate(&server, async |context| {
        let stream = context.get_stream("S").await.unwrap();
        let mut changed = stream.cached_info().config.clone();
        changed.subjects.push("other".to_owned());
        changed.discard = async_nats::jetstream::stream::DiscardPolicy::Old;
        changed.max_age = Duration::from_secs(3600);
        context.update_stream(changed).await.unwrap();
    });
    let ring = ringway::at(&server.ring("b"))
        .unwrap()
        .kind(ringway::Kind::Mpsc);
    ring.create().unwrap();
    let (good, text) = said("check", &config);
    assert!(!good, "{text}");
    for word in [
        "must have s alone",
        "discard must be new",
        "max_age",
        "needs a ring of kind spsc",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // Nobody there.
    drop(server);
    let folder = Server::start();
    let config = folder.config("config", &folder.outward("a", ""));
    let mut gone = folder;
    gone.kill();
    let (good, text) = said("check", &config);
    assert!(!good && text.contains("cannot connect"), "{text}");
}

#[test]
fn counts_are_served() {
    let server = Server::start();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let routes = format!("metrics = \"127.0.0.1:{port}\"\n")
        + &server.outward("a", "")
        + &server.inward("b");
    let config = server.config("config", &routes);
    create(&config);
    send(&server.ring("a"), 100);
    let _gateway = Process::start(&gateway("run", &config));
    receive(&server.ring("b"), 100);
    let mut text = String::new();
    until("all is counted", || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        text.clear();
        stream.read_to_string(&mut text).unwrap();
        text.contains("ringway_gateway_released_total{route=\"out\",direction=\"outward\"} 100\n")
            && text.contains("ringway_gateway_sent_total{route=\"in\",direction=\"inward\"} 100\n")
    });
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("# EOF\n"),
        "{text}"
    );
}

#[test]
fn users_and_passwords_come_from_the_environment() {
    let server = Server::with(&["--user", "me", "--pass", "secret"]);
    let routes = server.outward("a", "");
    let config = server.config("config", &routes);
    let (good, text) = said("check", &config);
    assert!(!good && text.contains("uthorization"), "{text}");
    let head = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        head + "user_variable = \"GW_USER\"\npassword_variable = \"GW_PASSWORD\"\n",
    )
    .unwrap();
    let mut command = gateway("create", &config);
    let output = command
        .env("GW_USER", "me")
        .env("GW_PASSWORD", "secret")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_server_with_tls_and_a_token_is_spoken_to_by_files_and_the_environment() {
    let folder = tempfile::TempDir::with_prefix("ringway-test-").unwrap();
    let (certificate, key) = (
        folder.path().join("server.pem"),
        folder.path().join("server.key"),
    );
    let mut make = std::process::Command::new("openssl");
    make.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    make.args([
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]);
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let made = make
        .output()
        .expect("this test needs openssl: apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let tls = [
        "--tls",
        "--tlscert",
        certificate,
        "--tlskey",
        key,
        "--auth",
        "secret",
    ];
    let server = Server::with(&tls);
    let config = server.config("config", &server.outward("a", ""));
    let head =
        std::fs::read_to_string(&config).unwrap() + "token_variable = \"GW_TOKEN\"\ntls = true\n";
    std::fs::write(&config, &head).unwrap();
    let create = || {
        gateway("create", &config)
            .env("GW_TOKEN", "secret")
            .output()
            .unwrap()
    };
    // Nobody vouches for the server.
    let output = create();
    assert!(!output.status.success(), "{output:?}");
    std::fs::write(&config, head + &format!("ca = \"{certificate}\"\n")).unwrap();
    let output = create();
    assert!(output.status.success(), "{output:?}");
    // Without the token.
    let (good, text) = said("check", &config);
    assert!(!good && text.contains("GW_TOKEN"), "{text}");
    let a = server.ring("a");
    send(&a, 10);
    let _gateway = Process::start(gateway("run", &config).env("GW_TOKEN", "secret"));
    let ring = ringway::at(&a).unwrap().open().unwrap();
    until("they are stored", || ring.stat().received == 10);
}
