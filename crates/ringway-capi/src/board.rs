//! Boards: entries with names, and of each the latest value.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use ringway::board::{Board, Builder};
use ringway::{Address, inspect};

use crate::options::{address, answer, opening_wait};
use crate::outcome::{Fault, NULL, RINGWAY_INVALID, guard, guard_free, guard_unit};
use crate::ring::{borrow, copy_text, hand_out, ringway_peer_t, stream};
use crate::sized::{self, Sized, read};

/// A board that this process has open: entries with names, and of each the latest value. One process at a time writes an entry, and waits for nobody; any number
/// read it. Threads may share it. It gives writers, readers and watchers, which live on when it is freed. Freeing it removes nothing.
pub struct ringway_board_t {
    pub(crate) board: Board,
}

/// What a board is to be like. All zero but the size is the default of everything: RINGWAY_BOARD_OPTIONS_INIT. One that is found must be as those options say
/// that were set.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_board_options_t {
    /// sizeof(ringway_board_options_t)
    pub size: usize,
    /// How many entries it can have, up to 4096; 64 if it is 0, or as many as there are keys.
    pub entries: u32,
    /// How many processes may write to it at once, from 2 to 120; 32 if it is 0.
    pub writers: u32,
    /// Bytes of the longest value, rounded up to a power of two; 4096 if it is 0.
    pub value_len: u64,
    /// Keys of entries to add at once; null if there are none.
    pub keys: *const *const c_char,
    /// How many that is.
    pub key_count: usize,
    /// Permission bits, 0600 if it is 0.
    pub mode: u32,
    /// Whether collectors leave it alone, whoever dies holding it: RINGWAY_YES, RINGWAY_NO.
    pub persistent: i32,
    /// Whether to touch every page at once. Here the default is yes.
    pub prefault: i32,
    /// Whether to lock it into memory.
    pub lock_memory: i32,
    /// Whether to open what belongs to another user.
    pub any_owner: i32,
    /// For how long opening waits for it to be made, in nanoseconds; negative is for ever.
    pub wait_ns: i64,
}

// SAFETY: repr(C), begins with its size, and has integers and a pointer.
unsafe impl Sized for ringway_board_options_t {}

/// What a board is like. Set `size`, and give it to ringway_board_info.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_board_info_t {
    /// sizeof(ringway_board_info_t)
    pub size: usize,
    /// Bytes of the longest value.
    pub max_value_len: u64,
    /// How many entries it can have.
    pub entries: u32,
    /// How many processes may write to it at once.
    pub writers: u32,
    /// Whether this call made it, and did not find it.
    pub is_new: bool,
}

// SAFETY: repr(C), begins with its size. It is written by the library and never read from the caller.
unsafe impl Sized for ringway_board_info_t {}

/// An entry as an observer sees it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ringway_entry_t {
    /// Its key, which ends with a zero byte.
    pub key: *const c_char,
    /// How many values it has had; 0 if it has none yet.
    pub number: u64,
    /// Bytes of its value.
    pub len: u64,
    /// The process id of its writer, as that one's own pid namespace counts it; 0 if nobody has written it, or the last one left.
    pub writer: u32,
    /// Whether the writer lives.
    pub writer_alive: bool,
}

