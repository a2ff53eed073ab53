//! From a stream into a ring.
//!
//! # The steps of a message
//!
//! | step | what happens | if the gateway dies behind it, its successor |
//! |---|---|---|
//! | deliver | the server sends it to the consumer, and counts it as pending | gets it again |
//! | plan | its sequence is noted on the [board](crate::cursor), with how many messages were ever sent into the ring | sees by the ring that nothing of the plan was done, and gets it again |
//! | send | it is committed to the ring | sees by the ring that it is there, and passes it over |
//! | acknowledge | the server hears that it is done with | does not get it |
//!
//! The ring itself decides. The number of messages ever sent into a ring of kind spsc and sync futex is exact, whoever dies at whatever instruction, and
//! nobody else sends there. So *sent now* less *sent when the plan was noted* says how much of the plan was carried out. The board's entry is either the
//! old plan or the new one, and a new one is made of what was sent by then.
//!
//! # Why nothing is lost
//!
//! A message is acknowledged when it is in the ring, and not before. Deliveries have numbers of their own. While they follow one another, the gateway has
//! seen all of them, and they come in the order of the stream, apart from those that come again. If a number is missing, or the connection was lost,
//! the consumer is made anew, beginning behind the last message that is in the ring. So it never passes over a delivery that got lost.
//!
//! # Why nothing doubles
//!
//! What is delivered again has a sequence that is not higher than that of the last message that is in the ring. It is acknowledged, and not sent again. That is so for a
//! delivery that is a year late, too; no window of time is involved.
//!
//! # What may repeat
//!
//! Nothing, as long as the board is there. If it is not, and the ring has ever been sent to, the route refuses to start, because it cannot know: make the ring
//! anew. A stream that was made anew under its old name begins from its first message.
//!
//! # When the ring is full
//!
//! The gateway waits for room, and acknowledges nothing. The server delivers no more than `window` messages that are not acknowledged; the others stay in the
//! stream.

use bytes::Bytes;
use futures_util::FutureExt;
use ringway::{Ring, SendError, Sender};
use ringway_async::AsyncSender;

use crate::cursor::{Cursor, LONGEST_PLAN, Plan};
use crate::engine::{Delivery, Inlet, Trouble};
use crate::metrics::{Count, Counters};
use crate::pace::{Pace, Stop};

/// Carries messages from the stream into the ring until it is told to stop.
///
/// # Errors
/// What does not pass by itself, in words.
pub async fn run<I: Inlet>(
    ring: &Ring,
    inlet: &mut I,
    cursor: &mut Cursor,
    counters: &Counters,
    stop: &mut Stop,
) -> Result<(), String> {
    crate::rings::require_stream(ring)?;
    let sender = ring.sender().map_err(|error| error.to_string())?;
    let mut route = Route {
        nonce: ring.nonce(),
        sender: Leaving(Some(sender)),
        inlet,
        cursor,
        counters,
    };
    let mut pace = Pace::default();
    loop {
        let before = counters.get(Count::Sent);
        match route.carry(stop).await {
            Ok(()) => return Ok(()),
            Err(Trouble::Lasting(problem)) => return Err(problem),
            Err(trouble) => {
                counters.add(Count::Disturbances, 1);
                if counters.get(Count::Sent) != before {
                    pace.reset();
                }
                if pace.wait(&trouble, stop).await {
                    return Ok(());
                }
            }
        }
    }
}

/// A sender that does not end the stream of messages, however the route ends: there will be another gateway.
struct Leaving(Option<Sender>);

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            sender.leave();
        }
    }
}

impl Leaving {
    fn get(&mut self) -> Result<&mut Sender, Trouble> {
        self.0
            .as_mut()
            .ok_or_else(|| Trouble::lasting("it has left the ring"))
    }
}

struct Route<'a, I: Inlet> {
    nonce: u128,
    sender: Leaving,
    inlet: &'a mut I,
    cursor: &'a mut Cursor,
    counters: &'a Counters,
}

