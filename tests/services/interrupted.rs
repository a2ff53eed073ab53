//! Servers and clients that are interrupted, or are polled and never blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringway::service::{CallError, ServeError};
use ringway_testing::tasks::block_on;

use crate::two_processes::place::Backing;
use crate::two_processes::watchdog;
use crate::{at, service, to};

/// What a server that is interrupted has sent of a part comes whole, and the wait goes on with the next call.
#[test]
fn interruptions_tear_no_answer() {
    let place = service(Backing::Shm, 4);
    let mut server = at(&place).start().unwrap();
    let mut client = to(&place).open().unwrap();
    let parts: Vec<Vec<u8>> = (0..20).map(|number| vec![number; 30_000]).collect();
    let expected = parts.clone();
    let interrupters = [server.interrupter(), client.interrupter()];
    let (done, told) = std::sync::mpsc::channel::<()>();
    let interrupting = thread::spawn(move || {
        while told.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            for interrupter in &interrupters {
                interrupter.interrupt();
            }
            thread::sleep(Duration::from_micros(50));
        }
    });
    // Both go on until both were interrupted, the server with parts on their way: whether a wait is, or finds what it waits for first, is a matter of the moment.
    let by_server = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&by_server);
    let serving = thread::spawn(move || {
        loop {
            let mut request = loop {
                match server.next_deadline(watchdog()) {
                    Err(ServeError::Interrupted) => {}
                    other => break other.unwrap(),
                };
            };
            for part in &parts {
                while let Err(error) = request.send(part) {
                    assert_eq!(error, ServeError::Interrupted);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            let is_last = request.body() == b"last";
            request.end().unwrap();
            if is_last {
                break;
            }
        }
        while server.finish(Duration::from_secs(60)) != Ok(true) {}
    });
    let (mut interrupted, mut rounds, end) = (0, 0, watchdog());
    let mut is_last = false;
    while !is_last {
        assert!(Instant::now() < end, "nobody is interrupted");
        rounds += 1;
        is_last = rounds >= 5 && interrupted > 0 && by_server.load(Ordering::Relaxed) > 20;
        let request: &[u8] = if is_last { b"last" } else { b"more" };
        let mut answers = client.stream_deadline(request, watchdog()).unwrap();
        let mut got = Vec::new();
        loop {
            match answers.next_part() {
                Ok(Some(part)) => got.push(part),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error, CallError::Interrupted);
                    interrupted += 1;
                }
            }
        }
        assert!(got == expected, "{} parts", got.len());
    }
    serving.join().unwrap();
    drop(done);
    interrupting.join().unwrap();
}

#[test]
fn who_is_polled_is_woken_by_each_other_and_by_time() {
    let place = service(Backing::Shm, 4);
    let mut server = at(&place).start().unwrap();
    let mut client = to(&place).open().unwrap();
    let serving = thread::spawn(move || {
        for _ in 0..50 {
            let found = block_on(|context| server.poll_found(context));
            let mut request = server.take_found(found.unwrap());
            let body = request.take_body();
            block_on(|context| request.poll_send(context, &body)).unwrap();
            request.answer(&body).unwrap();
        }
        block_on(|context| server.poll_finish(context)).unwrap();
    });
    for round in 0..50 {
        let body = vec![round as u8; round * 1000];
        let mut answers = client.stream(&body).unwrap();
        let whole = block_on(|context| answers.poll_whole(context));
        assert!(whole.unwrap() == body.repeat(2));
    }
    serving.join().unwrap();
    // Nobody says anything, and still it is told.
    let mut answers = client.stream(b"hello").unwrap();
    let told = block_on(|context| answers.poll_whole(context));
    assert_eq!(told, Err(CallError::NoServer));
    drop(answers);
    let _server = at(&place).start().unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    let mut answers = client.stream_deadline(b"hello", soon).unwrap();
    let told = block_on(|context| answers.poll_part(context));
    assert_eq!(told, Err(CallError::TimedOut));
}
