//! What a receiver knows of the producers, and how it waits for them.

use std::time::{Duration, Instant};

use super::Receiver;
use crate::error::RecvError;
use crate::memory::layout::participant::Role;
use crate::memory::region::Region;
use crate::presence::Peer;
use crate::waiting::deadline_after;

impl Receiver {
    /// What is known of the producer.
    pub fn peer(&self) -> Peer {
        self.receiving.peer()
    }

    /// Waits until a producer is attached, or has been and left a message. To go on after [`RecvError::PeerDied`] or
    /// [`RecvError::Closed`]. (A producer that comes and goes meanwhile and
    /// leaves no message may go unnoticed; [`wait_for_producers`](Self::wait_for_producers) counts them.)
    ///
    /// # Errors
    /// [`RecvError::Removed`], [`RecvError::Forked`].
    pub fn wait_for_peer(&mut self) -> Result<(), RecvError> {
        self.wait_for_peer_deadline(None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_for_peer`](Self::wait_for_peer), and [`RecvError::TimedOut`].
    pub fn wait_for_peer_timeout(&mut self, timeout: Duration) -> Result<(), RecvError> {
        self.wait_for_peer_deadline(deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_for_peer_timeout`](Self::wait_for_peer_timeout).
    pub fn wait_for_peer_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), RecvError> {
        let wait = self.wait.until(deadline.into());
        self.receiving.wait_for_peer(&wait)
    }

    /// Whether the producer's attachment with that [id](crate::Sender::id) still lives, by proof of the
    /// kernel. If not, nothing can come of it but what lies in the ring already. (A process that is denied `membarrier` since it
    /// opened the ring cannot know that of a dead one, who then counts as attached; see [`RecvError::Unsettled`].)
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (sender, receiver) = (ring.sender()?, ring.receiver()?);
    /// let id = sender.id();
    /// assert!(receiver.is_attached(id));
    /// sender.leave();
    /// assert!(!receiver.is_attached(id));
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn is_attached(&self, id: u64) -> bool {
        self.known.is_attached(self.outlook, id)
    }

    /// Waits until it is worth trying to receive again, or one of those producers' attachments does not
    /// [live](Self::is_attached) any more. To be called when there was no
    /// message. It may return early, also when the ring is [`Removed`](RecvError::Removed), and does not tell why it does.
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// let ring = ringway::Builder::new("memfd:")?.create()?;
    /// let (sender, mut receiver) = (ring.sender()?, ring.receiver()?);
    /// let id = sender.id();
    /// std::thread::spawn(|| sender.leave());
    /// while receiver.try_recv().is_err() && receiver.is_attached(id) {
    ///     receiver.wait_while_attached(&[id]);
    /// }
    /// # Ok::<(), ringway::Error>(())
    /// ```
    pub fn wait_while_attached(&mut self, ids: &[u64]) {
        self.wait_while_attached_deadline(ids, None);
    }

    /// The same, for at most `timeout`.
    pub fn wait_while_attached_timeout(&mut self, ids: &[u64], timeout: Duration) {
        self.wait_while_attached_deadline(ids, deadline_after(timeout));
    }

    /// The same, until `deadline`; `None` is never.
    pub fn wait_while_attached_deadline(
        &mut self,
        ids: &[u64],
        deadline: impl Into<Option<Instant>>,
    ) {
        if self.receiving.region().is_forked() {
            return;
        }
        let (ring, me) = (&self.known, self.outlook);
        let wait = self.wait.until(deadline.into());
        self.receiving
            .look_again_when(&wait, || ids.iter().any(|id| !ring.is_attached(me, *id)));
    }

    /// How many producers ever attached to this ring.
    pub fn producers_ever(&self) -> u64 {
        self.known.ever(Role::Producer)
    }

    /// Waits until `count` producers have ever attached to this ring, be they gone again or not. To go on after
    /// [`RecvError::Closed`] and miss none, wait for
    /// one more than [`producers_ever`](Self::producers_ever) said before the call that failed.
    ///
    /// # Errors
    /// [`RecvError::Removed`], [`RecvError::Forked`].
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::{Builder, Kind, RecvError};
    ///
    /// let ring = Builder::new("memfd:")?.kind(Kind::Mpsc).create()?;
    /// let mut receiver = ring.receiver()?;
    /// for message in [b"one", b"two"] {
    ///     let ever = receiver.producers_ever();
    ///     ring.sender()?.send(message)?;
    ///     receiver.wait_for_producers(ever + 1)?;
    ///     assert_eq!(receiver.recv()?, message);
    ///     assert_eq!(receiver.recv(), Err(RecvError::Closed));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_producers(&mut self, count: u64) -> Result<(), RecvError> {
        self.wait_for_producers_deadline(count, None)
    }

    /// The same, for at most `timeout`.
    ///
    /// # Errors
    /// As [`wait_for_producers`](Self::wait_for_producers), and [`RecvError::TimedOut`].
    pub fn wait_for_producers_timeout(
        &mut self,
        count: u64,
        timeout: Duration,
    ) -> Result<(), RecvError> {
        self.wait_for_producers_deadline(count, deadline_after(timeout))
    }

    /// The same, until `deadline`; `None` is never.
    ///
    /// # Errors
    /// As [`wait_for_producers_timeout`](Self::wait_for_producers_timeout).
    pub fn wait_for_producers_deadline(
        &mut self,
        count: u64,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<(), RecvError> {
        let ring = &self.known;
        let wait = self.wait.until(deadline.into());
        self.receiving
            .wait_until(&wait, || ring.ever(Role::Producer) >= count)
    }
}
