//! A server at a desk: who calls there, and what is on its way.

use ringway_core::board::{GetError, Reader};
use ringway_core::os::{Role, Wakes, tell};

use crate::error::ServeError;
use crate::place::{Place, answer_key, call_key};
use crate::words::{
    ANSWERED, Answered, BEGUN, DIED, END, ENDS_ANSWER, ENDS_PART, FAILED, GONE, LET_GO, NEXT, PART,
    REQUEST, SAID, Said, TOO_LONG, WANT, is_over, split,
};

#[derive(Debug)]
pub(crate) struct Seat {
    desk: u32,
    /// What servers say at this desk, held while this one serves it.
    role: Role,
    /// What the client says.
    calls: Reader,
    /// What other servers have said.
    answers: Reader,
    /// What was said last, as far as it was read or said here, and its number.
    last: Option<(u64, Answered)>,
    /// What the client has said last: its header, and all of it.
    said: Option<Said>,
    heard: Vec<u8>,
    on_its_way: OnItsWay,
    /// The attachment of a client whose death was told of.
    mourned: u64,
    /// Bytes of the longest value.
    value_len: usize,
}

/// What a server does at a desk beside the request that it works for.
#[derive(Debug)]
enum OnItsWay {
    Nothing,
    /// A request, of which some fragments are here.
    Request(Begun),
    /// An answer, of which the caller has not had all.
    Answer(Outgoing),
}

/// A request that is this server's.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) call: Served,
    pub(crate) body: Vec<u8>,
    /// How long it is when it is whole.
    len: usize,
    /// Which fragment of it comes next, and which one was asked for last.
    next: u64,
    wanted: u64,
    /// Until when the caller waits, on the clock of all.
    pub(crate) deadline: u64,
    /// At most once.
    once: bool,
    pub(crate) repeated: bool,
}

/// Which call a server serves, and who it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    call: u64,
    attempt: u32,
    run: u64,
}

impl Served {
    fn says(self, kind: u32, index: u64) -> Answered {
        Answered {
            call: self.call,
            run: self.run,
            kind,
            attempt: self.attempt,
            index,
            flags: 0,
        }
    }
}

/// What is left of an answer, or of a part of it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    call: Served,
    /// The fragment that comes next.
    pub(crate) next: u64,
    bytes: Vec<u8>,
    sent: usize,
    tail: Tail,
    /// What comes after it.
    then: Option<Box<Outgoing>>,
}

/// What comes with the last of these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The end of a part.
    Part,
    /// The end of the last part.
    LastPart,
    /// The end, behind the last part.
    End,
    /// A status; the bytes are no part of the answer.
    Failed(i32),
}

impl Outgoing {
    pub(crate) fn new(call: Served, next: u64, bytes: Vec<u8>, tail: Tail) -> Self {
        Self {
            call,
            next,
            bytes,
            sent: 0,
            tail,
            then: None,
        }
    }

    /// This one, and then another one.
    pub(crate) fn and(self, then: Self) -> Self {
        Self {
            then: Some(Box::new(then)),
            ..self
        }
    }
}

/// What is known of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It waits, and has had so many fragments of the answer.
    Waits(u64),
    /// It has left, died, or given up.
    IsGone,
}

impl Seat {
    pub(crate) fn new(place: &Place, desk: u32) -> Result<Self, ServeError> {
        let board = &place.board;
        Ok(Self {
            desk,
            role: board.role(&answer_key(desk))?,
            calls: board.reader(&call_key(desk))?,
            answers: board.reader(&answer_key(desk))?,
            last: None,
            said: None,
            heard: Vec::new(),
            on_its_way: OnItsWay::Nothing,
            mourned: 0,
            value_len: place.value_len(),
        })
    }

