//! Making, finding and removing logs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::unistd::mkdir;
use ringway_core::os::tell;
use ringway_core::{Address, Error, ErrorKind, os};

use crate::appender::{self, Appender, Plan, Recovery};
use crate::control::{self, Control};
use crate::cursor;
use crate::files::Files;
use crate::files::disk::Directory;
use crate::format::HEADER_LEN;
use crate::lock::{Lock, Refused};
use crate::names;
use crate::options::{Durability, Retention};
use crate::reader::{Reader, Subscription};
use crate::scan::{Scanner, Step};
use crate::source::Source;
use crate::trouble::Trouble;
use crate::writer::Writer;

/// Bytes of a segment unless told otherwise.
const SEGMENT_LEN: u64 = 64 << 20;
/// How long to wait for somebody who is making the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says where a log is and how it is to be written, then makes or opens it.
///
/// ```
/// # mod ringway { pub use ringway_core::*; pub use ringway_log as log; }
/// use ringway::log::{Durability, Log};
///
/// # let directory = tempfile::tempdir()?;
/// # let address = format!("log:{}", directory.path().join("orders").display());
/// let log = Log::at(&address)?.durability(Durability::Each).create()?;
/// let mut writer = log.writer()?;
/// let receipt = writer.append(b"hello")?;
/// assert_eq!(receipt.number, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    path: PathBuf,
    segment_len: u64,
    durability: Durability,
    retention: Retention,
    mode: u32,
    first: u64,
    repair: bool,
}

