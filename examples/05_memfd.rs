//! A ring without a name, in sealed memory, handed to one other process over a Unix socket.
//!
//!     cargo run --example 05_memfd
//!
//! Nobody else can find it, nobody can cut it off, and it is gone with its last user: this is the
//! backing for a peer that is not trusted.

use std::error::Error;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use ringway::{Builder, RecvError, Ring};

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(_) => take_over(),
        None => hand_over(),
    }
}

fn hand_over() -> Result<(), Box<dyn Error>> {
    let ring = Builder::new("memfd:")?.create()?;
    let mut receiver = ring.receiver()?;
    // A service would accept connections from a UnixListener. Here, the other process gets its end of
    // a pair as its standard input.
    let (ours, theirs) = UnixStream::pair()?;
    let mut other = Command::new(std::env::current_exe()?)
        .arg("take over")
        .stdin(OwnedFd::from(theirs))
        .spawn()?;
    // The kernel says who made the socket, so a service can decide whom to trust.
    let peer = ring.hand_over(&ours)?;
    println!(
        "handed over to a process of user {} and group {}",
        peer.uid, peer.gid
    );
    receiver.wait_timeout(Duration::from_secs(10))?;
    loop {
        match receiver.recv() {
            Ok(message) => println!("received: {}", String::from_utf8_lossy(&message)),
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    other.wait()?;
    Ok(())
}

fn take_over() -> Result<(), Box<dyn Error>> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let (ring, peer) = Ring::take_over(&socket)?;
    let me = std::process::id();
    let text = format!("process {me} took it over from process {}", peer.pid);
    ring.sender()?.send(text.as_bytes())?;
    Ok(())
}
