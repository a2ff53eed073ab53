//! Services in tasks: calls are answered while nobody blocks a thread, what is dropped loses no request, and deaths are told.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ringway::service::{CallError, Client, Failure, ServeError, Server};
use ringway_async::{AsyncAnswers, AsyncClient, AsyncRequest, AsyncServer};
use ringway_testing::place::{Backing, Place, ROLE};
use tokio::time::{sleep, timeout};

/// Nothing that works waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
const AT: &str = "RINGWAY_TEST_AT";

/// All in one thread: whatever blocks it is seen, as nothing goes on.
fn one_thread() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
}

fn many_threads() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_time().build().unwrap()
}

fn server(place: &Place) -> Server {
    let address = place.address.to_string();
    ringway::serve(&address).unwrap().start().unwrap()
}

fn client(place: &Place) -> Client {
    let address = place.address.to_string();
    let connect = ringway::connect(&address).unwrap();
    connect.wait(PATIENCE).open().unwrap()
}

/// Says of each request what it is, in capitals; in parts, if it says so.
async fn work(mut server: Server) -> ServeError {
    loop {
        let mut request = match server.next_async().await {
            Ok(request) => request,
            Err(error) => return error,
        };
        tokio::task::yield_now().await;
        let body = request.take_body().to_ascii_uppercase();
        let answered = match &*body {
            b"FAIL" => request.fail(&Failure::new("no").with_status(7)),
            _ if body.starts_with(b"PARTS") => {
                let mut sent = Ok(());
                for part in [&body[..], &body[..5], b"", &body[..]] {
                    sent = sent.and(request.send_async(part).await);
                }
                sent.and_then(|()| request.answer(b"last"))
            }
            _ => request.answer(&body),
        };
        match answered {
            Ok(()) | Err(ServeError::Cancelled) => {}
            Err(error) => return error,
        }
    }
}

/// Of all lengths: in one piece, in several, and a whole number of them.
fn body(number: usize) -> Vec<u8> {
    let len = [0, 1, 100, 4000, 4096, 10_000, 100_000][number % 7];
    (0..len)
        .map(|at| b'a' + ((at + number) % 26) as u8)
        .collect()
}

#[test]
fn calls_are_answered_in_one_thread_and_in_many() {
    for runtime in [one_thread(), many_threads()] {
        let place = Place::new(Backing::Shm);
        let first = server(&place);
        let servers: Vec<_> = (0..3).map(|_| first.another().unwrap()).collect();
        let address = place.address.to_string();
        runtime.block_on(async {
            for server in servers {
                tokio::spawn(work(server));
            }
            let mut calling = Vec::new();
            for caller in 0..8 {
                let mut client = ringway::connect(&address).unwrap().open().unwrap();
                calling.push(tokio::spawn(async move {
                    for round in 0..20 {
                        let body = body(caller + round);
                        let answer = client.call_async(&body).await.unwrap();
                        assert_eq!(answer, body.to_ascii_uppercase());
                    }
                    let failed = CallError::Failed(Failure::new("no").with_status(7));
                    assert_eq!(client.call_async(b"fail").await, Err(failed));
                }));
            }
            for task in calling {
                timeout(PATIENCE, task).await.unwrap().unwrap();
            }
        });
    }
}

#[test]
fn answers_come_in_parts_of_whatever_length() {
    let place = Place::new(Backing::Shm);
    let server = server(&place);
    one_thread().block_on(async {
        tokio::spawn(work(server));
        let mut client = client(&place);
        for len in [5, 4096, 50_000] {
            let request = [&b"parts"[..], &body(6)[..len]].concat();
            let loud = request.to_ascii_uppercase();
            let mut answers = client.stream(&request).unwrap();
            let parts = [&loud[..], b"PARTS", b"", &loud[..], b"last"];
            for expected in parts {
                let part = timeout(PATIENCE, answers.next_part_async()).await.unwrap();
                assert_eq!(part.unwrap().unwrap(), expected);
            }
            assert_eq!(answers.next_part_async().await, Ok(None));
            drop(answers);
            // And as a whole.
            assert_eq!(client.call_async(&request).await.unwrap(), parts.concat());
        }
    });
}

