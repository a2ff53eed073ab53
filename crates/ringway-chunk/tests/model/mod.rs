//! What a reassembler must tell of the frames of several senders, of which some are dropped, damaged, or
//! come again. The model knows frames by their number in the message, and nothing of bytes in flight.

use std::collections::BTreeMap;

use ringway_chunk::{
    Event, Gathered, HEADER_LEN, Header, Limits, Lost, Place, Reassembler, Splitter, Why,
};

const SENDERS: u64 = 4;
/// Frames of each sender that may come again.
const REMEMBERED: usize = 12;

/// A frame with its place in its message.
#[derive(Clone, Debug)]
struct Frame {
    bytes: Vec<u8>,
    message: u64,
    number: usize,
    total: Option<u64>,
    end: u64,
    last: bool,
    aborts: bool,
}

/// A sender: what it makes.
#[derive(Default)]
struct Maker {
    message: u64,
    /// Its present message, the splitter, how much to put into a fragment, and the number of the next.
    present: Option<(Vec<u8>, Splitter, usize, usize)>,
    made: Vec<Frame>,
}

/// A sender: what has come of it.
#[derive(Default)]
struct Known {
    finished: u64,
    /// The message in flight, the frame that would continue it, the bytes that have come and their total.
    in_flight: Option<(u64, usize, u64, Option<u64>)>,
}

/// Senders, a reassembler, and what is known about it.
pub struct World {
    reassembler: Reassembler,
    makers: Vec<Maker>,
    known: Vec<Known>,
    contents: BTreeMap<(u64, u64), Vec<u8>>,
    limits: Limits,
}

impl World {
    /// A world in which messages of most, not all, lengths are let in, and most often.
    pub fn new(max_message: u8, max_messages: u8) -> Self {
        let limits = Limits {
            max_message: u64::from(max_message),
            max_in_flight: 1 << 20,
            max_messages: usize::from(max_messages) % (SENDERS as usize + 1),
        };
        Self {
            reassembler: Reassembler::new(limits),
            makers: (0..SENDERS).map(|_| Maker::default()).collect(),
            known: (0..SENDERS).map(|_| Known::default()).collect(),
            contents: BTreeMap::new(),
            limits,
        }
    }

    /// Does what the bytes say, and compares.
    pub fn step(&mut self, [what, who, a, b]: [u8; 4]) {
        let id = u64::from(who) % SENDERS;
        match what % 16 {
            // Something is dropped.
            8 | 9 => drop(self.next_frame(id, a, b)),
            // Something comes again.
            10 | 11 => {
                let made = &self.makers[id as usize].made;
                if !made.is_empty() {
                    let frame = made[usize::from(a) % made.len()].clone();
                    self.deliver(id, &frame);
                }
            }
            12 | 13 => {
                let frame = self.next_frame(id, a, 0);
                self.deliver_damaged(frame, usize::from(a) << 8 | usize::from(b));
            }
            14 => {
                if let Some(frame) = self.abort(id) {
                    self.deliver(id, &frame);
                }
            }
            15 => self.leave(id),
            _ => {
                let frame = self.next_frame(id, a, b);
                self.deliver(id, &frame);
            }
        }
        self.check_state();
    }

    /// The next frame of the sender's message, or the first of another one.
    fn next_frame(&mut self, id: u64, a: u8, b: u8) -> Frame {
        let maker = &mut self.makers[id as usize];
        let message = maker.message + u64::from(maker.present.is_none());
        maker.message = message;
        let (bytes, splitter, fragment, number) = maker.present.get_or_insert_with(|| {
            let len = usize::from(a);
            let bytes: Vec<u8> = (0..len)
                .map(|at| (at as u8).wrapping_mul(7) ^ message as u8 ^ (id as u8) << 6)
                .collect();
            let total = (!b.is_multiple_of(3)).then_some(len as u64);
            let fragment = 1 + usize::from(b) % 80;
            (bytes, Splitter::new(id, message, total), fragment, 0)
        });
        let key = (id, message);
        self.contents.entry(key).or_insert_with(|| bytes.clone());
        let offset = splitter.sent();
        let rest = &bytes[offset as usize..];
        let payload = &rest[..rest.len().min(*fragment)];
        // Where the length is not known an empty fragment may end it.
        let header = splitter.next(payload, payload.len() < *fragment);
        splitter.advance(&header);
        let frame = Frame {
            bytes: [&header.encode(payload), payload].concat(),
            message,
            number: *number,
            total: header.total,
            end: header.end(),
            last: header.is_last(),
            aborts: false,
        };
        *number += 1;
        if frame.last {
            maker.present = None;
        }
        maker.remember(&frame);
        frame
    }

    fn abort(&mut self, id: u64) -> Option<Frame> {
        let maker = &mut self.makers[id as usize];
        let (_, splitter, _, number) = maker.present.take()?;
        let header = splitter.abort()?;
        assert_eq!(header.place, Place::Abort);
        let frame = Frame {
            bytes: header.encode(&[]).to_vec(),
            message: header.message,
            number,
            total: header.total,
            end: header.offset,
            last: false,
            aborts: true,
        };
        maker.remember(&frame);
        Some(frame)
    }

