//! A server under tokio ends on a signal while a receive is pending, as programs of users do.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringway::RecvError;
use ringway_async::{AsyncReceiver, AsyncSender};
use ringway_testing::place::{Backing, ROLE};

const AT: &str = "RINGWAY_TEST_AT";

/// Answers until it is interrupted.
async fn serve(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut requests = ringway::at(&format!("{address}-requests"))?
        .open()?
        .receiver()?;
    let mut answers = ringway::at(&format!("{address}-answers"))?
        .open()?
        .sender()?;
    println!("ready");
    loop {
        tokio::select! {
            request = requests.recv_async() => {
                let mut request = request?;
                request.make_ascii_uppercase();
                answers.send_async(&request).await?;
            }
            _ = interrupted.recv() => {
                println!("bye");
                return Ok(());
            }
        }
    }
}

/// The server's process.
#[test]
fn child_role() {
    let Ok(address) = std::env::var(AT) else {
        return;
    };
    let runtime = match std::env::var(ROLE).as_deref() {
        Ok("many") => tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build(),
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build(),
    };
    runtime.unwrap().block_on(serve(&address)).unwrap();
}

#[test]
fn a_server_ends_cleanly_on_a_signal_while_a_receive_is_pending() {
    for threads in ["many", "one"] {
        let place = ringway_testing::place::Place::new(Backing::Shm);
        let address = place.address.to_string();
        let places = ["requests", "answers"].map(|part| {
            let address = format!("{address}-{part}").parse().unwrap();
            ringway_testing::place::Place::at(address)
        });
        let [requests, answers] = &places;
        let requests = requests.builder().create().unwrap();
        let answers = answers.builder().create().unwrap();
        let mut server = Command::new(std::env::current_exe().unwrap())
            .args(["child_role", "--exact", "--nocapture"])
            .env(AT, &address)
            .env(ROLE, threads)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let mut hear = |line: &str| said.any(|said| said.unwrap().ends_with(line));
        assert!(hear("ready"));
        let (mut ask, mut told) = (requests.sender().unwrap(), answers.receiver().unwrap());
        for _ in 0..10 {
            ask.send(b"hello").unwrap();
            assert_eq!(
                told.recv_timeout(Duration::from_secs(60)).unwrap(),
                b"HELLO"
            );
        }
        let begun = Instant::now();
        kill(Pid::from_raw(server.id() as i32), Signal::SIGINT).unwrap();
        assert!(hear("bye"));
        assert!(server.wait().unwrap().success(), "{threads}");
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!(told.recv(), Err(RecvError::Closed), "it left in order");
    }
}
