//! One string names a transport everywhere: `shm:orders`, `file:/var/lib/x.ring`, `sysv:0x52494e47`.
//!
//! An [`Address`] is that string, parsed. What is found by a key and not by a name has one of its own kinds: a [`SysvKey`] for shared memory,
//! a [`QueueKey`] for queues.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::escape::{self, Name};
use crate::sys::shm_overview::SHM_DIRECTORY;

/// The longest name of a `shm:`, `mq:` or `auto:` address, in bytes: what one directory entry can hold.
const MAX_NAME: usize = 255;

/// The accepted forms, for error messages.
const FORMS: &str = "shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID (ftok), sysv:id=SHMID, \
                     sysv:private, memfd:, mq:/NAME, sysvmq:0xKEY, sysvmq:PATH#ID, auto:NAME or log:DIR";

/// Where a ring or a message queue lives.
///
/// Parsed strictly from a string; [`Display`](fmt::Display) gives the same string back. In names and paths `%` and two
/// hexadecimal digits are one byte. What a shell would take for more than a letter of a word, what a terminal would not
/// show, and what is no UTF-8 is shown so; it may be written so or, if it can be, as it is. Only `%` has to be: `%25`.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::Address;
///
/// let address: Address = "shm:orders".parse()?;
/// assert_eq!(address.to_string(), "shm:orders");
/// assert!("orders".parse::<Address>().is_err()); // the error lists the accepted forms
/// let spaced: Address = "shm:my orders".parse()?;
/// assert_eq!(spaced.to_string(), "shm:my%20orders");
/// assert_eq!(spaced, spaced.to_string().parse()?);
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// `shm:NAME`: POSIX shared memory (`shm_open`), seen as `/dev/shm/NAME`. (A name that is no UTF-8 is a
    /// [`File`](Self::File) in `/dev/shm`.)
    Shm(String),
    /// `file:PATH`: a memory-mapped file; it outlives every process and a reboot.
    File(PathBuf),
    /// `sysv:...`: a System V segment (`shmget`).
    Sysv(SysvKey),
    /// `memfd:`: anonymous sealed memory, handed over a Unix socket.
    Memfd,
    /// `mq:/NAME`: a POSIX message queue (`mq_open`). The name is without its slash here, and UTF-8; other queues are
    /// not ringway's, and not listed.
    Mq(String),
    /// `sysvmq:...`: a System V message queue (`msgget`).
    Sysvmq(QueueKey),
    /// `auto:NAME`: `shm:NAME` where it can be had, else `mq:/NAME`.
    Auto(String),
    /// `log:DIR`: a durable log, which is a directory of files. It is neither ring nor queue, and has an interface of its own.
    Log(PathBuf),
}

/// How a System V message queue is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueueKey {
    /// `sysvmq:0x52494e47`: the key itself (never 0, which means private).
    Key(u32),
    /// `sysvmq:/etc/hostname#7`: the key that `ftok(path, id)` gives.
    Ftok {
        /// An existing file; its inode and device make the key.
        path: PathBuf,
        /// The project id, 1 to 255.
        id: u8,
    },
}

/// How a System V segment is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SysvKey {
    /// `sysv:0x52494e47`: the key itself (never 0, which means private).
    Key(u32),
    /// `sysv:/etc/hostname#7`: the key that `ftok(path, id)` gives.
    Ftok {
        /// An existing file; its inode and device make the key.
        path: PathBuf,
        /// The project id, 1 to 255.
        id: u8,
    },
    /// `sysv:id=42`: an existing segment by its `shmid`, as `ipcs -m` lists it.
    Id(i32),
    /// `sysv:private`: a new segment without a key; the ring's address then shows its `shmid`.
    Private,
}