/// A key that the caller gives.
///
/// # Safety
/// Null, or a string that ends with a zero byte.
pub(crate) unsafe fn key<'a>(text: *const c_char) -> Result<&'a str, Fault> {
    if text.is_null() {
        return Err(NULL);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    text.map_err(|_| Fault::Own(RINGWAY_INVALID, "the key is no UTF-8: choose another one"))
}

impl ringway_board_options_t {
    /// # Safety
    /// `keys` is null, or points to `key_count` strings.
    unsafe fn builder(&self, address: Address) -> Result<Builder, Fault> {
        let mut board = Builder::at(address);
        if self.entries != 0 {
            board = board.entries(self.entries);
        }
        if self.writers != 0 {
            board = board.writers(self.writers);
        }
        if self.value_len != 0 {
            board = board.value_len(self.value_len);
        }
        if self.key_count > 0 && self.keys.is_null() {
            return Err(NULL);
        }
        for at in 0..self.key_count {
            // SAFETY: the caller's promise.
            board = board.keys([unsafe { key(*self.keys.add(at)) }?]);
        }
        if self.mode != 0 {
            board = board.mode(self.mode);
        }
        if let Some(wait) = opening_wait(self.wait_ns) {
            board = board.wait(wait);
        }
        type With = fn(Builder, bool) -> Builder;
        let answers: [(i32, With); 4] = [
            (self.persistent, Builder::persistent),
            (self.prefault, Builder::prefault),
            (self.lock_memory, Builder::lock_memory),
            (self.any_owner, Builder::any_owner),
        ];
        for (choice, with) in answers {
            if let Some(yes) = answer(choice)? {
                board = with(board, yes);
            }
        }
        Ok(board)
    }
}

/// # Safety
/// As of the functions that call it.
unsafe fn connect(
    how: fn(Builder) -> Result<Board, ringway::Error>,
    text: *const c_char,
    options: *const ringway_board_options_t,
    board: *mut *mut ringway_board_t,
) -> c_int {
    guard_unit(|| {
        if board.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promises about strings and structures.
        let asked = unsafe { read(options)?.builder(address(text)?)? };
        let made = ringway_board_t { board: how(asked)? };
        // SAFETY: it may be written.
        unsafe { hand_out(board, made) }
    })
}

/// Makes a new board, and gives it in `*board`, to be freed by ringway_board_free. `options` may be null.
///
/// Fails as ringway_create does.
///
/// # Safety
/// `address` and keys end with a zero byte; `options` has the size that it says; `board` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_create(
    address: *const c_char,
    options: *const ringway_board_options_t,
    board: *mut *mut ringway_board_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe { connect(Builder::create, address, options, board) }
}

/// Opens the board at `address`; with `wait_ns`, for so long waits for it to be made. Otherwise as ringway_board_create.
///
/// Fails as ringway_open does.
///
/// # Safety
/// As of ringway_board_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_open(
    address: *const c_char,
    options: *const ringway_board_options_t,
    board: *mut *mut ringway_board_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe { connect(Builder::open, address, options, board) }
}

/// Opens the board at `address`, or makes it. Of several that come at once, one makes it and the others find it.
///
/// # Safety
/// As of ringway_board_create.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_open_or_create(
    address: *const c_char,
    options: *const ringway_board_options_t,
    board: *mut *mut ringway_board_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe { connect(Builder::open_or_create, address, options, board) }
}

/// Frees a board. Its writers, readers and watchers go on; nothing is removed (ringway_remove does). Null is let pass.
///
/// # Safety
/// It is from this library, and not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_free(board: *mut ringway_board_t) {
    if !board.is_null() {
        // SAFETY: it was made by `hand_out`, and the caller gives it up.
        guard_free(|| drop(unsafe { Box::from_raw(board) }));
    }
}

/// As ringway_ring_address.
///
/// # Safety
/// `buffer` has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_address(
    board: *const ringway_board_t,
    buffer: *mut c_char,
    size: usize,
) -> i64 {
    guard(|| {
        // SAFETY: the caller's promise.
        let text = unsafe { borrow(board) }?.board.address().to_string();
        // SAFETY: the caller's promise.
        unsafe { copy_text(&text, buffer, size) }
    })
}

/// What the board is like. `info->size` says how much of it there is.
///
/// # Safety
/// `info` has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_info(
    board: *const ringway_board_t,
    info: *mut ringway_board_info_t,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let board = &unsafe { borrow(board) }?.board;
        let mut filled: ringway_board_info_t = sized::zero();
        filled.max_value_len = board.max_value_len() as u64;
        filled.entries = board.entries();
        filled.writers = board.writers();
        filled.is_new = board.is_new();
        // SAFETY: the caller's promise.
        unsafe { sized::write(info, &filled) }
    })
}

