//! The survivors: what blocks them, and what the death gives them.

use std::sync::atomic::AtomicI32;
use std::time::Instant;

use nix::sys::signal::Signal;
use ringway::{Receiver, RecvError, Ring, SendError, Sender};
use ringway_testing::messages::{number, number_in};

use super::cases::{Case, Victim};
use super::scene::{Scene, deadline, enrol};
use super::times::Times;
use super::zygote::{Dying, Zygote, text};

/// How often the lock's holder is sought before it is given up.
const SEARCHES: u32 = 1_000_000;

/// Kills so many in one case, and returns how long the survivors waited.
pub(crate) fn measure(case: Case, kills: u64, zygote: &mut Zygote) -> Result<Times, String> {
    let (ring, _place) = case.row.ring();
    let mut scene = Scene::new(case, &ring, zygote);
    let mut times = Times::new()?;
    match (case.victim, case.has_others()) {
        (Victim::Idle, _) | (Victim::Claim, false) => {
            let mut receiver = receiver(&ring, case)?;
            producers_follow_each_other(&mut scene, &mut receiver, kills, &mut times)?;
        }
        (Victim::Hold, false) => {
            let mut sender = sender(&ring, case)?;
            consumers_follow_each_other(&mut scene, &mut sender, kills, &mut times)?;
        }
        (victim, _) => {
            let mut survivors = Survivors {
                scene: &mut scene,
                sender: sender(&ring, case)?,
                receiver: receiver(&ring, case)?,
                times: &mut times,
            };
            let survive = match victim {
                Victim::Claim => Survivors::one_of_many_producers,
                Victim::Hold => Survivors::one_of_many_consumers,
                Victim::Socket => Survivors::the_other_end_of_a_socket,
                _ => Survivors::the_holder_of_the_lock,
            };
            for index in 0..kills {
                survive(&mut survivors, index)?;
            }
        }
    }
    Ok(times)
}

fn sender(ring: &Ring, case: Case) -> Result<Sender, String> {
    let sender = ring.sender().map_err(text)?;
    Ok(sender.with_wait(case.waiting.wait()))
}

fn receiver(ring: &Ring, case: Case) -> Result<Receiver, String> {
    let receiver = ring.receiver().map_err(text)?;
    Ok(receiver.with_wait(case.waiting.wait()))
}

/// A consumer is told of the only producer's death, and then gets a message from the next one, which is
/// the next victim.
fn producers_follow_each_other(
    scene: &mut Scene<'_>,
    receiver: &mut Receiver,
    kills: u64,
    times: &mut Times,
) -> Result<(), String> {
    let mut victim = scene.start()?;
    receive_from(receiver, &victim, 0)?;
    for index in 1..=kills {
        victim.expect("set")?;
        let next = scene.start()?;
        let death = scene.survive(&victim, &[], |deadline| receiver.recv_deadline(deadline))?;
        if death.value != Err(RecvError::PeerDied) {
            return Err(format!("received {:?}", death.value));
        }
        times.record(0, death.time())?;
        receive_from(receiver, &next, index)?;
        times.record(1, death.killed.elapsed())?;
        scene.bury()?;
        victim = next;
    }
    scene.dismiss(&victim)
}

fn receive_from(receiver: &mut Receiver, sender: &Dying, index: u64) -> Result<(), String> {
    sender.say(index)?;
    receiver.wait_for_peer_deadline(deadline()).map_err(text)?;
    check(receiver.recv_deadline(deadline()), index)
}

/// A producer that waits for room is told of the only consumer's death, and then gets room from the next
/// one, which is the next victim.
fn consumers_follow_each_other(
    scene: &mut Scene<'_>,
    sender: &mut Sender,
    kills: u64,
    times: &mut Times,
) -> Result<(), String> {
    fill(sender, 0)?;
    let mut victim = scene.start()?;
    send_to(&victim, sender)?;
    for _ in 0..kills {
        victim.expect("set")?;
        fill(sender, 0)?;
        let next = scene.start()?;
        let death = scene.survive(&victim, &[], |deadline| {
            sender.send_deadline(&number(0), deadline)
        })?;
        if death.value != Err(SendError::PeerDied) {
            return Err(format!("sent: {:?}", death.value));
        }
        times.record(0, death.time())?;
        send_to(&next, sender)?;
        times.record(1, death.killed.elapsed())?;
        scene.bury()?;
        victim = next;
    }
    scene.dismiss(&victim)
}

