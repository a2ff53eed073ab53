//! Whose is the ring in this file? A file can be a copy of a ring, it can have survived a reboot, and what lies
//! beside it may be gone or in another IPC namespace. Then its liveness words are those of nobody whom a
//! kernel will ever mark, and semaphore set and queues are another ring's or nobody's.
//!
//! The header says which file it is in (device and inode), under which boot its liveness words were
//! written, and in which IPC namespace the rest lies; and each opener compares. But none of this proves anything: a
//! container can have a boot id of its own, a file system may give out other numbers tomorrow. It is a reason to ask
//! the kernel whether anybody else has the ring open ([`Open`]). Then:
//!
//! | what differs | nobody else has it open | somebody has |
//! |---|---|---|
//! | the boot id | renewed | taken as it is: who has it open has found it in order, under this kernel |
//! | the file: it is a copy | renewed | taken as it is: the file system changes its numbers |
//! | its semaphore set is gone | renewed | refused ([`ErrorKind::CompanionLost`]): those who have it open cannot be told of another |
//! | the IPC namespace | renewed | refused: they could not wake each other |
//!
//! To *renew* is to say that nobody is attached, and to make anew what lies beside the ring, under a nonce of its
//! own, so that nobody takes the original's. Messages stay, and what the dead had taken is delivered again.
//!
//! | an opener dies | it leaves | who comes next |
//! |---|---|---|
//! | before it wrote anything, or having erased the set's id | what it found | the same again |
//! | having erased the file's inode | a ring that no file is | renews it; the set named there is the dead one's, and is removed |
//! | having written the inode | a ring in order | |
//!
//! An opener that is *stopped* while it renews keeps others waiting, who give up after a while; one that is stopped anywhere
//! else has the ring open, and so nobody renews it. Two openers of a renewed ring come one after the other ([`Sole`]), and
//! who has seen that all agrees looks again when it has said that it has the ring open.

use super::ids;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, fstat};

use crate::error::{Error, ErrorKind};
use crate::events::tell;
use crate::memory::layout::header::{
    BOOT_ID_OFFSET, COMPANIONS_OFFSET, CREATION_LOCK_OFFSET, FILE_OFFSET, FileId, Header,
    IPC_NAMESPACE_OFFSET, SEMAPHORES_OFFSET,
};
use crate::memory::layout::participant::liveness_words;
use crate::sys::getrandom;
use crate::waiting::sync::semaphore_set::Home;
use crate::waiting::sync::{self, Beside};

use super::lock::{Open, Sole};
use super::place::Place;
use super::{boot_id, namespace, slabs};
use crate::error::Attempt;
use crate::memory::map::Map;
use crate::sys::owner::Access;

impl FileId {
    pub(super) fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// A ring in a file that this process is opening.
#[derive(Clone, Copy)]
struct Opening<'a> {
    attempt: Attempt<'a>,
    place: &'a Place,
    file: BorrowedFd<'a>,
    map: &'a Map,
    access: Access,
    own: FileId,
}

/// What is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Doubts {
    boot: bool,
    file: bool,
    beside: Beside,
}

const NONE: Doubts = Doubts {
    boot: false,
    file: false,
    beside: Beside::Fine,
};

/// Says that the ring in `file` is open here, and sees to it that it is this file's and this boot's. `header`
/// becomes what is true then.
pub(super) fn admit(
    attempt: Attempt<'_>,
    place: &Place,
    file: BorrowedFd<'_>,
    map: &Map,
    header: &mut Header,
) -> Result<(), Error> {
    let stat = fstat(file).map_err(|errno| attempt.os("fstat cannot inspect it", errno))?;
    let opening = Opening {
        attempt,
        place,
        file,
        map,
        access: Access::of_file(&stat),
        own: FileId::of(&stat),
    };
    for look in 0..LOOKS {
        pause(look);
        // First without a lock: who holds it while there is something to renew keeps others from doing so.
        if opening.doubts(header)? == NONE {
            Open::hold(attempt, file)?;
            if opening.doubts(header)? == NONE {
                return Ok(());
            }
            Open::let_go(file);
        }
        let sole = Sole::take(attempt, file)?;
        let doubts = opening.doubts(header)?;
        if doubts != NONE && Open::alone(attempt, file)? {
            opening.renew(doubts, header)?;
            Open::hold(attempt, file)?;
            drop(sole);
            tell!("ringway::segment", INFO, "renewed", address = %attempt.address);
            return Ok(());
        }
    }
    // Others have it open. Waits for who renews it at this moment; from here on nobody does.
    Open::hold(attempt, file)?;
    let doubts = opening.doubts(header)?;
    opening.refuse(doubts)
}

