//! Rings, boards and services.

use ringway::inspect::{EntryStat, ParticipantStat, SlabStat, Stat, WaitsFor};
use ringway::peer::Role;
use ringway::service::ServiceStat;
use ringway::{Kind, inspect};

use super::process;
use super::report::{
    Entry, MessageType, Participant, Process, Report, Service, SlabHolder, Slabs, State,
    Subscription,
};

pub(super) fn report(stat: &Stat) -> Report {
    let is_board = stat.kind == Kind::Board;
    let service = ServiceStat::of(stat);
    let kind = match service {
        Some(_) => "service",
        None => stat.kind.name(),
    };
    // The three are read one after the other.
    let waiting = (stat.sent)
        .saturating_sub(stat.received)
        .saturating_sub(stat.overwritten);
    let of_ring = |figure: u64| (!is_board).then_some(figure);
    let policy = match stat.overwrites_oldest {
        true => "overwrite",
        false => "wait",
    };
    let participants: Vec<_> = stat.participants.iter().map(participant).collect();
    let mut entries: Vec<_> = stat.entries.iter().map(entry).collect();
    if service.is_some() {
        // It has hundreds, for all who could come.
        entries.retain(|entry| entry.values > 0 || entry.writer.is_some());
    }
    Report {
        created_ns: Some(stat.created_ns),
        sync: Some(stat.sync.name()),
        when_full: (!is_board).then_some(policy),
        used_bytes: stat.used_bytes,
        capacity_bytes: Some(stat.capacity_bytes),
        messages: of_ring(waiting),
        sent: Some(stat.sent),
        received: of_ring(stat.received),
        overwritten: of_ring(stat.overwritten),
        repaired: Some(stat.repaired),
        producers_ever: Some(stat.producers_ever),
        producer_closed: (!is_board).then_some(stat.producer_closed),
        consumer_closed: (!is_board).then_some(stat.consumer_closed),
        held_up_by: held_up_by(stat, &participants),
        participants: Some(participants),
        slabs: stat.slabs.iter().map(slabs).collect(),
        slab_segments: stat.slab_segments,
        message_type: stat.message_type.as_ref().map(message_type),
        entries,
        service: service.map(|stat| Service {
            servers: stat.servers,
            clients: stat.clients,
            desks: stat.desks,
        }),
        ..Report::new(&stat.address, kind).owned_by(stat.owner, stat.mode)
    }
}

fn message_type(stored: &ringway::message::MessageType) -> MessageType {
    MessageType {
        name: stored.name().to_owned(),
        version: stored.version(),
        size_bytes: stored.size(),
        alignment: stored.alignment(),
        shown: stored.to_string(),
    }
}

fn participant(stat: &ParticipantStat) -> Participant {
    let pid_here = stat.pid_here().filter(|_| stat.alive);
    let (command, state) = match stat.alive {
        true => process::look(pid_here),
        false => (None, State::Dead),
    };
    Participant {
        role: stat.role.name(),
        pid: stat.pid,
        pid_here: stat.pid_here(),
        pid_namespace: Some(stat.pid_namespace),
        command,
        // A zombie's threads may live on, and it is the ring's word that counts.
        state: match state {
            State::Dead if stat.alive => State::Running,
            state => state,
        },
        alive: stat.alive,
        epoch: Some(stat.epoch),
        attached_ns: Some(stat.attached_ns),
        waits_for: stat.waits_for.map(WaitsFor::name),
        messages: Some(stat.messages),
        subscription: stat.subscription.as_ref().map(subscription),
    }
}

fn subscription(stat: &inspect::SubscriptionStat) -> Subscription {
    Subscription {
        policy: stat.policy,
        evicted: stat.evicted,
        next_number: stat.next_number,
        behind: stat.behind,
    }
}

/// For whom a producer waits that waits for room: the consumers that live; of a broadcast ring, the slowest of those that
/// are waited for.
fn held_up_by(stat: &Stat, shown: &[Participant]) -> Option<Vec<Process>> {
    let waits = |one: &ParticipantStat| one.waits_for == Some(WaitsFor::Room);
    if !stat.participants.iter().any(waits) {
        return None;
    }
    let holds = |one: &ParticipantStat| {
        let subscription = one.subscription.as_ref();
        let counts = |one: &inspect::SubscriptionStat| !one.evicted && one.policy != "lossy";
        let is_waited_for = match stat.kind {
            Kind::Broadcast => subscription.is_some_and(counts),
            _ => true,
        };
        one.role == Role::Consumer && one.alive && is_waited_for
    };
    let behind = |one: &ParticipantStat| one.subscription.as_ref().map_or(0, |one| one.behind);
    let most = stat
        .participants
        .iter()
        .filter(|one| holds(one))
        .map(behind);
    let most = most.max().unwrap_or(0);
    let both = stat.participants.iter().zip(shown);
    let culprits = both.filter(|(one, _)| holds(one) && behind(one) == most);
    let process = |one: &Participant| Process {
        pid: one.pid_here.unwrap_or(one.pid),
        command: one.command.clone(),
        state: one.state,
    };
    Some(culprits.map(|(_, shown)| process(shown)).collect())
}

fn entry(stat: &EntryStat) -> Entry {
    Entry {
        key: stat.key.clone(),
        values: stat.number,
        value_bytes: stat.len,
        writer: stat.writer,
        writer_alive: stat.writer_alive,
    }
}

fn slabs(stat: &SlabStat) -> Slabs {
    let holders = stat.held.iter().map(|holder| SlabHolder {
        role: holder.role.name(),
        pid: holder.pid,
        count: holder.count,
    });
    Slabs {
        slab_bytes: stat.slab_bytes,
        count: stat.count,
        free: stat.free,
        withheld: stat.withheld,
        held: holders.collect(),
    }
}
