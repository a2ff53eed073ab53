//! Who looks at rings from outside, and who removes what the dead left.

pub(crate) mod gc;
pub(crate) mod stat;
pub(crate) mod tap;
