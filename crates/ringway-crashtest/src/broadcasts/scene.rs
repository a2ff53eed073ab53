//! A broadcast ring, and those who survive.

use std::time::Duration;

use ringway::broadcast::{Policy, Start, Subscription};
use ringway::peer::Peer;
use ringway::{Kind, Receiver, RecvError, Ring, SendError, Sender};
use ringway_testing::place::{Backing, Place};

use super::victim::{CAPACITY, NAME, Op, SLABS, message};
use crate::boards::DONE;
use crate::matrix::said;

/// What nobody's wait comes near to; only a hang does.
const WATCHDOG: Duration = Duration::from_secs(20);

/// A consumer that is judged: what it gets has to be what it was told, from its first message on.
struct Audience {
    receiver: Receiver,
    next: u64,
}

impl Audience {
    fn new(ring: &Ring, subscription: &Subscription) -> Result<Self, String> {
        let receiver = ring.subscribe(subscription).map_err(said("a consumer"))?;
        let next = receiver.next_number().unwrap_or(0) - receiver.lost();
        Ok(Self { receiver, next })
    }

    /// Receives all that there is; the number of the next message.
    fn catch_up(&mut self, op: Op) -> Result<u64, String> {
        loop {
            match self.receiver.try_recv() {
                Ok(bytes) if bytes == message(self.next, op) => self.next += 1,
                Ok(bytes) => return Err(format!("TORN: {} is {bytes:?}", self.next)),
                Err(RecvError::Lagged { missed }) => self.next += missed,
                Err(RecvError::Empty | RecvError::Closed | RecvError::PeerDied) => {
                    return Ok(self.next);
                }
                Err(error) => return Err(format!("receiving: {error}")),
            }
        }
    }
}

/// A ring and its survivors.
pub(super) struct Scene {
    op: Op,
    place: Place,
    ring: Ring,
    /// Of which the victim is the successor, or which the victim listens to.
    sender: Option<Sender>,
    block: Audience,
    lossy: Audience,
}

impl Scene {
    pub(super) fn set(op: Op, backing: Backing) -> Result<Self, String> {
        let mut place = Place::new(backing);
        let mut builder = place.builder().kind(Kind::Broadcast).capacity(CAPACITY);
        if op.has_slabs() {
            builder = builder.slabs(SLABS.0, SLABS.1);
        }
        let ring = builder.create().map_err(said("making the ring"))?;
        place.address = ring.address().clone();
        let lossy = Subscription::new().policy(Policy::Lossy);
        let mut scene = Self {
            op,
            block: Audience::new(&ring, &Subscription::new())?,
            lossy: Audience::new(&ring, &lossy)?,
            sender: None,
            place,
            ring,
        };
        let mut sender = scene.ring.sender().map_err(said("a producer"))?;
        scene.send(&mut sender, op.before())?;
        match op.is_producer() {
            true => sender.leave(),
            false => scene.sender = Some(sender),
        }
        Ok(scene)
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Sends up to number `end`, while the others receive.
    fn send(&mut self, sender: &mut Sender, end: u64) -> Result<(), String> {
        for number in sender.sent()..end {
            let sent = sender.send_timeout(&message(number, self.op), WATCHDOG);
            sent.map_err(said("HELD UP"))?;
            self.block.catch_up(self.op)?;
        }
        Ok(())
    }

    /// What the others do beside one that stands still.
    pub(super) fn work_around(&mut self) -> Result<(), String> {
        let (least, most) = (self.op.before(), self.op.before() + self.op.sends());
        let (block, lossy) = (self.block.catch_up(self.op)?, self.lossy.catch_up(self.op)?);
        if !(least..=most).contains(&block) || block != lossy {
            return Err(format!(
                "{block} and {lossy} were received, {least} to {most} sent"
            ));
        }
        let Some(mut sender) = self.sender.take() else {
            return Ok(());
        };
        // As far as a ring and more, if nobody has to be waited for.
        let end = sender.sent() + 2 * CAPACITY / 32;
        let mut held_up = false;
        while sender.sent() < end && !held_up {
            let sent = sender.try_send(&message(sender.sent(), self.op));
            held_up = sent == Err(SendError::Full);
            if !held_up {
                sent.map_err(said("sending beside"))?;
            }
            self.block.catch_up(self.op)?;
        }
        self.sender = Some(sender);
        match held_up && !self.op.blocks() {
            true => Err("HELD UP by one that it does not wait for".to_owned()),
            false => Ok(()),
        }
    }

    /// Judges what a victim left that died, or went on and ended. How many messages were sent then.
    pub(super) fn judge(&mut self, outcome: u32, died: bool) -> Result<u64, String> {
        if outcome != DONE && !(died && outcome == 0) {
            return Err(format!("the victim ended with {outcome}"));
        }
        let op = self.op;
        let sent = self.block.catch_up(op)?;
        if self.lossy.catch_up(op)? != sent {
            return Err(format!(
                "{sent} came to one, and {} to another",
                self.lossy.next
            ));
        }
        if op.is_producer() {
            let sure = if outcome == DONE { op.sends() } else { 0 };
            if !(op.before() + sure..=op.before() + op.sends()).contains(&sent) {
                return Err(format!("LOST: {sent} were sent"));
            }
            let peer = self.block.receiver.peer();
            // One that was about to come may not have been there.
            let comes = matches!(op, Op::Produce | Op::ProduceWithSlabs);
            let is_known = comes || matches!(peer, Peer::Died | Peer::Closed);
            if died && outcome == 0 && !is_known {
                return Err(format!("the producer is {peer:?}"));
            }
        }
        let mut sender = match self.sender.take() {
            Some(sender) => sender,
            None => self.ring.sender().map_err(said("nobody can follow"))?,
        };
        if sender.sent() != sent {
            return Err(format!(
                "the next producer goes on at {}, not {sent}",
                sender.sent()
            ));
        }
        if op.subscription() == Subscription::new().name(NAME) && !op.is_producer() {
            self.judge_name(outcome, died, sent)?;
        }
        // Three times round, and through all slabs: nobody that is gone is waited for.
        self.send(&mut sender, sent + 3 * CAPACITY / 32)?;
        let all = sender.sent();
        sender.close();
        for audience in [&mut self.block, &mut self.lossy] {
            if audience.catch_up(op)? != all {
                return Err(format!("{} of {all} came", audience.next));
            }
        }
        if self.block.receiver.lost() > 0 {
            return Err("one that blocks has missed some".to_owned());
        }
        let late = Subscription::new().start(Start::Last(10));
        let mut late = Audience::new(&self.ring, &late)?;
        match (late.next, late.catch_up(op)?) {
            (first, end) if first == all - 10 && end == all => Ok(sent),
            (first, end) => Err(format!("who came late got {first} to {end} of {all}")),
        }
    }

    /// Whoever comes by the victim's name goes on with what that one had not released.
    fn judge_name(&mut self, outcome: u32, died: bool, sent: u64) -> Result<(), String> {
        let mut next = Audience::new(&self.ring, &Subscription::new().name(NAME))?;
        let released = u64::from(self.op == Op::Receive);
        let sure = if outcome == DONE { released } else { 0 };
        // One that stood still before it had a place got it when it went on, behind what was sent meanwhile.
        let most = match self.op == Op::JoinByName && !died {
            true => sent,
            false => released,
        };
        if !(sure..=most).contains(&next.next) {
            return Err(format!("the next of its name begins with {}", next.next));
        }
        next.catch_up(self.op).map(drop)
    }
}
