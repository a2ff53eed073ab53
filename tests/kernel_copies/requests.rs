//! System calls that write to memory of their caller's choice, and take a while.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

/// How it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `pread` of a file that is in memory.
    File,
    /// `read` of a FIFO that another thread fills.
    Fifo,
    /// io_uring, worked off by its threads.
    Uring,
    /// The same, with a registered buffer.
    UringFixed,
    /// io_uring, with a registered buffer, from the disk itself.
    UringFixedDirect,
    /// Linux AIO, from the disk itself.
    AioDirect,
}

impl Source {
    pub const ALL: [Self; 6] = [
        Self::File,
        Self::Fifo,
        Self::Uring,
        Self::UringFixed,
        Self::UringFixedDirect,
        Self::AioDirect,
    ];

    pub fn name(self) -> String {
        format!("{self:?}")
    }

    pub fn named(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|source| source.name() == name);
        found.unwrap_or_else(|| panic!("{name}"))
    }

    /// Whether the kernel may work on it when the process is reaped.
    pub fn outlives_the_process(self) -> bool {
        matches!(
            self,
            Self::Uring | Self::UringFixed | Self::UringFixedDirect
        )
    }

    fn is_direct(self) -> bool {
        matches!(self, Self::UringFixedDirect | Self::AioDirect)
    }
}

/// Bytes that are read into a room again and again.
pub struct Bytes<'a> {
    source: Source,
    file: File,
    room: &'a mut [u8],
    uring: Option<Uring>,
    aio: libc::c_ulong,
}

/// Parts in which a room is read.
const PARTS: usize = 4;

impl<'a> Bytes<'a> {
    /// Of a source with `len` bytes of that value.
    pub fn of(source: Source, len: usize, value: u8, room: &'a mut [u8]) -> io::Result<Self> {
        let file = match source {
            Source::Fifo => endless_fifo(value)?,
            _ if source.is_direct() => direct_file(len, value)?,
            _ => {
                let file = tempfile::tempfile_in("/dev/shm")?;
                file.write_all_at(&vec![value; len], 0)?;
                file
            }
        };
        let uring = match source {
            Source::Uring => Some(Uring::new(None)?),
            Source::UringFixed | Source::UringFixedDirect => Some(Uring::new(Some(room))?),
            _ => None,
        };
        let mut aio = 0;
        if source == Source::AioDirect {
            // SAFETY: the kernel writes one word.
            check(unsafe { libc::syscall(libc::SYS_io_setup, PARTS, &raw mut aio) })?;
        }
        Ok(Self {
            source,
            file,
            room,
            uring,
            aio,
        })
    }

    /// Reads all of it once.
    pub fn fill(&mut self) -> io::Result<()> {
        let (fd, len) = (self.file.as_raw_fd(), self.room.len());
        let start = self.room.as_mut_ptr();
        match self.source {
            Source::File => self.file.read_exact_at(self.room, 0),
            Source::Fifo => {
                use std::io::Read;
                (&self.file).read_exact(self.room)
            }
            Source::AioDirect => {
                let mut request = AioRequest {
                    fd: fd as u32,
                    at: start as u64,
                    len: len as u64,
                    ..AioRequest::default()
                };
                let mut list = [&raw mut request];
                let mut event = [0_u64; 4];
                let context = self.aio;
                let events = event.as_mut_ptr();
                let never = null_mut::<u8>();
                // SAFETY: the request and the room live until its event has come.
                unsafe {
                    let submit = libc::SYS_io_submit;
                    check(libc::syscall(submit, context, 1, list.as_mut_ptr()))?;
                    let get = libc::SYS_io_getevents;
                    check(libc::syscall(get, context, 1, 1, events, never))?;
                }
                is_whole(event[2] as i64, len)
            }
            _ => {
                let uring = self.uring.as_mut().unwrap();
                let is_async = self.source != Source::UringFixedDirect;
                uring.read(fd, start, len, is_async)
            }
        }
    }
}

/// As the kernel's `struct iocb`, of a read from the start.
#[repr(C)]
#[derive(Default)]
struct AioRequest {
    data: u64,
    key: u32,
    flags: u32,
    operation: u16,
    priority: i16,
    fd: u32,
    at: u64,
    len: u64,
    offset: i64,
    reserved: u64,
    more_flags: u32,
    event: u32,
}

/// An io_uring, without a library.
struct Uring {
    file: File,
    is_fixed: bool,
    tail: *const AtomicU32,
    mask: u32,
    entries: *mut [u64; 8],
    done: *const AtomicU32,
    done_mask: u32,
    events: *const [u64; 2],
}

const SETUP_WORDS: usize = 30;
const SQ_RING: i64 = 0;
const ENTRIES: i64 = 0x1000_0000;
const READ_FIXED: u64 = 4;
const READ: u64 = 22;
const ASYNC: u64 = 1 << 4;
const WAIT: libc::c_uint = 1;
const REGISTER_BUFFERS: libc::c_uint = 0;

