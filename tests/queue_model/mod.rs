//! A ring and a queue, side by side: whatever is done is done to both, and they must agree.

mod model;
pub mod step;

use std::io::IoSlice;
use std::time::Instant;

use model::Model;
use ringway::peer::Role;
use ringway::{Receiver, RecvError, Ring, SendError, Sender};
use step::{End, HANDLES, Receiving, Sending, Step};

use crate::two_processes::place::{Place, again};
use crate::two_processes::table::Row;

/// A ring, mapped twice, all of its handles, and what must be in it.
pub struct World {
    row: Row,
    rings: [Ring; 2],
    /// With a number for each handle that there has ever been.
    senders: Vec<Option<(u64, Sender)>>,
    attached: u64,
    receivers: Vec<Option<Receiver>>,
    /// Handles that a step has in its hands.
    busy: Vec<(Role, usize)>,
    model: Model,
    _place: Place,
}

impl World {
    pub fn new(row: Row, overwrites: bool) -> Self {
        let (ring, place) = row.ring_with(|builder| builder.overwrite_oldest(overwrites));
        let rings = [again(&ring), ring];
        let mut world = Self {
            row,
            attached: 0,
            busy: Vec::new(),
            senders: (0..row.up_to(HANDLES, Role::Producer))
                .map(|_| None)
                .collect(),
            receivers: (0..row.up_to(HANDLES, Role::Consumer))
                .map(|_| None)
                .collect(),
            model: Model::new(row, &rings[0], overwrites),
            rings,
            _place: place,
        };
        for index in 0..HANDLES {
            world.attach(Role::Producer, index);
            world.attach(Role::Consumer, index);
        }
        world
    }

    pub fn take_all(&mut self, steps: &[Step]) {
        for step in steps {
            self.take(step);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Send { from, len, how } => {
                self.with_sender(*from, |world, handle, sender| {
                    world.send((handle, sender), *len, *how)
                });
            }
            Step::Claim {
                from,
                len,
                end,
                meanwhile,
            } => self.with_sender(*from, |world, handle, sender| {
                world.claim((handle, sender), *len, *end, meanwhile);
            }),
            Step::Batch {
                from,
                lens,
                commit,
                meanwhile,
            } => self.with_sender(*from, |world, handle, sender| {
                world.batch((handle, sender), lens, *commit, meanwhile);
            }),
            Step::Receive { at, how } => {
                self.with_receiver(*at, |world, receiver| world.receive(receiver, *how));
            }
            Step::InPlace {
                at,
                release,
                meanwhile,
            } => self.with_receiver(*at, |world, receiver| {
                world.in_place(receiver, *release, meanwhile);
            }),
            Step::Drain { at, most } => {
                self.with_receiver(*at, |world, receiver| world.drain(receiver, *most));
            }
            Step::Backlog {
                at,
                most,
                release,
                meanwhile,
            } => self.with_receiver(*at, |world, receiver| {
                world.backlog(receiver, *most, *release, meanwhile);
            }),
            Step::AskDrained(from) => {
                self.with_sender(*from, |world, handle, sender| {
                    let answer = sender.wait_until_drained_deadline(Instant::now());
                    world.model.check_drained(handle, answer);
                });
            }
            Step::Attach(role, index) => self.attach(*role, *index),
            Step::Leave(role, index) => self.leave(*role, *index, false),
            Step::Close(role, index) => self.leave(*role, *index, true),
        }
    }

    /// Takes the handle away while it works, so that steps in the middle do not find it.
    fn with_sender(&mut self, index: usize, work: impl FnOnce(&mut Self, u64, &mut Sender)) {
        let index = index % self.senders.len();
        let Some((handle, mut sender)) = self.senders[index].take() else {
            return;
        };
        self.busy.push((Role::Producer, index));
        work(self, handle, &mut sender);
        self.busy.pop();
        self.senders[index] = Some((handle, sender));
    }

    fn with_receiver(&mut self, index: usize, work: impl FnOnce(&mut Self, &mut Receiver)) {
        let index = index % self.receivers.len();
        let Some(mut receiver) = self.receivers[index].take() else {
            return;
        };
        self.busy.push((Role::Consumer, index));
        work(self, &mut receiver);
        self.busy.pop();
        self.receivers[index] = Some(receiver);
    }

    fn send(&mut self, (handle, sender): (u64, &mut Sender), len: usize, how: Sending) {
        let bytes = self.model.payload(len);
        let now = Instant::now();
        let (front, rest) = bytes.split_at(bytes.len() / 3);
        let parts = [IoSlice::new(front), IoSlice::new(&[]), IoSlice::new(rest)];
        let outcome = match how {
            Sending::Try => sender.try_send(&bytes),
            Sending::Deadline => blocking(sender.send_deadline(&bytes, now)),
            Sending::TryVectored => sender.try_send_vectored(&parts),
            Sending::Vectored => blocking(sender.send_vectored_deadline(&parts, now)),
        };
        if let Some(id) = self.model.claim(handle, bytes.len(), outcome) {
            self.model.commit(id, bytes);
        }
    }

