//! One sender, and several who each get every message.

use std::ops::Range;

use ::ringway::broadcast::{Policy, Subscription};
use ::ringway::{Kind, Receiver, SyncKind, WaitStrategy};

use super::iceoryx::FanOut;
use super::ringfire::Ringfire;
use super::ringway::Ringway;
use super::{Contestant, Roster, limit, one_way, within};
use crate::args::Variant;
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
            let streams = ForEach::<W>((0..consumers).map(&mut stream).collect());
            list.push(limit("ringway stream for each", Some(ring), streams));
            let mut add = |name, track| list.push(within(ring, name, track));
            add(
                "ringway broadcast",
                one_way(broadcast::<W, false>(self.name(), ring)),
            );
            add(
                "ringway broadcast batch+drain",
                one_way(broadcast::<W, true>(self.name(), ring)),
            );
            let lane = broadcast(self.name(), ring).for_each(LOSSY as u32 + 2);
            let lossy = BesideLossy::<W> {
                lane,
                lossy: Vec::new(),
            };
            add("ringway broadcast, lossy beside", one_way(lossy));
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

/// `MANY`: in batches, and drained.
fn broadcast<const W: usize, const MANY: bool>(name: String, ring: u64) -> Ringway<W, MANY, MANY> {
    let lane = Ringway::new(name, ring, WaitStrategy::default());
    lane.of(Kind::Broadcast, SyncKind::Futex)
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
    lane: Ringway<W, false, false>,
    lossy: Vec<Receiver>,
}

impl<const W: usize> Lane for BesideLossy<W> {
    fn start_sending(&mut self) {
        self.lane.start_sending();
        let lossy = Subscription::new().policy(Policy::Lossy);
        let ring = self.lane.open();
        for _ in 0..LOSSY {
            let lossy = ring.subscribe(&lossy).expect("room for a consumer");
            self.lossy.push(lossy);
        }
    }

    fn start_receiving(&mut self) {
        self.lane.start_receiving();
    }

    fn unlink(&mut self) {
        self.lane.unlink();
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        self.lane.send(numbers);
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        self.lane.receive(numbers);
    }
}
