//! The serving handle: it finds requests, and goes on with those whose fragments are on their way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use ringway_core::board::GetError;
use ringway_core::os::{Changes, Role, deadline_after};
use ringway_core::{Address, Error};

use crate::error::{Failure, ServeError};
use crate::place::Place;
use crate::request::Request;
use crate::seat::{Begun, Seat};
use crate::serve::How;
use crate::waiting::{Waiting, blocked, first, is_past};

/// Serves requests: one at a time, of whichever client.
///
/// A process that serves with several threads has a handle in each ([`another`](Self::another)). Servers of any processes share the requests
/// of one address: each goes to one that is free.
///
/// Dropping it lets go of the requests whose answers were not taken yet; [`finish`](Self::finish) waits for these.
///
/// ```
/// # let name = format!("shm:ringway-doc-server-{}", std::process::id());
/// use ringway_service::{connect, serve};
///
/// let mut server = serve(&name)?.start()?;
/// std::thread::spawn(move || server.run(|request| Ok(request.to_ascii_uppercase())));
/// let mut client = connect(&name)?.open()?;
/// assert_eq!(client.call(b"hello")?, b"HELLO");
/// # ringway_core::remove(client.address(), true)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    pub(crate) shared: Arc<Shared>,
    how: How,
    pub(crate) changes: Changes,
    /// What it has of each desk, as soon as something has happened there.
    seats: Vec<Option<Box<Seat>>>,
    /// Desks at which something has happened, which it has not looked at yet.
    pub(crate) backlog: VecDeque<u32>,
    /// Desks that it holds for what is on its way there.
    busy: Vec<u32>,
    /// When to look at those again although nothing has happened.
    next_look: Instant,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) place: Place,
    /// That a server is here; held by all handles of the process together.
    _presence: Mutex<Role>,
}

/// How often to look whether the callers of what is on its way still live.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

impl Server {
    pub(crate) fn start(place: Place, how: How) -> Result<Self, Error> {
        let presence = Mutex::new(place.announce()?);
        let shared = Shared {
            place,
            _presence: presence,
        };
        Self::of(Arc::new(shared), how)
    }

    fn of(shared: Arc<Shared>, how: How) -> Result<Self, Error> {
        let place = &shared.place;
        let changes = place.board.changes(place.calls())?.with_wait(how.wait);
        let seats = (0..place.desks).map(|_| None).collect();
        Ok(Self {
            shared,
            how,
            changes,
            seats,
            backlog: VecDeque::new(),
            busy: Vec::new(),
            next_look: Instant::now(),
        })
    }

    /// One more handle of this process, for another thread.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](ringway_core::ErrorKind::Corrupt).
    pub fn another(&self) -> Result<Self, Error> {
        Self::of(Arc::clone(&self.shared), self.how.clone())
    }

