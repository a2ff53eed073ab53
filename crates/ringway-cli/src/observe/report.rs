//! The one shape in which all kinds are shown, to people and as JSON.

use nix::unistd::{Uid, User};
use ringway::{Address, Error, ErrorKind};
use serde::Serialize;

/// The version of the JSON. It grows when a field goes or means something else, and not when one is added.
pub(crate) const SCHEMA: u32 = 1;

/// A ring, board, service, queue or log at one moment. What its kind does not have, or nobody tells, is null.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    pub(crate) address: String,
    /// Of a ring who may take part; `board`, `service`, `queue`, `log`; or a word for what cannot be used.
    pub(crate) kind: &'static str,
    /// Why it cannot be used as it is, for people, with what to do about it.
    pub(crate) problem: Option<String>,
    pub(crate) owner_uid: Option<u32>,
    pub(crate) owner: Option<String>,
    /// Permission bits, in octal.
    pub(crate) mode: Option<String>,
    pub(crate) created_ns: Option<u64>,
    pub(crate) sync: Option<&'static str>,
    /// What a sender does: `wait` or `overwrite`.
    pub(crate) when_full: Option<&'static str>,
    pub(crate) used_bytes: u64,
    pub(crate) capacity_bytes: Option<u64>,
    /// Messages that wait: sent, and not received. Of a log, those that are kept.
    pub(crate) messages: Option<u64>,
    pub(crate) max_messages: Option<u64>,
    pub(crate) max_message_bytes: Option<u64>,
    /// Messages ever sent; of a board, values ever set.
    pub(crate) sent: Option<u64>,
    pub(crate) received: Option<u64>,
    pub(crate) overwritten: Option<u64>,
    /// Records of the dead that others put in order.
    pub(crate) repaired: Option<u64>,
    pub(crate) producers_ever: Option<u64>,
    pub(crate) producer_closed: Option<bool>,
    pub(crate) consumer_closed: Option<bool>,
    /// Who is attached, or was and died; null where the kernel does not tell.
    pub(crate) participants: Option<Vec<Participant>>,
    /// How many live senders a queue has.
    pub(crate) senders: Option<u64>,
    pub(crate) receivers: Option<u64>,
    /// Whether a queue was made with priorities.
    pub(crate) priorities: Option<bool>,
    /// For whom a producer that waits for room waits: empty if for nobody who lives, null if none waits.
    pub(crate) held_up_by: Option<Vec<Process>>,
    pub(crate) slabs: Vec<Slabs>,
    /// Whether each slab is a segment of its own.
    pub(crate) slab_segments: bool,
    /// What a ring's creator has said that its messages are.
    pub(crate) message_type: Option<MessageType>,
    /// Of a board or a service: of this, what is or was in use.
    pub(crate) entries: Vec<Entry>,
    /// Live servers, live clients and places for clients of a service.
    pub(crate) service: Option<Service>,
    pub(crate) oldest_number: Option<u64>,
    pub(crate) next_number: Option<u64>,
    pub(crate) segments: Option<u64>,
    pub(crate) cursors: Vec<Cursor>,
    /// What moved since it was looked at before; null at a first look.
    pub(crate) activity: Option<Activity>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Participant {
    pub(crate) role: &'static str,
    pub(crate) pid: u32,
    /// As it is called here; null if it is in a pid namespace that is not seen from here.
    pub(crate) pid_here: Option<u32>,
    pub(crate) pid_namespace: Option<u64>,
    /// The name of its command; null if it has gone or cannot be seen from here.
    pub(crate) command: Option<String>,
    pub(crate) state: State,
    pub(crate) alive: bool,
    pub(crate) epoch: Option<u64>,
    pub(crate) attached_ns: Option<u64>,
    pub(crate) waits_for: Option<&'static str>,
    pub(crate) messages: Option<u64>,
    /// Of a consumer of a broadcast ring; null of others.
    pub(crate) subscription: Option<Subscription>,
}

