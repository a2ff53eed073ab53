//! Who is stepped: a server, or a client.

use std::time::Duration;

use clap::{Args, ValueEnum};
use ringway::Address;
use ringway::service::{Connect, Serve, ServeError};

use crate::boards::{DONE, WRONG, act};
use crate::matrix::name_of;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Op {
    /// Finds a request, and answers it
    Serve,
    /// The same, with an answer of several fragments, of which it says the first
    ServeLong,
    /// The same, with a failure
    Fail,
    /// Finds a request whose first server died with it, and answers it
    TakeOver,
    /// Finds a request, and no more
    Begin,
    /// Finds a request, and lets go of it
    LetGo,
    /// A server leaves that has nothing to do
    EndServing,
    /// A client takes one more desk
    TakeDesk,
    /// A client asks, and does not wait for the answer
    Ask,
    /// A client waits no longer
    GiveUp,
    /// A client gives its desk back
    Leave,
}

impl Op {
    pub(super) fn name(self) -> String {
        name_of(&self)
    }

    /// Whether a caller waits for what it does.
    pub(super) fn serves(self) -> bool {
        !matches!(
            self,
            Self::EndServing | Self::TakeDesk | Self::Ask | Self::GiveUp | Self::Leave
        )
    }
}

pub(super) const ANSWER: &[u8] = b"of the victim";
pub(super) const FAILURE: &[u8] = b"by the victim";
pub(super) const LONG: usize = 9000;

#[derive(Args)]
pub(crate) struct VictimOptions {
    /// Where the service is
    #[arg(long)]
    address: Address,
    /// What to do
    #[arg(long)]
    op: Op,
}

/// Somebody else had served the call.
pub(super) const NOTHING: u32 = 2;
/// The caller waited no longer.
pub(super) const CANCELLED: u32 = 4;

/// How long it waits for what others have served meanwhile.
const TURN: Duration = Duration::from_millis(300);

pub(crate) fn play_victim(options: VictimOptions) -> Result<(), String> {
    play(&options).map_err(|error| format!("the victim of {}: {error}", options.op.name()))
}

fn play(options: &VictimOptions) -> Result<(), Box<dyn std::error::Error>> {
    let op = options.op;
    if op.serves() || op == Op::EndServing {
        let mut server = Serve::at(options.address.clone()).start()?;
        if op == Op::EndServing {
            return act(|| {
                drop(server);
                DONE
            });
        }
        act(|| serve(&mut server, op))?;
        server.finish(TURN)?;
        return Ok(());
    }
    let client = Connect::at(options.address.clone()).open()?;
    let mut other = client.another()?;
    match op {
        Op::TakeDesk => {
            let mut taken = None;
            act(|| match client.another() {
                Ok(client) => {
                    taken = Some(client);
                    DONE
                }
                Err(_) => WRONG,
            })
        }
        Op::Ask => {
            let mut asked = None;
            act(|| match other.stream(b"by the victim") {
                Ok(answers) => {
                    asked = Some(answers);
                    DONE
                }
                Err(_) => WRONG,
            })
        }
        Op::GiveUp => {
            let answers = other.stream(b"by the victim")?;
            act(|| {
                drop(answers);
                DONE
            })
        }
        _ => act(|| {
            drop(other);
            DONE
        }),
    }
}

fn serve(server: &mut ringway::service::Server, op: Op) -> u32 {
    let request = match server.next_timeout(TURN) {
        Ok(request) => request,
        Err(ServeError::TimedOut) => return NOTHING,
        Err(_) => return WRONG,
    };
    let served = match op {
        Op::Begin => {
            // Nobody lets go of it.
            std::mem::forget(request);
            Ok(())
        }
        Op::LetGo => {
            drop(request);
            Ok(())
        }
        Op::ServeLong => request.answer(&[7; LONG]),
        Op::Fail => request.fail(&ringway::service::Failure::new(FAILURE)),
        _ => request.answer(ANSWER),
    };
    match served {
        Ok(()) => DONE,
        Err(ServeError::Cancelled) => CANCELLED,
        Err(_) => WRONG,
    }
}
