//! Many producers and many consumers on one ring.
//!
//!     cargo run --release --example 08_many_workers
//!
//! Two processes send jobs, three share the work. One worker is killed with a job in its hands; another
//! one gets that job.

use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

use ringway::{Builder, Kind, RecvError, Ring};

const JOBS: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [role, address, name] if role == "send" => return send(&open(address)?, name),
        [role, address] if role == "die" => return die_with_a_job(&open(address)?),
        [role, address, name] if role == "work" => return work(&open(address)?, name),
        _ => {}
    }
    let address = format!("shm:many-workers-{}", std::process::id());
    // The kind is all that is different from a ring with one producer and one consumer.
    let ring = Builder::new(&address)?.kind(Kind::Mpmc).create()?;
    let outcome = run(&address);
    ringway::remove(ring.address(), true)?;
    outcome
}

fn run(address: &str) -> Result<(), Box<dyn Error>> {
    let mut senders = [
        start(&["send", address, "a"])?,
        start(&["send", address, "b"])?,
    ];
    start(&["die", address])?.wait()?;
    let mut workers = [
        start(&["work", address, "x"])?,
        start(&["work", address, "y"])?,
    ];
    for process in senders.iter_mut().chain(&mut workers) {
        assert!(process.wait()?.success());
    }
    Ok(())
}

fn start(arguments: &[&str]) -> Result<Child, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    Ok(Command::new(program).args(arguments).spawn()?)
}

fn open(address: &str) -> Result<Ring, ringway::Error> {
    ringway::at(address)?.open()
}

fn send(ring: &Ring, name: &str) -> Result<(), Box<dyn Error>> {
    let mut sender = ring.sender()?;
    for job in 0..JOBS {
        sender.send(format!("{name}{job}").as_bytes())?;
    }
    // What was sent stays when its sender goes.
    Ok(())
}

fn die_with_a_job(ring: &Ring) -> Result<(), Box<dyn Error>> {
    let mut receiver = ring.receiver()?;
    let job = receiver.recv_in_place()?;
    println!("{} is dropped", String::from_utf8_lossy(&job.to_vec()));
    // As if by SIGKILL: nothing is put in order.
    std::process::abort();
}

fn work(ring: &Ring, name: &str) -> Result<(), Box<dyn Error>> {
    let mut receiver = ring.receiver()?;
    // The workers may be here before the senders are, or after they have gone.
    receiver.wait_for_producers(2)?;
    let mut done = 0;
    loop {
        // Acknowledged when the closure returns `Ok`. If it returned an error, panicked or died, the job would come
        // again, to this worker or another one.
        let outcome = receiver.process(|job| {
            // What a job takes. Without it, the worker that comes first would have done all of them.
            std::thread::sleep(Duration::from_micros(50));
            String::from_utf8(job.to_vec())
        });
        match outcome {
            Ok(job) => {
                job?;
                done += 1;
            }
            // The last producer has gone, and all is done.
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("worker {name} has done {done} jobs");
    Ok(())
}
