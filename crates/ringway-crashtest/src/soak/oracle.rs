//! What must have become of the messages of one ring, by what its workers have written down.
//!
//! The journals are read one after the other while all go on, so an entry may be read before one that was
//! written earlier elsewhere, but at most by a round of reading. A message that was released is therefore
//! kept in mind for two rounds more, and then only its number is, as one of a run.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::journal::{Entry, Signature};

/// Rounds until all has been read that was written before what this round has read.
const SETTLED: u64 = 2;

/// The judge of one ring.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    accounts: HashMap<u32, Account>,
    /// Released messages, and the round of that.
    settling: VecDeque<(u64, Signature)>,
    round: u64,
    /// Whether messages of a producer are in order also behind redelivered ones.
    one_consumer: bool,
    /// Messages that came to a consumer behind younger ones of their producer, and that nobody is known to
    /// have had before.
    late: u64,
    /// So many may: somebody had them, died, and had not come to write of them.
    excuses: u64,
    pub(super) counts: Counts,
    pub(super) violations: Vec<String>,
}

/// What went through the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Acknowledged to their producers.
    pub(super) sent: u64,
    /// Came to consumers, and are done with.
    pub(super) delivered: u64,
    /// Of these, released beyond doubt.
    pub(super) released: u64,
    /// Came again.
    pub(super) redelivered: u64,
    /// Given back by consumers that live.
    pub(super) given_back: u64,
    /// Were being sent when their producer died, and did not come.
    pub(super) given_up: u64,
}

/// What a producer's messages have come to.
#[derive(Debug, Default)]
struct Account {
    /// So many were perhaps sent; so many certainly.
    intended: u64,
    sent: u64,
    done: Run,
    open: HashMap<u64, Story>,
}

/// What happened to one message. It may have been had several times, one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Story {
    /// Consumers that have it, as far as has been read.
    held: u32,
    /// Ends of having it: released for certain; perhaps; certainly not.
    released: u32,
    unclear: u32,
    returned: u32,
    /// How often it came behind a younger one.
    late: u32,
}

impl Story {
    fn times(&self) -> u32 {
        self.held + self.released + self.unclear + self.returned
    }
}

/// Numbers, most of them adjacent from 0 on.
#[derive(Debug, Default)]
struct Run {
    end: u64,
    beyond: BTreeSet<u64>,
}

impl Run {
    fn contains(&self, number: u64) -> bool {
        number < self.end || self.beyond.contains(&number)
    }

    fn insert(&mut self, number: u64) {
        self.beyond.insert(number);
        while self.beyond.remove(&self.end) {
            self.end += 1;
        }
    }
}

/// What a consumer has, as far as its journal has been read.
#[derive(Debug, Default)]
pub(super) struct Hands {
    held: Vec<Signature>,
    releasing: bool,
    youngest: HashMap<u32, u64>,
}

impl Oracle {
    pub(super) fn new(one_consumer: bool) -> Self {
        Self {
            one_consumer,
            ..Self::default()
        }
    }

    /// Notes how far a producer is. To be called behind the reading of journals whose entries are told
    /// afterwards.
    pub(super) fn note_producer(&mut self, name: u32, intended: u64, sent: u64) {
        let account = self.accounts.entry(name).or_default();
        (account.intended, account.sent) = (intended, sent);
    }

    /// Is told of an entry of a consumer's journal.
    pub(super) fn note(&mut self, hands: &mut Hands, entry: Entry) {
        match entry {
            Entry::Received(signature) => {
                self.receive(hands, signature);
                hands.held.push(signature);
            }
            Entry::Copied(signature) => {
                self.receive(hands, signature);
                self.release(signature);
            }
            Entry::Releasing => hands.releasing = true,
            Entry::Released => {
                for signature in std::mem::take(&mut hands.held) {
                    self.release(signature);
                }
                hands.releasing = false;
            }
            Entry::GivingBack => {
                for signature in std::mem::take(&mut hands.held) {
                    self.counts.given_back += 1;
                    self.end_of_having(signature, |story| &mut story.returned);
                    if self.one_consumer {
                        hands.step_back(signature);
                    }
                }
            }
        }
    }

    /// A consumer died, and all its entries are told. `unlogged` is how many messages it may have had of
    /// which there is no entry, and `copied` what it was receiving by a call that releases, if it has come
    /// to have all of it.
    pub(super) fn note_death(
        &mut self,
        mut hands: Hands,
        unlogged: u64,
        copied: Option<Signature>,
    ) {
        // What was copied has an entry now.
        self.excuses += unlogged - u64::from(copied.is_some()).min(unlogged);
        for signature in std::mem::take(&mut hands.held) {
            self.end_of_having(signature, |story| match hands.releasing {
                true => &mut story.unclear,
                false => &mut story.returned,
            });
        }
        if let Some(signature) = copied {
            self.receive(&mut hands, signature);
            self.end_of_having(signature, |story| &mut story.unclear);
        }
    }

