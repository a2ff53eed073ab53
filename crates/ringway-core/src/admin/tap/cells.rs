//! The messages of a cell ring that wait, or that consumers hold.

use super::{Fresh, MOST_LOOKS, Seen, Tap, in_slab};
use crate::memory::layout::Corrupt;
use crate::memory::layout::cell::key;
use crate::rings::cell::sight;

pub(super) fn look(
    tap: &mut Tap,
    cell_len: u32,
    see: &mut impl FnMut(Seen),
) -> Result<(), Corrupt> {
    let next = tap.next.map_or(0, |(cell, _)| cell);
    let key = key(tap.view.header().nonce);
    let copy = |sight: sight::Sight| match sight.is_loaned {
        true => in_slab(None),
        false => tap.copy(None, sight.position, sight.len),
    };
    let region = Fresh(&tap.view);
    let next = sight::see(region, (cell_len, key), next, MOST_LOOKS, copy, see)?;
    tap.next = Some((next, 0));
    Ok(())
}