    fn claim(
        &mut self,
        (handle, sender): (u64, &mut Sender),
        len: usize,
        end: End,
        meanwhile: &[Step],
    ) {
        let bytes = self.model.payload(len);
        let outcome = sender.try_claim(bytes.len());
        let claimed = self.model.claim(
            handle,
            bytes.len(),
            outcome.as_ref().map(drop).map_err(|e| *e),
        );
        let (Some(id), Ok(mut claim)) = (claimed, outcome) else {
            return;
        };
        assert_eq!(claim.len(), bytes.len());
        self.take_all(meanwhile);
        let half = bytes.len() / 2;
        assert_eq!(claim.write_at(half, &bytes[half..]), bytes.len() - half);
        assert_eq!(claim.write_at(0, &bytes[..half]), half);
        match end {
            End::Commit => {
                claim.commit();
                self.model.commit(id, bytes);
            }
            End::CommitLen(part) => {
                let part = self.model.least_len(part).min(bytes.len());
                claim.commit_len(part);
                self.model.commit(id, bytes[..part].to_vec());
            }
            End::Abort => {
                claim.abort();
                self.model.abort(id);
            }
        }
    }

    fn batch(
        &mut self,
        (handle, sender): (u64, &mut Sender),
        lens: &[usize],
        commit: bool,
        meanwhile: &[Step],
    ) {
        let mut added = Vec::new();
        let mut batch = sender.batch();
        for len in lens {
            let bytes = self.model.payload(*len);
            let outcome = batch.push(&bytes);
            let is_first = added.is_empty();
            let claimed = self
                .model
                .claim_in_batch(handle, bytes.len(), outcome, is_first);
            if let Some(id) = claimed {
                added.push((id, bytes));
            }
        }
        self.take_all(meanwhile);
        if commit {
            assert_eq!(batch.commit(), added.len() as u64);
            for (id, bytes) in added {
                self.model.commit(id, bytes);
            }
        } else {
            drop(batch);
            for (id, _) in added {
                self.model.abort(id);
            }
        }
    }

    fn receive(&mut self, receiver: &mut Receiver, how: Receiving) {
        let now = Instant::now();
        let mut buffer = vec![0; self.rings[0].max_message_len() as usize];
        let outcome = match how {
            Receiving::Try => receiver.try_recv(),
            Receiving::Deadline => waited(receiver.recv_deadline(now)),
            Receiving::Into => receiver
                .try_recv_into(&mut buffer)
                .map(|len| buffer[..len].to_vec()),
            Receiving::IntoNothing => match receiver.try_recv_into(&mut []) {
                Err(RecvError::BufferTooSmall { len }) => return self.model.check_next_len(len),
                outcome => outcome.map(|_| Vec::new()),
            },
            Receiving::Wait => match receiver.wait_deadline(now) {
                Ok(()) => return self.model.check_next(),
                Err(error) => waited(Err(error)),
            },
        };
        match outcome {
            Ok(bytes) => {
                let id = self.model.hold(&bytes);
                self.model.release(id);
            }
            Err(error) => self.model.check_nothing(error),
        }
    }

    fn in_place(&mut self, receiver: &mut Receiver, release: bool, meanwhile: &[Step]) {
        let message = match receiver.try_recv_in_place() {
            Ok(message) => message,
            Err(error) => return self.model.check_nothing(error),
        };
        let bytes = message.to_vec();
        let id = self.model.hold(&bytes);
        self.take_all(meanwhile);
        assert_eq!(message.to_vec(), bytes, "nobody writes what is borrowed");
        if release {
            message.release();
            self.model.release(id);
        } else {
            message.give_back();
            self.model.give_back(id);
        }
    }

    fn drain(&mut self, receiver: &mut Receiver, most: usize) {
        let mut held = Vec::new();
        let outcome = receiver.drain(most, |message| {
            let id = self
                .model
                .hold_in_backlog(&message.to_vec(), held.is_empty());
            held.push(id);
        });
        if !held.is_empty() {
            self.model.end_backlog();
        }
        match outcome {
            Ok(count) => {
                assert_eq!(count, held.len());
                assert!(count > 0 || most == 0);
                for id in held {
                    self.model.release(id);
                }
                if count < most {
                    self.model.check_end_of_backlog();
                }
            }
            Err(error) => self.model.check_nothing(error),
        }
    }

