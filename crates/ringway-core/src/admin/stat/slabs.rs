//! The slabs of a ring, and who holds them.

use super::ParticipantStat;
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::{Holder, Word};
use crate::memory::region::Load;
use crate::store::View;

/// The slabs of one length in a ring made with [`Builder::slabs`](crate::Builder::slabs).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlabStat {
    /// Bytes of a slab.
    pub slab_bytes: u64,
    /// How many there are.
    pub count: u32,
    /// How many nobody holds.
    pub free: u32,
    /// How many of the others nobody can have for now: one that died had lent a pointer to their memory
    /// ([`Claim::as_mut_slice`](crate::message::Claim::as_mut_slice)), and the kernel may not have ended all that it does there.
    pub withheld: u32,
    /// Who holds the others. A message that nobody has received yet is its sender's.
    pub held: Vec<SlabHolder>,
}

/// Who holds slabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlabHolder {
    /// What it does.
    pub role: Role,
    /// Its process id, as its own pid namespace counts it; `None` if it died or left. What it held and
    /// nobody is to receive, who needs a slab takes.
    pub pid: Option<u32>,
    /// How many it holds.
    pub count: u32,
}

pub(super) fn look(view: &View, slots: &[Option<ParticipantStat>]) -> Vec<SlabStat> {
    let geometry = view.header().geometry;
    let region = view.region();
    let classes = geometry.slabs().ranges().map(|(range, class)| {
        let mut stat = SlabStat {
            slab_bytes: class.len,
            count: class.count,
            free: 0,
            withheld: 0,
            held: Vec::new(),
        };
        for slab in range {
            let word = Word::decode(region.load_slab(slab));
            match word.map(|word| word.holder) {
                Some(Some(holder)) => {
                    let is_lent = word.is_some_and(|word| word.lent);
                    if is_lent && pid_of(holder, slots).is_none() {
                        stat.withheld += 1;
                    }
                    let role = match geometry.slots(Role::Producer).contains(&holder.slot) {
                        true => Role::Producer,
                        false => Role::Consumer,
                    };
                    count(&mut stat.held, role, pid_of(holder, slots));
                }
                Some(None) => stat.free += 1,
                None => {}
            }
        }
        stat
    });
    classes.collect()
}

fn pid_of(holder: Holder, slots: &[Option<ParticipantStat>]) -> Option<u32> {
    let participant = slots.get(holder.slot as usize)?.as_ref()?;
    (participant.alive && holder.is_of(participant.epoch)).then_some(participant.pid)
}

fn count(held: &mut Vec<SlabHolder>, role: Role, pid: Option<u32>) {
    match held
        .iter_mut()
        .find(|holder| (holder.role, holder.pid) == (role, pid))
    {
        Some(holder) => holder.count += 1,
        None => held.push(SlabHolder {
            role,
            pid,
            count: 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_who_has_the_slot_now_and_lives() {
        let participant = |alive, epoch| {
            Some(ParticipantStat {
                role: Role::Producer,
                pid: 7,
                pid_namespace: 0,
                alive,
                epoch,
                attached_ns: 0,
                messages: 0,
                waits_for: None,
                subscription: None,
            })
        };
        let pid = |slots: &[_]| pid_of(Holder::new(1, 3), slots);
        assert_eq!(pid(&[None, participant(true, 3)]), Some(7));
        assert_eq!(pid(&[None, participant(false, 3)]), None, "it died");
        assert_eq!(pid(&[None, participant(true, 4)]), None, "another one came");
        assert_eq!(pid(&[participant(true, 3), None]), None, "it left");
        assert_eq!(pid(&[participant(true, 3)]), None, "no such slot");
    }
}
