//! Messages in bytes that come in blocks of any size.

use memchr::{memchr_iter, memrchr};

use super::Stop;
use crate::failure::Failure;
use crate::framing::{Framing, too_large};

/// Bytes before a block for the beginning of a message that the block continues.
pub(super) const HEAD: usize = 64 << 10;

/// The bytes of one connection, of which the last message may not be complete yet.
pub(super) struct Cutter {
    framing: Framing,
    /// The longest message.
    max: usize,
    /// The beginning of a message.
    begun: Vec<u8>,
}

impl Cutter {
    pub(super) fn new(framing: Framing, max: usize) -> Self {
        Self {
            framing,
            max,
            begun: Vec::new(),
        }
    }

    /// Lays what has begun into the end of `head`, so that what is read behind that continues it. Returns how many bytes that are: none
    /// if nothing has begun, or if it has no room. It stays here until [`laid`](Self::laid).
    pub(super) fn lay(&self, head: &mut [u8]) -> usize {
        let Some(at) = head.len().checked_sub(self.begun.len()) else {
            return 0;
        };
        head[at..].copy_from_slice(&self.begun);
        self.begun.len()
    }

    /// The bytes that were laid have been continued: they come again with the next block.
    pub(super) fn laid(&mut self) {
        self.begun.clear();
    }

    /// With which framing, if the next block begins with a message.
    pub(super) fn between(&self) -> Option<Framing> {
        self.begun.is_empty().then_some(self.framing)
    }