impl Uring {
    fn new(fixed: Option<&mut [u8]>) -> io::Result<Self> {
        let mut setup = [0_u32; SETUP_WORDS];
        // SAFETY: the kernel fills a `struct io_uring_params`, which has so many words.
        let fd =
            check(unsafe { libc::syscall(libc::SYS_io_uring_setup, PARTS, setup.as_mut_ptr()) })?;
        // SAFETY: a descriptor that nobody else has.
        let file = unsafe { File::from_raw_fd(fd as i32) };
        let map = |len: usize, what: i64| {
            // SAFETY: a new mapping, where nothing is.
            let at = unsafe {
                let protection = libc::PROT_READ | libc::PROT_WRITE;
                libc::mmap(
                    null_mut(),
                    len,
                    protection,
                    libc::MAP_SHARED,
                    file.as_raw_fd(),
                    what,
                )
            };
            match at {
                libc::MAP_FAILED => Err(io::Error::last_os_error()),
                at => Ok(at.cast::<u8>()),
            }
        };
        let (entries, sq, cq) = (setup[0] as usize, &setup[10..20], &setup[20..30]);
        // Of kernels since 5.4 both rings are one mapping.
        let ring = map(cq[5] as usize + setup[1] as usize * 16, SQ_RING)?;
        let sqes = map(entries * 64, ENTRIES)?;
        let is_fixed = fixed.is_some();
        // SAFETY: the kernel's offsets lie in its mapping; what is registered lives as long as the room.
        unsafe {
            for nth in 0..entries {
                let slot = ring.add(sq[6] as usize).cast::<u32>().add(nth);
                slot.write(nth as u32);
            }
            if let Some(room) = fixed {
                let buffer = libc::iovec {
                    iov_base: room.as_mut_ptr().cast(),
                    iov_len: room.len(),
                };
                let (call, what) = (libc::SYS_io_uring_register, REGISTER_BUFFERS);
                check(libc::syscall(call, fd, what, &raw const buffer, 1))?;
            }
            Ok(Self {
                file,
                is_fixed,
                tail: ring.add(sq[1] as usize).cast(),
                mask: ring.add(sq[2] as usize).cast::<u32>().read(),
                entries: sqes.cast(),
                done: ring.add(cq[0] as usize).cast(),
                done_mask: ring.add(cq[2] as usize).cast::<u32>().read(),
                events: ring.add(cq[5] as usize).cast(),
            })
        }
    }

    /// Reads the start of a file, in parts.
    fn read(&mut self, fd: i32, start: *mut u8, len: usize, is_async: bool) -> io::Result<()> {
        let part = len / PARTS;
        let operation = if self.is_fixed { READ_FIXED } else { READ };
        let flags = if is_async { ASYNC } else { 0 };
        // SAFETY: the mappings of `new`; the room lives until all have come.
        unsafe {
            let tail = (*self.tail).load(Ordering::Relaxed);
            for nth in 0..PARTS {
                let entry = [
                    operation | flags << 8 | (fd as u64) << 32,
                    (part * nth) as u64,
                    start as u64 + (part * nth) as u64,
                    part as u64,
                    0,
                    0,
                    0,
                    0,
                ];
                let at = tail.wrapping_add(nth as u32) & self.mask;
                self.entries.add(at as usize).write(entry);
            }
            (*self.tail).store(tail.wrapping_add(PARTS as u32), Ordering::Release);
            let none = null_mut::<u8>();
            let (call, uring) = (libc::SYS_io_uring_enter, self.file.as_raw_fd());
            check(libc::syscall(call, uring, PARTS, PARTS, WAIT, none, 0))?;
            let head = (*self.done).load(Ordering::Relaxed);
            for nth in 0..PARTS as u32 {
                let at = head.wrapping_add(nth) & self.done_mask;
                let event = self.events.add(at as usize).read();
                is_whole((event[1] as u32 as i32).into(), part)?;
            }
            (*self.done).fetch_add(PARTS as u32, Ordering::Release);
        }
        Ok(())
    }
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Whether a request that ended with `result` has read all.
fn is_whole(result: i64, len: usize) -> io::Result<()> {
    match result {
        ..0 => Err(io::Error::from_raw_os_error(-result as i32)),
        result if result as usize == len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn endless_fifo(value: u8) -> io::Result<File> {
    let (read, write) = io::pipe()?;
    std::thread::spawn(move || {
        use std::io::Write;
        let block = vec![value; 1 << 16];
        while (&write).write_all(&block).is_ok() {}
    });
    Ok(File::from(std::os::fd::OwnedFd::from(read)))
}

fn direct_file(len: usize, value: u8) -> io::Result<File> {
    let whole = tempfile::NamedTempFile::new()?;
    whole.as_file().write_all_at(&vec![value; len], 0)?;
    whole.as_file().sync_all()?;
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(whole.path())
}

/// Has a process that shares the caller's memory read from `file` into the room until there is no more.
pub fn read_in_another_process(file: &File, room: &mut [u8]) {
    struct Task {
        fd: i32,
        start: *mut u8,
        len: usize,
    }
    extern "C" fn work(task: *mut libc::c_void) -> i32 {
        // SAFETY: leaked by the caller; the room is there as long as the memory is.
        unsafe {
            let Task { fd, start, len } = *task.cast::<Task>();
            let mut at = 0;
            loop {
                let read = libc::read(fd, start.add(at % len).cast(), len - at % len);
                if read <= 0 {
                    libc::_exit(0);
                }
                at += read as usize;
            }
        }
    }
    let task = Box::leak(Box::new(Task {
        fd: file.as_raw_fd(),
        start: room.as_mut_ptr(),
        len: room.len(),
    }));
    let stack = Box::leak(vec![0_u128; 1 << 12].into_boxed_slice());
    // SAFETY: the stack and the task are the new process's alone; it calls nothing but the kernel.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::SIGCHLD;
        libc::clone(work, top.cast(), flags, (&raw mut *task).cast())
    };
    assert!(pid > 0, "{}", io::Error::last_os_error());
}
