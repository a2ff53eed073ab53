//! One string names a transport everywhere: `shm:orders`, `file:/var/lib/x.ring`, `sysv:0x52494e47`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The longest name of a `shm:`, `mq:` or `auto:` address, in bytes: what one directory entry can hold.
const MAX_NAME: usize = 255;

/// The accepted forms, for error messages.
const FORMS: &str = "shm:NAME, file:PATH, sysv:0xKEY, sysv:PATH#ID (ftok), sysv:id=SHMID, \
                     sysv:private, memfd:, mq:/NAME, sysvmq:0xKEY, sysvmq:PATH#ID or auto:NAME";

/// Where a ring or a message queue lives.
///
/// Parsed strictly from a string; [`Display`](fmt::Display) gives the same string back.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::Address;
///
/// let address: Address = "shm:orders".parse()?;
/// assert_eq!(address.to_string(), "shm:orders");
/// assert!("orders".parse::<Address>().is_err()); // the error lists the accepted forms
/// # Ok::<(), ringway::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// `shm:NAME`: POSIX shared memory (`shm_open`), seen as `/dev/shm/NAME`.
    Shm(String),
    /// `file:PATH`: a memory-mapped file; it outlives every process and a reboot.
    File(PathBuf),
    /// `sysv:...`: a System V segment (`shmget`).
    Sysv(SysvKey),
    /// `memfd:`: anonymous sealed memory, handed over a Unix socket.
    Memfd,
    /// `mq:/NAME`: a POSIX message queue (`mq_open`). The name is without its slash here.
    Mq(String),
    /// `sysvmq:...`: a System V message queue (`msgget`).
    Sysvmq(QueueKey),
    /// `auto:NAME`: `shm:NAME` where it can be had, else `mq:/NAME`.
    Auto(String),
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
    /// The scheme before the colon: `shm`, `file`, `sysv`, `memfd`, `mq`, `sysvmq` or `auto`.
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
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shm(name) => write!(f, "shm:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Sysv(SysvKey::Key(key)) => write!(f, "sysv:{key:#010x}"),
            Self::Sysv(SysvKey::Ftok { path, id }) => write!(f, "sysv:{}#{id}", path.display()),
            Self::Sysv(SysvKey::Id(id)) => write!(f, "sysv:id={id}"),
            Self::Sysv(SysvKey::Private) => write!(f, "sysv:private"),
            Self::Memfd => write!(f, "memfd:"),
            Self::Mq(name) => write!(f, "mq:/{name}"),
            Self::Sysvmq(QueueKey::Key(key)) => write!(f, "sysvmq:{key:#010x}"),
            Self::Sysvmq(QueueKey::Ftok { path, id }) => {
                write!(f, "sysvmq:{}#{id}", path.display())
            }
            Self::Auto(name) => write!(f, "auto:{name}"),
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
            "shm" => parse_name(rest).map(Self::Shm).map_err(invalid),
            "file" if rest.is_empty() => Err(invalid("the path is empty")),
            "file" => Ok(Self::File(PathBuf::from(rest))),
            "sysv" => parse_sysv(rest).map(Self::Sysv).map_err(invalid),
            "memfd" if rest.is_empty() => Ok(Self::Memfd),
            "memfd" => Err(invalid("memfd: takes no name (the segment is anonymous)")),
            "mq" => parse_name(rest).map(Self::Mq).map_err(invalid),
            "sysvmq" => parse_queue_key(rest).map(Self::Sysvmq).map_err(invalid),
            "auto" => parse_name(rest).map(Self::Auto).map_err(invalid),
            _ => Err(invalid("the scheme is unknown")),
        }
    }
}

fn parse_name(name: &str) -> Result<String, &'static str> {
    // The leading slash that shm_open(3) and mq_open(3) ask for may be written, and means nothing.
    let name = name.strip_prefix('/').unwrap_or(name);
    match name {
        "" => Err("the name is empty"),
        "." | ".." => Err("the name is a directory"),
        _ if name.contains('/') => Err("the name contains a slash"),
        _ if name.len() > MAX_NAME => Err("the name is longer than 255 bytes"),
        _ => Ok(name.to_owned()),
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
                path: Path::new(path).to_owned(),
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
            "SHM:x",
            "tcp:1",
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidAddress, "{text}");
            assert!(error.to_string().contains("sysv:PATH#ID"), "{error}");
        }
    }
}
