//! Many small messages at once, and one message from many parts.
//!
//!     cargo run --example 03_batches_and_vectored
//!
//! The second process sends measurements in batches and then a summary in parts.

use std::error::Error;
use std::io::IoSlice;
use std::process::Command;
use std::time::Duration;

use ringway::{Builder, RecvError, Ring, SendError};

const MEASUREMENTS: u32 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return send(&address);
    }
    let address = format!("shm:batches-{}", std::process::id());
    let ring = Builder::new(&address)?.capacity(1 << 16).create()?;
    let outcome = receive(&ring);
    ringway::remove(ring.address(), false)?;
    outcome
}

fn send(address: &str) -> Result<(), Box<dyn Error>> {
    let mut sender = Builder::new(address)?.open()?.sender()?;
    let mut next = 0;
    while next < MEASUREMENTS {
        // All of a batch becomes visible together, or nothing of it.
        let mut batch = sender.batch();
        let end = MEASUREMENTS.min(next + 64);
        while next < end {
            match batch.push(&next.to_le_bytes()) {
                Ok(()) => next += 1,
                Err(SendError::Full) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if batch.commit() == 0 {
            // No room at all: send one message the patient way.
            sender.send(&next.to_le_bytes())?;
            next += 1;
        }
    }
    // One message, gathered from where its parts lie.
    let count = MEASUREMENTS.to_string();
    let parts = ["done: ", &count, " measurements"].map(|part| IoSlice::new(part.as_bytes()));
    sender.send_vectored(&parts)?;
    Ok(())
}

fn receive(ring: &Ring) -> Result<(), Box<dyn Error>> {
    let mut receiver = ring.receiver()?;
    let mut other = Command::new(std::env::current_exe()?)
        .arg(ring.address().to_string())
        .spawn()?;
    let (mut drains, mut sum) = (0, 0);
    let mut summary = String::new();
    loop {
        match receiver.wait_timeout(Duration::from_secs(10)) {
            Ok(()) => {}
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
        // Shows what is there, up to 256 messages, and releases them together.
        receiver.drain(256, |message| {
            let mut number = [0; 4];
            match message.len() {
                4 => {
                    message.read_at(0, &mut number);
                    sum += u64::from(u32::from_le_bytes(number));
                }
                _ => summary = String::from_utf8_lossy(&message.to_vec()).into_owned(),
            }
        })?;
        drains += 1;
    }
    println!("{summary}");
    println!("received by {drains} drains, the sum is {sum}");
    other.wait()?;
    Ok(())
}
