//! Where files go: a ring, a queue or a log.

use std::time::{Duration, Instant};

use ringway::channel::{Carrier, ChannelSender};
use ringway::log::Writer;
use ringway::{Channel, Kind, SendError};

use crate::attach;
use crate::cli::SpoolArgs;
use crate::failure::Failure;
use crate::log;
use crate::signals;

/// How long to wait for room before looking whether to end.
const SLICE: Duration = Duration::from_millis(100);

/// Bytes of the longest message of a log.
const LONGEST: u64 = 1 << 30;

/// Where files go.
pub(super) enum Target {
    Channel(Box<Channel>, Box<ChannelSender>),
    Log {
        nonce: u128,
        writer: Box<Writer>,
        /// Whether a message counts as sent only when it is synced.
        is_synced: bool,
    },
}

impl Target {
    pub(super) fn open(args: &SpoolArgs) -> Result<Self, Failure> {
        let place = &args.place;
        if log::is_log(&place.address) {
            let writer = log::open_to_write(&place.address, &place.how, &args.log)?;
            return Ok(Self::Log {
                nonce: writer.nonce(),
                writer: Box::new(writer),
                is_synced: args.log.is_synced(),
            });
        }
        args.log.refuse_at(&place.address)?;
        let mut opened = attach::open(&place.address, &place.how)?;
        let attached = opened.channel.sender().map_err(Failure::from);
        let sender = opened.settle(attached)?;
        opened.channel.attach_no_more();
        Ok(Self::Channel(Box::new(opened.channel), Box::new(sender)))
    }

    /// Bytes of the longest message.
    pub(super) fn max_message_len(&self) -> u64 {
        match self {
            Self::Channel(channel, _) => channel.max_message_len(),
            Self::Log { .. } => LONGEST,
        }
    }

    /// Which ring or log it is, if it counts its messages exactly.
    pub(super) fn nonce(&self) -> Option<u128> {
        match self {
            Self::Channel(channel, _) => match channel.carrier() {
                // One without cells, whose only producer this is.
                Carrier::Ring(ring) if ring.kind() == Kind::Spsc && ring.cell_len().is_none() => {
                    Some(ring.nonce())
                }
                _ => None,
            },
            Self::Log { nonce, .. } => Some(*nonce),
        }
    }

    /// How many messages were ever sent.
    pub(super) fn sent(&self) -> Option<u64> {
        match self {
            Self::Channel(_, sender) => match &**sender {
                ChannelSender::Ring(sender) => Some(sender.sent()),
                _ => None,
            },
            Self::Log { writer, .. } => Some(writer.next_number()),
        }
    }

    /// Sends a message, waiting for room; not, if this process is told to end meanwhile.
    pub(super) fn send(&mut self, message: &[u8]) -> Result<bool, Failure> {
        match self {
            Self::Channel(_, sender) => send(sender, message),
            Self::Log {
                writer, is_synced, ..
            } => {
                let appended = writer.append(message).and_then(|_| match is_synced {
                    true => writer.sync(),
                    false => Ok(()),
                });
                appended.map(|()| true).map_err(log::explain_append)
            }
        }
    }

    /// All is sent.
    pub(super) fn close(self) -> Result<(), Failure> {
        match self {
            Self::Channel(_, sender) => {
                sender.close();
                Ok(())
            }
            Self::Log { writer, .. } => writer.close().map_err(log::explain_append),
        }
    }

    /// Held until this process ends, which is at once: receivers shall learn that this was no orderly end.
    pub(super) fn fail(self) {
        std::mem::forget(self);
    }
}

fn send(sender: &mut ChannelSender, message: &[u8]) -> Result<bool, Failure> {
    loop {
        let until = Instant::now().checked_add(SLICE);
        let sent = match &mut *sender {
            ChannelSender::Ring(ring) => ring.send_deadline(message, until),
            queue => queue.send_deadline(message, until),
        };
        match sent {
            Ok(()) => return Ok(true),
            Err(SendError::TimedOut | SendError::Interrupted) if signals::is_urged() => {
                return Ok(false);
            }
            Err(SendError::TimedOut | SendError::Interrupted) => {}
            // Nobody took the rest; whoever comes next shall have it.
            Err(SendError::PeerDied) => match sender.wait_for_peer_deadline(until) {
                Ok(()) | Err(SendError::TimedOut) if signals::is_urged() => return Ok(false),
                Ok(()) | Err(SendError::TimedOut | SendError::PeerDied) => {}
                Err(error) => return Err(Failure::negative(error)),
            },
            Err(error @ (SendError::Closed | SendError::Removed)) => {
                return Err(Failure::negative(error));
            }
            Err(error) => return Err(Failure::error(error)),
        }
    }
}
