//! Segments: the shared memory that a ring lies in, whatever it is backed by.
//!
//! | address | how it is made | a creator that dies leaves |
//! |---|---|---|
//! | `shm:`, `file:` | as a file without a name, which gets its name when it is finished ([`backing::named`]) | nothing |
//! | `memfd:` | sealed when it is finished, then handed over ([`backing::memfd`], [`backing::handover`]) | nothing |
//! | `sysv:` | in the open, under the creation lock ([`backing::sysv`]) | a half-made segment, which the next creator takes over |
//!
//! A ring's slabs may be segments too ([`slabs`]).
//!
//! In all of them the magic is published last, with release. What is not finished is never used.
//!
//! | modules | what |
//! |---|---|
//! | `backing/` | making and opening: what is different for each backing |
//! | [`suspect`], `view`, `removal`, `renewal`, `catalog`, [`drafts`] | who looks from outside, removes, makes usable again, lists |
//! | `attached`, `segment`, [`anchor`], [`slabs`] | what a process has of a segment that it has open |
//! | `unnamed`, `place`, `descriptor`, `ids`, `peek` | files and System V segments, as the kernel has them |
//! | `header`, `pages`, `in_place`, [`trust`], `space`, `memory` | what is in a segment, and whether there is room and leave for it |

pub(crate) mod anchor;
mod attached;
mod backing;
mod boot_id;
mod catalog;
mod descriptor;
pub(crate) mod drafts;
mod header;
mod ids;
mod in_place;
mod lock;
mod memory;
mod namespace;
mod pages;
mod peek;
mod place;
mod removal;
mod renewal;
mod request;
mod segment;
pub(crate) mod slabs;
mod space;
pub(crate) mod suspect;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod trust;
mod unnamed;
mod view;
mod watch;

use std::os::unix::net::UnixStream;

use crate::address::{Address, SysvKey};
use crate::error::{Attempt, Error, ErrorKind};
use crate::memory::layout::header::Header;
use crate::sys::owner::Access;

use backing::{handover, memfd, named, sysv};
use request::{ROUNDS, unsupported_by_name};

pub use backing::handover::PeerCredentials;
pub(crate) use backing::handover::hand_over;
pub(crate) use catalog::{Half, Names, half_made, half_made_at, list, list_in, names};
#[cfg(test)]
pub(crate) use ids::present;
pub(crate) use removal::{remove, remove_half_made};
pub(crate) use request::{Plan, Request};
pub(crate) use segment::Segment;
pub(crate) use view::View;

/// Who may use the segment of `header` now, which was opened at `attempt.address`; `then` if that does not lead there any
/// more.
pub(crate) fn access_now(attempt: Attempt<'_>, header: &Header, then: Access) -> Access {
    let now = match attempt.address {
        Address::Shm(_) | Address::File(_) => place::access(attempt)
            .ok()
            .filter(|(_, file)| *file == header.file)
            .map(|(access, _)| access),
        Address::Sysv(key) => ids::access(attempt, key).ok(),
        _ => None,
    };
    now.unwrap_or(then)
}

impl Segment {
    /// Makes a new segment.
    pub(crate) fn create(request: &Request<'_>, plan: &Plan) -> Result<Self, Error> {
        let attempt = Attempt::to("create", request.address);
        trust::check_new(attempt, request, plan.sync)?;
        match request.address {
            Address::Shm(_) | Address::File(_) => named::create(request, plan),
            Address::Sysv(key) => sysv::create(request, key, plan),
            Address::Memfd => memfd::create(request, plan),
            _ => Err(unsupported_by_name("create", request.address)),
        }
    }

    /// Opens a finished segment.
    pub(crate) fn open(request: &Request<'_>) -> Result<Self, Error> {
        match request.address {
            Address::Shm(_) | Address::File(_) => named::open(request),
            Address::Sysv(key) => sysv::open(request, key),
            _ => Err(unsupported_by_name("open", request.address)),
        }
    }

    /// Opens the segment, or makes it; whether it was made here comes with it. Of many processes that
    /// race, exactly one makes it.
    pub(crate) fn open_or_create(
        request: &Request<'_>,
        plan: &Plan,
    ) -> Result<(Self, bool), Error> {
        if let Address::Memfd | Address::Sysv(SysvKey::Private) = request.address {
            return Self::create(request, plan).map(|segment| (segment, true));
        }
        // What is absent is made, not waited for.
        let request = &Request {
            wait: None,
            ..*request
        };
        let mut is_second_look = false;
        for _ in 0..ROUNDS {
            let absent = match Self::open(request) {
                Ok(segment) => return Ok((segment, false)),
                Err(error) => error,
            };
            let made = match (absent.kind(), request.address) {
                (ErrorKind::NotFound, _) => Self::create(request, plan),
                (ErrorKind::HalfMade, Address::Sysv(key)) => {
                    let attempt = Attempt::to("create", request.address);
                    trust::check_new(attempt, request, plan.sync)
                        .and_then(|()| sysv::complete(request, key, plan))
                }
                _ => return Err(absent),
            };
            match made {
                Ok(segment) => return Ok((segment, true)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => is_second_look = false,
                // A live creator, which the next look waits for a while. It may be stopped.
                Err(error) if error.kind() == ErrorKind::HalfMade && !is_second_look => {
                    is_second_look = true;
                }
                // Others that race for the same name may hold what is missing for the moment.
                Err(error) if error.kind() == ErrorKind::NoSpace => {
                    return match Self::open(request) {
                        Ok(segment) => Ok((segment, false)),
                        Err(_) => Err(error),
                    };
                }
                Err(error) => return Err(error),
            }
        }
        let attempt = Attempt {
            action: "open or create",
            address: request.address,
        };
        Err(attempt.timed_out("other processes keep making and removing it"))
    }

    /// Receives a memfd from the process at the other end of `socket`, and says who that is.
    pub(crate) fn take_over(
        request: &Request<'_>,
        socket: &UnixStream,
    ) -> Result<(Self, PeerCredentials), Error> {
        handover::take_over(request, socket)
    }
}