    /// The messages that are complete in a block that begins with one, in their frames, and how many they are. The rest is kept, or is an error.
    pub(super) fn split<'a>(&mut self, block: &'a [u8]) -> (&'a [u8], u64, Result<(), Stop>) {
        let (len, count) = whole(self.framing, block);
        let (messages, rest) = block.split_at(len);
        (messages, count, self.feed(rest, |_| Ok(())))
    }

    /// Calls `put` for each message that is complete with this block.
    pub(super) fn feed(
        &mut self,
        block: &[u8],
        mut put: impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        match self.framing {
            Framing::Delimited(end) => self.feed_delimited(end, block, put),
            Framing::Frames => self.feed_frames(block, put),
            Framing::Raw | Framing::Whole => block.chunks(self.max.max(1)).try_for_each(&mut put),
        }
    }

    fn feed_delimited(
        &mut self,
        end: u8,
        block: &[u8],
        mut put: impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let max = self.max;
        let fits = |message: &[u8]| match message.len() > max {
            true => Err(Stop::Failed(too_large("a line", max))),
            false => Ok(()),
        };
        let mut from = 0;
        for at in memchr_iter(end, block) {
            let rest = &block[from..at];
            if self.begun.is_empty() {
                fits(rest)?;
                put(rest)?;
            } else {
                self.begun.extend_from_slice(rest);
                fits(&self.begun)?;
                put(&self.begun)?;
                self.begun.clear();
            }
            from = at + 1;
        }
        self.begun.extend_from_slice(&block[from..]);
        // One without an end must not fill the memory.
        fits(&self.begun)
    }

    fn feed_frames(
        &mut self,
        block: &[u8],
        mut put: impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.begun.extend_from_slice(block);
        let mut from = 0;
        while let Some((head, rest)) = self.begun[from..].split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*head) as usize;
            if len > self.max {
                let what = format!("a frame with {len} bytes");
                return Err(Stop::Failed(too_large(what, self.max)));
            }
            let Some(message) = rest.get(..len) else {
                break;
            };
            put(message)?;
            from += 4 + len;
        }
        self.begun.drain(..from);
        Ok(())
    }

    /// Bytes of a message that is not complete.
    pub(super) fn begun(&self) -> usize {
        self.begun.len()
    }

    /// No more comes: a last line may lack its end, and a frame is cut short, which `Err` says.
    pub(super) fn end(&mut self, put: impl FnOnce(&[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
        let rest = std::mem::take(&mut self.begun);
        match self.framing {
            _ if rest.is_empty() => Ok(()),
            Framing::Delimited(_) => put(&rest),
            _ => Err(Stop::Failed(Failure::error(
                "the input ends within a frame",
            ))),
        }
    }
}

/// How many bytes at the beginning are messages that are complete, and how many messages those are.
pub(super) fn whole(framing: Framing, bytes: &[u8]) -> (usize, u64) {
    match framing {
        Framing::Delimited(end) => {
            let len = memrchr(end, bytes).map_or(0, |at| at + 1);
            (len, memchr_iter(end, &bytes[..len]).count() as u64)
        }
        Framing::Frames => {
            let (mut len, mut count) = (0, 0);
            while let Some((head, rest)) = bytes[len..].split_first_chunk::<4>() {
                let frame = u32::from_le_bytes(*head) as usize;
                if frame > rest.len() {
                    break;
                }
                len += 4 + frame;
                count += 1;
            }
            (len, count)
        }
        Framing::Raw | Framing::Whole => (bytes.len(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of the bytes in blocks of `step`, and whether the end was in order.
    fn cut(framing: Framing, bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
        let mut cutter = Cutter::new(framing, 100);
        let mut messages = Vec::new();
        for block in bytes.chunks(step) {
            let fed = cutter.feed(block, |message| {
                messages.push(message.to_vec());
                Ok(())
            });
            if fed.is_err() {
                return (messages, false);
            }
        }
        let ended = cutter.end(|message| {
            messages.push(message.to_vec());
            Ok(())
        });
        (messages, ended.is_ok())
    }

    #[test]
    fn lines_and_frames_are_cut_alike_however_they_arrive() {
        let lines = b"one\n\nthree\nlast";
        let expected: Vec<_> = lines
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let frames = b"\x03\0\0\0one\0\0\0\0\x05\0\0\0three";
        let in_frames = vec![b"one".to_vec(), vec![], b"three".to_vec()];
        for step in 1..20 {
            let cut_lines = cut(Framing::LINES, lines, step);
            assert_eq!(cut_lines, (expected.clone(), true), "{step}");
            let cut_frames = cut(Framing::Frames, frames, step);
            assert_eq!(cut_frames, (in_frames.clone(), true), "{step}");
            let short = &frames[..frames.len() - 1];
            let cut_short = cut(Framing::Frames, short, step);
            assert_eq!(cut_short, (in_frames[..2].to_vec(), false), "{step}");
        }
    }

    #[test]
    fn messages_that_keep_their_frames_are_those_that_are_cut() {
        let lines = b"one\n\nthree\nlast".as_slice();
        let frames = b"\x03\0\0\0one\0\0\0\0\x05\0\0\0three\x09\0".as_slice();
        for (framing, bytes, complete) in
            [(Framing::LINES, lines, 11), (Framing::Frames, frames, 20)]
        {
            for step in 1..20 {
                let mut cutter = Cutter::new(framing, 100);
                let (mut messages, mut count, mut room) = (Vec::new(), 0, [0; 32]);
                for block in bytes.chunks(step) {
                    let laid = cutter.lay(&mut room[..12]);
                    room[12..12 + block.len()].copy_from_slice(block);
                    cutter.laid();
                    let split = cutter.split(&room[12 - laid..12 + block.len()]);
                    messages.extend_from_slice(split.0);
                    count += split.1;
                    assert!(split.2.is_ok());
                }
                assert_eq!(messages, bytes[..complete], "{step}");
                assert_eq!(count, 3, "{step}");
                assert_eq!(cutter.begun(), bytes.len() - complete, "{step}");
            }
        }
        let mut cutter = Cutter::new(Framing::Frames, 100);
        let (messages, count, rest) = cutter.split(b"\x01\0\0\0a\x65\0\0\0");
        assert_eq!(
            (messages, count, rest.is_err()),
            (&b"\x01\0\0\0a"[..], 1, true)
        );
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_fills_the_memory() {
        let long = [b'x'; 101];
        for step in [1, 7, 200] {
            assert_eq!(cut(Framing::LINES, &long, step), (vec![], false));
            assert_eq!(cut(Framing::Frames, b"\x65\0\0\0", step), (vec![], false));
            let raw = cut(Framing::Raw, &long, step);
            assert_eq!(raw.0.concat(), long);
            assert!(raw.0.iter().all(|block| block.len() <= 100));
        }
    }
}
