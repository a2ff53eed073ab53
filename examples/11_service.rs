//! Requests and answers: one service, many clients.
//!
//!     cargo run --release --example 11_service
//!
//! All requests go through one ring, which the service made. Each client has a ring of its own for the
//! answers, and says in its requests where that is.

use std::collections::HashMap;
use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use ringway::{Kind, RecvError, Ring, SendError, Sender};

const CLIENTS: usize = 3;
const REQUESTS: u64 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return ask(&address);
    }
    let address = format!("shm:service-{}", std::process::id());
    let ring = ringway::at(&address)?.kind(Kind::Mpsc).create()?;
    let outcome = serve(&ring);
    ringway::remove(ring.address(), true)?;
    outcome
}

fn serve(ring: &Ring) -> Result<(), Box<dyn Error>> {
    let mut requests = ring.receiver()?;
    let start = || {
        Command::new(std::env::current_exe()?)
            .arg(ring.address().to_string())
            .spawn()
    };
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(start()?);
    }
    requests.wait_for_producers(CLIENTS as u64)?;
    let mut answers = HashMap::new();
    loop {
        let request = match requests.recv() {
            Ok(request) => String::from_utf8(request)?,
            // Nobody is left who could ask. A service that goes on holds a sender of its own to this ring:
            // then it is never told so.
            Err(RecvError::Closed | RecvError::PeerDied) => break,
            Err(error) => return Err(error.into()),
        };
        let (client, number) = request.split_once(' ').ok_or("no such request")?;
        let number: u64 = number.parse()?;
        if !answers.contains_key(client) {
            let sender = ringway::at(client)?.open()?.sender()?;
            answers.insert(client.to_owned(), sender);
        }
        if let Some(sender) = answers.get_mut(client)
            && !answer(sender, number * number)?
        {
            println!("{client} does not take its answers");
            answers.remove(client);
        }
    }
    println!("answered {} requests", requests.received());
    for mut client in clients {
        client.wait()?;
    }
    Ok(())
}

/// Says whether the client has taken, or will take, its answer. The service waits for none.
fn answer(sender: &mut Sender, number: u64) -> Result<bool, SendError> {
    match sender.try_send(&number.to_le_bytes()) {
        Ok(()) => Ok(true),
        Err(SendError::Full | SendError::Closed | SendError::PeerDied) => Ok(false),
        Err(error) => Err(error),
    }
}

fn ask(service: &str) -> Result<(), Box<dyn Error>> {
    let mine = format!("{service}-{}", std::process::id());
    // Few and short answers need little room, and stay in the cache.
    let ring = ringway::at(&mine)?.capacity(4096).create()?;
    let outcome = ask_all(service, &ring);
    ringway::remove(ring.address(), true)?;
    outcome
}

fn ask_all(service: &str, ring: &Ring) -> Result<(), Box<dyn Error>> {
    let mut answers = ring.receiver()?;
    let mut requests = ringway::at(service)?.open()?.sender()?;
    let started = Instant::now();
    for number in 0..REQUESTS {
        requests.send(format!("{} {number}", ring.address()).as_bytes())?;
        let answer = answers.recv_timeout(Duration::from_secs(10))?;
        assert_eq!(answer, (number * number).to_le_bytes());
    }
    println!(
        "{REQUESTS} requests, answered in {:.1?} on average",
        started.elapsed() / REQUESTS as u32
    );
    Ok(())
}
