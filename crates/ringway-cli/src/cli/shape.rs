//! What a ring is like, as the command line says it.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args};
use ringway::channel::Carrier;
use ringway::{Address, Builder, Channel, Kind, SyncKind};

use super::slabs::SlabClass;
use crate::failure::Failure;
use crate::say::say;
use crate::units;

/// A slab that was asked to be shorter has so many bytes.
const LEAST_SLAB: u64 = 4096;

/// What heads the options that shape a new ring.
const A_NEW_RING: &str = "A new ring";

/// Who takes part in a ring, what they synchronise by, and what it is divided into.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KindArgs {
    /// Who takes part: one (s) or many (m) producers (p) and consumers (c) [default: spsc]
    ///
    /// Several consumers share the messages; with broadcast, each of them gets all, of one producer.
    /// If the ring is there already, it must be of this kind.
    #[arg(long, value_parser = kind(), hide_possible_values = true, help_heading = A_NEW_RING,
          value_name = "spsc|mpsc|spmc|mpmc|broadcast")]
    pub(crate) kind: Option<Kind>,

    /// What the processes exclude and wake each other by [default: futex]
    ///
    /// If the ring is there already, it must be of this kind.
    #[arg(long, value_parser = sync(), hide_possible_values = true, help_heading = A_NEW_RING,
          value_name = "futex|pthread|posix-sem|sysv-sem|mqueue")]
    pub(crate) sync: Option<SyncKind>,

    /// Bytes of a cell, where there are cells: in all but spsc with futex, and broadcast [default: 128]
    #[arg(long, value_name = "SIZE", value_parser = cell, help_heading = A_NEW_RING)]
    pub(crate) cell: Option<u32>,

    /// Slabs for long messages, such as 1Mx8: eight of 1 MiB; several lengths may be given
    ///
    /// A message that is longer than the copy limit (--copy-limit of send) is written into a slab once, and read
    /// there. One message can be as long as the longest slab. Lengths are rounded up to a power of two.
    #[arg(long, value_name = "SIZExCOUNT", value_delimiter = ',', value_parser = SlabClass::parse,
          help_heading = A_NEW_RING)]
    pub(crate) slabs: Vec<SlabClass>,
}

/// All that shapes a new ring.
#[derive(Args, Debug)]
pub(crate) struct MakeArgs {
    #[command(flatten)]
    pub(crate) kind: KindArgs,

    /// Bytes for messages, such as 64K or 16MiB, rounded up to a power of two, which is then said; a message takes up to half
    /// [default: 4MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = A_NEW_RING)]
    pub(crate) capacity: Option<u64>,

    /// How many producers, and how many consumers, may be attached at once where the kind has many: from 1 to 60
    /// [default: 32]
    #[arg(long, value_name = "N", help_heading = A_NEW_RING, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub(crate) participants: Option<u32>,

    /// When the ring is full, overwrite the oldest message instead of waiting
    #[arg(long, conflicts_with = "slabs", help_heading = A_NEW_RING)]
    pub(crate) overwrite: bool,

    /// With --sync pthread or posix-sem: trust all who can write in the ring. Who does could crash this process or
    /// make it do what they like; so without this only rings are used that no other user but root can write in
    #[arg(long)]
    pub(crate) trust_peers: bool,

    /// Keep it, whoever dies: gc never removes it
    #[arg(long, help_heading = A_NEW_RING)]
    pub(crate) keep: bool,

    /// Permission bits [default: 600]
    #[arg(long, value_name = "OCTAL", value_parser = units::mode, help_heading = A_NEW_RING)]
    pub(crate) mode: Option<u32>,
}

/// Has the options that say nothing where no ring is made require `--create`. `--kind` and `--sync` are
/// not among them: they are demands on a ring that is there, too.
pub(crate) fn only_with_create(option: Arg) -> Arg {
    match option.get_id().as_str() {
        "cell" | "slabs" | "capacity" | "participants" | "overwrite" | "keep" | "mode" => {
            option.requires("create")
        }
        _ => option,
    }
}

/// Has a copy limit require slabs, where all rings are new.
pub(crate) fn only_with_slabs(option: Arg) -> Arg {
    match option.get_id().as_str() {
        "copy_limit" => option.requires("slabs"),
        _ => option,
    }
}

impl KindArgs {
    /// The kind of a new ring.
    pub(crate) fn kind(&self) -> Kind {
        self.kind.unwrap_or(Kind::Spsc)
    }

    /// The synchronisation of a new ring.
    pub(crate) fn sync(&self) -> SyncKind {
        self.sync.unwrap_or(SyncKind::Futex)
    }

