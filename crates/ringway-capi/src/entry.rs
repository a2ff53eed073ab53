//! The handles of a board's entries: who writes one, who reads one, and who reads whatever changes.

use std::ffi::{CString, c_char, c_int, c_void};
use std::os::fd::AsRawFd;

use ringway::board::{Reader, Value, Watcher, Writer};
use ringway::wait::Interrupter;

use crate::board::{key, ringway_board_t};
use crate::options::ringway_handle_options_t;
use crate::outcome::{Fault, NULL, RINGWAY_EMPTY, guard, guard_free, guard_unit};
use crate::ring::{borrow, borrow_mut, hand_out};
use crate::sized::read;
use crate::waiting::{Wait, ringway_interrupter_t};

/// The writer of one entry: it alone sets its value. For one thread at a time. When its process dies, at whatever instruction, another may take the role over at
/// once, and the last whole value is still there.
pub struct ringway_writer_t {
    writer: Writer,
}

/// Reads one entry. For one thread at a time. It holds no place, and nobody waits for it.
pub struct ringway_reader_t {
    reader: Reader,
    /// What was read last.
    value: Option<Value>,
}

/// Reads whatever changes on a board. For one thread at a time.
pub struct ringway_watcher_t {
    watcher: Watcher,
    /// What was read last, and of which entry.
    found: Option<(CString, Value)>,
}

/// A value that was read. Its bytes are a copy that belongs to who has read it, until that one reads again or is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_value_t {
    /// Its first byte; never null.
    pub data: *const c_void,
    /// Its bytes.
    pub len: usize,
    /// How many values the entry has had, with this one.
    pub number: u64,
}

impl From<&Value> for ringway_value_t {
    fn from(value: &Value) -> Self {
        Self {
            data: value.as_ptr().cast(),
            len: value.len(),
            number: value.number(),
        }
    }
}

const NOTHING_NEWER: Fault = Fault::Own(
    RINGWAY_EMPTY,
    "there is no newer value now: try again later, or give time",
);

/// Takes the role of the entry with that key, which is added if it is not there yet; the writer is given in `*writer`, to be freed by ringway_writer_free.
///
/// Fails with RINGWAY_BUSY if a live process writes the entry, or live processes have all places for writers, RINGWAY_NO_SPACE if all entries have other keys,
/// RINGWAY_INVALID, RINGWAY_UNSUPPORTED, RINGWAY_NOT_FOUND, RINGWAY_FORKED.
///
/// # Safety
/// The board is from this library; `entry` ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_writer(
    board: *const ringway_board_t,
    entry: *const c_char,
    writer: *mut *mut ringway_writer_t,
) -> c_int {
    guard_unit(|| {
        if writer.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let (board, key) = unsafe { (&borrow(board)?.board, key(entry)?) };
        let made = ringway_writer_t {
            writer: board.writer(key)?,
        };
        // SAFETY: it may be written.
        unsafe { hand_out(writer, made) }
    })
}

/// Gives the role up; the value stays. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_writer_free(writer: *mut ringway_writer_t) {
    if !writer.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(writer) }));
    }
}

/// Publishes a value, and returns its number: the first one that the entry ever had is 1. It waits for nobody.
///
/// Fails with RINGWAY_TOO_LARGE, RINGWAY_FORKED; then the last value is still there.
///
/// # Safety
/// The writer is from this library, and used by this thread alone; `data` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_set(
    writer: *mut ringway_writer_t,
    data: *const c_void,
    len: usize,
) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        let value = unsafe { crate::sender::bytes(data, len) }?;
        // SAFETY: the caller's promise.
        let number = unsafe { borrow_mut(writer) }?.writer.set(value)?;
        Ok(number.cast_signed())
    })
}

/// The number of the value that is there; 0 before the first.
///
/// # Safety
/// The writer is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_writer_number(writer: *const ringway_writer_t) -> i64 {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow(writer) }?.writer.number().cast_signed()))
}

