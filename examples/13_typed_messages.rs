//! Messages that are values of a type.
//!
//!     cargo run --example 13_typed_messages
//!
//! The second process sends what a sensor measures, this one keeps the highest.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use bytemuck::{Pod, Zeroable};
use ringway::RecvError;

/// The same in both programs: fixed widths, an order (`repr(C)`) and no padding, which `Pod` makes sure of.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Sample {
    nanoseconds: u64,
    sensor: u32,
    degrees: f32,
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return measure(&address);
    }
    let address = format!("shm:samples-{}", std::process::id());
    let mut other = Command::new(std::env::current_exe()?)
        .arg(&address)
        .spawn()?;
    let outcome = collect(&address);
    other.wait()?;
    let removed = ringway::remove(&address.parse()?, false);
    outcome?;
    Ok(removed?)
}

fn measure(address: &str) -> Result<(), Box<dyn Error>> {
    let mut sender = ringway::at(address)?.open_or_create()?.sender()?;
    for number in 0..1000 {
        sender.send_pod(&Sample {
            nanoseconds: number * 1_000_000,
            sensor: number as u32 % 4,
            degrees: 20.0 + (number as f32 / 100.0).sin(),
        })?;
    }
    Ok(())
}

fn collect(address: &str) -> Result<(), Box<dyn Error>> {
    let mut receiver = ringway::at(address)?
        .wait(Duration::from_secs(10))
        .open()?
        .receiver()?;
    let mut highest = Sample::zeroed();
    loop {
        match receiver.recv_pod::<Sample>() {
            Ok(sample) if sample.degrees > highest.degrees => highest = sample,
            Ok(_) => {}
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("{highest:?}");
    Ok(())
}
