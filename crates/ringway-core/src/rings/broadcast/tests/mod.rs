//! Tests of the broadcast ring over every region but a mapping.

#[cfg(not(loom))]
mod hostile;
#[cfg(loom)]
mod interleavings;
#[cfg(not(loom))]
mod joining;
#[cfg(not(loom))]
mod policies;
#[cfg(not(loom))]
mod property;
#[cfg(not(loom))]
mod resume;
#[cfg(not(loom))]
mod threads;

#[cfg(not(loom))]
use heap::{ALL, Ring};

#[cfg(not(loom))]
mod heap {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use crate::memory::layout::Geometry;
    use crate::memory::layout::broadcast::allowed;
    use crate::memory::layout::participant::{EPOCH, sight_offset, slot_offset};
    use crate::memory::region::memory::{Heap, Memory};
    use crate::memory::region::{Load, Region};
    use crate::rings::broadcast::consumer::Consumer;
    use crate::rings::broadcast::producer::Producer;
    use crate::rings::broadcast::{Policy, Refused, Start, Wish};
    use crate::sys::futex::{OWNER_DIED, WAITERS};

    /// All policies.
    pub(super) const ALL: u8 = allowed::ALL;

    /// A ring on the heap, whose participants live and die as they are told.
    pub(super) struct Ring {
        heap: Arc<Heap>,
        participants: u32,
        policies: u8,
    }

    impl Ring {
        pub(super) fn new(capacity: u64, consumers: u32) -> Self {
            let geometry = Geometry::broadcast(capacity, consumers).unwrap();
            Self {
                heap: Heap::new(geometry).unwrap(),
                participants: 1 + consumers,
                policies: ALL,
            }
        }

        pub(super) fn allowing(self, policies: u8) -> Self {
            Self { policies, ..self }
        }

        pub(super) fn region(&self) -> Memory {
            self.heap.region()
        }

        /// What keepers do; returns the epoch.
        pub(super) fn attach(&self, slot: u32) -> u64 {
            let region = self.region();
            let at = slot_offset(slot) + EPOCH;
            let epoch = region.load64(at, Ordering::Relaxed) + 1;
            region.store64(at, epoch, Ordering::Release);
            self.see(slot, WAITERS | 1);
            epoch
        }

        /// What a keeper or the kernel does at the end.
        pub(super) fn leave(&self, slot: u32) {
            self.see(slot, 0);
        }

        pub(super) fn kill(&self, slot: u32) {
            self.see(slot, WAITERS | OWNER_DIED);
        }

        fn see(&self, slot: u32, word: u32) {
            for other in 0..self.participants {
                let at = sight_offset(self.participants, slot, other);
                self.region().store32(at, word, Ordering::Release);
            }
        }

        pub(super) fn producer(&self) -> Producer<Memory> {
            self.attach(0);
            Producer::resume(self.region(), self.participants, self.policies).unwrap()
        }

        pub(super) fn consumer(&self, slot: u32, policy: Policy, start: Start) -> Consumer<Memory> {
            let wish = Wish {
                policy,
                start,
                name: None,
            };
            self.join(slot, &wish).unwrap()
        }

        pub(super) fn named(&self, slot: u32, name: &str) -> Result<Consumer<Memory>, Refused> {
            self.join(
                slot,
                &Wish {
                    policy: Policy::Block,
                    start: Start::Oldest,
                    name: Some(name),
                },
            )
        }

        fn join(&self, slot: u32, wish: &Wish<'_>) -> Result<Consumer<Memory>, Refused> {
            let epoch = self.attach(slot);
            Consumer::join(self.region(), self.participants, (slot, epoch), wish)
        }
    }

    impl Producer<Memory> {
        /// As `Sender::try_send` does.
        pub(super) fn try_send(&mut self, message: &[u8]) -> Result<(), crate::error::SendError> {
            match self.send_at_once(message) {
                true => Ok(()),
                false => self.send(message, None),
            }
        }

        /// Sends a message that says its number.
        pub(super) fn try_number(&mut self) -> Result<(), crate::error::SendError> {
            let number = self.sent();
            self.try_send(&number.to_le_bytes())
        }

        /// Sends so many of them.
        pub(super) fn numbers(&mut self, count: u64) {
            (0..count).for_each(|_| self.try_number().unwrap());
        }
    }

    impl Consumer<Memory> {
        /// Receives a message, which says its number.
        pub(super) fn try_number(&mut self) -> Result<u64, crate::error::RecvError> {
            let number = self.number();
            let mut bytes = [0; 8];
            let received = self.recv_into(&mut bytes, None)?;
            assert_eq!(received, 8);
            assert_eq!(u64::from_le_bytes(bytes), number);
            Ok(number)
        }

        /// Receives all that there are, and says why there are no more.
        pub(super) fn all_numbers(&mut self) -> (Vec<u64>, crate::error::RecvError) {
            let mut numbers = Vec::new();
            loop {
                match self.try_number() {
                    Ok(number) => numbers.push(number),
                    Err(error) => return (numbers, error),
                }
            }
        }
    }
}
