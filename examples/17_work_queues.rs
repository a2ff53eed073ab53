//! Tasks from two rings, the urgent ones first; what nobody succeeds with is set aside.
//!
//!     cargo run --example 17_work_queues

use std::error::Error;

use ringway::tasks::TaskError;
use ringway::wait::WaitSet;
use ringway::{Kind, RecvError, Ring};

fn main() -> Result<(), Box<dyn Error>> {
    let ring = || ringway::at("memfd:")?.kind(Kind::Mpmc).create();
    let (urgent, usual, dead): (Ring, Ring, Ring) = (ring()?, ring()?, ring()?);
    let mut sender = usual.sender()?;
    for task in ["sweep", "not a task", "mop"] {
        sender.send(task.as_bytes())?;
    }
    sender.close();
    let mut hurry = Some(urgent.sender()?);
    if let Some(hurry) = &mut hurry {
        hurry.send(b"put out the fire")?;
    }

    // In the order of their urgency. Both send to the same dead letters, after three tries.
    let mut set = WaitSet::new();
    for ring in [&urgent, &usual] {
        set.add(ring.receiver()?.with_dead_letters(&dead, 3)?);
    }
    let mut order = Vec::new();
    while !set.is_empty() {
        set.wait()?;
        // One task of the most urgent ring that has any. Another worker may have been faster.
        let Some(&key) = set.due().first() else {
            continue;
        };
        let Some(tasks) = set.member_mut(key) else {
            continue;
        };
        let done = tasks.try_process(|task| {
            let text = String::from_utf8(task.to_vec()).unwrap_or_default();
            if text.starts_with("not") {
                return Err(format!("cannot {text} (try {})", task.deliveries()));
            }
            Ok(text)
        });
        match done {
            Ok(Ok(text)) => {
                println!("done: {text}");
                order.push(text);
                // What becomes urgent meanwhile comes before the rest.
                if order.len() == 2
                    && let Some(mut hurry) = hurry.take()
                {
                    hurry.send(b"call the doctor")?;
                }
            }
            Ok(Err(problem)) => println!("failed: {problem}"),
            Err(TaskError::Receive(RecvError::Empty)) => {}
            Err(TaskError::Receive(RecvError::Closed)) => drop(set.remove(key)),
            Err(error) => return Err(error.into()),
        }
    }
    assert_eq!(
        order,
        ["put out the fire", "sweep", "call the doctor", "mop"]
    );
    let letter = dead.receiver()?.recv()?;
    println!("set aside: {}", String::from_utf8(letter)?);
    Ok(())
}