impl Address {
    /// The scheme before the colon: `shm`, `file`, `sysv`, `memfd`, `mq`, `sysvmq`, `auto` or `log`.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert_eq!(ringway::Address::Memfd.scheme(), "memfd");
    /// ```
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Shm(_) => "shm",
            Self::File(_) => "file",
            Self::Sysv(_) => "sysv",
            Self::Memfd => "memfd",
            Self::Mq(_) => "mq",
            Self::Sysvmq(_) => "sysvmq",
            Self::Auto(_) => "auto",
            Self::Log(_) => "log",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shm(name) => write!(f, "shm:{}", Name::of(name)),
            Self::File(path) => write!(f, "file:{}", Name::of(path)),
            Self::Sysv(SysvKey::Key(key)) => write!(f, "sysv:{key:#010x}"),
            Self::Sysv(SysvKey::Ftok { path, id }) => write!(f, "sysv:{}#{id}", Name::of(path)),
            Self::Sysv(SysvKey::Id(id)) => write!(f, "sysv:id={id}"),
            Self::Sysv(SysvKey::Private) => write!(f, "sysv:private"),
            Self::Memfd => write!(f, "memfd:"),
            Self::Mq(name) => write!(f, "mq:/{}", Name::of(name)),
            Self::Sysvmq(QueueKey::Key(key)) => write!(f, "sysvmq:{key:#010x}"),
            Self::Sysvmq(QueueKey::Ftok { path, id }) => {
                write!(f, "sysvmq:{}#{id}", Name::of(path))
            }
            Self::Auto(name) => write!(f, "auto:{}", Name::of(name)),
            Self::Log(path) => write!(f, "log:{}", Name::of(path)),
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |problem: &str| {
            Error::new(ErrorKind::InvalidAddress, "parse", text, problem)
                .remedy(format!("write {FORMS}"))
        };
        if text.contains('\0') {
            return Err(invalid("an address cannot contain a NUL byte"));
        }
        let (scheme, rest) = text
            .split_once(':')
            .ok_or_else(|| invalid("it has no scheme before a colon"))?;
        match scheme {
            "shm" => parse_shm(rest).map_err(invalid),
            "file" if rest.is_empty() => Err(invalid("the path is empty")),
            "file" => parse_path(rest).map(Self::File).map_err(invalid),
            "sysv" => parse_sysv(rest).map(Self::Sysv).map_err(invalid),
            "memfd" if rest.is_empty() => Ok(Self::Memfd),
            "memfd" => Err(invalid("memfd: takes no name (the segment is anonymous)")),
            "mq" => parse_name(rest).map(Self::Mq).map_err(invalid),
            "sysvmq" => parse_queue_key(rest).map(Self::Sysvmq).map_err(invalid),
            "auto" => parse_name(rest).map(Self::Auto).map_err(invalid),
            "log" if rest.is_empty() => Err(invalid("the directory is missing")),
            "log" => parse_path(rest).map(Self::Log).map_err(invalid),
            _ => Err(invalid("the scheme is unknown")),
        }
    }
}

/// What a name or path was before it was shown.
fn decode(text: &str) -> Result<OsString, &'static str> {
    let bytes = escape::decode(text)
        .ok_or("a % is not followed by two hexadecimal digits (the sign itself is %25)")?;
    match bytes.contains(&0) {
        true => Err("an address cannot contain a NUL byte"),
        false => Ok(OsString::from_vec(bytes)),
    }
}

fn parse_path(path: &str) -> Result<PathBuf, &'static str> {
    decode(path).map(PathBuf::from)
}

fn parse_shm(name: &str) -> Result<Address, &'static str> {
    let name = parse_os_name(name)?;
    Ok(match name.into_string() {
        Ok(name) => Address::Shm(name),
        Err(name) => Address::File(Path::new(SHM_DIRECTORY).join(name)),
    })
}

fn parse_name(name: &str) -> Result<String, &'static str> {
    let name = parse_os_name(name)?;
    name.into_string().map_err(|_| "the name is not UTF-8")
}

fn parse_os_name(name: &str) -> Result<OsString, &'static str> {
    // The leading slash that shm_open(3) and mq_open(3) ask for may be written, and means nothing.
    let name = decode(name.strip_prefix('/').unwrap_or(name))?;
    match name.as_bytes() {
        b"" => Err("the name is empty"),
        b"." | b".." => Err("the name is a directory"),
        bytes if bytes.contains(&b'/') => Err("the name contains a slash"),
        bytes if bytes.len() > MAX_NAME => Err("the name is longer than 255 bytes"),
        _ => Ok(name),
    }
}

