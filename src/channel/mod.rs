//! A ring or a message queue, whichever an address names.
//!
//! A [`Channel`] gives a [`ChannelSender`] and a [`ChannelReceiver`], which have what rings and queues have in common. What a channel
//! is made of is its [`Carrier`]: by that one gets at the ring or the queue itself.

mod auto;
mod receiver;
mod sender;

use std::fmt;

use ringway_core::peer::Role;
use ringway_core::{Address, Builder, Error, ErrorKind, Ring};
use ringway_mq::{Queue, QueueBuilder};

use auto::Chosen;

pub use receiver::{ChannelMessage, ChannelReceiver};
pub use sender::ChannelSender;

/// What carries messages at an address of any kind, open: a ring at `shm:`, `file:`, `sysv:` and `memfd:`, a
/// queue at `mq:` and `sysvmq:`, one of both at `auto:`.
///
/// The handles have what rings and queues have in common; for the rest look at the [`Carrier`]. A queue carries
/// short messages (`fs.mqueue.msgsize_max`, 8 KiB): those of any length go through
/// [`chunk`](crate::chunk), over all of them alike.
///
/// ```
/// use ringway::{Channel, chunk};
///
/// # let address = format!("auto:ringway-doc-channel-{}", std::process::id());
/// let channel = Channel::open_or_create(ringway::at(&address)?)?;
/// println!("{channel}"); // auto:orders is shm:orders: shared memory can be had
///
/// let mut sender = chunk::ChunkSender::new(channel.sender()?);
/// let mut receiver = chunk::ChunkReceiver::new(channel.receiver()?);
/// sender.send(b"hello")?;
/// assert_eq!(receiver.recv()?, b"hello");
/// # Channel::remove(channel.address(), true)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Channel {
    /// As it was asked for.
    asked: Address,
    carrier: Carrier,
    /// Why `auto:` is what it is.
    reason: Option<String>,
}

/// What carries the messages of a [`Channel`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Carrier {
    /// Shared memory.
    Ring(Ring),
    /// A POSIX or System V message queue.
    Queue(Queue),
}

impl Carrier {
    /// Where it is; never `auto:`.
    pub fn address(&self) -> &Address {
        match self {
            Self::Ring(ring) => ring.address(),
            Self::Queue(queue) => queue.address(),
        }
    }
}

impl Channel {
    /// Makes a new ring or queue.
    ///
    /// Of the builder's options a queue takes [`mode`](Builder::mode), [`any_owner`](Builder::any_owner) and
    /// [`wait`](Builder::wait). What only a ring has ([`Builder::only_of_rings`]) is refused, and so is a
    /// [`capacity`](Builder::capacity) at `mq:` and `sysvmq:`, where the kernel decides; where `auto:` becomes a queue, that is let pass.
    ///
    /// # Errors
    /// Those of [`Builder::create`] and [`QueueBuilder::create`]; of `auto:`, those of both in one.
    pub fn create(builder: Builder) -> Result<Self, Error> {
        Self::of(builder, auto::create, QueueBuilder::create, Builder::create)
    }

    /// Opens what is there.
    ///
    /// # Errors
    /// Those of [`Builder::open`] and [`QueueBuilder::open`].
    pub fn open(builder: Builder) -> Result<Self, Error> {
        let choice = |builder: &_, name: &_| auto::open(builder, name, auto::Absent::Report);
        Self::of(builder, choice, QueueBuilder::open, Builder::open)
    }

