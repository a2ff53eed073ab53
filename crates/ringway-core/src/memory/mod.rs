//! What lies where in a segment, and how it is reached.

pub(crate) mod layout;
pub(crate) mod map;
pub(crate) mod mapped;
pub(crate) mod region;