impl Builder {
    /// A log in that directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            path: directory.into(),
            segment_len: SEGMENT_LEN,
            durability: Durability::default(),
            retention: Retention::default(),
            mode: 0o600,
            first: 0,
            repair: false,
        }
    }

    /// A log at a parsed address.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`] if it is no `log:` address.
    pub fn at(address: &Address) -> Result<Self, Error> {
        match address {
            Address::Log(path) => Ok(Self::new(path)),
            other => {
                let problem = "it is not the address of a log";
                Err(
                    Error::new(ErrorKind::InvalidAddress, "open", other, problem)
                        .remedy("write log:DIR"),
                )
            }
        }
    }

    /// Bytes of the segments that a writer makes; the default is 64 MiB. A longer message gets a segment of its own. What is removed is
    /// removed by segments.
    #[must_use]
    pub fn segment_len(mut self, bytes: u64) -> Self {
        self.segment_len = bytes.next_multiple_of(4096).max(4 * HEADER_LEN);
        self
    }

    /// What an acknowledgement of a writer means. The default is [`Durability::None`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What a writer removes. The default is nothing.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Permissions of a new log's files, within the umask; of its directory, who may read may search too. The default is 0600.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o666;
        self
    }

    /// The number of a new log's first message. The default is 0.
    #[must_use]
    pub fn first(mut self, number: u64) -> Self {
        self.first = number;
        self
    }

    /// Whether a writer may put in order what is damaged: where a message that was acknowledged is not there any more, the log is cut, and
    /// what stood behind it in that segment is kept in a file whose name ends with `.cut`; what may not be on the disk after a sync that failed is
    /// written anew. Without this such a log is refused.
    #[must_use]
    pub fn repair(mut self, yes: bool) -> Self {
        self.repair = yes;
        self
    }

    /// Makes a new log.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`], [`ErrorKind::NotFound`] if the directory in which it shall be is not there,
    /// [`ErrorKind::NoSpace`], [`ErrorKind::PermissionDenied`] and others.
    pub fn create(self) -> Result<Log, Error> {
        match self.make()? {
            true => self.open(),
            false => Err(self
                .error(ErrorKind::AlreadyExists, "create", "a log is there already")
                .remedy("open it, or choose another directory")),
        }
    }

    /// Opens a log that is there.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Corrupt`], [`ErrorKind::Incompatible`], [`ErrorKind::PermissionDenied`] and others.
    pub fn open(self) -> Result<Log, Error> {
        let trouble = |trouble: Trouble| trouble.at("open", &self.path);
        let directory = Directory::open(&self.path, self.mode)
            .map_err(Trouble::os("its directory cannot be opened"))
            .map_err(trouble)?;
        let (_, about) = names::about(&directory, false).map_err(trouble)?;
        // All of its files are as it was made.
        let directory = (directory.with_mode_of(names::LOG))
            .map_err(Trouble::os("log cannot be inspected"))
            .map_err(trouble)?;
        tell!("ringway::log", DEBUG, "opened", address = %Address::Log(self.path.clone()));
        Ok(Log {
            directory,
            nonce: about.nonce,
            builder: self,
        })
    }

    /// Opens a log, or makes it if none is there.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`open`](Self::open).
    pub fn open_or_create(self) -> Result<Log, Error> {
        self.make()?;
        self.open()
    }

    /// Makes the log if none is there. Whether it was made here.
    fn make(&self) -> Result<bool, Error> {
        let trouble = |trouble: Trouble| trouble.at("create", &self.path);
        let os = |what: &'static str| move |errno| trouble(Trouble::os(what)(errno));
        // Who may read the files may search the directory.
        let search = (self.mode & 0o444) >> 2;
        let mode = Mode::from_bits_truncate(self.mode | search);
        match mkdir(&self.path, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(os("its directory cannot be made")(errno)),
        }
        let directory =
            Directory::open(&self.path, self.mode).map_err(os("its directory cannot be opened"))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match names::about(&directory, false) {
                Ok(_) => return Ok(false),
                Err(Trouble::NotALog) => {}
                Err(other) => return Err(trouble(other)),
            }
            match Lock::take(&directory, names::LOCK) {
                // It may have been made meanwhile.
                Ok(_lock) if names::about(&directory, false).is_ok() => return Ok(false),
                Ok(lock) => {
                    if !names::segments(&directory).map_err(trouble)?.is_empty() {
                        return Err(self
                            .error(
                                ErrorKind::Corrupt,
                                "create",
                                "segments are there, and the file log, which belongs to them, is not",
                            )
                            .remedy("restore it from a copy, or choose another directory"));
                    }
                    Appender::create(&directory, &self.plan(), self.first, random)
                        .map_err(trouble)?;
                    let parent = self.path.parent().unwrap_or(Path::new("."));
                    if let Ok(parent) = Directory::open(parent, 0o600) {
                        let _ = parent.sync_names();
                    }
                    drop(lock);
                    tell!("ringway::log", INFO, "created", address = %Address::Log(self.path.clone()));
                    return Ok(true);
                }
                Err(Refused::Taken(pid)) if Instant::now() > until => {
                    return Err(self
                        .error(
                            ErrorKind::HalfMade,
                            "create",
                            "another process is making it",
                        )
                        .remedy(format!("see what process {pid} does, and try again")));
                }
                Err(Refused::Taken(_)) => std::thread::sleep(Duration::from_millis(1)),
                Err(Refused::Os(errno)) => return Err(os("lock cannot be locked")(errno)),
            }
        }
    }

    fn plan(&self) -> Plan {
        Plan {
            segment_len: self.segment_len,
            block: appender::BLOCK,
            durable: self.durability != Durability::None,
            repair: self.repair,
        }
    }

    fn error(&self, kind: ErrorKind, action: &'static str, problem: &str) -> Error {
        Error::new(kind, action, Address::Log(self.path.clone()), problem)
    }
}

/// A log that is open.
///
/// It is a directory of files; the documentation of [the module](crate) says what is promised. It gives one [`Writer`] at a time, and any
/// number of [`Reader`]s.
#[derive(Clone, Debug)]
pub struct Log {
    directory: Directory,
    nonce: u128,
    builder: Builder,
}

