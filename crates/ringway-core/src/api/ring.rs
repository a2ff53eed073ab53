//! An open ring, from which the two sides are attached.

mod about;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use crate::address::Address;
use crate::admin::stat::{self, Stat};
use crate::api::detached::ConsumerSlot;
use crate::api::known::Known;
#[cfg(feature = "tracing")]
use crate::api::news;
use crate::api::reach::Reach;
use crate::api::receiver::Receiver;
use crate::api::receiving::Receiving;
use crate::api::sender::Sender;
use crate::api::sending::Sending;
use crate::api::subscription::Subscription;
use crate::error::Attempt;
use crate::error::{Error, ErrorKind};
use crate::events::tell;
use crate::memory::layout::Corrupt;
use crate::memory::layout::broadcast::MOST_NAME;
use crate::memory::layout::header::Header;
use crate::memory::layout::message_type::MessageType;
use crate::memory::layout::participant::Role;
use crate::memory::layout::pool::Holder;
use crate::memory::layout::{self, Kind, Shape};
use crate::memory::map::Map;
use crate::memory::region::memory::Memory;
use crate::memory::region::{Region as _, RingName};
use crate::presence::keeper::{self, Refusal};
use crate::presence::memory::Memories;
use crate::presence::participant::{self, Participant, Place};
use crate::presence::watcher::Alarm;
use crate::rings::broadcast;
use crate::rings::cell::member::{Member, Refused, SlotInfo};
use crate::rings::cell::{self, Cells, Contention};
use crate::rings::pool::{Lender, Pool};
use crate::rings::stream::consumer::Consumer;
use crate::rings::stream::producer::Producer;
use crate::rings::stream::{CONSUMER, PRODUCER, Side};
use crate::store::anchor::{Anchor, Attached, Entry};
use crate::store::slabs::SlabSegments;
use crate::store::{self, PeerCredentials, Segment, View, trust};
use crate::sys::owner::Access;
use crate::waiting::eventcount;
use crate::waiting::sync;

/// A ring that this process has open, not yet in a role.
///
/// It stays mapped while this, a clone of it, or a handle made from it lives. Dropping it removes
/// nothing; see [`remove`](crate::remove).
///
/// Threads can share it, and each has a clone or a reference (`Send` and `Sync`); the handles it gives are for one thread at a time.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::Builder;
///
/// let ring = Builder::new("memfd:")?.create()?;
/// let mut sender = ring.sender()?;
/// let mut receiver = ring.receiver()?;
/// sender.send(b"hello")?;
/// assert_eq!(receiver.recv()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ring {
    map: Arc<Map>,
    header: Header,
    address: Address,
    /// Its slabs, if they are segments of their own.
    slabs: Option<Arc<SlabSegments>>,
    /// A memfd's, by which it is handed over.
    file: Option<Arc<OwnedFd>>,
    /// Whether all who can write in it are trusted, as its builder says.
    trust_peers: bool,
    /// Who could use it when it was opened.
    access: Access,
    /// By what to ask for the memory of who lends slabs by pointer.
    memories: Option<Arc<Memories>>,
    /// By what to ask for its name.
    anchor: Option<Arc<Anchor>>,
    /// Until it is given up, others see that this process may still attach.
    entry: Option<Arc<Entry>>,
    is_new: bool,
    /// What its messages are, as its builder says.
    message_type: Option<Arc<MessageType>>,
}

impl Ring {
    /// A ring, which must be none of those that are no rings.
    pub(crate) fn new(segment: Segment, trust_peers: bool) -> Result<Self, Error> {
        if segment.header.kind == Kind::Board {
            let address = &segment.address;
            let attempt = Attempt::to("open", address);
            return Err(attempt
                .error(ErrorKind::Incompatible, "it is a board, and no ring")
                .remedy(format!(
                    "read it as one (ringway::Board, ringway get {address} KEY)"
                )));
        }
        Self::of_any_kind(segment, trust_peers)
    }