    /// A consumer has left in order, and all its entries are told.
    pub(super) fn note_leaving(&mut self, hands: &Hands) {
        if !hands.held.is_empty() {
            self.accuse(format!("a consumer left with {:?}", hands.held));
        }
    }

    fn receive(&mut self, hands: &mut Hands, signature: Signature) {
        let (name, number) = signature;
        let Some(account) = self.accounts.get_mut(&name) else {
            return self.accuse(format!(
                "message {number} came of {name}, whom nobody knows"
            ));
        };
        if number >= account.intended {
            let intended = account.intended;
            return self.accuse(format!(
                "message {number} of {name} came, who has tried to send {intended} only"
            ));
        }
        if account.done.contains(number) {
            return self.accuse(format!(
                "message {number} of {name} came again after it was released"
            ));
        }
        let story = account.open.entry(number).or_default();
        self.counts.redelivered += u64::from(story.times() > 0);
        story.held += 1;
        let youngest = hands.youngest.get(&name).copied();
        if youngest.is_some_and(|youngest| number <= youngest) {
            story.late += 1;
            if self.one_consumer {
                self.accuse(format!(
                    "message {number} of {name} came behind {youngest:?} to the only consumer"
                ));
            }
        }
        hands
            .youngest
            .insert(name, youngest.unwrap_or(0).max(number));
    }

    fn release(&mut self, signature: Signature) {
        let released = self.end_of_having(signature, |story| &mut story.released);
        match released {
            Some(1) => self.settling.push_back((self.round, signature)),
            Some(times) => self.accuse(format!("{signature:?} was released {times} times")),
            None => {}
        }
    }

    /// One that had the message has it no more, in the way that is counted in `end`. Returns that count.
    fn end_of_having(
        &mut self,
        (name, number): Signature,
        end: impl FnOnce(&mut Story) -> &mut u32,
    ) -> Option<u32> {
        // What was not received as it should has been told of.
        let story = self.accounts.get_mut(&name)?.open.get_mut(&number)?;
        story.held = story.held.saturating_sub(1);
        let count = end(story);
        *count += 1;
        Some(*count)
    }

    /// All journals have been read once more, and all who have been killed are known to be dead.
    pub(super) fn end_round(&mut self) {
        self.round += 1;
        while let Some(&(round, signature)) = self.settling.front()
            && round + SETTLED <= self.round
        {
            self.settling.pop_front();
            self.settle(signature);
        }
    }

    fn settle(&mut self, (name, number): Signature) {
        let Some(account) = self.accounts.get_mut(&name) else {
            return;
        };
        let Some(story) = account.open.get(&number) else {
            return;
        };
        if story.held > 0 {
            // Somebody who had it before has died, and that has not been read yet; or will release it,
            // too.
            self.settling.push_back((self.round, (name, number)));
            return;
        }
        self.late += u64::from(story.late > 0 && story.times() == 1);
        account.open.remove(&number);
        account.done.insert(number);
        self.counts.delivered += 1;
        self.counts.released += 1;
    }

    /// Judges the whole ring, when all who used it are gone and nothing is left in it.
    pub(super) fn conclude(&mut self) {
        for _ in 0..=SETTLED {
            self.end_round();
        }
        for (name, account) in std::mem::take(&mut self.accounts) {
            self.conclude_account(name, account);
        }
        let (late, excuses) = (self.late, self.excuses);
        if late > excuses {
            self.accuse(format!(
                "{late} messages came behind younger ones, and the dead had {excuses} at most"
            ));
        }
    }

    fn conclude_account(&mut self, name: u32, account: Account) {
        let Account {
            intended,
            sent,
            done,
            open,
        } = account;
        self.counts.sent += sent;
        for (number, story) in &open {
            if story.held > 0 || story.released + story.unclear == 0 {
                self.accuse(format!(
                    "message {number} of {name} was seen and then lost: {story:?}"
                ));
            }
            self.counts.delivered += 1;
            self.late += u64::from(story.late > 0 && story.times() == 1);
        }
        let came = |number| done.contains(number) || open.contains_key(&number);
        if let Some(lost) = (done.end.min(sent)..sent).find(|&number| !came(number)) {
            self.accuse(format!(
                "message {lost} of {name}, who sent {sent}, is lost"
            ));
        }
        let last: Vec<bool> = (sent..intended).map(came).collect();
        if last.contains(&true) && last.contains(&false) {
            self.accuse(format!(
                "of the last batch of {name}, from {sent} on, a part has come: {last:?}"
            ));
        }
        self.counts.given_up += last.iter().filter(|came| !**came).count() as u64;
    }