    fn backlog(&mut self, receiver: &mut Receiver, most: usize, release: bool, meanwhile: &[Step]) {
        let mut held = Vec::new();
        let mut backlog = receiver.backlog();
        while held.len() < most {
            match backlog.next_message() {
                Ok(Some(message)) => {
                    let id = self
                        .model
                        .hold_in_backlog(&message.to_vec(), held.is_empty());
                    held.push(id);
                }
                Ok(None) if held.is_empty() => {
                    self.model.check_none_follows();
                    break;
                }
                Ok(None) => {
                    self.model.check_end_of_backlog();
                    break;
                }
                Err(error) => {
                    self.model.check_nothing(error);
                    break;
                }
            }
        }
        self.take_all(meanwhile);
        if release {
            assert_eq!(backlog.release(), held.len() as u64);
            for &id in &held {
                self.model.release(id);
            }
        } else {
            drop(backlog);
            for &id in &held {
                self.model.give_back(id);
            }
        }
        if !held.is_empty() {
            self.model.end_backlog();
        }
    }

    fn attach(&mut self, role: Role, index: usize) {
        let many = self.row.has_many(role);
        if !many && self.model.side(role).attached > 0 {
            return;
        }
        let index = if many { index } else { 0 };
        if self.busy.contains(&(role, index)) {
            return;
        }
        let ring = &self.rings[index % 2];
        if role == Role::Producer {
            if self.senders[index].is_none() {
                self.attached += 1;
                self.senders[index] = Some((self.attached, ring.sender().unwrap()));
                self.model.producers.attach();
            }
        } else if self.receivers[index].is_none() {
            self.receivers[index] = Some(ring.receiver().unwrap());
            self.model.consumers.attach();
        }
    }

    fn leave(&mut self, role: Role, index: usize, close: bool) {
        match role {
            Role::Producer => {
                let index = index % self.senders.len();
                let Some((_, sender)) = self.senders[index].take() else {
                    return;
                };
                if close {
                    sender.close();
                } else {
                    sender.leave();
                }
                self.model.producers.leave(close);
            }
            _ => {
                let index = index % self.receivers.len();
                let Some(receiver) = self.receivers[index].take() else {
                    return;
                };
                if close {
                    receiver.close();
                } else {
                    drop(receiver);
                }
                self.model.consumers.leave(close);
            }
        }
    }

    /// All producers close, and a consumer gets the rest.
    pub fn end_by_producers(mut self) {
        self.attach(Role::Producer, 0);
        for index in 0..self.senders.len() {
            self.leave(Role::Producer, index, true);
        }
        let rest = self.receive_rest();
        assert_eq!(rest, RecvError::Closed);
        // The next producer opens it again.
        let _sender = self.rings[0].sender().unwrap();
        let mut receiver = self.rings[0].receiver().unwrap();
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    }

    /// All consumers close, and the producer learns of it; another consumer still gets what there is.
    pub fn end_by_consumers(mut self) {
        self.attach(Role::Producer, 0);
        self.attach(Role::Consumer, 0);
        for index in 0..self.receivers.len() {
            self.leave(Role::Consumer, index, true);
        }
        let (_, sender) = self.senders.iter_mut().flatten().next().unwrap();
        assert_eq!(sender.try_send(&[0; 8]), Err(SendError::Closed));
        assert_eq!(sender.send(&[0; 8]), Err(SendError::Closed));
        let rest = self.receive_rest();
        assert_eq!(rest, RecvError::Empty);
    }

    fn receive_rest(&mut self) -> RecvError {
        self.attach(Role::Consumer, 0);
        let mut receiver = self
            .receivers
            .iter_mut()
            .find_map(Option::take)
            .expect("there is one, or one was attached");
        let end = loop {
            match receiver.try_recv() {
                Ok(bytes) => {
                    let id = self.model.hold(&bytes);
                    self.model.release(id);
                }
                Err(end) => break end,
            }
        };
        self.model.check_nothing(end);
        if !self.row.has_many(Role::Consumer) {
            assert_eq!(receiver.received(), self.model.released);
        }
        if let Ok(stat) = ringway::inspect::stat(self.rings[0].address()) {
            assert_eq!(stat.sent, self.model.committed);
            assert_eq!(stat.received, self.model.released);
            assert_eq!(stat.overwritten, self.model.lost);
            assert_eq!(stat.used_bytes, 0);
        }
        end
    }
}

/// What the same call would have said had it not waited.
fn blocking(outcome: Result<(), SendError>) -> Result<(), SendError> {
    assert_ne!(outcome, Err(SendError::Full));
    outcome.map_err(|error| match error {
        SendError::TimedOut => SendError::Full,
        other => other,
    })
}

fn waited<T>(outcome: Result<T, RecvError>) -> Result<T, RecvError> {
    outcome.map_err(|error| match error {
        RecvError::Empty => panic!("only calls that do not wait find nothing"),
        RecvError::TimedOut => RecvError::Empty,
        other => other,
    })
}