    /// The next request, waiting for it.
    ///
    /// # Errors
    /// [`ServeError`].
    #[expect(
        clippy::should_implement_trait,
        reason = "there is no end, and a request borrows the server"
    )]
    pub fn next(&mut self) -> Result<Request<'_>, ServeError> {
        self.next_deadline(None)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Request<'_>, ServeError> {
        self.next_deadline(deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn next_deadline(
        &mut self,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Request<'_>, ServeError> {
        let found = self.next_begun(&mut Waiting::Blocked, deadline.into());
        let (desk, begun) = blocked(found, ServeError::TimedOut)?;
        Ok(Request::new(self, desk, begun))
    }

    /// The next request, if one is there.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn try_next(&mut self) -> Result<Option<Request<'_>>, ServeError> {
        match self.next_begun(&mut Waiting::Not, None)? {
            Poll::Ready((desk, begun)) => Ok(Some(Request::new(self, desk, begun))),
            Poll::Pending => Ok(None),
        }
    }

    /// A request, and the desk that it came from.
    pub(crate) fn next_begun(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        deadline: Option<Instant>,
    ) -> Poll<Result<(u32, Begun), ServeError>> {
        loop {
            let desk = ready!(self.something(waiting, deadline))?;
            if let Some(begun) = self.attend(desk)? {
                return Poll::Ready(Ok((desk, begun)));
            }
        }
    }

    /// Serves one request after the other: `work` makes the answer of each, or says why there is none.
    ///
    /// # Errors
    /// What ends it: [`ServeError`].
    pub fn run(
        &mut self,
        mut work: impl FnMut(&[u8]) -> Result<Vec<u8>, Failure>,
    ) -> Result<(), ServeError> {
        loop {
            let request = self.next()?;
            let answered = match work(request.body()) {
                Ok(answer) => request.answer(&answer),
                Err(failure) => request.fail(&failure),
            };
            match answered {
                Ok(()) | Err(ServeError::Cancelled) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until callers have taken what is on its way to them, have left, or died; no longer than `patience`. Says whether all is
    /// taken. New requests are left to other servers.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn finish(&mut self, patience: Duration) -> Result<bool, ServeError> {
        let until = deadline_after(patience);
        while self.is_sending_any() {
            if is_past(until) {
                return Ok(false);
            }
            let pumped = self.pump(&mut Waiting::Blocked, until, None);
            blocked(pumped, ServeError::TimedOut)?;
        }
        Ok(true)
    }

    pub(crate) fn is_sending_any(&self) -> bool {
        self.busy.iter().any(|desk| self.is_sending(*desk))
    }

    /// For how many client handles there is room.
    pub fn clients(&self) -> u32 {
        self.shared.place.desks
    }

    /// Where the service is.
    pub fn address(&self) -> &Address {
        self.shared.place.board.address()
    }

    /// The longest that a caller may keep a part of an answer waiting.
    pub(crate) fn patience(&self) -> Duration {
        self.how.patience
    }

    /// A desk at which something has happened, waiting for one.
    fn something(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        deadline: Option<Instant>,
    ) -> Poll<Result<u32, ServeError>> {
        loop {
            self.look_after_busy()?;
            if let Some(desk) = self.backlog.pop_front() {
                return Poll::Ready(Ok(desk));
            }
            let look = self.next_look();
            let until = first(look, deadline);
            let found = match waiting {
                Waiting::Blocked => Poll::Ready(self.changes.wait_place(until)),
                Waiting::Task(context) => self.changes.poll_place(context, until),
                Waiting::Not => match self.changes.next_place()? {
                    Some(place) => Poll::Ready(Ok(place)),
                    None => return Poll::Pending,
                },
            };
            match found {
                Poll::Ready(Ok(place)) => {
                    return Poll::Ready(Ok(self.shared.place.desk_at(place)));
                }
                Poll::Ready(Err(GetError::TimedOut)) | Poll::Pending if is_past(deadline) => {
                    return Poll::Ready(Err(ServeError::TimedOut));
                }
                Poll::Ready(Err(GetError::TimedOut)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if is_past(look) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// When it has to look although nothing has happened.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        (!self.busy.is_empty()).then_some(self.next_look)
    }

    /// Goes on with what is on its way to callers, for a moment, or until something has happened at `own` desk. New requests are left for
    /// later, or to other servers.
    pub(crate) fn pump(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        deadline: Option<Instant>,
        own: Option<u32>,
    ) -> Poll<Result<(), ServeError>> {
        let until = first(deadline_after(LOOK), deadline);
        let mut later = VecDeque::new();
        let ended = loop {
            let desk = match self.something(waiting, until) {
                Poll::Ready(Ok(desk)) => desk,
                Poll::Ready(Err(ServeError::TimedOut)) => break Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            };
            if own == Some(desk) {
                break Poll::Ready(Ok(()));
            }
            let is_sending = self.is_sending(desk);
            if is_sending {
                let pushed = self.seat(desk).and_then(Seat::push);
                self.note(desk);
                if pushed.is_err() || own.is_none() {
                    break Poll::Ready(pushed);
                }
            }
            // There may be a new request.
            if !self.is_sending(desk) && !later.contains(&desk) {
                later.push_back(desk);
            }
        };
        self.backlog.append(&mut later);
        ended
    }

    fn is_sending(&self, desk: u32) -> bool {
        (self.seats[desk as usize].as_ref()).is_some_and(|seat| seat.is_sending())
    }

    /// Looks at a desk. A request that is there, whole, is this server's from now on.
    fn attend(&mut self, desk: u32) -> Result<Option<Begun>, ServeError> {
        let most = self.how.max_request;
        let begun = self.seat(desk)?.attend(most)?;
        self.note(desk);
        Ok(begun)
    }

    /// A call may have ended because its caller has begun another one, which has been heard by that: it is looked at again.
    pub(crate) fn note_end(&mut self, desk: u32) {
        let seat = self.seats[desk as usize].as_ref();
        if seat.is_some_and(|seat| seat.is_asked_anew()) && !self.backlog.contains(&desk) {
            self.backlog.push_back(desk);
        }
        self.note(desk);
    }

    /// Whether something is on its way at a desk may have changed.
    pub(crate) fn note(&mut self, desk: u32) {
        let is_busy = (self.seats[desk as usize].as_ref()).is_some_and(|seat| seat.is_busy());
        let place = self.busy.iter().position(|busy| *busy == desk);
        match (is_busy, place) {
            (true, None) => self.busy.push(desk),
            (false, Some(place)) => drop(self.busy.swap_remove(place)),
            _ => {}
        }
    }

    pub(crate) fn seat(&mut self, desk: u32) -> Result<&mut Seat, ServeError> {
        let seat = &mut self.seats[desk as usize];
        if seat.is_none() {
            *seat = Some(Box::new(Seat::new(&self.shared.place, desk)?));
        }
        seat.as_deref_mut().ok_or(ServeError::Corrupt)
    }

    /// Lets go of what is on its way to those who do not want it any more.
    pub(crate) fn look_after_busy(&mut self) -> Result<(), ServeError> {
        if self.busy.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        if now < self.next_look {
            return Ok(());
        }
        self.next_look = now + LOOK;
        for desk in self.busy.clone() {
            self.seat(desk)?.drop_unwanted();
            self.note_end(desk);
        }
        Ok(())
    }
}