    /// Opens what is there, or makes it.
    ///
    /// `auto:NAME` is `shm:NAME` or `mq:/NAME`, whichever is there. If neither is, it becomes shared memory; where that
    /// cannot be had (no `/dev/shm`, no permission, too little of it), a queue. Of several that come at once, one
    /// makes it and the others find it. What only a ring has ([`Builder::only_of_rings`]) is refused where it would
    /// become a queue. A name that became a queue stays one until it is [removed](Self::remove): a symbolic link in `/dev/shm`
    /// says so.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(builder: Builder) -> Result<Self, Error> {
        let choice = |builder: &_, name: &_| auto::open(builder, name, auto::Absent::Make);
        Self::of(
            builder,
            choice,
            QueueBuilder::open_or_create,
            Builder::open_or_create,
        )
    }

    /// What `auto:` stands for at present; any other address is returned as it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if neither is there.
    pub fn find(address: &Address) -> Result<Address, Error> {
        match address {
            Address::Auto(name) => auto::find_address(address, name),
            _ => Ok(address.clone()),
        }
    }

    /// Removes the ring or the queue at an address, of `auto:` whichever is there. Refuses while a live process
    /// is attached, unless `force`.
    ///
    /// # Errors
    /// Those of [`remove`](crate::remove) and [`mq::remove`](crate::mq::remove).
    pub fn remove(address: &Address, force: bool) -> Result<(), Error> {
        match address {
            Address::Auto(name) => auto::remove(address, name, force),
            Address::Mq(name) => auto::remove_queue(name, force),
            Address::Sysvmq(_) => ringway_mq::remove(address, force),
            _ => ringway_core::remove(address, force),
        }
    }

    /// What the builder's address names, had in the way that goes with it.
    fn of(
        builder: Builder,
        choice: impl FnOnce(&Builder, &str) -> Result<Chosen, Error>,
        queue: impl FnOnce(QueueBuilder) -> Result<Queue, Error>,
        ring: impl FnOnce(Builder) -> Result<Ring, Error>,
    ) -> Result<Self, Error> {
        let asked = builder.address().clone();
        let (carrier, reason) = match &asked {
            Address::Auto(name) => {
                let (carrier, reason) = choice(&builder, name)?;
                (carrier, Some(reason))
            }
            Address::Mq(_) | Address::Sysvmq(_) if wish_of_no_queue(&builder).is_some() => {
                let wish = wish_of_no_queue(&builder).unwrap_or_default();
                let problem = format!("a queue has not what was asked for, {wish}");
                return Err(Error::new(ErrorKind::Unsupported, "use", &asked, problem)
                    .remedy("do not ask for that, or use an address of shared memory"));
            }
            Address::Mq(_) | Address::Sysvmq(_) => {
                let queue = queue(queue_builder(&builder, &asked))?;
                (Carrier::Queue(queue), None)
            }
            _ => (Carrier::Ring(ring(builder)?), None),
        };
        Ok(Self {
            asked,
            carrier,
            reason,
        })
    }

    /// Says that this process does not mean to attach any more: [`Ring::attach_no_more`]. It means nothing to a queue.
    pub fn attach_no_more(&mut self) {
        if let Carrier::Ring(ring) = &mut self.carrier {
            ring.attach_no_more();
        }
    }

    /// Attaches this process as a sender.
    ///
    /// # Errors
    /// Those of [`Ring::sender`] and [`Queue::sender`].
    pub fn sender(&self) -> Result<ChannelSender, Error> {
        Ok(match &self.carrier {
            Carrier::Ring(ring) => ChannelSender::Ring(ring.sender()?),
            Carrier::Queue(queue) => ChannelSender::Queue(queue.sender()?),
        })
    }

    /// Attaches this process as a receiver.
    ///
    /// # Errors
    /// Those of [`Ring::receiver`] and [`Queue::receiver`].
    pub fn receiver(&self) -> Result<ChannelReceiver, Error> {
        Ok(match &self.carrier {
            Carrier::Ring(ring) => ChannelReceiver::Ring(ring.receiver()?),
            Carrier::Queue(queue) => ChannelReceiver::Queue(queue.receiver()?),
        })
    }

    /// Where it is: what `auto:` stands for.
    pub fn address(&self) -> &Address {
        self.carrier.address()
    }

    /// Whether this handle made what is there, and did not find it.
    pub fn is_new(&self) -> bool {
        match &self.carrier {
            Carrier::Ring(ring) => ring.is_new(),
            Carrier::Queue(queue) => queue.is_new(),
        }
    }

    /// Why `auto:` is what it is; `None` at other addresses.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What carries the messages.
    pub fn carrier(&self) -> &Carrier {
        &self.carrier
    }

    /// The longest message, in bytes.
    pub fn max_message_len(&self) -> u64 {
        match &self.carrier {
            Carrier::Ring(ring) => ring.max_message_len(),
            Carrier::Queue(queue) => queue.max_message_len() as u64,
        }
    }

    /// Whether several processes can be attached in `role`.
    pub fn allows_many(&self, role: Role) -> bool {
        match &self.carrier {
            Carrier::Ring(ring) => ring.kind().allows_many(role),
            Carrier::Queue(_) => role == Role::Producer,
        }
    }
}

impl From<Ring> for Channel {
    fn from(ring: Ring) -> Self {
        Self {
            asked: ring.address().clone(),
            carrier: Carrier::Ring(ring),
            reason: None,
        }
    }
}

/// Says what it is; of `auto:`, why.
impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} is {}: {reason}", self.asked, self.address()),
            None => self.address().fmt(f),
        }
    }
}

/// What was asked for that no queue has.
fn wish_of_no_queue(builder: &Builder) -> Option<&'static str> {
    let capacity = builder.common().capacity.map(|_| "a capacity");
    builder.only_of_rings().or(capacity)
}

/// The same options for a queue at `address`.
fn queue_builder(builder: &Builder, address: &Address) -> QueueBuilder {
    let common = builder.common();
    // The handles of channels know no priorities.
    let mut queue = QueueBuilder::at(address.clone())
        .without_priorities_if_new()
        .any_owner(common.any_owner);
    if let Some(mode) = common.mode {
        queue = queue.mode(mode);
    }
    match common.wait {
        Some(wait) => queue.wait(wait),
        None => queue,
    }
}
