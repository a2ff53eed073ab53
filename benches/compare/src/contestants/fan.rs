//! One sender, and several who each get every message.

use std::ops::Range;

use ::ringway::broadcast::{Policy, Subscription};
use ::ringway::{Builder, Kind, Receiver, Sender, SyncKind, WaitStrategy};

use super::iceoryx::FanOut;
use super::ringfire::Ringfire;
use super::ringway::Ringway;
use super::{Contestant, Roster, one_way};
use crate::args::Variant;
use crate::message;
use crate::track::{LEAD, Lane, Tape, Track};

impl Roster<'_> {
    pub(super) fn fan<const W: usize>(&mut self) -> Vec<Contestant> {
        let Variant::Shape(shape) = self.variant else {
            return Vec::new();
        };
        let consumers = shape.consumers;
        let mut list = Vec::new();
        for &ring in self.rings {
            let mut stream = |_| {
                let lane = Ringway::new(self.name(), ring, WaitStrategy::default());
                lane.of(Kind::Spsc, SyncKind::Futex)
            };
            list.push(Contestant {
                name: "ringway stream for each",
                ring: Some(ring),
                is_reference: true,
                track: Box::new(ForEach::<W>((0..consumers).map(&mut stream).collect())),
            });
            let mut add = |name, track: Box<dyn Track>| {
                list.push(Contestant {
                    name,
                    ring: Some(ring),
                    is_reference: false,
                    track,
                });
            };
            let lane = Ringway::<W, false, false>::new(self.name(), ring, WaitStrategy::default());
            add(
                "ringway broadcast",
                one_way(lane.of(Kind::Broadcast, SyncKind::Futex)),
            );
            let lane = Ringway::<W, true, true>::new(self.name(), ring, WaitStrategy::default());
            add(
                "ringway broadcast batch+drain",
                one_way(lane.of(Kind::Broadcast, SyncKind::Futex)),
            );
            add(
                "ringway broadcast, lossy beside",
                one_way(BesideLossy::<W>::new(self.name(), ring)),
            );
            add(
                "ringfire",
                one_way(Ringfire::<W, false>::for_many(self.name(), ring, consumers)),
            );
            let messages = ring / (W as u64 * 8);
            add(
                "iceoryx2",
                one_way(FanOut::<W>::new(self.name(), messages, consumers)),
            );
        }
        list
    }
}

/// By hand: a stream ring for each, and each message is sent to all of them.
struct ForEach<const W: usize>(Vec<Ringway<W, false, false>>);

impl<const W: usize> Track for ForEach<W> {
    fn start(&mut self, member: usize) {
        if member == LEAD {
            self.0.iter_mut().for_each(Lane::start_sending);
        }
    }

    fn join(&mut self, member: usize) {
        if member != LEAD {
            self.0[member - 1].start_receiving();
        }
    }

    fn unlink(&mut self, member: usize) {
        if member == LEAD {
            self.0.iter_mut().for_each(Lane::unlink);
        }
    }

    fn run(&mut self, member: usize, numbers: Range<u64>, _: Tape<'_>) {
        if member != LEAD {
            return self.0[member - 1].receive(numbers);
        }
        for number in numbers {
            for lane in &mut self.0 {
                lane.send(number..number + 1);
            }
        }
    }
}

/// How many lossy consumers there are, none of which ever looks.
const LOSSY: usize = 90;

/// A broadcast ring with lossy consumers that sleep through everything, in the leading process.
struct BesideLossy<const W: usize> {
    address: String,
    capacity: u64,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    lossy: Vec<Receiver>,
}

impl<const W: usize> BesideLossy<W> {
    fn new(name: String, capacity: u64) -> Self {
        Self {
            address: format!("shm:{name}"),
            capacity,
            sender: None,
            receiver: None,
            lossy: Vec::new(),
        }
    }

    fn builder(&self) -> Builder {
        Builder::new(&self.address).expect("the address is well formed")
    }
}

impl<const W: usize> Lane for BesideLossy<W> {
    fn start_sending(&mut self) {
        let builder = self.builder().kind(Kind::Broadcast).capacity(self.capacity);
        let builder = builder.participants(LOSSY as u32 + 2);
        let ring = builder.create().expect("a new ring");
        self.sender = Some(ring.sender().expect("no other producer"));
        let lossy = Subscription::new().policy(Policy::Lossy);
        for _ in 0..LOSSY {
            let lossy = ring.subscribe(&lossy).expect("room for a consumer");
            self.lossy.push(lossy);
        }
    }

    fn start_receiving(&mut self) {
        let ring = self.builder().open().expect("the other has made it");
        self.receiver = Some(ring.receiver().expect("room for a consumer"));
    }

    fn unlink(&mut self) {
        let address = self.address.parse().expect("the address is well formed");
        ::ringway::remove(&address, true).expect("it is there");
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let sender = self.sender.as_mut().expect("started");
        let mut message = [0; W];
        for number in numbers {
            message::fill(&mut message, number);
            let sent = sender.send(bytemuck::cast_slice(&message));
            sent.expect("a live consumer");
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let receiver = self.receiver.as_mut().expect("started");
        let mut message = [0; W];
        for number in numbers {
            let bytes = bytemuck::cast_slice_mut(&mut message);
            if receiver.recv_into(bytes).expect("a live producer") != W * 8 {
                message::wrong(number);
            }
            message::check(&message, number);
        }
    }
}
