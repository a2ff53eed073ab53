//! How far a writer is.

/// A place behind which nothing is written yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The base of the segment.
    pub segment: u64,
    /// The byte in it.
    pub offset: u64,
    /// The next message's number.
    pub next: u64,
}

/// What a writer of this boot has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How far it was, unless it could not even begin.
    pub place: Option<Place>,
    /// All before this number was synced.
    pub synced: u64,
    /// Whether a sync was under way, of which nobody knows what came.
    pub syncing: bool,
    /// Whether a sync has failed.
    pub poisoned: bool,
}
