//! Whether what is left when the victims are dead is what was promised.
//!
//! A committed message arrives once, whole, and in its producer's order. One whose producer died in the
//! middle arrives once or not at all. One whose consumer died before it acknowledged may come again. Nobody
//! hangs, nothing is leaked.

use std::time::Instant;

use ringway::inspect::SlabStat;
use ringway::peer::{Peer, Role};
use ringway::{Receiver, RecvError, SendError, Sender, WaitStrategy};

use super::board::{Diary, Outcome};
use super::case::{Op, SLABS, State};
use super::message::{COPY_LIMIT, Id, LONG, SHORT};
use super::scene::{Scene, said};
use super::victim::WATCHDOG;

/// A process that was killed, or did its work, with what it knew.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    pub(super) op: Op,
    pub(super) who: u32,
    pub(super) diary: Diary,
    /// Whether it was killed.
    pub(super) died: bool,
}

impl Victim {
    /// Whether who waits for it is told that it ended. One that only left may be followed by another.
    fn ends_sleep(&self) -> bool {
        match self.op {
            Op::CloseSender | Op::CloseReceiver => true,
            Op::LeaveSender | Op::DropReceiver => false,
            _ => self.died,
        }
    }
}

/// How far a victim came, as the others see it: never less far when it is killed later.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effect {
    /// Messages of the first victim that arrived.
    pub(super) sent: usize,
    /// Messages that were read by the first victim and did not come again.
    pub(super) received: usize,
}

/// In messages of the one who comes after the victims.
const SUCCESSOR: u32 = 5;

/// Lets the survivors, and those who come after the victims, work on, and judges what they find.
/// `room` is how many short messages fit a fresh ring.
pub(super) fn judge(scene: &mut Scene, victims: &[Victim], room: usize) -> Result<Effect, String> {
    if scene.case.state == State::Nothing {
        take_over(scene)?;
    }
    if is_alone(scene) && victims.iter().all(Victim::ends_sleep) {
        // Nobody else will wake the sleeper, if there is one.
        scene.wake_up()?;
    }
    check_end(scene, victims)?;
    come_after(scene)?;
    collect(scene)?;
    let effect = weigh(scene, victims)?;
    if !scene.case.op.overwrites() {
        check_room(scene, room)?;
        if scene.case.op.has_slabs() {
            check_slabs(scene)?;
        }
    }
    check_places(scene)?;
    Ok(effect)
}

/// Whether the victim was the only one in its role.
fn is_alone(scene: &Scene) -> bool {
    scene
        .case
        .op
        .role()
        .is_some_and(|role| !scene.case.row.has_many(role))
}

/// Opens, or makes, what a dead creator was making.
fn take_over(scene: &mut Scene) -> Result<(), String> {
    let ring = scene
        .builder()
        .open_or_create()
        .map_err(said("taking over"))?;
    let sender = ring.sender().map_err(said("attaching"))?;
    scene.sender = Some(sender.with_copy_limit(COPY_LIMIT));
    scene.receiver = Some(
        ring.receiver()
            .map_err(said("attaching"))?
            .with_wait(WaitStrategy::Park),
    );
    Ok(())
}

/// Where a lone victim was the only one in its role: whether its end is seen as what it was, before somebody follows it.
/// Who dies on the way has died, or has closed or left already, or was never seen to come.
fn check_end(scene: &Scene, victims: &[Victim]) -> Result<(), String> {
    let ([victim], true) = (victims, is_alone(scene)) else {
        return Ok(());
    };
    let end = match victim.op {
        Op::CloseSender | Op::CloseReceiver => Peer::Closed,
        Op::LeaveSender | Op::DropReceiver => Peer::Absent,
        // Who has come leaves without closing.
        Op::AttachSender | Op::AttachReceiver if !victim.died => Peer::Absent,
        Op::AttachSender | Op::AttachReceiver if scene.case.state == State::Closed => Peer::Closed,
        Op::AttachSender | Op::AttachReceiver => Peer::Absent,
        _ => return Ok(()),
    };
    let seen = match victim.op.role() {
        Some(Role::Producer) => scene.receiver.as_ref().map(Receiver::peer),
        _ => scene.sender.as_ref().map(Sender::peer),
    };
    match seen {
        Some(seen) if seen != end && !(victim.died && seen == Peer::Died) => {
            Err(format!("WRONG END: {seen:?} instead of {end:?}"))
        }
        _ => Ok(()),
    }
}

