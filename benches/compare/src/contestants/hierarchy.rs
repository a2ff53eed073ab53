//! Whatever two processes can talk by, doing the same work: messages of one size, one a call, made by the sender and
//! checked by the receiver.

use std::fs::File;
use std::path::{Path, PathBuf};

use ::ringway::{Kind, SyncKind, WaitStrategy};

use super::guarded::{Guarded, Monitor, PosixCounts, SystemVCounts};
use super::kernel::{self, Descriptor};
use super::queues::{BarePosix, BareSysv, FIRST, Frame, key_of};
use super::raw::Slots;
use super::ringway::Ringway;
use super::system::{Log, Packets, Signals, Udp, tcp};
use super::{Contestant, Roster, limit, one_way, round_trip};
use crate::args::Work;
use crate::message;
use crate::track::{Lane, Track};

impl Roster<'_> {
    pub(super) fn hierarchy<const W: usize>(&mut self) -> Vec<Contestant> {
        let mut list = vec![match self.work {
            Work::HierarchyRoundTrip => {
                let (there, back) = (Slots::<W>::new(), Slots::<W>::new());
                limit("raw slot", None, crate::track::RoundTrip { there, back })
            }
            _ => limit("raw slot", None, crate::track::OneWay(Slots::<W>::new())),
        }];
        let ring = self.rings.first().copied().unwrap_or(128 << 10);
        let mut add = |name, track| list.push(track_of(name, track));
        let ringway = |name| Ringway::<W, false, false>::new(name, ring, WaitStrategy::default());
        add("ringway", self.lanes_of(|roster, _| ringway(roster.name())));
        for (name, sync) in [
            ("ringway, pthread", SyncKind::Pthread),
            ("ringway, posix-sem", SyncKind::PosixSem),
            ("ringway, sysv-sem", SyncKind::SysvSem),
        ] {
            let track = self.lanes_of(|roster, _| ringway(roster.name()).of(Kind::Spsc, sync));
            add(name, track);
        }
        add(
            "ringway, file:",
            self.lanes_of(|roster, _| {
                let path = roster.path();
                ringway(String::new()).at(format!("file:{}", path.display()))
            }),
        );
        add(
            "shared memory, mutex + condvars",
            self.lanes_of(|_, _| Guarded::<_, W>::new(Monitor::new())),
        );
        add(
            "shared memory, POSIX semaphores",
            self.lanes_of(|_, _| Guarded::<_, W>::new(PosixCounts::new())),
        );
        add(
            "shared memory, System V semaphores",
            self.lanes_of(|_, index| Guarded::<_, W>::new(SystemVCounts::new(index))),
        );
        add(
            "raw slot, mapped file",
            self.lanes_of(|roster, _| Slots::<W>::in_file(&roster.path())),
        );
        add("pipe", self.lanes_of(|_, _| kernel::new_pipe::<W>()));
        add("FIFO", self.lanes_of(|roster, _| fifo::<W>(&roster.path())));
        add(
            "signals (sigqueue), 8 bytes each",
            self.lanes_of(|_, index| Signals::<W>::new(index as i32)),
        );
        add(
            "Unix socket, stream",
            self.lanes_of(|_, _| kernel::new_socket::<W>()),
        );
        add(
            "Unix socket, datagram",
            self.lanes_of(|_, _| Packets::<W>::datagrams()),
        );
        add(
            "Unix socket, seqpacket",
            self.lanes_of(|_, _| Packets::<W>::seqpackets()),
        );
        add(
            "POSIX message queue",
            self.lanes_of(|roster, _| {
                let name = format!("/{}", roster.name());
                let name = std::ffi::CString::new(name).expect("no zero byte");
                BarePosix::<W>::new(name, Frame::None)
            }),
        );
        add(
            "System V message queue",
            self.lanes_of(|roster, _| {
                roster.made += 1;
                let key = key_of(std::process::id(), roster.made) as libc::key_t;
                BareSysv::<W>::new(key, FIRST, Frame::None)
            }),
        );
        add(
            "file, written and polled",
            self.lanes_of(|roster, _| Log::<W>::new(&roster.path())),
        );
        add(
            "TCP, loopback",
            self.lanes_of(|_, _| {
                let (writer, reader) = tcp();
                Descriptor::<_, _, W> {
                    reader,
                    writer,
                    buffer: message::Buffer::default(),
                }
            }),
        );
        add(
            "UDP, loopback, answered",
            self.lanes_of(|_, _| Udp::<W>::new()),
        );
        list
    }

    /// One lane, or two for round trips: each is told its index.
    fn lanes_of<L: Lane + 'static>(
        &mut self,
        mut new: impl FnMut(&mut Self, u32) -> L,
    ) -> Box<dyn Track> {
        match self.work {
            Work::HierarchyRoundTrip => {
                let mut index = 0;
                round_trip(|| {
                    index += 1;
                    new(self, index - 1)
                })
            }
            _ => one_way(new(self, 0)),
        }
    }

    /// Of a new file that is no memory, where the machine has a place for such.
    fn path(&mut self) -> PathBuf {
        std::env::temp_dir().join(self.name())
    }
}

fn track_of(name: &'static str, track: Box<dyn Track>) -> Contestant {
    Contestant {
        name,
        ring: None,
        is_reference: false,
        track,
    }
}

/// A FIFO that has lost its name.
fn fifo<const W: usize>(path: &Path) -> Descriptor<File, File, W> {
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no zero byte");
    // SAFETY: a C string.
    let made = unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
    assert_eq!(made, 0, "mkfifo: {}", std::io::Error::last_os_error());
    // For both, so that neither open waits for the other.
    let open = || File::options().read(true).write(true).open(path);
    let [reader, writer] = [open(), open()].map(|end| end.expect("it is there"));
    std::fs::remove_file(path).expect("it is there");
    Descriptor {
        reader,
        writer,
        buffer: message::Buffer::default(),
    }
}
