//! A held slot.
