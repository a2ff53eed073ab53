//! What checks need, and users do not.

#[cfg(feature = "verify")]
pub mod verify;
