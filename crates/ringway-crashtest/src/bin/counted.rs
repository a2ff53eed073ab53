//! The program whose instructions are counted: it does one kind of work on one ring, again and again, with a breakpoint
//! before and behind each piece. It is a program of its own, so that nothing else of the crash tester changes what the
//! compiler makes of it.
//!
//! One thread sends and receives. A few messages lie in the ring all the time, and nobody ever waits: that is the steady
//! state. Each work goes round the ring to warm up, and then once round it to be counted. On a board a value is written and read again
//! and again.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, Write};

use bytemuck::Pod;
use ringway::board::{Reader, Writer};
use ringway::message::{TypedReceiver, TypedSender};
use ringway::{Board, Kind, Receiver, Ring, Sender, SyncKind};

/// Messages that lie in the ring between two pieces of work.
const BACKLOG: usize = 4;

/// Messages of a batch, and of a drain.
const MANY: usize = 8;

/// The most pieces of work that are counted.
const MOST: usize = 100;

/// Bytes of a cell.
const CELL: usize = 128;

/// Bytes of the ring, and messages of a lap: some 50 at least, so that what happens once in a lap is not the usual case.
fn lap(has_cells: bool, len: usize) -> (u64, usize) {
    let footprint = match has_cells {
        true => (len + 8).next_multiple_of(CELL),
        false => (len + 8).next_multiple_of(8),
    };
    let capacity = (50 * footprint).next_power_of_two().max(4096);
    (capacity as u64, capacity / footprint)
}

/// Aligned, so that no alignment of the stack changes a count.
#[repr(align(64))]
struct Buffer([u8; 256]);

struct Counted {
    sender: Sender,
    receiver: Receiver,
    message: Buffer,
    target: Buffer,
    len: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ring, work, len] = arguments.as_slice() else {
        return Err("counted RING WORK BYTES".into());
    };
    if ring == "board" {
        return match len.parse()? {
            8 => Posted::<1>::new()?.run(work),
            64 => Posted::<8>::new()?.run(work),
            256 => Posted::<32>::new()?.run(work),
            _ => Err("no such length".into()),
        };
    }
    let (has_cells, len) = (ring.starts_with("cells"), len.parse()?);
    let (capacity, lap) = lap(has_cells, len);
    let builder = ringway::at("memfd:")?.capacity(capacity).prefault(true);
    let builder = match ring.as_str() {
        "stream" => builder.kind(Kind::Spsc),
        "broadcast" => builder.kind(Kind::Broadcast),
        "cells" => builder.kind(Kind::Mpmc).cell_len(CELL as u32),
        "cells, posix-sem" => builder
            .kind(Kind::Mpmc)
            .cell_len(CELL as u32)
            .sync(SyncKind::PosixSem),
        _ => return Err("no such ring".into()),
    };
    let (ring, lap) = (builder.create()?, lap.min(MOST));
    match (work.as_str(), len) {
        ("send a value" | "receive a value" | "send_all" | "recv_all", 8) => {
            Typed::<1>::new(&ring)?.run(work, lap)
        }
        ("send a value" | "receive a value" | "send_all" | "recv_all", 64) => {
            Typed::<8>::new(&ring)?.run(work, lap)
        }
        ("send a value" | "receive a value" | "send_all" | "recv_all", 256) => {
            Typed::<32>::new(&ring)?.run(work, lap)
        }
        _ => Counted::new(&ring, len)?.run(work, lap),
    }
}

/// Says how many pieces of work are counted, and how many messages each has, and waits until somebody counts.
fn begin(pieces: usize, messages: usize) -> Result<(), Box<dyn Error>> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{pieces} {messages}")?;
    stdout.flush()?;
    std::io::stdin().lock().lines().next().transpose()?;
    Ok(())
}

/// Values of so many words.
struct Typed<const WORDS: usize> {
    sender: TypedSender<[u64; WORDS]>,
    receiver: TypedReceiver<[u64; WORDS]>,
    values: Values<WORDS>,
    target: Values<WORDS>,
}