/// A reader of the entry with that key, which may be added later; given in `*reader`, to be freed by ringway_reader_free. `options` may be null.
///
/// Fails with RINGWAY_INVALID.
///
/// # Safety
/// The board is from this library; `options` has the size that it says; `entry` ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_reader(
    board: *const ringway_board_t,
    options: *const ringway_handle_options_t,
    entry: *const c_char,
    reader: *mut *mut ringway_reader_t,
) -> c_int {
    guard_unit(|| {
        if reader.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let (board, options, key) = unsafe { (&borrow(board)?.board, read(options)?, key(entry)?) };
        let made = ringway_reader_t {
            reader: board.reader(key)?.with_wait(options.strategy()?),
            value: None,
        };
        // SAFETY: it may be written.
        unsafe { hand_out(reader, made) }
    })
}

/// Frees a reader, and the value that it has read last. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_reader_free(reader: *mut ringway_reader_t) {
    if !reader.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(reader) }));
    }
}

/// Reads the latest value, whether it was read before or not. Returns 1, or 0 if there is none yet. It waits for nobody.
///
/// Fails with RINGWAY_CHANGING, RINGWAY_CORRUPT, RINGWAY_FORKED.
///
/// # Safety
/// The reader is from this library, and used by this thread alone; `value` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_get(
    reader: *mut ringway_reader_t,
    value: *mut ringway_value_t,
) -> c_int {
    guard(|| {
        if value.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(reader) }?;
        let Some(found) = this.reader.get()? else {
            return Ok(0);
        };
        let kept = this.value.insert(found);
        // SAFETY: it may be written.
        unsafe { value.write((&*kept).into()) };
        Ok(1)
    }) as c_int
}

/// Reads the latest value if it is newer than the last one that this handle has read, and else waits for one for at most `timeout_ns` nanoseconds.
///
/// Fails with RINGWAY_EMPTY (with RINGWAY_NOW), RINGWAY_TIMED_OUT, RINGWAY_PEER_DIED, once for each death of a writer, RINGWAY_REMOVED, RINGWAY_INTERRUPTED,
/// RINGWAY_CHANGING, RINGWAY_CORRUPT, RINGWAY_FORKED.
///
/// # Safety
/// The reader is from this library, and used by this thread alone; `value` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_get_newer(
    reader: *mut ringway_reader_t,
    value: *mut ringway_value_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        if value.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(reader) }?;
        let found = match Wait::of(timeout_ns) {
            Wait::Not => this.reader.get_if_newer()?.ok_or(NOTHING_NEWER)?,
            wait => this.reader.wait_newer_deadline(wait.deadline())?,
        };
        let kept = this.value.insert(found);
        // SAFETY: it may be written.
        unsafe { value.write((&*kept).into()) };
        Ok(())
    })
}

/// What is known of the entry's writer: RINGWAY_PEER_ABSENT, RINGWAY_PEER_ALIVE or RINGWAY_PEER_HAS_DIED.
///
/// # Safety
/// The reader is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_reader_peer(reader: *mut ringway_reader_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let lives = unsafe { borrow_mut(reader) }?.reader.writer_lives();
        Ok(i64::from(match lives {
            None => crate::waiting::RINGWAY_PEER_ABSENT,
            Some(true) => crate::waiting::RINGWAY_PEER_ALIVE,
            Some(false) => crate::waiting::RINGWAY_PEER_HAS_DIED,
        }))
    }) as c_int
}

/// As ringway_receiver_descriptor: it becomes readable after ringway_reader_arm.
///
/// # Safety
/// The reader is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_reader_descriptor(reader: *mut ringway_reader_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let reader = &mut unsafe { borrow_mut(reader) }?.reader;
        Ok(reader.descriptor()?.as_raw_fd().into())
    }) as c_int
}

/// As ringway_receiver_arm: 1, and the descriptor becomes readable when there may be a newer value; 0, and there is one now. It fails as ringway_get_newer.
///
/// # Safety
/// The reader is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_reader_arm(reader: *mut ringway_reader_t) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(reader) }?.reader.arm()?.into())) as c_int
}

