//! The header: who made the segment, for which machine, and how it is divided.
//!
//! | offset | width | field |
//! |---|---|---|
//! | 0 | 8 | magic, published last with release |
//! | 8 | 4 | layout version |
//! | 12 | 4 | fence mode: 1 asymmetric, 2 symmetric without `membarrier`, 4 symmetric with it |
//! | 16 | 8 | ABI fingerprint |
//! | 24 | 4 | ring kind |
//! | 28 | 4 | sync kind |
//! | 32 | 16 | random nonce |
//! | 48 | 8 | creation time, nanoseconds since 1970 |
//! | 56 | 8 | length of the whole segment |
//! | 64 | 8 | offset of the participants table |
//! | 72 | 4 | slots in the participants table |
//! | 76 | 4 | length of a slot |
//! | 80 | 8 | offset of the control lines |
//! | 88 | 8 | offset of the data region |
//! | 96 | 8 | capacity: length of the data region, a power of two |
//! | 104 | 4 | length of a cell; 0 in a stream ring |
//! | 108 | 4 | 1 if producers overwrite the oldest message, else 0 |
//! | 112 | 16 | boot id under which the participants' words were written |
//! | 128 | 4 | creation lock: a liveness word of whoever initialises |
//! | 132 | 4 | zero |
//! | 136 | 4 | sysv-sem: id of the semaphore set, plus 1; else zero |
//! | 140 | 4 | zero |
//! | 144 | 8 | retirement: whether the ring may be attached to ([`crate::presence::retire`]) |
//! | 152 | 32 | classes of slabs, the shortest first: log2 of the length and the count, of 4 bytes each; else zero |
//! | 184 | 8 | offset of the slabs' words; zero in a ring without slabs |
//! | 192 | 8 | offset of the slabs; if each is a segment of its own, the bytes of all, plus 1; zero if there are none |
//! | 200 | 16 | device and inode of the segment's file; else zero. A file that is another one is a copy |
//! | 216 | 16 | nonce of what lies beside the segment: at first the ring's; a copy gets another one |
//! | 232 | 8 | inode of the IPC namespace that this lies in; zero if it is not known |
//! | 240 | 8 | zero |
//! | 248 | 8 | 1 if no collector may remove the ring, else 0 |

use super::control::CONTROL_OFFSET;
use super::participant::{PARTICIPANTS_OFFSET, SLOT_LEN};
use super::pool::{CLASSES_LEN, Slabs};
use super::{Geometry, Kind, Shape, SyncKind};
use crate::error::{Attempt, Bytes, Error, ErrorKind};

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 256;
/// Offset of the magic, a 64-bit word.
pub(crate) const MAGIC_OFFSET: usize = 0;
/// Offset of the boot id, 16 bytes.
pub(crate) const BOOT_ID_OFFSET: usize = 112;
/// Offset of the creation lock, a 32-bit liveness word.
pub(crate) const CREATION_LOCK_OFFSET: usize = 128;
/// Offset of the semaphore set's id plus 1, a 32-bit word. Whoever makes the set writes it.
pub(crate) const SEMAPHORES_OFFSET: usize = 136;
/// Offset of the 64-bit word that says whether the ring is retired.
pub(crate) const RETIREMENT_OFFSET: usize = 144;
/// Where the slabs are described; nobody writes these bytes but the creator.
pub(crate) const SLABS: std::ops::Range<usize> = 152..200;

/// Offset of device and inode of the segment's file, two 64-bit words.
pub(crate) const FILE_OFFSET: usize = 200;
/// Offset of the nonce of what lies beside the segment, 16 bytes.
pub(crate) const COMPANIONS_OFFSET: usize = 216;
/// Offset of the inode of the IPC namespace that this lies in, a 64-bit word.
pub(crate) const IPC_NAMESPACE_OFFSET: usize = 232;
/// Whose the segment is; the creator writes these bytes, and whoever renews the ring.
pub(crate) const IDENTITY: std::ops::Range<usize> = FILE_OFFSET..240;

const _: () = assert!(SLABS.end - SLABS.start == CLASSES_LEN + 16);
/// Offset of the 64-bit word that says whether the ring is kept, whoever dies.
pub(crate) const PERSISTENT_OFFSET: usize = 248;

