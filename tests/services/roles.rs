//! What the processes do that a test starts.

use std::thread;
use std::time::Duration;

use ringway::service::{Client, Connect, Serve, ServeError, Server};
use ringway::{connect, serve};

use crate::two_processes::First;

pub fn serving(first: &First) -> Serve {
    serve(&first.address().to_string()).unwrap()
}

pub fn connecting(first: &First) -> Connect {
    connect(&first.address().to_string()).unwrap()
}

/// Begins with each request, says how, and answers it when it is told to.
pub fn begin(first: &First) {
    let mut server = serving(first).start().unwrap();
    first.say("there");
    loop {
        let request = server.next().unwrap();
        first.say(if request.is_repeated() {
            "again"
        } else {
            "begun"
        });
        match first.hear().as_str() {
            "answer" => request.answer(b"done").unwrap(),
            "let go" => drop(request),
            told => panic!("{told}"),
        }
    }
}

/// Answers each request, and says what it was.
pub fn tell(first: &First) {
    let mut server = serving(first).start().unwrap();
    first.say("there");
    tell_all(first, &mut server);
}

/// The same, by one that has looked what there is before it says that it is there, and has found nothing.
pub fn find_nothing_and_tell(first: &First) {
    let mut server = serving(first).start().unwrap();
    let found = server.next_timeout(Duration::ZERO).map(drop);
    assert_eq!(found, Err(ServeError::TimedOut));
    first.say("there");
    tell_all(first, &mut server);
}

fn tell_all(first: &First, server: &mut Server) {
    loop {
        let request = server.next().unwrap();
        first.say(String::from_utf8_lossy(request.body()));
        request.answer(b"told").unwrap();
    }
}

/// Sends one part of the answer to a request, and no more.
pub fn send_one(first: &First) {
    let mut server = serving(first).start().unwrap();
    first.say("there");
    let mut request = server.next().unwrap();
    request.send(b"one").unwrap();
    first.say("sent");
    first.hear();
}

/// Works for as long as the caller waits, and says when it does not any more.
pub fn look_busy(first: &First) {
    let mut server = serving(first).start().unwrap();
    first.say("there");
    loop {
        let mut request = server.next().unwrap();
        first.say("begun");
        while !request.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        first.say("cancelled");
        assert_eq!(request.answer(b"too late"), Err(ServeError::Cancelled));
    }
}

pub fn ask(first: &First) {
    let mut client = connecting(first).open().unwrap();
    first.say("there");
    loop {
        first.hear();
        let answer = client.call(b"hello");
        first.say(format!("{answer:?}"));
    }
}

pub fn ask_and_take_nothing(first: &First) {
    let mut client = connecting(first).open().unwrap();
    let mut answers = client.stream(b"much").unwrap();
    first.say("asked");
    assert_eq!(answers.next_part().unwrap().unwrap(), b"first");
    first.say("has one");
    first.hear();
}

/// Many handles, each in a thread of its own, with as many calls as it is told.
pub fn many(first: &First) {
    let (handles, calls): (u64, u64) =
        (first.hear().parse().unwrap(), first.hear().parse().unwrap());
    let base = connecting(first)
        .wait(Duration::from_secs(20))
        .open()
        .unwrap();
    let others = (1..handles).map(|_| base.another().unwrap());
    let clients: Vec<Client> = others.collect();
    first.say("there");
    first.hear();
    let asking = |mut client: Client| {
        move || {
            for call in 0..calls {
                let request = format!("call {call} of {:?}", thread::current().id());
                let answer = client.call(request.as_bytes()).unwrap();
                assert_eq!(answer, request.to_ascii_uppercase().as_bytes());
            }
        }
    };
    let threads = clients
        .into_iter()
        .chain([base])
        .map(asking)
        .map(thread::spawn);
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    first.say("done");
}
