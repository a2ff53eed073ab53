//! One thread waits for several rings, which come and go.
//!
//!     cargo run --example 09_several_rings

use std::error::Error;
use std::thread;
use std::time::Duration;

use ringway::RecvError;
use ringway::wait::{WaitError, WaitSet};

fn main() -> Result<(), Box<dyn Error>> {
    let rings = [
        ringway::at("memfd:")?.create()?,
        ringway::at("memfd:")?.create()?,
    ];
    let mut senders = [rings[0].sender()?, rings[1].sender()?];
    let mut set = WaitSet::new();
    for ring in &rings {
        set.add(ring.receiver()?);
    }

    let nothing = set.wait_timeout(Duration::from_millis(20));
    assert_eq!(nothing, Err(WaitError::TimedOut));

    let sending = thread::spawn(move || {
        for number in 0..6_u8 {
            senders[usize::from(number % 2)].send(&[number])?;
        }
        // Dropping them closes both rings, which makes them ready as well.
        Ok::<_, ringway::SendError>(())
    });
    while !set.is_empty() {
        // Each in its turn.
        let key = set.wait()?;
        match set[key].try_recv() {
            Ok(message) => println!("{key:?}: {message:?}"),
            Err(RecvError::Closed) => {
                println!("{key:?} is closed");
                set.remove(key);
            }
            Err(RecvError::Empty) => {}
            Err(error) => return Err(error.into()),
        }
    }
    sending
        .join()
        .map_err(|_| "the sending thread panicked")??;
    Ok(())
}