    fn deliver(&mut self, id: u64, frame: &Frame) {
        self.reassembler.push(&frame.bytes).expect("a frame");
        let expected = self.expect(id, frame);
        self.check(expected);
    }

    fn expect(&mut self, id: u64, frame: &Frame) -> Vec<Event> {
        let in_flight = self.known.iter().filter(|one| one.in_flight.is_some());
        let mut others = in_flight.count();
        let known = &mut self.known[id as usize];
        if frame.message <= known.finished {
            return Vec::new();
        }
        let mut events = Vec::new();
        let lost = |message, received, why| {
            Event::Lost(Lost {
                sender: id,
                message,
                received,
                why,
            })
        };
        if let Some((message, next, received, _)) = known.in_flight {
            if message == frame.message {
                let max = self.limits.max_message;
                let why = match () {
                    () if frame.aborts => Why::Aborted,
                    () if frame.number < next => return events,
                    () if frame.number > next => Why::Gap,
                    () if frame.end > max => Why::TooLong { len: frame.end },
                    () => {
                        known.in_flight = Some((message, next + 1, frame.end, frame.total));
                        if frame.last {
                            known.finish(message);
                            let bytes = self.contents[&(id, message)].clone();
                            events.push(Event::Message(Gathered {
                                sender: id,
                                message,
                                bytes,
                            }));
                        }
                        return events;
                    }
                };
                known.finish(message);
                return vec![lost(message, received, why)];
            }
            events.push(lost(message, received, Why::Superseded));
            known.in_flight = None;
            others -= 1;
        }
        let len = frame.total.unwrap_or(frame.end);
        let refusal = match () {
            () if frame.number > 0 => Some(Why::Orphan),
            () if len > self.limits.max_message => Some(Why::TooLong { len }),
            () if !frame.last && others >= self.limits.max_messages => Some(Why::NoRoom),
            () => None,
        };
        if let Some(why) = refusal {
            known.finish(frame.message);
            events.push(lost(frame.message, 0, why));
        } else if frame.last {
            known.finish(frame.message);
            events.push(Event::Message(Gathered {
                sender: id,
                message: frame.message,
                bytes: self.contents[&(id, frame.message)].clone(),
            }));
        } else {
            // What came before it is over.
            known.finished = frame.message - 1;
            known.in_flight = Some((frame.message, 1, frame.end, frame.total));
        }
        events
    }

    /// One bit of the frame is flipped.
    fn deliver_damaged(&mut self, mut frame: Frame, bit: usize) {
        let bit = bit % (frame.bytes.len() * 8);
        frame.bytes[bit / 8] ^= 1 << (bit % 8);
        if self.reassembler.push(&frame.bytes).is_err() {
            // It is no frame any more, and changes nothing.
            return self.check(Vec::new());
        }
        let header = Header::decode(&frame.bytes[..HEADER_LEN], frame.bytes.len());
        let Header {
            sender,
            message,
            offset,
            total,
            ..
        } = header.expect("a header, as it was taken for one");
        let mut received = 0;
        let would_continue = (message, offset, total);
        if let Some(known) = self.known.get_mut(sender as usize)
            && let Some((message, _, have, total)) = known.in_flight
            && (message, have, total) == would_continue
            && frame.bytes[4] & 4 == 0
            && header.is_ok_and(|header| header.end() <= self.limits.max_message)
        {
            received = have;
            known.finish(message);
        }
        let lost = Lost {
            sender,
            message,
            received,
            why: Why::Corrupt,
        };
        self.check(vec![Event::Lost(lost)]);
    }

    fn leave(&mut self, id: u64) {
        self.reassembler.lose(id, Why::SenderGone);
        let known = &mut self.known[id as usize];
        let lost = known.in_flight.map(|(message, _, received, _)| {
            known.finish(message);
            Event::Lost(Lost {
                sender: id,
                message,
                received,
                why: Why::SenderGone,
            })
        });
        self.check(lost.into_iter().collect());
    }

    #[track_caller]
    fn check(&mut self, expected: Vec<Event>) {
        let told: Vec<Event> = std::iter::from_fn(|| self.reassembler.poll()).collect();
        assert_eq!(told, expected);
    }

    fn check_state(&self) {
        let mut in_flight: Vec<_> = self.reassembler.in_flight().collect();
        in_flight.sort_unstable_by_key(|one| one.sender);
        let expected = self.known.iter().zip(0..);
        let expected = expected.filter_map(|(known, id)| {
            let (message, _, received, _) = known.in_flight?;
            Some((id, message, received))
        });
        let seen = in_flight
            .iter()
            .map(|one| (one.sender, one.message, one.received));
        assert!(seen.eq(expected));
        let nothing = in_flight.is_empty();
        assert!(!nothing || self.reassembler.accounted() == 0);
    }
}

impl Maker {
    fn remember(&mut self, frame: &Frame) {
        if self.made.len() == REMEMBERED {
            self.made.remove(0);
        }
        self.made.push(frame.clone());
    }
}

impl Known {
    fn finish(&mut self, message: u64) {
        self.finished = message;
        self.in_flight = None;
    }
}
