//! A request, and its answer.

use std::task::{Poll, ready};
use std::time::Instant;

use ringway_core::os::deadline_after;

use crate::error::{Failure, ServeError};
use crate::seat::{Begun, Caller, Outgoing, Seat, Served, Tail};
use crate::server::{LOOK, Server};
use crate::waiting::{Waiting, blocked, first, is_past};
use crate::words::from_shared;

/// A request of one caller, which is this server's to answer: at once ([`answer`](Self::answer)), or in parts ([`send`](Self::send),
/// [`end`](Self::end)). If it is dropped before that, or the process dies, the caller is told, or the next server gets it
/// ([`Connect::at_least_once`](crate::Connect::at_least_once)).
#[derive(Debug)]
pub struct Request<'s> {
    pub(crate) server: &'s mut Server,
    desk: u32,
    pub(crate) call: Served,
    body: Vec<u8>,
    deadline: Option<Instant>,
    repeated: bool,
    /// Fragments of the answer that were sent.
    pub(crate) sent: u64,
    /// What is left of the part that was sent last.
    rest: Option<Outgoing>,
    /// Until when the caller may let it wait, once it does.
    give_up: Option<Option<Instant>>,
    over: bool,
}

impl<'s> Request<'s> {
    pub(crate) fn new(server: &'s mut Server, desk: u32, begun: Begun) -> Self {
        Self {
            server,
            desk,
            call: begun.call,
            body: begun.body,
            deadline: from_shared(begun.deadline),
            repeated: begun.repeated,
            sent: 0,
            rest: None,
            give_up: None,
            over: false,
        }
    }

    /// What the caller sent.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same, to keep; [`body`](Self::body) is empty from then on.
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Until when the caller waits; `None` is for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether another server, or this one, may have begun with this request before, and has died or let it go. Only of calls at least once.
    pub fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// Whether the caller has left, died, or waits no longer, so that nobody wants the answer. Two loads, as long as nothing has changed.
    pub fn is_cancelled(&mut self) -> bool {
        let call = self.call;
        self.seat()
            .is_ok_and(|seat| seat.caller(call) == Ok(Caller::IsGone))
    }

    /// Sends one part of the answer. The caller is at most two parts behind: it waits until the caller has what was sent before, and
    /// goes on meanwhile with what is on its way to others.
    ///
    /// # Errors
    /// [`ServeError::Cancelled`]; [`ServeError::NotTaken`] after the server's [patience](crate::Serve::patience);
    /// [`ServeError::Interrupted`], and then it was not sent; and others.
    pub fn send(&mut self, part: &[u8]) -> Result<(), ServeError> {
        let all = self.go_on(&mut Waiting::Blocked, None, true);
        blocked(all, ServeError::NotTaken)?;
        self.say(Outgoing::new(
            self.call,
            self.sent,
            part.to_vec(),
            Tail::Part,
        ))?;
        let rest = self.go_on(&mut Waiting::Blocked, None, false);
        match blocked(rest, ServeError::NotTaken) {
            // It is sent with the next call, which is the one that is interrupted.
            Err(ServeError::Interrupted) => self.server.interrupter().interrupt(),
            gone_on => gone_on?,
        }
        Ok(())
    }

    /// Ends the answer after the parts that were sent, of which there may be none. It waits for nobody: what the caller has
    /// not taken yet, it gets while the server serves others ([`Server::finish`]).
    ///
    /// # Errors
    /// [`ServeError::Cancelled`], and others.
    pub fn end(self) -> Result<(), ServeError> {
        self.finish(&[], Tail::End)
    }

    /// Sends an answer of one part, or the last part of one, and ends it. It waits for nobody, as [`end`](Self::end).
    ///
    /// # Errors
    /// [`ServeError::Cancelled`], and others.
    pub fn answer(self, answer: &[u8]) -> Result<(), ServeError> {
        self.finish(answer, Tail::LastPart)
    }

    /// Ends it with an error, which the caller gets as [`CallError::Failed`](crate::CallError::Failed). Of its message as much is sent as
    /// fits in one [part](crate::Serve::part_len).
    ///
    /// # Errors
    /// [`ServeError::Cancelled`], and others.
    pub fn fail(self, failure: &Failure) -> Result<(), ServeError> {
        self.finish(failure.message(), Tail::Failed(failure.status()))
    }

    fn finish(mut self, bytes: &[u8], tail: Tail) -> Result<(), ServeError> {
        let (call, sent, rest) = (self.call, self.sent, self.rest.take());
        let seat = self.seat()?;
        // Dropping it leaves the desk.
        let Caller::Waits(taken) = seat.caller(call)? else {
            return Err(ServeError::Cancelled);
        };
        if taken < sent || rest.is_some() || !seat.send_last(call, sent, bytes, tail)? {
            let last = Outgoing::new(call, sent, bytes.to_vec(), tail);
            let outgoing = match rest {
                Some(rest) => rest.and(last),
                None => last,
            };
            match taken < sent {
                true => seat.send_later(outgoing),
                false => seat.send_rest(outgoing)?,
            }
        }
        let body = std::mem::take(&mut self.body);
        self.seat()?.keep(body);
        self.over = true;
        self.server.note(self.desk);
        Ok(())
    }

    /// Goes on with the part that was sent last, until all of it is said, or also `taken`; or until `moment`, and then it is pending.
    pub(crate) fn go_on(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        moment: Option<Instant>,
        taken: bool,
    ) -> Poll<Result<(), ServeError>> {
        let (call, desk) = (self.call, self.desk);
        while taken || self.rest.is_some() {
            let sent = self.sent;
            match self.seat()?.caller(call)? {
                Caller::IsGone => return Poll::Ready(Err(ServeError::Cancelled)),
                Caller::Waits(had) if had >= sent => {
                    self.give_up = None;
                    match self.rest.take() {
                        Some(rest) => self.say(rest)?,
                        None => break,
                    }
                    continue;
                }
                Caller::Waits(_) => {}
            }
            let patience = self.server.patience();
            let until = *self.give_up.get_or_insert_with(|| deadline_after(patience));
            if is_past(until) {
                self.give_up = None;
                return Poll::Ready(Err(ServeError::NotTaken));
            }
            if is_past(moment) {
                return Poll::Pending;
            }
            let until = first(until, moment);
            ready!(self.server.pump(waiting, until, Some(desk)))?;
        }
        Poll::Ready(Ok(()))
    }

    /// When to look again whether the caller has taken what was sent, or has gone.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        first(deadline_after(LOOK), self.give_up.flatten())
    }

    /// Says the next fragment, and keeps what is left.
    pub(crate) fn say(&mut self, mut outgoing: Outgoing) -> Result<(), ServeError> {
        let is_last = self.seat()?.send_fragment(&mut outgoing)?;
        self.sent = outgoing.next;
        self.rest = (!is_last).then_some(outgoing);
        Ok(())
    }

    fn seat(&mut self) -> Result<&mut Seat, ServeError> {
        self.server.seat(self.desk)
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if !self.over {
            let call = self.call;
            if let Ok(seat) = self.seat() {
                seat.let_go(call);
            }
            self.server.note_end(self.desk);
        }
    }
}
