//! A request, and its answer.

use std::time::Instant;

use ringway_core::os::deadline_after;

use crate::error::{Failure, ServeError};
use crate::seat::{Begun, Caller, Outgoing, Seat, Served, Tail};
use crate::server::Server;
use crate::words::from_shared;

/// A request of one caller, which is this server's to answer: at once ([`answer`](Self::answer)), or in parts ([`send`](Self::send),
/// [`end`](Self::end)). If it is dropped before that, or the process dies, the caller is told, or the next server gets it
/// ([`Connect::at_least_once`](crate::Connect::at_least_once)).
#[derive(Debug)]
pub struct Request<'s> {
    server: &'s mut Server,
    desk: u32,
    call: Served,
    body: Vec<u8>,
    deadline: Option<Instant>,
    repeated: bool,
    /// Fragments of the answer that were sent.
    sent: u64,
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
    /// [`ServeError::Cancelled`]; [`ServeError::NotTaken`] after the server's [patience](crate::Serve::patience); and others.
    pub fn send(&mut self, part: &[u8]) -> Result<(), ServeError> {
        let mut outgoing = Outgoing::new(self.call, self.sent, part.to_vec(), Tail::Part);
        loop {
            self.wait_until_taken()?;
            let is_last = self.seat()?.send_fragment(&mut outgoing)?;
            self.sent = outgoing.next;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Ends the answer after the parts that were sent, of which there may be none. It waits for nobody: what the caller has
    /// not taken yet, it gets while the server serves others ([`Server::finish`]).
    ///
    /// # Errors
    /// [`ServeError::Cancelled`], and others.
    pub fn end(self) -> Result<(), ServeError> {
        self.finish(Vec::new(), Tail::End)
    }

    /// Sends an answer of one part, or the last part of one, and ends it. It waits for nobody, as [`end`](Self::end).
    ///
    /// # Errors
    /// [`ServeError::Cancelled`], and others.
    pub fn answer(self, answer: &[u8]) -> Result<(), ServeError> {
        self.finish(answer.to_vec(), Tail::LastPart)
    }

    /// Ends it with an error, which the caller gets as [`CallError::Failed`](crate::CallError::Failed). Of its message as much is sent as
    /// fits in one [part](crate::Serve::part_len).
    ///
    /// # Errors
    /// [`ServeError::Cancelled`], and others.
    pub fn fail(self, failure: &Failure) -> Result<(), ServeError> {
        self.finish(failure.message().to_vec(), Tail::Failed(failure.status()))
    }

    fn finish(mut self, bytes: Vec<u8>, tail: Tail) -> Result<(), ServeError> {
        let (call, sent) = (self.call, self.sent);
        let outgoing = Outgoing::new(call, sent, bytes, tail);
        let seat = self.seat()?;
        match seat.caller(call)? {
            // Dropping it leaves the desk.
            Caller::IsGone => return Err(ServeError::Cancelled),
            Caller::Waits(taken) if taken < sent => seat.send_later(outgoing),
            Caller::Waits(_) => seat.send_rest(outgoing)?,
        }
        self.over = true;
        self.server.note(self.desk);
        Ok(())
    }

    /// Waits until the caller has taken all that was sent.
    fn wait_until_taken(&mut self) -> Result<(), ServeError> {
        let (call, sent, desk) = (self.call, self.sent, self.desk);
        let mut until = None;
        loop {
            match self.seat()?.caller(call)? {
                Caller::IsGone => return Err(ServeError::Cancelled),
                Caller::Waits(taken) if taken >= sent => return Ok(()),
                Caller::Waits(_) => {}
            }
            let until = *until.get_or_insert_with(|| deadline_after(self.server.patience()));
            if until.is_some_and(|until| Instant::now() >= until) {
                return Err(ServeError::NotTaken);
            }
            self.server.pump(until, Some(desk))?;
        }
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
