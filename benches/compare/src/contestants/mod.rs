//! Who takes part in which work.

#[cfg(feature = "aeron")]
pub mod aeron;
mod bare;
mod board;
#[cfg(boost)]
mod boost;
mod call;
mod cells;
mod chunks;
mod fan;
mod guarded;
mod hierarchy;
mod iceoryx;
mod kernel;
mod many;
mod mapping;
mod queues;
mod raw;
mod ringfire;
mod ringway;
mod shmem_ipc;
mod sleep_sync;
mod system;
mod threads;
mod typed;
mod vyukov;

use ::ringway::WaitStrategy;
use bytemuck::{AnyBitPattern, NoUninit};

use crate::args::{Variant, Work};
use crate::track::{Key, Lane, OneWay, RoundTrip, Track};
use chunks::{Chunks, Parts};
use mapping::{HandOver, InPlace, Mapped};
use raw::{Copies, MEMCPY, MOVSB, Packed, STREAM, Sleeping, Slots};
use ringfire::Ringfire;
use ringway::Ringway;
use shmem_ipc::ShmemIpc;
use sleep_sync::{asleep, reference};
use threads::{Crossbeam, Rtrb, Threads};
use typed::Typed;

/// A transport with the settings under which it takes part.
pub struct Contestant {
    pub name: &'static str,
    /// Bytes of its ring; `None` if it has no such setting.
    pub ring: Option<u64>,
    /// Whether others are measured beside it: those with its ring size, or all if it has none.
    pub is_reference: bool,
    pub track: Box<dyn Track>,
}

impl Contestant {
    /// Whether it is hand-laid memory or bare calls. The best of them is the limit.
    pub fn is_bare(&self) -> bool {
        self.name.starts_with("raw ") || self.name.starts_with("bare ")
    }
}

/// What tells how far apart the first two processors are.
pub fn key() -> Contestant {
    let track = RoundTrip {
        there: Slots::<8>::new(),
        back: Slots::<8>::new(),
    };
    Contestant {
        name: "bare round trip",
        ring: None,
        is_reference: false,
        track: Box::new(Key(track)),
    }
}

/// The contestants of a work, by message size in bytes, and what they are called in /dev/shm.
pub struct Roster<'a> {
    pub work: Work,
    pub variant: Variant,
    pub rings: &'a [u64],
    /// Every shared-memory name begins with this.
    pub prefix: &'a str,
    made: u32,
}

impl<'a> Roster<'a> {
    pub fn new(work: Work, variant: Variant, rings: &'a [u64], prefix: &'a str) -> Self {
        Self {
            work,
            variant,
            rings,
            prefix,
            made: 0,
        }
    }