/// How often it is asked whether others have a ring open. Some have it for a moment only: who opens it too, and a
/// child of `fork` on its way to `exec`.
pub(super) const LOOKS: u32 = 16;

/// Waits a moment between two looks.
pub(super) fn pause(look: u32) {
    if look > 0 {
        let moment = 1 + u64::from(std::process::id() % 4);
        std::thread::sleep(Duration::from_millis(moment));
    }
}

impl Opening<'_> {
    /// Reads into `header` what a renewal changes, and compares it.
    fn doubts(&self, header: &mut Header) -> Result<Doubts, Error> {
        // The inode first, which is written last: acquire pairs with the release in `renew`.
        let [device, inode] = halves(self.attempt, self.map, FILE_OFFSET)?;
        let inode = inode.load(Ordering::Acquire);
        header.file = FileId {
            device: device.load(Ordering::Acquire),
            inode,
        };
        header.boot_id = load16(self.attempt, self.map, BOOT_ID_OFFSET)?;
        read_beside(self.attempt, self.map, header)?;
        let file = header.file != self.own;
        Ok(Doubts {
            // Made as shm:, and now opened by its path: what is no copy has not survived a boot.
            boot: self.place.survives_boot()
                && header.boot_id != boot_id::NONE
                && header.boot_id != boot_id::current(self.attempt)?,
            file,
            // A copy's is the original's, whatever it is.
            beside: match file {
                true => Beside::Fine,
                false => sync::beside(self.map, header, namespace::ipc()),
            },
        })
    }

    /// What becomes of the doubts while others have the ring open.
    fn refuse(self, doubts: Doubts) -> Result<(), Error> {
        let attempt = self.attempt;
        match doubts.beside {
            Beside::Fine => Ok(()),
            Beside::Lost => Err(lost(attempt)),
            Beside::Elsewhere => Err(attempt
                .error(
                    ErrorKind::Unsupported,
                    "its semaphores or message queues lie in another IPC namespace, whose processes have it open",
                )
                .remedy("let the processes share an IPC namespace, or choose sync futex")),
        }
    }

    /// Makes the ring this file's and this boot's. Nobody else has it open, and nobody opens it meanwhile.
    fn renew(self, doubts: Doubts, header: &mut Header) -> Result<(), Error> {
        let attempt = self.attempt;
        if doubts.file {
            slabs::named::check_copy(attempt, self.place, header)?;
            super::space::unshare(attempt, self.file, header.geometry.total_len())?;
        }
        let semaphores = self.map.word32(SEMAPHORES_OFFSET);
        let semaphores = semaphores.ok_or_else(|| not_mapped(attempt))?;
        let is_half_renewed = header.file.inode == 0;
        if !doubts.file || is_half_renewed {
            // This file's own: nobody uses it.
            sync::remove(header, semaphores.load(Ordering::Relaxed));
        }
        // In this order, see the table. Release, so that who dies leaves nothing else.
        semaphores.store(0, Ordering::Release);
        let [device, inode] = halves(attempt, self.map, FILE_OFFSET)?;
        inode.store(0, Ordering::Release);
        let home = Home::of_file(attempt.address);
        renew_beside(attempt, self.map, header, self.access, home)?;
        if self.place.survives_boot() {
            header.boot_id = boot_id::current(attempt)?;
            store16(attempt, self.map, BOOT_ID_OFFSET, header.boot_id)?;
        }
        header.file = self.own;
        device.store(self.own.device, Ordering::Release);
        // Last, behind all of the above.
        inode.store(self.own.inode, Ordering::Release);
        Ok(())
    }
}

