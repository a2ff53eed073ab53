//! One call, from its request to the end of its answer.

use std::borrow::Cow;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use ringway_core::board::GetError;
use ringway_core::os::{Hearing, deadline_after};

use crate::client::{Client, Moved};
use crate::error::{CallError, Failure};
use crate::waiting::{Waiting, blocked, first, is_past};
use crate::words::{
    Answered, DIED, END, ENDS_ANSWER, ENDS_PART, FAILED, GONE, LET_GO, NEXT, PART, REQUEST, Said,
    TOO_LONG, WANT, Words, to_shared,
};

/// The answer to one request, part by part. Dropping it before its end cancels the call, and the server is told.
///
/// The server is at most two parts ahead of what was taken here.
///
/// At least once, a call whose server dies begins anew as long as no part was handed on; after that it ends with
/// [`ServerDied`](CallError::ServerDied), because what would come again was perhaps used already.
#[derive(Debug)]
pub struct Answers<'a> {
    pub(crate) client: &'a mut Client,
    request: Cow<'a, [u8]>,
    deadline: Option<Instant>,
    /// The same on the clock of all.
    shared_deadline: u64,
    call: u64,
    /// How often it was begun, as far as is known.
    attempt: u32,
    /// Who serves it: the number of the first value of that one. 0: nobody so far.
    run: u64,
    /// Which fragment comes next.
    next: u64,
    /// Whether another server has begun anew since the last fragment that was returned.
    anew: bool,
    /// Whether a part was handed on, so that it cannot begin anew.
    handed_on: bool,
    over: bool,
    part: Vec<u8>,
    /// How long to sleep before the next look.
    pause: Duration,
    /// When that is, once it sleeps; never, if the clock cannot say it.
    look_at: Option<Option<Instant>>,
    /// Since when no server is there.
    alone: Option<Instant>,
}

/// What came next.
struct Event {
    /// `None` at the end.
    fragment: Option<Vec<u8>>,
    ends_part: bool,
    /// Whether all that came before is void: another server has begun.
    anew: bool,
}

/// What is gathered of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Parts,
    Whole,
}

/// A call sleeps for its answer and for its server's death. All else it looks for by itself, so often and then less often: whether servers
/// are there at all, and whether the request has escaped all of them.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

impl<'a> Answers<'a> {
    pub(crate) fn begin(
        client: &'a mut Client,
        request: Cow<'a, [u8]>,
        deadline: Option<Instant>,
    ) -> Result<Self, CallError> {
        let mut answers = Self {
            call: client.desk.next_number(),
            client,
            request,
            deadline,
            shared_deadline: to_shared(deadline),
            attempt: 1,
            run: 0,
            next: 0,
            anew: false,
            handed_on: false,
            over: false,
            part: Vec::new(),
            pause: FIRST_PAUSE,
            look_at: None,
            alone: None,
        };
        answers.ask(0)?;
        Ok(answers)
    }

    /// The next part of the answer, waiting for it; `None` if there are no more.
    ///
    /// # Errors
    /// [`CallError`]. Then the call is over, but for [`CallError::Interrupted`]: it goes on with the next call of this.
    pub fn next_part(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        let part = self.gather(&mut Waiting::Blocked, None, By::Parts);
        blocked(part, CallError::TimedOut)
    }

    /// The same, until `moment`: if nothing has come until then it is pending, and the call goes on.
    pub fn next_part_until(&mut self, moment: Instant) -> Poll<Result<Option<Vec<u8>>, CallError>> {
        self.gather(&mut Waiting::Blocked, Some(moment), By::Parts)
    }

    /// The whole answer, waiting for it. What was taken of it by parts is not there again.
    ///
    /// # Errors
    /// As [`next_part`](Self::next_part).
    pub fn whole(&mut self) -> Result<Vec<u8>, CallError> {
        let whole = self.gather(&mut Waiting::Blocked, None, By::Whole);
        blocked(whole, CallError::TimedOut).map(Option::unwrap_or_default)
    }

    /// The same, until `moment`: if it has not come until then it is pending, and the call goes on.
    pub fn whole_until(&mut self, moment: Instant) -> Poll<Result<Vec<u8>, CallError>> {
        let whole = self.gather(&mut Waiting::Blocked, Some(moment), By::Whole);
        whole.map_ok(Option::unwrap_or_default)
    }

    /// The next part, or all of it; `None` is the end.
    pub(crate) fn gather(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        moment: Option<Instant>,
        by: By,
    ) -> Poll<Result<Option<Vec<u8>>, CallError>> {
        loop {
            let event = ready!(self.step(waiting, moment))?;
            if event.anew {
                self.part.clear();
            }
            let Some(bytes) = event.fragment else {
                let whole = std::mem::take(&mut self.part);
                return Poll::Ready(Ok((by == By::Whole).then_some(whole)));
            };
            let most = self.client.how.max_answer;
            if !append(&mut self.part, bytes, most) {
                self.cancel();
                return Poll::Ready(Err(CallError::AnswerTooLong { most }));
            }
            if event.ends_part && by == By::Parts {
                self.handed_on = true;
                return Poll::Ready(Ok(Some(std::mem::take(&mut self.part))));
            }
        }
    }