/// Fills the empty roles: whoever was there before, and however it ended, others can follow.
fn come_after(scene: &mut Scene) -> Result<(), String> {
    let ring = scene.ring()?;
    if scene.receiver.is_none()
        && !(scene.has_sleeper() && scene.case.op.role() == Some(Role::Producer))
    {
        let receiver = ring.receiver().map_err(said("the next consumer"))?;
        scene.receiver = Some(receiver.with_wait(WaitStrategy::Park));
    }
    if scene.sender.is_none()
        && !(scene.has_sleeper() && scene.case.op.role() == Some(Role::Consumer))
    {
        let sender = ring.sender().map_err(said("the next producer"))?;
        scene.sender = Some(sender.with_copy_limit(COPY_LIMIT));
    }
    Ok(())
}

/// Receives all that there is: up to a last message that is sent now.
fn collect(scene: &mut Scene) -> Result<(), String> {
    // With this the ring overwrites what was not received.
    while scene.case.op.overwrites() && scene.try_receive(None)? {}
    let last = Id {
        who: SUCCESSOR,
        number: 0,
    };
    if scene.sender.is_none() {
        give_back(scene)?;
        // It sleeps, for room; a stream may need more, for a gap.
        scene.receive()?;
        scene.receive()?;
        scene.wake_up()?;
    }
    loop {
        let sender = scene.sender.as_mut().ok_or("nobody sends")?;
        match sender.try_send(&last.bytes(SHORT)) {
            Ok(()) => break,
            Err(SendError::Full) => scene.receive()?,
            Err(error) => return Err(format!("sending: {error}")),
        }
    }
    scene.wake_up()?;
    while scene.got.last() != Some(&last) {
        scene.receive()?;
    }
    scene.got.pop();
    // What the dead had taken comes when there is nothing else.
    while scene.try_receive(None)? {}
    Ok(())
}

/// Has what a dead consumer had taken given back before a survivor receives, as who attaches does. A consumer that sees
/// it while it is still the dead one's passes it, and receives it only when there is nothing else. Until then it has the
/// place that a sleeping producer waits for. The sleeper itself gives it back as well, but nobody knows when.
fn give_back(scene: &Scene) -> Result<(), String> {
    if scene.case.row.has_many(Role::Consumer) {
        let attached = scene.ring()?.receiver();
        drop(attached.map_err(said("another consumer"))?);
    }
    Ok(())
}

