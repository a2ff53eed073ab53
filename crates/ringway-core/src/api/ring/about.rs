//! What a ring tells of itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Ring;
use crate::address::Address;
use crate::error::{Attempt, Error, ErrorKind};
use crate::memory::layout::message_type::{self, Layout, MessageType, TypeWords};
use crate::memory::layout::participant::Role;
use crate::memory::layout::{Geometry, Kind, Shape, SyncKind};
use crate::memory::map::Map;
use crate::presence::participant;

impl Ring {
    /// Where the ring lives. A `sysv:private` ring shows the id under which others can open it.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Bytes of a cell; `None` of a ring without cells.
    pub fn cell_len(&self) -> Option<u32> {
        match self.header.geometry.shape() {
            Shape::Cells(len) => Some(len),
            Shape::Stream | Shape::Board(_) | Shape::Broadcast => None,
        }
    }

    /// Whether this process is a child of `fork` that inherited it.
    pub(crate) fn is_forked(&self) -> bool {
        self.map.is_forked()
    }

    /// What the holder of a slot is called here, and in a text.
    pub(crate) fn holder(&self, slot: u32) -> (u32, String) {
        participant::who_holds(&self.map, slot)
    }

    /// How many may be attached in `role` at once.
    pub fn participants(&self, role: Role) -> u32 {
        self.header.geometry.slots(role).len() as u32
    }

    /// The permission bits for reading and writing that it had when it was opened.
    pub fn mode(&self) -> u32 {
        self.access.mode
    }

    /// Bytes for messages, with what each takes beside its text: what was asked for, rounded up to a power of two
    /// ([`Builder::capacity`](crate::Builder::capacity)).
    pub fn capacity(&self) -> u64 {
        self.header.geometry.capacity()
    }

