//! Two processes and a ring between them.
//!
//!     cargo run --example 01_hello
//!
//! This process makes the ring and receives. It starts itself once more, and that process sends.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use ringway::{Builder, RecvError, Ring};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return send(&address);
    }
    // The address is all that two processes have to agree on.
    let address = format!("shm:hello-{}", std::process::id());
    let ring = Builder::new(&address)?.create()?;
    let outcome = receive(&ring);
    // A ring stays until somebody removes it.
    ringway::remove(ring.address(), false)?;
    outcome
}

fn receive(ring: &Ring) -> Result<(), Box<dyn Error>> {
    let mut receiver = ring.receiver()?;
    let mut other = Command::new(std::env::current_exe()?)
        .arg(ring.address().to_string())
        .spawn()?;
    // Nobody can tell that a process died before it came. From then on, the ring tells.
    receiver.wait_timeout(Duration::from_secs(10))?;
    loop {
        match receiver.recv() {
            Ok(message) => println!("received: {}", String::from_utf8_lossy(&message)),
            Err(RecvError::Closed) => break,
            // Should the other process die, this is RecvError::PeerDied, at once: nobody waits for
            // the dead.
            Err(error) => return Err(error.into()),
        }
    }
    println!("the sender has closed the ring, and all of it is received");
    other.wait()?;
    Ok(())
}

fn send(address: &str) -> Result<(), Box<dyn Error>> {
    let mut sender = Builder::new(address)?.open()?.sender()?;
    for word in ["hello", "from", "another process"] {
        sender.send(word.as_bytes())?;
    }
    // Dropping the sender closes the ring.
    Ok(())
}
