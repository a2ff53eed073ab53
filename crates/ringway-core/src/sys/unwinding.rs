//! Whether a panic ends something, or something merely ends while a panic unwinds.

/// Made with what a panic may end. As the guard of a mutex does, it compares how it is at the end with how it was at
/// the beginning: what a destructor makes and drops while a panic unwinds, that panic does not end.
///
/// (A second panic, raised and caught in such a destructor, is not told apart from the first one. The standard
/// library's guards do not either.)
#[derive(Clone, Copy, Debug)]
pub struct Unwinding {
    was: bool,
}

impl Unwinding {
    /// How it is now.
    #[inline]
    #[expect(clippy::new_without_default, reason = "it is no default but a look")]
    pub fn new() -> Self {
        let was = std::thread::panicking();
        Self { was }
    }

    /// Whether a panic has begun since.
    #[inline]
    pub fn has_begun(self) -> bool {
        !self.was && std::thread::panicking()
    }
}
