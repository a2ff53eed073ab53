//! Slabs of a ring, and what goes into them, as the command line says it.

use std::fmt;

use clap::Args;
use ringway::Channel;
use ringway::channel::{Carrier, ChannelSender};
use serde::Serialize;

use crate::failure::Failure;
use crate::units;

/// Slabs of one length, written `SIZExCOUNT`. No `*` stands between the two: shells take it for a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SlabClass {
    slab_bytes: u64,
    count: u32,
}

impl SlabClass {
    /// Parses `1Mx8`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write SIZExCOUNT, such as 1Mx8 for eight slabs of 1 MiB";
        let (len, count) = text.rsplit_once('x').ok_or(FORM)?;
        let slab_bytes = units::size(len)?;
        let count = count
            .parse()
            .map_err(|error| format!("{count:?} is no count: {error}; {FORM}"))?;
        if slab_bytes == 0 || count == 0 {
            return Err(format!("that holds no message; {FORM}"));
        }
        Ok(Self { slab_bytes, count })
    }

    pub(crate) fn slab_bytes(self) -> u64 {
        self.slab_bytes
    }

    pub(crate) fn count(self) -> u32 {
        self.count
    }
}

impl fmt::Display for SlabClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = units::human_size(self.slab_bytes);
        match self.count {
            1 => write!(f, "a slab of {len}"),
            count => write!(f, "{count} slabs of {len}"),
        }
    }
}

/// ` and 8 slabs of 1 MiB`, to go behind what a ring is like.
pub(crate) fn and_all(slabs: &[SlabClass]) -> String {
    slabs.iter().map(|class| format!(" and {class}")).collect()
}

/// What goes into slabs.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct CopyArgs {
    /// Up to how many bytes a message is copied through a ring that has slabs; a longer one is written into a
    /// slab [default: 64K]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) copy_limit: Option<usize>,
}

impl CopyArgs {
    pub(crate) fn apply(&self, sender: ChannelSender) -> ChannelSender {
        match self.copy_limit {
            Some(bytes) => sender.with_copy_limit(bytes),
            None => sender,
        }
    }

    /// The same options for another process.
    pub(crate) fn words(&self) -> Vec<String> {
        let words = |bytes: usize| vec!["--copy-limit".to_owned(), bytes.to_string()];
        self.copy_limit.map(words).unwrap_or_default()
    }

    /// Refuses a limit that limits nothing.
    pub(crate) fn refuse_without_slabs(&self, channel: &Channel) -> Result<(), Failure> {
        let why = match channel.carrier() {
            _ if self.copy_limit.is_none() => return Ok(()),
            Carrier::Ring(ring) if ringway::inspect::stat(ring.address())?.slabs.is_empty() => {
                "has no slabs: leave out --copy-limit, or make a ring with --slabs"
            }
            Carrier::Ring(_) => return Ok(()),
            // What `auto:` is, is not the caller's choice.
            _ if channel.reason().is_some() => return Ok(()),
            _ => "is a queue, which copies every message: leave out --copy-limit",
        };
        Err(Failure::error(format_args!("{} {why}", channel.address())))
    }
}

/// What is more than can be addressed is longer than any message.
fn bytes(text: &str) -> Result<usize, String> {
    Ok(usize::try_from(units::size(text)?).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_a_size_and_a_count() {
        for (text, slab_bytes, count) in [
            ("1Mx8", 1 << 20, 8),
            ("4096x1", 4096, 1),
            ("64KiBx65536", 64 << 10, 65536),
        ] {
            assert_eq!(
                SlabClass::parse(text),
                Ok(SlabClass { slab_bytes, count }),
                "{text}"
            );
        }
        for wrong in [
            "", "x", "1M", "1M*8", "1Mx", "x8", "1Mx-1", "1Mx8x", "0x8", "1Mx0",
        ] {
            let said = SlabClass::parse(wrong).unwrap_err();
            assert!(!said.is_empty(), "{wrong}");
        }
        assert!(SlabClass::parse("1M*8").unwrap_err().contains("1Mx8"));
    }

    #[test]
    fn slabs_for_people() {
        let shown = |text| SlabClass::parse(text).unwrap().to_string();
        assert_eq!(shown("1Mx8"), "8 slabs of 1 MiB");
        assert_eq!(shown("64Kx1"), "a slab of 64 KiB");
    }
}
