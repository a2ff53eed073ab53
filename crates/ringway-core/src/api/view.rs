//! A message as it is shown: where it lies.

use crate::api::receiving::Receiving;
use crate::memory::region::Region;
use crate::memory::region::memory::Memory;
use crate::rings::message::MessageRef;
use crate::rings::pool::IN_SLAB;

/// A message in the ring or in a slab, shown by [`Receiver::drain`](crate::Receiver::drain) and [`Backlog`](crate::message::Backlog).
#[derive(Clone, Copy, Debug)]
pub struct MessageView<'a> {
    region: &'a Memory,
    /// A position in the ring, or with [`IN_SLAB`] one in the slabs.
    at: u64,
    len: usize,
    origin: Option<Origin<'a>>,
    /// The message, if it is a copy in private memory.
    copied: Option<&'a [u8]>,
}

/// As what a message was found.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    receiving: &'a Receiving,
    found: MessageRef,
    nth: u64,
}

impl<'a> MessageView<'a> {
    /// Of `len` bytes in the slabs, `at` from the start of the first.
    pub(crate) fn in_slab(region: &'a Memory, at: u64, len: usize) -> Self {
        let at = at | IN_SLAB;
        Self {
            region,
            at,
            len,
            origin: None,
            copied: None,
        }
    }

    #[inline]
    pub(crate) fn of(receiving: &'a Receiving, found: MessageRef, at: u64, nth: u64) -> Self {
        Self {
            region: receiving.region(),
            at,
            len: found.len,
            origin: Some(Origin {
                receiving,
                found,
                nth,
            }),
            copied: receiving.copied(&found),
        }
    }

    /// As [`Message::number`](crate::Message::number).
    pub fn number(&self) -> u64 {
        let number = |origin: &Origin<'_>| origin.receiving.number(&origin.found, origin.nth);
        self.origin.as_ref().map_or(0, number)
    }

    /// As [`Message::deliveries`](crate::Message::deliveries).
    pub fn deliveries(&self) -> u32 {
        let deliveries =
            |origin: &Origin<'_>| origin.receiving.deliveries(&origin.found, origin.nth);
        self.origin.as_ref().map_or(1, deliveries)
    }

    /// As [`Message::redelivered`](crate::Message::redelivered).
    pub fn redelivered(&self) -> bool {
        self.deliveries() > 1
    }

    /// Bytes of the message.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies from `offset` of the message to the start of `buffer`, and returns how many bytes.
    #[inline]
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.len.saturating_sub(offset));
        let at = self.at.wrapping_add(offset as u64);
        let target = &mut buffer[..len];
        if let Some(copy) = self.copied {
            if len > 0 {
                target.copy_from_slice(&copy[offset..offset + len]);
            }
        } else if self.at & IN_SLAB == 0 {
            self.region.read(at, target);
        } else if len > 0 {
            self.region.read_slab(at & !IN_SLAB, target);
        }
        len
    }

    /// A copy of the whole message.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// As [`read_at`](Self::read_at), for who reads on from there to the end.
    #[inline]
    pub(crate) fn read_ahead(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let rest = self.len.saturating_sub(offset);
        let len = buffer.len().min(rest);
        let at = self.at.wrapping_add(offset as u64);
        let target = &mut buffer[..len];
        if let Some(copy) = self.copied {
            if len > 0 {
                target.copy_from_slice(&copy[offset..offset + len]);
            }
        } else if self.at & IN_SLAB == 0 {
            self.region.read_ahead(at, target, rest);
        } else if len > 0 {
            self.region.read_slab_ahead(at & !IN_SLAB, target, rest);
        }
        len
    }

    /// The message's memory itself.
    ///
    /// # Safety
    /// As for [`Message::as_slice`](crate::Message::as_slice).
    #[inline]
    pub unsafe fn into_slice(self) -> &'a [u8] {
        if let Some(copy) = self.copied {
            return copy;
        }
        let pointer = if self.at & IN_SLAB == 0 {
            self.region.pointer(self.at)
        } else {
            self.region.slab_pointer(self.at & !IN_SLAB)
        };
        // SAFETY: `len` bytes from here lie in the data region or in a slab, which stay mapped while the
        // consumer is borrowed; that nobody writes them is the caller's promise.
        unsafe { std::slice::from_raw_parts(pointer, self.len) }
    }
}
