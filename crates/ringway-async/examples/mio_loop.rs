//! One thread waits for several rings and a Unix socket, with mio: shows what comes, until all have ended. `mio_loop SOCKET ADDRESS...`.

use std::error::Error;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;

use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use ringway::{Receiver, RecvError};

const SOCKET: Token = Token(usize::MAX);

/// Shows what is there, until the ring is armed: `true`, or has come to its end: `false`.
fn take(receiver: &mut Receiver, number: usize) -> Result<bool, RecvError> {
    loop {
        let armed = match receiver.try_recv() {
            Ok(message) => {
                println!("{number}: {}", String::from_utf8_lossy(&message));
                continue;
            }
            Err(RecvError::Empty) => receiver.arm(),
            Err(error) => Err(error),
        };
        match armed {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(RecvError::Closed) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let socket = arguments
        .next()
        .ok_or("usage: mio_loop SOCKET ADDRESS...")?;
    let mut poll = Poll::new()?;
    let mut socket = UnixStream::connect(socket)?;
    poll.registry()
        .register(&mut socket, SOCKET, Interest::READABLE)?;
    let mut receivers = Vec::new();
    for (number, address) in arguments.enumerate() {
        let mut receiver = ringway::at(&address)?.open()?.receiver()?;
        let descriptor = receiver.descriptor()?.as_raw_fd();
        // mio is told of changes only: so all is taken each time, and the ring armed again.
        let source = &mut SourceFd(&descriptor);
        poll.registry()
            .register(source, Token(number), Interest::READABLE)?;
        receivers.push(Some(receiver));
    }
    // What was there before.
    let mut due: Vec<_> = (0..receivers.len()).collect();
    let (mut events, mut connected) = (Events::with_capacity(16), true);
    println!("waits");
    loop {
        for number in due.drain(..) {
            if let Some(receiver) = &mut receivers[number]
                && !take(receiver, number)?
            {
                println!("{number} ends");
                // Its descriptor goes with it.
                receivers[number] = None;
            }
        }
        if !connected && receivers.iter().all(Option::is_none) {
            return Ok(());
        }
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &events {
            match event.token() {
                SOCKET => connected = hear(&mut socket)?,
                Token(number) => due.push(number),
            }
        }
    }
}

/// Shows what came through the socket; whether more can come.
fn hear(socket: &mut UnixStream) -> std::io::Result<bool> {
    let mut text = [0; 100];
    loop {
        match socket.read(&mut text) {
            Ok(0) => {
                println!("input ends");
                return Ok(false);
            }
            Ok(len) => println!("input: {}", String::from_utf8_lossy(&text[..len])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}
