//! Messages that are values of a type.
//!
//!     cargo run --example 13_typed_messages
//!
//! The second process sends what a sensor measures, this one keeps the highest. The ring knows what its messages are, so a program that was
//! built when samples looked otherwise would be refused.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use bytemuck::{Pod, Zeroable};
use ringway::RecvError;
use ringway::message::MessageType;

/// The same in both programs: fixed widths, an order (`repr(C)`) and no padding, which `Pod` makes sure of.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Sample {
    nanoseconds: u64,
    sensor: u32,
    degrees: f32,
}

/// A name that both agree on, and a version that is raised whenever the bytes mean something else.
const SAMPLE: MessageType = MessageType::of::<Sample>("sensors.sample").with_version(1);

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
    let ring = ringway::at(address)?
        .message_type(SAMPLE)
        .open_or_create()?;
    let mut sender = ring.typed::<Sample>().sender()?;
    for number in 0..1000 {
        sender.send(&Sample {
            nanoseconds: number * 1_000_000,
            sensor: number as u32 % 4,
            degrees: 20.0 + (number as f32 / 100.0).sin(),
        })?;
    }
    Ok(())
}

fn collect(address: &str) -> Result<(), Box<dyn Error>> {
    let ring = ringway::at(address)?
        .message_type(SAMPLE)
        .wait(Duration::from_secs(10))
        .open()?;
    let mut receiver = ring.typed::<Sample>().receiver()?;
    let mut highest = Sample::zeroed();
    loop {
        match receiver.recv() {
            Ok(sample) if sample.degrees > highest.degrees => highest = sample,
            Ok(_) => {}
            Err(RecvError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("{highest:?}");
    Ok(())
}