    fn accuse(&mut self, violation: String) {
        self.violations.push(violation);
    }
}

impl Hands {
    /// This message will come again.
    fn step_back(&mut self, (name, number): Signature) {
        match (number.checked_sub(1), self.youngest.get_mut(&name)) {
            (Some(before), Some(youngest)) => *youngest = before.min(*youngest),
            _ => {
                self.youngest.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: u32 = 7;

    /// What is said of a ring of one producer, who has tried to send `intended` messages and sent `sent`,
    /// after all that `happens`.
    fn verdict(
        intended: u64,
        sent: u64,
        happens: impl FnOnce(&mut Oracle, &mut Hands),
    ) -> Vec<String> {
        let mut oracle = Oracle::new(false);
        oracle.note_producer(NAME, intended, sent);
        let mut hands = Hands::default();
        happens(&mut oracle, &mut hands);
        oracle.note_leaving(&hands);
        oracle.conclude();
        oracle.violations
    }

    fn copy(oracle: &mut Oracle, hands: &mut Hands, number: u64) {
        oracle.note(hands, Entry::Copied((NAME, number)));
    }

    /// Another consumer receives a message, and dies.
    fn receive_and_die(oracle: &mut Oracle, number: u64, releasing: bool) {
        let mut hands = Hands::default();
        oracle.note(&mut hands, Entry::Received((NAME, number)));
        if releasing {
            oracle.note(&mut hands, Entry::Releasing);
        }
        oracle.note_death(hands, 0, None);
    }

    #[test]
    fn each_message_once_is_right() {
        let said = verdict(3, 3, |oracle, hands| {
            (0..3).for_each(|n| copy(oracle, hands, n))
        });
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn a_lost_message_is_told() {
        let said = verdict(3, 3, |oracle, hands| {
            [0, 2].iter().for_each(|n| copy(oracle, hands, *n))
        });
        assert!(said[0].contains("is lost"), "{said:?}");
    }

    #[test]
    fn a_message_that_comes_twice_is_told_at_once_and_later() {
        for rounds in 0..5 {
            let said = verdict(1, 1, |oracle, hands| {
                copy(oracle, hands, 0);
                (0..rounds).for_each(|_| oracle.end_round());
                copy(oracle, &mut Hands::default(), 0);
            });
            assert_eq!(said.len(), 1, "after {rounds} rounds: {said:?}");
        }
    }

    #[test]
    fn what_the_dead_had_must_come_again_unless_they_may_have_released_it() {
        for (releasing, comes_again, right) in [
            (false, false, false),
            (false, true, true),
            (true, false, true),
            (true, true, true),
        ] {
            let said = verdict(1, 1, |oracle, hands| {
                receive_and_die(oracle, 0, releasing);
                if comes_again {
                    copy(oracle, hands, 0);
                }
            });
            assert_eq!(said.is_empty(), right, "{releasing} {comes_again} {said:?}");
        }
    }

    #[test]
    fn an_entry_that_is_read_late_is_no_second_coming() {
        let said = verdict(1, 1, |oracle, hands| {
            copy(oracle, hands, 0);
            oracle.end_round();
            receive_and_die(oracle, 0, false);
        });
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn what_the_dead_were_copying_they_had_before_those_who_released_it() {
        let said = verdict(1, 1, |oracle, hands| {
            copy(oracle, hands, 0);
            oracle.note_death(Hands::default(), 1, Some((NAME, 0)));
        });
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn the_last_batch_of_the_dead_comes_whole_or_not_at_all() {
        for (come, right) in [(1..1, true), (1..2, false), (1..3, true), (1..4, false)] {
            let said = verdict(3, 1, |oracle, hands| {
                copy(oracle, hands, 0);
                come.clone().for_each(|n| copy(oracle, hands, n));
            });
            assert_eq!(said.is_empty(), right, "{come:?}: {said:?}");
        }
    }

    #[test]
    fn a_message_behind_a_younger_one_needs_somebody_who_may_have_had_it() {
        for unlogged in [0, 1] {
            let said = verdict(2, 2, |oracle, hands| {
                (0..2).rev().for_each(|n| copy(oracle, hands, n));
                oracle.note_death(Hands::default(), unlogged, None);
            });
            assert_eq!(said.is_empty(), unlogged > 0, "{said:?}");
        }
    }
}