fn send_to(receiver: &Dying, sender: &mut Sender) -> Result<(), String> {
    receiver.say(0)?;
    sender.wait_for_peer_deadline(deadline()).map_err(text)?;
    sender.send_deadline(&number(0), deadline()).map_err(text)
}

/// Those who are at a ring together, where one among them dies.
struct Survivors<'a, 'z> {
    scene: &'a mut Scene<'z>,
    sender: Sender,
    receiver: Receiver,
    times: &'a mut Times,
}

impl Survivors<'_, '_> {
    /// A consumer waits for a message behind the victim's claim.
    fn one_of_many_producers(&mut self, index: u64) -> Result<(), String> {
        let victim = self.scene.start_at(index)?;
        self.sender.try_send(&number(index)).map_err(text)?;
        let death = self.scene.survive(&victim, &[], |deadline| {
            self.receiver.recv_deadline(deadline)
        })?;
        self.times.record(0, death.time())?;
        check(death.value, index)?;
        self.scene.bury()
    }

    /// A consumer gets the victim's message again, and so a producer the room that it waits for.
    fn one_of_many_consumers(&mut self, index: u64) -> Result<(), String> {
        let held = index << 32;
        self.sender.try_send(&number(held)).map_err(text)?;
        let victim = self.scene.start_at(index)?;
        // The ring is empty but for the message at its head, and so full.
        let last = fill(&mut self.sender, held + 1)?;
        for between in held + 1..last {
            check(self.receiver.try_recv(), between)?;
        }
        let sending = AtomicI32::new(0);
        let (death, sent) = std::thread::scope(|scope| {
            let producer = scope.spawn(|| {
                enrol(&sending);
                let sent = self.sender.send_deadline(&number(last), deadline());
                (sent, Instant::now())
            });
            let death = self.scene.survive(&victim, &[&sending], |deadline| {
                self.receiver.recv_deadline(deadline)
            });
            (death, producer.join())
        });
        let death = death?;
        let (sent, at) = sent.map_err(|_| "the producer panicked".to_owned())?;
        sent.map_err(text)?;
        self.times.record(0, death.time())?;
        self.times
            .record(1, at.saturating_duration_since(death.killed))?;
        check(death.value, held)?;
        check(self.receiver.recv_deadline(deadline()), last)?;
        self.scene.bury()
    }

    /// A producer waits for the lock, whose holder is stopped and then killed.
    fn the_holder_of_the_lock(&mut self, index: u64) -> Result<(), String> {
        let victim = self.scene.start_at(index)?;
        for _ in 0..SEARCHES {
            self.scene.stop_somewhere(&victim)?;
            match self.sender.send_deadline(&number(0), Instant::now()) {
                // There is room: it is the lock that cannot be had.
                Err(SendError::TimedOut) => {
                    let death = self.scene.survive(&victim, &[], |deadline| {
                        self.sender.send_deadline(&number(index), deadline)
                    })?;
                    death.value.map_err(text)?;
                    self.times.record(0, death.time())?;
                    check(self.receiver.recv_deadline(deadline()), index)?;
                    return self.scene.bury();
                }
                Ok(()) => {
                    victim.signal(Signal::SIGCONT)?;
                    check(self.receiver.recv_deadline(deadline()), 0)?;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Err("the victim never has the lock".to_owned())
    }

    /// What it takes without ringway: a process that waits for what another one's death does by itself.
    fn the_other_end_of_a_socket(&mut self, index: u64) -> Result<(), String> {
        let victim = self.scene.start_at(index)?;
        let death = self.scene.survive(&victim, &[], |_| victim.await_end())?;
        self.times.record(0, death.time())?;
        death.value?;
        self.scene.bury()
    }
}

/// Sends messages with numbers from `next` on until the ring is full; returns the next number.
fn fill(sender: &mut Sender, mut next: u64) -> Result<u64, String> {
    loop {
        match sender.try_send(&number(next)) {
            Ok(()) => next += 1,
            Err(SendError::Full) => return Ok(next),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn check(message: Result<Vec<u8>, RecvError>, expected: u64) -> Result<(), String> {
    match message.map_err(text)? {
        message if message == number(expected) => Ok(()),
        message => {
            let found = number_in(&message);
            Err(format!("message {found} came instead of {expected}"))
        }
    }
}
