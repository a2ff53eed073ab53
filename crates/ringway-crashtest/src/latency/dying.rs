//! What a victim does until it is killed.

use std::os::unix::net::UnixStream;

use ringway::Builder;
use ringway_testing::messages::number;
use serde::{Deserialize, Serialize};

use super::cases::Victim;
use super::zygote::{connect, hear, say, text};

/// What a process is to do. When it says "open" it waits for the number of a message; when it says "set" it
/// is about what its [`Victim`] says.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) address: String,
    pub(crate) victim: Victim,
    /// Whether it has to do first what its predecessor did not: to send that message, or to make room.
    pub(crate) succeeds: bool,
    /// Threads that do nothing but run.
    pub(crate) busy_threads: usize,
    /// The socket it talks on, which the zygote's owner fills in.
    pub(crate) listener: String,
}

/// Messages that a successor releases to make room.
const RELEASED: u64 = 4;

pub(crate) fn play(script: &Script) -> Result<(), String> {
    let socket = connect(&script.listener)?;
    let end = die(script, &socket);
    if let Err(problem) = &end {
        eprintln!("a victim did not get so far: {problem}");
    }
    end
}

fn die(script: &Script, socket: &UnixStream) -> Result<(), String> {
    let ring = Builder::new(&script.address).map_err(text)?;
    let ring = ring.open().map_err(text)?;
    say(socket, "open")?;
    let next: u64 = hear(socket)?.parse().map_err(text)?;
    match script.victim {
        Victim::Hold => {
            let mut receiver = ring.receiver().map_err(text)?;
            if script.succeeds {
                for _ in 0..RELEASED {
                    receiver.recv().map_err(text)?;
                }
            }
            let _held = receiver.recv_in_place().map_err(text)?;
            be_set(script, socket)?;
            until_killed(socket)
        }
        Victim::Socket => {
            be_set(script, socket)?;
            until_killed(socket)
        }
        producer => {
            let mut sender = ring.sender().map_err(text)?;
            if script.succeeds {
                sender.send(&number(next)).map_err(text)?;
            }
            if producer == Victim::Lock {
                be_set(script, socket)?;
                // Long, so that much of the time passes under the lock; and room is left for others.
                let len = ring.max_message_len() as usize / 2;
                loop {
                    sender.claim(len).map_err(text)?.abort();
                }
            }
            let claim = (producer == Victim::Claim).then(|| sender.claim(8));
            let _claim = claim.transpose().map_err(text)?;
            be_set(script, socket)?;
            until_killed(socket)
        }
    }
}

/// Only now: a successor that keeps the processors busy while it waits for its turn would have its
/// predecessor's survivors wait.
fn be_set(script: &Script, socket: &UnixStream) -> Result<(), String> {
    for _ in 0..script.busy_threads {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    say(socket, "set")
}

fn until_killed(socket: &UnixStream) -> Result<(), String> {
    hear(socket).map(drop)
}
