//! Shows every message of a broadcast ring, and goes on under its name when it is started again: `subscriber ADDRESS NAME`.

use std::error::Error;

use ringway::RecvError;
use ringway::broadcast::Subscription;
use ringway_async::AsyncReceiver;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, name] = &arguments[..] else {
        return Err("usage: subscriber ADDRESS NAME".into());
    };
    let ring = ringway::at(address)?.open()?;
    let mut receiver = ring.subscribe(&Subscription::new().name(name))?;
    println!("ready");
    loop {
        // Acknowledged when it is shown.
        let shown = receiver.process_async(|message| {
            println!("{}", String::from_utf8_lossy(&message.to_vec()));
            Ok::<_, ()>(())
        });
        match shown.await {
            Ok(_) => {}
            Err(RecvError::Lagged { missed }) => println!("missed {missed}"),
            // The next one goes on.
            Err(RecvError::PeerDied) => receiver.wait_for_peer_async().await?,
            Err(RecvError::Closed) => {
                println!("end");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}