impl Log {
    /// Names an address; see [`Builder`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidAddress`] if it does not parse, or is no `log:` address.
    pub fn at(address: &str) -> Result<Builder, Error> {
        Builder::at(&address.parse()?)
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn durability(&self) -> Durability {
        self.builder.durability
    }

    pub(crate) fn explain(&self, trouble: Trouble) -> Error {
        trouble.at("use", &self.builder.path)
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        Address::Log(self.builder.path.clone())
    }

    /// Takes the role of the writer, and puts in order what a dead one left: what was half written is taken away.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`] if a live process, be it stopped, has it; [`ErrorKind::Corrupt`] if something that was written is not there
    /// any more, or a sync has failed (see [`Builder::repair`]); [`ErrorKind::NoSpace`], [`ErrorKind::PermissionDenied`] and others.
    pub fn writer(&self) -> Result<Writer, Error> {
        let (writer, source) = self.writer_of_record()?;
        if source.is_some() {
            // What it appends is no record.
            Source::forget(&self.directory)
                .map_err(|errno| self.explain(Trouble::os("source cannot be removed")(errno)))?;
        }
        Ok(writer)
    }

    /// The same for a recorder, and what the log is a record of so far.
    pub(crate) fn writer_of_record(&self) -> Result<(Writer, Option<Source>), Error> {
        let Builder {
            path,
            durability,
            retention,
            ..
        } = &self.builder;
        let control = Control::open(path, self.directory.mode())?;
        let taken = |pid| {
            let problem = format!("process {pid} writes to it, and one can");
            self.builder
                .error(ErrorKind::RoleTaken { pid }, "write to", &problem)
                .remedy(format!("wait for process {pid} to end"))
        };
        let (place, synced) = control.writers().map_err(|error| match error.kind() {
            ErrorKind::RoleTaken { pid } => taken(pid),
            _ => error,
        })?;
        // For processes that go by another boot id, as in some containers.
        let lock = Lock::take(&self.directory, names::LOCK).map_err(|refused| match refused {
            Refused::Taken(pid) => taken(pid),
            Refused::Os(errno) => Trouble::os("lock cannot be locked")(errno).at("write to", path),
        })?;
        if let Ok(names) = self.directory.list() {
            control::sweep(path, &names);
        }
        let told = control.told()?;
        let plan = self.builder.plan();
        let tell = Box::new(synced);
        let (appender, recovery) = Appender::open(self.directory.clone(), plan, told, tell, random)
            .map_err(|trouble| trouble.at("write to", path))?;
        let source = Source::open(&self.directory).map_err(|trouble| self.explain(trouble))?;
        let address = self.address();
        if recovery != Recovery::default() {
            tell!("ringway::log", WARN, "repaired", address = %address, torn = recovery.torn, cut = recovery.cut);
        }
        tell!("ringway::log", DEBUG, "writing", address = %address, next = appender.next_number());
        let how = (*durability, *retention);
        let writer = Writer::new(appender, place, how, recovery, lock, address);
        let writer = writer
            .map_err(|errno| self.explain(Trouble::os("a thread cannot be started")(errno)))?;
        Ok((writer, source))
    }

    /// A reader that begins with the oldest message.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn reader(&self) -> Result<Reader, Error> {
        self.subscribe(&Subscription::new())
    }

    /// A reader.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`] if another reader has the cursor of that name; [`ErrorKind::InvalidKey`] if the name is none;
    /// [`ErrorKind::Corrupt`], [`ErrorKind::PermissionDenied`] and others.
    pub fn subscribe(&self, subscription: &Subscription) -> Result<Reader, Error> {
        Reader::open(
            &self.directory,
            &self.builder.path,
            self.nonce,
            subscription,
        )
    }

    /// The named cursors, with the number of the first message that each has not acknowledged.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] and others.
    pub fn cursors(&self) -> Result<Vec<(String, u64)>, Error> {
        let all = match self.directory.below(names::CURSORS, false) {
            Ok(cursors) => cursor::all(&cursors, self.nonce),
            Err(Errno::ENOENT) => Ok(Vec::new()),
            Err(errno) => Err(Trouble::os("its cursors cannot be listed")(errno)),
        };
        all.map_err(|trouble| trouble.at("inspect", &self.builder.path))
    }

    /// Forgets a named cursor, so that nothing is kept for it any more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::InUse`] if a reader has it; others.
    pub fn remove_cursor(&self, name: &str) -> Result<(), Error> {
        let path = &self.builder.path;
        let trouble = |errno| {
            Trouble::os(format!(
                "the cursor {} cannot be removed",
                os::Name::of(name)
            ))(errno)
            .at("change", path)
        };
        let cursors = (self.directory.below(names::CURSORS, false)).map_err(trouble)?;
        // Not one that is not there.
        cursors.id_of(name).map_err(trouble)?;
        let _lock =
            Lock::take(&cursors, &format!("{name}.lock")).map_err(|refused| match refused {
                Refused::Taken(pid) => self
                    .builder
                    .error(
                        ErrorKind::InUse { pid },
                        "change",
                        "a reader has that cursor",
                    )
                    .remedy(format!("end process {pid}")),
                Refused::Os(errno) => trouble(errno),
            })?;
        cursors.remove(name).map_err(trouble)
    }

