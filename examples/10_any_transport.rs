//! A message of any size over whatever this machine allows: shared memory, or a message queue.
//!
//! ```sh
//! cargo run --example 10_any_transport
//! cargo run --example 10_any_transport -- mq:/ringway-example
//! ```

use std::error::Error;

use ringway::Channel;
use ringway::chunk::{ChunkReceiver, ChunkSender};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let default = || format!("auto:ringway-example-{}", std::process::id());
    let address = address.unwrap_or_else(default);

    let channel = Channel::create(ringway::at(&address)?.capacity(1 << 20))?;
    println!("{channel}");
    let (sender, receiver) = (channel.sender()?, channel.receiver()?);

    // Larger than the ring, and a thousand times what a queue carries at once.
    let image: Vec<u8> = (0..10 << 20).map(|at: u32| (at >> 3) as u8).collect();
    let received = std::thread::scope(|scope| {
        let image = &image;
        scope.spawn(move || ChunkSender::new(sender).send(image));
        ChunkReceiver::new(receiver).recv()
    });
    Channel::remove(channel.address(), true)?;

    let received = received?;
    println!("{} bytes, the same: {}", received.len(), received == image);
    Ok(())
}
