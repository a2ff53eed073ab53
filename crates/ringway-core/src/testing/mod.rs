//! What checks need, and users do not. Nothing of it is in a build for users.
//!
//! | module | what |
//! |---|---|
//! | `broadcasts`, `cells`, `pool` | rings on the heap, whose participants live and die as they are told |
//! | `queue` | a cell ring beside the queue that it has to be |
//! | `model` | memory made of loom's atomics |
//! | `liar`, `meddled` | memory that lies at every read, or is written to between any two accesses |
//! | `scripted` | locks and bells that do as they are told |
//! | `verify` | what property tests, Miri and the fuzzers call (feature `verify`) |

/// How the harness names the test `$name` of this module, which another process is to run.
#[cfg(test)]
macro_rules! test_name {
    ($name:ident) => {{
        // It is there.
        let _: fn() = $name;
        let path = concat!(module_path!(), "::", stringify!($name));
        path.split_once("::").map_or(path, |(_krate, path)| path)
    }};
}
#[cfg(test)]
pub(crate) use test_name;

#[cfg(any(all(test, not(loom)), feature = "verify"))]
pub(crate) mod broadcasts;
#[cfg(any(all(test, not(loom)), feature = "verify"))]
pub(crate) mod cells;
#[cfg(all(test, not(loom)))]
pub(crate) mod liar;
#[cfg(any(all(test, not(loom)), feature = "verify"))]
pub(crate) mod meddled;
#[cfg(all(loom, test))]
pub(crate) mod model;
#[cfg(any(all(test, not(loom)), feature = "verify"))]
pub(crate) mod pool;
#[cfg(any(all(test, not(loom)), feature = "verify"))]
pub(crate) mod queue;
#[cfg(any(all(test, not(loom)), feature = "verify"))]
pub(crate) mod scripted;
#[cfg(feature = "verify")]
pub mod verify;
