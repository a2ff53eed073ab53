//! How a consumer of a broadcast ring wants to take part.

use crate::rings::broadcast::{Policy, Start};

/// How a consumer of a [broadcast](crate::broadcast) ring takes part: with which message it begins, what becomes of the producer when
/// it does not keep up, and under which name its place is kept.
///
/// ```
/// # use ringway_core as ringway;
/// use ringway::broadcast::{Policy, Start, Subscription};
/// use ringway::{Kind, RecvError};
///
/// let ring = ringway::Builder::new("memfd:")?.kind(Kind::Broadcast).capacity(4096).create()?;
/// let mut sender = ring.sender()?;
/// for number in 0..1000_u64 {
///     sender.send(&number.to_le_bytes())?;
/// }
/// let lossy = Subscription::new().start(Start::Number(0)).policy(Policy::Lossy);
/// let mut receiver = ring.subscribe(&lossy)?;
/// let Err(RecvError::Lagged { missed }) = receiver.try_recv() else { panic!("they do not all fit the ring") };
/// assert_eq!(receiver.try_recv()?, missed.to_le_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    start: Start,
    policy: Policy,
    name: Option<String>,
}

impl Subscription {
    /// Begins with the oldest message that the ring holds, and blocks the producer, without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// With which message to begin. The default is [`Start::Oldest`].
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// What becomes of the producer when this consumer does not keep up. The default is [`Policy::Block`].
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// A name of up to 64 bytes, under which the ring keeps the consumer's place. Whoever subscribes with it again, in another
    /// process or after a death, goes on with the first message that was not released, whatever [`start`](Self::start) says; if that
    /// one is gone, it is told [`Lagged`](crate::RecvError::Lagged) first. At most one that lives has a name. While nobody has it, it
    /// holds up nobody.
    ///
    /// A ring knows 128 names, until they are [forgotten](crate::Ring::forget_name).
    ///
    /// ```
    /// # use ringway_core as ringway;
    /// use ringway::Kind;
    /// use ringway::broadcast::Subscription;
    ///
    /// let ring = ringway::Builder::new("memfd:")?.kind(Kind::Broadcast).create()?;
    /// let mut sender = ring.sender()?;
    /// let audit = Subscription::new().name("audit");
    /// let mut receiver = ring.subscribe(&audit)?;
    /// sender.send(b"one")?;
    /// sender.send(b"two")?;
    /// assert_eq!(receiver.recv()?, b"one");
    /// drop(receiver);
    /// assert_eq!(ring.subscribe(&audit)?.recv()?, b"two");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(crate) fn parts(&self) -> (Start, Policy, Option<&str>) {
        (self.start, self.policy, self.name.as_deref())
    }
}
