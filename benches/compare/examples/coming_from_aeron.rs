use std::time::Duration;

use rusteron_client::{Aeron, AeronContext, Handlers};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A media driver has to run beside this.
    let aeron = Aeron::new(&AeronContext::new()?)?;
    aeron.start()?;
    let (channel, stream, patience) = (c"aeron:ipc", 1001, Duration::from_secs(5));
    let publication = aeron
        .async_add_publication(channel, stream)?
        .poll_blocking(patience)?;
    let subscription = aeron
        .async_add_subscription(channel, stream, Handlers::NONE, Handlers::NONE)?
        .poll_blocking(patience)?;

    while let Err(refused) = publication.offer(b"buy 100") {
        if !refused.is_retryable() {
            return Err(refused.into());
        }
        std::thread::yield_now();
    }
    let mut received = 0;
    while received == 0 {
        let show = |order: &[u8], _| println!("{}", String::from_utf8_lossy(order));
        received = subscription.poll_fn(show, 1)?;
    }
    Ok(())
}
