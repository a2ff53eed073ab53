//! What a receiver knows of the senders, to tell an orderly end from a death.
//!
//! A slot is known by the frames that came from it and by looks at the locks:
//!
//! | state | means |
//! |---|---|
//! | unknown | nobody was seen in it, or who was there detached, or was dead and somebody took its place |
//! | open | its sender was seen alive, or sent something; no farewell yet |
//! | lost | the same, and nobody lives in the slot. Its farewell may still be in the queue |
//! | closed | its last sender said farewell |
//!
//! Farewells have the lowest priority, so a farewell is received when nothing else of its sender is in the queue. A
//! sender says farewell *before* it unlocks its bytes. So when a look finds nobody alive, and the queue is empty
//! *after* that look, every farewell has been received that will ever come: a slot that is lost then belonged to one that died.
//!
//! A sender that appears takes the place of one that was lost: in its own slot, or else in any.

use std::collections::BTreeMap;

use ringway_core::Peer;

use crate::frame::{Header, Kind};

/// A sender of which only its life is known.
const UNNAMED: u64 = 0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open(u64),
    Lost(u64),
    Closed,
}

/// The slots that are not unknown; at most as many as there are slots.
#[derive(Debug, Default)]
pub(super) struct Senders {
    slots: BTreeMap<u16, State>,
    /// Whose data came last: nothing is to be noted of the next.
    last: Option<(u16, u64)>,
}

impl Senders {
    /// A frame was received.
    pub(super) fn note(&mut self, header: &Header) {
        let (slot, sender) = (header.slot, header.sender);
        match header.kind {
            Kind::Data if self.last == Some((slot, sender)) => {}
            Kind::Data => {
                self.last = Some((slot, sender));
                match self.slots.get(&slot) {
                    Some(State::Open(known)) if [UNNAMED, sender].contains(known) => {
                        self.slots.insert(slot, State::Open(sender));
                    }
                    // What was sent by one that a look has found gone.
                    Some(State::Lost(known)) if [UNNAMED, sender].contains(known) => {
                        self.slots.insert(slot, State::Lost(sender));
                    }
                    _ => self.appeared(slot, sender),
                }
            }
            Kind::Closed | Kind::Detached => {
                self.last = None;
                let is_of_another = match self.slots.get(&slot) {
                    Some(State::Open(known) | State::Lost(known)) => {
                        ![UNNAMED, sender].contains(known)
                    }
                    Some(State::Closed) | None => false,
                };
                match header.kind {
                    _ if is_of_another => {}
                    Kind::Closed => drop(self.slots.insert(slot, State::Closed)),
                    _ => drop(self.slots.remove(&slot)),
                }
            }
        }
    }

    /// A look has found these slots alive, and no others.
    pub(super) fn looked(&mut self, alive: &[u16]) {
        for (slot, state) in &mut self.slots {
            if let State::Open(sender) = *state
                && !alive.contains(slot)
            {
                *state = State::Lost(sender);
                self.last = None;
            }
        }
        for &slot in alive {
            // One that is closed may be on its way out still.
            if let None | Some(State::Lost(_)) = self.slots.get(&slot) {
                self.appeared(slot, UNNAMED);
            }
        }
    }

    fn appeared(&mut self, slot: u16, sender: u64) {
        if !matches!(self.slots.get(&slot), Some(State::Lost(_))) {
            let mut lost = self.slots.iter();
            let lost = lost.find(|(_, state)| matches!(state, State::Lost(_)));
            if let Some((&lost, _)) = lost {
                self.slots.remove(&lost);
            }
        }
        self.slots.insert(slot, State::Open(sender));
    }

    /// What they are together, when nobody lives.
    pub(super) fn end(&self) -> Peer {
        let has = |wanted: fn(&State) -> bool| self.slots.values().any(wanted);
        if has(|state| matches!(state, State::Lost(_))) {
            Peer::Died
        } else if has(|state| *state == State::Closed) {
            Peer::Closed
        } else {
            Peer::Absent
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, slot: u16, sender: u64) -> Header {
        Header { kind, slot, sender }
    }

    /// What a receiver knows after frames and looks, in this order.
    #[derive(Clone)]
    enum Step {
        Data(u16, u64),
        Closed(u16, u64),
        Detached(u16, u64),
        Look(Vec<u16>),
    }

    #[track_caller]
    fn check(steps: &[Step], end: Peer) {
        let mut senders = Senders::default();
        for step in steps {
            match step.clone() {
                Step::Data(slot, sender) => senders.note(&frame(Kind::Data, slot, sender)),
                Step::Closed(slot, sender) => senders.note(&frame(Kind::Closed, slot, sender)),
                Step::Detached(slot, sender) => senders.note(&frame(Kind::Detached, slot, sender)),
                Step::Look(alive) => senders.looked(&alive),
            }
        }
        assert_eq!(senders.end(), end);
    }

    use Step::{Closed, Data, Detached, Look};

    #[test]
    fn one_sender_ends_as_it_ended() {
        let gone = || Look(vec![]);
        check(&[gone()], Peer::Absent);
        check(&[Data(0, 1), gone()], Peer::Died);
        check(&[Look(vec![0]), gone()], Peer::Died);
        check(&[Data(0, 1), Closed(0, 1), gone()], Peer::Closed);
        check(&[Data(0, 1), gone(), Closed(0, 1)], Peer::Closed);
        check(&[Look(vec![0]), gone(), Closed(0, 1)], Peer::Closed);
        check(&[gone(), Data(0, 1), gone()], Peer::Died);
        check(&[Data(0, 1), Detached(0, 1), gone()], Peer::Absent);
    }

    #[test]
    fn a_farewell_that_comes_after_the_successors_data_is_the_predecessors() {
        let steps = [Data(0, 1), Data(0, 2), Closed(0, 1), Look(vec![])];
        check(&steps, Peer::Died);
    }

    #[test]
    fn one_on_its_way_out_is_not_taken_for_another() {
        let steps = [Data(0, 1), Closed(0, 1), Look(vec![0]), Look(vec![])];
        check(&steps, Peer::Closed);
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_dead() {
        let dead = [Data(0, 1), Closed(0, 1), Data(1, 2), Look(vec![])];
        check(&dead, Peer::Died);
        let replaced = [&dead[..], &[Data(0, 3), Closed(0, 3), Look(vec![])]].concat();
        check(&replaced, Peer::Closed);
    }

    #[test]
    fn one_of_many_that_died_is_remembered() {
        let steps = [
            Data(0, 1),
            Data(1, 2),
            Look(vec![0, 1]),
            Look(vec![0]),
            Closed(0, 1),
            Look(vec![]),
        ];
        check(&steps, Peer::Died);
    }
}