    /// `None` if the message size is not one of those that are built in.
    pub fn contestants(mut self, size: u64) -> Option<Vec<Contestant>> {
        Some(match self.work {
            Work::Many => match size {
                8 => self.many::<1>(),
                64 => self.many::<8>(),
                256 => self.many::<32>(),
                _ => return None,
            },
            Work::SleepSync => match size {
                64 => self.sleep_sync::<8>(),
                _ => return None,
            },
            Work::OneWay => match size {
                8 => self.one_way::<1>(),
                64 => self.one_way::<8>(),
                256 => self.one_way::<32>(),
                512 => self.one_way::<64>(),
                1024 => self.one_way::<128>(),
                2048 => self.one_way::<256>(),
                _ => return None,
            },
            Work::Hierarchy | Work::HierarchyRoundTrip => match size {
                8 => self.hierarchy::<1>(),
                64 => self.hierarchy::<8>(),
                1024 => self.hierarchy::<128>(),
                _ => return None,
            },
            Work::Chunk => match size {
                0x10_0000.. if size.is_multiple_of(1 << 20) => self.chunk(size),
                _ => return None,
            },
            Work::RoundTrip => match size {
                8 => self.round_trip::<1>(),
                64 => self.round_trip::<8>(),
                256 => self.round_trip::<32>(),
                _ => return None,
            },
            Work::Sleep => match size {
                64 => self.sleep::<8>(),
                _ => return None,
            },
            Work::Mq | Work::MqRoundTrip => match size {
                64 => self.queues::<8>(),
                1024 => self.queues::<128>(),
                _ => return None,
            },
            Work::Copy => match size {
                4096 => self.copy::<512>(),
                0x1_0000 => self.copy::<8192>(),
                0x10_0000 => self.copy::<131_072>(),
                _ => return None,
            },
            Work::Map => match size {
                1024 => self.map::<128>(),
                4096 => self.map::<512>(),
                0x4000 => self.map::<2048>(),
                0x1_0000 => self.map::<8192>(),
                0x4_0000 => self.map::<32_768>(),
                0x10_0000 => self.map::<131_072>(),
                _ => return None,
            },
            Work::Hand => self.hand(size),
            Work::Fan => match size {
                8 => self.fan::<1>(),
                64 => self.fan::<8>(),
                1024 => self.fan::<128>(),
                _ => return None,
            },
            Work::BoardGet => match size {
                8 => self.board::<1, false>(),
                64 => self.board::<8, false>(),
                1024 => self.board::<128, false>(),
                _ => return None,
            },
            Work::BoardSet => match size {
                8 => self.board::<1, true>(),
                64 => self.board::<8, true>(),
                1024 => self.board::<128, true>(),
                _ => return None,
            },
            Work::Call => match size {
                8 => self.call::<1>(),
                64 => self.call::<8>(),
                1024 => self.call::<128>(),
                _ => return None,
            },
        })
    }

    fn name(&mut self) -> String {
        self.made += 1;
        format!("{}{}", self.prefix, self.made)
    }

    fn one_way<const W: usize>(&mut self) -> Vec<Contestant>
    where
        [u64; W]: NoUninit + AnyBitPattern,
    {
        let mut list = Vec::new();
        for &ring in self.rings {
            let slots = OneWay(Slots::<W>::within(ring));
            list.push(limit("raw slot", Some(ring), slots));
            let mut add = |name, track| list.push(within(ring, name, track));
            if W == 1 {
                add("raw slot, dense", one_way(Slots::<W, true>::within(ring)));
            }
            add("raw packed", one_way(Packed::<W, 1>::new(ring)));
            add("raw packed/64", one_way(Packed::<W, 64>::new(ring)));
            add("ringway", one_way(self.ringway::<W, false, false>(ring)));
            add(
                "ringway drain",
                one_way(self.ringway::<W, false, true>(ring)),
            );
            add(
                "ringway batch",
                one_way(self.ringway::<W, true, false>(ring)),
            );
            add(
                "ringway batch+drain",
                one_way(self.ringway::<W, true, true>(ring)),
            );
            add(
                "ringway typed",
                one_way(Typed::<W, false>::new(self.name(), ring)),
            );
            add(
                "ringway bulk",
                one_way(Typed::<W, true>::new(self.name(), ring)),
            );
            add("shmem-ipc", one_way(ShmemIpc::<W, false, 1>::new(ring)));
            add(
                "shmem-ipc drain",
                one_way(ShmemIpc::<W, false, 64>::new(ring)),
            );
            add(
                "shmem-ipc batch+drain",
                one_way(ShmemIpc::<W, true, 64>::new(ring)),
            );
            add(
                "shmem-ipc batch, drain 256",
                one_way(ShmemIpc::<W, true, 256>::new(ring)),
            );
            add(
                "ringfire",
                one_way(Ringfire::<W, false>::new(self.name(), ring)),
            );
            add(
                "ringfire batch",
                one_way(Ringfire::<W, true>::new(self.name(), ring)),
            );
            #[cfg(feature = "aeron")]
            {
                add("aeron offer", self.aeron::<W, false, 256>(ring));
                add("aeron offer, poll 1", self.aeron::<W, false, 1>(ring));
                add("aeron claim", self.aeron::<W, true, 256>(ring));
            }
            add("rtrb, threads", Box::new(Threads::<Rtrb, W>::new(ring)));
            add(
                "crossbeam-channel, threads",
                Box::new(Threads::<Crossbeam, W>::new(ring)),
            );
        }
        list.push(plain("pipe", OneWay(kernel::new_pipe::<W>())));
        list.push(plain("unix socket", OneWay(kernel::new_socket::<W>())));
        list
    }

