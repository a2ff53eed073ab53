//! What a receiver knows of the senders, to tell an orderly end from a death.
//!
//! Senders hold places, one after the other, and a later holder of a place has a higher number ([`SenderNumber`]). Of each
//! place the receiver remembers the latest holder that it has heard of, by a frame or by a look at the locks:
//!
//! | state | means |
//! |---|---|
//! | open | it was seen alive, or sent something; no farewell yet |
//! | lost | the same, and a look has found it gone. Its farewell may still be in the queue |
//! | left | it said farewell. It may be seen alive for a moment yet |
//!
//! | what happens | to the place |
//! |---|---|
//! | data of the latest holder, or of an earlier one | nothing: priorities let messages overtake each other |
//! | data of a later holder, or a look finds one | it is open. Whoever was there before is gone, and if it died, this one has taken its place |
//! | a farewell of the latest holder, or of a later one | its sender has left |
//! | a farewell of an earlier one | nothing; it counts as the last farewell all the same |
//! | a look does not find an open holder | it is lost |
//!
//! Farewells have the lowest priority, so a farewell is received when nothing else of its sender is in the queue, and
//! farewells come in the order in which senders left. A sender says farewell *before* it unlocks its bytes. So when a look
//! finds nobody alive, and the queue is empty *after* that look, every farewell has been received that will ever come: a
//! holder that is lost then has died. If none is, the last farewell decides: who closed has ended the stream, who only left
//! has not.
//!
//! A sender that appears in a place whose last holder left, or of which nothing is known, takes the place of one that was
//! lost, if there is one and it attached after that was seen. (One that attached before may have been there together
//! with the dead one, whose death must not be forgotten for it.)

use std::collections::BTreeMap;
use std::time::Duration;

use ringway_core::peer::Peer;

use crate::frame::{Header, Kind, SenderNumber};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// When that was seen, as numbers have it.
    Lost(u64),
    Left,
}

/// What is known of each place's latest holder; at most as many as there are places.
#[derive(Debug, Default)]
pub struct Senders {
    places: BTreeMap<u16, (SenderNumber, State)>,
    /// Whose data came last: nothing is to be noted of the next.
    last: Option<SenderNumber>,
    /// The last farewell was a closing.
    has_closed: bool,
}

impl Senders {
    /// A frame was received.
    pub fn note(&mut self, header: &Header) {
        let Header { kind, sender } = *header;
        match kind {
            Kind::Data if self.last == Some(sender) => {}
            Kind::Data => {
                self.last = Some(sender);
                self.heard_of(sender);
            }
            Kind::Closed | Kind::Left => {
                self.last = None;
                self.has_closed = kind == Kind::Closed;
                let latest = self.places.entry(sender.place());
                let latest = latest.or_insert((sender, State::Left));
                if latest.0 <= sender {
                    *latest = (sender, State::Left);
                }
            }
        }
    }

    /// A look at this time, so long after the machine was started, has found these alive, and no others. They are in order.
    pub fn looked(&mut self, now: Duration, alive: &[SenderNumber]) {
        let now = SenderNumber::new(0, now).time();
        self.last = None;
        for (sender, state) in self.places.values_mut() {
            let lives = alive.binary_search(sender).is_ok();
            match state {
                State::Open if !lives => *state = State::Lost(now),
                State::Lost(_) if lives => *state = State::Open,
                _ => {}
            }
        }
        alive.iter().for_each(|sender| self.heard_of(*sender));
    }

    fn heard_of(&mut self, sender: SenderNumber) {
        let place = sender.place();
        match self.places.get(&place) {
            Some((latest, _)) if *latest >= sender => return,
            Some((_, State::Open | State::Lost(_))) => {}
            Some((_, State::Left)) | None => {
                let mut places = self.places.iter();
                let lost = places.find(
                    |(_, (_, state))| matches!(state, State::Lost(seen) if *seen <= sender.time()),
                );
                if let Some((&lost, _)) = lost {
                    self.places.remove(&lost);
                }
            }
        }
        self.places.insert(place, (sender, State::Open));
    }

