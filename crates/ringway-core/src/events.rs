//! What happens seldom, told to whoever listens by `tracing` (feature `tracing`, off by default).
//!
//! Where something is told that the caller of a function did (it made a ring, attached, removed), its own thread tells it, when it is
//! done and no lock of the segment is held: a subscriber may take its time, or panic, and only its own process is late or ends. What
//! happens beside the calls of a handle is told by a thread of its own (`api/news.rs`); but the deaths of those with whom a board or a
//! service was shared by whose call finds them: there, only the roles of entries depend on it, which is so of every call that takes long.
//! Nothing is told where a message
//! is sent or received, and without the feature no instruction of this is there: the compiler sees that the words make sense, and
//! drops them.
//!
//! `events.md` of the crate `ringway` has the table of all events, and a test that it is whole.

/// Tells of an event: the part of ringway that it belongs to, how loud, what it is, and its fields, as `tracing` has them.
#[cfg(feature = "tracing")]
#[doc(hidden)]
#[macro_export]
macro_rules! tell {
    ($target:literal, $level:ident, $what:literal $(, $($fields:tt)+)?) => {
        $crate::os::tracing::event!(
            target: $target,
            $crate::os::tracing::Level::$level,
            $($($fields)+,)?
            $what
        )
    };
}

/// Tells nothing, and computes nothing.
#[cfg(not(feature = "tracing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! tell {
    ($target:literal, $level:ident, $what:literal $(, $($fields:tt)+)?) => {
        if false {
            $crate::tell!(@ $($($fields)+)?);
        }
    };
    (@) => {};
    (@ $name:ident = % $value:expr $(, $($rest:tt)+)?) => {
        let _ = &$value;
        $crate::tell!(@ $($($rest)+)?);
    };
    (@ $name:ident = $value:expr $(, $($rest:tt)+)?) => {
        let _ = &$value;
        $crate::tell!(@ $($($rest)+)?);
    };
    (@ $name:ident $(, $($rest:tt)+)?) => {
        let _ = &$name;
        $crate::tell!(@ $($($rest)+)?);
    };
}

pub(crate) use tell;
