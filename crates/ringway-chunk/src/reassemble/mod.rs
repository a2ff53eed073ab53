//! The receiver's side of messages, without I/O: frames go in, events come out.

mod limits;
mod partial;
mod stream;

use std::collections::{HashMap, VecDeque};

use ringway_core::transport::MessageRoom;

pub use limits::{Counts, Limits};
use partial::Partial;
pub use stream::Piece;
use stream::Stream;

use crate::event::{Event, Gathered, Lost, Why};
use crate::frame::{FrameError, HEADER_LEN, Header, Place};

/// Losses that wait to be fetched, at most.
const MAX_LOSSES: usize = 1024;
/// Senders that are remembered after their messages, at least; their last message is told from a new one.
const MAX_SENDERS: usize = 1024;
/// A message so far before the last one is no old one: the sender counts anew.
const OLD: u64 = 1 << 32;

#[derive(Debug, Default)]
struct Sender {
    /// Messages up to this are whole or lost.
    last: Option<u64>,
    partial: Option<Partial>,
    /// The count of frames when one came.
    heard: u64,
}

impl Sender {
    fn has_finished(&self, message: u64) -> bool {
        self.last
            .is_some_and(|last| last.wrapping_sub(message) < OLD)
    }
}

/// A message in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Who sends it.
    pub sender: u64,
    /// Which of the sender's messages it is.
    pub message: u64,
    /// Bytes that have arrived.
    pub received: u64,
    /// Frames of any sender that have come since its last one.
    pub idle: u64,
}

/// Puts messages together. It knows no I/O: frames go in, events come out.
///
/// A sender's fragments come in order, those of several senders interleaved. What becomes of a message:
///
/// | state | fragment | next |
/// |---|---|---|
/// | unknown | the first | in flight; whole if it is the last too; lost if the limits say so |
/// | unknown | another, or an abort | lost: orphan |
/// | in flight | the next | in flight, or whole |
/// | in flight | one that has come already | in flight |
/// | in flight | any other, an abort, or one of the sender's next message | lost |
/// | whole or lost | any | the same |
///
/// Before any of that the checksum of a private copy must be right. If it is not, only the message that the
/// fragment would have continued is lost: what else a damaged header says is nobody's word.
///
/// Memory grows with what has arrived, at most twice as fast, and never with what a header says.
#[derive(Debug)]
pub struct Reassembler {
    limits: Limits,
    senders: HashMap<u64, Sender>,
    events: VecDeque<Event>,
    losses: usize,
    /// Bytes and messages that count against the limits: in flight, and whole ones among the events.
    bytes: u64,
    in_flight: usize,
    waiting: usize,
    stream: Stream,
    stream_lost: Option<Lost>,
    refused: bool,
    /// For payloads that have no place of their own.
    scratch: Vec<u8>,
    /// A buffer for a message to come.
    spare: Vec<u8>,
    counts: Counts,
}

impl Reassembler {
    /// One that has seen nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            senders: HashMap::new(),
            events: VecDeque::new(),
            losses: 0,
            bytes: 0,
            in_flight: 0,
            waiting: 0,
            stream: Stream::None,
            stream_lost: None,
            refused: false,
            scratch: Vec::new(),
            spare: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes a frame in. What becomes of its message is told by [`poll`](Self::poll).
    ///
    /// # Errors
    /// [`FrameError`] if it is none, which changes nothing.
    pub fn push(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        let payload = frame.get(HEADER_LEN..).unwrap_or_default();
        let header = frame.get(..HEADER_LEN).unwrap_or(frame);
        self.push_with(header, frame.len(), |offset, mut room| {
            room.write_at(0, payload.get(offset..).unwrap_or_default())
        })
    }

    /// Takes a frame of `frame_len` bytes in: `header` is a private copy of its beginning, and
    /// `copy_payload` copies what follows the header to where it belongs: from an offset of the payload to the start
    /// of the room that it is given, and says how much that was. It is called for one part after the other.
    ///
    /// # Errors
    /// [`FrameError`] if it is none, which changes nothing.
    pub fn push_with(
        &mut self,
        header: &[u8],
        frame_len: usize,
        copy_payload: impl FnMut(usize, &mut [u8]) -> usize,
    ) -> Result<(), FrameError> {
        let decoded = Header::decode(header, frame_len)?;
        let Some(header) = header.first_chunk() else {
            return Err(FrameError::TooShort { len: frame_len });
        };
        self.counts.frames += 1;
        match self.plan(&decoded) {
            Plan::Continue => self.go_on(header, &decoded, copy_payload),
            Plan::Begin(partial) => self.begin(partial, header, &decoded, copy_payload),
            Plan::Settle(loss) => self.settle(loss, header, &decoded, copy_payload),
        }
        Ok(())
    }

