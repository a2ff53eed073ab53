//! The board that a service is, and its desks.

use ringway_core::board::Builder;
use ringway_core::os::{Role, tell};
use ringway_core::{Address, Board, Error, ErrorKind};

/// The key of the first entry, which says that the board is a service's, and what of.
pub(crate) const MARK: &str = "ringway service 3";
/// Entries by which servers are known to be there.
pub(crate) const SERVERS: u32 = 31;
/// Entries that are no desk's.
const OTHERS: u32 = 1 + SERVERS;
/// Entries of the largest board.
const MOST_ENTRIES: u32 = 4096;
/// The most desks.
pub(crate) const MOST_DESKS: u32 = (MOST_ENTRIES - OTHERS) / 2;
/// Processes that may take part. The most that a board has.
const PROCESSES: u32 = 120;

/// Bytes of the longest answer that is gathered, and of the longest request that is taken, unless told otherwise.
pub(crate) const DEFAULT_MOST: usize = 64 << 20;

/// What a new service is like.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: Option<u32>,
    pub(crate) part_len: Option<u64>,
    pub(crate) mode: Option<u32>,
    pub(crate) persistent: Option<bool>,
}

/// Clients unless told otherwise.
const DEFAULT_CLIENTS: u32 = 240;

/// An open service.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) board: Board,
    pub(crate) desks: u32,
}

impl Place {
    /// Opens the service at an address, or makes it.
    pub(crate) fn open_or_create(builder: &Builder, plan: &Plan) -> Result<Self, Error> {
        let address = builder.address();
        if *address == Address::Memfd {
            let problem = "a service has a name, and memfd: has none";
            return Err(
                Error::new(ErrorKind::Unsupported, "serve", address, problem)
                    .remedy("choose an address like shm:orders"),
            );
        }
        let desks = desks_for(plan.clients.unwrap_or(DEFAULT_CLIENTS));
        // Opened first: keys must not be added to a board that is somebody else's.
        let mut new = builder.clone().writers(PROCESSES).keys(keys(desks));
        let mut there = builder.clone();
        if plan.clients.is_some() {
            there = there.entries(OTHERS + 2 * desks);
        }
        if let Some(len) = plan.part_len {
            (new, there) = (new.value_len(len), there.value_len(len));
        }
        if let Some(mode) = plan.mode {
            (new, there) = (new.mode(mode), there.mode(mode));
        }
        if let Some(yes) = plan.persistent {
            (new, there) = (new.persistent(yes), there.persistent(yes));
        }
        // Others may make it, or remove it, at the same time.
        for _ in 0..100 {
            match there.clone().open() {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened.and_then(|board| Self::of(builder, board)),
            }
            match new.clone().create() {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => return made.and_then(|board| Self::of(builder, board)),
            }
        }
        let board = there.open()?;
        Self::of(builder, board)
    }

    /// Opens the service at an address.
    pub(crate) fn open(builder: &Builder) -> Result<Self, Error> {
        let board = builder.clone().open()?;
        Self::of(builder, board)
    }

    /// A board that is there, which its maker may not have finished.
    fn of(builder: &Builder, board: Board) -> Result<Self, Error> {
        let desks = board.entries().saturating_sub(OTHERS) / 2;
        let all = keys(desks);
        let mut there = board.keys()?;
        let is_ours = match there.first() {
            Some(first) => first == MARK,
            // Its maker was to add the first one. Nobody else makes a board for so many writers, and without keys.
            None => board.writers() == PROCESSES,
        };
        if desks > 0 && is_ours && there.len() < all.len() && all.starts_with(&there) {
            // Its maker adds them in this moment, or has died. All who add them do so in the same order, so each has one place.
            drop(builder.clone().keys(all.clone()).open()?);
            there = board.keys()?;
        }
        if desks == 0 || there != all {
            let problem = "it is no service of this version";
            let error = Error::new(ErrorKind::Incompatible, "open", board.address(), problem);
            return Err(error.remedy("choose another address"));
        }
        Ok(Self { board, desks })
    }

    /// Which entries have what clients say.
    pub(crate) fn calls(&self) -> std::ops::Range<u32> {
        1..1 + self.desks
    }

    /// The desk of such an entry.
    pub(crate) fn desk_at(&self, place: u32) -> u32 {
        place - 1
    }

    /// Bytes of the longest value.
    pub(crate) fn value_len(&self) -> usize {
        self.board.max_value_len()
    }

    /// Takes the place of a server, by which clients see that one is there.
    pub(crate) fn announce(&self) -> Result<Role, Error> {
        for number in 0..SERVERS {
            let mut role = self.board.role(&server_key(number))?;
            if role.take()? {
                if role.follows_death() {
                    tell!("ringway::service", INFO, "succeeded a dead server", address = %self.board.address());
                }
                return Ok(role);
            }
        }
        let problem = format!("all of its {SERVERS} places of servers are taken");
        let kind = ErrorKind::RoleTaken { pid: 0 };
        let error = Error::new(kind, "serve", self.board.address(), problem);
        Err(error.remedy("start more workers in a process, which together take one place, instead of more processes"))
    }
}

/// As many as fit in a board that has room for so many.
fn desks_for(clients: u32) -> u32 {
    let entries = clients
        .clamp(1, MOST_DESKS)
        .saturating_mul(2)
        .saturating_add(OTHERS)
        .next_power_of_two();
    (entries.min(MOST_ENTRIES) - OTHERS) / 2
}

fn keys(desks: u32) -> Vec<String> {
    let desks = 0..desks;
    let keys = std::iter::once(MARK.to_owned());
    let keys = keys.chain(desks.clone().map(call_key));
    let keys = keys.chain(desks.map(answer_key));
    keys.chain((0..SERVERS).map(server_key)).collect()
}

/// The entry of what the client at a desk says.
pub(crate) fn call_key(desk: u32) -> String {
    format!("call {desk}")
}

/// The entry of what servers say at a desk.
pub(crate) fn answer_key(desk: u32) -> String {
    format!("answer {desk}")
}

/// The entry of a server that is there.
pub(crate) fn server_key(number: u32) -> String {
    format!("server {number}")
}