    /// The log as an observer sees it.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] and others.
    pub fn stat(&self) -> Result<LogStat, Error> {
        let look = || -> Result<LogStat, Trouble> {
            let (_, about) = names::about(&self.directory, false)?;
            let bases = names::segments(&self.directory)?;
            let (mut bytes, mut next) = (0, about.oldest);
            for &base in &bases {
                let (file, header) =
                    names::open_segment(&self.directory, base, about.nonce, false)?;
                let len = names::len_of(&file, base)?;
                bytes += len;
                if Some(&base) == bases.last() {
                    let mut scanner = Scanner::new(header.seed, base);
                    let os = || Trouble::os("the last segment cannot be read");
                    while let Step::Record(_) = scanner.step(&file, len).map_err(os())? {}
                    next = scanner.next_number();
                }
            }
            Ok(LogStat {
                oldest: about.oldest,
                next,
                segments: bases.len(),
                bytes,
                writer: Lock::holder(&self.directory, names::LOCK),
                cursors: Vec::new(),
            })
        };
        let mut stat = look().map_err(|trouble| trouble.at("inspect", &self.builder.path))?;
        stat.cursors = self.cursors()?;
        Ok(stat)
    }
}

/// What an observer sees of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStat {
    /// The number of the oldest message that is kept.
    pub oldest: u64,
    /// The number that the next message gets.
    pub next: u64,
    /// How many segments there are.
    pub segments: usize,
    /// Bytes that they take.
    pub bytes: u64,
    /// The process that writes to it; 0 if it is in a pid namespace that is not seen from here.
    pub writer: Option<u32>,
    /// The named cursors, with the number of the first message that each has not acknowledged.
    pub cursors: Vec<(String, u64)>,
}

/// Removes a log: its files, and the directory if nothing else is in it. Refuses while a live process writes to it or reads by a
/// named cursor, unless `force`.
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::InUse`], [`ErrorKind::PermissionDenied`] and others.
pub fn remove(address: &Address, force: bool) -> Result<(), Error> {
    let builder = Builder::at(address)?;
    let path = builder.path.clone();
    let log = builder.open()?;
    let trouble = |errno| Trouble::os("a file cannot be removed")(errno).at("remove", &path);
    let in_use = |pid| {
        log.builder
            .error(ErrorKind::InUse { pid }, "remove", "a process uses it")
            .remedy(format!("end process {pid}"))
    };
    let lock = match Lock::take(&log.directory, names::LOCK) {
        Err(Refused::Taken(pid)) if !force => return Err(in_use(pid)),
        taken => taken.ok(),
    };
    let cursors = match log.directory.below(names::CURSORS, false) {
        Ok(cursors) => Some(cursors),
        Err(Errno::ENOENT) => None,
        Err(errno) => return Err(trouble(errno)),
    };
    let mut of_cursors = Vec::new();
    if let Some(cursors) = &cursors {
        of_cursors = cursors.list().map_err(trouble)?;
        for name in of_cursors.iter().filter(|name| name.ends_with(".lock")) {
            match Lock::holder(cursors, name) {
                Some(pid) if !force => return Err(in_use(pid)),
                _ => {}
            }
        }
    }
    // What says that it is a log goes first: what is left after a death is none, and can be removed by hand.
    log.directory.remove(names::LOG).map_err(trouble)?;
    if let Some(cursors) = &cursors {
        for name in &of_cursors {
            cursors.remove(name).map_err(trouble)?;
        }
        let _ = std::fs::remove_dir(path.join(names::CURSORS));
    }
    for name in log.directory.list().map_err(trouble)? {
        if names::is_own(&name) {
            match log.directory.remove(&name) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(trouble(errno)),
            }
        }
    }
    drop(lock);
    // Other people's files stay.
    let _ = std::fs::remove_dir(&path);
    tell!("ringway::log", INFO, "removed", address = %address);
    Ok(())
}

/// For nonces and seeds.
pub(crate) fn random() -> u64 {
    let bytes = os::getrandom::nonce().unwrap_or_else(|_| {
        // Only different from time to time.
        let now = crate::options::nanoseconds(std::time::SystemTime::now());
        (u128::from(now) << 64 | u128::from(std::process::id())).to_le_bytes()
    });
    crate::format::u64_at(&bytes, 0) ^ crate::format::u64_at(&bytes, 8)
}
