//! The calling handle.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ringway_core::board::Reader;
use ringway_core::os::{Role, deadline_after, tell};
use ringway_core::{Address, Error, ErrorKind};

use crate::answers::Answers;
use crate::connect::How;
use crate::error::CallError;
use crate::place::{Place, SERVERS, answer_key, call_key, server_key};
use crate::words::{GONE, SAID, Said};

/// Calls a service: one call at a time.
///
/// A handle has a *desk* of the service, and a service has as many as [`Serve::clients`](crate::Serve::clients) says. A process that calls
/// from several threads has a handle in each ([`another`](Self::another)); all that come from one are one participant of the service together.
/// Dropping it gives the desk back, and so does the process's death, at whatever instruction.
///
/// A handle is for one thread at a time: it can be sent to another thread (`Send`), and not be shared with one.
///
/// ```
/// # let name = format!("shm:ringway-doc-client-{}", std::process::id());
/// use ringway_service::{connect, serve};
///
/// let mut server = serve(&name)?.start()?;
/// let working = std::thread::spawn(move || server.next()?.answer(b"HELLO"));
/// let mut client = connect(&name)?.open()?;
/// assert_eq!(client.call(b"hello")?, b"HELLO");
/// working.join().unwrap()?;
/// # ringway_core::remove(client.address(), true)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    pub(crate) how: How,
    pub(crate) desk: Desk,
}

/// What the handles of a process share.
#[derive(Debug)]
pub(crate) struct Shared {
    place: Place,
    /// The entries of the servers. Asked when no answer comes.
    servers: Mutex<Vec<Reader>>,
}

impl Shared {
    /// How many servers live.
    pub(crate) fn servers(&self) -> usize {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let lives = servers
            .iter_mut()
            .map(|server| server.writer_lives() == Some(true));
        lives.map(usize::from).sum()
    }
}

/// One place at which a client and a server meet.
#[derive(Debug)]
pub(crate) struct Desk {
    /// What this client says, held as long as the desk is.
    role: Role,
    /// What servers say.
    pub(crate) answers: Reader,
    number: u32,
    place: Place,
}

impl Client {
    pub(crate) fn new(place: Place, how: How) -> Result<Self, Error> {
        let servers = (0..SERVERS).map(|number| place.board.reader(&server_key(number)));
        let servers = Mutex::new(servers.collect::<Result<_, _>>()?);
        let desk = Desk::take(&place, &how)?;
        let shared = Arc::new(Shared { place, servers });
        Ok(Self { shared, how, desk })
    }

    /// One more handle of this process, for another thread, which makes its calls as this one does.
    ///
    /// # Errors
    /// [`ErrorKind::RoleTaken`] if all desks are taken; [`ErrorKind::Forked`].
    pub fn another(&self) -> Result<Self, Error> {
        Ok(Self {
            desk: Desk::take(&self.shared.place, &self.how)?,
            shared: Arc::clone(&self.shared),
            how: self.how.clone(),
        })
    }

    /// Sends a request to one of the servers, and waits for its whole answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(&mut self, request: &[u8]) -> Result<Vec<u8>, CallError> {
        let until = self.how.timeout.and_then(deadline_after);
        self.call_deadline(request, until)
    }

    /// The same, waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call_timeout(
        &mut self,
        request: &[u8],
        timeout: Duration,
    ) -> Result<Vec<u8>, CallError> {
        self.call_deadline(request, deadline_after(timeout))
    }

    /// The same, waiting until `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call_deadline(
        &mut self,
        request: &[u8],
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Vec<u8>, CallError> {
        self.stream_deadline(request, deadline)?.whole()
    }

    /// Sends a request to one of the servers, whose answer is taken part by part.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// ```
    /// # let name = format!("shm:ringway-doc-stream-{}", std::process::id());
    /// use ringway_service::{connect, serve};
    ///
    /// let mut server = serve(&name)?.start()?;
    /// let working = std::thread::spawn(move || {
    ///     let mut request = server.next()?;
    ///     for word in ["one", "two"] {
    ///         request.send(word.as_bytes())?;
    ///     }
    ///     request.end()?;
    ///     server.finish(std::time::Duration::from_secs(10))
    /// });
    /// let mut client = connect(&name)?.open()?;
    /// let mut answers = client.stream(b"count")?;
    /// assert_eq!(answers.next_part()?.unwrap(), b"one");
    /// assert_eq!(answers.next_part()?.unwrap(), b"two");
    /// assert_eq!(answers.next_part()?, None);
    /// drop(answers);
    /// working.join().unwrap()?;
    /// # ringway_core::remove(client.address(), true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream<'a>(
        &'a mut self,
        request: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Answers<'a>, CallError> {
        let until = self.how.timeout.and_then(deadline_after);
        self.stream_deadline(request, until)
    }

    /// The same, of which all is over at `deadline`; `None` is never.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn stream_deadline<'a>(
        &'a mut self,
        request: impl Into<Cow<'a, [u8]>>,
        deadline: impl Into<Option<Instant>>,
    ) -> Result<Answers<'a>, CallError> {
        Answers::begin(self, request.into(), deadline.into())
    }

    /// When a call that begins now is over, if it is given no deadline of its own.
    #[doc(hidden)]
    pub fn deadline(&self) -> Option<Instant> {
        self.how.timeout.and_then(deadline_after)
    }

    /// How many servers are there now.
    pub fn servers(&self) -> usize {
        self.shared.servers()
    }

    /// Where the service is.
    pub fn address(&self) -> &Address {
        self.shared.place.board.address()
    }

    /// Takes back a request that nobody has begun with, by saying that it is `gone`, and takes another desk for it.
    pub(crate) fn move_on(&mut self, gone: &Said) -> Result<Moved, CallError> {
        // Who finds all desks taken stays.
        let Ok(mut desk) = Desk::take(&self.shared.place, &self.how) else {
            return Ok(Moved::Not);
        };
        self.desk.say(gone, &[])?;
        // A server marks the call, and looks once more what was said, before it begins: either it sees that, or this sees its mark.
        match self.desk.answers.mark_behind_all() {
            Some(mark) if mark != gone.call => {}
            _ => return Ok(Moved::TakenBack),
        }
        desk.answers.stand_in_for(&mut self.desk.answers);
        self.desk = desk;
        Ok(Moved::To(self.desk.next_number()))
    }
}

