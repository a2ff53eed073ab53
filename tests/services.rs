//! Call and serve between processes: answers, deaths, stops, cancellation, and a thousand clients.

#[path = "services/interrupted.rs"]
mod interrupted;
#[path = "services/roles.rs"]
mod roles;
mod two_processes;

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ringway::service::{CallError, Connect, Failure, Request, Serve, ServeError, Server};
use ringway::{ErrorKind, connect, serve};
use two_processes::place::{Backing, Place};
use two_processes::{Second, in_time, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "serve" => {
            let mut server = roles::serving(first).start().unwrap();
            first.say("there");
            panic!("{:?}", server.run(work));
        }
        "begin" => roles::begin(first),
        "tell" => roles::tell(first),
        "find nothing and tell" => roles::find_nothing_and_tell(first),
        "send one" => roles::send_one(first),
        "look busy" => roles::look_busy(first),
        "ask" => roles::ask(first),
        "ask and take nothing" => roles::ask_and_take_nothing(first),
        "many" => roles::many(first),
        _ => panic!("{role}"),
    });
}

/// A service, which the test itself does not serve.
fn service(backing: Backing, clients: u32) -> Place {
    let place = Place::new(backing);
    drop(at(&place).clients(clients).start().unwrap());
    place
}

fn at(place: &Place) -> Serve {
    serve(&place.address.to_string()).unwrap()
}

fn to(place: &Place) -> Connect {
    connect(&place.address.to_string()).unwrap()
}

fn work(request: &[u8]) -> Result<Vec<u8>, Failure> {
    match request {
        b"fail" => Err(Failure::new("as you say").with_status(7)),
        b"panic" => panic!("as you say"),
        _ => Ok(request.to_ascii_uppercase()),
    }
}

#[test]
fn each_request_is_answered_whatever_its_length() {
    for backing in Backing::NAMED {
        let place = service(backing, 4);
        let server = Second::start_at("serve", &place.address);
        server.expect("there");
        for open in [to(&place), to(&place).at_least_once()] {
            let mut client = open.open().unwrap();
            for len in [
                0, 1, 100, 4000, 4040, 4041, 4042, 4048, 4056, 4096, 5000, 100_000, 1_000_000,
            ] {
                let request: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
                let answer = in_time(|until| client.call_deadline(&request, until)).unwrap();
                assert_eq!(
                    answer,
                    request.to_ascii_uppercase(),
                    "{backing:?}: {len} bytes"
                );
            }
            let failed = in_time(|until| client.call_deadline(b"fail", until));
            let failure = Failure::new("as you say").with_status(7);
            assert_eq!(failed, Err(CallError::Failed(failure)));
        }
    }
}

fn send_parts(mut request: Request<'_>, count: usize) -> Result<(), ServeError> {
    for part in 0..count {
        request.send(&vec![part as u8; 3000 * part])?;
    }
    request.end()
}