    /// A ring whose creator relies on other processes' `membarrier` can only be used by processes that
    /// it reaches.
    pub(crate) fn of_any_kind(segment: Segment, trust_peers: bool) -> Result<Self, Error> {
        let Segment {
            map,
            header,
            address,
            slabs,
            file,
            access,
            anchor,
            memories,
        } = segment;
        let entry = anchor.as_ref().map(|anchor| Arc::new(Entry::new(anchor)));
        if header.fence.needs_membarrier() {
            let action = "open";
            let attempt = Attempt {
                action,
                address: &address,
            };
            let abilities =
                keeper::abilities().map_err(|errno| Refusal::Os(errno).explain(attempt))?;
            if !abilities.membarrier {
                let problem = "its creator relies on membarrier, which this process may not use";
                return Err(
                    Error::new(ErrorKind::Unsupported, action, &address, problem)
                        .remedy("allow the system call membarrier, or create the ring without it"),
                );
            }
        }
        Ok(Self {
            map,
            header,
            address,
            slabs,
            file: file.map(Arc::new),
            trust_peers,
            access,
            memories,
            anchor,
            entry,
            is_new: false,
            message_type: None,
        })
    }

    /// Attaches this process as a producer.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`] if live processes hold all of its producers' places,
    /// [`ErrorKind::NotFound`] if a collector ([`Gc`](crate::gc::Gc)) has removed the ring since it was opened,
    /// [`ErrorKind::Corrupt`] if the segment's contents contradict themselves, [`ErrorKind::Forked`] in a
    /// child of `fork` that inherited the ring.
    pub fn sender(&self) -> Result<Sender, Error> {
        let (region, mut participant) = self.attach(Role::Producer)?;
        let pool = self.pool(&participant);
        let (sending, alarm) = match self.header.geometry.shape() {
            Shape::Stream => {
                let alarm = sync::wake_side(&self.map, PRODUCER.event);
                self.watch(&mut participant, Role::Producer, &alarm);
                let producer = Producer::resume(region).map_err(|Corrupt| self.corrupt())?;
                let own = self.region()?;
                let wake = move || eventcount::announce(&own, Side::of(Role::Producer).event);
                let lender = self.lender(&participant, wake);
                let producer = producer.with_pool(pool.map(|pool| pool.with_lender(lender)));
                (Sending::Stream(producer), alarm)
            }
            Shape::Cells(cell_len) => {
                let (member, alarm) =
                    self.member(region, cell_len, &mut participant, Role::Producer)?;
                let (notifier, own) = (member.notifier(), self.region()?);
                let wake = move || notifier.notify(&own, Role::Producer);
                let lender = self.lender(&participant, wake);
                let member = member.with_pool(pool.map(|pool| pool.with_lender(lender)));
                let producer = cell::producer::Producer::join(member, self.header.overwrite);
                let producer = producer.map_err(|refused| self.refused(refused))?;
                (Sending::Cells(producer), alarm)
            }
            Shape::Broadcast => {
                let alarm = sync::wake_side(&self.map, PRODUCER.event);
                self.watch(&mut participant, Role::Producer, &alarm);
                let participants = self.header.geometry.participants();
                let policies = self.header.policies;
                let producer =
                    broadcast::producer::Producer::resume(region, participants, policies);
                let producer = producer.map_err(|Corrupt| self.corrupt())?;
                let own = self.region()?;
                let wake = move || eventcount::announce(&own, PRODUCER.event);
                let lender = self.lender(&participant, wake);
                let producer = producer.with_pool(pool.map(|pool| pool.with_lender(lender)));
                (Sending::Broadcast(producer), alarm)
            }
            // No such ring is made.
            Shape::Board(_) => return Err(self.corrupt()),
        };
        let shared_out =
            self.header.kind.allows_many(Role::Consumer) && self.header.kind != Kind::Broadcast;
        let reach = Reach::new(&self.map, alarm);
        let address = self.address.clone();
        Ok(Sender::new(
            sending,
            participant,
            shared_out,
            reach,
            address,
        ))
    }

