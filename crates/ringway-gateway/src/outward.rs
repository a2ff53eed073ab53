//! From a ring into a stream.
//!
//! # The steps of a message
//!
//! | step | what happens | if the gateway dies behind it, its successor |
//! |---|---|---|
//! | take | the message is looked at in the ring, and copied; it stays the ring's | gets it again, and publishes it |
//! | publish | it goes to the server with its id (nonce and number), and with the sequence and the id that it has to lie behind | finds out by the stream whether it was stored |
//! | store | the server has put it into the stream | finds that the stream holds it, and does not publish it again |
//! | acknowledge | the gateway knows that | the same |
//! | release | the ring's producer may use its room | never sees it |
//!
//! A gateway that is stopped and goes on (SIGSTOP, a machine that is suspended) is one of these, and what it has not been told in time it finds out as a
//! successor does. The ring has one consumer, so there is no successor while it is only stopped.
//!
//! # How a gateway knows what the stream holds
//!
//! The stream is this route's alone, so its messages and the ring's are in step: a message whose number is higher by n has a sequence that is higher by n.
//! One *fixed point*, a number and its sequence, and the stream's last sequence thus say how many messages it holds. The fixed point is the newest message
//! in the stream, by its id. If that is gone (a work queue, an age limit, a purge), it is the *anchor*, which was noted on the [board](crate::cursor) before
//! the first message was published. Sequences are never used again, so what was removed meanwhile changes nothing.
//!
//! # Why nothing doubles
//!
//! A message is stored only right behind the sequence that was the last one when it was published. Copies of it may be under way (the client
//! sends again what it had not sent when the connection was lost), but each was meant for one place in the stream, and a place is taken once. So
//! a copy that comes late is refused, or is a duplicate that the server knows by its id, in which case it says at which sequence it lies. That does not depend on the server's
//! *duplicate window*, after which it has forgotten the id.
//!
//! The messages behind the first one of a run also name the id of the one before. So if somebody else publishes into the stream after all,
//! none of them is stored, in place of some. The gateway then finds a message that is not its own, and ends with an error.
//!
//! # What may repeat
//!
//! Nothing, as long as either the newest message of the stream or the board is there. If both are gone, up to a *window* of messages can be
//! published twice: those that were published and not released when the gateway died. The server still suppresses those that it stored within its duplicate window. No message
//! outside the window can repeat, because what was acknowledged and released is not in the ring any more.
//!
//! In a work queue, the gateway cannot see that somebody else has published a message that was consumed at once. Permissions of the server are
//! what keeps others out.

use std::collections::VecDeque;

use futures_util::FutureExt;
use ringway::{Receiver, RecvError, Ring};
use ringway_async::AsyncReceiver;

use crate::cursor::{Anchor, Cursor};
use crate::engine::{Outlet, Publication, State, Trouble};
use crate::metrics::{Count, Counters};
use crate::pace::{Pace, Stop};

/// The id of a message: the nonce of its ring, and its number there.
pub fn id(nonce: u128, number: u64) -> String {
    format!("{nonce:032x}-{number}")
}

/// The nonce and the number that an id was made of.
pub fn parse_id(id: &str) -> Option<(u128, u64)> {
    let (nonce, number) = id.split_once('-')?;
    let parsed = (u128::from_str_radix(nonce, 16).ok()?, number.parse().ok()?);
    // Written in one way only.
    (self::id(parsed.0, parsed.1) == id).then_some(parsed)
}

/// Carries messages from the ring into the stream until it is told to stop.
///
/// # Errors
/// What does not pass by itself, in words.
pub async fn run<O: Outlet>(
    ring: &Ring,
    outlet: &mut O,
    cursor: &mut Cursor,
    window: usize,
    counters: &Counters,
    stop: &mut Stop,
) -> Result<(), String> {
    crate::rings::require_stream(ring)?;
    let receiver = ring.receiver().map_err(|error| error.to_string())?;
    let mut route = Route {
        nonce: ring.nonce(),
        receiver,
        outlet,
        cursor,
        window,
        counters,
    };
    let mut pace = Pace::default();
    loop {
        let before = counters.get(Count::Stored);
        let trouble = match route.carry(stop).await {
            Ok(()) => return Ok(()),
            Err(Trouble::Lasting(problem)) => return Err(problem),
            Err(trouble) => trouble,
        };
        if matches!(trouble, Trouble::Full(_)) {
            counters.add(Count::Full, 1);
        } else {
            counters.add(Count::Disturbances, 1);
        }
        if counters.get(Count::Stored) != before {
            pace.reset();
        }
        if pace.wait(&trouble, stop).await {
            return Ok(());
        }
    }
}