    #[cfg(feature = "aeron")]
    fn aeron<const W: usize, const CLAIM: bool, const POLL: u64>(
        &mut self,
        term: u64,
    ) -> Box<dyn Track> {
        self.made += 1;
        let stream = self.made as i32;
        one_way(aeron::AeronIpc::<W, CLAIM, POLL>::new(
            self.prefix,
            stream,
            term,
        ))
    }

    fn round_trip<const W: usize>(&mut self) -> Vec<Contestant> {
        let slots = RoundTrip {
            there: Slots::<W>::new(),
            back: Slots::<W>::new(),
        };
        let mut list = vec![limit("raw slot", None, slots)];
        for &ring in self.rings {
            let mut add = |name, track| list.push(within(ring, name, track));
            add("raw packed", round_trip(|| Packed::<W, 1>::new(ring)));
            add(
                "ringway",
                round_trip(|| self.ringway::<W, false, false>(ring)),
            );
            add(
                "shmem-ipc",
                round_trip(|| ShmemIpc::<W, false, 1>::new(ring)),
            );
            add(
                "ringfire",
                round_trip(|| Ringfire::<W, false>::new(self.name(), ring)),
            );
            #[cfg(feature = "aeron")]
            add("aeron offer", {
                round_trip(|| {
                    self.made += 1;
                    aeron::AeronIpc::<W, false, 256>::new(self.prefix, self.made as i32, ring)
                })
            });
        }
        list
    }

    fn sleep<const W: usize>(&mut self) -> Vec<Contestant> {
        let Variant::Seats(seats) = self.variant else {
            return Vec::new();
        };
        let bare = asleep(seats, Sleeping::<W>::new);
        let mut list = vec![reference("raw slot + futex", bare)];
        for &ring in self.rings {
            let mut add = |name, track| list.push(within(ring, name, track));
            let mut lane = |wait| Ringway::<W, false, false>::new(self.name(), ring, wait);
            let park = || lane(WaitStrategy::Park);
            add("ringway park", asleep(seats, park));
            // With a peer that is awake.
            let adaptive = || lane(WaitStrategy::default());
            add("ringway adaptive", round_trip(adaptive));
        }
        let mut add = |name, track| {
            let is_reference = false;
            list.push(Contestant {
                is_reference,
                ..reference(name, track)
            });
        };
        add("pipe", asleep(seats, kernel::new_pipe::<W>));
        add("unix socket", asleep(seats, kernel::new_socket::<W>));
        list
    }

    fn copy<const W: usize>(&mut self) -> Vec<Contestant> {
        let mut list = Vec::new();
        // A message may take almost half of a ring.
        for &ring in self.rings.iter().filter(|ring| **ring >= W as u64 * 32) {
            list.push(limit(
                "raw memcpy",
                Some(ring),
                OneWay(Copies::<W, MEMCPY>::new(ring)),
            ));
            let mut add = |name, track| list.push(within(ring, name, track));
            add(
                "raw streaming stores",
                one_way(Copies::<W, STREAM>::new(ring)),
            );
            add("raw rep movsb", one_way(Copies::<W, MOVSB>::new(ring)));
            add("ringway", one_way(self.ringway::<W, false, false>(ring)));
            add("shmem-ipc", one_way(ShmemIpc::<W, false, 1>::new(ring)));
        }
        list.push(plain("pipe", OneWay(kernel::new_pipe::<W>())));
        list.push(plain("unix socket", OneWay(kernel::new_socket::<W>())));
        list
    }

