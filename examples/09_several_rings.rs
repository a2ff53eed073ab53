//! One thread waits for several rings.
//!
//!     cargo run --example 09_several_rings

use std::error::Error;
use std::thread;
use std::time::Duration;

use ringway::RecvError;
use ringway::wait::{WaitError, wait_any, wait_any_timeout};

fn main() -> Result<(), Box<dyn Error>> {
    let rings = [
        ringway::at("memfd:")?.create()?,
        ringway::at("memfd:")?.create()?,
    ];
    let mut senders = [rings[0].sender()?, rings[1].sender()?];
    let (mut first, mut second) = (rings[0].receiver()?, rings[1].receiver()?);

    let moment = Duration::from_millis(20);
    let nothing = wait_any_timeout(&mut [&mut first, &mut second], moment);
    assert_eq!(nothing, Err(WaitError::TimedOut));

    let sending = thread::spawn(move || {
        for number in 0..6_u8 {
            senders[usize::from(number % 2)].send(&[number])?;
        }
        // Dropping them closes both rings, which makes them ready as well.
        Ok::<_, ringway::SendError>(())
    });
    let mut open = 2;
    let mut receivers = [first, second];
    while open > 0 {
        let [first, second] = &mut receivers;
        for index in wait_any(&mut [first, second])? {
            match receivers[index].try_recv() {
                Ok(message) => println!("ring {index}: {message:?}"),
                Err(RecvError::Closed) => {
                    println!("ring {index} is closed");
                    open -= 1;
                    // A closed ring stays ready; this one is replaced by one that never is.
                    receivers[index] = ringway::at("memfd:")?.create()?.receiver()?;
                }
                Err(RecvError::Empty) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    sending
        .join()
        .map_err(|_| "the sending thread panicked")??;
    Ok(())
}