    /// The kind and the synchronisation of what there will be at `address`.
    pub(crate) fn names(&self, address: &Address) -> (&'static str, Option<&'static str>) {
        match address {
            Address::Mq(_) | Address::Sysvmq(_) => ("queue", None),
            _ => (self.kind().name(), Some(self.sync().name())),
        }
    }

    /// The slabs of what there will be at `address`.
    pub(crate) fn slabs(&self, address: &Address) -> Vec<SlabClass> {
        match address {
            Address::Mq(_) | Address::Sysvmq(_) => Vec::new(),
            _ => self.slabs.clone(),
        }
    }

    /// Shapes a new ring.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let mut builder = builder;
        if let Some(kind) = self.kind {
            builder = builder.kind(kind);
        }
        if let Some(sync) = self.sync {
            builder = builder.sync(sync);
        }
        if let Some(len) = self.cell {
            builder = builder.cell_len(len);
        }
        self.slabs.iter().fold(builder, |builder, class| {
            builder.slabs(class.slab_bytes(), class.count())
        })
    }

    /// Refuses what a queue can never have, before one is made or looked for.
    pub(crate) fn refuse_at_queue(&self, address: &Address) -> Result<(), Failure> {
        if !matches!(address, Address::Mq(_) | Address::Sysvmq(_)) {
            return Ok(());
        }
        if self.cell.is_some() {
            return Err(no_queue(address, "no cells", "--cell"));
        }
        if !self.slabs.is_empty() {
            return Err(Failure::error(format_args!(
                "{address} is a queue, which copies every message and has no slabs: leave out --slabs \
                 (send and recv --whole take a message of any length), or use an address of shared memory"
            )));
        }
        self.refuse_kind_of_queue(address)
    }

    /// Refuses what says nothing of the ring that will be made.
    pub(crate) fn refuse_without_effect(&self, overwrites: bool) -> Result<(), Failure> {
        let is_stream = (self.kind(), self.sync()) == (Kind::Spsc, SyncKind::Futex);
        match self.cell {
            Some(_) if self.kind() == Kind::Broadcast => Err(Failure::error(
                "a ring of kind broadcast has no cells: leave out --cell, or choose another --kind",
            )),
            Some(_) if is_stream && !overwrites => Err(Failure::error(
                "a ring of kind spsc with sync futex has no cells: leave out --cell, or choose another --kind",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses a kind of ring in which all receivers get all messages, where they are to share them.
    pub(crate) fn refuse_broadcast(&self, command: &str) -> Result<(), Failure> {
        match self.kind {
            Some(Kind::Broadcast) => Err(Failure::error(format_args!(
                "the receivers of {command} share the messages: choose another --kind"
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses options that mean nothing to what is there.
    pub(crate) fn refuse_other(&self, channel: &Channel) -> Result<(), Failure> {
        match channel.carrier() {
            Carrier::Ring(ring) if self.cell.is_some() && ring.cell_len().is_none() => {
                Err(Failure::error(format_args!(
                    "{} has no cells: leave out --cell",
                    ring.address()
                )))
            }
            Carrier::Ring(_) => Ok(()),
            _ => self.refuse_kind_of_queue(channel.address()),
        }
    }

    /// A queue has many senders and one receiver, who use the kernel's locks.
    fn refuse_kind_of_queue(&self, address: &Address) -> Result<(), Failure> {
        match (self.kind, self.sync) {
            (Some(Kind::Spmc | Kind::Mpmc | Kind::Broadcast), _) => {
                Err(no_queue(address, "one receiver at a time", "--kind"))
            }
            (_, Some(_)) => Err(no_queue(address, "the kernel's locks", "--sync")),
            _ => Ok(()),
        }
    }
}

impl MakeArgs {
    /// The options that were given of those that a ring which is there must be like.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        [
            ("--kind", self.kind.kind.is_some()),
            ("--sync", self.kind.sync.is_some()),
            ("--cell", self.kind.cell.is_some()),
            ("--slabs", !self.kind.slabs.is_empty()),
            ("--capacity", self.capacity.is_some()),
            ("--participants", self.participants.is_some()),
            ("--overwrite", self.overwrite),
            ("--keep", self.keep),
            ("--mode", self.mode.is_some()),
        ]
        .into_iter()
        .filter_map(|(option, is_given)| is_given.then_some(option))
        .collect()
    }

    /// Says what a new ring was made like where that is not what was asked for: powers of two.
    pub(crate) fn say_what_was_rounded(&self, channel: &Channel) {
        let Carrier::Ring(ring) = channel.carrier() else {
            return;
        };
        let size = units::human_size;
        let mut made = Vec::new();
        match self.capacity {
            Some(asked) if asked != ring.capacity() => {
                made.push(format!(
                    "a capacity of {} for the {}",
                    size(ring.capacity()),
                    size(asked)
                ));
            }
            _ => {}
        }
        match (self.kind.cell, ring.cell_len()) {
            (Some(asked), Some(len)) if asked != len => {
                made.push(format!(
                    "cells of {} for the {}",
                    size(len.into()),
                    size(asked.into())
                ));
            }
            _ => {}
        }
        for class in &self.kind.slabs {
            let len = class.slab_bytes().next_power_of_two().max(LEAST_SLAB);
            if len != class.slab_bytes() {
                made.push(format!(
                    "slabs of {} for the {}",
                    size(len),
                    size(class.slab_bytes())
                ));
            }
        }
        if channel.is_new() && !made.is_empty() {
            say(format_args!(
                "{} has {} that was asked for: sizes are powers of two",
                ring.address(),
                made.join(", ")
            ));
        }
    }

    /// Refuses what a queue can never have, before one is made or looked for. Where `auto:` becomes a queue, what only
    /// says how large a ring is, is let pass: there the kernel decides.
    pub(crate) fn refuse_at_queue(&self, address: &Address) -> Result<(), Failure> {
        self.kind.refuse_at_queue(address)?;
        match address {
            Address::Mq(_) | Address::Sysvmq(_) if self.overwrite => {
                let has = "senders that wait when it is full";
                Err(no_queue(address, has, "--overwrite"))
            }
            Address::Mq(_) | Address::Sysvmq(_) if self.keep => {
                Err(no_queue(address, "no place for that mark", "--keep"))
            }
            Address::Mq(_) | Address::Sysvmq(_) if self.participants.is_some() => Err(no_queue(
                address,
                "as many senders as come",
                "--participants",
            )),
            _ if self.capacity.is_some() => refuse_capacity_of_queue(address),
            _ => Ok(()),
        }
    }

    /// Refuses what says nothing of the ring that will be made.
    pub(crate) fn refuse_without_effect(&self) -> Result<(), Failure> {
        self.kind.refuse_without_effect(self.overwrite)?;
        self.refuse_participants_of(self.kind.kind())
    }

    fn refuse_participants_of(&self, kind: Kind) -> Result<(), Failure> {
        match self.participants {
            Some(_) if kind == Kind::Spsc => Err(Failure::error(
                "a ring of kind spsc has one producer and one consumer: leave out --participants, or choose another \
                 --kind",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses options that mean nothing to what is there.
    pub(crate) fn refuse_other(&self, channel: &Channel) -> Result<(), Failure> {
        self.kind.refuse_other(channel)?;
        match channel.carrier() {
            Carrier::Ring(ring) => self.refuse_participants_of(ring.kind()),
            _ => Ok(()),
        }
    }

    /// Shapes a new ring.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let mut builder = self.kind.apply(builder).trust_peers(self.trust_peers);
        if self.overwrite {
            builder = builder.overwrite_oldest(true);
        }
        if self.keep {
            builder = builder.persistent(true);
        }
        if let Some(capacity) = self.capacity {
            builder = builder.capacity(capacity);
        }
        if let Some(each) = self.participants {
            builder = builder.participants(each);
        }
        if let Some(mode) = self.mode {
            builder = builder.mode(mode);
        }
        builder
    }
}

/// Refuses a capacity where the kernel decides.
pub(crate) fn refuse_capacity_of_queue(address: &Address) -> Result<(), Failure> {
    match address {
        Address::Mq(_) | Address::Sysvmq(_) => Err(no_queue(
            address,
            "the size that the kernel gives it",
            "--capacity",
        )),
        _ => Ok(()),
    }
}

/// A queue has something else than what `option` asks for.
fn no_queue(address: &Address, has: &str, option: &str) -> Failure {
    Failure::error(format_args!(
        "{address} is a queue, which has {has}: leave out {option}, or use an address of shared memory"
    ))
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    named(&Kind::ALL, Kind::name)
}

fn sync() -> impl TypedValueParser<Value = SyncKind> {
    named(&SyncKind::ALL, SyncKind::name)
}

/// Parses the name of one of `all`; an error lists the names.
fn named<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = all.iter().map(move |one| PossibleValue::new(name(*one)));
    PossibleValuesParser::new(names).try_map(move |text| {
        let found = all.iter().find(|one| name(**one) == text);
        found.copied().ok_or("no such name")
    })
}

/// Bytes of a cell; what is too many for the number is too many for the ring.
fn cell(text: &str) -> Result<u32, String> {
    Ok(u32::try_from(units::size(text)?).unwrap_or(u32::MAX))
}
