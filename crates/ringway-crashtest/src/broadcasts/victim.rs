//! Who is stepped: prepares itself, says so, and does one thing to a broadcast ring between two breakpoints.

use clap::{Args, ValueEnum};
use ringway::broadcast::{EvictAfter, Policy, Subscription};
use ringway::{Address, Builder, Receiver, Ring};

use crate::boards::{DONE, WRONG, act, verdict};
use crate::matrix::name_of;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Op {
    /// Sends a message
    Send,
    /// Sends the first message, for which the limit is raised
    SendFirst,
    /// Sends one that comes round the end
    SendRound,
    /// Sends three that become visible together
    Batch,
    /// Comes as a producer
    Produce,
    /// Closes
    Close,
    /// Comes as a consumer that blocks
    Join,
    /// Comes as a consumer with a name
    JoinByName,
    /// Comes as a lossy consumer
    JoinLossy,
    /// Receives as one that blocks, and has a name
    Receive,
    /// Receives as one that is lossy
    ReceiveLossy,
    /// Receives as one that may be evicted
    ReceiveBounded,
    /// Leaves
    Leave,
    /// Sends a message in a slab
    SendInSlab,
    /// Sends one in a slab that another message has lain in
    SendInUsedSlab,
    /// Comes as a producer, behind one whose messages lie in slabs
    ProduceWithSlabs,
    /// Receives from a slab
    ReceiveFromSlab,
    /// Receives from a slab as one that is lossy
    ReceiveFromSlabLossy,
}

/// Bytes of the ring.
pub(super) const CAPACITY: u64 = 4096;
/// Bytes of its slabs, in a ring that has some, and how many there are.
pub(super) const SLABS: (u64, u32) = (8192, 4);
/// The name that the victim has, if it has one.
pub(super) const NAME: &str = "victim";

impl Op {
    pub(super) fn name(self) -> String {
        name_of(&self)
    }

    /// Whether the victim is the producer.
    pub(super) fn is_producer(self) -> bool {
        self.sends() > 0 || matches!(self, Self::Produce | Self::Close | Self::ProduceWithSlabs)
    }

    /// Whether messages lie in slabs.
    pub(super) fn has_slabs(self) -> bool {
        matches!(
            self,
            Self::SendInSlab
                | Self::SendInUsedSlab
                | Self::ProduceWithSlabs
                | Self::ReceiveFromSlab
                | Self::ReceiveFromSlabLossy
        )
    }

    /// How many messages it sends.
    pub(super) fn sends(self) -> u64 {
        match self {
            Self::Send | Self::SendFirst | Self::SendRound => 1,
            Self::SendInSlab | Self::SendInUsedSlab => 1,
            Self::Batch => 3,
            _ => 0,
        }
    }

    /// How many were sent before. Each takes 32 bytes.
    pub(super) fn before(self) -> u64 {
        match self {
            Self::SendFirst => 0,
            // The next one does not fit behind them.
            Self::SendRound => CAPACITY / 32 - 1,
            Self::SendInSlab => 1,
            _ => 5,
        }
    }

    /// Whether the producer waits for the victim, if it lives.
    pub(super) fn blocks(self) -> bool {
        matches!(
            self,
            Self::Join | Self::JoinByName | Self::Receive | Self::Leave | Self::ReceiveFromSlab
        )
    }

    /// How it takes part.
    pub(super) fn subscription(self) -> Subscription {
        match self {
            Self::JoinByName | Self::Receive => Subscription::new().name(NAME),
            Self::JoinLossy | Self::ReceiveLossy | Self::ReceiveFromSlabLossy => {
                Subscription::new().policy(Policy::Lossy)
            }
            Self::ReceiveBounded => {
                Subscription::new().policy(Policy::Evict(EvictAfter::Bytes(CAPACITY / 2)))
            }
            _ => Subscription::new(),
        }
    }
}

/// Message `number`: itself, three times; of one that has to come round, more often; of one in a slab, so often that the ring has no
/// room for it.
pub(super) fn message(number: u64, op: Op) -> Vec<u8> {
    let times = match op {
        Op::SendRound if number == op.before() => 8,
        _ if op.has_slabs() => 512,
        _ => 3,
    };
    number.to_le_bytes().repeat(times)
}

#[derive(Args)]
pub(crate) struct VictimOptions {
    /// Where the ring is
    #[arg(long)]
    address: Address,
    /// What to do
    #[arg(long)]
    op: Op,
}

pub(crate) fn play_victim(options: VictimOptions) -> Result<(), String> {
    play(&options).map_err(|error| format!("the victim of {}: {error}", options.op.name()))
}

fn play(options: &VictimOptions) -> Result<(), Box<dyn std::error::Error>> {
    let (op, ring) = (options.op, Builder::at(options.address.clone()).open()?);
    match op {
        Op::Produce | Op::ProduceWithSlabs => {
            let mut sender = None;
            act(|| {
                sender = ring.sender().ok();
                verdict(sender.is_some())
            })?;
            leave(sender);
            Ok(())
        }
        Op::Close => {
            let sender = ring.sender()?;
            act(|| {
                sender.close();
                DONE
            })
        }
        Op::Batch => {
            let mut sender = ring.sender()?;
            let first = sender.sent();
            let mut batch = sender.batch();
            (first..first + 3).try_for_each(|number| batch.push(&message(number, op)))?;
            act(|| verdict(batch.commit() == 3))?;
            leave(Some(sender));
            Ok(())
        }
        _ if op.is_producer() => {
            let mut sender = ring.sender()?;
            let next = message(sender.sent(), op);
            act(|| verdict(sender.try_send(&next).is_ok()))?;
            leave(Some(sender));
            Ok(())
        }
        Op::Join | Op::JoinByName | Op::JoinLossy => join(op, &ring),
        Op::Leave => {
            let receiver = ring.receiver()?;
            act(|| {
                drop(receiver);
                DONE
            })
        }
        _ => receive(op, ring.subscribe(&op.subscription())?),
    }
}

fn leave(sender: Option<ringway::Sender>) {
    if let Some(sender) = sender {
        sender.leave();
    }
}

fn join(op: Op, ring: &Ring) -> Result<(), Box<dyn std::error::Error>> {
    let (subscription, mut receiver) = (op.subscription(), None);
    act(|| {
        receiver = ring.subscribe(&subscription).ok();
        verdict(receiver.is_some())
    })
}

fn receive(op: Op, mut receiver: Receiver) -> Result<(), Box<dyn std::error::Error>> {
    let mut buffer = [0; SLABS.0 as usize];
    act(|| match receiver.try_recv_into(&mut buffer) {
        Ok(len) => {
            let number = u64::from_le_bytes(buffer[..8].try_into().unwrap_or_default());
            verdict(buffer[..len] == message(number, op))
        }
        // Only one that the others did not wait for.
        Err(ringway::RecvError::Lagged { .. } | ringway::RecvError::Evicted) => {
            verdict(!op.blocks())
        }
        Err(_) => WRONG,
    })
}
