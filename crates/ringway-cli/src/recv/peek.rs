//! Messages that are there, shown and left where they are.

use ringway::{Receiver, RecvError};

use super::{Output, append, explain, say_missed};
use crate::cli::RecvArgs;
use crate::failure::Failure;

/// Writes the messages that are there now, up to a count, and takes none.
///
/// They are copied first and written when they are given back, so that who reads slowly keeps nobody waiting.
pub(super) fn show(
    receiver: &mut Receiver,
    args: &RecvArgs,
    output: &mut Output,
) -> Result<(), Failure> {
    let most = args.intake.count.unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let mut count = 0;
    let mut backlog = receiver.backlog();
    while count < most {
        let message = match backlog.next_message() {
            Ok(Some(message)) => message,
            Ok(None) | Err(RecvError::Empty | RecvError::Closed | RecvError::PeerDied) => break,
            Err(RecvError::Lagged { missed }) => {
                say_missed(missed);
                continue;
            }
            // An error shows again when it is the first.
            Err(error) if count == 0 => return Err(explain(error)),
            Err(_) => break,
        };
        append(&mut bytes, output.framing, message.len(), |room| {
            message.read_at(0, room);
        })?;
        count += 1;
    }
    // Without a release: whoever receives next gets them.
    drop(backlog);
    output
        .write_all(&bytes)
        .map_err(|(_, error)| Failure::output(error))?;
    output.count(count, bytes.len());
    match count {
        0 if most > 0 => Err(Failure::negative("there is no message")),
        _ => Ok(()),
    }
}