/// 1 if the board has lost its name, 0 if not, as ringway_ring_is_removed says of rings.
///
/// # Safety
/// The board is from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_is_removed(board: *const ringway_board_t) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { borrow(board) }?.board.is_removed()?.into())) as c_int
}

/// Shows a key; it is valid until this returns.
pub type ringway_each_key_t =
    Option<unsafe extern "C" fn(context: *mut c_void, key: *const c_char)>;

/// Shows the keys of all entries, in the order in which they were added. Returns how many.
///
/// # Safety
/// The board is from this library; `each` does what it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_keys(
    board: *const ringway_board_t,
    each: ringway_each_key_t,
    context: *mut c_void,
) -> i64 {
    guard(|| {
        let each = each.ok_or(NULL)?;
        // SAFETY: the caller's promise.
        let keys = unsafe { borrow(board) }?.board.keys()?;
        for key in &keys {
            let key = CString::new(key.as_str()).unwrap_or_default();
            // SAFETY: the caller's function, called as it is declared.
            unsafe { each(context, key.as_ptr()) };
        }
        Ok(keys.len() as i64)
    })
}

/// Shows an entry; it is valid until this returns.
pub type ringway_each_entry_t =
    Option<unsafe extern "C" fn(context: *mut c_void, entry: *const ringway_entry_t)>;

/// Shows the entries of the board at `address`, without opening it. Returns how many; 0 of what is no board. (ringway_stat tells of the participants.)
///
/// Fails as ringway_open does.
///
/// # Safety
/// `address` ends with a zero byte; `each` does what it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_stat(
    address: *const c_char,
    each: ringway_each_entry_t,
    context: *mut c_void,
) -> i64 {
    guard(|| {
        let each = each.ok_or(NULL)?;
        // SAFETY: the caller's promise.
        let found = inspect::stat(&unsafe { self::address(address) }?)?;
        for entry in &found.entries {
            let key = CString::new(entry.key.as_str()).unwrap_or_default();
            let shown = ringway_entry_t {
                key: key.as_ptr(),
                number: entry.number,
                len: entry.len,
                writer: entry.writer.unwrap_or(0),
                writer_alive: entry.writer_alive,
            };
            // SAFETY: the caller's function, called as it is declared.
            unsafe { each(context, &raw const shown) };
        }
        Ok(found.entries.len() as i64)
    })
}

/// Hands a memfd: board to the process at the other end of a connected Unix socket, which calls ringway_board_take_over. `peer` (may be null) is told who that is.
/// The socket stays the caller's.
///
/// # Safety
/// The board is from this library; `peer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_hand_over(
    board: *const ringway_board_t,
    socket: c_int,
    peer: *mut ringway_peer_t,
) -> c_int {
    guard_unit(|| {
        // SAFETY: the caller's promise.
        let told = unsafe { borrow(board) }?
            .board
            .hand_over(&stream(socket)?)?;
        if !peer.is_null() {
            // SAFETY: it may be written.
            unsafe { peer.write(told.into()) };
        }
        Ok(())
    })
}

/// Receives a memfd: board that the process at the other end of a connected Unix socket hands over, and gives it in `*board`, to be freed by ringway_board_free.
/// `options` and `peer` may be null. The socket stays the caller's.
///
/// # Safety
/// As of ringway_board_create; `peer` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ringway_board_take_over(
    socket: c_int,
    options: *const ringway_board_options_t,
    board: *mut *mut ringway_board_t,
    peer: *mut ringway_peer_t,
) -> c_int {
    guard_unit(|| {
        if board.is_null() {
            return Err(NULL);
        }
        // SAFETY: the caller's promise.
        let asked = unsafe { read(options)?.builder(Address::Memfd)? };
        let (taken, told) = asked.take_over(&stream(socket)?)?;
        if !peer.is_null() {
            // SAFETY: it may be written.
            unsafe { peer.write(told.into()) };
        }
        // SAFETY: it may be written.
        unsafe { hand_out(board, ringway_board_t { board: taken }) }
    })
}
