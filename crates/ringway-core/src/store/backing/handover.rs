//! A memfd goes from process to process through a Unix socket.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::fstat;

use crate::address::Address;
use crate::error::{Error, ErrorKind};
use crate::memory::layout::header::{HeaderError, MAGIC};
use crate::sys::unix;

use super::memfd;
use crate::error::Attempt;
use crate::store::request::Request;
use crate::store::segment::Segment;
use crate::store::segment::memories;
use crate::store::{descriptor, trust};
use crate::sys::owner::Access;

/// Who is at the other end of a Unix socket, as the kernel recorded it when the socket was connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerCredentials {
    /// Process id, in this process's pid namespace; 0 when it has none there.
    pub pid: i32,
    /// Effective user id. In a user namespace all who have no number there have one and the same, usually 65534.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

fn credentials(attempt: Attempt<'_>, socket: &UnixStream) -> Result<PeerCredentials, Error> {
    let found = getsockopt(socket, sockopt::PeerCredentials).map_err(|errno| {
        attempt.os(
            "getsockopt does not say who the peer of the socket is",
            errno,
        )
    })?;
    Ok(PeerCredentials {
        pid: found.pid(),
        uid: found.uid(),
        gid: found.gid(),
    })
}

/// Sends the memfd `file` of the segment at `address` to the process at the other end of `socket`,
/// and says who that is. From then on that process can write in it, and whoever it hands it on to.
pub(crate) fn hand_over(
    address: &Address,
    file: Option<&OwnedFd>,
    socket: &UnixStream,
) -> Result<PeerCredentials, Error> {
    let attempt = Attempt {
        action: "hand over",
        address,
    };
    let Some(file) = file else {
        return Err(attempt
            .error(ErrorKind::Unsupported, "only memfd: is handed over")
            .remedy("open it by its address"));
    };
    let peer = credentials(attempt, socket)?;
    // The tag tells the receiver that this is what it waits for; a descriptor needs a byte to travel.
    let tag = MAGIC.to_le_bytes();
    match unix::send(socket, &tag, file.as_fd()) {
        Ok(sent) if sent == tag.len() => Ok(peer),
        Ok(_) => Err(attempt
            .error(ErrorKind::Os, "the socket took only a part")
            .remedy("hand it over through a socket of its own")),
        Err(errno @ Errno::EAGAIN) => Err(attempt.timed_out("the socket is full").because(errno)),
        Err(errno @ (Errno::EPIPE | Errno::ECONNRESET)) => Err(attempt
            .error(ErrorKind::NotFound, "the peer has closed the socket")
            .remedy("see whether the peer runs")
            .because(errno)),
        Err(errno) => Err(attempt.os("sendmsg cannot send the descriptor", errno)),
    }
}

/// Receives a memfd from the process at the other end of `socket`, and says who that is. Whether to
/// trust that user is for the caller to judge by it; nobody can cut the memory off. But it tells only who
/// handed it over, not who has it besides: a lock of the C library's in it takes an opt-in, whoever that is.
pub(in crate::store) fn take_over(
    request: &Request<'_>,
    socket: &UnixStream,
) -> Result<(Segment, PeerCredentials), Error> {
    let request = &Request {
        address: &Address::Memfd,
        any_owner: true,
        ..*request
    };
    let attempt = Attempt {
        action: "take over",
        address: request.address,
    };
    let peer = credentials(attempt, socket)?;
    let mut tag = [0; 8];
    let received = unix::receive(socket, &mut tag).map_err(|errno| match errno {
        Errno::EAGAIN => attempt
            .timed_out("the peer has handed nothing over")
            .because(errno),
        // The kernel could not place a descriptor here.
        Errno::ENOBUFS => attempt.os("recvmsg cannot receive the descriptor", Errno::EMFILE),
        errno => attempt.os("recvmsg cannot read the socket", errno),
    })?;
    if received.len == 0 {
        return Err(attempt
            .error(
                ErrorKind::NotFound,
                "the peer closed the socket without handing anything over",
            )
            .remedy("see whether the peer runs"));
    }
    let mut files = received.files;
    let (Some(file), true, true) = (
        files.pop(),
        files.is_empty(),
        received.len == tag.len() && tag == MAGIC.to_le_bytes(),
    ) else {
        return Err(attempt.not_a_ring("the peer sent something else"));
    };
    if !memfd::is_sealed(file.as_fd()) {
        return Err(attempt.not_a_ring(
            "the descriptor is no memfd whose length is sealed: whoever has it could cut it off \
             under this process",
        ));
    }
    // All of a ring's memory is allocated when it is made. Holes would be filled at this process's
    // expense, or not be, and then an access to them is a signal.
    let stat = fstat(file.as_fd()).map_err(|errno| attempt.os("fstat cannot inspect it", errno))?;
    if descriptor::allocated(&stat) < stat.st_size as u64 {
        return Err(attempt.not_a_ring("parts of its memory are not allocated"));
    }
    let (map, header) = descriptor::open(attempt, request, file.as_fd())?;
    trust::check_handover(attempt, header.sync, request.trust_peers)?;
    if header.geometry.has_slab_segments() {
        return Err(HeaderError::Geometry.explain(attempt, stat.st_size as u64));
    }
    let segment = Segment {
        map: Arc::new(map),
        address: Address::Memfd,
        slabs: None,
        memories: memories(&header, file.as_fd()),
        file: Some(file),
        anchor: None,
        access: Access::of_file(&stat),
        header,
    };
    Ok((segment, peer))
}