const _: () = assert!(SLABS.end == IDENTITY.start && IDENTITY.end <= PERSISTENT_OFFSET);

/// What the first eight bytes of a finished segment hold.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"RINGWAY\n");

/// Raised when the bytes of a segment change their meaning.
pub(crate) const LAYOUT_VERSION: u32 = 3;

/// Who pays for the fence between "publish" and "is anyone asleep?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FenceMode {
    /// The sleeper, with `membarrier`; publishing costs nothing.
    Asymmetric,
    /// Both sides, where the creator's kernel has no `membarrier`.
    Symmetric,
    /// Both sides, because publishing takes locked instructions or system calls all the same, and sleeping is
    /// the cheaper for it. Deaths are settled with `membarrier`.
    SymmetricSettled,
}

impl FenceMode {
    fn code(self) -> u32 {
        match self {
            Self::Asymmetric => 1,
            Self::Symmetric => 2,
            Self::SymmetricSettled => 4,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Asymmetric),
            2 => Some(Self::Symmetric),
            4 => Some(Self::SymmetricSettled),
            _ => None,
        }
    }

    /// The mode of a ring that is made where there is `membarrier` or not.
    pub(crate) fn of(sync: SyncKind, membarrier: bool) -> Self {
        match (membarrier, sync) {
            (false, _) => Self::Symmetric,
            (true, SyncKind::Futex) => Self::Asymmetric,
            (true, _) => Self::SymmetricSettled,
        }
    }

    /// Whether every participant must be one that others' `membarrier` reaches.
    pub(crate) fn needs_membarrier(self) -> bool {
        self != Self::Symmetric
    }
}

/// A file, as the kernel tells it from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The decoded header, a private copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) sync: SyncKind,
    pub(crate) fence: FenceMode,
    pub(crate) nonce: [u8; 16],
    pub(crate) created_ns: u64,
    pub(crate) geometry: Geometry,
    /// Whether producers overwrite the oldest message when the ring is full.
    pub(crate) overwrite: bool,
    /// Whether collectors leave it alone, whoever died.
    pub(crate) persistent: bool,
    pub(crate) boot_id: [u8; 16],
    /// The file that the ring was made or renewed in; zero of segments that are no files by name.
    pub(crate) file: FileId,
    /// The nonce of what lies beside the segment.
    pub(crate) companions: [u8; 16],
    /// The IPC namespace that this lies in, 0 if it is not known.
    pub(crate) ipc_namespace: u64,
}

/// Why bytes are not a header that this process can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// The magic is something else.
    Magic,
    /// Another layout version.
    Version(u32),
    /// Another kind of machine wrote it.
    Abi(u64),
    /// A field holds a value that this version does not know; its name.
    Field(&'static str),
    /// Geometry contradicts itself.
    Geometry,
    /// The segment ends before the header says.
    Truncated { needed: u64 },
}

impl HeaderError {
    /// Why the header of a segment of `len` bytes was refused, and what to do.
    pub(crate) fn explain(self, attempt: Attempt<'_>, len: u64) -> Error {
        let again = format!(
            "remove it (ringway rm {}) and create it again",
            attempt.address
        );
        match self {
            Self::Magic => attempt.not_a_ring("what is there is not a ringway segment"),
            Self::Version(version) => attempt
                .error(
                    ErrorKind::Incompatible,
                    format!(
                        "its layout has version {version}; this ringway reads version \
                         {LAYOUT_VERSION}"
                    ),
                )
                .remedy(format!("use the ringway that made it, or {again}")),
            Self::Abi(found) => attempt
                .error(
                    ErrorKind::Incompatible,
                    format!(
                        "another kind of machine or C library made it (ABI {found:#018x}; here \
                         {:#018x})",
                        abi_fingerprint()
                    ),
                )
                .remedy(format!("use a program built for that machine, or {again}")),
            Self::Field(name) => attempt
                .error(
                    ErrorKind::Corrupt,
                    format!("the {name} in its header has no meaning"),
                )
                .remedy(again),
            Self::Geometry => attempt
                .error(
                    ErrorKind::Corrupt,
                    "the offsets and lengths in its header do not belong together",
                )
                .remedy(again),
            Self::Truncated { needed } => attempt
                .error(
                    ErrorKind::Truncated,
                    format!(
                        "it has {} and should have {}: somebody cut it off",
                        Bytes(len),
                        Bytes(needed)
                    ),
                )
                .remedy(again),
        }
    }
}

