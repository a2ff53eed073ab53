//! How a blocked call waits, and for how long.
//!
//!     cargo run --release --example 04_waiting
//!
//! Sends a message to the second process and back, many times, in each way of waiting.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use ringway::{Builder, RecvError, Ring, WaitStrategy};

const ROUNDS: u32 = 10_000;

/// What to choose:
const WAYS: [(&str, WaitStrategy); 3] = [
    // the lowest latency, at the price of a processor that does nothing else;
    ("spin", WaitStrategy::Spin),
    // nearly that while messages flow, asleep when they do not (the default);
    (
        "adaptive",
        WaitStrategy::Adaptive(Duration::from_micros(50)),
    ),
    // the least work, at the price of being woken.
    ("park", WaitStrategy::Park),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [way, there, back] = &arguments[..] {
        return echo(way, there, back);
    }
    let name = |part: &str| format!("shm:waiting-{part}-{}", std::process::id());
    // Each ring goes in one direction.
    let there = Builder::new(&name("there"))?.create()?;
    let back = Builder::new(&name("back"))?.create()?;
    let outcome = compare(&there, &back);
    ringway::remove(there.address(), false)?;
    ringway::remove(back.address(), false)?;
    outcome
}

fn compare(there: &Ring, back: &Ring) -> Result<(), Box<dyn Error>> {
    // Every blocking call takes a deadline, or there is a variant that does.
    let mut receiver = back.receiver()?;
    let started = Instant::now();
    let timed_out = receiver.recv_deadline(started + Duration::from_millis(20));
    assert_eq!(timed_out, Err(RecvError::TimedOut));
    println!("no message came within {:.1?}", started.elapsed());
    drop(receiver);

    for (name, way) in WAYS {
        let mut other = Command::new(std::env::current_exe()?)
            .arg(name)
            .arg(there.address().to_string())
            .arg(back.address().to_string())
            .spawn()?;
        let mut sender = there.sender()?.with_wait(way);
        let mut receiver = back.receiver()?.with_wait(way);
        sender.wait_for_peer_timeout(Duration::from_secs(10))?;
        receiver.wait_for_peer_timeout(Duration::from_secs(10))?;
        let started = Instant::now();
        for round in 0..ROUNDS {
            sender.send(&round.to_le_bytes())?;
            assert_eq!(receiver.recv()?, round.to_le_bytes());
        }
        println!(
            "{name:>8}: {:.2?} there and back",
            started.elapsed() / ROUNDS
        );
        // Left open, for the next way.
        sender.leave();
        other.wait()?;
    }
    Ok(())
}

fn echo(way: &str, there: &str, back: &str) -> Result<(), Box<dyn Error>> {
    let found = WAYS.into_iter().find(|(name, _)| *name == way);
    let (_, way) = found.ok_or("no such way of waiting")?;
    let mut receiver = Builder::new(there)?.open()?.receiver()?.with_wait(way);
    let mut sender = Builder::new(back)?.open()?.sender()?.with_wait(way);
    for _ in 0..ROUNDS {
        let message = receiver.recv()?;
        sender.send(&message)?;
    }
    sender.leave();
    Ok(())
}
