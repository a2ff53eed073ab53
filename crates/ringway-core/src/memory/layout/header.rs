//! The header: who made the segment, for which machine, and how it is divided. `LAYOUT.md` says what each field means.

use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use super::broadcast::allowed;
use super::control::CONTROL_OFFSET;
use super::participant::{PARTICIPANTS_OFFSET, SLOT_LEN};
use super::pool::{MAX_CLASSES, RawClass, Slabs};
use super::{Geometry, Kind, Shape, SyncKind};
use crate::error::{Attempt, Bytes, Error, ErrorKind};

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 256;

/// The header as it lies in the segment, little-endian as the machine is. [`Pod`] makes sure that no byte is padding.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Raw {
    /// Published last, with release.
    pub(super) magic: u64,
    pub(super) version: u32,
    pub(super) fence: u32,
    pub(super) abi: u64,
    pub(super) kind: u32,
    pub(super) sync: u32,
    pub(super) nonce: [u8; 16],
    pub(super) created_ns: u64,
    pub(super) total_len: u64,
    pub(super) participants_offset: u64,
    pub(super) participants: u32,
    pub(super) slot_len: u32,
    pub(super) control_offset: u64,
    pub(super) data_offset: u64,
    pub(super) capacity: u64,
    pub(super) cell_len: u32,
    pub(super) overwrite: u32,
    pub(super) boot_id: [u8; 16],
    /// A liveness word; not the header's.
    pub(super) creation_lock: u32,
    pub(super) zero_132: u32,
    /// The semaphore set's id, plus 1. Whoever makes the set writes it.
    pub(crate) semaphores: u32,
    pub(super) zero_140: u32,
    /// Whether the ring is retired; not the header's.
    pub(super) retirement: u64,
    pub(super) classes: [RawClass; MAX_CLASSES],
    pub(super) slab_words: u64,
    pub(super) slabs: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) companions: [u8; 16],
    pub(super) ipc_namespace: u64,
    pub(super) policies: u64,
    pub(super) persistent: u64,
}

/// Offset of the magic, a 64-bit word.
pub(crate) const MAGIC_OFFSET: usize = offset_of!(Raw, magic);
/// Offset of the boot id, 16 bytes.
pub(crate) const BOOT_ID_OFFSET: usize = offset_of!(Raw, boot_id);
/// Offset of the creation lock, a 32-bit liveness word.
pub(crate) const CREATION_LOCK_OFFSET: usize = offset_of!(Raw, creation_lock);
/// Offset of the semaphore set's id plus 1, a 32-bit word. Whoever makes the set writes it.
pub(crate) const SEMAPHORES_OFFSET: usize = offset_of!(Raw, semaphores);
/// Offset of the 64-bit word that says whether the ring is retired.
pub(crate) const RETIREMENT_OFFSET: usize = offset_of!(Raw, retirement);
/// Where the slabs are described; nobody writes these bytes but the creator.
pub(crate) const SLABS: std::ops::Range<usize> = offset_of!(Raw, classes)..FILE_OFFSET;
/// Offset of device and inode of the segment's file, two 64-bit words.
pub(crate) const FILE_OFFSET: usize = offset_of!(Raw, device);
/// Offset of the nonce of what lies beside the segment, 16 bytes.
pub(crate) const COMPANIONS_OFFSET: usize = offset_of!(Raw, companions);
/// Offset of the inode of the IPC namespace that this lies in, a 64-bit word.
pub(crate) const IPC_NAMESPACE_OFFSET: usize = offset_of!(Raw, ipc_namespace);
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
    /// What consumers of a broadcast ring may choose, bits of [`allowed`]; 0 in other rings.
    pub(crate) policies: u8,
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
        let again = attempt.anew();
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
        let geometry = &self.geometry;
        let slabs = geometry.slabs();
        let (slab_words, first_slab) = match slabs.is_empty() {
            true => (0, 0),
            false => geometry.slab_offsets(),
        };
        let raw = Raw {
            version: LAYOUT_VERSION,
            fence: self.fence.code(),
            abi: abi_of(self.sync.code()),
            kind: self.kind.code(),
            sync: self.sync.code(),
            nonce: self.nonce,
            created_ns: self.created_ns,
            total_len: geometry.total_len(),
            participants_offset: PARTICIPANTS_OFFSET as u64,
            participants: geometry.participants(),
            slot_len: SLOT_LEN as u32,
            control_offset: CONTROL_OFFSET as u64,
            data_offset: geometry.data_offset(),
            capacity: geometry.capacity(),
            cell_len: match geometry.shape() {
                Shape::Stream | Shape::Broadcast => 0,
                Shape::Cells(cell_len) => cell_len,
                Shape::Board(entries) => entries,
            },
            overwrite: self.overwrite.into(),
            boot_id: self.boot_id,
            classes: slabs.encode(),
            slab_words,
            slabs: match geometry.has_slab_segments() {
                true => slabs.bytes() + 1,
                false => first_slab,
            },
            device: self.file.device,
            inode: self.file.inode,
            companions: self.companions,
            ipc_namespace: self.ipc_namespace,
            policies: self.policies.into(),
            persistent: self.persistent.into(),
            ..Raw::zeroed()
        };
        bytemuck::must_cast(raw)
    }

    /// Checks and decodes `bytes`, a private copy of the start of a segment of `segment_len` bytes.
    ///
    /// The geometry is computed anew from the capacity and the number of participants; offsets that
    /// say otherwise are lies.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN], segment_len: u64) -> Result<Self, HeaderError> {
        let raw = Raw::of(bytes);
        if raw.magic != MAGIC {
            return Err(HeaderError::Magic);
        }
        if raw.version != LAYOUT_VERSION {
            return Err(HeaderError::Version(raw.version));
        }
        if raw.abi != abi_of(raw.sync) {
            return Err(HeaderError::Abi(raw.abi));
        }
        let fence = FenceMode::from_code(raw.fence).ok_or(HeaderError::Field("fence mode"))?;
        let kind = Kind::from_code(raw.kind).ok_or(HeaderError::Field("ring kind"))?;
        let sync = SyncKind::from_code(raw.sync).ok_or(HeaderError::Field("sync kind"))?;
        let overwrite = match raw.overwrite {
            0 => false,
            1 => true,
            _ => return Err(HeaderError::Field("policy")),
        };
        let persistent = match raw.persistent {
            0 => false,
            1 => true,
            _ => return Err(HeaderError::Field("persistence")),
        };
        let shape = Shape::of(kind, sync, overwrite, raw.cell_len);
        let is_board = kind == Kind::Board;
        if is_board && (sync != SyncKind::Futex || fence != FenceMode::Asymmetric || overwrite) {
            return Err(HeaderError::Field("combination of kinds"));
        }
        let is_broadcast = shape == Shape::Broadcast;
        if is_broadcast && sync != SyncKind::Futex {
            return Err(HeaderError::Field("sync kind"));
        }
        if is_broadcast && overwrite {
            return Err(HeaderError::Field("policy"));
        }
        let policies = u8::try_from(raw.policies)
            .ok()
            .filter(|policies| is_broadcast != (*policies == 0) && policies & !allowed::ALL == 0)
            .ok_or(HeaderError::Field("policies"))?;
        let slabs = Slabs::decode(&raw.classes)
            // What is overwritten must not be lent.
            .filter(|slabs| slabs.is_empty() || !overwrite && !is_board)
            .ok_or(HeaderError::Field("slabs"))?;
        let geometry = Geometry::new(kind, shape, raw.participants, raw.capacity)
            .ok_or(HeaderError::Geometry)?
            .with_slabs(slabs)
            // No offset is odd.
            .with_slab_segments(raw.slabs % 2 == 1);
        let slab_offsets = match geometry.slab_offsets() {
            _ if slabs.is_empty() => (0, 0),
            (words, _) if geometry.has_slab_segments() => (words, slabs.bytes() + 1),
            offsets => offsets,
        };
        let told_truly = raw.total_len == geometry.total_len()
            && raw.participants_offset == PARTICIPANTS_OFFSET as u64
            && raw.slot_len == SLOT_LEN as u32
            && raw.control_offset == CONTROL_OFFSET as u64
            && raw.data_offset == geometry.data_offset()
            && (raw.slab_words, raw.slabs) == slab_offsets
            && (matches!(shape, Shape::Cells(_) | Shape::Board(_)) || raw.cell_len == 0);
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
            nonce: raw.nonce,
            created_ns: raw.created_ns,
            geometry,
            overwrite,
            persistent,
            policies,
            boot_id: raw.boot_id,
            file: FileId {
                device: raw.device,
                inode: raw.inode,
            },
            companions: raw.companions,
            ipc_namespace: raw.ipc_namespace,
        })
    }
}

