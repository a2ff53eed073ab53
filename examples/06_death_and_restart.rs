//! A producer is killed in the middle of its work, and another goes on.
//!
//!     cargo run --example 06_death_and_restart
//!
//! No message is lost and none comes twice, and nobody waits for the dead.

use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

use ringway::{Builder, RecvError, Ring};

const MESSAGES: u64 = 300_000;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return produce(&address);
    }
    let address = format!("shm:restart-{}", std::process::id());
    let ring = Builder::new(&address)?.capacity(1 << 16).create()?;
    let mut producer = start_producer(&ring)?;
    let outcome = consume(&ring, &mut producer);
    // In case of an error above: end it, whatever it does.
    let _ = producer.kill();
    producer.wait()?;
    ringway::remove(ring.address(), false)?;
    outcome
}

fn start_producer(ring: &Ring) -> std::io::Result<Child> {
    let address = ring.address().to_string();
    Command::new(std::env::current_exe()?).arg(address).spawn()
}

fn consume(ring: &Ring, producer: &mut Child) -> Result<(), Box<dyn Error>> {
    let mut receiver = ring.receiver()?;
    let mut expected = 0;
    receiver.wait_for_peer_timeout(Duration::from_secs(10))?;
    loop {
        match receiver.recv() {
            Ok(message) => {
                let number = u64::from_le_bytes(message.as_slice().try_into()?);
                assert_eq!(number, expected, "each number once, in order");
                expected += 1;
                if expected == 100_000 || expected == 200_000 {
                    println!(
                        "{expected} received: killing the producer, process {}",
                        producer.id()
                    );
                    producer.kill()?;
                }
            }
            // All that the dead one committed has been received before this.
            Err(RecvError::PeerDied) => {
                println!(
                    "the producer died after message {}: starting another",
                    expected - 1
                );
                producer.wait()?;
                *producer = start_producer(ring)?;
                receiver.wait_for_peer_timeout(Duration::from_secs(10))?;
            }
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("{expected} messages, each once and in order");
    Ok(())
}

fn produce(address: &str) -> Result<(), Box<dyn Error>> {
    let ring = Builder::new(address)?.open()?;
    let mut sender = ring.sender()?;
    // The ring knows how many messages were ever committed in it; the next is ours.
    let next = ringway::inspect::stat(ring.address())?.sent;
    println!(
        "process {} sends from message {next} on",
        std::process::id()
    );
    for number in next..MESSAGES {
        sender.send(&number.to_le_bytes())?;
    }
    Ok(())
}
