//! A ring in a state, with those who will survive.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::unistd::gettid;
use ringway::peer::Role;
use ringway::{
    Builder, ErrorKind, Message, Receiver, RecvError, Ring, SendError, Sender, SyncKind,
    WaitStrategy,
};
use ringway_testing::place::Place;
use ringway_testing::procfs;
use ringway_testing::table::{CAPACITY, CELL_LEN};

use super::case::{Case, Op, State};
use super::message::{COPY_LIMIT, Id, LONG, SHORT};
use super::victim::WATCHDOG;

/// The survivors' own names in their messages.
const SURVIVOR: u32 = 1;
const SLEEPER: u32 = 4;
const OTHER_SLEEPER: u32 = 6;

const CELLS: u64 = CAPACITY / CELL_LEN as u64;

/// A ring, survivors, and what they know.
pub(super) struct Scene {
    pub(super) case: Case,
    pub(super) place: Place,
    pub(super) sender: Option<Sender>,
    pub(super) receiver: Option<Receiver>,
    sleeper: Option<JoinHandle<Slept>>,
    /// Another one, beside a victim that is frozen.
    other_sleeper: Option<JoinHandle<Slept>>,
    /// What must arrive: sent for certain, and not received here yet.
    pub(super) sent: Vec<Id>,
    pub(super) got: Vec<Id>,
    /// Those of them that were said to have been delivered before.
    pub(super) again: Vec<Id>,
    /// Those of them that came beside the others, in no order.
    pub(super) apart: Vec<Id>,
    next: u32,
}

/// What became of the survivor that slept.
enum Slept {
    Receiver(Box<Receiver>, Result<Vec<u8>, RecvError>),
    Sender(Box<Sender>, Result<(), SendError>),
}

impl Scene {
    /// Sets the scene of a case, and leaves the places of `victims` free.
    pub(super) fn set(case: Case, victims: &[Role]) -> Result<Self, String> {
        let mut scene = Self {
            case,
            place: Place::new(case.row.backing),
            sender: None,
            receiver: None,
            sleeper: None,
            other_sleeper: None,
            sent: Vec::new(),
            got: Vec::new(),
            apart: Vec::new(),
            again: Vec::new(),
            next: 0,
        };
        if case.state == State::Nothing {
            return Ok(scene);
        }
        let ring = scene.builder().create().map_err(said("create"))?;
        let sender = ring.sender().map_err(said("attach"))?;
        scene.sender = Some(sender.with_copy_limit(COPY_LIMIT));
        scene.receiver = Some(
            ring.receiver()
                .map_err(said("attach"))?
                .with_wait(WaitStrategy::Park),
        );
        scene.prepare()?;
        if case.state == State::Copied {
            drop(ring);
            scene.exchange_for_copy().map_err(said("copy"))?;
            return Ok(scene);
        }
        for role in victims {
            if !case.row.has_many(*role) {
                if *role == Role::Producer {
                    scene.part_with_sender();
                } else {
                    scene.receiver = None;
                }
            }
        }
        Ok(scene)
    }

    /// Puts a copy of the ring, made while it is in use, in its place.
    fn exchange_for_copy(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let path = self.place.path();
        let copy = path.with_extension("copy");
        std::fs::copy(&path, &copy)?;
        self.part_with_sender();
        self.receiver = None;
        ringway::remove(&self.place.address, true)?;
        std::fs::rename(&copy, &path)?;
        Ok(())
    }

