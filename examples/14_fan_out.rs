//! Each message to every one of several subscribers: a ring for each. The publisher and the subscribers are killed on the
//! way, again and again.
//!
//!     cargo run --release --example 14_fan_out
//!
//! Every subscriber gets every message once and in order. The rings know how far each of them is.

use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

use ringway::{RecvError, Ring, SendError, Sender};

const MESSAGES: u64 = 100_000;
const DEATHS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [role, rings @ ..] if role == "publisher" => return publish(rings),
        [role, ring] if role == "subscriber" => return subscribe(ring),
        _ => {}
    }
    let mut rings = Vec::new();
    for name in ["a", "b", "c"] {
        let address = format!("shm:fan-out-{}-{name}", std::process::id());
        rings.push(ringway::at(&address)?.capacity(1 << 16).create()?);
    }
    let outcome = supervise(&rings);
    for ring in &rings {
        ringway::remove(ring.address(), true)?;
    }
    outcome
}

fn publish(rings: &[String]) -> Result<(), Box<dyn Error>> {
    let mut senders = Vec::new();
    for ring in rings {
        senders.push(ringway::at(ring)?.open()?.sender()?);
    }
    // The one before this may have died when it had sent a message to some, and not to others.
    let first = senders.iter().map(Sender::sent).min().unwrap_or(0);
    for number in first..MESSAGES {
        for sender in &mut senders {
            if sender.sent() == number {
                send(sender, number)?;
            }
        }
    }
    Ok(())
}

fn send(sender: &mut Sender, number: u64) -> Result<(), SendError> {
    loop {
        match sender.send(&number.to_le_bytes()) {
            // There is no room, and nobody who makes some: until the subscriber comes again.
            Err(SendError::PeerDied) => sender.wait_for_peer()?,
            outcome => return outcome,
        }
    }
}

fn subscribe(ring: &str) -> Result<(), Box<dyn Error>> {
    let mut receiver = ringway::at(ring)?.open()?.receiver()?;
    loop {
        let next = receiver.received();
        match receiver.recv() {
            Ok(message) => assert_eq!(message, next.to_le_bytes(), "each once, in order"),
            Err(RecvError::PeerDied) => receiver.wait_for_peer()?,
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    assert_eq!(receiver.received(), MESSAGES);
    Ok(())
}

fn start(role: &str, rings: &[Ring]) -> std::io::Result<Child> {
    let addresses = rings.iter().map(|ring| ring.address().to_string());
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).args(addresses).spawn()
}

/// Starts all, kills one after the other and starts it again, and waits until all are done.
fn supervise(rings: &[Ring]) -> Result<(), Box<dyn Error>> {
    let mut parts = vec![("publisher", rings)];
    parts.extend(rings.chunks(1).map(|ring| ("subscriber", ring)));
    let mut children = Vec::new();
    for (role, rings) in &parts {
        children.push(start(role, rings)?);
    }
    let mut deaths = 0;
    for nth in (0..parts.len()).cycle().take(DEATHS) {
        std::thread::sleep(Duration::from_millis(10));
        let child = &mut children[nth];
        // SIGKILL, wherever it is.
        child.kill()?;
        if !child.wait()?.success() {
            deaths += 1;
            *child = start(parts[nth].0, parts[nth].1)?;
        }
    }
    for child in &mut children {
        assert!(child.wait()?.success());
    }
    println!(
        "{MESSAGES} messages to each of {} subscribers, {deaths} deaths",
        rings.len()
    );
    Ok(())
}