#[test]
fn what_is_dropped_has_taken_no_request_and_torn_no_answer() {
    const ROUNDS: u64 = 100;
    let place = Place::new(Backing::Shm);
    let mut server = server(&place);
    let address = place.address.to_string();
    one_thread().block_on(async {
        let serving = tokio::spawn(async move {
            let mut dropped = 0;
            for number in 0..ROUNDS {
                // Polled, dropped, and asked for again.
                let mut request = loop {
                    let wait = Duration::from_micros(number % 5 * 50);
                    match timeout(wait, server.next_async()).await {
                        Ok(request) => break request.unwrap(),
                        Err(_) => dropped += 1,
                    }
                };
                let body = request.take_body();
                let mut left = 3;
                while left > 0 {
                    match timeout(Duration::ZERO, request.send_async(&body)).await {
                        Ok(sent) => {
                            sent.unwrap();
                            left -= 1;
                        }
                        Err(_) => sleep(Duration::from_micros(50)).await,
                    }
                }
                request.end().unwrap();
            }
            timeout(PATIENCE, server.finish_async())
                .await
                .unwrap()
                .unwrap();
            dropped
        });
        let mut client = ringway::connect(&address).unwrap().open().unwrap();
        for number in 0..ROUNDS {
            let body = body(number as usize % 6);
            let answer = timeout(PATIENCE, client.call_async(&body)).await.unwrap();
            assert_eq!(answer.unwrap(), [&body[..]; 3].concat());
            sleep(Duration::from_micros(number % 3 * 100)).await;
        }
        assert!(serving.await.unwrap() > 0);
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled() {
    let place = Place::new(Backing::Shm);
    let mut server = server(&place);
    one_thread().block_on(async {
        let mut client = client(&place);
        for _ in 0..20 {
            let calling = timeout(Duration::from_millis(5), client.call_async(b"slow"));
            let (called, request) = tokio::join!(calling, server.next_async());
            assert!(called.is_err());
            let mut request = request.unwrap();
            assert!(request.is_cancelled());
            assert_eq!(request.answer(b"late"), Err(ServeError::Cancelled));
            let (answer, served) = tokio::join!(client.call_async(b"next"), async {
                server.next_async().await.unwrap().answer(b"done")
            });
            assert_eq!((answer.unwrap().as_slice(), served), (&b"done"[..], Ok(())));
        }
        let mut connect = ringway::connect(&place.address.to_string()).unwrap();
        connect = connect.timeout(Duration::from_millis(20));
        let mut hurried = connect.open().unwrap();
        assert_eq!(hurried.call_async(b"x").await, Err(CallError::TimedOut));
    });
}

#[test]
fn an_interrupter_ends_what_is_pending() {
    let place = Place::new(Backing::Shm);
    let mut server = server(&place);
    one_thread().block_on(async {
        let mut client = client(&place);
        let interrupters = [server.interrupter(), client.interrupter()];
        let interrupting = async {
            sleep(Duration::from_millis(20)).await;
            for interrupter in &interrupters {
                interrupter.interrupt();
            }
        };
        // The call is not taken by the server, which waits at another desk's side: nobody serves while it is interrupted.
        let idle = async {
            let request = server.next_async().await.unwrap();
            drop(request);
            server.next_async().await.map(drop)
        };
        let (called, ended, ()) = tokio::join!(client.call_async(b"x"), idle, interrupting);
        assert_eq!(called, Err(CallError::LetGo));
        assert_eq!(ended, Err(ServeError::Interrupted));
        // One that came when nothing waited ends the next that waits.
        assert_eq!(client.call_async(b"x").await, Err(CallError::Interrupted));
    });
}

/// Serves, in a process of its own, until it is killed: answers, but for one request, in the middle of which it stays.
#[test]
fn child_role() {
    let Ok(address) = std::env::var(AT) else {
        return;
    };
    let mut server = ringway::serve(&address).unwrap().start().unwrap();
    one_thread().block_on(async {
        loop {
            let request = server.next_async().await.unwrap();
            if request.body() == b"stay" {
                println!("stays");
                std::future::pending::<()>().await;
            }
            request.answer(b"done").unwrap();
        }
    });
}

fn start(place: &Place) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child_role", "--exact", "--nocapture"]);
    command
        .env(AT, place.address.to_string())
        .env(ROLE, "server");
    command.stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn the_death_of_a_server_is_told_and_the_next_one_serves() {
    let place = Place::new(Backing::Shm);
    let mut first = start(&place);
    let address = place.address.to_string();
    // The service is made by its server.
    let mut client = client(&place);
    let mut again = ringway::connect(&address).unwrap();
    again = again.at_least_once().grace(PATIENCE);
    let mut again = again.open().unwrap();
    one_thread().block_on(async {
        assert_eq!(client.call_async(b"x").await.unwrap(), b"done");
        let kill = async {
            sleep(Duration::from_millis(100)).await;
            first.kill().unwrap();
            first.wait().unwrap();
        };
        let (called, ()) = tokio::join!(client.call_async(b"stay"), kill);
        assert_eq!(called, Err(CallError::ServerDied));
        assert_eq!(client.call_async(b"x").await, Err(CallError::NoServer));
        // At least once: it is waited for the next one.
        let next = async {
            sleep(Duration::from_millis(100)).await;
            start(&place)
        };
        let (called, mut second) = tokio::join!(again.call_async(b"x"), next);
        second.kill().unwrap();
        second.wait().unwrap();
        assert_eq!(called.unwrap(), b"done");
    });
}
