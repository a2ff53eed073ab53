//! A file with anything in it, opened as a ring and used through the real handles, while somebody keeps
//! writing into it: a typed error, or a ring that works. Nothing else changes.

#![no_main]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Instant;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_core::inspect::stat;
use ringway_core::verify::{Header, HeapRing};
use ringway_core::{Address, Builder, Receiver, Ring, Sender, WaitStrategy, remove};

#[derive(Arbitrary, Debug)]
struct Input {
    capacity_log2: u8,
    /// Bytes that the file lacks at its end, or has too many.
    len_change: i16,
    without_header: bool,
    edits: Vec<Edit>,
    steps: Vec<Step>,
}

/// Bytes that somebody writes.
#[derive(Arbitrary, Debug)]
enum Edit {
    Header(u8, u8),
    Control(u8, u64),
    Data(u16, u64),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Edit(Edit),
    Send(u16),
    Batch(Vec<u8>),
    Wait,
    Receive,
    Drain(u8),
    Keep,
    NextProducer,
    NextConsumer,
}

/// The file of one input. It goes with it, also when the input fails in a way that unwinds.
struct Segment {
    path: PathBuf,
    file: File,
}

impl Segment {
    fn new() -> Self {
        let name = format!("ringway-fuzz-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.mode(0o600).open(&path).expect("a temporary file");
        Self { path, file }
    }

    fn address(&self) -> Address {
        Address::File(self.path.clone())
    }

    /// Edits beyond the end of the file are left out: they would make it longer.
    fn edit(&self, edit: &Edit, data: u64) {
        let (at, word) = match *edit {
            Edit::Header(at, byte) => return self.write(at.into(), &[byte]),
            Edit::Control(at, word) => {
                let words = HeapRing::CONTROL.len() / 8;
                let at = HeapRing::CONTROL.start + usize::from(at) % words * 8;
                (at as u64, word)
            }
            Edit::Data(at, word) => (data + u64::from(at) * 8, word),
        };
        self.write(at, &word.to_le_bytes());
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let len = self.file.metadata().expect("a file").len();
        if at + bytes.len() as u64 <= len {
            self.file.write_all_at(bytes, at).expect("room in the file");
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Handles {
    ring: Ring,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
}

impl Handles {
    fn take(&mut self, step: &Step) {
        let capacity = self.ring.capacity() as usize;
        let check = |len: usize| assert!(len <= capacity, "{len} bytes");
        match (step, &mut self.sender, &mut self.receiver) {
            (Step::Send(len), Some(sender), _) => {
                let _ = sender.try_send(&vec![0xa5; (*len).into()]);
            }
            (Step::Batch(lens), Some(sender), _) => {
                let mut batch = sender.batch();
                for len in lens {
                    let _ = batch.push(&vec![0x5a; (*len).into()]);
                }
                batch.commit();
            }
            (Step::Wait, Some(sender), Some(receiver)) => {
                let _ = sender.wait_until_drained_deadline(Instant::now());
                let _ = receiver.wait_deadline(Instant::now());
                let _ = (sender.peer(), receiver.peer());
            }
            (Step::Receive, _, Some(receiver)) => {
                check(receiver.try_recv().map_or(0, |message| message.len()));
            }
            (Step::Drain(most), _, Some(receiver)) => {
                let _ = receiver.drain((*most).into(), |view| check(view.to_vec().len()));
            }
            (Step::Keep, _, Some(receiver)) => {
                if let Ok(message) = receiver.try_recv_in_place() {
                    check(message.to_vec().len());
                    drop(message);
                }
            }
            (Step::NextProducer, sender, _) => {
                if let Some(sender) = sender.take() {
                    sender.leave();
                }
                *sender = self.ring.sender().ok();
            }
            (Step::NextConsumer, _, receiver) => {
                drop(receiver.take());
                *receiver = self.ring.receiver().ok();
            }
            _ => {}
        }
    }
}

fuzz_target!(|input: Input| {
    let Some(header) = Header::new(64 << (input.capacity_log2 % 12)) else {
        return;
    };
    let (data, total) = header.extents();
    let segment = Segment::new();
    let len = total.saturating_add_signed(input.len_change.into());
    segment.file.set_len(len).expect("room for the file");
    if !input.without_header {
        segment.write(0, &header.encode());
    }
    for edit in &input.edits {
        segment.edit(edit, data.start);
    }
    // What a look shows depends on what is there; it has to be no more than shown.
    let _ = stat(&segment.address());
    if let Ok(ring) = Builder::at(segment.address()).open() {
        let sender = ring
            .sender()
            .ok()
            .map(|sender| sender.with_wait(WaitStrategy::Park));
        let receiver = ring
            .receiver()
            .ok()
            .map(|receiver| receiver.with_wait(WaitStrategy::Park));
        let mut handles = Handles {
            ring,
            sender,
            receiver,
        };
        for step in &input.steps {
            match step {
                Step::Edit(edit) => segment.edit(edit, data.start),
                step => handles.take(step),
            }
        }
    }
    let _ = remove(&segment.address(), false);
    assert_eq!(segment.file.metadata().expect("a file").len(), len);
});
