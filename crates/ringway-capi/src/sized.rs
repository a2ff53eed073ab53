//! Structures that begin with their size.
//!
//! A program says by `size` which version of a structure it was compiled with. What it did not know yet is zero, which is the default of
//! everything; what this library does not know must be zero, so that nothing that was asked for is passed over.

use std::mem::{MaybeUninit, size_of};

use crate::outcome::{Fault, RINGWAY_INVALID};

/// A structure that begins with its size.
///
/// # Safety
/// `repr(C)`, its first field is a `usize`, all bits zero is a value, and so are whatever bits a C program may leave in it.
pub(crate) unsafe trait Sized: Copy {}

const WRONG: Fault = Fault::Own(
    RINGWAY_INVALID,
    "a structure does not begin with its size: initialise it by its macro, or set its size",
);
const NEWER: Fault = Fault::Own(
    RINGWAY_INVALID,
    "an option is set that this version of the library does not know: use a newer one, or do without",
);

/// All zero.
pub(crate) fn zero<T: Sized>() -> T {
    // SAFETY: all bits zero is a value of it.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// What the caller has given; null is all zero.
///
/// # Safety
/// Null, or a structure of as many bytes as its first field says.
pub(crate) unsafe fn read<T: Sized>(given: *const T) -> Result<T, Fault> {
    let mut known = zero::<T>();
    if given.is_null() {
        return Ok(known);
    }
    // SAFETY: it begins with its size.
    let size = unsafe { given.cast::<usize>().read() };
    if size < size_of::<usize>() {
        return Err(WRONG);
    }
    let bytes = given.cast::<u8>();
    for at in size_of::<T>()..size {
        // SAFETY: it has `size` bytes.
        if unsafe { bytes.add(at).read() } != 0 {
            return Err(NEWER);
        }
    }
    let len = size.min(size_of::<T>());
    // SAFETY: both have `len` bytes.
    unsafe { bytes.copy_to_nonoverlapping((&raw mut known).cast(), len) };
    Ok(known)
}

/// Fills in as much as the caller's version has; its size stays what it is.
///
/// # Safety
/// A structure of as many bytes as its first field says.
pub(crate) unsafe fn write<T: Sized>(target: *mut T, filled: &T) -> Result<(), Fault> {
    if target.is_null() {
        return Err(crate::outcome::NULL);
    }
    // SAFETY: it begins with its size.
    let size = unsafe { target.cast::<usize>().read() };
    if size < size_of::<usize>() {
        return Err(WRONG);
    }
    let from = size_of::<usize>();
    let len = size.min(size_of::<T>()) - from;
    let source = (&raw const *filled).cast::<u8>();
    // SAFETY: both have that many bytes behind their size.
    unsafe {
        source
            .add(from)
            .copy_to_nonoverlapping(target.cast::<u8>().add(from), len);
    }
    Ok(())
}