    /// Attaches this process as a consumer. A lone consumer's first message is the first that none has
    /// released.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`] if live processes hold all of its consumers' places,
    /// [`ErrorKind::NotFound`] if a collector ([`Gc`](crate::gc::Gc)) has removed the ring since it was opened,
    /// [`ErrorKind::Corrupt`] if the segment's contents contradict themselves, [`ErrorKind::Forked`] in a
    /// child of `fork` that inherited the ring.
    pub fn receiver(&self) -> Result<Receiver, Error> {
        self.subscribe(&Subscription::new())
    }

    /// Attaches this process as a consumer of a broadcast ring that takes part as it wishes.
    ///
    /// # Errors
    /// As [`receiver`](Self::receiver), and [`ErrorKind::RoleTaken`] if somebody alive has the name;
    /// [`ErrorKind::NoSpace`] if the ring has all the names that it can have; [`ErrorKind::Unsupported`] if the ring does not allow the
    /// [policy](crate::Builder::policies), the name is empty or has more than 64 bytes, or the ring is of another kind and more was wished
    /// for than every [`receiver`](Self::receiver) has.
    pub fn subscribe(&self, subscription: &Subscription) -> Result<Receiver, Error> {
        self.check_subscription(subscription)?;
        let (region, mut participant) = self.attach(Role::Consumer)?;
        let pool = self.pool(&participant);
        let (receiving, notifier, alarm) = match self.header.geometry.shape() {
            Shape::Stream => {
                let alarm = sync::wake_side(&self.map, CONSUMER.event);
                self.watch(&mut participant, Role::Consumer, &alarm);
                let consumer = Consumer::resume(region).map_err(|Corrupt| self.corrupt())?;
                (Receiving::Stream(consumer.with_pool(pool)), None, alarm)
            }
            Shape::Cells(cell_len) => {
                let (member, alarm) =
                    self.member(region, cell_len, &mut participant, Role::Consumer)?;
                let notifier = member.notifier();
                let consumer = cell::consumer::Consumer::join(member.with_pool(pool));
                let consumer = consumer.map_err(|refused| self.refused(refused))?;
                (Receiving::Cells(consumer), Some(notifier), alarm)
            }
            Shape::Broadcast => {
                let alarm = sync::wake_side(&self.map, CONSUMER.event);
                self.watch(&mut participant, Role::Consumer, &alarm);
                let (start, policy, name) = subscription.parts();
                let wish = broadcast::Wish {
                    policy,
                    start,
                    name,
                };
                let me = (participant.slot, participant.epoch);
                let participants = self.header.geometry.participants();
                let consumer = broadcast::consumer::Consumer::join(region, participants, me, &wish);
                let consumer = consumer.map_err(|refused| self.not_joined(refused, name))?;
                (Receiving::Broadcast(consumer.with_pool(pool)), None, alarm)
            }
            Shape::Board(_) => return Err(self.corrupt()),
        };
        let consumer_slot = ConsumerSlot::new(self.region()?, participant, notifier);
        let reach = Reach::new(&self.map, alarm);
        Ok(Receiver::new(receiving, consumer_slot, self.known(), reach))
    }

