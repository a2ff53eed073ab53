//! The latest value: one process measures without a pause, this one looks when it likes.
//!
//!     cargo run --example 15_latest_value
//!
//! The one that measures is killed in the middle of its work and started again: what it wrote last can be read all the time.

use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

use bytemuck::{Pod, Zeroable};
use ringway::board::GetError;
use ringway::{Address, Board};

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Position {
    step: u64,
    x: f64,
    y: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(address) = std::env::args().nth(1) {
        return measure(&address);
    }
    let address = format!("shm:positions-{}", std::process::id());
    let board = Board::at(&address)?.keys(["position"]).create()?;
    let outcome = look(&board, &address);
    ringway::remove(&address.parse::<Address>()?, true)?;
    outcome
}

fn measure(address: &str) -> Result<(), Box<dyn Error>> {
    let board = Board::at(address)?.open()?;
    let mut position = board.writer("position")?;
    // Where the last one stopped, whatever it died of.
    let mut step = position.number();
    loop {
        let angle = step as f64 / 1000.0;
        let (y, x) = angle.sin_cos();
        position.set_pod(&Position { step, x, y })?;
        step += 1;
    }
}

fn start(address: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).arg(address).spawn()
}

fn look(board: &Board, address: &str) -> Result<(), Box<dyn Error>> {
    let mut position = board.reader("position")?;
    let mut last = 0;
    for _ in 0..3 {
        let mut other = start(address)?;
        for _ in 0..10 {
            let Position { step, x, y } = next(&mut position)?;
            assert!(step >= last && (x.hypot(y) - 1.0).abs() < 1e-9);
            last = step;
            std::thread::sleep(Duration::from_millis(1));
        }
        other.kill()?;
        other.wait()?;
        let left = position.get_pod::<Position>()?.ok_or("no value")?;
        println!("killed; the last value is still there: {left:?}");
    }
    Ok(())
}

/// The next value that is newer than the last one.
fn next(position: &mut ringway::board::Reader) -> Result<Position, GetError> {
    loop {
        match position.wait_newer_pod(None) {
            // Its successor is on its way; or it was overwritten faster than it could be read.
            Err(GetError::WriterDied | GetError::Changing) => {}
            position => return position,
        }
    }
}
