//! Where tasks go that were tried often enough.

use std::io::IoSlice;
use std::time::Instant;

use ringway::channel::{Carrier, ChannelSender};
use ringway::transport::MessageSink;
use ringway::{Address, Channel, ErrorKind, Kind, SendError};

use crate::attach::{self, Opened};
use crate::cli::PlaceArgs;
use crate::failure::Failure;

/// Opens it; makes it, with room for all that a ring of `tasks` may hold, if rings are to be made.
pub(super) fn open(
    address: &Address,
    place: &PlaceArgs,
    tasks: Option<&Channel>,
) -> Result<Opened, Failure> {
    let at = || {
        let builder = attach::at(address)?.any_owner(place.how.any_owner);
        Ok::<_, Failure>(builder.trust_peers(place.how.make.trust_peers))
    };
    let opened = match Channel::open(at()?) {
        Err(error) if error.kind() == ErrorKind::NotFound && place.how.create => {
            let mut builder = at()?;
            if let Some(Carrier::Ring(ring)) = tasks.map(Channel::carrier) {
                // Cells leave a message a little less room.
                builder = builder.capacity(ring.capacity().saturating_mul(2));
                for slab in ring.stat().slabs {
                    builder = builder.slabs(slab.slab_bytes, slab.count);
                }
            }
            match address {
                Address::Mq(_) | Address::Sysvmq(_) => Channel::open_or_create(at()?),
                _ => Channel::open_or_create(builder.kind(Kind::Mpmc)),
            }
        }
        opened => opened,
    };
    let opened = opened.map(|channel| Opened { channel });
    opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let next =
                format!("make it with ringway create {address} --kind mpmc, or with --create");
            Failure::from(error.remedy(next))
        }
        _ => Failure::from(error),
    })
}

/// A sender that is attached only while it sends: what waits for tasks, and dies, is no news to who reads the dead letters.
pub(super) struct DeadLetters {
    channel: Channel,
}

impl DeadLetters {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    fn attach(&self) -> Result<ChannelSender, SendError> {
        self.channel.sender().map_err(|error| match error.kind() {
            // With all places taken, there is no room now.
            ErrorKind::RoleTaken { .. } => SendError::Full,
            ErrorKind::Corrupt => SendError::Corrupt,
            _ => SendError::Removed,
        })
    }
}

impl MessageSink for DeadLetters {
    fn max_message_len(&self) -> usize {
        usize::try_from(self.channel.max_message_len()).unwrap_or(usize::MAX)
    }

    fn sender_id(&self) -> u64 {
        // Another one each time.
        0
    }

    fn is_shared_out(&self) -> bool {
        true
    }

    fn try_send_parts(&mut self, parts: &[IoSlice<'_>]) -> Result<(), SendError> {
        self.attach()?.try_send_parts(parts)
    }

    fn send_parts_deadline(
        &mut self,
        parts: &[IoSlice<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        self.attach()?.send_parts_deadline(parts, deadline)
    }
}