#[repr(align(64))]
struct Values<const WORDS: usize>([[u64; WORDS]; MANY]);

impl<const WORDS: usize> Typed<WORDS> {
    fn new(ring: &Ring) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            sender: TypedSender::of(ring.sender()?),
            receiver: TypedReceiver::of(ring.receiver()?),
            values: Values([[7; WORDS]; MANY]),
            target: Values([[0; WORDS]; MANY]),
        })
    }

    fn run(mut self, work: &str, lap: usize) -> Result<(), Box<dyn Error>> {
        for _ in 0..BACKLOG {
            self.send()?;
        }
        for _ in 0..2 * lap {
            self.send()?;
            self.receive()?;
        }
        let (pieces, messages) = match work {
            "send_all" | "recv_all" => (lap.div_ceil(MANY), MANY),
            _ => (lap, 1),
        };
        begin(pieces, messages)?;
        for _ in 0..pieces {
            match work {
                "send a value" => {
                    between(|| self.send())?;
                    self.receive()?;
                }
                "receive a value" => {
                    self.send()?;
                    between(|| self.receive())?;
                }
                "send_all" => {
                    between(|| self.send_all())?;
                    self.receive_all()?;
                }
                _ => {
                    self.send_all()?;
                    between(|| self.receive_all())?;
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.sender.send(&self.values.0[0])?)
    }

    #[inline(always)]
    fn receive(&mut self) -> Result<(), Box<dyn Error>> {
        black_box(self.receiver.recv()?);
        Ok(())
    }

    #[inline(always)]
    fn send_all(&mut self) -> Result<(), Box<dyn Error>> {
        black_box(self.sender.send_all(&self.values.0)?);
        Ok(())
    }

    #[inline(always)]
    fn receive_all(&mut self) -> Result<(), Box<dyn Error>> {
        let mut left = MANY;
        // It may stop at the end of a lap.
        while left > 0 {
            left -= self.receiver.recv_all(&mut self.target.0[..left])?;
        }
        Ok(())
    }
}

impl Counted {
    fn new(ring: &Ring, len: usize) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            sender: ring.sender()?,
            receiver: ring.receiver()?,
            message: Buffer([0x5a; 256]),
            target: Buffer([0; 256]),
            len,
        })
    }

    fn run(mut self, work: &str, lap: usize) -> Result<(), Box<dyn Error>> {
        for _ in 0..BACKLOG {
            self.send()?;
        }
        for _ in 0..2 * lap {
            self.send()?;
            self.receive()?;
        }
        let (pieces, messages) = match work {
            "batch" | "drain" => (lap.div_ceil(MANY), MANY),
            _ => (lap, 1),
        };
        begin(pieces, messages)?;
        for _ in 0..pieces {
            match work {
                "send" => {
                    between(|| self.send())?;
                    self.receive()?;
                }
                "send in place" => {
                    between(|| self.send_in_place())?;
                    self.receive()?;
                }
                "recv_into" => {
                    self.send()?;
                    between(|| self.receive())?;
                }
                "recv_in_place" => {
                    self.send()?;
                    between(|| self.receive_in_place())?;
                }
                "batch" => {
                    between(|| self.batch())?;
                    (0..MANY).try_for_each(|_| self.receive())?;
                }
                "drain" => {
                    (0..MANY).try_for_each(|_| self.send())?;
                    between(|| self.drain())?;
                }
                _ => return Err("no such work".into()),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.sender.send(&self.message.0[..self.len])?)
    }

    #[inline(always)]
    fn send_in_place(&mut self) -> Result<(), Box<dyn Error>> {
        let mut claim = self.sender.claim(self.len)?;
        // SAFETY: the first byte of a claim that has some; the peer does not touch what is not committed.
        unsafe { claim.as_mut_ptr().write(0x5a) };
        claim.commit();
        Ok(())
    }

    #[inline(always)]
    fn receive(&mut self) -> Result<(), Box<dyn Error>> {
        black_box(self.receiver.recv_into(&mut self.target.0)?);
        Ok(())
    }

    #[inline(always)]
    fn receive_in_place(&mut self) -> Result<(), Box<dyn Error>> {
        let message = self.receiver.recv_in_place()?;
        // SAFETY: the peer, this same thread, does not touch what is not released.
        black_box(unsafe { message.as_slice() });
        message.release();
        Ok(())
    }

    #[inline(always)]
    fn batch(&mut self) -> Result<(), Box<dyn Error>> {
        let mut batch = self.sender.batch();
        for _ in 0..MANY {
            batch.push(&self.message.0[..self.len])?;
        }
        black_box(batch.commit());
        Ok(())
    }

    #[inline(always)]
    fn drain(&mut self) -> Result<(), Box<dyn Error>> {
        let target = &mut self.target.0;
        let mut left = MANY;
        // It may stop at the end of a lap.
        while left > 0 {
            left -= self.receiver.drain(left, |message| {
                black_box(message.read_at(0, target));
            })?;
        }
        Ok(())
    }
}

