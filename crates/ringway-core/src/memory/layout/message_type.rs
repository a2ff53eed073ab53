//! The type of a ring's messages, where its creator has said it; `LAYOUT.md` has the table.
//!
//! It lies behind the producer's wake word, where rings had zeros before there were types, and still have them if nobody has said one. The
//! creator writes it before the magic, and nobody changes it. What is found there is compared as the bytes that it is, so nothing that a
//! peer writes can be more than another type; it is made text only to be shown.

use std::borrow::Cow;
use std::fmt;

use super::control::{PRODUCER_CLOSED, SHOWN};
use crate::escape::Line;

/// Where it lies.
pub(crate) const MESSAGE_TYPE: usize = PRODUCER_CLOSED + 4;
/// Words that it takes: size, version and alignment, name.
const WORDS: usize = 15;
/// The longest name, in bytes.
pub(crate) const MOST_TYPE_NAME: usize = 8 * (WORDS - 2);

/// As it lies there.
pub(crate) type TypeWords = [u64; WORDS];
/// Nobody has said a type.
pub(crate) const NO_TYPE: TypeWords = [0; WORDS];

const _: () = assert!(MESSAGE_TYPE.is_multiple_of(8) && MESSAGE_TYPE + 8 * WORDS <= SHOWN);

/// Where its words lie.
pub(crate) fn offsets() -> impl Iterator<Item = usize> {
    (MESSAGE_TYPE..MESSAGE_TYPE + 8 * WORDS).step_by(8)
}

/// The words that `load` finds.
pub(crate) fn load(load: impl Fn(usize) -> Option<u64>) -> TypeWords {
    let mut words = NO_TYPE;
    for (word, offset) in words.iter_mut().zip(offsets()) {
        *word = load(offset).unwrap_or(0);
    }
    words
}

/// What a ring's messages are, for programs that must mean the same by them: a name that their authors agree on, a version, and
/// the type's size and alignment.
///
/// The creator of a ring may store it there ([`Builder::message_type`](crate::Builder::message_type)), and typed handles
/// ([`Ring::typed`](crate::Ring::typed)) of programs that mean another type are refused.
///
/// The name is the user's, and never what the compiler calls the type: [`std::any::type_name`] changes with a module that is moved or
/// renamed, and [`std::any::TypeId`] with every build. A program that was built anew would be refused although nothing has changed, and one in
/// another language could not say either. Size and alignment are not enough: of two fields that change places both stay the same, and so the
/// *version* is raised whenever the bytes mean something else.
///
/// ```
/// # use ringway_core as ringway;
/// use bytemuck::{Pod, Zeroable};
/// use ringway::message::MessageType;
/// use ringway::{Builder, ErrorKind};
///
/// #[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
/// #[repr(C)]
/// struct Order {
///     price: u64,
///     amount: u64,
/// }
///
/// const ORDER: MessageType = MessageType::of::<Order>("shop.order").with_version(2);
///
/// # let address = format!("shm:ringway-doc-message-type-{}", std::process::id());
/// # let address = address.as_str();
/// let ring = Builder::new(address)?.message_type(ORDER).create()?;
/// let mut sender = ring.typed::<Order>().sender()?;
/// sender.send(&Order { price: 100, amount: 3 })?;
///
/// // Another program, which was built when orders had no amount.
/// const OLD: MessageType = MessageType::of::<u64>("shop.order").with_version(1);
/// let refused = Builder::new(address)?.message_type(OLD).open().unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::Incompatible);
/// assert!(refused.to_string().contains(
///     "its messages are shop.order version 2 (16 bytes, alignment 8), \
///      and this program means shop.order version 1 (8 bytes, alignment 8)",
/// ));
/// # ringway::remove(&address.parse()?, true)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageType {
    name: Cow<'static, str>,
    version: u32,
    size: u64,
    alignment: u32,
}

