//! Who takes part between many.

use ::ringway::WaitStrategy;
use iceoryx2::prelude::BackpressureStrategy;

#[cfg(boost)]
use super::boost::Boost;
use super::cells::{Cells, Waiting, cell_len};
use super::iceoryx::Iceoryx;
use super::vyukov::Vyukov;
use super::{Contestant, Roster, within};
use crate::args::Variant;
use crate::crowd::{Crowd, Queue, Shape};

impl Roster<'_> {
    pub(super) fn many<const W: usize>(&mut self) -> Vec<Contestant> {
        let Variant::Shape(shape) = self.variant else {
            return Vec::new();
        };
        let most = shape.producers.max(shape.consumers) as u32;
        let mut list = Vec::new();
        for &ring in self.rings {
            // Everybody has room for as many messages.
            let messages = (ring / cell_len(W as u64 * 8)).max(2);
            let mut limit = crowd("raw vyukov", ring, shape, Vyukov::<W>::new(messages));
            limit.is_reference = true;
            list.push(limit);
            for (name, waiting) in [
                ("ringway polled", Waiting::Polled),
                ("ringway spin", Waiting::Own(WaitStrategy::Spin)),
                ("ringway", Waiting::Own(WaitStrategy::default())),
            ] {
                let queue = Cells::<W, 1>::new(self.name(), ring, most, waiting);
                list.push(crowd(name, ring, shape, queue));
            }
            if most == 1 {
                // The others' rings have no place for a second one of either, and so ringway knows that it is alone.
                let queue = Cells::<W, 1>::new(self.name(), ring, 32, Waiting::Polled);
                list.push(crowd("ringway polled, of 32", ring, shape, queue));
            }
            let queue = Cells::<W, 16>::new(self.name(), ring, most, Waiting::Polled);
            list.push(crowd("ringway polled batch/16", ring, shape, queue));
            let queue = Cells::<W, 64>::new(self.name(), ring, most, Waiting::Polled);
            list.push(crowd("ringway polled batch/64", ring, shape, queue));
            let queue = Cells::<W, 64>::new(
                self.name(),
                ring,
                most,
                Waiting::Own(WaitStrategy::default()),
            );
            list.push(crowd("ringway batch/64", ring, shape, queue));
            #[cfg(boost)]
            {
                let queue = Boost::<W, false>::new(self.name(), messages);
                list.push(crowd("boost polled", ring, shape, queue));
                let queue = Boost::<W, true>::new(self.name(), messages);
                list.push(crowd("boost blocking", ring, shape, queue));
            }
            if shape.consumers == 1 {
                for (name, full) in [
                    ("iceoryx2 polled", BackpressureStrategy::DiscardData),
                    ("iceoryx2", BackpressureStrategy::RetryUntilDelivered),
                ] {
                    let queue = Iceoryx::<W>::new(self.name(), messages, shape.producers, full);
                    list.push(crowd(name, ring, shape, queue));
                }
            }
        }
        #[cfg(not(boost))]
        eprintln!("compare: boost is left out: no headers or no C++ compiler when this was built");
        list
    }
}

fn crowd<const W: usize>(
    name: &'static str,
    ring: u64,
    shape: Shape,
    queue: impl Queue<W> + 'static,
) -> Contestant {
    within(ring, name, Box::new(Crowd::new(queue, shape)))
}