    /// Whether it holds the desk for what is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.on_its_way, OnItsWay::Nothing)
    }

    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.on_its_way, OnItsWay::Answer(_))
    }

    /// Whether the client is known to ask for something that is not settled, and that this server does not serve.
    pub(crate) fn is_asked_anew(&self) -> bool {
        let asks = |said: &Said| said.kind == REQUEST && said.index == 0;
        let settles = |said: &Said| {
            (self.last).is_some_and(|(_, last)| last.settles(said.call, said.attempt))
        };
        !self.role.is_held() && self.said.filter(asks).is_some_and(|said| !settles(&said))
    }

    /// Looks what the client says. A request that is whole now is this server's.
    pub(crate) fn attend(&mut self, most: usize) -> Result<Option<Begun>, ServeError> {
        let begun = match std::mem::replace(&mut self.on_its_way, OnItsWay::Nothing) {
            OnItsWay::Nothing => self.begin(most)?,
            OnItsWay::Request(begun) => match self.go_on_with_request(begun)? {
                Some(begun) => Some(begun),
                None => {
                    self.leave();
                    self.begin(most)?
                }
            },
            OnItsWay::Answer(outgoing) => {
                self.on_its_way = OnItsWay::Answer(outgoing);
                self.push()?;
                match self.is_busy() {
                    true => None,
                    false => self.begin(most)?,
                }
            }
        };
        let Some(mut begun) = begun else {
            return Ok(None);
        };
        if begun.body.len() < begun.len {
            if begun.wanted < begun.next {
                begun.wanted = begun.next;
                self.say(&begun.call.says(WANT, begun.next), &[])?;
            }
            self.on_its_way = OnItsWay::Request(begun);
            return Ok(None);
        }
        if begun.once {
            self.say(&begun.call.says(BEGUN, 0), &[])?;
        }
        Ok(Some(begun))
    }

    /// What the client says now. What has no header is nothing.
    fn hear(&mut self) -> Result<Option<Said>, ServeError> {
        match self.calls.get_into_if_newer(&mut self.heard) {
            Ok(None) => {}
            Ok(Some(_)) => self.said = split::<Said>(&self.heard).map(|(said, _)| said),
            // One that changes its value without a pause is none of ours. It is looked at again when it has changed again.
            Err(GetError::Changing) => self.said = None,
            Err(error) => return Err(error.into()),
        }
        Ok(self.said)
    }

    /// What servers have said last at this desk. The role is held.
    fn last_said(&mut self) -> Result<Option<Answered>, ServeError> {
        let number = self.role.number();
        match self.last {
            _ if number == 0 => return Ok(None),
            Some((of, said)) if of == number => return Ok(Some(said)),
            _ => {}
        }
        let mut bytes = Vec::new();
        self.answers.get_into(&mut bytes)?;
        let said = split::<Answered>(&bytes).map(|(said, _)| said);
        self.last = said.map(|said| (number, said));
        Ok(said)
    }

    fn say(&mut self, answered: &Answered, bytes: &[u8]) -> Result<(), ServeError> {
        let parts = [bytemuck::bytes_of(answered), bytes];
        let number = self.role.set_parts(parts, Wakes::ItsReaders)?;
        self.last = Some((number, *answered));
        Ok(())
    }

    /// Begins with a new request, if there is one and nobody else has.
    fn begin(&mut self, most: usize) -> Result<Option<Begun>, ServeError> {
        let asks = |said: &Said| said.kind == REQUEST && said.index == 0;
        // First without the role, which others may be in need of.
        if !self.hear()?.as_ref().is_some_and(asks) || !self.role.take()? {
            return Ok(None);
        }
        if self.role.follows_death() {
            tell!("ringway::service", WARN, "server died", address = %self.role.address(), desk = self.desk);
        }
        // Again: it may have been answered, and another one asked for, before the role was taken. From now on nobody else answers.
        let begun = match self.hear() {
            Ok(said) => self.begin_with_role(said.filter(asks), most),
            Err(error) => Err(error),
        };
        if !matches!(begun, Ok(Some(_))) {
            self.role.leave();
        }
        begun
    }

    fn begin_with_role(
        &mut self,
        said: Option<Said>,
        most: usize,
    ) -> Result<Option<Begun>, ServeError> {
        let Some(said) = said else {
            return Ok(None);
        };
        let last = self.last_said()?.filter(|last| last.call == said.call);
        let is_settled = last.is_some_and(|last| last.settles(said.call, said.attempt));
        if is_settled || is_over(said.deadline) || !self.is_there(said) {
            return Ok(None);
        }
        // Who has said something of it, and has not settled it, is dead.
        let traces = last.map_or(0, |last| last.kind);
        let call = Served {
            call: said.call,
            attempt: said.attempt,
            run: self.role.number() + 1,
        };
        let once = said.once != 0;
        if once && matches!(traces, BEGUN | PART) {
            self.say(&call.says(DIED, 0), &[])?;
            return Ok(None);
        }
        let len = usize::try_from(said.len).unwrap_or(usize::MAX);
        if len > most {
            self.say(&call.says(TOO_LONG, most as u64), &[])?;
            return Ok(None);
        }
        let body = self.heard.split_off(SAID.min(self.heard.len()));
        if body.len() > len || (body.is_empty() && len > 0) {
            return Ok(None);
        }
        Ok(Some(Begun {
            call,
            body,
            len,
            next: 1,
            wanted: 0,
            deadline: said.deadline,
            once,
            repeated: said.attempt > 1 || traces != 0 || self.role.follows_death(),
        }))
    }

    /// Goes on with a request, if the next fragment of it is there. `None`: nobody wants it any more.
    fn go_on_with_request(&mut self, mut begun: Begun) -> Result<Option<Begun>, ServeError> {
        if self.caller(begun.call)? == Caller::IsGone {
            return Ok(None);
        }
        let next = split::<Said>(&self.heard)
            .filter(|(said, _)| said.kind == REQUEST && said.index == begun.next);
        if let Some((_, bytes)) = next {
            if bytes.is_empty() || bytes.len() > begun.len - begun.body.len() {
                return Ok(None);
            }
            begun.body.extend_from_slice(bytes);
            begun.next += 1;
        }
        Ok(Some(begun))
    }

    /// Goes on with an answer, if the caller has taken what was there.
    pub(crate) fn push(&mut self) -> Result<(), ServeError> {
        let OnItsWay::Answer(outgoing) = &self.on_its_way else {
            return Ok(());
        };
        let (call, next) = (outgoing.call, outgoing.next);
        match self.caller(call)? {
            Caller::IsGone => self.leave(),
            Caller::Waits(taken) if taken < next => {}
            Caller::Waits(_) => {
                let way = std::mem::replace(&mut self.on_its_way, OnItsWay::Nothing);
                if let OnItsWay::Answer(outgoing) = way {
                    self.send_rest(outgoing)?;
                }
            }
        }
        Ok(())
    }

    /// Says the next fragment of what ends an answer, and leaves the rest for later.
    pub(crate) fn send_rest(&mut self, mut outgoing: Outgoing) -> Result<(), ServeError> {
        let is_last = self.send_fragment(&mut outgoing)?;
        match outgoing.then.take_if(|_| is_last) {
            Some(then) => {
                let next = outgoing.next;
                self.on_its_way = OnItsWay::Answer(Outgoing { next, ..*then });
            }
            None if is_last => self.leave(),
            None => self.on_its_way = OnItsWay::Answer(outgoing),
        }
        Ok(())
    }

    /// Keeps what ends an answer until the caller has taken what was said before.
    pub(crate) fn send_later(&mut self, outgoing: Outgoing) {
        self.on_its_way = OnItsWay::Answer(outgoing);
    }

    /// Says the next fragment. Says whether that was the last one.
    pub(crate) fn send_fragment(&mut self, outgoing: &mut Outgoing) -> Result<bool, ServeError> {
        let Outgoing {
            call,
            next,
            bytes,
            sent,
            tail,
            then: _,
        } = outgoing;
        let room = self.value_len - ANSWERED;
        let rest = &bytes[*sent..];
        let (now, is_last) = match tail {
            Tail::Failed(_) => (rest.len().min(room), true),
            _ => (rest.len().min(room), rest.len() <= room),
        };
        let mut part = call.says(PART, *next);
        match tail {
            _ if !is_last => {}
            Tail::Part => part.flags = ENDS_PART,
            Tail::LastPart => part.flags = ENDS_PART | ENDS_ANSWER,
            Tail::End => part = call.says(END, 0),
            Tail::Failed(status) => part = call.says(FAILED, u64::from(*status as u32)),
        }
        self.say(&part, &rest[..now])?;
        *sent += now;
        *next += 1;
        Ok(is_last)
    }

    /// Whether the client that has said this has the desk, and lives.
    fn is_there(&mut self, said: Said) -> bool {
        let is_there = self.calls.is_written_by(said.by);
        if !is_there {
            self.note_death(said.by);
        }
        is_there
    }

    /// Tells once of the death of a client that has gone, if it has died.
    #[cold]
    fn note_death(&mut self, by: u64) {
        if self.mourned != by && self.calls.writer_lives() == Some(false) {
            self.mourned = by;
            tell!("ringway::service", WARN, "client died", address = %self.role.address(), desk = self.desk);
        }
    }

    /// What is known of the caller of a call.
    pub(crate) fn caller(&mut self, served: Served) -> Result<Caller, ServeError> {
        let said = self.hear()?;
        let Some(said) = said.filter(|said| said.call == served.call && said.kind != GONE) else {
            return Ok(Caller::IsGone);
        };
        if !self.is_there(said) {
            return Ok(Caller::IsGone);
        }
        Ok(Caller::Waits(match said.kind {
            NEXT if said.run == served.run => said.index,
            _ => 0,
        }))
    }

    /// Lets go of a request without an answer.
    pub(crate) fn let_go(&mut self, served: Served) {
        if self.role.is_held() {
            // Of a child of fork nobody is told anything.
            let _ = self.say(&served.says(LET_GO, 0), &[]);
        }
        self.leave();
    }

    /// Leaves the desk to others.
    pub(crate) fn leave(&mut self) {
        self.on_its_way = OnItsWay::Nothing;
        self.role.leave();
    }

    /// Lets go of what is on its way, if nobody wants it any more.
    pub(crate) fn drop_unwanted(&mut self) {
        if let Some(call) = self.on_its_way.call()
            && self.caller(call) == Ok(Caller::IsGone)
        {
            self.leave();
        }
    }
}

impl OnItsWay {
    fn call(&self) -> Option<Served> {
        match self {
            Self::Nothing => None,
            Self::Request(begun) => Some(begun.call),
            Self::Answer(outgoing) => Some(outgoing.call),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(call) = self.on_its_way.call() {
            self.let_go(call);
        }
    }
}
