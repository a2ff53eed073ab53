//! What a receiver of a POSIX queue knows of the senders, against what really happened; and what the semaphores of a
//! System V queue say, whatever they say. For fuzzing and property tests.

use std::time::Duration;

use ringway_core::peer::Peer;

use crate::frame::{Header, Kind, SenderNumber};
use crate::posix::senders::Senders;
use crate::sysv::set::Values;

const PLACES: u16 = 4;

/// One that holds a place, or held it.
struct Sender {
    number: SenderNumber,
    /// Its bytes are locked.
    lives: bool,
    /// It said farewell, and may hold its place for a moment yet.
    has_left: bool,
    /// The receiver has got something of it, or has seen it alive.
    is_known: bool,
    /// Somebody attached after it had died.
    has_successor: bool,
    /// Somebody took its very place after it had died, and became known.
    is_replaced: bool,
}

impl Sender {
    fn has_died(&self) -> bool {
        !self.lives && !self.has_left
    }
}

/// Senders, their queue, and its receiver.
#[derive(Default)]
struct World {
    senders: Vec<Sender>,
    /// With the kernel's priority.
    queue: Vec<(u32, Header)>,
    known: Senders,
    last_farewell: Option<Kind>,
    now: Duration,
}

/// Does what the bytes say, has all senders end and the receiver receive everything, and compares.
///
/// # Panics
/// What the receiver knows is not what happened.
pub fn senders(steps: &[[u8; 2]]) {
    let mut world = World::default();
    for [what, which] in steps {
        world.step(*what, *which);
    }
    for sender in &mut world.senders {
        sender.lives = false;
    }
    world.look();
    while world.receive() {}
    world.check();
}

impl World {
    fn step(&mut self, what: u8, which: u8) {
        let living = self.senders.iter().filter(|sender| sender.lives).count();
        let living_at = |senders: &[Sender], which: usize| {
            let mut living = (0..senders.len()).filter(|at| senders[*at].lives);
            living.nth(which % living.clone().count().max(1))
        };
        let chosen = living_at(&self.senders, usize::from(which));
        match (what % 8, chosen) {
            (0, _) if living < usize::from(PLACES) => self.attach(),
            (1 | 2, Some(at)) if !self.senders[at].has_left => {
                let priority = 1 + u32::from(which % 3);
                self.put(priority, Kind::Data, at);
            }
            (3, Some(at)) if !self.senders[at].has_left => {
                self.senders[at].has_left = true;
                let kind = [Kind::Closed, Kind::Left][usize::from(which >> 7)];
                self.put(0, kind, at);
            }
            // It unlocks its bytes after its farewell, or dies.
            (4, Some(at)) => self.senders[at].lives = false,
            (5, _) => self.look(),
            (6 | 7, _) => drop(self.receive()),
            _ => {}
        }
    }

    fn attach(&mut self) {
        let is_free = |place: &u16| {
            let mut senders = self.senders.iter();
            !senders.any(|sender| sender.lives && sender.number.place() == *place)
        };
        let Some(place) = (0..PLACES).find(is_free) else {
            return;
        };
        self.now += Duration::from_micros(10);
        for dead in self.senders.iter_mut().filter(|sender| sender.has_died()) {
            dead.has_successor = true;
        }
        self.senders.push(Sender {
            number: SenderNumber::new(place, self.now),
            lives: true,
            has_left: false,
            is_known: false,
            has_successor: false,
            is_replaced: false,
        });
    }

    fn put(&mut self, priority: u32, kind: Kind, at: usize) {
        let sender = self.senders[at].number;
        self.queue.push((priority, Header { kind, sender }));
    }

    fn receive(&mut self) -> bool {
        let highest = self.queue.iter().map(|(priority, _)| *priority).max();
        let next = (self.queue.iter()).position(|(priority, _)| Some(*priority) == highest);
        let Some(next) = next else { return false };
        let (_, header) = self.queue.remove(next);
        self.known.note(&header);
        if header.kind != Kind::Data {
            self.last_farewell = Some(header.kind);
        }
        self.becomes_known(header.sender);
        true
    }

    fn look(&mut self) {
        let living = self.senders.iter().filter(|sender| sender.lives);
        let mut living: Vec<_> = living.map(|sender| sender.number).collect();
        living.sort_unstable();
        self.now += Duration::from_micros(10);
        self.known.looked(self.now, &living);
        living
            .into_iter()
            .for_each(|sender| self.becomes_known(sender));
    }

    fn becomes_known(&mut self, number: SenderNumber) {
        for sender in &mut self.senders {
            if sender.number == number {
                sender.is_known = true;
            } else if sender.number.place() == number.place()
                && sender.number < number
                && sender.has_died()
            {
                sender.is_replaced = true;
            }
        }
    }

    fn check(&self) {
        let end = self.known.end();
        let dead = || self.senders.iter().filter(|sender| sender.has_died());
        let by_farewells = match self.last_farewell {
            Some(Kind::Closed) => Peer::Closed,
            _ => Peer::Absent,
        };
        if dead().any(|sender| sender.is_known && !sender.has_successor) {
            assert_eq!(end, Peer::Died, "a death was missed");
        } else if dead().all(|sender| sender.is_replaced || !sender.is_known) {
            assert_eq!(end, by_farewells, "nobody died whose place nobody took");
        } else {
            // Somebody came after a death, in another place: perhaps to go on, perhaps not.
            assert!([Peer::Died, by_farewells].contains(&end), "{end:?}");
        }
    }
}

/// What is read out of semaphores with any values.
pub fn semaphores(values: &[u16]) {
    // The kernel knows no larger ones.
    let values = values.iter().map(|value| value & 0x7fff).collect();
    let values = Values(values);
    let side = values.sending_side();
    assert_eq!(side == Peer::Alive, values.senders() > 0);
    assert_eq!(
        values.receiving_side() == Peer::Alive,
        values.receivers() > 0
    );
    assert!(side != Peer::Died || values.dead() > 0);
    let _ = values.has_priorities();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_receiver_knows_what_became_of_the_senders(
            steps in prop::collection::vec(any::<[u8; 2]>(), 0..60)
        ) {
            super::senders(&steps);
        }

        #[test]
        fn semaphores_may_say_anything(values in prop::collection::vec(any::<u16>(), 0..90)) {
            super::semaphores(&values);
        }
    }
}
