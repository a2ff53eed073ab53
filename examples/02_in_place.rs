//! Messages that are written and read where they lie in the ring, without a copy on the way.
//!
//!     cargo run --example 02_in_place
//!
//! The second process sends lines of an image; this one adds up their bytes.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use ringway::{Builder, RecvError, Ring};

const LINES: u32 = 480;
const LINE_LEN: usize = 640;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return send(&address);
    }
    let address = format!("shm:in-place-{}", std::process::id());
    let ring = Builder::new(&address)?.capacity(64 << 10).create()?;
    let outcome = receive(&ring);
    ringway::remove(ring.address(), false)?;
    outcome
}

fn send(address: &str) -> Result<(), Box<dyn Error>> {
    let mut sender = Builder::new(address)?.open()?.sender()?;
    for line in 0..LINES {
        // Room for a number and a line. No receiver sees anything of it yet.
        let mut claim = sender.claim(4 + LINE_LEN)?;
        claim.write_at(0, &line.to_le_bytes());
        claim.write_at(4, &[line as u8; LINE_LEN]);
        if line % 100 == 99 {
            // Given back, as by dropping it. Nothing was sent.
            claim.abort();
            continue;
        }
        claim.commit();
    }
    Ok(())
}

fn receive(ring: &Ring) -> Result<(), Box<dyn Error>> {
    let mut receiver = ring.receiver()?;
    let mut other = Command::new(std::env::current_exe()?)
        .arg(ring.address().to_string())
        .spawn()?;
    receiver.wait_timeout(Duration::from_secs(10))?;
    let (mut lines, mut sum) = (0, 0);
    loop {
        let message = match receiver.recv_in_place() {
            Ok(message) => message,
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        };
        // The safe way copies only what is looked at.
        let mut number = [0; 4];
        message.read_at(0, &mut number);
        if u32::from_le_bytes(number) % 100 == 0 {
            println!(
                "line {} has {} bytes",
                u32::from_le_bytes(number),
                message.len()
            );
        }
        // SAFETY: nobody writes to these bytes before the message is released, because the other
        // process is this very program. With a peer that is not trusted, read_at is the way.
        let bytes = unsafe { message.as_slice() };
        sum += bytes[4..].iter().map(|byte| u64::from(*byte)).sum::<u64>();
        lines += 1;
        // Acknowledged: the room goes back to the sender. Had this message been dropped before, by a `?` or
        // because this process died, the next receive would get it again.
        message.release();
    }
    println!("{lines} lines, their bytes add up to {sum}");
    other.wait()?;
    Ok(())
}