impl Header {
    /// The bytes of this header, but for the magic, which is published afterwards.
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(8, &LAYOUT_VERSION.to_le_bytes());
        put(12, &self.fence.code().to_le_bytes());
        put(16, &abi_of(self.sync.code()).to_le_bytes());
        put(24, &self.kind.code().to_le_bytes());
        put(28, &self.sync.code().to_le_bytes());
        put(32, &self.nonce);
        put(48, &self.created_ns.to_le_bytes());
        put(56, &self.geometry.total_len().to_le_bytes());
        put(64, &(PARTICIPANTS_OFFSET as u64).to_le_bytes());
        put(72, &self.geometry.participants().to_le_bytes());
        put(76, &(SLOT_LEN as u32).to_le_bytes());
        put(80, &(CONTROL_OFFSET as u64).to_le_bytes());
        put(88, &self.geometry.data_offset().to_le_bytes());
        put(96, &self.geometry.capacity().to_le_bytes());
        if let Shape::Cells(cell_len) = self.geometry.shape() {
            put(104, &cell_len.to_le_bytes());
        }
        put(108, &u32::from(self.overwrite).to_le_bytes());
        put(PERSISTENT_OFFSET, &u64::from(self.persistent).to_le_bytes());
        put(BOOT_ID_OFFSET, &self.boot_id);
        put(FILE_OFFSET, &self.file.device.to_le_bytes());
        put(FILE_OFFSET + 8, &self.file.inode.to_le_bytes());
        put(COMPANIONS_OFFSET, &self.companions);
        put(IPC_NAMESPACE_OFFSET, &self.ipc_namespace.to_le_bytes());
        let slabs = self.geometry.slabs();
        put(SLABS.start, &slabs.encode());
        if !slabs.is_empty() {
            let (words, first) = self.geometry.slab_offsets();
            let slabs = match self.geometry.has_slab_segments() {
                true => slabs.bytes() + 1,
                false => first,
            };
            put(184, &words.to_le_bytes());
            put(192, &slabs.to_le_bytes());
        }
        bytes
    }

    /// Checks and decodes `bytes`, a private copy of the start of a segment of `segment_len` bytes.
    ///
    /// The geometry is computed anew from the capacity and the number of participants; offsets that
    /// say otherwise are lies.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], segment_len: u64) -> Result<Self, HeaderError> {
        let u32_at = |at: usize| u32::from_le_bytes(array(bytes, at));
        let u64_at = |at: usize| u64::from_le_bytes(array(bytes, at));
        if u64_at(MAGIC_OFFSET) != MAGIC {
            return Err(HeaderError::Magic);
        }
        if u32_at(8) != LAYOUT_VERSION {
            return Err(HeaderError::Version(u32_at(8)));
        }
        if u64_at(16) != abi_of(u32_at(28)) {
            return Err(HeaderError::Abi(u64_at(16)));
        }
        let fence = FenceMode::from_code(u32_at(12)).ok_or(HeaderError::Field("fence mode"))?;
        let kind = Kind::from_code(u32_at(24)).ok_or(HeaderError::Field("ring kind"))?;
        let sync = SyncKind::from_code(u32_at(28)).ok_or(HeaderError::Field("sync kind"))?;
        let overwrite = match u32_at(108) {
            0 => false,
            1 => true,
            _ => return Err(HeaderError::Field("policy")),
        };
        let persistent = match u64_at(PERSISTENT_OFFSET) {
            0 => false,
            1 => true,
            _ => return Err(HeaderError::Field("persistence")),
        };
        let shape = Shape::of(kind, sync, overwrite, u32_at(104));
        let slabs = Slabs::decode(&array(bytes, SLABS.start))
            // What is overwritten must not be lent.
            .filter(|slabs| slabs.is_empty() || !overwrite)
            .ok_or(HeaderError::Field("slabs"))?;
        let geometry = Geometry::new(kind, shape, u32_at(72), u64_at(96))
            .ok_or(HeaderError::Geometry)?
            .with_slabs(slabs)
            // No offset is odd.
            .with_slab_segments(u64_at(192) % 2 == 1);
        let slab_offsets = match geometry.slab_offsets() {
            _ if slabs.is_empty() => (0, 0),
            (words, _) if geometry.has_slab_segments() => (words, slabs.bytes() + 1),
            offsets => offsets,
        };
        let told_truly = u64_at(56) == geometry.total_len()
            && u64_at(64) == PARTICIPANTS_OFFSET as u64
            && u32_at(76) == SLOT_LEN as u32
            && u64_at(80) == CONTROL_OFFSET as u64
            && u64_at(88) == geometry.data_offset()
            && (u64_at(184), u64_at(192)) == slab_offsets
            && (shape != Shape::Stream || u32_at(104) == 0);
        if !told_truly {
            return Err(HeaderError::Geometry);
        }
        if segment_len < geometry.total_len() {
            return Err(HeaderError::Truncated {
                needed: geometry.total_len(),
            });
        }
        Ok(Self {
            kind,
            sync,
            fence,
            nonce: array(bytes, 32),
            created_ns: u64_at(48),
            geometry,
            overwrite,
            persistent,
            boot_id: array(bytes, BOOT_ID_OFFSET),
            file: FileId {
                device: u64_at(FILE_OFFSET),
                inode: u64_at(FILE_OFFSET + 8),
            },
            companions: array(bytes, COMPANIONS_OFFSET),
            ipc_namespace: u64_at(IPC_NAMESPACE_OFFSET),
        })
    }
}