    /// What to do with a fragment if its checksum is right. Changes nothing but memory at hand.
    fn plan(&mut self, header: &Header) -> Plan {
        let part = matches!(header.place, Place::Part { .. });
        let sender = self.senders.get(&header.sender);
        let partial = sender.and_then(|sender| sender.partial.as_ref());
        if sender.is_some_and(|sender| sender.has_finished(header.message)) {
            return Plan::Settle(Settle::Stale);
        }
        let Some(partial) = partial.filter(|partial| partial.message == header.message) else {
            return match part && header.is_first() {
                true => self.admit(header),
                false => Plan::Settle(Settle::Lost(Why::Orphan)),
            };
        };
        if partial.complete {
            return Plan::Settle(Settle::Stale);
        }
        if !part {
            return Plan::Settle(Settle::Lost(Why::Aborted));
        }
        if header.total != partial.total {
            return Plan::Settle(Settle::Lost(Why::Contradiction));
        }
        let received = partial.received();
        if header.offset == received {
            return self.make_room(header);
        }
        Plan::Settle(if header.offset > received {
            Settle::Lost(Why::Gap)
        } else if header.end() <= received && !header.is_last() {
            Settle::Stale
        } else {
            Settle::Lost(Why::Contradiction)
        })
    }

    /// Whether a message may begin.
    fn admit(&mut self, header: &Header) -> Plan {
        let streams = self.stream == Stream::Next;
        let len = u64::from(header.len);
        let known = header.total.unwrap_or(len);
        if !streams {
            if known > self.limits.max_message {
                return Plan::Settle(Settle::Lost(Why::TooLong { len: known }));
            }
            // One that is whole at once, and fetched at once, need not find room.
            let at_once = header.is_last() && self.waiting == 0;
            // The sender's message before this one ends here.
            let (before, bytes) = self.superseded(header.sender);
            let fits = self.in_flight + self.waiting - before < self.limits.max_messages
                && (self.bytes - bytes).saturating_add(known) <= self.limits.max_in_flight;
            if !at_once && !fits {
                return Plan::Settle(Settle::Lost(Why::NoRoom));
            }
        }
        let spare = self.take_spare(header);
        let mut partial = Partial::new(header, spare, self.counts.frames);
        let most = self.limits.max_message;
        let reserved = match partial.wants(header.len as usize, most, streams) {
            None => true,
            Some((wanted, least)) => partial.reserve(wanted) || partial.reserve(least),
        };
        match reserved {
            true => Plan::Begin(partial),
            false => Plan::Settle(Settle::Lost(Why::NoRoom)),
        }
    }

    /// The message and the bytes that go when the sender begins another.
    fn superseded(&self, sender: u64) -> (usize, u64) {
        let partial = self.senders.get(&sender);
        let partial = partial.and_then(|sender| sender.partial.as_ref());
        partial.map_or((0, 0), |partial| {
            (1, partial.account(self.stream == Stream::Of(sender)))
        })
    }

    /// A buffer that was given back, if the message needs as much.
    fn take_spare(&mut self, header: &Header) -> Vec<u8> {
        let capacity = self.spare.capacity() as u64;
        let fits = header.total.is_some_and(|total| capacity <= total);
        if fits && self.stream != Stream::Next {
            std::mem::take(&mut self.spare)
        } else {
            Vec::new()
        }
    }

    /// Has memory for a message to go on.
    fn make_room(&mut self, header: &Header) -> Plan {
        let streams = self.stream == Stream::Of(header.sender);
        let limits = self.limits;
        let all = self.bytes;
        let Some(partial) = self.partial(header.sender) else {
            return Plan::Settle(Settle::Stale);
        };
        let end = partial.received().saturating_add(header.len.into());
        if !streams && end > limits.max_message {
            return Plan::Settle(Settle::Lost(Why::TooLong { len: end }));
        }
        let Some((wanted, least)) = partial.wants(header.len as usize, limits.max_message, streams)
        else {
            return Plan::Continue;
        };
        let before = partial.account(streams);
        let others = all - before;
        for capacity in [wanted, least] {
            // What is known to come was let in as a whole.
            let counted = partial.total.is_some() || streams;
            if (counted || others.saturating_add(capacity) <= limits.max_in_flight)
                && partial.reserve(capacity)
            {
                let after = partial.account(streams);
                self.bytes = others.saturating_add(after);
                return Plan::Continue;
            }
        }
        Plan::Settle(Settle::Lost(Why::NoRoom))
    }