/// An entry of a board with values of so many words.
struct Posted<const WORDS: usize> {
    writer: Writer,
    reader: Reader,
    values: Values<WORDS>,
    /// Bytes of a value: no more than the compiler knows.
    len: usize,
    target: Vec<u8>,
}

impl<const WORDS: usize> Posted<WORDS>
where
    [u64; WORDS]: Pod,
{
    fn new() -> Result<Self, Box<dyn Error>> {
        let board = Board::at("memfd:")?
            .value_len(256)
            .prefault(true)
            .create()?;
        Ok(Self {
            writer: board.writer("value")?,
            reader: board.reader("value")?,
            values: Values([[7; WORDS]; MANY]),
            len: black_box(8 * WORDS),
            target: Vec::with_capacity(256),
        })
    }

    fn run(mut self, work: &str) -> Result<(), Box<dyn Error>> {
        for _ in 0..BACKLOG {
            self.set()?;
            self.get()?;
            self.set_value()?;
            self.get_value()?;
        }
        begin(MOST / 2, 1)?;
        for _ in 0..MOST / 2 {
            match work {
                "set" => between(|| self.set())?,
                "set a value" => between(|| self.set_value())?,
                "get again" => between(|| self.get())?,
                "get a value again" => between(|| self.get_value())?,
                "get" => {
                    self.set()?;
                    between(|| self.get())?;
                }
                "get a value" => {
                    self.set()?;
                    between(|| self.get_value())?;
                }
                _ => return Err("no such work".into()),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn set(&mut self) -> Result<(), Box<dyn Error>> {
        let bytes = bytemuck::bytes_of(&self.values.0[0]);
        black_box(self.writer.set(&bytes[..self.len])?);
        Ok(())
    }

    #[inline(always)]
    fn set_value(&mut self) -> Result<(), Box<dyn Error>> {
        black_box(self.writer.set_pod(&self.values.0[0])?);
        Ok(())
    }

    #[inline(always)]
    fn get(&mut self) -> Result<(), Box<dyn Error>> {
        black_box(self.reader.get_into(&mut self.target)?);
        Ok(())
    }

    #[inline(always)]
    fn get_value(&mut self) -> Result<(), Box<dyn Error>> {
        black_box(self.reader.get_pod::<[u64; WORDS]>()?);
        Ok(())
    }
}

/// Does it between two breakpoints.
#[inline(always)]
fn between<T>(work: impl FnOnce() -> T) -> T {
    breakpoint();
    let done = black_box(work());
    breakpoint();
    done
}

#[inline(always)]
fn breakpoint() {
    // SAFETY: a trap, which the tracer takes; it changes nothing here.
    unsafe { std::arch::asm!("int3") };
}
