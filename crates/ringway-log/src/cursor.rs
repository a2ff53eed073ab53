//! Named cursors: how far the readers of a name are, in a file of two checksummed parts.

use nix::errno::Errno;

use crate::files::disk::Directory;
use crate::files::{FileLike, Files};
use crate::lock::{Lock, Refused};
use crate::names;
use crate::slots::Slots;
use crate::trouble::Trouble;

/// Bytes of the longest name.
const MAX_NAME: usize = 200;

/// A name's place, which one reader has at a time.
#[derive(Debug)]
pub(crate) struct Cursor {
    slots: Slots<std::fs::File>,
    nonce: u128,
    number: u64,
    /// The message that was begun last, and how often.
    begun: (u64, u64),
    _lock: Lock,
}

/// Why a cursor is not to be had.
#[derive(Debug)]
pub(crate) enum NoCursor {
    /// The name cannot be that of a file.
    Name,
    /// Another reader has it.
    Taken(u32),
    Trouble(Trouble),
}

impl From<Trouble> for NoCursor {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl Cursor {
    /// The cursor of that name. If there is none it is made, at `start`. One that is there stays where it is.
    pub(crate) fn open(
        directory: &Directory,
        name: &str,
        nonce: u128,
        start: impl FnOnce() -> Result<u64, Trouble>,
    ) -> Result<Self, NoCursor> {
        if !is_name(name) {
            return Err(NoCursor::Name);
        }
        let os = || Trouble::os(format!("the cursor {name} cannot be opened"));
        let cursors = directory.below(names::CURSORS, true).map_err(os())?;
        let lock =
            Lock::take(&cursors, &format!("{name}.lock")).map_err(|refused| match refused {
                Refused::Taken(pid) => NoCursor::Taken(pid),
                Refused::Os(errno) => NoCursor::Trouble(os()(errno)),
            })?;
        let slots = match cursors.open(name, true) {
            Ok(file) => Slots::open(file, &format!("{}/{name}", names::CURSORS))?,
            Err(Errno::ENOENT) => Slots::create(&cursors, name, words(nonce, start()?, (0, 0)))?,
            Err(errno) => return Err(os()(errno).into()),
        };
        let number = number_of(&slots, nonce).ok_or_else(|| Trouble::Foreign {
            name: format!("{}/{name}", names::CURSORS),
            problem: "is a cursor of another log".to_owned(),
        })?;
        let [.., begun, count] = slots.words();
        Ok(Self {
            slots,
            nonce,
            number,
            begun: (begun, count),
            _lock: lock,
        })
    }

    /// The number of the first message that is not acknowledged.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Acknowledges all before this number.
    pub(crate) fn store(&mut self, number: u64) -> Result<(), Errno> {
        if number != self.number {
            self.slots.store(words(self.nonce, number, self.begun))?;
            self.number = number;
        }
        Ok(())
    }

    /// Notes that a message is begun. Returns how often it was, with this time.
    pub(crate) fn begin(&mut self, message: u64) -> Result<u64, Errno> {
        let before = match self.begun {
            (begun, count) if begun == message => count,
            _ => 0,
        };
        let begun = (message, before.saturating_add(1));
        self.slots.store(words(self.nonce, self.number, begun))?;
        self.begun = begun;
        Ok(begun.1)
    }

    pub(crate) fn sync(&self) -> Result<(), Errno> {
        // Also where the last sync failed, and one asks again.
        self.slots.confirm()
    }
}

/// All cursors, with the number of the first message that each has not acknowledged.
pub(crate) fn all<F: Files>(cursors: &F, nonce: u128) -> Result<Vec<(String, u64)>, Trouble> {
    visit(cursors, nonce, false)
}

/// The number of the slowest one, which a loss of power does not set back.
pub(crate) fn slowest_synced<F: Files>(cursors: &F, nonce: u128) -> Result<Option<u64>, Trouble> {
    let all = visit(cursors, nonce, true)?;
    Ok(all.into_iter().map(|(_, number)| number).min())
}

fn visit<F: Files>(cursors: &F, nonce: u128, sync: bool) -> Result<Vec<(String, u64)>, Trouble> {
    let os = || Trouble::os("its cursors cannot be listed");
    let mut all = Vec::new();
    let mut names = cursors.list().map_err(os())?;
    names.sort_unstable();
    for name in names {
        if !is_name(&name) {
            continue;
        }
        let file = match cursors.open(&name, false) {
            Ok(file) => file,
            // Removed meanwhile.
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(os()(errno)),
        };
        let slots = Slots::open(file, &format!("{}/{name}", names::CURSORS))?;
        if let Some(number) = number_of(&slots, nonce) {
            if sync {
                // What was read before is on the disk then, or a later one.
                slots.sync().map_err(os())?;
            }
            all.push((name, number));
        }
    }
    Ok(all)
}

/// What a cursor may be called: what a file can, but for the names of its own helpers.
fn is_name(name: &str) -> bool {
    let is_taken = [".lock", ".new"].iter().any(|end| name.ends_with(end));
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with('.')
        && !name.contains(['/', '\0'])
        && !is_taken
}

fn words(nonce: u128, number: u64, (begun, count): (u64, u64)) -> [u64; 5] {
    [nonce as u64, (nonce >> 64) as u64, number, begun, count]
}

fn number_of<T: FileLike>(slots: &Slots<T>, nonce: u128) -> Option<u64> {
    let [low, high, number, ..] = slots.words();
    (u128::from(high) << 64 | u128::from(low) == nonce).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::sim::Disk;

    #[test]
    fn a_loss_of_power_does_not_set_back_the_slowest_cursor_that_a_writer_was_told() {
        for seed in 0..50 {
            let disk = Disk::new(seed);
            for name in ["a", "b"] {
                let mut slots = Slots::create(&disk, name, words(7, 0, (0, 0))).unwrap();
                for number in 1..8 {
                    slots.store(words(7, number, (0, 0))).unwrap();
                }
            }
            assert_eq!(slowest_synced(&disk, 7).unwrap(), Some(7));
            disk.lose_power();
            let all = all(&disk, 7).unwrap();
            assert_eq!(all, [("a".to_owned(), 7), ("b".to_owned(), 7)]);
        }
    }
}
