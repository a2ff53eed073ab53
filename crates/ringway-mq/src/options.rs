//! What a queue is made like, and asked to be like.

/// The highest priority of a message. The lowest is 0.
pub const MAX_PRIORITY: u32 = 31;

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) messages: Option<u64>,
    pub(crate) message_len: Option<usize>,
    /// Whether a new queue has priorities, and whether that was asked for.
    pub(crate) priorities: bool,
    pub(crate) priorities_asked: bool,
    pub(crate) mode: Option<u32>,
    pub(crate) any_owner: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            messages: None,
            message_len: None,
            priorities: true,
            priorities_asked: false,
            mode: None,
            any_owner: false,
        }
    }
}

/// Permission bits unless told otherwise.
const DEFAULT_MODE: u32 = 0o600;

/// Those bits of a mode that are permissions.
pub(crate) fn permissions(mode: u32) -> u32 {
    mode & 0o666
}

impl Options {
    /// The permission bits of a new queue.
    pub(crate) fn new_mode(&self) -> u32 {
        permissions(self.mode.unwrap_or(DEFAULT_MODE))
    }
}