    /// What they are together, when nobody lives.
    pub fn end(&self) -> Peer {
        let mut states = self.places.values();
        if states.any(|(_, state)| *state != State::Left) {
            Peer::Died
        } else if self.has_closed {
            Peer::Closed
        } else {
            Peer::Absent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `nth` holder of a place.
    fn holder(place: u16, nth: u32) -> SenderNumber {
        SenderNumber::new(place, Duration::from_millis(1) * nth)
    }

    /// What a receiver knows after frames and looks, in this order. Senders are places, and which holder of it.
    #[derive(Clone)]
    enum Step {
        Data(u16, u32),
        Closed(u16, u32),
        Left(u16, u32),
        Look(Vec<(u16, u32)>),
    }

    #[track_caller]
    fn check(steps: &[Step], end: Peer) {
        let mut senders = Senders::default();
        // Looks come between the attachments.
        let mut now = Duration::from_micros(500);
        for step in steps {
            let (kind, place, nth) = match step.clone() {
                Step::Data(place, nth) => (Kind::Data, place, nth),
                Step::Closed(place, nth) => (Kind::Closed, place, nth),
                Step::Left(place, nth) => (Kind::Left, place, nth),
                Step::Look(alive) => {
                    let alive = alive.into_iter().map(|(place, nth)| holder(place, nth));
                    let mut alive: Vec<_> = alive.collect();
                    alive.sort_unstable();
                    senders.looked(now, &alive);
                    continue;
                }
            };
            now = now.max(Duration::from_millis(1) * nth + Duration::from_micros(500));
            let sender = holder(place, nth);
            senders.note(&Header { kind, sender });
        }
        assert_eq!(senders.end(), end);
    }

    use Step::{Closed, Data, Left, Look};

    fn gone() -> Step {
        Look(vec![])
    }

    #[test]
    fn one_sender_ends_as_it_ended() {
        check(&[gone()], Peer::Absent);
        check(&[Data(0, 1), gone()], Peer::Died);
        check(&[Look(vec![(0, 1)]), gone()], Peer::Died);
        check(&[Data(0, 1), Closed(0, 1), gone()], Peer::Closed);
        check(&[Data(0, 1), gone(), Closed(0, 1)], Peer::Closed);
        check(&[Look(vec![(0, 1)]), gone(), Closed(0, 1)], Peer::Closed);
        check(&[gone(), Data(0, 1), gone()], Peer::Died);
        check(&[Data(0, 1), Left(0, 1), gone()], Peer::Absent);
    }

    #[test]
    fn one_on_its_way_out_is_not_taken_for_another() {
        let way_out = Look(vec![(0, 1)]);
        for (farewell, end) in [(Closed(0, 1), Peer::Closed), (Left(0, 1), Peer::Absent)] {
            let steps = [Data(0, 1), farewell.clone(), way_out.clone(), gone()];
            check(&steps, end);
            let steps = [way_out.clone(), farewell, way_out.clone(), gone()];
            check(&steps, end);
        }
    }

    #[test]
    fn a_farewell_is_its_senders_whatever_overtook_it() {
        // The second holder's message overtakes the first one's, or its farewell.
        check(&[Data(0, 1), Data(0, 2), Closed(0, 1), gone()], Peer::Died);
        let overtaken = [Data(0, 2), Data(0, 1), Closed(0, 1), gone()];
        check(&overtaken, Peer::Died);
        // It was seen alive, and died before it sent anything.
        let silent = [Data(0, 1), Closed(0, 1), Look(vec![(0, 2)]), gone()];
        check(&silent, Peer::Died);
        let silent = [Data(0, 1), Look(vec![(0, 2)]), Closed(0, 1), gone()];
        check(&silent, Peer::Died);
        // The first one died, the second one closed.
        let closed = [Data(0, 2), Data(0, 1), Closed(0, 2), gone()];
        check(&closed, Peer::Closed);
    }

    #[test]
    fn the_last_to_leave_says_whether_the_stream_has_ended() {
        let both = [Data(0, 1), Data(1, 1)];
        let check_after = |farewells: [Step; 2], end| {
            check(&[&both[..], &farewells, &[gone()]].concat(), end);
        };
        check_after([Closed(0, 1), Left(1, 1)], Peer::Absent);
        check_after([Left(0, 1), Closed(1, 1)], Peer::Closed);
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_dead() {
        let dead = [Data(0, 1), Closed(0, 1), Data(1, 2), gone()];
        check(&dead, Peer::Died);
        // Its very place, one whose holder left, or one of which nothing is known.
        for place in [0, 1, 2] {
            let newcomer = [Data(place, 3), Closed(place, 3), gone()];
            check(&[&dead[..], &newcomer].concat(), Peer::Closed);
        }
        // But one that was there before the death was seen, and is heard of now, takes nobody's.
        let other = [Data(2, 1), Closed(2, 1), gone()];
        check(&[&dead[..], &other].concat(), Peer::Died);
    }

    #[test]
    fn one_of_many_that_died_is_remembered() {
        let steps = [
            Data(0, 1),
            Data(1, 2),
            Look(vec![(0, 1), (1, 2)]),
            Look(vec![(0, 1)]),
            Closed(0, 1),
            gone(),
        ];
        check(&steps, Peer::Died);
    }
}
