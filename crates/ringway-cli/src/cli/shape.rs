//! What a ring is like, as the command line says it.

use std::fmt::Display;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args};
use ringway::{Address, Builder, Carrier, Channel, Kind, Ring, Role, SyncKind};

use super::slabs::SlabClass;
use crate::failure::Failure;
use crate::units;

/// A ring that was asked to be smaller may have so many bytes.
const LEAST_CAPACITY: u64 = 64 << 10;

/// A cell that was asked to be shorter has so many bytes.
const LEAST_CELL: u32 = 64;

/// What heads the options that shape a new ring.
const A_NEW_RING: &str = "A new ring";

/// Who takes part in a ring, what they synchronise by, and what it is divided into.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct KindArgs {
    /// Who takes part: one (s) or many (m) producers (p) and consumers (c) [default: spsc]
    ///
    /// If the ring is there already, it must be of this kind.
    #[arg(long, value_parser = kind(), hide_possible_values = true, help_heading = A_NEW_RING,
          value_name = "spsc|mpsc|spmc|mpmc")]
    pub(crate) kind: Option<Kind>,

    /// What the processes exclude and wake each other by [default: futex]
    ///
    /// If the ring is there already, it must be of this kind.
    #[arg(long, value_parser = sync(), hide_possible_values = true, help_heading = A_NEW_RING,
          value_name = "futex|pthread|posix-sem|sysv-sem|mqueue")]
    pub(crate) sync: Option<SyncKind>,

    /// Bytes of a cell, where there are cells: in all but spsc with futex [default: 128]
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

    /// Bytes for messages, such as 64K or 16MiB, rounded up to a power of two; a message takes up to half
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
            Some(_) if is_stream && !overwrites => Err(Failure::error(
                "a ring of kind spsc with sync futex has no cells: leave out --cell, or choose another --kind",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses what is there and is not what was asked for.
    pub(crate) fn refuse_other(&self, channel: &Channel) -> Result<(), Failure> {
        let ring = match channel.carrier() {
            Carrier::Ring(ring) => ring,
            _ => return self.refuse_kind_of_queue(channel.address()),
        };
        match (self.kind, self.sync) {
            (Some(kind), _) if kind != ring.kind() => {
                Err(other(ring, "kind", ring.kind().name(), kind.name()))
            }
            (_, Some(sync)) if sync != ring.sync() => {
                Err(other(ring, "sync", ring.sync().name(), sync.name()))
            }
            _ => Ok(()),
        }?;
        match (self.cell, ring.cell_len()) {
            // It was rounded up when the ring was made.
            (Some(asked), Some(len))
                if !(asked..=asked.saturating_mul(2)).contains(&len) && len > LEAST_CELL =>
            {
                Err(other(ring, "cell", len, asked))
            }
            (Some(_), None) => Err(Failure::error(format_args!(
                "{} has no cells: leave out --cell",
                ring.address()
            ))),
            _ => Ok(()),
        }
    }

    /// A queue has many senders and one receiver, who use the kernel's locks.
    fn refuse_kind_of_queue(&self, address: &Address) -> Result<(), Failure> {
        match (self.kind, self.sync) {
            (Some(Kind::Spmc | Kind::Mpmc), _) => {
                Err(no_queue(address, "one receiver at a time", "--kind"))
            }
            (_, Some(_)) => Err(no_queue(address, "the kernel's locks", "--sync")),
            _ => Ok(()),
        }
    }
}

impl MakeArgs {
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

    /// Refuses what is there and is not what was asked for.
    pub(crate) fn refuse_other(&self, channel: &Channel) -> Result<(), Failure> {
        self.kind.refuse_other(channel)?;
        let Carrier::Ring(ring) = channel.carrier() else {
            return Ok(());
        };
        self.refuse_participants_of(ring.kind())?;
        if channel.is_new() {
            return Ok(());
        }
        let roles = [Role::Producer, Role::Consumer].into_iter();
        let each = roles
            .filter(|role| ring.kind().allows_many(*role))
            .map(|role| ring.participants(role))
            .next();
        match (self.participants, self.mode) {
            (Some(asked), _) if each.is_some_and(|each| each != asked) => {
                return Err(other(ring, "participants", each.unwrap_or(1), asked));
            }
            (_, Some(asked)) if asked != ring.mode() => {
                let octal = |mode: u32| format!("{mode:o}");
                return Err(other(ring, "mode", octal(ring.mode()), octal(asked)));
            }
            _ => {}
        }
        let shapes = self.overwrite || self.capacity.is_some() || !self.kind.slabs.is_empty();
        if !shapes {
            return Ok(());
        }
        let there = ringway::stat(ring.address())?;
        let refuse = |option: &str, is: &str| {
            let address = ring.address();
            Err(Failure::error(format_args!(
                "{address} is there already, {is}: leave out --{option} to use it as it is, choose another \
                 address, or remove it (ringway rm {address})"
            )))
        };
        if self.overwrite && !there.overwrites_oldest {
            return refuse("overwrite", "and its senders wait when it is full");
        }
        if !self.kind.slabs.is_empty() && there.slabs.is_empty() {
            return refuse("slabs", "without slabs");
        }
        match self.capacity {
            // It may have been rounded up.
            Some(asked)
                if !(asked..=asked.saturating_mul(2)).contains(&there.capacity_bytes)
                    && there.capacity_bytes > LEAST_CAPACITY =>
            {
                let is = units::human_size(there.capacity_bytes);
                refuse("capacity", &format!("with a capacity of {is}"))
            }
            _ => Ok(()),
        }
    }

    /// Shapes a new ring.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let mut builder = self
            .kind
            .apply(builder)
            .overwrite_oldest(self.overwrite)
            .persistent(self.keep);
        builder = builder.trust_peers(self.trust_peers);
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

/// A ring that is there has something else than what `option` asks for.
fn other(ring: &Ring, option: &str, is: impl Display, asked: impl Display) -> Failure {
    let address = ring.address();
    Failure::error(format_args!(
        "{address} is there already, with --{option} {is} and not {asked}: leave out --{option} to use it as \
         it is, choose another address, or remove it (ringway rm {address})"
    ))
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
