//! Boost.Interprocess: `message_queue`, a mutex and two condition variables around a heap of messages.

use std::ffi::{CString, c_char, c_void};
use std::ops::Range;

use crate::crowd::{Queue, Role};
use crate::memory::yield_until;
use crate::message;

// cpp/boost_queue.cpp
unsafe extern "C" {
    fn boost_queue_create(name: *const c_char, messages: usize, len: usize) -> *mut c_void;
    fn boost_queue_open(name: *const c_char) -> *mut c_void;
    fn boost_queue_remove(name: *const c_char) -> bool;
    fn boost_queue_try_send(queue: *mut c_void, message: *const c_void, len: usize) -> bool;
    fn boost_queue_send(queue: *mut c_void, message: *const c_void, len: usize);
    fn boost_queue_try_receive(queue: *mut c_void, buffer: *mut c_void, len: usize) -> usize;
    fn boost_queue_receive(queue: *mut c_void, buffer: *mut c_void, len: usize) -> usize;
}

/// `BLOCKING`: it waits itself, asleep. Otherwise it is polled.
pub struct Boost<const W: usize, const BLOCKING: bool> {
    name: CString,
    messages: u64,
    queue: *mut c_void,
}

impl<const W: usize, const BLOCKING: bool> Boost<W, BLOCKING> {
    pub fn new(name: String, messages: u64) -> Self {
        Self {
            name: CString::new(name).expect("no zero byte"),
            messages,
            queue: std::ptr::null_mut(),
        }
    }
}

impl<const W: usize, const BLOCKING: bool> Queue<W> for Boost<W, BLOCKING> {
    fn make(&mut self) {
        // SAFETY: a C string; the queue that is returned is never destroyed.
        unsafe { boost_queue_create(self.name.as_ptr(), self.messages as usize, W * 8) };
    }

    fn attach(&mut self, _: Role) {
        // SAFETY: a C string.
        self.queue = unsafe { boost_queue_open(self.name.as_ptr()) };
    }

    fn unlink(&mut self) {
        // SAFETY: a C string.
        let removed = unsafe { boost_queue_remove(self.name.as_ptr()) };
        assert!(removed, "it is there");
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let mut message = [0_u64; W];
        for number in numbers {
            message::fill(&mut message, number);
            let bytes = message.as_ptr().cast();
            if BLOCKING {
                // SAFETY: an open queue of this process's own, and a message of this length.
                unsafe { boost_queue_send(self.queue, bytes, W * 8) };
            } else {
                // SAFETY: as above.
                yield_until(|| unsafe { boost_queue_try_send(self.queue, bytes, W * 8) });
            }
        }
    }

    #[inline(always)]
    fn receive(&mut self, count: u64, mut each: impl FnMut(&[u64; W])) {
        let mut message = [0_u64; W];
        for _ in 0..count {
            let buffer = message.as_mut_ptr().cast();
            let mut len = 0;
            if BLOCKING {
                // SAFETY: an open queue of this process's own, and a buffer of this length.
                len = unsafe { boost_queue_receive(self.queue, buffer, W * 8) };
            } else {
                yield_until(|| {
                    // SAFETY: as above.
                    len = unsafe { boost_queue_try_receive(self.queue, buffer, W * 8) };
                    len > 0
                });
            }
            assert_eq!(len, W * 8, "a message of another length");
            each(&message);
        }
    }
}
