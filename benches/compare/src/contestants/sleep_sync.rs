//! Who takes part in sleeping on this and that.

use ::ringway::{Kind, SyncKind, WaitStrategy};

use super::bare::{Condvar, MessageQueue, PosixSemaphore, Rung, SystemVSemaphore};
use super::raw::Sleeping;
use super::ringway::Ringway;
use super::{Contestant, Roster};
use crate::args::{Seats, Variant};
use crate::track::{Asleep, Lane, RoundTrip, Track};

impl Roster<'_> {
    pub(super) fn sleep_sync<const W: usize>(&mut self) -> Vec<Contestant> {
        let Variant::Sync(sync, seats) = self.variant else {
            return Vec::new();
        };
        let mut list = vec![match sync {
            SyncKind::Futex => {
                let lane = Sleeping::<W>::new;
                reference("raw slot + futex", asleep(seats, lane))
            }
            SyncKind::Pthread => {
                let lane = || Rung::<_, W>::new(Condvar::new());
                reference("raw slot + mutex + condvar", asleep(seats, lane))
            }
            SyncKind::PosixSem => {
                let lane = || Rung::<_, W>::new(PosixSemaphore::new());
                reference("raw slot + sem_t", asleep(seats, lane))
            }
            SyncKind::SysvSem => reference("raw slot + semop", semaphores::<W>(seats, false)),
            SyncKind::Mqueue => {
                let lane = || Rung::<_, W>::new(MessageQueue::new(&self.name()));
                reference("raw slot + mq byte", asleep(seats, lane))
            }
            _ => return Vec::new(),
        }];
        if sync == SyncKind::SysvSem {
            list.push(Contestant {
                is_reference: false,
                ..reference("raw slot + semop, locked", semaphores::<W>(seats, true))
            });
        }
        // Spsc on futexes is the stream ring.
        let kinds: &[(&str, Kind)] = match sync {
            SyncKind::Futex => &[
                ("ringway stream park", Kind::Spsc),
                ("ringway park", Kind::Mpmc),
            ],
            _ => &[
                ("ringway park", Kind::Spsc),
                ("ringway mpmc park", Kind::Mpmc),
            ],
        };
        for &ring in self.rings {
            for &(name, kind) in kinds {
                let track = asleep(seats, || {
                    Ringway::<W, false, false>::new(self.name(), ring, WaitStrategy::Park)
                        .of(kind, sync)
                });
                list.push(Contestant {
                    name,
                    ring: Some(ring),
                    is_reference: false,
                    track,
                });
            }
        }
        list
    }
}

/// There and back, both sides asleep in between. On one processor they are without any doing.
pub(super) fn asleep<L: Lane + 'static>(
    seats: Seats,
    mut lane: impl FnMut() -> L,
) -> Box<dyn Track> {
    let (there, back) = (lane(), lane());
    let trip = RoundTrip { there, back };
    match seats {
        Seats::One => Box::new(trip),
        Seats::Two => Box::new(Asleep::new(trip)),
    }
}

fn semaphores<const W: usize>(seats: Seats, excludes: bool) -> Box<dyn Track> {
    let mut bells = SystemVSemaphore::pair(excludes).into_iter();
    let lane = || Rung::<_, W>::new(bells.next().expect("two"));
    asleep(seats, lane)
}

pub(super) fn reference(name: &'static str, track: Box<dyn Track>) -> Contestant {
    Contestant {
        name,
        ring: None,
        is_reference: true,
        track,
    }
}
