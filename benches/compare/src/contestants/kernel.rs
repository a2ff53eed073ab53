//! What the kernel offers, for context: a pipe, a Unix socket.

use std::io::{Read, Write, pipe};
use std::ops::Range;
use std::os::unix::net::UnixStream;

use crate::message;
use crate::track::Lane;

/// Messages through a file descriptor.
pub struct Descriptor<R, T, const W: usize> {
    pub(super) reader: R,
    pub(super) writer: T,
    pub(super) buffer: message::Buffer<W>,
}

pub fn new_pipe<const W: usize>() -> Descriptor<impl Read + 'static, impl Write + 'static, W> {
    let (reader, writer) = pipe().expect("a pipe");
    Descriptor {
        reader,
        writer,
        buffer: message::Buffer::default(),
    }
}

pub fn new_socket<const W: usize>() -> Descriptor<impl Read + 'static, impl Write + 'static, W> {
    let (reader, writer) = UnixStream::pair().expect("a pair of sockets");
    Descriptor {
        reader,
        writer,
        buffer: message::Buffer::default(),
    }
}

impl<R: Read, T: Write, const W: usize> Lane for Descriptor<R, T, W> {
    fn start_sending(&mut self) {}

    fn start_receiving(&mut self) {}

    fn send(&mut self, numbers: Range<u64>) {
        let mut local = [0; W];
        let message = self.buffer.of(&mut local);
        for number in numbers {
            message::fill(message, number);
            self.writer
                .write_all(bytemuck::cast_slice(message))
                .expect("a live reader");
        }
    }

    fn receive(&mut self, numbers: Range<u64>) {
        let mut local = [0; W];
        let message = self.buffer.of(&mut local);
        for number in numbers {
            self.reader
                .read_exact(bytemuck::cast_slice_mut(message))
                .expect("a live writer");
            message::check(message, number);
        }
    }
}