impl<I: Inlet> Route<'_, I> {
    /// From finding out what is in the ring, up to the next trouble, or until it is told to stop.
    async fn carry(&mut self, stop: &mut Stop) -> Result<(), Trouble> {
        let (identity, last) = self.inlet.state().await?;
        let mut received = self.received(identity)?;
        if received > last {
            // New messages have the old sequences.
            self.counters.add(Count::Lost, received - last);
            eprintln!(
                "ringway-gateway: the stream ends at {last}, and {received} was received: the server has lost what it acknowledged"
            );
            received = last;
            self.plan(identity, received, &[])?;
        }
        self.inlet.start(received).await?;
        let mut delivered = 0;
        let mut batch = Vec::with_capacity(LONGEST_PLAN);
        loop {
            tokio::select! {
                biased;
                () = stop.told() => return Ok(()),
                first = self.inlet.next() => batch.push(first?),
            }
            while batch.len() < LONGEST_PLAN
                && let Some(next) = self.inlet.next().now_or_never()
            {
                batch.push(next?);
            }
            for delivery in &batch {
                delivered += 1;
                if delivery.delivery != delivered {
                    return Err(Trouble::passing("a delivery is missing"));
                }
            }
            self.counters.add(Count::Delivered, batch.len() as u64);
            let fresh = fresh(&batch, received);
            if !fresh.is_empty() {
                self.plan(identity, received, &fresh)?;
            }
            for delivery in batch.drain(..) {
                if delivery.sequence > received {
                    tokio::select! {
                        biased;
                        () = stop.told() => return Ok(()),
                        sent = send(self.sender.get()?, &delivery.payload) => sent?,
                    }
                    received = delivery.sequence;
                    self.counters.add(Count::Sent, 1);
                } else {
                    self.counters.add(Count::Repeated, 1);
                }
                self.inlet.acknowledge(delivery.token).await?;
            }
        }
    }

    /// The last message of the stream that is in the ring.
    fn received(&mut self, identity: i64) -> Result<u64, Trouble> {
        let sent = self.sender.get()?.sent();
        let plan = self.cursor.plan().filter(|plan| plan.nonce == self.nonce);
        let Some(plan) = plan else {
            return match sent {
                0 => Ok(0),
                _ => Err(Trouble::lasting(format_args!(
                    "{sent} messages were sent into the ring, and no note says which of the stream's those are: make the ring anew, and let nobody \
                     else send there"
                ))),
            };
        };
        let received = plan.received(sent).ok_or_else(|| {
            Trouble::lasting(format_args!(
                "{sent} messages were sent into the ring, which are not those that were planned (from {} on, {}): somebody else sends there. Make it anew",
                plan.sent,
                plan.next.len()
            ))
        })?;
        Ok(if plan.identity == identity {
            received
        } else {
            0
        })
    }

    fn plan(&mut self, identity: i64, received: u64, next: &[u64]) -> Result<(), Trouble> {
        let plan = Plan {
            nonce: self.nonce,
            identity,
            sent: self.sender.get()?.sent(),
            received,
            next: next.to_vec(),
        };
        self.cursor.note_plan(&plan).map_err(Trouble::Lasting)
    }
}

/// The sequences that are not in the ring yet, in the order in which they come.
fn fresh<T>(batch: &[Delivery<T>], mut received: u64) -> Vec<u64> {
    let mut fresh = Vec::new();
    for delivery in batch {
        if delivery.sequence > received {
            received = delivery.sequence;
            fresh.push(received);
        }
    }
    fresh
}

/// Sends, and waits for room and for those who read.
async fn send(sender: &mut Sender, payload: &Bytes) -> Result<(), Trouble> {
    loop {
        match sender.send_async(payload).await {
            Ok(()) => return Ok(()),
            Err(SendError::Closed | SendError::PeerDied) => {}
            Err(error) => return Err(Trouble::lasting(format_args!("the ring: {error}"))),
        }
        match sender.wait_for_peer_async().await {
            Ok(()) | Err(SendError::Closed | SendError::PeerDied) => {}
            Err(error) => return Err(Trouble::lasting(format_args!("the ring: {error}"))),
        }
    }
}
