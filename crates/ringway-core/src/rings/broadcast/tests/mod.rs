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
    use crate::memory::layout::broadcast::allowed;
    use crate::memory::region::memory::Memory;
    use crate::rings::broadcast::consumer::Consumer;
    use crate::rings::broadcast::producer::Producer;
    use crate::rings::broadcast::{Policy, Refused, Start, Wish};
    use crate::testing::broadcasts::HeapBroadcast;

    /// All policies.
    pub(super) const ALL: u8 = allowed::ALL;

    /// A ring on the heap, whose participants live and die as they are told.
    pub(super) struct Ring(HeapBroadcast);

    impl std::ops::Deref for Ring {
        type Target = HeapBroadcast;

        fn deref(&self) -> &HeapBroadcast {
            &self.0
        }
    }

    impl Ring {
        pub(super) fn new(capacity: u64, consumers: u32) -> Self {
            Self(HeapBroadcast::new(capacity, consumers).unwrap())
        }

        pub(super) fn allowing(self, policies: u8) -> Self {
            Self(self.0.allowing(policies))
        }

        pub(super) fn producer(&self) -> Producer<Memory> {
            self.produce(self.region()).unwrap()
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
