//! A server under tokio: answers requests until Ctrl-C or SIGTERM, and ends cleanly while a receive is pending. `server ADDRESS [THREADS]`.
//!
//! Requests come through the ring at ADDRESS-requests, answers go through the one at ADDRESS-answers.

use std::error::Error;

use ringway_async::{AsyncReceiver, AsyncSender};
use tokio::signal::unix::{SignalKind, signal};

async fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let requests = ringway::at(&format!("{address}-requests"))?.open_or_create()?;
    let answers = ringway::at(&format!("{address}-answers"))?.open_or_create()?;
    let (mut requests, mut answers) = (requests.receiver()?, answers.sender()?);
    println!("ready");
    loop {
        tokio::select! {
            request = requests.recv_async() => {
                let mut request = request?;
                request.make_ascii_uppercase();
                answers.send_async(&request).await?;
            }
            // The receive that is pending then is dropped, and has received nothing.
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        }
    }
    println!("bye");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (address, threads) = match &arguments[..] {
        [address] => (address, 1),
        [address, threads] => (address, threads.parse()?),
        _ => return Err("usage: server ADDRESS [THREADS]".into()),
    };
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        runtime.worker_threads(threads);
    }
    runtime.enable_all().build()?.block_on(serve(address))
}
