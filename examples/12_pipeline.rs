//! A pipeline of three processes, the middle one of which is killed again and again.
//!
//!     cargo run --release --example 12_pipeline
//!
//! The source sends numbers, the stage squares them, and this process adds the squares up. Nothing is lost and nothing
//! comes twice, and neither the source nor this process does anything about the deaths of the stage.

use std::convert::Infallible;
use std::error::Error;
use std::process::{Child, Command};
use std::time::Duration;

use ringway::stage::Stage;
use ringway::{RecvError, Ring};

const NUMBERS: u64 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [role, numbers] if role == "source" => return source(&open(numbers)?),
        [role, numbers, squares] if role == "stage" => {
            return stage(&open(numbers)?, &open(squares)?);
        }
        _ => {}
    }
    let process = std::process::id();
    let rings =
        ["numbers", "squares"].map(|name| ringway::at(&format!("shm:pipeline-{process}-{name}")));
    let [numbers, squares] = rings.map(|ring| ring?.create());
    let (numbers, squares) = (numbers?, squares?);
    let outcome = sink(&numbers, &squares);
    ringway::remove(numbers.address(), true)?;
    ringway::remove(squares.address(), true)?;
    outcome
}

fn open(address: &str) -> Result<Ring, ringway::Error> {
    ringway::at(address)?.open()
}

fn start(role: &str, rings: &[&Ring]) -> std::io::Result<Child> {
    let addresses = rings.iter().map(|ring| ring.address().to_string());
    Command::new(std::env::current_exe()?)
        .arg(role)
        .args(addresses)
        .spawn()
}

fn source(numbers: &Ring) -> Result<(), Box<dyn Error>> {
    let mut sender = numbers.sender()?;
    for number in sender.sent()..NUMBERS {
        sender.send(&number.to_le_bytes())?;
    }
    Ok(())
}

/// All there is to a stage, be it the first one or one that goes on for one that was killed.
fn stage(numbers: &Ring, squares: &Ring) -> Result<(), Box<dyn Error>> {
    Stage::new(numbers, squares)?.run(|message| {
        let mut number = [0; 8];
        message.read_at(0, &mut number);
        let number = u64::from_le_bytes(number);
        Ok::<_, Infallible>((number * number).to_le_bytes())
    })?;
    Ok(())
}

fn sink(numbers: &Ring, squares: &Ring) -> Result<(), Box<dyn Error>> {
    let mut receiver = squares.receiver()?;
    let mut source = start("source", &[numbers])?;
    let mut stage = start("stage", &[numbers, squares])?;
    let (mut count, mut sum, mut deaths) = (0, 0, 0);
    receiver.wait_for_producers(1)?;
    loop {
        let square = match receiver.recv() {
            Ok(square) => u64::from_le_bytes(square.as_slice().try_into()?),
            Err(RecvError::Closed) => break,
            Err(RecvError::PeerDied) => {
                deaths += 1;
                stage.wait()?;
                stage = start("stage", &[numbers, squares])?;
                receiver.wait_for_peer()?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        assert_eq!(square, count * count, "each once, in order");
        count += 1;
        sum += square;
        if count % 20_000 == 0 {
            // SIGKILL, wherever it is.
            stage.kill()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    stage.wait()?;
    source.wait()?;
    assert_eq!(count, NUMBERS);
    println!("{deaths} deaths, {count} squares, {sum} together");
    Ok(())
}
