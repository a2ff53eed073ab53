//! Frames of any bytes, and frames that are right but for what they say, between calls of the receiver:
//! no panic, and memory within the limits and what has arrived.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_chunk::{Event, Header, Limits, Place, Reassembler, Why};

#[derive(Arbitrary, Debug)]
struct Input {
    max_message: u16,
    max_in_flight: u16,
    max_messages: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// Any bytes at all.
    Raw(Vec<u8>),
    Frame {
        sender: u8,
        message: u8,
        offset: Offset,
        total: Total,
        len: u16,
        place: Kind,
        /// A bit to flip, and what the frame lacks at its end.
        flip: Option<u16>,
        lacks: Option<u8>,
    },
    Poll,
    Recycle,
    Stream,
    EndStream,
    Lose(u8),
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Part,
    Last,
    Abort,
}

#[derive(Arbitrary, Debug)]
enum Offset {
    /// Where the sender's message stands, if one is in flight.
    Next,
    At(u16),
    Any(u64),
}

#[derive(Arbitrary, Debug)]
enum Total {
    /// The end of this fragment.
    Here,
    Of(u16),
    Any(Option<u64>),
}

/// What is known from outside.
struct World {
    reassembler: Reassembler,
    longest: u64,
    arrived: u64,
    piece: Vec<u8>,
    recycled: Vec<u8>,
}

impl World {
    fn push(&mut self, frame: &[u8]) {
        self.arrived += frame.len() as u64;
        self.longest = self.longest.max(frame.len() as u64);
        let _ = self.reassembler.push(frame);
        // As it is to be done after each frame.
        if let Some(Ok(piece)) = self.reassembler.piece(&mut self.piece) {
            let len = self.piece.len() as u64;
            assert!(piece.total.is_none_or(|total| len <= total));
        }
    }

    fn poll(&mut self) {
        match self.reassembler.poll() {
            Some(Event::Message(message)) => {
                let len = message.bytes.len() as u64;
                assert!(len <= self.reassembler.limits().max_message);
                self.recycled = message.bytes;
            }
            Some(Event::Lost(lost)) => assert_ne!(lost.why, Why::Stalled),
            None => {}
        }
    }

    fn check_memory(&self) {
        let limits = self.reassembler.limits();
        let in_flight = self.reassembler.in_flight().count();
        assert!(in_flight <= limits.max_messages + 1);
        // Beyond the limit there is one message that was whole at once, and what a stream holds.
        let beyond = self.longest + limits.max_message.max(2 * self.longest);
        assert!(self.reassembler.accounted() <= limits.max_in_flight + beyond);
        // At hand: a place for what goes nowhere, and a buffer that was given back.
        let at_hand = self.longest + limits.max_message.max(2 * self.longest);
        let allocated = self.reassembler.allocated();
        assert!(allocated <= limits.max_in_flight + beyond + at_hand);
        assert!(allocated <= 4 * self.arrived + at_hand);
    }
}

fn frame(reassembler: &Reassembler, step: &Step) -> Vec<u8> {
    let Step::Frame {
        sender,
        message,
        offset,
        total,
        len,
        place,
        flip,
        lacks,
    } = step
    else {
        return Vec::new();
    };
    let sender = u64::from(*sender % 8);
    let len = len % 512;
    let in_flight = reassembler.in_flight().find(|one| one.sender == sender);
    let offset = match offset {
        Offset::Next => in_flight.map_or(0, |one| one.received),
        Offset::At(offset) => u64::from(*offset),
        Offset::Any(offset) => *offset,
    };
    let total = match total {
        Total::Here => Some(offset.saturating_add(len.into())),
        Total::Of(total) => Some(u64::from(*total)),
        Total::Any(total) => *total,
    };
    let place = match place {
        Kind::Part => Place::Part { last: false },
        Kind::Last => Place::Part { last: true },
        Kind::Abort => Place::Abort,
    };
    let header = Header {
        sender,
        message: u64::from(*message),
        offset,
        total,
        len: len.into(),
        place,
    };
    let payload = vec![*message; usize::from(len)];
    let mut frame = [&header.encode(&payload)[..], &payload].concat();
    if let Some(bit) = flip {
        let bit = usize::from(*bit) % (frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
    }
    frame.truncate(frame.len() - usize::from(lacks.unwrap_or(0)).min(frame.len()));
    frame
}

fuzz_target!(|input: Input| {
    let mut world = World {
        reassembler: Reassembler::new(Limits {
            max_message: input.max_message.into(),
            max_in_flight: input.max_in_flight.into(),
            max_messages: input.max_messages.into(),
        }),
        longest: 0,
        arrived: 0,
        piece: Vec::new(),
        recycled: Vec::new(),
    };
    for step in &input.steps {
        match step {
            Step::Raw(bytes) => world.push(bytes),
            Step::Frame { .. } => {
                let frame = frame(&world.reassembler, step);
                world.push(&frame);
            }
            Step::Poll => world.poll(),
            Step::Recycle => {
                let recycled = std::mem::take(&mut world.recycled);
                world.reassembler.recycle(recycled);
            }
            Step::Stream => world.reassembler.stream(),
            Step::EndStream => world.reassembler.end_stream(),
            Step::Lose(sender) => world
                .reassembler
                .lose(u64::from(sender % 8), Why::SenderGone),
        }
        world.check_memory();
    }
    let senders: Vec<u64> = world
        .reassembler
        .in_flight()
        .map(|one| one.sender)
        .collect();
    for sender in senders {
        world.reassembler.lose(sender, Why::SenderGone);
    }
    while world.reassembler.poll().is_some() {}
    assert_eq!(world.reassembler.accounted(), 0);
});