/// Reads into `header` what names that which lies beside the ring.
fn read_beside(attempt: Attempt<'_>, map: &Map, header: &mut Header) -> Result<(), Error> {
    header.companions = load16(attempt, map, COMPANIONS_OFFSET)?;
    header.ipc_namespace = word(attempt, map, IPC_NAMESPACE_OFFSET)?.load(Ordering::Acquire);
    Ok(())
}

/// Says that nobody is attached, and makes anew what lies beside the ring, under another nonce.
fn renew_beside(
    attempt: Attempt<'_>,
    map: &Map,
    header: &mut Header,
    access: Access,
    home: Home,
) -> Result<(), Error> {
    let nonce = getrandom::nonce();
    header.companions =
        nonce.map_err(|errno| attempt.os("getrandom gives no randomness", errno))?;
    header.ipc_namespace = namespace::ipc();
    store16(attempt, map, COMPANIONS_OFFSET, header.companions)?;
    word(attempt, map, IPC_NAMESPACE_OFFSET)?.store(header.ipc_namespace, Ordering::Release);
    let words = liveness_words(header.geometry.participants());
    for offset in words.chain([CREATION_LOCK_OFFSET]) {
        let word = map.word32(offset).ok_or_else(|| not_mapped(attempt))?;
        word.store(0, Ordering::Relaxed);
    }
    sync::renew(attempt, map, header, access, home)
}

/// The same for the ring in the System V segment `id`, if its semaphore set is gone. `false`: others have it
/// attached, and it must be attached anew to look again.
///
/// The kernel counts who has it attached, this process included. Who comes later sees that it is not alone, and changes nothing.
pub(super) fn admit_to_sysv(
    attempt: Attempt<'_>,
    map: &Map,
    header: &mut Header,
    id: i32,
) -> Result<bool, Error> {
    read_beside(attempt, map, header)?;
    if sync::beside(map, header, namespace::ipc()) == Beside::Fine {
        return Ok(true);
    }
    let status = ids::status(attempt, id)?;
    if status.attached > 1 {
        return Ok(false);
    }
    let semaphores = map.word32(SEMAPHORES_OFFSET);
    let semaphores = semaphores.ok_or_else(|| not_mapped(attempt))?;
    semaphores.store(0, Ordering::Release);
    renew_beside(
        attempt,
        map,
        header,
        Access::of_sysv(&status),
        Home::Sysv { id },
    )?;
    tell!("ringway::segment", INFO, "renewed", address = %attempt.address);
    Ok(true)
}

fn not_mapped(attempt: Attempt<'_>) -> Error {
    attempt.os("its header is not mapped", Errno::EFAULT)
}

fn word<'a>(attempt: Attempt<'_>, map: &'a Map, offset: usize) -> Result<&'a AtomicU64, Error> {
    map.word64(offset).ok_or_else(|| not_mapped(attempt))
}

fn halves<'a>(
    attempt: Attempt<'_>,
    map: &'a Map,
    offset: usize,
) -> Result<[&'a AtomicU64; 2], Error> {
    Ok([word(attempt, map, offset)?, word(attempt, map, offset + 8)?])
}

fn load16(attempt: Attempt<'_>, map: &Map, offset: usize) -> Result<[u8; 16], Error> {
    let words = halves(attempt, map, offset)?.map(|word| word.load(Ordering::Acquire));
    Ok(bytemuck::must_cast(words))
}

fn store16(attempt: Attempt<'_>, map: &Map, offset: usize, bytes: [u8; 16]) -> Result<(), Error> {
    let words: [u64; 2] = bytemuck::must_cast(bytes);
    for (part, word) in words.into_iter().zip(halves(attempt, map, offset)?) {
        word.store(part, Ordering::Release);
    }
    Ok(())
}

/// What lies beside the ring is gone, and others have it open.
pub(super) fn lost(attempt: Attempt<'_>) -> Error {
    attempt
        .error(
            ErrorKind::CompanionLost,
            "its semaphore set was removed, and other processes have the ring open",
        )
        .remedy("end them: the next to open the ring makes another set, and its messages are still there")
}
