//! The pool: slabs for long messages behind the data region, a 64-bit word for each, and the tickets that
//! travel through the ring in place of such messages. `LAYOUT.md` ("Slabs") has their bits.
//!
//! A free slab has no holder, so the words of a new pool are 0.

use bytemuck::{Pod, Zeroable};

/// How many sizes of slabs a ring may have.
pub(crate) const MAX_CLASSES: usize = 4;
/// The shortest slab, in bytes: a page.
pub(crate) const MIN_SLAB_LEN: u64 = 4096;
/// The longest slab, in bytes.
pub(crate) const MAX_SLAB_LEN: u64 = 1 << 40;
/// The most slabs of a ring.
pub(crate) const MAX_SLABS: u32 = 1 << 16;
/// Bytes of a ticket.
pub(crate) const TICKET_LEN: u64 = 16;

/// Words and slabs start on multiples of this.
const ALIGN: u64 = 4096;

const EPOCH_BITS: u32 = 23;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
const SLOT_MASK: u64 = (1 << 7) - 1;
const LENT: u64 = 1 << 62;
const HELD: u64 = 1 << 63;

const _: () = assert!(super::MAX_PARTICIPANTS as u64 <= SLOT_MASK);

/// Slabs of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Class {
    /// Bytes of a slab, a power of two.
    pub(crate) len: u64,
    pub(crate) count: u32,
}

/// A class as it lies in the header; zero where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct RawClass {
    /// Log2 of the length.
    len_bits: u32,
    count: u32,
}

/// The slabs of a ring: its classes, the shortest first. Those that are not there have no slabs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slabs {
    classes: [Class; MAX_CLASSES],
}

/// Where a slab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// In bytes from the start of the first slab.
    pub(crate) at: u64,
    /// Its bytes.
    pub(crate) len: u64,
}

impl Slabs {
    /// A ring without slabs.
    pub(crate) const NONE: Self = Self {
        classes: [Class { len: 0, count: 0 }; MAX_CLASSES],
    };

    /// Slabs of these classes, the shortest first. `None` if there cannot be such.
    pub(crate) fn new(classes: &[Class]) -> Option<Self> {
        let mut slabs = Self::NONE;
        slabs
            .classes
            .get_mut(..classes.len())?
            .copy_from_slice(classes);
        let ascending = classes.windows(2).all(|pair| pair[0].len < pair[1].len);
        let are_possible = classes.iter().all(|class| {
            class.count > 0
                && class.len.is_power_of_two()
                && (MIN_SLAB_LEN..=MAX_SLAB_LEN).contains(&class.len)
        });
        let count = classes
            .iter()
            .try_fold(0_u32, |sum, class| sum.checked_add(class.count))?;
        if !ascending || !are_possible || count > MAX_SLABS {
            return None;
        }
        // So many slabs of so many bytes do not overflow.
        (slabs.bytes() <= super::MAX_CAPACITY).then_some(slabs)
    }