impl Raw {
    /// The fields of a header, finished or not.
    pub(crate) fn of(bytes: &[u8; HEADER_LEN]) -> Self {
        bytemuck::must_cast(*bytes)
    }
}

/// The bytes of a header as if it were finished.
pub(crate) fn finished(bytes: [u8; HEADER_LEN]) -> [u8; HEADER_LEN] {
    bytemuck::must_cast(Raw {
        magic: MAGIC,
        ..Raw::of(&bytes)
    })
}

impl Header {
    /// The nonce in the bytes of a header, finished or not.
    pub(crate) fn nonce_in(bytes: &[u8; HEADER_LEN]) -> [u8; 16] {
        Raw::of(bytes).nonce
    }

    /// The nonce of what lies beside the segment, in the bytes of a header, finished or not.
    pub(crate) fn companions_in(bytes: &[u8; HEADER_LEN]) -> [u8; 16] {
        Raw::of(bytes).companions
    }

    /// Whether `bytes`, in a segment of `segment_len` bytes, can be what a creator of this version that has
    /// not finished has written.
    pub(crate) fn may_become(bytes: &[u8; HEADER_LEN], segment_len: u64) -> bool {
        let raw = Raw::of(bytes);
        raw.magic == 0
            && [0, LAYOUT_VERSION].contains(&raw.version)
            && [0, abi_of(raw.sync)].contains(&raw.abi)
            && [0, segment_len].contains(&raw.total_len)
            && [0, PARTICIPANTS_OFFSET as u64].contains(&raw.participants_offset)
            && [0, CONTROL_OFFSET as u64].contains(&raw.control_offset)
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
            policies: 0,
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
        super::finished(header.encode())
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
                    240..248 => assert!(decoded.is_err(), "bit {bit}"),
                    // Any two fence modes differ in two bits.
                    12..16 => assert!(decoded.is_err(), "bit {bit}"),
                    // Whether it is kept: one bit means something, and no other may be set.
                    248..256 => {
                        assert_eq!(
                            decoded.is_ok(),
                            bit == 8 * offset_of!(Raw, persistent),
                            "bit {bit}"
                        )
                    }
                    _ => assert!(decoded.is_ok(), "bit {bit}"),
                }
            }
        }
    }
}