fn parse_sysv(rest: &str) -> Result<SysvKey, &'static str> {
    if rest == "private" {
        return Ok(SysvKey::Private);
    }
    if let Some(id) = rest.strip_prefix("id=") {
        return match id.parse::<i32>() {
            Ok(id) if id >= 0 => Ok(SysvKey::Id(id)),
            _ => Err("the shmid is not a number from 0 to 2147483647"),
        };
    }
    Ok(match parse_key(rest)? {
        QueueKey::Key(key) => SysvKey::Key(key),
        QueueKey::Ftok { path, id } => SysvKey::Ftok { path, id },
    })
}

fn parse_queue_key(rest: &str) -> Result<QueueKey, &'static str> {
    if rest == "private" || rest.starts_with("id=") {
        return Err("a queue needs a key by which its semaphores are found too: 0xKEY or PATH#ID");
    }
    parse_key(rest)
}

/// What all System V objects with a key have in common.
fn parse_key(rest: &str) -> Result<QueueKey, &'static str> {
    if let Some((path, id)) = rest.rsplit_once('#') {
        let id = id.parse::<u8>().ok().filter(|id| *id != 0);
        return match id {
            _ if path.is_empty() => Err("the path before # is empty"),
            Some(id) => Ok(QueueKey::Ftok {
                path: parse_path(path)?,
                id,
            }),
            None => Err("the number after # is not from 1 to 255"),
        };
    }
    let key = match rest.strip_prefix("0x") {
        Some(hex) if !hex.starts_with('+') => u32::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if rest.starts_with('+') => None,
        None => rest.parse::<u32>().ok(),
    };
    match key {
        Some(0) => Err("key 0 means private, which nobody else finds"),
        Some(key) => Ok(QueueKey::Key(key)),
        None => Err("the key is neither a 32-bit number nor PATH#ID"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_back() {
        for text in [
            "shm:orders",
            "file:/var/lib/x.ring",
            "file:relative.ring",
            "sysv:0x52494e47",
            "sysv:/etc/hostname#7",
            "sysv:id=42",
            "sysv:private",
            "memfd:",
            "mq:/orders",
            "sysvmq:0x52494e47",
            "sysvmq:/etc/hostname#7",
            "auto:orders",
            "log:/var/lib/orders",
            "shm:a%20%22b%25",
            "file:/a%1bb/%ff",
            "sysv:/a%23b#7",
            "mq:/%e2%80%ae",
            "auto:%0a",
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(
            "shm:/orders".parse::<Address>().unwrap().to_string(),
            "shm:orders"
        );
        assert_eq!(
            "sysv:119".parse::<Address>().unwrap().to_string(),
            "sysv:0x00000077"
        );
    }

    #[test]
    fn a_name_in_shared_memory_that_is_no_utf_8_is_a_file_there() {
        let address: Address = "shm:a%ff".parse().unwrap();
        assert_eq!(address.to_string(), "file:/dev/shm/a%ff");
        assert_eq!(address, address.to_string().parse().unwrap());
    }

    #[test]
    fn what_is_wrong_is_refused_and_the_forms_are_named() {
        let long = format!("shm:{}", "x".repeat(256));
        for text in [
            "",
            "orders",
            ":",
            "shm:",
            "shm:/",
            "shm:..",
            "shm:a/b",
            "shm:a\0b",
            &long,
            "file:",
            "sysv:",
            "sysv:0",
            "sysv:0x",
            "sysv:0x123456789",
            "sysv:+5",
            "sysv:0x+5",
            "sysv:-1",
            "sysv:#7",
            "sysv:/x#0",
            "sysv:/x#256",
            "sysv:id=",
            "sysv:id=-1",
            "memfd:x",
            "mq:",
            "mq:a/b",
            "sysvmq:private",
            "sysvmq:id=3",
            "sysvmq:0",
            "auto:",
            "auto:..",
            "log:",
            "SHM:x",
            "shm:a%2fb",
            "shm:%00",
            "shm:%2e",
            "shm:50%",
            "file:/%0g",
            "mq:/%ff",
            "tcp:1",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{text}");
            assert!(error.to_string().contains("sysv:PATH#ID"), "{error}");
        }
    }
}