    /// The classes that there are.
    pub(crate) fn classes(&self) -> impl Iterator<Item = Class> + '_ {
        self.classes.into_iter().filter(|class| class.count > 0)
    }

    /// Whether the ring has none.
    pub(crate) fn is_empty(&self) -> bool {
        self.classes[0].count == 0
    }

    /// How many slabs.
    pub(crate) fn count(&self) -> u32 {
        self.classes.iter().map(|class| class.count).sum()
    }

    /// Bytes of the longest slab; 0 if there is none.
    pub(crate) fn longest(&self) -> u64 {
        self.classes().last().map_or(0, |class| class.len)
    }

    /// Bytes of all slabs.
    pub(crate) fn bytes(&self) -> u64 {
        self.classes
            .iter()
            .map(|class| class.len * u64::from(class.count))
            .sum()
    }

    /// Bytes of their words, up to where the first slab starts.
    pub(crate) fn words_len(&self) -> u64 {
        (8 * u64::from(self.count())).next_multiple_of(ALIGN)
    }

    /// Where the words start in a segment whose data region ends there, and where the slabs.
    pub(crate) fn offsets(&self, data_end: u64) -> (u64, u64) {
        let words = data_end.next_multiple_of(ALIGN);
        (words, words + self.words_len())
    }

    /// Which slab has the byte `at`, in bytes from the start of the first, where that slab starts and ends.
    pub(crate) fn slab_at(&self, at: u64) -> Option<(u32, std::ops::Range<u64>)> {
        let (mut first, mut start) = (0, 0);
        for class in self.classes() {
            let bytes = u64::from(class.count) * class.len;
            if at - start < bytes {
                let nth = (at - start) >> class.len.trailing_zeros();
                let slab = start + nth * class.len;
                return Some((first + nth as u32, slab..slab + class.len));
            }
            first += class.count;
            start += bytes;
        }
        None
    }

    /// Where slab `index` is, if there is such a one.
    pub(crate) fn place(&self, index: u32) -> Option<Place> {
        let (mut first, mut at) = (0, 0);
        for class in self.classes() {
            if index - first < class.count {
                at += u64::from(index - first) * class.len;
                return Some(Place { at, len: class.len });
            }
            first += class.count;
            at += u64::from(class.count) * class.len;
        }
        None
    }

    /// The indices of the slabs of each class, the shortest first, and what they are.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (std::ops::Range<u32>, Class)> + '_ {
        self.classes().scan(0, |first, class| {
            let start = *first;
            *first += class.count;
            Some((start..*first, class))
        })
    }

    /// As they lie in the header.
    pub(crate) fn encode(&self) -> [RawClass; MAX_CLASSES] {
        self.classes.map(|class| match class.count {
            0 => RawClass::zeroed(),
            count => RawClass {
                len_bits: class.len.trailing_zeros(),
                count,
            },
        })
    }

    /// Decodes what lies in a header; `None` if those are no classes.
    pub(crate) fn decode(fields: &[RawClass; MAX_CLASSES]) -> Option<Self> {
        let is_there = |field: &&RawClass| **field != RawClass::zeroed();
        let there = fields.iter().take_while(is_there).count();
        let mut found = [Class::default(); MAX_CLASSES];
        for (class, field) in found.iter_mut().zip(fields).take(there) {
            *class = Class {
                len: 1_u64.checked_shl(field.len_bits)?,
                count: field.count,
            };
        }
        let is_rest_empty = !fields[there..].iter().any(|field| is_there(&field));
        is_rest_empty.then(|| Self::new(&found[..there])).flatten()
    }
}

/// How many holders a slab's word can tell apart.
pub(crate) const HOLDERS: u64 = (SLOT_MASK + 1) << EPOCH_BITS;

/// One holder of one slot, as a slab's word says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) slot: u32,
    /// Low bits of the slot's epoch.
    epoch: u32,
}

impl Holder {
    /// The holder of `slot` in its `epoch`.
    pub(crate) fn new(slot: u32, epoch: u64) -> Self {
        Self {
            slot,
            epoch: (epoch & EPOCH_MASK) as u32,
        }
    }

    /// A number below [`HOLDERS`] that no other holder has at the same time.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.slot) << EPOCH_BITS | u64::from(self.epoch)
    }

    /// Whether it was in this epoch of its slot.
    pub(crate) fn is_of(self, epoch: u64) -> bool {
        u64::from(self.epoch) == epoch & EPOCH_MASK
    }
}

/// A slab's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) generation: u32,
    /// `None`: the slab is free.
    pub(crate) holder: Option<Holder>,
    /// Whether the holder has lent a pointer to its memory.
    pub(crate) lent: bool,
}

/// What nobody writes as a slab's word.
pub(crate) const NO_WORD: u64 = u64::MAX >> 1;

impl Word {
    /// Of a free slab.
    pub(crate) fn free(generation: u32) -> Self {
        Self {
            generation,
            holder: None,
            lent: false,
        }
    }

    /// Of a slab that somebody holds.
    pub(crate) fn held(holder: Holder, generation: u32) -> Self {
        Self {
            generation,
            holder: Some(holder),
            lent: false,
        }
    }

    /// Of a slab to whose memory its holder has lent a pointer.
    pub(crate) fn lent(holder: Holder, generation: u32) -> Self {
        Self {
            lent: true,
            ..Self::held(holder, generation)
        }
    }

