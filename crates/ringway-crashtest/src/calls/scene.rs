//! A service, a caller that waits, and another server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::unistd::gettid;
use ringway::service::{CallError, Client, Connect, Serve, ServeError, Server};
use ringway_testing::place::{Backing, Place};
use ringway_testing::procfs;

use super::victim::{ANSWER, CANCELLED, FAILURE, LONG, NOTHING, Op};
use crate::boards::{DONE, Process, Victim};
use crate::matrix::said;

/// What nobody's wait comes near to; only a hang does.
const WATCHDOG: Duration = Duration::from_secs(20);
const DESKS: u32 = 16;
const OTHERS_ANSWER: &[u8] = b"of another one";

type Answer = Result<Vec<u8>, CallError>;

pub(super) struct Scene {
    op: Op,
    at_least_once: bool,
    place: Place,
    /// Who waits for what the victim does.
    caller: Option<JoinHandle<(Answer, Client)>>,
    server: Option<JoinHandle<Result<(), ServeError>>>,
    ending: Arc<AtomicBool>,
    /// One that died before.
    _dead: Option<Process>,
}

impl Scene {
    pub(super) fn set(op: Op, at_least_once: bool, backing: Backing) -> Result<Self, String> {
        let place = Place::new(backing);
        // Made, and left: the victim is the only server at first.
        let made = Serve::at(place.address.clone()).clients(DESKS).start();
        drop(made.map_err(said("making the service"))?);
        let mut scene = Self {
            op,
            at_least_once,
            place,
            caller: None,
            server: None,
            ending: Arc::default(),
            _dead: None,
        };
        if op.serves() {
            scene.call_and_wait()?;
        }
        if op == Op::TakeOver {
            let mut dead = Victim::play("call-victim", &Op::Begin.name(), &scene.place)?;
            dead.advance(usize::MAX)?;
            let (outcome, dead) = dead.kill()?;
            if outcome != DONE {
                return Err("the first victim did not get the request".to_owned());
            }
            scene._dead = Some(dead);
        }
        Ok(scene)
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn client(&self) -> Result<Client, String> {
        let connect = Connect::at(self.place.address.clone())
            .grace(WATCHDOG)
            .with_wait(ringway::WaitStrategy::Park);
        let connect = match self.at_least_once {
            true => connect.at_least_once(),
            false => connect,
        };
        connect.open().map_err(said("connecting"))
    }

    /// A caller asks, and sleeps.
    fn call_and_wait(&mut self) -> Result<(), String> {
        let mut client = self.client()?;
        let (tell, hear) = mpsc::channel();
        self.caller = Some(std::thread::spawn(move || {
            let _ = tell.send(gettid().as_raw());
            (client.call_timeout(b"a request", WATCHDOG), client)
        }));
        let thread = hear.recv().map_err(said("a caller"))?;
        procfs::until_asleep(std::process::id(), thread);
        Ok(())
    }

    /// Another server serves from now on.
    pub(super) fn serve_on(&mut self) -> Result<(), String> {
        let server = Serve::at(self.place.address.clone()).start();
        let mut server = server.map_err(said("another server"))?;
        let ending = Arc::clone(&self.ending);
        self.server = Some(std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                serve_one(&mut server)?;
            }
            Ok(())
        }));
        Ok(())
    }

    /// Others call beside one that stands still, and are answered.
    pub(super) fn call_beside(&self) -> Result<(), String> {
        for _ in 0..2 {
            let mut client = self.client()?;
            for _ in 0..3 {
                call(&mut client)
                    .map_err(|problem| format!("beside one that stands still: {problem}"))?;
            }
        }
        Ok(())
    }

    /// Judges what a victim left that died, or went on and ended.
    pub(super) fn judge(&mut self, outcome: u32, died: bool) -> Result<(), String> {
        let known = match outcome {
            0 => died,
            DONE => true,
            NOTHING | CANCELLED => !died && self.op.serves(),
            _ => false,
        };
        if !known {
            return Err(format!("the victim ended with {outcome}"));
        }
        if let Some(caller) = self.caller.take() {
            let (answer, mut client) = caller.join().map_err(|_| "the caller panicked")?;
            self.check_told(&answer, outcome, died)?;
            call(&mut client).map_err(|problem| format!("the caller's next call: {problem}"))?;
        }
        let mut client = self.client()?;
        call(&mut client).map_err(|problem| format!("another client: {problem}"))?;
        drop(client);
        self.ending.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let served = server.join().map_err(|_| "the server panicked")?;
            served.map_err(said("serving on"))?;
        }
        let all: Result<Vec<Client>, String> = (0..DESKS).map(|_| self.client()).collect();
        all.map_err(|problem| format!("a desk is not free again: {problem}"))?;
        Ok(())
    }

    /// What the caller was told must be possible, and not less than the victim has done.
    fn check_told(&self, answer: &Answer, outcome: u32, died: bool) -> Result<(), String> {
        let (op, again) = (self.op, self.at_least_once);
        let by_victim = match answer {
            Ok(bytes) if bytes == OTHERS_ANSWER => false,
            Ok(bytes) if bytes == ANSWER && matches!(op, Op::Serve | Op::TakeOver) => true,
            // The rest is said by a server that lives.
            Ok(bytes) if *bytes == [7; LONG] && op == Op::ServeLong && !died => true,
            Err(CallError::Failed(failure)) if failure.message() == FAILURE && op == Op::Fail => {
                true
            }
            Err(CallError::ServerDied) if !again && (died || op == Op::Begin) => false,
            // Its process ended, and left in order.
            Err(CallError::LetGo) if !again && (op == Op::LetGo || !died) => true,
            told => return Err(format!("the caller was told {told:?}")),
        };
        let whole = matches!(op, Op::Serve | Op::TakeOver | Op::Fail);
        match outcome == DONE && whole && !by_victim {
            true => Err(format!(
                "LOST: it was answered, and the caller was told {answer:?}"
            )),
            false => Ok(()),
        }
    }
}

fn serve_one(server: &mut Server) -> Result<(), ServeError> {
    match server.next_timeout(Duration::from_millis(5)) {
        Ok(request) => match request.answer(OTHERS_ANSWER) {
            Err(ServeError::Cancelled) => Ok(()),
            answered => answered,
        },
        Err(ServeError::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

fn call(client: &mut Client) -> Result<(), String> {
    match client.call_timeout(b"another request", WATCHDOG) {
        Ok(answer) if answer == OTHERS_ANSWER => Ok(()),
        told => Err(format!("told {told:?}")),
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