    /// Forgets the name of a consumer of a broadcast ring that will not come back: its place can be another name's, and what it had not
    /// received keeps the ring from no [collector](crate::gc). Whether the ring had the name. Takes one of the consumers' places
    /// meanwhile.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`] if somebody alive has the name, or all places; [`ErrorKind::Unsupported`] if the ring is of another
    /// kind; else as [`receiver`](Self::receiver).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::Kind;
    /// use ringway::broadcast::Subscription;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.kind(Kind::Broadcast).create()?;
    /// let audit = ring.subscribe(&Subscription::new().name("audit"))?;
    /// assert!(ring.forget_name("audit").is_err());
    /// drop(audit);
    /// assert!(ring.forget_name("audit")?);
    /// assert!(!ring.forget_name("audit")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forget_name(&self, name: &str) -> Result<bool, Error> {
        if self.kind() != Kind::Broadcast {
            // Which says why.
            self.check_subscription(&Subscription::new().name(name))?;
        }
        let (region, participant) = self.attach(Role::Consumer)?;
        let me = (participant.slot, participant.epoch);
        let participants = self.header.geometry.participants();
        let forgotten = broadcast::forget(&region, participants, me, name);
        forgotten.map_err(|refused| self.not_joined(refused, Some(name)))
    }

    /// What it tells of its participants.
    pub(crate) fn known(&self) -> Known {
        Known {
            map: Arc::clone(&self.map),
            address: self.address.clone(),
            geometry: self.header.geometry,
            nonce: self.nonce(),
            settles: self.header.fence.needs_membarrier(),
            anchor: self.anchor.clone(),
        }
    }

    /// Whether a consumer may take part so.
    fn check_subscription(&self, subscription: &Subscription) -> Result<(), Error> {
        let (_, policy, name) = subscription.parts();
        let (problem, remedy) = if self.kind() != Kind::Broadcast {
            if *subscription == Subscription::new() {
                return Ok(());
            }
            let problem = format!(
                "its kind is {}, and its receivers have no starts, policies and names",
                self.kind().name()
            );
            (problem, "create it with kind broadcast".to_owned())
        } else if self.header.policies & policy.bit() == 0 {
            let problem = format!("it does not allow receivers of policy {}", policy.name());
            (problem, "choose another policy".to_owned())
        } else if name.is_some_and(|name| name.is_empty() || name.len() > MOST_NAME) {
            let problem = "that is no name for a receiver".to_owned();
            (problem, format!("choose one of 1 to {MOST_NAME} bytes"))
        } else {
            return Ok(());
        };
        let attempt = Attempt::to("attach to", &self.address);
        Err(attempt
            .error(ErrorKind::Unsupported, problem)
            .remedy(remedy))
    }

    fn not_joined(&self, refused: broadcast::Refused, name: Option<&str>) -> Error {
        let attempt = Attempt::to("attach to", &self.address);
        let name = name.unwrap_or_default();
        match refused {
            broadcast::Refused::Corrupt => self.corrupt(),
            broadcast::Refused::Unsettled => participant::unsettled(attempt),
            broadcast::Refused::NameTaken => attempt
                .error(
                    ErrorKind::RoleTaken { pid: 0 },
                    format!("another receiver has the name {name}"),
                )
                .remedy("wait for it to end, or choose another name"),
            broadcast::Refused::NoName => attempt
                .error(ErrorKind::NoSpace, "all names that it can have are taken")
                .remedy("use one of them again, or create another ring"),
        }
    }

    /// The ring's memory, as one more part of this process uses it.
    pub(crate) fn region(&self) -> Result<Memory, Error> {
        let header = &self.header;
        let (map, slabs) = (
            Arc::clone(&self.map),
            self.slabs.clone().map(|slabs| slabs as _),
        );
        let memory = Memory::mapped(map, &header.geometry, header.fence, slabs);
        let memory = memory.ok_or_else(|| self.corrupt())?;
        Ok(memory.with_name(self.name()))
    }

    /// The ring's slabs, as a participant uses them.
    fn pool(&self, participant: &Participant) -> Option<Box<Pool>> {
        let slabs = self.header.geometry.slabs();
        Pool::new(slabs, participant.slot, participant.epoch)
    }

    /// What a producer needs to lend slabs by pointer, if that can be had; `wake` wakes the producers.
    fn lender(
        &self,
        participant: &Participant,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<Lender> {
        let memories = self.memories.as_ref()?;
        let me = Holder::new(participant.slot, participant.epoch);
        let proof = memories.prove(&self.map, me)?;
        Some(Lender::new(Arc::clone(memories), proof, Arc::new(wake)))
    }

    /// Who tells whether the ring has its name, if it had one.
    fn name(&self) -> Option<Arc<dyn RingName>> {
        self.anchor.clone().map(|anchor| anchor as _)
    }

    pub(crate) fn attach(&self, role: Role) -> Result<(Memory, Participant), Error> {
        if self.map.is_forked() {
            return Err(Attempt::to("attach to", &self.address).forked());
        }
        let _anew = match (&self.entry, &self.anchor) {
            (None, Some(anchor)) => Some(Entry::again(anchor)?),
            _ => None,
        };
        let header = &self.header;
        let region = self.region()?;
        let place = Place {
            role,
            slots: header.geometry.slots(role),
            participants: header.geometry.participants(),
            settles: header.fence.needs_membarrier(),
        };
        let mut participant = Participant::attach(&self.map, place, &self.address)?;
        if let Some(anchor) = &self.anchor {
            let attached = Attached::new(anchor, participant.slot, participant.id());
            participant.guard_by(Box::new(attached));
        }
        #[cfg(feature = "tracing")]
        news::attached(&mut participant, &self.map, &self.address, role);
        Ok((region, participant))
    }

    /// Has a participant watch the others, and `alarm` told of them.
    fn watch(&self, participant: &mut Participant, role: Role, alarm: &Alarm) {
        let _ = role;
        let alarm = Arc::clone(alarm);
        #[cfg(feature = "tracing")]
        let alarm = {
            let is_broadcast = self.kind() == Kind::Broadcast;
            let about = (role, self.header.geometry.participants(), is_broadcast);
            news::report(participant, &alarm, &self.map, &self.address, about)
        };
        participant.watch(alarm);
    }

    /// This process as a participant of a cell ring, and what wakes it.
    fn member(
        &self,
        region: Memory,
        cell_len: u32,
        participant: &mut Participant,
        role: Role,
    ) -> Result<(Member<Memory>, Alarm), Error> {
        let header = &self.header;
        let slot_info = SlotInfo {
            role,
            slot: participant.slot,
            epoch: participant.epoch,
            producers: header.geometry.slots(Role::Producer),
            consumers: header.geometry.slots(Role::Consumer),
        };
        let attempt = Attempt::to("attach to", &self.address);
        let (primitives, alarm) = sync::open(
            &self.map,
            header,
            participant.slot,
            participant.epoch,
            &self.address,
            || store::access_now(attempt, header, self.access),
            self.name(),
        )?;
        self.watch(participant, role, &alarm);
        let key = layout::cell::key(header.nonce);
        let contention = Contention {
            claim: header.kind.allows_many(Role::Producer),
            take: header.kind.allows_many(Role::Consumer) || header.overwrite,
            own: !region.settles() || header.overwrite,
            overwrite: header.overwrite,
            locked: primitives.lock.is_some(),
        };
        let cells = Cells::new(region, cell_len, key, contention);
        Ok((Member::new(cells, slot_info, primitives), alarm))
    }

    /// The ring as an observer sees it, as [`stat`](crate::inspect::stat()) of its address does. This one also looks at rings without
    /// a name: a `memfd:`, and what was removed since it was opened.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// ring.sender()?.send(b"hello")?;
    /// assert_eq!((ring.stat().sent, ring.stat().received), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stat(&self) -> Stat {
        stat::look(&View::of_mapped(
            &self.map,
            self.header.clone(),
            &self.address,
        ))
    }

    fn refused(&self, refused: Refused) -> Error {
        match refused {
            Refused::Unsettled => participant::unsettled(Attempt::to("attach to", &self.address)),
            Refused::Corrupt | Refused::TimedOut => self.corrupt(),
        }
    }

    pub(crate) fn corrupt(&self) -> Error {
        let attempt = Attempt::to("attach to", &self.address);
        let problem = "the segment holds what no ringway peer writes";
        attempt
            .error(ErrorKind::Corrupt, problem)
            .remedy(attempt.anew())
    }

    /// Tells whoever listens that it was opened or made here.
    #[cfg_attr(
        not(feature = "tracing"),
        allow(clippy::if_same_then_else, reason = "nothing is told")
    )]
    pub(crate) fn announced(self) -> Self {
        let header = &self.header;
        let (kind, sync) = (header.kind.name(), header.sync.name());
        if self.is_new {
            tell!(
                "ringway::segment",
                INFO,
                "created",
                address = %self.address,
                kind,
                sync,
                capacity = header.geometry.capacity()
            );
        } else {
            tell!(
                "ringway::segment",
                DEBUG,
                "opened",
                address = %self.address,
                kind,
                sync,
                capacity = header.geometry.capacity()
            );
        }
        self
    }

    /// Hands a `memfd:` ring to the process at the other end of `socket`, and tells who that is. The
    /// other process calls [`Ring::take_over`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for other addresses, by which the other process can open the ring
    /// itself; [`ErrorKind::Untrusted`] if its kind of synchronisation [needs trust](crate::SyncKind::needs_trust) and
    /// [`Builder::trust_peers`](crate::Builder::trust_peers) was not called; [`ErrorKind::Os`] if the socket fails.
    pub fn hand_over(&self, socket: &UnixStream) -> Result<PeerCredentials, Error> {
        if self.file.is_some() {
            let attempt = Attempt::to("hand over", &self.address);
            trust::check_handover(attempt, self.header.sync, self.trust_peers)?;
        }
        store::hand_over(&self.address, self.file.as_deref(), socket)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::api::builder::Builder;
    use crate::memory::layout::participant::{EPOCH, FILLED_FOR, LIVENESS, slot_offset};
    use crate::sys::futex::{OWNER_DIED, WAITERS};
    use crate::waiting::publisher;

    /// Whoever knows this number concludes from the absence of somebody who is counted that it has left.
    #[test]
    fn who_comes_is_counted_when_the_others_can_see_it() {
        let builder = Builder::new("memfd:").unwrap().kind(Kind::Mpsc);
        let ring = builder.create().unwrap();
        let slot = slot_offset(0);
        let set = |offset, value| {
            let word = ring.map.word32(slot + offset).unwrap();
            word.store(value, Ordering::Release);
        };
        let epoch = ring.map.word64(slot + EPOCH).unwrap();
        let held = WAITERS | 7;
        assert_eq!(ring.known().ever(Role::Producer), 0);
        set(LIVENESS, held);
        epoch.fetch_add(1, Ordering::Release);
        assert_eq!(ring.known().ever(Role::Producer), 0, "it is about to come");
        set(FILLED_FOR, held);
        assert_eq!(ring.known().ever(Role::Producer), 1);
        for ended in [0, OWNER_DIED | WAITERS] {
            set(LIVENESS, ended);
            assert_eq!(ring.known().ever(Role::Producer), 1, "it has been there");
        }
    }

    /// Who sleeps makes no `membarrier` while each message wakes it: the producer says that it makes the fence. It says so no more when it
    /// streams, and nothing of that is true of its successor.
    #[test]
    fn a_producer_that_wakes_somebody_each_time_makes_the_fence_until_it_streams() {
        let ring = Builder::new("memfd:").unwrap().create().unwrap();
        let region = ring.region().unwrap();
        if !region.is_asymmetric() {
            return;
        }
        let mut receiver = ring.receiver().unwrap();
        let mut sender = ring.sender().unwrap();
        let fences = || publisher::fences(&region, PRODUCER.slot);
        let mut send = |sender: &mut Sender, is_slept_for: bool| {
            if is_slept_for {
                // As the receiver does when it is about to sleep.
                eventcount::prepare_for(&region, CONSUMER.event, PRODUCER.slot);
            }
            sender.send(b"message").unwrap();
            assert_eq!(receiver.recv().unwrap(), b"message");
        };
        for _ in 0..8 {
            assert!(!fences());
            send(&mut sender, true);
        }
        for nth in 0..64 {
            assert!(fences(), "after {nth} messages that woke nobody");
            send(&mut sender, false);
        }
        assert!(!fences());
        (0..8).for_each(|_| send(&mut sender, true));
        assert!(fences());
        drop(sender);
        let mut next = ring.sender().unwrap();
        assert!(!fences());
        send(&mut next, true);
        assert!(!fences());
    }
}
