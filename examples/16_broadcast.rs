//! One producer, and everybody gets every message, in processes that keep up, do not, and die.
//!
//!     cargo run --release --example 16_broadcast
//!
//! Two consumers block the producer, and lose nothing; one of them has a name, is killed on the way, and goes on where it
//! was. A third one is lossy, sleeps now and then, and is told how much it missed.

use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

use ringway::broadcast::{Policy, Subscription};
use ringway::{Kind, RecvError};

const MESSAGES: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [role, address] = &arguments[..] {
        return consume(role, address);
    }
    let address = format!("shm:broadcast-{}", std::process::id());
    let ring = ringway::at(&address)?
        .kind(Kind::Broadcast)
        .capacity(1 << 20)
        .create()?;
    let outcome = produce(&ring, &address);
    ringway::remove(ring.address(), true)?;
    outcome
}

fn start(role: &str, address: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args([role, address])
        .spawn()
}

fn produce(ring: &ringway::Ring, address: &str) -> Result<(), Box<dyn Error>> {
    let mut sender = ring.sender()?;
    let mut consumers = vec![start("all", address)?, start("lossy", address)?];
    let mut named = start("named", address)?;
    sender.wait_for_peer()?;
    for number in 0..MESSAGES {
        if number == MESSAGES / 2 {
            // A dead consumer holds nobody up; its name keeps its place.
            named.kill()?;
            named.wait()?;
            named = start("named", address)?;
        }
        sender.send(&number.to_le_bytes())?;
    }
    sender.close();
    consumers.push(named);
    for mut consumer in consumers {
        consumer.wait()?;
    }
    Ok(())
}

fn consume(role: &str, address: &str) -> Result<(), Box<dyn Error>> {
    let subscription = match role {
        "named" => Subscription::new().name("audit"),
        "lossy" => Subscription::new().policy(Policy::Lossy),
        _ => Subscription::new(),
    };
    let mut receiver = ringway::at(address)?.open()?.subscribe(&subscription)?;
    let first = receiver.next_number().unwrap_or(0) - receiver.lost();
    let mut buffer = [0; 8];
    loop {
        match receiver.recv_into(&mut buffer) {
            Ok(_) if role == "lossy" && receiver.received().is_multiple_of(100_000) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            // A lossy one goes on behind what it missed.
            Ok(_) | Err(RecvError::Lagged { .. }) => {}
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let (received, lost) = (receiver.received(), receiver.lost());
    println!("{role}: from number {first} on, received {received}, missed {lost}");
    Ok(())
}