    /// The bits as they are stored.
    pub(crate) fn encode(self) -> u64 {
        let holder = self.holder.map_or(0, |holder| {
            HELD | u64::from(holder.epoch) << 39 | u64::from(holder.slot) << 32
        });
        let lent = if self.lent { LENT } else { 0 };
        holder | lent | u64::from(self.generation)
    }

    /// Decodes bits that were fetched once; `None` if nobody writes such.
    pub(crate) fn decode(bits: u64) -> Option<Self> {
        let holder = Holder {
            slot: (bits >> 32 & SLOT_MASK) as u32,
            epoch: (bits >> 39 & EPOCH_MASK) as u32,
        };
        let word = Self {
            generation: bits as u32,
            holder: (bits & HELD != 0).then_some(holder),
            lent: bits & LENT != 0,
        };
        (word.encode() == bits && (word.holder.is_some() || !word.lent)).then_some(word)
    }
}

/// What travels through the ring in place of a message that lies in a slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Ticket {
    pub(crate) slab: u32,
    pub(crate) generation: u32,
    /// Bytes of the message.
    pub(crate) len: u64,
}

impl Ticket {
    /// Its two words.
    pub(crate) fn encode(self) -> [u64; 2] {
        bytemuck::must_cast(self)
    }

    /// Decodes words that were fetched once. What they say is checked by whoever uses it.
    pub(crate) fn decode(words: [u64; 2]) -> Self {
        bytemuck::must_cast(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(len: u64, count: u32) -> Class {
        Class { len, count }
    }

    #[test]
    fn what_is_encoded_decodes() {
        let last = Holder::new(119, EPOCH_MASK);
        for word in [Word::held(last, u32::MAX), Word::lent(last, u32::MAX)] {
            assert_eq!(Word::decode(word.encode()), Some(word));
        }
        assert_eq!(Word::decode(LENT), None, "a free slab that is lent");
        assert_eq!(Word::decode(0), Some(Word::free(0)));
        assert_eq!(Word::decode(1 << 40), None, "a free slab with a holder");
        let ticket = Ticket {
            slab: 7,
            generation: u32::MAX,
            len: 1 << 40,
        };
        assert_eq!(Ticket::decode(ticket.encode()), ticket);
        for classes in [
            &[][..],
            &[class(4096, 1)],
            &[
                class(4096, 3),
                class(1 << 20, 2),
                class(1 << 30, 5),
                class(1 << 40, 1),
            ],
        ] {
            let slabs = Slabs::new(classes).unwrap();
            assert_eq!(Slabs::decode(&slabs.encode()), Some(slabs));
        }
    }

    #[test]
    fn impossible_slabs_are_refused() {
        for classes in [
            &[class(4096, 0)][..],
            &[class(2048, 1)],
            &[class(4097, 1)],
            &[class(1 << 41, 1)],
            &[class(8192, 1), class(4096, 1)],
            &[class(4096, 1), class(4096, 1)],
            &[class(4096, MAX_SLABS + 1)],
            &[class(4096, u32::MAX), class(8192, 1)],
            &[class(1 << 40, 65)],
            &[class(4096, 1); MAX_CLASSES + 1],
        ] {
            assert_eq!(Slabs::new(classes), None, "{classes:?}");
        }
    }

    #[test]
    fn slabs_lie_side_by_side() {
        let slabs = Slabs::new(&[class(4096, 3), class(1 << 20, 2)]).unwrap();
        let mut end = 0;
        for index in 0..slabs.count() {
            let place = slabs.place(index).unwrap();
            assert_eq!(place.at, end);
            end += place.len;
            let found = Some((index, place.at..end));
            assert_eq!(slabs.slab_at(place.at), found);
            assert_eq!(slabs.slab_at(end - 1), found);
        }
        assert_eq!(end, slabs.bytes());
        assert_eq!(slabs.place(slabs.count()), None);
        assert_eq!(slabs.slab_at(end), None);
        assert_eq!(slabs.slab_at(u64::MAX), None);
        assert_eq!(slabs.place(u32::MAX), None);
    }
}