#[test]
fn answers_come_in_parts() {
    let place = service(Backing::Shm, 4);
    let mut server = at(&place).start().unwrap();
    let serving = thread::spawn(move || {
        loop {
            let request = server.next_deadline(watchdog()).unwrap();
            let count = request.body().len();
            if count == 13 {
                request.answer(b"").unwrap();
                return server.finish(Duration::from_secs(60)).unwrap();
            }
            match send_parts(request, count) {
                Ok(()) | Err(ServeError::Cancelled) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    let mut client = to(&place).open().unwrap();
    for count in [0, 1, 2, 7] {
        let request = vec![0; count];
        let parts: Result<Vec<_>, _> = client
            .stream_deadline(&request, watchdog())
            .unwrap()
            .collect();
        let expected: Vec<_> = (0..count)
            .map(|part| vec![part as u8; 3000 * part])
            .collect();
        assert_eq!(parts.unwrap(), expected);
        let whole = client.call_deadline(&request, watchdog()).unwrap();
        assert_eq!(whole, expected.concat());
    }
    // Who does not want the rest may call again at once.
    for _ in 0..10 {
        let mut answers = client.stream_deadline(&[0; 9], watchdog()).unwrap();
        assert_eq!(answers.next_part().unwrap().unwrap(), b"");
    }
    assert_eq!(client.call_deadline(&[0; 13], watchdog()), Ok(Vec::new()));
    assert!(serving.join().unwrap());
}

#[test]
fn requests_and_answers_that_are_too_long_are_refused_and_the_next_ones_are_not() {
    let place = service(Backing::Shm, 4);
    let mut server = at(&place).max_request(10_000).start().unwrap();
    let serving = thread::spawn(move || server.run(work));
    let mut client = to(&place)
        .max_answer(9000)
        .timeout(Duration::from_secs(60))
        .open()
        .unwrap();
    let most = 10_000;
    assert_eq!(
        client.call(&[b'a'; 10_001]),
        Err(CallError::RequestTooLong { most })
    );
    let most = 9000;
    assert_eq!(
        client.call(&[b'a'; 9001]),
        Err(CallError::AnswerTooLong { most })
    );
    assert_eq!(client.call(&[b'a'; 9000]), Ok(vec![b'A'; 9000]));
    drop(serving);
}

#[test]
fn a_server_that_dies_is_told_of_at_most_once_and_followed_at_least_once() {
    let place = service(Backing::Shm, 4);
    for at_least_once in [false, true] {
        let (one, other) = (
            Second::start_at("begin", &place.address),
            Second::start_at("begin", &place.address),
        );
        one.expect("there");
        // The only one, so it gets the request.
        other.expect("there");
        other.stop();
        let open = match at_least_once {
            true => to(&place).at_least_once(),
            false => to(&place),
        };
        let mut client = open.open().unwrap();
        let calling = thread::spawn(move || {
            let begun = Instant::now();
            (client.call_deadline(b"hello", watchdog()), begun.elapsed())
        });
        one.expect("begun");
        other.signal(Signal::SIGCONT);
        one.kill_unreaped();
        if at_least_once {
            other.expect("again");
            other.say("answer");
        }
        let (answer, took) = calling.join().unwrap();
        match at_least_once {
            true => assert_eq!(answer, Ok(b"done".to_vec())),
            false => assert_eq!(answer, Err(CallError::ServerDied)),
        }
        assert!(took < Duration::from_secs(30));
    }
}

#[test]
fn what_a_server_lets_go_of_is_told_or_served_again() {
    let place = service(Backing::Shm, 4);
    let server = Second::start_at("begin", &place.address);
    server.expect("there");
    for at_least_once in [false, true] {
        let open = match at_least_once {
            true => to(&place).at_least_once(),
            false => to(&place),
        };
        let mut client = open.open().unwrap();
        let calling = thread::spawn(move || client.call_deadline(b"hello", watchdog()));
        server.expect("begun");
        server.say("let go");
        if at_least_once {
            server.expect("again");
            server.say("answer");
        }
        let answer = calling.join().unwrap();
        match at_least_once {
            true => assert_eq!(answer, Ok(b"done".to_vec())),
            false => assert_eq!(answer, Err(CallError::LetGo)),
        }
    }
}

#[test]
fn a_request_that_kills_its_servers_does_not_kill_for_ever() {
    let place = service(Backing::Shm, 4);
    let mut client = to(&place)
        .at_least_once()
        .attempts(3)
        .grace(Duration::from_secs(60))
        .open()
        .unwrap();
    let calling = thread::spawn(move || client.call_deadline(b"hello", watchdog()));
    for attempt in 0..3 {
        let server = Second::start_at("begin", &place.address);
        server.expect("there");
        server.expect(if attempt == 0 { "begun" } else { "again" });
        server.kill();
    }
    assert_eq!(calling.join().unwrap(), Err(CallError::ServerDied));
}

#[test]
fn what_a_dead_server_has_sent_is_dropped_if_it_was_not_handed_on() {
    let place = service(Backing::Shm, 4);
    let patient = to(&place).at_least_once().grace(Duration::from_secs(60));
    let start = |role| {
        let server = Second::start_at(role, &place.address);
        server.expect("there");
        server
    };
    let mut client = patient.clone().open().unwrap();
    let server = start("send one");
    let calling = thread::spawn(move || client.call_deadline(b"hello", watchdog()));
    server.expect("sent");
    server.kill();
    let server = start("tell");
    assert_eq!(calling.join().unwrap(), Ok(b"told".to_vec()));
    server.kill();

    let mut client = patient.open().unwrap();
    let server = start("send one");
    let mut answers = client.stream_deadline(b"hello", watchdog()).unwrap();
    assert_eq!(answers.next_part(), Ok(Some(b"one".to_vec())));
    server.kill();
    let _server = start("tell");
    assert_eq!(answers.next_part(), Err(CallError::ServerDied));
    assert_eq!(answers.next_part(), Ok(None));
}

#[test]
fn a_server_that_comes_later_repeats_nothing_that_is_settled() {
    let place = service(Backing::Shm, 4);
    for open in [to(&place), to(&place).at_least_once()] {
        let mut client = open.open().unwrap();
        for request in ["one", "two", "three"] {
            let server = Second::start_at("find nothing and tell", &place.address);
            server.expect("there");
            let answer = in_time(|until| client.call_deadline(request.as_bytes(), until));
            assert_eq!(answer, Ok(b"told".to_vec()));
            server.expect(request);
            server.kill();
        }
    }
}

#[test]
fn nobody_waits_where_no_server_is() {
    let place = service(Backing::Shm, 4);
    let mut client = to(&place).open().unwrap();
    let none = in_time(|until| client.call_deadline(b"hello", until));
    assert_eq!(none, Err(CallError::NoServer));
    let waited = to(&place).wait(Duration::from_millis(30)).open();
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);

    // One that is stopped is there. It has not begun when it dies.
    let server = Second::start_at("serve", &place.address);
    server.expect("there");
    server.stop();
    assert_eq!(client.servers(), 1);
    let soon = Duration::from_millis(30);
    assert_eq!(
        client.call_timeout(b"hello", soon),
        Err(CallError::TimedOut)
    );
    let calling = thread::spawn(move || client.call_deadline(b"hello", watchdog()));
    server.kill_unreaped();
    assert_eq!(calling.join().unwrap(), Err(CallError::NoServer));

    // With grace, one that comes later serves it.
    let mut client = to(&place).grace(Duration::from_secs(60)).open().unwrap();
    let calling = thread::spawn(move || client.call_deadline(b"hello", watchdog()));
    let server = Second::start_at("serve", &place.address);
    server.expect("there");
    assert_eq!(calling.join().unwrap(), Ok(b"HELLO".to_vec()));
}

#[test]
fn a_stopped_server_keeps_its_own_call_and_delays_no_other() {
    let place = service(Backing::Shm, 4);
    let stopped = Second::start_at("begin", &place.address);
    stopped.expect("there");
    let mut client = to(&place).open().unwrap();
    let interrupter = client.interrupter();
    let calling = thread::spawn(move || {
        let given_up = client.call_timeout(b"hello", Duration::from_millis(300));
        (given_up, client)
    });
    stopped.expect("begun");
    stopped.stop();
    let server = Second::start_at("serve", &place.address);
    server.expect("there");
    let mut other = to(&place).open().unwrap();
    for _ in 0..100 {
        assert_eq!(
            in_time(|until| other.call_deadline(b"hello", until)),
            Ok(b"HELLO".to_vec())
        );
    }
    let (given_up, mut client) = calling.join().unwrap();
    assert_eq!(given_up, Err(CallError::TimedOut));
    // Its desk is the stopped one's; it calls from another.
    let desk = client.desk();
    for _ in 0..100 {
        assert_eq!(
            in_time(|until| client.call_deadline(b"hello", until)),
            Ok(b"HELLO".to_vec())
        );
    }
    assert_ne!(client.desk(), desk);
    // What the stopped one still says, nobody takes for an answer.
    stopped.signal(Signal::SIGCONT);
    stopped.say("let go");
    drop(server);
    let calling = thread::spawn(move || {
        let answer = client.call_deadline(b"hello", watchdog());
        (answer, client)
    });
    stopped.expect("begun");
    stopped.say("answer");
    let (answer, mut client) = calling.join().unwrap();
    assert_eq!(answer, Ok(b"done".to_vec()));
    // What ended its calls before ends them at the new desk.
    let calling = thread::spawn(move || client.call_deadline(b"hello", watchdog()));
    stopped.expect("begun");
    interrupter.interrupt();
    assert_eq!(calling.join().unwrap(), Err(CallError::Interrupted));
    stopped.say("let go");
}

/// As a server that is stopped before it leaves the desk of a call that it has answered, or before it begins: what it holds, this test takes.
#[test]
fn a_call_moves_on_from_a_desk_that_somebody_keeps_and_does_nothing_at() {
    let place = service(Backing::Shm, 4);
    let mut client = to(&place).open().unwrap();
    let board = ringway::Board::at(&place.address.to_string()).unwrap();
    let board = board.open().unwrap();
    let server = Second::start_at("serve", &place.address);
    server.expect("there");
    // The desk's role, which the server is about to leave.
    let keeper_of = |desk| {
        let mut keeper = board.role(&format!("answer {desk}")).unwrap();
        while !keeper.take().unwrap() {
            thread::yield_now();
        }
        keeper
    };
    for request in [&[b'a'; 64][..], &[b'b'; 65], &[b'c'; 10_000]] {
        let mut call = || {
            let answer = in_time(|until| client.call_deadline(request, until));
            assert_eq!(answer, Ok(request.to_ascii_uppercase()));
            client.desk()
        };
        let desk = call();
        let mut keeper = keeper_of(desk);
        assert_ne!(call(), desk);
        keeper.leave();
        call();
    }
    // Where another one has begun, the call stays.
    let desk = client.desk();
    let mut keeper = keeper_of(desk);
    let last = board.reader(&format!("call {desk}")).unwrap().get();
    keeper.set_mark(last.unwrap().unwrap().number() + 1);
    let late = client.call_timeout(b"hello", Duration::from_millis(100));
    assert_eq!(late, Err(CallError::TimedOut));
    assert_eq!(client.desk(), desk);
}

#[test]
fn a_server_sees_that_its_caller_died_left_or_waits_no_longer() {
    let place = service(Backing::Shm, 4);
    let server = Second::start_at("look busy", &place.address);
    server.expect("there");
    let client = Second::start_at("ask", &place.address);
    client.expect("there");
    client.say("ask");
    server.expect("begun");
    client.kill_unreaped();
    server.expect("cancelled");

    let mut client = to(&place).open().unwrap();
    let soon = Duration::from_millis(20);
    assert_eq!(
        client.call_timeout(b"hello", soon),
        Err(CallError::TimedOut)
    );
    server.expect("begun");
    server.expect("cancelled");

    let answers = client.stream(b"hello").unwrap();
    server.expect("begun");
    drop(answers);
    server.expect("cancelled");
}

/// Who has taken the dead one's place, and has asked for nothing yet, must not pass for the one that waits.
#[test]
fn a_server_sees_that_its_caller_died_although_another_has_its_desk() {
    let place = service(Backing::Shm, 4);
    let server = Second::start_at("look busy", &place.address);
    server.expect("there");
    let client = Second::start_at("ask", &place.address);
    client.expect("there");
    client.say("ask");
    server.expect("begun");
    server.stop();
    client.kill_unreaped();
    let board = ringway::Board::at(&place.address.to_string())
        .unwrap()
        .open()
        .unwrap();
    let desks = board.keys().unwrap().into_iter();
    let mut roles: Vec<_> = desks
        .filter(|key| key.starts_with("call "))
        .map(|key| board.role(&key).unwrap())
        .collect();
    assert!(roles.iter_mut().all(|role| role.take().unwrap()));
    server.signal(Signal::SIGCONT);
    server.expect("cancelled");

    drop(roles);
    let mut client = to(&place).open().unwrap();
    let answers = client.stream(b"hello").unwrap();
    server.expect("begun");
    drop(answers);
    server.expect("cancelled");
}

#[test]
fn the_desks_of_the_dead_are_free_at_once_without_gc() {
    let place = service(Backing::Shm, 16);
    let server = Second::start_at("serve", &place.address);
    server.expect("there");
    for _ in 0..10 {
        let clients: Vec<_> = (0..16)
            .map(|_| Second::start_at("ask", &place.address))
            .collect();
        for client in &clients {
            client.expect("there");
        }
        let full = to(&place).open().unwrap_err();
        assert!(matches!(full.kind(), ErrorKind::RoleTaken { .. }), "{full}");
        for client in &clients {
            client.say("ask");
            client.kill_unreaped();
        }
        let mut next: Vec<_> = (0..16).map(|_| to(&place).open().unwrap()).collect();
        for client in &mut next {
            let answer = in_time(|until| client.call_deadline(b"hello", until));
            assert_eq!(answer, Ok(b"HELLO".to_vec()));
        }
    }
}

#[test]
fn a_stopped_client_delays_no_other() {
    let place = service(Backing::Shm, 4);
    let mut server = at(&place)
        .patience(Duration::from_millis(300))
        .start()
        .unwrap();
    let stopped = Second::start_at("ask and take nothing", &place.address);
    stopped.expect("asked");
    let mut request = server.next_deadline(watchdog()).unwrap();
    request.send(b"first").unwrap();
    stopped.expect("has one");
    request.send(b"second").unwrap();
    stopped.stop();
    // What was sent is not taken, so the server's patience decides.
    let sent = (0..3).map(|_| request.send(b"more"));
    let refused = sent.filter_map(Result::err).next();
    assert_eq!(refused, Some(ServeError::NotTaken));
    drop(request);

    // What ends an answer keeps the server for no moment, however long it is.
    let stopped = Second::start_at("ask and take nothing", &place.address);
    stopped.expect("asked");
    stopped.stop();
    let request = server.next_deadline(watchdog()).unwrap();
    request.answer(&[7; 1_000_000]).unwrap();
    let mut client = to(&place).open().unwrap();
    let calling = thread::spawn(move || client.call_deadline(b"hello", watchdog()));
    let request = server.next_deadline(watchdog()).unwrap();
    assert_eq!(request.body(), b"hello");
    request.answer(b"done").unwrap();
    assert_eq!(calling.join().unwrap(), Ok(b"done".to_vec()));
    assert_eq!(server.finish(Duration::from_millis(20)), Ok(false));
    stopped.kill();
    assert_eq!(server.finish(Duration::from_secs(60)), Ok(true));
}

#[test]
fn a_thousand_clients_of_four_servers_are_all_answered() {
    let place = service(Backing::Shm, 1000);
    let servers: Vec<_> = (0..4)
        .map(|_| Second::start_at("serve", &place.address))
        .collect();
    for server in &servers {
        server.expect("there");
    }
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let client = Second::start_at("many", &place.address);
            client.say(50);
            client.say(20);
            client
        })
        .collect();
    for client in &clients {
        client.expect("there");
    }
    for client in &clients {
        client.say("go");
    }
    for client in &clients {
        client.expect("done");
    }
}

#[test]
fn a_service_whose_maker_died_among_its_keys_is_completed() {
    let whole = service(Backing::Shm, 16);
    let builder = |place: &Place| ringway::board::Builder::at(place.address.clone());
    let keys = builder(&whole).open().unwrap().keys().unwrap();
    for there in [0, 1, 7, keys.len() - 1] {
        let place = Place::new(Backing::Shm);
        let entries = builder(&place).entries(keys.len() as u32).writers(120);
        drop(entries.keys(&keys[..there]).create().unwrap());
        let mut client = to(&place).open().unwrap();
        let _server = Second::start_at("serve", &place.address);
        _server.expect("there");
        let answer = in_time(|until| client.call_deadline(b"hello", until));
        assert_eq!(answer, Ok(b"HELLO".to_vec()), "{there} keys");
        assert_eq!(builder(&place).open().unwrap().keys().unwrap(), keys);
    }
}

#[test]
fn other_boards_and_rings_are_no_services() {
    let place = Place::new(Backing::Shm);
    let address = place.address.to_string();
    drop(ringway::at(&address).unwrap().create().unwrap());
    let refused =
        |error: ringway::Error| assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    refused(connect(&address).unwrap().open().unwrap_err());
    refused(serve(&address).unwrap().start().unwrap_err());
    let place = Place::new(Backing::Shm);
    let board = ringway::board::Builder::at(place.address.clone());
    let board = board.entries(64).create().unwrap();
    refused(to(&place).open().unwrap_err());
    refused(at(&place).start().unwrap_err());
    assert_eq!(
        board.keys().unwrap(),
        Vec::<String>::new(),
        "nothing was added to it"
    );
    let place = service(Backing::Shm, 16);
    refused(at(&place).clients(1000).start().unwrap_err());
    refused(at(&place).part_len(1 << 16).start().unwrap_err());
    let server: Server = at(&place).clients(16).part_len(4096).start().unwrap();
    assert_eq!(server.clients(), 16);
    let unnamed = serve("memfd:").unwrap().start().unwrap_err();
    assert_eq!(unnamed.kind(), ErrorKind::Unsupported);
}