impl MessageType {
    /// `T` under that name, which has 1 to 104 bytes and no control characters. Its version is 0.
    pub const fn of<T>(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            version: 0,
            size: size_of::<T>() as u64,
            alignment: align_of::<T>() as u32,
        }
    }

    /// The same in that version.
    #[must_use]
    pub const fn with_version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// What its users call it. Of a ring that is looked at: what is stored there, which a peer can have written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of several with that name it is.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes of a value.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The alignment of a value, in bytes.
    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    /// Whether `T` can be what it describes.
    pub(crate) fn fits<T>(&self) -> bool {
        (self.size, self.alignment) == (size_of::<T>() as u64, align_of::<T>() as u32)
    }

    /// As it lies in a ring; `None` if its name is none.
    pub(crate) fn encode(&self) -> Option<TypeWords> {
        let name = self.name.as_bytes();
        let is_name = (1..=MOST_TYPE_NAME).contains(&name.len());
        if !is_name || self.name.contains(char::is_control) {
            return None;
        }
        let mut words = NO_TYPE;
        words[0] = self.size;
        words[1] = u64::from(self.version) | u64::from(self.alignment) << 32;
        for (word, part) in words[2..].iter_mut().zip(name.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            *word = u64::from_le_bytes(bytes);
        }
        Some(words)
    }

    /// What lies in a ring, to be shown; `None` if nobody has said a type. What is no text becomes replacement characters.
    pub(crate) fn decode(words: &TypeWords) -> Option<Self> {
        if *words == NO_TYPE {
            return None;
        }
        let mut name: Vec<u8> = words[2..]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        let len = name.iter().rposition(|byte| *byte != 0);
        name.truncate(len.map_or(0, |last| last + 1));
        Some(Self {
            name: Cow::Owned(String::from_utf8_lossy(&name).into_owned()),
            version: words[1] as u32,
            size: words[0],
            alignment: (words[1] >> 32) as u32,
        })
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.is_empty() {
            true => f.write_str("a type without a name")?,
            false => write!(f, "{}", Line(&self.name))?,
        }
        if self.version != 0 {
            write!(f, " version {}", self.version)?;
        }
        write!(f, " ({})", Layout(self.size, u64::from(self.alignment)))
    }
}

/// Size and alignment of a type, for people.
pub(crate) struct Layout(pub(crate) u64, pub(crate) u64);

impl Layout {
    pub(crate) fn of<T>() -> Self {
        Self(size_of::<T>() as u64, align_of::<T>() as u64)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(size, alignment) = self;
        let bytes = if *size == 1 { "byte" } else { "bytes" };
        write!(f, "{size} {bytes}, alignment {alignment}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte longer than a name may be.
    static LONG: [u8; MOST_TYPE_NAME + 1] = [b'n'; MOST_TYPE_NAME + 1];

    fn of_n(len: usize) -> &'static str {
        std::str::from_utf8(&LONG[..len]).unwrap()
    }

    #[test]
    fn what_is_encoded_decodes_and_shows() {
        let longest = of_n(MOST_TYPE_NAME);
        for name in ["a", "seven77", "eight888", "shop.order", "Größe", longest] {
            let message_type = MessageType::of::<[u32; 5]>(name).with_version(u32::MAX);
            let words = message_type.encode().unwrap();
            assert_eq!(MessageType::decode(&words), Some(message_type));
        }
        let shown = MessageType::of::<u8>("flag").to_string();
        assert_eq!(shown, "flag (1 byte, alignment 1)");
    }

    #[test]
    fn what_is_no_name_is_not_stored() {
        let long = of_n(MOST_TYPE_NAME + 1);
        for name in ["", "two\nlines", "end\0", long] {
            assert_eq!(MessageType::of::<u8>(name).encode(), None, "{name:?}");
        }
    }

    #[test]
    fn whatever_lies_there_shows_harmlessly() {
        assert_eq!(MessageType::decode(&NO_TYPE), None);
        let mut state = 1_u64;
        for round in 0..if cfg!(miri) { 20 } else { 5000 } {
            let words = NO_TYPE.map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                match round {
                    0 => u64::MAX,
                    // Beginning with no text, and with one.
                    1 => u64::from_le_bytes(*b"\0\x1b[2J\n\0a"),
                    2 => u64::from_le_bytes(*b"a\xf0\x9f\0\0\0\0b"),
                    _ => state ^ state >> 33,
                }
            });
            let found = MessageType::decode(&words).unwrap();
            let shown = found.to_string();
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
        let sizes_alone = MessageType::decode(&{
            let mut words = NO_TYPE;
            words[0] = 16;
            words
        });
        let shown = sizes_alone.unwrap().to_string();
        assert_eq!(shown, "a type without a name (16 bytes, alignment 0)");
    }
}
