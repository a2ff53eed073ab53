//! A file that grows, and is replaced by another one of its name now and then, as `tail -F` reads it.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::cut::{Cutter, HEAD};
use super::sink::Sink;
use super::{BLOCK, Stop};
use crate::failure::Failure;
use crate::framing::Framing;
use crate::progress::Progress;
use crate::say::say;
use crate::signals::Busy;

/// What happens in the folder when another file gets the name.
const IN_FOLDER: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ONLYDIR);

/// What happens to the file.
const IN_FILE: AddWatchFlags = AddWatchFlags::IN_MODIFY;

/// A file that is read as it grows.
pub(super) struct Tail {
    path: PathBuf,
    inotify: Inotify,
    file: Option<File>,
    watch: Option<WatchDescriptor>,
    cutter: Cutter,
    framing: Framing,
    max: usize,
}

impl Tail {
    pub(super) fn open(
        path: &Path,
        from_end: bool,
        framing: Framing,
        max: usize,
    ) -> Result<Self, Failure> {
        let cannot = |what: &dyn std::fmt::Display| {
            Failure::error(format_args!("cannot follow {}: {what}", path.display()))
        };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(|errno| cannot(&errno))?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let watched = inotify.add_watch(folder, IN_FOLDER);
        watched.map_err(|errno| cannot(&errno))?;
        let mut tail = Self {
            path: path.to_owned(),
            inotify,
            file: None,
            watch: None,
            cutter: Cutter::new(framing, max),
            framing,
            max,
        };
        tail.open_next().map_err(|error| cannot(&error))?;
        if from_end && let Some(file) = &mut tail.file {
            file.seek(SeekFrom::End(0))
                .map_err(|error| cannot(&error))?;
        }
        Ok(tail)
    }

    /// Opens what has the name now, if anything has.
    fn open_next(&mut self) -> std::io::Result<()> {
        if let Some(watch) = self.watch.take() {
            // The kernel has dropped it with the file, perhaps.
            let _ = self.inotify.rm_watch(watch);
        }
        self.cutter = Cutter::new(self.framing, self.max);
        self.file = match File::open(&self.path) {
            Ok(file) if file.metadata()?.is_file() => {
                // Before it is read: what comes after that is told.
                self.watch = Some(self.inotify.add_watch(&self.path, IN_FILE)?);
                Some(file)
            }
            Ok(_) => return Err(std::io::Error::other("it is no plain file")),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Passes on what is there and what comes; ends only by a signal.
    pub(super) fn pump(&mut self, sink: &mut Sink, progress: &mut Progress) -> Result<(), Stop> {
        let mut block = vec![0; HEAD + BLOCK];
        loop {
            let busy = Busy::begin();
            while self.read(&mut block, sink, progress)? {
                busy.end_if_urged();
            }
            // Only now, when all of the old one is read.
            let is_replaced = self.is_replaced();
            if is_replaced {
                let rest = self.read(&mut block, sink, progress)?;
                let ended = self.cutter.end(|message| sink.put(message));
                ended.and_then(|()| sink.flush())?;
                debug_assert!(
                    !rest,
                    "nobody writes it any more, or this is looked at again"
                );
                self.open_next().map_err(super::broken)?;
            }
            busy.end_if_urged();
            drop(busy);
            if is_replaced {
                continue;
            }
            // Idle: a signal ends the process here.
            match self.inotify.read_events() {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(super::broken(errno.into())),
            }
        }
    }

    /// Whether the name leads to another file by now.
    fn is_replaced(&self) -> bool {
        let Ok(named) = std::fs::metadata(&self.path) else {
            // Nothing has it: the old one may still grow.
            return false;
        };
        let file = self.file.as_ref().and_then(|file| file.metadata().ok());
        file.is_none_or(|file| (file.dev(), file.ino()) != (named.dev(), named.ino()))
    }

    /// Reads a block, and writes what came. Says whether there was something.
    fn read(
        &mut self,
        block: &mut [u8],
        sink: &mut Sink,
        progress: &mut Progress,
    ) -> Result<bool, Stop> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        let at = file.stream_position().map_err(super::broken)?;
        if file.metadata().map_err(super::broken)?.len() < at {
            let path = self.path.display();
            say(format_args!(
                "{path} was truncated: going on at its beginning"
            ));
            file.rewind().map_err(super::broken)?;
            self.cutter = Cutter::new(self.framing, self.max);
        }
        let laid = self.cutter.lay(&mut block[..HEAD]);
        let len = match file.read(&mut block[HEAD..]) {
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(super::broken(error)),
        };
        let before = sink.written();
        let taken = match len {
            // What was laid is still the cutter's.
            0 => Ok(()),
            _ => sink.take(&mut self.cutter, laid, &block[HEAD - laid..HEAD + len]),
        };
        let done = taken.and_then(|()| sink.flush());
        progress.add(sink.written() - before, len);
        done.map(|()| len > 0)
    }
}