/// Compares what was sent with what arrived.
fn weigh(scene: &Scene, victims: &[Victim]) -> Result<Effect, String> {
    let got = &scene.got;
    let mut certain = scene.sent.clone();
    let mut possible = Vec::new();
    let mut acknowledged: Vec<Id> = Vec::new();
    let mut perhaps_acknowledged: Vec<Id> = Vec::new();
    for victim in victims {
        let Diary {
            outcome,
            seen,
            torn,
        } = &victim.diary;
        if *torn {
            return Err("TORN: a victim was given half a message".to_owned());
        }
        let (count, _) = victim.op.sends();
        let sent = (0..count).map(|number| Id {
            who: victim.who,
            number,
        });
        match outcome {
            Some(Outcome::Wrong) => return Err("a victim met an error".to_owned()),
            Some(Outcome::Done) => certain.extend(sent),
            None => possible.extend(sent),
            Some(Outcome::NotNow | Outcome::Ended) => {}
        }
        match outcome {
            _ if victim.op == Op::GiveBack => {}
            Some(_) => acknowledged.extend(seen),
            None => perhaps_acknowledged.extend(seen),
        }
    }
    let mut once = got.clone();
    once.sort_unstable();
    if let Some(pair) = once.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!(
            "DUPLICATED: {} came twice; came: {}",
            pair[0],
            list(got)
        ));
    }
    if let Some(id) = got
        .iter()
        .find(|id| !certain.contains(id) && !possible.contains(id))
    {
        return Err(format!("{id} came, which nobody sent; came: {}", list(got)));
    }
    if let Some(id) = got.iter().find(|id| acknowledged.contains(id)) {
        return Err(format!(
            "DUPLICATED: {id} came again after it was acknowledged; came: {}",
            list(got)
        ));
    }
    let mut missing = certain.iter().filter(|id| {
        !got.contains(id) && !acknowledged.contains(id) && !perhaps_acknowledged.contains(id)
    });
    if let Some(id) = missing.nth(overwritten(scene, victims)?) {
        return Err(format!(
            "LOST: {id} was sent and did not come; came: {}",
            list(got)
        ));
    }
    check_order(scene, victims)?;
    check_deliveries(scene, victims)?;
    let first = victims.first();
    let of_first = |id: &&Id| first.is_some_and(|first| first.who == id.who);
    let mut arrived: Vec<&Id> = got.iter().filter(of_first).collect();
    let read = victims.iter().flat_map(|victim| &victim.diary.seen);
    arrived.extend(read.filter(|id| of_first(id) && !got.contains(id)));
    let arrived = arrived.len();
    let (batch, _) = first.map_or((0, 0), |first| first.op.sends());
    let is_atomic = first.is_some_and(|first| first.op.is_atomic());
    if is_atomic && batch > 1 && arrived != 0 && arrived != batch as usize {
        return Err(format!(
            "TORN: {arrived} messages of a batch of {batch} came"
        ));
    }
    let seen = first.map_or(&[][..], |first| &first.diary.seen);
    Ok(Effect {
        sent: arrived,
        received: seen.iter().filter(|id| !got.contains(id)).count(),
    })
}

/// What a victim saw where it lay, and a survivor received, says that it was delivered before.
fn check_deliveries(scene: &Scene, victims: &[Victim]) -> Result<(), String> {
    let in_place = victims.iter().filter(|victim| victim.op.shows_in_place());
    let mut seen = in_place.flat_map(|victim| &victim.diary.seen);
    let apart = |id: &Id| scene.apart.contains(id);
    match seen.find(|id| scene.got.contains(id) && !scene.again.contains(id) && !apart(id)) {
        Some(id) => Err(format!(
            "FORGOTTEN: {id} was seen before, and came as if for the first time; came: {}",
            list(&scene.got)
        )),
        None => Ok(()),
    }
}

/// How many messages were overwritten, at most. Who died may have overwritten one and not counted it.
fn overwritten(scene: &Scene, victims: &[Victim]) -> Result<usize, String> {
    if !scene.case.op.overwrites() {
        return Ok(0);
    }
    let stat = ringway::inspect::stat(scene.ring()?.address()).map_err(said("stat"))?;
    let deaths = victims.iter().filter(|victim| victim.died).count();
    Ok(stat.overwritten as usize + deaths)
}

/// Messages of one producer come in order, but for those that come again where there are other consumers.
fn check_order(scene: &Scene, victims: &[Victim]) -> Result<(), String> {
    let mut again: usize = match scene.case.row.has_many(Role::Consumer) {
        true => victims.iter().map(|victim| victim.op.holds()).sum(),
        false => 0,
    };
    let mut last: Vec<Id> = Vec::new();
    let in_order = scene.got.iter().filter(|id| !scene.apart.contains(id));
    for id in in_order {
        match last.iter_mut().find(|last| last.who == id.who) {
            Some(last) if last.number > id.number && again == 0 => {
                return Err(format!(
                    "{id} came after {last}; came: {}",
                    list(&scene.got)
                ));
            }
            Some(last) if last.number > id.number => again -= 1,
            Some(last) => *last = *id,
            None => last.push(*id),
        }
    }
    Ok(())
}

