//! Long-running checks.
fn main() {}