    /// Lets the sender leave, so that another may follow.
    pub(super) fn part_with_sender(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.leave();
        }
    }

    /// A builder of the case's ring.
    pub(super) fn builder(&self) -> Builder {
        let builder = self.case.row.shape(self.place.builder());
        self.case.op.shape(builder)
    }

    pub(super) fn ring(&self) -> Result<Ring, String> {
        self.place.builder().open().map_err(said("open"))
    }

    fn prepare(&mut self) -> Result<(), String> {
        match self.case.state {
            State::Nothing | State::Empty => {}
            State::One | State::Copied => self.send(SHORT)?,
            State::Closed => {
                self.send(SHORT)?;
                match self.case.op.role() {
                    Some(Role::Producer) => self.sender.take().map_or((), Sender::close),
                    _ => self.receiver.take().map_or((), Receiver::close),
                }
            }
            State::Long => {
                self.send(LONG)?;
                self.send(SHORT)?;
            }
            State::Full => self.fill()?,
            State::Held => {
                self.fill()?;
                // Its receiver gives it back when it receives again.
                if let Some(receiver) = &mut self.receiver {
                    let _held = receiver.try_recv_in_place().map_err(said("holding"))?;
                }
            }
            State::Wrapped | State::Lapped => {
                // Of cells, the last of the lap is next. A stream's next record does not fit before its end.
                let lap = if self.case.row.has_cells() {
                    CELLS - 1
                } else {
                    170
                };
                let beyond = match self.case.state {
                    State::Lapped => 3,
                    _ => 0,
                };
                for _ in 0..lap + beyond {
                    self.send(SHORT)?;
                    self.receive()?;
                }
                self.got.clear();
                self.sent.clear();
                if self.case.op.role() == Some(Role::Consumer) {
                    for len in [LONG, SHORT, SHORT] {
                        self.send(len)?;
                    }
                }
            }
            State::Asleep => {
                if self.case.op.role() == Some(Role::Consumer) {
                    self.fill()?;
                }
            }
        }
        Ok(())
    }

    /// Lets a survivor fall asleep, if the case has one that sleeps. After the victims have attached.
    pub(super) fn fall_asleep(&mut self) -> Result<(), String> {
        if self.case.state != State::Asleep {
            return Ok(());
        }
        let sleeper = if self.case.op.role() == Some(Role::Producer)
            && let Some(receiver) = self.receiver.take()
        {
            receiver_asleep(receiver)?
        } else {
            let sender = self.sender.take().ok_or("nobody to sleep")?;
            sender_asleep(sender, SLEEPER)?
        };
        self.sleeper = Some(sleeper);
        Ok(())
    }

    /// Lets another survivor fall asleep as well, where there is place for one.
    pub(super) fn another_falls_asleep(&mut self) -> Result<(), String> {
        let (row, role) = (self.case.row, self.case.op.role());
        if !self.is_relieved() {
            return Ok(());
        }
        let ring = self.ring()?;
        self.other_sleeper = match role {
            Some(Role::Producer) if row.has_many(Role::Consumer) => {
                let receiver = ring.receiver().map_err(said("attach"))?;
                Some(receiver_asleep(receiver)?)
            }
            Some(Role::Consumer) if row.has_many(Role::Producer) => {
                let sender = ring.sender().map_err(said("attach"))?;
                Some(sender_asleep(sender, OTHER_SLEEPER)?)
            }
            _ => None,
        };
        Ok(())
    }

    /// Where the frozen victim is one of several in its role, another one does what the sleepers wait for, and
    /// they must wake: nothing that they wait for is the victim's.
    pub(super) fn relieve_sleepers(&mut self) -> Result<(), String> {
        let Some(role) = self.case.op.role() else {
            return Ok(());
        };
        if !self.is_relieved() {
            return Ok(());
        }
        let address = self.ring()?.address().clone();
        let before = ringway::inspect::stat(&address).map_err(said("stat"))?.sent;
        // One for each, and one more.
        let mut sent = 0;
        while role == Role::Producer && sent < 3 {
            if !self.try_send(SHORT, self.patience())? {
                // The victim has the lock.
                return Ok(());
            }
            sent += 1;
        }
        let deadline = Instant::now() + WATCHDOG;
        loop {
            let drained = role == Role::Producer || !self.drain()?;
            if self.sleepers().all(|sleeper| sleeper.is_finished()) {
                return Ok(());
            }
            let stat = ringway::inspect::stat(&address).map_err(said("stat"))?;
            let is_excused = match role {
                // A claim of the victim's stands before what was sent: something in the ring is not counted as sent.
                Role::Producer => {
                    let left = stat.sent.saturating_sub(stat.received);
                    let (of_victim, _) = self.case.op.sends();
                    let all = before + sent + u64::from(of_victim);
                    left == 0
                        || stat.used_bytes != left * u64::from(CELL_LEN)
                            && (of_victim == 0 || stat.sent != all)
                }
                // The victim holds what is left.
                _ => drained && stat.used_bytes > 0,
            };
            if is_excused {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "STRANDED: others work, and who sleeps is not woken: {stat:?}"
                ));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Receives what there is. Whether there was something.
    fn drain(&mut self) -> Result<bool, String> {
        let mut some = false;
        while self.try_receive(self.patience())? {
            some = true;
        }
        Ok(some)
    }

    fn sleepers(&self) -> impl Iterator<Item = &JoinHandle<Slept>> {
        self.sleeper.iter().chain(&self.other_sleeper)
    }

    /// Does what the sleepers beside a frozen victim wait for, until they are done. After the victim has gone on.
    pub(super) fn end_sleepers(&mut self) -> Result<(), String> {
        if !self.is_relieved() {
            return Ok(());
        }
        while !self.sleepers().all(|sleeper| sleeper.is_finished()) {
            let is_done = match self.case.op.role() {
                Some(Role::Producer) => self.try_send(SHORT, None)?,
                _ => self.try_receive(None)?,
            };
            if !is_done {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.wake_up()?;
        let Some(sleeper) = self.other_sleeper.take() else {
            return Ok(());
        };
        match sleeper.join().map_err(|_| "the other sleeper panicked")? {
            Slept::Receiver(_, Ok(message)) => {
                self.note(&message)?;
                // Nobody knows which of the two was first.
                self.apart.extend(self.got.last());
            }
            Slept::Sender(sender, Ok(())) => {
                sender.leave();
                self.sent.push(Id {
                    who: OTHER_SLEEPER,
                    number: 0,
                });
            }
            Slept::Receiver(_, Err(error)) => return Err(format!("the other consumer: {error}")),
            Slept::Sender(_, Err(error)) => return Err(format!("the other producer: {error}")),
        }
        Ok(())
    }

    /// Whether somebody else can do what sleepers wait for while the victim is frozen.
    fn is_relieved(&self) -> bool {
        let role = self.case.op.role();
        self.case.state == State::Asleep && role.is_some_and(|role| self.case.row.has_many(role))
    }

    /// Whether a survivor sleeps, or has slept and not been asked yet.
    pub(super) fn has_sleeper(&self) -> bool {
        self.sleeper.is_some()
    }

    /// What became of the sleeper. It must have been woken.
    pub(super) fn wake_up(&mut self) -> Result<(), String> {
        let Some(sleeper) = self.sleeper.take() else {
            return Ok(());
        };
        match sleeper.join().map_err(|_| "the sleeper panicked")? {
            Slept::Receiver(receiver, received) => {
                self.receiver = Some(*receiver);
                match received {
                    Ok(message) => self.note(&message)?,
                    Err(RecvError::Closed | RecvError::PeerDied) => {}
                    Err(error) => return Err(format!("the sleeping consumer: {error}")),
                }
            }
            Slept::Sender(sender, sent) => {
                self.sender = Some(*sender);
                match sent {
                    Ok(()) => self.sent.push(Id {
                        who: SLEEPER,
                        number: 0,
                    }),
                    Err(SendError::Closed | SendError::PeerDied) => {}
                    Err(error) => return Err(format!("the sleeping producer: {error}")),
                }
            }
        }
        Ok(())
    }

    /// Whether a survivor is there who can do what a victim that sleeps waits for.
    pub(super) fn can_help(&self, op: Op) -> bool {
        match op.role() {
            Some(Role::Producer) => self.receiver.is_some(),
            _ => self.sender.is_some(),
        }
    }

    /// Does what a victim that sleeps waits for; `false` if it cannot now.
    pub(super) fn help(&mut self, op: Op) -> Result<bool, String> {
        match op.role() {
            Some(Role::Producer) => self.try_receive(self.patience()),
            _ => self.try_send(SHORT, self.patience()),
        }
    }

    /// What others do beside one that is frozen: nothing may fail, though not everything is possible.
    pub(super) fn work_around(&mut self) -> Result<(), String> {
        if self.case.state == State::Nothing {
            return self.make_around();
        }
        if self.case.op.overwrites() {
            return self.come_round();
        }
        for _ in 0..3 {
            if self.sender.is_some() {
                self.try_send(SHORT, self.patience())?;
            }
            if self.receiver.is_some() {
                self.try_receive(self.patience())?;
            }
        }
        Ok(())
    }

    /// Overwrites all that there is, twice over: nobody who is frozen or died may make that wait.
    pub(super) fn come_round(&mut self) -> Result<(), String> {
        let patience = self.patience();
        for nth in 0..2 * CELLS {
            let len = if nth % 9 == 8 { LONG } else { SHORT };
            if self.sender.is_some() && !self.try_send(len, patience)? && patience.is_none() {
                return Err("WAITS: a sender that overwrites".to_owned());
            }
        }
        Ok(())
    }

    /// Opens or makes the ring beside one that is frozen while it makes it: that can be done, or an error says
    /// at once that it is being made.
    fn make_around(&self) -> Result<(), String> {
        match self.builder().open_or_create() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::HalfMade => Ok(()),
            Err(error) => Err(format!("beside a frozen creator: {error}")),
        }
    }

    /// How long to wait for a lock, which a frozen victim may hold.
    fn patience(&self) -> Option<Instant> {
        let has_lock = matches!(
            self.case.row.sync,
            SyncKind::Pthread | SyncKind::PosixSem | SyncKind::SysvSem
        );
        has_lock.then(|| Instant::now() + Duration::from_millis(2))
    }

    /// Sends one message more; it must be possible.
    fn send(&mut self, len: usize) -> Result<(), String> {
        match self.try_send(len, None)? {
            true => Ok(()),
            false => Err("the ring is full too early".to_owned()),
        }
    }

    /// Fills the ring.
    fn fill(&mut self) -> Result<(), String> {
        if self.case.op.overwrites() {
            return (0..CELLS).try_for_each(|_| self.send(SHORT));
        }
        while self.try_send(SHORT, None)? {}
        Ok(())
    }

    /// Sends a message if there is room, or before a deadline.
    pub(super) fn try_send(
        &mut self,
        len: usize,
        patience: Option<Instant>,
    ) -> Result<bool, String> {
        let id = Id {
            who: SURVIVOR,
            number: self.next,
        };
        let Some(sender) = &mut self.sender else {
            return Err("no survivor sends".to_owned());
        };
        let message = id.bytes(len);
        let sent = match patience {
            None => sender.try_send(&message),
            Some(deadline) => sender.send_deadline(&message, deadline),
        };
        match sent {
            Ok(()) => {
                self.next += 1;
                self.sent.push(id);
                Ok(true)
            }
            Err(SendError::TimedOut | SendError::Full) => Ok(false),
            Err(SendError::Closed) if self.may_be_closed(Op::CloseReceiver) => Ok(false),
            Err(error) => Err(format!("sending: {error}")),
        }
    }

    /// Receives a message if there is one, or before a deadline.
    pub(super) fn try_receive(&mut self, patience: Option<Instant>) -> Result<bool, String> {
        let Some(receiver) = &mut self.receiver else {
            return Err("no survivor receives".to_owned());
        };
        let received = match patience {
            None => receiver.try_recv_in_place(),
            Some(deadline) => receiver.recv_in_place_deadline(deadline),
        };
        match received.map(release) {
            Ok((message, again)) => self.note_delivery(&message, again).map(|()| true),
            Err(RecvError::TimedOut | RecvError::Empty) => Ok(false),
            Err(RecvError::Closed) if self.may_be_closed(Op::CloseSender) => Ok(false),
            Err(error) => Err(format!("receiving: {error}")),
        }
    }

    /// Whether a survivor may be told that the victim's side is closed, until somebody follows it: by the victim or before it
    /// came.
    fn may_be_closed(&self, closing: Op) -> bool {
        self.case.op == closing
            || self.case.state == State::Closed && self.case.op.role() == closing.role()
    }

    /// Receives a message, which must come.
    pub(super) fn receive(&mut self) -> Result<(), String> {
        let Some(receiver) = &mut self.receiver else {
            return Err("no survivor receives".to_owned());
        };
        let received = receiver.recv_in_place_deadline(Instant::now() + WATCHDOG);
        match received.map(release) {
            Ok((message, again)) => self.note_delivery(&message, again),
            Err(error) => Err(format!("receiving: {error}")),
        }
    }

    pub(super) fn note(&mut self, message: &[u8]) -> Result<(), String> {
        let id = Id::of(message).ok_or_else(|| format!("TORN: {message:?}"))?;
        self.got.push(id);
        Ok(())
    }

    fn note_delivery(&mut self, message: &[u8], again: bool) -> Result<(), String> {
        self.note(message)?;
        if again {
            self.again.extend(self.got.last());
        }
        Ok(())
    }
}

/// The bytes of a message, and whether it was delivered before.
fn release(message: Message<'_>) -> (Vec<u8>, bool) {
    let (bytes, again) = (message.to_vec(), message.redelivered());
    message.release();
    (bytes, again)
}

fn receiver_asleep(receiver: Receiver) -> Result<JoinHandle<Slept>, String> {
    let mut receiver = receiver.with_wait(WaitStrategy::Park);
    asleep(move |deadline| {
        let received = receiver.recv_deadline(deadline);
        Slept::Receiver(Box::new(receiver), received)
    })
}

fn sender_asleep(sender: Sender, who: u32) -> Result<JoinHandle<Slept>, String> {
    let mut sender = sender.with_wait(WaitStrategy::Park);
    asleep(move |deadline| {
        let sent = sender.send_deadline(&Id { who, number: 0 }.bytes(SHORT), deadline);
        Slept::Sender(Box::new(sender), sent)
    })
}

/// A thread that does something, when it sleeps.
fn asleep(
    deed: impl FnOnce(Instant) -> Slept + Send + 'static,
) -> Result<JoinHandle<Slept>, String> {
    let (asleep, tid) = mpsc::channel();
    // A sleeper is in this for longer than one who waits for it.
    let deadline = Instant::now() + 2 * WATCHDOG;
    let sleeper = std::thread::spawn(move || {
        let _ = asleep.send(gettid());
        deed(deadline)
    });
    let tid = tid.recv().map_err(|_| "the sleeper has ended")?;
    let is_up = || procfs::state(std::process::id(), tid.as_raw()).is_ok_and(|state| state != 'S');
    while is_up() {
        std::thread::yield_now();
    }
    Ok(sleeper)
}

pub(crate) fn said<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}