impl Header {
    /// The nonce in the bytes of a header, finished or not.
    pub(crate) fn nonce_in(bytes: &[u8; HEADER_LEN]) -> [u8; 16] {
        array(bytes, 32)
    }

    /// The nonce of what lies beside the segment, in the bytes of a header, finished or not.
    pub(crate) fn companions_in(bytes: &[u8; HEADER_LEN]) -> [u8; 16] {
        array(bytes, COMPANIONS_OFFSET)
    }

    /// Whether `bytes`, in a segment of `segment_len` bytes, can be what a creator of this version that has
    /// not finished has written.
    pub(crate) fn may_become(bytes: &[u8; HEADER_LEN], segment_len: u64) -> bool {
        let zero_or = |at: usize, width: usize, value: u64| {
            let mut field = [0; 8];
            field[..width].copy_from_slice(&bytes[at..at + width]);
            [0, value].contains(&u64::from_le_bytes(field))
        };
        zero_or(MAGIC_OFFSET, 8, 0)
            && zero_or(8, 4, LAYOUT_VERSION.into())
            && zero_or(16, 8, abi_of(u32::from_le_bytes(array(bytes, 28))))
            && zero_or(56, 8, segment_len)
            && zero_or(64, 8, PARTICIPANTS_OFFSET as u64)
            && zero_or(80, 8, CONTROL_OFFSET as u64)
            && super::is_length_of_a_ring(segment_len)
    }
}

/// The part of the platform that the layout depends on, one byte each: sizes of the C lock types
/// that lock-based rings keep in the segment, pointer width, log2 of the page size, endianness, and
/// the line distance.
pub(crate) fn abi_fingerprint() -> u64 {
    u64::from_le_bytes([
        size_of::<libc::pthread_mutex_t>() as u8,
        size_of::<libc::pthread_cond_t>() as u8,
        size_of::<libc::sem_t>() as u8,
        size_of::<usize>() as u8,
        crate::sys::page_size().trailing_zeros() as u8,
        if cfg!(target_endian = "little") { 1 } else { 2 },
        super::LINE as u8,
        0,
    ])
}

/// The fingerprint of a ring with this code of synchronisation. Locks of the C library are its own affair even where
/// their sizes are equal: its last byte is 1 if they are musl's. Rings that have none are for all.
fn abi_of(sync: u32) -> u64 {
    let has_its_locks = [SyncKind::Pthread, SyncKind::PosixSem]
        .map(SyncKind::code)
        .contains(&sync);
    let is_musl = cfg!(target_env = "musl") && has_its_locks;
    abi_fingerprint() | u64::from(is_musl) << 56
}

