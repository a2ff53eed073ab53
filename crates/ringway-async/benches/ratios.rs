//! What a task pays beside a thread that blocks, as ratios in one run: `cargo bench -p ringway-async`.
//!
//! Busy: the sender is flat out, and the receiver gets messages of 64 bytes one by one. Idle to busy: a message there and one back, both sides
//! asleep in between. Each figure is the median of several rounds in which both ways take turns.

use std::thread;
use std::time::{Duration, Instant};

use ringway::{Receiver, Ring, Sender, WaitStrategy};
use ringway_async::AsyncReceiver;

const ROUNDS: usize = 9;
const MESSAGES: usize = 400_000;
const TURNS: usize = 4_000;

fn ring() -> Ring {
    ringway::at("memfd:").unwrap().create().unwrap()
}

fn busy(receive: impl FnOnce(Receiver)) -> Duration {
    let ring = ring();
    let (mut sender, receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    let begun = Instant::now();
    let other = thread::spawn(move || {
        for _ in 0..MESSAGES {
            sender.send(&[7; 64]).unwrap();
        }
    });
    receive(receiver);
    other.join().unwrap();
    begun.elapsed()
}

fn parked(ring: &Ring) -> (Sender, Receiver) {
    let sender = ring.sender().unwrap().with_wait(WaitStrategy::Park);
    (
        sender,
        ring.receiver().unwrap().with_wait(WaitStrategy::Park),
    )
}

/// There by one ring to a thread that parks, and back by another to who is measured.
fn turns(turn: impl FnOnce(Sender, Receiver)) -> Duration {
    let (there, back) = (ring(), ring());
    let ((sender, mut far_receiver), (mut far_sender, receiver)) = (parked(&there), parked(&back));
    let other = thread::spawn(move || {
        for _ in 0..TURNS {
            let mut buffer = [0; 64];
            far_receiver.recv_into(&mut buffer).unwrap();
            far_sender.send(&buffer).unwrap();
        }
    });
    let begun = Instant::now();
    turn(sender, receiver);
    let elapsed = begun.elapsed();
    other.join().unwrap();
    elapsed
}

/// The median, and between which values half of all lie.
fn spread(ratios: impl Iterator<Item = f64>) -> String {
    let mut ratios: Vec<_> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let (last, quarter) = (ratios.len() - 1, ratios.len() / 4);
    let (low, high) = (ratios[quarter], ratios[last - quarter]);
    format!("{:.2} ({low:.2} to {high:.2})", ratios[last / 2])
}

fn main() {
    let current = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let blocking = || {
        busy(|mut receiver| {
            let mut buffer = [0; 64];
            for _ in 0..MESSAGES {
                receiver.recv_into(&mut buffer).unwrap();
            }
        })
    };
    let task = || {
        busy(|mut receiver| {
            current.block_on(async {
                let mut buffer = [0; 64];
                for _ in 0..MESSAGES {
                    receiver.recv_into_async(&mut buffer).await.unwrap();
                }
            });
        })
    };
    let rounds = (0..ROUNDS).map(|_| blocking().as_secs_f64() / task().as_secs_f64());
    println!("busy: rate of a task to a thread {}", spread(rounds));

    let blocking = || {
        turns(|mut sender, mut receiver| {
            let mut buffer = [0; 64];
            for _ in 0..TURNS {
                sender.send(&buffer).unwrap();
                receiver.recv_into(&mut buffer).unwrap();
            }
        })
    };
    let turn = async |mut sender: Sender, mut receiver: Receiver| {
        let mut buffer = [0; 64];
        for _ in 0..TURNS {
            sender.send(&buffer).unwrap();
            receiver.recv_into_async(&mut buffer).await.unwrap();
        }
    };
    let tokio = || turns(|sender, receiver| current.block_on(turn(sender, receiver)));
    let smol = || turns(|sender, receiver| smol::block_on(turn(sender, receiver)));
    for (name, task) in [("tokio", &tokio as &dyn Fn() -> Duration), ("smol", &smol)] {
        let rounds = (0..ROUNDS).map(|_| task().as_secs_f64() / blocking().as_secs_f64());
        let ratio = spread(rounds);
        println!("asleep, there and back: time of a task ({name}) to a thread {ratio}");
    }
}