    /// Where its parts lie.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.header.geometry
    }

    /// Whether its segment lies in reserved huge pages; `None` if that cannot be found out.
    pub(crate) fn lies_in_huge_pages(&self) -> Option<bool> {
        self.map.lies_in_huge_pages()
    }

    /// How many may be attached at once in a role that there are many of, or 1.
    pub(crate) fn each_role(&self) -> u32 {
        let roles = [Role::Producer, Role::Consumer].into_iter();
        roles.map(|role| self.participants(role)).max().unwrap_or(1)
    }

    /// Where it is mapped.
    pub(crate) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// What its consumers may choose.
    pub(crate) fn policies(&self) -> u8 {
        self.header.policies
    }

    /// Whether a full ring loses its oldest message.
    pub(crate) fn overwrites(&self) -> bool {
        self.header.overwrite
    }

    /// Whether collectors leave it alone.
    pub(crate) fn is_persistent(&self) -> bool {
        self.header.persistent
    }

    /// The longest message, in bytes: almost half of the capacity, or the longest slab if that has more.
    pub fn max_message_len(&self) -> u64 {
        self.header.geometry.max_message_len()
    }

    /// Whether this handle made the ring, and did not find it.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// assert!(ringway::Builder::new("memfd:")?.create()?.is_new());
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The same ring, if `yes` known to have been made here.
    pub(crate) fn made_here(mut self, yes: bool) -> Self {
        self.is_new = yes;
        self
    }

    /// Whether the ring has lost its name: somebody has removed it ([`remove`](crate::remove), `ringway rm`, `unlink`,
    /// `ipcrm`) since it was opened. It works on for all who have it open, and nobody else finds it. What its address leads
    /// to now is nothing, or another ring.
    ///
    /// The kernel is asked, by one or two system calls. A ring that was renamed, or has another hard link, is not removed; a
    /// `memfd:` ring never had a name, and is not either.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if this process has left the IPC namespace of a `sysv:` ring;
    /// [`ErrorKind::PermissionDenied`] or [`ErrorKind::Os`] if the kernel does not tell.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// # let name = format!("shm:ringway-doc-removed-{}", std::process::id());
    /// let ring = ringway::Builder::new(&name)?.create()?;
    /// assert!(!ring.is_removed()?);
    /// ringway::remove(ring.address(), true)?;
    /// assert!(ring.is_removed()?);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn is_removed(&self) -> Result<bool, Error> {
        self.known().is_removed()
    }

    /// Says that this process does not mean to attach by this handle any more, as dropping it does. Once the ring's
    /// name is gone, those who wait in it know that nobody comes from here ([`SendError::Removed`](crate::SendError::Removed)).
    ///
    /// Attaching after all works as long as the ring has its name; then it fails with [`ErrorKind::NotFound`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// # let name = format!("shm:ringway-doc-no-more-{}", std::process::id());
    /// let mut ring = ringway::Builder::new(&name)?.create()?;
    /// let sender = ring.sender()?;
    /// ring.attach_no_more();
    /// ringway::remove(ring.address(), true)?;
    /// assert_eq!(ring.receiver().unwrap_err().kind(), ringway::ErrorKind::NotFound);
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn attach_no_more(&mut self) {
        self.entry = None;
    }

    /// The shape of the ring.
    pub fn kind(&self) -> Kind {
        self.header.kind
    }

    /// How its sides exclude and wake each other.
    pub fn sync(&self) -> SyncKind {
        self.header.sync
    }

    /// A random number that tells this ring from any other that had its address. A copy of the ring's file has the same.
    pub fn nonce(&self) -> u128 {
        u128::from_le_bytes(self.header.nonce)
    }

    /// What its creator has said that its messages are ([`Builder::message_type`](crate::Builder::message_type)).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::message::MessageType;
    ///
    /// let builder = ringway::Builder::new("memfd:")?;
    /// assert_eq!(builder.clone().create()?.message_type(), None);
    /// let degrees = MessageType::of::<f32>("degrees");
    /// let ring = builder.message_type(degrees.clone()).create()?;
    /// assert_eq!(ring.message_type(), Some(degrees));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn message_type(&self) -> Option<MessageType> {
        MessageType::decode(&self.type_words())
    }

    fn type_words(&self) -> TypeWords {
        // Relaxed: the creator has written it before it published the magic, which was seen before this was a ring.
        message_type::load(|at| Some(self.map.word64(at)?.load(Ordering::Relaxed)))
    }

    /// The same ring, whose messages are that for who has it open here.
    pub(crate) fn meaning(mut self, message_type: Option<MessageType>) -> Self {
        self.message_type = message_type.map(Arc::new);
        self
    }

    /// Refuses what is another type than its creator has said. A ring of which nobody has said a type is for all.
    pub(crate) fn check_type(
        &self,
        action: &'static str,
        meant: &MessageType,
    ) -> Result<(), Error> {
        let words = self.type_words();
        match MessageType::decode(&words) {
            Some(stored) if meant.encode() != Some(words) => {
                let problem = format!("its messages are {stored}, and this program means {meant}");
                let other = match &self.address {
                    Address::Memfd => "use another ring".to_owned(),
                    address => format!(
                        "choose another address, or remove it if nobody needs its messages (ringway rm {address})"
                    ),
                };
                let remedy = format!("build both programs with the same type, or {other}");
                Err(self.another_type(action, problem, remedy))
            }
            _ => Ok(()),
        }
    }

    /// Refuses typed handles for `T` where the ring's messages are something else, or nobody here has said what they are.
    pub(crate) fn check_typed<T>(&self) -> Result<(), Error> {
        let (action, asked) = ("attach to", Layout::of::<T>());
        match &self.message_type {
            Some(meant) if meant.fits::<T>() => self.check_type(action, meant),
            Some(meant) => {
                let problem = format!("it was opened for {meant}, and not for a type of {asked}");
                let remedy = "use typed handles of the type that was said (Builder::message_type)";
                Err(self.another_type(action, problem, remedy))
            }
            None => {
                let Some(stored) = self.message_type() else {
                    return Ok(());
                };
                let problem = format!(
                    "its messages are {stored}, and this program has not said what its type ({asked}) is"
                );
                let remedy = "say it where the ring is opened (Builder::message_type), or use handles that are not typed";
                Err(self.another_type(action, problem, remedy))
            }
        }
    }

    fn another_type(
        &self,
        action: &'static str,
        problem: String,
        remedy: impl Into<String>,
    ) -> Error {
        Attempt::to(action, &self.address)
            .error(ErrorKind::Incompatible, problem)
            .remedy(remedy)
    }
}