/// What a process does, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It runs, or sleeps of itself.
    Running,
    /// By a signal, or a debugger.
    Stopped,
    Dead,
    /// It lives, and this process cannot see how.
    Unknown,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Dead => "died",
            Self::Unknown => "alive",
        }
    }
}

/// A process that somebody waits for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) command: Option<String>,
    pub(crate) state: State,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subscription {
    pub(crate) policy: &'static str,
    pub(crate) evicted: bool,
    pub(crate) next_number: u64,
    pub(crate) behind: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct MessageType {
    /// What is no text in it is replaced.
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) size_bytes: u64,
    pub(crate) alignment: u32,
    /// For people.
    #[serde(skip)]
    pub(crate) shown: String,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) values: u64,
    pub(crate) value_bytes: u64,
    /// Null if nobody has the role; as its own pid namespace counts.
    pub(crate) writer: Option<u32>,
    pub(crate) writer_alive: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) servers: u64,
    pub(crate) clients: u64,
    pub(crate) desks: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Slabs {
    pub(crate) slab_bytes: u64,
    pub(crate) count: u32,
    pub(crate) free: u32,
    pub(crate) withheld: u32,
    pub(crate) held: Vec<SlabHolder>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct SlabHolder {
    pub(crate) role: &'static str,
    /// Null if it is gone.
    pub(crate) pid: Option<u32>,
    pub(crate) count: u32,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cursor {
    pub(crate) name: String,
    pub(crate) next_number: u64,
    pub(crate) behind: u64,
}

/// What was seen by looking more than once.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Activity {
    /// Between the last two looks.
    pub(crate) over_seconds: f64,
    /// Whether a counter moved between them.
    pub(crate) moved: bool,
    pub(crate) sent_per_second: Option<f64>,
    pub(crate) received_per_second: Option<f64>,
    /// How long no counter has moved since one was seen to; null if none was seen to.
    pub(crate) idle_seconds: Option<f64>,
    /// For how long at least a producer has waited for room and sent nothing; null if none waits.
    pub(crate) blocked_seconds: Option<f64>,
}

impl Report {
    pub(crate) fn new(address: &Address, kind: &'static str) -> Self {
        Self {
            schema: SCHEMA,
            address: address.to_string(),
            kind,
            ..Self::default()
        }
    }

    /// Something of ringway's that cannot be used as it is.
    pub(crate) fn of_unusable(address: &Address, error: &Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::NotARing => "damaged",
            ErrorKind::Incompatible => "incompatible",
            _ => "unreadable",
        };
        Self {
            problem: Some(error.to_string()),
            ..Self::new(address, kind)
        }
    }

    pub(crate) fn owned_by(mut self, uid: Option<u32>, mode: Option<u32>) -> Self {
        self.owner_uid = uid;
        self.owner = uid.and_then(|uid| Some(User::from_uid(Uid::from_raw(uid)).ok()??.name));
        self.mode = mode.map(|mode| format!("{mode:o}"));
        self
    }

    /// Who takes part, as far as is known.
    pub(crate) fn all(&self) -> &[Participant] {
        self.participants.as_deref().unwrap_or_default()
    }

    /// How many of them are in a state.
    pub(crate) fn count(&self, state: State) -> usize {
        let all = self.all().iter();
        all.filter(|participant| participant.state == state).count()
    }

    /// Whether somebody died there whose place nobody has taken.
    pub(crate) fn has_dead(&self) -> bool {
        let is_dead = |entry: &Entry| entry.writer.is_some() && !entry.writer_alive;
        self.count(State::Dead) > 0 || self.entries.iter().any(is_dead)
    }

    /// The most messages that anybody is behind.
    pub(crate) fn lag(&self) -> u64 {
        let subscribers = self
            .all()
            .iter()
            .filter_map(|one| one.subscription.as_ref());
        let subscribers = subscribers.map(|one| one.behind);
        let cursors = self.cursors.iter().map(|cursor| cursor.behind);
        let behind = subscribers.chain(cursors).max();
        // What a log keeps waits for nobody.
        let waiting = self.messages.filter(|_| self.kind != "log").unwrap_or(0);
        behind.unwrap_or(0).max(waiting)
    }
}
