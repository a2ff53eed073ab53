//! Looking at a ring that is in use, from a third process, without disturbing it.
//!
//!     cargo run --example 07_observe

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use ringway::{Address, Builder, ErrorKind, RecvError, Ring};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", address] => return send(address),
        ["observe", address] => return observe(address),
        _ => {}
    }
    let address = format!("shm:observe-{}", std::process::id());
    let ring = Builder::new(&address)?.capacity(1 << 16).create()?;
    let outcome = receive(&ring);
    ringway::remove(ring.address(), false)?;
    outcome
}

fn receive(ring: &Ring) -> Result<(), Box<dyn Error>> {
    let start = |role: &str| {
        Command::new(std::env::current_exe()?)
            .arg(role)
            .arg(ring.address().to_string())
            .spawn()
    };
    let mut receiver = ring.receiver()?;
    let mut sending = start("send")?;
    // From the first message on, there is something to see.
    receiver.wait_timeout(Duration::from_secs(10))?;
    let mut observing = start("observe")?;
    loop {
        match receiver.recv() {
            Ok(_) => std::thread::sleep(Duration::from_micros(100)),
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    sending.wait()?;
    observing.wait()?;
    Ok(())
}

fn send(address: &str) -> Result<(), Box<dyn Error>> {
    let mut sender = Builder::new(address)?.open()?.sender()?;
    for number in 0..5000_u32 {
        sender.send(&number.to_le_bytes())?;
    }
    Ok(())
}

fn observe(address: &str) -> Result<(), Box<dyn Error>> {
    let address: Address = address.parse()?;
    println!("listed: {}", ringway::inspect::list().contains(&address));
    for _ in 0..4 {
        // Mapped for reading only, for a moment; takes no role.
        let stat = ringway::inspect::stat(&address)?;
        let behind = stat.sent - stat.received;
        println!(
            "{}: {} sent, {} received, {behind} behind, {} of {} bytes used",
            stat.address, stat.sent, stat.received, stat.used_bytes, stat.capacity_bytes
        );
        for who in &stat.participants {
            let life = if who.alive { "alive" } else { "dead" };
            println!("    {}: process {}, {life}", who.role.name(), who.pid);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // What is in use is not removed by mistake.
    match ringway::remove(&address, false) {
        Err(error) if matches!(error.kind(), ErrorKind::InUse { .. }) => println!("{error}"),
        other => println!("expected it to be in use: {other:?}"),
    }
    Ok(())
}
