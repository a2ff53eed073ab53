//! Segments (placeholder until the backings are merged).
pub(crate) mod map;
use crate::address::Address;
use crate::error::Error;
use crate::layout::header::{FenceMode, HEADER_LEN, Header, MAGIC};
use crate::layout::{Geometry, Kind, Sync};
use map::{Map, Source};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) struct Request<'a> {
    pub(crate) address: &'a Address,
    pub(crate) mode: u32,
    pub(crate) prefault: bool,
    pub(crate) lock_memory: bool,
    pub(crate) huge_pages: bool,
    pub(crate) any_owner: bool,
    pub(crate) wait: Option<Duration>,
}
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) sync: Sync,
    pub(crate) geometry: Geometry,
    pub(crate) fence: FenceMode,
}
pub(crate) struct Segment {
    pub(crate) map: Arc<Map>,
    pub(crate) header: Header,
    pub(crate) address: Address,
    pub(crate) file: Option<OwnedFd>,
}
impl Segment {
    pub(crate) fn create(request: &Request<'_>, plan: &Plan) -> Result<Self, Error> {
        let fd = match request.address {
            Address::Memfd => {
                nix::sys::memfd::memfd_create(c"x", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).unwrap()
            }
            Address::Shm(name) => std::fs::OpenOptions::new()
                .create_new(true)
                .read(true)
                .write(true)
                .open(format!("/dev/shm/{name}"))
                .unwrap()
                .into(),
            _ => todo!(),
        };
        nix::unistd::ftruncate(&fd, plan.geometry.total_len() as i64).unwrap();
        let map = Map::new(
            Source::Fd(fd.as_fd()),
            plan.geometry.total_len() as usize,
            4096,
        )
        .unwrap();
        map.populate().unwrap();
        let header = Header {
            kind: plan.kind,
            sync: plan.sync,
            fence: plan.fence,
            nonce: [0; 16],
            created_ns: 0,
            geometry: plan.geometry,
            boot_id: [0; 16],
        };
        for (i, c) in header.encode().chunks(8).enumerate() {
            map.word64(i * 8)
                .unwrap()
                .store(u64::from_le_bytes(c.try_into().unwrap()), Ordering::Relaxed);
        }
        map.word64(0).unwrap().store(MAGIC, Ordering::Release);
        Ok(Self {
            map: Arc::new(map),
            header,
            address: request.address.clone(),
            file: Some(fd),
        })
    }
    pub(crate) fn open(request: &Request<'_>) -> Result<Self, Error> {
        let fd: OwnedFd = match request.address {
            Address::Shm(name) => match std::fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(format!("/dev/shm/{name}"))
            {
                Ok(fd) => fd.into(),
                Err(_) => {
                    return Err(Error::new(
                        crate::ErrorKind::NotFound,
                        "open",
                        request.address,
                        "nothing is there",
                    )
                    .remedy("create it"));
                }
            },
            _ => todo!(),
        };
        let len = nix::sys::stat::fstat(&fd).unwrap().st_size as usize;
        let map = Map::new(Source::Fd(fd.as_fd()), len, 4096).unwrap();
        let mut b = [0; HEADER_LEN];
        for (i, c) in b.chunks_mut(8).enumerate() {
            c.copy_from_slice(
                &map.word64(i * 8)
                    .unwrap()
                    .load(Ordering::Acquire)
                    .to_le_bytes(),
            );
        }
        let header = Header::decode(&b, len as u64).unwrap();
        Ok(Self {
            map: Arc::new(map),
            header,
            address: request.address.clone(),
            file: None,
        })
    }
    pub(crate) fn open_or_create(
        request: &Request<'_>,
        plan: &Plan,
    ) -> Result<(Self, bool), Error> {
        match Self::open(request) {
            Ok(s) => Ok((s, false)),
            Err(_) => Ok((Self::create(request, plan)?, true)),
        }
    }
    pub(crate) fn take_over(_: &UnixStream) -> Result<(Self, PeerCredentials), Error> {
        todo!()
    }
}
pub(crate) fn hand_over(
    _: &Address,
    _: Option<&OwnedFd>,
    _: &UnixStream,
) -> Result<PeerCredentials, Error> {
    todo!()
}
/// Credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// p
    pub pid: i32,
    /// u
    pub uid: u32,
    /// g
    pub gid: u32,
}
pub(crate) struct View {}
impl View {
    pub(crate) fn open(_: &Address) -> Result<Self, Error> {
        todo!()
    }
    pub(crate) fn header(&self) -> &Header {
        todo!()
    }
    pub(crate) fn load32(&self, _: usize) -> Option<u32> {
        todo!()
    }
    pub(crate) fn load64(&self, _: usize) -> Option<u64> {
        todo!()
    }
    pub(crate) fn address(&self) -> &Address {
        todo!()
    }
}
pub(crate) fn list() -> Vec<Address> {
    todo!()
}
pub(crate) fn remove(a: &Address) -> Result<(), Error> {
    if let Address::Shm(name) = a {
        let _ = std::fs::remove_file(format!("/dev/shm/{name}"));
    }
    Ok(())
}