struct Route<'a, O: Outlet> {
    nonce: u128,
    receiver: Receiver,
    outlet: &'a mut O,
    cursor: &'a mut Cursor,
    window: usize,
    counters: &'a Counters,
}

/// A message that is published and not acknowledged.
struct Flight<A> {
    sequence: u64,
    ack: A,
}

impl<O: Outlet> Route<'_, O> {
    /// From finding out what the stream holds, up to the next trouble, or until it is told to stop.
    async fn carry(&mut self, stop: &mut Stop) -> Result<(), Trouble> {
        let state = self.outlet.state().await?;
        self.resume(&state)?;
        let mut last = state.last;
        let mut last_id = None;
        let mut flights = VecDeque::with_capacity(self.window);
        loop {
            if flights.is_empty() && self.idle(stop).await? {
                return Ok(());
            }
            self.exchange(&mut flights, &mut last, &mut last_id, stop)
                .await?;
        }
    }

    /// Publishes what is there, within the window, and releases what is acknowledged: either half a window of it, or all.
    async fn exchange(
        &mut self,
        flights: &mut VecDeque<Flight<O::Ack>>,
        last: &mut u64,
        last_id: &mut Option<String>,
        stop: &Stop,
    ) -> Result<(), Trouble> {
        let mut backlog = self.receiver.backlog();
        // Those in flight are looked at anew: they are still the first ones.
        for _ in 0..flights.len() {
            let seen = backlog.next_message().map_err(of_ring)?;
            seen.ok_or_else(|| Trouble::lasting("a message is gone that was not released"))?;
        }
        let mut stored = 0;
        loop {
            while flights.len() + stored < self.window && !stop.is_told() {
                let message = match backlog.next_message() {
                    Ok(Some(message)) => message,
                    Ok(None) | Err(RecvError::Closed | RecvError::PeerDied) => break,
                    Err(error) => return Err(of_ring(error)),
                };
                let id = id(self.nonce, message.number());
                let publication = Publication {
                    id: id.clone(),
                    behind: *last,
                    behind_id: last_id.replace(id),
                    payload: message.to_vec().into(),
                };
                let ack = self.outlet.publish(publication).await?;
                *last += 1;
                flights.push_back(Flight {
                    sequence: *last,
                    ack,
                });
                self.counters.add(Count::Published, 1);
            }
            let Some(first) = flights.front_mut() else {
                break;
            };
            // The first one is waited for; then what else is there already.
            tokio::select! {
                biased;
                ack = &mut first.ack => first.check(ack?)?,
                () = self.outlet.disturbed() => return Err(Trouble::passing("the connection was lost")),
            }
            flights.pop_front();
            stored += 1;
            while let Some(first) = flights.front_mut()
                && let Some(ack) = (&mut first.ack).now_or_never()
            {
                first.check(ack?)?;
                flights.pop_front();
                stored += 1;
            }
            if stored * 2 >= self.window {
                break;
            }
        }
        self.counters.add(Count::Stored, stored as u64);
        backlog.release_first(stored as u64);
        self.counters.add(Count::Released, stored as u64);
        Ok(())
    }

    /// Waits until there is a message. `true`: it is told to stop.
    async fn idle(&mut self, stop: &mut Stop) -> Result<bool, Trouble> {
        loop {
            if stop.is_told() {
                return Ok(true);
            }
            let waited = tokio::select! {
                biased;
                () = stop.told() => return Ok(true),
                waited = self.receiver.wait_async() => waited,
            };
            match waited {
                Ok(()) => return Ok(false),
                // The next producer opens the ring again.
                Err(RecvError::Closed | RecvError::PeerDied) => {}
                Err(error) => return Err(of_ring(error)),
            }
            tokio::select! {
                biased;
                () = stop.told() => return Ok(true),
                peer = self.receiver.wait_for_peer_async() => match peer {
                    Ok(()) | Err(RecvError::Closed | RecvError::PeerDied) => {}
                    Err(error) => return Err(of_ring(error)),
                },
            }
        }
    }

    /// Releases what the stream holds, so that the ring's first message is the stream's next one.
    fn resume(&mut self, state: &State) -> Result<(), Trouble> {
        let released = self.receiver.received();
        let held = self.held(state, released)?;
        if held < released {
            // It is gone from the ring, so nobody can publish it again.
            self.counters.add(Count::Lost, released - held);
            eprintln!(
                "ringway-gateway: the stream holds {held} messages of the ring, and had acknowledged {released}: \
                 the server has lost what it acknowledged",
            );
            return self.anchor(state, released);
        }
        let mut backlog = self.receiver.backlog();
        for _ in released..held {
            let seen = match backlog.next_message() {
                Ok(seen) => seen.is_some(),
                Err(RecvError::Closed | RecvError::PeerDied) => false,
                Err(error) => return Err(of_ring(error)),
            };
            if !seen {
                return Err(Trouble::lasting(format_args!(
                    "the stream holds {held} messages of the ring, which never had as many: somebody else publishes into the stream"
                )));
            }
        }
        backlog.release_first(held - released);
        self.counters.add(Count::Resumed, held - released);
        self.counters.add(Count::Released, held - released);
        Ok(())
    }

    /// How many of the ring's messages were ever stored: the number of the one that is the stream's next.
    fn held(&mut self, state: &State, released: u64) -> Result<u64, Trouble> {
        let anchor = self.cursor.anchor().filter(|anchor| {
            (anchor.nonce, anchor.identity) == (self.nonce, state.identity)
                && anchor.behind <= state.last
        });
        let by_anchor = anchor.map(|anchor| anchor.number + (state.last - anchor.behind));
        // What was there before the anchor was noted says nothing: perhaps it is of an earlier ring.
        let newest = state
            .newest
            .as_ref()
            .filter(|(sequence, _)| anchor.is_none_or(|anchor| *sequence > anchor.behind));
        if let Some((sequence, id)) = newest {
            let parsed = id.as_deref().and_then(parse_id);
            let own = parsed.filter(|(nonce, _)| *nonce == self.nonce);
            let held = own.map(|(_, number)| number + 1 + (state.last - sequence));
            return match (held, by_anchor) {
                (Some(held), None) => Ok(held),
                (Some(held), Some(expected)) if held == expected => Ok(held),
                // Of an earlier ring, say.
                (None, None) => self.first_time(state, released),
                _ => Err(Trouble::lasting(format_args!(
                    "message {sequence} of the stream, with the id {id:?}, is not the one that lies there if only this ring's are \
                     published: somebody else publishes into the stream"
                ))),
            };
        }
        by_anchor.map_or_else(|| self.first_time(state, released), Ok)
    }

    fn first_time(&mut self, state: &State, released: u64) -> Result<u64, Trouble> {
        self.anchor(state, released)?;
        Ok(released)
    }

    fn anchor(&mut self, state: &State, number: u64) -> Result<(), Trouble> {
        let anchor = Anchor {
            nonce: self.nonce,
            identity: state.identity,
            number,
            behind: state.last,
        };
        self.cursor.note_anchor(&anchor).map_err(Trouble::Lasting)
    }
}

impl<A> Flight<A> {
    fn check(&self, sequence: u64) -> Result<(), Trouble> {
        match sequence == self.sequence {
            true => Ok(()),
            // Not where it was meant to be: the stream says where things are.
            false => Err(Trouble::passing(format_args!(
                "the server has it at {sequence} and not at {}",
                self.sequence
            ))),
        }
    }
}

fn of_ring(error: RecvError) -> Trouble {
    Trouble::lasting(format_args!("the ring: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_in_one_way() {
        let text = id(7, 42);
        assert_eq!(text, "00000000000000000000000000000007-42");
        assert_eq!(parse_id(&text), Some((7, 42)));
        for other in ["7-42", "00000000000000000000000000000007-042", "x", "-", ""] {
            assert_eq!(parse_id(other), None, "{other}");
        }
    }
}