/// Where a client is that wanted another desk.
pub(crate) enum Moved {
    /// Where it was, and has said nothing.
    Not,
    /// Where it was, and has taken its request back.
    TakenBack,
    /// At another one, where the next value has this number.
    To(u64),
}

impl Desk {
    /// Takes a desk that nobody has.
    fn take(place: &Place, how: &How) -> Result<Self, Error> {
        let board = &place.board;
        // Each process, and each time, begins somewhere else.
        let first = RandomState::new().hash_one(0) as u32 % place.desks;
        for number in (first..place.desks).chain(0..first) {
            let mut role = board.role(&call_key(number))?;
            if !role.take()? {
                continue;
            }
            if role.follows_death() {
                tell!("ringway::service", WARN, "client died", address = %board.address(), desk = number);
            }
            let answers = board.reader(&answer_key(number))?.quiet();
            let mut desk = Self {
                role,
                answers: answers.with_wait(how.wait),
                number,
                place: place.clone(),
            };
            if desk.is_held() {
                // Dropping it gives it back.
                continue;
            }
            // What the last one at this desk asked for, nobody wants any more; and what was answered, this one need not read.
            if desk.role.number() != 0 {
                let gone = Said {
                    kind: GONE,
                    ..bytemuck::Zeroable::zeroed()
                };
                let said = desk.say(&gone, &[]);
                said.map_err(|_| forked(place))?;
            }
            let _ = desk.answers.get_if_newer();
            return Ok(desk);
        }
        let kind = ErrorKind::RoleTaken { pid: 0 };
        let problem = format!("all of its {} desks are taken", place.desks);
        let error = Error::new(kind, "connect to", board.address(), problem);
        Err(error.remedy("let other clients end, or make the service for more (clients)"))
    }

    /// Whether a server, be it stopped, has the desk.
    pub(crate) fn is_held(&mut self) -> bool {
        self.answers.writer_lives() == Some(true)
    }

    /// The number of the next value.
    pub(crate) fn next_number(&self) -> u64 {
        self.role.number() + 1
    }

    /// The attachment that says what this desk's client says.
    pub(crate) fn id(&self) -> u64 {
        self.role.id()
    }

    /// Bytes of the longest fragment of a request.
    pub(crate) fn room(&self) -> usize {
        self.place.value_len() - SAID
    }

    pub(crate) fn say(&mut self, said: &Said, bytes: &[u8]) -> Result<(), CallError> {
        said.say(&mut self.role, bytes)?;
        Ok(())
    }

    /// Tells of the death of the server that had the desk.
    pub(crate) fn note_death(&self) {
        let address = self.place.board.address();
        tell!("ringway::service", WARN, "server died", address = %address, desk = self.number);
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}

fn forked(place: &Place) -> Error {
    let problem = "this process inherited it through fork";
    Error::new(
        ErrorKind::Forked,
        "connect to",
        place.board.address(),
        problem,
    )
    .remedy("connect again in the child")
}

impl Client {
    /// Which desk it has now, for who looks at the service.
    #[doc(hidden)]
    pub fn desk(&self) -> u32 {
        self.desk.number()
    }
}
