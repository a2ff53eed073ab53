//! Which files a log consists of.
//!
//! | name | what |
//! |---|---|
//! | `log` | what the directory is: the log's nonce, and the oldest number that is kept ([`Slots`]) |
//! | `00000000000000000042.seg` | a segment, whose first record has the number 42; 20 digits, so that names sort |
//! | `00000000000000000042.idx` | where some records of it lie; may be missing, or wrong |
//! | `00000000000000000042.cut` | what a repair took out of a segment; `….1.cut` is what a later one took out at the same number |
//! | `NAME.new` | one that is being made |
//! | `source` | which ring's messages it has, if it is a record of one ([`Source`](crate::source::Source)) |
//! | `lock` | held by the writer, as the kernel sees it |
//! | `control.` and a boot id | a board, by which the writer tells how far it is, and readers sleep |
//! | `cursors/NAME` | how far the readers of that name are ([`Slots`]), and `NAME.lock` |
//!
//! Other names are let be, but for those that end like a segment's.

use nix::errno::Errno;

use crate::files::{FileLike, Files, read_full};
use crate::format::{HEADER_USED, NoHeader, SegmentHeader};
use crate::slots::{Slots, WORDS};
use crate::trouble::Trouble;

/// The file that says what the directory is.
pub const LOG: &str = "log";
/// The file that the writer locks.
pub const LOCK: &str = "lock";
/// The file that says which ring the log is a record of.
pub const SOURCE: &str = "source";
/// What the names of control files begin with.
pub const CONTROL: &str = "control.";
/// The directory of the cursors.
pub const CURSORS: &str = "cursors";

/// The name of a segment.
pub fn segment(base: u64) -> String {
    format!("{base:020}.seg")
}

/// The name of a segment's index.
pub fn index(base: u64) -> String {
    format!("{base:020}.idx")
}

/// The name of a segment that is being made.
pub fn draft(base: u64) -> String {
    format!("{base:020}.new")
}

/// The name of what a repair took out of a segment, from this number on; of several of the same number, one after the other.
pub fn cut(number: u64, attempt: u32) -> String {
    match attempt {
        0 => format!("{number:020}.cut"),
        _ => format!("{number:020}.{attempt}.cut"),
    }
}

/// The bases of all segments, in order.
///
/// # Errors
/// [`Trouble::Foreign`] if another file has a name that ends like theirs; the kernel's.
pub fn segments(files: &impl Files) -> Result<Vec<u64>, Trouble> {
    let names = files
        .list()
        .map_err(Trouble::os("its files cannot be listed"))?;
    let mut bases = Vec::new();
    for name in names {
        let Some(stem) = name.strip_suffix(".seg") else {
            continue;
        };
        let base = stem.parse().ok().filter(|base| segment(*base) == name);
        match base {
            Some(base) => bases.push(base),
            None => {
                let problem = "is none: its name is not a number of 20 digits".to_owned();
                return Err(Trouble::Foreign { name, problem });
            }
        }
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Whether a file is one of the log's own in its directory, and not a segment: what removing the log removes too.
pub fn is_own(name: &str) -> bool {
    let is_later_cut = |suffix: &str| {
        let attempt = suffix.strip_suffix(".cut").unwrap_or_default();
        !attempt.is_empty() && attempt.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_numbered = |name: &str| {
        name.split_once('.').is_some_and(|(stem, suffix)| {
            stem.len() == 20
                && stem.bytes().all(|byte| byte.is_ascii_digit())
                && (matches!(suffix, "seg" | "idx" | "new" | "cut") || is_later_cut(suffix))
        })
    };
    name == LOG
        || name == LOCK
        || name == SOURCE
        || name == "log.new"
        || name == "source.new"
        || name.starts_with(CONTROL)
        || is_numbered(name)
}

/// Of the file that says what the directory is.
const VERSION: u64 = 1;

/// What the directory says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Tells this log from all others.
    pub nonce: u128,
    /// The oldest number that is kept.
    pub oldest: u64,
    /// The first number that the log ever had.
    pub first: u64,
    /// Whether there was a segment.
    pub started: bool,
}

impl About {
    /// As words.
    pub fn words(self) -> [u64; WORDS] {
        [
            self.nonce as u64,
            (self.nonce >> 64) as u64,
            self.oldest,
            self.first,
            VERSION | u64::from(self.started) << 32,
        ]
    }

    /// From words.
    ///
    /// # Errors
    /// [`Trouble::Version`].
    pub fn of(words: [u64; WORDS]) -> Result<Self, Trouble> {
        let version = words[4] as u32;
        if u64::from(version) != VERSION {
            let name = LOG.to_owned();
            return Err(Trouble::Version { name, version });
        }
        Ok(Self {
            nonce: u128::from(words[1]) << 64 | u128::from(words[0]),
            oldest: words[2],
            first: words[3],
            started: words[4] >> 32 != 0,
        })
    }
}

/// Opens what says what the directory is.
///
/// # Errors
/// [`Trouble::NotALog`], [`Trouble::NoSlot`], [`Trouble::Version`], and the kernel's.
pub fn about<F: Files>(files: &F, write: bool) -> Result<(Slots<F::File>, About), Trouble> {
    let file = files.open(LOG, write).map_err(|errno| match errno {
        Errno::ENOENT => Trouble::NotALog,
        errno => Trouble::os(format!("{LOG} cannot be opened"))(errno),
    })?;
    let slots = Slots::open(file, LOG)?;
    let about = About::of(slots.words())?;
    Ok((slots, about))
}

/// Opens a segment, and checks what it says of itself.
///
/// # Errors
/// The kernel's, of which `ENOENT` says that there is none; [`Trouble::Foreign`], [`Trouble::Version`].
pub fn open_segment<F: Files>(
    files: &F,
    base: u64,
    nonce: u128,
    write: bool,
) -> Result<(F::File, SegmentHeader), Trouble> {
    let name = segment(base);
    let os = |what: &'static str| {
        let name = name.clone();
        move |errno| Trouble::os(format!("{name} cannot be {what}"))(errno)
    };
    let file = files.open(&name, write).map_err(os("opened"))?;
    let mut bytes = [0; HEADER_USED];
    let len = read_full(&file, &mut bytes, 0).map_err(os("read"))?;
    let foreign = |problem: &str| Trouble::Foreign {
        name: name.clone(),
        problem: problem.to_owned(),
    };
    match SegmentHeader::decode(&bytes[..len]) {
        Ok(header) if header.nonce != nonce => Err(foreign("belongs to another log")),
        Ok(header) if header.base != base => Err(foreign("was renamed")),
        Ok(header) => Ok((file, header)),
        Err(NoHeader::Foreign) => Err(foreign("is none: it does not begin as one")),
        Err(NoHeader::Damaged) => Err(foreign("has a header that is damaged")),
        Err(NoHeader::Version(version)) => Err(Trouble::Version { name, version }),
    }
}

/// Bytes of the file.
pub(crate) fn len_of(file: &impl FileLike, base: u64) -> Result<u64, Trouble> {
    file.len()
        .map_err(Trouble::os(format!("{} cannot be measured", segment(base))))
}