    /// Ends the call, as dropping it does: the server is told that nobody waits.
    pub fn cancel(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            // Of a child of fork nobody is waited for.
            let _ = self.say(GONE, 0);
        }
    }

    /// Waits for what comes next.
    fn step(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        moment: Option<Instant>,
    ) -> Poll<Result<Event, CallError>> {
        let stepped = self.wait_for_more(waiting, moment);
        if let Poll::Ready(Err(error)) = &stepped
            && *error != CallError::Interrupted
        {
            self.cancel();
        }
        stepped
    }

    fn wait_for_more(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        moment: Option<Instant>,
    ) -> Poll<Result<Event, CallError>> {
        loop {
            if self.over {
                return Poll::Ready(Ok(self.event(None, false)));
            }
            let mut heard = Hearing::default();
            let answers = &mut self.client.desk.answers;
            let soon = match waiting {
                Waiting::Blocked => answers.hear_soon(&mut heard),
                Waiting::Task(_) | Waiting::Not => Ok(None),
            };
            let found = match soon.transpose() {
                Some(found) => Poll::Ready(found),
                None => self.hear_until(waiting, moment, &mut heard),
            };
            let look = self.look_at.flatten();
            let look = first(look, self.deadline);
            match found {
                Poll::Ready(Ok(number)) => {
                    self.look_at = None;
                    if let Some(event) = self.hear(number, heard)? {
                        return Poll::Ready(Ok(event));
                    }
                }
                Poll::Ready(Err(GetError::TimedOut)) | Poll::Pending if !is_past(look) => {
                    if found.is_pending() || is_past(moment) {
                        return Poll::Pending;
                    }
                }
                // A writer that changes its value all the time is none of ours.
                Poll::Ready(Err(GetError::TimedOut | GetError::Changing)) | Poll::Pending => {
                    self.look_at = None;
                    self.client.desk.answers.pass_over_half_written();
                    if let Some(event) = self.look()? {
                        return Poll::Ready(Ok(event));
                    }
                }
                Poll::Ready(Err(GetError::WriterDied)) => self.go_on_after_death()?,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(told(error))),
            }
        }
    }

    /// What is said next, waiting for it until it is time to look.
    fn hear_until(
        &mut self,
        waiting: &mut Waiting<'_, '_>,
        moment: Option<Instant>,
        heard: &mut Hearing,
    ) -> Poll<Result<u64, GetError>> {
        let look = self.next_look();
        let until = first(look, moment);
        let answers = &mut self.client.desk.answers;
        match waiting {
            Waiting::Task(context) => answers.poll_heard_by(context, until, heard),
            Waiting::Blocked | Waiting::Not => Poll::Ready(answers.hear_deadline(heard, until)),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// When to look although nothing has come.
    pub(crate) fn next_look(&mut self) -> Option<Instant> {
        let pause = self.pause;
        let look = self.look_at.get_or_insert_with(|| deadline_after(pause));
        first(*look, self.deadline)
    }

    /// What a server has said.
    fn hear(&mut self, number: u64, heard: Hearing) -> Result<Option<Event>, CallError> {
        let (answered, from) = Answered::heard(number, &heard).ok_or(CallError::Corrupt)?;
        if answered.call != self.call {
            // Of a call before this one.
            return Ok(None);
        }
        let bytes = heard.into_rest(from);
        if self.run != 0 && self.run != answered.run {
            if self.handed_on {
                return Err(CallError::ServerDied);
            }
            (self.next, self.anew) = (0, true);
        }
        self.run = answered.run;
        match answered.kind {
            WANT => self.ask(answered.index)?,
            PART if answered.index == self.next => {
                self.next += 1;
                self.over = answered.flags & ENDS_ANSWER != 0;
                if !self.over {
                    self.say(NEXT, self.next)?;
                }
                let ends_part = answered.flags & ENDS_PART != 0;
                return Ok(Some(self.event(Some(bytes), ends_part)));
            }
            END => self.over = true,
            FAILED => {
                self.over = true;
                let status = answered.index as i32;
                return Err(CallError::Failed(Failure::new(bytes).with_status(status)));
            }
            DIED => {
                self.over = true;
                return Err(CallError::ServerDied);
            }
            TOO_LONG => {
                self.over = true;
                let most = answered.index;
                return Err(CallError::RequestTooLong { most });
            }
            LET_GO if answered.attempt < self.attempt => {}
            LET_GO => self.begin_anew(CallError::LetGo)?,
            _ => return Err(CallError::Corrupt),
        }
        Ok(self.over.then(|| self.event(None, false)))
    }

    fn event(&mut self, fragment: Option<Vec<u8>>, ends_part: bool) -> Event {
        Event {
            fragment,
            ends_part,
            anew: std::mem::take(&mut self.anew),
        }
    }

    /// Nothing has come for a while.
    fn look(&mut self) -> Result<Option<Event>, CallError> {
        let now = Instant::now();
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        // If somebody has it, that one's death is heard of.
        let is_held = self.client.desk.is_held();
        let is_alone = !is_held && self.client.servers() == 0;
        let alone = is_alone.then(|| *self.alone.get_or_insert(now));
        self.alone = alone;
        let end = match alone {
            _ if self.deadline.is_some_and(|deadline| now >= deadline) => Some(CallError::TimedOut),
            Some(since) if now - since < self.client.how.grace => None,
            Some(_) if self.has_begun() || self.attempt > 1 => Some(CallError::ServerDied),
            Some(_) => Some(CallError::NoServer),
            None => None,
        };
        // A server may have answered, and ended, since the last look at the answer.
        let mut heard = Hearing::default();
        match self.client.desk.answers.hear_if_newer(&mut heard) {
            Ok(Some(number)) => return self.hear(number, heard),
            Ok(None) | Err(GetError::Changing) => {}
            Err(error) => return Err(told(error)),
        }
        if let Some(end) = end {
            return Err(end);
        }
        match is_held {
            true if !self.has_begun() => self.ask_elsewhere()?,
            true => {}
            // Who looked at it when another one had the desk for a moment has passed it over.
            false => self.ask(0)?,
        }
        Ok(None)
    }

    /// Whether a server has said something of this call, or has begun with it.
    fn has_begun(&mut self) -> bool {
        self.run != 0 || self.client.desk.answers.mark() == Some(self.call)
    }

    /// Somebody has the desk, and has not begun: it may have been stopped when it was about to leave. The call goes on at another desk, if there is one.
    fn ask_elsewhere(&mut self) -> Result<(), CallError> {
        match self.client.move_on(&self.said(GONE, 0))? {
            Moved::Not => return Ok(()),
            // It has begun meanwhile, or has heard that nobody waits.
            Moved::TakenBack => {}
            Moved::To(first) => self.call = first,
        }
        self.ask(0)
    }

    /// Who had the desk is dead.
    pub(crate) fn go_on_after_death(&mut self) -> Result<(), CallError> {
        (self.pause, self.look_at) = (FIRST_PAUSE, None);
        self.client.desk.note_death();
        match self.has_begun() {
            true => self.begin_anew(CallError::ServerDied),
            // It died before it began, or with an earlier call: another one may.
            false => self.ask(0),
        }
    }

    /// Lets the next server have it, if that is allowed.
    fn begin_anew(&mut self, otherwise: CallError) -> Result<(), CallError> {
        let how = &self.client.how;
        if !how.at_least_once || self.handed_on || self.attempt >= how.attempts {
            return Err(otherwise);
        }
        self.attempt += 1;
        self.ask(0)
    }

    /// Says fragment `index` of the request; the first one makes it known to all servers.
    fn ask(&mut self, index: u64) -> Result<(), CallError> {
        let room = self.client.desk.room();
        let start = usize::try_from(index)
            .ok()
            .and_then(|index| index.checked_mul(room))
            .filter(|start| *start < self.request.len() || *start == 0)
            .ok_or(CallError::Corrupt)?;
        let said = self.said(REQUEST, index);
        let rest = &self.request[start..];
        let desk = &mut self.client.desk;
        desk.say(&said, &rest[..rest.len().min(room)])
    }

    fn say(&mut self, kind: u32, index: u64) -> Result<(), CallError> {
        let said = self.said(kind, index);
        self.client.desk.say(&said, &[])
    }

    fn said(&self, kind: u32, index: u64) -> Said {
        Said {
            call: self.call,
            by: self.client.desk.id(),
            run: self.run,
            kind,
            attempt: self.attempt,
            index,
            len: self.request.len() as u64,
            deadline: self.shared_deadline,
            once: u64::from(!self.client.how.at_least_once),
        }
    }
}

/// What ends a wait for an answer.
pub(crate) fn told(error: GetError) -> CallError {
    match error {
        GetError::Removed => CallError::Removed,
        GetError::Forked => CallError::Forked,
        GetError::Interrupted => CallError::Interrupted,
        GetError::NoWaiter { errno } => CallError::NoWaiter { errno },
        _ => CallError::Corrupt,
    }
}

/// Whether it is no longer than `most` with that.
fn append(whole: &mut Vec<u8>, bytes: Vec<u8>, most: usize) -> bool {
    if bytes.len() > most.saturating_sub(whole.len()) {
        return false;
    }
    match whole.is_empty() {
        true => *whole = bytes,
        false => whole.extend_from_slice(&bytes),
    }
    true
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// The parts, up to the end or the first error.
impl Iterator for Answers<'_> {
    type Item = Result<Vec<u8>, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_part().transpose()
    }
}