/// The ring, which is empty, takes as many messages as a fresh one.
fn check_room(scene: &mut Scene, room: usize) -> Result<(), String> {
    let before = scene.sent.len();
    while scene.try_send(SHORT, None)? {}
    let sent = scene.sent.len() - before;
    // A stream's records may leave a gap before its end.
    let gap = usize::from(!scene.case.row.has_cells());
    if sent + gap < room || sent > room + gap {
        return Err(format!("LEAKED: {sent} messages fit the ring, not {room}"));
    }
    for _ in 0..sent {
        scene.receive()?;
    }
    Ok(())
}

/// All slabs can be had, as soon as the kernel has freed the memory of the dead.
fn check_slabs(scene: &mut Scene) -> Result<(), String> {
    let end = Instant::now() + WATCHDOG;
    while has_withheld_slabs(scene)? {
        if Instant::now() > end {
            return Err("LEAKED: a slab is withheld for ever".to_owned());
        }
    }
    for _ in 0..SLABS {
        if !scene.try_send(LONG, None)? {
            return Err("a long message does not fit the empty ring".to_owned());
        }
    }
    let address = scene.ring()?.address().clone();
    let stat = ringway::inspect::stat(&address).map_err(said("stat"))?;
    let ours = |slabs: &SlabStat| slabs.held.iter().all(|holder| holder.pid.is_some());
    if !stat
        .slabs
        .iter()
        .all(|slabs| slabs.free == 0 && ours(slabs))
    {
        return Err(format!("LEAKED: {:?}", stat.slabs));
    }
    (0..SLABS).try_for_each(|_| scene.receive())
}

/// Whether a slab could not be had when all were asked for, as somebody may still write there.
fn has_withheld_slabs(scene: &mut Scene) -> Result<bool, String> {
    let address = scene.ring()?.address().clone();
    let withheld = || -> Result<bool, String> {
        let stat = ringway::inspect::stat(&address).map_err(said("stat"))?;
        Ok(stat.slabs.iter().any(|slabs| slabs.withheld > 0))
    };
    if !withheld()? {
        return Ok(false);
    }
    for _ in 0..SLABS {
        scene.try_send(LONG, None)?;
    }
    (0..SLABS).try_for_each(|_| scene.receive())?;
    withheld()
}

/// No place in the ring is lost to the dead, and the ring goes without a trace.
fn check_places(scene: &mut Scene) -> Result<(), String> {
    let ring = scene.ring()?;
    let row = scene.case.row;
    // The places of the dead are taken first.
    let also_send = row.has_many(Role::Producer).then(|| ring.sender());
    let also_receive = row.has_many(Role::Consumer).then(|| ring.receiver());
    let second_receive = row.has_many(Role::Consumer).then(|| ring.receiver());
    let _also = (
        also_send.transpose().map_err(said("another producer"))?,
        also_receive.transpose().map_err(said("another consumer"))?,
        second_receive
            .transpose()
            .map_err(said("another consumer"))?,
    );
    let address = ring.address().clone();
    let stat = ringway::inspect::stat(&address).map_err(said("stat"))?;
    if let Some(dead) = stat
        .participants
        .iter()
        .find(|participant| !participant.alive)
    {
        return Err(format!("LEAKED: the place of {dead:?}"));
    }
    drop(_also);
    scene.part_with_sender();
    // It did not close, whoever did before it.
    match scene
        .receiver
        .take()
        .map(|mut receiver| receiver.try_recv())
    {
        None | Some(Err(RecvError::Empty)) => {}
        Some(other) => return Err(format!("WRONG END: {other:?}")),
    }
    let stat = ringway::inspect::stat(&address).map_err(said("stat"))?;
    if stat
        .participants
        .iter()
        .any(|participant| participant.alive)
    {
        return Err(format!("LEAKED: {:?}", stat.participants));
    }
    if stat.slabs.iter().any(|slabs| slabs.free < slabs.count) {
        return Err(format!("LEAKED: {:?}", stat.slabs));
    }
    ringway::remove(&address, false).map_err(said("remove"))?;
    if scene.place.is_taken() {
        return Err("something stayed behind at the address".to_owned());
    }
    Ok(())
}

fn list(ids: &[Id]) -> String {
    let ids: Vec<String> = ids.iter().map(Id::to_string).collect();
    ids.join(" ")
}
