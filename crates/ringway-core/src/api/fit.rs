//! Whether a ring that is there is what was asked for.

use std::fmt::Display;

use crate::address::Address;
use crate::api::ring::Ring;
use crate::api::shape::{MODE_BITS, ShapeOptions};
use crate::error::{Attempt, Bytes, Error, ErrorKind};
use crate::memory::layout::broadcast::allowed;
use crate::memory::layout::pool::Slabs;
use crate::memory::layout::{Kind, SyncKind};

/// Whether a ring that is there is as options that were set say, as far as they say something of such a ring.
pub(crate) fn check(
    asked: &ShapeOptions,
    huge_pages: Option<bool>,
    action: &'static str,
    ring: &Ring,
) -> Result<(), Error> {
    let geometry = ring.geometry();
    let mut there = Differences::default();
    there.compare("kind", asked.kind, ring.kind(), Kind::name);
    there.compare("sync", asked.sync, ring.sync(), SyncKind::name);
    let capacity = asked
        .capacity
        .and_then(|_| asked.new_capacity(geometry.shape()));
    if let Some(made) = capacity.filter(|made| *made != geometry.capacity()) {
        let wanted = asked.capacity.unwrap_or(made);
        there.add(
            "a capacity of",
            Bytes(geometry.capacity()),
            match made == wanted {
                true => Bytes(made).to_string(),
                false => format!("{} (for {})", Bytes(made), Bytes(wanted)),
            },
        );
    }
    if let Some(each) = asked.participants
        && ring.kind().participants(each) != Some(geometry.participants())
    {
        there.add("participants", ring.each_role(), each);
    }
    if let Some(len) = ring.cell_len() {
        let wanted = asked.cell_len.and_then(|_| asked.new_cell_len());
        there.compare("cells of", wanted, len, |len| Bytes(len.into()));
    }
    let overwriting = |yes| match yes {
        true => "overwriting",
        false => "waiting when it is full",
    };
    there.compare("senders", asked.overwrite, ring.overwrites(), overwriting);
    there.compare(
        "policies:",
        asked.policies,
        ring.policies(),
        describe_policies,
    );
    let keeping = |yes| match yes {
        true => "that keeps it whoever dies",
        false => "that lets a collector remove it",
    };
    there.compare("a mark", asked.persistent, ring.is_persistent(), keeping);
    let slabs = (!asked.slabs.is_empty()).then(|| asked.new_slabs().unwrap_or(Slabs::NONE));
    there.compare("slabs:", slabs, *geometry.slabs(), |slabs| describe(&slabs));
    if !geometry.slabs().is_empty() {
        let lying = |yes| match yes {
            true => "in segments of their own",
            false => "in the ring's segment",
        };
        let is = geometry.has_slab_segments();
        there.compare("slabs", asked.slab_segments, is, lying);
    }
    if *ring.address() != Address::Memfd {
        let wanted = asked.mode.map(|mode| mode & MODE_BITS);
        there.compare("mode", wanted, ring.mode(), |mode| format!("{mode:o}"));
    }
    // Which costs a look at all mappings, and only who asked for it pays.
    if let Some(wanted) = huge_pages
        && let Some(is) = ring.lies_in_huge_pages()
    {
        let lying = |yes| match yes {
            true => "of reserved huge ones",
            false => "of the usual size",
        };
        there.compare("pages", Some(wanted), is, lying);
    }
    there.report(Attempt::to(action, ring.address()))?;
    match &asked.message_type {
        Some(message_type) => ring.check_type(action, message_type),
        None => Ok(()),
    }
}

fn describe_policies(policies: u8) -> String {
    let names = [
        (allowed::BLOCK, "block"),
        (allowed::LOSSY, "lossy"),
        (allowed::EVICT, "evict"),
    ];
    let names = names.into_iter().filter(|(bit, _)| policies & bit != 0);
    let names: Vec<_> = names.map(|(_, name)| name).collect();
    names.join(" and ")
}

fn describe(slabs: &Slabs) -> String {
    let classes: Vec<_> = slabs
        .classes()
        .map(|class| format!("{} of {}", class.count, Bytes(class.len)))
        .collect();
    match classes.is_empty() {
        true => "none".to_owned(),
        false => classes.join(" and "),
    }
}

/// What a ring that is there has, where something else was asked for.
#[derive(Default)]
pub(super) struct Differences(Vec<String>);

impl Differences {
    pub(super) fn compare<T: Copy + PartialEq, S: Display>(
        &mut self,
        what: &str,
        asked: Option<T>,
        is: T,
        show: impl Fn(T) -> S,
    ) {
        if let Some(asked) = asked.filter(|asked| *asked != is) {
            self.add(what, show(is), show(asked));
        }
    }

    fn add(&mut self, what: &str, is: impl Display, asked: impl Display) {
        self.0.push(format!("with {what} {is} and not {asked}"));
    }

    pub(super) fn report(self, attempt: Attempt<'_>) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let problem = format!("it is there already, {}", self.0.join(", "));
        let remedy = match attempt.address {
            Address::Memfd => "leave that out to use it as it is".to_owned(),
            address => format!(
                "leave that out to use it as it is, choose another address, or remove it (ringway rm {address})"
            ),
        };
        Err(attempt
            .error(ErrorKind::Incompatible, problem)
            .remedy(remedy))
    }
}