/// Gives in `*interrupter` what ends calls of this reader that wait, to be freed by ringway_interrupter_free.
///
/// # Safety
/// The reader is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_reader_interrupter(
    reader: *mut ringway_reader_t,
    interrupter: *mut *mut ringway_interrupter_t,
) -> c_int {
    // SAFETY: the caller's promise.
    guard_unit(|| unsafe { give(borrow_mut(reader)?.reader.interrupter(), interrupter) })
}

/// # Safety
/// `target` is null, or may be written.
unsafe fn give(
    interrupter: Interrupter,
    target: *mut *mut ringway_interrupter_t,
) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    unsafe { hand_out(target, ringway_interrupter_t { interrupter }) }
}

/// A watcher, who reads all entries: of each the latest value, and again when there is a newer one; given in `*watcher`, to be freed by ringway_watcher_free.
/// `options` may be null.
///
/// # Safety
/// The board is from this library; `options` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_watch(
    board: *const ringway_board_t,
    options: *const ringway_handle_options_t,
    watcher: *mut *mut ringway_watcher_t,
) -> c_int {
    guard_unit(|| {
        if watcher.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let (board, options) = unsafe { (&borrow(board)?.board, read(options)?) };
        let made = ringway_watcher_t {
            watcher: board.watch()?.with_wait(options.strategy()?),
            found: None,
        };
        // SAFETY: it may be written.
        unsafe { hand_out(watcher, made) }
    })
}

/// Frees a watcher, and what it has read last. Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_watcher_free(watcher: *mut ringway_watcher_t) {
    if !watcher.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(watcher) }));
    }
}

/// Reads a value that this watcher has not read yet, and tells the key of its entry in `*entry`; waits for one for at most `timeout_ns` nanoseconds. Both are the
/// watcher's, until it reads again or is freed.
///
/// Fails as ringway_get_newer, but for RINGWAY_PEER_DIED: no death ends it.
///
/// # Safety
/// The watcher is from this library, and used by this thread alone; `entry` and `value` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_watch(
    watcher: *mut ringway_watcher_t,
    entry: *mut *const c_char,
    value: *mut ringway_value_t,
    timeout_ns: i64,
) -> c_int {
    guard_unit(|| {
        if entry.is_null() || value.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let this = unsafe { borrow_mut(watcher) }?;
        let (key, found) = match Wait::of(timeout_ns) {
            Wait::Not => this.watcher.next()?.ok_or(NOTHING_NEWER)?,
            wait => this.watcher.wait_deadline(wait.deadline())?,
        };
        let key = CString::new(key).unwrap_or_default();
        let (key, found) = this.found.insert((key, found));
        // SAFETY: both may be written.
        unsafe {
            entry.write(key.as_ptr());
            value.write((&*found).into());
        }
        Ok(())
    })
}

/// As ringway_receiver_descriptor: it becomes readable after ringway_watcher_arm.
///
/// # Safety
/// The watcher is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_watcher_descriptor(watcher: *mut ringway_watcher_t) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let watcher = &mut unsafe { borrow_mut(watcher) }?.watcher;
        Ok(watcher.descriptor()?.as_raw_fd().into())
    }) as c_int
}

/// As ringway_reader_arm.
///
/// # Safety
/// The watcher is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_watcher_arm(watcher: *mut ringway_watcher_t) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow_mut(watcher) }?.watcher.arm()?.into())) as c_int
}

/// Gives in `*interrupter` what ends calls of this watcher that wait, to be freed by ringway_interrupter_free.
///
/// # Safety
/// The watcher is from this library, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_watcher_interrupter(
    watcher: *mut ringway_watcher_t,
    interrupter: *mut *mut ringway_interrupter_t,
) -> c_int {
    // SAFETY: the caller's promise.
    guard_unit(|| unsafe { give(borrow_mut(watcher)?.watcher.interrupter(), interrupter) })
}
