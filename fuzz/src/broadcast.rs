//! What the targets for broadcast rings have in common.

use std::time::Duration;

use arbitrary::Arbitrary;
use ringway_core::broadcast::{EvictAfter, Policy, Start, Subscription};

/// How a consumer takes part, as short as can be.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Wish {
    policy: Way,
    start: From,
    name: Option<u8>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Way {
    Block,
    Lossy,
    Behind(u16),
    Waiting(bool),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum From {
    Oldest,
    Latest,
    Last(u8),
    Number(u16),
}

impl Wish {
    /// What it chooses. Nobody waits for as long as a bound in time is, or such a bound is nothing.
    pub fn policy(self) -> Policy {
        match self.policy {
            Way::Block => Policy::Block,
            Way::Lossy => Policy::Lossy,
            Way::Behind(bytes) => Policy::Evict(EvictAfter::Bytes(bytes.into())),
            Way::Waiting(true) => Policy::Evict(EvictAfter::Waiting(Duration::from_secs(3600))),
            Way::Waiting(false) => Policy::Evict(EvictAfter::Waiting(Duration::ZERO)),
        }
    }

    pub fn start(self) -> Start {
        match self.start {
            From::Oldest => Start::Oldest,
            From::Latest => Start::Latest,
            From::Last(count) => Start::Last(count.into()),
            From::Number(number) => Start::Number(number.into()),
        }
    }

    /// One of a few names.
    pub fn name(self) -> Option<String> {
        self.name.map(|name| format!("name {}", name % 5))
    }

    pub fn subscription(self) -> Subscription {
        let wish = Subscription::new()
            .policy(self.policy())
            .start(self.start());
        match self.name() {
            Some(name) => wish.name(name),
            None => wish,
        }
    }
}