    fn map<const W: usize>(&mut self) -> Vec<Contestant> {
        vec![
            limit(
                "raw in place",
                None,
                OneWay(InPlace::<W>::new(mapping::SLOTS)),
            ),
            plain("raw in place/2", OneWay(InPlace::<W>::new(2))),
            plain(
                "ringway slab",
                OneWay(Mapped::<W, false>::in_slabs(self.name())),
            ),
            plain(
                "ringway slab, read by blocks",
                OneWay(Mapped::<W, true>::in_slabs(self.name())),
            ),
            plain(
                "ringway in ring",
                OneWay(Mapped::<W, false>::in_ring(self.name())),
            ),
            plain(
                "iceoryx2 loan",
                OneWay(iceoryx::Loans::<W>::new(self.name())),
            ),
        ]
    }

    fn hand(&mut self, size: u64) -> Vec<Contestant> {
        let mut hand_over = |len| RoundTrip {
            there: HandOver::new(self.name(), len),
            back: HandOver::new(self.name(), len),
        };
        vec![
            limit("ringway slab, 64 B", None, hand_over(64)),
            plain("ringway slab", hand_over(size)),
        ]
    }

    fn chunk(&mut self, size: u64) -> Vec<Contestant> {
        let parts = OneWay(Parts::new(self.name(), size));
        let mut list = vec![limit("ringway 1 MiB messages", None, parts)];
        for &ring in self.rings {
            let chunks = one_way(Chunks::new(self.name(), ring, size));
            list.push(within(ring, "ringway chunks", chunks));
        }
        list
    }

    fn ringway<const W: usize, const BATCHED: bool, const DRAINED: bool>(
        &mut self,
        ring: u64,
    ) -> Ringway<W, BATCHED, DRAINED> {
        Ringway::new(self.name(), ring, WaitStrategy::Spin)
    }
}

fn limit(name: &'static str, ring: Option<u64>, track: impl Track + 'static) -> Contestant {
    Contestant {
        name,
        ring,
        is_reference: true,
        track: Box::new(track),
    }
}

/// With a ring of that size.
fn within(ring: u64, name: &'static str, track: Box<dyn Track>) -> Contestant {
    Contestant {
        name,
        ring: Some(ring),
        is_reference: false,
        track,
    }
}

fn plain(name: &'static str, track: impl Track + 'static) -> Contestant {
    Contestant {
        name,
        ring: None,
        is_reference: false,
        track: Box::new(track),
    }
}

fn one_way(lane: impl Lane + 'static) -> Box<dyn Track> {
    Box::new(OneWay(lane))
}

fn round_trip<L: Lane + 'static>(mut lane: impl FnMut() -> L) -> Box<dyn Track> {
    Box::new(RoundTrip {
        there: lane(),
        back: lane(),
    })
}

/// Removes what a measurement has left, in whatever way it ended: names that begin with `prefix`, and
/// the semaphores and message queues of the leading process.
pub fn clean_up(leader: u32, prefix: &str) {
    bare::SystemVSemaphore::remove_all(leader);
    queues::remove_all(leader, prefix);
    for (scheme, directory) in [
        ("shm:", "/dev/shm/".into()),
        ("file:", std::env::temp_dir()),
    ] {
        let entries = std::fs::read_dir(&directory);
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with(prefix) {
                continue;
            }
            let place = match scheme {
                "shm:" => name.to_string_lossy().into_owned(),
                _ => entry.path().display().to_string(),
            };
            if let Ok(address) = format!("{scheme}{place}").parse() {
                // A ring may have more than a file. What is no ring is removed below.
                let _ = ::ringway::remove(&address, true);
            }
            // It may have gone in between.
            let _ = match entry.path().is_dir() {
                true => std::fs::remove_dir_all(entry.path()),
                false => std::fs::remove_file(entry.path()),
            };
        }
    }
}
