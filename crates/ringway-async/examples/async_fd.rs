//! A ring's descriptor in tokio's reactor: shows what comes, to the end of the stream. `async_fd ADDRESS`.
//!
//! Futures are simpler (`recv_async`, see `subscriber.rs`). This is how one has what only gives descriptors, here.

use std::error::Error;

use ringway::RecvError;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: async_fd ADDRESS")?;
    let mut receiver = ringway::at(&address)?.open()?.receiver()?;
    let descriptor = receiver.descriptor()?.try_clone_to_owned()?;
    // SAFETY: what is registered owns its descriptor, which nobody else closes.
    let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
    println!("ready");
    loop {
        // Take what is there; say that one is about to sleep; sleep.
        match receiver.try_recv() {
            Ok(message) => println!("{}", String::from_utf8_lossy(&message)),
            Err(RecvError::Empty) => match receiver.arm() {
                Ok(true) => descriptor.readable().await?.clear_ready(),
                Ok(false) => {}
                // The end of the stream, which the next try tells.
                Err(RecvError::Closed) => {}
                Err(error) => return Err(error.into()),
            },
            Err(RecvError::Closed) => break println!("end"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
