//! Where a test's ring lies. What lies there goes with the test, also with a failed one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ringway::address::SysvKey;
use ringway::{Address, Builder, Ring};
use tempfile::TempDir;

/// What a segment is made of. A new backing is a row here and in [`Place::new`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// `shm:`
    Shm,
    /// `file:` in a temporary directory.
    File,
    /// `sysv:` under a key.
    SysvKey,
    /// `sysv:` with no key; the ring's address has the id.
    SysvPrivate,
    /// `memfd:`
    Memfd,
}

impl Backing {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Shm,
        Self::File,
        Self::SysvKey,
        Self::SysvPrivate,
        Self::Memfd,
    ];

    /// Those whose rings are found by an address when they exist.
    pub const FOUND: [Self; 4] = [Self::Shm, Self::File, Self::SysvKey, Self::SysvPrivate];

    /// Those whose address is known before they exist.
    pub const NAMED: [Self; 3] = [Self::Shm, Self::File, Self::SysvKey];

    /// A new ring.
    pub fn ring(self, capacity: u64) -> (Ring, Place) {
        let mut place = Place::new(self);
        let ring = place.builder().capacity(capacity).create().unwrap();
        place.address = ring.address().clone();
        (ring, place)
    }
}

/// The variable that tells a process that it is a test's second one.
pub const ROLE: &str = "RINGWAY_TEST_ROLE";

/// An address that no other test uses. What is there goes when this is dropped. So a process that is killed cannot have
/// one: the test makes it, and tells the process.
pub struct Place {
    /// Where; of a ring without a name, only once it exists.
    pub address: Address,
    directory: Option<TempDir>,
}

impl Place {
    /// A place that nobody else uses.
    ///
    /// # Panics
    ///
    /// In a test's second process, which may be killed, but for a file, which lies in the process's directory for
    /// temporary files, which the test removes, and for a memfd, which goes with the process.
    pub fn new(backing: Backing) -> Self {
        let goes_by_itself = matches!(backing, Backing::File | Backing::Memfd);
        assert!(
            goes_by_itself || std::env::var_os(ROLE).is_none(),
            "a process that may be killed cannot remove what it made"
        );
        let (process, number) = (std::process::id(), unique());
        let name = format!("ringway-test-{process}-{number}");
        let mut directory = None;
        let address = match backing {
            Backing::Shm => Address::Shm(name),
            Backing::File => {
                let made = TempDir::with_prefix("ringway-test-").unwrap();
                let path = made.path().join("ring");
                directory = Some(made);
                Address::File(path)
            }
            // Process ids have 22 bits.
            Backing::SysvKey => Address::Sysv(SysvKey::Key(process << 10 | number & 0x3ff)),
            Backing::SysvPrivate => Address::Sysv(SysvKey::Private),
            Backing::Memfd => Address::Memfd,
        };
        Self { address, directory }
    }

    /// What lies there already.
    pub fn at(address: Address) -> Self {
        Self {
            address,
            directory: None,
        }
    }

    /// A builder for a ring here.
    pub fn builder(&self) -> Builder {
        Builder::at(self.address.clone())
    }

    /// The path in the file system.
    pub fn path(&self) -> PathBuf {
        match &self.address {
            Address::Shm(name) => PathBuf::from("/dev/shm").join(name),
            Address::File(path) => path.clone(),
            _ => panic!("{} has no path", self.address),
        }
    }

    /// Lets other users at the directory of a [file](Backing::File).
    pub fn open_to_others(&self, mode: u32) {
        if let Some(directory) = &self.directory {
            std::fs::set_permissions(directory, Permissions::from_mode(mode)).unwrap();
        }
    }

    /// Whether something is here.
    pub fn is_taken(&self) -> bool {
        match &self.address {
            Address::Sysv(key) => shmid(key).is_some(),
            _ => self.path().symlink_metadata().is_ok(),
        }
    }

    fn clear(&self) {
        // With what lies beside the segment. What is no ring any more, or no ring yet, is left to the rest.
        let _ = ringway::remove(&self.address, true);
        match &self.address {
            Address::Shm(_) => {
                let _ = std::fs::remove_file(self.path());
            }
            Address::Sysv(key) => {
                if let Some(id) = shmid(key) {
                    // SAFETY: IPC_RMID takes no memory of ours.
                    unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) };
                }
            }
            _ => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Takes memfds over from processes of the same test, whatever their kind of synchronisation.
pub fn trusting() -> Builder {
    Builder::at(Address::Memfd).trust_peers(true)
}

/// The same ring once more, mapped elsewhere.
pub fn again(ring: &Ring) -> Ring {
    match ring.address() {
        Address::Memfd => {
            let (one, other) = UnixStream::pair().unwrap();
            ring.hand_over(&one).unwrap();
            trusting().take_over(&other).unwrap().0
        }
        address => Builder::at(address.clone()).open().unwrap(),
    }
}

/// The id of the System V segment that `key` stands for.
pub fn shmid(key: &SysvKey) -> Option<i32> {
    let id = match *key {
        // SAFETY: a call with three numbers.
        SysvKey::Key(key) => unsafe { libc::shmget(key as libc::key_t, 0, 0) },
        // SAFETY: asks for the kernel's record, into a local that is large enough.
        SysvKey::Id(id) => unsafe {
            let mut status = std::mem::MaybeUninit::<libc::shmid_ds>::uninit();
            match libc::shmctl(id, libc::IPC_STAT, status.as_mut_ptr()) {
                0 => id,
                failed => failed,
            }
        },
        _ => -1,
    };
    (id >= 0).then_some(id)
}

fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
