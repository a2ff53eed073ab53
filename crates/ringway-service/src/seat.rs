//! A server at a desk: who calls there, and what is on its way.

use ringway_core::board::{GetError, Reader};
use ringway_core::os::{Hearing, Role, tell};

use crate::error::ServeError;
use crate::place::{Place, answer_key, call_key};
use crate::words::{
    ANSWERED, Answered, DIED, END, ENDS_ANSWER, ENDS_PART, FAILED, GONE, LET_GO, NEXT, PART,
    REQUEST, Said, TOO_LONG, WANT, Words, is_over,
};

/// How often a server that comes upon another one at a desk looks whether that one is about to leave. A client may ask as soon as it has its answer.
const LOOKS: u32 = 100;
/// How often a request that its caller takes back is followed by another one that is looked at.
const ROUNDS: u32 = 4;
/// Bytes of memory that are kept at a desk for its next request.
const MOST_SPARE: usize = 1024;

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
    /// What the client has said last: its header, where the bytes behind it begin, and all of it.
    said: Option<(Said, usize)>,
    heard: Hearing,
    on_its_way: OnItsWay,
    /// The attachment of a client whose death was told of.
    mourned: u64,
    /// Memory of a request that was answered, and which is empty.
    spare: Vec<u8>,
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

impl Tail {
    /// What is said with the last fragment.
    fn says(self, call: Served, next: u64) -> Answered {
        let part = |flags| Answered {
            flags,
            ..call.says(PART, next)
        };
        match self {
            Self::Part => part(ENDS_PART),
            Self::LastPart => part(ENDS_PART | ENDS_ANSWER),
            Self::End => call.says(END, 0),
            Self::Failed(status) => call.says(FAILED, u64::from(status as u32)),
        }
    }
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
            heard: Hearing::default(),
            on_its_way: OnItsWay::Nothing,
            mourned: 0,
            spare: Vec::new(),
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
        let said = self.said.map(|(said, _)| said);
        !self.role.is_held() && said.filter(asks).is_some_and(|said| !settles(&said))
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
        for _ in 0..ROUNDS {
            if begun.body.len() < begun.len {
                if begun.wanted < begun.next {
                    begun.wanted = begun.next;
                    self.say(&begun.call.says(WANT, begun.next), &[])?;
                }
                self.on_its_way = OnItsWay::Request(begun);
                return Ok(None);
            }
            // From here on it has begun, for whoever finds it dead. A client that has gone to another desk has said so before it looked for the mark: either it
            // sees the mark, or this sees that it has gone.
            self.role.set_mark(begun.call.call);
            if self.caller(begun.call)? != Caller::IsGone {
                return Ok(Some(begun));
            }
            // It has not begun. There may be another request, which has been heard with that.
            self.role.set_mark(0);
            self.leave();
            match self.begin(most)? {
                Some(other) => begun = other,
                None => return Ok(None),
            }
        }
        // One who changes its mind all the time is none of ours.
        self.leave();
        Ok(None)
    }

    /// What the client says now. What has no header is nothing.
    fn hear(&mut self) -> Result<Option<Said>, ServeError> {
        match self.calls.hear_if_newer(&mut self.heard) {
            Ok(None) => {}
            Ok(Some(number)) => self.said = Said::heard(number, &self.heard),
            // One that changes its value without a pause is none of ours. It is looked at again when it has changed again.
            Err(GetError::Changing) => self.said = None,
            Err(error) => return Err(error.into()),
        }
        Ok(self.said.map(|(said, _)| said))
    }

    /// What is behind the header.
    fn bytes(&self) -> &[u8] {
        let from = self.said.map_or(usize::MAX, |(_, from)| from);
        self.heard.bytes().get(from..).unwrap_or_default()
    }

    /// What servers have said last at this desk. The role is held.
    fn last_said(&mut self) -> Result<Option<Answered>, ServeError> {
        let number = self.role.number();
        match self.last {
            _ if number == 0 => return Ok(None),
            Some((of, said)) if of == number => return Ok(Some(said)),
            _ => {}
        }
        let mut heard = Hearing::default();
        let said = match self.answers.hear(&mut heard) {
            Ok(_) => Answered::heard(number, &heard).map(|(said, _)| said),
            // Somebody died while it wrote the whole answer of a later call, or of a later attempt: this one settled none that is asked for now.
            Err(GetError::Changing) => None,
            Err(error) => return Err(error.into()),
        };
        self.last = said.map(|said| (number, said));
        Ok(said)
    }

    #[inline]
    fn say(&mut self, answered: &Answered, bytes: &[u8]) -> Result<(), ServeError> {
        let number = answered.say(&mut self.role, bytes)?;
        self.last = Some((number, *answered));
        Ok(())
    }

    /// Begins with a new request, if there is one and nobody else has.
    fn begin(&mut self, most: usize) -> Result<Option<Begun>, ServeError> {
        let asks = |said: &Said| said.kind == REQUEST && said.index == 0;
        // First without the role, which others may be in need of.
        let Some(said) = self.hear()?.filter(asks) else {
            return Ok(None);
        };
        // Its line was read by the client last; to have it back takes about as long as what comes first.
        self.role.prepare_to_mark();
        if !self.take(said.call)? {
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

    /// Takes the role for a call. Another one that has it may have answered the call before, and be about to leave.
    fn take(&mut self, call: u64) -> Result<bool, ServeError> {
        for _ in 0..LOOKS {
            if self.role.take()? {
                return Ok(true);
            }
            if self.role.mark() == call {
                return Ok(false);
            }
            std::hint::spin_loop();
        }
        Ok(false)
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
        // Who has said something of it, or begun with it, and has not settled it, is dead.
        let traces = last.map_or(0, |last| last.kind);
        let has_begun = self.role.mark() == said.call;
        let call = Served {
            call: said.call,
            attempt: said.attempt,
            run: self.role.number() + 1,
        };
        let once = said.once != 0;
        if once && (has_begun || traces == PART) {
            self.say(&call.says(DIED, 0), &[])?;
            return Ok(None);
        }
        let len = usize::try_from(said.len).unwrap_or(usize::MAX);
        if len > most {
            self.say(&call.says(TOO_LONG, most as u64), &[])?;
            return Ok(None);
        }
        let mut body = std::mem::take(&mut self.spare);
        body.extend_from_slice(self.bytes());
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
            repeated: said.attempt > 1 || traces != 0 || has_begun,
        }))
    }

    /// Goes on with a request, if the next fragment of it is there. `None`: nobody wants it any more.
    fn go_on_with_request(&mut self, mut begun: Begun) -> Result<Option<Begun>, ServeError> {
        if self.caller(begun.call)? == Caller::IsGone {
            return Ok(None);
        }
        let is_next = |said: &Said| said.kind == REQUEST && said.index == begun.next;
        if self.said.is_some_and(|(said, _)| is_next(&said)) {
            let bytes = self.bytes();
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

    /// Says a whole answer, or the last part of one, and leaves, if it fits in one fragment. Says whether it did.
    #[inline]
    pub(crate) fn send_last(
        &mut self,
        call: Served,
        next: u64,
        bytes: &[u8],
        tail: Tail,
    ) -> Result<bool, ServeError> {
        if bytes.len() > self.value_len - ANSWERED {
            return Ok(false);
        }
        self.say(&tail.says(call, next), bytes)?;
        self.leave();
        Ok(true)
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
        let part = match is_last {
            true => tail.says(*call, *next),
            false => call.says(PART, *next),
        };
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

    /// Keeps a short request's memory for the next one.
    pub(crate) fn keep(&mut self, mut body: Vec<u8>) {
        if body.capacity() <= MOST_SPARE {
            body.clear();
            self.spare = body;
        }
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