    fn partial(&mut self, sender: u64) -> Option<&mut Partial> {
        self.senders.get_mut(&sender)?.partial.as_mut()
    }

    /// Copies a fragment to the end of its message.
    fn go_on(
        &mut self,
        bytes: &[u8; HEADER_LEN],
        header: &Header,
        copy_payload: impl FnMut(usize, &mut [u8]) -> usize,
    ) {
        let now = self.counts.frames;
        let len = header.len as usize;
        let Some(sender) = self.senders.get_mut(&header.sender) else {
            return;
        };
        let Some(partial) = &mut sender.partial else {
            return;
        };
        if !Header::copy_payload(bytes, partial.room(len), copy_payload) {
            self.counts.corrupt += 1;
            self.lose(header.sender, Why::Corrupt);
            return;
        }
        partial.grow(header, now);
        sender.heard = now;
        if header.is_last() {
            self.complete(header.sender);
        }
    }

    /// Begins a message with its first fragment.
    fn begin(
        &mut self,
        mut partial: Partial,
        bytes: &[u8; HEADER_LEN],
        header: &Header,
        copy_payload: impl FnMut(usize, &mut [u8]) -> usize,
    ) {
        let len = header.len as usize;
        if !Header::copy_payload(bytes, partial.room(len), copy_payload) {
            self.spare = partial.into_buffer();
            self.report_damage(header);
            return;
        }
        self.lose(header.sender, Why::Superseded);
        partial.grow(header, self.counts.frames);
        let streams = self.stream == Stream::Next;
        if streams {
            self.stream = Stream::Of(header.sender);
        }
        self.bytes = self.bytes.saturating_add(partial.account(streams));
        self.in_flight += 1;
        let sender = self.sender(header.sender);
        sender.last = Some(header.message.wrapping_sub(1));
        sender.partial = Some(partial);
        if header.is_last() {
            self.complete(header.sender);
        }
    }

    /// A fragment that goes into no message.
    fn settle(
        &mut self,
        outcome: Settle,
        bytes: &[u8; HEADER_LEN],
        header: &Header,
        copy_payload: impl FnMut(usize, &mut [u8]) -> usize,
    ) {
        let len = header.len as usize;
        if self.scratch.len() < len {
            // The payload has arrived, so it is no longer than what the transport holds.
            self.scratch.resize(len, 0);
        }
        let room = &mut self.scratch[..len];
        if !Header::copy_payload(bytes, room, copy_payload) {
            self.report_damage(header);
            return;
        }
        match outcome {
            Settle::Stale => self.counts.stale += 1,
            Settle::Lost(why) => {
                let continues = self.partial(header.sender).map(|partial| partial.message);
                if continues == Some(header.message) {
                    self.lose(header.sender, why);
                    return;
                }
                self.lose(header.sender, Why::Superseded);
                self.sender(header.sender).last = Some(header.message);
                self.report(Lost {
                    sender: header.sender,
                    message: header.message,
                    received: 0,
                    why,
                });
            }
        }
    }

    /// A damaged fragment that is not the next of a message in flight: nothing follows from what it says.
    fn report_damage(&mut self, header: &Header) {
        self.counts.corrupt += 1;
        self.report(Lost {
            sender: header.sender,
            message: header.message,
            received: 0,
            why: Why::Corrupt,
        });
    }

    /// What is known of a sender.
    fn sender(&mut self, id: u64) -> &mut Sender {
        let now = self.counts.frames;
        let most = MAX_SENDERS.max(self.limits.max_messages);
        if self.senders.len() >= most && !self.senders.contains_key(&id) {
            self.forget_half();
        }
        let sender = self.senders.entry(id).or_default();
        sender.heard = now;
        sender
    }

    /// Forgets those senders that were not heard for the longest time and have nothing in flight.
    fn forget_half(&mut self) {
        let mut heard: Vec<u64> = self.senders.values().map(|sender| sender.heard).collect();
        let half = heard.len() / 2;
        let (_, &mut median, _) = heard.select_nth_unstable(half);
        self.senders
            .retain(|_, sender| sender.partial.is_some() || sender.heard > median);
    }