fn array<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::layout::pool::Class;

    fn header() -> Header {
        Header {
            kind: Kind::Spsc,
            sync: SyncKind::Futex,
            fence: FenceMode::Asymmetric,
            nonce: [7; 16],
            created_ns: 1,
            geometry: Geometry::stream(1 << 20).unwrap(),
            overwrite: false,
            persistent: true,
            boot_id: [9; 16],
            file: FileId {
                device: 3,
                inode: 4,
            },
            companions: [5; 16],
            ipc_namespace: 6,
        }
    }

    fn with_slabs() -> Header {
        let classes = [(4096, 3), (1 << 20, 2)].map(|(len, count)| Class { len, count });
        let slabs = Slabs::new(&classes).unwrap();
        Header {
            geometry: header().geometry.with_slabs(slabs),
            ..header()
        }
    }

    fn with_slab_segments() -> Header {
        Header {
            geometry: with_slabs().geometry.with_slab_segments(true),
            ..header()
        }
    }

    fn finished(header: &Header) -> [u8; HEADER_LEN] {
        let mut bytes = header.encode();
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes
    }

    #[test]
    fn what_is_encoded_decodes() {
        for header in [header(), with_slabs(), with_slab_segments()] {
            let total = header.geometry.total_len();
            assert_eq!(Header::decode(&finished(&header), total), Ok(header));
        }
    }

    /// Those of the versions that knew no slabs.
    #[test]
    fn a_ring_without_slabs_has_the_bytes_that_it_always_had() {
        assert!(header().encode()[SLABS].iter().all(|byte| *byte == 0));
        assert_eq!(header().geometry.total_len(), 4096 + (1 << 20));
    }

    #[test]
    fn slabs_in_segments_of_their_own_take_a_word_and_an_id_each() {
        let (inside, apart) = (with_slabs().geometry, with_slab_segments().geometry);
        let (words, first) = inside.slab_offsets();
        assert_eq!(apart.slab_offsets(), (words, first));
        assert_eq!(apart.total_len(), first + (first - words));
        let none = header().geometry;
        assert_eq!(none.with_slab_segments(true), none);
    }

    #[test]
    fn slabs_and_overwriting_exclude_each_other() {
        let mut bytes = finished(&with_slabs());
        bytes[108] = 1;
        bytes[104..108].copy_from_slice(&128_u32.to_le_bytes());
        let error = Header::decode(&bytes, u64::MAX).unwrap_err();
        assert_eq!(error, HeaderError::Field("slabs"));
    }

    #[test]
    fn a_header_without_magic_is_refused() {
        assert_eq!(
            Header::decode(&header().encode(), u64::MAX),
            Err(HeaderError::Magic)
        );
    }

    #[test]
    fn a_short_segment_is_truncated() {
        let needed = header().geometry.total_len();
        let error = Header::decode(&finished(&header()), needed - 1).unwrap_err();
        assert_eq!(error, HeaderError::Truncated { needed });
    }

    /// Every single-bit flip is refused, but in the fields that carry no meaning for the reader:
    /// the nonce, the times, and what a later version may use.
    #[test]
    fn a_flipped_bit_is_noticed() {
        for header in [header(), with_slabs(), with_slab_segments()] {
            let total = header.geometry.total_len();
            for bit in (0..HEADER_LEN * 8).step_by(if cfg!(miri) { 61 } else { 1 }) {
                let mut bytes = finished(&header);
                bytes[bit / 8] ^= 1 << (bit % 8);
                let decoded = Header::decode(&bytes, total);
                match bit / 8 {
                    0..12 | 16..32 | 56..112 | 152..200 => assert!(decoded.is_err(), "bit {bit}"),
                    // Any two fence modes differ in two bits.
                    12..16 => assert!(decoded.is_err(), "bit {bit}"),
                    // Whether it is kept: one bit means something, and no other may be set.
                    248..256 => {
                        assert_eq!(decoded.is_ok(), bit == 8 * PERSISTENT_OFFSET, "bit {bit}")
                    }
                    _ => assert!(decoded.is_ok(), "bit {bit}"),
                }
            }
        }
    }
}
