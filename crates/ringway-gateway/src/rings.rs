//! Which rings a gateway can go by.

use ringway::{Kind, Ring};

/// Refuses a ring that does not count each message.
pub(crate) fn require_stream(ring: &Ring) -> Result<(), String> {
    match ring.cell_len().is_none() && ring.kind() == Kind::Spsc {
        true => Ok(()),
        false => Err(format!(
            "{}: a gateway needs a ring of kind spsc with sync futex that does not overwrite: each death may leave others a message short in \
             their counts",
            ring.address()
        )),
    }
}