    /// The sender's message in flight is not in flight any more.
    fn take_partial(&mut self, id: u64) -> Option<Partial> {
        let streams = self.stream == Stream::Of(id);
        let sender = self.senders.get_mut(&id)?;
        let partial = sender.partial.take()?;
        sender.last = Some(partial.message);
        self.in_flight -= 1;
        self.bytes -= partial.account(streams);
        if streams {
            self.stream = Stream::None;
        }
        Some(partial)
    }

    fn complete(&mut self, id: u64) {
        // A stream's last piece is fetched first.
        if self.stream == Stream::Of(id) {
            return;
        }
        let Some(partial) = self.take_partial(id) else {
            return;
        };
        let message = partial.message;
        let bytes = partial.into_bytes();
        self.bytes = self.bytes.saturating_add(bytes.capacity() as u64);
        self.waiting += 1;
        self.events.push_back(Event::Message(Gathered {
            sender: id,
            message,
            bytes,
        }));
    }

    /// Drops the sender's message in flight, if there is one, and reports it.
    pub fn lose(&mut self, sender: u64, why: Why) {
        let streams = self.stream == Stream::Of(sender);
        let Some(partial) = self.take_partial(sender) else {
            return;
        };
        let lost = Lost {
            sender,
            message: partial.message,
            received: partial.received(),
            why,
        };
        if streams {
            self.stream_lost = Some(lost);
        } else {
            self.report(lost);
        }
    }

    fn report(&mut self, lost: Lost) {
        self.refused |= lost.why == Why::NoRoom;
        if self.losses == MAX_LOSSES {
            self.counts.unreported += 1;
            return;
        }
        self.losses += 1;
        self.events.push_back(Event::Lost(lost));
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        match &event {
            Event::Lost(_) => self.losses -= 1,
            Event::Message(message) => {
                self.waiting -= 1;
                self.bytes -= message.bytes.capacity() as u64;
            }
        }
        Some(event)
    }

    /// Whether a message was refused for want of room since this was asked last.
    pub(crate) fn has_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Takes a buffer for a message to come, so that it need not be allocated.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() as u64 <= self.limits.max_message {
            self.spare = buffer;
        }
    }

    fn partials(&self) -> impl Iterator<Item = (u64, &Partial)> {
        let senders = self.senders.iter();
        senders.filter_map(|(id, sender)| Some((*id, sender.partial.as_ref()?)))
    }

    /// Whether there is an event.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The messages in flight, in no order.
    pub fn in_flight(&self) -> impl Iterator<Item = InFlight> + '_ {
        self.partials().map(|(sender, partial)| InFlight {
            sender,
            message: partial.message,
            received: partial.received(),
            idle: self.counts.frames - partial.grew,
        })
    }

    /// Whether no message is in flight.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Bytes that have arrived and are not fetched: of messages in flight, of whole ones, and of lost ones that are
    /// not told yet.
    pub fn held(&self) -> u64 {
        let in_flight = self.in_flight().map(|one| one.received);
        let events = self.events.iter().map(|event| match event {
            Event::Message(message) => message.bytes.len() as u64,
            Event::Lost(lost) => lost.received,
        });
        in_flight.chain(events).sum()
    }

    /// Bytes that count against `max_in_flight`.
    pub fn accounted(&self) -> u64 {
        self.bytes
    }

    /// Bytes of memory that messages have: in flight, waiting to be fetched, and at hand for those to come.
    pub fn allocated(&self) -> u64 {
        let partials = self.partials().map(|(_, partial)| partial.capacity());
        let waiting = self.events.iter().map(|event| match event {
            Event::Message(message) => message.bytes.capacity() as u64,
            Event::Lost(_) => 0,
        });
        let at_hand = self.scratch.capacity() + self.spare.capacity();
        partials.chain(waiting).sum::<u64>() + at_hand as u64
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The limits.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

/// What to do with a fragment.
enum Plan {
    /// It is the next of a message in flight, which has room for it.
    Continue,
    /// It begins a message, with room for it.
    Begin(Partial),
    /// It goes into no message.
    Settle(Settle),
}

enum Settle {
    /// Nothing follows.
    Stale,
    /// The message that it is of is lost.
    Lost(Why),
}
