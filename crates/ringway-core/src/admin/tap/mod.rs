//! Looking at the messages of a ring, without taking part and without taking any.
//!
//! Nothing is mapped and nothing is written ([`View`]): all is copied by system calls while others work. So what is copied may
//! be overwritten meanwhile, and each copy is judged afterwards, by what a producer must have changed before it wrote there:
//!
//! | ring | a record at `position` was whole when it was copied, if afterwards | so one can see |
//! |---|---|---|
//! | stream | `HEAD` is not beyond it: the producer does not write there before the consumer has released it | what waits |
//! | cells | its word is as before ([`crate::rings::cell::sight`]) | what waits, and what is held |
//! | broadcast | `LIMIT` is at most a capacity ahead of it: the producer raises it before it writes | up to a whole ring of what was sent |
//!
//! What a consumer has released in a stream or in cells may lie there for long, and cannot be shown: a producer may have begun to write
//! over it, and be stopped in the middle. Nothing in the segment would tell.

mod broadcast;
mod cells;
mod stream;
#[cfg(all(test, not(loom), not(miri)))]
mod tests;

use std::sync::atomic::{Ordering, fence};

use nix::errno::Errno;

use crate::address::Address;
use crate::error::{Attempt, Error, ErrorKind};
use crate::memory::layout::pool::TICKET_LEN;
use crate::memory::layout::{self, Corrupt, Shape};
use crate::memory::region::Load;
use crate::store::View;

/// A message longer than that is not copied.
const LONGEST: u64 = 16 << 20;

/// How many records or cells one [look](Tap::look) comes to at most, whatever it finds.
const MOST_LOOKS: u64 = 1 << 24;

/// How often one look begins again because it was overtaken.
const MOST_RESTARTS: u32 = 1000;

/// A message that an observer has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// Its number in the ring, from 0; a ring with many producers or consumers has none.
    pub number: Option<u64>,
    /// Bytes of the message; of one in a slab, 0.
    pub len: u64,
    /// What it says; `None` of a message in a slab, and of one that is longer than 16 MiB.
    pub payload: Option<Vec<u8>>,
}

/// One that looks at the messages of a ring, and takes none: they are received as if nobody had looked.
///
/// Of a broadcast ring it sees what was sent, up to a whole ring ago. Of every other ring it sees what has not been received and released
/// yet. Each message is seen once, whole, and in order.
///
/// ```no_run
/// # use ringway_core as ringway;
/// let mut tap = ringway::inspect::Tap::open(&"shm:orders".parse()?)?;
/// tap.look(|message| println!("{:?}", message.payload))?;
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Debug)]
pub struct Tap {
    view: View,
    /// Position or cell of the message to see next, and its number.
    next: Option<(u64, u64)>,
    missed: u64,
}

impl Tap {
    /// Opens the ring at `address` to look at its messages.
    ///
    /// # Errors
    /// Those of [`stat`](crate::inspect::stat), and [`ErrorKind::Unsupported`] for a board.
    pub fn open(address: &Address) -> Result<Self, Error> {
        let view = View::open(address)?;
        let attempt = Attempt::to("look into", address);
        if view.is_retired() {
            return Err(attempt.not_found(Errno::ENOENT));
        }
        if let Shape::Board(_) = view.header().geometry.shape() {
            let problem = "it is a board, which has values and no messages";
            return Err(attempt.error(ErrorKind::Unsupported, problem));
        }
        Ok(Self {
            view,
            next: None,
            missed: 0,
        })
    }

    /// Calls `see` for each message that can be seen and was not seen before, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if what is there contradicts itself.
    pub fn look(&mut self, mut see: impl FnMut(Seen)) -> Result<(), Error> {
        let outcome = match self.view.header().geometry.shape() {
            Shape::Stream => stream::look(self, &mut see),
            Shape::Cells(cell_len) => cells::look(self, cell_len, &mut see),
            Shape::Broadcast => broadcast::look(self, &mut see),
            Shape::Board(_) => Ok(()),
        };
        outcome.map_err(|Corrupt| {
            let attempt = Attempt::to("look into", self.view.address());
            let problem = "its records contradict each other: a process has written over them";
            attempt.error(ErrorKind::Corrupt, problem)
        })
    }

    /// How many messages came and went between two looks, unseen. Not known (0) of rings without numbers.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Whether the ring's address still leads to this ring: it was not removed, nor made anew.
    pub fn is_current(&self) -> bool {
        let nonce = self.view.header().nonce;
        View::open(self.view.address())
            .is_ok_and(|view| view.header().nonce == nonce && !view.is_retired())
    }

    /// Copies a payload, which does not wrap.
    fn copy(&self, number: Option<u64>, position: u64, len: u64) -> Seen {
        let mut seen = Seen {
            number,
            len,
            payload: None,
        };
        if len <= LONGEST.min(self.view.header().geometry.capacity()) {
            let mut bytes = vec![0; len as usize];
            // What is not there was cut off, and is nobody's message.
            let is_there = self.view.read(position, &mut bytes);
            seen.payload = is_there.then_some(bytes);
        }
        seen
    }

    /// The record word at `position`.
    fn word(&self, position: u64) -> u64 {
        Fresh(&self.view).load_word(position, Ordering::Acquire)
    }

    /// A control word, not older than what was copied before.
    fn control(&self, offset: usize) -> u64 {
        fence(Ordering::Acquire);
        self.view.load64(offset).unwrap_or(0)
    }
}

/// A message in a slab: what lies in the ring is its ticket.
fn in_slab(number: Option<u64>) -> Seen {
    const _: () = assert!(TICKET_LEN == 16);
    Seen {
        number,
        len: 0,
        payload: None,
    }
}

/// The ring's words, each loaded when it is asked for, and never from an older copy: to judge by.
#[derive(Clone, Copy, Debug)]
struct Fresh<'a>(&'a View);

impl Load for Fresh<'_> {
    fn capacity(&self) -> u64 {
        self.0.header().geometry.capacity()
    }

    fn load32(&self, offset: usize, _: Ordering) -> u32 {
        self.0.load32(offset).unwrap_or(0)
    }

    fn load64(&self, offset: usize, _: Ordering) -> u64 {
        let word = self.0.load64(offset).unwrap_or(0);
        // As strong as any caller asks for.
        fence(Ordering::Acquire);
        word
    }

    fn load_word(&self, position: u64, _: Ordering) -> u64 {
        let mut word = [0; 8];
        let is_there = self.0.read(position & !7, &mut word);
        fence(Ordering::Acquire);
        let header = self.0.header();
        match header.geometry.shape() {
            // Words of cells are never zero.
            Shape::Cells(_) if !is_there || word == [0; 8] => {
                layout::cell::no_word(layout::cell::key(header.nonce))
            }
            _ => u64::from_ne_bytes(word),
        }
    }

    fn load_slab(&self, _: u32) -> u64 {
        layout::pool::NO_WORD
    }
}
