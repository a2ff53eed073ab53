//! Who takes part in sleeping on this and that.

use ::ringway::{Kind, SyncKind, WaitStrategy};

use super::bare::{Bell, Condvar, MessageQueue, PosixSemaphore, Rung, SystemVSemaphore};
use super::raw::Sleeping;
use super::ringway::Ringway;
use super::{Contestant, Roster, limit, round_trip};
use crate::args::Variant;
use crate::track::RoundTrip;

impl Roster<'_> {
    pub(super) fn sleep_sync<const W: usize>(&mut self) -> Vec<Contestant> {
        let Variant::Sync(sync) = self.variant else {
            return Vec::new();
        };
        let mut list = vec![match sync {
            SyncKind::Futex => {
                let track = RoundTrip {
                    there: Sleeping::<W>::new(),
                    back: Sleeping::<W>::new(),
                };
                limit("raw slot + futex", None, track)
            }
            SyncKind::Pthread => {
                let bells = [Condvar::new(), Condvar::new()];
                rung::<W>("raw slot + mutex + condvar", bells)
            }
            SyncKind::PosixSem => {
                let bells = [PosixSemaphore::new(), PosixSemaphore::new()];
                rung::<W>("raw slot + sem_t", bells)
            }
            SyncKind::SysvSem => rung::<W>("raw slot + semop", SystemVSemaphore::pair(false)),
            SyncKind::Mqueue => {
                let bells = [self.name(), self.name()].map(|name| MessageQueue::new(&name));
                rung::<W>("raw slot + mq byte", bells)
            }
            _ => return Vec::new(),
        }];
        if sync == SyncKind::SysvSem {
            let bells = SystemVSemaphore::pair(true);
            list.push(Contestant {
                is_reference: false,
                ..rung::<W>("raw slot + semop, locked", bells)
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
                let track = round_trip(|| {
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

fn rung<const W: usize>(name: &'static str, [there, back]: [impl Bell + 'static; 2]) -> Contestant {
    let (there, back) = (Rung::<_, W>::new(there), Rung::<_, W>::new(back));
    limit(name, None, RoundTrip { there, back })
}
